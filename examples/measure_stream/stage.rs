//! The exchange, the servers set up for it, and what is done to them.

mod trouble;

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rust_decimal::Decimal;
use sisepan::fake::Fake;

use super::Options;
use super::crowd::{self, Crowd, Manner, Ticks};
use super::figures::{self, Pass};
use super::process::Process;

/// Any port of ours.
const ANYWHERE: &str = "127.0.0.1:0";

const VENUE: &str = "upbit";
const MARKET: &str = "BTC-KRW";

/// The stream of the one board, each change at once.
const STREAM: &str = "/api/v1/stream?board=one&interval_ms=0";

/// The stream as a widget of the reference board asks for it, but slow: a client that is nearly idle.
const BOARD_STREAM: &str = "/api/v1/stream?board=krw&lang=ko&interval_ms=5000";

/// The sides of a comparison; the second is the program.
const SIDES: [&str; 4] = ["floor", "sisepan", "textbook", "task"];

/// Prices begin here; the whole run stays within a few percent.
const PRICE: u64 = 140_000_000;

/// Ticks a second with few clients, and with a beat.
const RATE_MAX: usize = 110;

/// How long the first price may take.
const FIRST_MAX: Duration = Duration::from_secs(30);

/// How long a server takes to come to rest.
const SETTLE: Duration = Duration::from_millis(1500);

/// Longest wait for a server that is still filling its windows.
const REST_MAX: Duration = Duration::from_secs(60);

/// Growth within [`SETTLE`] that still counts as rest, in KiB.
const REST_GROWTH: u64 = 16;

/// How long the last frames of a pass may be on their way.
const DRAIN: Duration = Duration::from_millis(700);

/// See the module.
pub struct Stage {
    fake: Fake,
    program: String,
    settings: String,
    pinned: bool,
    ticks: Arc<Ticks>,
    next: usize,
}

/// A process that delivers.
struct Side {
    process: Process,
    path: String,
    /// What it is given, where it does not make its own.
    frame: Option<Vec<u8>>,
}

impl Stage {
    /// Nothing is started yet but the exchange.
    pub fn new(fake: Fake, options: &Options, pinned: bool) -> Self {
        let (program, settings) = (options.program.clone(), options.settings.clone());
        Self { fake, program, settings, pinned, ticks: Arc::new(Ticks::new(PRICE)), next: 0 }
    }

    /// Ends the exchange.
    pub async fn end(self) {
        self.fake.shutdown().await;
    }

