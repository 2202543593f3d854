//! The seeded price walk of one market; it does not depend on the steps in which it is advanced.
//!
//! Each minute is planned as a whole from a key of (seed, venue, asset, minute). A planned trade holds only the
//! relative change of the fair value, so the trades up to an instant don't depend on when they were requested, and
//! the walk continues from a price that was set from outside.
//!
//! The fair value reverts to a path through one node per day, within ±5 % of the reference price and equal to it
//! when the simulation begins; so the 24-hour changes look natural and have both signs.
//!
//! Minutes before the walk's first one are walked backwards from its first price, so they may be made when they are
//! needed and change nothing after them.

use std::collections::VecDeque;

use super::assets::Asset;
use super::listing::Listing;
use super::rng::{Rng, key};
use super::trade::{Ohlcv, Trade};
use super::units::ONE;

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// Steps of the fair value in one unit of price.
const FAIR_SCALE: i128 = 1_000_000;

/// Maximum number of trades per whole minute of the history; keeps the start fast.
pub const HISTORY_TRADES_MAX: u32 = 3;

/// Maximum distance of a day's node from the reference price, in millionths.
const NODE_MAX: u32 = 50_000;

/// Minimum distance of a day's node from the reference price, in millionths.
const NODE_MIN: u32 = 2_000;

/// Scale of the random move within a minute, in billionths; divided by the square root of the number of trades.
const MINUTE_MOVE: u32 = 600_000;

/// Divisor of the distance to the path; the quotient is the reversion of one minute.
const REVERSION: i128 = 200;

/// The state of a market's walk between two trades.
#[derive(Debug, Clone)]
pub struct Walk {
    seed: u64,
    venue: u64,
    asset: Asset,
    /// Whether the asset's index is odd; decides the sign of the change over the last day of the history.
    odd_index: bool,
    /// The listing that the market belongs to.
    listing: Listing,
    /// End of the history in Unix ms.
    begin: i64,
    /// The first minute of the history, since the Unix epoch.
    first_minute: i64,
    /// The next minute to plan, since the Unix epoch.
    minute: i64,
    /// Fair value in units × [`FAIR_SCALE`].
    fair: i128,
    /// By how much prices set from outside have shifted the path, as `fair`.
    shift: i128,
    planned: VecDeque<PlannedTrade>,
}

#[derive(Debug, Clone)]
struct PlannedTrade {
    at: i64,
    /// Change of the fair value, in billionths.
    change: i64,
    /// Quote volume of the trade in KRW.
    krw_value: u32,
    taker_sold: bool,
}

impl Walk {
    /// Creates a walk whose history begins at `from` (Unix ms, a whole minute) and ends at `begin`.
    pub fn new(seed: u64, listing: Listing, (index, asset): (usize, Asset), from: i64, begin: i64) -> Self {
        let mut walk = Self {
            seed,
            venue: key(listing.venue),
            asset,
            odd_index: index % 2 == 1,
            listing,
            begin,
            first_minute: from / MINUTE,
            minute: from / MINUTE,
            fair: 0,
            shift: 0,
            planned: VecDeque::new(),
        };
        walk.fair = walk.path(from);
        walk
    }

    /// Returns the trades up to and including `to` that were not yet returned, in order; their ids are 0.
    pub fn trades_until(&mut self, to: i64) -> Vec<Trade> {
        let mut trades = Vec::new();
        loop {
            while self.planned.front().is_some_and(|planned| planned.at <= to) {
                if let Some(planned) = self.planned.pop_front() {
                    trades.push(self.trade(&planned));
                }
            }
            if !self.planned.is_empty() || self.minute * MINUTE > to {
                return trades;
            }
            self.plan_minute();
        }
    }

    /// Sets the fair value and shifts the path by the same amount.
    pub fn set_price(&mut self, price: i64) {
        let fair = i128::from(price) * FAIR_SCALE;
        self.shift += fair - self.fair;
        self.fair = fair;
    }

    /// Returns the tick size at a price, both in units.
    pub fn tick_size_at(&self, price: i64) -> i64 {
        (self.listing.tick_size)(&self.asset, price)
    }

    /// Returns the candles of the `count` minutes before the walk's first one, oldest first; the last of their trades
    /// has the id `last_id`. Prices set from outside don't affect them.
    pub fn candles_before(&self, count: i64, last_id: u64) -> Vec<Ohlcv> {
        let mut back = Self { shift: 0, planned: VecDeque::new(), ..self.clone() };
        back.fair = back.path(self.first_minute * MINUTE);
        let first = self.first_minute - count;
        let mut candles = Vec::new();
        let mut id = last_id;
        for minute in (first..self.first_minute).rev() {
            let mut candle: Option<Ohlcv> = None;
            for planned in back.plan(minute, minute == first).iter().rev() {
                let trade = Trade { id, ..back.priced(planned) };
                id = id.saturating_sub(1);
                back.change_fair(-planned.change);
                let mut joined = Ohlcv::of_trade(&trade);
                candle.iter().for_each(|later| joined.append(later));
                candle = Some(joined);
            }
            back.revert(minute * MINUTE);
            candles.extend(candle);
        }
        candles.reverse();
        candles
    }

