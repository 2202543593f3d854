//! The toy venue's server: REST and streams with faults on demand, and a log of everything received.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use sisepan::clock::Clock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

/// How the server's streams behave.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Mode {
    #[default]
    Good,
    /// Acknowledges subscriptions and sends no tickers.
    AckOnly,
    /// Never answers the upgrade.
    StallUpgrade,
    /// Closes right after the first ticker.
    CloseAfterFirst,
    /// Responds to the upgrade with these bytes.
    RawResponse(String),
    /// Closes connections that send more frames than this in a second.
    FramesMax(usize),
    /// Greets every connection with its own id, and closes it when a frame has another one, or came before the greeting.
    Greeting,
}

/// An action on every open stream.
#[derive(Clone, Debug)]
pub enum StreamAction {
    /// Sends the ticker of this symbol, if it is subscribed.
    SendTicker(String),
    Send(Message),
    /// Ends without a close frame.
    Cut,
}

/// What the server serves, how it misbehaves, and what it has received.
#[derive(Default)]
pub struct ServerState {
    pub listed: Vec<String>,
    /// What the next market lists have in place of `listed`, one each.
    pub next_lists: VecDeque<Vec<String>>,
    pub prices: BTreeMap<String, (String, u64)>,
    /// Symbols that trade on every list request.
    pub trade_on_list: BTreeSet<String>,
    /// Whether every ticker request finds a new trade of every symbol.
    pub trade_on_query: bool,
    pub mode: Mode,
    /// Delay of streamed tickers, in seconds; `None` sends them without a time.
    pub lag: Option<i64>,
    /// Maximum number of rows in a ticker response, if there is a limit.
    pub rows_max: Option<usize>,
    /// Symbols whose ticker requests get no response, alone or among others.
    pub stalled: BTreeSet<String>,
    /// Symbols left out of all streams.
    pub dropped: BTreeSet<String>,
    /// Symbols whose subscriptions are refused.
    pub refused: BTreeSet<String>,
    /// URL of the streams, to which a token is added that is valid once; if there is none, streams need no token.
    pub endpoint: Option<String>,
    /// The keep-alive interval given out with the URL.
    pub ping_ms: u64,
    tokens: BTreeSet<String>,
    /// Tokens and connection ids given out so far.
    issued: usize,
    /// Canned responses by path prefix: status line with headers, and body. The status `late` sends no response,
    /// `cut` ends the connection without one.
    pub replies: BTreeMap<String, (String, Vec<u8>)>,
    pub candles: BTreeMap<String, Vec<(i64, String)>>,
    /// Everything received, with the time since the start.
    pub log: Vec<(Duration, String)>,
}

pub struct Server {
    pub state: Arc<Mutex<ServerState>>,
    pub streams: broadcast::Sender<StreamAction>,
    pub open: Arc<AtomicUsize>,
    pub address: std::net::SocketAddr,
    clock: Clock,
    accept: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

impl Server {
    pub async fn start(symbols: &[&str]) -> Arc<Self> {
        Self::start_with(symbols, None).await
    }

    pub async fn start_with(symbols: &[&str], tls: Option<tokio_rustls::TlsAcceptor>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = ServerState {
            listed: symbols.iter().map(|s| (*s).to_owned()).collect(),
            prices: symbols.iter().map(|s| ((*s).to_owned(), ("100".to_owned(), 1))).collect(),
            ..ServerState::default()
        };
        let state = Arc::new(Mutex::new(state));
        let (streams, _) = broadcast::channel(1024);
        let open = Arc::new(AtomicUsize::new(0));
        let clock = Clock::system();
        let (w, s, o, c) = (state.clone(), streams.clone(), open.clone(), clock.clone());
        let accept = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (w, s, o, c, tls) = (w.clone(), s.clone(), o.clone(), c.clone(), tls.clone());
                tokio::spawn(async move {
                    o.fetch_add(1, Ordering::SeqCst);
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                Box::pin(serve(stream, w, s, c)).await;
                            }
                        }
                        None => Box::pin(serve(tcp, w, s, c)).await,
                    }
                    o.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Arc::new(Self { state, streams, open, address, clock, accept })
    }

    pub fn with<T>(&self, f: impl FnOnce(&mut ServerState) -> T) -> T {
        f(&mut self.state.lock().unwrap())
    }

    /// Records a trade and sends its ticker on the streams.
    pub fn trade(&self, symbol: &str, price: &str) {
        self.with(|state| {
            let entry = state.prices.entry(symbol.to_owned()).or_insert((String::new(), 0));
            *entry = (price.to_owned(), entry.1 + 1);
        });
        let _ = self.streams.send(StreamAction::SendTicker(symbol.to_owned()));
    }

