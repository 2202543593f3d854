//! One client's stream on its socket: handshake, keep-alive, faults.

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

use super::connection::{STALL_MAX, refused};
use super::fault::Plane;
use super::gzip;
use super::http::{self, Request};
use super::json::set_member;
use super::limits::{Asked, Verdict};
use super::manners::{Inbound, Manners};
use super::session::{self, Session, Step};
use super::shared::{Shared, lock};
use super::view::FakeResponse;
use super::wire::Wire;

/// A client that does not take a frame for this long is dropped.
const WRITE_MAX: Duration = Duration::from_secs(30);

/// Largest frame taken from a client.
const FRAME_MAX: usize = 1 << 20;

type Socket = WebSocketStream<Wire>;

/// Serves a stream until it ends; the last argument is (connection, its address, venue, path).
pub async fn serve(
    shared: &Shared,
    mut wire: Wire,
    buffer: Vec<u8>,
    request: Request,
    (id, from, venue, path): (u64, IpAddr, &'static str, String),
) {
    let stalled = lock(&shared.faults).take("stall-upgrade", &shared.site(Plane::Stream, venue, &path)).is_some();
    if stalled {
        shared.note(id, venue, "upgrade", &path, None);
        tokio::select! {
            () = shared.stop.cancelled() => {}
            () = tokio::time::sleep(STALL_MAX) => {}
        }
        return;
    }
    let (response, session) = handshake(shared, &request, from, venue, &path);
    shared.note(id, venue, "upgrade", &path, Some(response.status));
    if http::write(&mut wire, &response, None).await.is_err() {
        return;
    }
    let Some(session) = session else { return };
    let config = WebSocketConfig::default().max_message_size(Some(FRAME_MAX)).max_frame_size(Some(FRAME_MAX));
    let socket = WebSocketStream::from_partially_read(wire, buffer, Role::Server, Some(config)).await;
    let serial = lock(&shared.faults).serial();
    let now = shared.monotonic();
    let client = Client {
        shared,
        id,
        venue,
        path,
        session,
        opened: serial,
        raw_done: serial,
        manners: Manners::of(venue, shared.lifetime),
        begun: now,
        noticed: false,
        heard: now,
        pinged: now,
        pinged_with: Bytes::new(),
        inbound: Inbound::default(),
        swapped: None,
    };
    client.run(socket).await;
}

fn handshake(
    shared: &Shared,
    request: &Request,
    from: IpAddr,
    venue: &'static str,
    path: &str,
) -> (FakeResponse, Option<Box<dyn Session>>) {
    if let Some(response) = refused(shared, Plane::Stream, venue, path) {
        return (response, None);
    }
    if let Some(limits) = &shared.limits {
        let asked = Asked { venue, from, target: None, origin: request.header("origin").is_some() };
        if let Verdict::Refuse(response) = lock(limits).count(&asked, shared.monotonic()) {
            return (response, None);
        }
    }
    let session = session::open(venue, path);
    let session = match (&shared.recorded, session) {
        (Some(recorded), Some(_)) => Some(recorded.session(venue, path)),
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

/// Why a stream ends.
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
    shared: &'a Shared,
    id: u64,
    venue: &'static str,
    path: String,
    session: Box<dyn Session>,
    /// The newest fault when it opened.
    opened: u64,
    raw_done: u64,
    manners: Manners,
    /// When it was opened.
    begun: Duration,
    /// Whether it was told that its time is up.
    noticed: bool,
    /// When it last said what counts for staying.
    heard: Duration,
    pinged: Duration,
    pinged_with: Bytes,
    inbound: Inbound,
    /// A frame held back to be sent after the next.
    swapped: Option<String>,
}

impl Client<'_> {
    async fn run(mut self, mut socket: Socket) {
        let (shared, id, venue) = (self.shared, self.id, self.venue);
        let end = tokio::select! {
            () = shared.stop.cancelled() => None,
            end = self.talk(&mut socket) => end.err(),
        };
        if matches!(end, Some(End::Reset)) {
            socket.get_ref().reset();
        }
        shared.note(id, venue, "end", "", None);
    }

    async fn talk(&mut self, socket: &mut Socket) -> Result<(), End> {
        let mut advanced = self.shared.advanced.subscribe();
        let site = self.shared.site(Plane::Stream, self.venue, "");
        let steps = self.shared.look(&site, |view| self.session.open(view));
        self.perform(socket, steps).await?;
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
                    self.breaks(socket).await?;
                    self.keep_alive(socket).await?;
                    let path = self.path.clone();
                    let site = self.shared.site(Plane::Stream, self.venue, &path);
                    let steps = self.shared.look(&site, |view| self.session.poll(view));
                    self.perform(socket, steps).await?;
                }
            }
        }
    }

    async fn receive(&mut self, socket: &mut Socket, message: Message) -> Result<(), End> {
        let now = self.shared.monotonic();
        let control = matches!(message, Message::Ping(_) | Message::Pong(_) | Message::Close(_));
        // Without limits a client is as free here as elsewhere.
        let counts = self.shared.limits.is_some() && (self.manners.control_counts || !control);
        if counts && !self.inbound.count(&self.manners, now) {
            return self.close(socket, 1008, "Too many requests").await;
        }
        let text = match message {
            Message::Text(text) => text.to_string(),
            Message::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Message::Ping(payload) => {
                self.note("ping", &String::from_utf8_lossy(&payload));
                if self.manners.ping_every.is_none() {
                    self.heard = now;
                }
                return Ok(socket.flush().await?);
            }
            Message::Pong(payload) => {
                self.note("pong", &String::from_utf8_lossy(&payload));
                // Only an answer to our last ping counts.
                if self.manners.ping_every.is_some() && payload == self.pinged_with {
                    self.heard = now;
                }
                return Ok(());
            }
            Message::Close(frame) => {
                let said = frame.map(|frame| format!("{} {}", u16::from(frame.code), frame.reason));
                self.note("close", &said.unwrap_or_default());
                return Ok(());
            }
            Message::Frame(_) => return Ok(()),
        };
        self.note("frame", &text);
        if self.manners.ping_every.is_none() {
            self.heard = now;
        }
        let path = self.path.clone();
        let site = self.shared.site(Plane::Stream, self.venue, &path);
        let steps = self.shared.look(&site, |view| self.session.receive(&text, view));
        self.perform(socket, steps).await
    }

    async fn keep_alive(&mut self, socket: &mut Socket) -> Result<(), End> {
        let now = self.shared.monotonic();
        if now >= self.heard + self.manners.silence_max {
            return match self.manners.silence_close {
                None => Err(End::Drop),
                Some((code, reason)) => self.close(socket, code, reason).await,
            };
        }
        self.grow_old(socket, now).await?;
        if self.manners.ping_every.is_some_and(|every| now >= self.pinged + every) {
            self.pinged = now;
            self.pinged_with = Bytes::from(self.shared.clock.now().as_millisecond().to_string());
            return self.send(socket, Message::Ping(self.pinged_with.clone())).await;
        }
        Ok(())
    }

    /// Tells a connection whose time is nearly up, and ends one whose time is.
    async fn grow_old(&mut self, socket: &mut Socket, now: Duration) -> Result<(), End> {
        let Some(lifetime) = self.manners.lifetime else { return Ok(()) };
        let age = now.saturating_sub(self.begun);
        if age >= lifetime {
            return self.close(socket, 1001, "").await;
        }
        if !self.noticed && age + self.manners.notice >= lifetime {
            self.noticed = true;
            let site = self.shared.site(Plane::Stream, self.venue, &self.path);
            let notice = self.shared.look(&site, |view| self.session.notice(view));
            return self.perform(socket, notice.into_iter().collect()).await;
        }
        Ok(())
    }

    /// Carries out the faults that strike a connection as a whole.
    async fn breaks(&mut self, socket: &mut Socket) -> Result<(), End> {
        let path = self.path.clone();
        let site = self.shared.site(Plane::Stream, self.venue, &path);
        let (reset, eof, close, raw) = {
            let mut faults = lock(&self.shared.faults);
            let mut take = |kind| faults.take_single(kind, &site, &mut self.opened.clone());
            let (reset, eof, close) = (take("rst"), take("eof"), take("close"));
            (reset, eof, close, faults.take_single("raw", &site, &mut self.raw_done))
        };
        if reset.is_some() {
            return Err(End::Reset);
        }
        if eof.is_some() {
            return Err(End::Drop);
        }
        if let Some(order) = raw {
            let payload = order.payload.unwrap_or_default().into_bytes();
            let binary = !order.text.unwrap_or(!self.session.binary());
            self.send(socket, frame(payload, binary)).await?;
        }
        match close {
            Some(order) => {
                let reason = order.reason.unwrap_or_default();
                self.close(socket, order.code.unwrap_or(1001), &reason).await
            }
            None => Ok(()),
        }
    }

    async fn perform(&mut self, socket: &mut Socket, steps: Vec<Step>) -> Result<(), End> {
        for step in steps {
            match step {
                Step::Reply(body) => {
                    if !self.strikes("mute") {
                        self.send(socket, frame(body.into_bytes(), self.session.binary())).await?;
                    }
                }
                Step::Close(code, reason) => return self.close(socket, code, &reason).await,
                Step::Data { symbol, body } => self.data(socket, &symbol, body).await?,
            }
        }
        Ok(())
    }

    async fn data(&mut self, socket: &mut Socket, symbol: &str, mut body: String) -> Result<(), End> {
        if self.strikes("mute") || self.strikes("ack-only") || self.about("drop-sym", symbol).is_some() {
            return Ok(());
        }
        for kind in ["null-field", "set-field"] {
            if let Some(order) = self.about(kind, symbol) {
                let value = order.payload.as_deref().unwrap_or("null");
                body = set_member(&body, &order.field.unwrap_or_default(), value);
            }
        }
        if self.strikes("gzip-in-text") {
            let message = frame(gzip::stored(body.as_bytes()), false);
            return self.send(socket, message).await;
        }
        let binary = self.session.binary();
        if self.swapped.is_none() && self.strikes("swap") {
            self.swapped = Some(body);
            return Ok(());
        }
        if self.strikes("dup") {
            self.send(socket, frame(body.clone().into_bytes(), binary)).await?;
        }
        self.send(socket, frame(body.into_bytes(), binary)).await?;
        match self.swapped.take() {
            Some(earlier) => self.send(socket, frame(earlier.into_bytes(), binary)).await,
            None => Ok(()),
        }
    }

    fn strikes(&self, kind: &str) -> bool {
        self.take(kind).is_some()
    }

    fn take(&self, kind: &str) -> Option<super::fault::Order> {
        lock(&self.shared.faults).take(kind, &self.shared.site(Plane::Stream, self.venue, &self.path))
    }

    fn about(&self, kind: &str, symbol: &str) -> Option<super::fault::Order> {
        let site = self.shared.site(Plane::Stream, self.venue, &self.path);
        lock(&self.shared.faults).take_about(kind, symbol, &site)
    }

    async fn close(&mut self, socket: &mut Socket, code: u16, reason: &str) -> Result<(), End> {
        let close = CloseFrame { code: code.into(), reason: reason.into() };
        self.send(socket, Message::Close(Some(close))).await?;
        // The client has a moment to answer, so that our end is not a reset.
        let answered = async { while socket.next().await.is_some_and(|message| message.is_ok()) {} };
        let _ = tokio::time::timeout(Duration::from_secs(1), answered).await;
        Err(End::Drop)
    }

    async fn send(&self, socket: &mut Socket, message: Message) -> Result<(), End> {
        match tokio::time::timeout(WRITE_MAX, socket.send(message)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(End::Drop),
        }
    }

    fn note(&self, kind: &'static str, text: &str) {
        self.shared.note(self.id, self.venue, kind, text, None);
    }
}

/// A whole message as one frame, whatever its bytes are.
fn frame(payload: Vec<u8>, binary: bool) -> Message {
    let kind = if binary { Data::Binary } else { Data::Text };
    Message::Frame(Frame::message(payload, OpCode::Data(kind), true))
}
