//! Quotes, boards and clients for this module's tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use futures_util::{SinkExt, StreamExt};
use jiff::Timestamp;
use serde_json::Value;
use sisepan::clock::Clock;
use sisepan::config::Board;
use sisepan::domain::{
    Base, BaseSource, Basis, Example, Lacks, Market, Missing, Price, Problem, Publish, Quote, Reason, ReasonCode,
    SourceId, State, VenueHealth, VenueId, VenueState,
};
use sisepan::hub::Hub;
use sisepan::web::{AppState, Limits, Shared};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// How long a test waits for something that must happen.
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

/// A row without a base, 24 hour figures or times.
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
        no_bases: Default::default(),
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

/// The row of the reference.
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

pub fn changed(quotes: impl IntoIterator<Item = Quote>) -> Publish {
    Publish {
        at: time("2026-01-15T06:27:03.5Z"),
        changed: quotes.into_iter().map(Arc::new).collect(),
        confirmed: Vec::new(),
        venues: Vec::new(),
    }
}

pub fn confirmed(quotes: impl IntoIterator<Item = Quote>) -> Publish {
    let Publish { at, changed, .. } = changed(quotes);
    Publish { at, changed: Vec::new(), confirmed: changed, venues: Vec::new() }
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
            lacks: Lacks::Price,
            code: "not-positive",
            detail: "trade_price: not-positive: -1".to_owned(),
            since: time("2026-01-15T06:27:01Z"),
        }],
        ..VenueHealth::new(VenueId("bithumb"), 11, time("2026-01-15T06:26:00Z"))
    }
}

pub fn venue(state: VenueState) -> Publish {
    Publish { venues: vec![health(state)], ..changed([]) }
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

pub fn state_with(hub: &Hub, limits: Limits) -> AppState {
    let boards = vec![board("krw", &["BTC-KRW", "ETH-KRW", "XRP-KRW"]), board("small", &["XRP-KRW"])];
    let clock = Clock::tokio(time("2026-01-15T06:27:04Z"));
    AppState::with_limits(Shared { hub: hub.clone(), boards, clock, history: None, keeper: None, demo: false }, limits)
}

pub fn state(hub: &Hub) -> AppState {
    state_with(hub, Limits::default())
}

pub fn hub() -> Hub {
    Hub::new(EPOCH.to_owned())
}

/// Asks the router without a socket.
pub async fn ask(app: &AppState, request: Request<Body>) -> Response<Body> {
    sisepan::web::router(app.clone()).oneshot(request).await.unwrap()
}

pub async fn get(app: &AppState, path: &str) -> Response<Body> {
    ask(app, Request::get(path).body(Body::empty()).unwrap()).await
}

pub async fn text(response: Response<Body>) -> String {
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Serves on a port of its own; returns the address.
pub async fn serve(app: &AppState) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(sisepan::web::listen(listener, app.clone(), CancellationToken::new()));
    address
}

/// A stream client.
pub struct Client(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What a client got.
#[derive(Debug, PartialEq)]
pub enum Got {
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

    /// Connects and reads the welcome.
    pub async fn welcomed(address: &str, query: &str) -> Self {
        let mut client = Self::connect(address, query).await;
        assert_eq!(client.json().await["type"], "welcome");
        client
    }

    pub async fn send(&mut self, text: impl Into<String>) {
        self.0.send(Message::text(text.into())).await.unwrap();
    }

    pub async fn got(&mut self) -> Got {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.0.next()).await.expect("a message in time");
            return match message {
                Some(Ok(Message::Text(text))) => Got::Json(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => Got::Close(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => Got::End,
            };
        }
    }

    pub async fn json(&mut self) -> Value {
        match self.got().await {
            Got::Json(value) => value,
            other => panic!("expected a message, got {other:?}"),
        }
    }

    /// Reads until the connection is closed; returns the code.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match self.got().await {
                Got::Json(_) => {}
                Got::Close(code) => return code,
                Got::End => return 1006,
            }
        }
    }
}

/// What a client knows by applying messages as docs/api.md tells it to.
#[derive(Debug, Default)]
pub struct Known {
    pub sequence: u64,
    pub rows: BTreeMap<String, Value>,
    pub venues: BTreeMap<String, String>,
    pub recoveries: usize,
    started: bool,
}

impl Known {
    pub fn apply(&mut self, message: &Value) {
        let sequence = message["sequence"].as_u64();
        match message["type"].as_str().unwrap() {
            "snapshot" => {
                self.rows.clear();
                self.started = true;
                self.learn(message);
            }
            "delta" => {
                assert!(self.started || message["recovered"] == true, "a delta before a snapshot");
                self.recoveries += usize::from(message["recovered"] == true);
                if self.started {
                    assert_eq!(message["previous"].as_u64(), Some(self.sequence), "a hole before {message}");
                }
                self.started = true;
                self.learn(message);
            }
            "status" => {
                let name = message["venue"].as_str().unwrap().to_owned();
                self.venues.insert(name, message["state"].as_str().unwrap().to_owned());
            }
            "heartbeat" => {}
            _ => return,
        }
        let sequence = sequence.unwrap();
        assert!(sequence >= self.sequence, "the sequence went back at {message}");
        self.sequence = sequence;
    }

    fn learn(&mut self, message: &Value) {
        for row in message["rows"].as_array().unwrap() {
            let known = self.rows.entry(row["market"].as_str().unwrap().to_owned()).or_insert_with(|| {
                assert!(row.get("last").is_some(), "an unknown row came in part: {row}");
                Value::Object(serde_json::Map::new())
            });
            for (member, value) in row.as_object().unwrap() {
                known[member] = value.clone();
            }
        }
    }

    /// The last prices, by market.
    pub fn lasts(&self) -> BTreeMap<String, String> {
        let last = |row: &Value| row["last"].as_str().unwrap().to_owned();
        self.rows.iter().map(|(name, row)| (name.clone(), last(row))).collect()
    }
}

/// Waits until something holds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

impl Client {
    /// Returns the status of a refused upgrade.
    pub async fn connect_status(address: &str) -> u16 {
        let url = format!("ws://{address}/api/v1/stream");
        match tokio_tungstenite::connect_async(url).await {
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => response.status().as_u16(),
            Ok(_) => 101,
            Err(error) => panic!("{error}"),
        }
    }
}
