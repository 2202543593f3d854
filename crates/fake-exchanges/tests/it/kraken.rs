//! Kraken's protocol: names, errors with status 200, candles of half a day, and the answers of the stream.

use std::collections::BTreeMap;
use std::time::Duration;

use fake_exchanges::Fake;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::client::{Stream, get, start_with_manual_clock};

/// Opens a stream and receives its first frame.
async fn open(fake: &Fake) -> Stream {
    let mut stream = Stream::open(&fake.stream_url("kraken")).await;
    let status = stream.json().await;
    assert_eq!((&status["channel"], &status["data"][0]["system"]), (&json!("status"), &json!("online")));
    stream
}

/// Sends a request about tickers of these symbols.
async fn request(stream: &mut Stream, method: &str, symbols: &[&str]) {
    let params = json!({"channel": "ticker", "symbol": symbols, "event_trigger": "trades", "snapshot": true});
    stream.send(&json!({"method": method, "params": params}).to_string()).await;
}

/// Receives the next frame that is no heartbeat.
async fn receive(stream: &mut Stream) -> Value {
    loop {
        let frame = stream.json().await;
        if frame["channel"] != "heartbeat" {
            return frame;
        }
    }
}

/// Returns the result of a request; each comes a second after the one before.
async fn result(fake: &Fake, clock: &fake_exchanges::Clock, path: &str) -> Value {
    clock.advance(Duration::from_secs(1));
    let got = get(&format!("{}/0/public/{path}", fake.rest_url("kraken"))).await;
    let body = got.json();
    assert_eq!((got.status, &body["error"]), (200, &json!([])), "{path}: {body}");
    body["result"].clone()
}

