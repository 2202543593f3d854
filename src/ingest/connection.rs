//! One WebSocket connection, from the open socket to its end.
//!
//! It works over any byte stream, knows no slot and no health, and never
//! connects: a test drives it over an in-memory pipe with the clock paused.
//! All deadlines are stored instants; only usable tickers move the one for
//! data.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rand::RngExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::decode::{self, DecodeError, quoted};
use super::pace::Bucket;
use crate::clock::Clock;
use crate::domain::{Market, Reason, ReasonCode};
use crate::venue::{Incoming, Keepalive, ParseError, Record, Venue};

/// A polite close gets this long.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// Longest sleep of the loop; every deadline is looked at again after it.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// A connection older than this share of its lifetime is replaced: nine tenths, less up to a tenth of jitter.
const LIFETIME_TENTHS: u32 = 9;

/// What the connection tells its owner. Called on the reader's path: must not wait.
pub trait News: Send {
    /// Frames that ask for these are on their way, on a subscription that is new to this connection.
    fn subscribed(&mut self, markets: &[Market]);
    /// Records of a message; returns how many were usable.
    fn tickers(&mut self, records: Vec<Record>) -> usize;
    /// Something that is not used, under a stable word.
    fn refused(&mut self, what: &'static str, detail: &str);
    /// Nothing came, and REST says that there was nothing.
    fn quiet(&mut self);
    /// Another connection should take over, and why.
    fn hand_over(&mut self, why: &str);
}

/// What REST says of a silent connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quiet {
    /// There was nothing to tell.
    Yes,
    /// Nobody has looked for long enough to know.
    Unknown,
    /// There was, or nobody could say.
    No(Reason),
}

/// An order to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Ask for these again: their stream has died.
    Resubscribe(Vec<Market>),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended(pub Reason);

type Verdict = Pin<Box<dyn Future<Output = Quiet> + Send>>;

/// What a connection needs to know and whom it may ask.
pub struct Connection<'a> {
    /// The translator.
    pub venue: &'static dyn Venue,
    /// Limits and deadlines.
    pub settings: &'a Settings,
    /// Time.
    pub clock: &'a Clock,
    /// The host, for messages.
    pub host: &'a str,
    /// Asks REST whether these markets are quiet.
    pub ask: &'a (dyn Fn(Vec<Market>) -> Verdict + Send + Sync),
    /// The markets that should be subscribed; may change.
    pub desired: watch::Receiver<Arc<Vec<Market>>>,
    /// Orders.
    pub commands: mpsc::Receiver<Command>,
    /// Ends the connection politely.
    pub cancel: CancellationToken,
}

/// What happens next.
enum Next {
    Cancelled,
    Frame(Option<Result<Message, tungstenite::Error>>),
    Desired,
    Command(Option<Command>),
    Verdict(Quiet),
    Time,
}

struct State<S> {
    socket: WebSocketStream<S>,
    /// What the peer was asked for.
    actual: Vec<Market>,
    outgoing: VecDeque<Message>,
    frames: Bucket,
    data_by: Duration,
    ping_at: Option<Duration>,
    pinged_by: Option<Duration>,
    hand_over_at: Option<Duration>,
    heard: bool,
    asked_again: bool,
    verdict: Option<Verdict>,
    complaint: Option<String>,
}

