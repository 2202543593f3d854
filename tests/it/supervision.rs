//! Every long-lived thread and task of the program is ended while clients are connected: it is replaced, or the
//! process ends with exit code 1. No client is left on an open, silent connection, and the log says what happened.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use fake_exchanges::{self as fake, Fake, Options};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::preload;

const DEADLINE: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What must happen when a part ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    /// The process ends with exit code 1.
    Exit,
    /// Its clients are closed with a code after which they reconnect, and then everything is as before.
    Close,
    /// Nothing that a client would notice.
    Replace,
}

/// Every part by the name of its failpoint. `ARCHITECTURE.md` has the same list.
const PARTS: [(&str, Outcome); 16] = [
    ("signals", Outcome::Exit),
    ("listener", Outcome::Exit),
    ("board", Outcome::Exit),
    ("venue", Outcome::Exit),
    ("stream", Outcome::Exit),
    ("session", Outcome::Replace),
    ("market-list", Outcome::Exit),
    ("polling", Outcome::Exit),
    ("backfill", Outcome::Exit),
    ("price-check", Outcome::Exit),
    ("event-queue", Outcome::Exit),
    ("health", Outcome::Exit),
    ("store", Outcome::Exit),
    ("metrics", Outcome::Exit),
    ("delivery", Outcome::Close),
    ("group", Outcome::Close),
];

/// A program under test with its folder.
struct Program {
    child: Child,
    address: String,
    folder: PathBuf,
}

