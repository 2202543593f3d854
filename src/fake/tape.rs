//! The trade list of one market, and what can be asked of it.
//!
//! Bars of a minute are kept beside the list so that sums over a day are
//! cheap; prices of an instant are always read from the list itself.

use std::collections::VecDeque;

/// How long trades are kept, in ms.
pub const KEEP: i64 = 30 * 3_600_000;

/// Trades between two prunings.
const PRUNE_EVERY: u64 = 4096;

const MINUTE: i64 = 60_000;

/// One trade. Price and volume are in units of 10^-8, the time in Unix ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trade {
    /// When.
    pub at: i64,
    /// For how much.
    pub price: i64,
    /// How much of the base.
    pub volume: i64,
    /// Whether the taker sold.
    pub ask: bool,
    /// Counts up from 1 within the market.
    pub id: u64,
}

/// Sums over a stretch of trades. Volumes are in 10^-8, values in 10^-16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// When the minute of the first trade begins, in ms.
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
    pub volume: i128,
    /// Base volume of takers that sold.
    pub asks: i128,
    /// Quote volume.
    pub value: i128,
    /// Time of the last trade, in ms.
    pub last_at: i64,
    /// Id of the first trade.
    pub first_id: u64,
    /// Id of the last trade.
    pub last_id: u64,
}

impl Bar {
    /// Returns a stretch without trades, at a price.
    pub fn flat(start: i64, price: i64) -> Self {
        Self {
            start,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: 0,
            asks: 0,
            value: 0,
            last_at: start,
            first_id: 0,
            last_id: 0,
        }
    }

    /// Returns the stretch of one trade; it starts where the trade's minute does.
    pub fn of(trade: &Trade) -> Self {
        let volume = i128::from(trade.volume);
        Self {
            start: trade.at - trade.at.rem_euclid(MINUTE),
            open: trade.price,
            high: trade.price,
            low: trade.price,
            close: trade.price,
            volume,
            asks: if trade.ask { volume } else { 0 },
            value: volume * i128::from(trade.price),
            last_at: trade.at,
            first_id: trade.id,
            last_id: trade.id,
        }
    }

    /// Joins a later stretch to this one.
    pub fn join(&mut self, later: &Self) {
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        self.volume += later.volume;
        self.asks += later.asks;
        self.value += later.value;
        self.last_at = later.last_at;
        self.last_id = later.last_id;
    }
}

/// All trades of a market, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Tape {
    trades: VecDeque<Trade>,
    bars: VecDeque<Bar>,
    count: u64,
}

impl Tape {
    /// Writes a trade down; its time must not be before the last one's.
    pub fn push(&mut self, trade: Trade) {
        self.count += 1;
        let trade = Trade { id: self.count, ..trade };
        let bar = Bar::of(&trade);
        match self.bars.back_mut().filter(|last| last.start == bar.start) {
            Some(last) => last.join(&bar),
            None => self.bars.push_back(bar),
        }
        self.trades.push_back(trade);
        if self.count.is_multiple_of(PRUNE_EVERY) {
            self.prune(trade.at - KEEP);
        }
    }

    /// Returns the newest trade.
    pub fn last(&self) -> Option<&Trade> {
        self.trades.back()
    }

    /// Returns the newest trade at or before an instant.
    pub fn at(&self, at: i64) -> Option<&Trade> {
        self.trades.get(self.trades.partition_point(|trade| trade.at <= at).checked_sub(1)?)
    }

    /// Returns the newest trade before an instant.
    pub fn before(&self, at: i64) -> Option<&Trade> {
        self.at(at - 1)
    }

    /// Returns the trades with an id above `id`, oldest first, but at most the newest `most`.
    pub fn after_id(&self, id: u64, most: usize) -> impl Iterator<Item = &Trade> {
        let from = self.trades.partition_point(|trade| trade.id <= id);
        self.trades.range(from.max(self.trades.len().saturating_sub(most))..)
    }

    /// Returns every trade kept, oldest first.
    pub fn trades(&self) -> impl DoubleEndedIterator<Item = &Trade> {
        self.trades.iter()
    }

    /// Returns the trades from an instant on, oldest first.
    pub fn from(&self, at: i64) -> impl DoubleEndedIterator<Item = &Trade> {
        self.trades.range(self.trades.partition_point(|trade| trade.at < at)..)
    }

    /// Returns the bars of the minutes in `[from, to)`, oldest first; a minute without trades has none.
    pub fn bars(&self, from: i64, to: i64) -> impl DoubleEndedIterator<Item = &Bar> {
        let start = self.bars.partition_point(|bar| bar.start < from);
        let end = self.bars.partition_point(|bar| bar.start < to).max(start);
        self.bars.range(start..end)
    }

    /// Sums the trades from an instant on, itself included.
    pub fn since(&self, from: i64) -> Option<Bar> {
        let whole = from + (-from).rem_euclid(MINUTE);
        let first = self.trades.partition_point(|trade| trade.at < from);
        let edge = self.trades.range(first..).take_while(|trade| trade.at < whole).map(Bar::of);
        edge.chain(self.bars(whole, i64::MAX).copied()).reduce(|mut sum, bar| {
            sum.join(&bar);
            sum
        })
    }

    fn prune(&mut self, before: i64) {
        let before = before - before.rem_euclid(MINUTE);
        self.bars.drain(..self.bars.partition_point(|bar| bar.start < before));
        self.trades.drain(..self.trades.partition_point(|trade| trade.at < before));
    }
}
