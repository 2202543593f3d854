//! Soak test: the real program with three constantly failing exchanges and many clients.
//!
//! ```sh
//! cargo build --release && cargo run --release --example soak -- --minutes 30
//! ```
//!
//! Every ten seconds a random fault of the fake exchanges affects a market or an exchange. Meanwhile stream
//! clients, browser pages and an API poller check everything that they receive:
//!
//! - a price shown as live was the exchange's price within the last seconds;
//! - a row without a price or a change has a reason in `/api/v1/venues` as soon as it lacks it;
//! - a market with a confirmed base keeps its change while its exchange works;
//! - the process neither grows in memory nor loses clients.
//!
//! Prints a summary and exits with 1 if anything was wrong. The pages need `scripts/browser-env`; `--pages 0` runs
//! without them.

#![allow(clippy::unwrap_used, reason = "a failure must be visible")]

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
use fake_exchanges::{self as fake, Fake, Options};
use rand::SeedableRng as _;
use rand_pcg::Pcg64;
use sisepan::clock::Clock;

use faults::FaultInjector;
use memory::Memory;
use oracle::{Findings, Oracle};

/// Markets on the board of each exchange.
const MARKETS_PER_VENUE: usize = 20;

/// Timeout for all rows to become live, at the start and at the end.
const SETTLE: Duration = Duration::from_secs(120);

#[derive(Parser)]
struct Arguments {
    /// Duration in minutes, without start and end.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Number of stream clients.
    #[arg(long, default_value_t = 500)]
    clients: usize,
    /// Number of browser pages.
    #[arg(long, default_value_t = 5)]
    pages: usize,
    /// Interval between faults, in seconds.
    #[arg(long, default_value_t = 10)]
    every: u64,
    /// Seed of prices and faults, to repeat a run.
    #[arg(long)]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let clock = Clock::system();
    let fake = Arc::new(fake::start(Options { seed, enforces_limits: false, ..Options::default() }).await.unwrap());
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
    readers::wait_until_live(&program.url, &boards, SETTLE).await;
    println!("every row is live with a change");

    let clients = readers::start_clients(arguments.clients, &program.url, &boards, &oracle);
    let watcher = tokio::spawn(readers::watch_api(program.url.clone(), boards.clone(), oracle.clone()));
    let pages = (arguments.pages > 0).then(|| readers::start_pages(arguments.pages, &program.url));
    let mut injector = FaultInjector::new(fake.clone(), oracle.clone(), Pcg64::seed_from_u64(seed));
    let mut memory = Memory::new(program.child.id());
    let end = clock.monotonic() + Duration::from_secs(arguments.minutes * 60);
    let (mut next_fault, mut next_line) = (clock.monotonic(), clock.monotonic());
    while clock.monotonic() < end {
        if clock.monotonic() >= next_fault {
            injector.inject();
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
    injector.clear();
    readers::wait_until_live(&program.url, &boards, SETTLE).await;
    println!("no more faults: every row is live with a change again");
    readers::check_end(&program.url, &boards, &oracle).await;
    watcher.abort();
    let lost = readers::stop_clients(clients).await;
    let page_problems = match pages {
        Some(pages) => readers::stop_pages(pages),
        None => 0,
    };
    let status = program.end();
    let _ = std::fs::remove_dir_all(&folder);

    println!("faults: {}", injector.summary());
    println!("readers: {}; {lost} clients ended early, {page_problems} page problems", findings.line());
    println!("memory: {memory}");
    for finding in findings.list() {
        println!("WRONG: {finding}");
    }
    let wrong = findings.count() + u64::from(lost > 0) + u64::from(page_problems > 0) + u64::from(!status);
    println!("{}", if wrong == 0 { "passed" } else { "failed" });
    std::process::exit(i32::from(wrong > 0));
}

/// The board of one exchange.
#[derive(Debug, Clone)]
pub struct Board {
    /// Id of the board and of the exchange.
    pub id: &'static str,
    /// Its markets.
    pub markets: Vec<String>,
}

fn boards() -> Vec<Board> {
    let of = |id: &'static str| {
        let coins = fake::assets::ALL.iter().filter(|coin| id != "binance" || coin.usdt_price > 0);
        let quote = if id == "binance" { "USDT" } else { "KRW" };
        let markets = coins.take(MARKETS_PER_VENUE).map(|coin| format!("{}-{quote}", coin.id)).collect();
        Board { id, markets }
    };
    fake::venues::ids().map(of).collect()
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
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("unexpected first line {line:?}"))
            .to_owned();
        Self { child, url }
    }

    /// Stops it with SIGTERM, and returns whether it exited successfully.
    fn end(mut self) -> bool {
        let id = self.child.id().to_string();
        let signalled = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        signalled.success() && self.child.wait().unwrap().success()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the path of the program: in the parent of this example's directory.
fn program_path() -> PathBuf {
    let example = std::env::current_exe().unwrap();
    example.parent().and_then(std::path::Path::parent).unwrap().join("sisepan")
}
