//! One WebSocket connection of a client: handshake, keep-alive, and the faults of the stream.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

use super::connection_policy::{ConnectionPolicy, InboundFrames};
use super::fake_venue::FakeVenue;
use super::fault::Transport;
use super::gzip;
use super::http::{self, Request};
use super::json::set_members;
use super::limits::CountedRequest;
use super::response::FakeResponse;
use super::session::{FrameEncoding, Session, Step};
use super::socket::Socket;
use super::state::{FakeState, STALL_MAX, lock};
use super::venues::{self, id_of};

/// Timeout of writing a frame; the connection is dropped after it.
const WRITE_MAX: Duration = Duration::from_secs(30);

/// Largest frame accepted from a client, in bytes.
const FRAME_MAX: usize = 1 << 20;

type WebSocket = WebSocketStream<Socket>;

/// Serves a stream until it ends; the last argument is (connection id, client address, venue, path).
pub async fn serve(
    state: &FakeState,
    mut socket: Socket,
    buffer: Vec<u8>,
    request: Request,
    (id, from, served, path): (u64, IpAddr, Option<&'static dyn FakeVenue>, String),
) {
    let venue = id_of(served);
    let stalled =
        lock(&state.faults).take("stall-upgrade", &state.injection_point(Transport::Stream, venue, &path)).is_some();
    if stalled {
        state.record_action(id, venue, "upgrade", &path, None);
        tokio::select! {
            () = state.stop.cancelled() => {}
            () = tokio::time::sleep(STALL_MAX) => {}
        }
        return;
    }
    let (response, session) = handshake(state, id, &request, from, served, &path);
    state.record_action(id, venue, "upgrade", &path, Some(response.status));
    if http::write(&mut socket, &response, None).await.is_err() {
        return;
    }
    let (Some(session), Some(served)) = (session, served) else { return };
    let config = WebSocketConfig::default().max_message_size(Some(FRAME_MAX)).max_frame_size(Some(FRAME_MAX));
    let websocket = WebSocketStream::from_partially_read(socket, buffer, Role::Server, Some(config)).await;
    let serial = lock(&state.faults).newest_serial();
    let now = state.monotonic();
    let client = Client {
        state,
        id,
        venue,
        path,
        session,
        faults_seen: serial,
        raw_faults_done: serial,
        policy: served.connection_policy(state.stream_lifetime),
        opened_at: now,
        end_announced: false,
        last_heard: now,
        last_ping: now,
        ping_payload: Bytes::new(),
        inbound: InboundFrames::default(),
        held_back: None,
    };
    client.run(websocket).await;
}

fn handshake(
    state: &FakeState,
    id: u64,
    request: &Request,
    from: IpAddr,
    served: Option<&'static dyn FakeVenue>,
    path: &str,
) -> (FakeResponse, Option<Box<dyn Session>>) {
    let venue = id_of(served);
    if let Some(response) = state.fault_response(Transport::Stream, venue, path) {
        return (response, None);
    }
    let counted = CountedRequest { target: None, has_origin: request.header("origin").is_some() };
    if let Some(Err(response)) = served.map(|served| state.count_request(id, served, from, &counted)) {
        return (response, None);
    }
    let session = venues::open(venue, path);
    let session = match (&state.recordings, session) {
        (Some(recordings), Some(session)) => Some(recordings.session(venue, session)),
        (_, session) => session,
    };
    let (Some(session), Some(key)) = (session, request.websocket_key()) else {
        return (FakeResponse::json(404, r#"{"error":"no stream here"}"#), None);
    };
    let headers = [
        ("upgrade", "websocket".to_owned()),
        ("connection", "Upgrade".to_owned()),
        ("sec-websocket-accept", derive_accept_key(key.as_bytes())),
    ];
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    (FakeResponse { status: 101, headers, body: Vec::new() }, Some(session))
}

/// How a connection ends.
enum End {
    /// Drop the socket.
    Drop,
    /// Drop it with a reset.
    Reset,
}

impl From<tungstenite::Error> for End {
    fn from(_: tungstenite::Error) -> Self {
        Self::Drop
    }
}

struct Client<'a> {
    state: &'a FakeState,
    id: u64,
    venue: &'static str,
    path: String,
    session: Box<dyn Session>,
    /// Serial number of the newest fault when the connection opened.
    faults_seen: u64,
    /// Serial number of the newest `raw` fault applied, initially as `faults_seen`.
    raw_faults_done: u64,
    policy: ConnectionPolicy,
    /// Monotonic time of the handshake.
    opened_at: Duration,
    /// Whether the client was sent the announcement that the venue will close the connection.
    end_announced: bool,
    /// Monotonic time of the last message that counts as activity under `policy`.
    last_heard: Duration,
    last_ping: Duration,
    ping_payload: Bytes,
    inbound: InboundFrames,
    /// A frame that `swap` holds back until after the next one.
    held_back: Option<String>,
}

impl Client<'_> {
    async fn run(mut self, mut socket: WebSocket) {
        let (state, id, venue) = (self.state, self.id, self.venue);
        let end = tokio::select! {
            () = state.stop.cancelled() => None,
            end = self.serve_session(&mut socket) => end.err(),
        };
        if matches!(end, Some(End::Reset)) {
            socket.get_ref().reset();
        }
        state.record_action(id, venue, "end", "", None);
    }

    async fn serve_session(&mut self, socket: &mut WebSocket) -> Result<(), End> {
        let mut advanced = self.state.advanced.subscribe();
        let point = self.state.injection_point(Transport::Stream, self.venue, "");
        let steps = self.state.with_view(&point, |view| self.session.open(view));
        self.execute(socket, steps).await?;
        loop {
            tokio::select! {
                message = socket.next() => match message {
                    Some(message) => self.receive(socket, message?).await?,
                    None => return Ok(()),
                },
                changed = advanced.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.apply_connection_faults(socket).await?;
                    self.keep_alive(socket).await?;
                    let path = self.path.clone();
                    let point = self.state.injection_point(Transport::Stream, self.venue, &path);
                    let steps = self.state.with_view(&point, |view| self.session.poll(view));
                    self.execute(socket, steps).await?;
                }
            }
        }
    }

    async fn receive(&mut self, socket: &mut WebSocket, message: Message) -> Result<(), End> {
        let now = self.state.monotonic();
        let control = matches!(message, Message::Ping(_) | Message::Pong(_) | Message::Close(_));
        // Frame limits are off when all limits are.
        let counts = self.state.limits.is_some() && (self.policy.counts_control_frames || !control);
        if counts && !self.inbound.count(&self.policy, now) {
            return self.close(socket, 1008, "Too many requests").await;
        }
        let text = match message {
            Message::Text(text) => text.to_string(),
            Message::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Message::Ping(payload) => {
                self.record("ping", &String::from_utf8_lossy(&payload));
                if self.policy.ping_interval.is_none() {
                    self.last_heard = now;
                }
                return Ok(socket.flush().await?);
            }
            Message::Pong(payload) => {
                self.record("pong", &String::from_utf8_lossy(&payload));
                // Only the answer to the last ping counts.
                if self.policy.ping_interval.is_some() && payload == self.ping_payload {
                    self.last_heard = now;
                }
                return Ok(());
            }
            Message::Close(frame) => {
                let code_and_reason = frame.map(|frame| format!("{} {}", u16::from(frame.code), frame.reason));
                self.record("close", &code_and_reason.unwrap_or_default());
                return Ok(());
            }
            Message::Frame(_) => return Ok(()),
        };
        self.record("frame", &text);
        if self.policy.ping_interval.is_none() {
            self.last_heard = now;
        }
        let path = self.path.clone();
        let point = self.state.injection_point(Transport::Stream, self.venue, &path);
        let steps = self.state.with_view(&point, |view| self.session.receive(&text, view));
        self.execute(socket, steps).await
    }

    async fn keep_alive(&mut self, socket: &mut WebSocket) -> Result<(), End> {
        let now = self.state.monotonic();
        if now >= self.last_heard + self.policy.idle_timeout {
            return match self.policy.idle_close {
                None => Err(End::Drop),
                Some((code, reason)) => self.close(socket, code, reason).await,
            };
        }
        self.enforce_lifetime(socket, now).await?;
        if self.policy.ping_interval.is_some_and(|every| now >= self.last_ping + every) {
            self.last_ping = now;
            self.ping_payload = Bytes::from(self.state.clock.now().as_millisecond().to_string());
            return self.send(socket, Message::Ping(self.ping_payload.clone())).await;
        }
        Ok(())
    }

    /// Announces the end of a connection that nears its lifetime, and closes one that has reached it.
    async fn enforce_lifetime(&mut self, socket: &mut WebSocket, now: Duration) -> Result<(), End> {
        let Some(lifetime) = self.policy.lifetime else { return Ok(()) };
        let age = now.saturating_sub(self.opened_at);
        if age >= lifetime {
            return self.close(socket, 1001, "").await;
        }
        if !self.end_announced && age + self.policy.announcement_lead >= lifetime {
            self.end_announced = true;
            let point = self.state.injection_point(Transport::Stream, self.venue, &self.path);
            let notice = self.state.with_view(&point, |view| self.session.end_announcement(view));
            return self.execute(socket, notice.into_iter().collect()).await;
        }
        Ok(())
    }

    /// Applies the faults that affect a connection as a whole: `rst`, `eof`, `close` and `raw`.
    async fn apply_connection_faults(&mut self, socket: &mut WebSocket) -> Result<(), End> {
        let path = self.path.clone();
        let point = self.state.injection_point(Transport::Stream, self.venue, &path);
        let (reset, eof, close, raw) = {
            let mut faults = lock(&self.state.faults);
            let mut take = |kind| faults.take_once(kind, &point, &mut self.faults_seen.clone());
            let (reset, eof, close) = (take("rst"), take("eof"), take("close"));
            (reset, eof, close, faults.take_once("raw", &point, &mut self.raw_faults_done))
        };
        if reset.is_some() {
            return Err(End::Reset);
        }
        if eof.is_some() {
            return Err(End::Drop);
        }
        if let Some(fault) = raw {
            let payload = fault.payload.unwrap_or_default().into_bytes();
            let binary = !fault.text.unwrap_or(!self.session.encoding().is_binary());
            self.send(socket, frame(payload, binary)).await?;
        }
        match close {
            Some(fault) => {
                let reason = fault.reason.unwrap_or_default();
                self.close(socket, fault.code.unwrap_or(1001), &reason).await
            }
            None => Ok(()),
        }
    }

    async fn execute(&mut self, socket: &mut WebSocket, steps: Vec<Step>) -> Result<(), End> {
        for step in steps {
            match step {
                Step::Reply(body) => {
                    if !self.fault_applies("mute") {
                        self.send(socket, encoded(body, self.session.encoding())).await?;
                    }
                }
                Step::Close(code, reason) => return self.close(socket, code, &reason).await,
                Step::Data { symbol, body } => self.send_data(socket, &symbol, body).await?,
            }
        }
        Ok(())
    }

    async fn send_data(&mut self, socket: &mut WebSocket, symbol: &str, mut body: String) -> Result<(), End> {
        if self.fault_applies("mute")
            || self.fault_applies("ack-only")
            || self.take_symbol_fault("drop-sym", symbol).is_some()
        {
            return Ok(());
        }
        for kind in ["null-field", "set-field"] {
            if let Some(fault) = self.take_symbol_fault(kind, symbol) {
                let value = fault.payload.as_deref().unwrap_or("null");
                body = set_members(&body, &fault.field.unwrap_or_default(), value);
            }
        }
        if self.fault_applies("gzip-in-text") {
            let message = frame(gzip::stored(body.as_bytes()), false);
            return self.send(socket, message).await;
        }
        let encoding = self.session.encoding();
        if self.held_back.is_none() && self.fault_applies("swap") {
            self.held_back = Some(body);
            return Ok(());
        }
        if self.fault_applies("dup") {
            self.send(socket, encoded(body.clone(), encoding)).await?;
        }
        self.send(socket, encoded(body, encoding)).await?;
        match self.held_back.take() {
            Some(earlier) => self.send(socket, encoded(earlier, encoding)).await,
            None => Ok(()),
        }
    }

    fn fault_applies(&self, kind: &str) -> bool {
        self.take_fault(kind).is_some()
    }

    fn take_fault(&self, kind: &str) -> Option<super::fault::FaultSpec> {
        lock(&self.state.faults).take(kind, &self.state.injection_point(Transport::Stream, self.venue, &self.path))
    }

    fn take_symbol_fault(&self, kind: &str, symbol: &str) -> Option<super::fault::FaultSpec> {
        let point = self.state.injection_point(Transport::Stream, self.venue, &self.path);
        lock(&self.state.faults).take_for_symbol(kind, symbol, &point)
    }

    async fn close(&mut self, socket: &mut WebSocket, code: u16, reason: &str) -> Result<(), End> {
        let close = CloseFrame { code: code.into(), reason: reason.into() };
        self.send(socket, Message::Close(Some(close))).await?;
        // Wait for the client's close frame: closing with unread data would send a reset.
        let answered = async { while socket.next().await.is_some_and(|message| message.is_ok()) {} };
        let _ = tokio::time::timeout(Duration::from_secs(1), answered).await;
        Err(End::Drop)
    }

    async fn send(&self, socket: &mut WebSocket, message: Message) -> Result<(), End> {
        match tokio::time::timeout(WRITE_MAX, socket.send(message)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(End::Drop),
        }
    }

    fn record(&self, kind: &'static str, text: &str) {
        self.state.record_action(self.id, self.venue, kind, text, None);
    }
}

/// Returns the message of a body, as the venue sends it.
fn encoded(body: String, encoding: FrameEncoding) -> Message {
    frame(encoding.payload(body), encoding.is_binary())
}

/// Returns a message of one frame; its bytes are not checked, so a text frame may hold invalid UTF-8.
fn frame(payload: Vec<u8>, binary: bool) -> Message {
    let kind = if binary { Data::Binary } else { Data::Text };
    Message::Frame(Frame::message(payload, OpCode::Data(kind), true))
}
