//! The exchange, the server set up for it, and what is done to them.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rust_decimal::Decimal;
use sisepan::fake::Fake;

use super::Options;
use super::crowd::{self, Crowd, Ticks};
use super::figures::{self, Pass};
use super::process::Process;

const VENUE: &str = "upbit";
const MARKET: &str = "BTC-KRW";

/// The stream of the one board, each change at once.
const STREAM: &str = "/api/v1/stream?board=one&interval_ms=0";

/// The stream as a widget of the reference board asks for it, but slow: a client that is nearly idle.
const BOARD_STREAM: &str = "/api/v1/stream?board=krw&lang=ko&interval_ms=5000";

/// Prices begin here; the whole run stays within a few percent.
const PRICE: u64 = 140_000_000;

/// Ticks a second with few clients.
const RATE_MAX: usize = 200;

/// Frames a second with many: well below what either could write, on a machine that has other work too.
const FRAMES_PER_SECOND_MAX: usize = 10_000;

/// How long the first price may take.
const FIRST_MAX: Duration = Duration::from_secs(30);

/// How long a server takes to come to rest.
const SETTLE: Duration = Duration::from_secs(2);

/// Longest wait for a server that is still filling its windows.
const REST_MAX: Duration = Duration::from_secs(60);

/// Growth within [`SETTLE`] that still counts as rest, in KiB.
const REST_GROWTH: u64 = 16;

/// How long the last frames of a pass may be on their way.
const DRAIN: Duration = Duration::from_millis(500);

/// See the module.
pub struct Stage {
    fake: Fake,
    program: String,
    pinned: bool,
    ticks: Arc<Ticks>,
    next: usize,
}

/// A process that delivers, and its clients.
struct Side {
    process: Process,
    crowd: Crowd,
    /// What the floor is given; the server makes its own.
    frame: Option<Vec<u8>>,
}

impl Stage {
    /// Nothing is started yet but the exchange.
    pub fn new(fake: Fake, program: String, pinned: bool) -> Self {
        Self { fake, program, pinned, ticks: Arc::new(Ticks::new(PRICE)), next: 0 }
    }

    /// Ends the exchange.
    pub async fn end(self) {
        self.fake.shutdown().await;
    }

    /// Measures the memory of the reference board's server: at the start, at rest, and with these numbers of clients.
    pub fn memory(&mut self, counts: &[usize]) -> anyhow::Result<()> {
        println!("\nmemory (PSS), KiB, of the reference board\n{:>8}{:>10}", "clients", "process");
        let process = self.start_server("")?;
        sleep(SETTLE);
        println!("{:>8}{:>10}   just started", 0, process.pss_kib()?);
        let start = at_rest(&process)?;
        println!("{:>8}{start:>10}   at rest", 0);
        let crowd = Crowd::new(process.address, BOARD_STREAM, &self.ticks);
        let mut connected = 0;
        for &count in counts {
            let more = count.saturating_sub(connected);
            crowd.join(more)?;
            connected += more;
            sleep(SETTLE);
            let now = process.pss_kib()?;
            let each = now.saturating_sub(start) * 100 / u64::try_from(connected.max(1))?;
            println!("{connected:>8}{now:>10}   {}.{:02} for each client", each / 100, each % 100);
        }
        let ended = crowd.take().ended;
        ensure!(ended == 0, "{ended} clients were cut off");
        Ok(())
    }

    /// Measures time and CPU against the floor.
    pub fn delivery(&mut self, options: &Options) -> anyhow::Result<()> {
        let mut server = self.server()?;
        self.tick(&mut server)?;
        sleep(SETTLE);
        let mut floor = self.floor(server.crowd.take().frame)?;
        println!("\ntime to the client and CPU, frames of {} bytes", floor.frame.as_ref().map_or(0, Vec::len));
        println!(
            "{:>8}  {:<22}{:>10}{:>10}{:>8}   range",
            "clients", "median of the passes", "server", "floor", "ratio"
        );
        let mut connected = 1;
        for &clients in &options.clients {
            let more = clients.saturating_sub(connected);
            server.crowd.join(more)?;
            floor.crowd.join(more)?;
            connected += more;
            sleep(SETTLE);
            let rate = (FRAMES_PER_SECOND_MAX / connected).clamp(1, RATE_MAX);
            let count = rate * usize::try_from(options.seconds)?;
            let mut passes = Vec::new();
            for _ in 0..options.passes {
                passes.push((self.pass(rate, count, &mut server)?, self.pass(rate, count, &mut floor)?));
            }
            figures::print(connected, count * connected, &passes);
        }
        Ok(())
    }

    /// Ticks at an even pace, late ticks included, and returns what came of it.
    fn pass(&mut self, rate: usize, count: usize, side: &mut Side) -> anyhow::Result<Pass> {
        side.crowd.take();
        let (before, start) = (side.process.cpu()?, Instant::now());
        let gap = Duration::from_secs(1) / u32::try_from(rate)?;
        for n in 0..u32::try_from(count)? {
            sleep((gap * n).saturating_sub(start.elapsed()));
            self.tick(side)?;
        }
        sleep(DRAIN);
        let cpu = side.process.cpu()?.saturating_sub(before);
        let seen = side.crowd.take();
        ensure!(seen.ended == 0, "{} clients were cut off", seen.ended);
        Ok(Pass::new(seen.ages_us, cpu))
    }

    /// Sets the next price: at the exchange, or for the floor as the frame that the server would send.
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

    /// Starts a server of one market with one client that has seen a price.
    fn server(&mut self) -> anyhow::Result<Side> {
        let board =
            format!("[[boards]]\nid = \"one\"\ntitle = \"One\"\nmarkets = [\"{MARKET}\"]\nsource = \"{VENUE}\"\n");
        let process = self.start_server(&board)?;
        let start = Instant::now();
        let crowd = Crowd::new(process.address, STREAM, &self.ticks);
        let mut side = Side { process, crowd, frame: None };
        side.crowd.join(1)?;
        while side.crowd.take().ages_us.is_empty() {
            ensure!(start.elapsed() < FIRST_MAX, "no price came within {FIRST_MAX:?}");
            self.tick(&mut side)?;
            sleep(Duration::from_millis(200));
        }
        sleep(SETTLE);
        Ok(side)
    }

    fn floor(&self, frame: Vec<u8>) -> anyhow::Result<Side> {
        let own = std::env::current_exe().context("finding this program")?;
        let own = own.to_str().context("the path of this program is not text")?;
        let process = Process::start(own, &["--floor"], None, self.pinned)?;
        let crowd = Crowd::new(process.address, "/", &self.ticks);
        crowd.join(1)?;
        Ok(Side { process, crowd, frame: Some(frame) })
    }

    /// Starts the server for this exchange.
    fn start_server(&self, board: &str) -> anyhow::Result<Process> {
        let mut config = "listen = \"127.0.0.1:0\"\n".to_owned() + board;
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
