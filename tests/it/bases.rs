//! Subscriptions on every basis, by message and by URL, over WebSocket and server-sent events: each row has exactly
//! the base price of its own basis, as on the exchange.

use std::time::Duration;

use fake_exchanges::{self as fake, Fake, Options};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sisepan::clock::Clock;
use sisepan::config::{Board, Config, VenueConfig};
use sisepan::market::{Basis, SourceId};

use crate::api::setup::{Client, ClientState};
use crate::end_to_end::Service;
use crate::from_env;
use crate::laws::exact;

const DEADLINE: Duration = Duration::from_secs(90);

const MARKETS: [&str; 2] = ["BTC-KRW", "XRP-KRW"];

const DAY: i64 = 86_400;
const SEOUL: i64 = 9 * 3_600;

fn board_on(fake: &Fake) -> Config {
    let upbit = VenueConfig {
        rest: Some(fake.rest_url("upbit")),
        stream: Some(fake.stream_url("upbit")),
        ..VenueConfig::default()
    };
    let reference = Config::default().boards.remove(0);
    let markets = MARKETS.iter().map(|name| name.parse().unwrap()).collect();
    let board = Board { id: "krw".to_owned(), markets, source: SourceId::new(["upbit"]), ..reference };
    let mut config = Config { data: None, boards: vec![board], ..Config::default() };
    config.venues.insert(sisepan::market::VenueId("upbit"), upbit);
    config
}

/// Returns the base time of `basis`, computed in whole seconds; neither zone has daylight saving time.
fn base_at(basis: Basis, now: Timestamp) -> Timestamp {
    let second = now.as_second();
    let at = match basis {
        Basis::Rolling24h => (second - DAY).div_euclid(60) * 60,
        Basis::UtcDay => second.div_euclid(DAY) * DAY,
        Basis::KstDay => (second + SEOUL).div_euclid(DAY) * DAY - SEOUL,
    };
    Timestamp::from_second(at).unwrap()
}

/// Asserts that a row has the exact change on `basis`, as of some moment since `requested`.
fn assert_exact(fake: &Fake, basis: Basis, row: &Value, requested: Timestamp) {
    let (name, change) = (row["market"].as_str().unwrap(), &row["change"]);
    let at: Timestamp = change["base_at"].as_str().unwrap_or_else(|| panic!("{row}")).parse().unwrap();
    // The venue's clock is known to some tenths of a second.
    let since = base_at(basis, requested - SignedDuration::from_secs(5));
    assert!(
        since <= at && at <= base_at(basis, Clock::system().now() + SignedDuration::from_secs(5)),
        "{basis}: {row}"
    );
    let (_, base) = fake.trade_before("upbit", name, at).unwrap();
    assert_eq!(change["base_price"].as_str().unwrap().parse(), Ok(base), "{basis}: {row}");
    assert_eq!(change["base_source"], "window", "{basis}: {row}");
    let fraction = |text: &str| exact::parse_fraction(text).unwrap();
    let percent = exact::percent(&fraction(row["last"].as_str().unwrap()), &fraction(&base.to_string()), 2);
    let shown = fraction(change["percent"].as_str().unwrap()) * exact::power_of_ten(2);
    assert_eq!(shown, percent.into(), "{basis}: {row}");
}

/// Waits until every row has a change on every basis.
async fn until_known(service: &Service) {
    let wait = async {
        for basis in Basis::ALL {
            loop {
                let page = service.get(&format!("/api/v1/snapshot?board=krw&basis={basis}")).await;
                let rows = page["rows"].as_array().unwrap();
                if rows.len() == MARKETS.len()
                    && rows.iter().all(|row| row["state"] == "live" && row["change"].is_object())
                {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("the bases must become known");
}

/// A WebSocket or an event stream, read message by message.
enum Stream {
    Socket(Box<Client>),
    Events(Box<reqwest::Response>, String),
}

impl Stream {
    async fn next(&mut self) -> Value {
        let (response, rest) = match self {
            Self::Socket(client) => return client.json().await,
            Self::Events(response, rest) => (response, rest),
        };
        loop {
            while let Some((event, others)) = rest.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                *rest = others.to_owned();
                if let Some(data) = data {
                    return serde_json::from_str(&data).unwrap();
                }
            }
            let chunk = tokio::time::timeout(DEADLINE, response.chunk()).await.expect("an event in time");
            rest.push_str(std::str::from_utf8(&chunk.unwrap().expect("more events")).unwrap());
        }
    }
}

async fn streams(service: &Service, basis: Basis) -> Vec<(&'static str, Stream)> {
    let address = service.address.to_string();
    let query = format!("?board=krw&basis={basis}&interval_ms=0");
    let by_url = Client::connect(&address, &query).await;
    let mut by_message = Client::welcomed(&address, "").await;
    let request = json!({"type":"subscribe","id":1,"markets":MARKETS,"basis":basis.as_str(),"interval_ms":0});
    by_message.send(request.to_string()).await;
    let events = reqwest::get(format!("http://{address}/api/v1/events{query}")).await.unwrap();
    assert_eq!(events.status(), 200);
    vec![
        ("URL", Stream::Socket(Box::new(by_url))),
        ("message", Stream::Socket(Box::new(by_message))),
        ("events", Stream::Events(Box::new(events), String::new())),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_stream_has_the_change_on_the_requested_basis_and_no_other() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let fake = fake::start(Options { seed: from_env::seed(), ..Options::default() }).await.unwrap();
    let service = Service::start(board_on(&fake)).await;
    until_known(&service).await;
    let requested = Clock::system().now();
    let mut all = Vec::new();
    for basis in Basis::ALL {
        let opened = streams(&service, basis).await;
        all.extend(opened.into_iter().map(|(way, stream)| (basis, way, stream, ClientState::default())));
    }
    for (basis, way, stream, known) in &mut all {
        while known.rows.len() < MARKETS.len() {
            let message = stream.next().await;
            if message["type"] == "snapshot" {
                assert_eq!(message["basis"], basis.as_str(), "{way}: {message}");
            }
            known.apply(&message);
        }
        known.rows.values().for_each(|row| assert_exact(&fake, *basis, row, requested));
    }
    // Later changes are measured from the same base, exactly.
    let price = Decimal::from(123_457_000);
    fake.set_price("upbit", "BTC-KRW", price, true).unwrap();
    for (basis, way, stream, known) in &mut all {
        while known.rows["BTC-KRW"]["last"].as_str().unwrap().parse() != Ok(price) {
            known.apply(&stream.next().await);
        }
        let row = &known.rows["BTC-KRW"];
        assert_exact(&fake, *basis, row, requested);
        assert!(row["change"]["percent"] != "0.00", "{way}: {row}");
    }
    // An unknown basis is rejected by name, however it is requested.
    let address = service.address.to_string();
    let mut client = Client::welcomed(&address, "").await;
    client.send(json!({"type":"subscribe","id":2,"board":"krw","basis":"12h"}).to_string()).await;
    let refused = client.json().await;
    assert_eq!((&refused["type"], &refused["field"], &refused["id"]), (&json!("error"), &json!("basis"), &json!(2)));
    let events = reqwest::get(format!("http://{address}/api/v1/events?board=krw&basis=12h")).await.unwrap();
    assert_eq!(events.status(), 400);
    service.stop().await;
    fake.shutdown().await;
}
