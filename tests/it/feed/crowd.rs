//! Many clients, some of which misbehave: those are closed in time, cost little memory, and delay no one.
//!
//! `CROWD` sets the number of clients (default 1,000). Both ends are in this process, so each client
//! needs two file descriptors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fanout::websocket::Opcode;
use sisepan::web::Limits;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;
use tracing::subscriber::Interest;

use super::raw::{FIN, RawClient, frame};
use crate::api::setup::*;
use crate::from_env;

/// Upper bound for the bytes in the send queue of one socket.
const SEND_QUEUE_MAX: u64 = 256 << 10;

/// Markets per frame: enough to fill the buffers of clients that do not read.
const MARKETS: usize = 100;

fn names() -> Vec<String> {
    (0..MARKETS).map(|number| format!("A{number}-KRW")).collect()
}

/// Counters of the healthy clients.
#[derive(Default)]
struct Counts {
    /// Clients that received the last price.
    current: AtomicUsize,
    /// Clients whose connection ended.
    disconnected: AtomicUsize,
}

/// Reads messages, answers pings and checks sequences. Counts itself once the first market has the price `last`.
async fn healthy(mut raw: RawClient, last: String, counts: Arc<Counts>, done: CancellationToken) {
    let mut sequence = 0;
    let (wanted, mut is_current) = (format!(r#"{{"market":"A0-KRW","last":"{last}""#), false);
    loop {
        let received = tokio::select! {
            () = done.cancelled() => return,
            received = raw.receive_frame() => received,
        };
        let Some(received) = received else { break };
        if received.first_byte == FIN | Opcode::Ping as u8 {
            raw.write(&frame(FIN | Opcode::Pong as u8, &received.payload)).await;
            continue;
        }
        let text = String::from_utf8(received.payload).unwrap();
        let new_sequence: u64 = number(&text, r#""sequence":"#);
        let is_delta = text.starts_with(r#"{"type":"delta""#);
        assert!(!is_delta || number(&text, r#""previous":"#) == sequence, "a gap after {sequence}: {text}");
        sequence = new_sequence.max(sequence);
        if !is_current && text.contains(&wanted) {
            is_current = true;
            counts.current.fetch_add(1, Ordering::SeqCst);
        }
    }
    counts.disconnected.fetch_add(1, Ordering::SeqCst);
}

/// Returns the number after a JSON member name; 0 if the member is absent.
fn number(text: &str, name: &str) -> u64 {
    let Some((_, rest)) = text.split_once(name) else { return 0 };
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// Reads one byte per second.
async fn read_slowly(mut raw: RawClient, done: CancellationToken) {
    loop {
        tokio::select! {
            () = done.cancelled() => return,
            read = raw.tcp.read_u8() => if read.is_err() { return },
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Reads everything and answers no ping.
async fn read_silently(mut raw: RawClient, done: CancellationToken) {
    tokio::select! {
        () = done.cancelled() => {}
        _ = raw.read_to_end() => {}
    }
}

/// Returns the longest kernel send queue, in bytes, of the sockets of a local port.
fn longest_send_queue(port: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local_port = format!(":{port:04X}");
    let sockets = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (send_queue, _) = columns[4].split_once(':')?;
        columns[1].ends_with(&local_port).then(|| u64::from_str_radix(send_queue, 16).unwrap())
    });
    sockets.max().unwrap_or_default()
}

/// Counts the log events about clients.
struct Counter(Arc<AtomicUsize>);

impl tracing::Subscriber for Counter {
    fn register_callsite(&self, metadata: &'static tracing::Metadata<'static>) -> Interest {
        let is_ours = metadata.target().starts_with("fanout") || metadata.target().contains("::stream");
        if is_ours && *metadata.level() <= tracing::Level::INFO { Interest::always() } else { Interest::never() }
    }
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("fanout")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow"]
async fn out_01_out_02_out_05_out_20_misbehaving_clients_are_closed_and_healthy_ones_stay_current() {
    let total = from_env::number("CROWD", 1000);
    let log_lines = Arc::new(AtomicUsize::new(0));
    let _ = tracing::subscriber::set_global_default(Counter(log_lines.clone()));
    let hub = hub();
    let names = names();
    hub.publish(changed(names.iter().map(|name| quote(name, "1"))));
    let limits = Limits {
        write_within: Duration::from_secs(2),
        ping_every: Duration::from_secs(4),
        // Long, since a busy machine delays healthy clients too, and all clients must be connected at once.
        pong_within: Duration::from_secs(20),
        close_within: Duration::from_millis(200),
        per_ipv4_max: 2 * total,
        ..Limits::default()
    };
    let address = serve(&app_state_with(&hub, limits)).await;
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    let query = format!("?markets={}&interval_ms=0", names.join(","));
    let (counts, done) = (Arc::new(Counts::default()), CancellationToken::new());
    let last = "1000".to_owned();
    let mut mute = Vec::new();
    let healthy_count = total * 4 / 5;
    for _ in 0..healthy_count {
        let (raw, _) = RawClient::upgraded(&address, &query, "").await;
        tokio::spawn(healthy(raw, last.clone(), counts.clone(), done.clone()));
    }
    for number in healthy_count..total {
        let (raw, _) = RawClient::upgraded(&address, &query, "").await;
        match number % 4 {
            0 => drop(tokio::spawn(read_slowly(raw, done.clone()))),
            1 => drop(tokio::spawn(read_silently(raw, done.clone()))),
            _ => mute.push(raw),
        }
    }
    eventually("all clients joined", || hub.stats().members == total).await;
    let mut longest_queue = 0;
    // Publishes until the misbehaving clients are closed.
    let mut price = 1u32;
    let deadline = tokio::time::sleep(3 * DEADLINE);
    tokio::pin!(deadline);
    while hub.stats().members > healthy_count {
        assert!(!deadline.is_elapsed(), "{} members, {healthy_count} of them healthy", hub.stats().members);
        price += 1;
        hub.publish(changed(names.iter().map(|name| quote(name, &price.to_string()))));
        longest_queue = longest_queue.max(longest_send_queue(port));
        tokio::select! {
            () = &mut deadline => {}
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
    assert!(price < 1000);
    assert_eq!(hub.stats().members, healthy_count, "every healthy client stays");
    hub.publish(changed([quote("A0-KRW", &last)]));
    eventually("every healthy client is current", || counts.current.load(Ordering::SeqCst) == healthy_count).await;
    assert_eq!(counts.disconnected.load(Ordering::SeqCst), 0);
    assert!(longest_queue <= SEND_QUEUE_MAX, "{longest_queue} bytes were queued for one client");
    assert!(longest_queue > 0, "the buffers of some client were full");
    assert!(log_lines.load(Ordering::SeqCst) <= 3, "{} lines about {total} clients", log_lines.load(Ordering::SeqCst));
    done.cancel();
    drop(mute);
}

/// Frames queued for a client that stopped reading delay neither other clients nor the shutdown.
#[tokio::test]
async fn out_03_a_shutdown_does_not_wait_for_a_closed_tcp_window() {
    let hub = hub();
    let names = names();
    hub.publish(changed(names.iter().map(|name| quote(name, "1"))));
    let limits = Limits { close_within: Duration::from_millis(200), ..Limits::default() };
    let app = app_state_with(&hub, limits);
    let address = serve(&app).await;
    let query = format!("?markets={}&interval_ms=0", names.join(","));
    let (mute, _) = RawClient::upgraded(&address, &query, "").await;
    let mut reader = RawClient::welcomed(&address, &query).await;
    reader.text().await;
    for price in 2..600 {
        hub.publish(changed(names.iter().map(|name| quote(name, &price.to_string()))));
        while !reader.text().await.contains(&format!(r#""last":"{price}""#)) {}
    }
    app.stop();
    app.streams().close();
    assert!(reader.text().await.starts_with(r#"{"type":"closing""#));
    tokio::time::timeout(DEADLINE, app.streams().wait()).await.expect("both streams ended");
    drop(mute);
}
