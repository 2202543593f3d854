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
async fn times_can_be_in_another_unit_and_candles_be_left_out() {
    let (fake, _clock) = still().await;
    let tickers = format!("{}/v1/ticker?markets=KRW-BTC", fake.rest_url("upbit"));
    let time = |answer: serde_json::Value| answer[0]["timestamp"].as_i64().unwrap();
    let real = time(get(&tickers).await.json());
    for (unit, sent) in [("s", real / 1000), ("us", real * 1000), ("ns", real * 1_000_000), ("ms", real)] {
        fake.fault(r#"{"fault":"none"}"#).unwrap();
        fake.fault(&format!(r#"{{"fault":"unit","unit":"{unit}"}}"#)).unwrap();
        assert_eq!(time(get(&tickers).await.json()), sent, "{unit}");
    }
    fake.fault(r#"{"fault":"none"}"#).unwrap();
    fake.fault(r#"{"fault":"gap","symbol":"BTC-USDT","ago":10,"minutes":3}"#).unwrap();
    let klines = format!("{}/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=20", fake.rest_url("binance"));
    let rows = get(&klines).await.json();
    let minutes: Vec<i64> = rows.as_array().unwrap().iter().map(|row| row[0].as_i64().unwrap() / 60_000).collect();
    let present = *minutes.last().unwrap();
    assert_eq!(present, fake.truth("binance", "BTC-USDT").unwrap().traded_at.as_second() / 60);
    let missing: Vec<i64> = (present - 19..=present).filter(|minute| !minutes.contains(minute)).collect();
    assert_eq!(missing, [present - 10, present - 9, present - 8]);
    fake.shutdown().await;
}

#[tokio::test]
async fn a_market_can_be_halted_renamed_or_gone_and_come_back() {
    let (fake, clock) = still().await;
    let (upbit, binance) = (fake.rest_url("upbit"), fake.rest_url("binance"));
    let tickers = format!("{upbit}/v1/ticker?markets=KRW-BTC");
    let mut stream = bitcoin(&fake).await;
    fake.fault(r#"{"fault":"halt","symbol":"BTC-KRW"}"#).unwrap();
    let told = stream.json().await;
    assert_eq!((&told["code"], &told["is_trading_suspended"]), (&json!("KRW-BTC"), &json!(true)));
    let before = fake.truth("upbit", "BTC-KRW").unwrap();
    clock.advance(Duration::from_secs(20));
    trade(&fake, "BTC-KRW", "1000");
    assert_eq!(fake.truth("upbit", "BTC-KRW").unwrap().last, before.last, "it does not trade");
    fake.fault(r#"{"fault":"halt","symbol":"BTCUSDT"}"#).unwrap();
    let info = get(&format!("{binance}/api/v3/exchangeInfo?symbol=BTCUSDT")).await.json();
    assert_eq!(info["symbols"][0]["status"], "HALT");
    fake.fault(r#"{"fault":"none"}"#).unwrap();

    fake.fault(r#"{"fault":"delist","symbol":"BTC-KRW","venue":"upbit"}"#).unwrap();
    assert_eq!(get(&tickers).await.status, 404);
    assert!(!get(&format!("{upbit}/v1/market/all")).await.text.contains("\"KRW-BTC\""));
    let bithumb = format!("{}/v1/market/all", fake.rest_url("bithumb"));
    assert!(get(&bithumb).await.text.contains("\"KRW-BTC\""), "another venue lists it");
    fake.fault(r#"{"fault":"none"}"#).unwrap();
    assert_eq!(get(&tickers).await.status, 200);

    fake.fault(r#"{"fault":"rename","symbol":"KRW-BTC","to":"KRW-BTX","venue":"upbit"}"#).unwrap();
    assert_eq!(get(&tickers).await.status, 404);
    let renamed = get(&tickers.replace("BTC", "BTX")).await.json();
    assert_eq!(renamed[0]["market"], "KRW-BTX");
    fake.fault(r#"{"fault":"none"}"#).unwrap();
    assert_eq!(get(&tickers).await.json()[0]["market"], "KRW-BTC");
    fake.shutdown().await;
}

#[tokio::test]
async fn fc_11_a_venue_can_warn_of_a_market_and_announce_its_delisting() {
    let (fake, _clock) = still().await;
    let lists = ["upbit", "bithumb"].map(|venue| format!("{}/v1/market/all?isDetails=true", fake.rest_url(venue)));
    let bitcoin_of = async |list: &str| {
        let rows = get(list).await.json();
        rows.as_array().unwrap().iter().find(|row| row["market"] == "KRW-BTC").unwrap().clone()
    };
    let warned = async || {
        let (upbit, bithumb) = (bitcoin_of(&lists[0]).await, bitcoin_of(&lists[1]).await);
        let event = &upbit["market_event"];
        (
            event["warning"].clone(),
            event["caution"]["GLOBAL_PRICE_DIFFERENCES"].clone(),
            bithumb["market_warning"].clone(),
        )
    };
    let mut streams = Vec::new();
    for venue in ["upbit", "bithumb"] {
        let mut stream = Stream::open(&fake.stream_url(venue)).await;
        stream.say(r#"[{"ticket":"t"},{"type":"ticker","codes":["KRW-BTC"]}]"#).await;
        let told = stream.json().await;
        let none = if venue == "upbit" { json!(null) } else { json!("") };
        assert_eq!((&told["market_warning"], &told["delisting_date"]), (&json!("NONE"), &none));
        streams.push((venue, stream));
    }
    assert_eq!(warned().await, (json!(false), json!(false), json!("NONE")));
    fake.fault(r#"{"fault":"warn","symbol":"BTC-KRW"}"#).unwrap();
    fake.fault(r#"{"fault":"warn","symbol":"BTC-KRW","caution":"GLOBAL_PRICE_DIFFERENCES"}"#).unwrap();
    fake.fault(r#"{"fault":"warn","symbol":"BTC-KRW","date":"2026-12-01"}"#).unwrap();
    assert_eq!(warned().await, (json!(true), json!(true), json!("CAUTION")));
    for (venue, stream) in &mut streams {
        fake.set_price(venue, "BTC-KRW", "1000".parse().unwrap(), true).unwrap();
        let told = stream.json().await;
        assert_eq!((&told["market_warning"], &told["delisting_date"]), (&json!("CAUTION"), &json!("2026-12-01")));
        assert_eq!(told["market_state"], "ACTIVE");
    }
    for odd in
        [r#""caution":"SOON""#, r#""caution":"GLOBAL_PRICE_DIFFERENCES","date":"2026-12-01""#, r#""date":"soon""#]
    {
        assert!(fake.fault(&format!(r#"{{"fault":"warn","symbol":"BTC-KRW",{odd}}}"#)).is_err(), "{odd}");
    }
    assert!(fake.fault(r#"{"fault":"warn"}"#).is_err());
    fake.shutdown().await;
}

#[tokio::test]
async fn old_trades_can_be_said_again_to_a_new_connection() {
    let (fake, _clock) = still().await;
    for (price, venue, market) in [
        ("1000", "upbit", "BTC-KRW"),
        ("2000", "upbit", "BTC-KRW"),
        ("3", "binance", "BTC-USDT"),
        ("4", "binance", "BTC-USDT"),
    ] {
        fake.set_price(venue, market, price.parse().unwrap(), true).unwrap();
    }
    fake.fault(r#"{"fault":"replay","n":2}"#).unwrap();
    let mut stream = Stream::open(&fake.stream_url("upbit")).await;
    stream.say(r#"[{"ticket":"t"},{"type":"ticker","codes":["KRW-BTC"]}]"#).await;
    for price in [2000.0, 1000.0, 2000.0] {
        assert_eq!(stream.json().await["trade_price"], json!(price));
    }
    let mut stream = Stream::open(&fake.stream_url("binance")).await;
    stream.say(r#"{"method":"SUBSCRIBE","params":["btcusdt@ticker"],"id":1}"#).await;
    stream.text().await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let frame = stream.json().await;
        told.push((frame["c"].as_str().unwrap().to_owned(), frame["L"].as_u64().unwrap()));
    }
    let newest = told[2].1;
    let price = |text: &str| format!("{text}.00000000");
    assert_eq!(told, [(price("3"), newest - 1), (price("4"), newest), (price("4"), newest)]);
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
