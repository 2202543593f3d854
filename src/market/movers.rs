//! Movers: the markets that rose and fell most, among those whose change is meaningful.
//!
//! The largest change of a day is usually an error, an illiquid market, or one that was listed this morning.
//! Three rules, set by the operator, exclude those.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use super::{BaseSource, Basis, Change, Direction, Quote, State};

/// Which markets qualify as movers, and how many are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoversRule {
    /// Minimum turnover of 24 hours, by quote asset; other quote assets have no minimum.
    pub turnover_min: BTreeMap<String, Decimal>,
    /// Largest plausible change in percent, up or down; markets beyond it are excluded.
    pub change_max_percent: Decimal,
    /// Number of hours for which a market must have been traded.
    pub age_min_hours: u32,
    /// Number of markets shown in each direction.
    pub count: usize,
}

impl Default for MoversRule {
    fn default() -> Self {
        let minimums = [("KRW", 1_000_000_000), ("JPY", 100_000_000), ("USD", 1_000_000), ("USDT", 1_000_000)];
        Self {
            turnover_min: minimums.map(|(quote, minimum)| (quote.to_owned(), Decimal::from(minimum))).into(),
            change_max_percent: Decimal::from(500),
            age_min_hours: 24,
            count: 5,
        }
    }
}

/// The markets that rose and fell most, largest change first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Movers<'a> {
    /// Markets that rose.
    pub risers: Vec<&'a Quote>,
    /// Markets that fell.
    pub fallers: Vec<&'a Quote>,
}

impl MoversRule {
    /// Ranks the rows that qualify: known change, sufficient turnover, plausible size, and a base that proves
    /// a day of trading.
    ///
    /// If any row is live or delayed, only such rows count: the change of a stale row is not today's. A row
    /// can't prove an age above 24 hours ([`MoversRule::age_min_hours`]); the caller has to check the
    /// history.
    pub fn rank<'a>(&self, quotes: impl Iterator<Item = &'a Quote> + Clone, basis: Basis) -> Movers<'a> {
        let is_current = |quote: &Quote| matches!(quote.state, State::Live | State::Delayed);
        let any_current = quotes.clone().any(is_current);
        let mut ranked: Vec<(Change, &Quote)> = quotes
            .filter(|quote| is_current(quote) || !any_current)
            .filter_map(|quote| Some((self.change(quote, basis)?, quote)))
            .collect();
        ranked.sort_by(compare);
        let of = |direction: Direction| {
            let matching = ranked.iter().filter(move |(change, _)| change.direction == direction);
            matching.map(|(_, quote)| *quote).collect()
        };
        Movers { risers: of(Direction::Rise), fallers: of(Direction::Fall) }
    }

    /// Returns the time since which a mover must have been traded, if a row alone does not prove it.
    pub fn traded_since(&self, now: Timestamp) -> Option<Timestamp> {
        let hours = i64::from(self.age_min_hours);
        (hours > 24).then(|| now.checked_sub(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MIN))
    }

    fn change(&self, quote: &Quote, basis: Basis) -> Option<Change> {
        let change = quote.change(basis)?;
        let minimum = self.turnover_min.get(quote.market.quote()).copied().unwrap_or_default();
        // An unknown turnover meets no minimum.
        let traded = minimum.is_zero() || quote.quote_volume_24h.is_some_and(|turnover| turnover >= minimum);
        let plausible = change.percent.abs() <= self.change_max_percent;
        // Only our own window proves a day of trading: for a market listed this morning, the exchange measures its
        // own figure against the first price.
        let ours = |source| matches!(source, BaseSource::Window);
        let old_enough = self.age_min_hours == 0 || quote.base(Basis::Rolling24h).is_some_and(|base| ours(base.source));
        (traded && plausible && old_enough).then_some(change)
    }
}

/// Orders by the size of the change, largest first; ties by larger turnover, then by name, so that the order
/// is deterministic.
fn compare((a, left): &(Change, &Quote), (b, right): &(Change, &Quote)) -> Ordering {
    let turnover = || right.quote_volume_24h.cmp(&left.quote_volume_24h);
    b.percent.abs().cmp(&a.percent.abs()).then_with(turnover).then_with(|| left.market.cmp(&right.market))
}
