//! One row of a board: the market, the venue that it is taken from, and its figures.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::feed::{MissingPart, VenueHealth};
use crate::market::{Basis, Market, NoChange, Now, Quote, SourceId, State, VenueClock, VenueId};

use super::board_settings::{BoardSettings, BoardSpec};
use super::feed::{self, Feed};

/// A row and its current choice of venue.
#[derive(Debug)]
pub struct Row {
    pub source: SourceId,
    pub venues: Vec<VenueId>,
    pub market: Market,
    pub basis: Basis,
    pub published: Option<Published>,
    /// Index into `venues`.
    chosen: usize,
    /// Since when a venue before the chosen one has been healthy.
    better_since: Option<Duration>,
}

/// A published quote, and when it was published.
#[derive(Debug)]
pub struct Published {
    pub quote: Arc<Quote>,
    pub at: Duration,
}

/// What a row is computed from.
pub struct RowContext<'a> {
    pub feeds: &'a HashMap<(VenueId, Market), Feed>,
    pub settings: &'a BoardSettings,
    /// The venues' clocks, as far as known.
    pub clocks: &'a BTreeMap<VenueId, VenueClock>,
    /// The health of the venues, as reported by ingest.
    pub health: &'a BTreeMap<VenueId, VenueHealth>,
    pub started: Now,
    pub now: Now,
}

impl Row {
    /// Creates a row that was never published.
    pub fn new(entry: &BoardSpec, market: Market) -> Self {
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

    /// Returns whether this is the row of `market` from `source`.
    pub fn is_for(&self, source: &SourceId, market: &Market) -> bool {
        self.source == *source && self.market == *market
    }

    /// Chooses the venue and computes the row.
    pub fn quote(&mut self, context: &RowContext<'_>) -> Quote {
        self.choose_venue(context);
        let venue = self.venues[self.chosen];
        let state = self.state_of(self.chosen, context);
        let feed = context.feeds.get(&(venue, self.market.clone()));
        let figures = feed.map(|feed| feed.figures(self.market.quote()));
        let confirmed_at = feed.and_then(Feed::confirmed_at);
        // Minutes, and so bases, follow the venue's clock, because ours may be wrong.
        let venue_now = feed::venue_now(context.clocks.get(&venue).copied(), context.now);
        // The change of a price that is no longer live is measured as of its last confirmation, and so does
        // not move.
        let as_of = match state {
            State::Stale | State::Halted => feed.and_then(Feed::confirmed_venue_time).unwrap_or(venue_now),
            State::Live | State::Delayed | State::Unknown => venue_now,
        };
        let bases = feed.map(|feed| feed.bases(as_of)).unwrap_or_default();
        let why = |index: usize| {
            let basis = Basis::ALL[index];
            let own = feed.filter(|_| bases[index].is_none())?.why_no_base(basis.base_time(as_of));
            own.or_else(|| self.has_no_history(venue, context).then_some(NoChange::NoHistory))
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
            no_base_reasons: std::array::from_fn(|index| why(index).unwrap_or_default()),
            percent_places: context.settings.percent_places,
            digits: figures.as_ref().map_or(0, |f| f.digits),
            high_24h: figures.as_ref().and_then(|f| f.high_24h),
            low_24h: figures.as_ref().and_then(|f| f.low_24h),
            range_source: figures.as_ref().and_then(|f| f.range_source),
            base_volume_24h: figures.as_ref().and_then(|f| f.base_volume_24h),
            quote_volume_24h: figures.as_ref().and_then(|f| f.quote_volume_24h),
            state,
            reason: feed.filter(|_| state == State::Halted).and_then(Feed::halt_reason),
            notice: feed.and_then(Feed::notice),
            traded_at: figures
                .as_ref()
                .and_then(|f| f.traded_at)
                .filter(|_| !context.settings.venues_without_trade_times.contains(&venue)),
            received_at: figures.as_ref().and_then(|f| f.received_at),
            confirmed_at,
        }
    }

    /// Returns whether requests for the history of the market failed at this venue.
    fn has_no_history(&self, venue: VenueId, context: &RowContext<'_>) -> bool {
        let missing = context.health.get(&venue).map_or_else(Default::default, |health| health.missing.as_slice());
        missing.iter().any(|missing| missing.market == self.market && missing.lacks == MissingPart::Base)
    }

    /// Records that `quote` is published now.
    pub fn mark_published(&mut self, quote: Quote, now: Now) -> Arc<Quote> {
        let quote = Arc::new(quote);
        self.published = Some(Published { quote: Arc::clone(&quote), at: now.monotonic });
        quote
    }

    /// Chooses the first healthy venue, but neither leaves the chosen one too early after the start nor
    /// returns to a better one before it is stable.
    fn choose_venue(&mut self, context: &RowContext<'_>) {
        let healthy = |index: usize| matches!(self.state_of(index, context), State::Live | State::Delayed);
        let Some(best) = (0..self.venues.len()).find(|&index| healthy(index)) else {
            self.better_since = None;
            self.choose_unhealthy_venue(context);
            return;
        };
        if best == self.chosen {
            self.better_since = None;
        } else if !healthy(self.chosen) {
            if best < self.chosen || self.may_leave(context) {
                self.chosen = best;
            }
            self.better_since = None;
        } else {
            let since = *self.better_since.get_or_insert(context.now.monotonic);
            if context.now.monotonic.saturating_sub(since) >= context.settings.return_after {
                self.chosen = best;
                self.better_since = None;
            }
        }
    }

    /// Without any healthy venue, keeps the chosen one, unless it has no price and another one has.
    fn choose_unhealthy_venue(&mut self, context: &RowContext<'_>) {
        if self.state_of(self.chosen, context) == State::Unknown && self.may_leave(context) {
            let with_price = (0..self.venues.len()).find(|&index| self.state_of(index, context) != State::Unknown);
            self.chosen = with_price.unwrap_or(self.chosen);
        }
    }

    /// Returns whether the row may leave its venue: the wait after the start is over, the venue has had a
    /// price, or it does not list the market.
    fn may_leave(&self, context: &RowContext<'_>) -> bool {
        let feed = context.feeds.get(&(self.venues[self.chosen], self.market.clone()));
        let waited = context.now.monotonic.saturating_sub(context.started.monotonic) >= context.settings.startup_wait;
        let seen = self.state_of(self.chosen, context) != State::Unknown;
        waited || seen || feed.is_some_and(Feed::is_unavailable)
    }

    fn state_of(&self, index: usize, context: &RowContext<'_>) -> State {
        let venue = self.venues[index];
        let stale_after = context.settings.stale_after(venue);
        context
            .feeds
            .get(&(venue, self.market.clone()))
            .map_or(State::Unknown, |feed| feed.state(stale_after, context.now))
    }
}
