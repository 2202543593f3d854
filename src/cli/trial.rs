//! Trial run of one exchange with the code of `serve`, to find out what `serve` would show of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::app::{board_settings, ingest_settings, markets_of};
use crate::board::{BoardSpec, Quotes};
use crate::clock::Clock;
use crate::config::Config;
use crate::feed::{Event, VenueHealth, VenueState};
use crate::ingest::{self, Tls};
use crate::market::{Basis, Market, Quote, SourceId, State};
use crate::venue::Venue;

/// Longest duration of a trial. A quiet stream is known to be alive after about ten seconds, and an unconfirmed
/// row is stale after 15 s by default.
const RUN_MAX: Duration = Duration::from_secs(20);

/// The trial ends if the exchange has been down for this long, which is after several failed attempts.
const DOWN_MAX: Duration = Duration::from_secs(5);

/// The trial ends early only after everything has been settled for this long: a stream may be reported as
/// connected just before its first record is rejected.
const SETTLED_MIN: Duration = Duration::from_millis(500);

/// How often the trial checks whether everything is settled.
const CHECK_EVERY: Duration = Duration::from_millis(200);

/// Most queued events.
const EVENTS_WAITING: usize = 4096;

/// Result of a trial run.
#[derive(Debug)]
pub(super) struct Trial {
    /// The markets that the boards want from the exchange.
    pub wanted: Vec<Market>,
    /// Whether streaming is enabled.
    pub streaming: bool,
    /// All markets that the exchange lists, if the list was received.
    pub listed: Option<BTreeSet<Market>>,
    /// Latest state of the connections to the exchange, regardless of whether the board accepts its prices.
    pub connection: Option<VenueHealth>,
    /// Latest state of the exchange as `serve` would publish it.
    pub health: Option<VenueHealth>,
    /// Latest row of each wanted market.
    pub quotes: BTreeMap<Market, Arc<Quote>>,
    /// Duration of the trial.
    pub duration: Duration,
}

impl Trial {
    /// Returns whether the exchange is connected as configured.
    pub fn is_connected(&self) -> bool {
        let state = self.health.as_ref().map(|health| health.state);
        state == Some(VenueState::Up) || (state == Some(VenueState::Delayed) && !self.streaming)
    }

    /// Returns whether `serve` would show nothing of the exchange, or would not be connected as configured.
    pub fn has_failed(&self) -> bool {
        self.listed.is_none()
            || !self.is_connected()
            || !self.wanted.iter().any(|market| self.current_quote(market).is_some())
    }

    /// Returns the row of a market if `serve` would show its price as current.
    pub fn current_quote(&self, market: &Market) -> Option<&Arc<Quote>> {
        let current = |quote: &&Arc<Quote>| match quote.state {
            State::Live => true,
            State::Delayed => !self.streaming,
            State::Stale | State::Halted | State::Unknown => false,
        };
        self.quotes.get(market).filter(current)
    }

    /// Returns whether the market is missing from the exchange's list.
    pub fn is_unlisted(&self, market: &Market) -> bool {
        self.listed.as_ref().is_some_and(|listed| !listed.contains(market))
    }

    /// Returns whether any record or message of the exchange has been rejected.
    fn has_rejected(&self) -> bool {
        self.health.as_ref().is_some_and(|health| !health.problems.is_empty())
    }

    /// Returns whether nothing more is expected.
    ///
    /// After a rejected record this is unknown, since prices fetched over REST are current until they become
    /// stale, even if the stream's prices are all rejected. Then the trial runs to its end and is judged by the
    /// final state.
    fn is_settled(&self) -> bool {
        let halted = |market: &Market| self.quotes.get(market).is_some_and(|quote| quote.state == State::Halted);
        let settled =
            |market: &Market| self.current_quote(market).is_some() || self.is_unlisted(market) || halted(market);
        // Without a listed market no stream is opened.
        let all_unlisted = self.wanted.iter().all(|market| self.is_unlisted(market));
        !self.has_rejected()
            && self.listed.is_some()
            && (self.is_connected() || all_unlisted)
            && self.wanted.iter().all(settled)
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Listings { listings, unreadable, .. } => {
                let listed = listings.iter().map(|listing| &listing.market).chain(unreadable);
                self.listed = Some(listed.cloned().collect());
            }
            Event::Health(health) => self.connection = Some(health.clone()),
            Event::Ticker { .. } | Event::Settled { .. } | Event::TickSizes { .. } | Event::Clock { .. } => {}
        }
    }
}

/// Reads `venue` as `serve` does, until every wanted market has a current price or nothing more is expected, the
/// exchange has been down for [`DOWN_MAX`], or [`RUN_MAX`] is over.
pub(super) async fn run(venue: &'static dyn Venue, config: &Config, tls: Tls, clock: &Clock) -> Trial {
    let id = venue.profile().id;
    let settings = ingest_settings(venue, config);
    let wanted = markets_of(&config.boards, id);
    let rows = BoardSpec {
        source: SourceId::new([id.as_str()]),
        venues: vec![id],
        markets: wanted.iter().cloned().collect(),
        basis: Basis::default(),
    };
    let mut trial = Trial {
        wanted: wanted.iter().cloned().collect(),
        streaming: settings.stream_enabled,
        listed: None,
        connection: None,
        health: None,
        quotes: BTreeMap::new(),
        duration: Duration::ZERO,
    };
    let began = clock.monotonic();
    let mut quotes = Quotes::new(&[rows], board_settings(config), clock.read());
    let (events, mut inbox) = mpsc::channel(EVENTS_WAITING);
    // A trial requests no candles, and a first price needs no confirmation.
    let ((_gaps, gaps), (_checks, checks)) = (mpsc::channel(1), mpsc::channel(1));
    let requests = ingest::BoardRequests { gaps, checks };
    let stop = CancellationToken::new();
    let stopped = stop.clone().drop_guard();
    // Without a sender, the wanted markets are constant.
    let wanted = watch::channel(Arc::new(wanted)).1;
    let reading = ingest::run(venue, settings, wanted, tls, clock.clone(), events, requests, stop);
    let mut reading = Box::pin(reading.fuse());
    let mut tick = tokio::time::interval(CHECK_EVERY);
    let (mut down_since, mut settled_since) = (None, None);
    loop {
        tokio::select! {
            event = inbox.recv() => {
                let Some(event) = event else { break };
                trial.note(&event);
                quotes.apply(event, clock.read());
            }
            () = &mut reading => break,
            _ = tick.tick() => quotes.tick(clock.read()),
        }
        let now = clock.read();
        let publish = quotes.publish(now);
        trial.quotes.extend(publish.changed.into_iter().map(|quote| (quote.market.clone(), quote)));
        publish.venues.into_iter().for_each(|health| trial.health = Some(health));
        let down = trial.health.as_ref().is_some_and(|health| health.state == VenueState::Down);
        down_since = down.then(|| down_since.unwrap_or(now.monotonic));
        trial.duration = now.monotonic.saturating_sub(began);
        let hopeless = down_since.is_some_and(|since| now.monotonic.saturating_sub(since) >= DOWN_MAX);
        settled_since = trial.is_settled().then(|| settled_since.unwrap_or(now.monotonic));
        let settled = settled_since.is_some_and(|since| now.monotonic.saturating_sub(since) >= SETTLED_MIN);
        if settled || hopeless || trial.duration >= RUN_MAX {
            break;
        }
    }
    drop(stopped);
    // Let the connections close gracefully, but don't wait long for them.
    let ending = async { while inbox.recv().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_secs(2), async { tokio::join!(reading, ending) }).await;
    trial
}
