//! Every recorded payload with its complete expected parse result.
//!
//! A result has one line per record: the symbol, then each figure that is present, digit for digit as sent, with times
//! in Unix milliseconds. A figure that is not named is absent.

mod binance;
mod bitfinex;
mod bithumb;
mod candles;
mod changes;
mod documented;
mod kraken;
mod kucoin;
mod malformed;
mod notices;
mod requests;
mod upbit;

use std::collections::BTreeSet;
use std::path::PathBuf;

use sisepan::feed::Listing;
use sisepan::market::{Candle, Market, Minute, Ticker};
use sisepan::venue::{
    self, Endpoint, Incoming, Keepalive, ParseError, RejectedListing, Rejection, Response, RestQuery, Session,
    TickerRecord, Venue,
};

/// How a payload is received.
enum PayloadKind {
    /// As a frame of the stream.
    Frame,
    /// As a frame of a connection that is subscribed to this market, after the frames in these files.
    FrameAfter(&'static str, &'static [&'static str]),
    /// As the response to the request for the stream's URL.
    Opening,
    /// As the ticker response for these markets.
    Tickers(&'static str),
    /// As the candle response for a market before a minute, given in Unix seconds.
    Candles(&'static str, i64),
    /// As the market list.
    Markets,
    /// It is not received: it is the subscription that we send for these markets.
    Sent(&'static str),
}

/// The expected parse result of a file in `tests/fixtures`.
struct Expected {
    file: &'static str,
    by: PayloadKind,
    reads: &'static str,
}

/// Returns the expected result of a file, one record a line.
const fn expect(file: &'static str, by: PayloadKind, reads: &'static str) -> Expected {
    Expected { file, by, reads }
}

fn folders() -> [(&'static str, &'static [Expected]); 6] {
    [
        ("upbit", upbit::EXPECTED),
        ("bithumb", bithumb::EXPECTED),
        ("binance", binance::EXPECTED),
        ("bitfinex", bitfinex::EXPECTED),
        ("kucoin", kucoin::EXPECTED),
        ("kraken", kraken::EXPECTED),
    ]
}

#[test]
fn every_recorded_payload_parses_as_expected() {
    for (id, expected) in folders() {
        let venue = venue::find(id).unwrap();
        for Expected { file, by, reads } in expected {
            let body = fixture(id, file);
            let found = match by {
                PayloadKind::Frame => parse_frame(venue, &body),
                PayloadKind::FrameAfter(symbol, files) => {
                    let mut session = venue.session();
                    session.subscribe(&[market(symbol)], &[]);
                    for file in *files {
                        session.parse(&fixture(id, file)).unwrap();
                    }
                    describe(session.parse(&body))
                }
                PayloadKind::Opening => opening(venue, &body),
                PayloadKind::Tickers(symbols) => parse_response(venue, &RestQuery::Tickers(&markets(symbols)), &body),
                PayloadKind::Candles(symbol, end) => parse_response(
                    venue,
                    &RestQuery::Candles { market: &market(symbol), end: Minute(end / 60), count: 200 },
                    &body,
                ),
                PayloadKind::Markets => parse_response(venue, &RestQuery::Markets, &body),
                PayloadKind::Sent(symbols) => sent(venue, &markets(symbols), &body),
            };
            let reads: Vec<&str> = reads.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            assert_eq!(found, reads, "{id}/{file}");
        }
    }
}

#[test]
fn every_recorded_payload_has_an_expected_result() {
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
fn every_fixture_is_named_in_the_readme() {
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

/// The welcome that some exchanges send before they accept a subscription; for the others it is a frame of an unknown
/// type.
const WELCOME: &str = r#"{"id":"any","type":"welcome"}"#;

/// Returns the frames by which a new connection subscribes to `markets`.
fn subscribe(venue: &dyn Venue, markets: &[Market]) -> Vec<String> {
    let mut session = welcomed(venue);
    session.subscribe(markets, &[])
}

fn welcomed(venue: &dyn Venue) -> Box<dyn Session> {
    let mut session = venue.session();
    // An error at an exchange that has no such frame.
    let _ = session.parse(WELCOME);
    session
}

/// Returns a session that can receive the frames of [`streamed`].
pub fn subscribed(venue: &dyn Venue) -> Box<dyn Session> {
    let mut session = welcomed(venue);
    session.subscribe(&[market("BTC-USD")], &[]);
    // Only one exchange numbers its channels.
    let _ = session.parse(r#"{"event":"subscribed","channel":"ticker","chanId":17,"symbol":"tBTCUSD"}"#);
    session
}

/// Returns a ticker frame of a venue's stream, with `price` verbatim as its last price.
pub fn streamed(id: &str, price: &str) -> String {
    match id {
        "upbit" | "bithumb" => format!(r#"{{"type":"ticker","code":"KRW-BTC","trade_price":{price}}}"#),
        "binance" => format!(r#"{{"e":"24hrTicker","s":"BTCUSDT","c":{price}}}"#),
        "bitfinex" => format!("[17,[1,1,1,1,1,1,{price},1,1,1]]"),
        "kucoin" => snapshot(&format!(r#""symbol":"BTC-USDT","lastTradedPrice":{price}"#)),
        "kraken" => format!(r#"{{"channel":"ticker","data":[{{"symbol":"BTC/USD","last":{price}}}]}}"#),
        _ => panic!("no frame for {id}"),
    }
}

/// Returns a frame of KuCoin whose snapshot has these members.
fn snapshot(members: &str) -> String {
    format!(r#"{{"type":"message","subject":"trade.snapshot","data":{{"data":{{{members}}}}}}}"#)
}

fn opening(venue: &dyn Venue, body: &str) -> Vec<String> {
    let Endpoint::Negotiated { read, .. } = venue.endpoint() else { panic!("the URL is not negotiated") };
    match read(body) {
        Ok(opening) => {
            let keepalive = match opening.keepalive {
                Some(Keepalive::Text(text, every)) => format!("{text} every {every:?}"),
                other => format!("{other:?}"),
            };
            vec![opening.url, keepalive]
        }
        Err(error) => vec![format!("error {error}")],
    }
}

fn parse_frame(venue: &dyn Venue, text: &str) -> Vec<String> {
    describe(venue.session().parse(text))
}

fn describe(parsed: Result<Incoming, ParseError>) -> Vec<String> {
    match parsed {
        Ok(Incoming::Tickers(records)) => records.iter().map(record).collect(),
        Ok(Incoming::Reply(text)) => vec![format!("reply {text}")],
        Ok(Incoming::Refused(text)) => vec![format!("refused {text}")],
        Ok(Incoming::Reconnect(text)) => vec![format!("reconnect {text}")],
        Ok(Incoming::RefusedMarket { symbol, message }) => vec![format!("refused {symbol}: {message}")],
        Ok(Incoming::Send(texts)) => texts.iter().map(|text| format!("send {text}")).collect(),
        Ok(Incoming::Unknown(text)) => vec![format!("unknown {text}")],
        Err(error) => vec![format!("error {error}")],
    }
}

fn parse_response(venue: &dyn Venue, query: &RestQuery<'_>, body: &str) -> Vec<String> {
    match venue.response(query, body) {
        Ok(Response::Tickers(records)) => records.iter().map(record).collect(),
        Ok(Response::Markets { listings, .. }) => listings.iter().map(listing).collect(),
        Ok(Response::TickSizes(sizes)) => sizes.iter().map(tick_size).collect(),
        Ok(Response::Candles(candles)) => candles.iter().map(candle).collect(),
        Err(error) => vec![format!("error {error}")],
    }
}

fn tick_size((symbol, size): &(String, Result<rust_decimal::Decimal, Rejection>)) -> String {
    format!("{symbol} {}", size.as_ref().map_or_else(rejected, ToString::to_string)).trim_start().to_owned()
}

/// Compares the subscription that we send with the recorded one, as JSON and without the ticket.
fn sent(venue: &dyn Venue, markets: &[Market], recorded: &str) -> Vec<String> {
    let plain = |text: &str| {
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        if let Some(ticket) = value.pointer_mut("/0/ticket") {
            *ticket = "any".into();
        }
        value
    };
    let frames = subscribe(venue, markets);
    let same = frames.len() == 1 && plain(&frames[0]) == plain(recorded);
    vec![if same { "as we send it".to_owned() } else { format!("we send {frames:?}") }]
}

fn record(record: &TickerRecord) -> String {
    format!("{} {}", record.symbol, record.ticker.as_ref().map_or_else(rejected, ticker)).trim_start().to_owned()
}

fn rejected(rejection: &Rejection) -> String {
    format!("rejected {rejection}")
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
        Err(error) => return rejected(&error.rejection),
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
