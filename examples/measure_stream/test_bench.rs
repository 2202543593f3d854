//! The test bench: the exchange, the servers connected to it, and the measurements.

mod stress;

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use fake_exchanges::Fake;
use rust_decimal::Decimal;

use super::Options;
use super::crowd::{self, Behavior, Crowd, Ticks};
use super::figures::{self, Pass};
use super::process::Process;

/// A free port.
const FREE_PORT: &str = "127.0.0.1:0";

const VENUE: &str = "upbit";
const MARKET: &str = "BTC-KRW";

/// The stream of the only board, with every change sent at once.
const STREAM: &str = "/api/v1/stream?board=one&interval_ms=0";

/// The stream as requested by a widget of the default board, but at a long interval: a nearly idle client.
const BOARD_STREAM: &str = "/api/v1/stream?board=krw&lang=ko&interval_ms=5000";

/// The sides of the comparison; the second one is the program, and the last one is left out if it is not installed.
const SIDES: [&str; 5] = ["floor", "sisepan", "textbook", "task", "bun"];

/// The server that Bun runs.
const BUN_SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/measure_stream/bun.js");

/// First price; all prices of a run stay within a few percent of it.
const PRICE: u64 = 140_000_000;

/// Most ticks per second; used with few clients, and with an update interval.
const RATE_MAX: usize = 110;

/// Timeout for the first price.
const FIRST_PRICE_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for a server to settle.
const SETTLE: Duration = Duration::from_millis(1500);

/// Longest wait for a server whose memory is still growing while it fills its windows.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Memory growth within [`SETTLE`] that still counts as settled, in KiB.
const SETTLED_GROWTH_KIB: u64 = 16;

/// Time to let the last frames of a pass arrive.
const DRAIN: Duration = Duration::from_millis(700);

/// The test bench.
pub struct TestBench {
    fake: Fake,
    program: String,
    bun: Option<String>,
    settings: String,
    pinned: bool,
    ticks: Arc<Ticks>,
    next: usize,
}

/// A server process to measure.
struct Side {
    process: Process,
    path: String,
    /// The frame to feed it; `None` for the program, which encodes its own frames.
    frame: Option<Vec<u8>>,
}

impl TestBench {
    /// Creates a bench with only the exchange running.
    pub fn new(fake: Fake, options: &Options, pinned: bool) -> Self {
        let (program, bun, settings) = (options.program.clone(), options.bun.clone(), options.settings.clone());
        Self { fake, program, bun, settings, pinned, ticks: Arc::new(Ticks::new(PRICE)), next: 0 }
    }

