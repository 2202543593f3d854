//! The message formats of Upbit, which Bithumb adopted with its `v1`.
//!
//! The two share functions, not a base type: what differs (hosts, time zones,
//! limits, flags) stays in their own files. The calendar-day figures of a row
//! (`opening_price`, `high_price`, `low_price`, `prev_closing_price` and every
//! `change`) are never used: their day starts at 00:00 UTC at one venue and at
//! 00:00 in Seoul at the other, and neither is a rolling 24 hours.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::adapter::{Incoming, RejectedListing, Response, TickerRecord, optional_field};
use super::candles;
use super::json::{self, ParseError, RawMember, Rejection, Shape, payload_error, rejection};
use crate::feed::Listing;
use crate::market::{Candle, Market, Minute, Price, Ticker};

/// Largest difference between the clocks that stamp a trade and its message.
const CLOCK_DIFFERENCE_MAX: SignedDuration = SignedDuration::from_secs(5);

/// Longest name of a caution, in bytes; the longest documented one has 31.
const CAUTION_BYTES_MAX: usize = 64;

/// Maximum number of cautions of a market; five are documented.
const CAUTIONS_MAX: usize = 16;

/// A row of `/v1/ticker`, a `ticker` frame, or a status or error frame.
///
/// Example: `{"type":"ticker","code":"KRW-BTC","trade_price":116208000,"trade_timestamp":1790133513858,
/// "market_state":"ACTIVE","is_trading_suspended":false,"delisting_date":"","timestamp":1790133514044,
/// "stream_type":"REALTIME"}`.
///
/// Source: docs.upbit.com/kr/reference/websocket-ticker and list-tickers, apidocs.bithumb.com, read 2026-09.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Row<'a> {
    #[serde(rename = "type")]
    pub(super) kind: RawMember<'a>,
    pub(super) code: RawMember<'a>,
    pub(super) market: RawMember<'a>,
    pub(super) trade_price: RawMember<'a>,
    pub(super) trade_date: RawMember<'a>,
    pub(super) trade_time: RawMember<'a>,
    pub(super) trade_timestamp: RawMember<'a>,
    pub(super) timestamp: RawMember<'a>,
    pub(super) acc_trade_price_24h: RawMember<'a>,
    pub(super) acc_trade_volume_24h: RawMember<'a>,
    pub(super) market_state: RawMember<'a>,
    pub(super) is_trading_suspended: RawMember<'a>,
    pub(super) delisting_date: RawMember<'a>,
    pub(super) market_warning: RawMember<'a>,
    pub(super) status: RawMember<'a>,
    pub(super) error: RawMember<'a>,
    pub(super) resmsg: RawMember<'a>,
    pub(super) content: RawMember<'a>,
}

/// An error of the venue, in a frame or in the body of an HTTP 200.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct VenueError<'a> {
    name: RawMember<'a>,
    message: RawMember<'a>,
}

/// The members of a response that is not the expected list.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Envelope<'a> {
    error: RawMember<'a>,
}

/// Formats a market as the symbol `KRW-BTC`: the quote asset first.
pub(super) fn symbol(market: &Market) -> String {
    format!("{}-{}", market.quote(), market.base())
}

/// Parses a symbol such as `KRW-BTC`.
pub(super) fn parse_symbol(symbol: &str) -> Option<Market> {
    let (quote, base) = symbol.split_once('-')?;
    Market::new(base, quote).ok()
}

/// Encodes the symbols of markets as the value of a query parameter.
pub(super) fn encode_markets(markets: &[Market]) -> String {
    // Asset names come from exchanges: encode anything that could end the parameter.
    let encode =
        |market: &Market| -> String { url::form_urlencoded::byte_serialize(symbol(market).as_bytes()).collect() };
    markets.iter().map(encode).collect::<Vec<_>>().join(",")
}

