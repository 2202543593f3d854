//! What Upbit and Bithumb have in common, and in what they differ: Bithumb took over Upbit's words.

use super::query::KOREA;
use super::units::{java, plain8, pointed};

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Korean {
    /// Days begin at 00:00 UTC.
    Upbit,
    /// Days begin at 00:00 in Korea.
    Bithumb,
}

impl Korean {
    /// Returns the venue's id.
    pub fn venue(self) -> &'static str {
        match self {
            Self::Upbit => "upbit",
            Self::Bithumb => "bithumb",
        }
    }

    /// Returns how many hours ahead of UTC its days begin, and its times without an offset are.
    pub fn hours(self) -> i8 {
        match self {
            Self::Upbit => 0,
            Self::Bithumb => KOREA,
        }
    }

    /// Returns the same in ms.
    pub fn offset(self) -> i64 {
        i64::from(self.hours()) * 3_600_000
    }

    /// Spells a price in an answer over REST: `142187000.0` or `142187000`.
    pub fn price(self, units: i64) -> String {
        match self {
            Self::Upbit => pointed(units),
            Self::Bithumb => plain8(units),
        }
    }

    /// Spells a price in a frame: `1.42187E8` or `142187000`.
    pub fn streamed(self, units: i64) -> String {
        match self {
            Self::Upbit => java(units),
            Self::Bithumb => plain8(units),
        }
    }
}
