//! One session of a stream: connects, drives the connection to its end, and forwards its events.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::connect::{ConnectError, connect};
use super::connection::{Command, Connection, ConnectionEnd, ConnectionEvents};
use crate::feed::{Reason, ReasonCode, Transport, Via};
use crate::ingest::context::VenueContext;
use crate::ingest::limits::Priority;
use crate::ingest::polling;
use crate::ingest::rest::rest_query;
use crate::market::Market;
use crate::venue::{Endpoint, Opening};

/// Limits of a keep-alive interval that the venue states.
const KEEPALIVE_MIN: Duration = Duration::from_secs(1);
const KEEPALIVE_MAX: Duration = Duration::from_secs(3600);

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
        let failed = |error| SessionEnd::failed(session, error);
        // Another connection or a request may have started a cool-down meanwhile.
        let check_cooldown = || match context.cooldowns.remaining(Transport::Stream) {
            Some((left, reason)) => Err(failed(ConnectError { reason, cooldown: Some(left) })),
            None => Ok(()),
        };
        let open = async {
            context.wait_to_connect().await;
            check_cooldown()?;
            // Whatever went wrong, no connection was closed.
            let opening =
                negotiate(&context).await.map_err(|error| SessionEnd { closed_early: false, ..failed(error) })?;
            check_cooldown()?;
            let opened = connect(&opening.url, &context.settings, &context.tls, &context.clock).await;
            if let Err(ConnectError { reason, cooldown: Some(cooldown) }) = &opened {
                context.cooldowns.start(Transport::Stream, *cooldown, reason);
                context.publish_health(false);
            }
            Ok((opened.map_err(failed)?, opening))
        };
        let opened = tokio::select! {
            () = cancel.cancelled() => {
                Err(failed(Reason::new(ReasonCode::Closed, "cancelled while connecting").into()))
            }
            opened = open => opened,
        };
        let (socket, opening) = match opened {
            Ok(opened) => opened,
            Err(end) => return end,
        };
        context.health().current().connects += 1;
        // The rest of the URL may be secret.
        let host = Url::parse(&opening.url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let profile = context.venue.profile();
        let mut listener = Listener::new(&context, session, &reports, desired.clone());
        let verifying_context = context.clone();
        let connection = Connection {
            profile,
            session: context.venue.session(),
            keepalive: opening.keepalive.unwrap_or(profile.keepalive),
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

/// Returns the URL to connect to, which some venues give out for each connection.
///
/// The URL may contain a secret, so no error quotes it.
async fn negotiate(context: &VenueContext) -> Result<Opening, ConnectError> {
    let Endpoint::Negotiated { request, read } = context.venue.endpoint() else {
        return Ok(Opening { url: context.settings.stream.clone(), keepalive: None });
    };
    let failed = |code, what: &str| Reason::new(code, format!("no endpoint for the stream: {what}"));
    let body = context.http.call(&request, Priority::Price).await.map_err(|error| {
        let reason = rest_query::failure_reason(error, read);
        context.http.record_rate_limit(&reason);
        refused(context, failed(reason.code, &reason.message))
    })?;
    let opening = read(&body.text).map_err(|error| {
        let reason = rest_query::parse_reason(&error);
        context.http.record_rate_limit(&reason);
        refused(context, failed(reason.code, &reason.message))
    })?;
    check_url(&opening.url, &context.settings.rest).map_err(|what| failed(ReasonCode::Payload, what))?;
    let keepalive = opening.keepalive.map(|keepalive| keepalive.clamp(KEEPALIVE_MIN, KEEPALIVE_MAX));
    let url = match context.settings.stream.as_str() {
        default if default == context.venue.profile().stream => opening.url,
        configured => with_query_of(configured, &opening.url),
    };
    Ok(Opening { url, keepalive })
}

/// Returns `url` with the query of `other`: the operator's address of a stream, with the secret for it.
fn with_query_of(url: &str, other: &str) -> String {
    let query = other.split_once('?').map_or("", |(_, query)| query);
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{query}")
}

/// Adds the cool-down, if the request for the endpoint was refused; requests for prices may still work.
fn refused(context: &VenueContext, reason: Reason) -> ConnectError {
    let cooldown = match reason.code {
        ReasonCode::Blocked => {
            let cooldown = context.settings.blocked_retry;
            context.cooldowns.start(Transport::Stream, cooldown, &reason);
            context.publish_health(false);
            Some(cooldown)
        }
        _ => context.http.remaining_cooldown().map(|(left, _)| left),
    };
    ConnectError { reason, cooldown }
}

/// Checks that a stream is encrypted if requests to `rest` are; the error is what is wrong with `url`.
fn check_url(url: &str, rest: &str) -> Result<(), &'static str> {
    let url = Url::parse(url).map_err(|_| "its URL can't be parsed")?;
    let is_rest_encrypted = !Url::parse(rest).is_ok_and(|rest| rest.scheme() == "http");
    match url.scheme() {
        _ if url.host_str().is_none_or(str::is_empty) => Err("its URL has no host"),
        "wss" => Ok(()),
        "ws" if is_rest_encrypted => Err("its URL is not encrypted, but requests are"),
        "ws" => Ok(()),
        _ => Err("its URL is not that of a WebSocket"),
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

    fn refused(&mut self, symbol: &str, message: &str) {
        self.context.refuse_stream(symbol, message);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_encrypted_if_requests_are() {
        for (url, rest, is_accepted) in [
            ("wss://a.example/x?token=secret", "https://b.example", true),
            ("WSS://a.example", "https://b.example", true),
            ("wss://a.example", "http://b.example", true),
            ("ws://a.example", "http://b.example", true),
            ("ws://a.example", "HTTP://b.example", true),
            ("ws://a.example", "https://b.example", false),
            ("ws://a.example", "HTTPS://b.example", false),
            ("ws://a.example", "no URL", false),
            ("http://a.example", "http://b.example", false),
            ("https://a.example", "https://b.example", false),
            ("wss:", "https://b.example", false),
            ("secret", "https://b.example", false),
            ("", "https://b.example", false),
        ] {
            let checked = check_url(url, rest);
            assert_eq!(checked.is_ok(), is_accepted, "{url} with {rest}: {checked:?}");
        }
    }
}
