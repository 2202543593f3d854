//! Limits of connections and frames, and the lifetime of a stream.

use std::net::SocketAddr;
use std::time::Duration;

use fake_exchanges::Clock;
use fake_exchanges::limits::{Charge, Limit, RateLimits, Refusal, Window};
use fake_exchanges::{Fake, Options, start};
use futures_util::SinkExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use super::client::{DEADLINE, Stream, http_client, start_time, start_with_manual_clock};

/// Requests a stream from a local address, with extra header lines; returns the status and the connection.
async fn upgrade(fake: &Fake, from: &str, venue: &str, more: &str) -> (u16, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse::<SocketAddr>().unwrap()).unwrap();
    let mut tcp = socket.connect(fake.addr()).await.unwrap();
    let path = fake.stream_url(venue).split_once(&fake.addr().to_string()).unwrap().1.to_owned();
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    );
    tcp.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(DEADLINE, tcp.read_exact(&mut answer)).await.expect("no answer in time").unwrap();
    (std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap(), tcp)
}

async fn status(fake: &Fake, from: &str, venue: &str) -> u16 {
    upgrade(fake, from, venue, "").await.0
}

#[tokio::test]
async fn upbit_accepts_five_connections_a_second_from_an_address() {
    let (fake, clock) = start_with_manual_clock().await;
    for _ in 0..5 {
        assert_eq!(status(&fake, "127.0.0.1", "upbit").await, 101);
    }
    assert_eq!(status(&fake, "127.0.0.1", "upbit").await, 429);
    assert_eq!(status(&fake, "127.0.0.2", "upbit").await, 101, "another address has its own count");
    assert_eq!(status(&fake, "127.0.0.1", "bithumb").await, 101, "and so has another venue");
    clock.advance(Duration::from_secs(1));
    for _ in 0..3 {
        assert_eq!(status(&fake, "127.0.0.1", "upbit").await, 101);
    }
    // The window begins with its first connection; it is not aligned with the clock.
    clock.advance(Duration::from_millis(999));
    assert_eq!(status(&fake, "127.0.0.1", "upbit").await, 101);
    assert_eq!(status(&fake, "127.0.0.1", "upbit").await, 101);
    assert_eq!(status(&fake, "127.0.0.1", "upbit").await, 429);
    clock.advance(Duration::from_millis(1));
    assert_eq!(status(&fake, "127.0.0.1", "upbit").await, 101);
    fake.shutdown().await;
}

#[tokio::test]
async fn bithumb_bans_a_client_that_keeps_connecting_for_ten_minutes() {
    let (fake, clock) = start_with_manual_clock().await;
    let mut seen = Vec::new();
    for _ in 0..21 {
        seen.push(status(&fake, "127.0.0.1", "bithumb").await);
    }
    assert_eq!((&seen[..10], &seen[10..]), (&[101; 10][..], &[429; 11][..]));
    clock.advance(Duration::from_secs(599));
    assert_eq!(status(&fake, "127.0.0.1", "bithumb").await, 429, "the ban lasts ten minutes");
    clock.advance(Duration::from_secs(1));
    assert_eq!(status(&fake, "127.0.0.1", "bithumb").await, 101);
    fake.shutdown().await;
}

#[tokio::test]
async fn binance_accepts_three_hundred_connections_in_five_minutes() {
    let (fake, clock) = start_with_manual_clock().await;
    for count in 0..300 {
        assert_eq!(status(&fake, "127.0.0.1", "binance").await, 101, "connection {count}");
    }
    assert_eq!(status(&fake, "127.0.0.1", "binance").await, 429);
    assert_eq!(status(&fake, "127.0.0.2", "binance").await, 101);
    clock.advance(Duration::from_secs(300));
    assert_eq!(status(&fake, "127.0.0.1", "binance").await, 101);
    fake.shutdown().await;
}

#[tokio::test]
async fn upbit_accepts_one_request_in_ten_seconds_from_a_page() {
    let (fake, clock) = start_with_manual_clock().await;
    let url = format!("{}/v1/ticker?markets=KRW-BTC", fake.rest_url("upbit"));
    let request = async || {
        let answer = http_client().get(&url).header("origin", "https://page.example").send().await.unwrap();
        let group = answer.headers().get("remaining-req").map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), group.unwrap_or_default())
    };
    assert_eq!(request().await, (200, "group=origin; min=60; sec=0".to_owned()));
    assert_eq!(request().await.0, 429);
    let page = "origin: https://page.example\r\n";
    assert_eq!(upgrade(&fake, "127.0.0.1", "upbit", page).await.0, 429, "the limit applies to streams too");
    assert_eq!(status(&fake, "127.0.0.1", "upbit").await, 101, "but not without the header");
    assert_eq!(upgrade(&fake, "127.0.0.1", "bithumb", page).await.0, 101, "and at no other venue");
    clock.advance(Duration::from_secs(10));
    assert_eq!(upgrade(&fake, "127.0.0.1", "upbit", page).await.0, 101);
    assert_eq!(request().await.0, 429);
    fake.shutdown().await;
}

