//! Binance spot: markets in USDT, USDC, BTC and others.
//!
//! Pitfalls: the payload says `BTCUSDT` while the stream is named
//! `btcusdt@ticker`; a delisted market keeps its last price forever (status
//! `BREAK`); asset names need not be ASCII; frames come bare on `/ws` and
//! wrapped into `{"stream","data"}` on `/stream`. Its 24 hours are rolling:
//! "NOT the statistics of the UTC day, but a 24hr rolling window".
//!
//! Source: github.com/binance/binance-spot-api-docs (web-socket-streams, rest-api), read 2026-09.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::adapter::{
    CONTRADICTION, Incoming, Keepalive, Limit, Profile, Rate, RejectedListing, Request, Response, RestQuery, Session,
    Stateless, TickerRecord, Venue, drop_contradictions, optional_field, without,
};
use super::candles;
use super::json::{self, ParseError, RawMember, Rejection, Shape, payload_error, rejection};
use crate::feed::Listing;
use crate::market::{Candle, Market, Price, Ticker, VenueId};

/// The exchange.
#[derive(Debug)]
pub struct Binance;

/// Maximum number of streams per frame, which keeps it below 4 KiB.
const STREAMS_PER_FRAME: usize = 100;

static PROFILE: Profile = Profile {
    id: VenueId("binance"),
    rest: "https://api.binance.com",
    stream: "wss://stream.binance.com:9443/ws",
    quotes: &["KRW", "TRY", "BRL", "ARS", "COP", "MXN", "ZAR", "UAH", "RON", "CZK", "PLN", "JPY", "DAI", "USDT"],
    // The venue pings every 20 s, and disconnects after 60 s without a pong.
    keepalive: Keepalive::ServerPings(Duration::from_secs(60)),
    silence_max: Duration::from_secs(10),
    stale_after: Duration::from_secs(15),
    lag: Duration::ZERO,
    // The venue disconnects after 24 h.
    lifetime: Some(Duration::from_secs(23 * 3600)),
    // 1,024 streams per connection, one per market.
    markets_per_connection: 1024,
    // 5 messages per second including pongs, for which one is reserved.
    frames: &[Rate::per_second(4)],
    connects: &[Rate { units: 300, window: Duration::from_secs(300) }],
    // A weight of 6,000 per minute and address, for all requests together.
    limits: &[Limit { group: "weight", rates: &[Rate::per_minute(6000)] }],
    // The cheapest step: 20 symbols weigh 2, 21 weigh 40.
    markets_per_request: 20,
    candles_per_request: 1000,
    has_quiet_candles: true,
    minutes_kept: None,
    has_trade_times: false,
    needs_list: false,
};

impl Venue for Binance {
    fn profile(&self) -> &Profile {
        &PROFILE
    }

    fn symbol(&self, market: &Market) -> String {
        format!("{}{}", market.base(), market.quote())
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(Stateless { subscribe, parse })
    }

    fn request(&self, query: &RestQuery<'_>) -> Option<Request> {
        let (path, weight) = match query {
            // Permission sets make up most of the response, and we don't need them.
            RestQuery::Markets => ("/api/v3/exchangeInfo?showPermissionSets=false".to_owned(), 20),
            // The market list contains the tick sizes.
            RestQuery::TickSizes(_) | RestQuery::Tickers([]) => return None,
            RestQuery::Tickers(markets) => {
                let symbols: Vec<String> = markets.iter().map(|market| self.symbol(market)).collect();
                let weight = match symbols.len() {
                    ..=20 => 2,
                    21..=100 => 40,
                    _ => 80,
                };
                (format!("/api/v3/ticker/24hr?symbols={}", encode(&serde_json::to_string(&symbols).ok()?)), weight)
            }
            // Without a start time, these are the newest candles before the end, however old.
            // The end is inclusive, so it is the last millisecond before the minute `end`.
            RestQuery::Candles { market, end, count } => {
                let symbol = encode(&self.symbol(market));
                let end = end.start().as_millisecond() - 1;
                let limit = (*count).min(PROFILE.candles_per_request);
                (format!("/api/v3/klines?symbol={symbol}&interval=1m&endTime={end}&limit={limit}"), 2)
            }
        };
        Some(Request::get(path, "weight", weight))
    }

