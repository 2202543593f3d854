//! REST: order of rows, number formats, errors and limits of each venue; recordings; the control server.

use serde_json::json;

use super::client::{get, send, start_with_manual_clock, try_get};

#[tokio::test]
async fn upbit_rows_are_newest_first_and_to_is_exclusive_in_utc() {
    let (fake, _clock) = start_with_manual_clock().await;
    let base = fake.rest_url("upbit");
    let path = format!("{base}/v1/candles/minutes/1?market=krw-btc&count=3");
    let rows = get(&format!("{path}&to=2026-01-15T06:00:00")).await.json();
    assert_eq!(rows[0]["candle_date_time_utc"], "2026-01-15T05:59:00");
    assert_eq!(rows[0]["candle_date_time_kst"], "2026-01-15T14:59:00");
    assert_eq!(rows[2]["candle_date_time_utc"], "2026-01-15T05:57:00");
    assert_eq!(get(&format!("{path}&to=2026-01-15T15:00:00%2B09:00")).await.json(), rows);
    assert_eq!(get(&format!("{path}&to=2026-01-15T06:00:00Z")).await.json(), rows);
    fake.shutdown().await;
}

#[tokio::test]
async fn bithumb_parses_to_as_korean_time_and_sends_rest_times_nine_hours_ahead() {
    let (fake, _clock) = start_with_manual_clock().await;
    let base = fake.rest_url("bithumb");
    let rows = get(&format!("{base}/v1/candles/minutes/1?market=KRW-BTC&count=2&to=2026-01-15T15:00:00")).await.json();
    assert_eq!(rows[0]["candle_date_time_utc"], "2026-01-15T05:59:00");
    let ticker = &get(&format!("{base}/v1/ticker?markets=KRW-BTC")).await.json()[0];
    let truth = fake.truth("bithumb", "BTC-KRW").unwrap();
    let ahead = ticker["trade_timestamp"].as_i64().unwrap() - truth.traded_at.as_millisecond();
    assert_eq!(ahead, 9 * 3_600_000);
    assert_eq!(ticker["timestamp"], ticker["trade_timestamp"]);
    let rate = ticker["signed_change_rate"].to_string();
    assert!(rate.split('.').nth(1).is_none_or(|places| places.len() <= 4), "{rate}");
    fake.shutdown().await;
}

#[tokio::test]
async fn a_quiet_minute_is_left_out_at_upbit_and_flat_at_binance() {
    let (fake, _clock) = start_with_manual_clock().await;
    let upbit = fake.rest_url("upbit");
    let rows = get(&format!("{upbit}/v1/candles/minutes/1?market=KRW-WAXP&count=200")).await.json();
    let rows = rows.as_array().unwrap().len();
    assert!((5..120).contains(&rows), "{rows} rows in 27 hours");
    let binance = fake.rest_url("binance");
    let rows = get(&format!("{binance}/api/v3/klines?symbol=WAXPUSDT&interval=1m&limit=500")).await.json();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 500);
    assert!(rows.windows(2).all(|pair| pair[1][0].as_i64().unwrap() - pair[0][0].as_i64().unwrap() == 60_000));
    let flat = rows.iter().find(|row| row[5] == "0.00000000").unwrap();
    assert!(flat[1] == flat[4] && flat[2] == flat[3]);
    fake.shutdown().await;
}

