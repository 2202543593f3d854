//! One connection: what it is sent, what it may send, and when it ends.

use std::pin::Pin;
use std::time::Duration;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use tokio::time::{Sleep, sleep, timeout};
use tokio_tungstenite::tungstenite;

use super::close::Close;
use super::request::{self, Request};
use crate::hub::{HEARTBEAT, Resume, Subscription};
use crate::web::AppState;
use crate::web::ask::{Ask, Refusal};
use crate::wire::{self, Closing, ErrorMessage, Id, Pong, Unsubscribed, Welcome};

/// A connection and its place in the hub. It has one task and no queue.
pub struct Session {
    app: AppState,
    socket: WebSocket,
    subscription: Option<Subscription>,
    /// Whether there ever was one.
    has_subscribed: bool,
    watch: Watch,
    /// Messages received since `second`.
    messages: u32,
    /// The start of the second that messages are counted in.
    second: Duration,
}

/// What the timer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    FirstSubscription,
    TimeToPing,
    Pong { seen: bool },
}

impl Session {
    /// Takes over an upgraded connection.
    pub fn new(app: AppState, socket: WebSocket) -> Self {
        let second = app.clock.monotonic();
        let watch = Watch::FirstSubscription;
        Self { app, socket, subscription: None, has_subscribed: false, watch, messages: 0, second }
    }

    /// Serves until either side ends it. `ask` is what the URL asks for.
    ///
    /// A task is as large as its largest state, for its whole life: what is rare or happens once is boxed.
    pub async fn run(mut self, ask: Box<Result<Ask, Refusal>>) {
        let Err(close) = self.serve(ask).await;
        self.subscription = None;
        let limit = self.app.limits().close_within;
        // However the client behaves: what it does not take in time is not waited for.
        let _ = timeout(limit, Box::pin(self.close(close))).await;
    }

