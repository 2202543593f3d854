//! Runs ingest against the toy venue's server and waits for its events.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sisepan::clock::Clock;
use sisepan::feed::{Event, Gap, ReasonCode, VenueHealth, VenueState, Via};
use sisepan::ingest::{BoardRequests, Settings, Tls, run};
use sisepan::market::Market;
use sisepan::venue::{Profile, Venue};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::server::Server;
use super::toy::{Toy, WAIT_MAX};

/// A running ingest of the toy venue, with the events received so far.
pub struct Bench {
    pub server: Arc<Server>,
    pub events: mpsc::Receiver<Event>,
    pub gaps: mpsc::Sender<Gap>,
    pub checks: mpsc::Sender<Market>,
    pub wanted: watch::Sender<Arc<BTreeSet<Market>>>,
    pub shutdown: CancellationToken,
    pub task: JoinHandle<()>,
    pub seen: Vec<Event>,
}

/// Settings with short timeouts.
pub fn settings(server: &Server, profile: &Profile) -> Settings {
    let ms = Duration::from_millis;
    Settings {
        rest: format!("http://{}", server.address),
        stream: format!("ws://{}/stream", server.address),
        confirm_after: ms(300),
        poll_every: ms(200),
        lag_grace: ms(100),
        first_message: ms(400),
        backoff_min: ms(20),
        backoff_max: ms(100),
        connect_every: ms(1),
        dns: ms(500),
        tcp: ms(500),
        tls: ms(500),
        upgrade: ms(500),
        ..Settings::defaults(profile)
    }
}

pub fn markets(symbols: &[&str]) -> Vec<Market> {
    symbols.iter().map(|symbol| Market::new(&symbol.to_uppercase(), "KRW").unwrap()).collect()
}

/// Returns these markets as the wanted ones.
pub fn market_set(symbols: &[&str]) -> Arc<BTreeSet<Market>> {
    Arc::new(markets(symbols).into_iter().collect())
}

impl Bench {
    pub fn start(server: &Arc<Server>, wanted: &[&str]) -> Self {
        Self::start_with(server, wanted, Toy::profile(), |_| {})
    }

    pub fn start_with(
        server: &Arc<Server>,
        wanted: &[&str],
        profile: Profile,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut settings = settings(server, &profile);
        change(&mut settings);
        Self::start_tls(server, wanted, profile, settings, Tls::new(None).unwrap())
    }

    pub fn start_tls(server: &Arc<Server>, wanted: &[&str], profile: Profile, settings: Settings, tls: Tls) -> Self {
        Self::start_venue(server, wanted, Toy::leak(profile), settings, tls)
    }

    pub fn start_venue(
        server: &Arc<Server>,
        wanted: &[&str],
        venue: &'static dyn Venue,
        settings: Settings,
        tls: Tls,
    ) -> Self {
        let (sender, events) = mpsc::channel(4096);
        let (gaps, wanted_gaps) = mpsc::channel(64);
        let (checks, wanted_checks) = mpsc::channel(64);
        let requests = BoardRequests { gaps: wanted_gaps, checks: wanted_checks };
        let shutdown = CancellationToken::new();
        let (wanted, wanted_markets) = watch::channel(market_set(wanted));
        let running = run(venue, settings, wanted_markets, tls, Clock::system(), sender, requests, shutdown.clone());
        let task = tokio::spawn(running);
        Self { server: server.clone(), events, gaps, checks, wanted, shutdown, task, seen: Vec::new() }
    }

    /// Waits for the first event for which `fits` returns a value, and skips the events before it.
    pub async fn wait<T>(&mut self, what: &str, mut fits: impl FnMut(&Event) -> Option<T>) -> T {
        let found = tokio::time::timeout(WAIT_MAX, async {
            loop {
                let event = self.events.recv().await.expect("ingest has ended");
                let fit = fits(&event);
                self.seen.push(event);
                if let Some(fit) = fit {
                    return fit;
                }
            }
        });
        match found.await {
            Ok(fit) => fit,
            Err(_) => panic!("no {what}; last: {:#?}", self.seen.iter().rev().take(6).collect::<Vec<_>>()),
        }
    }

    pub async fn price(&mut self, symbol: &str, price: &str, via: fn(Via) -> bool) -> Via {
        let market = markets(&[symbol]).remove(0);
        let what = format!("{price} for {symbol}");
        self.wait(&what, |event| match event {
            Event::Ticker { market: m, ticker, via: v, .. } if *m == market && via(*v) => {
                (ticker.last.to_string() == price).then_some(*v)
            }
            _ => None,
        })
        .await
    }

    pub async fn health(&mut self, what: &str, fits: impl Fn(&VenueHealth) -> bool) -> VenueHealth {
        self.wait(what, |event| match event {
            Event::Health(health) if fits(health) => Some(health.clone()),
            _ => None,
        })
        .await
    }

    pub async fn state(&mut self, state: VenueState) -> VenueHealth {
        self.health(state.as_str(), |health| health.state == state).await
    }

    pub async fn reason(&mut self, code: ReasonCode) -> VenueHealth {
        let fits = |health: &VenueHealth| health.reason.as_ref().is_some_and(|reason| reason.code == code);
        self.health(&format!("{code:?}"), fits).await
    }

    /// Stops ingest and checks that its task and its sockets are gone.
    pub async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(WAIT_MAX, self.task).await.expect("ingest did not stop").unwrap();
        let open = self.server.open.clone();
        until("sockets are closed", || open.load(Ordering::SeqCst) == 0).await;
    }
}

pub fn streamed(via: Via) -> bool {
    matches!(via, Via::Stream { .. })
}

pub fn polled(via: Via) -> bool {
    via == Via::Poll
}

pub fn fetched(via: Via) -> bool {
    !streamed(via)
}

/// Waits for a condition.
pub async fn until(what: &str, mut fits: impl FnMut() -> bool) {
    let clock = Clock::system();
    while !fits() {
        assert!(clock.monotonic() < WAIT_MAX, "timed out waiting for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
