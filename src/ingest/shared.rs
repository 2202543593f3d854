//! What the tasks of one venue have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::gate::Gate;
use super::health::{Health, Links};
use super::http::Http;
use super::liveness::Liveness;
use super::outbox::Outbox;
use super::pace::Bucket;
use super::their_clock::{Dated, TheirClock};
use super::{Settings, Tls};
use crate::clock::Clock;
use crate::domain::{
    Event, Lacks, Link, Market, Now, Reason, ReasonCode, Ticker, VenueId, Via, is_repeated, plausible,
};
use crate::venue::{Record, RejectedListing, Rejection, Venue};

/// What the log says of a record that can't be read.
const REJECTED: &str = "record rejected: what was known before stands";

/// What the log says of a record of which one member can't be read.
const LEFT_OUT: &str = "one member left out: the rest of its record counts";

/// REST counts as working for this many polling intervals after its last answer.
const POLLS_MISSED_MAX: u32 = 3;

/// The wanted markets that may be asked for: those listed, or all while there is no list.
pub type Listed = Arc<BTreeSet<Market>>;

/// Whether a ticker is one of now by its times: no other says anything of whether a stream is alive.
fn is_current(ticker: &Ticker, streamed: bool, venue_now: Timestamp) -> bool {
    match plausible(ticker, venue_now) {
        Err(_) => false,
        Ok(left_out) => {
            let sent_at = ticker.sent_at.filter(|_| left_out.is_none());
            !streamed || sent_at.is_none_or(|sent_at| !is_repeated(sent_at, venue_now))
        }
    }
}