impl Connection<'_> {
    /// Keeps `socket` subscribed and reads it until it ends, is given up, or is cancelled.
    pub async fn run<S>(mut self, socket: WebSocketStream<S>, news: &mut dyn News) -> Ended
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut state = self.begin(socket);
        let Err(reason) = self.drive(&mut state, news).await else {
            let _ = tokio::time::timeout(CLOSE_MAX, state.socket.close(None)).await;
            return Ended(Reason::new(ReasonCode::Closed, format!("we closed the connection with {}", self.host)));
        };
        // Dropped without waiting for a close handshake: a dead peer would not answer it.
        Ended(reason)
    }

    fn begin<S>(&self, socket: WebSocketStream<S>) -> State<S> {
        let (profile, now) = (self.venue.profile(), self.clock.monotonic());
        let (ping_at, pinged_by) = match profile.keepalive {
            Keepalive::Ping(every) | Keepalive::Text(_, every) => (Some(now + every), None),
            Keepalive::ServerPings(within) => (None, Some(now + within)),
        };
        let hand_over_at = profile.lifetime.map(|lifetime| {
            let oldest = lifetime * LIFETIME_TENTHS / 10;
            now + rand::rng().random_range(oldest - lifetime / 10..=oldest)
        });
        State {
            socket,
            actual: Vec::new(),
            outgoing: VecDeque::new(),
            frames: Bucket::half_of(profile.frames_max, profile.frames_window, now),
            data_by: now + self.settings.first_message,
            ping_at,
            pinged_by,
            hand_over_at,
            heard: false,
            asked_again: false,
            verdict: None,
            complaint: None,
        }
    }

    /// Returns `Ok` when cancelled.
    async fn drive<S>(&mut self, state: &mut State<S>, news: &mut dyn News) -> Result<(), Reason>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        self.reconcile(state, news)?;
        loop {
            let wait = self.act(state, news).await?;
            match self.next(state, wait).await {
                Next::Cancelled => return Ok(()),
                Next::Frame(frame) => self.frame(state, frame, news).await?,
                Next::Desired => self.reconcile(state, news)?,
                Next::Command(Some(Command::Resubscribe(markets))) => self.resubscribe(state, &markets),
                Next::Command(None) | Next::Time => {}
                Next::Verdict(quiet) => self.judge(state, quiet, news)?,
            }
        }
    }

    async fn next<S>(&mut self, state: &mut State<S>, wait: Duration) -> Next
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let verdict = async {
            match &mut state.verdict {
                Some(verdict) => verdict.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Next::Cancelled,
            Ok(()) = self.desired.changed() => Next::Desired,
            Some(command) = self.commands.recv() => Next::Command(Some(command)),
            frame = state.socket.next() => Next::Frame(frame),
            quiet = verdict => Next::Verdict(quiet),
            () = tokio::time::sleep(wait) => Next::Time,
        }
    }

    /// Does what is due and returns how long nothing will be.
    async fn act<S>(&mut self, state: &mut State<S>, news: &mut dyn News) -> Result<Duration, Reason>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let now = self.clock.monotonic();
        self.keep_alive(state, now)?;
        if state.hand_over_at.is_some_and(|at| at <= now) {
            state.hand_over_at = None;
            news.hand_over("the connection is about to reach its greatest age");
        }
        if state.data_by <= now && state.verdict.is_none() {
            state.verdict = Some((self.ask)(state.actual.clone()));
        }
        let mut wait = LOOK_AGAIN;
        if !state.outgoing.is_empty() {
            match state.frames.take(1, 0, now) {
                Ok(()) => {
                    self.send_one(state).await?;
                    wait = Duration::ZERO;
                }
                Err(until) => wait = until,
            }
        }
        let data_by = state.verdict.is_none().then_some(state.data_by);
        let deadlines = [data_by, state.ping_at, state.pinged_by, state.hand_over_at];
        let nearest = deadlines.into_iter().flatten().map(|at| at.saturating_sub(now)).min();
        Ok(wait.min(nearest.unwrap_or(LOOK_AGAIN)))
    }

    fn keep_alive<S>(&self, state: &mut State<S>, now: Duration) -> Result<(), Reason> {
        if state.pinged_by.is_some_and(|by| by <= now) {
            return Err(Reason::new(ReasonCode::Silent, format!("{} has ceased to send pings", self.host)));
        }
        if state.ping_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        // First in the queue, in the same budget: some venues count our pings as messages.
        match self.venue.profile().keepalive {
            Keepalive::Ping(every) => {
                state.ping_at = Some(now + every);
                state.outgoing.push_front(Message::Ping(Vec::new().into()));
            }
            Keepalive::Text(text, every) => {
                state.ping_at = Some(now + every);
                state.outgoing.push_front(Message::text(text));
            }
            Keepalive::ServerPings(_) => state.ping_at = None,
        }
        Ok(())
    }

    async fn send_one<S>(&self, state: &mut State<S>) -> Result<(), Reason>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let Some(message) = state.outgoing.pop_front() else { return Ok(()) };
        self.written(state.socket.send(message)).await
    }

    async fn written(&self, write: impl Future<Output = Result<(), tungstenite::Error>>) -> Result<(), Reason> {
        let limit = self.settings.write;
        match tokio::time::timeout(limit, write).await {
            Ok(done) => done.map_err(|error| self.broken(&error)),
            Err(_) => {
                let message = format!("{} took nothing from us for {limit:?}", self.host);
                Err(Reason::new(ReasonCode::Timeout, message))
            }
        }
    }

    /// Makes the actual set the desired one.
    fn reconcile<S>(&mut self, state: &mut State<S>, news: &mut dyn News) -> Result<(), Reason> {
        let desired = self.desired.borrow_and_update().clone();
        if desired.is_empty() {
            return Err(Reason::new(ReasonCode::Closed, "no market of this connection is wanted any more"));
        }
        if *desired == state.actual {
            return Ok(());
        }
        let frames = self.venue.subscribe(&desired, &state.actual);
        state.outgoing.extend(frames.into_iter().map(Message::text));
        let new: Vec<Market> = desired.iter().filter(|market| !state.actual.contains(market)).cloned().collect();
        state.actual = desired.to_vec();
        news.subscribed(&new);
        Ok(())
    }

    fn resubscribe<S>(&self, state: &mut State<S>, markets: &[Market]) {
        let rest: Vec<Market> = state.actual.iter().filter(|market| !markets.contains(market)).cloned().collect();
        // A list of nothing is an error at some venues; asking for all of it anew is not.
        let had = if rest.is_empty() { &rest } else { &state.actual };
        let off = if rest.is_empty() { Vec::new() } else { self.venue.subscribe(&rest, had) };
        let on = self.venue.subscribe(&state.actual, &rest);
        state.outgoing.extend(off.into_iter().chain(on).map(Message::text));
    }

    fn judge<S>(&self, state: &mut State<S>, quiet: Quiet, news: &mut dyn News) -> Result<(), Reason> {
        state.verdict = None;
        let now = self.clock.monotonic();
        match quiet {
            Quiet::Unknown => {
                state.data_by = now + self.settings.first_message;
                return Ok(());
            }
            Quiet::No(reason) if state.heard || state.asked_again => return Err(reason),
            Quiet::No(_) => state.data_by = now + self.settings.first_message,
            Quiet::Yes => {
                state.data_by = now + self.settings.silence_max;
                news.quiet();
            }
        }
        if !state.heard && !state.asked_again {
            state.asked_again = true;
            self.resubscribe(state, &state.actual.clone());
        }
        Ok(())
    }

    async fn frame<S>(
        &mut self,
        state: &mut State<S>,
        frame: Option<Result<Message, tungstenite::Error>>,
        news: &mut dyn News,
    ) -> Result<(), Reason>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let host = self.host;
        let message = match frame {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                if let Some(what) = counted(&error) {
                    news.refused(what, &error.to_string());
                }
                return Err(self.ended(state, self.broken(&error)));
            }
            None => {
                let reason = Reason::new(ReasonCode::Closed, format!("{host} closed the connection"));
                return Err(self.ended(state, reason));
            }
        };
        match message {
            Message::Text(text) => self.text(state, text.as_str(), news),
            Message::Binary(bytes) => match decode::binary(&bytes, self.settings.message_max) {
                Ok(text) => self.text(state, &text, news),
                Err(error) => {
                    news.refused(error.code(), &error.to_string());
                    // Each frame stands for itself; only one made to fill the memory is not forgiven.
                    if let DecodeError::TooLarge { .. } = error {
                        let message = format!("{host} sent what can't be read: {error}");
                        return Err(Reason::new(ReasonCode::Payload, message));
                    }
                }
            },
            // The pong is queued by the library, and stays so until something else is sent.
            Message::Ping(_) => {
                if let Keepalive::ServerPings(within) = self.venue.profile().keepalive {
                    state.pinged_by = Some(self.clock.monotonic() + within);
                }
                self.written(state.socket.flush()).await?;
            }
            Message::Close(frame) => {
                let why = frame.map_or_else(String::new, |frame| format!(": {} {}", frame.code, quoted(&frame.reason)));
                let reason = Reason::new(ReasonCode::Closed, format!("{host} closed the connection{why}"));
                return Err(self.ended(state, reason));
            }
            Message::Pong(_) | Message::Frame(_) => {}
        }
        Ok(())
    }

    fn text<S>(&mut self, state: &mut State<S>, text: &str, news: &mut dyn News) {
        match self.venue.parse(text) {
            Ok(Incoming::Tickers(records)) => {
                if news.tickers(records) > 0 {
                    state.heard = true;
                    state.verdict = None;
                    state.data_by = self.clock.monotonic() + self.settings.silence_max;
                }
            }
            Ok(Incoming::Reply(_)) => {}
            Ok(Incoming::Refused(what)) => {
                news.refused("refused", &what);
                state.complaint = Some(quoted(&what));
            }
            Ok(Incoming::Reconnect(why)) => news.hand_over(&quoted(&why)),
            Ok(Incoming::Unknown(kind)) => news.refused("unknown-type", &kind),
            Err(error @ ParseError::Payload(_)) => news.refused("payload", &error.to_string()),
            Err(error @ ParseError::Refused { .. }) => {
                news.refused("refused", &error.to_string());
                state.complaint = Some(quoted(&error.to_string()));
            }
        }
    }

    fn broken(&self, error: &tungstenite::Error) -> Reason {
        let host = self.host;
        let code = match error {
            tungstenite::Error::Capacity(_) | tungstenite::Error::Utf8(_) => ReasonCode::Payload,
            _ => ReasonCode::Closed,
        };
        Reason::new(code, format!("the connection with {host} ended: {}", quoted(&error.to_string())))
    }

    /// An end that follows a complaint of the venue's is explained by it.
    fn ended<S>(&self, state: &State<S>, reason: Reason) -> Reason {
        match &state.complaint {
            Some(complaint) => Reason::new(reason.code, format!("{reason}; it had complained: {complaint}")),
            None => reason,
        }
    }
}

fn counted(error: &tungstenite::Error) -> Option<&'static str> {
    match error {
        tungstenite::Error::Utf8(_) => Some("utf8"),
        tungstenite::Error::Capacity(_) => Some("too-large"),
        tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => None,
        tungstenite::Error::Protocol(_) => Some("protocol"),
        _ => None,
    }
}