#[tokio::test]
async fn errors_are_those_of_each_venue() {
    let (fake, _clock) = start_with_manual_clock().await;
    let unknown = json!({"error": {"name": 404, "message": "Code not found"}});
    let no_route = json!({"error": {"name": "not_found", "message": "no Route matched with those values"}});
    for (venue, path, status, body) in [
        ("upbit", "/v1/ticker?markets=KRW-BTC,KRW-NOPE", 404, Some(unknown.clone())),
        ("bithumb", "/v1/ticker?markets=KRW-BTC,KRW-NOPE", 200, Some(unknown)),
        ("upbit", "/v1/ticker", 400, None),
        ("upbit", "/v1/candles/minutes/1?market=KRW-BTC&count=201", 400, None),
        ("upbit", "/v1/candles/minutes/2?market=KRW-BTC", 400, None),
        ("upbit", "/v1/candles/hours?market=KRW-BTC", 404, None),
        ("upbit", "/v1/orderbook?markets=KRW-BTC", 404, Some(no_route.clone())),
        ("upbit", "/v1/nothing", 404, Some(no_route.clone())),
        ("bithumb", "/v1/orderbook/instruments?markets=KRW-BTC", 200, Some(no_route.clone())),
        ("bithumb", "/public/ticker/BTC_KRW", 200, Some(no_route)),
        ("bithumb", &format!("/v1/ticker?markets=KRW-BTC{}", ",KRW-BTC".repeat(199)), 200, None),
        ("bithumb", &format!("/v1/ticker?markets=KRW-BTC{}", ",KRW-BTC".repeat(200)), 400, None),
        (
            "binance",
            "/api/v3/klines?symbol=NOPE&interval=1m",
            400,
            Some(json!({"code": -1121, "msg": "Invalid symbol."})),
        ),
        (
            "binance",
            "/api/v3/klines?symbol=BTCUSDT&interval=7m",
            400,
            Some(json!({"code": -1120, "msg": "Invalid interval."})),
        ),
        ("bitfinex", "/v2/candles/trade:1m:tNOPEUSD/hist", 500, Some(json!(["error", 10_020, "symbol: invalid"]))),
        (
            "bitfinex",
            "/v2/candles/trade:1m:tBTCUSD/hist?limit=10001",
            500,
            Some(json!(["error", 10_020, "limit: invalid"])),
        ),
        ("bitfinex", "/v2/nothing", 404, None),
        (
            "kucoin",
            "/api/v1/market/candles?symbol=BTC-USDT&type=2min",
            200,
            Some(json!({"code": "400100", "msg": "Incorrect candlestick type."})),
        ),
        (
            "kucoin",
            "/api/v1/market/candles?symbol=NOPE&type=1min",
            200,
            Some(json!({"code": "400100", "msg": "symbol not exists"})),
        ),
        ("kucoin", "/api/v1/nothing", 404, None),
        ("kraken", "/0/public/OHLC?pair=NOPE", 200, Some(json!({"error": ["EQuery:Unknown asset pair"]}))),
        ("kraken", "/0/public/nothing", 404, None),
    ] {
        let got = get(&format!("{}{path}", fake.rest_url(venue))).await;
        assert_eq!(got.status, status, "{venue} {path}: {}", got.text);
        if let Some(body) = body {
            assert_eq!(got.json(), body, "{venue} {path}");
        }
    }
    fake.shutdown().await;
}

