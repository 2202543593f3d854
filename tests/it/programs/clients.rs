//! The example clients of `docs/clients.md` and `examples/follow`, each run as a developer would run it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{POLL_INTERVAL, Program, folder, row, write_config};
use crate::third_party_clients::python;

const DOCUMENT: &str = include_str!("../../../docs/clients.md");

/// Language of the code block in the document, file name, interpreter, and URL scheme of the server.
const CLIENTS: [(&str, &str, &str, &str); 4] = [
    ("python", "follow.py", "", "ws"),
    ("js", "follow.mjs", "node", "http"),
    ("rust", "main.rs", "", "ws"),
    ("sh", "follow.sh", "sh", "http"),
];

/// Clients close a silent connection after 30 s and wait several seconds after each failure.
const DEADLINE: Duration = Duration::from_secs(150);

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/follow").join(name)
}

/// Returns the path of the Rust client, which `cargo test` builds together with the tests.
fn rust_client() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_sisepan")).with_file_name("examples").join("follow");
    let modified = |path: &Path| path.metadata().and_then(|about| about.modified()).ok();
    let is_current = modified(&built) >= modified(&file("main.rs"));
    assert!(is_current, "{} is older than its source: run `cargo test --no-run`", built.display());
    built
}

async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "never: {what}");
}

/// A fault of the connections of a [`Relay`].
#[derive(Clone, Copy)]
enum Fault {
    None,
    Cut,
    Silence,
}