    fn response(&self, query: &RestQuery<'_>, body: &str) -> Result<Response, ParseError> {
        if json::shape(body)? == Shape::Object {
            let frame: Frame<'_> = json::object(body)?;
            if frame.code.is_present() {
                return Err(ParseError::Refused { code: frame.code.lossy_text(), message: frame.msg.lossy_text() });
            }
        }
        match query {
            RestQuery::Markets => listings(body),
            RestQuery::Tickers(_) => Ok(Response::Tickers(parse_tickers(body)?)),
            RestQuery::TickSizes(_) => Err(payload_error("unsupported query")),
            RestQuery::Candles { end, .. } => candles::parse(&json::list(body)?, *end, candle).map(Response::Candles),
        }
    }
}

/// Frames add and remove streams; streams are removed first, to stay within the limit.
fn subscribe(markets: &[Market], current: &[Market]) -> Vec<String> {
    let removed: Vec<String> = without(current, markets).map(stream).collect();
    let added: Vec<String> = without(markets, current).map(stream).collect();
    let steps = removed.chunks(STREAMS_PER_FRAME).map(|params| ("UNSUBSCRIBE", params));
    let steps = steps.chain(added.chunks(STREAMS_PER_FRAME).map(|params| ("SUBSCRIBE", params)));
    steps
        .zip(1..)
        .filter_map(|((method, params), id)| serde_json::to_string(&Call { method, params, id }).ok())
        .collect()
}

