//! Expected parse results of Kraken's payloads, and what is unusual about its names, errors and candles.

use sisepan::market::{Market, Minute};
use sisepan::venue::{self, Incoming, ParseError, Response, RestQuery, Venue};

use super::PayloadKind::{Candles, Frame, Markets, Sent, Tickers};
use super::{Expected, describe, expect, market, markets, parse_frame, parse_response};

pub const EXPECTED: &[Expected] = &[
    expect("ws-status.json", Frame, "reply status"),
    expect("ws-subscribe.json", Sent("USDT-USD"), "as we send it"),
    expect("ws-subscribe-ack.json", Frame, "reply subscribe is done"),
    expect(
        "ws-ticker.json",
        Frame,
        "USDT/USD last=0.99981 sent=1790222058054 high=1.00000 low=0.99959 base_volume=270638277.50461281 base=0.99976",
    ),
    expect("ws-heartbeat.json", Frame, "reply heartbeat"),
    expect("ws-error.json", Frame, "refused NOPE/USD: Currency pair not supported NOPE/USD"),
    // Not the figures since 00:00 UTC, the open among them.
    expect(
        "rest-ticker-XBTUSD.json",
        Tickers("BTC-USD"),
        "BTC/USD last=84036.00000 high=84914.80000 low=82832.30000 base_volume=3307.38151293",
    ),
    expect(
        "rest-ticker-TONUSD.json",
        Tickers("TON-USD"),
        "TON/USD last=1.4050000 high=1.4440000 low=1.3900000 base_volume=354583.90125",
    ),
    // The last candle is running.
    expect(
        "rest-candles.json",
        Candles("BTC-USD", 1_788_064_020),
        "2026-08-30T04:24:00Z 83930.0 83950.0 83921.0 83950.0 1.20785062 -
         2026-08-30T04:25:00Z 83950.0 83950.0 83950.0 83950.0 0.00000000 -
         2026-08-30T04:26:00Z 83950.0 83952.0 83949.5 83951.0 0.48123000 -",
    ),
    expect(
        "rest-candles-docs.json",
        Candles("BTC-USD", 1_788_064_020),
        "2023-07-06T19:20:00Z 30306.1 30306.2 30305.7 30305.7 3.39243896 -",
    ),
    expect(
        "rest-markets.json",
        Markets,
        "rejected wsname: unknown-name
         SOL/USD SOL-USD step=0.01 halted
         USDT/USD USDT-USD step=0.00001
         DOGE/USD DOGE-USD step=0.0000001
         ETH/BTC ETH-BTC step=0.00001 halted
         BTC/USD BTC-USD step=0.1",
    ),
    expect("rest-error.json", Tickers("BTC-USD"), "error the exchange answered EQuery: Unknown asset pair"),
    expect(
        "rest-error-rate-limited.json",
        Candles("BTC-USD", 1_788_064_020),
        "error the exchange answered EGeneral: Too many requests",
    ),
];

fn kraken() -> &'static dyn Venue {
    venue::find("kraken").unwrap()
}

