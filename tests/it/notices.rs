//! Cautions, warnings and delistings of the fake exchanges, as the clients of the whole program receive them.

use std::time::Duration;

use fake_exchanges::{self as fake, Fake, Options};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use sisepan::config::Config;
use sisepan::market::SourceId;

use super::end_to_end::{Service, config_for_fake};

const DEADLINE: Duration = Duration::from_secs(40);

fn board_of(fake: &Fake, venue: &'static str) -> Config {
    let mut config = config_for_fake(fake);
    config.boards[0].source = SourceId::new([venue]);
    config
}

async fn text(service: &Service, path: &str) -> String {
    reqwest::get(format!("http://{}{path}", service.address)).await.unwrap().text().await.unwrap()
}

/// Replaces all faults by notices about `BTC-KRW`, and lets it trade, so that a message reports them.
fn set_notices(fake: &Fake, venue: &str, kinds: &[Value]) {
    fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    for kind in kinds {
        let mut fault = json!({"fault": "warn", "venue": venue, "symbol": "BTC-KRW"});
        fault.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        fake.inject_fault(&fault.to_string()).unwrap();
    }
    let last = fake.truth(venue, "BTC-KRW").unwrap().last;
    fake.set_price(venue, "BTC-KRW", last, false).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_11_upbits_notices_reach_clients_and_end_again() {
    notices_of("upbit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_11_bithumbs_notices_reach_clients_and_end_again() {
    notices_of("bithumb").await;
}

async fn notices_of(venue: &'static str) {
    let fake = fake::start(Options::default()).await.unwrap();
    set_notices(&fake, venue, &[json!({"caution": "PRICE_FLUCTUATIONS"}), json!({"on": "rest"})]);
    let service = Service::start(board_of(&fake, venue)).await;
    let cautions = if venue == "upbit" { json!(["PRICE_FLUCTUATIONS"]) } else { Value::Null };
    let kind = |row: &Value, kind: &str| row["state"] == "live" && row["notice"]["kind"] == kind;
    // From the list of markets, at the start.
    let row = service.wait_row("BTC-KRW", |row| kind(row, "warning")).await;
    assert_eq!((&row["notice"]["cautions"], &row["text"]["notice"]), (&cautions, &json!("유의")), "{row}");
    let other = service.wait_row("ETH-KRW", |row| row["state"] == "live").await;
    assert!(other.get("notice").is_none() && other.get("reason").is_none(), "{other}");
    assert!(other["text"].get("notice").is_none(), "{other}");

    let url = format!("ws://{}/api/v1/stream?board=krw&lang=en&interval_ms=0", service.address);
    let (mut stream, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let mut wait_row = async |what: &str, wanted: &dyn Fn(&Value) -> bool| {
        let found = tokio::time::timeout(DEADLINE, async {
            loop {
                let message = stream.next().await.unwrap().unwrap();
                let Ok(message) = serde_json::from_str::<Value>(message.to_text().unwrap()) else { continue };
                let rows = message["rows"].as_array().cloned().unwrap_or_default();
                let row = rows.into_iter().find(|row| row["market"] == "BTC-KRW");
                if let Some(row) = row.filter(|row| wanted(row)) {
                    return row;
                }
            }
        });
        found.await.unwrap_or_else(|_| panic!("{venue}: no message with {what}"))
    };
    wait_row("the snapshot", &|row| row["notice"]["kind"] == "warning").await;

    // Over the stream, live.
    set_notices(&fake, venue, &[json!({}), json!({"date": "2030-12-01"})]);
    let row = wait_row("the delisting", &|row| row["notice"]["kind"] == "delisting").await;
    assert_eq!((&row["notice"]["date"], &row["text"]["notice"]), (&json!("2030-12-01"), &json!("delisting 1 Dec")));
    assert_eq!(service.row("BTC-KRW").await["state"], "live", "it trades until it is delisted");
    let csv = text(&service, "/api/v1/snapshot.csv?markets=BTC-KRW").await;
    let names = if venue == "upbit" { "PRICE_FLUCTUATIONS" } else { "" };
    assert!(csv.trim_end().ends_with(&format!(",,delisting,2030-12-01,{names}")), "{csv}");

    set_notices(&fake, venue, &[]);
    // Upbit's caution stays until the next list.
    let is_over = |row: &Value| match venue {
        "upbit" => row["notice"]["kind"] == "caution",
        _ => row.get("notice") == Some(&Value::Null),
    };
    let row = wait_row("the end", &is_over).await;
    assert_eq!(row["text"].get("notice"), (venue == "upbit").then_some(&json!("caution")), "{row}");

    fake.inject_fault(&json!({"fault": "halt", "venue": venue, "symbol": "BTC-KRW"}).to_string()).unwrap();
    let row = wait_row("the halt", &|row| row["state"] == "halted").await;
    assert_eq!(row["reason"], "suspended");
    set_notices(&fake, venue, &[]);
    let row = wait_row("the end of the halt", &|row| row["state"] == "live").await;
    assert_eq!(row.get("reason"), Some(&Value::Null), "{row}");
    service.stop().await;
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_11_without_streams_warnings_come_from_the_list_and_its_malformed_members_are_counted() {
    let fake = fake::start(Options::default()).await.unwrap();
    set_notices(&fake, "upbit", &[json!({}), json!({"caution": "GLOBAL_PRICE_DIFFERENCES"})]);
    let malformed = r#"{"fault":"set-field","venue":"upbit","on":"rest","path":"/market/all","symbol":"ETH-KRW","field":"market_event","payload":"1"}"#;
    fake.inject_fault(malformed).unwrap();
    let mut config = board_of(&fake, "upbit");
    for venue in config.venues.values_mut() {
        venue.streaming = Some(false);
    }
    let service = Service::start(config).await;
    let row = service.wait_row("BTC-KRW", |row| row["state"] == "delayed" && !row["notice"].is_null()).await;
    assert_eq!(row["notice"], json!({"kind": "warning", "cautions": ["GLOBAL_PRICE_DIFFERENCES"]}), "{row}");
    let row = service.wait_row("ETH-KRW", |row| row["state"] == "delayed").await;
    assert!(row.get("notice").is_none(), "{row}");
    let problem = tokio::time::timeout(DEADLINE, async {
        loop {
            let venue = service.venue("upbit").await;
            let problems = venue["problems"].as_array().cloned().unwrap_or_default();
            if let Some(problem) = problems.into_iter().find(|problem| problem["field"] == "market_event") {
                return problem;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let problem = problem.await.expect("it is counted");
    assert_eq!((&problem["code"], &problem["example"]["market"]), (&json!("type"), &json!("ETH-KRW")));
    service.stop().await;
    fake.shutdown().await;
}
