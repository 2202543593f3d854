//! Kraken spot: markets in USD, EUR, USDT, BTC and others.
//!
//! Pitfalls: a response names a market otherwise than the request (`XBTUSD` is answered as `XXBTZUSD`), and the stream
//! otherwise again (`BTC/USD`); errors come with HTTP 200; a REST ticker has no time, and its `o` is the price at 00:00
//! UTC; there are candles of the last 720 minutes only, the running one included; some of our names of assets are those
//! of other assets.
//!
//! Source: recorded messages of 2026-09, and the documentation of the API as of then (get-ticker-information,
//! get-ohlc-data, spot-websocket-v2/ticker). What the `change` of a ticker is measured from is documented as 24 hours,
//! and has not been measured.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::adapter::{
    Incoming, Keepalive, Limit, Profile, Rate, RejectedListing, Request, Response, RestQuery, Session, TickerRecord,
    Venue, drop_contradictions, optional_field,
};
use super::aliases::Aliases;
use super::candles;
use super::json::{self, ParseError, RawMember, Rejection, payload_error, rejection};
use crate::feed::{Listing, quoted};
use crate::market::{Candle, Market, Minute, Price, Ticker, VenueId};

/// The exchange.
#[derive(Debug)]
pub struct Kraken;

/// Minutes that have candles, which is also the maximum of a response.
const MINUTES_KEPT: u16 = 720;

/// Maximum number of symbols in one frame. Not documented.
const SYMBOLS_PER_FRAME: usize = 100;