    fn trade(&mut self, planned: &PlannedTrade) -> Trade {
        self.change_fair(planned.change);
        self.priced(planned)
    }

    /// Changes the fair value by billionths of it.
    fn change_fair(&mut self, change: i64) {
        self.fair = (self.fair + self.fair * i128::from(change) / 1_000_000_000).max(FAIR_SCALE);
    }

    /// Moves the fair value towards the path at an instant.
    fn revert(&mut self, at: i64) {
        self.fair += (self.path(at) - self.fair) / REVERSION;
    }

    /// Returns a planned trade at the fair value.
    fn priced(&self, planned: &PlannedTrade) -> Trade {
        let fair = i64::try_from(self.fair / FAIR_SCALE).unwrap_or(i64::MAX);
        let tick = self.tick_size_at(fair);
        // A taker sells at the bid below the fair value and buys at the ask above it.
        let steps = if planned.taker_sold { fair / tick } else { (fair + tick - 1) / tick };
        let price = (steps * tick).max(tick);
        let value = i128::from(planned.krw_value) * i128::from(ONE) * i128::from(ONE);
        let quote_volume = value / i128::from(self.listing.krw_per_quote);
        let volume = i64::try_from(quote_volume / i128::from(price)).unwrap_or(ONE).max(1);
        Trade { at: planned.at, price, base_volume: volume, taker_sold: planned.taker_sold, id: 0 }
    }

    fn plan_minute(&mut self) {
        let minute = self.minute;
        self.minute += 1;
        self.revert(minute * MINUTE);
        self.planned = self.plan(minute, minute == self.first_minute).into();
    }

    /// Plans the trades of a minute, in order. The first minute of the history always has one, so that even a quiet
    /// market has a price of 24 hours ago.
    fn plan(&self, minute: i64, is_first: bool) -> Vec<PlannedTrade> {
        let start = minute * MINUTE;
        let mut rng = Rng::keyed(&[self.seed, self.venue, key(self.asset.id), minute.cast_unsigned()]);
        let mean_interval = self.asset.mean_interval;
        let mut count = if mean_interval >= 60_000 {
            u32::from(rng.below(mean_interval) < 60_000)
        } else {
            let mean = 60_000 / mean_interval;
            mean / 2 + rng.below(mean + 1)
        };
        // The minute in which the history ends is planned like those after it, so that markets trade from the start.
        if start + MINUTE <= self.begin {
            count = count.min(HISTORY_TRADES_MAX);
        }
        count = count.max(u32::from(is_first));
        let mut times: Vec<i64> = (0..count).map(|_| start + i64::from(rng.below(60_000))).collect();
        times.sort_unstable();
        let change_max = MINUTE_MOVE / count.isqrt().max(1);
        let planned = times.into_iter().map(|at| {
            let change = rng.around(change_max);
            let size = rng.below(3);
            let krw_value = 5_000 + rng.below([50_000, 500_000, 20_000_000][size as usize]);
            PlannedTrade { at, change, krw_value, taker_sold: rng.below(2) == 0 }
        });
        planned.collect()
    }

    /// Returns the path at an instant, interpolated linearly between the nodes of the day and the next; as `fair`.
    fn path(&self, at: i64) -> i128 {
        let (day, into) = ((at - self.begin).div_euclid(DAY), (at - self.begin).rem_euclid(DAY));
        let (from, to) = (self.node(day), self.node(day + 1));
        let parts = from + (to - from) * i128::from(into) / i128::from(DAY);
        let reference = i128::from((self.listing.reference_price)(&self.asset)) * FAIR_SCALE;
        (reference + reference * parts / 1_000_000 + self.shift).max(FAIR_SCALE)
    }

    /// Returns the node at the start of a day: the signed distance from the reference price in millionths, the
    /// same at every venue except for a small premium.
    fn node(&self, day: i64) -> i128 {
        if day == 0 {
            return 0;
        }
        let mut rng = Rng::keyed(&[self.seed, key(self.asset.id), day.cast_unsigned()]);
        let mut size = i128::from(NODE_MIN + rng.below(NODE_MAX - NODE_MIN));
        if self.asset.id == "USDT" {
            size /= 10;
        }
        let mut premium = Rng::keyed(&[self.seed, self.venue, key(self.asset.id), day.cast_unsigned()]);
        let down = if day == -1 { self.odd_index } else { rng.below(2) == 0 };
        i128::from(premium.around(1_000)) + if down { -size } else { size }
    }
}
