//! KuCoin's protocol: a token for each stream, the welcome, topics, and statistics.

use std::time::Duration;

use fake_exchanges::session::Step;
use fake_exchanges::{Fake, FaultView, Simulation, rest, venues};
use serde_json::{Value, json};

use super::client::{Stream, get, send, start_time, start_with_manual_clock};

/// Requests a token; returns the URL of a stream with it.
async fn negotiated_url(fake: &Fake) -> String {
    let url = format!("{}/api/v1/bullet-public", fake.rest_url("kucoin"));
    let data = send(reqwest::Method::POST, &url, "").await.json()["data"].clone();
    let (token, server) = (data["token"].as_str().unwrap(), &data["instanceServers"][0]);
    assert_eq!((&server["pingInterval"], &server["protocol"]), (&json!(18_000), &json!("websocket")));
    format!("{}?token={token}&connectId=test", server["endpoint"].as_str().unwrap())
}

/// Opens a stream and receives the welcome.
async fn open(fake: &Fake) -> Stream {
    let mut stream = Stream::open(&negotiated_url(fake).await).await;
    assert_eq!(stream.json().await["type"], "welcome");
    stream
}

fn subscribe(id: u32, kind: &str, symbols: &str) -> String {
    format!(r#"{{"id":"{id}","type":"{kind}","topic":"/market/snapshot:{symbols}","response":true}}"#)
}

#[tokio::test]
async fn a_stream_needs_a_token_that_was_issued_within_a_day() {
    let (fake, clock) = start_with_manual_clock().await;
    let url = negotiated_url(&fake).await;
    assert_eq!(get(&format!("{}/api/v1/bullet-public", fake.rest_url("kucoin"))).await.status, 405);
    let refused = async |url: &str| {
        let mut stream = Stream::open(url).await;
        let error = stream.json().await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(401)), "{url}");
        assert_eq!(stream.wait_closed().await.0, 1008, "{url}");
    };
    let base = fake.stream_url("kucoin");
    let forged = url.replace("&connectId", "0&connectId");
    for url in [base.as_str(), &format!("{base}?token="), &format!("{base}?token=1-1"), &forged] {
        refused(url).await;
    }
    assert_eq!(Stream::open(&url).await.json().await["type"], "welcome");
    clock.advance(Duration::from_secs(86_400));
    assert_eq!(Stream::open(&url).await.json().await["type"], "welcome", "exactly a day old");
    clock.advance(Duration::from_secs(1));
    refused(&url).await;
    fake.shutdown().await;
}

#[tokio::test]
async fn welcome_and_errors_of_a_connection_have_the_id_that_the_client_chose() {
    let (fake, _clock) = start_with_manual_clock().await;
    let url = negotiated_url(&fake).await;
    let (named, nameless) = (url.replace("connectId=test", "connectId=my%20id"), url.replace("&connectId=test", ""));
    let mut stream = Stream::open(&named).await;
    assert_eq!(stream.json().await, json!({"id": "my id", "type": "welcome"}));
    for frame in ["nonsense", r#"{"type":"dance"}"#] {
        stream.send(frame).await;
        let error = json!({"id": "my id", "type": "error", "code": 400, "data": "type is not supported"});
        assert_eq!(stream.json().await, error, "{frame} has no id of its own");
    }
    let chosen = Stream::open(&nameless).await.json().await["id"].clone();
    assert!(chosen.as_str().is_some_and(|id| !id.is_empty()), "the server chooses one: {chosen}");
    let forged = format!("{}?token=1-1&connectId=7", fake.stream_url("kucoin"));
    let error = json!({"id": "7", "type": "error", "code": 401, "data": "token is invalid"});
    assert_eq!(Stream::open(&forged).await.json().await, error);
    fake.shutdown().await;
}

#[test]
fn what_is_sent_before_the_welcome_is_lost() {
    let simulation = Simulation::new(2, start_time());
    let view = FaultView::new(&simulation);
    let body: Value = serde_json::from_slice(&rest("kucoin", &view, "/api/v1/bullet-public").body).unwrap();
    let path = format!("/endpoint?token={}", body["data"]["token"].as_str().unwrap());
    let mut session = venues::open("kucoin", &path).unwrap();
    assert!(
        session.open(&view).is_empty() && session.receive(&subscribe(1, "subscribe", "BTC-USDT"), &view).is_empty()
    );
    let welcome = session.poll(&view);
    assert!(matches!(&welcome[..], [Step::Reply(text)] if text.contains("welcome")), "{welcome:?}");
    assert!(session.poll(&view).is_empty(), "the subscription was lost");
    session.receive(&subscribe(2, "subscribe", "BTC-USDT"), &view);
    assert_eq!(session.poll(&view).len(), 1);
}

