//! How long one ticker takes from an exchange's text to the changed row: parse, apply, publish.
//!
//! One thread, no socket. Each round takes two frames in turn whose prices
//! differ, so that every ticker makes a changed row. Prints the median and the
//! range of several runs for each exchange. `cargo run --release --example measure_parse`.

#![allow(clippy::disallowed_methods)] // A measurement reads the clock itself.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sisepan::board::{Quotes, Settings, Wanted};
use sisepan::domain::{Basis, Event, Market, Now, SourceId, Ticker, Via};
use sisepan::venue::{self, Incoming, Venue};

/// Tickers of one run.
const ROUNDS: u32 = 100_000;

/// Runs of each exchange; the first is not counted.
const RUNS: usize = 8;

/// A recorded frame, and what makes a second one of it.
struct Sample {
    venue: &'static str,
    market: (&'static str, &'static str),
    frame: &'static str,
    price: &'static str,
    other: &'static str,
}

const SAMPLES: [Sample; 3] = [
    Sample {
        venue: "upbit",
        market: ("ETH", "KRW"),
        frame: include_str!("../tests/fixtures/upbit/ws-ticker-snapshot-docs.json"),
        price: "\"trade_price\": 36929",
        other: "\"trade_price\": 36930",
    },
    Sample {
        venue: "bithumb",
        market: ("BTC", "KRW"),
        frame: include_str!("../tests/fixtures/bithumb/ws-ticker.json"),
        price: "\"trade_price\": 95299000",
        other: "\"trade_price\": 95300000",
    },
    Sample {
        venue: "binance",
        market: ("BTC", "USDT"),
        frame: include_str!("../tests/fixtures/binance/ws-ticker.json"),
        price: "\"c\":\"68004.12000000\"",
        other: "\"c\":\"68004.13000000\"",
    },
];

fn main() -> anyhow::Result<()> {
    println!("parse, apply and publish one ticker: {RUNS} runs of {ROUNDS}, ns each");
    println!("{:<10}{:>7}{:>14}{:>14}{:>20}", "venue", "bytes", "parse", "all three", "range");
    for sample in &SAMPLES {
        measure(sample).with_context(|| format!("measuring {}", sample.venue))?;
    }
    Ok(())
}

fn measure(sample: &Sample) -> anyhow::Result<()> {
    let venue = venue::find(sample.venue).context("there is no such venue")?;
    let market = Market::new(sample.market.0, sample.market.1)?;
    let other = sample.frame.replace(sample.price, sample.other);
    ensure!(other != sample.frame, "the frame has no {}", sample.price);
    let frames = [sample.frame.to_owned(), other];

    let (mut parsing, mut all) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let (parse_run, all_run) = (parse_only(venue, &frames)?, whole(venue, &market, &frames)?);
        if run > 0 {
            parsing.push(parse_run);
            all.push(all_run);
        }
    }
    parsing.sort_unstable();
    all.sort_unstable();
    let range = format!("{} to {}", all[0], all[all.len() - 1]);
    let (parse, all) = (parsing[parsing.len() / 2], all[all.len() / 2]);
    println!("{:<10}{:>7}{parse:>14}{all:>14}{range:>20}", sample.venue, sample.frame.len());
    Ok(())
}

fn parse_only(venue: &dyn Venue, frames: &[String; 2]) -> anyhow::Result<u128> {
    let start = Instant::now();
    for round in 0..ROUNDS {
        let read = venue.parse(black_box(&frames[usize::from(round % 2 == 1)]))?;
        black_box(read);
    }
    Ok(start.elapsed().as_nanos() / u128::from(ROUNDS))
}

fn whole(venue: &dyn Venue, market: &Market, frames: &[String; 2]) -> anyhow::Result<u128> {
    let id = venue.profile().id;
    let source = SourceId::new([id.as_str()]);
    let wanted = Wanted { source, venues: vec![id], markets: vec![market.clone()], basis: Basis::ALL[0] };
    // The frames are old: the present is when they were sent.
    let first = ticker(venue, &frames[0])?;
    let wall = first.sent_at.or(first.traded_at).context("the frame is not dated")?;
    let mut now = Now { wall, monotonic: Duration::ZERO };
    let mut quotes = Quotes::new(&[wanted], Settings::default(), now);

    let mut changed = 0u32;
    let start = Instant::now();
    for round in 0..ROUNDS {
        now.monotonic += Duration::from_micros(1);
        let ticker = ticker(venue, black_box(&frames[usize::from(round % 2 == 1)]))?;
        let via = Via::Stream { session: 1 };
        let event = Event::Ticker { venue: id, market: market.clone(), ticker, asked: now, received: now, via };
        quotes.apply(event, now);
        changed += u32::try_from(black_box(quotes.publish(now)).changed.len())?;
    }
    let each = start.elapsed().as_nanos() / u128::from(ROUNDS);
    ensure!(changed == ROUNDS, "{changed} of {ROUNDS} tickers changed the row");
    Ok(each)
}

fn ticker(venue: &dyn Venue, frame: &str) -> anyhow::Result<Ticker> {
    let Incoming::Tickers(records) = venue.parse(frame)? else { anyhow::bail!("the frame holds no ticker") };
    let record = records.into_iter().next().context("the frame is empty")?;
    Ok(record.ticker?)
}
