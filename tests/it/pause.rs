//! The program is stopped for over a minute and continued, as by a debugger, a cgroup or a busy host: no price from
//! after the pause is recorded in its minutes, nothing old is shown as live, and no burst of missed polls follows.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use fake_exchanges::{self as fake, Fake, Options};
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::Value;
use sisepan::clock::Clock;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const DEADLINE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// At least one whole minute lies within it.
const PAUSE: Duration = Duration::from_secs(125);

/// Upbit's documented limit, per group and second.
const UPBIT_REQUESTS_MAX: usize = 10;

/// Minimum number of checks after the pause.
const CHECKS_MIN: u32 = 10;

fn signal(child: &Child, signal: &str) {
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

async fn serve(fake: &Fake, folder: &std::path::Path) -> (Child, String) {
    std::fs::create_dir_all(folder).unwrap();
    let venue =
        format!("[venues.upbit]\nrest = \"{}\"\nstream = \"{}\"\n", fake.rest_url("upbit"), fake.stream_url("upbit"));
    let board = "[[boards]]\nid = \"krw\"\nmarkets = [\"BTC-KRW\", \"ETH-KRW\"]\nsource = \"upbit\"\n";
    let config = folder.join("sisepan.toml");
    std::fs::write(&config, format!("data = \"none\"\n{venue}{board}")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_sisepan"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let url = line.strip_prefix("listening on ").unwrap().to_owned();
    (child, url)
}

async fn get(url: &str) -> Value {
    let body = reqwest::get(url).await.unwrap().text().await.unwrap();
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{url}: {error}: {body}"))
}

async fn bitcoin(url: &str) -> Value {
    let snapshot = get(&format!("{url}/api/v1/snapshot")).await;
    snapshot["rows"].as_array().unwrap().iter().find(|row| row["market"] == "BTC-KRW").cloned().unwrap_or_default()
}

async fn until(url: &str, what: &str, wanted: impl Fn(&Value) -> bool) {
    let mut last = Value::Null;
    let found = tokio::time::timeout(DEADLINE, async {
        loop {
            last = bitcoin(url).await;
            if wanted(&last) {
                return;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    });
    let in_time = found.await.is_ok();
    assert!(in_time, "not {what}: {last}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_program_that_was_stopped_for_minutes_shows_nothing_wrong_and_sends_no_burst() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let clock = Clock::system();
    let fake = fake::start(Options::default()).await.unwrap();
    let folder = std::env::temp_dir().join(format!("sisepan-pause-{}", std::process::id()));
    let (mut child, url) = serve(&fake, &folder).await;
    until(&url, "live with a change", |row| row["state"] == "live" && !row["change"].is_null()).await;

    signal(&child, "-STOP");
    let stopped = clock.now();
    // A real sleep, since the pause is the subject of the test, and minutes must pass on the exchange meanwhile.
    tokio::time::sleep(PAUSE).await;
    fake.set_price("upbit", "BTC-KRW", Decimal::from(199_000_000), true).unwrap();
    let continued = clock.now();
    signal(&child, "-CONT");

    // From the first response on, what is live was confirmed after the pause.
    let end = clock.monotonic() + Duration::from_secs(3);
    let mut checks = 0u32;
    while clock.monotonic() < end || checks <= CHECKS_MIN {
        let row = bitcoin(&url).await;
        checks += 1;
        let confirmed: Option<Timestamp> = row["confirmed_at"].as_str().and_then(|at| at.parse().ok());
        let old = confirmed.is_none_or(|at| at < continued);
        assert!(!(old && row["state"] == "live"), "old and live: {row}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until(&url, "live at the new price", |row| row["state"] == "live" && row["last"] == "199000000").await;
    until(&url, "showing a change", |row| !row["change"].is_null()).await;

    // The minutes of the pause are as they were on the exchange, or missing; never with a later price.
    let truth: BTreeMap<Timestamp, Decimal> = fake.truth("upbit", "BTC-KRW").unwrap().minutes.into_iter().collect();
    let history = get(&format!("{url}/api/v1/history/BTC-KRW?span=24h&step=1m")).await;
    let start: Timestamp = history["start"].as_str().unwrap().parse().unwrap();
    let (mut within, mut known) = (0, 0);
    for (at, close) in (0i64..).zip(history["close"].as_array().unwrap()) {
        let minute = start + jiff::SignedDuration::from_mins(at);
        let Some(close) = close.as_str() else { continue };
        known += 1;
        within += usize::from(minute > stopped && minute < continued);
        assert_eq!(close.parse::<Decimal>().unwrap(), truth[&minute], "{minute}");
    }
    assert!(known > 1000, "{known} minutes are known");
    println!("{within} minutes of the pause are known, and correct");

    // Missed requests are not made up for in a burst: no second has more requests than the venue allows.
    let mut requests: Vec<i64> = Vec::new();
    for entry in fake.log().iter().filter(|entry| entry.kind == "request" && entry.text.contains("/v1/candles")) {
        requests.push(entry.at.as_millisecond());
    }
    let crowded = requests.windows(UPBIT_REQUESTS_MAX + 1).find(|times| times[UPBIT_REQUESTS_MAX] - times[0] < 1_000);
    assert!(crowded.is_none(), "{crowded:?}");
    assert!(fake.log().iter().all(|entry| entry.kind != "refused"), "the exchange limited our rate");

    child.kill().await.unwrap();
    fake.shutdown().await;
    std::fs::remove_dir_all(folder).unwrap();
}
