//! One session of a stream: connects, drives the connection to its end, and forwards its events.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::connect::{ConnectError, connect};
use super::connection::{Command, Connection, ConnectionEnd, ConnectionEvents};
use crate::feed::{Reason, ReasonCode, Transport, Via};
use crate::ingest::context::VenueContext;
use crate::ingest::health::quoted;
use crate::ingest::polling;
use crate::market::Market;

/// What a session, by its number, reports to its connection manager; each kind at most once.
pub enum SessionReport {
    /// The subscribe frames have been queued.
    Subscribed(u64),
    /// The first usable ticker has arrived, or the markets are quiet.
    Up(u64),
    /// It can replace another connection: every market has had a ticker, the wait for the missing ones is over, or
    /// the markets are quiet.
    Ready(u64),
    /// Another connection should take over, and why.
    HandOver(u64, String),
}

/// How a session ended.
pub struct SessionEnd {
    pub session: u64,
    pub error: ConnectError,
    /// Whether it delivered for long enough to reset the back-off.
    pub was_stable: bool,
    /// Whether the peer closed it before any data could be expected.
    pub closed_early: bool,
}

impl SessionEnd {
    /// Returns the end of a session that failed, or never got a connection.
    pub fn failed(session: u64, error: ConnectError) -> Self {
        let closed_early = error.reason.code == ReasonCode::Closed;
        Self { session, error, was_stable: false, closed_early }
    }
}

/// One attempt to connect and, if it succeeds, the session that follows.
pub struct StreamSession {
    pub context: Arc<VenueContext>,
    pub session: u64,
    pub desired: watch::Receiver<Arc<Vec<Market>>>,
    pub commands: mpsc::Receiver<Command>,
    pub cancel: CancellationToken,
    pub reports: mpsc::Sender<SessionReport>,
}

impl StreamSession {
    /// Connects, and drives the connection to its end.
    pub async fn run(self) -> SessionEnd {
        let Self { context, session, desired, commands, cancel, reports } = self;
        let open = async {
            context.wait_to_connect().await;
            // Another connection or a request may have started a cool-down meanwhile.
            if let Some((left, reason)) = context.cooldowns.remaining(Transport::Stream) {
                return Err(ConnectError { reason, cooldown: Some(left) });
            }
            let opened = connect(&context.settings, &context.tls, &context.clock).await;
            if let Err(ConnectError { reason, cooldown: Some(cooldown) }) = &opened {
                context.cooldowns.start(Transport::Stream, *cooldown, reason);
                context.publish_health(false);
            }
            opened
        };
        let opened = tokio::select! {
            () = cancel.cancelled() => Err(Reason::new(ReasonCode::Closed, "cancelled while connecting").into()),
            opened = open => opened,
        };
        let socket = match opened {
            Ok(socket) => socket,
            Err(error) => return SessionEnd::failed(session, error),
        };
        context.health().current().connects += 1;
        let host = url::Url::parse(&context.settings.stream).ok().and_then(|url| url.host_str().map(str::to_owned));
        let host = host.unwrap_or_else(|| quoted(&context.settings.stream));
        let mut listener = Listener::new(&context, session, &reports, desired.clone());
        let verifying_context = context.clone();
        let connection = Connection {
            venue: context.venue,
            settings: &context.settings,
            clock: &context.clock,
            host: &host,
            deliver: &|records| context.deliver(records, Via::Stream { session }, None),
            verify_silence: &move |markets| {
                let context = verifying_context.clone();
                Box::pin(async move { polling::verify_silence(&context, &markets).await })
            },
            desired,
            commands,
            cancel,
        };
        let ConnectionEnd(reason) = Box::pin(connection.run(socket, &mut listener)).await;
        let was_stable = listener.is_stable();
        let lifetime = context.now().saturating_sub(listener.opened_at);
        let closed_early = reason.code == ReasonCode::Closed && lifetime < context.settings.first_message;
        SessionEnd { session, error: reason.into(), was_stable, closed_early }
    }
}

/// Forwards the events of a connection to the venue's context and to the connection manager.
struct Listener<'a> {
    context: &'a VenueContext,
    session: u64,
    reports: &'a mpsc::Sender<SessionReport>,
    desired: watch::Receiver<Arc<Vec<Market>>>,
    opened_at: Duration,
    seen: BTreeSet<Market>,
    subscribed: bool,
    first_data_at: Option<Duration>,
    ready: bool,
    hand_over_sent: bool,
}

impl<'a> Listener<'a> {
    fn new(
        context: &'a VenueContext,
        session: u64,
        reports: &'a mpsc::Sender<SessionReport>,
        desired: watch::Receiver<Arc<Vec<Market>>>,
    ) -> Self {
        let (opened_at, seen) = (context.now(), BTreeSet::new());
        Self {
            context,
            session,
            reports,
            desired,
            opened_at,
            seen,
            subscribed: false,
            first_data_at: None,
            ready: false,
            hand_over_sent: false,
        }
    }

    fn is_stable(&self) -> bool {
        self.first_data_at
            .is_some_and(|first| self.context.now().saturating_sub(first) >= self.context.settings.good_after)
    }

    /// Never waits: each kind of report is sent once, so the queue always has room.
    fn send_report(&self, report: SessionReport) {
        let _ = self.reports.try_send(report);
    }

    fn up(&mut self) {
        if self.first_data_at.is_none() {
            self.first_data_at = Some(self.context.now());
            self.send_report(SessionReport::Up(self.session));
        }
    }

    fn ready(&mut self) {
        if !self.ready {
            self.ready = true;
            self.send_report(SessionReport::Ready(self.session));
        }
    }
}

impl ConnectionEvents for Listener<'_> {
    fn subscribed(&mut self, markets: &[Market]) {
        self.context.liveness().record_subscription(markets);
        if !self.subscribed {
            self.subscribed = true;
            self.send_report(SessionReport::Subscribed(self.session));
        }
    }

    fn confirmed(&mut self, markets: Vec<Market>) {
        self.up();
        if !self.ready {
            self.seen.extend(markets);
            let waited = self.context.now().saturating_sub(self.opened_at) >= self.context.settings.first_message;
            let all = self.desired.borrow().iter().all(|market| self.seen.contains(market));
            if all || waited {
                self.seen.clear();
                self.ready();
            }
        }
    }

    fn rejected(&mut self, what: &'static str, detail: &str) {
        self.context.reject(what, detail);
    }

    fn quiet(&mut self) {
        self.up();
        self.ready();
    }

    fn hand_over(&mut self, why: &str) {
        if !self.hand_over_sent {
            self.hand_over_sent = true;
            self.send_report(SessionReport::HandOver(self.session, why.to_owned()));
        }
    }
}
