//! The past as a plot wants it: a close for each minute, or a bar for several.
//!
//! Apart from [`window`](super::window), which answers for one moment of the
//! last day: here records of many hours become one even row. A hole stays a
//! hole: nothing is drawn across it, and no bar is made of a part of its minutes.

use std::ops::Range;

use super::{HOUR, HourRecord, Minute, Price};

/// What is known of the last trade of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinuteClose {
    /// Not covered: a trade may be missing.
    Hole,
    /// Covered, without a trade: the close before it stands.
    Quiet(Price),
    /// Covered, with a trade.
    Traded(Price),
}

impl MinuteClose {
    /// Returns the price that stands when the minute ends, where it is known.
    pub fn price(self) -> Option<Price> {
        match self {
            Self::Hole => None,
            Self::Quiet(price) | Self::Traded(price) => Some(price),
        }
    }
}

/// Several minutes in one: made of minute closes, not of every trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// The close that stands when the bar begins.
    pub open: Price,
    /// The highest of `open` and the minute closes.
    pub high: Price,
    /// The lowest of them.
    pub low: Price,
    /// The close of the last minute.
    pub close: Price,
    /// Whether any minute had a trade.
    pub traded: bool,
}

impl Bar {
    fn joined(self, price: Price) -> Self {
        Self { high: self.high.max(price), low: self.low.min(price), close: price, ..self }
    }

    fn still(price: Price, traded: bool) -> Self {
        Self { open: price, high: price, low: price, close: price, traded }
    }
}

/// Returns what is known of each minute of `span`, given the records of the hours that overlap it, oldest first.
pub fn minute_closes(records: &[HourRecord], span: Range<Minute>) -> Vec<MinuteClose> {
    let mut closes = Vec::with_capacity(usize::try_from(span.end.0 - span.start.0).unwrap_or(0));
    let mut standing: Option<Price> = None;
    let mut hour = HourRecord::of(span.start);
    while hour < span.end {
        let found = records.binary_search_by_key(&hour, |record| record.hour).ok().map(|at| &records[at]);
        // What the hours before have told is newer than what this record remembers of them.
        standing = standing.or(found.and_then(|record| record.before).map(|(_, price)| price));
        for minute in (0..HOUR).map(|n| hour.plus(n)) {
            let close = found.map_or(MinuteClose::Hole, |record| of_minute(record, minute, standing));
            standing = close.price();
            if span.contains(&minute) {
                closes.push(close);
            }
        }
        hour = hour.plus(HOUR);
    }
    closes
}

fn of_minute(record: &HourRecord, minute: Minute, standing: Option<Price>) -> MinuteClose {
    if !record.has(record.covered, minute) {
        return MinuteClose::Hole;
    }
    match record.closes.binary_search_by_key(&minute, |&(minute, ..)| minute) {
        Ok(at) => MinuteClose::Traded(record.closes[at].2),
        Err(_) => standing.map_or(MinuteClose::Hole, MinuteClose::Quiet),
    }
}

/// Joins each `step` minutes to a bar; the last one may have fewer.
///
/// `before` is the minute before the first. A bar of which any minute is a
/// hole, or whose opening price is not known, is one itself. With a step of one
/// a bar is the close of its minute and nothing else.
pub fn bars(before: MinuteClose, closes: &[MinuteClose], step: usize) -> Vec<Option<Bar>> {
    let mut open = before.price();
    let bar = |part: &[MinuteClose]| {
        let opened = std::mem::replace(&mut open, part.last().and_then(|close| close.price()));
        if let [one] = part
            && step <= 1
        {
            return one.price().map(|price| Bar::still(price, matches!(one, MinuteClose::Traded(_))));
        }
        part.iter().try_fold(Bar::still(opened?, false), |bar, minute| {
            let price = minute.price()?;
            let traded = bar.traded || matches!(minute, MinuteClose::Traded(_));
            Some(Bar { traded, ..bar.joined(price) })
        })
    };
    closes.chunks(step.max(1)).map(bar).collect()
}

/// Part of a line: known minutes without a hole between them, within one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// When it begins, in minutes from the first of the series.
    pub from: usize,
    /// When it ends; a piece that begins there goes on with its line.
    pub to: usize,
    /// Its prices; `open` is the close before it, or its own first close after a hole.
    pub bar: Bar,
}

/// Cuts the known minutes into pieces of at most one step, for a line that ends exactly where a hole begins.
///
/// Unlike a bar, a piece may have fewer minutes than its step, so no minute that is known is left out.
pub fn pieces(before: MinuteClose, closes: &[MinuteClose], step: usize) -> Vec<Piece> {
    let step = step.max(1);
    let mut pieces = Vec::<Piece>::new();
    let mut standing = before.price();
    for (at, close) in closes.iter().enumerate() {
        let open = standing;
        standing = close.price();
        let Some(price) = standing else { continue };
        let traded = matches!(close, MinuteClose::Traded(_));
        match (open, pieces.last_mut()) {
            (Some(_), Some(piece)) if piece.to == at && at % step != 0 => {
                piece.to = at + 1;
                piece.bar = Bar { traded: piece.bar.traded || traded, ..piece.bar.joined(price) };
            }
            (Some(open), _) => {
                pieces.push(Piece {
                    from: at,
                    to: at + 1,
                    bar: Bar { traded, ..Bar::still(open, traded).joined(price) },
                });
            }
            // The close is that of the minute's end: before it nothing is known.
            (None, _) => pieces.push(Piece { from: at + 1, to: at + 1, bar: Bar::still(price, traded) }),
        }
    }
    pieces
}
