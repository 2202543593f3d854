//! One market at one venue: its latest figures, their age, its window, and the bases of its changes.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::day::{Extremes, ReportedDay};
use super::jump::{self, HeldTicker};
use super::listing::{ListingChange, ListingObservation, ListingTracker, Notices};
use crate::feed::{FeedRecords, Implausible, LastRecord, ListingRecord};
use crate::market::{
    Base, BaseSource, Basis, Change, HaltReason, HourRecord, Market, Minute, NoChange, Notice, Now, Price, State,
    Ticker, UnitChanges, VenueClock, VenueId, Window, tick_size,
};

/// How long the venue is asked about a held price; after that, the price waits for another trade.
const HELD_MAX: Duration = Duration::from_secs(60);

/// A feed that was not confirmed for this long keeps its bases, because the window moves on without it.
const FREEZE_BASES_AFTER: Duration = Duration::from_secs(60);

/// A base of the venue and ours agree if they differ by no more than this many percent.
const SAME_BASE_PERCENT: u32 = 20;

/// Returns the current time of the venue's clock, or of ours if that is unknown.
pub fn venue_now(clock: Option<VenueClock>, now: Now) -> Timestamp {
    clock.map_or(now.wall, |clock| clock.at(now.monotonic))
}

/// The state of one market at one venue.
#[derive(Debug, Default)]
pub struct Feed {
    pub(super) last: Option<LastTrade>,
    pub(super) reported: ReportedDay,
    /// The halt that the venue's tickers reported last, if the market does not trade.
    pub(super) halt: Option<Halt>,
    pub(super) notices: Notices,
    pub(super) confirmed_at: Option<Timestamp>,
    /// When the price was last confirmed, by the venue's clock; the change is measured as of this time.
    pub(super) confirmed_venue_time: Option<Timestamp>,
    /// The same by the monotonic clock; unknown for a confirmation from a previous run.
    pub(super) confirmed_monotonic: Option<Duration>,
    /// A jump that no second source has confirmed yet.
    pub(super) held: Option<HeldTicker>,
    pub(super) polled: bool,
    pub(super) session: Option<u64>,
    pub(super) decimal_places: RecentDecimalPlaces,
    tick_size: Option<Decimal>,
    pub(super) tracker: ListingTracker,
    pub(super) window: Window,
    extremes: Extremes,
    /// The bases of a price that is no longer confirmed, and the time as of which they hold.
    frozen_bases: Option<(Timestamp, Bases)>,
    /// Whether the price is in another unit than its base.
    rescaled: bool,
    /// The minutes of jumps by a power of ten that another exchange made too: the market really moved.
    market_moves: BTreeSet<Minute>,
    /// When the stream last delivered a price, by the monotonic clock.
    pub(super) streamed_at: Option<Duration>,
    /// Since when only old messages have been received.
    pub(super) late_since: Option<Duration>,
    /// The older trade (price and time) that fetched responses report, and since when.
    pub(super) older_trade: Option<(Price, Option<Timestamp>, Duration)>,
    /// Why the latest ticker was rejected, or confirms nothing.
    pub(super) rejection: Option<Implausible>,
    /// A problem to be counted although the ticker was accepted.
    pub(super) tolerated: Option<Implausible>,
    pub(super) unrecorded: bool,
    reset: bool,
    /// The data of a market that is back after a short absence, until its first trades show whether it is the
    /// same coin.
    pub(super) former: Option<Box<Feed>>,
    /// Why another listing has begun, until taken.
    relisting_cause: Option<String>,
}

/// A halt of the market, as its tickers report it.
#[derive(Debug, Clone, Copy)]
pub struct Halt {
    pub delisted: bool,
    /// When it was last reported, by the venue's clock; not before the last trade at that time.
    pub reported_at: Timestamp,
}

/// One base for each [`Basis`].
type Bases = [Option<Base>; 3];

/// The last known trade.
#[derive(Debug, Clone, Copy)]
pub struct LastTrade {
    pub price: Price,
    pub traded_at: Option<Timestamp>,
    pub sent_at: Option<Timestamp>,
    /// The newest trade time so far; a price without a trade time does not clear it.
    pub newest_trade: Option<Timestamp>,
    /// The time of the newest message so far, likewise.
    pub newest_message: Option<Timestamp>,
    pub trade_id: Option<u64>,
    pub received_at: Timestamp,
}

