//! The state of all markets: events in, changed rows out.
//!
//! Pure: no I/O, no async, no clock (the current time is an argument), so a day can be simulated in a
//! second. [`Quotes`] holds one [`feed::Feed`] for each market at each venue and one row for each market of
//! each board; a row reads the feeds of its source and uses the first healthy one.
//!
//! ```text
//!  Event ──▶ Feed (venue × market): last, window, age ──▶ Row (source × market): which venue ──▶ BoardUpdate
//! ```

mod acceptance;
mod board_settings;
mod day;
mod feed;
mod jump;
mod listing;
mod row;
mod venue_health;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::feed::{
    BoardUpdate, Event, FeedRecords, Gap, Implausible, Jump, JumpStatus, Listing, ListingRecord, Problems, Relisting,
    VenueHealth,
};
use crate::market::{Market, Minute, Now, SourceId, UnitChanges, VenueClock, VenueId};

use acceptance::TickerOutcome;
use feed::Feed;
use jump::ReceivedTicker;
use listing::ListingObservation;
use row::Row;
use venue_health::{HealthContext, HealthPublication};

pub use board_settings::{BoardSettings, BoardSpec};

/// Minimum time between two publications of a row that was only confirmed again.
const CONFIRM_INTERVAL: Duration = Duration::from_secs(5);

/// Maximum number of jumps kept until the next call of [`Quotes::take_jumps`]; further ones are dropped.
const JUMPS_MAX: usize = 256;

/// All feeds and all rows.
#[derive(Debug)]
pub struct Quotes {
    settings: BoardSettings,
    /// When the board was last called, by the monotonic clock.
    active_at: Duration,
    clocks: BTreeMap<VenueId, VenueClock>,
    feeds: HashMap<(VenueId, Market), Feed>,
    rows: Vec<Row>,
    /// The rows to recompute when a feed changes.
    rows_by_feed: HashMap<(VenueId, Market), Vec<usize>>,
    dirty_rows: BTreeSet<usize>,
    health: BTreeMap<VenueId, VenueHealth>,
    /// Venues whose health has to be published again.
    health_changed: BTreeSet<VenueId>,
    rejected: BTreeMap<(VenueId, &'static str), u64>,
    problems: BTreeMap<VenueId, Problems>,
    /// What became of held prices, until taken.
    jumps: Vec<Jump>,
    /// Markets of which another listing has begun, and the causes, until taken.
    relistings: Vec<Relisting>,
    health_publications: BTreeMap<VenueId, HealthPublication>,
    /// Minutes whose close in a candle differed from the one seen live.
    overruled: BTreeMap<VenueId, u64>,
    /// The last list of markets of each venue, for feeds that are created later.
    listings: BTreeMap<VenueId, HashMap<Market, Listing>>,
    /// Markets whose price waits for a confirmation.
    unconfirmed: BTreeSet<(VenueId, Market)>,
    /// Rows that no board has any more, until published.
    removed: BTreeSet<(SourceId, Market)>,
    /// Whether the next update has all rows, and whether it is the first one after a change of the boards.
    is_complete: bool,
    is_revision: bool,
    /// Records of dropped feeds that have not been taken yet.
    dropped: Vec<FeedRecords>,
    /// What is known of the listings of dropped feeds: a base must not come from an earlier listing of a market that
    /// returns.
    dropped_listings: BTreeMap<(VenueId, Market), ListingRecord>,
}

impl Quotes {
    /// Creates one row for each source and market of the boards, all of them unknown.
    pub fn new(specs: &[BoardSpec], settings: BoardSettings, now: Now) -> Self {
        let mut quotes = Self {
            settings,
            active_at: now.monotonic,
            clocks: BTreeMap::new(),
            feeds: HashMap::new(),
            rows: Vec::new(),
            rows_by_feed: HashMap::new(),
            dirty_rows: BTreeSet::new(),
            health: BTreeMap::new(),
            health_changed: BTreeSet::new(),
            rejected: BTreeMap::new(),
            problems: BTreeMap::new(),
            jumps: Vec::new(),
            relistings: Vec::new(),
            health_publications: BTreeMap::new(),
            overruled: BTreeMap::new(),
            listings: BTreeMap::new(),
            unconfirmed: BTreeSet::new(),
            removed: BTreeSet::new(),
            is_complete: true,
            is_revision: false,
            dropped: Vec::new(),
            dropped_listings: BTreeMap::new(),
        };
        quotes.set_boards(specs, now);
        // The first boards are no change.
        quotes.is_revision = false;
        quotes
    }