/// One venue's settings, connections to the world, and present state.
pub struct Shared {
    pub venue: &'static dyn Venue,
    pub settings: Settings,
    pub tls: Tls,
    pub clock: Clock,
    pub http: Http,
    pub gate: Arc<Gate>,
    pub outbox: Outbox,
    pub wanted: Vec<Market>,
    /// Which markets share a connection.
    pub slots: Vec<Vec<Market>>,
    pub listed: watch::Sender<Listed>,
    pub has_list: watch::Sender<bool>,
    pub shutdown: CancellationToken,
    symbols: BTreeMap<String, Market>,
    /// Each lock is held for a few lines and never two at once.
    liveness: Mutex<Liveness>,
    health: Mutex<Health>,
    their_clock: Mutex<TheirClock>,
    connects: Mutex<Bucket>,
}

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "the parts of one venue, joined here once")]
    pub fn new(
        venue: &'static dyn Venue,
        settings: Settings,
        wanted: Vec<Market>,
        tls: Tls,
        clock: Clock,
        (http, gate): (Http, Arc<Gate>),
        events: mpsc::Sender<Event>,
        shutdown: CancellationToken,
    ) -> Self {
        let profile = venue.profile();
        let wanted: Vec<Market> = wanted.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let slots: Vec<Vec<Market>> =
            wanted.chunks(profile.markets_per_connection.max(1)).map(<[Market]>::to_vec).collect();
        let now = clock.monotonic();
        Self {
            liveness: Mutex::new(Liveness::new(&slots, &settings)),
            health: Mutex::new(Health::new(profile.id, wanted.len(), clock.now())),
            their_clock: Mutex::default(),
            // Empty, since another life of the process may just have connected as often as it might.
            connects: Mutex::new(
                Bucket::new(settings.connect_burst, settings.connect_every * settings.connect_burst.max(1), now)
                    .emptied(),
            ),
            symbols: wanted.iter().map(|market| (venue.symbol(market), market.clone())).collect(),
            listed: watch::Sender::new(Arc::new(wanted.iter().cloned().collect())),
            has_list: watch::Sender::new(false),
            outbox: Outbox::new(events),
            venue,
            settings,
            tls,
            clock,
            http,
            gate,
            wanted,
            slots,
            shutdown,
        }
    }

    pub fn id(&self) -> VenueId {
        self.venue.profile().id
    }

    pub fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// The wanted market that the venue spells like this.
    pub fn market(&self, symbol: &str) -> Option<&Market> {
        self.symbols.get(symbol)
    }

    /// Returns what the venue's clock shows, or ours for want of it.
    pub fn there(&self) -> Timestamp {
        let known = self.their_clock().known();
        known.map_or_else(|| self.clock.now(), |clock| clock.at(self.now()))
    }

    fn their_clock(&self) -> MutexGuard<'_, TheirClock> {
        self.their_clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn liveness(&self) -> MutexGuard<'_, Liveness> {
        self.liveness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for leave to open a connection, so that connections that fell together do not come back at once.
    pub async fn connect_turn(&self) {
        loop {
            let turn = self.connects.lock().unwrap_or_else(PoisonError::into_inner).take(1, 0, self.now());
            match turn {
                Ok(()) => return,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// Passes on the usable records of a message that was `asked` for, or was pushed; returns the markets they told of.
    ///
    /// A streamed record that is not of now tells of nothing: a stream that only repeats itself, or whose times are wrong,
    /// is as good as silent, and the prices are polled.
    pub fn deliver(&self, records: Vec<Record>, via: Via, asked: Option<Now>) -> Vec<Market> {
        let received = self.clock.read();
        let venue_now = self.there();
        let (asked, now) = (asked.unwrap_or(received), received.monotonic);
        let mut told = Vec::with_capacity(records.len());
        for Record { symbol, ticker, left_out } in records {
            let Some(market) = self.market(&symbol) else {
                self.reject("unknown-symbol", &symbol);
                continue;
            };
            left_out.iter().for_each(|fault| self.leave_out(market, fault));
            match ticker {
                Ok(ticker) => {
                    let streamed = matches!(via, Via::Stream { .. });
                    let current = is_current(&ticker, streamed, venue_now);
                    if current {
                        self.note(market, &ticker, via, now);
                    }
                    self.has(market, Lacks::Price);
                    let (venue, market) = (self.id(), market.clone());
                    if current || !streamed {
                        told.push(market.clone());
                    }
                    self.outbox.push(Event::Ticker { venue, market, ticker, asked, received, via });
                }
                Err(rejection) => {
                    self.refuse(market, &rejection);
                    self.lacks(market, Lacks::Price, rejection.problem, rejection.example());
                }
            }
        }
        if !told.is_empty() {
            self.health().figures().data_at = Some(received.wall);
        }
        told
    }

    fn note(&self, market: &Market, ticker: &Ticker, via: Via, now: Duration) {
        let mut liveness = self.liveness();
        match via {
            Via::Stream { .. } => liveness.streamed(market, ticker, now),
            Via::Poll | Via::Check => liveness.fetched(market, ticker, now),
        }
    }

    /// Counts something refused and, once in a while, logs one such.
    pub fn reject(&self, what: &'static str, detail: &str) {
        self.refuse_any((what, None), None, detail, REJECTED);
    }

    /// The same of a record of which it is known what was wrong with it.
    pub fn refuse(&self, market: &Market, rejection: &Rejection) {
        self.refuse_any((rejection.problem, Some(rejection.field)), Some(market), rejection.example(), REJECTED);
    }

    /// The same of a row of the list of markets; returns the wanted market that it is of, if it is known.
    pub fn refuse_listing(&self, rejected: &RejectedListing) -> Option<&Market> {
        let RejectedListing { symbol, rejection } = rejected;
        let market = symbol.as_ref().and_then(|symbol| self.market(symbol));
        let of = symbol.as_ref().filter(|_| market.is_none()).map_or_else(String::new, |symbol| format!(" ({symbol})"));
        let detail = format!("a listed market{of}: {}", rejection.example());
        self.refuse_any((rejection.problem, Some(rejection.field)), market, detail, REJECTED);
        market
    }

    /// The same of a single member of a record that counts all the same.
    pub fn leave_out(&self, market: &Market, rejection: &Rejection) {
        self.refuse_any((rejection.problem, Some(rejection.field)), Some(market), rejection.example(), LEFT_OUT);
    }

    fn refuse_any(
        &self,
        (what, field): (&'static str, Option<&'static str>),
        market: Option<&Market>,
        detail: impl fmt::Display,
        consequence: &'static str,
    ) {
        let text = || super::decode::quoted(&detail.to_string());
        let Now { wall: at, monotonic: now } = self.clock.read();
        let mut health = self.health();
        health.refuse((what, field), market, text, at);
        if let Some(suppressed) = health.may_log((what, consequence), now) {
            let (detail, market) = (text(), market.map(tracing::field::display));
            tracing::warn!(venue = %self.id(), market, field, what, detail, suppressed, "{consequence}");
        }
    }

    /// Notes why a wanted market has no price or no base, until [`Self::has`] says that it has one again.
    ///
    /// `code` is a stable word, `detail` is for an operator. To be called as often as it is found so.
    pub fn lacks(&self, market: &Market, lacks: Lacks, code: &'static str, detail: impl Into<String>) {
        self.health().lacks(market, lacks, (code, detail.into()), self.clock.now());
    }

    /// A question about a market was refused, or its answer was missing, unreadable or late: that market alone lacks it.
    ///
    /// The log names it once, and again when the cause changes.
    pub fn market_failed(&self, market: &Market, lacks: Lacks, reason: &Reason) {
        let (at, code, detail) = (self.clock.now(), reason.code.as_str(), &reason.message);
        let what = if reason.code == ReasonCode::Unanswered { "unanswered" } else { "refused-market" };
        let news = {
            let mut health = self.health();
            health.refuse((what, None), Some(market), || detail.clone(), at);
            health.lacks(market, lacks, (code, detail.clone()), at)
        };
        if news {
            tracing::warn!(venue = %self.id(), %market, ?lacks, code, detail, "the exchange does not answer for one market");
        }
    }

    /// Notes that nothing keeps a market from having it; returns since when something did.
    pub fn has(&self, market: &Market, what: Lacks) -> Option<Timestamp> {
        self.health().has(market, what)
    }

    /// Logs a failure; the same cause at most once a minute, whatever failed by it.
    pub fn log(&self, what: &'static str, reason: &Reason) {
        if let Some(suppressed) = self.health().may_log((reason.code.as_str(), ""), self.now()) {
            let detail = &reason.message;
            tracing::warn!(venue = %self.id(), what, detail, suppressed, "reading from the exchange failed; retrying");
        }
    }

    /// A REST call worked.
    pub fn rest_worked(&self, dated: Option<Dated>) {
        {
            let now = self.now();
            let mut health = self.health();
            health.rest_reason = None;
            health.rest_ok = Some(now);
            if let Some(since) = health.rest_failing_since.take()
                && let Some(suppressed) = health.may_log(("rest-restored", ""), now)
            {
                let lasted = format!("{}s", now.saturating_sub(since).as_secs());
                tracing::info!(venue = %self.id(), lasted, suppressed, "requests are answered again");
            }
        }
        self.tell_clock(dated);
        self.report(false);
    }

    /// The board is told of the venue's clock before of what was dated by it.
    fn tell_clock(&self, dated: Option<Dated>) {
        let known = {
            let mut clock = self.their_clock();
            dated.is_some_and(|dated| clock.take(dated, self.clock.read())).then(|| clock.known()).flatten()
        };
        if let Some(clock) = known {
            self.outbox.push(Event::Clock { venue: self.id(), clock });
        }
    }

    /// Takes in the first date of the venue; returns whether a second one is needed before it is believed.
    pub fn doubts_first_date(&self, dated: Option<Dated>) -> bool {
        if dated.is_none() || self.their_clock().known().is_some() {
            return false;
        }
        self.tell_clock(dated);
        self.their_clock().is_doubted()
    }

    /// A REST call failed.
    pub fn rest_failed(&self, what: &'static str, reason: &Reason) {
        self.log(what, reason);
        {
            let now = self.now();
            let mut health = self.health();
            health.rest_reason = Some(reason.clone());
            health.rest_failing_since.get_or_insert(now);
        }
        self.report(false);
    }

    /// A slot's stream began to deliver (`None`), or failed.
    pub fn stream_changed(&self, slot: usize, failure: Option<Reason>) {
        self.liveness().set_up(slot, failure.is_none());
        if let Some(reason) = failure {
            self.log("stream", &reason);
            self.health().stream_reason = Some(reason);
        }
        self.report(false);
    }

    /// The slots with something to stream.
    fn active(&self) -> Vec<usize> {
        let listed = self.listed.borrow().clone();
        let some = |slot: &usize| self.slots[*slot].iter().any(|market| listed.contains(market));
        (0..self.slots.len()).filter(some).collect()
    }

    /// Publishes the state if it changed, or (`figures`) anything else that did.
    pub fn report(&self, figures: bool) {
        let Now { wall: at, monotonic: now } = self.clock.read();
        let skew = self.their_clock().known().map(|clock| clock.at(now).duration_since(at));
        let active = self.active();
        let (streaming, partly, heard) = {
            let liveness = self.liveness();
            let partly = active.iter().any(|&slot| liveness.all_up(&[slot]));
            let streaming = self.settings.stream_enabled && !active.is_empty() && liveness.all_up(&active);
            (streaming, partly, liveness.heard_within(self.settings.stale_after, now))
        };
        let [not_before, stream_not_before] = [Link::Rest, Link::Stream].map(|link| self.gate.not_before(link));
        let fresh = self.settings.poll_every * POLLS_MISSED_MAX + self.settings.request;
        let told = {
            let mut health = self.health();
            let polling = health.rest_reason.is_none()
                && health.rest_ok.is_some_and(|ok| now.saturating_sub(ok) <= fresh.max(self.settings.confirm_after));
            let starting = self.settings.stream_enabled && health.stream_reason.is_none();
            health.figures().markets_live = heard;
            health.figures().clock_skew_ms = skew.and_then(|skew| i64::try_from(skew.as_millis()).ok());
            health.figures().not_before = not_before;
            health.figures().stream_not_before = stream_not_before;
            health.figures().requests_failed = self.http.failed();
            health.tell(Links { streaming, partly, polling, starting }, at, figures)
        };
        if let Some(told) = told {
            self.outbox.push(Event::Health(told));
        }
    }
}
