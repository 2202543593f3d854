//! Drives one open WebSocket connection to its end.
//!
//! It works over any byte stream, never connects, and knows neither the
//! connection manager nor the venue's health: tests drive it over an in-memory
//! pipe with the clock paused. Deadlines are stored instants; the one for
//! data is moved only by usable tickers and by the verdict of a silence check.

use std::collections::VecDeque;
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use futures_util::{SinkExt, StreamExt};
use rand::RngExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::feed::{Reason, ReasonCode, quoted};
use crate::ingest::limits::{Priority, TokenBuckets};
use crate::ingest::settings::Settings;
use crate::market::Market;
use crate::venue::{Incoming, Keepalive, ParseError, Profile, Session, TickerRecord};

/// First bytes of a gzip frame.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Time limit of a close handshake.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// Longest sleep of the event loop, which then checks all deadlines again.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// Most frames waiting to be sent when the venue requests another one, which is then not sent; enough for the
/// subscriptions of any venue.
const OUTGOING_MAX: usize = 1024;

/// A connection is replaced at this many tenths of its lifetime, less up to one tenth of jitter.
const LIFETIME_TENTHS: u32 = 9;

/// Receives the events of a connection. Called on the read path: implementations must not block.
pub trait ConnectionEvents: Send {
    /// Called after subscribe frames for `markets`, which are new to this connection, have been queued.
    fn subscribed(&mut self, markets: &[Market]);
    /// Called after records that confirm these markets have been delivered.
    fn confirmed(&mut self, markets: Vec<Market>);
    /// Reports rejected data under the stable code `what`.
    fn rejected(&mut self, what: &'static str, detail: &str);
    /// Reports that the venue refused to stream the market of `symbol`.
    fn refused(&mut self, symbol: &str, message: &str);
    /// Called when no data arrived and the REST check showed that nothing was missed.
    fn quiet(&mut self);
    /// Asks for another connection to take over, and says why.
    fn hand_over(&mut self, why: &str);
}

/// Verdict of a REST check on a silent connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SilenceVerdict {
    /// The markets are quiet: the stream missed nothing.
    Quiet,
    /// Not known: the markets have not been watched for long enough, REST had no response for some of them, or the
    /// missed trade arrived meanwhile.
    Unknown,
    /// The stream missed a trade, or the check failed.
    Dead(Reason),
}

/// A command to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Subscribe to these markets again: their stream is dead.
    Resubscribe(Vec<Market>),
    /// Try again to subscribe to these markets, which the venue refused.
    RetryRefused(Vec<Market>),
}

/// A command from the poller to a connection manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManagerCommand {
    /// Forward this to the connection.
    Forward(Command),
    /// Replace the connection for this reason: resubscribing did not help.
    Replace(String),
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionEnd(pub Reason);

type PendingVerdict = Pin<Box<dyn Future<Output = SilenceVerdict> + Send>>;

/// Dependencies and inputs of one connection.
pub struct Connection<'a> {
    /// The facts about the venue.
    pub profile: &'static Profile,
    /// Encodes and parses the messages.
    pub session: Box<dyn Session>,
    /// How the connection is kept open.
    pub keepalive: Keepalive,
    /// Limits and deadlines.
    pub settings: &'a Settings,
    /// The clock.
    pub clock: &'a Clock,
    /// The host name, for error messages.
    pub host: &'a str,
    /// Delivers the records of a message; returns the markets that they confirm. Must not block.
    pub deliver: &'a (dyn Fn(Vec<TickerRecord>) -> Vec<Market> + Send + Sync),
    /// Checks by REST whether these markets are quiet.
    pub verify_silence: &'a (dyn Fn(Vec<Market>) -> PendingVerdict + Send + Sync),
    /// The markets to be subscribed to; may change.
    pub desired: watch::Receiver<Arc<Vec<Market>>>,
    /// Commands from the connection manager.
    pub commands: mpsc::Receiver<Command>,
    /// Closes the connection cleanly when cancelled.
    pub cancel: CancellationToken,
}

/// What the event loop has to handle next.
enum Input {
    Cancelled,
    Frame(Option<Result<Message, tungstenite::Error>>),
    Desired,
    Command(Option<Command>),
    Verdict(SilenceVerdict),
    Time,
}

struct State<S> {
    socket: WebSocketStream<S>,
    /// The markets that the peer was asked to send.
    subscribed: Vec<Market>,
    outgoing: VecDeque<Message>,
    frames: TokenBuckets,
    data_deadline: Duration,
    ping_at: Option<Duration>,
    server_ping_deadline: Option<Duration>,
    hand_over_at: Option<Duration>,
    has_data: bool,
    resubscribed: bool,
    verdict: Option<PendingVerdict>,
    last_error: Option<String>,
}

