//! The Upbit family: Upbit, and Bithumb, whose current API is modelled on Upbit's.

use super::query::KST_OFFSET_HOURS;
use super::units::{java_double, plain8, with_point};

/// A venue of the Upbit family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpbitFamily {
    /// Upbit; its days begin at 00:00 UTC.
    Upbit,
    /// Bithumb; its days begin at 00:00 KST.
    Bithumb,
}

impl UpbitFamily {
    /// Returns the venue's id.
    pub fn id(self) -> &'static str {
        match self {
            Self::Upbit => "upbit",
            Self::Bithumb => "bithumb",
        }
    }

    /// Returns the offset from UTC, in hours, of its days and of times without an offset.
    pub fn utc_offset_hours(self) -> i8 {
        match self {
            Self::Upbit => 0,
            Self::Bithumb => KST_OFFSET_HOURS,
        }
    }

    /// Returns the same offset in ms.
    pub fn utc_offset_ms(self) -> i64 {
        i64::from(self.utc_offset_hours()) * 3_600_000
    }

    /// Formats a price in a REST response: `142187000.0` or `142187000`.
    pub fn format_price(self, units: i64) -> String {
        match self {
            Self::Upbit => with_point(units),
            Self::Bithumb => plain8(units),
        }
    }

    /// Formats a price in a stream frame: `1.42187E8` or `142187000`.
    pub fn format_stream_price(self, units: i64) -> String {
        match self {
            Self::Upbit => java_double(units),
            Self::Bithumb => plain8(units),
        }
    }
}
