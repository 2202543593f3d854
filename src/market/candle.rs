//! One-minute candles.

use rust_decimal::Decimal;

use super::{Minute, Price};

/// Open, high, low, close and volume of one minute with at least one trade (or, if the venue fills quiet
/// minutes itself, a flat copy of the previous close).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candle {
    /// The minute, identified by its start.
    pub minute: Minute,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price: the *minute close*.
    pub close: Price,
    /// Volume in the base asset, if reported.
    pub base_volume: Option<Decimal>,
    /// Volume in the quote asset, if reported.
    pub quote_volume: Option<Decimal>,
}

/// A candle whose prices contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("candle has open or close outside its low and high")]
pub struct CandleError;

impl Candle {
    /// Returns the candle if low ≤ open, close ≤ high.
    ///
    /// # Errors
    /// [`CandleError`] otherwise: the row was misread or is corrupt.
    pub fn checked(self) -> Result<Self, CandleError> {
        let inside = |price: Price| self.low <= price && price <= self.high;
        if inside(self.open) && inside(self.close) { Ok(self) } else { Err(CandleError) }
    }
}
