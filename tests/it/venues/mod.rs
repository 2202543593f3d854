//! Every recorded payload, and what the whole of it must read as.
//!
//! A result is written down as one line a record: the symbol, then each figure
//! that is there, digit for digit as sent, times in Unix milliseconds. A figure
//! that is not named is absent.

mod asks;
mod binance;
mod bithumb;
mod candles;
mod changes;
mod notices;
mod odd;
mod upbit;

use std::collections::BTreeSet;
use std::path::PathBuf;

use sisepan::domain::{Candle, Listing, Market, Minute, Ticker};
use sisepan::venue::{self, Answer, Ask, Incoming, Record, RejectedListing, Rejection, Venue};

/// How a payload came to us.
enum By {
    /// As a frame of the stream.
    Frame,
    /// As the answer about these markets.
    Tickers(&'static str),
    /// As the answer about a market's candles before a minute of Unix seconds.
    Candles(&'static str, i64),
    /// As the answer about all markets.
    Markets,
    /// It is what we send for these markets.
    Sent(&'static str),
}

struct Expected {
    file: &'static str,
    by: By,
    reads: &'static str,
}

/// What we expect of a file.
const fn expect(file: &'static str, by: By, reads: &'static str) -> Expected {
    Expected { file, by, reads }
}

fn folders() -> [(&'static str, &'static [Expected]); 3] {
    [("upbit", upbit::EXPECTED), ("bithumb", bithumb::EXPECTED), ("binance", binance::EXPECTED)]
}

#[test]
fn every_recorded_payload_reads_as_recorded() {
    for (id, expected) in folders() {
        let venue = venue::find(id).unwrap();
        for Expected { file, by, reads } in expected {
            let body = fixture(id, file);
            let found = match by {
                By::Frame => frame(venue, &body),
                By::Tickers(symbols) => answer(venue, &Ask::Tickers(&markets(symbols)), &body),
                By::Candles(symbol, end) => {
                    answer(venue, &Ask::Candles { market: &market(symbol), end: Minute(end / 60), count: 200 }, &body)
                }
                By::Markets => answer(venue, &Ask::Markets, &body),
                By::Sent(symbols) => sent(venue, &markets(symbols), &body),
            };
            let reads: Vec<&str> = reads.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            assert_eq!(found, reads, "{id}/{file}");
        }
    }
}

#[test]
fn no_recorded_payload_is_without_an_expectation() {
    for (id, expected) in folders() {
        let listed: BTreeSet<String> = expected.iter().map(|e| e.file.to_owned()).collect();
        assert_eq!(listed.len(), expected.len(), "{id}: a file is listed twice");
        let files = std::fs::read_dir(folder(id)).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        assert_eq!(files.collect::<BTreeSet<_>>(), listed, "{id}");
    }
}

#[test]
fn every_exchange_has_recorded_payloads_and_is_found_by_its_id() {
    let ids: Vec<&str> = venue::ALL.iter().map(|venue| venue.profile().id.as_str()).collect();
    assert_eq!(ids, folders().map(|(id, _)| id));
    assert!(venue::find("nowhere").is_none());
}

#[test]
fn every_fixture_is_named_in_its_readme() {
    let readme = std::fs::read_to_string(folder("README.md")).unwrap();
    for (id, expected) in folders() {
        let section = readme.split("\n## ").find(|section| section.starts_with(id)).unwrap();
        for Expected { file, .. } in expected {
            assert!(section.contains(&format!("`{file}`")), "{id}/{file} has no source");
        }
    }
}

fn folder(id: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(id)
}

fn fixture(id: &str, file: &str) -> String {
    std::fs::read_to_string(folder(id).join(file)).unwrap()
}

fn market(text: &str) -> Market {
    text.parse().unwrap()
}

fn markets(text: &str) -> Vec<Market> {
    text.split_whitespace().map(market).collect()
}

fn frame(venue: &dyn Venue, text: &str) -> Vec<String> {
    match venue.parse(text) {
        Ok(Incoming::Tickers(records)) => records.iter().map(record).collect(),
        Ok(Incoming::Reply(words)) => vec![format!("reply {words}")],
        Ok(Incoming::Refused(words)) => vec![format!("refused {words}")],
        Ok(Incoming::Reconnect(words)) => vec![format!("reconnect {words}")],
        Ok(Incoming::Unknown(words)) => vec![format!("unknown {words}")],
        Err(error) => vec![format!("error {error}")],
    }
}

fn answer(venue: &dyn Venue, ask: &Ask<'_>, body: &str) -> Vec<String> {
    match venue.answer(ask, body) {
        Ok(Answer::Tickers(records)) => records.iter().map(record).collect(),
        Ok(Answer::Markets { listings, .. }) => listings.iter().map(listing).collect(),
        Ok(Answer::TickSizes(sizes)) => sizes.iter().map(tick_size).collect(),
        Ok(Answer::Candles(candles)) => candles.iter().map(candle).collect(),
        Err(error) => vec![format!("error {error}")],
    }
}

fn tick_size((symbol, size): &(String, Result<rust_decimal::Decimal, Rejection>)) -> String {
    format!("{symbol} {}", size.as_ref().map_or_else(fault, ToString::to_string)).trim_start().to_owned()
}

/// Compares as JSON what we send with what was recorded, the ticket aside.
fn sent(venue: &dyn Venue, markets: &[Market], recorded: &str) -> Vec<String> {
    let plain = |text: &str| {
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        if let Some(ticket) = value.pointer_mut("/0/ticket") {
            *ticket = "any".into();
        }
        value
    };
    let frames = venue.subscribe(markets, &[]);
    let same = frames.len() == 1 && plain(&frames[0]) == plain(recorded);
    vec![if same { "as we send it".to_owned() } else { format!("we send {frames:?}") }]
}

fn record(record: &Record) -> String {
    format!("{} {}", record.symbol, record.ticker.as_ref().map_or_else(fault, ticker)).trim_start().to_owned()
}

fn fault(fault: &Rejection) -> String {
    format!("rejected {fault}")
}

fn ticker(ticker: &Ticker) -> String {
    let mut line = format!("last={}", ticker.last);
    let mut add = |name: &str, value: Option<String>| {
        line.extend(value.map(|value| format!(" {name}={value}")));
    };
    add("traded", ticker.traded_at.map(|at| at.as_millisecond().to_string()));
    add("sent", ticker.sent_at.map(|at| at.as_millisecond().to_string()));
    add("id", ticker.trade_id.map(|id| id.to_string()));
    add("high", ticker.high_24h.map(|price| price.to_string()));
    add("low", ticker.low_24h.map(|price| price.to_string()));
    add("base_volume", ticker.base_volume_24h.map(|volume| volume.to_string()));
    add("quote_volume", ticker.quote_volume_24h.map(|volume| volume.to_string()));
    add("base", ticker.base_24h.map(|price| price.to_string()));
    add("halted", ticker.halted.map(|halted| halted.to_string()));
    line
}

fn listing(listing: &Result<Listing, RejectedListing>) -> String {
    let listing = match listing {
        Ok(listing) => listing,
        Err(rejected) => return fault(&rejected.rejection),
    };
    let mut line = format!("{} {}", listing.symbol, listing.market);
    line.extend(listing.korean_name.iter().map(|name| format!(" ko={name}")));
    line.extend(listing.english_name.iter().map(|name| format!(" en={name}")));
    line.extend(listing.tick_size.iter().map(|step| format!(" step={step}")));
    line + if listing.halted { " halted" } else { "" }
}

fn candle(candle: &Candle) -> String {
    let Candle { open, high, low, close, .. } = candle;
    let volume = |volume: Option<rust_decimal::Decimal>| volume.map_or("-".to_owned(), |volume| volume.to_string());
    let (base, quote) = (volume(candle.base_volume), volume(candle.quote_volume));
    format!("{} {open} {high} {low} {close} {base} {quote}", candle.minute.start())
}