impl LastTrade {
    pub fn venue_time(&self) -> Option<Timestamp> {
        self.traded_at.or(self.sent_at)
    }

    /// Returns whether `ticker` is older. Trade times are compared with trade times and message times with
    /// message times, because a message may be sent hours after the newest trade.
    pub fn is_newer_than(&self, ticker: &Ticker) -> bool {
        let is_older = |had: Option<Timestamp>, new: Option<Timestamp>| {
            had.zip(new).filter(|(had, new)| had != new).map(|(had, new)| new < had)
        };
        let by_trade = is_older(self.newest_trade, ticker.traded_at);
        let by_time = match (self.traded_at, ticker.traded_at) {
            (Some(_), Some(_)) => by_trade,
            (None, Some(_)) => by_trade.filter(|&is| is).or(is_older(self.newest_message, ticker.sent_at)),
            // A message from before a trade can't contain it.
            (_, None) => is_older(self.newest_message.max(self.newest_trade), ticker.sent_at),
        };
        by_time.unwrap_or_else(|| self.trade_id.zip(ticker.trade_id).is_some_and(|(had, new)| new < had))
    }
}

impl Feed {
    /// Creates an empty feed with the given changes of the price's unit.
    pub fn new(units: UnitChanges) -> Self {
        let mut feed = Self::default();
        feed.window.set_units(units);
        feed
    }

    /// Sets the data of a market that is back aside, until its first trades arrive.
    fn set_aside(&mut self, at: Timestamp) {
        let tracker = std::mem::take(&mut self.tracker);
        let fresh = Self { tracker, ..Self::new(self.window.units().clone()) };
        let former = std::mem::replace(self, fresh);
        self.former = Some(Box::new(former));
        self.window.start_at(Minute::of(at));
    }

    /// Restores the data that was set aside.
    pub fn restore_former(&mut self) {
        if let Some(former) = self.former.take() {
            let tick_size = self.tick_size.or(former.tick_size);
            *self = Self { tracker: std::mem::take(&mut self.tracker), tick_size, held: None, ..*former };
        }
    }

    /// Discards all data: the name stands for another listing.
    pub fn reset(&mut self, cause: String) {
        let (tracker, tick_size) = (std::mem::take(&mut self.tracker), self.tick_size);
        let since = tracker.listed_since();
        *self = Self { tracker, tick_size, reset: true, ..Self::new(self.window.units().clone()) };
        if let Some(since) = since {
            self.window.start_at(Minute::of(since));
        }
        self.relisting_cause = Some(cause);
    }

    /// Returns why another listing has begun, if one has since the last call.
    pub fn take_relisting_cause(&mut self) -> Option<String> {
        self.relisting_cause.take()
    }

    /// Sets the tick size of the price.
    pub fn set_tick_size(&mut self, size: Decimal) {
        self.tick_size = Some(size);
    }

    /// Returns whether the venue should be asked about a held price.
    pub fn needs_check(&self, now: Now) -> bool {
        self.held.as_ref().is_some_and(|held| held.held_for(now) <= HELD_MAX)
    }

    /// Returns a problem of the latest ticker that did not cause its rejection: an ignored message time, or
    /// old messages that continue.
    pub fn take_tolerated(&mut self) -> Option<Implausible> {
        self.tolerated.take()
    }

    /// Limits all times to `venue_now`, after the venue's clock was set back: what the wrong clock dated
    /// happened by now at the latest.
    pub fn clamp_times(&mut self, venue_now: Timestamp) {
        if let Some(former) = &mut self.former {
            former.clamp_times(venue_now);
        }
        if let Some(halt) = &mut self.halt {
            halt.reported_at = halt.reported_at.min(venue_now);
        }
        if self.confirmed_venue_time.is_some_and(|at| at > venue_now) {
            self.confirmed_venue_time = Some(venue_now);
            self.reported.clamp_times(venue_now);
            self.update_extremes();
        }
    }

    /// Marks an interruption: what comes next proves nothing about the time in between.
    pub fn interrupt(&mut self) {
        self.session = None;
        self.window.interrupt();
    }

