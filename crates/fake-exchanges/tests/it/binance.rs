//! Binance's protocol: markets, tickers in all forms, errors, and named streams, from a simulation without sockets.

use fake_exchanges::session::{Session, Step};
use fake_exchanges::{FaultView, Simulation, rest, venues};
use jiff::SignedDuration;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::client::start_time;

/// The members of a ticker, in order: over REST and in the stream.
const MEMBERS: [(&str, &str); 20] = [
    ("priceChange", "p"),
    ("priceChangePercent", "P"),
    ("weightedAvgPrice", "w"),
    ("prevClosePrice", "x"),
    ("lastPrice", "c"),
    ("lastQty", "Q"),
    ("bidPrice", "b"),
    ("bidQty", "B"),
    ("askPrice", "a"),
    ("askQty", "A"),
    ("openPrice", "o"),
    ("highPrice", "h"),
    ("lowPrice", "l"),
    ("volume", "v"),
    ("quoteVolume", "q"),
    ("openTime", "O"),
    ("closeTime", "C"),
    ("firstId", "F"),
    ("lastId", "L"),
    ("count", "n"),
];
const MINI: [&str; 11] = [
    "symbol",
    "lastPrice",
    "openPrice",
    "highPrice",
    "lowPrice",
    "volume",
    "quoteVolume",
    "openTime",
    "closeTime",
    "firstId",
    "lastId",
];

fn respond(simulation: &Simulation, path: &str) -> (u16, String) {
    let response = rest("binance", &FaultView::new(simulation), path);
    (response.status, String::from_utf8(response.body).unwrap())
}

