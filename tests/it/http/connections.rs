//! Admission of connections: limits, slow clients, and other protocols.

use std::process::{Command, Stdio};
use std::time::Duration;

use sisepan::web::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Reads until the server closes the connection. Panics at the deadline.
async fn read_to_end(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut bytes)).await.expect("closed in time");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends a request on a new connection and returns everything received.
async fn send_raw(address: &str, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // The server may close before the whole request is written.
    let _ = socket.write_all(request.as_bytes()).await;
    read_to_end(&mut socket).await
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn out_12_many_slow_clients_are_closed_while_others_are_served() {
    let limits = Limits { head_within: Duration::from_secs(2), ..Limits::default() };
    let address = serve(&app_state_with(&hub_with_rows(), limits)).await;
    let mut slow = Vec::new();
    for n in 0..500 {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        socket.write_all(&b"GET / HTTP/1.1\r\nx-a: "[..n % 20]).await.unwrap();
        slow.push(socket);
    }
    assert!(send_raw(&address, HEALTH).await.starts_with("HTTP/1.1 200"));
    for socket in &mut slow {
        let response = read_to_end(socket).await;
        assert!(!response.contains(" 200 "), "{response}");
    }
    assert!(send_raw(&address, HEALTH).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn out_12_a_body_that_never_comes_is_not_waited_for() {
    let address = serve(&app_state(&hub_with_rows())).await;
    for method in ["GET", "POST"] {
        let request = format!("{method} /api/v1/snapshot HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nabc");
        let response = send_raw(&address, &request).await;
        let status = if method == "GET" { "HTTP/1.1 200" } else { "HTTP/1.1 405" };
        assert!(response.starts_with(status), "{response}");
    }
}

#[tokio::test]
async fn out_14_http_2_is_not_spoken() {
    let address = serve(&app_state(&hub_with_rows())).await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let response = send_raw(&address, preface).await;
    assert!(
        response.is_empty() || response.starts_with("HTTP/1.1 400") || response.starts_with("HTTP/1.1 505"),
        "{response}"
    );
    // An upgrade to HTTP/2 is ignored.
    let upgrade = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings, close\r\nupgrade: h2c\r\n\
                   http2-settings: AAMAAABkAAQAAP__\r\n\r\n";
    assert!(send_raw(&address, upgrade).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn out_16_the_connections_of_one_address_are_limited() {
    let limits = Limits { per_ipv4_max: 3, ..Limits::default() };
    let site = Site { trusted_proxies: Vec::new(), ..Site::default() };
    let address = serve(&app_state_with_site(&hub_with_rows(), limits, site)).await;
    // Sockets still count after their upgrade, and so do event streams.
    let socket = Client::welcomed(&address, "?board=krw").await;
    let mut events = TcpStream::connect(&address).await.unwrap();
    events.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut start = [0; 64];
    events.read_exact(&mut start).await.unwrap();
    let silent = TcpStream::connect(&address).await.unwrap();
    let response = send_raw(&address, "").await;
    assert!(response.starts_with("HTTP/1.1 503") && response.contains("retry-after: "), "{response}");
    let wait_admitted = async || {
        let admitted = async { while !send_raw(&address, HEALTH).await.starts_with("HTTP/1.1 200") {} };
        tokio::time::timeout(DEADLINE, admitted).await.expect("a permit is free again");
    };
    drop(socket);
    wait_admitted().await;
    drop((events, silent));
    let more = [TcpStream::connect(&address).await.unwrap(), TcpStream::connect(&address).await.unwrap()];
    wait_admitted().await;
    drop(more);
}

#[tokio::test]
async fn out_17_behind_a_proxy_each_client_is_counted_and_none_can_forge_its_address() {
    let limits = Limits { per_ipv4_max: 1, ..Limits::default() };
    let open = async |address: &str, forwarded: &str| {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /api/v1/events HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {forwarded}\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        socket.read_exact(&mut status).await.unwrap();
        (String::from_utf8_lossy(&status[9..]).into_owned(), socket)
    };
    // The trusted proxies are this machine and a second one in front of it.
    let trusted = ["127.0.0.1", "10.0.0.0/8"].map(|network| network.parse().unwrap()).to_vec();
    let site = Site { trusted_proxies: trusted, ..Site::default() };
    let address = serve(&app_state_with_site(&hub_with_rows(), limits.clone(), site)).await;
    let (status, _first) = open(&address, "203.0.113.1").await;
    assert_eq!(status, "200");
    for same in
        ["203.0.113.1", "198.51.100.9, 203.0.113.1", "198.51.100.9, 203.0.113.1, 10.1.2.3", "::ffff:203.0.113.1"]
    {
        assert_eq!(open(&address, same).await.0, "503", "{same}");
    }
    let (status, _second) = open(&address, "203.0.113.1, 203.0.113.2").await;
    assert_eq!(status, "200");

    // From an untrusted peer the header is ignored: it neither changes its address nor counts for another client.
    let site = Site { trusted_proxies: Vec::new(), ..Site::default() };
    let address = serve(&app_state_with_site(&hub_with_rows(), limits, site)).await;
    let (status, _first) = open(&address, "203.0.113.1").await;
    assert_eq!(status, "200");
    assert_eq!(open(&address, "203.0.113.2").await.0, "503");
}

/// The program, started with a hard limit of open files, and its address.
struct Program(std::process::Child, String);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program_with_files(max: u32, log: &str) -> Program {
    use std::io::BufRead as _;
    let run = format!("ulimit -n {max} && exec \"$0\" demo --listen 127.0.0.1:0");
    let mut child = Command::new("sh")
        .args(["-c", &run, env!("CARGO_BIN_EXE_sisepan")])
        .env("RUST_LOG", log)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").expect("the program listens").to_owned();
    Program(child, address)
}

#[tokio::test]
async fn out_13_open_files_stay_within_a_small_limit_and_service_resumes_when_clients_leave() {
    let program = program_with_files(256, "warn");
    let address = program.1.clone();
    let mut clients = Vec::new();
    for _ in 0..400 {
        let connecting = TcpStream::connect(&address);
        clients.push(tokio::time::timeout(DEADLINE, connecting).await.expect("connected in time").unwrap());
    }
    let files = std::fs::read_dir(format!("/proc/{}/fd", program.0.id())).unwrap().count();
    assert!(files <= 256, "{files}");
    // Meanwhile, additional connections are rejected or closed at once.
    let response = send_raw(&address, HEALTH).await;
    assert!(response.starts_with("HTTP/1.1 503") || response.is_empty(), "{response}");
    clients.drain(..200);
    let admitted = async { while !send_raw(&address, HEALTH).await.starts_with("HTTP/1.1 200") {} };
    tokio::time::timeout(DEADLINE, admitted).await.expect("the server recovers");
    drop(clients);
}

/// Sets the limit of open files of a running program.
fn limit_files(program: &Program, max: usize) {
    let id = program.0.id().to_string();
    let status = Command::new("prlimit").args(["--pid", &id, &format!("--nofile={max}:")]).status().unwrap();
    assert!(status.success());
}

/// Target and message of the log line about failed accepts of the server itself.
const ACCEPT_FAILED: &str = "sisepan::web::listen: connections can't be accepted";

#[tokio::test]
#[ignore = "slow"]
async fn fc_59_accept_failures_are_logged_once_and_so_is_their_end() {
    use std::io::BufRead as _;
    let mut program = program_with_files(256, "info");
    let log = std::io::BufReader::new(program.0.stderr.take().unwrap());
    let (sender, log_lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let wait_line = async |part: &str, seen: &mut Vec<String>| {
        let found = tokio::time::timeout(DEADLINE, async {
            loop {
                match log_lines.try_recv() {
                    Ok(line) => seen.push(line),
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
                if seen.last().is_some_and(|line| line.contains(part)) {
                    return;
                }
            }
        });
        assert!(found.await.is_ok(), "no line {part}: {seen:#?}");
    };
    let address = program.1.clone();
    let mut seen = Vec::new();
    // At its start, the program raises its soft limit to the hard one.
    assert!(send_raw(&address, HEALTH).await.starts_with("HTTP/1.1 200"));
    // The limit changes back and forth, as if clients came and went.
    for _ in 0..4 {
        limit_files(&program, 3);
        let waiting = TcpStream::connect(&address).await.unwrap();
        // The fake exchanges log accept failures under another target.
        if !seen.iter().any(|line: &String| line.contains(ACCEPT_FAILED)) {
            wait_line(ACCEPT_FAILED, &mut seen).await;
        }
        // Long enough for several further attempts.
        tokio::time::sleep(Duration::from_millis(300)).await;
        limit_files(&program, 256);
        drop(waiting);
        assert!(send_raw(&address, HEALTH).await.starts_with("HTTP/1.1 200"));
    }
    wait_line("connections are accepted again", &mut seen).await;
    let last = seen.last().unwrap();
    assert!(last.contains("INFO") && last.contains("lasted="), "{last}");
    let failures: Vec<_> = seen.iter().filter(|line| line.contains(ACCEPT_FAILED)).collect();
    assert_eq!(failures.len(), 1, "{seen:#?}");
    // The end is logged after a quiet period, not at the first accepted connection.
    let at = |line: &str| line.split_whitespace().next().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(at(last).duration_since(at(failures[0])).as_secs() >= 10, "{seen:#?}");
}