fn parse(text: &str) -> Result<Incoming, ParseError> {
    if json::shape(text)? == Shape::Array {
        // `!miniTicker@arr`, the same events in a list: not requested, but easy to parse.
        return Ok(Incoming::Tickers(json::list(text)?.into_iter().map(parse_record::<TickerEvent<'_>>).collect()));
    }
    // Nearly all frames are tickers, which are parsed once; only other frames are parsed again.
    if let Some(ticker) = ticker(text)? {
        return Ok(ticker);
    }
    let frame: Frame<'_> = json::object(text)?;
    match frame.data.non_null().or(frame.event.non_null()) {
        Some(inner) if inner.get().starts_with('{') => match ticker(inner.get())? {
            Some(ticker) => Ok(ticker),
            None => Ok(other(&json::object(inner.get())?)),
        },
        _ => Ok(other(&frame)),
    }
}

#[derive(Serialize)]
struct Call<'a> {
    method: &'static str,
    params: &'a [String],
    id: u32,
}

/// Returns the name of a market's ticker stream: `btcusdt@ticker`.
fn stream(market: &Market) -> String {
    format!("{}{}@ticker", market.base(), market.quote()).to_ascii_lowercase()
}

fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The members that identify the type of a frame.
///
/// Examples: `{"result":null,"id":1}`, `{"code":2,"msg":"Invalid request: ..."}`,
/// `{"stream":"btcusdt@ticker","data":{"e":"24hrTicker",...}}`, `{"e":"serverShutdown","E":1770123456789}`.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Frame<'a> {
    e: RawMember<'a>,
    data: RawMember<'a>,
    event: RawMember<'a>,
    result: RawMember<'a>,
    id: RawMember<'a>,
    error: RawMember<'a>,
    code: RawMember<'a>,
    msg: RawMember<'a>,
}

/// Parses a frame if it is a ticker.
fn ticker(text: &str) -> Result<Option<Incoming>, ParseError> {
    let event: TickerEvent<'_> = json::object(text)?;
    Ok(event.is_ticker().then(|| Incoming::Tickers(vec![to_record(&event)])))
}

fn other(frame: &Frame<'_>) -> Incoming {
    match frame.e.lossy_text().as_str() {
        "serverShutdown" => Incoming::Reconnect("the server is about to shut down".to_owned()),
        "" => control(frame),
        other => Incoming::Unknown(other.to_owned()),
    }
}

fn control(frame: &Frame<'_>) -> Incoming {
    let inner = frame.error.non_null().and_then(|raw| json::record::<Frame<'_>>(raw).ok());
    let error_frame = inner.as_ref().unwrap_or(frame);
    if frame.error.is_present() || frame.code.is_present() {
        return Incoming::Refused(format!("{}: {}", error_frame.code.lossy_text(), error_frame.msg.lossy_text()));
    }
    if frame.result.is_present() {
        return Incoming::Reply(format!("request {} is done", frame.id.lossy_text()));
    }
    Incoming::Unknown(String::new())
}

/// A ticker in one of the venue's formats: one-letter fields in the stream, whole words over HTTP.
trait TickerFormat<'a>: Deserialize<'a> {
    fn symbol(&self) -> Result<String, Rejection>;
    fn ticker(&self, ignored_fields: &mut Vec<Rejection>) -> Result<Ticker, Rejection>;
}

fn parse_record<'a, F: TickerFormat<'a>>(raw: &'a RawValue) -> TickerRecord {
    json::record::<F>(raw).map_or_else(TickerRecord::unreadable, |source| to_record(&source))
}

fn to_record<'a>(source: &impl TickerFormat<'a>) -> TickerRecord {
    TickerRecord::new(source.symbol(), |ignored_fields| source.ticker(ignored_fields))
}

/// Parses the price of 24 hours ago; together with the change since then it must give the last price.
fn base_price(
    open: RawMember<'_>,
    field: &'static str,
    change: RawMember<'_>,
    last: Price,
) -> Result<Option<Price>, Rejection> {
    let price = open.optional_price(field)?;
    // The change has no other use: one that can't be parsed is ignored.
    let change = change.optional_signed(field).ok().flatten();
    match price.zip(change) {
        Some((price, change)) if price.get().checked_add(change) != Some(last.get()) => {
            Err(open.rejection(field, CONTRADICTION))
        }
        _ => Ok(price),
    }
}

/// A `24hrTicker` or `24hrMiniTicker`; the fields of the second are a subset of those of the first.
///
/// Example: `{"e":"24hrTicker","E":1772574569035,"s":"BTCUSDT","c":"68004.12000000","o":"69442.01000000",
/// "h":"69506.94000000","l":"66158.00000000","v":"25691.57255000","q":"1742778450.16795780","L":6054521811}`.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct TickerEvent<'a> {
    e: RawMember<'a>,
    #[serde(rename = "E")]
    sent: RawMember<'a>,
    s: RawMember<'a>,
    c: RawMember<'a>,
    p: RawMember<'a>,
    o: RawMember<'a>,
    h: RawMember<'a>,
    l: RawMember<'a>,
    v: RawMember<'a>,
    q: RawMember<'a>,
    #[serde(rename = "L")]
    last_id: RawMember<'a>,
}

impl TickerEvent<'_> {
    /// Returns whether it is a ticker by its type; other events share some of its fields.
    fn is_ticker(&self) -> bool {
        let kind = self.e.optional_text("e").ok().flatten();
        matches!(kind.as_deref(), Some("24hrTicker" | "24hrMiniTicker"))
    }
}