    /// Replaces the boards.
    ///
    /// A row that stays keeps its state, and a feed that some row still reads its data. New rows are unknown; a market
    /// that returns starts again, with the gaps of its whole window. Rows that no board has any more are removed with
    /// the next [`Self::publish`], and feeds that no row reads are dropped; [`Self::take_unrecorded`] still returns
    /// their records.
    pub fn set_boards(&mut self, specs: &[BoardSpec], now: Now) {
        let mut old: HashMap<(SourceId, Market), Row> =
            std::mem::take(&mut self.rows).into_iter().map(|row| (row.key(), row)).collect();
        let mut seen = HashSet::new();
        self.rows_by_feed.clear();
        for spec in specs.iter().filter(|spec| !spec.venues.is_empty()) {
            for market in &spec.markets {
                let key = (spec.source.clone(), market.clone());
                if !seen.insert(key.clone()) {
                    continue;
                }
                for &venue in &spec.venues {
                    self.rows_by_feed.entry((venue, market.clone())).or_default().push(self.rows.len());
                }
                let mut row = old.remove(&key).unwrap_or_else(|| Row::new(spec, market.clone(), now));
                row.follow(spec);
                self.rows.push(row);
                self.removed.remove(&key);
            }
        }
        self.removed.extend(old.into_keys());
        self.is_revision = true;
        self.dirty_rows = (0..self.rows.len()).collect();
        self.set_feeds(now);
    }

    /// Drops the feeds that no row reads, and creates those that are missing.
    fn set_feeds(&mut self, now: Now) {
        let (rows_by_feed, dropped, listings) = (&self.rows_by_feed, &mut self.dropped, &mut self.dropped_listings);
        self.feeds.retain(|key, feed| {
            let is_read = rows_by_feed.contains_key(key);
            if !is_read {
                dropped.extend(feed.take_unrecorded(key.0, &key.1));
                listings.extend(feed.listing_record().map(|record| (key.clone(), record)));
            }
            is_read
        });
        self.unconfirmed.retain(|key| rows_by_feed.contains_key(key));
        let kept: BTreeSet<VenueId> = self.feeds.keys().map(|(venue, _)| *venue).collect();
        for (venue, market) in self.rows_by_feed.keys() {
            let key = (*venue, market.clone());
            self.feeds.entry(key).or_insert_with_key(|key| {
                let mut feed = Feed::new(UnitChanges::of(&self.settings.redenominations, *venue, market));
                if let Some(record) = self.dropped_listings.remove(key) {
                    feed.restore_listing(record);
                }
                if let Some(listing) = self.listings.get(venue).and_then(|listings| listings.get(market)) {
                    let venue_now = feed::venue_now(self.clocks.get(venue).copied(), now);
                    feed.observe_listing(ListingObservation::Listed(listing.clone()), venue_now);
                }
                if !kept.contains(venue) {
                    self.health_publications.entry(*venue).or_default().await_first_price(now);
                }
                feed
            });
        }
        self.health_changed.extend(self.health.keys());
    }