#[tokio::test]
async fn numbers_are_formatted_as_each_venue_does() {
    let (fake, _clock) = start_with_manual_clock().await;
    fake.set_price("upbit", "BTC-KRW", "142187000".parse().unwrap(), true).unwrap();
    fake.set_price("bithumb", "BTC-KRW", "142187000".parse().unwrap(), true).unwrap();
    for (venue, market) in
        [("binance", "PEPE-USDT"), ("bitfinex", "PEPE-USD"), ("kucoin", "PEPE-USDT"), ("kraken", "PEPE-USD")]
    {
        fake.set_price(venue, market, "0.00000512".parse().unwrap(), true).unwrap();
    }
    for (venue, path, wanted) in [
        ("upbit", "/v1/ticker?markets=KRW-BTC", r#""trade_price":142187000.0,"#),
        ("binance", "/api/v3/ticker/24hr?symbol=PEPEUSDT", r#""lastPrice":"0.00000512""#),
        ("bithumb", "/v1/market/all?isDetails=true", r#""market_warning":"NONE""#),
        ("upbit", "/v1/market/all?is_details=true", r#""korean_name":"비트코인""#),
        (
            "upbit",
            "/v1/orderbook/instruments?markets=KRW-BTC",
            r#""tick_size":"1000","supported_levels":["0","10000","1"#,
        ),
        ("binance", "/api/v3/exchangeInfo?symbol=BTCUSDT", r#""tickSize":"0.01000000""#),
        ("bitfinex", "/v2/tickers?symbols=tPEPE:USD", ",0.00000512,"),
        ("kucoin", "/api/v1/market/stats?symbol=PEPE-USDT", r#""last":"0.00000512""#),
        ("kraken", "/0/public/Ticker?pair=PEPEUSD", r#""c":["0.00000512","#),
    ] {
        let got = get(&format!("{}{path}", fake.rest_url(venue))).await;
        assert_eq!(got.status, 200, "{venue} {path}");
        assert!(got.text.contains(wanted), "{venue} {path}: {}", got.text);
    }
    fake.shutdown().await;
}

#[tokio::test]
async fn too_many_requests_get_429_and_then_418() {
    let (fake, clock) = start_with_manual_clock().await;
    let url = format!("{}/v1/ticker?markets=KRW-BTC", fake.rest_url("upbit"));
    let mut seen = Vec::new();
    for _ in 0..22 {
        let got = get(&url).await;
        if got.status == 200 {
            assert!(got.header("remaining-req").starts_with("group=ticker; min=600; sec="), "{:?}", got.headers);
        }
        seen.push(got.status);
    }
    assert_eq!(seen[..10], [200; 10]);
    assert_eq!(seen[10..20], [429; 10]);
    assert_eq!(seen[20..], [418; 2]);
    let markets = format!("{}/v1/market/all", fake.rest_url("upbit"));
    assert_eq!(get(&markets).await.status, 200, "another group has its own budget");
    clock.advance(std::time::Duration::from_secs(31));
    assert_eq!(get(&url).await.status, 200);

    let url = format!("{}/api/v3/ticker/24hr", fake.rest_url("binance"));
    let mut last = get(&url).await;
    assert_eq!(last.header("x-mbx-used-weight-1m"), "80");
    for _ in 0..75 {
        last = get(&url).await;
    }
    assert_eq!((last.status, last.json()["code"].as_i64()), (429, Some(-1003)));
    assert!(last.header("retry-after").parse::<u32>().unwrap() >= 1);
    fake.shutdown().await;
}

#[tokio::test]
async fn recordings_are_served_instead_of_the_walk() {
    let directory = std::env::temp_dir().join(format!("fake-recordings-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("upbit")).unwrap();
    let ticker = r#"[{"market":"KRW-BTC","trade_price":1.0E8}]"#;
    std::fs::write(directory.join("upbit/rest-tickers.json"), ticker).unwrap();
    std::fs::write(directory.join("upbit/ws-ticker.json"), r#"{"type":"ticker"}"#).unwrap();
    let options = fake_exchanges::Options { recordings: Some(directory.clone()), ..Default::default() };
    let fake = fake_exchanges::start(options).await.unwrap();
    assert_eq!(get(&format!("{}/v1/ticker?markets=KRW-X", fake.rest_url("upbit"))).await.text, ticker);
    assert_eq!(get(&format!("{}/v1/market/all", fake.rest_url("upbit"))).await.status, 404);
    assert_eq!(get(&format!("{}/api/v3/klines", fake.rest_url("binance"))).await.status, 404, "nothing is made up");
    assert_eq!(get(&format!("{}/api/v3/time", fake.rest_url("binance"))).await.status, 200, "it is never recorded");
    let mut stream = super::client::Stream::open(&fake.stream_url("upbit")).await;
    stream.send(r#"[{"ticket":"t"},{"type":"ticker","codes":["KRW-BTC"]}]"#).await;
    assert_eq!(stream.text().await, r#"{"type":"ticker"}"#);
    fake.shutdown().await;
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn the_control_server_serves_the_truth_and_rejects_invalid_requests() {
    let (fake, _clock) = start_with_manual_clock().await;
    let base = format!("http://{}", fake.control_addr());
    let request_body = r#"{"venue":"bithumb","market":"BTC-KRW","price":"142187000","hold":true}"#;
    assert_eq!(send(reqwest::Method::POST, &format!("{base}/price"), request_body).await.status, 200);
    let truth = get(&format!("{base}/truth?venue=bithumb&market=BTC-KRW")).await.json();
    assert_eq!(truth["markets"][0]["last"], "142187000");
    assert!(truth["markets"][0]["minutes"]["2026-01-14T06:27:00Z"].is_string());
    assert_eq!(get(&format!("{base}/truth")).await.json()["markets"].as_array().unwrap().len(), 122);
    for (path, body, wanted) in [
        ("fault", r#"{"fault":"explode"}"#, "unknown fault"),
        ("fault", r#"{"fault":"mute","venue":"nowhere"}"#, "unknown venue"),
        ("fault", r#"{"fault":"mute","wings":2}"#, "wings"),
        ("fault", r#"{"fault":"spike"}"#, "needs factor"),
        ("fault", "{", "invalid fault"),
        ("price", r#"{"venue":"upbit","market":"BTC-KRW","price":"-1"}"#, "above zero"),
        ("price", "", "invalid request"),
    ] {
        let got = send(reqwest::Method::POST, &format!("{base}/{path}"), body).await;
        assert_eq!(got.status, 400, "{body}");
        assert!(got.json()["error"].as_str().unwrap().contains(wanted), "{body}: {}", got.text);
    }
    get(&format!("{}/v1/ticker?markets=KRW-BTC", fake.rest_url("upbit"))).await;
    let log = get(&format!("{base}/log")).await.json();
    let request = log["entries"].as_array().unwrap().iter().find(|entry| entry["kind"] == "request").unwrap();
    assert_eq!((request["venue"].as_str(), request["status"].as_u64()), (Some("upbit"), Some(200)));
    assert_eq!(request["text"], "GET /v1/ticker?markets=KRW-BTC");
    let (addr, url) = (fake.addr(), format!("http://{}/upbit/v1/market/all", fake.addr()));
    fake.shutdown().await;
    assert!(try_get(&url).await.is_err(), "{addr} is still served");
}
