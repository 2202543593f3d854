//! Binds listeners to addresses such as `127.0.0.1:8080`, `localhost:8080` or `:8080`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};

use tokio::net::TcpListener;

/// Binds to the first address of `listen` that this machine has. If its port is in use, that is an error at once:
/// binding to another address of the same name instead would surprise clients, which try the first one.
pub(super) async fn bind(listen: &str) -> io::Result<TcpListener> {
    let mut last_error = io::Error::new(io::ErrorKind::AddrNotAvailable, "the host name has no address");
    for address in addresses(listen).await? {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => last_error = error,
            bound => return bound,
        }
    }
    Err(last_error)
}

/// Returns the addresses to try: all interfaces for a port alone; for a host name, IPv4 first, which most clients
/// try first.
async fn addresses(listen: &str) -> io::Result<Vec<SocketAddr>> {
    if let Some(port) = listen.strip_prefix(':').and_then(|port| port.parse().ok()) {
        // The IPv6 socket accepts IPv4 connections too, unless the system is configured otherwise or has no IPv6.
        return Ok(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]);
    }
    let mut found: Vec<SocketAddr> = tokio::net::lookup_host(listen).await?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    Ok(found)
}

/// Parses and resolves a listen address, blocking: `localhost:9000` becomes its first IPv4 address, `:9000` all
/// interfaces.
pub(super) fn address(listen: &str) -> Result<SocketAddr, String> {
    if let Some(port) = listen.strip_prefix(':') {
        let port: u16 = port.parse().map_err(|_| format!("{port:?} is not a valid port"))?;
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    let found = listen.to_socket_addrs().map_err(|error| error.to_string())?;
    found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| "the host name has no address".to_owned())
}