    /// Applies one event.
    ///
    /// Events for markets that no row needs are ignored.
    pub fn apply(&mut self, event: Event, now: Now) {
        self.detect_pause(now);
        match event {
            Event::Ticker { venue, market, ticker, requested, received, via } => {
                let clock = self.clocks.get(&venue).copied();
                let incoming = ReceivedTicker { ticker, requested, received, via, clock };
                let rule = self.settings.jump_rule(venue);
                let mut outcome = TickerOutcome::Waiting;
                let (mut held_before, mut held_after, mut shown) = (None, None, None);
                self.with_feed(venue, market.clone(), now, |feed| {
                    held_before = feed.held_price();
                    let result = feed.apply_ticker(incoming, rule);
                    (held_after, shown) = (feed.held_price(), feed.last_price());
                    outcome = result?;
                    Ok(())
                });
                let status = match (held_before, held_after) {
                    (None, Some(held)) => Some((held, JumpStatus::Held)),
                    (Some(held), None) if outcome == TickerOutcome::Refuted => Some((held, JumpStatus::Refuted)),
                    (Some(held), None) => Some((held, JumpStatus::Released)),
                    _ => None,
                };
                if let Some((held, status)) = status.filter(|_| self.jumps.len() < JUMPS_MAX) {
                    self.jumps.push(Jump { venue, market: market.clone(), held, shown, status });
                }
                let key = (venue, market);
                match outcome {
                    TickerOutcome::Held => {
                        self.count_rejection(
                            &key,
                            ("price-jump", None),
                            || "held back until a second source confirms it".to_owned(),
                            now,
                        );
                        self.unconfirmed.insert(key);
                    }
                    TickerOutcome::Refuted => {
                        self.count_rejection(
                            &key,
                            ("price-jump-refuted", None),
                            || "not confirmed by another trade or response".to_owned(),
                            now,
                        );
                    }
                    TickerOutcome::Accepted | TickerOutcome::Waiting => {}
                }
            }
            Event::Settled { venue, market, span, closes } => {
                let mut overruled = 0;
                self.with_feed(venue, market, now, |feed| {
                    overruled = feed.settle(span, &closes);
                    Ok(())
                });
                if overruled > 0 {
                    *self.overruled.entry(venue).or_default() += u64::try_from(overruled).unwrap_or(u64::MAX);
                }
            }
            Event::Listings { venue, listings, unreadable, missing, other_assets } => {
                self.apply_listings(venue, listings, (&unreadable, &missing, &other_assets), now);
            }
            Event::TickSizes { venue, sizes } => {
                for (market, size) in sizes {
                    self.with_feed(venue, market, now, |feed| {
                        feed.set_tick_size(size);
                        Ok(())
                    });
                }
            }
            Event::Clock { venue, clock } => {
                let our_clock = VenueClock::showing(now.wall, now.monotonic);
                let before = self.clocks.insert(venue, clock).or(our_clock);
                if before.is_some_and(|before| before.at_zero > clock.at_zero) {
                    for (_, feed) in self.feeds.iter_mut().filter(|((of, _), _)| *of == venue) {
                        feed.clamp_times(clock.at(now.monotonic));
                    }
                }
            }
            Event::Health(health) => {
                self.health_changed.insert(health.venue);
                self.health.insert(health.venue, health);
            }
        }
    }

    fn with_feed(
        &mut self,
        venue: VenueId,
        market: Market,
        now: Now,
        apply: impl FnOnce(&mut Feed) -> Result<(), Implausible>,
    ) {
        let key = (venue, market);
        let Some(feed) = self.feeds.get_mut(&key) else { return };
        let result = apply(feed);
        let tolerated = feed.take_tolerated();
        if let Some(cause) = feed.take_relisting_cause() {
            self.relistings.push(Relisting { venue, market: key.1.clone(), cause });
        }
        if result.is_ok() {
            self.dirty_rows.extend(self.rows_by_feed.get(&key).into_iter().flatten());
        }
        if let Some(what) = result.err().or(tolerated) {
            self.count_rejection(&key, (what.code(), what.field()), || what.to_string(), now);
        }
    }

    fn count_rejection(
        &mut self,
        (venue, market): &(VenueId, Market),
        kind: (&'static str, Option<&'static str>),
        text: impl FnOnce() -> String,
        now: Now,
    ) {
        *self.rejected.entry((*venue, kind.0)).or_default() += 1;
        self.problems.entry(*venue).or_default().add(kind, Some(market), text, now.wall);
    }

    /// Records that the board is active; after a pause, live data is not joined to what came before it.
    fn detect_pause(&mut self, now: Now) {
        let paused = now.monotonic.saturating_sub(self.active_at) > self.settings.pause_min;
        self.active_at = now.monotonic;
        if paused {
            self.feeds.values_mut().for_each(Feed::interrupt);
        }
    }

