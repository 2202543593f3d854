//! The change of a price against its base: computed exactly, rounded once.

use rust_decimal::Decimal;
use serde::Serialize;

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
