//! The messages that Upbit invented and Bithumb took over with its `v1`.
//!
//! Shared by the two as functions, not as a base: what differs (hosts, zones,
//! limits, flags) stays in their own files. The calendar-day figures of a row
//! (`opening_price`, `high_price`, `low_price`, `prev_closing_price` and every
//! `change`) are never read: their day begins at 00:00 UTC at one venue and at
//! 00:00 in Seoul at the other, and neither is a rolling 24 hours.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::{self, Raw, Shape, payload, refuse};
use super::{Answer, Incoming, ParseError, Record, RejectedListing, Rejection, candles, side};
use crate::domain::{Candle, Listing, Market, Minute, Price, Ticker};

/// The clocks that date a trade and its message may be so far apart.
const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(5);

/// Longest name of a caution; the longest documented one has 31.
const CAUTION_BYTES_MAX: usize = 64;

/// Most cautions of a market; five are documented.
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
    pub(super) kind: Raw<'a>,
    pub(super) code: Raw<'a>,
    pub(super) market: Raw<'a>,
    pub(super) trade_price: Raw<'a>,
    pub(super) trade_date: Raw<'a>,
    pub(super) trade_time: Raw<'a>,
    pub(super) trade_timestamp: Raw<'a>,
    pub(super) timestamp: Raw<'a>,
    pub(super) acc_trade_price_24h: Raw<'a>,
    pub(super) acc_trade_volume_24h: Raw<'a>,
    pub(super) market_state: Raw<'a>,
    pub(super) is_trading_suspended: Raw<'a>,
    pub(super) delisting_date: Raw<'a>,
    pub(super) market_warning: Raw<'a>,
    pub(super) status: Raw<'a>,
    pub(super) error: Raw<'a>,
    pub(super) resmsg: Raw<'a>,
    pub(super) content: Raw<'a>,
}

/// The venue's own error, in a frame or in a body of HTTP 200 alike.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Fault<'a> {
    name: Raw<'a>,
    message: Raw<'a>,
}

/// The members that an answer has where it should have been a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Envelope<'a> {
    error: Raw<'a>,
}

/// Puts a market into the spelling `KRW-BTC`: the quote asset first.
pub(super) fn symbol(market: &Market) -> String {
    format!("{}-{}", market.quote(), market.base())
}

/// Reads the spelling `KRW-BTC`.
pub(super) fn market(symbol: &str) -> Option<Market> {
    let (quote, base) = symbol.split_once('-')?;
    Market::new(base, quote).ok()
}

/// Returns the symbols of markets as the value of a query parameter.
pub(super) fn query(markets: &[Market]) -> String {
    // Names come from exchanges: what could end a parameter must be encoded.
    let encode =
        |market: &Market| -> String { url::form_urlencoded::byte_serialize(symbol(market).as_bytes()).collect() };
    markets.iter().map(encode).collect::<Vec<_>>().join(",")
}

