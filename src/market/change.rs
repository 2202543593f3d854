//! The change of a price against its base, computed exactly and rounded once, and the [`Basis`] that says from when the
//! base is.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::Price;

/// Default number of decimal places of a percentage.
pub const PLACES_DEFAULT: u32 = 2;

/// Default jump limit in percent: a larger step from a live price has to be confirmed by a second source.
pub const JUMP_MAX_PERCENT: u32 = 20;

/// Maximum number of decimal places of a percentage.
pub const PLACES_MAX: u32 = 4;

/// Direction of the displayed percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Above the base.
    Rise,
    /// Displayed as zero.
    Even,
    /// Below the base.
    Fall,
}

impl Direction {
    /// Returns the word used in JSON and markup.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rise => "rise",
            Self::Even => "even",
            Self::Fall => "fall",
        }
    }
}

/// The difference between a price and its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// `(last - base) × 100 / base`, rounded half away from zero to the requested places.
    pub percent: Decimal,
    /// `last - base`, exact.
    pub amount: Decimal,
    /// Sign of the rounded `percent`, so that `0.00%` never has a direction.
    pub direction: Direction,
}

impl Change {
    /// Computes the change of `last` against `base`, rounded to `places` decimal places.
    ///
    /// Rounds only once, on the exact quotient: a rounded division followed by `round` would round twice. Returns `None` (unknown, never zero) if the exact figures have too many digits, or if `places`
    /// is above [`PLACES_MAX`].
    pub fn between(last: Price, base: Price, places: u32) -> Option<Self> {
        if places > PLACES_MAX {
            return None;
        }
        let (last, base) = (last.get().normalize(), base.get().normalize());
        let scale = last.scale().max(base.scale());
        let last = widen(last, scale)?;
        let base = widen(base, scale)?;
        let difference = last.checked_sub(base)?;

        let numerator = difference.checked_mul(10i128.checked_pow(2 + places)?)?;
        let (quotient, remainder) = (numerator / base, numerator % base);
        let away_from_zero = i128::from(remainder.unsigned_abs() >= base.unsigned_abs() - remainder.unsigned_abs());
        let rounded = quotient + away_from_zero * numerator.signum();

        let direction = match rounded.signum() {
            1 => Direction::Rise,
            0 => Direction::Even,
            _ => Direction::Fall,
        };
        Some(Self {
            percent: Decimal::try_from_i128_with_scale(rounded, places).ok()?,
            amount: Decimal::try_from_i128_with_scale(difference, scale).ok()?.normalize(),
            direction,
        })
    }
}

/// Returns the value in units of 10^-scale, or `None` if it exceeds 128 bits.
fn widen(value: Decimal, scale: u32) -> Option<i128> {
    value.mantissa().checked_mul(10i128.checked_pow(scale - value.scale())?)
}

/// The moment a change is measured from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Basis {
    /// Twenty-four hours ago, at minute resolution.
    #[default]
    #[serde(rename = "24h")]
    Rolling24h,
    /// The last midnight in UTC (09:00 in Seoul).
    #[serde(rename = "utc-day")]
    UtcDay,
    /// The last midnight in Seoul.
    #[serde(rename = "kst-day")]
    KstDay,
}

impl Basis {
    /// Every basis, in the order in which a [`Quote`](super::Quote) holds its bases.
    pub const ALL: [Self; 3] = [Self::Rolling24h, Self::UtcDay, Self::KstDay];

    /// Returns the word used in URLs, JSON and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rolling24h => "24h",
            Self::UtcDay => "utc-day",
            Self::KstDay => "kst-day",
        }
    }

    /// Returns the base time: the base price is the last trade before this instant.
    ///
    /// It is the start of a minute, the resolution of the window. Day boundaries come from the time-zone
    /// database, not from a fixed offset.
    pub fn base_time(self, now: Timestamp) -> Timestamp {
        let zone = match self {
            Self::Rolling24h => {
                let day_ago = now.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
                return super::Minute::of(day_ago).start();
            }
            Self::UtcDay => TimeZone::UTC,
            Self::KstDay => seoul(),
        };
        let local = zone.to_datetime(now);
        zone.to_timestamp(local.date().to_datetime(Time::midnight())).unwrap_or(Timestamp::MIN)
    }
}

fn seoul() -> TimeZone {
    // The database is bundled with the program, so the lookup succeeds. The fallback is Korea's offset since
    // 1988.
    TimeZone::get("Asia/Seoul").unwrap_or_else(|_| TimeZone::fixed(jiff::tz::offset(9)))
}

/// A text that is not the name of a basis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown basis {0:?}: use 24h, utc-day or kst-day")]
pub struct UnknownBasis(pub String);

impl FromStr for Basis {
    type Err = UnknownBasis;

    fn from_str(text: &str) -> Result<Self, UnknownBasis> {
        let known = Self::ALL.into_iter().find(|basis| basis.as_str() == text);
        known.ok_or_else(|| UnknownBasis(text.chars().take(32).collect()))
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
