//! The clients of `docs/clients.md`, which are those of `examples/follow`: each runs as its readers run it.

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

use super::{LOOK, Program, configured, folder, row};
use crate::fake::clients::python;

const DOCUMENT: &str = include_str!("../../../docs/clients.md");

/// Language of the block in the document, file, what runs it, and the scheme of the server's address.
const CLIENTS: [(&str, &str, &str, &str); 4] = [
    ("python", "follow.py", "", "ws"),
    ("js", "follow.mjs", "node", "http"),
    ("rust", "main.rs", "", "ws"),
    ("sh", "follow.sh", "sh", "http"),
];

/// A client is silent for 30 s before it gives a connection up, and may wait for some seconds after each failure.
const DEADLINE: Duration = Duration::from_secs(150);

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/follow").join(name)
}

/// Returns the Rust client, which `cargo test` builds beside the tests.
fn built() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_sisepan")).with_file_name("examples").join("follow");
    let modified = |path: &Path| path.metadata().and_then(|about| about.modified()).ok();
    let is_new = modified(&built) >= modified(&file("main.rs"));
    assert!(is_new, "{} is older than its source: run `cargo test --no-run`", built.display());
    built
}

async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(LOOK).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "never: {what}");
}

#[derive(Clone, Copy)]
enum Fault {
    None,
    Cut,
    Silence,
}

