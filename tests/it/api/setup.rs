//! Shared test helpers: quotes, boards, requests and a stream client.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::test_hub::{TestApp, TestHub};
use axum::body::Body;
use axum::http::{Request, Response};
use futures_util::{SinkExt, StreamExt};
use jiff::Timestamp;
use serde_json::Value;
use sisepan::clock::Clock;
use sisepan::config::Board;
use sisepan::feed::{BoardUpdate, Example, Missing, MissingPart, Problem, Reason, ReasonCode, VenueHealth, VenueState};
use sisepan::market::{Base, BaseSource, Basis, Market, Price, Quote, SourceId, State, VenueId};
use sisepan::web::{AppParts, AppState, Limits};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Longest wait of a test for an expected event.
pub const DEADLINE: Duration = Duration::from_secs(40);

pub const EPOCH: &str = "01JH2M8Q";

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn market(text: &str) -> Market {
    text.parse().unwrap()
}

pub fn source() -> SourceId {
    SourceId::new(["bithumb"])
}

/// A live row without base prices, 24-hour figures and times.
pub fn quote(name: &str, last: &str) -> Quote {
    Quote {
        market: market(name),
        source: source(),
        venue: VenueId("bithumb"),
        fallback: false,
        korean_name: None,
        english_name: None,
        last: Some(last.parse().unwrap()),
        bases: [None; 3],
        no_base_reasons: Default::default(),
        percent_places: 2,
        digits: 0,
        high_24h: None,
        low_24h: None,
        range_source: None,
        base_volume_24h: None,
        quote_volume_24h: None,
        state: State::Live,
        reason: None,
        notice: None,
        traded_at: None,
        received_at: None,
        confirmed_at: None,
    }
}

/// The BTC-KRW row of the reference examples.
pub fn bitcoin() -> Quote {
    let base =
        Base { price: "139290000".parse().unwrap(), at: time("2026-01-14T06:27:00Z"), source: BaseSource::Window };
    let price = |text: &str| Some(text.parse::<Price>().unwrap());
    Quote {
        bases: [Some(base), None, None],
        high_24h: price("142500000.0"),
        low_24h: price("138900000"),
        range_source: Some(BaseSource::Venue),
        base_volume_24h: Some("1234.56780000".parse().unwrap()),
        quote_volume_24h: Some("175000000000".parse().unwrap()),
        traded_at: Some(time("2026-01-15T06:27:01.123Z")),
        received_at: Some(time("2026-01-15T06:27:01.180Z")),
        confirmed_at: Some(time("2026-01-15T06:27:03Z")),
        ..quote("BTC-KRW", "142187000.00")
    }
}

pub fn changed(quotes: impl IntoIterator<Item = Quote>) -> BoardUpdate {
    BoardUpdate {
        at: time("2026-01-15T06:27:03.5Z"),
        changed: quotes.into_iter().map(Arc::new).collect(),
        ..BoardUpdate::default()
    }
}

pub fn confirmed(quotes: impl IntoIterator<Item = Quote>) -> BoardUpdate {
    let BoardUpdate { at, changed, .. } = changed(quotes);
    BoardUpdate { at, confirmed: changed, ..BoardUpdate::default() }
}

pub fn health(state: VenueState) -> VenueHealth {
    let reason = Reason::new(ReasonCode::Silent, "no frame from api.bithumb.com for 60 s");
    VenueHealth {
        state,
        reason: (state != VenueState::Up).then_some(reason),
        data_at: Some(time("2026-01-15T06:27:03Z")),
        clock_skew_ms: Some(-12),
        markets_live: 10,
        connects: 2,
        rejected: BTreeMap::from([("not-positive".to_owned(), 1)]),
        problems: vec![Problem {
            code: "not-positive",
            field: Some("trade_price"),
            count: 1,
            markets: 1,
            example: Example { market: Some(market("LUNC-KRW")), text: "trade_price: not-positive: -1".to_owned() },
            last_at: time("2026-01-15T06:27:01Z"),
        }],
        without_price: 1,
        missing: vec![Missing {
            market: market("LUNC-KRW"),
            lacks: MissingPart::Price,
            code: "not-positive",
            detail: "trade_price: not-positive: -1".to_owned(),
            since: time("2026-01-15T06:27:01Z"),
        }],
        ..VenueHealth::new(VenueId("bithumb"), 11, time("2026-01-15T06:26:00Z"))
    }
}

pub fn venue_update(state: VenueState) -> BoardUpdate {
    BoardUpdate { venues: vec![health(state)], ..changed([]) }
}

pub fn board(id: &str, markets: &[&str]) -> Board {
    Board {
        id: id.to_owned(),
        titles: [const { String::new() }; 3],
        markets: markets.iter().map(|name| market(name)).collect(),
        source: source(),
        basis: Basis::Rolling24h,
    }
}

/// Boards that never change.
pub fn fixed_boards(boards: Vec<Board>) -> watch::Receiver<Arc<[Board]>> {
    watch::channel(boards.into()).1
}

