//! The wanted markets of one venue, which may change while it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::assignment::Assignment;
use crate::market::Market;
use crate::venue::Venue;

/// The wanted markets at one time, and what follows from them. Replaced as a whole.
#[derive(Debug, Clone)]
pub struct WantedMarkets {
    pub wanted: BTreeSet<Market>,
    /// Those that may be requested: those that the venue lists. While no list has been received these are all, or
    /// none if the venue needs its list.
    pub listed: BTreeSet<Market>,
    /// Those added since the last market list was evaluated. The board does not know their rows of the list yet.
    pub unchecked: BTreeSet<Market>,
    /// Which connection each is on.
    pub connections: Assignment,
    /// The markets of the last complete market list.
    last_list: Option<Arc<BTreeSet<Market>>>,
    needs_list: bool,
    by_symbol: BTreeMap<String, Market>,
    /// Symbols of markets that the venue may still send although they are not wanted any more; at most those that it
    /// has ever listed.
    retired: BTreeSet<String>,
}

impl WantedMarkets {
    /// Returns the state before any market is wanted and any list has been received.
    pub fn none(venue: &dyn Venue) -> Self {
        Self {
            wanted: BTreeSet::new(),
            listed: BTreeSet::new(),
            unchecked: BTreeSet::new(),
            connections: Assignment::new(venue.profile().markets_per_connection),
            last_list: None,
            needs_list: venue.profile().needs_list,
            by_symbol: BTreeMap::new(),
            retired: BTreeSet::new(),
        }
    }

    /// Returns whether any market list has been received.
    pub fn has_list(&self) -> bool {
        self.last_list.is_some()
    }

    /// Returns the wanted market with this symbol.
    pub fn market(&self, symbol: &str) -> Option<&Market> {
        self.by_symbol.get(symbol)
    }

    /// Returns whether this is the symbol of a market that was wanted earlier.
    pub fn is_retired(&self, symbol: &str) -> bool {
        self.retired.contains(symbol)
    }

    /// Returns the connections with at least one listed market.
    pub fn active_connections(&self) -> Vec<usize> {
        let active = self.connections.iter().filter(|(_, markets)| !markets.is_disjoint(&self.listed));
        active.map(|(index, _)| index).collect()
    }

    /// Returns the state after the wanted markets have changed. New ones may be requested if the last list has them.
    #[must_use]
    pub fn with_wanted(&self, venue: &dyn Venue, wanted: &BTreeSet<Market>, connections: Assignment) -> Self {
        let new: BTreeSet<Market> = wanted.difference(&self.wanted).cloned().collect();
        let may_request = |market: &&Market| self.may_request(market);
        let by_symbol: BTreeMap<String, Market> =
            wanted.iter().map(|market| (venue.symbol(market), market.clone())).collect();
        let removed = self.listed.difference(wanted).map(|market| venue.symbol(market));
        let retired = self.retired.iter().cloned().chain(removed).filter(|symbol| !by_symbol.contains_key(symbol));
        Self {
            listed: self.listed.intersection(wanted).chain(new.iter().filter(may_request)).cloned().collect(),
            unchecked: if self.has_list() {
                self.unchecked.intersection(wanted).chain(&new).cloned().collect()
            } else {
                BTreeSet::new()
            },
            retired: retired.collect(),
            wanted: wanted.clone(),
            connections,
            by_symbol,
            ..self.clone()
        }
    }

    /// Returns whether the last list allows a new market to be requested.
    fn may_request(&self, market: &Market) -> bool {
        self.last_list.as_ref().map_or(!self.needs_list, |list| list.contains(market))
    }

    /// Returns the state after a market list: `listed` are those of the markets wanted `before` that may be requested
    /// from now on, and `last_list` are the markets of the list, if it is complete. If it is not, those of the last
    /// complete one still count, except those for which `is_other_asset` is true.
    ///
    /// Markets added since `before` stay unchecked.
    #[must_use]
    pub fn with_list(
        &self,
        before: &Self,
        listed: &BTreeSet<Market>,
        last_list: Option<BTreeSet<Market>>,
        is_other_asset: impl Fn(&Market) -> bool,
    ) -> Self {
        let added: BTreeSet<Market> = self.wanted.difference(&before.wanted).cloned().collect();
        let kept = || {
            let list = self.last_list.as_ref()?.iter().filter(|market| !is_other_asset(market));
            Some(list.cloned().collect())
        };
        let last_list = last_list.or_else(kept).map(Arc::new);
        let mut after = Self { unchecked: BTreeSet::new(), last_list, ..self.clone() };
        let allowed = added.iter().filter(|market| after.may_request(market));
        after.listed = listed.intersection(&self.wanted).chain(allowed).cloned().collect();
        after.unchecked = added;
        after
    }

