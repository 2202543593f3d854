//! Log lines and metrics: failures and their ends, requests, and stream closes.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{POLL_INTERVAL, Program, folder, row, write_config};

/// A failure, its end and the return to the preferred exchange take most of a minute.
const DEADLINE: Duration = Duration::from_secs(180);

fn lines(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap();
    // The last line may be half written.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Waits for a log line in which every given member starts with the given text.
async fn find(log: &Path, members: &[(&str, &str)]) -> Value {
    let matches = |line: &Value| {
        members.iter().all(|(name, start)| line[name].as_str().is_some_and(|value| value.starts_with(start)))
    };
    let found = tokio::time::timeout(DEADLINE, async {
        loop {
            if let Some(line) = lines(log).into_iter().find(matches) {
                return line;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("no line {members:?} in {}", std::fs::read_to_string(log).unwrap()))
}

/// Returns the command `sisepan serve` with JSON logs and this `RUST_LOG`.
fn serve_command(log: &Path, config: &Path, filter: Option<&str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sisepan"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--log", "json", "--config"]).arg(config);
    command.env_remove("RUST_LOG").envs(filter.map(|filter| ("RUST_LOG", filter)));
    command.stderr(Stdio::from(std::fs::File::create(log).unwrap()));
    command
}

async fn serve(log: &Path, config: &Path, filter: Option<&str>) -> Program {
    let file = std::fs::File::create(log).unwrap();
    Program::run(serve_command(log, config, filter), file.into()).await
}

#[tokio::test]
#[ignore = "slow"]
async fn fc_59_an_outage_is_logged_with_level_cause_fallback_end_and_duration() {
    let folder = folder("outage");
    let control = folder.join("faults.jsonl");
    std::fs::write(&control, "").unwrap();
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0"]).await;
    let broken = Program::start(&["fake", "--listen", "127.0.0.1:0"]).await;
    let board = "[[boards]]\nid = \"krw\"\nmarkets = [\"BTC-KRW\", \"ETH-KRW\"]\nsource = [\"bithumb\", \"upbit\"]\n";
    // Bithumb has its own fake server, which is stopped and restarted.
    let config = write_config(&folder, &fake.url, "");
    let (from_url, to_url) = (format!("{}/bithumb", fake.url), format!("{}/bithumb", broken.url));
    let text = std::fs::read_to_string(&config).unwrap().replace(&from_url, &to_url);
    let text = text.replace(&from_url.replacen("http", "ws", 1), &to_url.replacen("http", "ws", 1));
    std::fs::write(&config, text + board).unwrap();
    let log = folder.join("log");
    let served = serve(&log, &config, None).await;
    let from = |snapshot: &Value, venue: &str| {
        let row = row(snapshot, "BTC-KRW");
        row["state"] == "live" && row["venue"] == venue
    };
    served.wait("live", "/api/v1/snapshot", |snapshot| from(snapshot, "bithumb")).await;
    // A price may be live through REST before the stream is up, and only a venue that was up can be restored.
    let is_up = |venues: &Value| {
        venues["venues"].as_array().unwrap().iter().any(|venue| venue["venue"] == "bithumb" && venue["state"] == "up")
    };
    served.wait("up", "/api/v1/venues", is_up).await;
    let address = broken.url.strip_prefix("http://").unwrap().to_owned();
    broken.kill().await;
    let down =
        find(&log, &[("level", "ERROR"), ("venue", "bithumb"), ("message", "exchange down"), ("state", "down")]).await;
    assert_eq!(down["reason"], "connect", "{down}");
    assert!(down["detail"].as_str().unwrap().contains("can't connect to 127.0.0.1"), "{down}");
    let fallback = find(&log, &[("level", "WARN"), ("message", "prices now come from a fallback")]).await;
    assert_eq!((fallback["from"].as_str(), fallback["venue"].as_str()), (Some("bithumb"), Some("upbit")), "{fallback}");
    let repaired = Program::start(&["fake", "--listen", &address]).await;
    let restored = find(&log, &[("venue", "bithumb"), ("message", "exchange connection restored")]).await;
    // On a busy machine, some market may still lack a price at that moment.
    assert_eq!(restored["level"], if restored["reason"].is_null() { "INFO" } else { "WARN" }, "{restored}");
    let back =
        find(&log, &[("level", "INFO"), ("venue", "bithumb"), ("message", "prices come from the preferred")]).await;
    for line in [&restored, &back] {
        let lasted = line["lasted"].as_str().unwrap().strip_suffix('s').unwrap();
        assert!(lasted.parse::<u64>().is_ok(), "{line}");
    }
    for line in lines(&log) {
        assert!(line["suppressed"] != 0 && line["state"] != "down" || line["level"] == "ERROR", "{line}");
        assert!(line["target"].as_str().unwrap().starts_with("sisepan"), "{line}");
    }
    served.kill().await;
    repaired.kill().await;
    fake.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn fc_19_the_access_log_is_a_setting() {
    let folder = folder("access");
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0"]).await;
    for (setting, logged) in [("off", &[][..]), ("errors", &["/nothing?x=1"]), ("all", &["/nothing?x=1", "/healthz"])] {
        let config = write_config(&folder, &fake.url, &format!("access_log = \"{setting}\"\n"));
        let log = folder.join(setting);
        let served = serve(&log, &config, None).await;
        let client = reqwest::Client::new();
        for path in ["/nothing?x=1", "/healthz", "/healthz"] {
            client.get(format!("{}{path}", served.url)).send().await.unwrap();
        }
        for path in logged {
            let line = find(&log, &[("target", "sisepan::access"), ("path", path)]).await;
            let status = if *path == "/healthz" { 200 } else { 404 };
            assert_eq!((line["status"].as_u64(), line["method"].as_str()), (Some(status), Some("GET")), "{line}");
            assert_eq!(line["client"], "127.0.0.1", "{line}");
        }
        served.kill().await;
        let paths: std::collections::BTreeSet<String> =
            lines(&log).iter().filter_map(|line| Some(line["path"].as_str()?.to_owned())).collect();
        assert_eq!(paths, logged.iter().map(|path| (*path).to_owned()).collect(), "{setting}");
    }
    fake.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn fc_19_closes_of_streams_are_logged_by_code_in_debug() {
    let folder = folder("closes");
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0"]).await;
    let config = write_config(&folder, &fake.url, "");
    let log = folder.join("log");
    let served = serve(&log, &config, Some("sisepan=debug")).await;
    // A text frame without a mask breaks the protocol: 1002.
    send_frame(&served, b"\x81\x02hi").await;
    let line = find(&log, &[("level", "DEBUG"), ("message", "stream closed")]).await;
    assert_eq!(line["code"], 1002, "{line}");
    served.kill().await;
    fake.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn fc_19_closes_by_code_and_responses_by_status_are_counted() {
    let folder = folder("counted");
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0"]).await;
    let config = write_config(&folder, &fake.url, "metrics.listen = \"127.0.0.1:0\"\n");
    let log = folder.join("log");
    let served = serve(&log, &config, None).await;
    let started = find(&log, &[("message", "sisepan started")]).await;
    let scrape = format!("http://{}/metrics", started["metrics"].as_str().unwrap());
    // An unmasked frame (1002), and closes with 1000, with 4321, and without a code (1005).
    let frames: [&[u8]; 4] =
        [b"\x81\x02hi", b"\x88\x82\0\0\0\0\x03\xe8", b"\x88\x82\0\0\0\0\x10\xe1", b"\x88\x80\0\0\0\0"];
    for frame in frames {
        send_frame(&served, frame).await;
    }
    for path in ["/nothing", "/nothing", "/api/v1/snapshot?board=no"] {
        reqwest::get(format!("{}{path}", served.url)).await.unwrap();
    }
    let wanted = [
        "# TYPE sisepan_stream_closes_total counter",
        "# TYPE sisepan_http_responses_total counter",
        r#"sisepan_stream_closes_total{code="1002",by="server"} 1"#,
        r#"sisepan_stream_closes_total{code="1000",by="client"} 1"#,
        r#"sisepan_stream_closes_total{code="other",by="client"} 1"#,
        r#"sisepan_stream_closes_total{code="1005",by="client"} 1"#,
        r#"sisepan_http_responses_total{status="404"} 3"#,
    ];
    let mut text = String::new();
    let counted = tokio::time::timeout(DEADLINE, async {
        while !wanted.iter().all(|wanted| text.lines().any(|line| line == *wanted)) {
            tokio::time::sleep(POLL_INTERVAL).await;
            text = reqwest::get(&scrape).await.unwrap().error_for_status().unwrap().text().await.unwrap();
        }
    });
    assert!(counted.await.is_ok(), "{text}");
    // The public listener does not serve metrics.
    assert_eq!(reqwest::get(format!("{}/metrics", served.url)).await.unwrap().status(), 404);
    served.kill().await;
    fake.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
}

/// Opens a stream, writes one frame, and reads until the server closes the connection.
async fn send_frame(served: &Program, frame: &[u8]) {
    let address = served.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /api/v1/stream HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(frame).await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap();
}

#[tokio::test]
#[ignore = "slow"]
async fn fc_59_a_start_logs_no_lost_connection_and_an_ignored_field_rejects_no_record() {
    let folder = folder("ignored-field");
    let script = folder.join("faults.jsonl");
    let fault = serde_json::json!({"at": 0, "seconds": 600, "fault": "set-field", "venue": "upbit", "symbol": "BTC-KRW",
        "field": "acc_trade_price_24h", "payload": "\"x\""});
    std::fs::write(&script, fault.to_string()).unwrap();
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0", "--script", script.to_str().unwrap()]).await;
    let config = write_config(&folder, &fake.url, "");
    let board = "[[boards]]\nid = \"krw\"\nmarkets = [\"BTC-KRW\", \"ETH-KRW\", \"XRP-KRW\", \"SOL-KRW\", \"DOGE-KRW\", \"ADA-KRW\"]\n\
                 source = \"upbit\"\n";
    // A high limit, since on a busy machine prices could become stale, which would be logged.
    let text = std::fs::read_to_string(&config).unwrap().replace("stale_after_secs = 5", "stale_after_secs = 120");
    std::fs::write(&config, text + board).unwrap();
    let log = folder.join("log");
    let served = serve(&log, &config, None).await;
    let ignored = find(&log, &[("level", "WARN"), ("field", "acc_trade_price_24h")]).await;
    assert_eq!((&ignored["market"], &ignored["venue"]), (&"BTC-KRW".into(), &"upbit".into()), "{ignored}");
    let message = ignored["message"].as_str().unwrap();
    assert!(message.contains("field ignored") && !message.contains("rejected"), "{message}");
    served.wait("live", "/api/v1/snapshot", |snapshot| row(snapshot, "BTC-KRW")["state"] == "live").await;
    find(&log, &[("venue", "upbit"), ("message", "the prices of the exchange are complete")]).await;
    for line in lines(&log) {
        let (message, state) = (line["message"].as_str().unwrap_or_default(), line["state"].as_str());
        assert!(!message.contains("are complete") || state == Some("up"), "{line}");
        assert!(!message.contains("connection lost") && !message.contains("restored"), "{line}");
    }
    served.kill().await;
    fake.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_fake_exchanges_log_accept_failures_once_per_listener() {
    let folder = folder("fake-accept");
    let log = folder.join("log");
    let stderr = std::fs::File::create(&log).unwrap();
    let options = ["fake", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"];
    let fake = Program::start_with_log(&options, stderr.into()).await;
    let read = || std::fs::read_to_string(&log).unwrap();
    let control = read().lines().find_map(|line| Some(line.strip_prefix("control on ")?.to_owned())).unwrap();
    let limit_files = async |max: u32| {
        let id = fake.child.id().unwrap().to_string();
        let status = Command::new("prlimit").args(["--pid", &id, &format!("--nofile={max}:")]).status().await;
        assert!(status.unwrap().success());
    };
    limit_files(3).await;
    let mut waiting = Vec::new();
    for url in [&fake.url, &control] {
        waiting.push(TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap());
    }
    let failures = || read().matches("connections can't be accepted").count();
    let both = async {
        while failures() < 2 {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(DEADLINE, both).await.unwrap_or_else(|_| panic!("{}", read()));
    // Long enough for several further attempts.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(failures(), 2, "{}", read());
    limit_files(256).await;
    drop(waiting);
    for url in [format!("{}/upbit/v1/ticker?markets=KRW-BTC", fake.url), format!("{control}/truth")] {
        assert!(reqwest::get(&url).await.unwrap().status().is_success(), "{url}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
