//! Validation of the `Host` header: exactly one valid value (RFC 9112, section 3.2).

use std::net::Ipv6Addr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Version, header};

/// Returns whether a request has exactly one valid `Host`, which HTTP/1.0 may omit.
pub fn is_valid(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host),
        (None, _) => version < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    }
}

fn is_host(value: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(value.as_bytes()) else { return false };
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or("@");
    is_name(authority.host()) && (matches!(port, "" | ":") || authority.port_u16().is_some())
}

fn is_name(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    // The grammar allows a comma, but no host name has one: it means two headers joined by a proxy.
    let name = host.strip_suffix('.').unwrap_or(host);
    !name.contains(',') && name.split('.').all(|label| !label.is_empty())
}
