//! `sisepan demo` starts with a history as if an earlier run had stored it.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sisepan::market::Basis;

use super::Program;

/// Minutes at the end of a history that may still be unknown, since they have just ended.
const NEWEST: i64 = 3;

#[tokio::test]
async fn the_demo_has_seven_days_of_every_market_and_every_change_at_once() {
    let demo = Program::start(&["demo", "--listen", "127.0.0.1:0"]).await;
    let live = |snapshot: &Value| {
        let rows = snapshot["rows"].as_array().unwrap();
        !rows.is_empty() && rows.iter().all(|row| row["state"] == "live")
    };
    let snapshot = demo.wait("live", "/api/v1/snapshot", live).await;
    for market in snapshot["rows"].as_array().unwrap().iter().map(|row| row["market"].as_str().unwrap()) {
        let path = format!("/api/v1/history/{market}?span=7d&step=1m");
        let venues = demo.get(&path).await["venues"].clone();
        for venue in venues.as_array().unwrap().iter().map(|venue| venue.as_str().unwrap()) {
            let path = format!("{path}&venue={venue}");
            let history = demo.get(&path).await;
            let time = |name: &str| history[name].as_str().unwrap().parse::<Timestamp>().unwrap();
            let (span, week) = (time("end").duration_since(time("start")), SignedDuration::from_hours(7 * 24));
            assert!(span >= week - SignedDuration::from_mins(NEWEST) && span <= week, "{path}: {span}");
            let closes = history["close"].as_array().unwrap();
            assert_eq!(i64::try_from(closes.len()).unwrap(), span.as_mins(), "{path}");
            let holes = closes.iter().rev().skip(3).filter(|close| close.is_null()).count();
            assert_eq!(holes, 0, "{path}: minutes without a close");
        }
        // The last moments before the start are filled like those of any other restart.
        let complete = |history: &Value| history["close"].as_array().unwrap().iter().all(|close| !close.is_null());
        demo.wait("complete", &path, complete).await;
    }
    for basis in Basis::ALL {
        let snapshot = demo.get(&format!("/api/v1/snapshot?basis={basis}")).await;
        for row in snapshot["rows"].as_array().unwrap() {
            let change = &row["change"];
            assert!(change["percent"].is_string() && change["base_source"] == "window", "{basis}: {row}");
        }
    }
    demo.kill().await;
}
