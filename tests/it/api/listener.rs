//! Admission of connections, and deadlines for request heads.

use std::time::Duration;

use sisepan::web::{self, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::setup::*;

const SOON: Duration = Duration::from_millis(1500);

async fn serve_with(limits: Limits) -> String {
    serve(&app_state_with(&hub(), limits)).await
}

/// Reads until the server closes the connection. Panics at the deadline.
async fn read_to_end(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut bytes)).await.expect("closed in time");
    drop(read);
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn health(address: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    read_to_end(&mut socket).await
}

#[tokio::test]
async fn out_12_silent_and_slow_clients_are_closed_and_delay_no_one() {
    let address = serve_with(Limits { head_within: SOON, ..Limits::default() }).await;
    let mut silent = TcpStream::connect(&address).await.unwrap();
    // The first bytes of the HTTP/2 preface: protocol detection must not wait for the others.
    let mut partial_preface = TcpStream::connect(&address).await.unwrap();
    partial_preface.write_all(b"PRI * HT").await.unwrap();
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
    assert!(!read_to_end(&mut silent).await.contains(" 200 "));
    assert!(!read_to_end(&mut partial_preface).await.contains(" 200 "));
    let mut response = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, read.read_to_end(&mut response)).await.expect("closed in time");
    tokio::time::timeout(DEADLINE, drip).await.expect("the slow client is cut off").unwrap();
    assert!(health(&address).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn out_12_a_keep_alive_connection_is_reused_and_closed_when_idle() {
    let address = serve_with(Limits { head_within: SOON, ..Limits::default() }).await;
    let mut socket = TcpStream::connect(&address).await.unwrap();
    for _ in 0..2 {
        socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut buffer = [0; 4096];
        let count = socket.read(&mut buffer).await.unwrap();
        assert!(buffer[..count].starts_with(b"HTTP/1.1 200"));
    }
    read_to_end(&mut socket).await;
}

#[tokio::test]
async fn out_09_a_head_over_16_kib_is_refused() {
    let address = serve_with(Limits::default()).await;
    for path in ["/healthz", "/api/v1/stream"] {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(20 << 10));
        // The server may close before the whole head is written.
        let _ = socket.write_all(head.as_bytes()).await;
        let response = read_to_end(&mut socket).await;
        assert!(response.starts_with("HTTP/1.1 431") || response.is_empty(), "{path}: {response}");
    }
    let many = "x-a: 1\r\n".repeat(200);
    let mut socket = TcpStream::connect(&address).await.unwrap();
    socket.write_all(format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes()).await.unwrap();
    assert!(read_to_end(&mut socket).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn out_16_one_connection_too_many_gets_retry_after_and_streams_hold_no_connection_permit() {
    let address = serve_with(Limits { connections_max: 1, head_within: SOON, ..Limits::default() }).await;
    let mut stream = Client::welcomed(&address, "").await;
    let held = TcpStream::connect(&address).await.unwrap();
    let mut rejected = TcpStream::connect(&address).await.unwrap();
    // The server answers without waiting for a request.
    let response = read_to_end(&mut rejected).await;
    assert!(response.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{response}");
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let retry = head.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap();
    assert!((1..=16).contains(&retry.parse::<u64>().unwrap()), "{retry}");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["type"], "urn:sisepan:problem:too-many-connections");
    drop(held);
    let readmitted = async { while !health(&address).await.starts_with("HTTP/1.1 200") {} };
    tokio::time::timeout(DEADLINE, readmitted).await.expect("the permit is free again");
    stream.send(r#"{"type":"ping","id":1}"#).await;
    assert_eq!(stream.json().await["type"], "pong");
}

#[tokio::test]
async fn a_listener_that_is_stopped_finishes_its_requests() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (app, shutdown) = (app_state(&hub()), CancellationToken::new());
    let listening = tokio::spawn(web::listen(listener, app.served(), shutdown.clone()));
    let idle = TcpStream::connect(&address).await.unwrap();
    assert!(health(&address).await.starts_with("HTTP/1.1 200"));
    shutdown.cancel();
    tokio::time::timeout(DEADLINE, listening).await.expect("the listener does not wait for idle clients").unwrap();
    drop(idle);
    assert!(TcpStream::connect(&address).await.is_err(), "the port is closed");
}