    async fn serve(&mut self, ask: Box<Result<Ask, Refusal>>) -> Result<std::convert::Infallible, Close> {
        Box::pin(self.begin(ask)).await?;
        let shutdown = self.app.shutdown().clone();
        // Made once: to join and leave the token's waiters for each frame would cost more than the frame.
        let mut stopped = std::pin::pin!(shutdown.cancelled());
        let mut timer = std::pin::pin!(sleep(self.app.limits().subscribe_within));
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => return Err(Close::Shutdown),
                () = &mut timer => Box::pin(self.tick(&mut timer)).await?,
                received = self.socket.recv() => Box::pin(self.receive(received)).await?,
                texts = next(&mut self.subscription) => self.send_all(&texts).await?,
            }
        }
    }

    /// Says welcome, and subscribes to what the URL asks for, if anything.
    async fn begin(&mut self, ask: Box<Result<Ask, Refusal>>) -> Result<(), Close> {
        self.send_all(&[self.welcome().into()]).await?;
        let refused = match *ask {
            Ok(ask) if ask.board.is_none() && ask.markets.is_none() => Ok(()),
            Ok(ask) => self.subscribe(None, &ask, None).await?,
            Err(refusal) => Err(refusal),
        };
        match refused {
            Ok(()) => Ok(()),
            Err(refusal) => {
                self.refuse(None, refusal).await?;
                Err(Close::BadRequest)
            }
        }
    }

    /// Reads one message, within the limits.
    async fn receive(&mut self, received: Option<Result<Message, axum::Error>>) -> Result<(), Close> {
        let message = received.ok_or(Close::Left)?.map_err(why)?;
        if let Message::Pong(_) = message {
            if let Watch::Pong { seen } = &mut self.watch {
                *seen = true;
            }
            return Ok(());
        }
        self.count()?;
        match message {
            Message::Text(text) => self.answer(&text).await,
            Message::Binary(_) => Err(Close::Binary),
            Message::Close(_) => Err(Close::Left),
            Message::Ping(_) | Message::Pong(_) => Ok(()),
        }
    }

    fn count(&mut self) -> Result<(), Close> {
        let now = self.app.clock.monotonic();
        if now.saturating_sub(self.second) >= Duration::from_secs(1) {
            (self.second, self.messages) = (now, 0);
        }
        self.messages += 1;
        if self.messages > self.app.limits().messages_per_second_max { Err(Close::TooMany) } else { Ok(()) }
    }

    async fn answer(&mut self, text: &str) -> Result<(), Close> {
        let (id, request) = request::read(text);
        let refused = match request {
            Ok(Request::Ping) => return self.send_json(&Pong { id, server_time: self.app.clock.now() }).await,
            Ok(Request::Unsubscribe) => {
                self.subscription = None;
                return self.send_json(&Unsubscribed { id }).await;
            }
            Ok(Request::Subscribe { ask, resume }) => self.subscribe(id.as_ref(), &ask, resume.as_ref()).await?,
            Err(refusal) => Err(refusal),
        };
        match refused {
            Ok(()) => Ok(()),
            Err(refusal) => self.refuse(id, refusal).await,
        }
    }

    /// Joins the group of what is asked for; a refused request leaves the subscription before it as it was.
    async fn subscribe(
        &mut self,
        id: Option<&Id>,
        ask: &Ask,
        resume: Option<&Resume>,
    ) -> Result<Result<(), Refusal>, Close> {
        let wanted = ask.view(&self.app).and_then(|view| Ok((view, ask.interval()?)));
        let (view, interval) = match wanted {
            Ok(wanted) => wanted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (subscription, texts) = self.app.hub.subscribe(view, interval, id, resume);
        (self.subscription, self.has_subscribed) = (Some(subscription), true);
        self.send_all(&texts).await?;
        Ok(Ok(()))
    }

    /// Does what is due.
    async fn tick(&mut self, timer: &mut Pin<&mut Sleep>) -> Result<(), Close> {
        let limits = self.app.limits();
        let (watch, wait) = match self.watch {
            Watch::FirstSubscription if !self.has_subscribed => return Err(Close::NoSubscription),
            Watch::Pong { seen: false } => return Err(Close::NoPong),
            Watch::FirstSubscription => (Watch::TimeToPing, limits.ping_every.saturating_sub(limits.subscribe_within)),
            Watch::Pong { seen: true } => (Watch::TimeToPing, limits.ping_every.saturating_sub(limits.pong_within)),
            Watch::TimeToPing => (Watch::Pong { seen: false }, limits.pong_within),
        };
        timer.set(sleep(wait));
        self.watch = watch;
        if let Watch::Pong { .. } = watch {
            self.send(Message::Ping(Bytes::new())).await?;
        }
        Ok(())
    }

    async fn refuse(&mut self, id: Option<Id>, refusal: Refusal) -> Result<(), Close> {
        let Refusal { code, field, detail: message, .. } = refusal;
        let field = Some(field).filter(|field| !field.is_empty());
        self.send_json(&ErrorMessage { id, code, message, retryable: false, field }).await
    }

    fn welcome(&self) -> Vec<u8> {
        let limits = self.app.limits();
        wire::json(&Welcome {
            protocol: wire::PROTOCOL,
            epoch: self.app.hub.epoch(),
            server_time: self.app.clock.now(),
            heartbeat_ms: millis(HEARTBEAT),
            demo: self.app.demo,
            limits: wire::Limits {
                message_bytes: limits.message_bytes_max,
                messages_per_second: limits.messages_per_second_max,
                markets: limits.markets_max,
                subscribe_within_ms: millis(limits.subscribe_within),
            },
        })
    }

    async fn send_json<T: serde::Serialize>(&mut self, shape: &T) -> Result<(), Close> {
        self.send_all(&[wire::json(shape).into()]).await
    }

    async fn send_all(&mut self, texts: &[Bytes]) -> Result<(), Close> {
        for text in texts {
            // Our own JSON, so this never fails; no bytes are copied.
            let text = Utf8Bytes::try_from(text.clone()).map_err(|_| Close::Left)?;
            self.send(Message::Text(text)).await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), Close> {
        let Self { app, socket, .. } = self;
        tokio::select! {
            biased;
            sent = timeout(app.limits().write_within, socket.send(message)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Close::Left),
                Err(_) => Err(Close::Slow),
            },
            () = app.shutdown().cancelled() => Err(Close::Shutdown),
        }
    }

    /// Says why, and waits for the other side to close as well.
    async fn close(&mut self, close: Close) {
        let Some(frame) = close.frame() else { return };
        if close == Close::Shutdown {
            let closing = Closing { reason: "shutdown", retry_after_ms: millis(self.app.limits().come_back()) };
            let Ok(text) = Utf8Bytes::try_from(Bytes::from(wire::json(&closing))) else { return };
            if self.socket.send(Message::Text(text)).await.is_err() {
                return;
            }
        }
        if self.socket.send(Message::Close(Some(frame))).await.is_err() {
            return;
        }
        while let Some(Ok(_)) = self.socket.recv().await {}
    }
}

async fn next(subscription: &mut Option<Subscription>) -> std::sync::Arc<[Bytes]> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

/// Returns what a failed read means.
fn why(error: axum::Error) -> Close {
    use tungstenite::Error;
    match error.into_inner().downcast_ref::<Error>() {
        Some(Error::Capacity(_)) => Close::TooLong,
        Some(Error::Utf8(_)) => Close::NotUtf8,
        Some(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => Close::Left,
        Some(Error::Protocol(_)) => Close::Protocol,
        _ => Close::Left,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
