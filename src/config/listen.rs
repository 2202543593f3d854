//! `listen` addresses: IP address and port, host name and port, or a port alone.

use std::net::SocketAddr;

/// Description of a valid value, for error messages.
pub(super) const MUST_BE: &str = "must be an address and a port such as 127.0.0.1:8080, localhost:8080 or :8080";

/// Returns whether `text` is a valid listen address. Host names are resolved later.
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