/// Returns the frame that asks for tickers of exactly `markets`; none for no market.
///
/// A frame replaces the one before it, so it holds the whole list; there is
/// none that takes all markets back. Without flags the venue sends a snapshot
/// of each market and then its trades. The ticket only names the request.
pub(super) fn subscribe(markets: &[Market], format: Option<&'static str>) -> Vec<String> {
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

/// Reads a frame of the socket; `legacy` gets those of another generation.
///
/// # Errors
/// [`ParseError::Payload`] if it is not JSON.
pub(super) fn frame(text: &str, other: impl Fn(&Row<'_>) -> Option<Incoming>) -> Result<Incoming, ParseError> {
    if json::shape(text)? == Shape::Array {
        // `JSON_LIST`, the same rows in a list: not asked for, but plain to read.
        return Ok(Incoming::Tickers(json::list(text)?.into_iter().map(|raw| record(raw, "code", ticker)).collect()));
    }
    let row: Row<'_> = json::object(text)?;
    if let Some(known) = other(&row) {
        return Ok(known);
    }
    if row.error.is_present() {
        let (code, message) = fault(row.error);
        return Ok(Incoming::Refused(format!("{code}: {message}")));
    }
    match row.kind.text_maybe("type") {
        Ok(Some(kind)) if kind == "ticker" => Ok(Incoming::Tickers(vec![read(&row, row.code, "code", ticker)])),
        Ok(None) if row.status.is_present() => Ok(Incoming::Reply(row.status.words())),
        _ => Ok(Incoming::Unknown(row.kind.words())),
    }
}

/// Returns the elements of an answer that should be a list.
///
/// # Errors
/// [`ParseError::Refused`] for the venue's error object, whatever the HTTP status was.
pub(super) fn rows(body: &str) -> Result<Vec<&RawValue>, ParseError> {
    if json::shape(body)? == Shape::Array {
        return json::list(body);
    }
    let envelope: Envelope<'_> = json::object(body)?;
    if envelope.error.is_present() {
        let (code, message) = fault(envelope.error);
        return Err(ParseError::Refused { code, message });
    }
    Err(payload("it is an object where a list was expected"))
}

/// Reads one row, its symbol from `market` or `code`.
pub(super) fn record(
    raw: &RawValue,
    field: &'static str,
    ticker: impl Fn(&Row<'_>, &mut Vec<Rejection>) -> Result<Ticker, Rejection>,
) -> Record {
    match json::record::<Row<'_>>(raw) {
        Ok(row) => read(&row, if field == "code" { row.code } else { row.market }, field, ticker),
        Err(fault) => Record::unreadable(fault),
    }
}

fn read(
    row: &Row<'_>,
    symbol: Raw<'_>,
    field: &'static str,
    ticker: impl Fn(&Row<'_>, &mut Vec<Rejection>) -> Result<Ticker, Rejection>,
) -> Record {
    Record::new(symbol.symbol(field).map(Cow::into_owned), |left_out| ticker(row, left_out))
}

/// Reads the figures of a row whose times are true Unix milliseconds.
pub(super) fn ticker(row: &Row<'_>, left_out: &mut Vec<Rejection>) -> Result<Ticker, Rejection> {
    let traded_at = row.trade_timestamp.time_maybe("trade_timestamp")?;
    let sent_at = sent_at(row, traded_at, left_out);
    let delisting = delisting(row, left_out);
    let (halted, delisted) = halted(row, delisting.flatten(), sent_at.or(traded_at), left_out);
    Ok(Ticker {
        traded_at,
        sent_at,
        base_volume_24h: side(row.acc_trade_volume_24h.volume_maybe("acc_trade_volume_24h"), left_out),
        quote_volume_24h: side(row.acc_trade_price_24h.volume_maybe("acc_trade_price_24h"), left_out),
        halted,
        delisted,
        warning: side(warning(row.market_warning), left_out),
        delisting,
        ..Ticker::new(row.trade_price.price("trade_price")?)
    })
}

/// Reads the time of the message, which can't lie before the trade that it tells of.
fn sent_at(row: &Row<'_>, traded_at: Option<Timestamp>, left_out: &mut Vec<Rejection>) -> Option<Timestamp> {
    let sent_at = side(row.timestamp.time_maybe("timestamp"), left_out)?;
    let early = traded_at.is_some_and(|traded_at| traded_at.duration_since(sent_at) > CLOCKS_APART);
    if early {
        left_out.push(row.timestamp.refuse("timestamp", "time"));
    }
    (!early).then_some(sent_at)
}

/// Returns whether the venue says that the market does not trade, if it says anything of it, and whether that is for good.
fn halted(
    row: &Row<'_>,
    delisting: Option<Date>,
    at: Option<Timestamp>,
    left_out: &mut Vec<Rejection>,
) -> (Option<bool>, bool) {
    let suspended = side(row.is_trading_suspended.truth_maybe("is_trading_suspended"), left_out);
    let state = side(market_state(row.market_state), left_out);
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

/// Reads `market_state`. A value that the venues do not document says nothing: a market whose trades go on is not halted
/// for it.
fn market_state(raw: Raw<'_>) -> Result<Option<MarketState>, Rejection> {
    Ok(Some(match raw.text_maybe("market_state")?.as_deref() {
        None => return Ok(None),
        Some("PREVIEW") => MarketState::Preview,
        Some("ACTIVE") => MarketState::Active,
        Some("DELISTED") => MarketState::Delisted,
        Some(_) => return Err(raw.refuse("market_state", "unknown")),
    }))
}

/// Reads the day on which the market is to be delisted, `2026-12-01` or, by a slip of types, `20261201`; `Some(None)` for
/// `null` and `""`, which say that there is none.
fn delisting(row: &Row<'_>, left_out: &mut Vec<Rejection>) -> Option<Option<Date>> {
    let raw = row.delisting_date;
    let said = raw.words();
    if said.is_empty() {
        return raw.is_present().then_some(None);
    }
    let date = said.parse().ok();
    if date.is_none() {
        left_out.push(raw.refuse("delisting_date", "time"));
    }
    date.map(Some)
}

/// Returns whether the day of delisting is over at the time of the message.
///
/// Trading ends at some hour of that day, which the date does not say: until the day is over, the venue's own word on the
/// state of the market counts. A date that we can't compare counts as over: a delisted market that looks live is the
/// worse error.
fn is_over(date: Date, at: Option<Timestamp>) -> bool {
    at.is_none_or(|at| date < seoul().to_datetime(at).date())
}

/// Reads `market_warning`: `CAUTION` is what the venues call 유의 (watch list), `NONE` is its absence.
fn warning(raw: Raw<'_>) -> Result<Option<bool>, Rejection> {
    match raw.text_maybe("market_warning")?.as_deref() {
        None => Ok(None),
        Some("NONE") => Ok(Some(false)),
        Some("CAUTION") => Ok(Some(true)),
        Some(_) => Err(raw.refuse("market_warning", "type")),
    }
}

/// The venue's error as code and words; its members come in either order.
pub(super) fn fault(error: Raw<'_>) -> (String, String) {
    let inside = error.said().and_then(|raw| json::record::<Fault<'_>>(raw).ok());
    inside.map_or_else(|| ("error".to_owned(), error.words()), |f| (f.name.words(), f.message.words()))
}

/// Reads a row of `/v1/market/all`; a market that does not trade any more is simply not in it.
///
/// Examples: `{"market":"KRW-BTC","korean_name":"비트코인","english_name":"Bitcoin","market_event":{"warning":false,
/// "caution":{"PRICE_FLUCTUATIONS":false,"TRADING_VOLUME_SOARING":true}}}` at Upbit,
/// `{"market":"KRW-BTC","korean_name":"비트코인","english_name":"Bitcoin","market_warning":"NONE"}` at Bithumb.
///
/// Source: docs.upbit.com/kr/reference/list-trading-pairs, apidocs.bithumb.com, read 2026-09.
fn listing(raw: &RawValue, left_out: &mut Vec<(Market, Rejection)>) -> Result<Listing, RejectedListing> {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Row<'a> {
        market: Raw<'a>,
        korean_name: Raw<'a>,
        english_name: Raw<'a>,
        market_warning: Raw<'a>,
        market_event: Raw<'a>,
    }
    let row: Row<'_> = json::record(raw)?;
    let symbol = row.market.symbol("market")?;
    let Some(market) = market(&symbol) else {
        return Err(RejectedListing { symbol: Some(symbol.into_owned()), rejection: refuse("market", "symbol") });
    };
    let mut odd = Vec::new();
    let name = |name: Raw<'_>, field, odd: &mut Vec<Rejection>| side(name.text_maybe(field), odd).map(Cow::into_owned);
    let event = event(row.market_event, &mut odd);
    let listing = Listing {
        korean_name: name(row.korean_name, "korean_name", &mut odd),
        english_name: name(row.english_name, "english_name", &mut odd),
        warning: side(warning(row.market_warning), &mut odd).or(event.warning),
        cautions: event.cautions,
        ..Listing::new(symbol, market)
    };
    left_out.extend(odd.into_iter().map(|rejection| (listing.market.clone(), rejection)));
    Ok(listing)
}

/// What `market_event` says, as far as it can be read.
#[derive(Default)]
struct MarketEvent {
    warning: Option<bool>,
    cautions: Option<Vec<String>>,
}

fn event(raw: Raw<'_>, odd: &mut Vec<Rejection>) -> MarketEvent {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Row<'a> {
        warning: Raw<'a>,
        caution: Raw<'a>,
    }
    let Some(said) = raw.said() else { return MarketEvent::default() };
    let Ok(row) = json::record::<Row<'_>>(said) else {
        odd.push(raw.refuse("market_event", "type"));
        return MarketEvent::default();
    };
    let warning = side(row.warning.truth_maybe("warning"), odd);
    let Some(said) = row.caution.said() else { return MarketEvent { warning, cautions: None } };
    let Ok(flags) = json::record::<BTreeMap<Cow<'_, str>, Raw<'_>>>(said) else {
        odd.push(row.caution.refuse("caution", "type"));
        return MarketEvent { warning, cautions: None };
    };
    let mut cautions = Vec::new();
    for (name, flag) in flags {
        // A name is passed on to readers: none that is not like those documented.
        let is_name = name.len() <= CAUTION_BYTES_MAX
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_name || name.is_empty() {
            odd.push(refuse("caution", "symbol"));
        } else if side(flag.truth_maybe("caution"), odd) == Some(true) && cautions.len() < CAUTIONS_MAX {
            cautions.push(name.into_owned());
        }
    }
    MarketEvent { warning, cautions: Some(cautions) }
}

/// Reads a row of `/v1/orderbook/instruments`.
///
/// Example: `{"market":"KRW-BTC","quote_currency":"KRW","tick_size":"1000","supported_levels":["0","10000"]}`.
///
/// Source: docs.upbit.com/kr/reference (list-orderbook-instruments), read 2026-09.
pub(super) fn tick_size(raw: &RawValue) -> (String, Result<Decimal, Rejection>) {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Row<'a> {
        market: Raw<'a>,
        tick_size: Raw<'a>,
    }
    let row: Row<'_> = match json::record(raw) {
        Ok(row) => row,
        Err(fault) => return (String::new(), Err(fault)),
    };
    match row.market.symbol("market") {
        Ok(symbol) => (symbol.into_owned(), row.tick_size.price("tick_size").map(Price::get)),
        Err(fault) => (String::new(), Err(fault)),
    }
}

/// Reads a listing, or fails on an empty one: no exchange has no market.
pub(super) fn listings(rows: &[&RawValue]) -> Result<Answer, ParseError> {
    if rows.is_empty() {
        return Err(payload("it is an empty list of markets"));
    }
    let mut left_out = Vec::new();
    let listings = rows.iter().map(|raw| listing(raw, &mut left_out)).collect();
    Ok(Answer::Markets { listings, left_out })
}

/// Reads the candles of `asked`: newest first, minutes without a trade left out.
pub(super) fn minute_candles(rows: &[&RawValue], asked: &Market, end: Minute) -> Result<Vec<Candle>, ParseError> {
    candles::read(rows, end, |raw| candle(raw, asked))
}

fn candle(raw: &RawValue, asked: &Market) -> Result<Candle, Rejection> {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Row<'a> {
        market: Raw<'a>,
        candle_date_time_utc: Raw<'a>,
        opening_price: Raw<'a>,
        high_price: Raw<'a>,
        low_price: Raw<'a>,
        trade_price: Raw<'a>,
        candle_acc_trade_price: Raw<'a>,
        candle_acc_trade_volume: Raw<'a>,
        unit: Raw<'a>,
    }
    let row: Row<'_> = json::record(raw)?;
    if market(&row.market.symbol("market")?).as_ref() != Some(asked) {
        return Err(refuse("market", "symbol"));
    }
    // Candles of a day have no unit: read as minutes, they would call a whole day quiet.
    if row.unit.count_maybe("unit")? != Some(1) {
        return Err(refuse("unit", "candle"));
    }
    let opened = row.candle_date_time_utc.text_maybe("candle_date_time_utc")?;
    candles::checked(Candle {
        minute: candles::minute("candle_date_time_utc", opened.and_then(|text| utc(&text)))?,
        open: row.opening_price.price("opening_price")?,
        high: row.high_price.price("high_price")?,
        low: row.low_price.price("low_price")?,
        close: row.trade_price.price("trade_price")?,
        base_volume: row.candle_acc_trade_volume.volume_maybe("candle_acc_trade_volume").unwrap_or_default(),
        quote_volume: row.candle_acc_trade_price.volume_maybe("candle_acc_trade_price").unwrap_or_default(),
    })
}

/// Reads `2026-08-30T04:26:00`, a UTC time that does not say so.
fn utc(text: &str) -> Option<Timestamp> {
    let civil: DateTime = text.parse().ok()?;
    TimeZone::UTC.to_timestamp(civil).ok()
}

/// Korean time, which has had no other offset since 1988.
pub(super) fn seoul() -> TimeZone {
    TimeZone::fixed(jiff::tz::offset(9))
}
