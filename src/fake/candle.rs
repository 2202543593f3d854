//! Candles of any length, drawn from the tape: where they begin, and what is in them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use super::tape::{Bar, Tape};

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// From the epoch, a Thursday, to the Monday after it.
const TO_MONDAY: i64 = 4 * DAY;

/// Where candles of one kind begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    /// Each `length` ms, counted from the epoch and `shift` ms.
    Every {
        /// Length in ms.
        length: i64,
        /// Begin of one of them, in Unix ms.
        shift: i64,
    },
    /// On the first of a month, on the wall clock `hours` ahead of UTC.
    Months {
        /// How many months long: 1, or 12 for years.
        count: i8,
        /// Hours ahead of UTC.
        hours: i8,
    },
}

impl Grid {
    /// Candles of a length in ms that begin at midnight of a wall clock `hours` ahead of UTC, and at multiples of the length from it.
    pub fn every(length: i64, hours: i8) -> Self {
        Self::Every { length, shift: -i64::from(hours) * 3_600_000 }
    }

    /// Candles of a week from Monday on that wall clock.
    pub fn weeks(hours: i8) -> Self {
        Self::Every { length: 7 * DAY, shift: TO_MONDAY - i64::from(hours) * 3_600_000 }
    }

    /// Returns when the candle of an instant begins.
    pub fn start(self, at: i64) -> i64 {
        match self {
            Self::Every { length, shift } => at - (at - shift).rem_euclid(length),
            Self::Months { count, hours } => {
                let first = first_of_month(at, count, hours);
                first.map_or(at, |first| instant(first, hours))
            }
        }
    }

    /// Returns when the candle after one that begins at `start` begins.
    pub fn next(self, start: i64) -> i64 {
        match self {
            Self::Every { length, .. } => start + length,
            // As many days as the longest months have: always in the next one, never in the one after it.
            Self::Months { count, .. } => self.start(start + i64::from(count) * 31 * DAY),
        }
    }

    fn is_fine(self) -> bool {
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

/// The smallest stretches that candles are joined from, oldest first, each with its time.
fn pieces(tape: &Tape, grid: Grid, from: i64) -> Box<dyn DoubleEndedIterator<Item = (i64, Bar)> + '_> {
    if grid.is_fine() {
        return Box::new(tape.from(from).map(|trade| (trade.at, Bar::of(trade))));
    }
    Box::new(tape.bars(from, i64::MAX).map(|bar| (bar.start, *bar)))
}

/// Returns the candles that have trades, newest first; [`Bar::start`] is when each begins.
pub fn newest_first(tape: &Tape, grid: Grid) -> impl Iterator<Item = Bar> + '_ {
    let mut pieces = pieces(tape, grid, i64::MIN).rev().peekable();
    std::iter::from_fn(move || {
        let (at, mut candle) = pieces.next()?;
        let start = grid.start(at);
        while let Some((_, mut earlier)) = pieces.next_if(|(at, _)| *at >= start) {
            earlier.join(&candle);
            candle = earlier;
        }
        Some(Bar { start, ..candle })
    })
}

/// Returns at most `most` candles from the one that begins at `from` to the one that begins at `to`, oldest first and
/// without a gap: one without trades is flat at the price before it, and has no ids.
pub fn unbroken(tape: &Tape, grid: Grid, (from, to): (i64, i64), most: usize) -> Vec<Bar> {
    let mut pieces = pieces(tape, grid, from).peekable();
    let mut close = tape.before(from).map(|trade| trade.price);
    let mut candles = Vec::new();
    let mut start = from;
    while start <= to && candles.len() < most {
        let end = grid.next(start);
        let mut candle: Option<Bar> = None;
        while let Some((_, piece)) = pieces.next_if(|(at, _)| *at < end) {
            match &mut candle {
                Some(candle) => candle.join(&piece),
                None => candle = Some(piece),
            }
        }
        let candle = candle.or(close.map(|price| Bar::flat(start, price)));
        close = candle.map(|candle| candle.close);
        candles.extend(candle.map(|candle| Bar { start, ..candle }));
        start = end;
    }
    candles
}
