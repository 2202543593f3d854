//! A trial run of one exchange: what `serve` would show of it, by the same code.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::board::{Quotes, Wanted};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::{Basis, Event, Market, Quote, SourceId, State, VenueHealth, VenueState};
use crate::ingest::{self, Tls};
use crate::run::{board_settings, ingest_settings, markets_of};
use crate::venue::Venue;

/// Longest run. A quiet stream is known to be alive after about ten seconds, and a row that nothing confirms is stale after
/// 15 s unless the settings say otherwise.
const RUN_MAX: Duration = Duration::from_secs(20);

/// An exchange that was down for so long stays down: some attempts have failed.
const DOWN_MAX: Duration = Duration::from_secs(5);

/// The trial ends early only if nothing was left to wait for during this time: a stream may be reported as connected
/// just before its first record is refused.
const SETTLED_MIN: Duration = Duration::from_millis(500);

/// How often it is looked whether there is anything left to wait for.
const LOOK: Duration = Duration::from_millis(200);

/// Events that may wait.
const EVENTS_WAITING: usize = 4096;

/// What a trial run has seen.
#[derive(Debug)]
pub(super) struct Trial {
    /// The wanted markets.
    pub wanted: Vec<Market>,
    /// Whether streaming is switched on.
    pub streaming: bool,
    /// Every market that the exchange lists, if its list came.
    pub listed: Option<BTreeSet<Market>>,
    /// The newest state of the connections to the exchange, which does not consider whether its prices are believed.
    pub link: Option<VenueHealth>,
    /// The newest state of the exchange as `serve` would publish it.
    pub health: Option<VenueHealth>,
    /// The newest row of each wanted market.
    pub quotes: BTreeMap<Market, Arc<Quote>>,
    /// How long it took.
    pub took: Duration,
}

impl Trial {
    /// Whether the exchange is connected as configured.
    pub fn is_connected(&self) -> bool {
        let state = self.health.as_ref().map(|health| health.state);
        state == Some(VenueState::Up) || (state == Some(VenueState::Delayed) && !self.streaming)
    }

    /// Whether `serve` would show nothing of the exchange, or not as configured.
    pub fn fails(&self) -> bool {
        self.listed.is_none()
            || !self.is_connected()
            || !self.wanted.iter().any(|market| self.current(market).is_some())
    }

    /// Returns the row of a market whose price `serve` would show as current.
    pub fn current(&self, market: &Market) -> Option<&Arc<Quote>> {
        let current = |quote: &&Arc<Quote>| match quote.state {
            State::Live => true,
            State::Delayed => !self.streaming,
            State::Stale | State::Halted | State::Unknown => false,
        };
        self.quotes.get(market).filter(current)
    }

    /// Whether the exchange says that it does not have the market.
    pub fn is_unlisted(&self, market: &Market) -> bool {
        self.listed.as_ref().is_some_and(|listed| !listed.contains(market))
    }

    /// Whether the board or the reader of the exchange has refused something of it.
    fn has_refused(&self) -> bool {
        self.health.as_ref().is_some_and(|health| !health.problems.is_empty())
    }

    /// Whether nothing more is to be expected.
    ///
    /// After a refused record that is not known: prices that REST told of are current until they
    /// are stale, whatever becomes of those of the stream. Then the trial goes on to its end, and is judged by what is
    /// shown there.
    fn is_settled(&self) -> bool {
        let halted = |market: &Market| self.quotes.get(market).is_some_and(|quote| quote.state == State::Halted);
        let settled = |market: &Market| self.current(market).is_some() || self.is_unlisted(market) || halted(market);
        // With no market to stream there is nothing that would connect.
        let none = self.wanted.iter().all(|market| self.is_unlisted(market));
        !self.has_refused() && self.listed.is_some() && (self.is_connected() || none) && self.wanted.iter().all(settled)
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Listings { listings, unreadable, .. } => {
                let listed = listings.iter().map(|listing| &listing.market).chain(unreadable);
                self.listed = Some(listed.cloned().collect());
            }
            Event::Health(health) => self.link = Some(health.clone()),
            Event::Ticker { .. } | Event::Settled { .. } | Event::TickSizes { .. } | Event::Clock { .. } => {}
        }
    }
}

/// Reads `venue` as `serve` does, until every wanted market has a current price or nothing more is to be expected.
pub(super) async fn run(venue: &'static dyn Venue, config: &Config, tls: Tls, clock: &Clock) -> Trial {
    let id = venue.profile().id;
    let settings = ingest_settings(venue, config);
    let wanted = markets_of(config, id);
    let rows = Wanted {
        source: SourceId::new([id.as_str()]),
        venues: vec![id],
        markets: wanted.clone(),
        basis: Basis::default(),
    };
    let mut trial = Trial {
        wanted: wanted.clone(),
        streaming: settings.stream_enabled,
        listed: None,
        link: None,
        health: None,
        quotes: BTreeMap::new(),
        took: Duration::ZERO,
    };
    let began = clock.monotonic();
    let mut quotes = Quotes::new(&[rows], board_settings(config), clock.read());
    let (events, mut inbox) = mpsc::channel(EVENTS_WAITING);
    // One look asks for no past, and a first price needs no second witness.
    let ((_gaps, gaps), (_checks, checks)) = (mpsc::channel(1), mpsc::channel(1));
    let requests = ingest::Requests { gaps, checks };
    let stop = CancellationToken::new();
    let stopped = stop.clone().drop_guard();
    let reading = ingest::run(venue, settings, wanted, tls, clock.clone(), events, requests, stop);
    let mut reading = Box::pin(reading.fuse());
    let mut tick = tokio::time::interval(LOOK);
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
        trial.took = now.monotonic.saturating_sub(began);
        let hopeless = down_since.is_some_and(|since| now.monotonic.saturating_sub(since) >= DOWN_MAX);
        settled_since = trial.is_settled().then(|| settled_since.unwrap_or(now.monotonic));
        let settled = settled_since.is_some_and(|since| now.monotonic.saturating_sub(since) >= SETTLED_MIN);
        if settled || hopeless || trial.took >= RUN_MAX {
            break;
        }
    }
    drop(stopped);
    // Connections close politely; who does not let go is left behind.
    let ending = async { while inbox.recv().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_secs(2), async { tokio::join!(reading, ending) }).await;
    trial
}
