//! Checks that every example in docs/api.md equals what the code produces, byte for byte except white space.

use crate::test_hub::TestApp;
use std::collections::BTreeMap;

use futures_util::StreamExt;
use serde_json::Value;
use sisepan::api::{Closing, Lang, Row, RowText, json};
use sisepan::clock::Clock;
use sisepan::feed::VenueState;
use sisepan::market::{Basis, Notice, Quote, State};
use sisepan::web::{AppParts, AppState};
use tokio_tungstenite::tungstenite::Message;

use super::setup::*;

const DOCUMENT: &str = include_str!("../../../docs/api.md");

/// Examples of messages that a client sends; the code must accept them.
const CLIENT_MESSAGES: [&str; 4] = ["subscribe", "subscribe-markets", "unsubscribe", "ping"];

/// Returns the examples of the document by name. Each is a marker line followed by a fenced block.
fn examples() -> BTreeMap<&'static str, String> {
    let mut examples = BTreeMap::new();
    for part in DOCUMENT.split("<!-- example: ").skip(1) {
        let (name, rest) = part.split_once(" -->").unwrap();
        if name == "events" {
            // This one is text, and `tests/it/http/events.rs` checks it.
            continue;
        }
        let (_, block) = rest.split_once("```json\n").unwrap();
        let (block, _) = block.split_once("```").unwrap();
        assert!(examples.insert(name, compact(block)).is_none(), "two examples have the name {name}");
    }
    examples
}

/// Removes white space outside strings.
fn compact(json: &str) -> String {
    serde_json::from_str::<Value>(json).unwrap_or_else(|error| panic!("{error} in {json}"));
    let (mut in_string, mut escaped) = (false, false);
    let kept = json.chars().filter(|&c| {
        if in_string {
            (in_string, escaped) = (escaped || c != '"', !escaped && c == '\\');
            return true;
        }
        in_string = c == '"';
        !c.is_whitespace()
    });
    kept.collect()
}

async fn next_text(client: &mut Client) -> String {
    loop {
        match client.0.next().await.unwrap().unwrap() {
            Message::Text(text) => return text.to_string(),
            _ => continue,
        }
    }
}

fn app() -> TestApp {
    let hub = hub();
    hub.publish(changed([bitcoin()]));
    let boards = vec![board("krw", &["BTC-KRW", "ETH-KRW"])];
    let clock = Clock::manual(time("2026-01-15T06:27:04Z"));
    let boards = fixed_boards(boards);
    let history = Some(history() as _);
    let parts = AppParts { hub: hub.served(), boards, clock, demo: false, history, store_health: None };
    TestApp::new(&hub, AppState::new(parts))
}

/// Returns a history that begins with a trade, a quiet minute, a gap, and two trades.
fn history() -> std::sync::Arc<sisepan::store::MemoryHistory> {
    use crate::history::{MinuteCloses, memory_history, minute, price};
    let first = minute("2026-01-14T06:27:00Z");
    let close = |at: i64, text: &str| (first + at, Some(price(text)));
    let mut closes =
        MinuteCloses::from([close(0, "139290000"), (first + 1, None), close(3, "139300000"), close(4, "139350000.0")]);
    closes.extend((5..13).map(|at| close(at, if at == 9 { "139200000" } else { "139350000" })));
    memory_history("bithumb", "BTC-KRW", &closes)
}

/// Returns a history response with each column cut to the entries that the document shows.
async fn shortened(app: &AppState, path: &str) -> Value {
    let mut body: Value = serde_json::from_str(&text(get(app, path).await).await).unwrap();
    for column in ["open", "high", "low", "close", "quiet"] {
        if let Some(entries) = body.get_mut(column).and_then(Value::as_array_mut) {
            entries.truncate(5);
        }
    }
    body
}

/// Returns every message of a stream session, by the name of its example.
async fn conversation(app: &TestApp, examples: &BTreeMap<&str, String>) -> BTreeMap<&'static str, String> {
    let mut actual = BTreeMap::new();
    let address = serve(app).await;
    let mut client = Client::connect(&address, "").await;
    actual.insert("welcome", next_text(&mut client).await);
    client.send(examples["subscribe"].as_str()).await;
    actual.insert("snapshot-message", next_text(&mut client).await);
    let trade = Quote {
        last: Some("142200000".parse().unwrap()),
        traded_at: Some(time("2026-01-15T06:27:04.512Z")),
        received_at: Some(time("2026-01-15T06:27:04.560Z")),
        confirmed_at: Some(time("2026-01-15T06:27:04.560Z")),
        ..bitcoin()
    };
    app.hub.publish(changed([trade]));
    actual.insert("delta", next_text(&mut client).await);
    app.hub.publish(venue_update(VenueState::Delayed));
    actual.insert("status", next_text(&mut client).await);
    client.send(examples["ping"].as_str()).await;
    actual.insert("pong", next_text(&mut client).await);
    client.send(examples["unsubscribe"].as_str()).await;
    actual.insert("unsubscribed", next_text(&mut client).await);

    let mut second = Client::welcomed(&address, "").await;
    second.send(examples["subscribe-markets"].as_str()).await;
    actual.insert("delta-recovered", next_text(&mut second).await);
    second.send(r#"{"type":"subscribe","id":4,"board":"usd"}"#).await;
    let mut error = next_text(&mut second).await;
    while !error.contains(r#""type":"error""#) {
        error = next_text(&mut second).await;
    }
    actual.insert("error", error);
    actual
}