static PROFILE: Profile = Profile {
    id: VenueId("kraken"),
    rest: "https://api.kraken.com",
    stream: "wss://ws.kraken.com/v2",
    quotes: &["JPY", "CHF", "CAD", "USD", "AUD", "GBP", "EUR", "USDT", "USDC", "BTC", "ETH"],
    // Connections without a subscription are closed after a minute.
    keepalive: Keepalive::Text(r#"{"method":"ping"}"#, Duration::from_secs(20)),
    silence_max: Duration::from_secs(15),
    stale_after: Duration::from_secs(30),
    lag: Duration::ZERO,
    lifetime: None,
    // Not documented.
    markets_per_connection: 200,
    // Not documented.
    frames: &[Rate::per_second(10)],
    connects: &[Rate { units: 150, window: Duration::from_secs(600) }],
    // About one request per second and address; for candles, per address and market, of which we make no use.
    limits: &[
        Limit { group: "public", rates: &[Rate::per_second(1)] },
        Limit { group: "ohlc", rates: &[Rate::per_second(1)] },
    ],
    // No documented limit; this keeps the URL at about a kilobyte.
    markets_per_request: 100,
    candles_per_request: MINUTES_KEPT as usize,
    has_quiet_candles: true,
    minutes_kept: Some(MINUTES_KEPT as i64),
    // The time of a ticker is that of its last update.
    has_trade_times: false,
    needs_list: true,
};

/// The names of assets over REST. The stream has the usual ones.
const ALIASES: Aliases = Aliases(&[("XBT", "BTC"), ("XDG", "DOGE")]);

/// Kraken's names that are also ours, of other assets, and what they stand for. Their markets are not used.
const OTHER_ASSETS: &[(&str, &str)] =
    &[("LUNA", "LUNC"), ("LUNA2", "LUNA"), ("REP", "REPV1"), ("REPV2", "REP"), ("UST", "USTC")];

impl Venue for Kraken {
    fn profile(&self) -> &Profile {
        &PROFILE
    }

    fn symbol(&self, market: &Market) -> String {
        symbol(market)
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(KrakenSession::default())
    }

    fn request(&self, query: &RestQuery<'_>) -> Option<Request> {
        let (path, group) = match query {
            RestQuery::Markets => ("/0/public/AssetPairs".to_owned(), "public"),
            // The market list contains the tick sizes.
            RestQuery::TickSizes(_) | RestQuery::Tickers([]) => return None,
            RestQuery::Tickers(markets) => {
                let pairs: Vec<String> = markets.iter().map(pair).collect();
                (format!("/0/public/Ticker?pair={}", pairs.join(",")), "public")
            }
            // There is no end. Whether the start is included is not documented: it is the second before the oldest.
            RestQuery::Candles { market, end, count } => {
                let count = i64::try_from(*count).unwrap_or(i64::MAX).min(MINUTES_KEPT.into());
                let since = end.plus(-count).start().as_second() - 1;
                (format!("/0/public/OHLC?pair={}&interval=1&since={since}", pair(market)), "ohlc")
            }
        };
        Some(Request::get(path, group, 1))
    }

    fn response(&self, query: &RestQuery<'_>, body: &str) -> Result<Response, ParseError> {
        let result = result(body)?;
        match query {
            RestQuery::Markets => listings(&result),
            RestQuery::Tickers(markets) => {
                let names = names(markets);
                let rows = result.into_iter().map(|(pair, row)| ticker_row(pair, row, &names));
                Ok(Response::Tickers(rows.collect()))
            }
            RestQuery::TickSizes(_) => Err(payload_error("unsupported query")),
            RestQuery::Candles { end, .. } => {
                let mut lists = result.into_values().filter(|value| value.get().starts_with('['));
                let (Some(rows), None) = (lists.next(), lists.next()) else {
                    return Err(payload_error("expected the candles of one market"));
                };
                let mut rows = json::list(rows.get())?;
                // The response goes on until now.
                rows.retain(|row| json::cells(row).and_then(|row| minute(&row)).map_or(true, |minute| minute < *end));
                candles::parse(&rows, *end, candle).map(Response::Candles)
            }
        }
    }
}

/// Formats a market as the symbol of the stream: `BTC/USD`.
fn symbol(market: &Market) -> String {
    format!("{}/{}", market.base(), market.quote())
}

/// Formats a market as the pair of a request, encoded for a URL: `XBTUSD`.
fn pair(market: &Market) -> String {
    let pair = format!("{}{}", ALIASES.own(market.base()), ALIASES.own(market.quote()));
    url::form_urlencoded::byte_serialize(pair.as_bytes()).collect()
}

/// Returns the names that a response may have for each market: `XXBTZUSD`, `USDTZUSD` or `TONUSD`, where the oldest
/// assets have an X before their name and the oldest currencies a Z. A name that may be any of several markets has
/// none.
fn names(markets: &[Market]) -> BTreeMap<String, Option<&Market>> {
    let with_prefixes = |asset: &str| ["", "X", "Z"].map(|prefix| format!("{prefix}{}", ALIASES.own(asset)));
    let mut names = BTreeMap::new();
    for market in markets {
        let quotes = with_prefixes(market.quote());
        for base in with_prefixes(market.base()) {
            for quote in &quotes {
                let name = names.entry(format!("{base}{quote}")).or_insert(Some(market));
                *name = name.filter(|other| *other == market);
            }
        }
    }
    names
}

/// Returns the result of a response: `{"error":[],"result":{…}}`.
///
/// # Errors
/// The venue's error, `{"error":["EQuery:Unknown asset pair"]}`, whatever the HTTP status was. What begins with W is a
/// warning, and the result is there.
fn result(body: &str) -> Result<BTreeMap<String, &RawValue>, ParseError> {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Envelope<'a> {
        error: RawMember<'a>,
        result: RawMember<'a>,
    }
    const TOO_MANY: [&str; 4] = ["Too many requests", "Rate limit exceeded", "Temporary lockout", "Throttled"];
    let envelope: Envelope<'_> = json::object(body)?;
    let errors = envelope.error.non_null().map_or(Ok(Vec::new()), |errors| json::list(errors.get()))?;
    let mut errors = errors.into_iter().map(|error| RawMember::of(error).lossy_text());
    if let Some(error) = errors.find(|error| !error.starts_with('W')) {
        let (code, message) = error.split_once(':').unwrap_or((&error, ""));
        let (code, message) = (code.to_owned(), message.trim_start().to_owned());
        return Err(match TOO_MANY.iter().any(|text| message.starts_with(text)) {
            true => ParseError::RateLimited { code, message },
            false => ParseError::Refused { code, message },
        });
    }
    let result = envelope.result.non_null().ok_or_else(|| payload_error("it has no result"))?;
    json::object(result.get())
}

/// A connection: what it is subscribed to.
#[derive(Debug, Default)]
struct KrakenSession {
    requested: BTreeSet<String>,
}

