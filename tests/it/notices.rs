//! Cautions, warnings and delistings of the fake exchanges, as they reach the readers of the whole program.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use sisepan::config::Config;
use sisepan::domain::SourceId;
use sisepan::fake::{self, Fake, Options};

use super::end_to_end::{Service, board_on};

const DEADLINE: Duration = Duration::from_secs(40);

fn board_of(fake: &Fake, venue: &'static str) -> Config {
    let mut config = board_on(fake);
    config.boards[0].source = SourceId::new([venue]);
    config
}

async fn text(service: &Service, path: &str) -> String {
    reqwest::get(format!("http://{}{path}", service.address)).await.unwrap().text().await.unwrap()
}

fn orders(fake: &Fake, venue: &str, kinds: &[Value]) {
    fake.fault(r#"{"fault":"none"}"#).unwrap();
    for kind in kinds {
        let mut order = json!({"fault": "warn", "venue": venue, "symbol": "BTC-KRW"});
        order.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        fake.fault(&order.to_string()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_11_upbits_notices_reach_readers_and_end_again() {
    notices_of("upbit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_11_bithumbs_notices_reach_readers_and_end_again() {
    notices_of("bithumb").await;
}

async fn notices_of(venue: &'static str) {
    let fake = fake::start(Options::default()).await.unwrap();
    orders(&fake, venue, &[json!({"caution": "PRICE_FLUCTUATIONS"}), json!({"on": "rest"})]);
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
    let mut heard = async |what: &str, wanted: &dyn Fn(&Value) -> bool| {
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
        found.await.unwrap_or_else(|_| panic!("{venue}: {what} was not said"))
    };
    heard("the snapshot", &|row| row["notice"]["kind"] == "warning").await;

    // Over the stream, live.
    orders(&fake, venue, &[json!({}), json!({"date": "2030-12-01"})]);
    let row = heard("the delisting", &|row| row["notice"]["kind"] == "delisting").await;
    assert_eq!((&row["notice"]["date"], &row["text"]["notice"]), (&json!("2030-12-01"), &json!("delisting 1 Dec")));
    assert_eq!(service.row("BTC-KRW").await["state"], "live", "it trades until it is delisted");
    let csv = text(&service, "/api/v1/snapshot.csv?markets=BTC-KRW").await;
    let names = if venue == "upbit" { "PRICE_FLUCTUATIONS" } else { "" };
    assert!(csv.trim_end().ends_with(&format!(",,delisting,2030-12-01,{names}")), "{csv}");

    orders(&fake, venue, &[]);
    // Upbit's caution stands until the next list.
    let is_over = |row: &Value| match venue {
        "upbit" => row["notice"]["kind"] == "caution",
        _ => row.get("notice") == Some(&Value::Null),
    };
    let row = heard("the end", &is_over).await;
    assert_eq!(row["text"].get("notice"), (venue == "upbit").then_some(&json!("caution")), "{row}");

    fake.fault(&json!({"fault": "halt", "venue": venue, "symbol": "BTC-KRW"}).to_string()).unwrap();
    let row = heard("the halt", &|row| row["state"] == "halted").await;
    assert_eq!(row["reason"], "suspended");
    orders(&fake, venue, &[]);
    let row = heard("the end of the halt", &|row| row["state"] == "live").await;
    assert_eq!(row.get("reason"), Some(&Value::Null), "{row}");
    service.stop().await;
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_11_without_streams_the_list_warns_and_what_is_odd_in_it_is_counted() {
    let fake = fake::start(Options::default()).await.unwrap();
    orders(&fake, "upbit", &[json!({}), json!({"caution": "GLOBAL_PRICE_DIFFERENCES"})]);
    let odd = r#"{"fault":"set-field","venue":"upbit","on":"rest","path":"/market/all","symbol":"ETH-KRW","field":"market_event","payload":"1"}"#;
    fake.fault(odd).unwrap();
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
