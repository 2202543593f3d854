//! The trade log of one market, and queries of it.
//!
//! Minute candles are kept beside the log so that sums over a day are cheap; the price at an instant is read from the
//! log itself. Of older minutes there are only candles: their last trade is known, others are not.

use std::collections::VecDeque;

use super::older_candles::OlderCandles;
pub use super::trade::{Ohlcv, Trade};

/// Retention of single trades, in ms; minute candles are kept longer by the span of the older ones.
pub const RETENTION: i64 = 30 * 3_600_000;

/// Number of trades after which the log is pruned.
const PRUNE_EVERY: u64 = 1024;

const MINUTE: i64 = 60_000;

/// All trades of a market, oldest first.
#[derive(Debug, Clone, Default)]
pub struct TradeLog {
    trades: VecDeque<Trade>,
    /// Minute candles of these trades and of those that were dropped since the start; a minute without trades has none.
    minutes: VecDeque<Ohlcv>,
    /// The candles of the minutes before these.
    older: Option<OlderCandles>,
    /// Unix ms before which candles are no longer retained.
    retained_from: Option<i64>,
    /// Id of the newest trade.
    last_id: u64,
}

impl TradeLog {
    /// Creates a log that continues `older` candles.
    pub fn after(older: OlderCandles) -> Self {
        Self { last_id: older.last_id(), older: Some(older), ..Self::default() }
    }

    /// Appends a trade and numbers it; its time must not be before that of the previous one.
    pub fn push(&mut self, trade: Trade) {
        self.last_id += 1;
        let trade = Trade { id: self.last_id, ..trade };
        let minute = Ohlcv::of_trade(&trade);
        match self.minutes.back_mut().filter(|last| last.start == minute.start) {
            Some(last) => last.append(&minute),
            None => self.minutes.push_back(minute),
        }
        self.trades.push_back(trade);
        if self.last_id.is_multiple_of(PRUNE_EVERY) {
            self.prune(trade.at - RETENTION);
        }
    }

    /// Returns the newest trade.
    pub fn last(&self) -> Option<&Trade> {
        self.trades.back()
    }

    /// Returns the newest known trade at or before an instant. If only its candle is retained, its volume is 0.
    pub fn at_or_before(&self, at: i64) -> Option<Trade> {
        if let Some(index) = self.trades.partition_point(|trade| trade.at <= at).checked_sub(1) {
            return self.trades.get(index).copied();
        }
        let candles = self.minute_candles(i64::MIN, at.saturating_add(1));
        let candle = candles.rev().find(|candle| candle.last_at <= at)?;
        Some(Trade { at: candle.last_at, price: candle.close, base_volume: 0, taker_sold: false, id: candle.last_id })
    }

    /// Returns the newest known trade before an instant, as [`Self::at_or_before`].
    pub fn before(&self, at: i64) -> Option<Trade> {
        self.at_or_before(at - 1)
    }

    /// Returns the newest trades with an id above `id`, at most `limit`, oldest first.
    pub fn after_id(&self, id: u64, limit: usize) -> impl Iterator<Item = &Trade> {
        let from = self.trades.partition_point(|trade| trade.id <= id);
        self.trades.range(from.max(self.trades.len().saturating_sub(limit))..)
    }

    /// Returns all single trades retained, oldest first.
    pub fn trades(&self) -> impl DoubleEndedIterator<Item = &Trade> {
        self.trades.iter()
    }

    /// Returns the single trades at or after an instant, oldest first.
    pub fn trades_since(&self, at: i64) -> impl DoubleEndedIterator<Item = &Trade> {
        self.trades.range(self.trades.partition_point(|trade| trade.at < at)..)
    }

    /// Returns the minute candles that start in `[from, to)`, oldest first; a minute without trades has none.
    pub fn minute_candles(&self, from: i64, to: i64) -> impl DoubleEndedIterator<Item = &Ohlcv> {
        let from = self.retained_from.map_or(from, |retained| from.max(retained));
        let start = self.minutes.partition_point(|minute| minute.start < from);
        let end = self.minutes.partition_point(|minute| minute.start < to).max(start);
        // The older ones are made only if the iterator reaches them.
        let older = self.older.iter().filter(move |_| start == 0).flat_map(move |older| {
            let candles = older.all();
            let start = candles.partition_point(|minute| minute.start < from);
            candles[start..].iter().take(candles.partition_point(|minute| minute.start < to).saturating_sub(start))
        });
        older.chain(self.minutes.range(start..end))
    }

    /// Returns the minutes that start from `from` to `to` (Unix ms, both included), oldest first. One without trades is
    /// flat at the price before it; those before the first price are left out.
    pub fn contiguous_minutes(&self, from: i64, to: i64) -> impl Iterator<Item = Ohlcv> {
        let from = from.saturating_add((MINUTE - from.rem_euclid(MINUTE)) % MINUTE);
        let mut traded = self.minute_candles(from, i64::MAX).peekable();
        let mut close = self.at_or_before(from.saturating_sub(1)).map(|trade| trade.price);
        let mut start = close.map(|_| from).or_else(|| traded.peek().map(|minute| minute.start));
        std::iter::from_fn(move || {
            let at = start.filter(|at| *at <= to)?;
            let flat = close.map(|price| Ohlcv::flat(at, price));
            let candle = traded.next_if(|minute| minute.start == at).copied().or(flat)?;
            (start, close) = (at.checked_add(MINUTE), Some(candle.close));
            Some(candle)
        })
    }

    /// Returns start and close of each minute that had trades, oldest first: from single trades as far as they are
    /// retained, from candles before that.
    pub fn minute_closes(&self) -> Vec<(i64, i64)> {
        let retained_from = self.retained_from.unwrap_or(i64::MIN);
        let mut closes = self.older.as_ref().map_or_else(Vec::new, OlderCandles::closes);
        closes.retain(|(start, _)| *start >= retained_from);
        let first = self.trades.front().map_or(i64::MAX, |trade| trade.at - trade.at.rem_euclid(MINUTE));
        let candles = self.minutes.iter().take_while(|minute| minute.start < first);
        closes.extend(candles.map(|minute| (minute.start, minute.close)));
        for trade in &self.trades {
            let start = trade.at - trade.at.rem_euclid(MINUTE);
            match closes.last_mut().filter(|(last, _)| *last == start) {
                Some((_, close)) => *close = trade.price,
                None => closes.push((start, trade.price)),
            }
        }
        closes
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
        let trades_from = before - before.rem_euclid(MINUTE);
        let candles_from = trades_from - self.older.as_ref().map_or(0, OlderCandles::length);
        self.trades.drain(..self.trades.partition_point(|trade| trade.at < trades_from));
        let dropped = self.minutes.partition_point(|minute| minute.start < candles_from);
        self.minutes.drain(..dropped);
        self.retained_from = Some(candles_from);
    }
}