/// Returns the frame that subscribes to the tickers of exactly `markets`; none if that is empty.
///
/// A frame replaces the previous one, so it contains the whole list; no frame
/// can unsubscribe from all markets. Without flags the venue sends a snapshot
/// of each market and then its trades. The ticket only identifies the request.
pub(super) fn subscribe_frames(markets: &[Market], format: Option<&'static str>) -> Vec<String> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Part {
        Ticket { ticket: &'static str },
        Type { r#type: &'static str, codes: Vec<String> },
        Format { format: &'static str },
    }
    if markets.is_empty() {
        return Vec::new();
    }
    let mut parts = vec![
        Part::Ticket { ticket: "sisepan" },
        Part::Type { r#type: "ticker", codes: markets.iter().map(symbol).collect() },
    ];
    parts.extend(format.map(|format| Part::Format { format }));
    serde_json::to_string(&parts).into_iter().collect()
}

/// Parses a WebSocket frame; `parse_other` is tried first, for frames in another format.
///
/// # Errors
/// [`ParseError::Payload`] if it is not JSON.
pub(super) fn parse_frame(
    text: &str,
    parse_other: impl Fn(&Row<'_>) -> Option<Incoming>,
) -> Result<Incoming, ParseError> {
    if json::shape(text)? == Shape::Array {
        // Format `JSON_LIST`, the same rows in a list: not requested, but easy to parse.
        return Ok(Incoming::Tickers(
            json::list(text)?.into_iter().map(|raw| parse_record(raw, "code", parse_ticker)).collect(),
        ));
    }
    let row: Row<'_> = json::object(text)?;
    if let Some(incoming) = parse_other(&row) {
        return Ok(incoming);
    }
    if row.error.is_present() {
        let (code, message) = venue_error(row.error);
        return Ok(Incoming::Refused(format!("{code}: {message}")));
    }
    match row.kind.optional_text("type") {
        Ok(Some(kind)) if kind == "ticker" => {
            Ok(Incoming::Tickers(vec![parse_row(&row, row.code, "code", parse_ticker)]))
        }
        Ok(None) if row.status.is_present() => Ok(Incoming::Reply(row.status.lossy_text())),
        _ => Ok(Incoming::Unknown(row.kind.lossy_text())),
    }
}

/// Returns the elements of a response that should be a list.
///
/// # Errors
/// [`ParseError::Refused`] for the venue's error object, whatever the HTTP status was.
pub(super) fn rows(body: &str) -> Result<Vec<&RawValue>, ParseError> {
    if json::shape(body)? == Shape::Array {
        return json::list(body);
    }
    let envelope: Envelope<'_> = json::object(body)?;
    if envelope.error.is_present() {
        let (code, message) = venue_error(envelope.error);
        return Err(ParseError::Refused { code, message });
    }
    Err(payload_error("expected a list, got an object"))
}

/// Parses one row, with the symbol from `field`: `market` or `code`.
pub(super) fn parse_record(
    raw: &RawValue,
    field: &'static str,
    ticker: impl Fn(&Row<'_>, &mut Vec<Rejection>) -> Result<Ticker, Rejection>,
) -> TickerRecord {
    match json::record::<Row<'_>>(raw) {
        Ok(row) => parse_row(&row, if field == "code" { row.code } else { row.market }, field, ticker),
        Err(rejection) => TickerRecord::unreadable(rejection),
    }
}

fn parse_row(
    row: &Row<'_>,
    symbol: RawMember<'_>,
    field: &'static str,
    ticker: impl Fn(&Row<'_>, &mut Vec<Rejection>) -> Result<Ticker, Rejection>,
) -> TickerRecord {
    TickerRecord::new(symbol.symbol(field).map(Cow::into_owned), |ignored_fields| ticker(row, ignored_fields))
}

/// Parses the ticker of a row with times in correct Unix milliseconds.
pub(super) fn parse_ticker(row: &Row<'_>, ignored_fields: &mut Vec<Rejection>) -> Result<Ticker, Rejection> {
    let traded_at = row.trade_timestamp.optional_time("trade_timestamp")?;
    let sent_at = sent_at(row, traded_at, ignored_fields);
    let delisting = delisting(row, ignored_fields);
    let (halted, delisted) = halted(row, delisting.flatten(), sent_at.or(traded_at), ignored_fields);
    Ok(Ticker {
        traded_at,
        sent_at,
        base_volume_24h: optional_field(
            row.acc_trade_volume_24h.optional_volume("acc_trade_volume_24h"),
            ignored_fields,
        ),
        quote_volume_24h: optional_field(
            row.acc_trade_price_24h.optional_volume("acc_trade_price_24h"),
            ignored_fields,
        ),
        halted,
        delisted,
        warning: optional_field(warning(row.market_warning), ignored_fields),
        delisting,
        ..Ticker::new(row.trade_price.price("trade_price")?)
    })
}

/// Parses the time of the message, which can't be earlier than that of the trade in it.
fn sent_at(row: &Row<'_>, traded_at: Option<Timestamp>, ignored_fields: &mut Vec<Rejection>) -> Option<Timestamp> {
    let sent_at = optional_field(row.timestamp.optional_time("timestamp"), ignored_fields)?;
    let is_early = traded_at.is_some_and(|traded_at| traded_at.duration_since(sent_at) > CLOCK_DIFFERENCE_MAX);
    if is_early {
        ignored_fields.push(row.timestamp.rejection("timestamp", "time"));
    }
    (!is_early).then_some(sent_at)
}

/// Returns whether the market is halted, if the row contains anything about it, and whether it is delisted.
fn halted(
    row: &Row<'_>,
    delisting: Option<Date>,
    at: Option<Timestamp>,
    ignored_fields: &mut Vec<Rejection>,
) -> (Option<bool>, bool) {
    let suspended = optional_field(row.is_trading_suspended.optional_bool("is_trading_suspended"), ignored_fields);
    let state = optional_field(market_state(row.market_state), ignored_fields);
    if suspended.is_none() && state.is_none() && delisting.is_none() {
        return (None, false);
    }
    let delisted = state == Some(MarketState::Delisted) || delisting.is_some_and(|date| is_over(date, at));
    let inactive = state.is_some_and(|state| state != MarketState::Active);
    (Some(suspended == Some(true) || inactive || delisted), delisted)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MarketState {
    /// Deposits are open, trading is not yet.
    Preview,
    Active,
    Delisted,
}

/// Parses `market_state`. An undocumented value is rejected: it must not halt a market that still trades.
fn market_state(raw: RawMember<'_>) -> Result<Option<MarketState>, Rejection> {
    Ok(Some(match raw.optional_text("market_state")?.as_deref() {
        None => return Ok(None),
        Some("PREVIEW") => MarketState::Preview,
        Some("ACTIVE") => MarketState::Active,
        Some("DELISTED") => MarketState::Delisted,
        Some(_) => return Err(raw.rejection("market_state", "unknown")),
    }))
}

/// Parses the day of delisting: `2026-12-01` or, as a number by mistake, `20261201`. Returns `Some(None)` for
/// `null` and `""`, which mean that there is none.
fn delisting(row: &Row<'_>, ignored_fields: &mut Vec<Rejection>) -> Option<Option<Date>> {
    let raw = row.delisting_date;
    let text = raw.lossy_text();
    if text.is_empty() {
        return raw.is_present().then_some(None);
    }
    let date = text.parse().ok();
    if date.is_none() {
        ignored_fields.push(raw.rejection("delisting_date", "time"));
    }
    date.map(Some)
}

/// Returns whether the day of delisting is over at the time of the message.
///
/// Trading ends at some hour of that day, which the date does not contain: until the day is over, the market's own
/// state counts. Without a time to compare with, the day counts as over: a delisted market that looks live is the
/// worse error.
fn is_over(date: Date, at: Option<Timestamp>) -> bool {
    at.is_none_or(|at| date < seoul().to_datetime(at).date())
}

/// Parses `market_warning`: `CAUTION` is what the venues call 유의 (watch list), `NONE` is its absence.
fn warning(raw: RawMember<'_>) -> Result<Option<bool>, Rejection> {
    match raw.optional_text("market_warning")?.as_deref() {
        None => Ok(None),
        Some("NONE") => Ok(Some(false)),
        Some("CAUTION") => Ok(Some(true)),
        Some(_) => Err(raw.rejection("market_warning", "type")),
    }
}

/// Returns the code and the message of a venue's error.
fn venue_error(error: RawMember<'_>) -> (String, String) {
    let inner = error.non_null().and_then(|raw| json::record::<VenueError<'_>>(raw).ok());
    inner.map_or_else(|| ("error".to_owned(), error.lossy_text()), |f| (f.name.lossy_text(), f.message.lossy_text()))
}

/// Parses a row of `/v1/market/all`, which omits markets that no longer trade.
///
/// Examples: `{"market":"KRW-BTC","korean_name":"비트코인","english_name":"Bitcoin","market_event":{"warning":false,
/// "caution":{"PRICE_FLUCTUATIONS":false,"TRADING_VOLUME_SOARING":true}}}` at Upbit,
/// `{"market":"KRW-BTC","korean_name":"비트코인","english_name":"Bitcoin","market_warning":"NONE"}` at Bithumb.
///
/// Source: docs.upbit.com/kr/reference/list-trading-pairs, apidocs.bithumb.com, read 2026-09.
fn listing(raw: &RawValue, ignored_fields: &mut Vec<(Market, Rejection)>) -> Result<Listing, RejectedListing> {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Row<'a> {
        market: RawMember<'a>,
        korean_name: RawMember<'a>,
        english_name: RawMember<'a>,
        market_warning: RawMember<'a>,
        market_event: RawMember<'a>,
    }
    let row: Row<'_> = json::record(raw)?;
    let symbol = row.market.symbol("market")?;
    let Some(market) = parse_symbol(&symbol) else {
        return Err(RejectedListing::new(symbol, rejection("market", "symbol")));
    };
    let mut ignored = Vec::new();
    let name = |name: RawMember<'_>, field, ignored: &mut Vec<Rejection>| {
        optional_field(name.optional_text(field), ignored).map(Cow::into_owned)
    };
    let event = event(row.market_event, &mut ignored);
    let listing = Listing {
        korean_name: name(row.korean_name, "korean_name", &mut ignored),
        english_name: name(row.english_name, "english_name", &mut ignored),
        warning: optional_field(warning(row.market_warning), &mut ignored).or(event.warning),
        cautions: event.cautions,
        ..Listing::new(symbol, market)
    };
    ignored_fields.extend(ignored.into_iter().map(|rejection| (listing.market.clone(), rejection)));
    Ok(listing)
}

/// The contents of `market_event`, as far as they can be parsed.
#[derive(Default)]
struct MarketEvent {
    warning: Option<bool>,
    cautions: Option<Vec<String>>,
}

fn event(raw: RawMember<'_>, ignored: &mut Vec<Rejection>) -> MarketEvent {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Row<'a> {
        warning: RawMember<'a>,
        caution: RawMember<'a>,
    }
    let Some(text) = raw.non_null() else { return MarketEvent::default() };
    let Ok(row) = json::record::<Row<'_>>(text) else {
        ignored.push(raw.rejection("market_event", "type"));
        return MarketEvent::default();
    };
    let warning = optional_field(row.warning.optional_bool("warning"), ignored);
    let Some(text) = row.caution.non_null() else { return MarketEvent { warning, cautions: None } };
    let Ok(flags) = json::record::<BTreeMap<Cow<'_, str>, RawMember<'_>>>(text) else {
        ignored.push(row.caution.rejection("caution", "type"));
        return MarketEvent { warning, cautions: None };
    };
    let mut cautions = Vec::new();
    for (name, flag) in flags {
        // Names are shown to readers: accept only names like the documented ones.
        let is_name = name.len() <= CAUTION_BYTES_MAX
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_name || name.is_empty() {
            ignored.push(rejection("caution", "symbol"));
        } else if optional_field(flag.optional_bool("caution"), ignored) == Some(true) && cautions.len() < CAUTIONS_MAX
        {
            cautions.push(name.into_owned());
        }
    }
    MarketEvent { warning, cautions: Some(cautions) }
}

/// Parses a row of `/v1/orderbook/instruments`.
///
/// Example: `{"market":"KRW-BTC","quote_currency":"KRW","tick_size":"1000","supported_levels":["0","10000"]}`.
///
/// Source: docs.upbit.com/kr/reference (list-orderbook-instruments), read 2026-09.
pub(super) fn parse_tick_size(raw: &RawValue) -> (String, Result<Decimal, Rejection>) {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Row<'a> {
        market: RawMember<'a>,
        tick_size: RawMember<'a>,
    }
    let row: Row<'_> = match json::record(raw) {
        Ok(row) => row,
        Err(rejection) => return (String::new(), Err(rejection)),
    };
    match row.market.symbol("market") {
        Ok(symbol) => (symbol.into_owned(), row.tick_size.price("tick_size").map(Price::get)),
        Err(rejection) => (String::new(), Err(rejection)),
    }
}

/// Parses a market list; an empty one is an error, since every exchange has markets.
pub(super) fn parse_listings(rows: &[&RawValue]) -> Result<Response, ParseError> {
    if rows.is_empty() {
        return Err(payload_error("it is an empty list of markets"));
    }
    let mut ignored_fields = Vec::new();
    let listings = rows.iter().map(|raw| listing(raw, &mut ignored_fields)).collect();
    Ok(Response::Markets { listings, ignored_fields })
}

/// Parses the candles of `requested`. The rows are newest first, and omit minutes without a trade.
pub(super) fn parse_candles(rows: &[&RawValue], requested: &Market, end: Minute) -> Result<Vec<Candle>, ParseError> {
    candles::parse(rows, end, |raw| candle(raw, requested))
}

fn candle(raw: &RawValue, requested: &Market) -> Result<Candle, Rejection> {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Row<'a> {
        market: RawMember<'a>,
        candle_date_time_utc: RawMember<'a>,
        opening_price: RawMember<'a>,
        high_price: RawMember<'a>,
        low_price: RawMember<'a>,
        trade_price: RawMember<'a>,
        candle_acc_trade_price: RawMember<'a>,
        candle_acc_trade_volume: RawMember<'a>,
        unit: RawMember<'a>,
    }
    let row: Row<'_> = json::record(raw)?;
    if parse_symbol(&row.market.symbol("market")?).as_ref() != Some(requested) {
        return Err(rejection("market", "symbol"));
    }
    // Daily candles have no unit: taken for minutes, they would make the rest of the day look quiet.
    if row.unit.optional_count("unit")? != Some(1) {
        return Err(rejection("unit", "candle"));
    }
    let opened = row.candle_date_time_utc.optional_text("candle_date_time_utc")?;
    candles::checked(Candle {
        minute: candles::minute("candle_date_time_utc", opened.and_then(|text| utc(&text)))?,
        open: row.opening_price.price("opening_price")?,
        high: row.high_price.price("high_price")?,
        low: row.low_price.price("low_price")?,
        close: row.trade_price.price("trade_price")?,
        base_volume: row.candle_acc_trade_volume.optional_volume("candle_acc_trade_volume").unwrap_or_default(),
        quote_volume: row.candle_acc_trade_price.optional_volume("candle_acc_trade_price").unwrap_or_default(),
    })
}

/// Parses `2026-08-30T04:26:00`, a UTC time without a time zone.
fn utc(text: &str) -> Option<Timestamp> {
    let civil: DateTime = text.parse().ok()?;
    TimeZone::UTC.to_timestamp(civil).ok()
}

/// Returns the Korean time zone, whose offset has not changed since 1988.
pub(super) fn seoul() -> TimeZone {
    TimeZone::fixed(jiff::tz::offset(9))
}