impl<S> State<S> {
    fn subscribed_without(&self, markets: &[Market]) -> Vec<Market> {
        self.subscribed.iter().filter(|market| !markets.contains(market)).cloned().collect()
    }

    fn queue(&mut self, frames: Vec<String>) {
        self.outgoing.extend(frames.into_iter().map(Message::text));
    }
}

impl Connection<'_> {
    /// Keeps `socket` subscribed and reads it until it ends, is given up or is cancelled.
    pub async fn run<S>(mut self, socket: WebSocketStream<S>, events: &mut dyn ConnectionEvents) -> ConnectionEnd
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut state = self.initial_state(socket);
        let Err(reason) = self.drive(&mut state, events).await else {
            let _ = tokio::time::timeout(CLOSE_MAX, state.socket.close(None)).await;
            return ConnectionEnd(Reason::new(
                ReasonCode::Closed,
                format!("we closed the connection with {}", self.host),
            ));
        };
        // Dropped without a close handshake, which a dead peer would not answer.
        ConnectionEnd(reason)
    }

    fn initial_state<S>(&self, socket: WebSocketStream<S>) -> State<S> {
        let (profile, now) = (self.profile, self.clock.monotonic());
        let (ping_at, server_ping_deadline) = match self.keepalive {
            Keepalive::Ping(every) | Keepalive::Text(_, every) => (Some(now + every), None),
            Keepalive::ServerPings(within) => (None, Some(now + within)),
        };
        let hand_over_at = profile.lifetime.map(|lifetime| {
            let oldest = lifetime * LIFETIME_TENTHS / 10;
            now + rand::rng().random_range(oldest - lifetime / 10..=oldest)
        });
        State {
            socket,
            subscribed: Vec::new(),
            outgoing: VecDeque::new(),
            frames: TokenBuckets::half_of(profile.frames, now),
            data_deadline: now + self.settings.first_message,
            ping_at,
            server_ping_deadline,
            hand_over_at,
            has_data: false,
            resubscribed: false,
            verdict: None,
            last_error: None,
        }
    }

    /// Runs the event loop. Returns `Ok` when cancelled, and otherwise why the connection ended.
    async fn drive<S>(&mut self, state: &mut State<S>, events: &mut dyn ConnectionEvents) -> Result<(), Reason>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        self.reconcile(state, events)?;
        loop {
            let wait = self.run_due(state, events).await?;
            match self.next_input(state, wait).await {
                Input::Cancelled => return Ok(()),
                Input::Frame(frame) => self.frame(state, frame, events).await?,
                Input::Desired => self.reconcile(state, events)?,
                Input::Command(Some(Command::Resubscribe(markets))) => self.resubscribe(state, &markets),
                Input::Command(Some(Command::RetryRefused(markets))) => self.retry_refused(state, &markets),
                Input::Command(None) | Input::Time => {}
                Input::Verdict(verdict) => self.apply_verdict(state, verdict, events)?,
            }
        }
    }

    async fn next_input<S>(&mut self, state: &mut State<S>, wait: Duration) -> Input
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
            () = self.cancel.cancelled() => Input::Cancelled,
            // Changes in quick succession are combined: their frames would be queued without bound.
            Ok(()) = self.desired.changed(), if state.outgoing.is_empty() => Input::Desired,
            Some(command) = self.commands.recv() => Input::Command(Some(command)),
            frame = state.socket.next() => Input::Frame(frame),
            verdict = verdict => Input::Verdict(verdict),
            () = tokio::time::sleep(wait) => Input::Time,
        }
    }

    /// Performs what is due; returns how long until the next deadline.
    async fn run_due<S>(&mut self, state: &mut State<S>, events: &mut dyn ConnectionEvents) -> Result<Duration, Reason>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let now = self.clock.monotonic();
        self.keep_alive(state, now)?;
        if state.hand_over_at.is_some_and(|at| at <= now) {
            state.hand_over_at = None;
            events.hand_over("the connection is about to reach its maximum lifetime");
        }
        if state.data_deadline <= now && state.verdict.is_none() {
            state.verdict = Some((self.verify_silence)(state.subscribed.clone()));
        }
        let mut wait = SLEEP_MAX;
        if !state.outgoing.is_empty() {
            match state.frames.try_acquire(1, Priority::Price, now) {
                Ok(()) => {
                    self.send_one(state).await?;
                    wait = Duration::ZERO;
                }
                Err(until) => wait = until,
            }
        }
        let data_deadline = state.verdict.is_none().then_some(state.data_deadline);
        let deadlines = [data_deadline, state.ping_at, state.server_ping_deadline, state.hand_over_at];
        let nearest = deadlines.into_iter().flatten().map(|at| at.saturating_sub(now)).min();
        Ok(wait.min(nearest.unwrap_or(SLEEP_MAX)))
    }

    fn keep_alive<S>(&self, state: &mut State<S>, now: Duration) -> Result<(), Reason> {
        if state.server_ping_deadline.is_some_and(|by| by <= now) {
            return Err(Reason::new(ReasonCode::Silent, format!("{} stopped sending pings", self.host)));
        }
        if state.ping_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        // Queued first, but within the frame limit: some venues count our pings as messages.
        match self.keepalive {
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
        self.write_in_time(state.socket.send(message)).await
    }

    async fn write_in_time(&self, write: impl Future<Output = Result<(), tungstenite::Error>>) -> Result<(), Reason> {
        let limit = self.settings.write;
        match tokio::time::timeout(limit, write).await {
            Ok(done) => done.map_err(|error| self.socket_error(&error)),
            Err(_) => {
                let message = format!("writing to {} took longer than {limit:?}", self.host);
                Err(Reason::new(ReasonCode::Timeout, message))
            }
        }
    }

    /// Brings the subscription in line with the desired markets.
    fn reconcile<S>(&mut self, state: &mut State<S>, events: &mut dyn ConnectionEvents) -> Result<(), Reason> {
        let desired = self.desired.borrow_and_update().clone();
        if desired.is_empty() {
            return Err(Reason::new(ReasonCode::Closed, "no listed market is left on this connection"));
        }
        if *desired == state.subscribed {
            return Ok(());
        }
        state.queue(self.session.subscribe(&desired, &state.subscribed));
        let new: Vec<Market> = desired.iter().filter(|market| !state.subscribed.contains(market)).cloned().collect();
        state.subscribed = desired.to_vec();
        events.subscribed(&new);
        Ok(())
    }

    fn resubscribe<S>(&mut self, state: &mut State<S>, markets: &[Market]) {
        let rest = state.subscribed_without(markets);
        // Some venues reject an empty list, but all accept the whole list again.
        if !rest.is_empty() {
            state.queue(self.session.subscribe(&rest, &state.subscribed));
        }
        state.queue(self.session.subscribe(&state.subscribed, &rest));
    }

    fn retry_refused<S>(&mut self, state: &mut State<S>, markets: &[Market]) {
        let rest = state.subscribed_without(markets);
        state.queue(self.session.subscribe(&state.subscribed, &rest));
    }

    fn apply_verdict<S>(
        &mut self,
        state: &mut State<S>,
        verdict: SilenceVerdict,
        events: &mut dyn ConnectionEvents,
    ) -> Result<(), Reason> {
        state.verdict = None;
        let now = self.clock.monotonic();
        match verdict {
            SilenceVerdict::Unknown => {
                state.data_deadline = now + self.settings.first_message;
                return Ok(());
            }
            SilenceVerdict::Dead(reason) if state.has_data || state.resubscribed => return Err(reason),
            SilenceVerdict::Dead(_) => state.data_deadline = now + self.settings.first_message,
            SilenceVerdict::Quiet => {
                state.data_deadline = now + self.settings.silence_max;
                events.quiet();
            }
        }
        if !state.has_data && !state.resubscribed {
            state.resubscribed = true;
            self.resubscribe(state, &state.subscribed.clone());
        }
        Ok(())
    }

    async fn frame<S>(
        &mut self,
        state: &mut State<S>,
        frame: Option<Result<Message, tungstenite::Error>>,
        events: &mut dyn ConnectionEvents,
    ) -> Result<(), Reason>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let host = self.host;
        let message = match frame {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                if let Some(what) = rejection_code(&error) {
                    events.rejected(what, &error.to_string());
                }
                return Err(self.with_last_error(state, self.socket_error(&error)));
            }
            None => {
                let reason = Reason::new(ReasonCode::Closed, format!("{host} closed the connection"));
                return Err(self.with_last_error(state, reason));
            }
        };
        match message {
            Message::Text(text) => self.text(state, text.as_str(), events),
            Message::Binary(bytes) => match decode_binary(&bytes, self.settings.message_max) {
                Ok(text) => self.text(state, &text, events),
                Err(error) => {
                    events.rejected(error.code(), &error.to_string());
                    // Frames are independent: an unreadable one is skipped, unless it was built to fill memory.
                    if let DecodeError::TooLarge { .. } = error {
                        let message = format!("{host} sent an unreadable frame: {error}");
                        return Err(Reason::new(ReasonCode::Payload, message));
                    }
                }
            },
            // The library only queues the pong: it is sent with the next flush.
            Message::Ping(_) => {
                if let Keepalive::ServerPings(within) = self.keepalive {
                    state.server_ping_deadline = Some(self.clock.monotonic() + within);
                }
                self.write_in_time(state.socket.flush()).await?;
            }
            Message::Close(frame) => {
                let why = frame.map_or_else(String::new, |frame| format!(": {} {}", frame.code, quoted(&frame.reason)));
                let reason = Reason::new(ReasonCode::Closed, format!("{host} closed the connection{why}"));
                return Err(self.with_last_error(state, reason));
            }
            Message::Pong(_) | Message::Frame(_) => {}
        }
        Ok(())
    }

    fn text<S>(&mut self, state: &mut State<S>, text: &str, events: &mut dyn ConnectionEvents) {
        match self.session.parse(text) {
            Ok(Incoming::Tickers(records)) => {
                let confirmed = (self.deliver)(records);
                if !confirmed.is_empty() {
                    events.confirmed(confirmed);
                    state.has_data = true;
                    state.verdict = None;
                    state.data_deadline = self.clock.monotonic() + self.settings.silence_max;
                }
            }
            Ok(Incoming::Reply(_)) => {}
            Ok(Incoming::Refused(what)) => {
                events.rejected("refused", &what);
                state.last_error = Some(quoted(&what));
            }
            Ok(Incoming::RefusedMarket { symbol, message }) => events.refused(&symbol, &message),
            Ok(Incoming::Send(texts)) => {
                for text in texts {
                    if state.outgoing.len() >= OUTGOING_MAX {
                        events.rejected("too-many-replies", &text);
                    } else {
                        state.outgoing.push_back(Message::text(text));
                    }
                }
            }
            Ok(Incoming::Reconnect(why)) => events.hand_over(&quoted(&why)),
            Ok(Incoming::Unknown(kind)) => events.rejected("unknown-type", &kind),
            Err(error @ ParseError::Payload(_)) => events.rejected("payload", &error.to_string()),
            Err(error @ (ParseError::Refused { .. } | ParseError::RateLimited { .. })) => {
                events.rejected("refused", &error.to_string());
                state.last_error = Some(quoted(&error.to_string()));
            }
        }
    }

    fn socket_error(&self, error: &tungstenite::Error) -> Reason {
        let host = self.host;
        let code = match error {
            tungstenite::Error::Capacity(_) | tungstenite::Error::Utf8(_) => ReasonCode::Payload,
            _ => ReasonCode::Closed,
        };
        Reason::new(code, format!("the connection with {host} ended: {}", quoted(&error.to_string())))
    }

    /// Adds the last error that the venue reported, if any, to the reason of the end.
    fn with_last_error<S>(&self, state: &State<S>, reason: Reason) -> Reason {
        match &state.last_error {
            Some(last_error) => Reason::new(reason.code, format!("{reason}; the exchange had reported: {last_error}")),
            None => reason,
        }
    }
}

