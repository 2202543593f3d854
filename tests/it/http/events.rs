//! Server-sent events: the same messages as the stream, and how a client resumes.

use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use futures_util::StreamExt;
use serde_json::Value;
use sisepan::config::Site;
use sisepan::web::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// One received event.
#[derive(Debug, Default, PartialEq)]
struct Event {
    id: Option<String>,
    retry: Option<u64>,
    data: Option<Value>,
    comment: bool,
}

/// Parses an event stream, limited to the fields that the server uses.
struct Reader {
    chunks: axum::body::BodyDataStream,
    rest: String,
}

impl Reader {
    fn new(response: Response<Body>) -> Self {
        assert_eq!((response.status().as_u16(), header(&response, "content-type")), (200, "text/event-stream"));
        Self { chunks: response.into_body().into_data_stream(), rest: String::new() }
    }

    /// Returns the next event, or `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let event = read_event(event);
                self.rest = rest.to_owned();
                return Some(event);
            }
            let chunk = tokio::time::timeout(DEADLINE, self.chunks.next()).await.expect("an event in time")?.unwrap();
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Returns id and data of the next event.
    async fn data(&mut self) -> (Option<String>, Value) {
        let event = self.next().await.expect("an event");
        (event.id, event.data.expect("data"))
    }
}

fn read_event(text: &str) -> Event {
    let mut event = Event::default();
    for line in text.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => event.id = Some(id.to_owned()),
            Some(("retry", retry)) => event.retry = Some(retry.parse().unwrap()),
            Some(("data", data)) => event.data = Some(serde_json::from_str(data).unwrap()),
            _ if line.starts_with(':') => event.comment = true,
            _ => panic!("unexpected line {line:?}"),
        }
    }
    event
}

/// Opens an event stream, with `last` as its `Last-Event-ID`.
async fn open(app: &AppState, query: &str, last: Option<&str>) -> Reader {
    let headers: Vec<_> = last.map(|last| ("last-event-id", last)).into_iter().collect();
    Reader::new(get_with(app, &format!("/api/v1/events{query}"), &headers).await)
}

#[tokio::test]
async fn events_carry_the_messages_of_the_stream() {
    let hub = hub_with_rows();
    let app = app_state(&hub);
    let mut events = open(&app, "?board=krw&interval_ms=0", None).await;
    let welcome = events.next().await.unwrap();
    assert!((1000..=5000).contains(&welcome.retry.unwrap()));
    assert_eq!((&welcome.id, &welcome.data.unwrap()["type"]), (&None, &"welcome".into()));
    let (id, snapshot) = events.data().await;
    assert_eq!((id.as_deref(), &snapshot["type"]), (Some("01JH2M8Q:1"), &"snapshot".into()));
    assert_eq!(snapshot["rows"].as_array().unwrap().len(), 3);

    let address = serve(&app).await;
    let mut socket = Client::welcomed(&address, "?board=krw&interval_ms=0").await;
    assert_eq!(socket.json().await, snapshot);
    hub.publish(changed([quote("ETH-KRW", "4512500")]));
    let (id, delta) = events.data().await;
    assert_eq!((id.as_deref(), &delta), (Some("01JH2M8Q:2"), &socket.json().await));
    assert_eq!(hub.stats().members, 2);
    drop(events);
    eventually("the event client left its group", || hub.stats().members == 1).await;
}

