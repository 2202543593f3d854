//! A venue that gives out the URL of its streams by REST, with a token that is valid for one connection.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sisepan::feed::{ReasonCode, VenueHealth, VenueState};
use sisepan::ingest::{Settings, Tls};
use sisepan::venue::{Keepalive, Limit, Profile, Rate};

use super::sessions::Talker;
use super::toy::{Bench, Mode, Server, StreamAction, Toy, WAIT_MAX, polled, settings, streamed, until};

const LIMITS: &[Limit] = &[
    Limit { group: "all", rates: &[Rate::per_second(2000)] },
    Limit { group: "candle", rates: &[Rate::per_second(200)] },
    Limit { group: "token", rates: &[Rate::per_second(2000)] },
];

fn profile() -> Profile {
    Profile { limits: LIMITS, ..Toy::profile() }
}

/// A server that gives out tokens, which keep a connection alive by a ping each minute.
async fn server() -> Arc<Server> {
    let server = Server::start(&["btc"]).await;
    server.with(|state| {
        state.endpoint = Some(format!("ws://{}/stream", server.address));
        state.mode = Mode::Greeting;
        state.ping_ms = 60_000;
    });
    server
}

fn start(server: &Arc<Server>, profile: Profile, change: impl FnOnce(&mut Settings)) -> Bench {
    let mut settings = settings(server, &profile);
    // Where no stream is; since it is the default, the URL that is given out counts.
    settings.stream = profile.stream.to_owned();
    // On a busy machine nothing but the faults of these tests fails.
    let long = Duration::from_secs(5);
    (settings.tcp, settings.upgrade, settings.lag_grace) = (long, long, long);
    change(&mut settings);
    Bench::start_venue(server, &["btc"], Talker::leak(profile, true), settings, Tls::new(None).unwrap())
}