    /// Returns the state after the markets `checked` have been checked against the last list.
    #[must_use]
    pub fn with_checked(&self, checked: &BTreeSet<Market>) -> Self {
        Self { unchecked: self.unchecked.difference(checked).cloned().collect(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn venue() -> &'static dyn Venue {
        *crate::venue::ALL.first().unwrap()
    }

    fn markets(bases: &[&str]) -> BTreeSet<Market> {
        bases.iter().map(|base| Market::new(base, "KRW").unwrap()).collect()
    }

    fn changed(before: &WantedMarkets, bases: &[&str]) -> WantedMarkets {
        let (wanted, mut connections) = (markets(bases), before.connections.clone());
        connections.update(&wanted);
        before.with_wanted(venue(), &wanted, connections)
    }

    #[test]
    fn a_new_market_may_be_requested_if_the_last_list_has_it_or_there_is_none() {
        let started = changed(&WantedMarkets::none(venue()), &["A", "X"]);
        let extended = changed(&started, &["A", "B", "X"]);
        assert_eq!((&extended.listed, extended.unchecked.len()), (&markets(&["A", "B", "X"]), 0));
        let listed = extended.with_list(&extended, &markets(&["A", "B"]), Some(markets(&["A", "B", "C"])), |_| false);
        let extended = changed(&listed, &["A", "B", "C", "D", "X"]);
        assert_eq!((&extended.listed, &extended.unchecked), (&markets(&["A", "B", "C"]), &markets(&["C", "D"])));
        let reduced = changed(&extended, &["A", "D"]);
        assert_eq!((&reduced.listed, &reduced.unchecked), (&markets(&["A"]), &markets(&["D"])));
        assert!(reduced.with_checked(&markets(&["D"])).unchecked.is_empty());
        let short = reduced.with_list(&reduced, &markets(&["A"]), None, |_| false);
        assert_eq!(changed(&short, &["A", "C"]).listed, markets(&["A", "C"]), "the last complete list counts");
        let other = short.with_list(&short, &markets(&["A"]), None, |market| market.base() == "C");
        assert_eq!(changed(&other, &["A", "B", "C"]).listed, markets(&["A", "B"]), "C stands for another asset");
    }

    #[test]
    fn a_venue_that_needs_its_list_is_not_read_before_it() {
        let none = WantedMarkets { needs_list: true, ..WantedMarkets::none(venue()) };
        let started = changed(&changed(&none, &["A"]), &["A", "B"]);
        assert_eq!((&started.listed, started.active_connections()), (&BTreeSet::new(), vec![]));
        let listed = started.with_list(&started, &markets(&["A"]), Some(markets(&["A", "C"])), |_| false);
        assert_eq!(changed(&listed, &["A", "B", "C", "D"]).listed, markets(&["A", "C"]));
    }

    #[test]
    fn what_changes_while_a_list_is_evaluated_is_kept() {
        let started = changed(&WantedMarkets::none(venue()), &["A", "B", "C"]);
        let all = markets(&["A", "B", "C"]);
        let before = started.with_list(&started, &all, Some(all.clone()), |_| false);
        // Meanwhile, one is removed, one is removed and added again, and two are added.
        let now = changed(&changed(&before, &["A"]), &["A", "C", "D", "E"]);
        let after = now.with_list(&before, &all, Some(markets(&["A", "B", "C", "D"])), |_| false);
        assert_eq!((&after.listed, &after.unchecked), (&markets(&["A", "C", "D"]), &markets(&["D", "E"])));
        assert_eq!(after.connections.markets_of(0), Some(&markets(&["A", "C", "D", "E"])));
    }

    #[test]
    fn the_symbol_of_a_removed_market_is_retired_until_it_is_wanted_again() {
        let started = changed(&WantedMarkets::none(venue()), &["A", "B"]);
        let [symbol, unknown] = ["B", "C"].map(|base| venue().symbol(&Market::new(base, "KRW").unwrap()));
        let removed = changed(&started, &["A"]);
        assert_eq!((removed.market(&symbol), removed.is_retired(&symbol)), (None, true));
        assert!(!removed.is_retired(&unknown));
        let back = changed(&removed, &["A", "B"]);
        assert!(back.market(&symbol).is_some() && !back.is_retired(&symbol));
    }
}
