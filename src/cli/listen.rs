//! Binding to `127.0.0.1:8080`, `localhost:8080` or `:8080`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};

use tokio::net::TcpListener;

/// Binds to the first address of `listen` that this machine has. A port that is taken is an error at once: the next
/// address of the same name would be somewhere else than readers look.
pub(super) async fn bind(listen: &str) -> io::Result<TcpListener> {
    let mut failed = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    for address in addresses(listen).await? {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => failed = error,
            bound => return bound,
        }
    }
    Err(failed)
}

/// Returns the addresses to try: of a port alone all of this machine, of a name IPv4 first, where most clients look.
async fn addresses(listen: &str) -> io::Result<Vec<SocketAddr>> {
    if let Some(port) = listen.strip_prefix(':').and_then(|port| port.parse().ok()) {
        // The first takes IPv4 connections as well, unless the system is set up otherwise or has no IPv6.
        return Ok(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]);
    }
    let mut found: Vec<SocketAddr> = tokio::net::lookup_host(listen).await?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    Ok(found)
}

/// Reads one address for programs that can't wait: `localhost:9000` is its first IPv4 address, `:9000` every address.
pub(super) fn address(listen: &str) -> Result<SocketAddr, String> {
    if let Some(port) = listen.strip_prefix(':') {
        let port: u16 = port.parse().map_err(|_| format!("{port:?} is no port"))?;
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    let found = listen.to_socket_addrs().map_err(|error| error.to_string())?;
    found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| "the name has no address".to_owned())
}
