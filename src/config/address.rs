//! IP networks in CIDR notation, such as `10.0.0.0/8`, and listen addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// An IP network: all addresses with a common prefix. IPv4-mapped IPv6 addresses count as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u32,
}

/// Error of parsing a [`Network`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IP address or a CIDR range such as 10.0.0.0/8 or 2001:db8::/32")]
pub struct ParseNetworkError(String);

impl Network {
    /// The loopback networks.
    pub const LOOPBACK: [Self; 2] = [
        Self { first: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), bits: 8 },
        Self { first: IpAddr::V6(Ipv6Addr::LOCALHOST), bits: 128 },
    ];

    /// Returns whether the network contains an address.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let shift = 32u32.saturating_sub(self.bits);
                let start = |address: Ipv4Addr| address.to_bits().checked_shr(shift);
                start(first) == start(address)
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let shift = 128u32.saturating_sub(self.bits);
                let start = |address: Ipv6Addr| address.to_bits().checked_shr(shift);
                start(first) == start(address)
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let invalid = || ParseNetworkError(text.chars().take(64).collect());
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let first = address.parse::<IpAddr>().map_err(|_| invalid())?.to_canonical();
        let bits_max = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(bits_max), |bits| bits.parse().map_err(|_| invalid()))?;
        if bits > bits_max { Err(invalid()) } else { Ok(Self { first, bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// Description of a valid value, for error messages.
pub(super) const LISTEN_MUST_BE: &str = "must be an address and a port such as 127.0.0.1:8080, localhost:8080 or :8080";

/// Returns whether `text` is a valid listen address: IP address and port, host name and port, or a port alone. Host names are resolved later.
pub(super) fn is_listen_address(text: &str) -> bool {
    if text.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let is_host_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    text.rsplit_once(':').is_some_and(|(host, port)| port.parse::<u16>().is_ok() && host.bytes().all(is_host_byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_contains_addresses_with_its_prefix() {
        for (range, address, contained) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
        ] {
            let network: Network = range.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), contained, "{range} {address}");
        }
        for invalid in ["", "10.0.0.0/33", "10.0.0.0/x", "10.0.0/8", "::1/129", "localhost"] {
            assert!(invalid.parse::<Network>().is_err(), "{invalid}");
        }
    }

    #[test]
    fn fc_55_names_and_ports_alone_are_accepted() {
        for valid in ["127.0.0.1:8080", "[::1]:0", "localhost:8080", ":8080", "board.internal.example:80", "0.0.0.0:1"]
        {
            assert!(is_listen_address(valid), "{valid}");
        }
        for invalid in
            ["", ":", "8080", "localhost", "localhost:", ":x", ":65536", "::1:x", "a b:1", "http://x:1", "::1:8080"]
        {
            assert!(!is_listen_address(invalid), "{invalid}");
        }
    }
}