    /// Applies a candle response; returns the number of minutes whose known close it corrects.
    pub fn settle(&mut self, span: Range<Minute>, closes: &[(Minute, Price)]) -> usize {
        if self.tracker.is_other_asset() {
            return 0;
        }
        let overruled = self.window.settle(span, closes);
        self.extremes.invalidate();
        self.update_extremes();
        overruled
    }

    pub fn update_extremes(&mut self) {
        if let Some(at) = self.confirmed_venue_time {
            self.extremes.update(&self.window, at);
        }
    }

    /// Returns low and high of 24 hours, and where they come from.
    fn day_range(&self) -> (Option<Price>, Option<Price>, Option<BaseSource>) {
        let reported = self.confirmed_venue_time.map(|at| (self.reported.low(at), self.reported.high(at)));
        if let Some((low, high)) = reported.filter(|(low, high)| low.is_some() || high.is_some()) {
            // They may be older than the last price.
            let last = self.last.map(|last| last.price);
            let low = low.map(|low| last.map_or(low, |last| low.min(last)));
            let high = high.map(|high| last.map_or(high, |last| high.max(last)));
            return (low, high, Some(BaseSource::Venue));
        }
        let ours = self.last.filter(|_| !self.rescaled).and_then(|last| self.extremes.including(last.price));
        ours.map_or((None, None, None), |(low, high)| (Some(low), Some(high), Some(BaseSource::Window)))
    }

    /// Applies an observation of the venue's list, made at venue time `at`.
    ///
    /// Another listing starts a new window: the name may stand for another coin, or for the same one in other
    /// units. After a short absence the first trades show which.
    pub fn observe_listing(&mut self, observation: ListingObservation, at: Timestamp) {
        let is_known = self.last.is_some() || self.former.is_some();
        match self.tracker.observe(observation, is_known, at) {
            ListingChange::None if self.tracker.is_gone() => self.restore_former(),
            ListingChange::None => {}
            // There is no data that could be mistaken for another coin's.
            ListingChange::Returned if self.last.is_none() && self.window.is_empty() => self.tracker.resume(),
            ListingChange::Returned => self.set_aside(at),
            ListingChange::Relisted(cause) => self.reset(cause),
        }
        if let Some(listing) = self.tracker.listing() {
            self.notices.apply_listing(listing);
        }
    }

    /// Removes data that is too old at venue time `at`; a price that is no longer confirmed keeps its bases.
    pub fn prune(&mut self, at: Timestamp, now: Now) {
        let unconfirmed = self
            .confirmed_monotonic
            .is_none_or(|confirmed| now.monotonic.saturating_sub(confirmed) > FREEZE_BASES_AFTER);
        self.frozen_bases =
            self.confirmed_venue_time.filter(|_| unconfirmed).map(|as_of| (as_of, self.known_bases(as_of)));
        self.window.prune(at);
        self.decimal_places.expire(now.monotonic);
    }

    /// Updates whether the price is in another unit than its base; returns whether that has just been
    /// detected.
    pub fn is_newly_rescaled(&mut self, at: Timestamp) -> bool {
        let base = self.known_base(0, at);
        let is_rescaled = self.last.zip(base).is_some_and(|(last, base)| self.is_rescaled(base, last.price));
        !std::mem::replace(&mut self.rescaled, is_rescaled) && is_rescaled
    }

    /// Marks everything for recording: what was recorded before is lost.
    pub fn mark_all_unrecorded(&mut self) {
        self.tracker.mark_unrecorded();
        match &mut self.former {
            Some(former) => former.mark_figures_unrecorded(),
            None => self.mark_figures_unrecorded(),
        }
    }

    fn mark_figures_unrecorded(&mut self) {
        self.window.mark_all_unrecorded();
        self.unrecorded = self.last.is_some();
    }

    /// Returns the records that have changed since the last call, if any have.
    pub fn take_unrecorded(&mut self, venue: VenueId, market: &Market) -> Option<FeedRecords> {
        let (last, hours, reset) = match &mut self.former {
            Some(former) => former.take_unrecorded_figures(),
            None => self.take_unrecorded_figures(),
        };
        let listing = self.tracker.take_unrecorded();
        let any = reset || listing.is_some() || last.is_some() || !hours.is_empty();
        any.then(|| FeedRecords { venue, market: market.clone(), last, listing, hours, reset })
    }

