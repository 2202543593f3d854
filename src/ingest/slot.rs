//! One place for a connection: opens it, replaces it, and tries again for ever.
//!
//! A planned change of connection has two for a while: the new one delivers
//! before the old one is closed, so nothing is unseen in between.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Backoff;
use super::attempt::{Attempt, Finished, Report};
use super::connection::Command;
use super::dial::DialError;
use super::shared::Shared;
use crate::domain::{Link, Market, Reason, ReasonCode};
use crate::failpoint;

/// Reports that a slot's connections may have under way; a connection makes four kinds, each once.
const REPORTS_MAX: usize = 16;

/// Orders of one connection that may wait; more are dropped, and given again by the next look.
const COMMANDS_MAX: usize = 16;

/// A venue that closes so many connections in a row as soon as they are open refuses us.
const EARLY_MAX: u32 = 5;

/// Longest wait for a venue that refuses us so, in longest waits after other failures.
const REFUSED_FACTOR: u32 = 5;

/// Numbers connections within the process.
static SESSIONS: AtomicU64 = AtomicU64::new(1);

/// What the poller wants of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// These markets' stream has died.
    Resubscribe(Vec<Market>),
    /// Asking again did not help.
    Replace(String),
}

struct Live {
    session: u64,
    /// Whether it was asked for the markets.
    subscribed: bool,
    up: bool,
    cancel: CancellationToken,
    commands: mpsc::Sender<Command>,
}

struct Slot {
    shared: Arc<Shared>,
    index: usize,
    desired: watch::Sender<Arc<Vec<Market>>>,
    tasks: JoinSet<Finished>,
    reports: mpsc::Sender<Report>,
    primary: Option<Live>,
    successor: Option<Live>,
    /// Whether a successor is wanted, should an attempt at one fail.
    replacing: bool,
    backoff: Backoff,
    /// Connections in a row that the venue closed at once.
    early: u32,
    /// How long to wait while it does so.
    refused: Backoff,
    open_at: Option<Duration>,
}

/// Keeps slot `index` streaming until shutdown; returns with its connections ended.
pub async fn run(shared: Arc<Shared>, index: usize, mut orders: mpsc::Receiver<Order>) {
    let mut listed = shared.listed.subscribe();
    let (mut slot, mut inbox) = Slot::new(shared.clone(), index);
    slot.want(&listed.borrow_and_update().clone());
    loop {
        let open_in = slot.open_in();
        tokio::select! {
            () = shared.shutdown.cancelled() => break,
            Ok(()) = listed.changed() => slot.want(&listed.borrow_and_update().clone()),
            Some(order) = orders.recv() => slot.order(order),
            Some(report) = inbox.recv() => slot.report(report),
            Some(done) = slot.tasks.join_next(), if !slot.tasks.is_empty() => {
                // None is aborted, and `survive` lets none panic.
                if let Ok(finished) = done {
                    slot.finished(finished);
                }
            }
            () = tokio::time::sleep(open_in.unwrap_or_default()), if open_in.is_some() => slot.open(),
        }
    }
    for live in [slot.primary.take(), slot.successor.take()].into_iter().flatten() {
        live.cancel.cancel();
    }
    while slot.tasks.join_next().await.is_some() {}
}

/// Runs an attempt; one that panics, over a frame that nobody foresaw say, is a connection that failed, and no more.
async fn survive(session: u64, attempt: impl Future<Output = Finished>) -> Finished {
    let attempt = AssertUnwindSafe(failpoint::part("attempt", attempt)).catch_unwind();
    attempt.await.ok().flatten().unwrap_or_else(|| {
        tracing::error!(session, "task of a connection failed; a new connection is made");
        let reason = Reason::new(ReasonCode::Closed, "the task of this connection failed; see the log");
        Finished { early: false, ..Finished::failed(session, reason.into()) }
    })
}