fn get(simulation: &Simulation, path: &str) -> Value {
    let (status, body) = respond(simulation, path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

fn open(simulation: &Simulation, path: &str) -> Box<dyn Session> {
    let mut session = venues::open("binance", path).unwrap_or_else(|| panic!("{path} is not served"));
    assert!(session.open(&FaultView::new(simulation)).is_empty());
    session
}

/// Returns what a session sends now.
fn poll(session: &mut dyn Session, simulation: &Simulation) -> Vec<Value> {
    let steps = session.poll(&FaultView::new(simulation)).into_iter();
    let bodies = steps.map(|step| match step {
        Step::Data { body, .. } => serde_json::from_str(&body).unwrap(),
        other => panic!("not data: {other:?}"),
    });
    bodies.collect()
}

fn request(session: &mut dyn Session, simulation: &Simulation, frame: &str) -> Value {
    match &session.receive(frame, &FaultView::new(simulation))[..] {
        [Step::Reply(body)] => serde_json::from_str(body).unwrap(),
        other => panic!("not a reply: {other:?}"),
    }
}

fn decimal(value: &Value) -> Decimal {
    value.as_str().unwrap().parse().unwrap()
}

fn amount(units: i64) -> Decimal {
    Decimal::new(units, 8)
}

/// Returns the names of an object's members in the order of the text.
fn names(body: &str) -> Vec<&str> {
    // The keys and values of a ticker contain no quotes, and no value is a name.
    body.split('"').skip(1).step_by(2).filter(|text| text.starts_with(|first: char| first.is_alphabetic())).collect()
}

#[test]
fn a_ticker_has_the_sums_of_the_trade_log_and_a_spread_of_one_tick() {
    let mut simulation = Simulation::new(5, start_time());
    simulation.advance(start_time() + SignedDuration::from_secs(30));
    for market in simulation.markets_of("binance") {
        let row = get(&simulation, &format!("/api/v3/ticker/24hr?symbol={}", market.symbol));
        let name = &market.symbol;
        let (now, last) = (simulation.now(), market.trade_log.last().unwrap());
        let trades: Vec<_> = market.trade_log.trades_since(now - 86_400_000).collect();
        assert_eq!((&row["openTime"], &row["closeTime"]), (&json!(now - 86_400_000), &json!(now)), "{name}");
        assert_eq!((&row["firstId"], &row["lastId"]), (&json!(trades[0].id), &json!(last.id)), "{name}");
        assert_eq!(row["count"], trades.len(), "{name}");
        assert_eq!(decimal(&row["openPrice"]), amount(trades[0].price), "{name}");
        assert_eq!(decimal(&row["highPrice"]), amount(trades.iter().map(|trade| trade.price).max().unwrap()), "{name}");
        assert_eq!(decimal(&row["lowPrice"]), amount(trades.iter().map(|trade| trade.price).min().unwrap()), "{name}");
        let volume: i128 = trades.iter().map(|trade| i128::from(trade.base_volume)).sum();
        let value: i128 = trades.iter().map(|trade| i128::from(trade.price) * i128::from(trade.base_volume)).sum();
        assert_eq!(decimal(&row["volume"]), Decimal::from_i128_with_scale(volume, 8), "{name}");
        assert_eq!(decimal(&row["quoteVolume"]), Decimal::from_i128_with_scale(value / 100_000_000, 8), "{name}");
        let average = Decimal::from_i128_with_scale(value / volume, 8);
        assert_eq!(decimal(&row["weightedAvgPrice"]), average, "{name}");
        let change = last.price - trades[0].price;
        assert_eq!(decimal(&row["priceChange"]), amount(change), "{name}");
        let percent = Decimal::from(change) * Decimal::ONE_HUNDRED / Decimal::from(trades[0].price);
        assert!((decimal(&row["priceChangePercent"]) - percent).abs() <= Decimal::new(5, 4), "{name}: {row}");
        // The last taker hit one of the two sides.
        let hit = if last.taker_sold { "bidPrice" } else { "askPrice" };
        assert_eq!(
            (decimal(&row["lastPrice"]), decimal(&row[hit])),
            (amount(last.price), amount(last.price)),
            "{name}"
        );
        let spread = decimal(&row["askPrice"]) - decimal(&row["bidPrice"]);
        assert_eq!(spread, amount(market.tick_size()), "{name}");
    }
}

#[test]
fn all_forms_of_a_ticker_have_the_same_values_in_binances_order() {
    let simulation = Simulation::new(5, start_time());
    let (_, body) = respond(&simulation, "/api/v3/ticker/24hr?symbol=BTCUSDT");
    let wanted: Vec<&str> = ["symbol", "BTCUSDT"].into_iter().chain(MEMBERS.map(|(rest, _)| rest)).collect();
    assert_eq!(names(&body), wanted);
    let full: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(get(&simulation, "/api/v3/ticker/24hr?symbols=[%22BTCUSDT%22,%22ETHUSDT%22]")[0], full);
    let all = get(&simulation, "/api/v3/ticker/24hr");
    assert_eq!(all.as_array().unwrap().len(), simulation.markets_of("binance").count());
    assert!(all.as_array().unwrap().contains(&full));
    let mini = get(&simulation, "/api/v3/ticker/24hr?symbol=BTCUSDT&type=MINI");
    assert_eq!(mini.as_object().unwrap().len(), MINI.len() + 1, "{mini}");
    assert!(MINI.iter().chain(&["count"]).all(|name| mini[name] == full[name]), "{mini}");

    let event = &poll(&mut *open(&simulation, "/ws/btcusdt@ticker"), &simulation)[0];
    assert_eq!((&event["e"], &event["E"], &event["s"]), (&json!("24hrTicker"), &full["closeTime"], &full["symbol"]));
    assert_eq!(event.as_object().unwrap().len(), MEMBERS.len() + 3, "{event}");
    assert!(MEMBERS.iter().all(|(rest, stream)| event[stream] == full[rest]), "{event}");
    let event = &poll(&mut *open(&simulation, "/ws/btcusdt@miniTicker"), &simulation)[0];
    assert_eq!((&event["e"], event.as_object().unwrap().len()), (&json!("24hrMiniTicker"), 9));
    let members = MEMBERS.iter().filter(|(_, stream)| "cohlvq".contains(stream));
    assert!(members.into_iter().all(|(rest, stream)| event[stream] == full[rest]), "{event}");
}

#[test]
fn the_market_list_can_be_narrowed() {
    let simulation = Simulation::new(5, start_time());
    let all = get(&simulation, "/api/v3/exchangeInfo");
    assert_eq!(all["symbols"].as_array().unwrap().len(), simulation.markets_of("binance").count());
    let some = get(&simulation, "/api/v3/exchangeInfo?symbols=[%22BTCUSDT%22,%22PEPEUSDT%22]");
    let symbols: Vec<&Value> = some["symbols"].as_array().unwrap().iter().map(|row| &row["symbol"]).collect();
    assert_eq!(symbols, ["BTCUSDT", "PEPEUSDT"]);
    let row = &some["symbols"][1];
    assert_eq!(
        (&row["baseAsset"], &row["quoteAsset"], &row["status"]),
        (&json!("PEPE"), &json!("USDT"), &json!("TRADING"))
    );
    let filters = ["PRICE_FILTER", "LOT_SIZE", "NOTIONAL"];
    assert_eq!(filters.map(|name| json!(name)), [0, 1, 2].map(|at: usize| row["filters"][at]["filterType"].clone()));
    assert_eq!(row["filters"][0]["tickSize"], "0.00000001");
    assert_eq!(row["permissionSets"], json!([["SPOT"]]));
    let brief = get(&simulation, "/api/v3/exchangeInfo?symbol=PEPEUSDT&showPermissionSets=false");
    assert_eq!(brief["symbols"][0]["permissionSets"], json!([]));
}

#[test]
fn a_candle_states_what_takers_bought() {
    let simulation = Simulation::new(5, start_time());
    let rows = get(&simulation, "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1000");
    let log = &simulation.by_symbol("binance", "BTCUSDT").unwrap().trade_log;
    for row in rows.as_array().unwrap() {
        let start = row[0].as_i64().unwrap();
        let trades: Vec<_> = log.trades_since(start).take_while(|trade| trade.at < start + 60_000).collect();
        let volume = |is_bought: bool| -> i64 {
            trades.iter().filter(|trade| !is_bought || !trade.taker_sold).map(|trade| trade.base_volume).sum()
        };
        let value: i128 = trades.iter().map(|trade| i128::from(trade.price) * i128::from(trade.base_volume)).sum();
        assert_eq!(decimal(&row[9]), amount(volume(true)), "{row}");
        assert_eq!(decimal(&row[7]), Decimal::from_i128_with_scale(value / 100_000_000, 8), "{row}");
        let is_empty = trades.is_empty();
        let estimate = if is_empty { Decimal::ZERO } else { decimal(&row[7]) * decimal(&row[9]) / decimal(&row[5]) };
        assert!((decimal(&row[10]) - estimate).abs() <= amount(1), "{row}");
        assert_eq!((row.as_array().unwrap().len(), &row[11]), (12, &json!("0")));
    }
}

#[test]
fn wrong_parameters_get_the_documented_codes() {
    let simulation = Simulation::new(5, start_time());
    for (path, status, code) in [
        ("/api/v3/klines?interval=1m", 400, -1102),
        ("/api/v3/klines?symbol=BTCUSDT", 400, -1102),
        ("/api/v3/klines?symbol=BTCUSDT&interval=1h", 400, -1120),
        ("/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=0", 400, -1130),
        ("/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=x", 400, -1100),
        ("/api/v3/ticker/24hr?symbol=NOPE", 400, -1121),
        ("/api/v3/ticker/24hr?symbols=[%22BTCUSDT%22,%22NOPE%22]", 400, -1121),
        ("/api/v3/ticker/24hr?symbols=BTCUSDT", 400, -1100),
        ("/api/v3/ticker/24hr?symbol=BTCUSDT&symbols=[%22BTCUSDT%22]", 400, -1128),
        ("/api/v3/exchangeInfo?symbol=NOPE", 400, -1121),
    ] {
        let (found, body) = respond(&simulation, path);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{path}: {body}");
        assert!(!body["msg"].as_str().unwrap().is_empty(), "{path}: {body}");
    }
    for path in ["/api/v3/depth?symbol=BTCUSDT", "/api/v3/ticker", "/api/v3/nothing"] {
        assert_eq!(respond(&simulation, path), (404, String::new()), "{path}");
    }
}

#[test]
fn each_stream_sends_a_ticker_at_most_once_a_second() {
    let mut simulation = Simulation::new(2, start_time());
    let mut session = open(&simulation, "/stream?streams=btcusdt@ticker/btcusdt%40miniTicker");
    let mut times = std::collections::BTreeMap::<String, Vec<i64>>::new();
    for step in 1..=1200 {
        simulation.advance(start_time() + SignedDuration::from_millis(step * 50));
        for event in poll(&mut *session, &simulation) {
            let name = event["stream"].as_str().unwrap().to_owned();
            times.entry(name).or_default().push(event["data"]["E"].as_i64().unwrap());
        }
    }
    assert_eq!(times.keys().collect::<Vec<_>>(), ["btcusdt@miniTicker", "btcusdt@ticker"]);
    for (name, times) in times {
        assert!(times.len() >= 20, "{name}: {times:?}");
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 1000), "{name}: {times:?}");
    }
}

