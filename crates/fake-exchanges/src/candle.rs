//! Candles of any length, aggregated from a trade log: where they begin, and their contents.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use super::trade_log::{Ohlcv, TradeLog};

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// From the epoch, a Thursday, to the next Monday, in ms.
const TO_MONDAY: i64 = 4 * DAY;

/// The boundaries of candles of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    /// Every `length` ms, aligned to `shift`.
    Every {
        /// Length in ms.
        length: i64,
        /// Start of any one of them, in Unix ms.
        shift: i64,
    },
    /// On the first of a month, at the offset `hours` from UTC.
    Months {
        /// Length in months: 1, or 12 for years.
        count: i8,
        /// Offset from UTC in hours.
        hours: i8,
    },
}

impl Grid {
    /// Returns the grid of candles of `length` ms, aligned to midnight at the offset `hours` from UTC.
    pub fn every(length: i64, hours: i8) -> Self {
        Self::Every { length, shift: -i64::from(hours) * 3_600_000 }
    }

    /// Returns the grid of weekly candles, from Monday at the offset `hours` from UTC.
    pub fn weeks(hours: i8) -> Self {
        Self::Every { length: 7 * DAY, shift: TO_MONDAY - i64::from(hours) * 3_600_000 }
    }

    /// Returns the start of the candle that contains an instant.
    pub fn start(self, at: i64) -> i64 {
        match self {
            Self::Every { length, shift } => at - (at - shift).rem_euclid(length),
            Self::Months { count, hours } => {
                let first = first_of_month(at, count, hours);
                first.map_or(at, |first| instant(first, hours))
            }
        }
    }

    /// Returns the start of the candle after the one that begins at `start`.
    pub fn next(self, start: i64) -> i64 {
        match self {
            Self::Every { length, .. } => start + length,
            // 31 days per month always lands in the next candle, never in the one after it.
            Self::Months { count, .. } => self.start(start + i64::from(count) * 31 * DAY),
        }
    }

    fn is_below_a_minute(self) -> bool {
        matches!(self, Self::Every { length, .. } if length < MINUTE)
    }
}

fn first_of_month(at: i64, count: i8, hours: i8) -> Option<Date> {
    let date = Offset::constant(hours).to_datetime(Timestamp::from_millisecond(at).ok()?).date();
    Date::new(date.year(), date.month() - (date.month() - 1) % count, 1).ok()
}

fn instant(date: Date, hours: i8) -> i64 {
    let midnight = Offset::constant(hours).to_timestamp(date.at(0, 0, 0, 0));
    midnight.map_or(0, Timestamp::as_millisecond)
}

/// Returns the parts that candles are joined from, with their times, oldest first: minute candles, or single
/// trades for candles below a minute.
fn parts(trade_log: &TradeLog, grid: Grid, from: i64) -> Box<dyn DoubleEndedIterator<Item = (i64, Ohlcv)> + '_> {
    if grid.is_below_a_minute() {
        return Box::new(trade_log.trades_since(from).map(|trade| (trade.at, Ohlcv::of_trade(trade))));
    }
    Box::new(trade_log.minute_candles(from, i64::MAX).map(|minute| (minute.start, *minute)))
}

/// Returns the candles that have trades, newest first, each with its own start in [`Ohlcv::start`].
pub fn newest_first(trade_log: &TradeLog, grid: Grid) -> impl Iterator<Item = Ohlcv> + '_ {
    let mut parts = parts(trade_log, grid, i64::MIN).rev().peekable();
    std::iter::from_fn(move || {
        let (at, mut candle) = parts.next()?;
        let start = grid.start(at);
        while let Some((_, mut earlier)) = parts.next_if(|(at, _)| *at >= start) {
            earlier.append(&candle);
            candle = earlier;
        }
        Some(Ohlcv { start, ..candle })
    })
}

/// Returns at most `limit` candles, from the one that begins at `from` to the one that begins at `to`, oldest
/// first and without gaps: a candle without trades is flat at the price before it and has no ids.
pub fn contiguous(trade_log: &TradeLog, grid: Grid, (from, to): (i64, i64), limit: usize) -> Vec<Ohlcv> {
    let mut parts = parts(trade_log, grid, from).peekable();
    let mut close = trade_log.before(from).map(|trade| trade.price);
    let mut candles = Vec::new();
    let mut start = from;
    while start <= to && candles.len() < limit {
        let end = grid.next(start);
        let mut candle: Option<Ohlcv> = None;
        while let Some((_, part)) = parts.next_if(|(at, _)| *at < end) {
            match &mut candle {
                Some(candle) => candle.append(&part),
                None => candle = Some(part),
            }
        }
        let candle = candle.or(close.map(|price| Ohlcv::flat(start, price)));
        close = candle.map(|candle| candle.close);
        candles.extend(candle.map(|candle| Ohlcv { start, ..candle }));
        start = end;
    }
    candles
}
