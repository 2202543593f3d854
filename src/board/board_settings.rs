//! What a board shows, and by which rules.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::jump::JumpRule;
use crate::market::{Basis, Market, Redenomination, SourceId, VenueId, change::PLACES_DEFAULT};

/// The rows of a board: one source list and its markets.
#[derive(Debug, Clone, PartialEq)]
pub struct BoardSpec {
    /// The id of the source list.
    pub source: SourceId,
    /// Its venues, in order of preference.
    pub venues: Vec<VenueId>,
    /// The markets.
    pub markets: Vec<Market>,
    /// The default basis of the changes: its base is requested first.
    pub basis: Basis,
}

/// Configuration of the board.
#[derive(Debug, Clone)]
pub struct BoardSettings {
    /// Decimal places of a change in percent.
    pub percent_places: u32,
    /// Time without a confirmation after which a feed is stale, by venue.
    pub stale_after: BTreeMap<VenueId, Duration>,
    /// The same, for the other venues.
    pub stale_after_default: Duration,
    /// How long a preferred venue must be healthy before a row returns to it.
    pub return_after: Duration,
    /// How long a new row waits for its preferred venue.
    pub startup_wait: Duration,
    /// A longer time without a call to the board is a pause (we were stopped or asleep), in which data may
    /// have been missed.
    pub pause_min: Duration,
    /// A price further than this many percent from a live one is held back until a second source confirms it;
    /// `None` disables the check.
    pub jump_max_percent: Option<u32>,
    /// Venues that date their messages but not their trades.
    pub venues_without_trade_times: BTreeSet<VenueId>,
    /// How many of the newest minutes a venue has candles of, where it keeps no more.
    pub minutes_kept: BTreeMap<VenueId, i64>,
    /// Configured changes of prices' units.
    pub redenominations: Vec<Redenomination>,
}

impl BoardSettings {
    /// Returns the time without a confirmation after which a feed of the venue is stale.
    pub(super) fn stale_after(&self, venue: VenueId) -> Duration {
        self.stale_after.get(&venue).copied().unwrap_or(self.stale_after_default)
    }

    /// Returns when a price of the venue is held back.
    pub(super) fn jump_rule(&self, venue: VenueId) -> JumpRule {
        JumpRule { max_percent: self.jump_max_percent, stale_after: self.stale_after(venue) }
    }
}

impl Default for BoardSettings {
    fn default() -> Self {
        Self {
            percent_places: PLACES_DEFAULT,
            stale_after: BTreeMap::new(),
            stale_after_default: Duration::from_secs(15),
            return_after: Duration::from_secs(30),
            startup_wait: Duration::from_secs(5),
            pause_min: Duration::from_secs(5),
            jump_max_percent: None,
            venues_without_trade_times: BTreeSet::new(),
            minutes_kept: BTreeMap::new(),
            redenominations: Vec::new(),
        }
    }
}
