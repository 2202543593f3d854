//! Venue ids and market names: [`VenueId`] and [`Market`], and the characters that names and messages from outside must
//! not contain.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Maximum length of one side of a market name, in bytes of UTF-8.
///
/// Exchanges list names that are not ASCII (`币安人生`), so a name is opaque text.
pub const ASSET_BYTES_MAX: usize = 64;

/// Maximum length of a venue id, in bytes.
const VENUE_ID_BYTES_MAX: usize = 32;

/// The id of an exchange, in lower case: `upbit`.
///
/// An id that is not known at compile time is parsed from text. Each different one is kept until the program ends, so
/// only text from the operator may be parsed, never text from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct VenueId(pub &'static str);

/// A text that is not a venue id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no exchange id: 1 to {VENUE_ID_BYTES_MAX} characters of a to z, 0 to 9 and _, the first a letter")]
pub struct VenueIdError(String);

impl VenueId {
    /// Returns the id as text.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl FromStr for VenueId {
    type Err = VenueIdError;

    fn from_str(text: &str) -> Result<Self, VenueIdError> {
        static PARSED: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_id = text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(is_allowed);
        if !is_id || text.len() > VENUE_ID_BYTES_MAX {
            return Err(VenueIdError(text.chars().take(VENUE_ID_BYTES_MAX).collect()));
        }
        let mut parsed = PARSED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = parsed.get(text).copied();
        let id = known.unwrap_or_else(|| Box::leak(text.into()));
        parsed.insert(id);
        Ok(Self(id))
    }
}

impl fmt::Display for VenueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A base asset priced in a quote asset, written `BTC-KRW`.
///
/// The name does not depend on a venue's own symbol. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Market {
    text: Arc<str>,
    dash: u8,
}

/// Why a text is not a market name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarketError {
    /// There is no `-` between base and quote.
    #[error("market {0:?} is not of the form BASE-QUOTE")]
    NoDash(String),
    /// One side is empty, too long, or contains white space, unprintable characters or a dash.
    #[error(
        "market side {0:?} is empty, over {ASSET_BYTES_MAX} bytes, or has white space, unprintable characters or a dash"
    )]
    Side(String),
}

impl Market {
    /// Creates a market from a base and a quote asset; ASCII letters become upper case.
    ///
    /// # Errors
    /// [`MarketError::Side`] if either name is invalid.
    pub fn new(base: &str, quote: &str) -> Result<Self, MarketError> {
        for side in [base, quote] {
            let unusable = |c: char| c.is_whitespace() || c == '-' || is_unprintable(c);
            if side.is_empty() || side.len() > ASSET_BYTES_MAX || side.chars().any(unusable) {
                return Err(MarketError::Side(side.chars().take(ASSET_BYTES_MAX).collect()));
            }
        }
        let text = format!("{}-{}", base.to_ascii_uppercase(), quote.to_ascii_uppercase());
        // A side is at most ASSET_BYTES_MAX long, so its length fits a byte.
        Ok(Self { text: text.into(), dash: u8::try_from(base.len()).unwrap_or(u8::MAX) })
    }

    /// Returns the base asset: `BTC` of `BTC-KRW`.
    pub fn base(&self) -> &str {
        &self.text[..usize::from(self.dash)]
    }

    /// Returns the quote asset, which the price is in: `KRW` of `BTC-KRW`.
    pub fn quote(&self) -> &str {
        &self.text[usize::from(self.dash) + 1..]
    }

    /// Returns the whole name.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Market {
    type Err = MarketError;

    fn from_str(text: &str) -> Result<Self, MarketError> {
        let (base, quote) =
            text.split_once('-').ok_or_else(|| MarketError::NoDash(text.chars().take(ASSET_BYTES_MAX).collect()))?;
        Self::new(base, quote)
    }
}

impl fmt::Display for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Market {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Market {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Returns whether a character is invisible or changes how its neighbours are rendered.
///
/// These are control characters, line and paragraph separators, bidirectional controls, fillers, tags and
/// other invisible format characters, and noncharacters.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fdd0}'..='\u{fdef}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{fffe}'
                | '\u{ffff}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Replaces unprintable characters with escapes, so that they can neither forge nor hide a log line.
pub fn escape_unprintable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unprintable(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fc_17_a_line_of_a_log_can_not_be_forged_or_hidden() {
        let hostile = "a\0b\nc\u{1b}[2Jd\u{202e}e\u{2066}f\u{2028}g";
        let line = escape_unprintable(hostile);
        assert!(!line.chars().any(is_unprintable), "{line}");
        assert_eq!(line, r"a\u{0}b\nc\u{1b}[2Jd\u{202e}e\u{2066}f\u{2028}g");
        for plain in ["비트코인 캐시", "ビットコイン", "币安人生", "ביטקוין", "Bitcoin (BTC) – 1,000.5%", "😀"]
        {
            assert_eq!(escape_unprintable(plain), plain);
        }
    }
}
