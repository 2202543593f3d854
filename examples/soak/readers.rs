//! The readers: stream clients, browser pages, and a poller of the API.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use super::Board;
use super::oracle::Oracle;

/// Longest silence on a stream; a heartbeat comes every 15 s.
const QUIET_MAX: Duration = Duration::from_secs(60);

/// Number of polls until a missing value must have a reason; rows and reasons are fetched one after the other.
const POLLS_MAX: u32 = 5;

/// Interval between two polls of the API.
const POLL_EVERY: Duration = Duration::from_millis(500);

const INTERVALS_MS: [u64; 4] = [0, 250, 1000, 5000];

async fn get(http: &reqwest::Client, url: &str) -> Option<Value> {
    let text = http.get(url).send().await.ok()?.text().await.ok()?;
    serde_json::from_str(&text).ok()
}

async fn rows_of(http: &reqwest::Client, url: &str, board: &str) -> Vec<Value> {
    let response = get(http, &format!("{url}/api/v1/snapshot?board={board}")).await;
    response.and_then(|response| response["rows"].as_array().cloned()).unwrap_or_default()
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy().build().unwrap()
}

/// Waits until every row is live and has a change.
pub async fn wait_until_live(url: &str, boards: &[Board], wait_max: Duration) {
    let http = client();
    let wait = async {
        for board in boards {
            loop {
                let rows = rows_of(&http, url, board.id).await;
                let complete = |row: &&Value| row["state"] == "live" && row["change"].is_object();
                if rows.iter().filter(complete).count() == board.markets.len() {
                    break;
                }
                tokio::time::sleep(POLL_EVERY).await;
            }
        }
    };
    if tokio::time::timeout(wait_max, wait).await.is_err() {
        let venues = get(&http, &format!("{url}/api/v1/venues")).await.unwrap_or_default();
        panic!("not every row is live with a change after {wait_max:?}: {venues:#}");
    }
}

/// Polls rows and venues, and checks that every missing value has a reason.
pub async fn watch_api(url: String, boards: Vec<Board>, oracle: Arc<Oracle>) {
    let http = client();
    let mut unexplained: BTreeMap<(String, String), u32> = BTreeMap::new();
    loop {
        for board in &boards {
            let rows = rows_of(&http, &url, board.id).await;
            let Some(venues) = get(&http, &format!("{url}/api/v1/venues")).await else { continue };
            let venue = venues["venues"].as_array().and_then(|all| all.iter().find(|venue| venue["venue"] == board.id));
            let missing: Vec<&str> = venue
                .and_then(|venue| venue["missing"].as_array())
                .into_iter()
                .flatten()
                .filter(|entry| entry["code"].is_string())
                .filter_map(|entry| entry["market"].as_str())
                .collect();
            for row in &rows {
                oracle.check(row, board.id);
                let market = row["market"].as_str().unwrap_or_default();
                let key = (board.id.to_owned(), market.to_owned());
                let is_live = matches!(row["state"].as_str(), Some("live" | "delayed"));
                if is_live && row["change"].is_object() {
                    unexplained.remove(&key);
                } else if missing.contains(&market) {
                    unexplained.remove(&key);
                    oracle.findings.count_reason();
                } else {
                    let polls = unexplained.entry(key).or_default();
                    *polls += 1;
                    if *polls == POLLS_MAX {
                        let venue = venue.cloned().unwrap_or_default();
                        let explanation = format!("state {}, reason {}", venue["state"], venue["reason"]);
                        oracle.findings.report(format!("{} {market}: no reason for {row}; {explanation}", board.id));
                    }
                }
            }
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// Starts the clients. The first one of each board checks every row; all check the order of frames.
pub fn start_clients(count: usize, url: &str, boards: &[Board], oracle: &Arc<Oracle>) -> Vec<JoinHandle<()>> {
    let base = url.replace("http", "ws");
    let start = |at: usize| {
        let board = boards[at % boards.len()].clone();
        let interval = INTERVALS_MS[at / boards.len() % INTERVALS_MS.len()];
        let url = format!("{base}/api/v1/stream?board={}&interval_ms={interval}", board.id);
        let (checks_rows, oracle) = (at < boards.len(), oracle.clone());
        tokio::spawn(async move {
            if let Err(wrong) = read(&url, board.id, checks_rows, &oracle).await {
                oracle.findings.report(format!("a client of {url}: {wrong}"));
            }
        })
    };
    (0..count).map(start).collect()
}

async fn read(url: &str, venue: &str, checks_rows: bool, oracle: &Oracle) -> Result<(), String> {
    let (mut stream, _) = tokio_tungstenite::connect_async(url).await.map_err(|error| error.to_string())?;
    let mut rows: BTreeMap<String, Value> = BTreeMap::new();
    let mut sequence = None;
    loop {
        let next = tokio::time::timeout(QUIET_MAX, stream.next()).await;
        let message = next.map_err(|_| "no message for a minute")?.ok_or("the stream ended")?;
        let text = match message.map_err(|error| error.to_string())? {
            Message::Text(text) => text,
            Message::Ping(payload) => {
                stream.send(Message::Pong(payload)).await.map_err(|error| error.to_string())?;
                continue;
            }
            Message::Close(frame) => return Err(format!("closed: {frame:?}")),
            _ => continue,
        };
        oracle.findings.count_frame();
        let frame: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        let kind = frame["type"].as_str().unwrap_or_default();
        if let Some(now) = frame["sequence"].as_u64() {
            if kind != "snapshot" && (frame["previous"].as_u64() > sequence || Some(now) < sequence) {
                let previous = &frame["previous"];
                return Err(format!("a {kind} {now} after {previous} came after {sequence:?}"));
            }
            sequence = Some(now);
        }
        for new in frame["rows"].as_array().into_iter().flatten() {
            let market = new["market"].as_str().unwrap_or_default().to_owned();
            let row = rows.entry(market).or_insert_with(|| Value::Object(serde_json::Map::new()));
            for (member, value) in new.as_object().into_iter().flatten() {
                row[member] = value.clone();
            }
            if checks_rows {
                oracle.check(row, venue);
            }
        }
    }
}

/// Stops the clients; returns how many had already ended by themselves.
pub async fn stop_clients(clients: Vec<JoinHandle<()>>) -> usize {
    let lost = clients.iter().filter(|client| client.is_finished()).count();
    clients.iter().for_each(JoinHandle::abort);
    for client in clients {
        let _ = client.await;
    }
    lost
}

/// Checks all rows after the faults have ended.
pub async fn check_end(url: &str, boards: &[Board], oracle: &Oracle) {
    let http = client();
    for board in boards {
        for row in rows_of(&http, url, board.id).await {
            oracle.check(&row, board.id);
        }
    }
}

/// A browser with pages, which prints one line per problem.
pub struct Pages(Child);

pub fn start_pages(count: usize, url: &str) -> Pages {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");
    let mut node = Command::new("node");
    node.current_dir(folder).args(["soak.js", url, &count.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    Pages(node.spawn().expect("node is missing: run scripts/browser-env"))
}

/// Has the browser check a last time and exit; returns the number of problems it printed.
pub fn stop_pages(pages: Pages) -> usize {
    let Pages(mut child) = pages;
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(b"end\n");
    }
    let output = BufReader::new(child.stdout.take().unwrap());
    let lines: Vec<String> = output.lines().map_while(Result::ok).collect();
    let ended = child.wait().unwrap().success();
    lines.iter().for_each(|line| println!("pages: {line}"));
    lines.iter().filter(|line| line.starts_with("TROUBLE")).count() + usize::from(!ended)
}
