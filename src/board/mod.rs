//! The state of the market: events in, changed rows out.
//!
//! Pure: no I/O, no async, no clock (the present is an argument), so that a
//! day can be played in a second. [`Quotes`] holds one [`feed::Feed`] for each
//! market at each venue and one row for each market of each board; a row
//! looks at the feeds of its source and takes the first healthy one.
//!
//! ```text
//!  Event ──▶ Feed (venue × market): last, window, age ──▶ Row (source × market): which venue ──▶ Publish
//! ```

mod extremes;
mod feed;
mod gaps;
mod health;
mod jump;
mod notices;
mod places;
mod presence;
mod row;
mod said;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{
    Basis, Event, FeedRecords, Gap, Implausible, Jump, JumpStands, Listing, Market, Minute, Now, Problems, Publish,
    Redenomination, Relisting, SourceId, Units, VenueClock, VenueHealth, VenueId, change::PLACES_DEFAULT,
};

use feed::Feed;
use health::Told;
use presence::Word;
use row::Row;

/// How often a row that was only confirmed again is handed on, at most.
const CONFIRM_EVERY: Duration = Duration::from_secs(5);

/// Prices held back that are told of between two calls of [`Quotes::take_jumps`], at most.
const JUMPS_MAX: usize = 256;

/// The rows that a board wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The name of the source list.
    pub source: SourceId,
    /// Its venues, in order of preference.
    pub venues: Vec<VenueId>,
    /// The markets.
    pub markets: Vec<Market>,
    /// What the changes are measured against by default: that base is sought first.
    pub basis: Basis,
}

/// What may differ from one operator to the next.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Decimal places of a change.
    pub percent_places: u32,
    /// A feed that was not confirmed for this long is stale; by venue, else the default.
    pub stale_after: BTreeMap<VenueId, Duration>,
    /// See `stale_after`.
    pub stale_after_default: Duration,
    /// How long a preferred venue must have been healthy before a row returns to it.
    pub return_after: Duration,
    /// How long after the start a row waits for its preferred venue.
    pub patience: Duration,
    /// Without a look at the board for so long we were stopped or asleep, and may have missed what was said meanwhile.
    pub pause_min: Duration,
    /// A price further than this many percent from a live one is held back until something else says the same; `None`
    /// holds nothing back.
    pub jump_max_percent: Option<u32>,
    /// Venues that date their messages and not their trades.
    pub undated: BTreeSet<VenueId>,
    /// Where the unit of a price has changed.
    pub redenominations: Vec<Redenomination>,
}

impl Settings {
    fn stale_after(&self, venue: VenueId) -> Duration {
        self.stale_after.get(&venue).copied().unwrap_or(self.stale_after_default)
    }

    fn jump_rule(&self, venue: VenueId) -> feed::JumpRule {
        feed::JumpRule { max_percent: self.jump_max_percent, stale_after: self.stale_after(venue) }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            percent_places: PLACES_DEFAULT,
            stale_after: BTreeMap::new(),
            stale_after_default: Duration::from_secs(15),
            return_after: Duration::from_secs(30),
            patience: Duration::from_secs(5),
            pause_min: Duration::from_secs(5),
            jump_max_percent: None,
            undated: BTreeSet::new(),
            redenominations: Vec::new(),
        }
    }
}

