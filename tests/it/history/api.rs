//! `GET /api/v1/history/{market}`, called through the router.

use crate::test_hub::TestApp;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use jiff::SignedDuration;
use serde_json::{Value, json};
use sisepan::clock::Clock;
use sisepan::feed::{BoardUpdate, VenueHealth, VenueState};
use sisepan::market::{HourRecord, HourSource, Market, Minute, SourceId, VenueId};
use sisepan::store::MemoryHistory;
use sisepan::web::{AppParts, AppState};

use super::{MinuteCloses, memory_history, minute, price, rising};
use crate::api::setup::{board, changed, get, health, hub, quote, send_request, text, time};

const NOW: &str = "2026-01-15T06:27:04Z";

/// Returns an app whose board has two venues, with a row from the second one, and its clock.
pub fn app(history: Option<Arc<dyn HourSource>>) -> (TestApp, Clock) {
    let source = SourceId::new(["bithumb", "upbit"]);
    let hub = hub();
    let row = sisepan::market::Quote {
        source: source.clone(),
        venue: VenueId("upbit"),
        fallback: true,
        ..quote("BTC-KRW", "142187000")
    };
    hub.publish(changed([row]));
    let board = sisepan::config::Board { source, ..board("krw", &["BTC-KRW", "ETH-KRW"]) };
    let clock = Clock::manual(time(NOW));
    let parts = AppParts {
        hub: hub.served(),
        boards: crate::api::setup::fixed_boards(vec![board]),
        clock: clock.clone(),
        demo: false,
        history,
        store_health: None,
    };
    (TestApp::new(&hub, AppState::new(parts)), clock)
}

async fn get_json(app: &AppState, path: &str) -> (StatusCode, Value) {
    let response = get(app, path).await;
    let status = response.status();
    (status, serde_json::from_str(&text(response).await).unwrap())
}

/// A day with a gap and a quiet run.
fn day() -> MinuteCloses {
    let end = minute(NOW);
    let mut closes = rising(end - 1441..end, 1000);
    closes.retain(|&at, _| !(10..15).contains(&(at - end + 1440)));
    closes.extend((20..23).map(|n| (end - 1440 + n, None)));
    closes
}

#[tokio::test]
async fn a_day_has_one_entry_per_minute_with_gaps_and_quiet_runs() {
    let (app, _) = app(Some(memory_history("upbit", "BTC-KRW", &day())));
    let (status, body) = get_json(&app, "/api/v1/history/btc-krw").await;
    assert_eq!(status, StatusCode::OK);
    for (member, value) in [
        ("market", json!("BTC-KRW")),
        ("venue", json!("upbit")),
        ("venues", json!(["bithumb", "upbit"])),
        ("span", json!("24h")),
        ("step", json!("1m")),
        ("step_seconds", json!(60)),
        ("start", json!("2026-01-14T06:27:00Z")),
        ("end", json!("2026-01-15T06:27:00Z")),
        ("quiet", json!([[20, 3]])),
        ("open", Value::Null),
    ] {
        assert_eq!(body[member], value, "{member}");
    }
    let close = body["close"].as_array().unwrap();
    assert_eq!(close.len(), 1440);
    assert_eq!((&close[0], &close[9], &close[1439]), (&json!("1001"), &json!("1010"), &json!("2440")));
    assert!(close[10..15].iter().all(Value::is_null) && !close[15].is_null());
    assert_eq!(close[19..24], [json!("1020"), json!("1020"), json!("1020"), json!("1020"), json!("1024")]);
}

#[tokio::test]
async fn bars_open_at_the_previous_close_and_are_null_if_a_minute_is_missing() {
    let (app, _) = app(Some(memory_history("upbit", "BTC-KRW", &day())));
    let (_, body) = get_json(&app, "/api/v1/history/BTC-KRW?step=5m").await;
    // The bar from 06:25 to 06:30 begins before the first known minute.
    assert_eq!(body["start"], "2026-01-14T06:25:00Z");
    assert_eq!(body["close"].as_array().unwrap().len(), 289);
    let bar = |at: usize| ["open", "high", "low", "close"].map(|column| body[column][at].clone());
    assert_eq!(bar(0), [const { Value::Null }; 4]);
    assert_eq!(bar(1), ["1003", "1008", "1003", "1008"].map(|price| json!(price)));
    // Minutes 10 to 14 are gaps: bars that contain or open at one of them are null.
    assert_eq!([bar(2), bar(3)], [const { [const { Value::Null }; 4] }; 2]);
    assert_eq!(bar(4), ["1018", "1020", "1018", "1020"].map(|price| json!(price)));
    assert_eq!(bar(288), ["2438", "2440", "2438", "2440"].map(|price| json!(price)), "the current bar");
}