impl Session for KrakenSession {
    /// Frames add and remove symbols. One that is requested again although it was requested before is removed first.
    fn subscribe(&mut self, markets: &[Market], current: &[Market]) -> Vec<String> {
        let symbols = |markets: &[Market]| -> BTreeSet<String> { markets.iter().map(symbol).collect() };
        let (wanted, current) = (symbols(markets), symbols(current));
        let is_kept = |symbol: &String| wanted.contains(symbol) && current.contains(symbol);
        let off: Vec<String> = self.requested.iter().filter(|symbol| !is_kept(symbol)).cloned().collect();
        let on: Vec<String> = wanted.iter().filter(|symbol| !is_kept(symbol)).cloned().collect();
        self.requested = wanted;
        let off = off.chunks(SYMBOLS_PER_FRAME).map(|symbols| {
            let params = serde_json::json!({ "channel": "ticker", "symbol": symbols });
            serde_json::json!({ "method": "unsubscribe", "params": params }).to_string()
        });
        let on = on.chunks(SYMBOLS_PER_FRAME).map(|symbols| {
            let params = serde_json::json!({
                "channel": "ticker", "symbol": symbols, "event_trigger": "trades", "snapshot": true,
            });
            serde_json::json!({ "method": "subscribe", "params": params }).to_string()
        });
        off.chain(on).collect()
    }

    fn parse(&mut self, text: &str) -> Result<Incoming, ParseError> {
        let frame: Frame<'_> = json::object(text)?;
        Ok(match frame.channel.lossy_text().as_str() {
            "ticker" => {
                let rows = frame.data.non_null().ok_or_else(|| payload_error("a ticker without data"))?;
                Incoming::Tickers(json::list(rows.get())?.into_iter().map(streamed_record).collect())
            }
            "heartbeat" => Incoming::Reply("heartbeat".to_owned()),
            "status" => status(&frame),
            "" => reply(&frame),
            other => Incoming::Unknown(other.to_owned()),
        })
    }
}

/// A frame.
///
/// Examples: `{"channel":"ticker","type":"update","data":[{…}]}`, `{"channel":"heartbeat"}`,
/// `{"method":"subscribe","result":{"channel":"ticker","symbol":"BTC/USD",…},"success":true,…}`,
/// `{"error":"Currency pair not supported NOPE/USD","method":"subscribe","success":false,"symbol":"NOPE/USD",…}`,
/// `{"Error":"Exceeded msg rate"}`.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Frame<'a> {
    channel: RawMember<'a>,
    data: RawMember<'a>,
    method: RawMember<'a>,
    symbol: RawMember<'a>,
    #[serde(alias = "Error")]
    error: RawMember<'a>,
}

/// Handles an answer to a request.
fn reply(frame: &Frame<'_>) -> Incoming {
    let (method, message) = (frame.method.lossy_text(), frame.error.lossy_text());
    if !frame.error.is_present() {
        return match method.as_str() {
            "" => Incoming::Unknown(String::new()),
            "pong" => Incoming::Reply(method),
            _ => Incoming::Reply(format!("{method} is done")),
        };
    }
    match (method.as_str(), frame.symbol.symbol("symbol")) {
        // It did not exist any more.
        ("unsubscribe", _) => Incoming::Reply(message),
        ("subscribe", Ok(symbol)) => Incoming::RefusedMarket { symbol: symbol.into_owned(), message },
        _ => Incoming::Refused(message),
    }
}

/// Handles `{"channel":"status","type":"update","data":[{"system":"online",…}]}`: the state of the trading engine.
fn status(frame: &Frame<'_>) -> Incoming {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Status<'a> {
        system: RawMember<'a>,
    }
    let rows = frame.data.non_null().and_then(|rows| json::cells(rows).ok()).unwrap_or_default();
    let system = rows.first().and_then(|row| json::record::<Status<'_>>(row).ok()).map(|row| row.system.lossy_text());
    match system.as_deref() {
        None | Some("online") => Incoming::Reply("status".to_owned()),
        Some(system) => Incoming::Refused(format!("the exchange is in the state {system}")),
    }
}

fn streamed_record(raw: &RawValue) -> TickerRecord {
    match json::record::<StreamedTicker<'_>>(raw) {
        Ok(row) => {
            TickerRecord::new(row.symbol.symbol("symbol").map(Into::into), |ignored_fields| row.ticker(ignored_fields))
        }
        Err(rejection) => TickerRecord::unreadable(rejection),
    }
}