/// Everything that the program logs on this thread, at any level.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Captured {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let captured = Self::default();
        let writer = captured.clone();
        let subscriber =
            tracing_subscriber::fmt().with_env_filter("trace").with_writer(move || writer.clone()).finish();
        (captured, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

#[tokio::test]
async fn the_url_is_requested_once_for_each_connection() {
    let (log, _guard) = Captured::start();
    let server = server().await;
    let mut bench = start(&server, profile(), |_| {});
    for (count, price) in [(1, "101"), (2, "102"), (3, "103")] {
        bench.state(VenueState::Up).await;
        server.trade("btc", price);
        bench.price("btc", price, streamed).await;
        assert_eq!(server.logged("get /token").len(), count);
        assert_eq!(server.logged("ws /stream?token=secret").len(), count);
        let _ = server.streams.send(StreamAction::Cut);
        bench.health("the end", |health| health.state != VenueState::Up).await;
    }
    assert_eq!(server.logged("bad").len(), 0, "no token is used twice");
    assert!(!format!("{:?}", bench.seen).contains("secret"));
    bench.stop().await;
    let log = log.text();
    assert!(log.contains("reading from the exchange failed"), "{log}");
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn a_configured_address_replaces_the_one_given_out_but_for_the_token() {
    let server = server().await;
    let configured = server.with(|state| state.endpoint.replace("ws://127.0.0.1:1/elsewhere".to_owned())).unwrap();
    let mut bench = start(&server, profile(), |settings| settings.stream = configured);
    bench.state(VenueState::Up).await;
    assert_eq!(server.logged("ws /stream?token=secret").len(), 1);
    bench.stop().await;
}

#[tokio::test]
async fn a_refused_token_is_a_failed_connection_that_names_the_host_only() {
    let (log, _guard) = Captured::start();
    let server = server().await;
    let url = format!("ws://{}/stream?token=secretold", server.address);
    server.reply("/token", "200 OK", format!(r#"{{"url":"{url}"}}"#));
    let mut bench = start(&server, profile(), |_| {});
    let health = bench.reason(ReasonCode::Upgrade).await;
    let reason = health.reason.unwrap();
    assert!(reason.message.contains("127.0.0.1 answered the WebSocket upgrade with 401"), "{reason}");
    until("two attempts", || server.logged("bad token").len() >= 2).await;
    assert!(server.logged("get /token").len() >= 2, "each attempt asks again");
    assert!(!format!("{:?}", bench.seen).contains("secret"));
    bench.stop().await;
    assert!(!log.text().contains("secret"), "{}", log.text());
}

#[tokio::test]
async fn the_keepalive_of_the_answer_is_used_within_bounds() {
    for ping_ms in [0, 1000] {
        let server = server().await;
        server.with(|state| state.ping_ms = ping_ms);
        let mut bench = start(&server, profile(), |_| {});
        bench.state(VenueState::Up).await;
        until("two pings", || server.logged("ping").len() >= 2).await;
        let opened = server.logged("ws")[0];
        for (at, second) in server.logged("ping").into_iter().zip(1..) {
            assert!(at >= opened + Duration::from_secs(second), "ping {second} at {at:?}, opened at {opened:?}");
        }
        bench.stop().await;
    }
    let longest = Duration::from_secs(3600);
    assert_eq!(Keepalive::Text("", Duration::MAX).clamp(Duration::ZERO, longest), Keepalive::Text("", longest));
}

/// Waits for a failure; prices are polled meanwhile.
async fn failure(server: &Arc<Server>, change: impl FnOnce(&mut Settings)) -> (VenueHealth, Bench) {
    let mut bench = start(server, profile(), change);
    let is_failure = |health: &VenueHealth| health.state == VenueState::Delayed && health.reason.is_some();
    let health = bench.health("a failure", is_failure).await;
    server.trade("btc", "101");
    bench.price("btc", "101", polled).await;
    (health, bench)
}

#[tokio::test]
#[ignore = "slow"]
async fn every_failure_of_the_request_is_named_while_prices_are_polled() {
    let (log, _guard) = Captured::start();
    for (head, body, code, words) in [
        ("200 OK", r#"{"url":"http://127.0.0.1/?token=secret"}"#, ReasonCode::Payload, "not that of a WebSocket"),
        ("200 OK", r#"{"url":"token=secret"}"#, ReasonCode::Payload, "can't be parsed"),
        ("200 OK", r#"{"url":"ws:"}"#, ReasonCode::Payload, "its URL"),
        ("200 OK", r#"{"token":"secret"}"#, ReasonCode::Payload, "it has no url"),
        ("200 OK", "secret garbage", ReasonCode::Payload, "is not JSON"),
        ("200 OK", "", ReasonCode::Payload, "is empty"),
        ("200 OK", r#"{"error":"4001"}"#, ReasonCode::Refused, "4001"),
        ("400 Bad Request", r#"{"error":"4002"}"#, ReasonCode::Refused, "4002"),
        ("500 Internal Server Error", "", ReasonCode::Http, "127.0.0.1 answered 500"),
        ("503 Service Unavailable", "<html>", ReasonCode::Http, "127.0.0.1 answered 503"),
        ("403 Forbidden", "", ReasonCode::Blocked, "does not serve this address"),
        ("302 Found\r\nLocation: http://127.0.0.1/elsewhere", "", ReasonCode::Redirect, "redirects are not followed"),
        ("late", "", ReasonCode::Timeout, "took too long"),
    ] {
        let server = server().await;
        server.reply("/token", head, body);
        let (health, bench) = failure(&server, |settings| settings.request = Duration::from_secs(2)).await;
        let reason = health.reason.clone().unwrap();
        assert_eq!(reason.code, code, "{head} {body}: {reason}");
        let message = &reason.message;
        assert!(
            message.starts_with("no endpoint for the stream: ") && message.contains(words),
            "{head} {body}: {reason}"
        );
        assert_eq!(server.logged("ws").len() + server.logged("get /elsewhere").len(), 0, "{head} {body}");
        assert!(!format!("{:?}", bench.seen).contains("secret"), "{head} {body}: {:?}", bench.seen);
        bench.stop().await;
    }
    assert!(log.text().contains("no endpoint for the stream"));
    assert!(!log.text().contains("secret"), "{}", log.text());
}

#[tokio::test]
async fn failed_requests_for_the_url_are_repeated_with_back_off_and_counted_as_no_closed_connection() {
    let server = server().await;
    // The server ends the connection without an answer, more often than a venue may that closes connections.
    server.reply("/token", "cut", "");
    let wait = Duration::from_millis(500);
    let (health, mut bench) =
        failure(&server, |settings| (settings.backoff_min, settings.backoff_max) = (wait, wait)).await;
    let reason = health.reason.unwrap();
    assert_eq!(reason.code, ReasonCode::Closed, "{reason}");
    // Each attempt may be repeated once, at once, on a connection that was closed.
    until("seven attempts", || server.logged("get /token").len() >= 14).await;
    assert!(server.elapsed() > 6 * wait / 10);
    server.with(|state| state.replies.clear());
    bench.state(VenueState::Up).await;
    let refused = bench.seen.iter().any(|event| format!("{event:?}").contains("in a row"));
    assert!(!refused, "{:?}", bench.seen);
    bench.stop().await;
}

#[tokio::test]
async fn a_403_to_the_request_starts_a_cool_down_of_the_stream_alone() {
    let server = server().await;
    server.reply("/token", "403 Forbidden", "");
    let (_, mut bench) = failure(&server, |_| {}).await;
    let health = bench.health("a cool-down", |health| health.stream_not_before.is_some()).await;
    assert_eq!(health.not_before, None);
    let begun = server.logged("get /tickers").len();
    until("several polls", || server.logged("get /tickers").len() > begun + 5).await;
    assert_eq!(server.logged("get /token").len(), 1);
    bench.stop().await;
}

#[tokio::test]
async fn a_429_to_the_request_stops_requests_for_as_long_as_it_says() {
    let server = server().await;
    server.reply("/token", "429 Too Many Requests\r\nRetry-After: 2", "");
    let mut bench = start(&server, profile(), |_| {});
    let health = bench.reason(ReasonCode::RateLimited).await;
    assert!(health.not_before.is_some(), "{health:?}");
    let reason = health.reason.unwrap();
    assert!(reason.message.contains("429"), "{reason}");
    until("another request", || server.logged("get /token").len() >= 2).await;
    let requests = server.logged("get /token");
    assert!(requests[1] - requests[0] >= Duration::from_secs(2), "{requests:?}");
    server.with(|state| state.replies.clear());
    bench.state(VenueState::Up).await;
    bench.stop().await;
}

#[tokio::test]
async fn requests_for_the_url_count_towards_their_limits() {
    // A bucket of 10 that gains 20 per second; each request costs 10.
    const SLOW: &[Limit] =
        &[LIMITS[0], LIMITS[1], Limit { group: "token", rates: &[Rate::per_second(40), Rate::per_minute(6000)] }];
    let server = server().await;
    server.reply("/token", "500 Internal Server Error", "");
    let bench = start(&server, Profile { limits: SLOW, ..profile() }, |_| {});
    until("six requests", || server.logged("get /token").len() >= 6).await;
    for (at, count) in server.logged("get /token").into_iter().zip(1..) {
        assert!(at >= count * Duration::from_millis(500), "request {count} at {at:?}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_the_url() {
    let server = server().await;
    server.reply("/token", "late", "");
    let bench = start(&server, profile(), |settings| settings.request = 10 * WAIT_MAX);
    until("the request", || !server.logged("get /token").is_empty()).await;
    bench.stop().await;

    // Nor for its turn: an hour passes before the limit allows the request.
    const NEVER: &[Limit] = &[
        LIMITS[0],
        LIMITS[1],
        Limit { group: "token", rates: &[Rate { units: 40, window: Duration::from_secs(3600) }] },
    ];
    let mut bench = start(&server, Profile { limits: NEVER, ..profile() }, |_| {});
    bench.price("btc", "100", |_| true).await;
    bench.stop().await;
}