impl<'a> TickerFormat<'a> for TickerEvent<'a> {
    fn symbol(&self) -> Result<String, Rejection> {
        self.s.symbol("s").map(Into::into)
    }

    fn ticker(&self, ignored_fields: &mut Vec<Rejection>) -> Result<Ticker, Rejection> {
        let last = self.c.price("c")?;
        let ticker = Ticker {
            sent_at: self.sent.optional_time("E")?,
            trade_id: optional_field(self.last_id.optional_count("L"), ignored_fields),
            high_24h: optional_field(self.h.optional_price("h"), ignored_fields),
            low_24h: optional_field(self.l.optional_price("l"), ignored_fields),
            base_volume_24h: optional_field(self.v.optional_volume("v"), ignored_fields),
            quote_volume_24h: optional_field(self.q.optional_volume("q"), ignored_fields),
            base_24h: optional_field(base_price(self.o, "o", self.p, last), ignored_fields),
            ..Ticker::new(last)
        };
        Ok(drop_contradictions(ticker, ["h", "l", "o"], ignored_fields))
    }
}

/// A row of `/api/v3/ticker/24hr`, or of `/api/v3/ticker/price`, which only has `price`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct TickerRow<'a> {
    symbol: RawMember<'a>,
    price: RawMember<'a>,
    last_price: RawMember<'a>,
    price_change: RawMember<'a>,
    open_price: RawMember<'a>,
    high_price: RawMember<'a>,
    low_price: RawMember<'a>,
    volume: RawMember<'a>,
    quote_volume: RawMember<'a>,
    close_time: RawMember<'a>,
    last_id: RawMember<'a>,
}

impl<'a> TickerFormat<'a> for TickerRow<'a> {
    fn symbol(&self) -> Result<String, Rejection> {
        self.symbol.symbol("symbol").map(Into::into)
    }

    fn ticker(&self, ignored_fields: &mut Vec<Rejection>) -> Result<Ticker, Rejection> {
        let last =
            if self.price.is_present() { self.price.price("price")? } else { self.last_price.price("lastPrice")? };
        let ticker = Ticker {
            sent_at: self.close_time.optional_time("closeTime")?,
            trade_id: optional_field(self.last_id.optional_count("lastId"), ignored_fields),
            high_24h: optional_field(self.high_price.optional_price("highPrice"), ignored_fields),
            low_24h: optional_field(self.low_price.optional_price("lowPrice"), ignored_fields),
            base_volume_24h: optional_field(self.volume.optional_volume("volume"), ignored_fields),
            quote_volume_24h: optional_field(self.quote_volume.optional_volume("quoteVolume"), ignored_fields),
            base_24h: optional_field(base_price(self.open_price, "openPrice", self.price_change, last), ignored_fields),
            ..Ticker::new(last)
        };
        Ok(drop_contradictions(ticker, ["highPrice", "lowPrice", "openPrice"], ignored_fields))
    }
}