/// A ticker of the stream; low, high, volume and change are of rolling 24 hours.
///
/// Example: `{"symbol":"USDT/USD","last":0.99981,"volume":270638277.50461281,"low":0.99959,"high":1.00000,
/// "change":0.00005,"timestamp":"2026-09-24T03:54:18.054886Z",…}`.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct StreamedTicker<'a> {
    symbol: RawMember<'a>,
    last: RawMember<'a>,
    volume: RawMember<'a>,
    low: RawMember<'a>,
    high: RawMember<'a>,
    change: RawMember<'a>,
    timestamp: RawMember<'a>,
}

impl StreamedTicker<'_> {
    fn ticker(&self, ignored_fields: &mut Vec<Rejection>) -> Result<Ticker, Rejection> {
        let last = self.last.price("last")?;
        let ticker = Ticker {
            // Absent before version 2.0.10 of the API.
            sent_at: time(self.timestamp)?,
            high_24h: optional_field(self.high.optional_price("high"), ignored_fields),
            low_24h: optional_field(self.low.optional_price("low"), ignored_fields),
            base_volume_24h: optional_field(self.volume.optional_volume("volume"), ignored_fields),
            base_24h: optional_field(base_price(self.change, last), ignored_fields),
            ..Ticker::new(last)
        };
        Ok(drop_contradictions(ticker, ["high", "low", "change"], ignored_fields))
    }
}

fn time(timestamp: RawMember<'_>) -> Result<Option<Timestamp>, Rejection> {
    let text = timestamp.optional_text("timestamp")?;
    text.map(|text| text.parse().map_err(|_| timestamp.rejection("timestamp", "time"))).transpose()
}

/// Returns the price of 24 hours ago: the last one without the change since then.
fn base_price(change: RawMember<'_>, last: Price) -> Result<Option<Price>, Rejection> {
    let Some(value) = change.optional_signed("change")? else { return Ok(None) };
    let base = last.get().checked_sub(value).and_then(Price::new);
    base.map(Some).ok_or_else(|| change.rejection("change", "not-positive"))
}

/// Parses a row of `/0/public/Ticker`, whose name is `pair`.
fn ticker_row(pair: String, raw: &RawValue, names: &BTreeMap<String, Option<&Market>>) -> TickerRecord {
    match names.get(&pair) {
        Some(Some(market)) => {
            TickerRecord::new(Ok(symbol(market)), |ignored_fields| polled_ticker(raw, ignored_fields))
        }
        Some(None) => {
            TickerRecord::unreadable(Rejection { excerpt: quoted(&pair), ..rejection("pair", "contradiction") })
        }
        // A market that was not requested.
        None => TickerRecord { symbol: pair, ..TickerRecord::unreadable(rejection("pair", "unknown")) },
    }
}

/// Parses the figures of a market over REST: `c` is `[last price, its volume]`; `l`, `h` and `v` are
/// `[since 00:00 UTC, of rolling 24 hours]`.
///
/// Example: `{"c":["84036.00000","0.00112355"],"v":["702.24523395","3307.38151293"],"l":["83740.10000","82832.30000"],
/// "h":["84861.80000","84914.80000"],"o":"84380.00000",…}`.
fn polled_ticker(raw: &RawValue, ignored_fields: &mut Vec<Rejection>) -> Result<Ticker, Rejection> {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct PolledTicker<'a> {
        c: RawMember<'a>,
        v: RawMember<'a>,
        l: RawMember<'a>,
        h: RawMember<'a>,
    }
    let row: PolledTicker<'_> = json::record(raw)?;
    let last = cell(row.c, "c", 0)?.price("c")?;
    let of_24_hours = |member, field| cell(member, field, 1);
    let ticker = Ticker {
        high_24h: optional_field(of_24_hours(row.h, "h").and_then(|h| h.optional_price("h")), ignored_fields),
        low_24h: optional_field(of_24_hours(row.l, "l").and_then(|l| l.optional_price("l")), ignored_fields),
        base_volume_24h: optional_field(of_24_hours(row.v, "v").and_then(|v| v.optional_volume("v")), ignored_fields),
        ..Ticker::new(last)
    };
    Ok(drop_contradictions(ticker, ["h", "l", "c"], ignored_fields))
}

