//! One market at one venue: its newest figures, their age, and its window.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use super::extremes::Extremes;
use crate::domain::window::Sighting;
use crate::domain::{
    Base, BaseSource, Basis, FeedRecords, HourRecord, LastRecord, Listing, Market, Minute, Now, Price, State, Ticker,
    VenueId, Via, Window, tick_size,
};

/// A venue time further ahead of ours than this is not believed.
const AHEAD_MAX: SignedDuration = SignedDuration::from_secs(5);

/// A message time further behind ours than this is not believed.
const BEHIND_MAX: SignedDuration = SignedDuration::from_hours(24);

/// No trade of a cryptocurrency is older than the first block of Bitcoin, 2009-01-03.
const FIRST_TRADE: Timestamp = Timestamp::constant(1_230_940_800, 0);

/// A fetched answer speaks for a moment at most this long before it arrived: a request may take ten seconds.
const FETCH_MARGIN: SignedDuration = SignedDuration::from_secs(12);

/// A session's first message, if it was longer on its way than this, may be one repeated from before the session.
const FIRST_LAG_MAX: SignedDuration = SignedDuration::from_secs(2);

/// A ticker on its way in.
#[derive(Debug)]
pub struct Arrival {
    pub ticker: Ticker,
    pub received_at: Timestamp,
    pub via: Via,
    /// The venue's clock minus ours, in milliseconds.
    pub skew_ms: i64,
}

/// Why a ticker was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Implausible {
    /// Its time lies ahead of the present.
    Ahead,
    /// Its time is of another age: another unit or another zone.
    Behind,
}

impl Implausible {
    /// The stable word that counts it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Ahead => "time-ahead",
            Self::Behind => "time-behind",
        }
    }
}

/// The state of one market at one venue.
#[derive(Debug, Default)]
pub struct Feed {
    last: Option<Last>,
    high_24h: Option<Price>,
    low_24h: Option<Price>,
    base_volume_24h: Option<Decimal>,
    quote_volume_24h: Option<Decimal>,
    base_24h: Option<Price>,
    halted: bool,
    confirmed_at: Option<Timestamp>,
    /// When that was by the monotonic clock; not known of what another life of the process has confirmed.
    confirmed: Option<Duration>,
    polled: bool,
    session: Option<u64>,
    sent_places: u32,
    listing: Presence,
    window: Window,
    extremes: Extremes,
    unrecorded: bool,
    anew: bool,
}

/// The last trade as far as we know.
#[derive(Debug, Clone, Copy)]
struct Last {
    price: Price,
    venue_time: Option<Timestamp>,
    trade_id: Option<u64>,
    received_at: Timestamp,
}

/// What the venue's list of markets says.
#[derive(Debug, Default)]
enum Presence {
    #[default]
    NotSaid,
    Listed(Listing),
    Absent,
}

impl Feed {
    /// Takes in a ticker.
    ///
    /// An older trade never replaces a newer one, whichever way and in
    /// whichever order they come; it may still be the close of its minute.
    pub fn take(&mut self, arrival: Arrival, now: Now) -> Result<(), Implausible> {
        let Arrival { ticker, received_at, via, skew_ms } = arrival;
        let venue_now = shifted(received_at, SignedDuration::from_millis(skew_ms));
        check_times(&ticker, venue_now)?;

        let fetched = !matches!(via, Via::Stream { .. });
        let said_at = ticker.sent_at.unwrap_or(venue_now);
        let asked_at = shifted(venue_now, -FETCH_MARGIN);
        let until = if fetched { ticker.sent_at.unwrap_or(asked_at).max(asked_at) } else { said_at };
        self.observe(&ticker, via, until);
        match via {
            // What a connection says first may be repeated from before it was there: it has begun with its first word of now.
            Via::Stream { session } if self.session == Some(session) => {}
            Via::Stream { session } => {
                self.session = (said_at >= shifted(venue_now, -FIRST_LAG_MAX)).then_some(session);
            }
            Via::Poll => self.session = None,
            Via::Check => {}
        }
        if self.is_older(&ticker) {
            return Ok(());
        }

        let new = Last { price: ticker.last, venue_time: ticker.venue_time(), trade_id: ticker.trade_id, received_at };
        self.last = Some(match self.last {
            Some(old) if old.price == new.price && old.venue_time == new.venue_time => {
                Last { received_at: old.received_at, ..new }
            }
            _ => new,
        });
        self.sent_places = self.sent_places.max(tick_size::places(ticker.last));
        self.merge(&ticker);
        self.unrecorded = true;
        // A stream that repeats old messages confirms nothing; a fetched answer is of now, whatever it dates.
        let fresh = fetched || shifted(venue_now, -FROZEN_AFTER) <= said_at;
        if fresh {
            self.confirmed_at = Some(now.wall);
            self.confirmed = Some(now.monotonic);
            self.polled = via == Via::Poll;
        }
        self.seek_extremes();
        Ok(())
    }