#[tokio::test]
async fn the_newest_minutes_are_left_out_while_they_may_still_arrive() {
    let mut closes = day();
    for (missing, end, entries) in [(1, "06:26", 1439), (2, "06:25", 1438), (3, "06:24", 1437), (4, "06:27", 1440)] {
        closes.remove(&(minute(NOW) - missing));
        let (app, _) = app(Some(memory_history("upbit", "BTC-KRW", &closes)));
        let (_, body) = get_json(&app, "/api/v1/history/BTC-KRW").await;
        assert_eq!(body["end"], format!("2026-01-15T{end}:00Z"));
        assert_eq!(body["close"].as_array().unwrap().len(), entries);
        let (_, bars) = get_json(&app, "/api/v1/history/BTC-KRW?step=1h").await;
        assert_eq!(bars["close"][24].is_null(), missing == 4, "{missing}");
    }
}

#[tokio::test]
async fn each_span_has_its_steps() {
    let (app, _) = app(Some(memory_history("upbit", "BTC-KRW", &day())));
    for (query, step, entries) in [
        ("span=24h", "1m", 1440),
        ("span=24h&step=15m", "15m", 97),
        ("span=24h&step=1h", "1h", 25),
        ("span=7d", "15m", 673),
        ("span=7d&step=5m", "5m", 2017),
        ("span=7d&step=1h", "1h", 169),
        ("span=7d&step=4h", "4h", 43),
    ] {
        let (status, body) = get_json(&app, &format!("/api/v1/history/BTC-KRW?{query}")).await;
        assert_eq!((status, body["step"].as_str()), (StatusCode::OK, Some(step)), "{query}");
        assert_eq!(body["close"].as_array().unwrap().len(), entries, "{query}");
        let start = Minute::of(body["start"].as_str().unwrap().parse().unwrap()).0 * 60;
        assert_eq!(start % body["step_seconds"].as_i64().unwrap(), 0, "{query}");
    }
}

#[tokio::test]
async fn another_venue_of_the_row_can_be_requested() {
    let history = memory_history("upbit", "BTC-KRW", &day());
    let one = MinuteCloses::from([(minute(NOW) - 1, Some(price("7.50")))]);
    history.record(&[super::records("bithumb", "BTC-KRW", &one)]);
    let (app, _) = app(Some(history));
    let (_, body) = get_json(&app, "/api/v1/history/BTC-KRW?venue=bithumb&board=krw").await;
    assert_eq!((&body["venue"], &body["close"][1439]), (&json!("bithumb"), &json!("7.5")));
    // For a row that was never published, the preferred venue is used.
    let (status, body) = get_json(&app, "/api/v1/history/ETH-KRW").await;
    assert_eq!((status, &body["venue"], &body["close"][0]), (StatusCode::OK, &json!("bithumb"), &Value::Null));
}

#[tokio::test]
async fn the_csv_has_the_same_figures() {
    let (app, _) = app(Some(memory_history("upbit", "BTC-KRW", &day())));
    let response = get(&app, "/api/v1/history/BTC-KRW.csv").await;
    assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8");
    let csv = text(response).await;
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 1441);
    assert_eq!(lines[..2], ["time,close,quiet", "2026-01-14T06:27:00Z,1001,false"]);
    assert_eq!((lines[11], lines[21]), ("2026-01-14T06:37:00Z,,", "2026-01-14T06:47:00Z,1020,true"));
    let csv = text(get(&app, "/api/v1/history/BTC-KRW.csv?step=5m").await).await;
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "time,open,high,low,close,quiet",
            "2026-01-14T06:25:00Z,,,,,",
            "2026-01-14T06:30:00Z,1003,1008,1003,1008,false"
        ]
    );
    assert!(lines.iter().all(|line| line.matches(',').count() == 5));
}