pub fn app_state_with(hub: &TestHub, limits: Limits) -> TestApp {
    let boards = vec![board("krw", &["BTC-KRW", "ETH-KRW", "XRP-KRW"]), board("small", &["XRP-KRW"])];
    let clock = Clock::tokio(time("2026-01-15T06:27:04Z"));
    let boards = fixed_boards(boards);
    let parts = AppParts { hub: hub.served(), boards, clock, history: None, store_health: None, demo: false };
    TestApp::new(hub, AppState::with_limits(parts, limits))
}

pub fn app_state(hub: &TestHub) -> TestApp {
    app_state_with(hub, Limits::default())
}

pub fn hub() -> TestHub {
    TestHub::new(EPOCH)
}

/// Sends a request to the router without a socket.
pub async fn send_request(app: &AppState, request: Request<Body>) -> Response<Body> {
    sisepan::web::router(app.clone()).oneshot(request).await.unwrap()
}

pub async fn get(app: &AppState, path: &str) -> Response<Body> {
    send_request(app, Request::get(path).body(Body::empty()).unwrap()).await
}

pub async fn text(response: Response<Body>) -> String {
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Serves on a free port and returns the address.
pub async fn serve(app: &AppState) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(sisepan::web::listen(listener, app.clone(), CancellationToken::new()));
    address
}

/// A stream client.
pub struct Client(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What a client received.
#[derive(Debug, PartialEq)]
pub enum Received {
    Json(Value),
    Close(u16),
    End,
}

impl Client {
    pub async fn connect(address: &str, query: &str) -> Self {
        let url = format!("ws://{address}/api/v1/stream{query}");
        let connecting = tokio_tungstenite::connect_async(url);
        let (socket, _) = tokio::time::timeout(DEADLINE, connecting).await.unwrap().unwrap();
        Self(socket)
    }

    /// Connects and reads the `welcome` message.
    pub async fn welcomed(address: &str, query: &str) -> Self {
        let mut client = Self::connect(address, query).await;
        assert_eq!(client.json().await["type"], "welcome");
        client
    }

    pub async fn send(&mut self, text: impl Into<String>) {
        self.0.send(Message::text(text.into())).await.unwrap();
    }

    pub async fn receive(&mut self) -> Received {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.0.next()).await.expect("a message in time");
            return match message {
                Some(Ok(Message::Text(text))) => Received::Json(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => Received::Close(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => Received::End,
            };
        }
    }

    pub async fn json(&mut self) -> Value {
        match self.receive().await {
            Received::Json(value) => value,
            other => panic!("expected a message, got {other:?}"),
        }
    }

    /// Reads until the connection ends and returns its close code; 1006 if there was no close frame.
    pub async fn wait_closed(&mut self) -> u16 {
        loop {
            match self.receive().await {
                Received::Json(_) => {}
                Received::Close(code) => return code,
                Received::End => return 1006,
            }
        }
    }
}

/// State of a client that applies messages as docs/api.md prescribes. Panics on gaps and wrong orders.
#[derive(Debug, Default)]
pub struct ClientState {
    pub sequence: u64,
    pub rows: BTreeMap<String, Value>,
    pub venues: BTreeMap<String, String>,
    pub recoveries: usize,
    started: bool,
}

impl ClientState {
    pub fn apply(&mut self, message: &Value) {
        let sequence = message["sequence"].as_u64();
        match message["type"].as_str().unwrap() {
            "snapshot" => {
                self.rows.clear();
                self.started = true;
                self.apply_rows(message);
            }
            "delta" => {
                assert!(self.started || message["recovered"] == true, "a delta before a snapshot");
                self.recoveries += usize::from(message["recovered"] == true);
                if self.started {
                    assert_eq!(message["previous"].as_u64(), Some(self.sequence), "a gap before {message}");
                }
                self.started = true;
                self.apply_rows(message);
            }
            "status" => {
                let name = message["venue"].as_str().unwrap().to_owned();
                self.venues.insert(name, message["state"].as_str().unwrap().to_owned());
            }
            "heartbeat" => {}
            _ => return,
        }
        let sequence = sequence.unwrap();
        assert!(sequence >= self.sequence, "the sequence went backwards at {message}");
        self.sequence = sequence;
    }

    fn apply_rows(&mut self, message: &Value) {
        for row in message["rows"].as_array().unwrap() {
            let known = self.rows.entry(row["market"].as_str().unwrap().to_owned()).or_insert_with(|| {
                assert!(row.get("last").is_some(), "the first row of a market is incomplete: {row}");
                Value::Object(serde_json::Map::new())
            });
            for (member, value) in row.as_object().unwrap() {
                known[member] = value.clone();
            }
        }
    }

    /// Returns the last prices by market.
    pub fn last_prices(&self) -> BTreeMap<String, String> {
        let last = |row: &Value| row["last"].as_str().unwrap().to_owned();
        self.rows.iter().map(|(name, row)| (name.clone(), last(row))).collect()
    }
}

/// Waits until a condition holds. Panics at the deadline with `what` was expected.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

impl Client {
    /// Returns the status of an upgrade attempt: 101, or that of the error response.
    pub async fn connect_status(address: &str) -> u16 {
        let url = format!("ws://{address}/api/v1/stream");
        match tokio_tungstenite::connect_async(url).await {
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => response.status().as_u16(),
            Ok(_) => 101,
            Err(error) => panic!("{error}"),
        }
    }
}
