//! Measures the cost of one address that subscribes to as many distinct lists of markets as it can: 250
//! connections with 32 subscriptions each.
//!
//! `cargo run --release --example measure_groups -- target/release/sisepan` starts `demo`, and prints CPU, memory
//! and the response time of `/healthz`, before and after.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use rand::seq::SliceRandom as _;
use sisepan::clock::Clock;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

const CONNECTIONS: usize = 250;
const SUBSCRIPTIONS: usize = 32;

/// Interval between messages; a client may send five messages per second.
const MESSAGE_EVERY: Duration = Duration::from_millis(250);

/// Duration of one measurement.
const MEASURE: Duration = Duration::from_secs(10);

/// Clock ticks per second in `/proc/PID/stat`.
const TICKS: u64 = 100;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let program = std::env::args().nth(1).unwrap_or_else(|| "target/release/sisepan".to_owned());
    let mut command = Command::new(&program);
    command.args(["demo", "--listen", "127.0.0.1:0"]).env("RUST_LOG", "error").stdout(Stdio::piped());
    let mut server = Server(command.spawn().with_context(|| format!("starting {program}"))?, String::new());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().context("no output")?).read_line(&mut line)?;
    server.1 = line.trim().trim_start_matches("listening on http://").to_owned();
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.measure("idle").await?;

    let names = server.markets().await?;
    let mut clients = JoinSet::new();
    let mut lists = BTreeSet::new();
    for number in 0..CONNECTIONS {
        let mut subscriptions = Vec::new();
        while subscriptions.len() < SUBSCRIPTIONS {
            let mut list = names.clone();
            list.shuffle(&mut rand::rng());
            list.truncate(1 + subscriptions.len() % names.len());
            subscriptions.push(list);
        }
        lists.extend(subscriptions.iter().map(|list| list.iter().cloned().collect::<BTreeSet<_>>()));
        clients.spawn(client(server.1.clone(), number, subscriptions));
    }
    println!("{} subscriptions to {} different sets of markets", CONNECTIONS * SUBSCRIPTIONS, lists.len());
    tokio::time::sleep(MESSAGE_EVERY * u32::try_from(SUBSCRIPTIONS)? + Duration::from_secs(3)).await;
    server.measure("subscribed").await?;
    clients.abort_all();
    Ok(())
}

/// Subscribes to each list, and reads and discards all messages.
async fn client(address: String, number: usize, lists: Vec<Vec<String>>) -> anyhow::Result<()> {
    let (socket, _) = tokio_tungstenite::connect_async(format!("ws://{address}/api/v1/stream")).await?;
    let (mut sender, mut receiver) = socket.split();
    let sending = async {
        for (id, markets) in lists.iter().enumerate() {
            let interval = [0, 100, 250][(number + id) % 3];
            let request = serde_json::json!({"type":"subscribe","id":id,"markets":markets,"interval_ms":interval});
            sender.send(Message::text(request.to_string())).await?;
            tokio::time::sleep(MESSAGE_EVERY).await;
        }
        std::future::pending::<anyhow::Result<()>>().await
    };
    let reading = async {
        while receiver.next().await.transpose()?.is_some() {}
        anyhow::Ok(())
    };
    tokio::select! {
        sent = sending => sent,
        read = reading => read,
    }
}

struct Server(Child, String);

impl Server {
    async fn markets(&self) -> anyhow::Result<Vec<String>> {
        let text = reqwest::get(format!("http://{}/api/v1/snapshot", self.1)).await?.text().await?;
        let snapshot: serde_json::Value = serde_json::from_str(&text)?;
        let rows = snapshot["rows"].as_array().context("no rows")?;
        Ok(rows.iter().filter_map(|row| row["market"].as_str().map(str::to_owned)).collect())
    }

    async fn measure(&self, label: &str) -> anyhow::Result<()> {
        let clock = Clock::system();
        let (begin, before) = (clock.monotonic(), self.cpu()?);
        let since = |begin| clock.monotonic().saturating_sub(begin);
        let mut durations = Vec::new();
        while since(begin) < MEASURE {
            let start = clock.monotonic();
            reqwest::get(format!("http://{}/healthz", self.1)).await?.error_for_status()?;
            durations.push(since(start));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        durations.sort_unstable();
        let percent = self.cpu()?.saturating_sub(before) * 100 / (TICKS * since(begin).as_secs().max(1));
        let [median, worst] =
            [durations.len() / 2, durations.len() - 1].map(|at| durations.get(at).copied().unwrap_or_default());
        println!("{label}: {percent} % of a core, {} MiB, /healthz {median:.1?}, at most {worst:.1?}", self.memory()?);
        Ok(())
    }

    fn cpu(&self) -> anyhow::Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // The name in parentheses may contain spaces; user and system time are the 12th and 13th field after it.
        let (_, after) = stat.rsplit_once(')').context("stat has no name")?;
        let times = after.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        Ok(times.collect::<Result<Vec<_>, _>>()?.iter().sum())
    }

    fn memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