#[tokio::test]
async fn upbit_accepts_five_frames_a_second_and_a_hundred_a_minute() {
    let (fake, clock) = start_with_manual_clock().await;
    let mut stream = Stream::open(&fake.stream_url("upbit")).await;
    for _ in 0..5 {
        stream.send("PING").await;
        assert_eq!(stream.text().await, r#"{"status":"UP"}"#);
        stream.0.send(Message::Ping("x".into())).await.unwrap();
    }
    stream.send("PING").await;
    assert_eq!(stream.wait_closed().await.0, 1008, "the sixth in a second");

    let mut stream = Stream::open(&fake.stream_url("upbit")).await;
    for count in 0..100 {
        if count % 5 == 0 {
            clock.advance(Duration::from_secs(1));
        }
        stream.send("PING").await;
        assert_eq!(stream.text().await, r#"{"status":"UP"}"#);
    }
    clock.advance(Duration::from_secs(1));
    stream.send("PING").await;
    assert_eq!(stream.wait_closed().await.0, 1008, "the hundred and first in a minute");
    let mut bithumb = Stream::open(&fake.stream_url("bithumb")).await;
    for _ in 0..20 {
        bithumb.send("PING").await;
        assert_eq!(bithumb.text().await, r#"{"status":"UP"}"#, "Bithumb documents no such limit");
    }
    fake.shutdown().await;
}

#[tokio::test]
async fn binance_announces_the_end_of_a_stream_and_then_closes_it() {
    assert_eq!(Options::default().stream_lifetime, Duration::from_secs(86_400));
    let clock = Clock::manual(start_time());
    let options = Options { clock: clock.clone(), stream_lifetime: Duration::from_secs(50), ..Options::default() };
    let fake = start(options).await.unwrap();
    let mut old = Stream::open(&fake.stream_url("binance")).await;
    old.send(r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#).await;
    assert_eq!(old.json().await["id"], 1);
    clock.advance(Duration::from_secs(44));
    old.send(r#"{"method":"LIST_SUBSCRIPTIONS","id":2}"#).await;
    assert_eq!(old.json().await["id"], 2, "too early for the announcement");
    let mut young = Stream::open(&fake.stream_url("binance")).await;
    clock.advance(Duration::from_secs(1));
    let notice = old.json().await;
    let now = clock.now().as_millisecond();
    assert_eq!(notice, serde_json::json!({"e": "serverShutdown", "E": now}));
    clock.advance(Duration::from_secs(5));
    assert_eq!(old.wait_closed().await.0, 1001);
    young.send(r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#).await;
    assert_eq!(young.json().await["id"], 3, "the younger stream stays open");
    let mut upbit = Stream::open(&fake.stream_url("upbit")).await;
    clock.advance(Duration::from_secs(55));
    upbit.send("PING").await;
    assert_eq!(upbit.text().await, r#"{"status":"UP"}"#, "no other venue limits the age");
    fake.shutdown().await;
}

#[tokio::test]
async fn without_limits_nothing_is_counted() {
    let fake = start(Options { enforces_limits: false, clock: Clock::manual(start_time()), ..Options::default() })
        .await
        .unwrap();
    for _ in 0..20 {
        assert_eq!(status(&fake, "127.0.0.1", "upbit").await, 101);
    }
    let mut stream = Stream::open(&fake.stream_url("binance")).await;
    for id in 0..20 {
        stream.send(&format!(r#"{{"method":"LIST_SUBSCRIPTIONS","id":{id}}}"#)).await;
        assert_eq!(stream.json().await["id"], id);
    }
    fake.shutdown().await;
}

#[test]
fn every_window_of_a_limit_counts_a_request() {
    const LIMIT: Limit = Limit {
        windows: &[Window::from_first(3, 1), Window::aligned(5, 600)],
        ban: Duration::from_secs(60),
        ban_status: 403,
    };
    let mut limits = RateLimits::default();
    let mut count = |ms: u64| {
        let charge = Charge { limit: &LIMIT, group: "all", weight: 1 };
        limits.count("toy", "127.0.0.1".parse().unwrap(), &[charge], Duration::from_millis(ms))
    };
    for used in 1..=3 {
        assert_eq!(count(100).unwrap()[0].used, used);
    }
    assert_eq!(count(200), Err(Refusal { status: 429, wait: Duration::from_millis(900) }));
    assert_eq!(count(1_100).unwrap()[0].used, 1, "the first window has begun anew");
    assert_eq!(count(1_100), Err(Refusal { status: 429, wait: Duration::from_millis(598_900) }));
    for _ in 0..8 {
        assert_eq!(count(5_000).unwrap_err().status, 429);
    }
    assert_eq!(count(5_000), Err(Refusal { status: 403, wait: Duration::from_secs(60) }), "a ban after ten refusals");
    assert_eq!(count(64_000), Err(Refusal { status: 403, wait: Duration::from_secs(1) }));
    assert_eq!(count(600_000).unwrap()[0].used, 1);
}