    /// Returns the sides that can be measured.
    fn sides(&self) -> &'static [&'static str] {
        &SIDES[..SIDES.len() - usize::from(self.bun.is_none())]
    }

    /// Shuts the exchange down.
    pub async fn shut_down(self) {
        self.fake.shutdown().await;
    }

    /// Measures the memory of each server: at the start, when settled, and with these numbers of clients.
    pub fn measure_memory(&mut self, counts: &[usize]) -> anyhow::Result<()> {
        println!("\nmemory (PSS), KiB; sisepan serves the reference board");
        println!("{:>8}  {:<10}{:>10}   KiB for each client", "clients", "", "process");
        let frame = self.frame()?;
        for &name in self.sides() {
            let mut side = if name == "sisepan" {
                Side { process: self.start_server("", FREE_PORT)?, path: BOARD_STREAM.to_owned(), frame: None }
            } else {
                self.start_other(name, &frame)?
            };
            sleep(SETTLE);
            println!("{:>8}  {name:<10}{:>10}   just started", 0, side.process.pss_kib()?);
            let start = wait_until_settled(&side.process)?;
            println!("{:>8}  {name:<10}{start:>10}   at rest", 0);
            let crowd = Crowd::new(side.process.address, &side.path, &self.ticks);
            let mut connected = 0;
            for &count in counts {
                let more = count.saturating_sub(connected);
                crowd.join(more, Behavior::Good)?;
                connected += more;
                if let Some(frame) = &side.frame {
                    side.process.feed(frame)?;
                }
                sleep(SETTLE);
                let now = side.process.pss_kib()?;
                let each = now.saturating_sub(start) * 100 / u64::try_from(connected.max(1))?;
                println!("{connected:>8}  {name:<10}{now:>10}   {}", figures::times(each));
            }
            let ended = crowd.take().ended;
            ensure!(ended == 0, "{ended} clients were cut off");
        }
        Ok(())
    }

    /// Measures latency and CPU time in comparison with the floor.
    pub fn measure_delivery(&mut self, options: &Options) -> anyhow::Result<()> {
        if options.clients.is_empty() {
            return Ok(());
        }
        let frame = self.frame()?;
        let names = self.sides();
        let mut sides = vec![self.start_other(names[0], &frame)?, self.start_with_price(0)?];
        for name in &names[2..] {
            sides.push(self.start_other(name, &frame)?);
        }
        println!("\ntime to the client and CPU, frames of {} bytes, interval 0", frame.len());
        println!("{:>8}  {:<20}{:<10}{:>10}{:>8}   range", "clients", "median of the passes", "", "", "× floor");
        for &clients in &options.clients {
            let rate = (options.frames_per_second / clients.max(1)).clamp(1, RATE_MAX);
            let count = rate * usize::try_from(options.seconds)?;
            let mut passes = Vec::new();
            for _ in 0..options.passes {
                let pass: anyhow::Result<Vec<Pass>> =
                    sides.iter_mut().map(|side| self.pass(rate, count, clients, side)).collect();
                passes.push(pass?);
            }
            figures::print(clients, count * clients, names, &passes);
            let floor = figures::median(passes.iter().filter_map(|pass| pass.first()).map(|pass| pass.cpu_ns));
            for &interval_ms in &options.beats {
                self.measure_interval(options, clients, interval_ms, floor)?;
            }
        }
        Ok(())
    }

    /// Measures the CPU time per tick and client with an update interval; the floor writes every tick.
    fn measure_interval(
        &mut self,
        options: &Options,
        clients: usize,
        interval_ms: u64,
        floor_ns: u64,
    ) -> anyhow::Result<()> {
        let mut server = self.start_with_price(interval_ms)?;
        let count = RATE_MAX * usize::try_from(options.seconds)?;
        let mut costs = Vec::new();
        for _ in 0..options.passes {
            let pass = self.pass(RATE_MAX, count, clients, &mut server)?;
            costs.push(pass.cpu_ns * u64::try_from(pass.messages)? / u64::try_from(count * clients)?);
        }
        let cost = figures::median(costs.into_iter());
        let name = format!("CPU of a tick, {interval_ms} ms");
        println!(
            "{clients:>8}  {name:<20}{:<10}{cost:>10}{:>8}",
            "sisepan",
            figures::times(cost * 100 / floor_ns.max(1))
        );
        Ok(())
    }

    /// Connects clients, sets ticks at an even rate (late ticks are not dropped), and returns the results.
    fn pass(&mut self, rate: usize, count: usize, clients: usize, side: &mut Side) -> anyhow::Result<Pass> {
        let crowd = Crowd::new(side.process.address, &side.path, &self.ticks);
        crowd.join(clients, Behavior::Good)?;
        sleep(SETTLE);
        let before = side.process.cpu()?;
        sleep(Duration::from_secs(1));
        let rest = side.process.cpu()?.saturating_sub(before);
        let pass = self.run_ticks(rate, count, side, &crowd, rest)?;
        drop(crowd);
        sleep(SETTLE);
        if let Some(frame) = &side.frame {
            // The floor notices at the second frame that they have disconnected.
            for _ in 0..2 {
                side.process.feed(frame)?;
                sleep(DRAIN);
            }
        }
        Ok(pass)
    }

    fn run_ticks(
        &mut self,
        rate: usize,
        count: usize,
        side: &mut Side,
        crowd: &Crowd,
        rest: Duration,
    ) -> anyhow::Result<Pass> {
        crowd.take();
        let (before, start) = (side.process.cpu()?, Instant::now());
        let period = Duration::from_secs(1) / u32::try_from(rate)?;
        for n in 0..u32::try_from(count)? {
            sleep((period * n).saturating_sub(start.elapsed()));
            self.tick(side)?;
        }
        sleep(DRAIN);
        let cpu = side.process.cpu()?.saturating_sub(before);
        let seen = crowd.take();
        Ok(Pass::new(seen.ages_us, seen.messages, cpu, rest))
    }

    /// Sets the next price: at the exchange, or for the other servers in the frame that the program would send.
    fn tick(&mut self, side: &mut Side) -> anyhow::Result<()> {
        self.next += 1;
        let price = self.ticks.set(self.next)?;
        let Some(frame) = &mut side.frame else {
            return self.fake.set_price(VENUE, MARKET, Decimal::from(price), true).map_err(anyhow::Error::msg);
        };
        let range = crowd::price_range(frame).context("the frame holds no price")?;
        frame.splice(range, price.to_string().bytes());
        side.process.feed(frame)
    }

    /// Returns a frame sent by the program that contains a price.
    fn frame(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut server = self.start_with_price(0)?;
        let crowd = Crowd::new(server.process.address, &server.path, &self.ticks);
        crowd.join(1, Behavior::Good)?;
        sleep(SETTLE);
        crowd.take();
        self.tick(&mut server)?;
        sleep(SETTLE);
        let frame = crowd.take().frame;
        ensure!(!frame.is_empty(), "no frame was received");
        Ok(frame)
    }

    /// Starts the program with one market and waits until it has received a price.
    fn start_with_price(&mut self, interval_ms: u64) -> anyhow::Result<Side> {
        let start = Instant::now();
        let mut side = self.start_one_market(interval_ms, FREE_PORT)?;
        let crowd = Crowd::new(side.process.address, STREAM, &self.ticks);
        crowd.join(1, Behavior::Good)?;
        while crowd.take().ages_us.is_empty() {
            ensure!(start.elapsed() < FIRST_PRICE_TIMEOUT, "no price was received within {FIRST_PRICE_TIMEOUT:?}");
            self.tick(&mut side)?;
            sleep(Duration::from_millis(200));
        }
        drop(crowd);
        // Wait until it has fetched its history, which is not part of delivery.
        wait_until_settled(&side.process)?;
        Ok(side)
    }

    /// Starts the program with one market.
    fn start_one_market(&self, interval_ms: u64, listen: &str) -> anyhow::Result<Side> {
        let board =
            format!("[[boards]]\nid = \"one\"\ntitle = \"One\"\nmarkets = [\"{MARKET}\"]\nsource = \"{VENUE}\"\n");
        let process = self.start_server(&board, listen)?;
        Ok(Side { process, path: format!("/api/v1/stream?board=one&interval_ms={interval_ms}"), frame: None })
    }

    fn start_other(&self, name: &str, frame: &[u8]) -> anyhow::Result<Side> {
        let process = match self.bun.as_deref().filter(|_| name == "bun") {
            Some(bun) => Process::start(bun, &[BUN_SERVER], None, self.pinned)?,
            None => {
                let program = std::env::current_exe().context("finding this program")?;
                let program = program.to_str().context("the path of this program is not text")?;
                Process::start(program, &["--serve", name], None, self.pinned)?
            }
        };
        Ok(Side { process, path: "/".to_owned(), frame: Some(frame.to_vec()) })
    }

    /// Starts the program, configured for this exchange.
    fn start_server(&self, board: &str, listen: &str) -> anyhow::Result<Process> {
        let mut config = format!("listen = \"{listen}\"\ndata = \"none\"\n{}\n{board}", self.settings);
        for venue in ["upbit", "bithumb", "binance"] {
            let (rest, stream) = (self.fake.rest_url(venue), self.fake.stream_url(venue));
            config += &format!("[venues.{venue}]\nrest = \"{rest}\"\nstream = \"{stream}\"\n");
        }
        Process::start(&self.program, &["--config", "/dev/stdin"], Some(&config), self.pinned)
    }
}

/// Waits until the memory stops growing, and returns it in KiB.
fn wait_until_settled(process: &Process) -> anyhow::Result<u64> {
    let (start, mut before) = (Instant::now(), process.pss_kib()?);
    loop {
        sleep(SETTLE);
        let now = process.pss_kib()?;
        if now <= before + SETTLED_GROWTH_KIB || start.elapsed() > SETTLE_TIMEOUT {
            return Ok(now);
        }
        before = now;
    }
}