async fn heartbeat() -> String {
    tokio::time::pause();
    let app = app();
    let view = sisepan::hub::RowsView {
        board: None,
        rows: [(source(), market("BTC-KRW"))].into(),
        basis: Basis::Rolling24h,
        lang: None,
        demo: false,
        missing: [].into(),
    };
    let (mut member, _) = app.hub.subscribe(view, std::time::Duration::ZERO, None, None);
    let text = String::from_utf8(member.next().await.unwrap()[0].to_vec()).unwrap();
    tokio::time::resume();
    text
}

#[tokio::test]
async fn every_example_equals_what_the_code_produces() {
    let examples = examples();
    let app = app();
    let text_of = |body: Vec<u8>| String::from_utf8(body).unwrap();
    let mut actual = BTreeMap::new();
    actual.insert("snapshot", text(get(&app, "/api/v1/snapshot?board=krw").await).await);
    let row_text = |name: &str, last: &str, change: &str| RowText {
        name: name.into(),
        last: last.into(),
        change: change.into(),
        ..RowText::default()
    };
    let row = Row::new(&bitcoin(), Basis::Rolling24h, Some(Lang::Ko));
    let row = Row { text: Some(row_text("비트코인", "142,187,000", "+2.08%")), ..row };
    actual.insert("row", text_of(json(&row)));
    let cautions = ["PRICE_FLUCTUATIONS".to_owned()];
    let notice = Notice::of(true, Some("2026-12-01".parse().unwrap()), &cautions).unwrap();
    actual.insert("notice", text_of(json(&notice)));
    let unknown = Quote { state: State::Unknown, last: None, ..quote("XRP-KRW", "1") };
    actual.insert("row-unknown", text_of(json(&Row::new(&unknown, Basis::Rolling24h, None))));
    actual.insert("problem", text(get(&app, "/api/v1/snapshot?board=usd").await).await);
    actual.insert("healthz", text(get(&app, "/healthz").await).await);
    actual.insert("readyz", text(get(&app, "/readyz").await).await);
    actual.insert("closing", text_of(json(&Closing { reason: "shutdown", retry_after_ms: 7412 })));
    actual.extend(conversation(&app, &examples).await);
    actual.insert("venues", text(get(&app, "/api/v1/venues").await).await);
    actual.insert("heartbeat", heartbeat().await);

    for (name, path) in
        [("history", "/api/v1/history/BTC-KRW"), ("history-bars", "/api/v1/history/BTC-KRW?span=24h&step=5m")]
    {
        let documented: Value = serde_json::from_str(&examples[name]).unwrap();
        assert_eq!(shortened(&app, path).await, documented, "{name}");
        actual.insert(name, examples[name].clone());
    }

    // The names of assets are not part of this document.
    let mut markets: Value = serde_json::from_str(&text(get(&app, "/api/v1/markets").await).await).unwrap();
    let mut documented: Value = serde_json::from_str(&examples["markets"]).unwrap();
    let names: Vec<_> = markets["markets"][0]["names"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["en", "ja", "ko"]);
    documented["markets"][0]["names"].take();
    markets["markets"][0]["names"].take();
    assert_eq!(markets, documented);

    for (name, text) in &actual {
        assert_eq!(examples.get(name), Some(text), "example {name}");
    }
    let known = |name: &&&str| actual.contains_key(**name) || CLIENT_MESSAGES.contains(*name) || **name == "markets";
    let stray: Vec<_> = examples.keys().filter(|name| !known(name)).collect();
    assert!(stray.is_empty(), "no code checks these examples: {stray:?}");
}

#[test]
fn every_code_is_documented() {
    for word in [
        "bad-json",
        "unknown-type",
        "bad-field",
        "unknown-board",
        "unknown-market",
        "unknown-basis",
        "unknown-lang",
        "bad-interval",
        "too-many-markets",
        "too-many-groups",
        "too-many-subscriptions",
        "query-too-long",
        "no-route",
        "wrong-method",
        "upgrade-required",
        "too-many-streams",
        "too-many-connections",
        "origin-not-allowed",
        "1002",
        "1003",
        "1007",
        "1009",
        "1011",
        "1012",
        "3008",
        "3011",
        "3012",
        "3013",
        "3014",
        "3501",
        "3502",
    ] {
        assert!(DOCUMENT.contains(&format!("`{word}`")), "{word}");
    }
    for state in [State::Live, State::Delayed, State::Stale, State::Halted, State::Unknown] {
        assert!(DOCUMENT.contains(&format!("`{}`", state.as_str())), "{state:?}");
    }
    for basis in Basis::ALL {
        assert!(DOCUMENT.contains(&format!("`{basis}`")), "{basis}");
    }
}