    fn take_unrecorded_figures(&mut self) -> (Option<LastRecord>, Vec<HourRecord>, bool) {
        let hours = self.window.take_unrecorded();
        let last = if std::mem::take(&mut self.unrecorded) { self.last_record() } else { None };
        (last, hours, std::mem::take(&mut self.reset))
    }

    fn last_record(&self) -> Option<LastRecord> {
        let last = self.last?;
        let as_of = self.confirmed_venue_time.or(self.confirmed_at)?;
        Some(LastRecord {
            last: last.price,
            venue_time: last.venue_time(),
            trade_id: last.trade_id,
            received_at: last.received_at,
            confirmed_at: self.confirmed_at?,
            confirmed_venue_time: self.confirmed_venue_time,
            sent_places: self.decimal_places.max(),
            high_24h: self.reported.high(as_of),
            low_24h: self.reported.low(as_of),
            base_volume_24h: self.reported.base_volume(as_of),
            quote_volume_24h: self.reported.quote_volume(as_of),
        })
    }

    /// Returns the listing record, if it is not empty.
    pub fn listing_record(&self) -> Option<ListingRecord> {
        Some(self.tracker.record()).filter(|record| *record != ListingRecord::default())
    }

    /// Restores the listing record of an earlier feed of this market, which is recorded already.
    pub fn restore_listing(&mut self, record: ListingRecord) {
        self.tracker.restore(record);
        if let Some(since) = self.tracker.listed_since() {
            self.window.start_at(Minute::of(since));
        }
    }

    /// Restores the records of a previous run: the last price is stale until it is confirmed.
    ///
    /// May also be called late, once the disk can be read: existing data takes precedence.
    pub fn restore(&mut self, records: &FeedRecords) {
        if let Some(listing) = records.listing {
            self.tracker.restore(listing);
        }
        let (since, known_since) = (self.tracker.listed_since(), self.tracker.decided_since());
        match &mut self.former {
            Some(former) => former.restore_figures(records, known_since),
            None => self.restore_figures(records, since),
        }
    }

    fn restore_figures(&mut self, records: &FeedRecords, since: Option<Timestamp>) {
        if let Some(since) = since {
            self.window.start_at(Minute::of(since));
        }
        self.window.restore(&records.hours);
        let Some(last) = records.last.as_ref().filter(|_| self.last.is_none()) else {
            self.extremes.invalidate();
            self.update_extremes();
            return;
        };
        if let Some(at) = last.venue_time {
            self.window.note_trade_time(at);
        }
        self.last = Some(LastTrade {
            price: last.last,
            traded_at: last.venue_time,
            sent_at: None,
            newest_trade: last.venue_time,
            newest_message: None,
            trade_id: last.trade_id,
            received_at: last.received_at,
        });
        self.confirmed_at = Some(last.confirmed_at);
        self.confirmed_venue_time = last.confirmed_venue_time.or(Some(last.confirmed_at));
        self.decimal_places.restore(last.sent_places);
        let reported = Ticker {
            high_24h: last.high_24h,
            low_24h: last.low_24h,
            base_volume_24h: last.base_volume_24h,
            quote_volume_24h: last.quote_volume_24h,
            ..Ticker::new(last.last)
        };
        self.reported.apply(&reported, last.confirmed_venue_time.unwrap_or(last.confirmed_at));
        self.extremes.invalidate();
        self.update_extremes();
    }

    /// Returns how reliable the last price is.
    pub fn state(&self, stale_after: Duration, now: Now) -> State {
        if self.last.is_none() || self.confirmed_at.is_none() {
            return State::Unknown;
        }
        if self.tracker.is_gone() || self.is_suspended() {
            State::Halted
        } else if self.confirmed_monotonic.is_none_or(|at| now.monotonic.saturating_sub(at) > stale_after) {
            State::Stale
        } else if self.polled {
            State::Delayed
        } else {
            State::Live
        }
    }

    /// Returns whether the price was confirmed in this run; a restored one is not.
    pub fn is_confirmed_since_start(&self) -> bool {
        self.confirmed_monotonic.is_some()
    }

    /// Returns why the market is halted, if it is.
    pub fn halt_reason(&self) -> Option<HaltReason> {
        let delisted = self.tracker.is_gone() || self.halt.is_some_and(|halt| halt.delisted);
        let is_halted = self.tracker.is_gone() || self.is_suspended();
        is_halted.then_some(if delisted { HaltReason::Delisted } else { HaltReason::Suspended })
    }