    /// Sets the response for paths that start with `path`.
    pub fn reply(&self, path: &str, head: &str, body: impl Into<Vec<u8>>) {
        let reply = (head.to_owned(), body.into());
        self.with(|state| state.replies.insert(path.to_owned(), reply));
    }

    /// Returns the times of the log entries that start with `what`.
    pub fn logged(&self, what: &str) -> Vec<Duration> {
        self.with(|state| state.log.iter().filter(|(_, l)| l.starts_with(what)).map(|(at, _)| *at).collect())
    }

    pub fn elapsed(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// A stream with bytes put back in front of it.
struct Prefixed<S>(Vec<u8>, usize, S);

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if self.1 < self.0.len() {
            let n = buf.remaining().min(self.0.len() - self.1);
            buf.put_slice(&self.0[self.1..self.1 + n]);
            self.1 += n;
            return std::task::Poll::Ready(Ok(()));
        }
        std::pin::Pin::new(&mut self.2).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.2).poll_write(cx, buf)
    }
    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.2).poll_flush(cx)
    }
    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.2).poll_shutdown(cx)
    }
}

async fn serve<S>(mut stream: S, state: Arc<Mutex<ServerState>>, streams: broadcast::Sender<StreamAction>, clock: Clock)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let upgrade = text.contains("upgrade: websocket");
    let log = |line: String| state.lock().unwrap().log.push((clock.monotonic(), line));
    log(format!("{} {path}", if upgrade { "ws" } else { "get" }));
    if upgrade {
        let (mode, has_token) = {
            let mut state = state.lock().unwrap();
            let token = path.split_once("token=").map_or("", |(_, token)| token);
            (state.mode.clone(), state.endpoint.is_none() || state.tokens.remove(token))
        };
        match mode {
            _ if !has_token => {
                log("bad token".to_owned());
                let _ = stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
            }
            Mode::StallUpgrade => {
                let _ = stream.read_u8().await;
            }
            Mode::RawResponse(bytes) => {
                let _ = stream.write_all(bytes.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
            mode => {
                let greeting = (mode == Mode::Greeting).then(|| {
                    let mut state = state.lock().unwrap();
                    state.issued += 1;
                    format!("id{}", state.issued)
                });
                session(Prefixed(head, 0, stream), greeting, &state, streams.subscribe(), &log).await;
            }
        }
        return;
    }
    let (status, body) = respond(&mut state.lock().unwrap(), &path);
    if status == "late" {
        let _ = stream.read_u8().await;
        return;
    }
    if status == "cut" {
        return;
    }
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&body).await;
    let _ = stream.shutdown().await;
}

fn ticker(state: &ServerState, symbol: &str) -> Option<Value> {
    let (price, id) = state.prices.get(symbol)?;
    Some(json!({"s": symbol, "p": price, "n": id}))
}

/// Returns the ticker of a symbol as streams send it.
fn streamed_ticker(state: &ServerState, symbol: &str) -> Option<Value> {
    let mut record = ticker(state, symbol)?;
    if let Some(lag) = state.lag {
        record["late"] = json!(lag);
    }
    Some(record)
}

fn respond(state: &mut ServerState, path: &str) -> (String, Vec<u8>) {
    if let Some((_, (status, body))) = state.replies.iter().find(|(start, _)| path.starts_with(start.as_str())) {
        return (status.clone(), body.clone());
    }
    let argument = |name: &str| {
        let query = path.split_once('?').map_or("", |(_, query)| query);
        query.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap_or_default().to_owned()
    };
    let value = if path.starts_with("/token") {
        state.issued += 1;
        let token = format!("secret{}", state.issued);
        state.tokens.insert(token.clone());
        let endpoint = state.endpoint.clone().unwrap_or_default();
        json!({"url": format!("{endpoint}?token={token}"), "ping_ms": state.ping_ms})
    } else if path.starts_with("/markets") {
        for symbol in &state.trade_on_list {
            if let Some((_, id)) = state.prices.get_mut(symbol) {
                *id += 1;
            }
        }
        json!({"markets": state.next_lists.pop_front().unwrap_or_else(|| state.listed.clone())})
    } else if path.starts_with("/tickers") {
        let symbols = argument("s=");
        if state.trade_on_query {
            state.prices.values_mut().for_each(|(_, id)| *id += 1);
        }
        if symbols.split(',').any(|symbol| state.stalled.contains(symbol)) {
            return ("late".to_owned(), Vec::new());
        }
        let found: Vec<_> = symbols.split(',').map(|symbol| ticker(state, symbol)).collect();
        if found.iter().any(Option::is_none) {
            return ("404 Not Found".to_owned(), json!({"error": "unknown"}).to_string().into_bytes());
        }
        json!({"tickers": found[..found.len().min(state.rows_max.unwrap_or(usize::MAX))]})
    } else {
        let (end, count) = (argument("end=").parse().unwrap_or(0), argument("count=").parse().unwrap_or(0));
        let all = state.candles.get(&argument("s=")).cloned().unwrap_or_default();
        let mut newest: Vec<_> = all.into_iter().filter(|(minute, _)| *minute < end).rev().take(count).collect();
        newest.reverse();
        json!({"candles": newest})
    };
    ("200 OK".to_owned(), value.to_string().into_bytes())
}

