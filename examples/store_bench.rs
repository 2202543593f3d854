//! Benchmark of the store: `cargo run --release --example store_bench`.
//!
//! Creates a store of 300 markets over 8 days and prints its size, the time to
//! write one minute of all markets, the time to restore everything at a start,
//! and the memory of the windows of 5,000 markets. Then starts the program
//! itself (run `cargo build --release` first) with that store and without any
//! reachable exchange, and prints the time until a client has all rows.

#![allow(clippy::unwrap_used, reason = "a failure must be visible")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use sisepan::clock::Clock;
use sisepan::feed::{FeedRecords, LastRecord};
use sisepan::market::{HourRecord, MINUTES_PER_HOUR, Market, Minute, Price, VenueId, Window};
use sisepan::store::{DATABASE_FILE, Store, StoreSettings};

const MARKETS: usize = 300;
const DAYS: i64 = 8;
/// Markets per board.
const BOARD: usize = 100;
const WINDOWS: usize = 5_000;
const VENUE: VenueId = VenueId("upbit");
const FLUSH_TIMEOUT: Duration = Duration::from_secs(600);

fn main() {
    let folder = std::env::temp_dir().join(format!("sisepan-store-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let markets: Vec<Market> =
        (0..MARKETS.max(WINDOWS)).map(|n| Market::new(&format!("C{n}"), "KRW").unwrap()).collect();
    let stopwatch = Clock::system();
    // End in the current hour, since a start restores only the last day.
    let end = HourRecord::hour_of(Minute::of(stopwatch.now()).plus(-20));
    let first = end.plus(-DAYS * 24 * MINUTES_PER_HOUR);
    let clock = Clock::manual(end.start());

    let (store, _) = Store::open(&folder, StoreSettings::default(), &[VENUE], clock.clone()).unwrap();
    let start = stopwatch.monotonic();
    for hour in (first.0..end.0).step_by(60).map(Minute) {
        store
            .save(markets[..MARKETS].iter().map(|market| records(market, hour, hour.plus(MINUTES_PER_HOUR))).collect());
        assert!(store.flush(FLUSH_TIMEOUT));
    }
    println!("filled: {MARKETS} markets x {DAYS} days in {:?}", stopwatch.monotonic() - start);

    let minutes = 20;
    let mut total = Duration::ZERO;
    for minute in (1..=minutes).map(|n| end.plus(n)) {
        clock.set_wall(minute.start());
        let batch = markets[..MARKETS].iter().map(|market| records(market, end, minute)).collect();
        let start = stopwatch.monotonic();
        store.save(batch);
        assert!(store.flush(FLUSH_TIMEOUT));
        total += stopwatch.monotonic() - start;
    }
    println!("a minute of all markets, synced: {:?}", total / u32::try_from(minutes).unwrap());
    store.close();
    let size = std::fs::metadata(folder.join(DATABASE_FILE)).unwrap().len();
    println!(
        "file: {} MiB, {} bytes a market and minute",
        size >> 20,
        size / (MARKETS as u64 * (DAYS * 24 * 60) as u64)
    );

    let start = stopwatch.monotonic();
    let (store, restored) = Store::open(&folder, StoreSettings::default(), &[VENUE], clock.clone()).unwrap();
    let read = stopwatch.monotonic() - start;
    let windows: Vec<Window> = restored.feeds.iter().map(window).collect();
    let hours: usize = restored.feeds.iter().map(|feed| feed.hours.len()).sum();
    println!(
        "start to restored: {:?} ({read:?} of it reading), {} windows from {hours} hours",
        stopwatch.monotonic() - start,
        windows.len()
    );
    let start = stopwatch.monotonic();
    let history = store.history().hours(VENUE, &markets[7], first..end).unwrap();
    println!("8 days of one market read: {} hours in {:?}", history.len(), stopwatch.monotonic() - start);
    store.close();
    drop((windows, restored, history));

    serve(&folder, &markets[..MARKETS], &stopwatch);

    let before = resident();
    let windows: Vec<Window> = markets[..WINDOWS]
        .iter()
        .map(|market| {
            let mut window = Window::default();
            let hours: Vec<_> = (0..25).map(|n| hour(market, end.plus((n - 25) * MINUTES_PER_HOUR), end)).collect();
            window.restore(&hours);
            window
        })
        .collect();
    println!("{} windows of 25 h, a trade in each minute: {} MiB", windows.len(), (resident() - before) >> 10);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Starts the program three times, and prints the time from start to listening and to all rows served.
fn serve(folder: &Path, markets: &[Market], stopwatch: &Clock) {
    let program = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("sisepan");
    if !program.exists() {
        return println!("start to serving: not measured, {} is not there", program.display());
    }
    let config = folder.join("sisepan.toml");
    let boards = markets.chunks(BOARD).enumerate().map(|(at, markets)| {
        let names: Vec<&str> = markets.iter().map(Market::as_str).collect();
        format!("[[boards]]\nid = \"b{at}\"\nmarkets = {names:?}\nsource = \"upbit\"\n")
    });
    let text = format!(
        "data = {:?}\n{}[venues.upbit]\nrest = \"http://127.0.0.1:9\"\nstream = \"ws://127.0.0.1:9/\"\n",
        folder.display().to_string(),
        boards.collect::<String>()
    );
    std::fs::write(&config, text).unwrap();
    for _ in 0..3 {
        let start = stopwatch.monotonic();
        let mut child = Command::new(&program)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&config)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap();
        let listening = stopwatch.monotonic() - start;
        let mut stale = 0;
        for board in 0..markets.len().div_ceil(BOARD) {
            let mut connection = TcpStream::connect(address).unwrap();
            write!(connection, "GET /api/v1/snapshot?board=b{board} HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
            let mut response = String::new();
            connection.read_to_string(&mut response).unwrap();
            stale += response.matches("\"state\":\"stale\"").count();
        }
        let served = stopwatch.monotonic() - start;
        println!("start to serving: {served:?} ({listening:?} to listening), {stale} stale rows of {}", markets.len());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn window(feed: &FeedRecords) -> Window {
    let mut window = Window::default();
    window.restore(&feed.hours);
    window
}

fn records(market: &Market, start: Minute, until: Minute) -> FeedRecords {
    let (at, price) = trade(market, until.plus(-1));
    let last = LastRecord {
        last: price,
        venue_time: Some(at),
        trade_id: Some(17_000_000_000),
        received_at: at,
        confirmed_at: at,
        confirmed_venue_time: Some(at),
        sent_places: 2,
        high_24h: Some(price),
        low_24h: Some(price),
        base_volume_24h: Some(Decimal::new(123_456_789, 8)),
        quote_volume_24h: Some(Decimal::new(123_456_789, 2)),
    };
    FeedRecords {
        venue: VENUE,
        market: market.clone(),
        last: Some(last),
        listing: None,
        hours: vec![hour(market, start, until)],
        reset: false,
    }
}

fn hour(market: &Market, hour: Minute, until: Minute) -> HourRecord {
    let minutes: Vec<Minute> = (0..MINUTES_PER_HOUR).map(|n| hour.plus(n)).filter(|minute| *minute < until).collect();
    let covered = minutes.iter().fold(0u64, |bits, minute| bits | 1 << (minute.0 - hour.0));
    let closes = minutes.iter().map(|&minute| (minute, minute.start(), trade(market, minute).1)).collect();
    let before = hour.plus(-1);
    HourRecord { hour, closes, covered, settled: covered, close_before: Some((before, trade(market, before).1)) }
}

fn trade(market: &Market, minute: Minute) -> (Timestamp, Price) {
    let letters: i64 = market.as_str().bytes().map(i64::from).sum();
    let price = Decimal::new(142_000_000 + (letters * minute.0) % 999_983, 2);
    (minute.start() + SignedDuration::from_millis(17_345), Price::new(price).unwrap())
}

/// Returns the resident memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