#[tokio::test]
async fn a_silent_market_and_its_return_are_told_by_snapshots() {
    let clock = sisepan::clock::Clock::manual(time("2026-01-15T06:27:04Z"));
    let hub = TestHub::with_clock(EPOCH, clock.clone());
    let all = || sisepan::feed::BoardUpdate { is_complete: true, ..changed([bitcoin()]) };
    hub.publish(all());
    let app = app_state(&hub);
    let mut events = open(&app, "?board=krw&interval_ms=0", None).await;
    events.data().await;
    events.data().await;
    clock.advance(Duration::from_secs(6));
    hub.check_silence();
    let (stale, snapshot) = events.data().await;
    assert_eq!((stale.as_deref(), &snapshot["type"]), (Some("01JH2M8Q:1"), &"snapshot".into()));
    assert_eq!(snapshot["rows"][0]["state"], "stale");
    hub.publish(all());
    let (id, snapshot) = events.data().await;
    assert_eq!((id.as_deref(), &snapshot["type"]), (Some("01JH2M8Q:2"), &"snapshot".into()));
    assert_eq!(snapshot["rows"][0]["state"], "live");
    // Whoever reconnects with the position of the stale rows gets the live ones.
    let mut events = open(&app, "?board=krw&interval_ms=0", stale.as_deref()).await;
    events.data().await;
    let (_, snapshot) = events.data().await;
    assert_eq!((&snapshot["recovered"], &snapshot["rows"][0]["state"]), (&false.into(), &"live".into()));
}