/// A TCP relay between a client and the server. It records what the server sends on each connection.
struct Relay {
    address: SocketAddr,
    server: Arc<Mutex<String>>,
    faults: watch::Sender<Fault>,
    received: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    async fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let faults = watch::Sender::new(Fault::None);
        let received = Arc::new(Mutex::new(Vec::new()));
        let server = Arc::new(Mutex::new(server.to_owned()));
        let (fault_source, records, target) = (faults.clone(), Arc::clone(&received), Arc::clone(&server));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = records.lock().unwrap().len();
                records.lock().unwrap().push(String::new());
                let server = target.lock().unwrap().strip_prefix("http://").unwrap().to_owned();
                tokio::spawn(relay(client, server, fault_source.subscribe(), number, Arc::clone(&records)));
            }
        });
        Self { address, server, faults, received }
    }

    /// Applies a fault to all open connections.
    fn inject(&self, fault: Fault) {
        self.faults.send_replace(fault);
    }

    /// Directs new connections to another server.
    fn redirect_to(&self, server: &str) {
        server.clone_into(&mut self.server.lock().unwrap());
    }

    /// Returns what the server sent on the newest connection.
    fn transcript(&self) -> String {
        self.received.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

async fn relay(
    mut client: TcpStream,
    server: String,
    mut fault: watch::Receiver<Fault>,
    number: usize,
    received: Arc<Mutex<Vec<String>>>,
) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let (mut up, mut down) = ([0; 4096], [0; 65536]);
    loop {
        tokio::select! {
            Ok(()) = fault.changed() => match *fault.borrow_and_update() {
                Fault::None => {}
                Fault::Cut => return,
                Fault::Silence => break,
            },
            count = client.read(&mut up) => {
                let Ok(count @ 1..) = count else { return };
                // The relay must be able to read the messages, so it disables the compression offer.
                if let Ok(request) = std::str::from_utf8(&up[..count]) {
                    let request = request.replace("Sec-WebSocket-Extensions:", "Sec-WebSocket-Exten-ions:");
                    up[..count].copy_from_slice(&request.as_bytes()[..count]);
                }
                if server.write_all(&up[..count]).await.is_err() {
                    return;
                }
            }
            count = server.read(&mut down) => {
                let Ok(count @ 1..) = count else { return };
                received.lock().unwrap()[number].push_str(&String::from_utf8_lossy(&down[..count]));
                if client.write_all(&down[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
    // Keeps both sockets open without forwarding anything.
    std::future::pending().await
}

/// A running client; its processes are killed on drop.
struct Client {
    name: &'static str,
    child: Child,
    printed: Arc<Mutex<Vec<String>>>,
    errors: Arc<Mutex<Vec<String>>>,
}

impl Client {
    async fn start((_, name, interpreter, scheme): (&str, &'static str, &str, &str), board: &str, at: &str) -> Self {
        let mut command = match name {
            "main.rs" => Command::new(rust_client()),
            "follow.py" => Command::new(python().await),
            _ => Command::new(interpreter),
        };
        if name != "main.rs" {
            command.arg(file(name));
        }
        // Its own process group, since the children of a shell would survive it.
        command.args([board, &at.replacen("http", scheme, 1)]).process_group(0).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}; scripts/test installs it"));
        let printed = lines(child.stdout.take().unwrap());
        let errors = lines(child.stderr.take().unwrap());
        Self { name, child, printed, errors }
    }

    fn has_line(&self, line: &str) -> bool {
        self.printed.lock().unwrap().iter().any(|printed| printed == line)
    }

    fn has_line_starting(&self, start: &str) -> bool {
        self.printed.lock().unwrap().iter().any(|printed| printed.starts_with(start))
    }

    /// Waits for a printed line with this start.
    async fn wait_line(&self, start: &str) {
        eventually(&format!("{} prints {start:?}", self.name), || self.has_line_starting(start)).await;
    }

    /// Waits until the client has exited because the server refused it for this reason, without printing a row.
    async fn wait_refused(&mut self, reason: &str) {
        let status = tokio::time::timeout(DEADLINE, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("{} did not exit", self.name)).unwrap();
        assert!(!status.success(), "{}", self.name);
        let errors = || self.errors.lock().unwrap().join("\n").replace("\\\"", "\"");
        let what = format!("{} reports that it was refused: {reason}", self.name);
        eventually(&what, || errors().contains(reason) && errors().contains("refused: ")).await;
        assert!(!self.has_line_starting(""), "{} prints {:?}", self.name, self.printed);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(id) = self.child.id() {
            let _ = std::process::Command::new("kill").args(["-KILL", "--", &format!("-{id}")]).status();
        }
    }
}

/// Collects the lines of a stream in the background.
fn lines(stream: impl AsyncRead + Unpin + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let collected = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&collected);
    tokio::spawn(async move {
        let mut stream = BufReader::new(stream).lines();
        while let Ok(Some(line)) = stream.next_line().await {
            lines.lock().unwrap().push(line);
        }
    });
    collected
}

/// The fake exchanges and the server, with two boards: `krw` from Upbit and `usdt` from Binance.
struct Setup {
    folder: PathBuf,
    config: String,
    control: String,
    _fake: Program,
    server: Program,
}

impl Setup {
    async fn start(name: &str) -> Self {
        let folder = folder(name);
        let log = folder.join("fake.log");
        let options = ["fake", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"];
        let fake = Program::start_with_log(&options, std::fs::File::create(&log).unwrap().into()).await;
        let log = std::fs::read_to_string(&log).unwrap();
        let control = log.lines().find_map(|line| line.strip_prefix("control on ")).unwrap().to_owned();
        let boards = "jump_max_percent = 0\n\
            [[boards]]\nid = \"krw\"\nmarkets = [\"BTC-KRW\", \"ETH-KRW\"]\nsource = \"upbit\"\n\
            [[boards]]\nid = \"usdt\"\nmarkets = [\"BTC-USDT\", \"PEPE-USDT\"]\nsource = \"binance\"\n";
        let config = write_config(&folder, &fake.url, boards).to_str().unwrap().to_owned();
        let server = Program::start(&["serve", "--listen", "127.0.0.1:0", "--config", &config]).await;
        let setup = Self { folder, config, control, _fake: fake, server };
        setup.server.wait("live", "/api/v1/snapshot", |rows| row(rows, "BTC-KRW")["state"] == "live").await;
        setup
    }

    /// Sends a POST request to the control API of the fake exchanges.
    async fn post(&self, path: &str, body: Value) {
        let request = reqwest::Client::new().post(format!("{}{path}", self.control)).body(body.to_string());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{body}: {}", response.text().await.unwrap());
    }

    async fn trade(&self, venue: &str, market: &str, price: &str) {
        let body = serde_json::json!({"venue": venue, "market": market, "price": price, "hold": true});
        self.post("/price", body).await;
    }

    /// Kills the server and starts another on a free port, since the old port may be in use by now.
    async fn restart(&mut self) {
        self.server.child.kill().await.unwrap();
        self.server = Program::start(&["serve", "--listen", "127.0.0.1:0", "--config", &self.config]).await;
    }

    fn end(self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

#[test]
fn fc_57_the_document_shows_the_clients_that_are_tested() {
    for (language, name, ..) in CLIENTS {
        let source = std::fs::read_to_string(file(name)).unwrap();
        let block = format!("```{language}\n{source}```\n");
        assert!(DOCUMENT.contains(&block), "docs/clients.md does not show examples/follow/{name} as it is");
    }
    assert_eq!(DOCUMENT.matches("\n```").count() % 2, 0);
    // The document shows the dependency versions that the Rust client is tested with.
    let manifest: toml::Table = include_str!("../../../Cargo.toml").parse().unwrap();
    let shown = DOCUMENT.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let shown: toml::Table = shown.parse().unwrap();
    for (name, shown) in shown["dependencies"].as_table().unwrap() {
        let version = |of: &toml::Value| of.get("version").unwrap_or(of).as_str().unwrap().to_owned();
        let own = &manifest["dependencies"][name];
        let is_shared = own.get("workspace").is_some();
        let tested = version(if is_shared { &manifest["workspace"]["dependencies"][name] } else { own });
        assert!(tested.starts_with(&version(shown)), "docs/clients.md shows another {name} than {tested}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python, Node.js, curl and jq"]
async fn fc_57_clients_print_exact_prices_and_say_when_they_are_not_current() {
    let setup = Setup::start("clients-prices").await;
    setup.trade("upbit", "BTC-KRW", "142187000").await;
    // More digits than a float can hold, and a price that a float would print with an exponent.
    setup.trade("binance", "BTC-USDT", "87654321098.76543211").await;
    setup.trade("binance", "PEPE-USDT", "0.00000051").await;
    let mut clients = Vec::new();
    for client in CLIENTS {
        let krw = Client::start(client, "krw", &setup.server.url).await;
        clients.push((krw, Client::start(client, "usdt", &setup.server.url).await));
    }
    for (krw, usdt) in &clients {
        usdt.wait_line("BTC-USDT 87654321098.76543211 ").await;
        usdt.wait_line("PEPE-USDT 0.00000051 ").await;
        krw.wait_line("ETH-KRW ").await;
        let line = async {
            loop {
                let snapshot = setup.server.get("/api/v1/snapshot").await;
                let percent = row(&snapshot, "BTC-KRW")["change"]["percent"].as_str().unwrap_or("unknown").to_owned();
                if krw.has_line(&format!("BTC-KRW 142187000 {percent}% live")) {
                    return;
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        let in_time = tokio::time::timeout(DEADLINE, line).await.is_ok();
        assert!(in_time, "{} never prints the row of the snapshot: {:?}", krw.name, krw.printed);
    }
    setup.post("/fault", serde_json::json!({"venue": "upbit", "fault": "mute"})).await;
    setup.post("/fault", serde_json::json!({"venue": "upbit", "fault": "status", "status": 503, "on": "rest"})).await;
    for (krw, _) in &clients {
        krw.wait_line("BTC-KRW not current: stale last price 142187000").await;
        let printed = krw.printed.lock().unwrap();
        let newest = printed.iter().rfind(|line| line.starts_with("BTC-KRW ")).unwrap();
        assert_eq!(newest, "BTC-KRW not current: stale last price 142187000", "{}", krw.name);
    }
    drop(clients);
    setup.end();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python, Node.js, curl and jq"]
async fn fc_57_clients_resume_after_a_disconnect_and_survive_a_restart() {
    let mut setup = Setup::start("clients-break").await;
    setup.trade("upbit", "BTC-KRW", "142000000").await;
    let mut clients = Vec::new();
    for client in CLIENTS {
        let relay = Relay::start(&setup.server.url).await;
        clients.push((Client::start(client, "krw", &format!("http://{}", relay.address)).await, relay));
    }
    for (client, relay) in &clients {
        client.wait_line("BTC-KRW 142000000 ").await;
        assert!(relay.transcript().contains("\"type\":\"snapshot\""), "{}: {}", client.name, relay.transcript());
        relay.inject(Fault::Cut);
    }
    setup.trade("upbit", "BTC-KRW", "142111000").await;
    for (client, relay) in &clients {
        client.wait_line("BTC-KRW 142111000 ").await;
        let sent = relay.transcript();
        assert!(sent.contains("\"recovered\":true") && !sent.contains("\"type\":\"snapshot\""), "{sent}");
    }
    setup.restart().await;
    clients.iter().for_each(|(_, relay)| relay.redirect_to(&setup.server.url));
    setup.trade("upbit", "BTC-KRW", "142222000").await;
    for (client, relay) in &clients {
        client.wait_line("BTC-KRW 142222000 ").await;
        let sent = relay.transcript();
        assert!(sent.contains("\"recovered\":false"), "{} sent its position: {sent}", client.name);
    }
    drop(clients);
    setup.end();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python, Node.js, curl and jq"]
async fn fc_57_clients_give_up_a_silent_connection() {
    let setup = Setup::start("clients-silence").await;
    let mut clients = Vec::new();
    for client in CLIENTS {
        let relay = Relay::start(&setup.server.url).await;
        clients.push((Client::start(client, "krw", &format!("http://{}", relay.address)).await, relay));
    }
    for (client, relay) in &clients {
        client.wait_line("BTC-KRW ").await;
        relay.inject(Fault::Silence);
    }
    setup.trade("upbit", "BTC-KRW", "142333000").await;
    for (client, relay) in &clients {
        client.wait_line("BTC-KRW 142333000 ").await;
        assert!(relay.transcript().contains("\"recovered\":true"), "{}: {}", client.name, relay.transcript());
    }
    drop(clients);
    setup.end();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python, Node.js, curl and jq"]
async fn fc_57_clients_end_when_they_are_refused() {
    let setup = Setup::start("clients-refused").await;
    let mut clients = Vec::new();
    for client in CLIENTS {
        for (board, path, reason) in [("nope", "", "unknown value \"nope\" for board"), ("krw", "/elsewhere", "404")] {
            clients.push((Client::start(client, board, &format!("{}{path}", setup.server.url)).await, reason));
        }
    }
    for (client, reason) in &mut clients {
        client.wait_refused(reason).await;
    }
    setup.end();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python, Node.js, curl and jq"]
async fn fc_57_clients_reconnect_only_after_retryable_failures() {
    join_all(CLIENTS.map(async |client| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let is_websocket = client.3 == "ws";
        let mut client = Client::start(client, "krw", &address).await;
        // First a retryable failure, then a final one.
        for (status, code) in [("503 Service Unavailable", 3011), ("403 Forbidden", 3502)] {
            let accepted = tokio::time::timeout(DEADLINE, listener.accept()).await;
            let (mut socket, _) = accepted.unwrap_or_else(|_| panic!("{} does not reconnect", client.name)).unwrap();
            if is_websocket {
                let mut socket = tokio_tungstenite::accept_async(socket).await.unwrap();
                let frame = CloseFrame { code: code.into(), reason: "".into() };
                socket.close(Some(frame)).await.unwrap();
                while let Some(Ok(_)) = socket.next().await {}
            } else {
                let mut request = [0; 4096];
                assert!(socket.read(&mut request).await.unwrap() > 0);
                let response = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
                socket.write_all(response.as_bytes()).await.unwrap();
            }
        }
        client.wait_refused(if is_websocket { "3502" } else { "403" }).await;
    }))
    .await;
}
