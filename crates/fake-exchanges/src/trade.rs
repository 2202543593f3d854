//! A trade, and the figures of a span of trades.

use super::units::plain;

const MINUTE: i64 = 60_000;

/// One trade. Price and volume are in units of 10^-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trade {
    /// Time in Unix ms.
    pub at: i64,
    /// Price.
    pub price: i64,
    /// Base volume.
    pub base_volume: i64,
    /// Whether the taker sold.
    pub taker_sold: bool,
    /// Number of the trade within the market, from 1.
    pub id: u64,
}

/// Open, high, low, close and volumes of a span of trades. Prices and base volumes are in units of 10^-8, the
/// quote volume in 10^-16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ohlcv {
    /// Start of the span in Unix ms; by default that of the minute of the first trade.
    pub start: i64,
    /// Price of the first trade.
    pub open: i64,
    /// Highest price.
    pub high: i64,
    /// Lowest price.
    pub low: i64,
    /// Price of the last trade.
    pub close: i64,
    /// Base volume.
    pub base_volume: i128,
    /// Base volume of trades in which the taker sold.
    pub sold_volume: i128,
    /// Quote volume.
    pub quote_volume: i128,
    /// Time of the last trade, in Unix ms.
    pub last_at: i64,
    /// Id of the first trade.
    pub first_id: u64,
    /// Id of the last trade.
    pub last_id: u64,
}

impl Ohlcv {
    /// Returns a span without trades, flat at a price.
    pub fn flat(start: i64, price: i64) -> Self {
        Self {
            start,
            open: price,
            high: price,
            low: price,
            close: price,
            base_volume: 0,
            sold_volume: 0,
            quote_volume: 0,
            last_at: start,
            first_id: 0,
            last_id: 0,
        }
    }

    /// Returns a span of one trade that starts with the trade's minute.
    pub fn of_trade(trade: &Trade) -> Self {
        let volume = i128::from(trade.base_volume);
        Self {
            start: trade.at - trade.at.rem_euclid(MINUTE),
            open: trade.price,
            high: trade.price,
            low: trade.price,
            close: trade.price,
            base_volume: volume,
            sold_volume: if trade.taker_sold { volume } else { 0 },
            quote_volume: volume * i128::from(trade.price),
            last_at: trade.at,
            first_id: trade.id,
            last_id: trade.id,
        }
    }

    /// Returns the base volume as text, without trailing zeros.
    pub fn base_volume_text(&self) -> String {
        plain(self.base_volume, 8)
    }

    /// Returns the quote volume as text with at most eight decimal places, without trailing zeros.
    pub fn quote_volume_text(&self) -> String {
        plain(self.quote_volume / 100_000_000, 8)
    }

    /// Returns the number of trades.
    pub fn trade_count(&self) -> u64 {
        if self.last_id == 0 { 0 } else { self.last_id - self.first_id + 1 }
    }

    /// Appends a later span to this one.
    pub fn append(&mut self, later: &Self) {
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        self.base_volume += later.base_volume;
        self.sold_volume += later.sold_volume;
        self.quote_volume += later.quote_volume;
        self.last_at = later.last_at;
        self.last_id = later.last_id;
    }
}
