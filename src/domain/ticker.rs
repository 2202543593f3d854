//! A venue's newest figures for one market.

use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;

use super::Price;

/// What one ticker message says; everything but `last` may be absent.
///
/// Absent means "not said", never zero: the figure said before stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticker {
    /// Price of the last trade.
    pub last: Price,
    /// The venue's time of the last trade, where it says so.
    pub traded_at: Option<Timestamp>,
    /// The venue's time of the message, where it says so.
    pub sent_at: Option<Timestamp>,
    /// The venue's number of the last trade, where it counts them up.
    pub trade_id: Option<u64>,
    /// Highest price of the rolling 24 hours (not of a calendar day).
    pub high_24h: Option<Price>,
    /// Lowest price of the rolling 24 hours (not of a calendar day).
    pub low_24h: Option<Price>,
    /// Volume of the rolling 24 hours in the base asset.
    pub base_volume_24h: Option<Decimal>,
    /// Volume of the rolling 24 hours in the quote asset.
    pub quote_volume_24h: Option<Decimal>,
    /// The price 24 hours ago, only from a venue that documents a rolling 24 hours.
    pub base_24h: Option<Price>,
    /// Whether the venue says that the market does not trade.
    pub halted: Option<bool>,
    /// Whether that is because it is delisted.
    pub delisted: bool,
    /// Whether the venue warns of the market.
    pub warning: Option<bool>,
    /// The announced day of delisting; `Some(None)` where the venue says that there is none.
    pub delisting: Option<Option<Date>>,
}

impl Ticker {
    /// A ticker that says only a price.
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

    /// Returns the venue's best word on when this price held: the trade, else the message.
    pub fn venue_time(&self) -> Option<Timestamp> {
        self.traded_at.or(self.sent_at)
    }
}