#[tokio::test]
async fn an_invalid_query_gets_the_parameter_and_the_allowed_values() {
    let (app, _) = app(Some(memory_history("upbit", "BTC-KRW", &day())));
    for (path, status, kind, parameter, allowed) in [
        ("DOGE-KRW", 404, "unknown-market", Value::Null, Value::Null),
        ("%3Cscript%3E", 404, "unknown-market", Value::Null, Value::Null),
        ("BTC-KRW?span=1y", 400, "bad-span", json!("span"), json!(["24h", "7d"])),
        ("BTC-KRW?step=2m", 400, "bad-step", json!("step"), json!(["1m", "5m", "15m", "1h", "4h"])),
        ("BTC-KRW?span=7d&step=2h", 400, "bad-step", json!("step"), json!(["15m", "1m", "5m", "1h", "4h"])),
        ("BTC-KRW?venue=binance", 404, "unknown-venue", json!("venue"), json!(["bithumb", "upbit"])),
        ("BTC-KRW?board=usd", 404, "unknown-board", json!("board"), json!(["krw"])),
        ("BTC-KRW?step=1m&step=5m", 400, "bad-field", json!("step"), Value::Null),
    ] {
        let response = get(&app, &format!("/api/v1/history/{path}")).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let problem: Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(problem["type"], format!("urn:sisepan:problem:{kind}"), "{path}");
        assert_eq!((&problem["parameter"], &problem["allowed"]), (&parameter, &allowed), "{path}");
    }
}

#[tokio::test]
async fn an_unchanged_history_is_answered_with_304() {
    let (app, _) = app(Some(memory_history("upbit", "BTC-KRW", &day())));
    for path in ["/api/v1/history/BTC-KRW", "/api/v1/history/BTC-KRW.csv"] {
        let first = get(&app, path).await;
        let tag = first.headers()["etag"].clone();
        assert!(first.headers()["cache-control"].to_str().unwrap().starts_with("public, max-age=10"));
        assert_eq!(first.headers()["access-control-allow-origin"], "*");
        let again = Request::get(path).header("if-none-match", &tag).body(Body::empty()).unwrap();
        let again = send_request(&app, again).await;
        assert_eq!((again.status(), &again.headers()["etag"]), (StatusCode::NOT_MODIFIED, &tag));
        assert_eq!(text(again).await, "");
    }
}

/// An [`HourSource`] that counts its reads and may fail.
#[derive(Debug, Default)]
struct Counting {
    inner: MemoryHistory,
    reads: AtomicUsize,
    broken: bool,
}

impl HourSource for Counting {
    fn hours(&self, venue: VenueId, market: &Market, span: Range<Minute>) -> Result<Vec<HourRecord>, String> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.broken { Err("disk on fire".to_owned()) } else { self.inner.hours(venue, market, span) }
    }
}

#[tokio::test]
async fn a_history_query_is_read_at_most_once_in_ten_seconds() {
    let source = Arc::new(Counting::default());
    let (app, clock) = app(Some(source.clone()));
    for path in ["BTC-KRW", "BTC-KRW.csv", "btc-krw?span=24h&step=1m", "BTC-KRW?utm=1"] {
        assert_eq!(get(&app, &format!("/api/v1/history/{path}")).await.status(), StatusCode::OK);
    }
    assert_eq!(source.reads.load(Ordering::Relaxed), 1);
    get(&app, "/api/v1/history/BTC-KRW?step=5m").await;
    assert_eq!(source.reads.load(Ordering::Relaxed), 2);
    clock.advance(Duration::from_secs(10));
    get(&app, "/api/v1/history/BTC-KRW").await;
    assert_eq!(source.reads.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_failed_history_read_is_reported_without_internal_details() {
    let broken = Counting { broken: true, ..Counting::default() };
    for (history, kind, retry) in
        [(None, "no-history", None), (Some(Arc::new(broken) as Arc<dyn HourSource>), "history-failed", Some("10"))]
    {
        let (app, _) = app(history);
        let response = get(&app, "/api/v1/history/BTC-KRW").await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers().get("retry-after").map(|value| value.to_str().unwrap()), retry);
        let body = text(response).await;
        assert!(body.contains(&format!("urn:sisepan:problem:{kind}")) && !body.contains("fire"), "{body}");
    }
}

#[tokio::test]
async fn in_43_minutes_follow_the_venue_clock() {
    for skew in [3_600_000, -3_600_000, 90_000_000, 0] {
        let (app, clock) = app(Some(memory_history("upbit", "BTC-KRW", &day())));
        let ahead = SignedDuration::from_millis(skew);
        clock.set_wall(time(NOW) - ahead);
        let own = VenueHealth { venue: VenueId("upbit"), clock_skew_ms: Some(skew), ..health(VenueState::Up) };
        // The clock offset of another venue must not matter.
        let other = VenueHealth { clock_skew_ms: Some(7_200_000), ..health(VenueState::Up) };
        app.hub.publish(BoardUpdate { venues: vec![other, own], ..changed([]) });
        let (_, body) = get_json(&app, "/api/v1/history/BTC-KRW").await;
        assert_eq!((&body["start"], &body["end"]), (&json!("2026-01-14T06:27:00Z"), &json!("2026-01-15T06:27:00Z")));
        assert_eq!(body["close"][1439], "2440", "{skew}");
    }
}