    /// Returns the notice in force.
    pub fn notice(&self) -> Option<Arc<Notice>> {
        self.notices.notice().cloned()
    }

    /// Returns whether the venue has recently reported that the market does not trade.
    pub fn is_halted_now(&self, stale_after: Duration, now: Now) -> bool {
        let is_stale = self.confirmed_monotonic.is_none_or(|at| now.monotonic.saturating_sub(at) > stale_after);
        self.last.is_some() && self.is_suspended() && !self.tracker.is_gone() && !is_stale
    }

    fn is_suspended(&self) -> bool {
        self.halt.is_some() || self.tracker.listing().is_some_and(|listing| listing.halted)
    }

    /// Returns the price that is held back.
    pub fn held_price(&self) -> Option<Price> {
        self.held.as_ref().map(|held| held.latest.ticker.last)
    }

    /// Returns the latest accepted price.
    pub fn last_price(&self) -> Option<Price> {
        self.last.map(|last| last.price)
    }

    /// Returns why there is no live price, if the venue's data explains it.
    pub fn why_no_price(&self) -> Option<(&'static str, String)> {
        if self.tracker.is_gone() {
            let code = if self.last.is_some() { "delisted" } else { "unlisted" };
            return Some((code, "the exchange does not list it".to_owned()));
        }
        let unproven = self.former.as_ref().map(|_| Implausible::UnprovenListing);
        if let Some(rejection) = self.rejection.or(unproven) {
            return Some((rejection.code(), rejection.to_string()));
        }
        if self.held.is_some() {
            return Some(("price-jump", "its price has jumped, and no second source has confirmed it yet".to_owned()));
        }
        match self.halt_reason().filter(|_| self.last.is_some())? {
            HaltReason::Delisted => Some(("delisted", "the exchange reports that it is delisted".to_owned())),
            HaltReason::Suspended => Some(("halted", "the exchange reports that it does not trade".to_owned())),
        }
    }

    /// Returns why there is no base at `time`, if the venue's data explains it.
    pub fn why_no_base(&self, time: Timestamp) -> Option<NoChange> {
        if self.former.is_some() {
            return Some(NoChange::Returned);
        }
        if self.rescaled {
            return Some(NoChange::Rescaled);
        }
        if self.tracker.listed_since().is_some_and(|since| since > time) {
            return Some(NoChange::NewListing);
        }
        self.window.covered_until(Minute::of(time).plus(-1)).map(|_| NoChange::NoEarlierTrade)
    }

    /// Like [`Self::why_no_base`], as a code and a detail for the operator.
    pub fn explain_no_base(&self, time: Timestamp) -> Option<(&'static str, String)> {
        let why = self.why_no_base(time)?;
        let detail = match (why, self.tracker.listed_since()) {
            (NoChange::Rescaled, _) => Implausible::Rescaled.to_string(),
            (NoChange::Returned, _) => Implausible::UnprovenListing.to_string(),
            (NoChange::NewListing, Some(since)) => format!("listed at {since}, after {time}"),
            _ => format!("its candles have no trade before {time}"),
        };
        Some((why.as_str(), detail))
    }

    /// Returns the reason, if the change against one of `bases` has too many digits to be computed exactly to
    /// `places` decimal places.
    pub fn why_no_change(&self, bases: Bases, places: u32) -> Option<(&'static str, String)> {
        let last = self.last?.price;
        let base = bases.into_iter().flatten().find(|base| Change::between(last, base.price, places).is_none())?.price;
        Some((
            NoChange::TooWide.as_str(),
            format!("the change of {last} against {base} has more digits than can be computed exactly"),
        ))
    }

    /// Returns whether the venue does not list the market and never had a price of it.
    pub fn is_unavailable(&self) -> bool {
        self.tracker.is_gone() && self.last.is_none()
    }

    /// Returns the base of each basis as of venue time `at`, except those in another unit than the price.
    pub fn bases(&self, at: Timestamp) -> Bases {
        let known = self.known_bases(at);
        known.map(|base| base.filter(|&base| self.last.is_none_or(|last| !self.is_rescaled(base, last.price))))
    }

