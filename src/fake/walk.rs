//! The price walk of one market: seeded, and the same however it is stepped.
//!
//! A whole minute is planned at a time from a key of (seed, venue, coin,
//! minute), and a planned trade only says by how much the fair value is
//! kicked, so the trades up to an instant don't depend on how often one asked,
//! and a price set from outside carries on from there.
//!
//! The fair value is drawn to a path through one node a day, within ±5 % of
//! the reference price and at it when the world begins; so the 24-hour changes
//! look natural and have both signs.

use std::collections::VecDeque;

use super::coins::{Coin, krw_tick};
use super::rng::{Rng, key};
use super::tape::Trade;
use super::units::ONE;

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// Units of the fair value in one unit of price.
const FINE: i128 = 1_000_000;

/// Most trades a minute before the world begins: history starts fast.
const HISTORY_TRADES_MAX: u32 = 3;

/// Farthest a day's node is from the reference, in millionths.
const NODE_MAX: u32 = 50_000;

/// Nearest a day's node is to the reference, in millionths.
const NODE_MIN: u32 = 2_000;

/// Largest move of a minute by chance, in billionths.
const SWING: u32 = 600_000;

/// The walk draws back to its path by one part in this each minute.
const PULL: i128 = 200;

/// A market's state between two trades.
#[derive(Debug, Clone)]
pub struct Walk {
    seed: u64,
    venue: u64,
    coin: Coin,
    /// Whether the coin's index is odd; it decides the sign of the first day.
    odd: bool,
    won: bool,
    begin: i64,
    minute: i64,
    fair: i128,
    /// How far prices set from outside have moved the path.
    shift: i128,
    planned: VecDeque<Plan>,
}

#[derive(Debug, Clone)]
struct Plan {
    at: i64,
    kick: i64,
    won_value: u32,
    ask: bool,
}

impl Walk {
    /// Begins at `from` (ms, a whole minute) a walk whose live part begins at `begin`.
    pub fn new(seed: u64, venue: &str, (index, coin): (usize, Coin), from: i64, begin: i64) -> Self {
        let mut walk = Self {
            seed,
            venue: key(venue),
            coin,
            odd: index % 2 == 1,
            won: venue != "binance",
            begin,
            minute: from / MINUTE,
            fair: 0,
            shift: 0,
            planned: VecDeque::new(),
        };
        walk.fair = walk.path(from);
        walk
    }

    /// Returns the trades up to and including `to`, in order; ids are left at 0.
    pub fn release(&mut self, to: i64) -> Vec<Trade> {
        let mut trades = Vec::new();
        loop {
            while self.planned.front().is_some_and(|plan| plan.at <= to) {
                if let Some(plan) = self.planned.pop_front() {
                    trades.push(self.trade(&plan));
                }
            }
            if !self.planned.is_empty() || self.minute * MINUTE > to {
                return trades;
            }
            self.plan();
        }
    }

    /// Sets the fair value; the path moves with it.
    pub fn set(&mut self, price: i64) {
        let fair = i128::from(price) * FINE;
        self.shift += fair - self.fair;
        self.fair = fair;
    }

    /// Returns the price step at a price, in units.
    pub fn tick(&self, price: i64) -> i64 {
        if self.won { krw_tick(price) } else { self.coin.usdt_tick }
    }

    fn trade(&mut self, plan: &Plan) -> Trade {
        self.fair += self.fair * i128::from(plan.kick) / 1_000_000_000;
        self.fair = self.fair.max(FINE);
        let fair = i64::try_from(self.fair / FINE).unwrap_or(i64::MAX);
        let tick = self.tick(fair);
        // A seller takes the bid below the fair value, a buyer the ask above.
        let steps = if plan.ask { fair / tick } else { (fair + tick - 1) / tick };
        let price = (steps * tick).max(tick);
        let value = i128::from(plan.won_value) * i128::from(ONE) * i128::from(ONE);
        let dollars = if self.won { value } else { value / 1_475 };
        let volume = i64::try_from(dollars / i128::from(price)).unwrap_or(ONE).max(1);
        Trade { at: plan.at, price, volume, ask: plan.ask, id: 0 }
    }

    fn plan(&mut self) {
        let start = self.minute * MINUTE;
        let mut rng = Rng::keyed(&[self.seed, self.venue, key(self.coin.id), self.minute.cast_unsigned()]);
        self.minute += 1;
        self.fair += (self.path(start) - self.fair) / PULL;
        let every = self.coin.every;
        let mut count = if every >= 60_000 {
            u32::from(rng.below(every) < 60_000)
        } else {
            let usual = 60_000 / every;
            usual / 2 + rng.below(usual + 1)
        };
        if start < self.begin {
            count = count.min(HISTORY_TRADES_MAX);
        }
        let mut times: Vec<i64> = (0..count).map(|_| start + i64::from(rng.below(60_000))).collect();
        times.sort_unstable();
        let kick_max = SWING / count.isqrt().max(1);
        for at in times {
            let kick = rng.around(kick_max);
            let size = rng.below(3);
            let won_value = 5_000 + rng.below([50_000, 500_000, 20_000_000][size as usize]);
            self.planned.push_back(Plan { at, kick, won_value, ask: rng.below(2) == 0 });
        }
    }

    /// The path at an instant: between the two days' nodes, in a straight line.
    fn path(&self, at: i64) -> i128 {
        let (day, into) = ((at - self.begin).div_euclid(DAY), (at - self.begin).rem_euclid(DAY));
        let (from, to) = (self.node(day), self.node(day + 1));
        let parts = from + (to - from) * i128::from(into) / i128::from(DAY);
        let reference = i128::from(if self.won { self.coin.krw } else { self.coin.usdt }) * FINE;
        (reference + reference * parts / 1_000_000 + self.shift).max(FINE)
    }

    /// A day's distance from the reference, in millionths: the same at every venue but for a premium.
    fn node(&self, day: i64) -> i128 {
        if day == 0 {
            return 0;
        }
        let mut rng = Rng::keyed(&[self.seed, key(self.coin.id), day.cast_unsigned()]);
        let mut size = i128::from(NODE_MIN + rng.below(NODE_MAX - NODE_MIN));
        if self.coin.id == "USDT" {
            size /= 10;
        }
        let mut premium = Rng::keyed(&[self.seed, self.venue, key(self.coin.id), day.cast_unsigned()]);
        let down = if day == -1 { self.odd } else { rng.below(2) == 0 };
        i128::from(premium.around(1_000)) + if down { -size } else { size }
    }
}
