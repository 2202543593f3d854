//! Measures the time from an exchange's message to the changed row: parse, apply, publish.
//!
//! One thread, no sockets. The rounds alternate between two frames with
//! different prices, so that every ticker changes the row. Prints the median
//! and the range of several runs for each exchange.
//! `cargo run --release --example measure_parse`.

#![allow(clippy::disallowed_methods)] // A measurement reads the clock directly.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sisepan::board::{BoardSettings, BoardSpec, Quotes};
use sisepan::feed::{Event, Via};
use sisepan::market::{Basis, Market, Now, SourceId, Ticker};
use sisepan::venue::{self, Incoming, Session, Venue};

/// Tickers per run.
const ROUNDS: u32 = 100_000;

/// Runs per exchange; the first one is discarded as warm-up.
const RUNS: usize = 8;

/// A recorded frame, and a replacement that turns it into a second one with another price.
struct Sample {
    venue: &'static str,
    market: (&'static str, &'static str),
    /// The frame that the connection must have received before, if it depends on one.
    before: Option<&'static str>,
    frame: &'static str,
    price: &'static str,
    second: &'static str,
}

const SAMPLES: [Sample; 6] = [
    Sample {
        venue: "upbit",
        market: ("ETH", "KRW"),
        before: None,
        frame: include_str!("../tests/fixtures/upbit/ws-ticker-snapshot-docs.json"),
        price: "\"trade_price\": 36929",
        second: "\"trade_price\": 36930",
    },
    Sample {
        venue: "bithumb",
        market: ("BTC", "KRW"),
        before: None,
        frame: include_str!("../tests/fixtures/bithumb/ws-ticker.json"),
        price: "\"trade_price\": 95299000",
        second: "\"trade_price\": 95300000",
    },
    Sample {
        venue: "binance",
        market: ("BTC", "USDT"),
        before: None,
        frame: include_str!("../tests/fixtures/binance/ws-ticker.json"),
        price: "\"c\":\"68004.12000000\"",
        second: "\"c\":\"68004.13000000\"",
    },
    Sample {
        venue: "bitfinex",
        market: ("BTC", "USD"),
        before: Some(include_str!("../tests/fixtures/bitfinex/ws-subscribed.json")),
        frame: include_str!("../tests/fixtures/bitfinex/ws-ticker.json"),
        price: "0.0039,7348.6",
        second: "0.0039,7348.7",
    },
    Sample {
        venue: "kucoin",
        market: ("BTC", "USDT"),
        before: None,
        frame: include_str!("../tests/fixtures/kucoin/ws-ticker.json"),
        price: "\"lastTradedPrice\":29920.1",
        second: "\"lastTradedPrice\":29920.2",
    },
    Sample {
        venue: "kraken",
        market: ("USDT", "USD"),
        before: None,
        frame: include_str!("../tests/fixtures/kraken/ws-ticker.json"),
        price: "\"last\":0.99981",
        second: "\"last\":0.99982",
    },
];

/// The time of a frame that is not dated.
const UNDATED: &str = "2026-01-15T06:27:00Z";

fn main() -> anyhow::Result<()> {
    let ids: Vec<&str> = venue::ALL.iter().map(|venue| venue.profile().id.as_str()).collect();
    println!("parse, apply and publish one ticker: {RUNS} runs of {ROUNDS}, ns each");
    println!("{:<10}{:>7}{:>14}{:>14}{:>20}", "venue", "bytes", "parse", "all three", "range");
    ensure!(SAMPLES.map(|sample| sample.venue) == *ids, "the samples are not those of all exchanges: {ids:?}");
    for sample in &SAMPLES {
        measure(sample).with_context(|| format!("measuring {}", sample.venue))?;
    }
    Ok(())
}

fn measure(sample: &Sample) -> anyhow::Result<()> {
    let venue = venue::find(sample.venue).context("there is no such venue")?;
    let market = Market::new(sample.market.0, sample.market.1)?;
    let second = sample.frame.replace(sample.price, sample.second);
    ensure!(second != sample.frame, "the frame has no {}", sample.price);
    let frames = [sample.frame.to_owned(), second];

    let (mut parsing, mut all) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let (parse_run, all_run) = (
            parse_only(&mut *session(venue, &market, sample.before)?, &frames)?,
            parse_apply_publish(venue, &mut *session(venue, &market, sample.before)?, &market, &frames)?,
        );
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

/// Returns the session of a connection that is subscribed to a market.
fn session(venue: &dyn Venue, market: &Market, before: Option<&str>) -> anyhow::Result<Box<dyn Session>> {
    let mut session = venue.session();
    session.subscribe(std::slice::from_ref(market), &[]);
    before.map(|frame| session.parse(frame)).transpose()?;
    Ok(session)
}

fn parse_only(session: &mut dyn Session, frames: &[String; 2]) -> anyhow::Result<u128> {
    let start = Instant::now();
    for round in 0..ROUNDS {
        let read = session.parse(black_box(&frames[usize::from(round % 2 == 1)]))?;
        black_box(read);
    }
    Ok(start.elapsed().as_nanos() / u128::from(ROUNDS))
}

fn parse_apply_publish(
    venue: &dyn Venue,
    session: &mut dyn Session,
    market: &Market,
    frames: &[String; 2],
) -> anyhow::Result<u128> {
    let id = venue.profile().id;
    let source = SourceId::new([id.as_str()]);
    let spec = BoardSpec { source, venues: vec![id], markets: vec![market.clone()], basis: Basis::ALL[0] };
    // The frames are old, so the wall clock is set to the time they were sent.
    let first = ticker(session, &frames[0])?;
    let wall = first.sent_at.or(first.traded_at).map_or_else(|| UNDATED.parse(), Ok)?;
    let mut now = Now { wall, monotonic: Duration::ZERO };
    let mut quotes = Quotes::new(&[spec], BoardSettings::default(), now);

    let mut changed = 0u32;
    let start = Instant::now();
    for round in 0..ROUNDS {
        now.monotonic += Duration::from_micros(1);
        let ticker = ticker(session, black_box(&frames[usize::from(round % 2 == 1)]))?;
        let via = Via::Stream { session: 1 };
        let event = Event::Ticker { venue: id, market: market.clone(), ticker, requested: now, received: now, via };
        quotes.apply(event, now);
        changed += u32::try_from(black_box(quotes.publish(now)).changed.len())?;
    }
    let each = start.elapsed().as_nanos() / u128::from(ROUNDS);
    ensure!(changed == ROUNDS, "{changed} of {ROUNDS} tickers changed the row");
    Ok(each)
}

fn ticker(session: &mut dyn Session, frame: &str) -> anyhow::Result<Ticker> {
    let Incoming::Tickers(records) = session.parse(frame)? else { anyhow::bail!("the frame holds no ticker") };
    let record = records.into_iter().next().context("the frame is empty")?;
    Ok(record.ticker?)
}