    fn known_bases(&self, at: Timestamp) -> Bases {
        std::array::from_fn(|index| self.known_base(index, at))
    }

    fn known_base(&self, index: usize, at: Timestamp) -> Option<Base> {
        let (basis, time, unit) = (Basis::ALL[index], Basis::ALL[index].base_time(at), self.unit_minute(at));
        let price = self.window.price_before_in(time, unit);
        let ours = price.map(|price| Base { price, at: time, source: BaseSource::Window });
        let frozen = || self.frozen_bases.filter(|(as_of, _)| *as_of == at).and_then(|(_, bases)| bases[index]);
        ours.or_else(frozen).or_else(|| self.venue_base(basis, at, unit))
    }

    /// Returns the minute that determines the unit of the last price: that of its trade, if the venue reports
    /// it.
    pub fn unit_minute(&self, at: Timestamp) -> Minute {
        Minute::of(self.last.and_then(|last| last.venue_time()).or(self.confirmed_venue_time).unwrap_or(at))
    }

    fn venue_base(&self, basis: Basis, at: Timestamp, unit: Minute) -> Option<Base> {
        let time = basis.base_time(at);
        // The venue's own figure may be from a previous listing or in another unit, and the venue does not
        // say which.
        let is_comparable = self.tracker.listed_since().is_none_or(|since| since <= time)
            && self.window.units().is_same_unit(Minute::of(time), unit);
        let price = self.reported.base(at).filter(|_| basis == Basis::Rolling24h && is_comparable)?;
        Some(Base { price, at: time, source: BaseSource::Venue })
    }

    fn is_rescaled(&self, base: Base, last: Price) -> bool {
        let unexplained = self.jumps(base, last).into_iter().filter(|(minute, _)| !self.market_moves.contains(minute));
        unexplained.map(|(_, power)| power).sum::<i32>() != 0 && !self.venue_base_agrees(self.unit_minute(base.at))
    }

    fn jumps(&self, base: Base, last: Price) -> Vec<(Minute, i32)> {
        // Search for jumps only if the two prices are far apart.
        let far = |a: Price, b: Price| a.get().checked_mul(Decimal::TWO).is_some_and(|twice| twice < b.get());
        let apart = far(base.price, last) || far(last, base.price);
        if !apart {
            return Vec::new();
        }
        self.window.jumps(Minute::of(base.at), base.price, last, self.unit_minute(base.at))
    }

    /// Returns whether the venue's own rolling figure agrees with the window's price of a day ago: then the
    /// venue itself measures its change in one unit.
    fn venue_base_agrees(&self, unit: Minute) -> bool {
        let both = self.confirmed_venue_time.and_then(|at| {
            let time = Basis::Rolling24h.base_time(at);
            Some((self.window.price_before_in(time, unit)?, self.reported.base(at)?))
        });
        // The two moments may be some seconds apart.
        both.is_some_and(|(ours, theirs)| !jump::is_jump(ours, theirs, SAME_BASE_PERCENT))
    }

    /// Returns the jumps by a power of ten since the base of 24 hours, as of venue time `at`.
    pub fn jumps_since_base(&self, at: Timestamp) -> Vec<(Minute, i32)> {
        let base = self.known_base(0, at);
        self.last.zip(base).map_or_else(Vec::new, |(last, base)| self.jumps(base, last.price))
    }

    /// Sets the minutes in which another exchange has jumped as well.
    pub fn set_market_moves(&mut self, moves: BTreeSet<Minute>) {
        self.market_moves = moves;
    }

    /// Returns the window.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Returns when the price was last confirmed.
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        self.confirmed_at
    }

    /// Returns when the price was last confirmed, by the venue's clock.
    pub fn confirmed_venue_time(&self) -> Option<Timestamp> {
        self.confirmed_venue_time
    }

    /// Returns the figures of a row; its source and state are up to the row.
    pub fn figures(&self, quote_asset: &str) -> Figures {
        let listing = self.tracker.listing();
        let (low_24h, high_24h, range_source) = self.day_range();
        let name = |name: Option<&String>| name.map(|name| Arc::from(name.as_str()));
        Figures {
            last: self.last.map(|last| last.price),
            digits: self.last.map_or(0, |last| {
                let tick = listing.and_then(|listing| listing.tick_size).or(self.tick_size);
                tick_size::digits(tick, quote_asset, last.price, self.decimal_places.max())
            }),
            korean_name: name(listing.and_then(|listing| listing.korean_name.as_ref())),
            english_name: name(listing.and_then(|listing| listing.english_name.as_ref())),
            high_24h,
            low_24h,
            range_source,
            base_volume_24h: self.confirmed_venue_time.and_then(|at| self.reported.base_volume(at)),
            quote_volume_24h: self.confirmed_venue_time.and_then(|at| self.reported.quote_volume(at)),
            traded_at: self.last.and_then(|last| last.traded_at),
            received_at: self.last.map(|last| last.received_at),
        }
    }
}

