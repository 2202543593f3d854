//! Which compression an asker takes, and the compressing.

use std::io::Write as _;

use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;

/// A body shorter than this is sent as it is, in bytes: nothing would be won.
const WORTH_BYTES: usize = 256;

/// Brotli's quality and window for what lives for a second: about as long as gzip takes, and smaller.
const BROTLI_QUICK: (i32, i32) = (4, 18);

/// Brotli's best and its largest useful window, for what never changes.
const BROTLI_BEST: (i32, i32) = (11, 22);

/// A compression, the preferred one first where an asker likes several alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Brotli.
    Br,
    /// Zstandard.
    Zstd,
    /// Gzip.
    Gzip,
}

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// For what is soon replaced.
    Quick,
    /// For what is compressed once in the life of the process.
    Best,
}

impl Coding {
    /// Every coding, in the order of preference.
    pub const ALL: [Self; 3] = [Self::Br, Self::Zstd, Self::Gzip];

    /// Returns its name in headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Br => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// Returns the header that names it.
    pub fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// Returns the one that an asker likes best, or `None` for the body as it is.
    ///
    /// Weights are those of RFC 9110, `*` among them. Who refuses everything,
    /// the plain body too, gets the plain body all the same.
    pub fn of(asked: &HeaderMap) -> Option<Self> {
        let mut weights: [Option<u16>; 3] = [None; 3];
        let (mut others, mut plain) = (0, None);
        for list in asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok()) {
            for entry in list.split(',') {
                let (name, weight) =
                    entry.split_once(';').map_or((entry, 1000), |(name, rest)| (name, thousandths(rest)));
                let name = name.trim();
                let known = Self::ALL.iter().position(|coding| name.eq_ignore_ascii_case(coding.name()));
                match known {
                    Some(place) => weights[place] = Some(weight),
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
        // Only who says so likes the plain body better.
        if plain.is_some_and(|plain| plain > best.1) { None } else { best.0 }
    }

    /// Compresses a body; `None` where that would not make it smaller.
    pub fn pack(self, body: &[u8], effort: Effort) -> Option<Bytes> {
        if body.len() < WORTH_BYTES {
            return None;
        }
        let packed = match self {
            Self::Br => brotli(body, effort),
            Self::Zstd => zstd::bulk::compress(body, if effort == Effort::Best { 19 } else { 3 }).ok(),
            Self::Gzip => gzip(body, effort),
        };
        packed.filter(|packed| packed.len() < body.len()).map(Bytes::from)
    }
}

/// Reads `q=0.8` as 800. What can't be read is 1000: a mistake is no refusal.
pub fn thousandths(parameters: &str) -> u16 {
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
    let mut packed = Vec::new();
    brotli::BrotliCompress(&mut &*body, &mut packed, &settings).ok()?;
    Some(packed)
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
    fn weights_choose() {
        for (said, chosen) in [
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
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(said));
            assert_eq!(Coding::of(&headers), chosen, "{said}");
        }
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static("br;q=0.2"));
        assert_eq!(Coding::of(&headers), Some(Coding::Gzip));
    }

    #[test]
    fn what_gets_no_smaller_stays_as_it_is() {
        for coding in Coding::ALL {
            assert!(coding.pack(b"short", Effort::Quick).is_none());
            let noise: Vec<u8> = (0..1000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            assert!(coding.pack(&noise, Effort::Quick).is_none_or(|packed| packed.len() < noise.len()));
            assert!(coding.pack(&[b'a'; 5000], Effort::Best).unwrap().len() < 100);
        }
    }
}