    fn observe(&mut self, ticker: &Ticker, via: Via, until: Timestamp) {
        let same_session = matches!(via, Via::Stream { session } if self.session == Some(session));
        // A venue that dates its messages but not its trades may have traded between two of them, on either side of
        // a minute's end: only the same trade number says that it has not.
        let unmoved = self.last.is_some_and(|last| ticker.trade_id.is_some() && last.trade_id == ticker.trade_id);
        let unbroken = unmoved || (same_session && ticker.traded_at.is_some());
        let traded_at = ticker.traded_at.unwrap_or(until);
        self.window.observe(Sighting { price: ticker.last, traded_at, until, unbroken });
    }

    fn is_older(&self, ticker: &Ticker) -> bool {
        let Some(last) = self.last else { return false };
        match (last.venue_time, ticker.venue_time()) {
            (Some(had), Some(new)) if had != new => new < had,
            _ => last.trade_id.zip(ticker.trade_id).is_some_and(|(had, new)| new < had),
        }
    }

    /// What a ticker does not say stands as it was said before.
    fn merge(&mut self, ticker: &Ticker) {
        self.high_24h = ticker.high_24h.or(self.high_24h);
        self.low_24h = ticker.low_24h.or(self.low_24h);
        self.base_volume_24h = ticker.base_volume_24h.or(self.base_volume_24h);
        self.quote_volume_24h = ticker.quote_volume_24h.or(self.quote_volume_24h);
        self.base_24h = ticker.base_24h.or(self.base_24h);
        self.halted = ticker.halted.unwrap_or(self.halted);
    }

    /// Takes in a candle answer; returns in how many minutes it says something else than we did.
    pub fn settle(&mut self, span: Range<Minute>, closes: &[(Minute, Price)]) -> usize {
        let overruled = self.window.settle(span, closes);
        self.extremes.forget();
        self.seek_extremes();
        overruled
    }

    fn seek_extremes(&mut self) {
        if let Some(at) = self.confirmed_at {
            self.extremes.seek(&self.window, at);
        }
    }

    /// Returns low and high of 24 hours, and who says so.
    fn range(&self) -> (Option<Price>, Option<Price>, Option<BaseSource>) {
        if self.high_24h.is_some() || self.low_24h.is_some() {
            return (self.low_24h, self.high_24h, Some(BaseSource::Venue));
        }
        let ours = self.last.and_then(|last| self.extremes.with(last.price));
        ours.map_or((None, None, None), |(low, high)| (Some(low), Some(high), Some(BaseSource::Window)))
    }

    /// Takes in what the venue's list says; `None` if the market is not in it.
    ///
    /// A market that was gone and is back starts a new window: the name may
    /// stand for another coin, or for the same one in other units.
    pub fn list(&mut self, listing: Option<Listing>) {
        if matches!((&self.listing, &listing), (Presence::Absent, Some(_))) && self.last.is_some() {
            *self = Self { anew: true, ..Self::default() };
        }
        self.listing = listing.map_or(Presence::Absent, Presence::Listed);
    }

    /// Forgets what is too old to matter.
    pub fn prune(&mut self, now: Now) {
        self.window.prune(now.wall);
    }

    /// Has everything recorded anew: what was recorded is lost.
    pub fn record_all(&mut self) {
        self.window.record_all();
        self.unrecorded = self.last.is_some();
    }

    /// Returns what has changed since the last call and should outlive the process, if anything has.
    pub fn take_unrecorded(&mut self, venue: VenueId, market: &Market) -> Option<FeedRecords> {
        let hours = self.window.take_unrecorded();
        let last = if std::mem::take(&mut self.unrecorded) { self.last_record() } else { None };
        let anew = std::mem::take(&mut self.anew);
        let any = anew || last.is_some() || !hours.is_empty();
        any.then(|| FeedRecords { venue, market: market.clone(), last, hours, anew })
    }