#[tokio::test]
async fn subscriptions_are_acknowledged_by_id_and_snapshots_follow_every_two_seconds() {
    let (fake, clock) = start_with_manual_clock().await;
    let mut stream = open(&fake).await;
    fake.set_price("kucoin", "BTC-USDT", "96397.12".parse().unwrap(), true).unwrap();
    stream.send(&subscribe(7, "subscribe", "BTC-USDT")).await;
    assert_eq!(stream.json().await, json!({"id": "7", "type": "ack"}));
    let text = stream.text().await;
    let frame: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&frame["type"], &frame["subject"]), (&json!("message"), &json!("trade.snapshot")));
    assert_eq!(frame["topic"], "/market/snapshot:BTC-USDT");
    let data = &frame["data"]["data"];
    assert_eq!((&data["symbol"], &data["trading"]), (&json!("BTC-USDT"), &json!(true)));
    assert_eq!(data["datetime"], clock.now().as_millisecond());
    assert!(text.contains(r#""lastTradedPrice":96397.12,"#), "bare numbers: {text}");
    let open = text.split_once(r#""open":"#).unwrap().1.split(',').next().unwrap();
    assert_eq!(open.split_once('.').unwrap().1.len(), 20, "twenty decimals: {open}");

    fake.set_price("kucoin", "BTC-USDT", "96400".parse().unwrap(), true).unwrap();
    stream.assert_silent().await;
    clock.advance(Duration::from_secs(2));
    assert!(stream.text().await.contains(r#""lastTradedPrice":96400,"#));
    stream.send(&subscribe(8, "unsubscribe", "BTC-USDT")).await;
    assert_eq!(stream.json().await, json!({"id": "8", "type": "ack"}));
    fake.set_price("kucoin", "BTC-USDT", "96401".parse().unwrap(), true).unwrap();
    clock.advance(Duration::from_secs(2));
    stream.assert_silent().await;
    fake.shutdown().await;
}

#[tokio::test]
async fn one_unknown_symbol_refuses_its_whole_topic() {
    let (fake, _clock) = start_with_manual_clock().await;
    let mut stream = open(&fake).await;
    let many = vec!["BTC-USDT"; 101].join(",");
    for (frame, code, says) in [
        (
            subscribe(1, "subscribe", "BTC-USDT,NOPE-USDT"),
            404,
            "topic /market/snapshot:BTC-USDT,NOPE-USDT is not found",
        ),
        (
            subscribe(1, "subscribe", "BTC-USDT").replace("snapshot", "nope"),
            404,
            "topic /market/nope:BTC-USDT is not found",
        ),
        (subscribe(1, "subscribe", &many), 509, "exceed max subscription count limitation of 100 per time"),
        (r#"{"id":"1","type":"dance"}"#.to_owned(), 400, "type is not supported"),
    ] {
        stream.send(&frame).await;
        assert_eq!(stream.json().await, json!({"id": "1", "type": "error", "code": code, "data": says}));
    }
    stream.send("nonsense").await;
    assert_eq!(stream.json().await["type"], "error");
    // No symbol of a refused topic is subscribed to.
    stream.assert_silent().await;
    stream.send(&subscribe(2, "subscribe", &many[..many.len() - 9])).await;
    assert_eq!(stream.json().await["type"], "ack", "a hundred are accepted");
    fake.shutdown().await;
}

#[tokio::test]
async fn a_ping_keeps_a_stream_open_that_silence_would_end() {
    let (fake, clock) = start_with_manual_clock().await;
    let (mut kept, mut idle) = (open(&fake).await, open(&fake).await);
    clock.advance(Duration::from_secs(27));
    kept.send(r#"{"id":"ping","type":"ping"}"#).await;
    assert_eq!(kept.json().await, json!({"id": "ping", "type": "pong"}));
    clock.advance(Duration::from_secs(1));
    idle.wait_broken().await;
    kept.send(r#"{"id":"2","type":"ping"}"#).await;
    assert_eq!(kept.json().await["id"], "2");
    fake.shutdown().await;
}

#[tokio::test]
async fn too_many_frames_close_a_stream() {
    let (fake, _clock) = start_with_manual_clock().await;
    let mut stream = open(&fake).await;
    for _ in 0..100 {
        stream.send(r#"{"id":"ping","type":"ping"}"#).await;
        assert_eq!(stream.json().await["type"], "pong");
    }
    stream.send(r#"{"id":"ping","type":"ping"}"#).await;
    assert_eq!(stream.wait_closed().await.0, 1008, "the hundred and first in ten seconds");
    fake.shutdown().await;
}

#[tokio::test]
async fn statistics_have_an_envelope_and_are_null_for_an_unknown_symbol() {
    let (fake, clock) = start_with_manual_clock().await;
    let base = fake.rest_url("kucoin");
    fake.set_price("kucoin", "BTC-USDT", "96397.12".parse().unwrap(), true).unwrap();
    let stats = get(&format!("{base}/api/v1/market/stats?symbol=BTC-USDT")).await.json();
    assert_eq!((&stats["code"], &stats["data"]["last"]), (&json!("200000"), &json!("96397.12")));
    assert_eq!(stats["data"]["time"], clock.now().as_millisecond());
    assert!(stats["data"]["open"].is_null(), "the statistics have the change alone");
    let nothing = get(&format!("{base}/api/v1/market/stats?symbol=NOPE-XXX")).await;
    assert_eq!((nothing.status, &nothing.json()["data"]["symbol"]), (200, &json!("NOPE-XXX")));
    assert!(nothing.text.contains(r#""last":null"#) && nothing.text.contains(r#""changePrice":null"#));
    let all = get(&format!("{base}/api/v1/market/allTickers")).await.json();
    let row = all["data"]["ticker"].as_array().unwrap().iter().find(|row| row["symbol"] == "BTC-USDT").unwrap();
    assert_eq!((&row["last"], &row["changePrice"]), (&json!("96397.12"), &stats["data"]["changePrice"]));
    let number = |value: &Value| value.as_str().unwrap().parse::<rust_decimal::Decimal>().unwrap();
    assert_eq!(number(&row["open"]) + number(&row["changePrice"]), number(&row["last"]));
    fake.shutdown().await;
}

#[tokio::test]
async fn a_halted_market_is_listed_as_not_trading() {
    let (fake, _clock) = start_with_manual_clock().await;
    let list = format!("{}/api/v2/symbols", fake.rest_url("kucoin"));
    let bitcoin = async || {
        let rows = get(&list).await.json()["data"].clone();
        rows.as_array().unwrap().iter().find(|row| row["symbol"] == "BTC-USDT").unwrap().clone()
    };
    let row = bitcoin().await;
    assert_eq!((&row["baseCurrency"], &row["quoteCurrency"]), (&json!("BTC"), &json!("USDT")));
    assert_eq!(
        (&row["enableTrading"], &row["st"], &row["priceIncrement"]),
        (&json!(true), &json!(false), &json!("0.01"))
    );
    fake.inject_fault(r#"{"fault":"halt","symbol":"BTC-USDT"}"#).unwrap();
    fake.inject_fault(r#"{"fault":"warn","symbol":"BTC-USDT"}"#).unwrap();
    let row = bitcoin().await;
    assert_eq!((&row["enableTrading"], &row["st"]), (&json!(false), &json!(true)));
    let mut stream = open(&fake).await;
    stream.send(&subscribe(1, "subscribe", "BTC-USDT")).await;
    assert_eq!(stream.json().await["type"], "ack");
    assert_eq!(stream.json().await["data"]["data"]["trading"], false);
    fake.shutdown().await;
}

#[tokio::test]
async fn the_limits_are_a_pool_for_all_requests_and_thirty_connections_a_minute() {
    let (fake, clock) = start_with_manual_clock().await;
    let url = format!("{}/api/v1/market/stats?symbol=BTC-USDT", fake.rest_url("kucoin"));
    for count in 1..=133 {
        let got = get(&url).await;
        assert_eq!(got.status, 200, "request {count}");
        assert_eq!(got.header("gw-ratelimit-remaining"), (2000 - 15 * count).to_string());
    }
    let refused = get(&url).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (429, Some("429000")));
    assert!((1..=30_000).contains(&refused.header("gw-ratelimit-reset").parse::<u64>().unwrap()));
    clock.advance(Duration::from_secs(30));
    let url = negotiated_url(&fake).await;
    for _ in 0..30 {
        tokio_tungstenite::connect_async(&url).await.unwrap();
    }
    assert!(tokio_tungstenite::connect_async(&url).await.is_err(), "the thirty-first");
    clock.advance(Duration::from_secs(60));
    tokio_tungstenite::connect_async(&url).await.unwrap();
    fake.shutdown().await;
}
