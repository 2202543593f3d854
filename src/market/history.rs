//! Price history for plots: one close per minute, or one bar per several minutes.
//!
//! Unlike [`window`](super::window), which answers for one moment of the last day, this module joins the
//! records of many hours into one evenly spaced series. A gap stays a gap: no line is drawn across it, and no
//! bar is built from only a part of its minutes.

use std::ops::Range;

use super::{HourRecord, MINUTES_PER_HOUR, Minute, Price};

/// What is known about the last trade of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinuteClose {
    /// Not covered: a trade may be missing.
    Gap,
    /// Covered, without a trade: the previous close still applies.
    Quiet(Price),
    /// Covered, with a trade.
    Traded(Price),
}

impl MinuteClose {
    /// Returns the price at the end of the minute, if known.
    pub fn price(self) -> Option<Price> {
        match self {
            Self::Gap => None,
            Self::Quiet(price) | Self::Traded(price) => Some(price),
        }
    }
}

/// Several minutes combined: built from minute closes, not from every trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// The close in effect when the bar begins.
    pub open: Price,
    /// Highest of `open` and the minute closes.
    pub high: Price,
    /// Lowest of `open` and the minute closes.
    pub low: Price,
    /// Close of the last minute.
    pub close: Price,
    /// Whether any minute had a trade.
    pub traded: bool,
}

impl Bar {
    fn with_price(self, price: Price) -> Self {
        Self { high: self.high.max(price), low: self.low.min(price), close: price, ..self }
    }

    fn flat(price: Price, traded: bool) -> Self {
        Self { open: price, high: price, low: price, close: price, traded }
    }
}

/// Returns what is known about each minute of `span`.
///
/// `records` are the records of the hours that overlap `span`, oldest first.
pub fn minute_closes(records: &[HourRecord], span: Range<Minute>) -> Vec<MinuteClose> {
    let mut closes = Vec::with_capacity(usize::try_from(span.end.0 - span.start.0).unwrap_or(0));
    let mut last_close: Option<Price> = None;
    let mut hour = HourRecord::hour_of(span.start);
    while hour < span.end {
        let found = records.binary_search_by_key(&hour, |record| record.hour).ok().map(|at| &records[at]);
        // Prefer the close carried over from the previous hours: it is newer than the one stored in this
        // record.
        last_close = last_close.or(found.and_then(|record| record.close_before).map(|(_, price)| price));
        for minute in (0..MINUTES_PER_HOUR).map(|n| hour.plus(n)) {
            let close = found.map_or(MinuteClose::Gap, |record| close_of_minute(record, minute, last_close));
            last_close = close.price();
            if span.contains(&minute) {
                closes.push(close);
            }
        }
        hour = hour.plus(MINUTES_PER_HOUR);
    }
    closes
}

fn close_of_minute(record: &HourRecord, minute: Minute, last_close: Option<Price>) -> MinuteClose {
    if !record.is_set(record.covered, minute) {
        return MinuteClose::Gap;
    }
    match record.closes.binary_search_by_key(&minute, |&(minute, ..)| minute) {
        Ok(at) => MinuteClose::Traded(record.closes[at].2),
        Err(_) => last_close.map_or(MinuteClose::Gap, MinuteClose::Quiet),
    }
}

/// Combines every `step` minutes into a bar; the last bar may have fewer.
///
/// `before` is the minute before the first. A bar is `None` if any of its minutes is a gap, or if its opening
/// price is unknown. With a step of one, a bar is just the close of its minute.
pub fn bars(before: MinuteClose, closes: &[MinuteClose], step: usize) -> Vec<Option<Bar>> {
    let mut open = before.price();
    let bar = |part: &[MinuteClose]| {
        let opened = std::mem::replace(&mut open, part.last().and_then(|close| close.price()));
        if let [one] = part
            && step <= 1
        {
            return one.price().map(|price| Bar::flat(price, matches!(one, MinuteClose::Traded(_))));
        }
        part.iter().try_fold(Bar::flat(opened?, false), |bar, minute| {
            let price = minute.price()?;
            let traded = bar.traded || matches!(minute, MinuteClose::Traded(_));
            Some(Bar { traded, ..bar.with_price(price) })
        })
    };
    closes.chunks(step.max(1)).map(bar).collect()
}

/// Part of a line: consecutive known minutes without a gap, within one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Start, in minutes from the beginning of the series.
    pub from: usize,
    /// End, in minutes from the beginning of the series; a segment that starts there continues the line.
    pub to: usize,
    /// Its prices; `open` is the close before it, or its own first close after a gap.
    pub bar: Bar,
}

/// Splits the known minutes into segments of at most one step, for a line that ends exactly where a gap
/// begins.
///
/// Unlike a bar, a segment may have fewer minutes than its step, so every known minute is included.
pub fn segments(before: MinuteClose, closes: &[MinuteClose], step: usize) -> Vec<Segment> {
    let step = step.max(1);
    let mut segments = Vec::<Segment>::new();
    let mut last_close = before.price();
    for (at, close) in closes.iter().enumerate() {
        let open = last_close;
        last_close = close.price();
        let Some(price) = last_close else { continue };
        let traded = matches!(close, MinuteClose::Traded(_));
        match (open, segments.last_mut()) {
            (Some(_), Some(segment)) if segment.to == at && at % step != 0 => {
                segment.to = at + 1;
                segment.bar = Bar { traded: segment.bar.traded || traded, ..segment.bar.with_price(price) };
            }
            (Some(open), _) => {
                segments.push(Segment {
                    from: at,
                    to: at + 1,
                    bar: Bar { traded, ..Bar::flat(open, traded).with_price(price) },
                });
            }
            // A close is the price at the end of its minute; nothing is known before that.
            (None, _) => segments.push(Segment { from: at + 1, to: at + 1, bar: Bar::flat(price, traded) }),
        }
    }
    segments
}
