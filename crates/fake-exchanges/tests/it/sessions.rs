//! What the streams push besides tickers, from a simulation without sockets: complete, and consistent with REST.

use std::collections::{BTreeMap, BTreeSet};

use fake_exchanges::session::{Session, Step};
use fake_exchanges::{FaultView, Simulation, rest, venues};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::client::start_time;

/// All streams of a symbol that Binance documents.
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

fn open_session(venue: &str, path: &str, simulation: &Simulation) -> Box<dyn Session> {
    let mut session = venues::open(venue, path).unwrap_or_else(|| panic!("{venue} {path} is not served"));
    session.open(&FaultView::new(simulation));
    session
}

/// Advances in steps of 50 ms, as the server does, and returns what the session pushes.
fn run_live(session: &mut dyn Session, simulation: &mut Simulation, seconds: i64) -> Vec<Value> {
    let begin = simulation.now();
    let mut bodies = Vec::new();
    for step in 1..=seconds * 20 {
        let now = jiff::Timestamp::from_millisecond(begin).unwrap() + SignedDuration::from_millis(step * 50);
        simulation.advance(now);
        for step in session.poll(&FaultView::new(simulation)) {
            if let Step::Data { body, .. } = step {
                bodies.push(serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")));
            }
        }
    }
    bodies
}

fn send(session: &mut dyn Session, simulation: &Simulation, frame: &str) -> Vec<Value> {
    let steps = session.receive(frame, &FaultView::new(simulation)).into_iter();
    let bodies = steps.filter_map(|step| match step {
        Step::Data { body, .. } | Step::Reply(body) => Some(serde_json::from_str(&body).unwrap()),
        Step::Close(..) => None,
    });
    bodies.collect()
}

fn get(simulation: &Simulation, venue: &str, path: &str) -> Vec<Value> {
    let answer = rest(venue, &FaultView::new(simulation), path);
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn every_documented_stream_sends_data() {
    let mut simulation = Simulation::new(2, start_time());
    for name in NAMES {
        let mut session =
            open_session("binance", &format!("/stream?streams=btcusdt@{}", name.replace('+', "%2B")), &simulation);
        let events = run_live(&mut *session, &mut simulation, 8);
        assert!(!events.is_empty(), "{name} sends nothing");
        assert!(events.iter().all(|event| event["stream"] == format!("btcusdt@{name}")), "{name}: {}", events[0]);
    }
    for name in ["!miniTicker@arr", "!ticker@arr", "!ticker_1h@arr"] {
        let mut session = open_session("binance", &format!("/ws/{name}"), &simulation);
        let events = run_live(&mut *session, &mut simulation, 4);
        assert!(events.iter().all(|event| event.is_array()) && !events.is_empty(), "{name}");
    }
    let lengths = ["1s", "1m", "3m", "5m", "10m", "15m", "30m", "60m", "240m"].map(|length| format!("candle.{length}"));
    let kinds = ["ticker", "trade", "orderbook"].map(str::to_owned);
    for (venue, kinds) in [("upbit", [&kinds[..], &lengths[..]].concat()), ("bithumb", kinds.to_vec())] {
        for kind in kinds {
            let mut session = open_session(venue, "/websocket/v1", &simulation);
            let frame = format!(r#"[{{"ticket":"t"}},{{"type":"{kind}","codes":["KRW-BTC"]}}]"#);
            let first = send(&mut *session, &simulation, &frame);
            assert_eq!((first.len(), &first[0]["type"]), (1, &json!(kind)), "{venue} {kind}: no snapshot");
            let more = run_live(&mut *session, &mut simulation, 8);
            assert!(!more.is_empty() && more.iter().all(|it| it["stream_type"] == "REALTIME"), "{venue} {kind}");
        }
    }
}

#[test]
fn streams_that_are_not_served_are_refused() {
    let simulation = Simulation::new(2, start_time());
    for (venue, kind) in [
        ("upbit", "candle.2m"),
        ("upbit", "candle.1h"),
        ("upbit", "myOrder"),
        ("bithumb", "candle.1m"),
        ("bithumb", "candle.1s"),
    ] {
        let mut session = open_session(venue, "/websocket/v1", &simulation);
        let frame = format!(r#"[{{"ticket":"t"}},{{"type":"{kind}","codes":["KRW-BTC"]}}]"#);
        assert_eq!(send(&mut *session, &simulation, &frame)[0]["error"]["name"], "INVALID_PARAM", "{venue} {kind}");
    }
    let mut session = open_session("binance", "/ws", &simulation);
    for (frame, code) in [
        (r#"{"method":"SUBSCRIBE","params":["btcusdt@ticker","btcusdt@referencePrice"],"id":1}"#, 2),
        (r#"{"method":"SUBSCRIBE","params":[7],"id":1}"#, 2),
        (r#"{"method":"GET_PROPERTY","params":["speed"],"id":1}"#, 0),
        (r#"{"method":"SET_PROPERTY","params":["combined",1],"id":1}"#, 1),
        (r#"{"method":"SET_PROPERTY","params":[],"id":1}"#, 2),
        ("nonsense", 3),
    ] {
        assert_eq!(send(&mut *session, &simulation, frame)[0]["code"], code, "{frame}");
    }
    let listed = send(&mut *session, &simulation, r#"{"method":"LIST_SUBSCRIPTIONS","id":2}"#);
    assert_eq!(listed[0]["result"], json!([]), "a refused request must add nothing");
    assert!(venues::open("binance", "/ws/btcusdt@referencePrice").is_none());
    // Binance acknowledges unknown names.
    let nonsense = send(&mut *session, &simulation, r#"{"method":"SUBSCRIBE","params":["btcusdt@nonsense"],"id":3}"#);
    assert_eq!(nonsense[0], json!({"result": null, "id": 3}));
    assert_eq!(
        send(&mut *session, &simulation, r#"{"method":"GET_PROPERTY","params":["combined"],"id":4}"#)[0]["result"],
        false
    );
}

#[test]
fn a_trade_stream_sends_every_trade() {
    let mut simulation = Simulation::new(3, start_time());
    let ids = |simulation: &Simulation, venue: &str, symbol: &str, after: u64| -> Vec<u64> {
        let trade_log = &simulation.by_symbol(venue, symbol).unwrap().trade_log;
        trade_log.trades().map(|trade| trade.id).filter(|id| *id > after).collect()
    };
    for name in ["trade", "aggTrade"] {
        let before = *ids(&simulation, "binance", "BTCUSDT", 0).last().unwrap();
        let mut session = open_session("binance", "/ws", &simulation);
        send(&mut *session, &simulation, &format!(r#"{{"method":"SUBSCRIBE","params":["btcusdt@{name}"],"id":1}}"#));
        let events = run_live(&mut *session, &mut simulation, 60);
        let member = if name == "trade" { "t" } else { "a" };
        let sent: Vec<u64> = events.iter().map(|event| event[member].as_u64().unwrap()).collect();
        assert_eq!(sent, ids(&simulation, "binance", "BTCUSDT", before), "{name}");
        assert!(sent.len() > 30, "{name}: only {} trades", sent.len());
    }
    for venue in ["upbit", "bithumb"] {
        let before = *ids(&simulation, venue, "KRW-BTC", 0).last().unwrap();
        let mut session = open_session(venue, "/websocket/v1", &simulation);
        let first = send(&mut *session, &simulation, r#"[{"ticket":"t"},{"type":"trade","codes":["KRW-BTC"]}]"#);
        assert_eq!(first[0]["stream_type"], "SNAPSHOT");
        let sent = run_live(&mut *session, &mut simulation, 60);
        let wanted = ids(&simulation, venue, "KRW-BTC", before);
        assert_eq!(sent.len(), wanted.len(), "{venue}");
        let numbers: BTreeSet<i64> = sent.iter().map(|trade| trade["sequential_id"].as_i64().unwrap()).collect();
        assert_eq!(numbers.len(), wanted.len(), "{venue}: ids are not unique");
    }
    let rows = get(&simulation, "upbit", "/v1/trades/ticks?market=KRW-BTC&count=1");
    let mut session = open_session("upbit", "/websocket/v1", &simulation);
    let last = send(&mut *session, &simulation, r#"[{"ticket":"t"},{"type":"trade","codes":["KRW-BTC"]}]"#);
    assert_eq!(last[0]["sequential_id"], rows[0]["sequential_id"], "ids differ between the stream and REST");
}

#[test]
fn each_candle_is_closed_once_and_then_equals_rest() {
    let mut simulation = Simulation::new(4, start_time());
    for symbol in ["BTCUSDT", "SANDUSDT"] {
        let path = format!("/ws/{}@kline_1m", symbol.to_ascii_lowercase());
        let mut session = open_session("binance", &path, &simulation);
        let begin = simulation.now() / 60_000;
        let events = run_live(&mut *session, &mut simulation, 400);
        let minutes = usize::try_from(simulation.now() / 60_000 - begin).unwrap();
        let closed: Vec<&Value> = events.iter().map(|event| &event["k"]).filter(|kline| kline["x"] == true).collect();
        assert_eq!(closed.len(), minutes, "{symbol}");
        assert!(
            closed.windows(2).all(|pair| pair[1]["t"].as_i64().unwrap() - pair[0]["t"].as_i64().unwrap() == 60_000)
        );
        for kline in closed {
            let path = format!("/api/v3/klines?symbol={symbol}&interval=1m&limit=1&startTime={}", kline["t"]);
            let row = &get(&simulation, "binance", &path)[0];
            for (member, cell) in
                [("o", 1), ("h", 2), ("l", 3), ("c", 4), ("v", 5), ("q", 7), ("n", 8), ("V", 9), ("Q", 10)]
            {
                assert_eq!(kline[member], row[cell], "{symbol} {} {member}", kline["t"]);
            }
        }
    }
}

#[test]
fn the_last_frame_of_an_upbit_candle_equals_rest() {
    let mut simulation = Simulation::new(4, start_time());
    for (kind, path, market) in [
        ("candle.1s", "seconds", "KRW-BTC"),
        ("candle.1m", "minutes/1", "KRW-BTC"),
        ("candle.3m", "minutes/3", "KRW-BSV"),
    ] {
        let mut session = open_session("upbit", "/websocket/v1", &simulation);
        let frame = format!(r#"[{{"ticket":"t"}},{{"type":"{kind}","codes":["{market}"]}}]"#);
        let mut events = send(&mut *session, &simulation, &frame);
        events.extend(run_live(&mut *session, &mut simulation, 400));
        let rows = get(&simulation, "upbit", &format!("/v1/candles/{path}?market={market}&count=200"));
        // Without the newest: it may have changed since the last frame, less than a second ago.
        let rows: BTreeMap<&str, &Value> =
            rows.iter().skip(1).map(|row| (row["candle_date_time_utc"].as_str().unwrap(), row)).collect();
        let last: BTreeMap<&str, &Value> =
            events.iter().map(|event| (event["candle_date_time_utc"].as_str().unwrap(), event)).collect();
        let mut compared = 0;
        for (begin, event) in &last {
            let Some(row) = rows.get(begin) else { continue };
            for name in ["opening_price", "high_price", "low_price", "trade_price", "candle_acc_trade_volume"] {
                let (sent, wanted) = (event[name].as_f64().unwrap(), row[name].as_f64().unwrap());
                assert!((sent - wanted).abs() <= wanted * 1e-12, "{kind} {begin} {name}: {sent}, not {wanted}");
            }
            compared += 1;
        }
        assert!(compared > if kind == "candle.3m" { 0 } else { 5 }, "{kind}: compared {compared}");
        if kind == "candle.1s" {
            let from = *last.keys().next().unwrap();
            let missed = rows.keys().filter(|begin| **begin > from && !last.contains_key(*begin)).count();
            assert_eq!(missed, 0, "seconds with trades but without a frame");
        }
    }
}

#[test]
fn upbit_books_support_depth_grouping_and_the_simple_format() {
    let simulation = Simulation::new(4, start_time());
    let mut session = open_session("upbit", "/websocket/v1", &simulation);
    let frame = r#"[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC.5","KRW-XRP"]}]"#;
    let books = send(&mut *session, &simulation, frame);
    assert_eq!(books.iter().map(|book| book["orderbook_units"].as_array().unwrap().len()).collect::<Vec<_>>(), [5, 30]);
    assert_eq!((&books[0]["code"], &books[0]["level"]), (&json!("KRW-BTC"), &json!(0)));
    let frame = r#"[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC"],"level":10000},{"format":"SIMPLE_LIST"}]"#;
    let book = &send(&mut *session, &simulation, frame)[0][0];
    assert_eq!((&book["ty"], &book["lv"]), (&json!("orderbook"), &json!(10_000)));
    assert!(book["obu"].as_array().unwrap().iter().all(|unit| unit["ap"].as_i64().unwrap() % 10_000 == 0), "{book}");
    let frame = r#"[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC"],"level":7}]"#;
    assert!(send(&mut *session, &simulation, frame).is_empty(), "an unsupported grouping step: no data, as documented");
    let mut session = open_session("bithumb", "/websocket/v1", &simulation);
    let book = &send(&mut *session, &simulation, r#"[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC"]}]"#)[0];
    assert_eq!(book["timestamp"], simulation.now() * 1000, "microseconds");
}
