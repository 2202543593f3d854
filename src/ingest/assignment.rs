//! Which connection each wanted market is on. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::market::Market;

/// The markets of each connection, by the connection's index. No connection is without a market.
#[derive(Debug, Clone)]
pub struct Assignment {
    connections: BTreeMap<usize, BTreeSet<Market>>,
    markets_max: usize,
}

impl Assignment {
    /// Returns an assignment without markets, for connections of at most `markets_max` markets.
    pub fn new(markets_max: usize) -> Self {
        Self { connections: BTreeMap::new(), markets_max: markets_max.max(1) }
    }

    /// Removes the markets that are not wanted any more, and assigns the new ones; the others stay where they are.
    ///
    /// A new market joins the fullest connection that has room, so that sparse ones become empty in time. Only when
    /// all are full is another one opened, with the lowest free index.
    pub fn update(&mut self, wanted: &BTreeSet<Market>) {
        self.connections.values_mut().for_each(|markets| markets.retain(|market| wanted.contains(market)));
        self.connections.retain(|_, markets| !markets.is_empty());
        let assigned: BTreeSet<Market> = self.connections.values().flatten().cloned().collect();
        for market in wanted.difference(&assigned) {
            let with_room = self.connections.iter().filter(|(_, markets)| markets.len() < self.markets_max);
            let fullest = with_room.max_by_key(|(_, markets)| markets.len()).map(|(index, _)| *index);
            let index = fullest.unwrap_or_else(|| self.lowest_free());
            self.connections.entry(index).or_default().insert(market.clone());
        }
    }

    fn lowest_free(&self) -> usize {
        self.connections.keys().zip(0..).take_while(|(index, at)| *index == at).count()
    }

    /// Returns the connections with their markets.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &BTreeSet<Market>)> {
        self.connections.iter().map(|(index, markets)| (*index, markets))
    }

    /// Returns the markets of a connection, if it has any.
    pub fn markets_of(&self, connection: usize) -> Option<&BTreeSet<Market>> {
        self.connections.get(&connection)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn markets(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<Market> {
        numbers.into_iter().map(|number| Market::new(&format!("C{number:02}"), "KRW").unwrap()).collect()
    }

    fn locations(assignment: &Assignment) -> BTreeMap<Market, usize> {
        assignment.iter().flat_map(|(index, of)| of.iter().map(move |market| (market.clone(), index))).collect()
    }

    #[test]
    fn a_new_market_fills_a_connection_that_has_room_before_another_one_is_opened() {
        let mut assignment = Assignment::new(2);
        assignment.update(&markets(0..5));
        assert_eq!(assignment.connections, [(0, markets(0..2)), (1, markets(2..4)), (2, markets([4]))].into());
        assignment.update(&markets([0, 1, 4]));
        assert_eq!(assignment.connections, [(0, markets(0..2)), (2, markets([4]))].into());
        assignment.update(&markets([0, 1, 4, 7, 8]));
        assert_eq!(assignment.connections, [(0, markets(0..2)), (1, markets([8])), (2, markets([4, 7]))].into());
        assignment.update(&BTreeSet::new());
        assert_eq!(assignment.connections, BTreeMap::new());
    }

    proptest! {
        #[test]
        fn markets_stay_put_and_no_connection_is_opened_without_need(
            markets_max in 1usize..5,
            steps in proptest::collection::vec(proptest::collection::btree_set(0usize..20, 0..20), 1..20),
        ) {
            let mut assignment = Assignment::new(markets_max);
            for wanted in steps.into_iter().map(markets) {
                let (before, connections_before) = (locations(&assignment), assignment.connections.len());
                assignment.update(&wanted);
                let after = locations(&assignment);
                prop_assert_eq!(after.keys().cloned().collect::<BTreeSet<_>>(), wanted.clone());
                prop_assert_eq!(assignment.iter().map(|(_, of)| of.len()).sum::<usize>(), wanted.len(), "on two");
                for (index, of) in assignment.iter() {
                    prop_assert!((1..=markets_max).contains(&of.len()), "connection {} has {} markets", index, of.len());
                }
                for (market, index) in before.iter().filter(|(market, _)| wanted.contains(*market)) {
                    prop_assert_eq!(after.get(market), Some(index), "{} was moved", market);
                }
                let needed = wanted.len().div_ceil(markets_max);
                let connections = assignment.connections.len();
                prop_assert!(connections <= connections_before.max(needed), "{} connections", connections);
            }
        }

        /// Sparse connections do not last: adding to the fullest lets the others run out of markets.
        #[test]
        fn a_market_joins_the_fullest_connection_that_has_room(
            kept in proptest::collection::btree_set(0usize..20, 1..20),
        ) {
            let mut assignment = Assignment::new(4);
            assignment.update(&markets(0..20));
            assignment.update(&markets(kept.clone()));
            let sizes: BTreeMap<usize, usize> = assignment.iter().map(|(index, of)| (index, of.len())).collect();
            assignment.update(&markets(kept.into_iter().chain([20])));
            let index = locations(&assignment)[&markets([20]).pop_first().unwrap()];
            let fullest = sizes.values().filter(|size| **size < 4).max();
            prop_assert_eq!(sizes.get(&index), fullest);
        }
    }
}
