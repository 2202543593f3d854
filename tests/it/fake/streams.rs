//! What the streams push besides tickers, from a stepped world without sockets: complete, and the same as REST says.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde_json::{Value, json};
use sisepan::fake::session::{self, Session, Step};
use sisepan::fake::{View, World, rest};

use super::client::epoch;

/// Everything that Binance documents about a symbol.
const NAMES: &[&str] = &[
    "ticker",
    "miniTicker",
    "ticker_1h",
    "ticker_4h",
    "ticker_1d",
    "trade",
    "aggTrade",
    "bookTicker",
    "avgPrice",
    "kline_1s",
    "kline_1m",
    "kline_3m",
    "kline_5m",
    "kline_15m",
    "kline_30m",
    "kline_1h",
    "kline_2h",
    "kline_4h",
    "kline_6h",
    "kline_8h",
    "kline_12h",
    "kline_1d",
    "kline_3d",
    "kline_1w",
    "kline_1M",
    "kline_1m@+08:00",
    "depth5",
    "depth10",
    "depth20",
    "depth5@100ms",
    "depth",
    "depth@100ms",
];

fn opened(venue: &str, path: &str, world: &World) -> Box<dyn Session> {
    let mut session = session::open(venue, path).unwrap_or_else(|| panic!("{venue} {path} is not served"));
    session.open(&View::new(world));
    session
}