#[tokio::test]
async fn the_documented_event_is_what_is_sent() {
    let document = include_str!("../../../docs/api.md");
    let (_, rest) = document.split_once("<!-- example: events -->\n```text\n").unwrap();
    let (documented, _) = rest.split_once("```").unwrap();
    let hub = hub_with_rows();
    let mut events = open(&app_state(&hub), "?board=krw&interval_ms=0", None).await;
    events.data().await;
    events.data().await;
    hub.publish(venue_update(sisepan::feed::VenueState::Delayed));
    let chunk = tokio::time::timeout(DEADLINE, events.chunks.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(std::str::from_utf8(&chunk).unwrap(), format!("{documented}\n"));
}

#[tokio::test]
async fn without_a_board_the_first_one_is_used() {
    let app = app_state(&hub_with_rows());
    let mut events = open(&app, "", None).await;
    events.data().await;
    assert_eq!(events.data().await.1["board"], "krw");
}

#[tokio::test]
async fn out_32_headers_keep_proxies_from_buffering_events() {
    let app = app_state(&hub_with_rows());
    let response = get_with(&app, "/api/v1/events", &[("accept-encoding", "gzip, br, zstd")]).await;
    for (name, value) in [
        ("cache-control", "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
        ("content-encoding", ""),
        ("connection", "close"),
        ("access-control-allow-origin", "*"),
    ] {
        assert_eq!(header(&response, name), value, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn out_32_a_quiet_event_stream_sends_something_every_fifteen_seconds() {
    let hub = hub_with_rows();
    let app = app_state(&hub);
    let mut events = open(&app, "?board=krw", None).await;
    events.data().await;
    events.data().await;
    let mut comments = 0;
    let started = app.clock.monotonic();
    for _ in 0..4 {
        let before = app.clock.monotonic();
        let event = events.next().await.unwrap();
        assert!(app.clock.monotonic() - before <= Duration::from_millis(15_010), "{event:?}");
        match event.data {
            Some(data) => assert_eq!(data["type"], "heartbeat"),
            None => comments += usize::from(event.comment),
        }
    }
    assert!(app.clock.monotonic() - started >= Duration::from_secs(15));
    assert!(comments <= 4);
}

#[tokio::test]
async fn a_client_that_resumes_gets_what_it_missed() {
    let hub = hub_with_rows();
    let app = app_state(&hub);
    hub.publish(changed([quote("ETH-KRW", "4512500")]));
    hub.publish(venue_update(sisepan::feed::VenueState::Down));
    for (query, last) in [
        ("?board=krw", Some("01JH2M8Q:1")),
        ("?board=krw&resume=01JH2M8Q:1", None),
        // `Last-Event-ID` takes precedence over `resume` in the URL.
        ("?board=krw&resume=01JH2M8Q:3", Some("01JH2M8Q:1")),
        ("?board=krw&resume=01JH2M8Q:1", Some("")),
    ] {
        let mut events = open(&app, query, last).await;
        events.data().await;
        let (id, delta) = events.data().await;
        // A client that disconnects here still lacks the status, so the delta has no id.
        assert_eq!((id, &delta["type"], &delta["recovered"]), (None, &"delta".into(), &true.into()), "{query}");
        assert_eq!(delta["rows"][0]["last"], "4512500");
        assert_eq!(delta["rows"].as_array().unwrap().len(), 1);
        let (id, status) = events.data().await;
        assert_eq!((id.as_deref(), &status["type"]), (Some("01JH2M8Q:3"), &"status".into()));
    }
}

#[tokio::test]
async fn out_35_an_invalid_position_is_answered_with_an_unrecovered_snapshot() {
    let app = app_state(&hub_with_rows());
    let long = format!("01JH2M8Q:{:0>60}", 1);
    for last in [
        "1",
        ":",
        ":1",
        "01JH2M8Q",
        "01JH2M8Q:",
        "01JH2M8Q:x",
        "01JH2M8Q:-1",
        "01JH2M8Q:+1",
        "01JH2M8Q: 1",
        "01JH2M8Q:1.0",
        "01JH2M8Q:2",
        "01JH2M8Q:18446744073709551615",
        "01JH2M8Q:18446744073709551616",
        "another:1",
        "01jh2m8q:1",
        "a:b:c:1",
        "가:1",
        &long,
        &"x".repeat(8000),
    ] {
        // A header value may be any bytes.
        let bytes = axum::http::HeaderValue::from_bytes(last.as_bytes()).unwrap();
        let request = axum::http::Request::get("/api/v1/events?board=krw").header("last-event-id", bytes);
        let mut events = Reader::new(send_request(&app, request.body(Body::empty()).unwrap()).await);
        events.data().await;
        let (id, snapshot) = events.data().await;
        assert_eq!((&snapshot["type"], &snapshot["recovered"]), (&"snapshot".into(), &false.into()), "{last}");
        assert_eq!(id.as_deref(), Some("01JH2M8Q:1"));
    }
    // Without a position, `recovered` is absent.
    let mut events = open(&app, "?board=krw", None).await;
    events.data().await;
    assert!(events.data().await.1.get("recovered").is_none());
}

#[tokio::test]
async fn unknown_values_get_problem_details() {
    let app = app_state(&hub_with_rows());
    for (query, status, code) in [
        ("?board=usd", 404, "unknown-board"),
        ("?markets=NOPE-KRW", 404, "unknown-market"),
        ("?board=krw&interval_ms=7", 400, "bad-interval"),
        ("?resume=a:1&resume=a:2", 400, "bad-field"),
    ] {
        let response = get_with(&app, &format!("/api/v1/events{query}"), &[]).await;
        assert_eq!(response.status(), status, "{query}");
        assert_eq!(header(&response, "content-type"), "application/problem+json");
        assert!(text(response).await.contains(code), "{query}");
    }
    assert_eq!(app.hub.stats().members, 0);
}

#[tokio::test]
async fn event_streams_and_sockets_share_the_stream_limit() {
    let app = app_state_with(&hub_with_rows(), Limits { streams_max: 2, ..Limits::default() });
    let address = serve(&app).await;
    let _socket = Client::welcomed(&address, "").await;
    let events = open(&app, "", None).await;
    let rejected = get_with(&app, "/api/v1/events", &[]).await;
    assert_eq!(rejected.status(), 503);
    assert!((1..=16).contains(&header(&rejected, "retry-after").parse::<u64>().unwrap()));
    assert!(text(rejected).await.contains("too-many-streams"));
    assert_eq!(Client::connect_status(&address).await, 503);
    drop(events);
    assert_eq!(get_with(&app, "/api/v1/events", &[]).await.status(), 200);
}

/// Opens an event stream over a socket and reads up to the snapshot.
async fn connect_events(address: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /api/v1/events?board=krw&interval_ms=0 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_until(&mut socket, "\"snapshot\"").await;
    socket
}

async fn read_until(socket: &mut TcpStream, wanted: &str) -> String {
    let mut received = Vec::new();
    let reading = async {
        while !received.windows(wanted.len()).any(|window| window == wanted.as_bytes()) {
            let mut buffer = [0; 4096];
            let count = socket.read(&mut buffer).await.unwrap();
            assert!(count > 0, "ended before {wanted}: {}", String::from_utf8_lossy(&received));
            received.extend_from_slice(&buffer[..count]);
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.expect("in time");
    // A read may end within a character.
    String::from_utf8_lossy(&received).into_owned()
}

#[tokio::test]
async fn an_open_event_stream_holds_no_connection_permit() {
    let app = app_state_with(&hub_with_rows(), Limits { connections_max: 1, ..Limits::default() });
    let address = serve(&app).await;
    let mut first = connect_events(&address).await;
    let _second = connect_events(&address).await;
    app.hub.publish(changed([quote("ETH-KRW", "9")]));
    read_until(&mut first, "\"last\":\"9\"").await;
}

#[tokio::test]
async fn out_06_a_shutdown_sends_the_retry_delay_and_ends() {
    let hub = hub_with_rows();
    let app = app_state(&hub);
    let address = serve(&app).await;
    let mut socket = connect_events(&address).await;
    let mut events = open(&app, "?board=krw", None).await;
    events.data().await;
    events.data().await;
    app.stop();
    app.streams().close();
    let event = events.next().await.unwrap();
    let closing = event.data.unwrap();
    assert_eq!((&closing["type"], &closing["reason"]), (&"closing".into(), &"shutdown".into()));
    assert_eq!(closing["retry_after_ms"].as_u64(), event.retry);
    assert!(event.retry.unwrap() <= 15_000);
    assert_eq!(events.next().await, None);
    read_until(&mut socket, "\"closing\"").await;
    tokio::time::timeout(DEADLINE, app.streams().wait()).await.expect("every stream ended");
    assert_eq!(hub.stats().members, 0);
    assert_eq!(get_with(&app, "/api/v1/events", &[]).await.status(), 503);
}

#[tokio::test]
async fn out_01_an_event_client_that_reads_nothing_is_cut_off_and_delays_no_one() {
    let hub = hub_with_rows();
    let limits = Limits { write_within: Duration::from_millis(500), ..Limits::default() };
    let app = app_state_with_site(&hub, limits, Site::default());
    let address = serve(&app).await;
    let mute = connect_events(&address).await;
    let mut healthy = connect_events(&address).await;
    eventually("both clients joined", || hub.stats().members == 2).await;
    let closed = async {
        let mut price = 1u64;
        while hub.stats().members == 2 {
            price += 1;
            let mut large = venue_update(sisepan::feed::VenueState::Down);
            for health in &mut large.venues {
                let code = sisepan::feed::ReasonCode::Silent;
                health.reason = Some(sisepan::feed::Reason::new(code, "가".repeat(20_000)));
            }
            large.changed = changed([quote("BTC-KRW", &price.to_string())]).changed;
            hub.publish(large);
            read_until(&mut healthy, &format!("\"last\":\"{price}\"")).await;
        }
    };
    tokio::time::timeout(DEADLINE, closed).await.expect("the mute client is closed");
    assert_eq!(hub.stats().members, 1, "the healthy client stays");
    drop(mute);
}

#[tokio::test]
#[ignore = "needs curl"]
async fn curl_reads_and_resumes_events() {
    let hub = hub_with_rows();
    let address = serve(&app_state(&hub)).await;
    let url = format!("http://{address}/api/v1/events?board=krw&interval_ms=0");
    let mut curl = tokio::process::Command::new("curl")
        .args(["--silent", "--no-buffer", "--max-time", "60", "--header", "Last-Event-ID: 01JH2M8Q:1", &url])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("curl is needed: scripts/system-env installs it");
    let mut out = curl.stdout.take().unwrap();
    let mut printed = String::new();
    let reading = async {
        let mut published = false;
        while !printed.contains("\"last\":\"4512777\"") {
            let mut buffer = [0; 4096];
            let count = out.read(&mut buffer).await.unwrap();
            assert!(count > 0, "curl ended: {printed}");
            printed.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            if !published && printed.contains("\"recovered\":true") {
                hub.publish(changed([quote("ETH-KRW", "4512777")]));
                published = true;
            }
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.expect("in time");
    assert!(
        printed.starts_with("retry: ") && printed.contains("\nid: 01JH2M8Q:2\ndata: {\"type\":\"delta\""),
        "{printed}"
    );
}
