//! What a venue reports of one market: its latest figures, and one-minute candles.

use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;

use super::{Minute, Price};

/// The contents of one ticker message; every field except `last` is optional.
///
/// `None` means "not reported", never zero: the previously reported value stays in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticker {
    /// Price of the last trade.
    pub last: Price,
    /// Venue time of the last trade, if reported.
    pub traded_at: Option<Timestamp>,
    /// Venue time of the message, if reported.
    pub sent_at: Option<Timestamp>,
    /// The venue's id of the last trade, if its trades are numbered in ascending order.
    pub trade_id: Option<u64>,
    /// Highest price of the rolling 24 hours (not of a calendar day).
    pub high_24h: Option<Price>,
    /// Lowest price of the rolling 24 hours (not of a calendar day).
    pub low_24h: Option<Price>,
    /// Volume of the rolling 24 hours in the base asset.
    pub base_volume_24h: Option<Decimal>,
    /// Volume of the rolling 24 hours in the quote asset.
    pub quote_volume_24h: Option<Decimal>,
    /// Price 24 hours ago; only from venues that document it as rolling 24 hours.
    pub base_24h: Option<Price>,
    /// Whether the venue reports that the market does not trade.
    pub halted: Option<bool>,
    /// Whether the market is halted because it was delisted.
    pub delisted: bool,
    /// Whether the venue has a warning in force for the market.
    pub warning: Option<bool>,
    /// Announced delisting date; `Some(None)` if the venue reports that there is none.
    pub delisting: Option<Option<Date>>,
}

impl Ticker {
    /// Returns a ticker with a price and nothing else.
    pub fn new(last: Price) -> Self {
        Self {
            last,
            traded_at: None,
            sent_at: None,
            trade_id: None,
            high_24h: None,
            low_24h: None,
            base_volume_24h: None,
            quote_volume_24h: None,
            base_24h: None,
            halted: None,
            delisted: false,
            warning: None,
            delisting: None,
        }
    }

    /// Returns the best known venue time of this price: that of the trade, else that of the message.
    pub fn venue_time(&self) -> Option<Timestamp> {
        self.traded_at.or(self.sent_at)
    }
}

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