    /// Measures the memory of servers: at the start, at rest, and with these numbers of clients.
    pub fn memory(&mut self, counts: &[usize]) -> anyhow::Result<()> {
        println!("\nmemory (PSS), KiB; sisepan serves the reference board");
        println!("{:>8}  {:<10}{:>10}   KiB for each client", "clients", "", "process");
        let frame = self.frame()?;
        for name in SIDES {
            let mut side = if name == "sisepan" {
                Side { process: self.start_server("", ANYWHERE)?, path: BOARD_STREAM.to_owned(), frame: None }
            } else {
                self.other(name, &frame)?
            };
            sleep(SETTLE);
            println!("{:>8}  {name:<10}{:>10}   just started", 0, side.process.pss_kib()?);
            let start = at_rest(&side.process)?;
            println!("{:>8}  {name:<10}{start:>10}   at rest", 0);
            let crowd = Crowd::new(side.process.address, &side.path, &self.ticks);
            let mut connected = 0;
            for &count in counts {
                let more = count.saturating_sub(connected);
                crowd.join(more, Manner::Good)?;
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

    /// Measures time and CPU against the floor.
    pub fn delivery(&mut self, options: &Options) -> anyhow::Result<()> {
        if options.clients.is_empty() {
            return Ok(());
        }
        let frame = self.frame()?;
        let mut sides = vec![self.other(SIDES[0], &frame)?, self.server(0)?];
        for name in &SIDES[2..] {
            sides.push(self.other(name, &frame)?);
        }
        println!("\ntime to the client and CPU, frames of {} bytes, beat 0", frame.len());
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
            figures::print(clients, count * clients, &SIDES, &passes);
            let floor = figures::median(passes.iter().filter_map(|pass| pass.first()).map(|pass| pass.cpu_ns));
            for &beat in &options.beats {
                self.beat(options, clients, beat, floor)?;
            }
        }
        Ok(())
    }

    /// Measures what a tick costs for each client if there is a beat; the floor writes every tick.
    fn beat(&mut self, options: &Options, clients: usize, beat: u64, floor_ns: u64) -> anyhow::Result<()> {
        let mut server = self.server(beat)?;
        let count = RATE_MAX * usize::try_from(options.seconds)?;
        let mut costs = Vec::new();
        for _ in 0..options.passes {
            let pass = self.pass(RATE_MAX, count, clients, &mut server)?;
            costs.push(pass.cpu_ns * u64::try_from(pass.messages)? / u64::try_from(count * clients)?);
        }
        let cost = figures::median(costs.into_iter());
        let name = format!("CPU of a tick, beat {beat}");
        println!(
            "{clients:>8}  {name:<20}{:<10}{cost:>10}{:>8}",
            "sisepan",
            figures::times(cost * 100 / floor_ns.max(1))
        );
        Ok(())
    }

    /// Lets clients join, ticks at an even pace, late ticks included, and returns what came of it.
    fn pass(&mut self, rate: usize, count: usize, clients: usize, side: &mut Side) -> anyhow::Result<Pass> {
        let crowd = Crowd::new(side.process.address, &side.path, &self.ticks);
        crowd.join(clients, Manner::Good)?;
        sleep(SETTLE);
        let before = side.process.cpu()?;
        sleep(Duration::from_secs(1));
        let rest = side.process.cpu()?.saturating_sub(before);
        let pass = self.ticked(rate, count, side, &crowd, rest)?;
        drop(crowd);
        sleep(SETTLE);
        if let Some(frame) = &side.frame {
            // The floor learns that they have left at the second frame.
            for _ in 0..2 {
                side.process.feed(frame)?;
                sleep(DRAIN);
            }
        }
        Ok(pass)
    }

    fn ticked(
        &mut self,
        rate: usize,
        count: usize,
        side: &mut Side,
        crowd: &Crowd,
        rest: Duration,
    ) -> anyhow::Result<Pass> {
        crowd.take();
        let (before, start) = (side.process.cpu()?, Instant::now());
        let gap = Duration::from_secs(1) / u32::try_from(rate)?;
        for n in 0..u32::try_from(count)? {
            sleep((gap * n).saturating_sub(start.elapsed()));
            self.tick(side)?;
        }
        sleep(DRAIN);
        let cpu = side.process.cpu()?.saturating_sub(before);
        let seen = crowd.take();
        Ok(Pass::new(seen.ages_us, seen.messages, cpu, rest))
    }

    /// Sets the next price: at the exchange, or for the others as the frame that the server would send.
    fn tick(&mut self, side: &mut Side) -> anyhow::Result<()> {
        self.next += 1;
        let price = self.ticks.set(self.next)?;
        let Some(frame) = &mut side.frame else {
            return self.fake.set_price(VENUE, MARKET, Decimal::from(price), true).map_err(anyhow::Error::msg);
        };
        let place = crowd::price_place(frame).context("the frame holds no price")?;
        frame.splice(place, price.to_string().bytes());
        side.process.feed(frame)
    }

    /// Returns a frame of the program that holds a price.
    fn frame(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut server = self.server(0)?;
        let crowd = Crowd::new(server.process.address, &server.path, &self.ticks);
        crowd.join(1, Manner::Good)?;
        sleep(SETTLE);
        crowd.take();
        self.tick(&mut server)?;
        sleep(SETTLE);
        let frame = crowd.take().frame;
        ensure!(!frame.is_empty(), "no frame came");
        Ok(frame)
    }

    /// Starts a server of one market that has seen a price.
    fn server(&mut self, beat: u64) -> anyhow::Result<Side> {
        let start = Instant::now();
        let mut side = self.open(beat, ANYWHERE)?;
        let crowd = Crowd::new(side.process.address, STREAM, &self.ticks);
        crowd.join(1, Manner::Good)?;
        while crowd.take().ages_us.is_empty() {
            ensure!(start.elapsed() < FIRST_MAX, "no price came within {FIRST_MAX:?}");
            self.tick(&mut side)?;
            sleep(Duration::from_millis(200));
        }
        drop(crowd);
        // What it fetches at its start is no part of delivery.
        at_rest(&side.process)?;
        Ok(side)
    }

    /// Starts a server of one market.
    fn open(&self, beat: u64, listen: &str) -> anyhow::Result<Side> {
        let board =
            format!("[[boards]]\nid = \"one\"\ntitle = \"One\"\nmarkets = [\"{MARKET}\"]\nsource = \"{VENUE}\"\n");
        let process = self.start_server(&board, listen)?;
        Ok(Side { process, path: format!("/api/v1/stream?board=one&interval_ms={beat}"), frame: None })
    }

    fn other(&self, name: &str, frame: &[u8]) -> anyhow::Result<Side> {
        let own = std::env::current_exe().context("finding this program")?;
        let own = own.to_str().context("the path of this program is not text")?;
        let process = Process::start(own, &["--serve", name], None, self.pinned)?;
        Ok(Side { process, path: "/".to_owned(), frame: Some(frame.to_vec()) })
    }

    /// Starts the program for this exchange.
    fn start_server(&self, board: &str, listen: &str) -> anyhow::Result<Process> {
        let mut config = format!("listen = \"{listen}\"\ndata = \"none\"\n{}\n{board}", self.settings);
        for venue in ["upbit", "bithumb", "binance"] {
            let (rest, stream) = (self.fake.rest_url(venue), self.fake.stream_url(venue));
            config += &format!("[venues.{venue}]\nrest = \"{rest}\"\nstream = \"{stream}\"\n");
        }
        Process::start(&self.program, &["--config", "/dev/stdin"], Some(&config), self.pinned)
    }
}

/// Waits until the memory has stopped growing, and returns it in KiB.
fn at_rest(process: &Process) -> anyhow::Result<u64> {
    let (start, mut before) = (Instant::now(), process.pss_kib()?);
    loop {
        sleep(SETTLE);
        let now = process.pss_kib()?;
        if now <= before + REST_GROWTH || start.elapsed() > REST_MAX {
            return Ok(now);
        }
        before = now;
    }
}
