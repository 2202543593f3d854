//! One attempt at a connection, from the dial to its end, and the news it passes on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::connection::{Command, Connection, Ended, News};
use super::dial::{DialError, dial};
use super::shared::Shared;
use super::{decode, poller};
use crate::domain::{Link, Market, Reason, ReasonCode, Via};
use crate::venue::Record;

/// What a connection reports to its slot; each kind at most once.
pub enum Report {
    Subscribed(u64),
    Up(u64),
    Ready(u64),
    HandOver(u64, String),
}

/// How an attempt ended.
pub struct Finished {
    pub session: u64,
    pub error: DialError,
    /// Whether it had delivered for long enough to forget what failed before.
    pub good: bool,
    /// Whether the peer closed it before anything could be expected of it.
    pub early: bool,
}

impl Finished {
    /// A connection that failed, or did not come about.
    pub fn failed(session: u64, error: DialError) -> Self {
        let early = error.reason.code == ReasonCode::Closed;
        Self { session, error, good: false, early }
    }
}

/// One attempt at a connection, and its life if it comes about.
pub struct Attempt {
    pub shared: Arc<Shared>,
    pub session: u64,
    pub desired: watch::Receiver<Arc<Vec<Market>>>,
    pub commands: mpsc::Receiver<Command>,
    pub cancel: CancellationToken,
    pub reports: mpsc::Sender<Report>,
}

impl Attempt {
    /// Dials, and drives the connection to its end.
    pub async fn run(self) -> Finished {
        let Self { shared, session, desired, commands, cancel, reports } = self;
        let open = async {
            shared.connect_turn().await;
            // Another connection, or a request, may have been told to stay away meanwhile.
            if let Some((hold, reason)) = shared.gate.held(Link::Stream) {
                return Err(DialError { reason, hold: Some(hold) });
            }
            let opened = dial(&shared.settings, &shared.tls, &shared.clock).await;
            if let Err(DialError { reason, hold: Some(hold) }) = &opened {
                shared.gate.close(Link::Stream, *hold, reason);
                shared.report(false);
            }
            opened
        };
        let opened = tokio::select! {
            () = cancel.cancelled() => Err(Reason::new(ReasonCode::Closed, "cancelled while connecting").into()),
            opened = open => opened,
        };
        let socket = match opened {
            Ok(socket) => socket,
            Err(error) => return Finished::failed(session, error),
        };
        shared.health().figures().connects += 1;
        let host = url::Url::parse(&shared.settings.stream).ok().and_then(|url| url.host_str().map(str::to_owned));
        let host = host.unwrap_or_else(|| decode::quoted(&shared.settings.stream));
        let mut listener = Listener::new(&shared, session, &reports, desired.clone());
        let asker = shared.clone();
        let connection = Connection {
            venue: shared.venue,
            settings: &shared.settings,
            clock: &shared.clock,
            host: &host,
            ask: &move |markets| {
                let shared = asker.clone();
                Box::pin(async move { poller::verify(&shared, &markets).await })
            },
            desired,
            commands,
            cancel,
        };
        let Ended(reason) = Box::pin(connection.run(socket, &mut listener)).await;
        let good = listener.good();
        let lived = shared.now().saturating_sub(listener.opened);
        let early = reason.code == ReasonCode::Closed && lived < shared.settings.first_message;
        Finished { session, error: reason.into(), good, early }
    }
}

/// Passes a connection's news to the venue's state and to its slot.
struct Listener<'a> {
    shared: &'a Shared,
    session: u64,
    reports: &'a mpsc::Sender<Report>,
    desired: watch::Receiver<Arc<Vec<Market>>>,
    opened: Duration,
    heard: BTreeSet<Market>,
    subscribed: bool,
    first: Option<Duration>,
    ready: bool,
    leaving: bool,
}

impl<'a> Listener<'a> {
    fn new(
        shared: &'a Shared,
        session: u64,
        reports: &'a mpsc::Sender<Report>,
        desired: watch::Receiver<Arc<Vec<Market>>>,
    ) -> Self {
        let (opened, heard) = (shared.now(), BTreeSet::new());
        Self {
            shared,
            session,
            reports,
            desired,
            opened,
            heard,
            subscribed: false,
            first: None,
            ready: false,
            leaving: false,
        }
    }

    fn good(&self) -> bool {
        self.first.is_some_and(|first| self.shared.now().saturating_sub(first) >= self.shared.settings.good_after)
    }

    /// A report never waits; each kind is made once, so there is always room.
    fn tell(&self, report: Report) {
        let _ = self.reports.try_send(report);
    }

    fn up(&mut self) {
        if self.first.is_none() {
            self.first = Some(self.shared.now());
            self.tell(Report::Up(self.session));
        }
    }

    fn ready(&mut self) {
        if !self.ready {
            self.ready = true;
            self.tell(Report::Ready(self.session));
        }
    }
}

impl News for Listener<'_> {
    fn subscribed(&mut self, markets: &[Market]) {
        self.shared.liveness().subscribed(markets);
        if !self.subscribed {
            self.subscribed = true;
            self.tell(Report::Subscribed(self.session));
        }
    }

    fn tickers(&mut self, records: Vec<Record>) -> usize {
        let told = self.shared.deliver(records, Via::Stream { session: self.session }, None);
        let usable = told.len();
        if usable > 0 {
            self.up();
        }
        if !self.ready {
            self.heard.extend(told);
            let waited = self.shared.now().saturating_sub(self.opened) >= self.shared.settings.first_message;
            let all = self.desired.borrow().iter().all(|market| self.heard.contains(market));
            if usable > 0 && (all || waited) {
                self.heard.clear();
                self.ready();
            }
        }
        usable
    }

    fn refused(&mut self, what: &'static str, detail: &str) {
        self.shared.reject(what, detail);
    }

    fn quiet(&mut self) {
        self.up();
        self.ready();
    }

    fn hand_over(&mut self, why: &str) {
        if !self.leaving {
            self.leaving = true;
            self.tell(Report::HandOver(self.session, why.to_owned()));
        }
    }
}
