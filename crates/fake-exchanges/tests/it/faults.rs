//! Every fault as a client observes it.

use std::time::Duration;

use fake_exchanges::fault::{FaultSpec, Faults, InjectionPoint, Transport};
use fake_exchanges::{Clock, Fake, Options, start};
use serde_json::json;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::client::{Stream, get, send, start_time, start_with_manual_clock, try_get};

/// Opens an Upbit stream of two markets and receives their first tickers.
async fn open_upbit(fake: &Fake) -> Stream {
    let mut stream = Stream::open(&fake.stream_url("upbit")).await;
    stream.send(r#"[{"ticket":"t"},{"type":"ticker","codes":["KRW-BTC","KRW-XRP"]}]"#).await;
    stream.text().await;
    stream.text().await;
    stream
}

fn trade(fake: &Fake, market: &str, price: &str) {
    fake.set_price("upbit", market, price.parse().unwrap(), true).unwrap();
}

#[tokio::test]
async fn mute_and_ack_only_hold_back_prices_until_lifted() {
    let (fake, _clock) = start_with_manual_clock().await;
    let mut stream = open_upbit(&fake).await;
    fake.inject_fault(r#"{"fault":"mute","venue":"upbit"}"#).unwrap();
    trade(&fake, "BTC-KRW", "1000");
    stream.send("PING").await;
    stream.assert_silent().await;
    fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    fake.inject_fault(r#"{"fault":"ack-only"}"#).unwrap();
    stream.send("PING").await;
    trade(&fake, "BTC-KRW", "2000");
    assert_eq!(stream.text().await, r#"{"status":"UP"}"#);
    stream.assert_silent().await;
    let control = format!("http://{}/fault", fake.control_addr());
    assert_eq!(send(reqwest::Method::DELETE, &control, "").await.status, 200);
    trade(&fake, "BTC-KRW", "3000");
    assert_eq!(stream.json().await["trade_price"], json!(3000.0));
    fake.shutdown().await;
}

#[tokio::test]
async fn one_symbol_can_be_dropped_and_messages_duplicated_or_swapped() {
    let (fake, _clock) = start_with_manual_clock().await;
    let mut stream = open_upbit(&fake).await;
    fake.inject_fault(r#"{"fault":"drop-sym","symbol":"BTC-KRW"}"#).unwrap();
    trade(&fake, "BTC-KRW", "1000");
    trade(&fake, "XRP-KRW", "3000");
    assert_eq!(stream.json().await["code"], "KRW-XRP");
    stream.assert_silent().await;
    fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    fake.inject_fault(r#"{"fault":"dup","times":1}"#).unwrap();
    trade(&fake, "XRP-KRW", "3001");
    assert_eq!(stream.text().await, stream.text().await);
    fake.inject_fault(r#"{"fault":"swap","times":1}"#).unwrap();
    trade(&fake, "XRP-KRW", "3002");
    stream.assert_silent().await;
    trade(&fake, "XRP-KRW", "3003");
    assert_eq!(stream.json().await["trade_price"], json!(3003.0));
    assert_eq!(stream.json().await["trade_price"], json!(3002.0));
    fake.shutdown().await;
}

#[tokio::test]
async fn a_stream_can_be_closed_reset_or_cut() {
    let (fake, _clock) = start_with_manual_clock().await;
    let mut stream = open_upbit(&fake).await;
    let mut other = Stream::open(&fake.stream_url("bithumb")).await;
    fake.inject_fault(r#"{"fault":"close","venue":"upbit","code":1012,"reason":"restart"}"#).unwrap();
    assert_eq!(stream.wait_closed().await, (1012, "restart".to_owned()));
    let mut stream = open_upbit(&fake).await;
    stream.assert_silent().await;
    fake.inject_fault(r#"{"fault":"rst","venue":"upbit"}"#).unwrap();
    let broken = stream.wait_broken().await;
    assert!(broken.contains("os error 104"), "{broken}");
    let mut stream = open_upbit(&fake).await;
    fake.inject_fault(r#"{"fault":"eof","venue":"upbit","times":1}"#).unwrap();
    let broken = stream.wait_broken().await;
    assert!(!broken.contains("os error"), "{broken}");
    other.assert_silent().await;
    fake.shutdown().await;
}

#[tokio::test]
async fn raw_bytes_and_gzip_are_sent_verbatim() {
    let (fake, _clock) = start_with_manual_clock().await;
    let mut stream = open_upbit(&fake).await;
    fake.inject_fault(r#"{"fault":"raw","payload":"{broken"}"#).unwrap();
    assert_eq!(stream.text().await, "{broken");
    stream.assert_silent().await;
    fake.inject_fault(r#"{"fault":"gzip-in-text","times":1}"#).unwrap();
    trade(&fake, "BTC-KRW", "1000");
    assert!(matches!(stream.next().await, Some(Err(Error::Utf8(_)))), "gzip in a text frame is not UTF-8");
    fake.inject_fault(r#"{"fault":"raw","on":"rest","payload":"]","times":1}"#).unwrap();
    let url = format!("{}/v1/market/all", fake.rest_url("upbit"));
    assert_eq!(get(&url).await.text, "]");
    assert_ne!(get(&url).await.text, "]");
    fake.shutdown().await;
}

#[tokio::test]
async fn faults_change_the_reported_figures_but_not_the_truth() {
    let (fake, clock) = start_with_manual_clock().await;
    trade(&fake, "BTC-KRW", "142187000");
    let url = format!("{}/v1/ticker?markets=KRW-BTC", fake.rest_url("upbit"));
    fake.inject_fault(r#"{"fault":"spike","symbol":"KRW-BTC","factor":"1.5","seconds":5}"#).unwrap();
    assert!(get(&url).await.text.contains(r#""trade_price":213280500.0,"#));
    assert_eq!(fake.truth("upbit", "BTC-KRW").unwrap().last.to_string(), "142187000");
    clock.advance(Duration::from_secs(5));
    assert!(get(&url).await.text.contains(r#""trade_price":142187000.0,"#), "the spike is over");
    let real = get(&url).await.json()[0]["trade_timestamp"].as_i64().unwrap();
    fake.inject_fault(r#"{"fault":"skew","ms":-5000}"#).unwrap();
    assert_eq!(get(&url).await.json()[0]["trade_timestamp"], json!(real - 5000));
    fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    fake.inject_fault(r#"{"fault":"freeze-ts"}"#).unwrap();
    let frozen = get(&url).await.json()[0]["timestamp"].clone();
    clock.advance(Duration::from_secs(30));
    trade(&fake, "BTC-KRW", "142188000");
    assert_eq!(get(&url).await.json()[0]["timestamp"], frozen);
    fake.inject_fault(r#"{"fault":"null-field","field":"trade_price"}"#).unwrap();
    assert!(get(&url).await.text.contains(r#""trade_price":null,"prev"#));
    let mut stream = Stream::open(&fake.stream_url("upbit")).await;
    stream.send(r#"[{"ticket":"t"},{"type":"ticker","codes":["KRW-BTC"]}]"#).await;
    assert!(stream.json().await["trade_price"].is_null());
    fake.shutdown().await;
}

#[tokio::test]
async fn times_can_be_in_another_unit_and_candles_left_out() {
    let (fake, _clock) = start_with_manual_clock().await;
    let tickers = format!("{}/v1/ticker?markets=KRW-BTC", fake.rest_url("upbit"));
    let time = |answer: serde_json::Value| answer[0]["timestamp"].as_i64().unwrap();
    let real = time(get(&tickers).await.json());
    for (unit, sent) in [("s", real / 1000), ("us", real * 1000), ("ns", real * 1_000_000), ("ms", real)] {
        fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
        fake.inject_fault(&format!(r#"{{"fault":"unit","unit":"{unit}"}}"#)).unwrap();
        assert_eq!(time(get(&tickers).await.json()), sent, "{unit}");
    }
    fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    fake.inject_fault(r#"{"fault":"gap","symbol":"BTC-USDT","ago":10,"minutes":3}"#).unwrap();
    let klines = format!("{}/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=20", fake.rest_url("binance"));
    let rows = get(&klines).await.json();
    let minutes: Vec<i64> = rows.as_array().unwrap().iter().map(|row| row[0].as_i64().unwrap() / 60_000).collect();
    let current = *minutes.last().unwrap();
    assert_eq!(current, fake.truth("binance", "BTC-USDT").unwrap().traded_at.as_second() / 60);
    let missing: Vec<i64> = (current - 19..=current).filter(|minute| !minutes.contains(minute)).collect();
    assert_eq!(missing, [current - 10, current - 9, current - 8]);
    fake.shutdown().await;
}

#[tokio::test]
async fn a_market_can_be_halted_renamed_or_delisted_and_come_back() {
    let (fake, clock) = start_with_manual_clock().await;
    let (upbit, binance) = (fake.rest_url("upbit"), fake.rest_url("binance"));
    let tickers = format!("{upbit}/v1/ticker?markets=KRW-BTC");
    let mut stream = open_upbit(&fake).await;
    fake.inject_fault(r#"{"fault":"halt","symbol":"BTC-KRW"}"#).unwrap();
    let ticker = stream.json().await;
    assert_eq!((&ticker["code"], &ticker["is_trading_suspended"]), (&json!("KRW-BTC"), &json!(true)));
    let before = fake.truth("upbit", "BTC-KRW").unwrap();
    clock.advance(Duration::from_secs(20));
    trade(&fake, "BTC-KRW", "1000");
    assert_eq!(fake.truth("upbit", "BTC-KRW").unwrap().last, before.last, "a halted market traded");
    fake.inject_fault(r#"{"fault":"halt","symbol":"BTCUSDT"}"#).unwrap();
    let info = get(&format!("{binance}/api/v3/exchangeInfo?symbol=BTCUSDT")).await.json();
    assert_eq!(info["symbols"][0]["status"], "HALT");
    fake.inject_fault(r#"{"fault":"none"}"#).unwrap();

    fake.inject_fault(r#"{"fault":"delist","symbol":"BTC-KRW","venue":"upbit"}"#).unwrap();
    assert_eq!(get(&tickers).await.status, 404);
    assert!(!get(&format!("{upbit}/v1/market/all")).await.text.contains("\"KRW-BTC\""));
    let bithumb = format!("{}/v1/market/all", fake.rest_url("bithumb"));
    assert!(get(&bithumb).await.text.contains("\"KRW-BTC\""), "other venues still list it");
    fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    assert_eq!(get(&tickers).await.status, 200);

    fake.inject_fault(r#"{"fault":"rename","symbol":"KRW-BTC","to":"KRW-BTX","venue":"upbit"}"#).unwrap();
    assert_eq!(get(&tickers).await.status, 404);
    let renamed = get(&tickers.replace("BTC", "BTX")).await.json();
    assert_eq!(renamed[0]["market"], "KRW-BTX");
    fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    assert_eq!(get(&tickers).await.json()[0]["market"], "KRW-BTC");
    fake.shutdown().await;
}

#[tokio::test]
async fn fc_11_a_venue_can_warn_of_a_market_and_announce_its_delisting() {
    let (fake, _clock) = start_with_manual_clock().await;
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
        stream.send(r#"[{"ticket":"t"},{"type":"ticker","codes":["KRW-BTC"]}]"#).await;
        let ticker = stream.json().await;
        let none = if venue == "upbit" { json!(null) } else { json!("") };
        assert_eq!((&ticker["market_warning"], &ticker["delisting_date"]), (&json!("NONE"), &none));
        streams.push((venue, stream));
    }
    assert_eq!(warned().await, (json!(false), json!(false), json!("NONE")));
    fake.inject_fault(r#"{"fault":"warn","symbol":"BTC-KRW"}"#).unwrap();
    fake.inject_fault(r#"{"fault":"warn","symbol":"BTC-KRW","caution":"GLOBAL_PRICE_DIFFERENCES"}"#).unwrap();
    fake.inject_fault(r#"{"fault":"warn","symbol":"BTC-KRW","date":"2026-12-01"}"#).unwrap();
    assert_eq!(warned().await, (json!(true), json!(true), json!("CAUTION")));
    for (venue, stream) in &mut streams {
        fake.set_price(venue, "BTC-KRW", "1000".parse().unwrap(), true).unwrap();
        let ticker = stream.json().await;
        assert_eq!((&ticker["market_warning"], &ticker["delisting_date"]), (&json!("CAUTION"), &json!("2026-12-01")));
        assert_eq!(ticker["market_state"], "ACTIVE");
    }
    for invalid in
        [r#""caution":"SOON""#, r#""caution":"GLOBAL_PRICE_DIFFERENCES","date":"2026-12-01""#, r#""date":"soon""#]
    {
        assert!(
            fake.inject_fault(&format!(r#"{{"fault":"warn","symbol":"BTC-KRW",{invalid}}}"#)).is_err(),
            "{invalid}"
        );
    }
    assert!(fake.inject_fault(r#"{"fault":"warn"}"#).is_err());
    fake.shutdown().await;
}

#[tokio::test]
async fn replay_sends_old_trades_again_to_a_new_connection() {
    let (fake, _clock) = start_with_manual_clock().await;
    for (price, venue, market) in [
        ("1000", "upbit", "BTC-KRW"),
        ("2000", "upbit", "BTC-KRW"),
        ("3", "binance", "BTC-USDT"),
        ("4", "binance", "BTC-USDT"),
    ] {
        fake.set_price(venue, market, price.parse().unwrap(), true).unwrap();
    }
    fake.inject_fault(r#"{"fault":"replay","n":2}"#).unwrap();
    let mut stream = Stream::open(&fake.stream_url("upbit")).await;
    stream.send(r#"[{"ticket":"t"},{"type":"ticker","codes":["KRW-BTC"]}]"#).await;
    for price in [2000.0, 1000.0, 2000.0] {
        assert_eq!(stream.json().await["trade_price"], json!(price));
    }
    let mut stream = Stream::open(&fake.stream_url("binance")).await;
    stream.send(r#"{"method":"SUBSCRIBE","params":["btcusdt@ticker"],"id":1}"#).await;
    stream.text().await;
    let mut sent = Vec::new();
    for _ in 0..3 {
        let frame = stream.json().await;
        sent.push((frame["c"].as_str().unwrap().to_owned(), frame["L"].as_u64().unwrap()));
    }
    let newest = sent[2].1;
    let price = |text: &str| format!("{text}.00000000");
    assert_eq!(sent, [(price("3"), newest - 1), (price("4"), newest), (price("4"), newest)]);
    fake.shutdown().await;
}

#[tokio::test]
async fn requests_can_be_refused_answered_in_html_or_cut() {
    let (fake, _clock) = start_with_manual_clock().await;
    let (tickers, markets) = (
        format!("{}/v1/ticker?markets=KRW-BTC", fake.rest_url("upbit")),
        format!("{}/v1/market/all", fake.rest_url("upbit")),
    );
    fake.inject_fault(
        r#"{"fault":"status","status":429,"body":"slow","retry_after":"7","path":"/v1/ticker","times":1}"#,
    )
    .unwrap();
    assert_eq!(get(&markets).await.status, 200, "another path is not affected");
    let got = get(&tickers).await;
    assert_eq!((got.status, got.text.as_str(), got.header("retry-after")), (429, "slow", "7"));
    assert_eq!(get(&tickers).await.status, 200, "it applies only once");
    fake.inject_fault(r#"{"fault":"html","status":200,"times":1}"#).unwrap();
    let got = get(&tickers).await;
    assert!(got.header("content-type").starts_with("text/html") && got.text.starts_with("<!DOCTYPE"));
    fake.inject_fault(r#"{"fault":"rst","on":"rest","times":1}"#).unwrap();
    assert!(try_get(&tickers).await.is_err());
    fake.inject_fault(r#"{"fault":"eof","on":"rest","times":1}"#).unwrap();
    assert!(try_get(&tickers).await.is_err());
    fake.inject_fault(r#"{"fault":"status","status":503,"on":"stream","times":1}"#).unwrap();
    let refused = tokio_tungstenite::connect_async(fake.stream_url("upbit")).await.expect_err("upgraded");
    assert!(matches!(&refused, Error::Http(answer) if answer.status() == 503), "{refused}");
    fake.shutdown().await;
}

#[tokio::test]
async fn accepts_upgrades_and_bodies_can_stall() {
    let (fake, _clock) = start_with_manual_clock().await;
    let brief = Duration::from_millis(300);
    let url = format!("{}/v1/market/all", fake.rest_url("upbit"));
    fake.inject_fault(r#"{"fault":"stall-upgrade","times":1}"#).unwrap();
    let stalled = tokio::time::timeout(brief, tokio_tungstenite::connect_async(fake.stream_url("upbit")));
    assert!(stalled.await.is_err(), "the upgrade was answered");
    for kind in ["stall-accept", "stall-body"] {
        fake.inject_fault(&format!(r#"{{"fault":"{kind}","times":1}}"#)).unwrap();
        assert!(tokio::time::timeout(brief, get(&url)).await.is_err(), "{kind}: answered");
        assert_eq!(get(&url).await.status, 200, "{kind}: it applies only once");
    }
    fake.shutdown().await;
}

#[tokio::test]
async fn a_script_injects_faults_at_their_times() {
    let path = std::env::temp_dir().join(format!("fake-script-{}.jsonl", std::process::id()));
    std::fs::write(&path, "# first\n{\"at\":0.2,\"fault\":\"close\",\"code\":1001}\n").unwrap();
    let options = fake_exchanges::Options { script: Some(path.clone()), ..Default::default() };
    let fake = fake_exchanges::start(options).await.unwrap();
    let mut stream = Stream::open(&fake.stream_url("upbit")).await;
    assert_eq!(stream.wait_closed().await.0, 1001);
    fake.shutdown().await;
    std::fs::write(&path, "{\"at\":1,\"fault\":\"explode\"}\n").unwrap();
    let options = fake_exchanges::Options { script: Some(path.clone()), ..Default::default() };
    let error = format!("{:#}", fake_exchanges::start(options).await.unwrap_err());
    assert!(error.contains("line 1") && error.contains("unknown fault"), "{error}");
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn no_task_is_left_after_a_shutdown() {
    let (fake, _clock) = start_with_manual_clock().await;
    let mut stream = open_upbit(&fake).await;
    tokio::time::timeout(Duration::from_secs(4), fake.shutdown()).await.expect("tasks did not end");
    loop {
        match stream.next().await {
            None | Some(Err(_)) => break,
            Some(Ok(Message::Close(_))) | Some(Ok(_)) => {}
        }
    }
}

#[test]
fn members_are_changed_by_name_or_in_rows_that_are_arrays_by_index() {
    let change = |json: &str, names: &str| fake_exchanges::json::set_members(json, names, "null");
    assert_eq!(change(r#"{"a":1,"b":{"a":"x","c":2}}"#, "a,c"), r#"{"a":null,"b":{"a":null,"c":null}}"#);
    assert_eq!(change(r#"["tBTCUSD",1,2]"#, "2"), r#"["tBTCUSD",1,null]"#);
    assert_eq!(change("[7,[1,2,3]]", "1,2"), "[7,[1,null,null]]");
    assert_eq!(change(r#"{"a":1}"#, "b"), r#"{"a":1}"#);
}

#[test]
fn a_fault_of_a_response_applies_to_requests_whose_query_or_path_names_its_market() {
    let applies = |symbol: &str, path: &str| {
        let mut faults = Faults::default();
        let fault = format!(r#"{{"fault":"status","status":503,"symbol":"{symbol}"}}"#);
        faults.add(FaultSpec::parse(&fault).unwrap(), Duration::ZERO, 0).unwrap();
        let point = InjectionPoint { transport: Transport::Rest, venue: "bitfinex", path, now: Duration::ZERO };
        faults.take("status", &point).is_some()
    };
    for (symbol, path) in [
        ("KRW-BTC", "/v1/ticker?markets=KRW-ETH,KRW-BTC"),
        ("BTCUSDT", "/api/v3/ticker/24hr?symbols=%5B%22ETHUSDT%22,%22BTCUSDT%22%5D"),
        ("tBTCUSD", "/v2/candles/trade:1m:tBTCUSD/hist?limit=1"),
        ("tLINK:USD", "/v2/candles/trade:1m:tLINK:USD/hist"),
        ("BTC-USDT", "/markets/BTC-USDT"),
    ] {
        assert!(applies(symbol, path), "{symbol}: {path}");
    }
    for path in ["/v2/candles/trade:1m:tXBTCUSD/hist", "/v2/candles/tBTCUSD:p30/hist", "/v2/tickers?symbols=ALL", "/"] {
        assert!(!applies("tBTCUSD", path), "{path}");
    }
}

#[tokio::test]
async fn candles_that_name_no_market_are_about_the_market_of_their_request() {
    let clock = Clock::manual(start_time());
    let fake = start(Options { clock, enforces_limits: false, ..Options::default() }).await.unwrap();
    for (venue, symbol, other, path, member) in [
        ("upbit", "KRW-BTC", "KRW-ETH", "/v1/candles/minutes/1?count=2&market=KRW-BTC", "trade_price"),
        ("binance", "BTCUSDT", "ETHUSDT", "/api/v3/klines?interval=1m&limit=2&symbol=BTCUSDT", "4"),
        ("bitfinex", "tBTCUSD", "tETHUSD", "/v2/candles/trade:1m:tBTCUSD/hist?limit=2", "2"),
        ("kucoin", "BTC-USDT", "ETH-USDT", "/api/v1/market/candles?type=1min&symbol=BTC-USDT", "2"),
        ("kraken", "XBTUSD", "ETHUSD", "/0/public/OHLC?interval=1&pair=XBTUSD", "4"),
    ] {
        assert_eq!(fake_exchanges::venues::find(venue).unwrap().payloads().close_member, member);
        let url = format!("{}{path}", fake.rest_url(venue));
        let (before, before_of_other) = (get(&url).await.text, get(&url.replace(symbol, other)).await.text);
        let fault = json!({"venue": venue, "fault": "set-field", "field": member, "payload": "null", "symbol": symbol});
        fake.inject_fault(&fault.to_string()).unwrap();
        let nulls = get(&url).await.text.matches("null").count();
        assert!(nulls > 1 && !before.contains("null"), "{venue}: {nulls}");
        assert_eq!(get(&url.replace(symbol, other)).await.text, before_of_other);
        fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    }
    fake.shutdown().await;
}
