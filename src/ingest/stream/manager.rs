//! Connection manager: opens one connection of a venue, replaces it, and reconnects without end.
//!
//! A planned replacement overlaps: the old connection is closed only once the
//! new one delivers, so that nothing is missed in between.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::connect::ConnectError;
use super::connection::{Command, ManagerCommand};
use super::session::{SessionEnd, SessionReport, StreamSession};
use crate::failpoint;
use crate::feed::{Reason, ReasonCode, Transport};
use crate::ingest::context::VenueContext;
use crate::ingest::limits::Backoff;
use crate::ingest::wanted::WantedMarkets;
use crate::market::Market;

/// Capacity of a manager's report queue; a connection sends four kinds of report, each at most once.
const REPORTS_MAX: usize = 16;

/// Capacity of a connection's command queue; excess commands are dropped, and the next check repeats them.
const CONNECTION_COMMANDS_MAX: usize = 16;

/// A venue that closes this many connections in a row right after they open is refusing us.
const EARLY_CLOSES_MAX: u32 = 5;

/// Longest wait while a venue refuses us, as a multiple of the longest wait after other failures.
const REFUSED_FACTOR: u32 = 5;

/// Session number of the next connection, unique within the process.
static NEXT_SESSION: AtomicU64 = AtomicU64::new(1);

/// Handle of a running connection task.
struct ConnectionHandle {
    session: u64,
    /// Whether it has subscribed to the markets.
    subscribed: bool,
    up: bool,
    /// Why it asked to be replaced, if it did so while it was still the successor.
    hand_over: Option<String>,
    cancel: CancellationToken,
    commands: mpsc::Sender<Command>,
}

struct ConnectionManager {
    context: Arc<VenueContext>,
    index: usize,
    desired: watch::Sender<Arc<Vec<Market>>>,
    tasks: JoinSet<SessionEnd>,
    reports: mpsc::Sender<SessionReport>,
    primary: Option<ConnectionHandle>,
    successor: Option<ConnectionHandle>,
    /// Whether a successor is wanted; stays set if opening one fails.
    replacing: bool,
    backoff: Backoff,
    /// Connections in a row that the venue closed right after opening.
    early_closes: u32,
    /// Back-off while the venue does that.
    refused_backoff: Backoff,
    open_at: Option<Duration>,
}

/// Keeps connection `index` streaming until `stop`; returns once all of its tasks have ended.
pub async fn run(
    context: Arc<VenueContext>,
    index: usize,
    mut commands: mpsc::Receiver<ManagerCommand>,
    stop: CancellationToken,
) {
    let mut markets = context.markets.subscribe();
    let (mut manager, mut inbox) = ConnectionManager::new(context.clone(), index);
    manager.update_desired(&markets.borrow_and_update().clone());
    loop {
        let open_in = manager.open_in();
        tokio::select! {
            () = stop.cancelled() => break,
            Ok(()) = markets.changed() => manager.update_desired(&markets.borrow_and_update().clone()),
            Some(command) = commands.recv() => manager.handle_command(command),
            Some(report) = inbox.recv() => manager.handle_report(report),
            Some(done) = manager.tasks.join_next(), if !manager.tasks.is_empty() => {
                // Tasks are never aborted, and `catch_panic` stops their panics.
                if let Ok(finished) = done {
                    manager.handle_end(finished);
                }
            }
            () = tokio::time::sleep(open_in.unwrap_or_default()), if open_in.is_some() => manager.open(),
        }
    }
    manager.close();
    while manager.tasks.join_next().await.is_some() {}
}

/// Runs a session and turns a panic in it, such as over an unforeseen frame, into a failed connection.
async fn catch_panic(session: u64, work: impl Future<Output = SessionEnd>) -> SessionEnd {
    let work = AssertUnwindSafe(failpoint::run("session", work)).catch_unwind();
    work.await.ok().flatten().unwrap_or_else(|| {
        tracing::error!(session, "connection task failed; reconnecting");
        let reason = Reason::new(ReasonCode::Closed, "the connection task failed; see the log");
        SessionEnd { closed_early: false, ..SessionEnd::failed(session, reason.into()) }
    })
}

