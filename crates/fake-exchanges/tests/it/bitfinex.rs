//! Bitfinex's protocol: channels by number, heartbeats, and rows without member names.

use std::time::Duration;

use fake_exchanges::Fake;
use serde_json::{Value, json};

use super::client::{Stream, get, start_with_manual_clock};

/// Opens a stream and receives its first frame.
async fn open(fake: &Fake) -> Stream {
    let mut stream = Stream::open(&fake.stream_url("bitfinex")).await;
    let info = stream.json().await;
    assert_eq!((&info["event"], &info["version"]), (&json!("info"), &json!(2)));
    assert_eq!(info["platform"], json!({"status": 1}));
    stream
}

async fn request(stream: &mut Stream, frame: Value) -> Value {
    stream.send(&frame.to_string()).await;
    stream.json().await
}

/// Subscribes to a symbol; returns the number of its channel.
async fn subscribe(stream: &mut Stream, symbol: &str) -> u64 {
    let answer = request(stream, json!({"event": "subscribe", "channel": "ticker", "symbol": symbol})).await;
    let channel = answer["chanId"].as_u64().unwrap_or_else(|| panic!("{answer}"));
    let pair = symbol.trim_start_matches('t');
    let expected =
        json!({"event": "subscribed", "channel": "ticker", "chanId": channel, "symbol": symbol, "pair": pair});
    assert_eq!(answer, expected);
    channel
}

#[tokio::test]
async fn data_names_the_channel_that_the_subscription_was_given() {
    let (fake, _clock) = start_with_manual_clock().await;
    let mut stream = open(&fake).await;
    fake.set_price("bitfinex", "BTC-USD", "96397.12".parse().unwrap(), true).unwrap();
    let bitcoin = subscribe(&mut stream, "tBTCUSD").await;
    let first = stream.json().await;
    assert_eq!((&first[0], &first[1][6]), (&json!(bitcoin), &json!(96397.12)));
    assert_eq!((first.as_array().unwrap().len(), first[1].as_array().unwrap().len()), (2, 10));
    let doge = subscribe(&mut stream, "tDOGE:USD").await;
    assert_ne!(doge, bitcoin);
    assert_eq!(stream.json().await[0], doge);
    fake.set_price("bitfinex", "BTC-USD", "96400".parse().unwrap(), true).unwrap();
    let second = stream.json().await;
    assert_eq!((&second[0], &second[1][6]), (&json!(bitcoin), &json!(96400)));
    fake.shutdown().await;
}

#[tokio::test]
async fn a_channel_is_closed_by_its_number() {
    let (fake, _clock) = start_with_manual_clock().await;
    let mut stream = open(&fake).await;
    let channel = subscribe(&mut stream, "tBTCUSD").await;
    stream.json().await;
    let wrong = request(&mut stream, json!({"event": "unsubscribe", "chanId": channel + 1})).await;
    assert_eq!((&wrong["event"], &wrong["code"]), (&json!("error"), &json!(10_400)));
    let done = request(&mut stream, json!({"event": "unsubscribe", "chanId": channel})).await;
    assert_eq!(done, json!({"event": "unsubscribed", "status": "OK", "chanId": channel}));
    fake.set_price("bitfinex", "BTC-USD", "1000".parse().unwrap(), true).unwrap();
    stream.assert_silent().await;
    let again = request(&mut stream, json!({"event": "unsubscribe", "chanId": channel})).await;
    assert_eq!(again["code"], 10_400);
    assert_ne!(subscribe(&mut stream, "tBTCUSD").await, channel, "numbers are not used again");
    assert_eq!(stream.json().await[1][6], 1000);
    fake.shutdown().await;
}

#[tokio::test]
async fn errors_name_the_pair() {
    let (fake, _clock) = start_with_manual_clock().await;
    let mut stream = open(&fake).await;
    subscribe(&mut stream, "tBTCUSD").await;
    stream.json().await;
    for (channel, symbol, message, code) in [
        ("ticker", "tBTCUSD", "subscribe: dup", 10_301),
        ("ticker", "tNOPEUSD", "symbol: invalid", 10_300),
        ("ticker", "BTCUSD", "symbol: invalid", 10_300),
        ("prices", "tBTCUSD", "channel: unknown", 10_302),
    ] {
        let error = request(&mut stream, json!({"event": "subscribe", "channel": channel, "symbol": symbol})).await;
        let pair = symbol.trim_start_matches('t');
        let expected = json!({
            "event": "error", "msg": message, "code": code, "channel": channel, "symbol": symbol, "pair": pair
        });
        assert_eq!(error, expected);
    }
    let answer = request(&mut stream, json!({"event": "dance"})).await;
    assert_eq!((&answer["event"], &answer["code"]), (&json!("error"), &json!(10_000)));
    stream.send("nonsense").await;
    assert_eq!(stream.json().await["code"], 10_000);
    assert_eq!(request(&mut stream, json!({"event": "ping"})).await["event"], "pong");
    stream.assert_silent().await;
    fake.shutdown().await;
}

