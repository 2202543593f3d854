//! Upbit and Bithumb from a simulation without sockets: complete tickers, every trade, and what is refused.

use fake_exchanges::session::{Session, Step};
use fake_exchanges::units::to_decimal;
use fake_exchanges::{FaultView, Simulation, rest, venues};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::client::start_time;

const VENUES: [&str; 2] = ["upbit", "bithumb"];

const BITCOIN: &str = r#"[{"ticket":"t"},{"type":"ticker","codes":["KRW-BTC"]}]"#;

fn open_session(venue: &str) -> Box<dyn Session> {
    venues::open(venue, "/websocket/v1").unwrap()
}

fn bodies(steps: Vec<Step>) -> Vec<Value> {
    let body = |step| match step {
        Step::Data { body, .. } | Step::Reply(body) => Some(serde_json::from_str(&body).unwrap()),
        Step::Close(..) => None,
    };
    steps.into_iter().filter_map(body).collect()
}

fn send(session: &mut dyn Session, simulation: &Simulation, frame: &str) -> Vec<Value> {
    bodies(session.receive(frame, &FaultView::new(simulation)))
}

#[test]
fn every_member_of_a_ticker_has_a_value() {
    let simulation = Simulation::new(2, start_time());
    for venue in VENUES {
        let rows = rest(venue, &FaultView::new(&simulation), "/v1/ticker?markets=KRW-BTC").body;
        let rows: Value = serde_json::from_slice(&rows).unwrap();
        let frame = &send(&mut *open_session(venue), &simulation, BITCOIN)[0];
        assert_eq!((&frame["type"], &frame["stream_type"]), (&json!("ticker"), &json!("SNAPSHOT")), "{venue}");
        for (ticker, members) in [(&rows[0], 26), (frame, 33)] {
            let ticker = ticker.as_object().unwrap();
            assert_eq!(ticker.len(), members, "{venue} {ticker:?}");
            // Upbit's way to say that there is no date.
            let nulls: Vec<&str> = ticker.iter().filter(|it| it.1.is_null()).map(|it| it.0.as_str()).collect();
            let has_null = venue == "upbit" && members == 33;
            assert_eq!(nulls, if has_null { vec!["delisting_date"] } else { vec![] }, "{venue}");
        }
    }
}

#[test]
fn the_ticker_stream_sends_every_trade() {
    let mut simulation = Simulation::new(3, start_time());
    for venue in VENUES {
        let mut session = open_session(venue);
        assert_eq!(send(&mut *session, &simulation, BITCOIN)[0]["stream_type"], "SNAPSHOT");
        let begin = simulation.now();
        let mut sent = Vec::new();
        // In steps of 50 ms, as the server does.
        for step in 1..=1200 {
            let now = Timestamp::from_millisecond(begin).unwrap() + SignedDuration::from_millis(step * 50);
            simulation.advance(now);
            for frame in bodies(session.poll(&FaultView::new(&simulation))) {
                assert_eq!(frame["stream_type"], "REALTIME");
                let price = frame["trade_price"].as_number().unwrap().to_string();
                let price = Decimal::from_scientific(&price).or_else(|_| price.parse()).unwrap();
                sent.push((frame["trade_timestamp"].as_i64().unwrap(), price.normalize()));
            }
        }
        let trades = simulation.by_symbol(venue, "KRW-BTC").unwrap().trade_log.trades_since(begin + 1);
        let wanted: Vec<_> = trades.map(|trade| (trade.at, to_decimal(trade.price).normalize())).collect();
        assert_eq!(sent, wanted, "{venue}");
        assert!(sent.len() > 30, "{venue}: only {} trades", sent.len());
    }
}

#[test]
fn what_is_not_served_is_refused() {
    let simulation = Simulation::new(2, start_time());
    for venue in VENUES {
        for (part, format, error) in [
            (r#""type":"trade""#, "DEFAULT", "INVALID_PARAM"),
            (r#""type":"orderbook""#, "DEFAULT", "INVALID_PARAM"),
            (r#""type":"candle.1m""#, "DEFAULT", "INVALID_PARAM"),
            (r#""type":"myOrder""#, "DEFAULT", "INVALID_PARAM"),
            (r#""type":"ticker","isOnlyRealtime":true"#, "DEFAULT", "INVALID_PARAM"),
            (r#""type":"ticker""#, "SIMPLE", "WRONG_FORMAT"),
            (r#""type":"ticker""#, "JSON_LIST", "WRONG_FORMAT"),
            (r#""type":"ticker","isOnlyRealtime":false"#, "DEFAULT", ""),
        ] {
            let frame = format!(r#"[{{"ticket":"t"}},{{{part},"codes":["KRW-BTC"]}},{{"format":"{format}"}}]"#);
            let answer = &send(&mut *open_session(venue), &simulation, &frame)[0];
            assert_eq!(answer["error"]["name"].as_str().unwrap_or_default(), error, "{venue} {frame}");
        }
        assert!(venues::open(venue, "/pub/ws").is_none(), "{venue}");
    }
}