/// A number of decimal places that no price has needed for this long is dropped.
const PLACES_KEPT_FOR: Duration = Duration::from_secs(60);

/// The numbers of decimal places that the venue has recently sent, and when each was last seen, by the monotonic clock.
#[derive(Debug, Default)]
pub struct RecentDecimalPlaces(Vec<(u32, Option<Duration>)>);

impl RecentDecimalPlaces {
    /// Records the decimal places of a price that was received at `now`.
    pub fn record(&mut self, places: u32, now: Duration) {
        self.0.retain(|(seen, _)| *seen != places);
        self.0.push((places, Some(now)));
    }

    /// Restores the number from a previous run; it expires as if it were seen at the next [`Self::expire`].
    pub fn restore(&mut self, places: u32) {
        self.0 = vec![(places, None)];
    }

    /// Drops the numbers that were last seen too long ago.
    pub fn expire(&mut self, now: Duration) {
        self.0.iter_mut().for_each(|(_, at)| *at = at.or(Some(now)));
        self.0.retain(|(_, at)| at.is_none_or(|at| now.saturating_sub(at) <= PLACES_KEPT_FOR));
    }

    /// Returns the largest number of decimal places seen recently.
    pub fn max(&self) -> u32 {
        self.0.iter().map(|(places, _)| *places).max().unwrap_or(0)
    }
}

/// The figures that a feed contributes to a row.
#[derive(Debug)]
pub struct Figures {
    pub last: Option<Price>,
    pub digits: u32,
    pub korean_name: Option<Arc<str>>,
    pub english_name: Option<Arc<str>>,
    pub high_24h: Option<Price>,
    pub low_24h: Option<Price>,
    pub range_source: Option<BaseSource>,
    pub base_volume_24h: Option<Decimal>,
    pub quote_volume_24h: Option<Decimal>,
    pub traded_at: Option<Timestamp>,
    pub received_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::jump::{JumpRule, ReceivedTicker};
    use crate::feed::Via;

    #[test]
    fn a_price_that_is_no_longer_confirmed_keeps_its_base_without_more_closes_in_the_window() {
        let start = Now { wall: "2026-01-15T06:27:00Z".parse().unwrap(), monotonic: Duration::from_secs(100) };
        let price = |units: i64| Price::new(units.into()).unwrap();
        let mut feed = Feed::new(UnitChanges::default());
        let (from, to) = (Minute::of(start.wall).plus(-1441), Minute::of(start.wall));
        let closes: Vec<_> = (0..1441).map(|n| (from.plus(n), price(1000 + n))).collect();
        feed.settle(from..to, &closes);
        let ticker = Ticker { traded_at: Some(start.wall), sent_at: Some(start.wall), ..Ticker::new(price(2000)) };
        let via = Via::Stream { session: 1 };
        let incoming = ReceivedTicker { ticker, requested: start, received: start, via, clock: None };
        let rule = JumpRule { max_percent: None, stale_after: Duration::from_secs(15) };
        feed.apply_ticker(incoming, rule).unwrap();
        let bases = feed.bases(start.wall);
        assert_eq!(bases[0].map(|base| base.price), Some(price(1000)));
        for minutes in 1..=3 * 24 * 60u64 {
            let passed = Duration::from_secs(60 * minutes);
            let wall = start.wall + jiff::SignedDuration::try_from(passed).unwrap();
            feed.prune(wall, Now { wall, monotonic: start.monotonic + passed });
            assert_eq!(feed.bases(start.wall), bases, "{minutes} min");
            assert!(feed.window().len() < 1600, "{minutes} min");
        }
    }
}
