//! Many clients, some of which do what they should not: they are gone in time, cost little, and hold up nobody.
//!
//! `SISEPAN_CROWD` is how many there are; 1,000 if it is not set. Both ends are in this process: each takes two descriptors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sisepan::web::Limits;
use sisepan::websocket::Opcode;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;
use tracing::subscriber::Interest;

use super::raw::{FIN, Raw, frame};
use crate::api::setup::*;

/// The most that a socket of ours may hold for a client.
const HELD_MAX: u64 = 256 << 10;

/// Markets of a frame: so many that those who do not read are soon full.
const MARKETS: usize = 100;

fn names() -> Vec<String> {
    (0..MARKETS).map(|number| format!("A{number}-KRW")).collect()
}

/// What clients have seen.
#[derive(Default)]
struct Seen {
    /// Healthy ones that have the last price.
    right: AtomicUsize,
    /// Healthy ones that were cut off.
    lost: AtomicUsize,
}

/// Reads and answers pings, until it has the price `last` of the first market.
async fn healthy(mut raw: Raw, last: String, seen: Arc<Seen>, over: CancellationToken) {
    let mut sequence = 0;
    let (wanted, mut is_right) = (format!(r#"{{"market":"A0-KRW","last":"{last}""#), false);
    loop {
        let heard = tokio::select! {
            () = over.cancelled() => return,
            heard = raw.heard() => heard,
        };
        let Some(heard) = heard else { break };
        if heard.first == FIN | Opcode::Ping as u8 {
            raw.write(&frame(FIN | Opcode::Pong as u8, &heard.payload)).await;
            continue;
        }
        let text = String::from_utf8(heard.payload).unwrap();
        let now: u64 = number(&text, r#""sequence":"#);
        let is_delta = text.starts_with(r#"{"type":"delta""#);
        assert!(!is_delta || number(&text, r#""previous":"#) == sequence, "a hole: {sequence}, {text}");
        sequence = now.max(sequence);
        if !is_right && text.contains(&wanted) {
            is_right = true;
            seen.right.fetch_add(1, Ordering::SeqCst);
        }
    }
    seen.lost.fetch_add(1, Ordering::SeqCst);
}

/// Returns the number behind a name, 0 if it is not there.
fn number(text: &str, name: &str) -> u64 {
    let Some((_, rest)) = text.split_once(name) else { return 0 };
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// Reads one byte a second.
async fn sip(mut raw: Raw, over: CancellationToken) {
    loop {
        tokio::select! {
            () = over.cancelled() => return,
            read = raw.tcp.read_u8() => if read.is_err() { return },
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Reads everything, answers nothing.
async fn ignore(mut raw: Raw, over: CancellationToken) {
    tokio::select! {
        () = over.cancelled() => {}
        _ = raw.end() => {}
    }
}

/// Returns the most that the kernel holds on its way out from this port to one client.
fn held(port: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let own = format!(":{port:04X}");
    let sockets = table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (out, _) = words[4].split_once(':')?;
        words[1].ends_with(&own).then(|| u64::from_str_radix(out, 16).unwrap())
    });
    sockets.max().unwrap_or_default()
}

/// Counts what is logged about clients.
struct Counter(Arc<AtomicUsize>);

impl tracing::Subscriber for Counter {
    fn register_callsite(&self, metadata: &'static tracing::Metadata<'static>) -> Interest {
        let is_ours = metadata.target().starts_with("sisepan::delivery") || metadata.target().contains("::stream");
        if is_ours && *metadata.level() <= tracing::Level::INFO { Interest::always() } else { Interest::never() }
    }
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("sisepan::delivery")
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
async fn out_01_out_02_out_05_out_20_a_crowd_with_bad_ones_in_it() {
    let crowd: usize = std::env::var("SISEPAN_CROWD").ok().and_then(|count| count.parse().ok()).unwrap_or(1000);
    let lines = Arc::new(AtomicUsize::new(0));
    let _ = tracing::subscriber::set_global_default(Counter(lines.clone()));
    let hub = hub();
    let names = names();
    hub.publish(changed(names.iter().map(|name| quote(name, "1"))));
    let limits = Limits {
        write_within: Duration::from_secs(2),
        ping_every: Duration::from_secs(4),
        // Long, since a busy machine lets a healthy one wait too, and the bad ones must be there when all are.
        pong_within: Duration::from_secs(20),
        close_within: Duration::from_millis(200),
        per_ipv4_max: 2 * crowd,
        ..Limits::default()
    };
    let address = serve(&state_with(&hub, limits)).await;
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    let query = format!("?markets={}&interval_ms=0", names.join(","));
    let (seen, over) = (Arc::new(Seen::default()), CancellationToken::new());
    let last = "1000".to_owned();
    let mut mute = Vec::new();
    let good = crowd * 4 / 5;
    for _ in 0..good {
        let (raw, _) = Raw::upgraded(&address, &query, "").await;
        tokio::spawn(healthy(raw, last.clone(), seen.clone(), over.clone()));
    }
    for number in good..crowd {
        let (raw, _) = Raw::upgraded(&address, &query, "").await;
        match number % 4 {
            0 => drop(tokio::spawn(sip(raw, over.clone()))),
            1 => drop(tokio::spawn(ignore(raw, over.clone()))),
            _ => mute.push(raw),
        }
    }
    eventually("all are there", || hub.load().members == crowd).await;
    let mut most = 0;
    // Beats until the bad ones are gone; the healthy ones keep up with what they can.
    let mut price = 1u32;
    let deadline = tokio::time::sleep(3 * DEADLINE);
    tokio::pin!(deadline);
    while hub.load().members > good {
        assert!(!deadline.is_elapsed(), "{} of {good} good ones", hub.load().members);
        price += 1;
        hub.publish(changed(names.iter().map(|name| quote(name, &price.to_string()))));
        most = most.max(held(port));
        tokio::select! {
            () = &mut deadline => {}
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
    assert!(price < 1000);
    assert_eq!(hub.load().members, good, "every healthy one is still there");
    hub.publish(changed([quote("A0-KRW", &last)]));
    eventually("every healthy one is right", || seen.right.load(Ordering::SeqCst) == good).await;
    assert_eq!(seen.lost.load(Ordering::SeqCst), 0);
    assert!(most <= HELD_MAX, "{most} bytes were held for one client");
    assert!(most > 0, "somebody was full");
    assert!(lines.load(Ordering::SeqCst) <= 3, "{} lines about {crowd} clients", lines.load(Ordering::SeqCst));
    over.cancel();
    drop(mute);
}

/// What is on its way to somebody who stopped reading is his own matter: the others' frames go by.
#[tokio::test]
async fn out_03_a_closed_window_is_not_waited_for_at_the_end() {
    let hub = hub();
    let names = names();
    hub.publish(changed(names.iter().map(|name| quote(name, "1"))));
    let limits = Limits { close_within: Duration::from_millis(200), ..Limits::default() };
    let app = state_with(&hub, limits);
    let address = serve(&app).await;
    let query = format!("?markets={}&interval_ms=0", names.join(","));
    let (mute, _) = Raw::upgraded(&address, &query, "").await;
    let mut reader = Raw::welcomed(&address, &query).await;
    reader.text().await;
    for price in 2..600 {
        hub.publish(changed(names.iter().map(|name| quote(name, &price.to_string()))));
        while !reader.text().await.contains(&format!(r#""last":"{price}""#)) {}
    }
    app.stop();
    app.streams().close();
    assert!(reader.text().await.starts_with(r#"{"type":"closing""#));
    tokio::time::timeout(DEADLINE, app.streams().wait()).await.expect("both are gone");
    drop(mute);
}