impl ConnectionManager {
    /// Returns a manager without a connection, and the receiver of its connections' reports.
    fn new(context: Arc<VenueContext>, index: usize) -> (Self, mpsc::Receiver<SessionReport>) {
        let (reports, inbox) = mpsc::channel(REPORTS_MAX);
        let (shortest, longest) = (context.settings.backoff_min, context.settings.backoff_max);
        let cooldown = context.cooldowns.remaining(Transport::Stream).map_or(Duration::ZERO, |(left, _)| left);
        let manager = Self {
            index,
            desired: watch::Sender::new(Arc::default()),
            tasks: JoinSet::new(),
            reports,
            primary: None,
            successor: None,
            replacing: false,
            backoff: Backoff::new(shortest, longest),
            early_closes: 0,
            refused_backoff: Backoff::new(longest, longest.saturating_mul(REFUSED_FACTOR)),
            open_at: Some(context.now() + cooldown),
            context,
        };
        (manager, inbox)
    }

    /// Adopts the markets of this connection that may be requested; without any, it is closed.
    fn update_desired(&mut self, markets: &WantedMarkets) {
        let assigned = markets.connections.markets_of(self.index).into_iter().flatten();
        let desired: Vec<Market> = assigned.filter(|market| markets.listed.contains(*market)).cloned().collect();
        if desired.is_empty() {
            self.close();
        }
        self.desired.send_if_modified(|now| {
            let changed = **now != desired;
            if changed {
                *now = Arc::new(desired);
            }
            changed
        });
    }

    /// Closes the connection, which is not needed, and forgets that it was replaced or has failed.
    fn close(&mut self) {
        for handle in [self.primary.take(), self.successor.take()].into_iter().flatten() {
            handle.cancel.cancel();
        }
        self.replacing = false;
        self.context.stream_closed(self.index);
    }

    /// Returns how long until the next connection is due, if one is wanted.
    fn open_in(&self) -> Option<Duration> {
        let wanted = self.primary.is_none() || (self.replacing && self.successor.is_none());
        if !wanted || self.desired.borrow().is_empty() {
            return None;
        }
        Some(self.open_at?.saturating_sub(self.context.now()))
    }

    fn open(&mut self) {
        let session = NEXT_SESSION.fetch_add(1, Ordering::Relaxed);
        let (commands, inbox) = mpsc::channel(CONNECTION_COMMANDS_MAX);
        let cancel = CancellationToken::new();
        let stream_session = StreamSession {
            context: self.context.clone(),
            session,
            desired: self.desired.subscribe(),
            commands: inbox,
            cancel: cancel.clone(),
            reports: self.reports.clone(),
        };
        self.tasks.spawn(catch_panic(session, stream_session.run()));
        let handle =
            Some(ConnectionHandle { session, subscribed: false, up: false, hand_over: None, cancel, commands });
        if self.primary.is_none() {
            self.primary = handle;
        } else {
            self.successor = handle;
        }
    }

    fn handle_command(&mut self, command: ManagerCommand) {
        match command {
            ManagerCommand::Forward(command) => self.command_primary(command),
            ManagerCommand::Replace(why) => self.replace(&why),
        }
    }

    fn command_primary(&self, command: Command) {
        if let Some(primary) = &self.primary {
            // A full queue already holds such commands.
            let _ = primary.commands.try_send(command);
        }
    }

    fn replace(&mut self, why: &str) {
        if self.primary.is_none() || self.replacing {
            return;
        }
        tracing::info!(venue = %self.context.id(), why, "opening a replacement connection");
        self.replacing = true;
        self.open_at = Some(Duration::ZERO);
    }

