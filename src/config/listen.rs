//! `listen`: an address and a port, a name and a port, or a port alone.

use std::net::SocketAddr;

/// What a value must be, for messages.
pub(super) const MUST_BE: &str = "must be an address and a port such as 127.0.0.1:8080, localhost:8080 or :8080";

/// Whether `text` names where to listen. Names are resolved later.
pub(super) fn is_listen(text: &str) -> bool {
    if text.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    text.rsplit_once(':').is_some_and(|(host, port)| port.parse::<u16>().is_ok() && host.bytes().all(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fc_55_names_and_ports_alone_are_taken() {
        for right in ["127.0.0.1:8080", "[::1]:0", "localhost:8080", ":8080", "board.internal.example:80", "0.0.0.0:1"]
        {
            assert!(is_listen(right), "{right}");
        }
        for wrong in
            ["", ":", "8080", "localhost", "localhost:", ":x", ":65536", "::1:x", "a b:1", "http://x:1", "::1:8080"]
        {
            assert!(!is_listen(wrong), "{wrong}");
        }
    }
}