fn rejection_code(error: &tungstenite::Error) -> Option<&'static str> {
    match error {
        tungstenite::Error::Utf8(_) => Some("utf8"),
        tungstenite::Error::Capacity(_) => Some("too-large"),
        tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => None,
        tungstenite::Error::Protocol(_) => Some("protocol"),
        _ => None,
    }
}

/// Why a frame can't be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum DecodeError {
    #[error("frame is not UTF-8")]
    Utf8,
    #[error("frame inflates to more than {max} bytes")]
    TooLarge { max: usize },
    #[error("compressed frame is truncated or corrupt")]
    Inflate,
}

impl DecodeError {
    /// Returns the stable code under which the frame is counted.
    fn code(self) -> &'static str {
        match self {
            Self::Utf8 => "utf8",
            Self::TooLarge { .. } => "too-large",
            Self::Inflate => "inflate",
        }
    }
}

/// Returns the text of a binary frame, inflated if it is gzip; at most `max` bytes when inflated.
///
/// Frames are decoded by their content and not by their declared type: exchanges have switched compression on
/// without notice, sent plain JSON in binary frames and compressed bytes in text frames.
fn decode_binary(bytes: &[u8], max: usize) -> Result<String, DecodeError> {
    if !bytes.starts_with(&GZIP_MAGIC) {
        return std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DecodeError::Utf8);
    }
    let mut text = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut text).map_err(|_| DecodeError::Inflate)?;
    if text.len() > max {
        return Err(DecodeError::TooLarge { max });
    }
    String::from_utf8(text).map_err(|_| DecodeError::Utf8)
}
