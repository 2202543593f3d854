//! One market of one board: which venue it is shown from, and what it says.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Basis, Lacks, Market, NoChange, Now, Quote, SourceId, State, VenueClock, VenueHealth, VenueId};

use super::feed::{self, Feed};
use super::{Published, Settings, Wanted};

/// A row and the choice it has made.
#[derive(Debug)]
pub struct Row {
    pub source: SourceId,
    pub venues: Vec<VenueId>,
    pub market: Market,
    pub basis: Basis,
    pub(super) published: Option<Published>,
    /// Index into `venues`.
    chosen: usize,
    /// Since when a venue before the chosen one has been healthy.
    better_since: Option<Duration>,
}

/// What a row looks at.
pub struct Look<'a> {
    pub feeds: &'a HashMap<(VenueId, Market), Feed>,
    pub settings: &'a Settings,
    /// The venues' clocks, as far as they are known.
    pub clocks: &'a BTreeMap<VenueId, VenueClock>,
    /// What ingest says of the venues.
    pub health: &'a BTreeMap<VenueId, VenueHealth>,
    pub started: Now,
    pub now: Now,
}

impl Row {
    /// A row that was never published.
    pub fn new(entry: &Wanted, market: Market) -> Self {
        Self {
            source: entry.source.clone(),
            venues: entry.venues.clone(),
            market,
            basis: entry.basis,
            published: None,
            chosen: 0,
            better_since: None,
        }
    }

    /// Returns whether this is the row of that market from that source.
    pub fn is_for(&self, source: &SourceId, market: &Market) -> bool {
        self.source == *source && self.market == *market
    }

    /// Chooses the venue and writes the row.
    pub fn quote(&mut self, look: &Look<'_>) -> Quote {
        self.choose(look);
        let venue = self.venues[self.chosen];
        let state = self.state_of(self.chosen, look);
        let feed = look.feeds.get(&(venue, self.market.clone()));
        let figures = feed.map(|feed| feed.figures(self.market.quote()));
        let confirmed_at = feed.and_then(Feed::confirmed_at);
        // Minutes, and so bases, are those of the venue's clock: ours may be wrong.
        let there = feed::there(look.clocks.get(&venue).copied(), look.now);
        // A price that is not of now is measured as of when it was: its change stays the one of its last moment.
        let as_of = match state {
            State::Stale | State::Halted => feed.and_then(Feed::confirmed_there).unwrap_or(there),
            State::Live | State::Delayed | State::Unknown => there,
        };
        let bases = feed.map(|feed| feed.bases(as_of)).unwrap_or_default();
        let why = |index: usize| {
            let basis = Basis::ALL[index];
            let own = feed.filter(|_| bases[index].is_none())?.why_no_base(basis.base_time(as_of));
            own.or_else(|| self.has_no_history(venue, look).then_some(NoChange::NoHistory))
        };
        Quote {
            market: self.market.clone(),
            source: self.source.clone(),
            venue,
            fallback: self.chosen > 0,
            korean_name: figures.as_ref().and_then(|f| f.korean_name.clone()),
            english_name: figures.as_ref().and_then(|f| f.english_name.clone()),
            last: figures.as_ref().and_then(|f| f.last),
            bases,
            no_bases: std::array::from_fn(|index| why(index).unwrap_or_default()),
            percent_places: look.settings.percent_places,
            digits: figures.as_ref().map_or(0, |f| f.digits),
            high_24h: figures.as_ref().and_then(|f| f.high_24h),
            low_24h: figures.as_ref().and_then(|f| f.low_24h),
            range_source: figures.as_ref().and_then(|f| f.range_source),
            base_volume_24h: figures.as_ref().and_then(|f| f.base_volume_24h),
            quote_volume_24h: figures.as_ref().and_then(|f| f.quote_volume_24h),
            state,
            reason: feed.filter(|_| state == State::Halted).and_then(Feed::halt_reason),
            notice: feed.and_then(Feed::notice),
            traded_at: figures.as_ref().and_then(|f| f.traded_at).filter(|_| !look.settings.undated.contains(&venue)),
            received_at: figures.as_ref().and_then(|f| f.received_at),
            confirmed_at,
        }
    }

    /// Whether the venue was asked for the past of the market in vain.
    fn has_no_history(&self, venue: VenueId, look: &Look<'_>) -> bool {
        let missing = look.health.get(&venue).map_or_else(Default::default, |health| health.missing.as_slice());
        missing.iter().any(|missing| missing.market == self.market && missing.lacks == Lacks::Base)
    }

    /// Notes that `quote` was handed on now.
    pub fn keep(&mut self, quote: Quote, now: Now) -> Arc<Quote> {
        let quote = Arc::new(quote);
        self.published = Some(Published { quote: Arc::clone(&quote), at: now.monotonic });
        quote
    }

    /// Takes the first healthy venue, but neither leaves in haste at the start nor returns before it is sure.
    fn choose(&mut self, look: &Look<'_>) {
        let healthy = |index: usize| matches!(self.state_of(index, look), State::Live | State::Delayed);
        let Some(best) = (0..self.venues.len()).find(|&index| healthy(index)) else {
            self.better_since = None;
            self.settle_for_less(look);
            return;
        };
        if best == self.chosen {
            self.better_since = None;
        } else if !healthy(self.chosen) {
            if best < self.chosen || self.may_leave(look) {
                self.chosen = best;
            }
            self.better_since = None;
        } else {
            let since = *self.better_since.get_or_insert(look.now.monotonic);
            if look.now.monotonic.saturating_sub(since) >= look.settings.return_after {
                self.chosen = best;
                self.better_since = None;
            }
        }
    }

    /// With no healthy venue at all: stay, unless the chosen one has nothing to show and another has.
    fn settle_for_less(&mut self, look: &Look<'_>) {
        if self.state_of(self.chosen, look) == State::Unknown && self.may_leave(look) {
            let shown = (0..self.venues.len()).find(|&index| self.state_of(index, look) != State::Unknown);
            self.chosen = shown.unwrap_or(self.chosen);
        }
    }

    /// Whether the chosen venue has had its chance.
    fn may_leave(&self, look: &Look<'_>) -> bool {
        let feed = look.feeds.get(&(self.venues[self.chosen], self.market.clone()));
        let waited = look.now.monotonic.saturating_sub(look.started.monotonic) >= look.settings.patience;
        let seen = self.state_of(self.chosen, look) != State::Unknown;
        waited || seen || feed.is_some_and(Feed::is_foreign)
    }

    fn state_of(&self, index: usize, look: &Look<'_>) -> State {
        let venue = self.venues[index];
        let stale_after = look.settings.stale_after(venue);
        look.feeds.get(&(venue, self.market.clone())).map_or(State::Unknown, |feed| feed.state(stale_after, look.now))
    }
}
