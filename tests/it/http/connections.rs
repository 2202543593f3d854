//! Who is let in, and what becomes of those who come too often, too slowly or in another protocol.

use std::process::{Command, Stdio};
use std::time::Duration;

use sisepan::web::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Reads until the server closes; it must, in time.
async fn rest(socket: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut said)).await.expect("closed in time");
    String::from_utf8_lossy(&said).into_owned()
}

async fn asked(address: &str, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // It may be closed before all of it is written.
    let _ = socket.write_all(request.as_bytes()).await;
    rest(&mut socket).await
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn out_12_a_crowd_that_dawdles_is_put_out_and_others_are_served() {
    let limits = Limits { head_within: Duration::from_secs(2), ..Limits::default() };
    let address = serve(&state_with(&filled(), limits)).await;
    let mut crowd = Vec::new();
    for n in 0..500 {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        socket.write_all(&b"GET / HTTP/1.1\r\nx-a: "[..n % 20]).await.unwrap();
        crowd.push(socket);
    }
    assert!(asked(&address, HEALTH).await.starts_with("HTTP/1.1 200"));
    for socket in &mut crowd {
        let said = rest(socket).await;
        assert!(!said.contains(" 200 "), "{said}");
    }
    assert!(asked(&address, HEALTH).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn out_12_a_body_that_never_comes_is_not_waited_for() {
    let address = serve(&state(&filled())).await;
    for method in ["GET", "POST"] {
        let request = format!("{method} /api/v1/snapshot HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nabc");
        let said = asked(&address, &request).await;
        let status = if method == "GET" { "HTTP/1.1 200" } else { "HTTP/1.1 405" };
        assert!(said.starts_with(status), "{said}");
    }
}

#[tokio::test]
async fn out_14_http_2_is_not_spoken() {
    let address = serve(&state(&filled())).await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let said = asked(&address, preface).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 400") || said.starts_with("HTTP/1.1 505"), "{said}");
    // An upgrade to it is passed over.
    let upgrade = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings, close\r\nupgrade: h2c\r\n\
                   http2-settings: AAMAAABkAAQAAP__\r\n\r\n";
    assert!(asked(&address, upgrade).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn out_16_one_address_has_its_places_and_no_more() {
    let limits = Limits { per_ipv4_max: 3, ..Limits::default() };
    let site = Site { trusted_proxies: Vec::new(), ..Site::default() };
    let address = serve(&state_at(&filled(), limits, site)).await;
    // A socket counts on after its upgrade, and so do events.
    let socket = Client::welcomed(&address, "?board=krw").await;
    let mut events = TcpStream::connect(&address).await.unwrap();
    events.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 64];
    events.read_exact(&mut some).await.unwrap();
    let silent = TcpStream::connect(&address).await.unwrap();
    let said = asked(&address, "").await;
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("retry-after: "), "{said}");
    let is_free = async || {
        let back = async { while !asked(&address, HEALTH).await.starts_with("HTTP/1.1 200") {} };
        tokio::time::timeout(DEADLINE, back).await.expect("a place is free again");
    };
    drop(socket);
    is_free().await;
    drop((events, silent));
    let more = [TcpStream::connect(&address).await.unwrap(), TcpStream::connect(&address).await.unwrap()];
    is_free().await;
    drop(more);
}

#[tokio::test]
async fn out_17_behind_a_proxy_each_client_is_counted_and_none_can_write_itself_another_address() {
    let limits = Limits { per_ipv4_max: 1, ..Limits::default() };
    let open = async |address: &str, forwarded: &str| {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /api/v1/events HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {forwarded}\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        socket.read_exact(&mut status).await.unwrap();
        (String::from_utf8_lossy(&status[9..]).into_owned(), socket)
    };
    // The proxy is this machine, and a second one before it.
    let trusted = ["127.0.0.1", "10.0.0.0/8"].map(|network| network.parse().unwrap()).to_vec();
    let site = Site { trusted_proxies: trusted, ..Site::default() };
    let address = serve(&state_at(&filled(), limits.clone(), site)).await;
    let (status, _first) = open(&address, "203.0.113.1").await;
    assert_eq!(status, "200");
    for same in
        ["203.0.113.1", "198.51.100.9, 203.0.113.1", "198.51.100.9, 203.0.113.1, 10.1.2.3", "::ffff:203.0.113.1"]
    {
        assert_eq!(open(&address, same).await.0, "503", "{same}");
    }
    let (status, _second) = open(&address, "203.0.113.1, 203.0.113.2").await;
    assert_eq!(status, "200");

    // The same header from somebody who is no proxy counts for nothing: neither is he another, nor is another harmed.
    let site = Site { trusted_proxies: Vec::new(), ..Site::default() };
    let address = serve(&state_at(&filled(), limits, site)).await;
    let (status, _first) = open(&address, "203.0.113.1").await;
    assert_eq!(status, "200");
    assert_eq!(open(&address, "203.0.113.2").await.0, "503");
}

/// The whole program under a hard limit of open files.
struct Program(std::process::Child, String);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program_with_files(most: u32, log: &str) -> Program {
    use std::io::BufRead as _;
    let run = format!("ulimit -n {most} && exec \"$0\" demo --listen 127.0.0.1:0");
    let mut child = Command::new("sh")
        .args(["-c", &run, env!("CARGO_BIN_EXE_sisepan")])
        .env("RUST_LOG", log)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").expect("it listens").to_owned();
    Program(child, address)
}

#[tokio::test]
async fn out_13_with_few_files_it_stays_within_them_and_serves_again_when_clients_leave() {
    let program = program_with_files(256, "warn");
    let address = program.1.clone();
    let mut crowd = Vec::new();
    for _ in 0..400 {
        let connecting = TcpStream::connect(&address);
        crowd.push(tokio::time::timeout(DEADLINE, connecting).await.expect("it accepts on").unwrap());
    }
    let files = std::fs::read_dir(format!("/proc/{}/fd", program.0.id())).unwrap().count();
    assert!(files <= 256, "{files}");
    // It is not deaf meanwhile: who is too many is told, or let go at once.
    let said = asked(&address, HEALTH).await;
    assert!(said.starts_with("HTTP/1.1 503") || said.is_empty(), "{said}");
    crowd.drain(..200);
    let back = async { while !asked(&address, HEALTH).await.starts_with("HTTP/1.1 200") {} };
    tokio::time::timeout(DEADLINE, back).await.expect("it serves again");
    drop(crowd);
}

/// Sets how many files a running program may have open.
fn limit_files(program: &Program, most: usize) {
    let id = program.0.id().to_string();
    let done = Command::new("prlimit").args(["--pid", &id, &format!("--nofile={most}:")]).status().unwrap();
    assert!(done.success());
}

/// Begins the line of the server itself.
const REFUSED: &str = "sisepan::web::listen: connections can't be accepted";

#[tokio::test]
async fn fc_59_connections_that_can_not_be_accepted_are_told_once_and_so_is_their_end() {
    use std::io::BufRead as _;
    let mut program = program_with_files(256, "info");
    let log = std::io::BufReader::new(program.0.stderr.take().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    let line = async |part: &str, seen: &mut Vec<String>| {
        let found = tokio::time::timeout(DEADLINE, async {
            loop {
                match told.try_recv() {
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
    // At its start it takes as many files as it may have.
    assert!(asked(&address, HEALTH).await.starts_with("HTTP/1.1 200"));
    // Again and again there is room for one more and none for the next, as when clients come and go.
    for _ in 0..4 {
        limit_files(&program, 3);
        let waiting = TcpStream::connect(&address).await.unwrap();
        // Those of the fake exchanges are lines of their own.
        if !seen.iter().any(|line: &String| line.contains(REFUSED)) {
            line(REFUSED, &mut seen).await;
        }
        // Long enough for it to be tried several times more.
        tokio::time::sleep(Duration::from_millis(300)).await;
        limit_files(&program, 256);
        drop(waiting);
        assert!(asked(&address, HEALTH).await.starts_with("HTTP/1.1 200"));
    }
    line("connections are accepted again", &mut seen).await;
    let last = seen.last().unwrap();
    assert!(last.contains("INFO") && last.contains("lasted="), "{last}");
    let told: Vec<_> = seen.iter().filter(|line| line.contains(REFUSED)).collect();
    assert_eq!(told.len(), 1, "{seen:#?}");
    // The end is told after a calm, not with the first connection that is accepted.
    let at = |line: &str| line.split_whitespace().next().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(at(last).duration_since(at(told[0])).as_secs() >= 10, "{seen:#?}");
}