    fn apply_listings(
        &mut self,
        venue: VenueId,
        listings: Vec<Listing>,
        (unreadable, missing, other_assets): (&[Market], &[(Market, u32)], &[Market]),
        now: Now,
    ) {
        let venue_now = feed::venue_now(self.clocks.get(&venue).copied(), now);
        let listed: HashMap<Market, Listing> = listings.into_iter().map(|l| (l.market.clone(), l)).collect();
        let missing: HashMap<&Market, u32> = missing.iter().map(|(market, lists)| (market, *lists)).collect();
        for ((_, market), feed) in self.feeds.iter_mut().filter(|((v, _), _)| *v == venue) {
            let observation = if let Some(listing) = listed.get(market) {
                ListingObservation::Listed(listing.clone())
            } else if other_assets.contains(market) {
                ListingObservation::OtherAsset
            } else if unreadable.contains(market) {
                ListingObservation::Unreadable
            } else if let Some(lists) = missing.get(market) {
                ListingObservation::Missing(*lists)
            } else {
                continue;
            };
            feed.observe_listing(observation, venue_now);
            if let Some(cause) = feed.take_relisting_cause() {
                self.relistings.push(Relisting { venue, market: market.clone(), cause });
            }
            self.dirty_rows.extend(self.rows_by_feed.get(&(venue, market.clone())).into_iter().flatten());
        }
        self.listings.insert(venue, listed);
    }

    /// Marks every row for recomputation: ages grow, bases move on, windows are pruned.
    ///
    /// Must be called about once a second.
    pub fn tick(&mut self, now: Now) {
        self.detect_pause(now);
        self.detect_market_moves(now);
        let mut rescaled = Vec::new();
        let held = self.feeds.iter().filter(|(_, feed)| feed.needs_check(now)).map(|(key, _)| key.clone());
        self.unconfirmed.extend(held);
        for (key, feed) in &mut self.feeds {
            let clock = self.clocks.get(&key.0).copied();
            let venue_now = feed::venue_now(clock, now);
            // Don't drop data because of our own clock alone, which may be days ahead.
            let reliable = clock.map(|_| venue_now).or(feed.confirmed_venue_time().map(|at| at.min(venue_now)));
            feed.prune(reliable.unwrap_or(venue_now), now);
            if feed.is_newly_rescaled(venue_now) {
                rescaled.push(key.clone());
            }
        }
        for key in rescaled {
            let what = Implausible::Rescaled;
            self.count_rejection(&key, (what.code(), what.field()), || what.to_string(), now);
        }
        self.health_changed.extend(self.health.keys());
        self.dirty_rows.extend(0..self.rows.len());
    }

    /// Finds markets that have jumped by the same power of ten at two exchanges within a minute: those have
    /// really moved.
    fn detect_market_moves(&mut self, now: Now) {
        let clocks = &self.clocks;
        let jumps_of = |((venue, market), feed): (&(VenueId, Market), &Feed)| {
            let jumps = feed.jumps_since_base(feed::venue_now(clocks.get(venue).copied(), now));
            (!jumps.is_empty()).then(|| ((*venue, market.clone()), jumps))
        };
        let jumps: BTreeMap<(VenueId, Market), Vec<(Minute, i32)>> = self.feeds.iter().filter_map(jumps_of).collect();
        if jumps.is_empty() {
            return;
        }
        for (key, feed) in &mut self.feeds {
            let own = jumps.get(key).into_iter().flatten();
            let elsewhere = || jumps.iter().filter(|((venue, market), _)| *venue != key.0 && *market == key.1);
            let is_move = |(minute, power): &&(Minute, i32)| {
                elsewhere()
                    .flat_map(|(_, jumps)| jumps)
                    .any(|(other, same)| same == power && (other.0 - minute.0).abs() <= 1)
            };
            feed.set_market_moves(own.filter(is_move).map(|(minute, _)| *minute).collect());
        }
    }

    /// Returns the rows and the health of venues that have changed since the last call, and the rows removed since.
    pub fn publish(&mut self, now: Now) -> BoardUpdate {
        let removed = std::mem::take(&mut self.removed).into_iter().collect();
        let (is_complete, is_revision) = (std::mem::take(&mut self.is_complete), std::mem::take(&mut self.is_revision));
        let mut update = BoardUpdate { at: now.wall, removed, is_complete, is_revision, ..BoardUpdate::default() };
        for index in std::mem::take(&mut self.dirty_rows) {
            let row = &mut self.rows[index];
            let (feeds, clocks, health) = (&self.feeds, &self.clocks, &self.health);
            let context = row::RowContext { feeds, clocks, health, settings: &self.settings, now };
            let quote = row.quote(&context);
            match &row.published {
                Some(old) if old.quote.eq_ignoring_confirmation(&quote) => {
                    let due = now.monotonic.saturating_sub(old.at) >= CONFIRM_INTERVAL;
                    if !due || old.quote.confirmed_at == quote.confirmed_at {
                        continue;
                    }
                    update.confirmed.push(row.mark_published(quote, now));
                }
                _ => update.changed.push(row.mark_published(quote, now)),
            }
        }
        for venue in std::mem::take(&mut self.health_changed) {
            update.venues.extend(self.report_health(venue, now));
        }
        update
    }