    fn handle_report(&mut self, report: SessionReport) {
        match report {
            SessionReport::Subscribed(session) => {
                if let Some(handle) = self.primary.as_mut().filter(|handle| handle.session == session) {
                    handle.subscribed = true;
                    // The end of the previous connection may have been handled first.
                    self.context.liveness().record_takeover(&self.desired.borrow());
                } else if let Some(handle) = self.successor.as_mut().filter(|handle| handle.session == session) {
                    handle.subscribed = true;
                }
            }
            SessionReport::Up(session) => {
                if let Some(handle) = self.primary.as_mut().filter(|handle| handle.session == session) {
                    handle.up = true;
                    self.context.stream_changed(self.index, None);
                } else if let Some(handle) = self.successor.as_mut().filter(|handle| handle.session == session) {
                    handle.up = true;
                }
            }
            SessionReport::Ready(session) => {
                if self.successor.as_ref().is_some_and(|handle| handle.session == session) {
                    if let Some(old) = self.primary.take() {
                        old.cancel.cancel();
                    }
                    self.promote();
                }
            }
            SessionReport::HandOver(session, why) => {
                if self.primary.as_ref().is_some_and(|handle| handle.session == session) {
                    self.replace(&why);
                } else if let Some(handle) = self.successor.as_mut().filter(|handle| handle.session == session) {
                    handle.hand_over = Some(why);
                }
            }
        }
    }

    fn promote(&mut self) {
        self.primary = self.successor.take();
        self.replacing = false;
        match &self.primary {
            Some(handle) if handle.up => self.context.stream_changed(self.index, None),
            Some(handle) if handle.subscribed => self.context.liveness().record_takeover(&self.desired.borrow()),
            Some(_) | None => {}
        }
        if let Some(why) = self.primary.as_mut().and_then(|handle| handle.hand_over.take()) {
            // A venue that asks every new connection for that is not connected to without a pause.
            let open_at = self.open_at.unwrap_or_default().max(self.context.now() + self.backoff.after_failure());
            self.replace(&why);
            self.open_at = Some(open_at);
        }
    }

    fn handle_end(&mut self, finished: SessionEnd) {
        let SessionEnd { session, mut error, was_stable, closed_early } = finished;
        let primary = self.primary.as_ref().is_some_and(|handle| handle.session == session);
        let successor = self.successor.as_ref().is_some_and(|handle| handle.session == session);
        if !primary && !successor {
            return;
        }
        if was_stable {
            self.backoff.reset();
        }
        if !closed_early {
            self.early_closes = 0;
            self.refused_backoff.reset();
        } else {
            self.early_closes = self.early_closes.saturating_add(1);
        }
        if self.early_closes >= EARLY_CLOSES_MAX {
            let message = format!(
                "{} connections in a row were closed as soon as they were open; last failure: {}",
                self.early_closes, error.reason
            );
            error.reason = Reason::new(ReasonCode::Refused, message);
        }
        self.open_at = Some(self.context.now() + self.next_wait(&error));
        if successor {
            self.successor = None;
            self.context.log_failure("hand-over", &error.reason);
            return;
        }
        self.primary = None;
        self.context.stream_changed(self.index, Some(error.reason));
        self.promote();
    }