impl Program {
    async fn start(name: &str, arguments: &[&str], fake: Option<&Fake>, preloaded: Option<&Path>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = std::env::temp_dir().join(format!("sisepan-ends-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("faults")).unwrap();
        let config = folder.join("sisepan.toml");
        let venue = fake.map(|fake| {
            let (rest, stream) = (fake.rest_url("upbit"), fake.stream_url("upbit"));
            format!("[venues.upbit]\nrest = \"{rest}\"\nstream = \"{stream}\"\n")
        });
        let board = "[[boards]]\nid = \"krw\"\nmarkets = [\"BTC-KRW\", \"ETH-KRW\"]\nsource = \"upbit\"\n";
        let data = folder.join("data");
        let text = format!(
            "data = \"{}\"\nmetrics.listen = \"127.0.0.1:0\"\n{}{board}",
            data.display(),
            venue.unwrap_or_default()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sisepan"));
        command
            .args(arguments)
            .args(["--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()])
            .env("FAILPOINTS", folder.join("faults"))
            .env("FAULTY_POLL", folder.join("faults"))
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .kill_on_drop(true);
        if let Some(library) = preloaded {
            command.env("LD_PRELOAD", library);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap();
        let line = line.unwrap_or_else(|| panic!("it did not start: {}", log(&folder)));
        let address = line.strip_prefix("listening on http://").unwrap().to_owned();
        Self { child, address, folder }
    }

    /// Ends the part of this name; `how` is `panic` or `return`.
    fn end(&self, part: &str, how: &str) {
        let file = self.folder.join("faults").join(part);
        let draft = self.folder.join("draft");
        std::fs::write(&draft, how).unwrap();
        std::fs::rename(draft, file).unwrap();
    }

    /// Waits until the part has ended.
    async fn until_ended(&self, part: &str) {
        let file = self.folder.join("faults").join(part);
        self.until(&format!("{part} ended"), async || !file.exists()).await;
    }

    async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let waiting = async {
            while !condition().await {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        let in_time = tokio::time::timeout(DEADLINE, waiting).await.is_ok();
        assert!(in_time, "never: {what}\n{}", self.log());
    }

    async fn until_live(&self) {
        let live = async || {
            let Ok(answer) = reqwest::get(format!("http://{}/api/v1/snapshot", self.address)).await else {
                return false;
            };
            let snapshot: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            snapshot["rows"].as_array().unwrap().iter().any(|row| row["market"] == "BTC-KRW" && row["state"] == "live")
        };
        self.until("a live price", live).await;
    }

    async fn wait_exit(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(DEADLINE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("the process goes on\n{}", self.log())).unwrap()
    }

    fn log(&self) -> String {
        log(&self.folder)
    }

    async fn stop(mut self) {
        self.child.kill().await.unwrap();
        std::fs::remove_dir_all(self.folder).unwrap();
    }
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap()
}

/// A client of the stream.
struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn open(program: &Program) -> Self {
        let url = format!("ws://{}/api/v1/stream?board=krw&interval_ms=100", program.address);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut client = Self(socket);
        assert_eq!(client.next().await.unwrap()["type"], "welcome");
        assert_eq!(client.next().await.unwrap()["type"], "snapshot");
        client
    }

    /// Returns the next message, or the code that it was closed with.
    async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.0.next()).await.expect("an open and silent stream");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// Reads until the connection is closed, and returns the code.
    async fn wait_closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }
}

/// Reads events to their end, and returns their text.
async fn events_to_the_end(mut events: TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(DEADLINE, events.read_to_end(&mut text)).await;
    read.expect("open and silent events").ok();
    String::from_utf8_lossy(&text).into_owned()
}

async fn events(program: &Program) -> TcpStream {
    let mut events = TcpStream::connect(&program.address).await.unwrap();
    let request = "GET /api/v1/events?board=krw&interval_ms=100 HTTP/1.1\r\nhost: test\r\n\r\n";
    events.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 1];
    events.read_exact(&mut first).await.unwrap();
    events
}

/// Checks that twenty new clients, on all threads, get a snapshot and further messages.
async fn assert_streams_work(program: &Program) {
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::open(program).await);
    }
    for client in &mut clients {
        assert_eq!(client.next().await.expect("an open stream")["group"].as_str().map(str::len), Some(16));
    }
}

async fn end_part(fake: &Fake, part: &str, outcome: Outcome, how: &str) {
    let mut program = Program::start(&format!("{part}-{how}"), &["serve"], Some(fake), None).await;
    program.until_live().await;
    let mut clients = [Client::open(&program).await, Client::open(&program).await];
    let events = events(&program).await;
    program.end(part, how);
    match outcome {
        Outcome::Exit => {
            let status = program.wait_exit().await;
            assert_eq!(status.code(), Some(1), "{part} {how}: {}", program.log());
            for client in &mut clients {
                let code = client.wait_closed().await;
                assert!(matches!(code, 1006 | 1012), "{part} {how}: {code}");
            }
            events_to_the_end(events).await;
            assert!(program.log().contains("has failed") || program.log().contains("can't be received"), "{part}");
        }
        Outcome::Close => {
            program.until_ended(part).await;
            // A thread has some of the clients, a group all of them.
            let group = part == "group";
            for client in clients.iter_mut().take(if group { 2 } else { 0 }) {
                assert_eq!(client.wait_closed().await, 3011, "{part} {how}");
            }
            if group {
                let text = events_to_the_end(events).await;
                assert!(text.contains(r#"{"type":"closing","reason":"failed","#), "{text}");
            } else {
                let [one, two] = &mut clients;
                let code = tokio::select! {
                    code = one.wait_closed() => code,
                    code = two.wait_closed() => code,
                };
                assert_eq!(code, 3011, "{part} {how}");
            }
            assert_streams_work(&program).await;
            assert!(program.log().contains("closed with code 3011"), "{part} {how}: {}", program.log());
        }
        Outcome::Replace => {
            program.until_ended(part).await;
            program.until_live().await;
            assert_streams_work(&program).await;
            for client in &mut clients {
                client.next().await.expect("still open");
            }
        }
    }
    assert_eq!(how == "panic", program.log().contains("failpoint"), "{part}: {}", program.log());
    let _ = program.child.kill().await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn fc_03_a_part_that_panics_is_replaced_or_ends_the_process() {
    let fake = fake::start(Options::default()).await.unwrap();
    for (part, outcome) in PARTS {
        end_part(&fake, part, outcome, "panic").await;
    }
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn fc_03_a_part_that_returns_is_replaced_or_ends_the_process() {
    let fake = fake::start(Options::default()).await.unwrap();
    for (part, outcome) in PARTS {
        end_part(&fake, part, outcome, "return").await;
    }
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_03_a_demo_whose_exchanges_fail_ends() {
    for how in ["panic", "return"] {
        let mut program = Program::start(&format!("fake-{how}"), &["demo"], None, None).await;
        program.end("fake", how);
        assert_eq!(program.wait_exit().await.code(), Some(1), "{}", program.log());
        program.stop().await;
    }
}

/// Only the client of a connection whose task fails is disconnected.
#[tokio::test(flavor = "multi_thread")]
async fn fc_03_a_connection_that_fails_is_closed_alone() {
    let program = Program::start("connection", &["demo"], None, None).await;
    let mut client = Client::open(&program).await;
    for how in ["panic", "return"] {
        let events = events(&program).await;
        program.end("connection", how);
        assert!(events_to_the_end(events).await.contains("welcome"));
    }
    program.end("handler", "panic");
    let failed = reqwest::get(format!("http://{}/api/v1/markets?new", program.address)).await.unwrap();
    assert_eq!(failed.status(), 500);
    assert!(failed.text().await.unwrap().contains("urn:sisepan:problem:server-error"));
    client.next().await.expect("still open");
    assert_streams_work(&program).await;
    program.stop().await;
}

/// The fault is the same as that of `strace -e inject=epoll_wait:error=EBADF` on a thread.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn fc_03_a_delivery_thread_whose_poller_fails_is_replaced_and_its_clients_can_reconnect() {
    let library = std::env::temp_dir().join(format!("sisepan-faulty-poll-{}.so", std::process::id()));
    preload::compile("faulty_poll.c", &library);
    let mut program = Program::start("poller-of-clients", &["demo"], None, Some(&library)).await;
    program.until_live().await;
    for _ in 0..2 {
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(Client::open(&program).await);
        }
        program.end("delivery-0", "");
        program.until_ended("delivery-0").await;
        // The clients of the other thread keep receiving updates.
        let reading = clients.iter_mut().map(async |client| {
            for _ in 0..20 {
                client.next().await?;
            }
            Ok(())
        });
        let codes: Vec<u16> = join_all(reading).await.into_iter().filter_map(Result::err).collect();
        assert!(!codes.is_empty() && codes.iter().all(|code| *code == 3011), "{codes:?}");
        assert_streams_work(&program).await;
    }
    // A thread that keeps failing ends the process.
    while program.child.try_wait().unwrap().is_none() {
        if !program.folder.join("faults/delivery-0").exists() {
            program.end("delivery-0", "");
        }
        let woken = tokio_tungstenite::connect_async(format!("ws://{}/api/v1/stream?board=krw", program.address));
        let _ = tokio::time::timeout(DEADLINE, woken).await;
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    assert_eq!(program.wait_exit().await.code(), Some(1), "{}", program.log());
    program.stop().await;
    std::fs::remove_file(library).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_03_a_worker_of_the_runtime_whose_poller_fails_ends_the_process() {
    let library = std::env::temp_dir().join(format!("sisepan-faulty-poll-worker-{}.so", std::process::id()));
    preload::compile("faulty_poll.c", &library);
    let mut program = Program::start("worker", &["demo"], None, Some(&library)).await;
    program.until_live().await;
    program.end("tokio-rt-worker", "");
    assert_eq!(program.wait_exit().await.code(), Some(1), "{}", program.log());
    program.stop().await;
    std::fs::remove_file(library).unwrap();
}

/// Every file that starts threads or tasks, and in how many places.
const SPAWNS: [(&str, usize); 15] = [
    ("crates/fake-exchanges/src/control.rs", 1),
    ("crates/fake-exchanges/src/server.rs", 5),
    ("crates/fanout/src/thread.rs", 1),
    ("src/app/edge.rs", 1),
    ("src/app/market.rs", 3),
    ("src/app/serve.rs", 2),
    ("src/cli/backup.rs", 1),
    ("src/cli/mod.rs", 1),
    ("src/hub/subscription.rs", 1),
    ("src/ingest/stream/manager.rs", 1),
    ("src/ingest/supervisor.rs", 7),
    ("src/store/mod.rs", 1),
    ("src/web/routes/price_history.rs", 1),
    ("src/web/listen.rs", 2),
    ("src/web/routes/stream.rs", 1),
];

fn count_spawning_files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let count = |path: PathBuf| match path.is_dir() {
        true => count_spawning_files(&path),
        false => {
            let code = std::fs::read_to_string(&path).unwrap();
            usize::from(code.contains("spawn(") || code.contains("spawn_blocking("))
        }
    };
    entries.map(count).sum()
}

/// No thread or task is started that is not in the list, or known to be short-lived.
#[test]
fn fc_03_the_architecture_page_lists_every_part() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    for part in PARTS.iter().map(|(part, _)| *part).chain(["connection", "fake"]) {
        assert!(page.contains(&format!("| `{part}` | ")), "ARCHITECTURE.md does not list {part}");
    }
    let listed = page.split("## Threads and tasks").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = listed.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, PARTS.len() + 2, "a part is listed that no test ends");
    for (file, allowed) in SPAWNS {
        let code = std::fs::read_to_string(root.join(file)).unwrap();
        let count = code.matches("spawn(").count() + code.matches("spawn_blocking(").count();
        assert_eq!(count, allowed, "{file} starts another thread or task: list it in ARCHITECTURE.md and end it here");
    }
    let folders = ["src", "crates/fanout/src", "crates/fake-exchanges/src"];
    let files: usize = folders.iter().map(|folder| count_spawning_files(&root.join(folder))).sum();
    assert_eq!(
        files,
        SPAWNS.len(),
        "another file starts threads or tasks: list them in ARCHITECTURE.md and end them here"
    );
}
