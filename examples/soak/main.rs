//! Hours in minutes: the real program, three exchanges that misbehave all the time, and many readers.
//!
//! ```sh
//! cargo build --release && cargo run --release --example soak -- --minutes 30
//! ```
//!
//! Every ten seconds another fault of all that the fake exchanges know strikes one market, one exchange or all of them. Meanwhile
//! clients of the stream, browser pages and a poller of the API check everything that they are shown:
//!
//! - a price shown as live is one that the exchange had within the last seconds;
//! - a row without a price or without a change has a reason in `/api/v1/venues`, as soon as it lacks it;
//! - a market whose base was confirmed keeps its change while its exchange is well;
//! - the process neither grows nor loses clients.
//!
//! It prints what it has seen and ends with 1 if anything was wrong. Pages need `scripts/browser-env` to have run; `--pages 0` does
//! without them.

#![allow(clippy::unwrap_used, reason = "a failure is to be seen")]

mod faults;
mod memory;
mod oracle;
mod readers;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use rand::SeedableRng as _;
use rand_pcg::Pcg64;
use sisepan::clock::Clock;
use sisepan::fake::{self, Fake, Options};

use faults::Storm;
use memory::Memory;
use oracle::{Findings, Oracle};

/// Markets of each exchange's board.
const MARKETS_PER_VENUE: usize = 20;

/// How long everything has to become live, at the start and at the end.
const SETTLE: Duration = Duration::from_secs(120);

#[derive(Parser)]
struct Arguments {
    /// How long, in minutes, the start and the end aside.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Clients of the stream.
    #[arg(long, default_value_t = 500)]
    clients: usize,
    /// Pages in a browser.
    #[arg(long, default_value_t = 5)]
    pages: usize,
    /// Seconds between two faults.
    #[arg(long, default_value_t = 10)]
    every: u64,
    /// Replays the order of the faults.
    #[arg(long)]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let clock = Clock::system();
    let fake = Arc::new(fake::start(Options { seed, limits: false, ..Options::default() }).await.unwrap());
    let folder = std::env::temp_dir().join(format!("sisepan-soak-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let boards = boards();
    let config = folder.join("sisepan.toml");
    std::fs::write(&config, configuration(&fake, &boards, &folder)).unwrap();
    let program = Program::start(&config);
    println!(
        "{} markets of {} exchanges on {}",
        boards.iter().map(|b| b.markets.len()).sum::<usize>(),
        boards.len(),
        program.url
    );

    let findings = Arc::new(Findings::default());
    let oracle = Arc::new(Oracle::new(fake.clone(), clock.clone(), findings.clone()));
    readers::until_whole(&program.url, &boards, SETTLE).await;
    println!("every row is live with a change");

    let clients = readers::start_clients(arguments.clients, &program.url, &boards, &oracle);
    let watcher = tokio::spawn(readers::watch_api(program.url.clone(), boards.clone(), oracle.clone()));
    let pages = (arguments.pages > 0).then(|| readers::start_pages(arguments.pages, &program.url));
    let mut storm = Storm::new(fake.clone(), oracle.clone(), Pcg64::seed_from_u64(seed));
    let mut memory = Memory::new(program.child.id());
    let end = clock.monotonic() + Duration::from_secs(arguments.minutes * 60);
    let (mut next_fault, mut next_line) = (clock.monotonic(), clock.monotonic());
    while clock.monotonic() < end {
        if clock.monotonic() >= next_fault {
            storm.strike();
            next_fault += Duration::from_secs(arguments.every);
        }
        memory.sample(clock.monotonic());
        if clock.monotonic() >= next_line {
            println!(
                "{:>5} s  {}  {memory}",
                (arguments.minutes * 60).saturating_sub((end - clock.monotonic()).as_secs()),
                findings.line()
            );
            next_line += Duration::from_secs(60);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    storm.calm();
    readers::until_whole(&program.url, &boards, SETTLE).await;
    println!("the storm is over: every row is live with a change again");
    readers::check_end(&program.url, &boards, &oracle).await;
    watcher.abort();
    let lost = readers::stop_clients(clients).await;
    let troubles = match pages {
        Some(pages) => readers::stop_pages(pages),
        None => 0,
    };
    let status = program.end();
    let _ = std::fs::remove_dir_all(&folder);

    println!("faults: {}", storm.summary());
    println!("readers: {}; {lost} clients ended before we did, {troubles} troubles of pages", findings.line());
    println!("memory: {memory}");
    for finding in findings.list() {
        println!("WRONG: {finding}");
    }
    let wrong = findings.count() + u64::from(lost > 0) + u64::from(troubles > 0) + u64::from(!status);
    println!("{}", if wrong == 0 { "nothing was wrong" } else { "something was wrong" });
    std::process::exit(i32::from(wrong > 0));
}

/// One exchange's board.
#[derive(Debug, Clone)]
pub struct Board {
    /// Its id, and the exchange's.
    pub id: &'static str,
    /// Its markets.
    pub markets: Vec<String>,
}

fn boards() -> Vec<Board> {
    let of = |&id: &&'static str| {
        let coins = fake::coins::ALL.iter().filter(|coin| id != "binance" || coin.usdt > 0);
        let quote = if id == "binance" { "USDT" } else { "KRW" };
        let markets = coins.take(MARKETS_PER_VENUE).map(|coin| format!("{}-{quote}", coin.id)).collect();
        Board { id, markets }
    };
    fake::coins::VENUES.iter().map(of).collect()
}

fn configuration(fake: &Fake, boards: &[Board], folder: &std::path::Path) -> String {
    let mut text =
        format!("data = {:?}\n[limits]\nconnections_per_ipv4 = 4096\n", folder.join("data").display().to_string());
    for Board { id, markets } in boards {
        let (rest, stream) = (fake.rest_url(id), fake.stream_url(id));
        text += &format!("[venues.{id}]\nrest = {rest:?}\nstream = {stream:?}\n");
        text += &format!("[[boards]]\nid = {id:?}\nmarkets = {markets:?}\nsource = {id:?}\n");
    }
    text
}

/// The program under test.
struct Program {
    child: Child,
    url: String,
}

impl Program {
    fn start(config: &std::path::Path) -> Self {
        let path = program_path();
        let mut child = Command::new(&path)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(config)
            .env("RUST_LOG", "off")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}: run `cargo build --release` first", path.display()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("it said {line:?}")).to_owned();
        Self { child, url }
    }

    /// Ends it, and returns whether it ended well.
    fn end(mut self) -> bool {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        asked.success() && self.child.wait().unwrap().success()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Beside this example's own directory.
fn program_path() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().and_then(std::path::Path::parent).unwrap().join("sisepan")
}