/// Every feed and every row.
#[derive(Debug)]
pub struct Quotes {
    settings: Settings,
    started: Now,
    /// When anything was last looked at, by the monotonic clock.
    looked: Duration,
    clocks: BTreeMap<VenueId, VenueClock>,
    feeds: HashMap<(VenueId, Market), Feed>,
    rows: Vec<Row>,
    /// Rows to look at again when a feed changes.
    readers: HashMap<(VenueId, Market), Vec<usize>>,
    touched: BTreeSet<usize>,
    health: BTreeMap<VenueId, VenueHealth>,
    /// Venues whose links were told of anew.
    health_changed: BTreeSet<VenueId>,
    refused: BTreeMap<(VenueId, &'static str), u64>,
    problems: BTreeMap<VenueId, Problems>,
    /// What became of prices held back, until it is taken.
    jumps: Vec<Jump>,
    /// Markets of which another listing has begun, and why, until they are taken.
    relisted: Vec<Relisting>,
    told: BTreeMap<VenueId, Told>,
    /// Minutes in which a candle said something else than we had seen.
    overruled: BTreeMap<VenueId, u64>,
    /// Markets whose price waits for a second witness.
    unchecked: BTreeSet<(VenueId, Market)>,
}

impl Quotes {
    /// Sets up one row for each market of each entry, all of them unknown.
    pub fn new(wanted: &[Wanted], settings: Settings, now: Now) -> Self {
        let mut quotes = Self {
            settings,
            started: now,
            looked: now.monotonic,
            clocks: BTreeMap::new(),
            feeds: HashMap::new(),
            rows: Vec::new(),
            readers: HashMap::new(),
            touched: BTreeSet::new(),
            health: BTreeMap::new(),
            health_changed: BTreeSet::new(),
            refused: BTreeMap::new(),
            problems: BTreeMap::new(),
            jumps: Vec::new(),
            relisted: Vec::new(),
            told: BTreeMap::new(),
            overruled: BTreeMap::new(),
            unchecked: BTreeSet::new(),
        };
        for entry in wanted {
            for market in &entry.markets {
                quotes.add_row(entry, market);
            }
        }
        quotes
    }

    fn add_row(&mut self, entry: &Wanted, market: &Market) {
        if entry.venues.is_empty() || self.rows.iter().any(|row| row.is_for(&entry.source, market)) {
            return;
        }
        let index = self.rows.len();
        self.rows.push(Row::new(entry, market.clone()));
        self.touched.insert(index);
        for &venue in &entry.venues {
            let units = Units::of(&self.settings.redenominations, venue, market);
            self.feeds.entry((venue, market.clone())).or_insert_with(|| Feed::new(units));
            self.readers.entry((venue, market.clone())).or_default().push(index);
        }
    }

