//! The `Host` of a request: exactly one, and valid (RFC 9112, section 3.2).

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Version, header};

/// Whether a request names its host as the protocol demands: HTTP/1.0 may leave it out.
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
    // A comma is legal in a name by the grammar, but no host has one: it is two headers joined by a proxy.
    let is_name = !authority.host().is_empty() && !authority.host().contains(',');
    is_name && (matches!(port, "" | ":") || authority.port_u16().is_some())
}