#[test]
fn streams_that_are_not_served_are_refused() {
    let simulation = Simulation::new(2, start_time());
    let mut session = open(&simulation, "/ws");
    for (frame, code) in [
        (r#"{"method":"SUBSCRIBE","params":["btcusdt@ticker","btcusdt@referencePrice"],"id":1}"#, 2),
        (r#"{"method":"SUBSCRIBE","params":["btcusdt@kline_1m"],"id":1}"#, 2),
        (r#"{"method":"SUBSCRIBE","params":["!miniTicker@arr"],"id":1}"#, 2),
        (r#"{"method":"SUBSCRIBE","params":[7],"id":1}"#, 2),
        (r#"{"method":"SUBSCRIBE","params":[],"id":1}"#, 2),
        (r#"{"method":"UNSUBSCRIBE","id":1}"#, 2),
        (r#"{"method":"GET_PROPERTY","params":["combined"],"id":1}"#, 2),
        (r#"{"params":["btcusdt@ticker"],"id":1}"#, 2),
        ("nonsense", 3),
    ] {
        assert_eq!(request(&mut *session, &simulation, frame)["code"], code, "{frame}");
    }
    let listed = request(&mut *session, &simulation, r#"{"method":"LIST_SUBSCRIPTIONS","id":2}"#);
    assert_eq!(listed["result"], json!([]), "a refused request must add nothing");
    for path in ["/ws/btcusdt@referencePrice", "/stream?streams=btcusdt@ticker/btcusdt@depth5", "/wsx", "/elsewhere"] {
        assert!(venues::open("binance", path).is_none(), "{path}");
    }
    // Binance acknowledges unknown names.
    for name in ["btcusdt@nonsense", "BTCUSDT@ticker", "nopeusdt@ticker", "btcusdt"] {
        let frame = json!({"method": "SUBSCRIBE", "params": [name], "id": "x"}).to_string();
        assert_eq!(request(&mut *session, &simulation, &frame), json!({"result": null, "id": "x"}), "{name}");
    }
    assert!(poll(&mut *session, &simulation).is_empty());
    let frame = r#"{"method":"SUBSCRIBE","params":["ethusdt@ticker"]}"#;
    assert_eq!(request(&mut *session, &simulation, frame), json!({"result": null, "id": null}));
    assert_eq!(poll(&mut *session, &simulation)[0]["s"], "ETHUSDT");
}

#[test]
fn a_connection_has_at_most_1024_streams() {
    let simulation = Simulation::new(2, start_time());
    let mut session = open(&simulation, "/ws");
    let frame = |range: std::ops::Range<u32>| {
        let names: Vec<String> = range.map(|number| format!("x{number}usdt@ticker")).collect();
        json!({"method": "SUBSCRIBE", "params": names, "id": 1}).to_string()
    };
    assert_eq!(request(&mut *session, &simulation, &frame(0..1024))["result"], Value::Null);
    let steps = session.receive(&frame(1024..1025), &FaultView::new(&simulation));
    assert!(matches!(&steps[..], [Step::Close(1008, _)]), "{steps:?}");
}