impl Slot {
    /// Returns a slot without a connection, and the receiver of its connections' reports.
    fn new(shared: Arc<Shared>, index: usize) -> (Self, mpsc::Receiver<Report>) {
        let (reports, inbox) = mpsc::channel(REPORTS_MAX);
        let (shortest, longest) = (shared.settings.backoff_min, shared.settings.backoff_max);
        let held = shared.gate.held(Link::Stream).map_or(Duration::ZERO, |(left, _)| left);
        let slot = Self {
            index,
            desired: watch::Sender::new(Arc::default()),
            tasks: JoinSet::new(),
            reports,
            primary: None,
            successor: None,
            replacing: false,
            backoff: Backoff::new(shortest, longest),
            early: 0,
            refused: Backoff::new(longest, longest.saturating_mul(REFUSED_FACTOR)),
            open_at: Some(shared.now() + held),
            shared,
        };
        (slot, inbox)
    }

    fn want(&mut self, listed: &BTreeSet<Market>) {
        let markets = &self.shared.slots[self.index];
        let desired: Vec<Market> = markets.iter().filter(|market| listed.contains(*market)).cloned().collect();
        self.desired.send_if_modified(|now| {
            let changed = **now != desired;
            if changed {
                *now = Arc::new(desired);
            }
            changed
        });
    }

    /// Returns how long until a connection is to be opened, if one is wanted.
    fn open_in(&self) -> Option<Duration> {
        let wanted = self.primary.is_none() || (self.replacing && self.successor.is_none());
        if !wanted || self.desired.borrow().is_empty() {
            return None;
        }
        Some(self.open_at?.saturating_sub(self.shared.now()))
    }

    fn open(&mut self) {
        let session = SESSIONS.fetch_add(1, Ordering::Relaxed);
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let cancel = CancellationToken::new();
        let attempt = Attempt {
            shared: self.shared.clone(),
            session,
            desired: self.desired.subscribe(),
            commands: inbox,
            cancel: cancel.clone(),
            reports: self.reports.clone(),
        };
        self.tasks.spawn(survive(session, attempt.run()));
        let live = Some(Live { session, subscribed: false, up: false, cancel, commands });
        if self.primary.is_none() {
            self.primary = live;
        } else {
            self.successor = live;
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Resubscribe(markets) => {
                if let Some(primary) = &self.primary {
                    // Full means that such orders wait already.
                    let _ = primary.commands.try_send(Command::Resubscribe(markets));
                }
            }
            Order::Replace(why) => self.replace(&why),
        }
    }

