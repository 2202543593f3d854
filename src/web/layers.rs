//! What many or all responses share: `OPTIONS`, headers, and compression, by middleware or of cached bodies.

use std::io::Write as _;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate};

/// Headers of every response of the API. The data is public and needs no credentials, so any origin may read it.
const API_HEADERS: [(HeaderName, &str); 7] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "ETag, Retry-After, X-Missing-Markets"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
];

/// Headers of every response, unless its route sets other values.
const SECURITY_HEADERS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

/// Header line by which a response with our security headers is recognised.
pub const OWN_RESPONSE_MARK: &str = "x-content-type-options: nosniff\r\n";

/// Methods allowed on every path.
pub const ALLOW: &str = "GET, HEAD, OPTIONS";

/// Shorter bodies, in bytes, are not worth compressing.
const COMPRESS_BYTES_MIN: usize = 256;

/// Brotli quality and window for short-lived bodies: about as fast as gzip, and smaller.
const BROTLI_QUICK: (i32, i32) = (4, 18);

/// Brotli quality and window for immutable bodies: the best, with the largest useful window.
const BROTLI_BEST: (i32, i32) = (11, 22);

/// Content coding, in the order preferred among equal weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Brotli.
    Br,
    /// Zstandard.
    Zstd,
    /// Gzip.
    Gzip,
}

/// Compression effort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// For bodies that are soon replaced.
    Quick,
    /// For bodies that are compressed once per process.
    Best,
}

/// Answers `OPTIONS` on every path, whether it exists or not, and adds the security headers to every response.
pub async fn options_and_security(request: Request, next: Next) -> Response {
    let mut response =
        if request.method() == Method::OPTIONS { options(request.headers()) } else { next.run(request).await };
    add_security_headers(response.headers_mut());
    response
}

/// Returns the security headers as lines of a response head.
pub fn security_lines() -> String {
    SECURITY_HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

/// Adds the security headers that a response lacks.
pub fn add_security_headers(headers: &mut HeaderMap) {
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Adds the API headers to a response of the API.
pub async fn api_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    add_api_headers(response.headers_mut());
    response
}

/// Adds the API headers to one response.
pub fn add_api_headers(headers: &mut HeaderMap) {
    for (name, value) in API_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Answers `OPTIONS`: health checks of proxies and CORS preflight requests.
///
/// Everything is public and takes no credentials, so any header is allowed. The requested names are echoed,
/// since `*` does not cover `Authorization` and older browsers take it for a literal name.
fn options(request_headers: &HeaderMap) -> Response {
    let any = HeaderValue::from_static("*");
    let allowed = request_headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or(&any).clone();
    let headers = [
        (header::ALLOW, ALLOW),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, ALLOW),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
        (header::VARY, "access-control-request-headers"),
    ];
    (StatusCode::NO_CONTENT, headers, [(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed)]).into_response()
}

/// Compresses responses with brotli or gzip where it pays off.
pub fn compression() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new().compress_when(DefaultPredicate::new())
}

impl Coding {
    /// Every coding, in the order of preference.
    pub const ALL: [Self; 3] = [Self::Br, Self::Zstd, Self::Gzip];

