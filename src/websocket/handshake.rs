//! What is agreed on before the first frame, read from the values of headers.

/// The answer to whoever offers compression that we take.
pub const DEFLATE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The window of the compressor, as a power of two: the only one it has.
const WINDOW_BITS: &str = "15";

/// Most offers looked at; browsers make one.
const OFFERS_MAX: usize = 8;

/// Whether a list of words, as in `Connection: keep-alive, Upgrade`, has this one in any case.
pub fn has_token<'a>(values: impl IntoIterator<Item = &'a str>, token: &str) -> bool {
    values.into_iter().flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}

/// Whether it is the base64 of 16 bytes.
pub fn is_key(key: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    // The last digit before the padding has two bits only.
    let ends = |digits: &str| digits.ends_with(['A', 'Q', 'g', 'w']);
    key.strip_suffix("==").is_some_and(|digits| digits.len() == 22 && digits.bytes().all(known) && ends(digits))
}

/// Whether one of the offers of `Sec-WebSocket-Extensions` is compression that can be answered with [`DEFLATE`].
pub fn takes_deflate<'a>(values: impl IntoIterator<Item = &'a str>) -> bool {
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
        let fits = match (name.as_str(), value) {
            ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => true,
            ("client_max_window_bits", Some(bits)) => bits.parse().is_ok_and(|bits: u8| (8..=15).contains(&bits)),
            ("server_max_window_bits", Some(bits)) => bits == WINDOW_BITS,
            _ => false,
        };
        if !fits || seen.contains(&name) {
            return false;
        }
        seen.push(name);
    }
    true
}
