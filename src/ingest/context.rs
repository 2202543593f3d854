//! Context of one venue: what its tasks share.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::clock_offset::{ClockOffset, ClockSample};
use super::event_queue::EventQueue;
use super::health::{Connectivity, Health};
use super::limits::{Cooldowns, TokenBucket};
use super::liveness::Liveness;
use super::outgoing::Tls;
use super::rest::http::RestClient;
use super::settings::Settings;
use super::wanted::WantedMarkets;
use crate::clock::Clock;
use crate::feed::{
    Event, MissingPart, Reason, ReasonCode, Transport, VenueState, Via, check_ticker_times, is_repeated, quoted,
};
use crate::market::{Market, Now, Ticker, VenueId};
use crate::venue::{RejectedListing, Rejection, TickerRecord, Venue};

/// Log message for a record that can't be parsed.
const REJECTED: &str = "record rejected; the previous values are kept";

/// Log message for a record with a field that can't be parsed.
const IGNORED: &str = "field ignored; the rest of the record is used";

/// REST counts as working for this many polling intervals after its last response.
const POLLS_MISSED_MAX: u32 = 3;

/// Returns whether a ticker is current by its times; only a current one proves that a stream is alive.
fn is_current(ticker: &Ticker, streamed: bool, venue_now: Timestamp) -> bool {
    match check_ticker_times(ticker, venue_now) {
        Err(_) => false,
        Ok(ignored) => {
            let sent_at = ticker.sent_at.filter(|_| ignored.is_none());
            !streamed || sent_at.is_none_or(|sent_at| !is_repeated(sent_at, venue_now))
        }
    }
}

/// Context of one venue: its settings, its clients, and the state shared by its tasks.
pub struct VenueContext {
    pub venue: &'static dyn Venue,
    pub settings: Settings,
    pub tls: Tls,
    pub clock: Clock,
    pub http: RestClient,
    pub cooldowns: Arc<Cooldowns>,
    pub event_queue: EventQueue,
    pub markets: watch::Sender<Arc<WantedMarkets>>,
    pub shutdown: CancellationToken,
    /// This lock and those of the fields below are held for a few lines, and never two at once.
    liveness: Mutex<Liveness>,
    health: Mutex<Health>,
    clock_offset: Mutex<ClockOffset>,
    connects: Mutex<TokenBucket>,
}

impl VenueContext {
    #[expect(clippy::too_many_arguments, reason = "the parts of one venue, joined here once")]
    pub fn new(
        venue: &'static dyn Venue,
        settings: Settings,
        wanted: &BTreeSet<Market>,
        tls: Tls,
        clock: Clock,
        (http, cooldowns): (RestClient, Arc<Cooldowns>),
        events: mpsc::Sender<Event>,
        shutdown: CancellationToken,
    ) -> Self {
        let now = clock.monotonic();
        let context = Self {
            liveness: Mutex::new(Liveness::new(&settings)),
            health: Mutex::new(Health::new(venue.profile().id, wanted.len(), clock.now())),
            clock_offset: Mutex::default(),
            // Starts empty: the previous process may have used up the limit a moment ago.
            connects: Mutex::new(
                TokenBucket::new(settings.connect_burst, settings.connect_every * settings.connect_burst.max(1), now)
                    .emptied(),
            ),
            markets: watch::Sender::new(Arc::new(WantedMarkets::none(venue))),
            event_queue: EventQueue::new(events),
            venue,
            settings,
            tls,
            clock,
            http,
            cooldowns,
            shutdown,
        };
        context.set_wanted(wanted);
        context
    }

    pub fn id(&self) -> VenueId {
        self.venue.profile().id
    }

    pub fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Returns the markets that are wanted now.
    pub fn markets(&self) -> Arc<WantedMarkets> {
        self.markets.borrow().clone()
    }

    pub fn is_wanted(&self, market: &Market) -> bool {
        self.markets.borrow().wanted.contains(market)
    }

