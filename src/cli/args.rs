//! Options that several commands share, the configuration that results, and listeners on addresses such as
//! `127.0.0.1:8080`, `localhost:8080` or `:8080`.

use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use clap::Args;
use tokio::net::TcpListener;

use crate::config::{self, Config, ConfigErrors};

/// A flag that overrides a setting: its name, and its value if given.
pub(super) type Flag<'a> = (&'static str, Option<&'a str>);

/// The `--config` option.
#[derive(Debug, Clone, Args)]
pub(super) struct ConfigArg {
    /// Configuration file (TOML); without one, the default board is served.
    #[arg(long, env = "SISEPAN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArg {
    pub fn file(&self) -> Option<&Path> {
        self.config.as_deref()
    }
}

#[derive(Debug, Clone, Args)]
pub(super) struct ListenArg {
    /// Address to listen on, such as 127.0.0.1:8080, localhost:8080, or :8080 for all interfaces; port 0 picks a
    /// free port.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

impl ListenArg {
    pub fn flag(&self) -> Flag<'_> {
        ("--listen", self.listen.as_deref())
    }
}

#[derive(Debug, Clone, Args)]
pub(super) struct LogArg {
    /// Log format.
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    log: Option<String>,
}

impl LogArg {
    pub fn flag(&self) -> Flag<'_> {
        ("--log", self.log.as_deref())
    }
}

#[derive(Debug, Clone, Args)]
pub(super) struct DataArg {
    /// Directory of the store, created if missing; `none` keeps everything in memory.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
}

impl DataArg {
    pub fn flag(&self) -> Flag<'_> {
        ("--data", self.data.as_deref())
    }
}

/// Reads the configuration; flags override environment variables, and these override the file.
pub(super) fn load(config: &ConfigArg, flags: &[Flag<'_>]) -> Result<Config, ConfigErrors> {
    let variables = std::env::vars_os().filter_map(|(name, value)| read_variable(&name, &value));
    let flags = flags.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned())));
    config::load(config.file(), &variables.chain(flags).collect())
}

/// Returns an environment variable as text if it is one of ours or a proxy variable.
fn read_variable(name: &OsStr, value: &OsStr) -> Option<(String, String)> {
    let name = name.to_str().filter(|name| name.starts_with("SISEPAN_") || config::PROXY_VARIABLES.contains(name))?;
    Some((name.to_owned(), value.to_string_lossy().into_owned()))
}

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
pub(super) fn listen_address(listen: &str) -> Result<SocketAddr, String> {
    if let Some(port) = listen.strip_prefix(':') {
        let port: u16 = port.parse().map_err(|_| format!("{port:?} is not a valid port"))?;
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    let found = listen.to_socket_addrs().map_err(|error| error.to_string())?;
    found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| "the host name has no address".to_owned())
}