    /// Returns the health of a venue for publication, if it has changed.
    fn report_health(&mut self, venue: VenueId, now: Now) -> Option<VenueHealth> {
        let mut health = self.health.get(&venue)?.clone();
        health.overruled = self.overruled.get(&venue).copied().unwrap_or(0);
        for ((_, code), count) in self.rejected.iter().filter(|((v, _), _)| *v == venue) {
            *health.rejected.entry((*code).to_owned()).or_default() += count;
        }
        if let Some(problems) = self.problems.get_mut(&venue) {
            health.problems.extend(problems.list(now.wall));
        }
        let context = HealthContext {
            feeds: &self.feeds,
            rows: &self.rows,
            rows_by_feed: &self.rows_by_feed,
            clocks: &self.clocks,
            settings: &self.settings,
            now,
        };
        self.health_publications.entry(venue).or_default().report(health, &context)
    }

    /// Returns the venues whose state or reason differs from what was last logged, each at a limited rate.
    ///
    /// Must be called about once a second.
    pub fn take_health_to_log(&mut self, now: Now) -> Vec<VenueHealth> {
        self.health_publications.values_mut().filter_map(|reported| reported.take_to_log(now)).collect()
    }

    /// Returns what became of held prices since the last call.
    pub fn take_jumps(&mut self) -> Vec<Jump> {
        std::mem::take(&mut self.jumps)
    }

    /// Returns the markets of which another listing has begun since the last call.
    pub fn take_relistings(&mut self) -> Vec<Relisting> {
        std::mem::take(&mut self.relistings)
    }

    /// Returns the records that have changed since the last call, to be persisted.
    pub fn take_unrecorded(&mut self) -> Vec<FeedRecords> {
        let mut records = std::mem::take(&mut self.dropped);
        let feeds = self.feeds.iter_mut();
        records.extend(feeds.filter_map(|((venue, market), feed)| feed.take_unrecorded(*venue, market)));
        records
    }

    /// Makes [`Self::take_unrecorded`] return all data again: what was recorded before is lost.
    pub fn mark_all_unrecorded(&mut self) {
        self.feeds.values_mut().for_each(Feed::mark_all_unrecorded);
    }

    /// Restores a feed from the records of a previous run: before any event, or later, in addition to
    /// existing data.
    ///
    /// Records of feeds that no row needs are ignored.
    pub fn restore(&mut self, records: &FeedRecords) {
        let key = (records.venue, records.market.clone());
        if let Some(feed) = self.feeds.get_mut(&key) {
            feed.restore(records);
            self.dirty_rows.extend(self.rows_by_feed.get(&key).into_iter().flatten());
        }
    }

    /// Makes [`Self::publish`] return every row again, for subscribers that have lost their state.
    pub fn republish_all(&mut self) {
        self.rows.iter_mut().for_each(|row| row.published = None);
        self.is_complete = true;
        self.dirty_rows.extend(0..self.rows.len());
    }

    /// Returns the markets whose latest price is held back until another trade, or a response requested from
    /// now on, confirms it. Each is returned when it starts to wait, and then once per [`Self::tick`] as long as the
    /// venue should be asked about it.
    pub fn take_unconfirmed(&mut self) -> BTreeSet<(VenueId, Market)> {
        std::mem::take(&mut self.unconfirmed)
    }

    /// Returns the gaps that candles should fill, most urgent first.
    pub fn gaps(&self, now: Now) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = self.rows.iter().flat_map(|row| row.gaps(&self.feeds, &self.clocks, now)).collect();
        gaps.sort_by_key(|gap| (gap.urgency, gap.span.start));
        gaps.dedup();
        gaps
    }
}