/// Parses a ticker response: an object for one symbol, a list for several.
fn parse_tickers(body: &str) -> Result<Vec<TickerRecord>, ParseError> {
    match json::shape(body)? {
        Shape::Array => Ok(json::list(body)?.into_iter().map(parse_record::<TickerRow<'_>>).collect()),
        Shape::Object => Ok(vec![to_record(&json::object::<TickerRow<'_>>(body)?)]),
    }
}

fn listings(body: &str) -> Result<Response, ParseError> {
    #[derive(Deserialize)]
    #[serde(bound(deserialize = "'de: 'a"))]
    struct Info<'a> {
        #[serde(borrow)]
        symbols: Vec<&'a RawValue>,
    }
    let info: Info<'_> = json::object(body)?;
    if info.symbols.is_empty() {
        return Err(payload_error("it is an empty list of markets"));
    }
    let mut ignored_fields = Vec::new();
    let listings = info.symbols.into_iter().map(|raw| listing(raw, &mut ignored_fields)).collect();
    Ok(Response::Markets { listings, ignored_fields })
}

/// A row of the market list.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Listed<'a> {
    symbol: RawMember<'a>,
    status: RawMember<'a>,
    base_asset: RawMember<'a>,
    quote_asset: RawMember<'a>,
    filters: RawMember<'a>,
}

/// Parses `{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[...]}`.
fn listing(raw: &RawValue, ignored_fields: &mut Vec<(Market, Rejection)>) -> Result<Listing, RejectedListing> {
    let row: Listed<'_> = json::record(raw)?;
    let symbol = row.symbol.symbol("symbol")?.into_owned();
    let with_symbol = |rejection| RejectedListing::new(symbol.clone(), rejection);
    let (market, halted) = required_fields(&row).map_err(with_symbol)?;
    let mut ignored = Vec::new();
    let tick_size = tick_size(row.filters, &mut ignored);
    ignored_fields.extend(ignored.into_iter().map(|rejection| (market.clone(), rejection)));
    Ok(Listing { tick_size, halted, ..Listing::new(symbol, market) })
}

/// Parses the required fields of a row: its market, and whether that is halted.
fn required_fields(row: &Listed<'_>) -> Result<(Market, bool), Rejection> {
    let (base, quote) = (row.base_asset.symbol("baseAsset")?, row.quote_asset.symbol("quoteAsset")?);
    let status = row.status.optional_text("status")?.ok_or_else(|| row.status.rejection("status", "missing"))?;
    let market = Market::new(&base, &quote).map_err(|_| row.base_asset.rejection("baseAsset", "symbol"))?;
    let halted = match &*status {
        "TRADING" => false,
        "BREAK" | "HALT" | "AUCTION_MATCH" | "PRE_TRADING" | "POST_TRADING" | "END_OF_DAY" => true,
        _ => return Err(row.status.rejection("status", "unknown")),
    };
    Ok((market, halted))
}

fn tick_size(filters: RawMember<'_>, ignored_fields: &mut Vec<Rejection>) -> Option<rust_decimal::Decimal> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
    struct Filter<'a> {
        filter_type: RawMember<'a>,
        tick_size: RawMember<'a>,
    }
    let raw = filters.non_null()?;
    let unreadable = || filters.rejection("filters", "type");
    let Ok(all) = json::cells(raw) else {
        ignored_fields.push(unreadable());
        return None;
    };
    let parsed = all.iter().map(|raw| json::record::<Filter<'_>>(raw).map_err(|_| unreadable()));
    let (filters, ignored): (Vec<_>, Vec<_>) = parsed.partition(Result::is_ok);
    // Reporting one of them is enough.
    ignored_fields.extend(ignored.into_iter().filter_map(Result::err).take(1));
    let price = filters.into_iter().flatten().find(|filter| filter.filter_type.lossy_text() == "PRICE_FILTER")?;
    // Zero disables the rule.
    optional_field(price.tick_size.optional_price("tickSize"), ignored_fields).map(Price::get)
}

/// Parses `[open time, open, high, low, close, volume, close time, quote volume, ...]`.
///
/// A quiet minute has a flat candle at the previous close.
fn candle(raw: &RawValue) -> Result<Candle, Rejection> {
    let row = json::cells(raw)?;
    let &[start, open, high, low, close, volume, end, quote_volume, ..] = row.as_slice() else {
        return Err(rejection("record", "type"));
    };
    let minute = candles::minute("openTime", RawMember::of(start).optional_time("openTime")?)?;
    // A longer candle, taken for a minute, would make the rest of its time look quiet.
    let last_moment = minute.end() - jiff::SignedDuration::from_millis(1);
    if RawMember::of(end).optional_time("closeTime")? != Some(last_moment) {
        return Err(rejection("closeTime", "candle"));
    }
    candles::checked(Candle {
        minute,
        open: RawMember::of(open).price("open")?,
        high: RawMember::of(high).price("high")?,
        low: RawMember::of(low).price("low")?,
        close: RawMember::of(close).price("close")?,
        base_volume: RawMember::of(volume).optional_volume("volume").unwrap_or_default(),
        quote_volume: RawMember::of(quote_volume).optional_volume("quoteVolume").unwrap_or_default(),
    })
}
