//! Shutdown of a server with many clients, and their simultaneous reconnect.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use sisepan::web::Limits;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::raw::{End, RawClient};
use crate::api::setup::*;

const CLIENTS: usize = 300;

async fn serve_at(app: &sisepan::web::AppState, address: &str) -> (String, CancellationToken) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    tokio::spawn(sisepan::web::listen(listener, app.clone(), stop.clone()));
    (address, stop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_07_reconnects_after_a_shutdown_are_spread_and_share_one_encoding() {
    let limits = || Limits { return_spread: Duration::from_secs(1), per_ipv4_max: 2 * CLIENTS, ..Limits::default() };
    let old = hub();
    old.publish(changed([bitcoin()]));
    let app = app_state_with(&old, limits());
    let (address, stop) = serve_at(&app, "127.0.0.1:0").await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut raw = RawClient::welcomed(&address, "?board=krw&interval_ms=0").await;
        raw.text().await;
        clients.push(raw);
    }
    stop.cancel();
    app.stop();
    app.streams().close();
    let mut delays = BTreeSet::new();
    for raw in &mut clients {
        let closing = raw.json().await;
        delays.insert(closing["retry_after_ms"].as_u64().unwrap());
        assert_eq!(raw.read_to_end().await, End::Close(Some(1012)));
    }
    assert!(delays.len() > CLIENTS / 4, "{} different delays", delays.len());
    assert!(*delays.last().unwrap() <= 1000);
    tokio::time::timeout(DEADLINE, app.streams().wait()).await.expect("the old server has ended");

    // All reconnect at once, ignoring the delay: the server must not depend on it.
    let new = hub();
    new.publish(changed([bitcoin(), quote("ETH-KRW", "1")]));
    let app = app_state_with(&new, limits());
    let (address, _stop) = serve_at(&app, &address).await;
    let mut connecting = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let address = address.clone();
        connecting.spawn(async move {
            let mut raw = RawClient::welcomed(&address, "?board=krw&interval_ms=0").await;
            assert_eq!(raw.json().await["rows"].as_array().unwrap().len(), 2);
            raw
        });
    }
    let mut clients = connecting.join_all().await;
    assert_eq!(new.stats().snapshots_encoded, 1);
    new.publish(changed([quote("ETH-KRW", "2")]));
    for raw in &mut clients {
        assert_eq!(raw.json().await["rows"][0]["last"], "2");
    }
    assert_eq!(new.stats().frames_encoded, 1);
}

/// A `sisepan demo` process, started by a shell so that `ulimit` can be set first.
struct Demo {
    child: Child,
    address: String,
}

impl Demo {
    async fn start(prefix: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_sisepan");
        let line = format!("{prefix}exec {program} demo --listen 127.0.0.1:0");
        let mut child = Command::new("sh")
            .args(["-c", &line])
            // All clients have the same address.
            .env("SISEPAN_LIMITS_CONNECTIONS_PER_IPV4", "1000")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let address = line.strip_prefix("listening on http://").unwrap().to_owned();
        Self { child, address }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_06_sigterm_ends_a_program_whose_clients_do_not_read() {
    let mut demo = Demo::start("").await;
    let (mut mute, mut readers) = (Vec::new(), Vec::new());
    for number in 0..CLIENTS {
        let mut raw = RawClient::welcomed(&demo.address, "?board=krw&interval_ms=0").await;
        if number % 3 == 0 {
            mute.push(raw);
        } else {
            readers.push(tokio::spawn(async move { raw.read_to_end().await }));
        }
    }
    let pid = demo.child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let status = tokio::time::timeout(DEADLINE, demo.child.wait()).await.expect("the program ends").unwrap();
    assert_eq!(status.code(), Some(0));
    for reader in readers {
        assert_eq!(reader.await.unwrap(), End::Close(Some(1012)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_13_a_server_out_of_file_descriptors_recovers_when_some_are_free() {
    let mut demo = Demo::start("ulimit -n 256; ").await;
    let mut held = Vec::new();
    for _ in 0..400 {
        held.push(tokio::net::TcpStream::connect(&demo.address).await.unwrap());
    }
    // More than the limit: the server rejects them or lets them wait. It recovers once most of them are closed.
    held.truncate(20);
    let url = format!("ws://{}/api/v1/stream", demo.address);
    let admitted = async {
        // Without a free descriptor the server may also reset the connection instead of answering.
        while tokio_tungstenite::connect_async(&url).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, admitted).await.expect("the server recovers");
    let mut raw = RawClient::welcomed(&demo.address, "?board=krw").await;
    let snapshot = raw.text().await;
    assert!(snapshot.starts_with(r#"{"type":"snapshot""#));
    assert!(demo.child.try_wait().unwrap().is_none(), "the program is still running");
}