    /// Replaces the wanted markets. Those that stay keep their connection and everything that is known of them.
    ///
    /// Only the supervisor calls this.
    pub fn set_wanted(&self, wanted: &BTreeSet<Market>) {
        let mut connections = self.markets().connections.clone();
        connections.update(wanted);
        // First, so that no subscription to a new market is missed.
        self.liveness().set_markets(&connections);
        self.markets.send_modify(|markets| {
            *markets = Arc::new(markets.with_wanted(self.venue, wanted, connections));
        });
        if wanted.is_empty() {
            // Nothing is read any more, so nothing fails.
            self.health().forget_failures();
        }
    }

    /// Returns the current venue time, or our wall clock's time while there is no estimate of it.
    pub fn venue_now(&self) -> Timestamp {
        let estimate = self.clock_offset().estimate();
        estimate.map_or_else(|| self.clock.now(), |clock| clock.at(self.now()))
    }

    fn clock_offset(&self) -> MutexGuard<'_, ClockOffset> {
        self.clock_offset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn liveness(&self) -> MutexGuard<'_, Liveness> {
        self.liveness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the rate limit allows another connection: connections lost together must not all return at once.
    pub async fn wait_to_connect(&self) {
        loop {
            let turn = self.connects.lock().unwrap_or_else(PoisonError::into_inner).try_acquire(1, 0, self.now());
            match turn {
                Ok(()) => return,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// Publishes the usable records of a message that was requested at `requested`, or pushed (`None`); returns the
    /// markets they confirm.
    ///
    /// A streamed record that is not current confirms nothing: a stream that only repeats itself, or has wrong
    /// times, counts as silent, and its markets are polled.
    pub fn deliver(&self, records: Vec<TickerRecord>, via: Via, requested: Option<Now>) -> Vec<Market> {
        let received = self.clock.read();
        let venue_now = self.venue_now();
        let (requested, now) = (requested.unwrap_or(received), received.monotonic);
        let mut confirmed = Vec::with_capacity(records.len());
        let markets = self.markets();
        for TickerRecord { symbol, ticker, ignored_fields } in records {
            let Some(market) = markets.market(&symbol) else {
                if !markets.is_retired(&symbol) {
                    self.reject("unknown-symbol", &symbol);
                }
                continue;
            };
            // The list has not confirmed this symbol, or has shown that it means another asset.
            if self.venue.profile().needs_list && !markets.listed.contains(market) {
                continue;
            }
            ignored_fields.iter().for_each(|rejection| self.ignore_field(market, rejection));
            match ticker {
                Ok(ticker) => {
                    let streamed = matches!(via, Via::Stream { .. });
                    let current = is_current(&ticker, streamed, venue_now);
                    if current {
                        self.record_liveness(market, &ticker, via, now);
                    }
                    self.clear_missing(market, MissingPart::Price);
                    let (venue, market) = (self.id(), market.clone());
                    if current || !streamed {
                        confirmed.push(market.clone());
                    }
                    self.event_queue.push(Event::Ticker { venue, market, ticker, requested, received, via });
                }
                Err(rejection) => {
                    self.reject_record(market, &rejection);
                    self.set_missing(market, MissingPart::Price, rejection.problem, rejection.describe());
                }
            }
        }
        if !confirmed.is_empty() {
            self.health().current().data_at = Some(received.wall);
        }
        confirmed
    }

    fn record_liveness(&self, market: &Market, ticker: &Ticker, via: Via, now: Duration) {
        let mut liveness = self.liveness();
        match via {
            Via::Stream { .. } => liveness.record_streamed(market, ticker, now),
            Via::Poll | Via::Check => liveness.record_fetched(market, ticker, now),
        }
    }

    /// Counts a rejected item and, at a limited rate, logs one as an example.
    pub fn reject(&self, what: &'static str, detail: &str) {
        self.record_rejection((what, None), None, detail, REJECTED);
    }

    /// Like [`Self::reject`], for a record of `market` whose rejected field is known.
    pub fn reject_record(&self, market: &Market, rejection: &Rejection) {
        self.record_rejection((rejection.problem, Some(rejection.field)), Some(market), rejection.describe(), REJECTED);
    }

    /// Like [`Self::reject`], for a row of the market list; returns its market if that is one of `markets`.
    pub fn reject_listing(&self, rejected: &RejectedListing, markets: &WantedMarkets) -> Option<Market> {
        let RejectedListing { symbol, rejection, is_other_asset } = rejected;
        let market = symbol.as_ref().and_then(|symbol| markets.market(symbol));
        let of = symbol.as_ref().filter(|_| market.is_none()).map_or_else(String::new, |symbol| format!(" ({symbol})"));
        let detail = format!("row of the market list{of}: {}", rejection.describe());
        if let Some(market) = market.filter(|_| *is_other_asset) {
            self.set_missing(market, MissingPart::Price, rejection.problem, detail.clone());
        }
        self.record_rejection((rejection.problem, Some(rejection.field)), market, detail, REJECTED);
        market.cloned()
    }

    /// Like [`Self::reject`], for a single field of a record that is otherwise used.
    pub fn ignore_field(&self, market: &Market, rejection: &Rejection) {
        self.record_rejection((rejection.problem, Some(rejection.field)), Some(market), rejection.describe(), IGNORED);
    }

    fn record_rejection(
        &self,
        (what, field): (&'static str, Option<&'static str>),
        market: Option<&Market>,
        detail: impl fmt::Display,
        consequence: &'static str,
    ) {
        let text = || quoted(&detail.to_string());
        let Now { wall: at, monotonic: now } = self.clock.read();
        let mut health = self.health();
        health.reject((what, field), market, text, at);
        if let Some(suppressed) = health.may_log((what, consequence), now) {
            let (detail, market) = (text(), market.map(tracing::field::display));
            tracing::warn!(venue = %self.id(), market, field, what, detail, suppressed, "{consequence}");
        }
    }

    /// Records why a wanted market has no price or no base, until [`Self::clear_missing`] clears it.
    ///
    /// `code` is a stable code, `detail` is for the operator. Call it on every occurrence.
    pub fn set_missing(&self, market: &Market, lacks: MissingPart, code: &'static str, detail: impl Into<String>) {
        if !self.is_wanted(market) {
            return;
        }
        self.health().set_missing(market, lacks, (code, detail.into()), self.clock.now());
    }

    /// Records that a query failed for one market, which was refused, missing, unreadable or late.
    ///
    /// Logs it once, and again when the cause changes.
    pub fn market_failed(&self, market: &Market, lacks: MissingPart, reason: &Reason) {
        if !self.is_wanted(market) {
            return;
        }
        let (at, code, detail) = (self.clock.now(), reason.code.as_str(), &reason.message);
        let what = if reason.code == ReasonCode::Unanswered { "unanswered" } else { "refused-market" };
        let is_new = {
            let mut health = self.health();
            health.reject((what, None), Some(market), || detail.clone(), at);
            health.set_missing(market, lacks, (code, detail.clone()), at)
        };
        if is_new {
            tracing::warn!(venue = %self.id(), %market, ?lacks, code, detail, "no usable response for one market; retrying it separately");
        }
    }

    /// Records that the venue refused to stream the market of `symbol`, which is polled instead.
    pub fn refuse_stream(&self, symbol: &str, message: &str) {
        let markets = self.markets();
        match markets.market(symbol) {
            Some(market) => {
                self.liveness().record_refusal(market, self.now());
                self.market_failed(market, MissingPart::Price, &Reason::new(ReasonCode::Refused, quoted(message)));
            }
            None if markets.is_retired(symbol) => {}
            None => self.reject("refused", &format!("{symbol}: {message}")),
        }
    }

    /// Clears what [`Self::set_missing`] recorded; returns since when it was missing.
    pub fn clear_missing(&self, market: &Market, what: MissingPart) -> Option<Timestamp> {
        self.health().clear_missing(market, what)
    }

    /// Logs a failure, at most once a minute per cause, whichever operation failed.
    pub fn log_failure(&self, what: &'static str, reason: &Reason) {
        if let Some(suppressed) = self.health().may_log((reason.code.as_str(), ""), self.now()) {
            let detail = &reason.message;
            tracing::warn!(venue = %self.id(), what, detail, suppressed, "reading from the exchange failed; retrying");
        }
    }

    /// Records a successful REST call and the date of its response, and publishes the health.
    pub fn rest_succeeded(&self, dated: Option<ClockSample>) {
        {
            let now = self.now();
            let mut health = self.health();
            health.rest_failure = None;
            health.rest_succeeded_at = Some(now);
            if let Some(since) = health.rest_failing_since.take()
                && let Some(suppressed) = health.may_log(("rest-restored", ""), now)
            {
                let lasted = format!("{}s", now.saturating_sub(since).as_secs());
                tracing::info!(venue = %self.id(), lasted, suppressed, "requests to the exchange succeed again");
            }
        }
        self.record_date(dated);
        self.publish_health(false);
    }

    /// Records a date and publishes the clock estimate, if the date was accepted.
    ///
    /// To be called before publishing any event that is stamped by that clock.
    fn record_date(&self, dated: Option<ClockSample>) {
        let known = {
            let mut clock = self.clock_offset();
            dated.is_some_and(|dated| clock.observe(dated, self.clock.read())).then(|| clock.estimate()).flatten()
        };
        if let Some(clock) = known {
            self.event_queue.push(Event::Clock { venue: self.id(), clock });
        }
    }

    /// Records the venue's first date; returns whether a second one is needed to confirm it.
    pub fn needs_second_date(&self, dated: Option<ClockSample>) -> bool {
        if dated.is_none() || self.clock_offset().estimate().is_some() {
            return false;
        }
        self.record_date(dated);
        self.clock_offset().awaits_confirmation()
    }

    /// Records and logs a failed REST call, and publishes the health.
    pub fn rest_failed(&self, what: &'static str, reason: &Reason) {
        self.log_failure(what, reason);
        {
            let now = self.now();
            let mut health = self.health();
            health.rest_failure = Some(reason.clone());
            health.rest_failing_since.get_or_insert(now);
        }
        self.publish_health(false);
    }

    /// Records that a connection started to deliver (`None`) or failed.
    pub fn stream_changed(&self, connection: usize, failure: Option<Reason>) {
        self.liveness().set_connection_up(connection, failure.is_none());
        if let Some(reason) = failure {
            self.log_failure("stream", &reason);
            self.health().stream_failure = Some(reason);
        }
        self.publish_health(false);
    }

    /// Records that a connection was closed because none of its markets is wanted and listed.
    pub fn stream_closed(&self, connection: usize) {
        self.liveness().forget_connection(connection);
        // At the end of the program, that is no change of the venue's state.
        if !self.shutdown.is_cancelled() {
            self.publish_health(false);
        }
    }

    /// Publishes the health of the venue if its state changed or, with `figures`, if anything else did.
    pub fn publish_health(&self, figures: bool) {
        let Now { wall: at, monotonic: now } = self.clock.read();
        let skew = self.clock_offset().estimate().map(|clock| clock.at(now).duration_since(at));
        let markets = self.markets();
        let active = markets.active_connections();
        let (all_up, any_up, any_failed, confirmed) = {
            let liveness = self.liveness();
            let all_up = !active.is_empty() && liveness.all_up(&active);
            let confirmed = liveness.count_confirmed_within(self.settings.stale_after, now);
            (all_up, liveness.any_up(), liveness.any_failed(), confirmed)
        };
        let [not_before, stream_not_before] =
            [Transport::Rest, Transport::Stream].map(|transport| self.cooldowns.not_before(transport));
        let recent_max = self.settings.poll_every * POLLS_MISSED_MAX + self.settings.request;
        let changed = {
            let mut health = self.health();
            // A venue that is up stays up while a connection for new markets is opened for the first time.
            let is_extended = health.current().state == VenueState::Up && !active.is_empty() && any_up && !any_failed;
            let streaming = self.settings.stream_enabled && (all_up || is_extended);
            health.retain_wanted(&markets.wanted);
            let polling = health.rest_failure.is_none()
                && health
                    .rest_succeeded_at
                    .is_some_and(|at| now.saturating_sub(at) <= recent_max.max(self.settings.confirm_after));
            let starting = self.settings.stream_enabled && health.stream_failure.is_none();
            health.current().markets_live = confirmed;
            health.current().clock_skew_ms = skew.and_then(|skew| i64::try_from(skew.as_millis()).ok());
            health.current().not_before = not_before;
            health.current().stream_not_before = stream_not_before;
            health.current().requests_failed = self.http.failed_requests();
            health.take_update(Connectivity { streaming, partly_streaming: any_up, polling, starting }, at, figures)
        };
        if let Some(changed) = changed {
            self.event_queue.push(Event::Health(changed));
        }
    }
}
