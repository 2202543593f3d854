//! The order book after a trade: small, plausible, and a function of the trade alone.
//!
//! The price of the last trade is the best price on the side that the taker hit; the other side begins one tick
//! away, and each further level is one tick further. Sizes are pseudo-random by (symbol, price, trade); the deeper
//! a level, the more rarely its size changes. Nothing is stored, so the book of any logged trade can be computed.

use super::rng::{Rng, key};
use super::simulated_market::SimulatedMarket;
use super::trade_log::Trade;
use super::units::ONE;

/// Maximum number of levels per side.
pub const LEVELS_MAX: usize = 50;

/// Range of the value of a level, in KRW.
const VALUE_MIN: u32 = 300_000;
const VALUE_MAX: u32 = 30_000_000;

/// A level: price and size, both in units.
pub type Level = (i64, i64);

/// An order book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    /// Id of the trade; books of a market with the same id are equal.
    pub trade_id: u64,
    /// Bids, best (highest) first. Empty if no positive price is left below the ask.
    pub bids: Vec<Level>,
    /// Asks, best (lowest) first.
    pub asks: Vec<Level>,
}

impl Book {
    /// Returns the book right after a trade, with at most `levels` per side.
    pub fn after_trade(market: &SimulatedMarket, trade: &Trade, levels: usize) -> Self {
        let levels = levels.min(LEVELS_MAX);
        // A taker sells at the best bid and buys at the best ask.
        let (bid, ask) = match trade.taker_sold {
            true => (trade.price, above(market, trade.price)),
            false => (below(market, trade.price), trade.price),
        };
        let level = |(depth, price): (usize, i64)| (price, size(market, price, trade.id >> depth.min(6)));
        let bids = std::iter::successors(Some(bid), |price| Some(below(market, *price))).take_while(|price| *price > 0);
        let asks = std::iter::successors(Some(ask), |price| Some(above(market, *price)));
        Self {
            trade_id: trade.id,
            bids: bids.take(levels).enumerate().map(level).collect(),
            asks: asks.take(levels).enumerate().map(level).collect(),
        }
    }

    /// Groups levels by multiples of `step` (units), bids rounded down, asks up; 0 leaves them as they are.
    pub fn grouped(mut self, step: i64) -> Self {
        if step > 0 {
            self.bids = group(self.bids, |price| price - price.rem_euclid(step));
            self.asks = group(self.asks, |price| price + (-price).rem_euclid(step));
        }
        self
    }

    /// Returns the best bid, or zeros if there is none.
    pub fn bid(&self) -> Level {
        self.bids.first().copied().unwrap_or_default()
    }

    /// Returns the best ask, or zeros if there is none.
    pub fn ask(&self) -> Level {
        self.asks.first().copied().unwrap_or_default()
    }
}

fn above(market: &SimulatedMarket, price: i64) -> i64 {
    price + market.tick_size_at(price)
}

fn below(market: &SimulatedMarket, price: i64) -> i64 {
    // Below a boundary of the tick table the smaller tick size applies.
    price - market.tick_size_at(price - 1)
}

fn size(market: &SimulatedMarket, price: i64, id: u64) -> i64 {
    let mut rng = Rng::keyed(&[key(&market.symbol), price.cast_unsigned(), id]);
    let krw = i128::from(VALUE_MIN + rng.below(VALUE_MAX - VALUE_MIN)) * i128::from(ONE) * i128::from(ONE);
    let value = krw / i128::from(market.listing.krw_per_quote);
    i64::try_from(value / i128::from(price)).unwrap_or(ONE).max(1)
}

fn group(levels: Vec<Level>, round: impl Fn(i64) -> i64) -> Vec<Level> {
    let mut grouped: Vec<Level> = Vec::new();
    for (price, size) in levels {
        let price = round(price);
        match grouped.last_mut().filter(|(last, _)| *last == price) {
            Some((_, sum)) => *sum = sum.saturating_add(size),
            None => grouped.push((price, size)),
        }
    }
    grouped
}