async fn session<S>(
    stream: S,
    greeting: Option<String>,
    state: &Mutex<ServerState>,
    mut actions: broadcast::Receiver<StreamAction>,
    log: &(impl Fn(String) + Sync),
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    let mut subscribed = BTreeSet::new();
    let mut frames = Vec::new();
    let clock = Clock::system();
    if let Some(id) = &greeting {
        // What is sent before the greeting is wrong.
        let early = tokio::time::timeout(Duration::from_millis(50), socket.next()).await;
        if let Ok(Some(Ok(frame))) = early {
            return log(format!("bad frame {frame}"));
        }
        log(format!("greeting {id}"));
        if socket.send(Message::text(json!({"hello": id}).to_string())).await.is_err() {
            return;
        }
    }
    loop {
        let out = tokio::select! {
            message = socket.next() => {
                let Some(Ok(message)) = message else { return log("gone".to_owned()) };
                match message {
                    Message::Text(text) => {
                        log(format!("frame {text}"));
                        frames.push(clock.monotonic());
                        let value: Value = serde_json::from_str(&text).unwrap();
                        if greeting.as_ref().is_some_and(|id| value["id"] != id.as_str()) {
                            return log(format!("bad frame {text}"));
                        }
                        let on: Vec<String> = value["sub"].as_array().into_iter().flatten()
                            .filter_map(Value::as_str).map(str::to_owned).collect();
                        for gone in value["unsub"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                            subscribed.remove(gone);
                        }
                        subscribed.extend(on.iter().cloned());
                        subscribe_replies(&state.lock().unwrap(), &on, &frames, clock.monotonic())
                    }
                    Message::Ping(_) => { log("ping".to_owned()); Vec::new() }
                    Message::Pong(payload) => { log(format!("pong {}", String::from_utf8_lossy(&payload))); Vec::new() }
                    Message::Close(_) => { log("close".to_owned()); return }
                    _ => Vec::new(),
                }
            }
            Ok(action) = actions.recv() => match action {
                StreamAction::Cut => return,
                StreamAction::Send(message) => vec![Some(message)],
                StreamAction::SendTicker(symbol) => {
                    let state = state.lock().unwrap();
                    let is_sent = subscribed.contains(&symbol)
                        && !state.dropped.contains(&symbol)
                        && !state.refused.contains(&symbol)
                        && state.mode != Mode::AckOnly;
                    let record = streamed_ticker(&state, &symbol).filter(|_| is_sent);
                    record.map(|record| Some(Message::text(json!({"t": [record]}).to_string()))).into_iter().collect()
                }
            },
        };
        for message in out {
            let Some(message) = message else { return };
            if socket.send(message).await.is_err() {
                return;
            }
        }
    }
}

/// Returns the messages sent after a subscription to `on`; `None` ends the stream.
fn subscribe_replies(state: &ServerState, on: &[String], frames: &[Duration], now: Duration) -> Vec<Option<Message>> {
    let mut out = vec![Some(Message::text(json!({"ok": true}).to_string()))];
    let recent = frames.iter().filter(|at| now - **at < Duration::from_secs(1)).count();
    if matches!(state.mode, Mode::FramesMax(max) if recent > max) {
        return vec![None];
    }
    if state.mode == Mode::AckOnly {
        return out;
    }
    for symbol in on.iter().filter(|symbol| state.refused.contains(*symbol)) {
        out.push(Some(Message::text(json!({"refused": symbol}).to_string())));
    }
    let tickers: Vec<_> = on
        .iter()
        .filter(|s| !state.dropped.contains(*s) && !state.refused.contains(*s))
        .filter_map(|s| streamed_ticker(state, s))
        .collect();
    if !tickers.is_empty() {
        out.push(Some(Message::text(json!({"t": tickers}).to_string())));
        if state.mode == Mode::CloseAfterFirst {
            out.push(None);
        }
    }
    out
}
