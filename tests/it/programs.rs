//! The program as users run it: `sisepan fake` with its options, and `sisepan serve` connected to it.

mod check;
mod clients;
mod demo;
mod generated;
mod logs;
mod lookup;
mod proxy;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const DEADLINE: Duration = Duration::from_secs(40);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A running program and its URL; it is killed on drop.
struct Program {
    child: Child,
    url: String,
}

impl Program {
    async fn start(arguments: &[&str]) -> Self {
        Self::start_with_log(arguments, Stdio::null()).await
    }

    async fn start_with_log(arguments: &[&str], log: Stdio) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sisepan"));
        command.args(arguments);
        Self::run(command, log).await
    }

    async fn run(mut command: Command, log: Stdio) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut child = command.stdout(Stdio::piped()).stderr(log).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap();
        let line = line.unwrap_or_else(|| panic!("{command:?} printed nothing"));
        Self { child, url: line.strip_prefix("listening on ").unwrap().to_owned() }
    }

    async fn get(&self, path: &str) -> Value {
        let body = reqwest::get(format!("{}{path}", self.url)).await.unwrap().text().await.unwrap();
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// Requests a path until its JSON is as wanted. Panics at the deadline.
    async fn wait(&self, what: &str, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = tokio::time::timeout(DEADLINE, async {
            loop {
                last = self.get(path).await;
                if wanted(&last) {
                    return;
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        });
        let in_time = found.await.is_ok();
        assert!(in_time, "never {what}: {last}");
        last
    }

    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Creates a temporary folder for one test.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("sisepan-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes a configuration that uses the fake exchanges at `url` and begins with `head`; returns its path.
fn write_config(folder: &Path, url: &str, head: &str) -> PathBuf {
    let stream = url.replacen("http", "ws", 1);
    let venue = |id: &str, path: &str| {
        format!("[venues.{id}]\nrest = \"{url}/{id}\"\nstream = \"{stream}/{id}/{path}\"\nstale_after_secs = 5\n")
    };
    // Programs that run side by side must not share a store.
    let data = "data = \"none\"\n";
    let text =
        [data, head, &venue("upbit", "websocket/v1"), &venue("bithumb", "websocket/v1"), &venue("binance", "ws")];
    let file = folder.join("sisepan.toml");
    std::fs::write(&file, text.concat()).unwrap();
    file
}

fn row<'a>(snapshot: &'a Value, market: &str) -> &'a Value {
    let rows = snapshot["rows"].as_array().unwrap();
    rows.iter().find(|row| row["market"] == market).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn https_and_wss_work_between_the_two_programs_and_the_clock_offset_is_measured() {
    let folder = folder("tls");
    let ca = folder.join("ca.pem");
    let path = ca.to_str().unwrap();
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0", "--tls", "--tls-ca", path]).await;
    assert!(fake.url.starts_with("https://"), "{}", fake.url);
    let config = write_config(&folder, &fake.url, &format!("[tls]\nca = \"{path}\"\n"));
    let config = config.to_str().unwrap();
    let board = Program::start(&["serve", "--listen", "127.0.0.1:0", "--config", config]).await;
    board.wait("live", "/api/v1/snapshot", |snapshot| row(snapshot, "BTC-KRW")["state"] == "live").await;
    let venues = board
        .wait("all up, their clock offsets measured", "/api/v1/venues", |health| {
            let venues = health["venues"].as_array().unwrap();
            // The stream may be up before the first REST response, whose `Date` gives the clock offset.
            let done = |venue: &Value| venue["state"] == "up" && venue["clock_skew_ms"].is_i64();
            venues.len() == 2 && venues.iter().all(done)
        })
        .await;
    for venue in venues["venues"].as_array().unwrap() {
        let skew = venue["clock_skew_ms"].as_i64().unwrap();
        assert!(skew.abs() < 1500, "both programs use the same clock: {venue}");
    }
    let check = Command::new(env!("CARGO_BIN_EXE_sisepan")).args(["check", "--live", "--config", config]).output();
    let check = tokio::time::timeout(DEADLINE, check).await.unwrap().unwrap();
    let output = String::from_utf8(check.stdout).unwrap();
    assert_eq!(check.status.code(), Some(0), "{output}");
    assert!(output.matches("stream   connected").count() == 2 && output.contains("11 of 11 wanted"), "{output}");
    board.kill().await;
    fake.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn recorded_payloads_are_served_unchanged_and_old_frames_are_rejected() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0", "--from", fixtures]).await;
    let served = fake.get("/upbit/v1/ticker?markets=KRW-BTC").await;
    let recorded: Value =
        serde_json::from_str(&std::fs::read_to_string(format!("{fixtures}/upbit/rest-tickers.json")).unwrap()).unwrap();
    assert_eq!(served, recorded);
    // A server rejects frames that were sent months ago, and counts them.
    let folder = folder("recorded");
    let config = write_config(&folder, &fake.url, "");
    let board = Program::start(&["serve", "--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()]).await;
    board
        .wait("old frames are rejected", "/api/v1/venues", |health| {
            let venues = health["venues"].as_array().unwrap();
            venues.iter().any(|venue| venue["venue"] == "bithumb" && venue["rejected"]["time-behind"].is_u64())
        })
        .await;
    board.kill().await;
    fake.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
#[ignore = "slow"]
async fn a_board_recovers_from_a_script_of_faults() {
    let folder = folder("script");
    let script = folder.join("faults.jsonl");
    let lines =
        "{\"at\":4,\"fault\":\"status\",\"status\":503,\"seconds\":8}\n{\"at\":4,\"fault\":\"mute\",\"seconds\":8}\n";
    std::fs::write(&script, lines).unwrap();
    let script = script.to_str().unwrap();
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0", "--script", script]).await;
    let config = write_config(&folder, &fake.url, "");
    let board = Program::start(&["serve", "--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()]).await;
    for state in ["live", "stale", "live"] {
        board.wait(state, "/api/v1/snapshot", |snapshot| row(snapshot, "BTC-KRW")["state"] == state).await;
    }
    board.kill().await;
    fake.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn exchange_text_can_not_write_control_characters_to_the_terminal() {
    let folder = folder("hostile");
    let script = folder.join("faults.jsonl");
    let payload =
        serde_json::json!({"error": {"name": "\u{1b}[2J\u{7}", "message": "\u{1b}]0;owned\n2026 INFO forged"}});
    let fault =
        serde_json::json!({"at": 0, "seconds": 120, "fault": "raw", "payload": payload.to_string(), "text": true});
    std::fs::write(&script, fault.to_string()).unwrap();
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0", "--script", script.to_str().unwrap()]).await;
    let config = write_config(&folder, &fake.url, "");
    for form in ["text", "json"] {
        let log = folder.join(form);
        let file = std::fs::File::create(&log).unwrap();
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--log", form, "--config", config.to_str().unwrap()];
        let board = Program::start_with_log(&arguments, file.into()).await;
        board
            .wait("a rejection is counted", "/api/v1/venues", |health| {
                health["venues"].as_array().unwrap().iter().any(|venue| venue["rejected"]["refused"].is_u64())
            })
            .await;
        board.kill().await;
        let log = std::fs::read_to_string(&log).unwrap();
        assert!(log.contains("owned"), "{form}: the message of the exchange is in the log: {log}");
        assert!(!log.contains(['\u{1b}', '\u{7}']) && !log.contains("\n2026 INFO forged"), "{form}: {log:?}");
    }
    fake.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn an_invalid_flag_or_file_is_reported_with_its_exit_code() {
    for (arguments, code, message) in [
        (&["serve", "--listen", "here"][..], 2, "listen: must be an address and a port"),
        (&["serve", "--config", "/nonexistent.toml"], 2, "/nonexistent.toml: can't be read"),
        (&["serve", "--nonsense"], 2, "--nonsense"),
        (&["nonsense"], 2, "nonsense"),
        (&["fake", "--from", "/nonexistent"], 1, "reading the directory /nonexistent"),
        (&["fake", "--script", "/nonexistent"], 1, "reading the script /nonexistent"),
        (&["fake", "--tls-ca", "ca.pem"], 2, "--tls"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_sisepan")).args(arguments).output();
        let output = tokio::time::timeout(DEADLINE, output).await.unwrap().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(message), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}
