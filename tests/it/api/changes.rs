//! Boards whose markets change while clients are connected: no client keeps a row that no longer exists.

use std::time::Duration;

use crate::test_hub::TestHub;
use axum::http::header;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use sisepan::clock::Clock;
use sisepan::config::Board;
use sisepan::feed::BoardUpdate;
use sisepan::hub::{Resume, RowsView};
use sisepan::market::{Basis, SourceId};
use sisepan::web::{AppParts, AppState, Limits};
use std::sync::Arc;
use tokio::sync::watch;

use super::setup::*;

fn view(names: &[&str]) -> RowsView {
    let board = board("krw", names);
    let rows: Vec<_> = board.markets.iter().map(|market| (board.source.clone(), market.clone())).collect();
    RowsView { board: None, rows: rows.into(), basis: Basis::Rolling24h, lang: None, demo: false, missing: [].into() }
}

fn removed(names: &[&str]) -> BoardUpdate {
    let removed = names.iter().map(|name| (source(), market(name))).collect();
    BoardUpdate { removed, is_revision: true, ..changed([]) }
}

fn resume(sequence: u64) -> Resume {
    Resume { epoch: EPOCH.to_owned(), sequence }
}

fn parsed(texts: &[bytes::Bytes]) -> Vec<Value> {
    texts.iter().map(|text| serde_json::from_slice(text).unwrap()).collect()
}