    /// Returns the name used in headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Br => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// Returns the value of `Content-Encoding`.
    pub fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// Negotiates the coding by `Accept-Encoding`; returns `None` for an uncompressed body.
    ///
    /// Weights and `*` are handled as in RFC 9110. A client that excludes every coding, `identity` included,
    /// gets the uncompressed body.
    pub fn negotiate(request_headers: &HeaderMap) -> Option<Self> {
        let mut weights: [Option<u16>; 3] = [None; 3];
        let (mut others, mut plain) = (0, None);
        for list in request_headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok()) {
            for entry in list.split(',') {
                let (name, weight) =
                    entry.split_once(';').map_or((entry, 1000), |(name, rest)| (name, parse_weight(rest)));
                let name = name.trim();
                let index = Self::ALL.iter().position(|coding| name.eq_ignore_ascii_case(coding.name()));
                match index {
                    Some(index) => weights[index] = Some(weight),
                    None if name == "*" => others = weight,
                    None if name.eq_ignore_ascii_case("identity") => plain = Some(weight),
                    None => {}
                }
            }
        }
        let mut best = (None, 0);
        for (coding, weight) in Self::ALL.into_iter().zip(weights) {
            let weight = weight.unwrap_or(others);
            if weight > best.1 {
                best = (Some(coding), weight);
            }
        }
        // The uncompressed body is preferred only if the client says so.
        if plain.is_some_and(|plain| plain > best.1) { None } else { best.0 }
    }

    /// Compresses a body; returns `None` if that would not make it smaller.
    pub fn compress(self, body: &[u8], effort: Effort) -> Option<Bytes> {
        if body.len() < COMPRESS_BYTES_MIN {
            return None;
        }
        let compressed = match self {
            Self::Br => brotli(body, effort),
            Self::Zstd => zstd::bulk::compress(body, if effort == Effort::Best { 19 } else { 3 }).ok(),
            Self::Gzip => gzip(body, effort),
        };
        compressed.filter(|compressed| compressed.len() < body.len()).map(Bytes::from)
    }
}

/// Parses the weight `q=0.8` as 800. An invalid weight counts as 1000, so that a typo does not exclude
/// a format.
pub fn parse_weight(parameters: &str) -> u16 {
    let named = parameters.split(';').map(str::trim).find_map(|one| one.strip_prefix("q=").or(one.strip_prefix("Q=")));
    let Some(text) = named else { return 1000 };
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{part:0<3}");
    match (whole, digits.get(..3).and_then(|digits| digits.parse::<u16>().ok())) {
        ("0", Some(part)) => part,
        _ => 1000,
    }
}

fn brotli(body: &[u8], effort: Effort) -> Option<Vec<u8>> {
    let (quality, lgwin) = if effort == Effort::Best { BROTLI_BEST } else { BROTLI_QUICK };
    let settings = brotli::enc::BrotliEncoderParams { quality, lgwin, size_hint: body.len(), ..Default::default() };
    let mut compressed = Vec::new();
    brotli::BrotliCompress(&mut &*body, &mut compressed, &settings).ok()?;
    Some(compressed)
}

fn gzip(body: &[u8], effort: Effort) -> Option<Vec<u8>> {
    let level = if effort == Effort::Best { flate2::Compression::best() } else { flate2::Compression::new(4) };
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 3), level);
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_weight_is_chosen() {
        for (accept, expected) in [
            ("", None),
            ("gzip", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Br)),
            ("gzip, zstd", Some(Coding::Zstd)),
            ("br;q=0.5, gzip;q=0.8", Some(Coding::Gzip)),
            ("BR;Q=0, GZIP", Some(Coding::Gzip)),
            ("br;q=0", None),
            ("br; q=0.000, gzip;q=0.0", None),
            ("br;q=0.001", Some(Coding::Br)),
            ("*", Some(Coding::Br)),
            ("br;q=0, *;q=0.3", Some(Coding::Zstd)),
            ("identity", None),
            ("identity;q=1, gzip;q=0.5", None),
            ("identity;q=0", None),
            ("identity;q=0, gzip;q=0.1", Some(Coding::Gzip)),
            ("*;q=0", None),
            ("br;q=x", Some(Coding::Br)),
            ("br;q=1.0;x=y , gzip", Some(Coding::Br)),
            ("brx, xgzip, ,;q=1", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));
            assert_eq!(Coding::negotiate(&headers), expected, "{accept}");
        }
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static("br;q=0.2"));
        assert_eq!(Coding::negotiate(&headers), Some(Coding::Gzip));
    }

    #[test]
    fn a_body_that_does_not_shrink_is_not_compressed() {
        for coding in Coding::ALL {
            assert!(coding.compress(b"short", Effort::Quick).is_none());
            let noise: Vec<u8> = (0..1000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            assert!(coding.compress(&noise, Effort::Quick).is_none_or(|compressed| compressed.len() < noise.len()));
            assert!(coding.compress(&[b'a'; 5000], Effort::Best).unwrap().len() < 100);
        }
    }
}