/// Returns a cell of a member that is an array; an absent one, if the member is absent or shorter.
fn cell<'a>(member: RawMember<'a>, field: &'static str, index: usize) -> Result<RawMember<'a>, Rejection> {
    let Some(raw) = member.non_null() else { return Ok(member) };
    let cells = json::cells(raw).map_err(|_| member.rejection(field, "type"))?;
    Ok(cells.get(index).map_or_else(RawMember::default, |cell| RawMember::of(cell)))
}

fn listings(rows: &BTreeMap<String, &RawValue>) -> Result<Response, ParseError> {
    if rows.is_empty() {
        return Err(payload_error("it is an empty list of markets"));
    }
    let mut ignored_fields = Vec::new();
    let listings = rows.values().map(|row| listing(row, &mut ignored_fields)).collect();
    Ok(Response::Markets { listings, ignored_fields })
}

/// Parses a row of the market list: `{"altname":"XBTUSD","wsname":"XBT/USD","status":"online","tick_size":"0.1",…}`.
fn listing(raw: &RawValue, ignored_fields: &mut Vec<(Market, Rejection)>) -> Result<Listing, RejectedListing> {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Listed<'a> {
        wsname: RawMember<'a>,
        status: RawMember<'a>,
        tick_size: RawMember<'a>,
    }
    let row: Listed<'_> = json::record(raw)?;
    let name = row.wsname.symbol("wsname")?;
    let (base, quote) = name.split_once('/').ok_or_else(|| row.wsname.rejection("wsname", "symbol"))?;
    let (base, quote) = (ALIASES.ours(base), ALIASES.ours(quote));
    let symbol = format!("{base}/{quote}");
    let rejected = |rejection| RejectedListing::new(symbol.clone(), rejection);
    if let Some((own, stands_for)) = OTHER_ASSETS.iter().find(|(own, _)| [base, quote].contains(own)) {
        return Err(RejectedListing::other_asset(symbol, "wsname", format!("{own} is {stands_for}")));
    }
    let market = Market::new(base, quote).map_err(|_| rejected(row.wsname.rejection("wsname", "symbol")))?;
    let status = row.status.optional_text("status").map_err(rejected)?;
    let halted = match status.as_deref() {
        Some("online" | "limit_only" | "reduce_only") => false,
        Some("cancel_only" | "post_only") => true,
        Some(_) => return Err(rejected(row.status.rejection("status", "unknown"))),
        None => return Err(rejected(row.status.rejection("status", "missing"))),
    };
    let mut ignored = Vec::new();
    let tick_size = optional_field(row.tick_size.optional_price("tick_size"), &mut ignored).map(Price::get);
    ignored_fields.extend(ignored.into_iter().map(|rejection| (market.clone(), rejection)));
    Ok(Listing { tick_size, halted, ..Listing::new(symbol, market) })
}

/// Parses `[start in s,"open","high","low","close","vwap","volume",count]`. A quiet minute has a flat candle.
fn candle(raw: &RawValue) -> Result<Candle, Rejection> {
    let row = json::cells(raw)?;
    let &[_, open, high, low, close, _, volume, _] = row.as_slice() else { return Err(rejection("record", "type")) };
    candles::checked(Candle {
        minute: minute(&row)?,
        open: RawMember::of(open).price("open")?,
        high: RawMember::of(high).price("high")?,
        low: RawMember::of(low).price("low")?,
        close: RawMember::of(close).price("close")?,
        base_volume: RawMember::of(volume).optional_volume("volume").unwrap_or_default(),
        quote_volume: None,
    })
}

/// Parses the minute of a candle.
fn minute(row: &[&RawValue]) -> Result<Minute, Rejection> {
    let start = row.first().ok_or_else(|| rejection("record", "type"))?;
    candles::minute_of_seconds("time", RawMember::of(start))
}