fn names_in(message: &Value) -> Vec<&str> {
    message["rows"].as_array().unwrap().iter().map(|row| row["market"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_removed_row_is_in_no_snapshot_and_in_no_list() {
    let hub = hub();
    hub.publish(changed([quote("BTC-KRW", "1"), quote("ETH-KRW", "2")]));
    let both = view(&["BTC-KRW", "ETH-KRW"]);
    let before = (hub.sequence(), hub.version(), hub.snapshot(&both));
    hub.publish(removed(&["ETH-KRW", "SOL-KRW"]));
    assert_eq!(hub.sequence(), before.0 + 1);
    assert!(hub.version() > before.1);
    let snapshot: Value = serde_json::from_slice(&hub.snapshot(&both).body).unwrap();
    assert_eq!((names_in(&snapshot), &snapshot["sequence"]), (vec!["BTC-KRW"], &hub.sequence().into()));
    assert_ne!(hub.snapshot(&both).tag, before.2.tag);
    assert_eq!(hub.all_rows().len(), 1);
    assert_eq!((hub.row(&source(), &market("ETH-KRW")), hub.source_of(&market("ETH-KRW"))), (None, None));
    hub.publish(removed(&["BTC-KRW"]));
    assert!(hub.all_rows().is_empty());
    // A row that is removed and published in one update is a new one.
    hub.publish(BoardUpdate { changed: vec![quote("BTC-KRW", "3").into()], ..removed(&["BTC-KRW"]) });
    assert_eq!(hub.all_rows().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_position_from_before_a_removal_is_answered_by_a_snapshot() {
    let hub = hub();
    hub.publish(changed([quote("BTC-KRW", "1"), quote("ETH-KRW", "2")]));
    let before = hub.sequence();
    hub.publish(removed(&["ETH-KRW"]));
    let after = hub.sequence();
    for names in [&["BTC-KRW", "ETH-KRW"][..], &["BTC-KRW"]] {
        let (_, texts) = hub.subscribe(view(names), Duration::ZERO, None, Some(&resume(before)));
        let first = &parsed(&texts)[0];
        assert_eq!((&first["type"], &first["recovered"]), (&"snapshot".into(), &false.into()), "{first}");
        assert_eq!(names_in(first), ["BTC-KRW"]);
    }
    hub.publish(changed([quote("BTC-KRW", "3")]));
    let (_, texts) = hub.subscribe(view(&["BTC-KRW"]), Duration::ZERO, None, Some(&resume(after)));
    let first = &parsed(&texts)[0];
    assert_eq!((&first["type"], &first["recovered"]), (&"delta".into(), &true.into()), "{first}");
}

#[tokio::test(start_paused = true)]
async fn a_row_that_returns_to_a_group_is_sent_complete() {
    let hub = hub();
    let names = ["BTC-KRW", "ETH-KRW"];
    for with_heartbeat in [true, false] {
        hub.publish(changed(names.map(|name| quote(name, "1"))));
        // It keeps the group and its last frame alive.
        let (_old, _) = hub.subscribe(view(&names), Duration::ZERO, None, None);
        hub.publish(removed(&["ETH-KRW"]));
        if with_heartbeat {
            tokio::time::sleep(Duration::from_secs(20)).await;
        } else {
            hub.publish(changed([quote("BTC-KRW", "2")]));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let (mut new, texts) = hub.subscribe(view(&names), Duration::ZERO, None, None);
        let mut state = ClientState::default();
        parsed(&texts).iter().for_each(|message| state.apply(message));
        assert_eq!(state.rows.keys().collect::<Vec<_>>(), ["BTC-KRW"]);
        // The state of the client checks that the first row of a market is complete.
        hub.publish(changed([quote("ETH-KRW", "1")]));
        parsed(&new.next().await.unwrap()).iter().for_each(|message| state.apply(message));
        assert_eq!(state.rows["ETH-KRW"]["last"], "1", "{with_heartbeat}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_learns_of_a_change_and_may_continue() {
    let hub = hub();
    hub.publish(changed([quote("BTC-KRW", "1"), quote("ETH-KRW", "2")]));
    let (mut member, _) = hub.subscribe(view(&["BTC-KRW"]), Duration::ZERO, None, None);
    hub.publish(changed([quote("BTC-KRW", "3")]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    hub.revise(changed([]));
    assert_eq!((member.next().await, hub.revision()), (None, 1));
    assert!(member.take_revision());
    let at_once = tokio::time::timeout(Duration::from_secs(1), member.next()).await;
    let texts = at_once.unwrap().expect("the frame from before the change is not lost");
    assert_eq!(parsed(&texts)[0]["rows"][0]["last"], "3");
    hub.publish(removed(&["ETH-KRW"]));
    assert_eq!((member.next().await, hub.revision()), (None, 2));
    assert!(member.take_revision() && !member.take_revision());
}

/// A server whose boards can be changed.
struct Changing {
    hub: TestHub,
    app: AppState,
    boards: watch::Sender<Arc<[Board]>>,
    address: String,
}

const NAMES: [&str; 4] = ["BTC-KRW", "ETH-KRW", "XRP-KRW", "SOL-KRW"];

impl Changing {
    /// Starts with the boards `krw` (BTC, ETH, XRP) and `small` (XRP).
    async fn start(limits: Limits) -> Self {
        let hub = hub();
        let (boards, receiver) = watch::channel(Arc::default());
        let clock = Clock::tokio(time("2026-01-15T06:27:04Z"));
        let parts =
            AppParts { hub: hub.served(), boards: receiver, clock, history: None, store_health: None, demo: false };
        let app = AppState::with_limits(parts, limits);
        let address = serve(&app).await;
        let changing = Self { hub, app, boards, address };
        changing.set(vec![board("krw", &NAMES[..3]), board("small", &["XRP-KRW"])]);
        changing
    }

    /// Changes the boards as the program does: first the boards, then the rows.
    fn set(&self, boards: Vec<Board>) {
        let wanted: Vec<_> = boards.iter().flat_map(|board| board.markets.iter().cloned()).collect();
        self.boards.send_replace(boards.into());
        let rows = self.hub.all_rows();
        let gone = rows.iter().filter(|row| !wanted.contains(&row.market));
        let removed = gone.map(|row| (row.source.clone(), row.market.clone())).collect();
        let is_new =
            |name: &&&str| wanted.contains(&market(name)) && !rows.iter().any(|row| *row.market.as_str() == ***name);
        let new = NAMES.iter().filter(is_new).map(|name| quote(name, "1"));
        self.hub.revise(BoardUpdate { removed, ..changed(new) });
    }

    async fn client(&self, query: &str) -> Client {
        Client::welcomed(&self.address, query).await
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&text(get(&self.app, path).await).await).unwrap()
    }
}

/// Sends a subscription and returns the answer.
async fn subscribe(client: &mut Client, members: Value) -> Value {
    let mut message = json!({"type": "subscribe", "interval_ms": 0});
    message.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    client.send(message.to_string()).await;
    client.json().await
}

#[tokio::test]
async fn a_subscription_to_a_board_follows_the_board() {
    let server = Changing::start(Limits::default()).await;
    let mut client = server.client("").await;
    let first = subscribe(&mut client, json!({"id": "a", "board": "krw"})).await;
    assert_eq!(names_in(&first), NAMES[..3]);
    server.set(vec![board("krw", &["SOL-KRW", "BTC-KRW"])]);
    let second = client.json().await;
    assert_eq!((&second["type"], &second["id"], &second["board"]), (&"snapshot".into(), &"a".into(), &"krw".into()));
    assert_eq!(second.get("recovered"), None);
    assert_eq!(names_in(&second), ["SOL-KRW", "BTC-KRW"]);
    assert_eq!(server.hub.stats().frames_encoded, 0, "it does not wait for a frame");
    assert_ne!(second["group"], first["group"]);
    let head = |message: &Value| message.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(head(&second), head(&first));
    server.hub.publish(changed([quote("SOL-KRW", "7")]));
    let delta = client.json().await;
    assert_eq!(
        (&delta["type"], &delta["group"], names_in(&delta)),
        (&"delta".into(), &second["group"], vec!["SOL-KRW"])
    );
    assert_eq!(delta["previous"], second["sequence"]);
    assert_eq!(server.hub.stats().groups, 1, "the old group has ended");
}

#[tokio::test]
async fn an_order_of_its_own_is_a_change_of_a_board_too() {
    let server = Changing::start(Limits::default()).await;
    let mut client = server.client("?board=krw&interval_ms=0").await;
    let first = client.json().await;
    server.set(vec![board("krw", &["XRP-KRW", "BTC-KRW", "ETH-KRW"]), board("small", &["XRP-KRW"])]);
    let second = client.json().await;
    assert_eq!((&second["type"], names_in(&second)), (&"snapshot".into(), vec!["XRP-KRW", "BTC-KRW", "ETH-KRW"]));
    assert_eq!(second["group"], first["group"], "the same rows, the same bytes");
    // Once only.
    server.set(vec![board("krw", &["XRP-KRW", "BTC-KRW", "ETH-KRW"])]);
    server.hub.publish(changed([quote("BTC-KRW", "7")]));
    assert_eq!(client.json().await["type"], "delta");
}

#[tokio::test]
async fn a_subscription_that_is_not_affected_gets_its_deltas_only() {
    let server = Changing::start(Limits::default()).await;
    let mut client = server.client("?board=small&interval_ms=0").await;
    let mut state = ClientState::default();
    state.apply(&client.json().await);
    for turn in 0..20 {
        let krw = if turn % 2 == 0 { &NAMES[..] } else { &NAMES[..2] };
        server.set(vec![board("krw", krw), board("small", &["XRP-KRW"])]);
        server.hub.publish(changed([quote("XRP-KRW", &format!("1{turn}"))]));
        let message = client.json().await;
        assert_eq!((&message["type"], message.get("recovered")), (&"delta".into(), None));
        state.apply(&message);
        assert_eq!(state.rows["XRP-KRW"]["last"], format!("1{turn}"));
    }
}

#[tokio::test]
async fn a_list_of_markets_reports_what_is_missing_and_gets_it_back() {
    let server = Changing::start(Limits::default()).await;
    let mut client = server.client("").await;
    let first = subscribe(&mut client, json!({"id": 1, "markets": ["BTC-KRW", "SOL-KRW", "ETH-KRW"]})).await;
    assert_eq!((names_in(&first), &first["missing"]), (vec!["BTC-KRW", "ETH-KRW"], &json!(["SOL-KRW"])));
    for (markets, present, missing) in [
        (&NAMES[..], vec!["BTC-KRW", "SOL-KRW", "ETH-KRW"], Value::Null),
        (&["ETH-KRW"], vec!["ETH-KRW"], json!(["BTC-KRW", "SOL-KRW"])),
        (&["XRP-KRW"], vec![], json!(["BTC-KRW", "SOL-KRW", "ETH-KRW"])),
        (&["BTC-KRW"], vec!["BTC-KRW"], json!(["SOL-KRW", "ETH-KRW"])),
    ] {
        server.set(vec![board("krw", markets)]);
        let message = client.json().await;
        assert_eq!((&message["type"], &message["id"]), (&"snapshot".into(), &1.into()));
        assert_eq!((names_in(&message), &message["missing"]), (present, &missing), "{message}");
    }
}

#[tokio::test]
async fn a_board_that_is_gone_has_no_rows_until_it_is_back() {
    let server = Changing::start(Limits::default()).await;
    let mut client = server.client("?board=small&interval_ms=0").await;
    assert_eq!(names_in(&client.json().await), ["XRP-KRW"]);
    let mut list = server.client("?board=small&markets=XRP-KRW").await;
    list.json().await;
    server.set(vec![board("krw", &NAMES)]);
    let message = client.json().await;
    assert_eq!(
        (&message["type"], &message["board"], names_in(&message)),
        (&"snapshot".into(), &"small".into(), vec![])
    );
    let message = list.json().await;
    assert_eq!((names_in(&message), &message["missing"]), (vec![], &json!(["XRP-KRW"])), "{message}");
    // A new subscription is refused.
    let answer = subscribe(&mut client, json!({"id": 9, "board": "small"})).await;
    assert_eq!((&answer["type"], &answer["code"]), (&"error".into(), &"unknown-board".into()));
    server.set(vec![board("krw", &NAMES), board("small", &["ETH-KRW", "XRP-KRW"])]);
    assert_eq!(names_in(&client.json().await), ["ETH-KRW", "XRP-KRW"]);
    assert_eq!(names_in(&list.json().await), ["XRP-KRW"]);
}

#[tokio::test]
async fn each_subscription_of_a_connection_follows_by_itself() {
    let server = Changing::start(Limits::default()).await;
    let mut client = server.client("").await;
    let board_group = subscribe(&mut client, json!({"id": 1, "board": "krw"})).await["group"].clone();
    let list = subscribe(&mut client, json!({"id": 2, "markets": ["XRP-KRW", "ETH-KRW", "BTC-KRW"]})).await;
    assert_eq!(list["group"], board_group, "the same rows");
    subscribe(&mut client, json!({"id": 3, "board": "small"})).await;
    server.set(vec![board("krw", &["BTC-KRW", "ETH-KRW"]), board("small", &["XRP-KRW"])]);
    let message = client.json().await;
    assert_eq!((&message["id"], names_in(&message)), (&1.into(), vec!["BTC-KRW", "ETH-KRW"]));
    // The list finds its market on the other board, so nothing has changed for it.
    server.hub.publish(changed([quote("BTC-KRW", "7")]));
    let groups = [client.json().await, client.json().await].map(|delta| delta["group"].clone());
    assert!(groups.contains(&message["group"]) && groups.contains(&board_group), "{groups:?}");
    // The replaced subscription is not asked for again.
    subscribe(&mut client, json!({"id": 1, "board": "small"})).await;
    client.send(r#"{"type":"unsubscribe","id":2}"#).await;
    assert_eq!(client.json().await["type"], "unsubscribed");
    server.set(vec![board("krw", &["BTC-KRW"]), board("small", &["XRP-KRW", "BTC-KRW"])]);
    let ids = [client.json().await, client.json().await].map(|message| message["id"].as_u64().unwrap());
    assert!(ids == [1, 3] || ids == [3, 1], "{ids:?}");
}

#[tokio::test]
async fn the_limit_of_lists_refuses_no_list_whose_markets_have_changed() {
    let limits = Limits { groups_max: 2, groups_per_address_max: 1, ..Limits::default() };
    let server = Changing::start(limits).await;
    let mut client = server.client("?markets=BTC-KRW,ETH-KRW").await;
    client.json().await;
    for markets in [&["BTC-KRW"][..], &NAMES, &["ETH-KRW"]] {
        server.set(vec![board("krw", markets)]);
        assert_eq!(client.json().await["type"], "snapshot");
    }
    // The list still counts.
    let mut other = server.client("").await;
    let answer = subscribe(&mut other, json!({"id": 1, "markets": ["ETH-KRW"], "basis": "utc-day"})).await;
    assert_eq!(answer["code"], "too-many-groups", "{answer}");
}

#[tokio::test]
async fn events_follow_the_board_and_report_missing_markets() {
    let server = Changing::start(Limits::default()).await;
    let mut all = Vec::new();
    for query in ["?board=krw&interval_ms=0", "?markets=BTC-KRW,XRP-KRW&interval_ms=0", "?board=small&interval_ms=0"] {
        let body = get(&server.app, &format!("/api/v1/events{query}")).await.into_body();
        let mut events = Events { chunks: body.into_data_stream(), rest: String::new() };
        assert_eq!(events.next().await.1["type"], "welcome");
        assert_eq!(events.next().await.1["type"], "snapshot");
        all.push(events);
    }
    server.set(vec![board("krw", &["BTC-KRW", "SOL-KRW"]), board("small", &["SOL-KRW"])]);
    let expected = [(vec!["BTC-KRW", "SOL-KRW"], Value::Null), (vec!["BTC-KRW"], json!(["XRP-KRW"]))];
    for (events, (rows, missing)) in all.iter_mut().zip(expected) {
        let (id, message) = events.next().await;
        assert_eq!(id, Some(format!("{EPOCH}:{}", message["sequence"])));
        assert_eq!((&message["type"], names_in(&message), &message["missing"]), (&"snapshot".into(), rows, &missing));
    }
    server.hub.publish(changed([quote("BTC-KRW", "7"), quote("SOL-KRW", "8")]));
    for events in &mut all[..2] {
        assert_eq!(events.next().await.1["type"], "delta");
    }
    // A change that does not concern a client is followed by its next delta.
    let small = &mut all[2];
    assert_eq!(names_in(&small.next().await.1), ["SOL-KRW"]);
    server.set(vec![board("krw", &["SOL-KRW"]), board("small", &["SOL-KRW"])]);
    server.hub.publish(changed([quote("SOL-KRW", "9")]));
    let (_, message) = small.next().await;
    let message = if message["rows"][0]["last"] == "9" { message } else { small.next().await.1 };
    assert_eq!((&message["type"], &message["rows"][0]["last"]), (&"delta".into(), &"9".into()), "{message}");
}

struct Events {
    chunks: axum::body::BodyDataStream,
    rest: String,
}

impl Events {
    /// Returns id and message of the next event.
    async fn next(&mut self) -> (Option<String>, Value) {
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let (id, data) = (field("id: "), field("data: "));
                self.rest = rest.to_owned();
                if let Some(data) = data {
                    return (id, serde_json::from_str(&data).unwrap());
                }
                continue;
            }
            let chunk = tokio::time::timeout(DEADLINE, self.chunks.next()).await.expect("an event in time");
            self.rest.push_str(std::str::from_utf8(&chunk.expect("no end").unwrap()).unwrap());
        }
    }
}

#[tokio::test]
async fn a_client_that_resumes_across_a_change_keeps_no_row_that_is_gone() {
    let server = Changing::start(Limits::default()).await;
    let mut client = server.client("?board=krw").await;
    let before = client.json().await;
    drop(client);
    server.set(vec![board("krw", &["BTC-KRW"])]);
    let position = format!("{EPOCH}:{}", before["sequence"]);
    let mut client = server.client("").await;
    let answer =
        subscribe(&mut client, json!({"board": "krw", "resume": {"epoch": EPOCH, "sequence": before["sequence"]}}))
            .await;
    assert_eq!((&answer["type"], &answer["recovered"]), (&"snapshot".into(), &false.into()));
    assert_eq!(names_in(&answer), ["BTC-KRW"]);
    let path = format!("/api/v1/events?board=krw&resume={position}");
    let mut events =
        Events { chunks: get(&server.app, &path).await.into_body().into_data_stream(), rest: String::new() };
    events.next().await;
    let (_, message) = events.next().await;
    assert_eq!((&message["type"], names_in(&message)), (&"snapshot".into(), vec!["BTC-KRW"]));
}

#[tokio::test]
async fn responses_and_pages_show_the_new_boards_at_once() {
    let server = Changing::start(Limits::default()).await;
    let paths = [
        "/api/v1/snapshot",
        "/api/v1/snapshot.csv?board=krw",
        "/api/v1/snapshot?markets=ETH-KRW,BTC-KRW",
        "/api/v1/markets",
        "/",
        "/embed/board",
        "/fragment/board?board=krw",
        "/fragment/tape",
        "/readyz",
        "/widgets",
    ];
    for turn in 0..4 {
        let (krw, gone) =
            if turn % 2 == 0 { (&NAMES[..2], "SOL-KRW") } else { (&["SOL-KRW", "BTC-KRW"][..], "ETH-KRW") };
        server.set(vec![board("krw", krw), board("small", &["XRP-KRW"])]);
        for path in paths {
            let response = get(&server.app, path).await;
            assert_eq!(response.status(), 200, "{path}");
            let tag = response.headers().get(header::ETAG).cloned();
            let body = text(response).await;
            if path.contains("markets=") {
                // One of its markets is missing every other time.
                assert_eq!(body.contains(r#""missing":["ETH-KRW"]"#), gone == "ETH-KRW", "{turn} {path}: {body}");
            } else if path != "/readyz" {
                assert!(!body.contains(gone) && body.contains("BTC-KRW"), "{turn} {path}");
                assert!(body.contains(krw[0]) && body.contains(krw[1]), "{turn} {path}");
            }
            // What is cached under this tag now is not confirmed after the next change.
            let Some(tag) = tag else { continue };
            let other = if turn % 2 == 0 { &["SOL-KRW", "BTC-KRW"][..] } else { &NAMES[..2] };
            server.set(vec![board("krw", other), board("small", &["XRP-KRW"])]);
            let request = axum::http::Request::get(path).header(header::IF_NONE_MATCH, tag);
            let response = send_request(&server.app, request.body(axum::body::Body::empty()).unwrap()).await;
            assert_eq!(response.status(), 200, "{turn} {path}");
            server.set(vec![board("krw", krw), board("small", &["XRP-KRW"])]);
        }
        let market_page = get(&server.app, &format!("/market/{gone}")).await;
        assert_eq!(market_page.status(), 404, "{gone}");
        assert_eq!(get(&server.app, &format!("/badge/{gone}.svg")).await.status(), 404, "{gone}");
        assert_eq!(get(&server.app, &format!("/market/{}", krw[0])).await.status(), 200);
    }
    server.set(vec![board("other", &["XRP-KRW"])]);
    assert_eq!(server.json("/api/v1/snapshot?board=krw").await["type"], "urn:sisepan:problem:unknown-board");
    assert_eq!(server.json("/api/v1/snapshot").await["board"], "other");
    let ready = server.json("/readyz").await;
    assert_eq!(ready["boards"].as_array().unwrap().len(), 1, "{ready}");
    assert_eq!(ready["boards"][0]["board"], "other");
}

#[tokio::test]
async fn a_market_that_only_another_source_has_is_found_there() {
    let server = Changing::start(Limits::default()).await;
    let mut client = server.client("?markets=ETH-KRW&interval_ms=0").await;
    client.json().await;
    let other = Board { source: SourceId::new(["upbit"]), ..board("other", &["ETH-KRW"]) };
    let mut row = quote("ETH-KRW", "5");
    row.source = other.source.clone();
    server.boards.send_replace(vec![board("krw", &["BTC-KRW"]), other].into());
    server.hub.revise(BoardUpdate { removed: vec![(source(), market("ETH-KRW"))], ..changed([row]) });
    let message = client.json().await;
    assert_eq!((&message["type"], &message["rows"][0]["last"]), (&"snapshot".into(), &"5".into()), "{message}");
}
