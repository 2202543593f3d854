//! Venue ids and market names: [`VenueId`] and [`Market`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::is_unprintable;

/// Maximum length of one side of a market name, in bytes of UTF-8.
///
/// Exchanges list names that are not ASCII (`币安人生`), so a name is opaque text.
pub const ASSET_BYTES_MAX: usize = 64;

/// The id of an exchange, in lower case: `upbit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct VenueId(pub &'static str);

impl VenueId {
    /// Returns the id as text.
    pub fn as_str(self) -> &'static str {
        self.0
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
