//! What a ticker says about one market, still without a venue's spelling.

use super::tape::{Bar, Trade};
use super::units::ratio;
use super::view::View;
use super::world::Line;

/// 24 hours in ms.
pub const DAY: i64 = 86_400_000;

/// The figures of one ticker. Prices and volumes in units of 10^-8, values in 10^-16.
#[derive(Debug, Clone)]
pub struct Figures<'a> {
    /// The market.
    pub line: &'a Line,
    /// The trade it is about, bent by the view's faults.
    pub trade: Trade,
    /// Close of the venue's day before.
    pub day_before: i64,
    /// The venue's day so far; flat at `day_before` without trades.
    pub day: Bar,
    /// The last trade before the 24 hours.
    pub before: i64,
    /// The last 24 hours; flat at `before` without trades.
    pub rolling: Bar,
    /// The time of the message in ms.
    pub now: i64,
}

impl<'a> Figures<'a> {
    /// Collects the figures around a trade; `offset` (ms) is how far ahead of UTC the venue's day begins.
    pub fn of(view: &View<'_>, line: &'a Line, trade: &Trade, offset: i64) -> Self {
        let day_start = view.now - (view.now + offset).rem_euclid(DAY);
        let (day_before, day) = stretch(line, day_start, trade.price);
        let (before, rolling) = stretch(line, view.now - DAY, trade.price);
        let now = view.time(view.now);
        Self { line, trade: view.bend(line, trade), day_before, day, before, rolling, now }
    }

    /// Returns the figures at a market's last trade, or `None` if it never traded.
    pub fn newest(view: &View<'_>, line: &'a Line, offset: i64) -> Option<Self> {
        Some(Self::of(view, line, line.tape.last()?, offset))
    }

    /// Collects them as they were told when the trade was made: what a venue says again word for word.
    pub fn again(view: &View<'_>, line: &'a Line, trade: &Trade, offset: i64) -> Self {
        let mut figures = Self::of(view, line, trade, offset);
        figures.now = view.time(trade.at);
        (figures.rolling.last_id, figures.rolling.close) = (trade.id, trade.price);
        figures
    }

    /// Returns Upbit's and Bithumb's word for whether the market trades.
    pub fn market_state(&self) -> &'static str {
        if self.line.halted { "PREVIEW" } else { "ACTIVE" }
    }

    /// Returns the difference to the close of the venue's day before.
    pub fn day_change(&self) -> i64 {
        self.trade.price - self.day_before
    }

    /// Returns that as a fraction with so many places, as a whole number of the last place.
    pub fn day_rate(&self, places: u32) -> i128 {
        ratio(self.day_change().into(), self.day_before.into(), places)
    }

    /// Returns RISE, FALL or EVEN, against the close of the venue's day before.
    pub fn direction(&self) -> &'static str {
        match self.day_change().signum() {
            1 => "RISE",
            -1 => "FALL",
            _ => "EVEN",
        }
    }
}

/// Returns the last price before an instant, and the sum from it on; that is flat without trades.
pub fn stretch(line: &Line, from: i64, price: i64) -> (i64, Bar) {
    let sum = line.tape.since(from);
    let before = line.tape.before(from).map(|trade| trade.price);
    let before = before.or(sum.map(|sum| sum.open)).unwrap_or(price);
    (before, sum.unwrap_or(Bar::flat(from, before)))
}