    fn last_record(&self) -> Option<LastRecord> {
        let last = self.last?;
        Some(LastRecord {
            last: last.price,
            venue_time: last.venue_time,
            trade_id: last.trade_id,
            received_at: last.received_at,
            confirmed_at: self.confirmed_at?,
            sent_places: self.sent_places,
            high_24h: self.high_24h,
            low_24h: self.low_24h,
            base_volume_24h: self.base_volume_24h,
            quote_volume_24h: self.quote_volume_24h,
        })
    }

    /// Takes in what another life of the process knew: its last price is stale until it is confirmed.
    pub fn restore(&mut self, last: Option<&LastRecord>, hours: &[HourRecord]) {
        self.window.restore(hours);
        let Some(last) = last else { return };
        if let Some(at) = last.venue_time {
            self.window.knows_of(at);
        }
        self.last = Some(Last {
            price: last.last,
            venue_time: last.venue_time,
            trade_id: last.trade_id,
            received_at: last.received_at,
        });
        self.confirmed_at = Some(last.confirmed_at);
        self.sent_places = last.sent_places;
        self.high_24h = last.high_24h;
        self.low_24h = last.low_24h;
        self.base_volume_24h = last.base_volume_24h;
        self.quote_volume_24h = last.quote_volume_24h;
        self.extremes.forget();
        self.seek_extremes();
    }

    /// Returns how far to rely on the last price.
    pub fn state(&self, stale_after: Duration, now: Now) -> State {
        if self.last.is_none() || self.confirmed_at.is_none() {
            return State::Unknown;
        }
        let gone = matches!(self.listing, Presence::Absent);
        let suspended = matches!(&self.listing, Presence::Listed(listing) if listing.halted);
        if gone || suspended || self.halted {
            State::Halted
        } else if self.confirmed.is_none_or(|at| now.monotonic.saturating_sub(at) > stale_after) {
            State::Stale
        } else if self.polled {
            State::Delayed
        } else {
            State::Live
        }
    }

    /// Returns whether the venue's list lacks the market and it never traded here.
    pub fn is_foreign(&self) -> bool {
        matches!(self.listing, Presence::Absent) && self.last.is_none()
    }

    /// Returns the base of each basis, as of `at`.
    pub fn bases(&self, at: Timestamp) -> [Option<Base>; 3] {
        Basis::ALL.map(|basis| {
            let time = basis.base_time(at);
            let window =
                self.window.price_before(time).map(|price| Base { price, at: time, source: BaseSource::Window });
            let venue = self.base_24h.filter(|_| basis == Basis::Rolling24h);
            window.or(venue.map(|price| Base { price, at: time, source: BaseSource::Venue }))
        })
    }

    /// Returns the window.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Returns when the price was last confirmed.
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        self.confirmed_at
    }

    /// Fills in the figures of a row; its source and state are the row's own matter.
    pub fn figures(&self, quote_asset: &str) -> Figures {
        let listing = match &self.listing {
            Presence::Listed(listing) => Some(listing),
            Presence::NotSaid | Presence::Absent => None,
        };
        let (low_24h, high_24h, range_source) = self.range();
        let name = |name: Option<&String>| name.map(|name| Arc::from(name.as_str()));
        Figures {
            last: self.last.map(|last| last.price),
            digits: self.last.map_or(0, |last| {
                let tick = listing.and_then(|listing| listing.tick_size);
                tick_size::digits(tick, quote_asset, last.price, self.sent_places)
            }),
            korean_name: name(listing.and_then(|listing| listing.korean_name.as_ref())),
            english_name: name(listing.and_then(|listing| listing.english_name.as_ref())),
            high_24h,
            low_24h,
            range_source,
            base_volume_24h: self.base_volume_24h,
            quote_volume_24h: self.quote_volume_24h,
            traded_at: self.last.and_then(|last| last.venue_time),
            received_at: self.last.map(|last| last.received_at),
        }
    }
}

/// What a feed gives to a row.
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

/// A streamed message dated longer ago than this is a repetition.
const FROZEN_AFTER: SignedDuration = SignedDuration::from_secs(15);

fn check_times(ticker: &Ticker, venue_now: Timestamp) -> Result<(), Implausible> {
    let ahead = shifted(venue_now, AHEAD_MAX);
    if [ticker.traded_at, ticker.sent_at].into_iter().flatten().any(|time| time > ahead) {
        return Err(Implausible::Ahead);
    }
    let too_old = ticker.traded_at.is_some_and(|time| time < FIRST_TRADE)
        || ticker.sent_at.is_some_and(|time| time < shifted(venue_now, -BEHIND_MAX));
    if too_old { Err(Implausible::Behind) } else { Ok(()) }
}

fn shifted(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}
