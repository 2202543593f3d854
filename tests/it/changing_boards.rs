//! The boards of a running program change while its prices flow: every client ends with exactly the rows of the last
//! board, and with the prices of the snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fake_exchanges::{self as fake, Fake, Options};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::Value;
use sisepan::clock::Clock;
use sisepan::config::{Board, Config};
use sisepan::market::SourceId;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::setup::{Client, ClientState, DEADLINE, Received};
use crate::end_to_end::{Service, config_for_fake};

/// The markets of the first board.
const MARKETS: [&str; 6] = ["BTC-KRW", "ETH-KRW", "XRP-KRW", "SOL-KRW", "ADA-KRW", "TRX-KRW"];

fn board_of(id: &str, markets: &[&str]) -> Board {
    Board {
        id: id.to_owned(),
        markets: markets.iter().map(|market| market.parse().unwrap()).collect(),
        source: SourceId::new(["bithumb"]),
        ..Board::default_board()
    }
}

/// A running program whose boards can be changed.
struct Changing {
    service: Service,
    fake: Fake,
    boards: watch::Sender<Arc<[Board]>>,
}

impl Changing {
    async fn start() -> Self {
        let fake = fake::start(Options::default()).await.unwrap();
        let config = Config { boards: Vec::new(), ..config_for_fake(&fake) };
        let (boards, receiver) = watch::channel(Arc::from([board_of("krw", &MARKETS)]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
        let running = sisepan::run_with_boards(config, receiver, listener, Clock::system(), shutdown.clone());
        let service = Service::new(address, shutdown, tokio::spawn(running));
        let changing = Self { service, fake, boards };
        for market in MARKETS {
            changing.service.wait_row(market, |row| row["state"] == "live" && !row["change"].is_null()).await;
        }
        changing
    }

    fn set(&self, boards: &[Board]) {
        self.boards.send_replace(boards.into());
    }

    async fn stop(self) {
        self.service.stop().await;
        self.fake.shutdown().await;
    }

    async fn client(&self, query: &str) -> Client {
        Client::welcomed(&self.service.address.to_string(), query).await
    }

    /// Requests a snapshot until it is as wanted. Panics at the deadline.
    async fn wait_snapshot(&self, query: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = tokio::time::timeout(DEADLINE, async {
            while !wanted(&last) {
                tokio::time::sleep(Duration::from_millis(20)).await;
                last = self.service.get(&format!("/api/v1/snapshot{query}")).await;
            }
        });
        assert!(found.await.is_ok(), "never as wanted: {last}");
        last
    }
}

fn names_in(message: &Value) -> Vec<&str> {
    message["rows"].as_array().into_iter().flatten().map(|row| row["market"].as_str().unwrap()).collect()
}

/// Reads messages until one is as wanted. Panics at the deadline.
async fn wait_message(client: &mut Client, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let message = client.json().await;
        if wanted(&message) {
            return message;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_that_is_removed_disappears_and_returns_with_its_change() {
    let server = Changing::start().await;
    let mut of_board = server.client("?board=krw&interval_ms=0").await;
    let mut of_list = server.client("?markets=BTC-KRW,ETH-KRW&interval_ms=0").await;
    server.set(&[board_of("krw", &["XRP-KRW", "BTC-KRW"])]);
    let is_snapshot =
        |count: usize| move |message: &Value| message["type"] == "snapshot" && names_in(message).len() == count;
    let message = wait_message(&mut of_board, is_snapshot(2)).await;
    assert_eq!((names_in(&message), message.get("recovered")), (vec!["XRP-KRW", "BTC-KRW"], None));
    assert_eq!(message["rows"][0]["state"], "live", "a row that stays keeps its price");
    assert!(!message["rows"][0]["change"].is_null());
    let message = wait_message(&mut of_list, is_snapshot(1)).await;
    assert_eq!((names_in(&message), &message["missing"]), (vec!["BTC-KRW"], &serde_json::json!(["ETH-KRW"])));
    assert_eq!(names_in(&server.service.get("/api/v1/snapshot").await), ["XRP-KRW", "BTC-KRW"]);
    let page = reqwest::get(format!("http://{}/?lang=en", server.service.address)).await.unwrap().text().await.unwrap();
    assert!(page.contains("data-market=\"XRP-KRW\"") && !page.contains("ETH-KRW"));
    let venue = server.service.venue("bithumb").await;
    assert_eq!(venue["without_price"], 0, "{venue}");

    server.set(&[board_of("krw", &["ETH-KRW", "XRP-KRW"])]);
    let message = wait_message(&mut of_list, is_snapshot(1)).await;
    assert_eq!((names_in(&message), &message["missing"]), (vec!["ETH-KRW"], &serde_json::json!(["BTC-KRW"])));
    let row = &message["rows"][0];
    assert!(row["state"] == "unknown" && row["last"].is_null() || row["state"] == "live", "{row}");
    server.service.wait_row("ETH-KRW", |row| row["state"] == "live" && !row["change"].is_null()).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_that_was_not_read_before_becomes_live_with_its_change() {
    let server = Changing::start().await;
    let mut client = server.client("?markets=LINK-KRW,BTC-KRW&interval_ms=0").await;
    server.set(&[board_of("krw", &["BTC-KRW", "LINK-KRW"])]);
    let has_link = |message: &Value| {
        let rows = message["rows"].as_array().into_iter().flatten();
        rows.clone().any(|row| row["market"] == "LINK-KRW" && row["state"] == "live")
    };
    wait_message(&mut client, has_link).await;
    let row = |row: &Value| row["state"] == "live" && row["change"]["base_source"] == "window";
    let row = server.service.wait_row("LINK-KRW", row).await;
    let text = |name: &str| row["change"][name].as_str().unwrap();
    let (at, base): (Timestamp, Decimal) = (text("base_at").parse().unwrap(), text("base_price").parse().unwrap());
    let minutes = server.fake.truth("bithumb", "LINK-KRW").unwrap().minutes;
    let (_, close) = minutes.iter().find(|(start, _)| *start + SignedDuration::from_mins(1) == at).unwrap();
    assert_eq!(base, *close, "{row}");
    assert_eq!(server.service.venue("bithumb").await["state"], "up", "the exchange stays connected");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_of_an_exchange_that_is_not_read_says_so() {
    let server = Changing::start().await;
    let of_upbit = Board { source: SourceId::new(["upbit"]), ..board_of("up", &["BTC-KRW"]) };
    server.set(&[board_of("krw", &["BTC-KRW"]), of_upbit]);
    let mut venue = Value::Null;
    let found = tokio::time::timeout(DEADLINE, async {
        while !venue["reason"]["message"].as_str().is_some_and(|message| message.contains("until the next start")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            venue = server.service.venue("upbit").await;
        }
    });
    assert!(found.await.is_ok(), "{venue}");
    assert_eq!(venue["state"], "down", "{venue}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_while_prices_flow_leave_every_client_with_the_last_board() {
    let server = Changing::start().await;
    let mut clients = Vec::new();
    for query in ["?board=krw&interval_ms=0", "?board=krw&interval_ms=100"] {
        clients.push(follow(server.client(query).await));
    }
    let all = MARKETS.join(",");
    clients.push(follow(server.client(&format!("?markets={all}&interval_ms=0")).await));
    let events = format!("http://{}/api/v1/events?board=krw&interval_ms=0", server.service.address);
    let events = reqwest::get(events).await.unwrap();
    let (events_state, events_seen) = watch::channel(ClientState::default());
    tokio::spawn(follow_events(events, events_state));

    for turn in 0..60usize {
        let count = 1 + turn % MARKETS.len();
        let markets: Vec<&str> = MARKETS.iter().cycle().skip(turn).step_by(5).take(count).copied().collect();
        server.set(&[board_of("krw", &markets), board_of("other", &MARKETS[turn % 6..])]);
        for (at, market) in MARKETS.iter().enumerate() {
            server.fake.set_price("bithumb", market, Decimal::from(1000 + turn * 10 + at), true).unwrap();
        }
        if turn % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
    let last = ["SOL-KRW", "TRX-KRW", "BTC-KRW"];
    server.set(&[board_of("krw", &last)]);
    for (at, market) in MARKETS.iter().enumerate() {
        server.fake.set_price("bithumb", market, Decimal::from(5000 + at), true).unwrap();
    }
    let is_final = |snapshot: &Value| {
        names_in(snapshot) == last
            && snapshot["rows"].as_array().unwrap().iter().all(|row| {
                let at = MARKETS.iter().position(|market| row["market"] == *market).unwrap();
                row["last"].as_str() == Some(format!("{}", 5000 + at).as_str()) && row["state"] == "live"
            })
    };
    let snapshot = server.wait_snapshot("", is_final).await;
    let expected: BTreeMap<String, Value> = snapshot["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["market"].as_str().unwrap().to_owned(), row["last"].clone()))
        .collect();
    let prices = |state: &ClientState| -> BTreeMap<String, Value> {
        state.rows.iter().map(|(market, row)| (market.clone(), row["last"].clone())).collect()
    };
    clients.push(events_seen);
    for (at, mut client) in clients.into_iter().enumerate() {
        let reached = client.wait_for(|state| prices(state) == expected);
        let in_time = tokio::time::timeout(DEADLINE, reached).await.is_ok_and(|state| state.is_ok());
        assert!(in_time, "client {at} has {:?}, not {expected:?}", prices(&client.borrow()));
    }
    server.stop().await;
}

/// Applies the messages of a client as docs/api.md prescribes, and shows its state.
fn follow(mut client: Client) -> watch::Receiver<ClientState> {
    let (sender, receiver) = watch::channel(ClientState::default());
    tokio::spawn(async move {
        while let Received::Json(message) = client.receive().await {
            sender.send_modify(|state| state.apply(&message));
        }
    });
    receiver
}

async fn follow_events(mut response: reqwest::Response, sender: watch::Sender<ClientState>) {
    let mut rest = String::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        rest.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some((event, after)) = rest.split_once("\n\n") {
            if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                let message: Value = serde_json::from_str(data).unwrap();
                sender.send_modify(|state| state.apply(&message));
            }
            rest = after.to_owned();
        }
    }
}