fn listed(wsname: &str, status: &str) -> String {
    format!(r#"{{"error":[],"result":{{"ANY":{{"altname":"ANY","wsname":"{wsname}","status":{status}}}}}}}"#)
}

#[test]
fn a_name_that_kraken_gives_to_another_asset_is_not_used_for_ours() {
    for name in ["LUNA/USD", "LUNA2/USD", "REP/USD", "REPV2/EUR", "UST/USD", "BTC/UST"] {
        let body = listed(name, r#""online""#);
        let Ok(Response::Markets { listings, .. }) = kraken().response(&RestQuery::Markets, &body) else { panic!() };
        let rejected = listings[0].as_ref().unwrap_err();
        assert!(rejected.is_other_asset, "{name}: {rejected:?}");
        assert_eq!(rejected.symbol.as_deref(), Some(name), "the symbol of our market, so that it is not read");
    }
    // Over REST, its names of assets are no names of ours.
    let path = |name: &str| kraken().request(&RestQuery::Tickers(&markets(name))).unwrap().path;
    assert_eq!(path("BTC-USD"), "/0/public/Ticker?pair=XBTUSD");
    assert_eq!(path("XBT-USD"), "/0/public/Ticker?pair=%3FXBTUSD");
    assert_eq!(path("XDG-XBT"), "/0/public/Ticker?pair=%3FXDG%3FXBT");
}

#[test]
fn the_state_of_a_market_is_that_of_the_list() {
    for (status, reads) in [
        (r#""online""#, "BTC/USD BTC-USD"),
        (r#""limit_only""#, "BTC/USD BTC-USD"),
        (r#""reduce_only""#, "BTC/USD BTC-USD"),
        (r#""cancel_only""#, "BTC/USD BTC-USD halted"),
        (r#""post_only""#, "BTC/USD BTC-USD halted"),
        (r#""Online""#, "rejected status: unknown"),
        (r#""""#, "rejected status: missing"),
        ("null", "rejected status: missing"),
        ("7", "rejected status: type"),
    ] {
        assert_eq!(parse_response(kraken(), &RestQuery::Markets, &listed("XBT/USD", status)), [reads], "{status}");
    }
}

#[test]
fn a_response_names_a_market_otherwise_than_the_request() {
    let body = |name: &str| format!(r#"{{"error":[],"result":{{"{name}":{{"c":["7","1"]}}}}}}"#);
    let reads = |requested: &str, name: &str| {
        parse_response(kraken(), &RestQuery::Tickers(&markets(requested)), &body(name)).remove(0)
    };
    for (requested, name, symbol) in [
        ("BTC-USD", "XXBTZUSD", "BTC/USD"),
        ("BTC-USD ETH-USD", "XETHZUSD", "ETH/USD"),
        ("ETH-BTC BTC-USD", "XETHXXBT", "ETH/BTC"),
        ("USDT-USD", "USDTZUSD", "USDT/USD"),
        ("BTC-USDT", "XBTUSDT", "BTC/USDT"),
        ("DOGE-USD", "XDGUSD", "DOGE/USD"),
        ("EUR-USD", "ZEURZUSD", "EUR/USD"),
        ("XRP-USD RP-EUR", "XXRPZUSD", "XRP/USD"),
        ("X-USD", "XUSD", "X/USD"),
    ] {
        assert_eq!(reads(requested, name), format!("{symbol} last=7"), "{name}");
    }
    // A market that was not requested.
    for name in ["XETHZUSD", "BTCUSD", "XXBTZEUR", "XXXBTZUSD", "", "xxbtzusd"] {
        assert_eq!(reads("BTC-USD SOL-USD", name), format!("{name} rejected pair: unknown").trim_start(), "{name}");
    }
    // Which one of several it is can't be known.
    for (requested, name) in [("XRP-USD RP-USD", "XRPUSD"), ("AB-CD A-BCD", "ABCD"), ("XAB-C AB-C", "XABC")] {
        assert_eq!(reads(requested, name), "rejected pair: contradiction", "{requested}");
    }
}

#[test]
fn one_bad_row_of_a_ticker_response_affects_no_other() {
    let good = r#""SOLUSD":{"c":["7","1"]}"#;
    for (bad, reads) in [
        ("null", "record: type"),
        ("7", "record: type"),
        ("[]", "record: type"),
        ("{}", "c: missing"),
        (r#"{"c":null}"#, "c: null"),
        (r#"{"c":[]}"#, "c: missing"),
        (r#"{"c":["0","1"]}"#, "c: not-positive"),
        (r#"{"c":[null,"1"]}"#, "c: null"),
        (r#"{"c":"7"}"#, "c: type"),
        (r#"{"c":{"0":"7"}}"#, "c: type"),
        (r#"{"c":["7"],"c":["8"]}"#, "record: type"),
    ] {
        let body = format!(r#"{{"error":[],"result":{{{good},"XXBTZUSD":{bad},"XETHZUSD":{{"c":["9","1"]}}}}}}"#);
        let found = parse_response(kraken(), &RestQuery::Tickers(&markets("BTC-USD ETH-USD SOL-USD")), &body);
        let expected = ["SOL/USD last=7".to_owned(), "ETH/USD last=9".to_owned(), format!("BTC/USD rejected {reads}")];
        assert_eq!(found, expected, "{bad}");
    }
}

#[test]
fn errors_come_in_a_list_with_warnings() {
    let one = market("BTC-USD");
    let queries = [
        RestQuery::Markets,
        RestQuery::Tickers(std::slice::from_ref(&one)),
        RestQuery::Candles { market: &one, end: Minute(1), count: 1 },
    ];
    for (errors, reads, is_limit) in [
        (r#"["EQuery:Unknown asset pair"]"#, "EQuery: Unknown asset pair", false),
        (r#"["EGeneral:Too many requests"]"#, "EGeneral: Too many requests", true),
        (r#"["EAPI:Rate limit exceeded"]"#, "EAPI: Rate limit exceeded", true),
        (r#"["EService: Throttled: 1788063972"]"#, "EService: Throttled: 1788063972", true),
        (r#"["EService:Throttled"]"#, "EService: Throttled", true),
        (r#"["EGeneral:Temporary lockout"]"#, "EGeneral: Temporary lockout", true),
        (r#"["EService:Unavailable"]"#, "EService: Unavailable", false),
        (r#"["WGeneral:Deprecated","EService:Busy"]"#, "EService: Busy", false),
        (r#"["down"]"#, "down: ", false),
        ("[7]", "7: ", false),
    ] {
        for query in &queries {
            let error = kraken().response(query, &format!(r#"{{"error":{errors}}}"#)).unwrap_err();
            assert_eq!(error.to_string(), format!("the exchange answered {reads}"));
            assert_eq!(matches!(error, ParseError::RateLimited { .. }), is_limit, "{errors}");
        }
    }
    let result = r#""result":{"XXBTZUSD":{"c":["7","1"]}}"#;
    for errors in ["[]", r#"["WGeneral:Danger"]"#, "null"] {
        let body = format!(r#"{{"error":{errors},{result}}}"#);
        assert_eq!(parse_response(kraken(), &queries[1], &body), ["BTC/USD last=7"], "{errors}");
    }
    assert_eq!(parse_response(kraken(), &queries[1], &format!("{{{result}}}")), ["BTC/USD last=7"]);
    for body in [r#"{"error":[]}"#, r#"{"error":[],"result":null}"#, r#"{"error":[],"result":[]}"#, r#"{"error":"E"}"#]
    {
        for query in &queries {
            assert!(matches!(kraken().response(query, body), Err(ParseError::Payload(_))), "{body}");
        }
    }
}

#[test]
fn candles_are_accepted_as_a_whole_or_not_at_all() {
    let (one, end) = (market("BTC-USD"), Minute(1_788_064_020 / 60));
    let query = RestQuery::Candles { market: &one, end, count: 10 };
    let row = |minute: i64, prices: &str| format!(r#"[{},{prices},"0","2.5",3]"#, minute * 60);
    let flat = r#""5","5","5","5""#;
    let read = |rows: &[&str]| {
        let body = format!(r#"{{"error":[],"result":{{"XXBTZUSD":[{}],"last":1}}}}"#, rows.join(","));
        parse_response(kraken(), &query, &body)
    };
    let (good, later) = (row(end.0 - 2, flat), row(end.0, flat));
    assert_eq!(read(&[&good, &later]), ["2026-08-30T04:25:00Z 5 5 5 5 2.5 -"]);
    assert!(read(&[]).is_empty());
    for (bad, message) in [
        (row(end.0 - 2, r#""5","6","5","5""#), "two different candles for 2026-08-30T04:25:00Z"),
        (row(end.0 - 1, r#""5","4","5","5""#), "candle 1: candle: candle"),
        (row(end.0 - 1, r#""5","6","null","5""#), "candle 1: low: malformed"),
        (row(end.0 - 1, r#""5","6",null,"5""#), "candle 1: low: null"),
        (row(end.0 - 1, r#""5","6","5","0""#), "candle 1: close: not-positive"),
        (format!(r#"[{},{flat},"0","1",1]"#, end.0 * 60 - 59), "candle 1: time: time"),
        (format!(r#"[null,{flat},"0","1",1]"#), "candle 1: time: time"),
        (format!(r#"[true,{flat},"0","1",1]"#), "candle 1: time: type"),
        (format!(r#"["{}",{flat},"0","1"]"#, end.0 * 60 - 60), "candle 1: record: type"),
        ("[]".to_owned(), "candle 1: record: type"),
        ("null".to_owned(), "candle 1: record: type"),
    ] {
        assert_eq!(read(&[&good, &bad]), [format!("error unreadable answer: {message}")], "{bad}");
    }
    for result in [r#"{"last":1}"#, r#"{"A":[],"B":[]}"#, r#"{"A":{},"last":1}"#] {
        let found = parse_response(kraken(), &query, &format!(r#"{{"error":[],"result":{result}}}"#));
        assert_eq!(found, ["error unreadable answer: expected the candles of one market"], "{result}");
    }
}

fn frames(texts: &[String]) -> Vec<(String, Vec<String>)> {
    let read = |text: &String| {
        let frame: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(frame["params"]["channel"], "ticker");
        let symbols = frame["params"]["symbol"].as_array().unwrap().iter();
        (frame["method"].as_str().unwrap().to_owned(), symbols.map(|s| s.as_str().unwrap().to_owned()).collect())
    };
    texts.iter().map(read).collect()
}

fn frame(method: &str, symbols: &[&str]) -> (String, Vec<String>) {
    (method.to_owned(), symbols.iter().map(|symbol| (*symbol).to_owned()).collect())
}

#[test]
fn frames_add_and_remove_symbols_and_repeat_none_that_is_open() {
    let (old, new) = (markets("BTC-USD ETH-USD"), markets("BTC-USD SOL-USD"));
    let mut session = kraken().session();
    assert_eq!(frames(&session.subscribe(&old, &[])), [frame("subscribe", &["BTC/USD", "ETH/USD"])]);
    let changed = [frame("unsubscribe", &["ETH/USD"]), frame("subscribe", &["SOL/USD"])];
    assert_eq!(frames(&session.subscribe(&new, &old)), changed);
    // One that is to be subscribed to again is removed first.
    let again = [frame("unsubscribe", &["BTC/USD"]), frame("subscribe", &["BTC/USD"])];
    assert_eq!(frames(&session.subscribe(&new, &new[1..])), again);
    assert!(session.subscribe(&new, &new).is_empty());
    let many: Vec<Market> = (0..250).map(|n| Market::new(&format!("A{n}"), "USD").unwrap()).collect();
    let sizes: Vec<usize> = frames(&kraken().session().subscribe(&many, &[])).iter().map(|(_, s)| s.len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
}

#[test]
fn answers_and_states_are_read() {
    let status = |data: &str| format!(r#"{{"channel":"status","type":"update","data":{data}}}"#);
    for (text, reads) in [
        (r#"{"method":"pong","req_id":1,"time_in":"x"}"#.to_owned(), "reply pong"),
        (r#"{"error":"Exceeded msg rate"}"#.to_owned(), "refused Exceeded msg rate"),
        (r#"{"Error":"Exceeded msg rate"}"#.to_owned(), "refused Exceeded msg rate"),
        (r#"{"error":"no","method":"subscribe","success":false}"#.to_owned(), "refused no"),
        (r#"{"error":"no","method":"subscribe","symbol":"A/B"}"#.to_owned(), "refused A/B: no"),
        (r#"{"error":"no","method":"subscribe","symbol":7}"#.to_owned(), "refused no"),
        (r#"{"error":"no","method":"unsubscribe","symbol":"A/B"}"#.to_owned(), "reply no"),
        (r#"{"channel":"trade","data":[]}"#.to_owned(), "unknown trade"),
        (r#"{"channel":7}"#.to_owned(), "unknown 7"),
        ("{}".to_owned(), "unknown "),
        (status(r#"[{"system":"online"}]"#), "reply status"),
        (status(r#"[{"system":"maintenance"}]"#), "refused the exchange is in the state maintenance"),
        (status(r#"[{"system":"cancel_only"}]"#), "refused the exchange is in the state cancel_only"),
        (status("[]"), "reply status"),
        (status("null"), "reply status"),
        (r#"{"channel":"ticker","data":null}"#.to_owned(), "error unreadable answer: a ticker without data"),
    ] {
        assert_eq!(parse_frame(kraken(), &text), [reads], "{text}");
    }
    let text = r#"{"error":"Currency pair not supported BTC/USD","method":"subscribe","symbol":"BTC/USD"}"#;
    let Ok(Incoming::RefusedMarket { symbol, .. }) = kraken().session().parse(text) else { panic!() };
    assert_eq!(symbol, kraken().symbol(&market("BTC-USD")), "the market is found by it");
}

fn streamed(members: &str) -> Vec<String> {
    let text = format!(r#"{{"channel":"ticker","type":"update","data":[{{"symbol":"A/USD",{members}}}]}}"#);
    describe(kraken().session().parse(&text))
}

#[test]
fn the_price_of_a_day_ago_is_the_last_price_without_the_change() {
    for (members, reads) in [
        (r#""last":7,"change":-0.50"#, "base=7.50"),
        (r#""last":7,"change":0"#, "base=7"),
        (r#""last":0.1,"change":-0.00000001"#, "base=0.10000001"),
        (r#""last":7"#, ""),
        (r#""last":7,"change":null"#, ""),
        // It would not be above zero.
        (r#""last":7,"change":7"#, ""),
        (r#""last":7,"change":1e20"#, ""),
        // Outside the range of the day.
        (r#""last":7,"low":6,"high":8,"change":1.01"#, "high=8 low=6"),
        (r#""last":7,"low":6,"high":8,"change":-1"#, "high=8 low=6 base=8"),
        (r#""last":7,"low":7.1,"high":8,"change":-1"#, "high=8 base=8"),
    ] {
        let reads = format!("A/USD last={} {reads}", if members.contains("0.1,") { "0.1" } else { "7" });
        assert_eq!(streamed(members), [reads.trim_end()], "{members}");
    }
}

#[test]
fn the_time_of_a_ticker_is_a_text_or_absent() {
    for (time, reads) in [
        (r#""2026-09-24T03:54:18.054886Z""#, "last=7 sent=1790222058054"),
        (r#""2026-09-24T03:54:18Z""#, "last=7 sent=1790222058000"),
        ("null", "last=7"),
        (r#""""#, "last=7"),
        (r#""2026-09-24""#, "rejected timestamp: time"),
        (r#""2026-13-24T03:54:18Z""#, "rejected timestamp: time"),
        ("1790222058054", "rejected timestamp: type"),
        ("true", "rejected timestamp: type"),
    ] {
        assert_eq!(streamed(&format!(r#""last":7,"timestamp":{time}"#)), [format!("A/USD {reads}")], "{time}");
    }
}
