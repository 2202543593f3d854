//! One row of a board: the market, the venue that it is taken from, its figures, and the minutes that it lacks.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use super::board_settings::{BoardSettings, BoardSpec};
use super::feed::{self, Feed};
use crate::feed::{Gap, MissingPart, Urgency, VenueHealth};
use crate::market::{Basis, Market, Minute, NoChange, Now, Quote, SourceId, State, VenueClock, VenueId};

/// A minute is left to the stream until it has been over for this long, because its last trade may still
/// arrive.
const STREAM_GRACE: SignedDuration = SignedDuration::from_secs(15);

/// Gaps among this many of the newest minutes take precedence over older ones; one candle response covers
/// them all.
const RECENT_MINUTES: i64 = 180;

/// A base is settled once it is older than this many minutes.
const SETTLE_BASE_AFTER: i64 = 3;

/// Minutes seen live are settled once this many of them have accumulated.
const SETTLE_BATCH: i64 = 60;

/// Minutes in a day.
const DAY_MINUTES: i64 = 24 * 60;

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
    /// When it was added, by the monotonic clock.
    added_at: Duration,
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
    pub now: Now,
}

impl Row {
    /// Creates a row that was never published.
    pub fn new(entry: &BoardSpec, market: Market, now: Now) -> Self {
        Self {
            source: entry.source.clone(),
            venues: entry.venues.clone(),
            market,
            basis: entry.basis,
            published: None,
            chosen: 0,
            better_since: None,
            added_at: now.monotonic,
        }
    }

    /// Returns what identifies the row: its source and its market.
    pub fn key(&self) -> (SourceId, Market) {
        (self.source.clone(), self.market.clone())
    }

    /// Takes venues and basis from the board that has the row now; the chosen venue stays, if it is one of them.
    pub fn follow(&mut self, spec: &BoardSpec) {
        self.basis = spec.basis;
        if self.venues != spec.venues {
            let chosen = self.venues.get(self.chosen).copied();
            self.chosen = spec.venues.iter().position(|venue| Some(*venue) == chosen).unwrap_or(0);
            self.venues.clone_from(&spec.venues);
            self.better_since = None;
        }
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

    /// Chooses the first healthy venue, but neither leaves the chosen one too early after the row was added nor
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

    /// Returns whether the row may leave its venue: the wait after it was added is over, the venue has had a
    /// price, or it does not list the market.
    fn may_leave(&self, context: &RowContext<'_>) -> bool {
        let feed = context.feeds.get(&(self.venues[self.chosen], self.market.clone()));
        let waited = context.now.monotonic.saturating_sub(self.added_at) >= context.settings.startup_wait;
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

    /// Returns the gaps in the windows behind the row.
    pub fn gaps(
        &self,
        feeds: &HashMap<(VenueId, Market), Feed>,
        clocks: &BTreeMap<VenueId, VenueClock>,
        now: Now,
    ) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for &venue in &self.venues {
            let venue_now = feed::venue_now(clocks.get(&venue).copied(), now);
            let current = Minute::of(venue_now);
            let Some(feed) = feeds.get(&(venue, self.market.clone())).filter(|feed| !feed.is_unavailable()) else {
                continue;
            };
            let window = feed.window();
            let mut add = |span: Range<Minute>, urgency| {
                gaps.push(Gap { venue, market: self.market.clone(), span, urgency });
            };
            for basis in Basis::ALL {
                let base = Minute::of(basis.base_time(venue_now));
                if window.clip_to_listing(base.plus(-1)..base).is_empty() {
                    continue;
                }
                let unknown = window.price_before(base.start()).is_none();
                if unknown {
                    add(base.plus(-1)..base, if basis == self.basis { Urgency::Base } else { Urgency::Older });
                } else if base < current.plus(-SETTLE_BASE_AFTER) && !window.unsettled(base.plus(-1)..base).is_empty() {
                    // The base was the current price until a moment ago: what was seen live still has to be
                    // settled.
                    add(base.plus(-1)..base, Urgency::Settle);
                }
            }
            let closed_until = Minute::of(venue_now.saturating_sub(STREAM_GRACE).unwrap_or(venue_now));
            let recent = current.plus(-RECENT_MINUTES);
            let day = current.plus(-DAY_MINUTES - 1)..closed_until;
            let missing = window.missing(day.clone());
            if missing.is_empty() {
                let unsettled = window.unsettled(day).into_iter();
                unsettled
                    .filter(|span| span.end.0 - span.start.0 >= SETTLE_BATCH)
                    .for_each(|span| add(span, Urgency::Settle));
            }
            for range in missing {
                let parts = [
                    (range.start..range.end.min(recent), Urgency::Older),
                    (range.start.max(recent)..range.end, Urgency::Recent),
                ];
                parts.into_iter().filter(|(span, _)| !span.is_empty()).for_each(|(span, urgency)| add(span, urgency));
            }
        }
        gaps
    }
}