#[tokio::test]
async fn a_channel_without_data_sends_a_heartbeat_every_fifteen_seconds() {
    let (fake, clock) = start_with_manual_clock().await;
    let mut stream = open(&fake).await;
    // A market without a trade for most of an hour.
    let channel = subscribe(&mut stream, "tWAXP:USD").await;
    assert_eq!(stream.json().await[0], channel);
    stream.assert_silent().await;
    clock.advance(Duration::from_millis(14_999));
    stream.assert_silent().await;
    for wait in [1, 15_000] {
        clock.advance(Duration::from_millis(wait));
        assert_eq!(stream.json().await, json!([channel, "hb"]));
    }
    // Data counts as a heartbeat.
    clock.advance(Duration::from_millis(10_000));
    fake.set_price("bitfinex", "WAXP-USD", "1".parse().unwrap(), true).unwrap();
    assert_eq!(stream.json().await[1][6], 1);
    clock.advance(Duration::from_millis(14_999));
    stream.assert_silent().await;
    clock.advance(Duration::from_millis(1));
    assert_eq!(stream.json().await, json!([channel, "hb"]));
    fake.shutdown().await;
}

#[tokio::test]
async fn rows_of_tickers_begin_with_the_symbol() {
    let (fake, _clock) = start_with_manual_clock().await;
    let base = fake.rest_url("bitfinex");
    fake.set_price("bitfinex", "BTC-USD", "96397.12".parse().unwrap(), true).unwrap();
    let rows = get(&format!("{base}/v2/tickers?symbols=tBTCUSD,tNOPEUSD,tDOGE:USD")).await.json();
    let symbols: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row[0]).collect();
    assert_eq!(symbols, ["tBTCUSD", "tDOGE:USD"], "unknown symbols are left out");
    assert_eq!((rows[0].as_array().unwrap().len(), &rows[0][7]), (11, &json!(96397.12)));
    let pairs = get(&format!("{base}/v2/conf/pub:list:pair:exchange")).await.json();
    let all = get(&format!("{base}/v2/tickers?symbols=ALL")).await.json();
    let names = |rows: &Value| rows.as_array().unwrap().len();
    assert_eq!((names(&pairs), names(&pairs[0])), (1, names(&all)));
    assert!(pairs[0].as_array().unwrap().contains(&json!("DOGE:USD")));
    fake.inject_fault(r#"{"fault":"halt","symbol":"DOGE-USD"}"#).unwrap();
    let pairs = get(&format!("{base}/v2/conf/pub:list:pair:exchange")).await.text;
    assert!(pairs.contains("BTCUSD") && !pairs.contains("DOGE:USD"), "{pairs}");
    fake.shutdown().await;
}

#[tokio::test]
async fn the_limits_are_per_path_and_a_refusal_blocks_for_a_minute() {
    let (fake, clock) = start_with_manual_clock().await;
    let base = fake.rest_url("bitfinex");
    let url = format!("{base}/v2/tickers?symbols=tBTCUSD");
    for count in 0..30 {
        assert_eq!(get(&url).await.status, 200, "request {count}");
    }
    let refused = get(&url).await;
    assert_eq!((refused.status, refused.json()), (429, json!(["error", 11_010, "ratelimit: error"])));
    assert_eq!(get(&format!("{base}/v2/conf/pub:list:pair:exchange")).await.status, 200, "another path has its own");
    clock.advance(Duration::from_secs(60));
    assert_eq!(get(&url).await.status, 200);
    let stream = fake.stream_url("bitfinex");
    for _ in 0..20 {
        tokio_tungstenite::connect_async(&stream).await.unwrap();
    }
    assert!(tokio_tungstenite::connect_async(&stream).await.is_err(), "the twenty-first");
    clock.advance(Duration::from_secs(60));
    tokio_tungstenite::connect_async(&stream).await.unwrap();
    fake.shutdown().await;
}