    fn replace(&mut self, why: &str) {
        if self.primary.is_none() || self.replacing {
            return;
        }
        tracing::info!(venue = %self.shared.id(), why, "opening a second connection to take over");
        self.replacing = true;
        self.open_at = Some(Duration::ZERO);
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Subscribed(session) => {
                if let Some(live) = self.primary.as_mut().filter(|live| live.session == session) {
                    live.subscribed = true;
                    // The end of the connection before it may have been noticed first.
                    self.shared.liveness().taken_over(&self.desired.borrow());
                } else if let Some(live) = self.successor.as_mut().filter(|live| live.session == session) {
                    live.subscribed = true;
                }
            }
            Report::Up(session) => {
                if let Some(live) = self.primary.as_mut().filter(|live| live.session == session) {
                    live.up = true;
                    self.shared.stream_changed(self.index, None);
                } else if let Some(live) = self.successor.as_mut().filter(|live| live.session == session) {
                    live.up = true;
                }
            }
            Report::Ready(session) => {
                if self.successor.as_ref().is_some_and(|live| live.session == session) {
                    if let Some(old) = self.primary.take() {
                        old.cancel.cancel();
                    }
                    self.promote();
                }
            }
            Report::HandOver(session, why) => {
                if self.primary.as_ref().is_some_and(|live| live.session == session) {
                    self.replace(&why);
                }
            }
        }
    }

    fn promote(&mut self) {
        self.primary = self.successor.take();
        self.replacing = false;
        match &self.primary {
            Some(live) if live.up => self.shared.stream_changed(self.index, None),
            Some(live) if live.subscribed => self.shared.liveness().taken_over(&self.desired.borrow()),
            Some(_) | None => {}
        }
    }

    fn finished(&mut self, finished: Finished) {
        let Finished { session, mut error, good, early } = finished;
        let primary = self.primary.as_ref().is_some_and(|live| live.session == session);
        let successor = self.successor.as_ref().is_some_and(|live| live.session == session);
        if !primary && !successor {
            return;
        }
        if good {
            self.backoff.reset();
        }
        if !early {
            self.early = 0;
            self.refused.reset();
        } else {
            self.early = self.early.saturating_add(1);
        }
        if self.early >= EARLY_MAX {
            let message = format!(
                "{} connections in a row were closed as soon as they were open; the last: {}",
                self.early, error.reason
            );
            error.reason = Reason::new(ReasonCode::Refused, message);
        }
        self.open_at = Some(self.shared.now() + self.wait(&error));
        if successor {
            self.successor = None;
            self.shared.log("hand-over", &error.reason);
            return;
        }
        self.primary = None;
        self.shared.stream_changed(self.index, Some(error.reason));
        self.promote();
    }

    fn wait(&mut self, error: &DialError) -> Duration {
        let wait = if self.early >= EARLY_MAX { self.refused.after_refusal() } else { self.backoff.after_failure() };
        let slow = matches!(
            error.reason.code,
            ReasonCode::TlsRefused | ReasonCode::Retired | ReasonCode::Redirect | ReasonCode::Blocked
        );
        let least = if slow { self.shared.settings.backoff_max } else { Duration::ZERO };
        // Jitter is added to a time that the peer named, never taken from it.
        error.hold.map_or(wait, |hold| hold + wait).max(least)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::clock::Clock;
    use crate::domain::{Price, Ticker};
    use crate::ingest::gate::Gate;
    use crate::ingest::http::Http;
    use crate::ingest::{Settings, Tls};

    fn slot_of(market: &Market) -> Slot {
        let venue = *crate::venue::ALL.first().unwrap();
        let (settings, tls, clock) = (Settings::defaults(venue.profile()), Tls::new(None).unwrap(), Clock::system());
        let gate = Arc::new(Gate::new(&settings, clock.clone()));
        let http = Http::new(venue.profile(), &settings, &tls, &clock, gate.clone()).unwrap();
        let (events, _) = mpsc::channel(1);
        let wanted = vec![market.clone()];
        let shared = Shared::new(venue, settings, wanted, tls, clock, (http, gate), events, CancellationToken::new());
        let (mut slot, _) = Slot::new(Arc::new(shared), 0);
        slot.want(&BTreeSet::from([market.clone()]));
        slot
    }

    fn live(session: u64) -> Live {
        let (commands, _) = mpsc::channel(1);
        Live { session, subscribed: false, up: false, cancel: CancellationToken::new(), commands }
    }

    fn trade(second: i64) -> Ticker {
        let price: Price = "100".parse().unwrap();
        Ticker { traded_at: Some(Timestamp::from_second(second).unwrap()), ..Ticker::new(price) }
    }

    /// The end of a connection and the report of its successor reach the slot through two channels, in either order.
    #[tokio::test]
    async fn in_01_a_successor_is_watched_whether_or_not_it_subscribed_before_the_end_of_the_other_was_noticed() {
        let market: Market = "BTC-KRW".parse().unwrap();
        let markets = std::slice::from_ref(&market);
        for end_first in [false, true] {
            let mut slot = slot_of(&market);
            (slot.primary, slot.successor) = (Some(live(1)), Some(live(2)));
            slot.shared.liveness().subscribed(markets);
            slot.report(Report::Subscribed(1));
            slot.report(Report::Up(1));
            slot.shared.liveness().subscribed(markets);
            let end = Finished::failed(1, Reason::new(ReasonCode::Closed, "cut").into());
            if end_first {
                slot.finished(end);
                slot.report(Report::Subscribed(2));
            } else {
                slot.report(Report::Subscribed(2));
                slot.finished(end);
            }
            let now = slot.shared.now();
            slot.shared.liveness().fetched(&market, &trade(1), now);
            slot.shared.liveness().fetched(&market, &trade(2), now);
            assert_eq!(slot.shared.liveness().missed(markets), Some(&market), "end first: {end_first}");
        }
    }
}