    fn next_wait(&mut self, error: &ConnectError) -> Duration {
        let wait = if self.early_closes >= EARLY_CLOSES_MAX {
            self.refused_backoff.after_refusal()
        } else {
            self.backoff.after_failure()
        };
        let slow = matches!(
            error.reason.code,
            ReasonCode::TlsRefused | ReasonCode::Retired | ReasonCode::Redirect | ReasonCode::Blocked
        );
        let wait_min = if slow { self.context.settings.backoff_max } else { Duration::ZERO };
        // Jitter may only lengthen a cool-down that the peer imposed.
        error.cooldown.map_or(wait, |cooldown| cooldown + wait).max(wait_min)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;

    use super::*;
    use crate::clock::Clock;
    use crate::ingest::limits::Cooldowns;
    use crate::ingest::outgoing::Tls;
    use crate::ingest::rest::http::RestClient;
    use crate::ingest::settings::Settings;
    use crate::market::{Price, Ticker};

    fn manager_of(market: &Market) -> ConnectionManager {
        let venue = *crate::venue::ALL.first().unwrap();
        let (settings, tls, clock) = (Settings::defaults(venue.profile()), Tls::new(None).unwrap(), Clock::system());
        let cooldowns = Arc::new(Cooldowns::new(&settings, clock.clone()));
        let http = RestClient::new(venue.profile(), &settings, &tls, &clock, cooldowns.clone()).unwrap();
        let (events, _) = mpsc::channel(1);
        let (wanted, stop) = (BTreeSet::from([market.clone()]), CancellationToken::new());
        let context = VenueContext::new(venue, settings, &wanted, tls, clock, (http, cooldowns), events, stop);
        let markets = context.markets();
        let (mut manager, _) = ConnectionManager::new(Arc::new(context), 0);
        manager.update_desired(&markets);
        manager
    }

    fn handle(session: u64) -> ConnectionHandle {
        let (commands, _) = mpsc::channel(1);
        let cancel = CancellationToken::new();
        ConnectionHandle { session, subscribed: false, up: false, hand_over: None, cancel, commands }
    }

    fn trade(second: i64) -> Ticker {
        let price: Price = "100".parse().unwrap();
        Ticker { traded_at: Some(Timestamp::from_second(second).unwrap()), ..Ticker::new(price) }
    }

    #[tokio::test]
    async fn a_successor_that_asked_to_be_replaced_is_replaced_once_it_has_taken_over() {
        let market: Market = "BTC-KRW".parse().unwrap();
        for end_first in [false, true] {
            let mut manager = manager_of(&market);
            (manager.primary, manager.successor) = (Some(handle(1)), Some(handle(2)));
            manager.replacing = true;
            manager.handle_report(SessionReport::HandOver(2, "restart".to_owned()));
            assert_eq!(manager.open_in(), None, "one replacement at a time");
            if end_first {
                manager.handle_end(SessionEnd::failed(1, Reason::new(ReasonCode::Closed, "cut").into()));
            } else {
                manager.handle_report(SessionReport::Ready(2));
            }
            assert_eq!(manager.primary.as_ref().map(|primary| primary.session), Some(2));
            assert!(manager.open_in().is_some_and(|wait| !wait.is_zero()), "end first: {end_first}");
        }
    }

    /// The end of a connection and the report of its successor reach the manager on two channels, in either order.
    #[tokio::test]
    async fn in_01_a_successor_is_watched_whether_or_not_it_subscribed_before_the_end_of_the_other_was_noticed() {
        let market: Market = "BTC-KRW".parse().unwrap();
        let markets = std::slice::from_ref(&market);
        for end_first in [false, true] {
            let mut manager = manager_of(&market);
            (manager.primary, manager.successor) = (Some(handle(1)), Some(handle(2)));
            manager.context.liveness().record_subscription(markets);
            manager.handle_report(SessionReport::Subscribed(1));
            manager.handle_report(SessionReport::Up(1));
            manager.context.liveness().record_subscription(markets);
            let end = SessionEnd::failed(1, Reason::new(ReasonCode::Closed, "cut").into());
            if end_first {
                manager.handle_end(end);
                manager.handle_report(SessionReport::Subscribed(2));
            } else {
                manager.handle_report(SessionReport::Subscribed(2));
                manager.handle_end(end);
            }
            let now = manager.context.now();
            manager.context.liveness().record_fetched(&market, &trade(1), now);
            manager.context.liveness().record_fetched(&market, &trade(2), now);
            assert_eq!(manager.context.liveness().first_missed(markets), Some(&market), "end first: {end_first}");
        }
    }
}
