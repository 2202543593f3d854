//! The trade log of one market, and queries of it.
//!
//! Minute candles are kept beside the log so that sums over a day are cheap; the price at an instant is always
//! read from the log itself.

use std::collections::VecDeque;

/// Retention of trades, in ms.
pub const RETENTION: i64 = 30 * 3_600_000;

/// Number of trades after which the log is pruned.
const PRUNE_EVERY: u64 = 4096;

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

/// All trades of a market, oldest first.
#[derive(Debug, Clone, Default)]
pub struct TradeLog {
    trades: VecDeque<Trade>,
    /// Minute candles; a minute without trades has none.
    minutes: VecDeque<Ohlcv>,
    count: u64,
}

impl TradeLog {
    /// Appends a trade and numbers it; its time must not be before that of the previous one.
    pub fn push(&mut self, trade: Trade) {
        self.count += 1;
        let trade = Trade { id: self.count, ..trade };
        let minute = Ohlcv::of_trade(&trade);
        match self.minutes.back_mut().filter(|last| last.start == minute.start) {
            Some(last) => last.append(&minute),
            None => self.minutes.push_back(minute),
        }
        self.trades.push_back(trade);
        if self.count.is_multiple_of(PRUNE_EVERY) {
            self.prune(trade.at - RETENTION);
        }
    }

    /// Returns the newest trade.
    pub fn last(&self) -> Option<&Trade> {
        self.trades.back()
    }

    /// Returns the newest trade at or before an instant.
    pub fn at_or_before(&self, at: i64) -> Option<&Trade> {
        self.trades.get(self.trades.partition_point(|trade| trade.at <= at).checked_sub(1)?)
    }

    /// Returns the newest trade before an instant.
    pub fn before(&self, at: i64) -> Option<&Trade> {
        self.at_or_before(at - 1)
    }

    /// Returns the newest trades with an id above `id`, at most `limit`, oldest first.
    pub fn after_id(&self, id: u64, limit: usize) -> impl Iterator<Item = &Trade> {
        let from = self.trades.partition_point(|trade| trade.id <= id);
        self.trades.range(from.max(self.trades.len().saturating_sub(limit))..)
    }

    /// Returns all trades retained, oldest first.
    pub fn trades(&self) -> impl DoubleEndedIterator<Item = &Trade> {
        self.trades.iter()
    }

    /// Returns the trades at or after an instant, oldest first.
    pub fn trades_since(&self, at: i64) -> impl DoubleEndedIterator<Item = &Trade> {
        self.trades.range(self.trades.partition_point(|trade| trade.at < at)..)
    }

    /// Returns the minute candles that start in `[from, to)`, oldest first; a minute without trades has none.
    pub fn minute_candles(&self, from: i64, to: i64) -> impl DoubleEndedIterator<Item = &Ohlcv> {
        let start = self.minutes.partition_point(|minute| minute.start < from);
        let end = self.minutes.partition_point(|minute| minute.start < to).max(start);
        self.minutes.range(start..end)
    }

    /// Returns the sums of the trades at or after an instant, or `None` if there are none.
    pub fn ohlcv_since(&self, from: i64) -> Option<Ohlcv> {
        let whole = from + (-from).rem_euclid(MINUTE);
        let first = self.trades.partition_point(|trade| trade.at < from);
        let edge = self.trades.range(first..).take_while(|trade| trade.at < whole).map(Ohlcv::of_trade);
        edge.chain(self.minute_candles(whole, i64::MAX).copied()).reduce(|mut sum, bar| {
            sum.append(&bar);
            sum
        })
    }

    fn prune(&mut self, before: i64) {
        let before = before - before.rem_euclid(MINUTE);
        self.minutes.drain(..self.minutes.partition_point(|minute| minute.start < before));
        self.trades.drain(..self.trades.partition_point(|trade| trade.at < before));
    }
}