    /// Takes in one event.
    ///
    /// Events for markets that no row wants change nothing.
    pub fn apply(&mut self, event: Event, now: Now) {
        self.look(now);
        match event {
            Event::Ticker { venue, market, ticker, asked, received, via } => {
                let clock = self.clocks.get(&venue).copied();
                let arrival = feed::Arrival { ticker, asked, received, via, clock };
                let rule = self.settings.jump_rule(venue);
                let mut taken = feed::Taken::Waiting;
                let (mut before, mut after, mut shown) = (None, None, None);
                self.with_feed(venue, market.clone(), now, |feed| {
                    before = feed.held_price();
                    let result = feed.take(arrival, rule);
                    (after, shown) = (feed.held_price(), feed.last_price());
                    taken = result?;
                    Ok(())
                });
                let stands = match (before, after) {
                    (None, Some(held)) => Some((held, JumpStands::Held)),
                    (Some(held), None) if taken == feed::Taken::Refuted => Some((held, JumpStands::Refuted)),
                    (Some(held), None) => Some((held, JumpStands::Over)),
                    _ => None,
                };
                if let Some((held, stands)) = stands.filter(|_| self.jumps.len() < JUMPS_MAX) {
                    self.jumps.push(Jump { venue, market: market.clone(), held, shown, stands });
                }
                let key = (venue, market);
                match taken {
                    feed::Taken::Held => {
                        self.count(&key, ("price-jump", None), || "held back until it is said twice".to_owned(), now);
                        self.unchecked.insert(key);
                    }
                    feed::Taken::Refuted => {
                        self.count(&key, ("price-jump-refuted", None), || "nothing else said so".to_owned(), now);
                    }
                    feed::Taken::Believed | feed::Taken::Waiting => {}
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
            Event::Listings { venue, listings, unreadable } => self.apply_listings(venue, listings, &unreadable, now),
            Event::TickSizes { venue, sizes } => {
                for (market, size) in sizes {
                    self.with_feed(venue, market, now, |feed| {
                        feed.set_tick_size(size);
                        Ok(())
                    });
                }
            }
            Event::Clock { venue, clock } => {
                let ours = VenueClock::showing(now.wall, now.monotonic);
                let before = self.clocks.insert(venue, clock).or(ours);
                if before.is_some_and(|before| before.at_zero > clock.at_zero) {
                    for (_, feed) in self.feeds.iter_mut().filter(|((of, _), _)| *of == venue) {
                        feed.set_back(clock.at(now.monotonic));
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
        take: impl FnOnce(&mut Feed) -> Result<(), Implausible>,
    ) {
        let key = (venue, market);
        let Some(feed) = self.feeds.get_mut(&key) else { return };
        let taken = take(feed);
        let noted = feed.take_noted();
        if let Some(cause) = feed.take_relisted() {
            self.relisted.push(Relisting { venue, market: key.1.clone(), cause });
        }
        if taken.is_ok() {
            self.touched.extend(self.readers.get(&key).into_iter().flatten());
        }
        if let Some(what) = taken.err().or(noted) {
            self.count(&key, (what.code(), what.field()), || what.to_string(), now);
        }
    }

    fn count(
        &mut self,
        (venue, market): &(VenueId, Market),
        kind: (&'static str, Option<&'static str>),
        text: impl FnOnce() -> String,
        now: Now,
    ) {
        *self.refused.entry((*venue, kind.0)).or_default() += 1;
        self.problems.entry(*venue).or_default().add(kind, Some(market), text, now.wall);
    }

    /// Notes that we are looking; after a pause nothing live is joined to what was before it.
    fn look(&mut self, now: Now) {
        let paused = now.monotonic.saturating_sub(self.looked) > self.settings.pause_min;
        self.looked = now.monotonic;
        if paused {
            self.feeds.values_mut().for_each(Feed::interrupt);
        }
    }

    fn apply_listings(&mut self, venue: VenueId, listings: Vec<Listing>, unreadable: &[Market], now: Now) {
        let there = feed::there(self.clocks.get(&venue).copied(), now);
        let mut listed: HashMap<Market, Listing> = listings.into_iter().map(|l| (l.market.clone(), l)).collect();
        for ((_, market), feed) in self.feeds.iter_mut().filter(|((v, _), _)| *v == venue) {
            let word = match listed.remove(market) {
                Some(listing) => Word::Listed(listing),
                None if unreadable.contains(market) => Word::Unreadable,
                None => Word::Missing,
            };
            feed.list(word, there);
            if let Some(cause) = feed.take_relisted() {
                self.relisted.push(Relisting { venue, market: market.clone(), cause });
            }
            self.touched.extend(self.readers.get(&(venue, market.clone())).into_iter().flatten());
        }
    }

    /// Marks every row to be looked at again: ages grow, bases move on, windows are pruned.
    ///
    /// To be called about once a second.
    pub fn tick(&mut self, now: Now) {
        self.look(now);
        self.seek_moves(now);
        let mut rescaled = Vec::new();
        let holding = self.feeds.iter().filter(|(_, feed)| feed.is_asked_about(now)).map(|(key, _)| key.clone());
        self.unchecked.extend(holding);
        for (key, feed) in &mut self.feeds {
            let clock = self.clocks.get(&key.0).copied();
            let there = feed::there(clock, now);
            // Our own clock alone, which may be days ahead, is no reason to forget anything.
            let sure = clock.map(|_| there).or(feed.confirmed_there().map(|at| at.min(there)));
            feed.prune(sure.unwrap_or(there), now);
            if feed.is_newly_rescaled(there) {
                rescaled.push(key.clone());
            }
        }
        for key in rescaled {
            let what = Implausible::Rescaled;
            self.count(&key, (what.code(), what.field()), || what.to_string(), now);
        }
        self.health_changed.extend(self.health.keys());
        self.touched.extend(0..self.rows.len());
    }

    /// Looks for markets that have jumped by the same power of ten at two exchanges within a minute: they moved.
    fn seek_moves(&mut self, now: Now) {
        let clocks = &self.clocks;
        let jumps_of = |((venue, market), feed): (&(VenueId, Market), &Feed)| {
            let jumps = feed.jumps_since_base(feed::there(clocks.get(venue).copied(), now));
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
            feed.set_moves(own.filter(is_move).map(|(minute, _)| *minute).collect());
        }
    }

    /// Returns what has changed since the last call.
    pub fn publish(&mut self, now: Now) -> Publish {
        let mut publish = Publish { at: now.wall, changed: Vec::new(), confirmed: Vec::new(), venues: Vec::new() };
        for index in std::mem::take(&mut self.touched) {
            let row = &mut self.rows[index];
            let (feeds, clocks, health) = (&self.feeds, &self.clocks, &self.health);
            let look = row::Look { feeds, clocks, health, settings: &self.settings, started: self.started, now };
            let quote = row.quote(&look);
            match &row.published {
                Some(old) if old.quote.reads_like(&quote) => {
                    let due = now.monotonic.saturating_sub(old.at) >= CONFIRM_EVERY;
                    if !due || old.quote.confirmed_at == quote.confirmed_at {
                        continue;
                    }
                    publish.confirmed.push(row.keep(quote, now));
                }
                _ => publish.changed.push(row.keep(quote, now)),
            }
        }
        for venue in std::mem::take(&mut self.health_changed) {
            publish.venues.extend(self.tell(venue, now));
        }
        publish
    }

    /// Returns what became of prices held back since the last call.
    pub fn take_jumps(&mut self) -> Vec<Jump> {
        std::mem::take(&mut self.jumps)
    }

    /// Returns the markets of which another listing has begun since the last call.
    pub fn take_relisted(&mut self) -> Vec<Relisting> {
        std::mem::take(&mut self.relisted)
    }

    /// Returns what has changed since the last call and should outlive the process.
    pub fn take_unrecorded(&mut self) -> Vec<FeedRecords> {
        let feeds = self.feeds.iter_mut();
        feeds.filter_map(|((venue, market), feed)| feed.take_unrecorded(*venue, market)).collect()
    }

    /// Has [`Self::take_unrecorded`] return all that is known: what was recorded is lost.
    pub fn record_all(&mut self) {
        self.feeds.values_mut().for_each(Feed::record_all);
    }

    /// Takes in what another life of the process knew of a feed: before any event, or late, beside what is known.
    ///
    /// Feeds that no row wants any more are left aside.
    pub fn restore(&mut self, records: &FeedRecords) {
        let key = (records.venue, records.market.clone());
        if let Some(feed) = self.feeds.get_mut(&key) {
            feed.restore(records);
            self.touched.extend(self.readers.get(&key).into_iter().flatten());
        }
    }

    /// Has [`Self::publish`] return every row once more: those who were told of them have forgotten what they said.
    pub fn publish_all(&mut self) {
        self.rows.iter_mut().for_each(|row| row.published = None);
        self.touched.extend(0..self.rows.len());
    }

    /// Returns the markets whose newest price is held back until an answer asked for from now on, or another trade, says
    /// the same; each is returned when it begins to wait, and then once a [`Self::tick`].
    pub fn take_unchecked(&mut self) -> BTreeSet<(VenueId, Market)> {
        std::mem::take(&mut self.unchecked)
    }

    /// Returns the minutes that candles should fill, most urgent first.
    pub fn gaps(&self, now: Now) -> Vec<Gap> {
        let mut gaps: Vec<Gap> =
            self.rows.iter().flat_map(|row| gaps::of_row(row, &self.feeds, &self.clocks, now)).collect();
        gaps.sort_by_key(|gap| (gap.urgency, gap.span.start));
        gaps.dedup();
        gaps
    }
}

/// A quote that was handed on, and when.
#[derive(Debug)]
struct Published {
    quote: Arc<crate::domain::Quote>,
    at: Duration,
}
