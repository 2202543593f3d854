//! Opening handshake: validates headers, and negotiates compression.

/// `Sec-WebSocket-Extensions` of the response to an acceptable compression offer.
pub const DEFLATE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Window size of the compressor, as a power of two; no other is supported.
const WINDOW_BITS: &str = "15";

/// Maximum number of offers considered; browsers send one.
const OFFERS_MAX: usize = 8;

/// Returns whether a comma-separated list, as in `Connection: keep-alive, Upgrade`, contains `token`, ignoring case.
pub fn has_token<'a>(values: impl IntoIterator<Item = &'a str>, token: &str) -> bool {
    values.into_iter().flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Returns whether `key` is a valid `Sec-WebSocket-Key`: 16 bytes in base64.
pub fn is_valid_key(key: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    // The last digit before the padding carries two bits only.
    let has_valid_end = |digits: &str| digits.ends_with(['A', 'Q', 'g', 'w']);
    key.strip_suffix("==")
        .is_some_and(|digits| digits.len() == 22 && digits.bytes().all(is_digit) && has_valid_end(digits))
}

/// Returns whether `Sec-WebSocket-Extensions` offers compression that can be accepted with [`DEFLATE`].
pub fn offers_deflate<'a>(values: impl IntoIterator<Item = &'a str>) -> bool {
    values.into_iter().flat_map(|value| value.split(',')).take(OFFERS_MAX).any(is_acceptable)
}

fn is_acceptable(offer: &str) -> bool {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next().is_some_and(|name| name.eq_ignore_ascii_case("permessage-deflate")) {
        return false;
    }
    let mut seen: Vec<String> = Vec::new();
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim().to_ascii_lowercase(), Some(value.trim().trim_matches('"'))),
            None => (part.to_ascii_lowercase(), None),
        };
        let is_acceptable = match (name.as_str(), value) {
            ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => true,
            ("client_max_window_bits", Some(bits)) => bits.parse().is_ok_and(|bits: u8| (8..=15).contains(&bits)),
            ("server_max_window_bits", Some(bits)) => bits == WINDOW_BITS,
            _ => false,
        };
        if !is_acceptable || seen.contains(&name) {
            return false;
        }
        seen.push(name);
    }
    true
}