fn names(result: &Value) -> Vec<&str> {
    result.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn responses_name_markets_otherwise_than_requests_and_the_stream() {
    let (fake, clock) = start_with_manual_clock().await;
    let markets = result(&fake, &clock, "AssetPairs").await;
    for (name, altname, wsname) in
        [("XXBTZUSD", "XBTUSD", "XBT/USD"), ("XDGUSD", "XDGUSD", "XDG/USD"), ("SOLUSD", "SOLUSD", "SOL/USD")]
    {
        assert_eq!((&markets[name]["altname"], &markets[name]["wsname"]), (&json!(altname), &json!(wsname)));
        assert_eq!(names(&result(&fake, &clock, &format!("Ticker?pair={altname}")).await), [name]);
        assert_eq!(names(&result(&fake, &clock, &format!("Ticker?pair={name}")).await), [name]);
    }
    let all = result(&fake, &clock, "Ticker").await;
    assert_eq!(names(&all).len(), names(&markets).len());
    fake.set_price("kraken", "BTC-USD", "96397.12".parse().unwrap(), true).unwrap();
    let row = &result(&fake, &clock, "Ticker?pair=XBTUSD,ETHUSD").await["XXBTZUSD"];
    assert_eq!(row["c"][0], "96397.12000000");
    assert!(["a", "b", "c", "v", "p", "l", "h"].iter().all(|name| row[name][1].is_string()), "{row}");
    fake.inject_fault(r#"{"venue":"kraken","fault":"halt","symbol":"XRP/USD"}"#).unwrap();
    let markets = result(&fake, &clock, "AssetPairs").await;
    assert_eq!(
        (&markets["XXRPZUSD"]["status"], &markets["SOLUSD"]["status"]),
        (&json!("cancel_only"), &json!("online"))
    );
    fake.shutdown().await;
}

#[tokio::test]
async fn an_unknown_pair_refuses_the_whole_request_with_status_200() {
    let (fake, clock) = start_with_manual_clock().await;
    for path in ["Ticker?pair=XBTUSD,NOPEUSD", "Ticker?pair=BTCUSD", "OHLC?pair=NOPE"] {
        clock.advance(Duration::from_secs(1));
        let got = get(&format!("{}/0/public/{path}", fake.rest_url("kraken"))).await;
        assert_eq!((got.status, got.json()), (200, json!({"error": ["EQuery:Unknown asset pair"]})), "{path}");
    }
    fake.shutdown().await;
}

#[tokio::test]
async fn five_requests_in_five_seconds_are_answered_and_a_refusal_has_status_200() {
    let (fake, clock) = start_with_manual_clock().await;
    let refusal = json!({"error": ["EGeneral:Too many requests"]});
    let answer = async |path: &str| {
        let got = get(&format!("{}/0/public/{path}", fake.rest_url("kraken"))).await;
        assert_eq!(got.status, 200, "{path}");
        got.json()
    };
    for _ in 0..5 {
        assert_ne!(answer("Ticker?pair=XBTUSD").await, refusal);
    }
    assert_eq!(answer("AssetPairs").await, refusal, "all but candles are counted together");
    for _ in 0..5 {
        assert_ne!(answer("OHLC?pair=XBTUSD").await, refusal, "candles are counted apart");
    }
    assert_eq!(answer("OHLC?pair=ETHUSD").await, refusal);
    clock.advance(Duration::from_secs(5));
    assert_ne!(answer("AssetPairs").await, refusal);
    fake.shutdown().await;
}

#[tokio::test]
async fn candles_are_those_of_the_last_720_minutes_and_the_last_one_is_running() {
    let (fake, clock) = start_with_manual_clock().await;
    for (pair, market, name) in [("XBTUSD", "BTC-USD", "XXBTZUSD"), ("WAXPUSD", "WAXP-USD", "WAXPUSD")] {
        let rows = result(&fake, &clock, &format!("OHLC?pair={pair}&interval=1")).await;
        let running = clock.now().as_second() / 60 * 60;
        assert_eq!(rows["last"], running - 60);
        let candles = rows[name].as_array().unwrap();
        let starts: Vec<i64> = candles.iter().map(|row| row[0].as_i64().unwrap()).collect();
        assert_eq!(starts, (0..720).map(|minute| running - (719 - minute) * 60).collect::<Vec<_>>());
        let truth: BTreeMap<i64, Decimal> =
            fake.truth("kraken", market).unwrap().minutes.iter().map(|(at, close)| (at.as_second(), *close)).collect();
        for (start, row) in starts.iter().zip(candles).take(719) {
            assert_eq!(row[4].as_str().unwrap().parse::<Decimal>().unwrap(), truth[start], "{market} {start}");
        }
        assert!(candles.iter().any(|row| row[7] == 0) || market != "WAXP-USD", "a quiet minute is flat");
        // The first one is after `since`, and none is older than 720 minutes.
        for (since, first) in [(running - 180, running - 120), (running - 181, running - 180), (1, running - 719 * 60)]
        {
            let rows = result(&fake, &clock, &format!("OHLC?pair={pair}&since={since}")).await;
            assert_eq!(rows[name][0][0], first, "{since}");
        }
    }
    fake.shutdown().await;
}

#[tokio::test]
async fn each_symbol_is_acknowledged_and_a_snapshot_comes_before_the_updates() {
    let (fake, clock) = start_with_manual_clock().await;
    fake.set_price("kraken", "BTC-USD", "100".parse().unwrap(), true).unwrap();
    let traded_at = clock.now();
    clock.advance(Duration::from_secs(30));
    let mut stream = open(&fake).await;
    request(&mut stream, "subscribe", &["BTC/USD", "NOPE/USD"]).await;
    let (done, refused) = (receive(&mut stream).await, receive(&mut stream).await);
    assert_eq!((&done["success"], &done["result"]["symbol"]), (&json!(true), &json!("BTC/USD")));
    assert_eq!(
        (&refused["error"], &refused["symbol"], &refused["success"]),
        (&json!("Currency pair not supported NOPE/USD"), &json!("NOPE/USD"), &json!(false))
    );
    let snapshot = receive(&mut stream).await;
    assert_eq!((&snapshot["channel"], &snapshot["type"]), (&json!("ticker"), &json!("snapshot")));
    let row = &snapshot["data"][0];
    assert_eq!((&row["symbol"], &row["last"]), (&json!("BTC/USD"), &json!(100.0)));
    let dated: jiff::Timestamp = row["timestamp"].as_str().unwrap().parse().unwrap();
    assert_eq!(dated.as_millisecond(), traded_at.as_millisecond(), "the time of the trade, not of the message");
    fake.set_price("kraken", "BTC-USD", "101".parse().unwrap(), true).unwrap();
    let update = receive(&mut stream).await;
    assert_eq!((&update["type"], &update["data"][0]["last"]), (&json!("update"), &json!(101.0)));
    // Once more is an error, and so is an end without a beginning.
    request(&mut stream, "subscribe", &["BTC/USD"]).await;
    assert_eq!(receive(&mut stream).await["error"], "Already subscribed");
    request(&mut stream, "unsubscribe", &["ETH/USD"]).await;
    assert_eq!(receive(&mut stream).await["error"], "Subscription Not Found");
    request(&mut stream, "unsubscribe", &["BTC/USD"]).await;
    assert_eq!(receive(&mut stream).await["success"], true);
    fake.set_price("kraken", "BTC-USD", "102".parse().unwrap(), true).unwrap();
    stream.assert_silent().await;
    request(&mut stream, "subscribe", &["BTC/USD"]).await;
    assert_eq!(receive(&mut stream).await["success"], true);
    assert_eq!(receive(&mut stream).await["type"], "snapshot");
    fake.shutdown().await;
}

#[tokio::test]
async fn pings_are_answered_and_heartbeats_come_while_something_is_subscribed_to() {
    let (fake, clock) = start_with_manual_clock().await;
    let mut stream = open(&fake).await;
    stream.send(r#"{"method":"ping","req_id":7}"#).await;
    let pong = stream.json().await;
    assert_eq!((&pong["method"], &pong["req_id"]), (&json!("pong"), &json!(7)));
    for frame in [r#"{"method":"dance"}"#, "nonsense", r#"{"method":"subscribe","params":{"channel":"book"}}"#] {
        stream.send(frame).await;
        assert!(stream.json().await["error"].is_string(), "{frame}");
    }
    stream.assert_silent().await;
    fake.set_price("kraken", "BTC-USD", "100".parse().unwrap(), true).unwrap();
    request(&mut stream, "subscribe", &["BTC/USD"]).await;
    receive(&mut stream).await;
    receive(&mut stream).await;
    for _ in 0..3 {
        clock.advance(Duration::from_secs(1));
        assert_eq!(stream.json().await, json!({"channel": "heartbeat"}));
    }
    fake.shutdown().await;
}

#[tokio::test]
async fn faults_find_the_named_rows_of_a_market() {
    let (fake, clock) = start_with_manual_clock().await;
    let before = result(&fake, &clock, "Ticker?pair=XBTUSD,SOLUSD").await;
    for symbol in ["BTC/USD", "BTC-USD"] {
        let fault = json!({"venue": "kraken", "fault": "omit", "symbol": symbol, "on": "rest"});
        fake.inject_fault(&fault.to_string()).unwrap();
        let left = result(&fake, &clock, "Ticker?pair=XBTUSD,SOLUSD").await;
        assert_eq!((names(&left), &left["SOLUSD"]["o"]), (vec!["SOLUSD"], &before["SOLUSD"]["o"]), "{symbol}");
        fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    }
    let status = json!({"venue": "kraken", "fault": "status", "status": 500, "symbol": "BTC/USD", "on": "rest"});
    fake.inject_fault(&status.to_string()).unwrap();
    for (pair, status) in [("XBTUSD", 500), ("XXBTZUSD", 500), ("SOLUSD,XBTUSD", 500), ("SOLUSD", 200)] {
        clock.advance(Duration::from_secs(1));
        let got = get(&format!("{}/0/public/Ticker?pair={pair}", fake.rest_url("kraken"))).await;
        assert_eq!(got.status, status, "{pair}");
    }
    fake.shutdown().await;
}