/// Stands between a client and the server, and keeps what the server sends on each connection.
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
        let (ordered, kept, to) = (faults.clone(), Arc::clone(&received), Arc::clone(&server));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = kept.lock().unwrap().len();
                kept.lock().unwrap().push(String::new());
                let server = to.lock().unwrap().strip_prefix("http://").unwrap().to_owned();
                tokio::spawn(connection(client, server, ordered.subscribe(), number, Arc::clone(&kept)));
            }
        });
        Self { address, server, faults, received }
    }

    /// Strikes the connections that are open now.
    fn strike(&self, fault: Fault) {
        self.faults.send_replace(fault);
    }

    /// Leads new connections to another server.
    fn lead_to(&self, server: &str) {
        server.clone_into(&mut self.server.lock().unwrap());
    }

    /// Returns what the server sent on the newest connection.
    fn newest(&self) -> String {
        self.received.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

async fn connection(
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
                // What the server sends is to be read here, so no offer to compress it arrives.
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
    // Both sides stay open, and nothing passes.
    std::future::pending().await
}

/// A running client. Its processes end with this.
struct Client {
    name: &'static str,
    child: Child,
    printed: Arc<Mutex<Vec<String>>>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Client {
    async fn start((_, name, interpreter, scheme): (&str, &'static str, &str, &str), board: &str, at: &str) -> Self {
        let mut command = match name {
            "main.rs" => Command::new(built()),
            "follow.py" => Command::new(python().await),
            _ => Command::new(interpreter),
        };
        if name != "main.rs" {
            command.arg(file(name));
        }
        // A group of its own: a shell's children outlive it.
        command.args([board, &at.replacen("http", scheme, 1)]).process_group(0).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}; scripts/test installs it"));
        let printed = lines(child.stdout.take().unwrap());
        let told = lines(child.stderr.take().unwrap());
        Self { name, child, printed, told }
    }

    fn has(&self, line: &str) -> bool {
        self.printed.lock().unwrap().iter().any(|printed| printed == line)
    }

    fn begins(&self, start: &str) -> bool {
        self.printed.lock().unwrap().iter().any(|printed| printed.starts_with(start))
    }

    async fn prints(&self, start: &str) {
        eventually(&format!("{} prints {start:?}", self.name), || self.begins(start)).await;
    }

    /// Waits until it has ended as one that was refused, for this reason, and has printed no row.
    async fn ends_with(&mut self, reason: &str) {
        let status = tokio::time::timeout(DEADLINE, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("{} goes on", self.name)).unwrap();
        assert!(!status.success(), "{}", self.name);
        let told = || self.told.lock().unwrap().join("\n").replace("\\\"", "\"");
        let what = format!("{} tells that it is refused: {reason}", self.name);
        eventually(&what, || told().contains(reason) && told().contains("refused: ")).await;
        assert!(!self.begins(""), "{} prints {:?}", self.name, self.printed);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(id) = self.child.id() {
            let _ = std::process::Command::new("kill").args(["-KILL", "--", &format!("-{id}")]).status();
        }
    }
}

fn lines(from: impl AsyncRead + Unpin + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&kept);
    tokio::spawn(async move {
        let mut from = BufReader::new(from).lines();
        while let Ok(Some(line)) = from.next_line().await {
            lines.lock().unwrap().push(line);
        }
    });
    kept
}

/// The two programs, with two boards: Upbit's in won, and Binance's in dollars.
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
        let fake = Program::logging(&options, std::fs::File::create(&log).unwrap().into()).await;
        let log = std::fs::read_to_string(&log).unwrap();
        let control = log.lines().find_map(|line| line.strip_prefix("control on ")).unwrap().to_owned();
        let boards = "jump_max_percent = 0\n\
            [[boards]]\nid = \"krw\"\nmarkets = [\"BTC-KRW\", \"ETH-KRW\"]\nsource = \"upbit\"\n\
            [[boards]]\nid = \"usdt\"\nmarkets = [\"BTC-USDT\", \"PEPE-USDT\"]\nsource = \"binance\"\n";
        let config = configured(&folder, &fake.url, boards).to_str().unwrap().to_owned();
        let server = Program::start(&["serve", "--listen", "127.0.0.1:0", "--config", &config]).await;
        let setup = Self { folder, config, control, _fake: fake, server };
        setup.server.wait("live", "/api/v1/snapshot", |rows| row(rows, "BTC-KRW")["state"] == "live").await;
        setup
    }

    async fn order(&self, path: &str, order: Value) {
        let request = reqwest::Client::new().post(format!("{}{path}", self.control)).body(order.to_string());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{order}: {}", answer.text().await.unwrap());
    }

    async fn trade(&self, venue: &str, market: &str, price: &str) {
        let order = serde_json::json!({"venue": venue, "market": market, "price": price, "hold": true});
        self.order("/price", order).await;
    }

    /// Kills the server and starts another, at a free port: its own may be taken by now.
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
    // Newcomers build the Rust client against the versions that it is tested with.
    let manifest: toml::Table = include_str!("../../../Cargo.toml").parse().unwrap();
    let shown = DOCUMENT.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let shown: toml::Table = shown.parse().unwrap();
    for (name, shown) in shown["dependencies"].as_table().unwrap() {
        let version = |of: &toml::Value| of.get("version").unwrap_or(of).as_str().unwrap().to_owned();
        let ours = version(&manifest["dependencies"][name]);
        assert!(ours.starts_with(&version(shown)), "docs/clients.md shows another {name} than {ours}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_57_clients_print_exact_prices_and_say_when_they_are_not_current() {
    let setup = Setup::start("clients-prices").await;
    setup.trade("upbit", "BTC-KRW", "142187000").await;
    // More digits than a float holds, and a price that numbers are printed with an exponent for.
    setup.trade("binance", "BTC-USDT", "87654321098.76543211").await;
    setup.trade("binance", "PEPE-USDT", "0.00000051").await;
    let mut clients = Vec::new();
    for client in CLIENTS {
        let krw = Client::start(client, "krw", &setup.server.url).await;
        clients.push((krw, Client::start(client, "usdt", &setup.server.url).await));
    }
    for (krw, usdt) in &clients {
        usdt.prints("BTC-USDT 87654321098.76543211 ").await;
        usdt.prints("PEPE-USDT 0.00000051 ").await;
        krw.prints("ETH-KRW ").await;
        let line = async {
            loop {
                let snapshot = setup.server.get("/api/v1/snapshot").await;
                let percent = row(&snapshot, "BTC-KRW")["change"]["percent"].as_str().unwrap_or("unknown").to_owned();
                if krw.has(&format!("BTC-KRW 142187000 {percent}% live")) {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let in_time = tokio::time::timeout(DEADLINE, line).await.is_ok();
        assert!(in_time, "{} never prints the row of the snapshot: {:?}", krw.name, krw.printed);
    }
    setup.order("/fault", serde_json::json!({"venue": "upbit", "fault": "mute"})).await;
    setup.order("/fault", serde_json::json!({"venue": "upbit", "fault": "status", "status": 503, "on": "rest"})).await;
    for (krw, _) in &clients {
        krw.prints("BTC-KRW not current: stale last price 142187000").await;
        let printed = krw.printed.lock().unwrap();
        let newest = printed.iter().rfind(|line| line.starts_with("BTC-KRW ")).unwrap();
        assert_eq!(newest, "BTC-KRW not current: stale last price 142187000", "{}", krw.name);
    }
    drop(clients);
    setup.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_57_clients_resume_after_a_break_and_outlive_a_restart() {
    let mut setup = Setup::start("clients-break").await;
    setup.trade("upbit", "BTC-KRW", "142000000").await;
    let mut clients = Vec::new();
    for client in CLIENTS {
        let relay = Relay::start(&setup.server.url).await;
        clients.push((Client::start(client, "krw", &format!("http://{}", relay.address)).await, relay));
    }
    for (client, relay) in &clients {
        client.prints("BTC-KRW 142000000 ").await;
        assert!(relay.newest().contains("\"type\":\"snapshot\""), "{}: {}", client.name, relay.newest());
        relay.strike(Fault::Cut);
    }
    setup.trade("upbit", "BTC-KRW", "142111000").await;
    for (client, relay) in &clients {
        client.prints("BTC-KRW 142111000 ").await;
        let sent = relay.newest();
        assert!(sent.contains("\"recovered\":true") && !sent.contains("\"type\":\"snapshot\""), "{sent}");
    }
    setup.restart().await;
    clients.iter().for_each(|(_, relay)| relay.lead_to(&setup.server.url));
    setup.trade("upbit", "BTC-KRW", "142222000").await;
    for (client, relay) in &clients {
        client.prints("BTC-KRW 142222000 ").await;
        let sent = relay.newest();
        assert!(sent.contains("\"recovered\":false"), "{} said where it was: {sent}", client.name);
    }
    drop(clients);
    setup.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_57_clients_give_up_a_silent_connection() {
    let setup = Setup::start("clients-silence").await;
    let mut clients = Vec::new();
    for client in CLIENTS {
        let relay = Relay::start(&setup.server.url).await;
        clients.push((Client::start(client, "krw", &format!("http://{}", relay.address)).await, relay));
    }
    for (client, relay) in &clients {
        client.prints("BTC-KRW ").await;
        relay.strike(Fault::Silence);
    }
    setup.trade("upbit", "BTC-KRW", "142333000").await;
    for (client, relay) in &clients {
        client.prints("BTC-KRW 142333000 ").await;
        assert!(relay.newest().contains("\"recovered\":true"), "{}: {}", client.name, relay.newest());
    }
    drop(clients);
    setup.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_57_clients_end_when_they_are_refused() {
    let setup = Setup::start("clients-refused").await;
    let mut clients = Vec::new();
    for client in CLIENTS {
        for (board, path, reason) in [("nope", "", "board has no \"nope\""), ("krw", "/elsewhere", "404")] {
            clients.push((Client::start(client, board, &format!("{}{path}", setup.server.url)).await, reason));
        }
    }
    for (client, reason) in &mut clients {
        client.ends_with(reason).await;
    }
    setup.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_57_clients_come_back_where_they_may_and_only_there() {
    join_all(CLIENTS.map(async |client| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let is_websocket = client.3 == "ws";
        let mut client = Client::start(client, "krw", &address).await;
        // What means "come back", then what means "do not".
        for (status, code) in [("503 Service Unavailable", 3011), ("403 Forbidden", 3502)] {
            let accepted = tokio::time::timeout(DEADLINE, listener.accept()).await;
            let (mut socket, _) = accepted.unwrap_or_else(|_| panic!("{} stays away", client.name)).unwrap();
            if is_websocket {
                let mut socket = tokio_tungstenite::accept_async(socket).await.unwrap();
                let frame = CloseFrame { code: code.into(), reason: "".into() };
                socket.close(Some(frame)).await.unwrap();
                while let Some(Ok(_)) = socket.next().await {}
            } else {
                let mut request = [0; 4096];
                assert!(socket.read(&mut request).await.unwrap() > 0);
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        }
        client.ends_with(if is_websocket { "3502" } else { "403" }).await;
    }))
    .await;
}
