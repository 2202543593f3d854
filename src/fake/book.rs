//! The order book around a trade: small, plausible, and the same for everybody who asks at the same trade.
//!
//! The last trade stands on the side that it took from, the other side begins
//! one price step away, and each further level is one step on. Sizes are drawn
//! from a key of (symbol, price, trade), the deeper the more lasting; nothing
//! is stored, so a book can be had for any trade on the tape.

use super::rng::{Rng, key};
use super::tape::Trade;
use super::units::ONE;
use super::world::Line;

/// Most levels of a side.
pub const LEVELS_MAX: usize = 50;

/// Value of an order at most and at least, in won.
const VALUE_MIN: u32 = 300_000;
const VALUE_MAX: u32 = 30_000_000;

/// Won in a dollar, near enough for sizes.
const WON: i128 = 1_475;

/// A price and what is offered or wanted there, both in units.
pub type Level = (i64, i64);

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    /// The trade's id; books with the same one are the same.
    pub id: u64,
    /// Best, that is highest, first. Empty where the price is the smallest step.
    pub bids: Vec<Level>,
    /// Best, that is lowest, first.
    pub asks: Vec<Level>,
}

impl Book {
    /// Returns the book right after a trade, with so many levels a side.
    pub fn of(line: &Line, trade: &Trade, levels: usize) -> Self {
        let levels = levels.min(LEVELS_MAX);
        // A taker that sold has taken the best bid, one that bought the best ask.
        let (bid, ask) = match trade.ask {
            true => (trade.price, above(line, trade.price)),
            false => (below(line, trade.price), trade.price),
        };
        let level = |(depth, price): (usize, i64)| (price, size(line, price, trade.id >> depth.min(6)));
        let bids = std::iter::successors(Some(bid), |price| Some(below(line, *price))).take_while(|price| *price > 0);
        let asks = std::iter::successors(Some(ask), |price| Some(above(line, *price)));
        Self {
            id: trade.id,
            bids: bids.take(levels).enumerate().map(level).collect(),
            asks: asks.take(levels).enumerate().map(level).collect(),
        }
    }

    /// Gathers levels to multiples of `step` (units): bids down, asks up; 0 leaves them as they are.
    pub fn gathered(mut self, step: i64) -> Self {
        if step > 0 {
            self.bids = gather(self.bids, |price| price - price.rem_euclid(step));
            self.asks = gather(self.asks, |price| price + (-price).rem_euclid(step));
        }
        self
    }

    /// Returns the best bid, or zeros.
    pub fn bid(&self) -> Level {
        self.bids.first().copied().unwrap_or_default()
    }

    /// Returns the best ask, or zeros.
    pub fn ask(&self) -> Level {
        self.asks.first().copied().unwrap_or_default()
    }
}

fn above(line: &Line, price: i64) -> i64 {
    price + line.tick_at(price)
}

fn below(line: &Line, price: i64) -> i64 {
    // The step below a price is that of the prices below it.
    price - line.tick_at(price - 1)
}

fn size(line: &Line, price: i64, id: u64) -> i64 {
    let mut rng = Rng::keyed(&[key(&line.symbol), price.cast_unsigned(), id]);
    let won = i128::from(VALUE_MIN + rng.below(VALUE_MAX - VALUE_MIN)) * i128::from(ONE) * i128::from(ONE);
    let value = if line.venue == "binance" { won / WON } else { won };
    i64::try_from(value / i128::from(price)).unwrap_or(ONE).max(1)
}

fn gather(levels: Vec<Level>, to: impl Fn(i64) -> i64) -> Vec<Level> {
    let mut gathered: Vec<Level> = Vec::new();
    for (price, size) in levels {
        let price = to(price);
        match gathered.last_mut().filter(|(last, _)| *last == price) {
            Some((_, sum)) => *sum = sum.saturating_add(size),
            None => gathered.push((price, size)),
        }
    }
    gathered
}
