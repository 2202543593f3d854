//! What rose and fell most, among the markets that it may be said of.
//!
//! The largest change of a day is usually a mistake, a market that nobody
//! trades, or one that began this morning. Those are left out by three rules
//! of the operator's, so that what is shown is news.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use super::{BaseSource, Basis, Change, Direction, Quote, State};

/// Which markets may be called movers, and how many are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoversRule {
    /// Least turnover of 24 hours, by the asset that it is counted in; one that is not here has no floor.
    pub turnover_min: BTreeMap<String, Decimal>,
    /// Largest change in percent, up or down, that is believed.
    pub change_max_percent: Decimal,
    /// For how many hours a market must have been traded.
    pub age_min_hours: u32,
    /// How many are shown, each way.
    pub count: usize,
}

impl Default for MoversRule {
    fn default() -> Self {
        let floors = [("KRW", 1_000_000_000), ("JPY", 100_000_000), ("USD", 1_000_000), ("USDT", 1_000_000)];
        Self {
            turnover_min: floors.map(|(quote, floor)| (quote.to_owned(), Decimal::from(floor))).into(),
            change_max_percent: Decimal::from(500),
            age_min_hours: 24,
            count: 5,
        }
    }
}

/// What rose and what fell, most first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Movers<'a> {
    /// Those that rose.
    pub risers: Vec<&'a Quote>,
    /// Those that fell.
    pub fallers: Vec<&'a Quote>,
}

impl MoversRule {
    /// Ranks the rows that pass: known change, enough turnover, a believable size, a base that proves a day of trading.
    ///
    /// While any row is live or delayed only those count: an old change is not of today. Longer than a day
    /// [`MoversRule::age_min_hours`] can't be seen from a row; whoever has the past must look.
    pub fn rank<'a>(&self, quotes: impl Iterator<Item = &'a Quote> + Clone, basis: Basis) -> Movers<'a> {
        let is_now = |quote: &Quote| matches!(quote.state, State::Live | State::Delayed);
        let any_now = quotes.clone().any(is_now);
        let mut ranked: Vec<(Change, &Quote)> = quotes
            .filter(|quote| is_now(quote) || !any_now)
            .filter_map(|quote| Some((self.change(quote, basis)?, quote)))
            .collect();
        ranked.sort_by(order);
        let of = |direction: Direction| {
            let these = ranked.iter().filter(move |(change, _)| change.direction == direction);
            these.map(|(_, quote)| *quote).collect()
        };
        Movers { risers: of(Direction::Rise), fallers: of(Direction::Fall) }
    }

    /// Returns from when on a mover must have been traded, where a row alone does not prove it.
    pub fn traded_since(&self, now: Timestamp) -> Option<Timestamp> {
        let hours = i64::from(self.age_min_hours);
        (hours > 24).then(|| now.checked_sub(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MIN))
    }

    fn change(&self, quote: &Quote, basis: Basis) -> Option<Change> {
        let change = quote.change(basis)?;
        let floor = self.turnover_min.get(quote.market.quote()).copied().unwrap_or_default();
        // An unknown turnover may be any: it passes no floor.
        let traded = floor.is_zero() || quote.quote_volume_24h.is_some_and(|turnover| turnover >= floor);
        let believable = change.percent.abs() <= self.change_max_percent;
        // An exchange's own figure for a market that began this morning is against its first price.
        let ours = |source| matches!(source, BaseSource::Window);
        let old = self.age_min_hours == 0 || quote.base(Basis::Rolling24h).is_some_and(|base| ours(base.source));
        (traded && believable && old).then_some(change)
    }
}

/// Largest change first, up or down; of equals the larger turnover, then by name, so that the order is never chance.
fn order((a, left): &(Change, &Quote), (b, right): &(Change, &Quote)) -> Ordering {
    let turnover = || right.quote_volume_24h.cmp(&left.quote_volume_24h);
    b.percent.abs().cmp(&a.percent.abs()).then_with(turnover).then_with(|| left.market.cmp(&right.market))
}