/// Steps by 50 ms, as the server does, and gathers what is pushed.
fn pushed(session: &mut dyn Session, world: &mut World, seconds: i64) -> Vec<Value> {
    let begin = world.now();
    let mut bodies = Vec::new();
    for step in 1..=seconds * 20 {
        let now = jiff::Timestamp::from_millisecond(begin).unwrap() + SignedDuration::from_millis(step * 50);
        world.advance(now);
        for step in session.poll(&View::new(world)) {
            if let Step::Data { body, .. } = step {
                bodies.push(serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")));
            }
        }
    }
    bodies
}

fn said(session: &mut dyn Session, world: &World, frame: &str) -> Vec<Value> {
    let steps = session.receive(frame, &View::new(world)).into_iter();
    let bodies = steps.filter_map(|step| match step {
        Step::Data { body, .. } | Step::Reply(body) => Some(serde_json::from_str(&body).unwrap()),
        Step::Close(..) => None,
    });
    bodies.collect()
}

fn asked(world: &World, venue: &str, path: &str) -> Vec<Value> {
    let answer = rest(venue, &View::new(world), path);
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn no_stream_that_is_documented_stays_silent() {
    let mut world = World::new(2, epoch());
    for name in NAMES {
        let mut session = opened("binance", &format!("/stream?streams=btcusdt@{}", name.replace('+', "%2B")), &world);
        let events = pushed(&mut *session, &mut world, 8);
        assert!(!events.is_empty(), "{name} says nothing");
        assert!(events.iter().all(|event| event["stream"] == format!("btcusdt@{name}")), "{name}: {}", events[0]);
    }
    for name in ["!miniTicker@arr", "!ticker@arr", "!ticker_1h@arr"] {
        let mut session = opened("binance", &format!("/ws/{name}"), &world);
        let events = pushed(&mut *session, &mut world, 4);
        assert!(events.iter().all(|event| event.is_array()) && !events.is_empty(), "{name}");
    }
    let lengths = ["1s", "1m", "3m", "5m", "10m", "15m", "30m", "60m", "240m"].map(|length| format!("candle.{length}"));
    let kinds = ["ticker", "trade", "orderbook"].map(str::to_owned);
    for (venue, kinds) in [("upbit", [&kinds[..], &lengths[..]].concat()), ("bithumb", kinds.to_vec())] {
        for kind in kinds {
            let mut session = opened(venue, "/websocket/v1", &world);
            let frame = format!(r#"[{{"ticket":"t"}},{{"type":"{kind}","codes":["KRW-BTC"]}}]"#);
            let first = said(&mut *session, &world, &frame);
            assert_eq!((first.len(), &first[0]["type"]), (1, &json!(kind)), "{venue} {kind}: no snapshot");
            let more = pushed(&mut *session, &mut world, 8);
            assert!(!more.is_empty() && more.iter().all(|it| it["stream_type"] == "REALTIME"), "{venue} {kind}");
        }
    }
}

#[test]
fn what_is_not_served_is_refused() {
    let world = World::new(2, epoch());
    for (venue, kind) in [
        ("upbit", "candle.2m"),
        ("upbit", "candle.1h"),
        ("upbit", "myOrder"),
        ("bithumb", "candle.1m"),
        ("bithumb", "candle.1s"),
    ] {
        let mut session = opened(venue, "/websocket/v1", &world);
        let frame = format!(r#"[{{"ticket":"t"}},{{"type":"{kind}","codes":["KRW-BTC"]}}]"#);
        assert_eq!(said(&mut *session, &world, &frame)[0]["error"]["name"], "INVALID_PARAM", "{venue} {kind}");
    }
    let mut session = opened("binance", "/ws", &world);
    for (frame, code) in [
        (r#"{"method":"SUBSCRIBE","params":["btcusdt@ticker","btcusdt@referencePrice"],"id":1}"#, 2),
        (r#"{"method":"SUBSCRIBE","params":[7],"id":1}"#, 2),
        (r#"{"method":"GET_PROPERTY","params":["speed"],"id":1}"#, 0),
        (r#"{"method":"SET_PROPERTY","params":["combined",1],"id":1}"#, 1),
        (r#"{"method":"SET_PROPERTY","params":[],"id":1}"#, 2),
        ("nonsense", 3),
    ] {
        assert_eq!(said(&mut *session, &world, frame)[0]["code"], code, "{frame}");
    }
    let listed = said(&mut *session, &world, r#"{"method":"LIST_SUBSCRIPTIONS","id":2}"#);
    assert_eq!(listed[0]["result"], json!([]), "a request that was refused must add nothing");
    assert!(session::open("binance", "/ws/btcusdt@referencePrice").is_none());
    // Binance acknowledges what it has never heard of.
    let nonsense = said(&mut *session, &world, r#"{"method":"SUBSCRIBE","params":["btcusdt@nonsense"],"id":3}"#);
    assert_eq!(nonsense[0], json!({"result": null, "id": 3}));
    assert_eq!(
        said(&mut *session, &world, r#"{"method":"GET_PROPERTY","params":["combined"],"id":4}"#)[0]["result"],
        false
    );
}

#[test]
fn a_stream_of_trades_leaves_none_out() {
    let mut world = World::new(3, epoch());
    let ids = |world: &World, venue: &str, symbol: &str, after: u64| -> Vec<u64> {
        let tape = &world.by_symbol(venue, symbol).unwrap().tape;
        tape.trades().map(|trade| trade.id).filter(|id| *id > after).collect()
    };
    for name in ["trade", "aggTrade"] {
        let before = *ids(&world, "binance", "BTCUSDT", 0).last().unwrap();
        let mut session = opened("binance", "/ws", &world);
        said(&mut *session, &world, &format!(r#"{{"method":"SUBSCRIBE","params":["btcusdt@{name}"],"id":1}}"#));
        let events = pushed(&mut *session, &mut world, 60);
        let member = if name == "trade" { "t" } else { "a" };
        let told: Vec<u64> = events.iter().map(|event| event[member].as_u64().unwrap()).collect();
        assert_eq!(told, ids(&world, "binance", "BTCUSDT", before), "{name}");
        assert!(told.len() > 30, "{name}: only {} trades", told.len());
    }
    for venue in ["upbit", "bithumb"] {
        let before = *ids(&world, venue, "KRW-BTC", 0).last().unwrap();
        let mut session = opened(venue, "/websocket/v1", &world);
        let first = said(&mut *session, &world, r#"[{"ticket":"t"},{"type":"trade","codes":["KRW-BTC"]}]"#);
        assert_eq!(first[0]["stream_type"], "SNAPSHOT");
        let told = pushed(&mut *session, &mut world, 60);
        let wanted = ids(&world, venue, "KRW-BTC", before);
        assert_eq!(told.len(), wanted.len(), "{venue}");
        let numbers: BTreeSet<i64> = told.iter().map(|trade| trade["sequential_id"].as_i64().unwrap()).collect();
        assert_eq!(numbers.len(), wanted.len(), "{venue}: numbers are unique");
    }
    let rows = asked(&world, "upbit", "/v1/trades/ticks?market=KRW-BTC&count=1");
    let mut session = opened("upbit", "/websocket/v1", &world);
    let last = said(&mut *session, &world, r#"[{"ticket":"t"},{"type":"trade","codes":["KRW-BTC"]}]"#);
    assert_eq!(last[0]["sequential_id"], rows[0]["sequential_id"], "the stream and REST number Upbit's trades alike");
}

#[test]
fn each_candle_is_closed_once_and_then_is_as_rest_says() {
    let mut world = World::new(4, epoch());
    for symbol in ["BTCUSDT", "SANDUSDT"] {
        let path = format!("/ws/{}@kline_1m", symbol.to_ascii_lowercase());
        let mut session = opened("binance", &path, &world);
        let begin = world.now() / 60_000;
        let events = pushed(&mut *session, &mut world, 400);
        let minutes = usize::try_from(world.now() / 60_000 - begin).unwrap();
        let closed: Vec<&Value> = events.iter().map(|event| &event["k"]).filter(|kline| kline["x"] == true).collect();
        assert_eq!(closed.len(), minutes, "{symbol}");
        assert!(
            closed.windows(2).all(|pair| pair[1]["t"].as_i64().unwrap() - pair[0]["t"].as_i64().unwrap() == 60_000)
        );
        for kline in closed {
            let path = format!("/api/v3/klines?symbol={symbol}&interval=1m&limit=1&startTime={}", kline["t"]);
            let row = &asked(&world, "binance", &path)[0];
            for (member, cell) in
                [("o", 1), ("h", 2), ("l", 3), ("c", 4), ("v", 5), ("q", 7), ("n", 8), ("V", 9), ("Q", 10)]
            {
                assert_eq!(kline[member], row[cell], "{symbol} {} {member}", kline["t"]);
            }
        }
    }
}

#[test]
fn the_last_frame_about_an_upbit_candle_is_as_rest_says() {
    let mut world = World::new(4, epoch());
    for (kind, path, market) in [
        ("candle.1s", "seconds", "KRW-BTC"),
        ("candle.1m", "minutes/1", "KRW-BTC"),
        ("candle.3m", "minutes/3", "KRW-BSV"),
    ] {
        let mut session = opened("upbit", "/websocket/v1", &world);
        let frame = format!(r#"[{{"ticket":"t"}},{{"type":"{kind}","codes":["{market}"]}}]"#);
        let mut events = said(&mut *session, &world, &frame);
        events.extend(pushed(&mut *session, &mut world, 400));
        let rows = asked(&world, "upbit", &format!("/v1/candles/{path}?market={market}&count=200"));
        // The newest may have changed less than a second ago.
        let rows: BTreeMap<&str, &Value> =
            rows.iter().skip(1).map(|row| (row["candle_date_time_utc"].as_str().unwrap(), row)).collect();
        let last: BTreeMap<&str, &Value> =
            events.iter().map(|event| (event["candle_date_time_utc"].as_str().unwrap(), event)).collect();
        let mut compared = 0;
        for (begin, event) in &last {
            let Some(row) = rows.get(begin) else { continue };
            for name in ["opening_price", "high_price", "low_price", "trade_price", "candle_acc_trade_volume"] {
                let (told, wanted) = (event[name].as_f64().unwrap(), row[name].as_f64().unwrap());
                assert!((told - wanted).abs() <= wanted * 1e-12, "{kind} {begin} {name}: {told}, not {wanted}");
            }
            compared += 1;
        }
        assert!(compared > if kind == "candle.3m" { 0 } else { 5 }, "{kind}: compared {compared}");
        if kind == "candle.1s" {
            let from = *last.keys().next().unwrap();
            let missed = rows.keys().filter(|begin| **begin > from && !last.contains_key(*begin)).count();
            assert_eq!(missed, 0, "seconds with trades that nothing was said about");
        }
    }
}

#[test]
fn upbit_books_can_be_shallow_gathered_and_short_spelled() {
    let world = World::new(4, epoch());
    let mut session = opened("upbit", "/websocket/v1", &world);
    let frame = r#"[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC.5","KRW-XRP"]}]"#;
    let books = said(&mut *session, &world, frame);
    assert_eq!(books.iter().map(|book| book["orderbook_units"].as_array().unwrap().len()).collect::<Vec<_>>(), [5, 30]);
    assert_eq!((&books[0]["code"], &books[0]["level"]), (&json!("KRW-BTC"), &json!(0)));
    let frame = r#"[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC"],"level":10000},{"format":"SIMPLE_LIST"}]"#;
    let book = &said(&mut *session, &world, frame)[0][0];
    assert_eq!((&book["ty"], &book["lv"]), (&json!("orderbook"), &json!(10_000)));
    assert!(book["obu"].as_array().unwrap().iter().all(|unit| unit["ap"].as_i64().unwrap() % 10_000 == 0), "{book}");
    let frame = r#"[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC"],"level":7}]"#;
    assert!(said(&mut *session, &world, frame).is_empty(), "a step that is not supported: no data, as the docs say");
    let mut session = opened("bithumb", "/websocket/v1", &world);
    let book = &said(&mut *session, &world, r#"[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC"]}]"#)[0];
    assert_eq!(book["timestamp"], world.now() * 1000, "microseconds");
}
