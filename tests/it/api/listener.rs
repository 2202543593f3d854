//! Who is let in, and how long a request's head may take.

use std::time::Duration;

use sisepan::web::{self, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::setup::*;

const SOON: Duration = Duration::from_millis(1500);

async fn serve_with(limits: Limits) -> String {
    serve(&state_with(&hub(), limits)).await
}

/// Reads until the server closes; it must, in time.
async fn rest(socket: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let read = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut said)).await.expect("closed in time");
    drop(read);
    String::from_utf8_lossy(&said).into_owned()
}

async fn health(address: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    rest(&mut socket).await
}

#[tokio::test]
async fn out_12_who_says_nothing_or_too_slowly_is_closed_and_holds_up_nobody() {
    let address = serve_with(Limits { head_within: SOON, ..Limits::default() }).await;
    let mut silent = TcpStream::connect(&address).await.unwrap();
    // The first bytes of another protocol's preface: no sniffing waits for the others.
    let mut sniffed = TcpStream::connect(&address).await.unwrap();
    sniffed.write_all(b"PRI * HT").await.unwrap();
    let slow = TcpStream::connect(&address).await.unwrap();
    let (mut read, mut write) = slow.into_split();
    let drip = tokio::spawn(async move {
        for byte in b"GET /healthz HTTP/1.1\r\nx-a: ".iter().chain(std::iter::repeat(&b'a')) {
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(health(&address).await.starts_with("HTTP/1.1 200"));
    assert!(!rest(&mut silent).await.contains(" 200 "));
    assert!(!rest(&mut sniffed).await.contains(" 200 "));
    let mut said = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, read.read_to_end(&mut said)).await.expect("closed in time");
    tokio::time::timeout(DEADLINE, drip).await.expect("cut off").unwrap();
    assert!(health(&address).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn out_12_a_kept_connection_serves_again_and_is_closed_when_idle() {
    let address = serve_with(Limits { head_within: SOON, ..Limits::default() }).await;
    let mut socket = TcpStream::connect(&address).await.unwrap();
    for _ in 0..2 {
        socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut some = [0; 4096];
        let count = socket.read(&mut some).await.unwrap();
        assert!(some[..count].starts_with(b"HTTP/1.1 200"));
    }
    rest(&mut socket).await;
}

#[tokio::test]
async fn out_09_a_head_over_16_kib_is_refused() {
    let address = serve_with(Limits::default()).await;
    for path in ["/healthz", "/api/v1/stream"] {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(20 << 10));
        // It may be closed before all of it is written.
        let _ = socket.write_all(head.as_bytes()).await;
        let said = rest(&mut socket).await;
        assert!(said.starts_with("HTTP/1.1 431") || said.is_empty(), "{path}: {said}");
    }
    let many = "x-a: 1\r\n".repeat(200);
    let mut socket = TcpStream::connect(&address).await.unwrap();
    socket.write_all(format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes()).await.unwrap();
    assert!(rest(&mut socket).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn out_16_a_connection_too_many_is_told_when_to_come_back_and_streams_take_no_place() {
    let address = serve_with(Limits { connections_max: 1, head_within: SOON, ..Limits::default() }).await;
    let mut stream = Client::welcomed(&address, "").await;
    let held = TcpStream::connect(&address).await.unwrap();
    let mut refused = TcpStream::connect(&address).await.unwrap();
    // It is told whether or not it asked already.
    let said = rest(&mut refused).await;
    assert!(said.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{said}");
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    let retry = head.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap();
    assert!((1..=16).contains(&retry.parse::<u64>().unwrap()), "{retry}");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["type"], "urn:sisepan:problem:too-many-connections");
    drop(held);
    let back = async { while !health(&address).await.starts_with("HTTP/1.1 200") {} };
    tokio::time::timeout(DEADLINE, back).await.expect("the place is free again");
    stream.send(r#"{"type":"ping","id":1}"#).await;
    assert_eq!(stream.json().await["type"], "pong");
}

#[tokio::test]
async fn a_listener_that_is_told_to_stop_finishes_what_it_has_begun() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (app, shutdown) = (state(&hub()), CancellationToken::new());
    let listening = tokio::spawn(web::listen(listener, app, shutdown.clone()));
    let idle = TcpStream::connect(&address).await.unwrap();
    assert!(health(&address).await.starts_with("HTTP/1.1 200"));
    shutdown.cancel();
    tokio::time::timeout(DEADLINE, listening).await.expect("it waits for no idle client").unwrap();
    drop(idle);
    assert!(TcpStream::connect(&address).await.is_err(), "nobody listens any more");
}
