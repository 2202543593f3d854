//! Every fault, seen from a client.

use std::time::Duration;

use serde_json::json;
use sisepan::fake::Fake;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::client::{Stream, get, send, still, try_get};

/// A stream of Upbit's that has had its first ticker.
async fn bitcoin(fake: &Fake) -> Stream {
    let mut stream = Stream::open(&fake.stream_url("upbit")).await;
    stream.say(r#"[{"ticket":"t"},{"type":"ticker","codes":["KRW-BTC","KRW-XRP"]}]"#).await;
    stream.text().await;
    stream.text().await;
    stream
}

fn trade(fake: &Fake, market: &str, price: &str) {
    fake.set_price("upbit", market, price.parse().unwrap(), true).unwrap();
}

#[tokio::test]
async fn mute_and_ack_only_keep_prices_back_until_cleared() {
    let (fake, _clock) = still().await;
    let mut stream = bitcoin(&fake).await;
    fake.fault(r#"{"fault":"mute","venue":"upbit"}"#).unwrap();
    trade(&fake, "BTC-KRW", "1000");
    stream.say("PING").await;
    stream.silent().await;
    fake.fault(r#"{"fault":"none"}"#).unwrap();
    fake.fault(r#"{"fault":"ack-only"}"#).unwrap();
    stream.say("PING").await;
    trade(&fake, "BTC-KRW", "2000");
    assert_eq!(stream.text().await, r#"{"status":"UP"}"#);
    stream.silent().await;
    let control = format!("http://{}/fault", fake.control_addr());
    assert_eq!(send(reqwest::Method::DELETE, &control, "").await.status, 200);
    trade(&fake, "BTC-KRW", "3000");
    assert_eq!(stream.json().await["trade_price"], json!(3000.0));
    fake.shutdown().await;
}

#[tokio::test]
async fn one_symbol_can_be_dropped_and_messages_be_doubled_or_swapped() {
    let (fake, _clock) = still().await;
    let mut stream = bitcoin(&fake).await;
    fake.fault(r#"{"fault":"drop-sym","symbol":"BTC-KRW"}"#).unwrap();
    trade(&fake, "BTC-KRW", "1000");
    trade(&fake, "XRP-KRW", "3000");
    assert_eq!(stream.json().await["code"], "KRW-XRP");
    stream.silent().await;
    fake.fault(r#"{"fault":"none"}"#).unwrap();
    fake.fault(r#"{"fault":"dup","times":1}"#).unwrap();
    trade(&fake, "XRP-KRW", "3001");
    assert_eq!(stream.text().await, stream.text().await);
    fake.fault(r#"{"fault":"swap","times":1}"#).unwrap();
    trade(&fake, "XRP-KRW", "3002");
    stream.silent().await;
    trade(&fake, "XRP-KRW", "3003");
    assert_eq!(stream.json().await["trade_price"], json!(3003.0));
    assert_eq!(stream.json().await["trade_price"], json!(3002.0));
    fake.shutdown().await;
}

#[tokio::test]
async fn a_stream_can_be_closed_reset_or_cut() {
    let (fake, _clock) = still().await;
    let mut stream = bitcoin(&fake).await;
    let mut other = Stream::open(&fake.stream_url("bithumb")).await;
    fake.fault(r#"{"fault":"close","venue":"upbit","code":1012,"reason":"restart"}"#).unwrap();
    assert_eq!(stream.closed().await, (1012, "restart".to_owned()));
    let mut stream = bitcoin(&fake).await;
    stream.silent().await;
    fake.fault(r#"{"fault":"rst","venue":"upbit"}"#).unwrap();
    let broken = stream.broken().await;
    assert!(broken.contains("os error 104"), "{broken}");
    let mut stream = bitcoin(&fake).await;
    fake.fault(r#"{"fault":"eof","venue":"upbit","times":1}"#).unwrap();
    let broken = stream.broken().await;
    assert!(!broken.contains("os error"), "{broken}");
    other.silent().await;
    fake.shutdown().await;
}

#[tokio::test]
async fn raw_bytes_and_gzip_come_as_they_are() {
    let (fake, _clock) = still().await;
    let mut stream = bitcoin(&fake).await;
    fake.fault(r#"{"fault":"raw","payload":"{broken"}"#).unwrap();
    assert_eq!(stream.text().await, "{broken");
    stream.silent().await;
    fake.fault(r#"{"fault":"gzip-in-text","times":1}"#).unwrap();
    trade(&fake, "BTC-KRW", "1000");
    assert!(matches!(stream.next().await, Some(Err(Error::Utf8(_)))), "gzip in a text frame is not UTF-8");
    fake.fault(r#"{"fault":"raw","on":"rest","payload":"]","times":1}"#).unwrap();
    let url = format!("{}/v1/market/all", fake.rest_url("upbit"));
    assert_eq!(get(&url).await.text, "]");
    assert_ne!(get(&url).await.text, "]");
    fake.shutdown().await;
}

#[tokio::test]
async fn figures_can_be_bent_and_the_truth_stays() {
    let (fake, clock) = still().await;
    trade(&fake, "BTC-KRW", "142187000");
    let url = format!("{}/v1/ticker?markets=KRW-BTC", fake.rest_url("upbit"));
    fake.fault(r#"{"fault":"spike","symbol":"KRW-BTC","factor":"1.5","seconds":5}"#).unwrap();
    assert!(get(&url).await.text.contains(r#""trade_price":213280500.0,"#));
    assert_eq!(fake.truth("upbit", "BTC-KRW").unwrap().last.to_string(), "142187000");
    clock.advance(Duration::from_secs(5));
    assert!(get(&url).await.text.contains(r#""trade_price":142187000.0,"#), "the spike is over");
    let real = get(&url).await.json()[0]["trade_timestamp"].as_i64().unwrap();
    fake.fault(r#"{"fault":"skew","ms":-5000}"#).unwrap();
    assert_eq!(get(&url).await.json()[0]["trade_timestamp"], json!(real - 5000));
    fake.fault(r#"{"fault":"none"}"#).unwrap();
    fake.fault(r#"{"fault":"freeze-ts"}"#).unwrap();
    let frozen = get(&url).await.json()[0]["timestamp"].clone();
    clock.advance(Duration::from_secs(30));
    trade(&fake, "BTC-KRW", "142188000");
    assert_eq!(get(&url).await.json()[0]["timestamp"], frozen);
    fake.fault(r#"{"fault":"null-field","field":"trade_price"}"#).unwrap();
    assert!(get(&url).await.text.contains(r#""trade_price":null,"prev"#));
    let mut stream = Stream::open(&fake.stream_url("upbit")).await;
    stream.say(r#"[{"ticket":"t"},{"type":"ticker","codes":["KRW-BTC"]}]"#).await;
    assert!(stream.json().await["trade_price"].is_null());
    fake.shutdown().await;
}

#[tokio::test]
async fn requests_can_be_refused_answered_in_html_or_cut() {
    let (fake, _clock) = still().await;
    let (tickers, markets) = (
        format!("{}/v1/ticker?markets=KRW-BTC", fake.rest_url("upbit")),
        format!("{}/v1/market/all", fake.rest_url("upbit")),
    );
    fake.fault(r#"{"fault":"status","status":429,"body":"slow","retry_after":"7","path":"/v1/ticker","times":1}"#)
        .unwrap();
    assert_eq!(get(&markets).await.status, 200, "another path is not struck");
    let got = get(&tickers).await;
    assert_eq!((got.status, got.text.as_str(), got.header("retry-after")), (429, "slow", "7"));
    assert_eq!(get(&tickers).await.status, 200, "it was once only");
    fake.fault(r#"{"fault":"html","status":200,"times":1}"#).unwrap();
    let got = get(&tickers).await;
    assert!(got.header("content-type").starts_with("text/html") && got.text.starts_with("<!DOCTYPE"));
    fake.fault(r#"{"fault":"rst","on":"rest","times":1}"#).unwrap();
    assert!(try_get(&tickers).await.is_err());
    fake.fault(r#"{"fault":"eof","on":"rest","times":1}"#).unwrap();
    assert!(try_get(&tickers).await.is_err());
    fake.fault(r#"{"fault":"status","status":503,"on":"stream","times":1}"#).unwrap();
    let refused = tokio_tungstenite::connect_async(fake.stream_url("upbit")).await.expect_err("upgraded");
    assert!(matches!(&refused, Error::Http(answer) if answer.status() == 503), "{refused}");
    fake.shutdown().await;
}

#[tokio::test]
async fn accepts_upgrades_and_bodies_can_stall() {
    let (fake, _clock) = still().await;
    let brief = Duration::from_millis(300);
    let url = format!("{}/v1/market/all", fake.rest_url("upbit"));
    fake.fault(r#"{"fault":"stall-upgrade","times":1}"#).unwrap();
    let stalled = tokio::time::timeout(brief, tokio_tungstenite::connect_async(fake.stream_url("upbit")));
    assert!(stalled.await.is_err(), "the upgrade was answered");
    for kind in ["stall-accept", "stall-body"] {
        fake.fault(&format!(r#"{{"fault":"{kind}","times":1}}"#)).unwrap();
        assert!(tokio::time::timeout(brief, get(&url)).await.is_err(), "{kind}: answered");
        assert_eq!(get(&url).await.status, 200, "{kind}: it was once only");
    }
    fake.shutdown().await;
}

#[tokio::test]
async fn a_script_strikes_at_its_times() {
    let path = std::env::temp_dir().join(format!("fake-script-{}.jsonl", std::process::id()));
    std::fs::write(&path, "# first\n{\"at\":0.2,\"fault\":\"close\",\"code\":1001}\n").unwrap();
    let options = sisepan::fake::Options { script: Some(path.clone()), ..Default::default() };
    let fake = sisepan::fake::start(options).await.unwrap();
    let mut stream = Stream::open(&fake.stream_url("upbit")).await;
    assert_eq!(stream.closed().await.0, 1001);
    fake.shutdown().await;
    std::fs::write(&path, "{\"at\":1,\"fault\":\"explode\"}\n").unwrap();
    let options = sisepan::fake::Options { script: Some(path.clone()), ..Default::default() };
    let error = format!("{:#}", sisepan::fake::start(options).await.unwrap_err());
    assert!(error.contains("line 1") && error.contains("unknown fault"), "{error}");
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn nothing_is_left_to_run_after_a_shutdown() {
    let (fake, _clock) = still().await;
    let mut stream = bitcoin(&fake).await;
    tokio::time::timeout(Duration::from_secs(4), fake.shutdown()).await.expect("tasks did not end");
    loop {
        match stream.next().await {
            None | Some(Err(_)) => break,
            Some(Ok(Message::Close(_))) | Some(Ok(_)) => {}
        }
    }
}
