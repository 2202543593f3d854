//! Bithumb (빗썸): KRW, USDT and BTC markets.
//!
//! Its `v1` uses Upbit's formats with these differences: the calendar day of
//! `prev_closing_price` starts at 00:00 in Seoul; the times of a REST ticker
//! are Seoul's local time written as Unix milliseconds, so nine hours ahead,
//! while those of the WebSocket are correct; the `to` of candles is Seoul's
//! local time unless it contains a time zone; errors come with HTTP 200.
//!
//! Its API before `v1` was still in service in 2026-09. We request none of it:
//! these legacy formats are only parsed in case the venue sends them. Every
//! number is a string, a response is wrapped into `status` and `data`, candles
//! are open-close-high-low, and the symbol is `BTC_KRW`. It has one thing that
//! `v1` lacks, a rolling 24-hour difference: `fluctate_24H`.
//!
//! Source: apidocs.bithumb.com (v2.1.5, and v1.2.0 for the legacy formats), read 2026-09; messages captured on
//! 2025-08-26 and 2026-09-23.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::adapter::{
    Incoming, Keepalive, Limit, Profile, Rate, Request, Response, RestQuery, Session, Stateless, TickerRecord, Venue,
    drop_contradictions, optional_field,
};
use super::candles;
use super::json::{self, ParseError, RawMember, Rejection, Shape, payload_error, rejection};
use super::upbit_like::{self, Row};
use crate::market::{Candle, Market, Price, Ticker, VenueId};

/// The exchange.
#[derive(Debug)]
pub struct Bithumb;

/// How far the times of the REST ticker are ahead.
const REST_TIME_AHEAD: SignedDuration = SignedDuration::from_hours(9);

static PROFILE: Profile = Profile {
    id: VenueId("bithumb"),
    rest: "https://api.bithumb.com",
    stream: "wss://ws-api.bithumb.com/websocket/v1",
    quotes: &["KRW", "USDT", "BTC"],
    // Idle connections are closed after about 120 s by the documentation, after 60.0 s in practice (2026-09).
    keepalive: Keepalive::Text("PING", Duration::from_secs(20)),
    silence_max: Duration::from_secs(10),
    stale_after: Duration::from_secs(15),
    lag: Duration::ZERO,
    lifetime: None,
    // No documented limit; 493 codes in one frame were all served (2026-09).
    markets_per_connection: 400,
    // Not documented; Upbit's limit.
    frames: &[Rate::per_second(5), Rate::per_minute(100)],
    connects: &[Rate::per_second(10)],
    // 150 requests per second and address, for each category separately.
    limits: &[
        Limit { group: "other", rates: &[Rate::per_second(150)] },
        Limit { group: "ticker", rates: &[Rate::per_second(150)] },
        Limit { group: "candle", rates: &[Rate::per_second(150)] },
    ],
    // At most 200 from 2026-10-13 on; more get HTTP 400.
    markets_per_request: 200,
    candles_per_request: 200,
    has_quiet_candles: false,
    minutes_kept: None,
    has_trade_times: true,
    needs_list: false,
};

impl Venue for Bithumb {
    fn profile(&self) -> &Profile {
        &PROFILE
    }

    fn symbol(&self, market: &Market) -> String {
        upbit_like::symbol(market)
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(Stateless { subscribe, parse })
    }

    fn request(&self, query: &RestQuery<'_>) -> Option<Request> {
        let (group, path) = match query {
            RestQuery::Markets => ("other", "/v1/market/all?isDetails=true".to_owned()),
            // The venue publishes no tick sizes.
            RestQuery::TickSizes(_) | RestQuery::Tickers([]) => return None,
            RestQuery::Tickers(markets) => {
                ("ticker", format!("/v1/ticker?markets={}", upbit_like::encode_markets(markets)))
            }
            // `to` is exclusive and, in the documented form without a time zone, Seoul's
            // local time. If it were ever taken as UTC, the response would contain
            // minutes after `end`, which `candles` rejects.
            RestQuery::Candles { market, end, count } => {
                let symbol = upbit_like::encode_markets(std::slice::from_ref(*market));
                let count = (*count).min(PROFILE.candles_per_request);
                let to = upbit_like::seoul().to_datetime(end.start()).strftime("%Y-%m-%d%%20%H:%M:%S");
                ("candle", format!("/v1/candles/minutes/1?market={symbol}&to={to}&count={count}"))
            }
        };
        Some(Request::get(path, group, 1))
    }

    fn response(&self, query: &RestQuery<'_>, body: &str) -> Result<Response, ParseError> {
        let body = match parse_legacy(query, body)? {
            LegacyBody::Response(response) => return Ok(response),
            LegacyBody::Rows(rows) => rows,
        };
        let rows = upbit_like::rows(body)?;
        match query {
            RestQuery::Markets => upbit_like::parse_listings(&rows),
            RestQuery::Tickers(_) => {
                let record = |raw| upbit_like::parse_record(raw, "market", ticker);
                Ok(Response::Tickers(rows.into_iter().map(record).collect()))
            }
            RestQuery::TickSizes(_) => Err(payload_error("unsupported query")),
            RestQuery::Candles { market, end, .. } => {
                upbit_like::parse_candles(&rows, market, *end).map(Response::Candles)
            }
        }
    }
}

fn subscribe(markets: &[Market], _current: &[Market]) -> Vec<String> {
    upbit_like::subscribe_frames(markets, None)
}

fn parse(text: &str) -> Result<Incoming, ParseError> {
    upbit_like::parse_frame(text, parse_legacy_frame)
}

/// Parses the ticker of a row of `/v1/ticker`.
///
/// Its `timestamp` repeats the time of the last trade and is not the time of the
/// message, so the ticker has none.
fn ticker(row: &Row<'_>, ignored_fields: &mut Vec<Rejection>) -> Result<Ticker, Rejection> {
    let ticker = upbit_like::parse_ticker(row, ignored_fields)?;
    let traded_at = ticker.traded_at.and_then(|stated| corrected_time(stated, row));
    Ok(Ticker { traded_at, sent_at: None, ..ticker })
}

/// Returns the correct time of a trade whose Unix milliseconds are nine hours ahead.
///
/// The row contains a check: `trade_date` and `trade_time` are UTC. If the venue
/// corrects its milliseconds one day, they agree, and are used as they are. With
/// any other difference the clock is unknown, and no time is guessed.
fn corrected_time(stated: Timestamp, row: &Row<'_>) -> Option<Timestamp> {
    let shifted = stated.checked_sub(REST_TIME_AHEAD).ok()?;
    match utc_of(row).map(Timestamp::as_second) {
        Some(utc) if utc == stated.as_second() => Some(stated),
        Some(utc) if utc != shifted.as_second() => None,
        _ => Some(shifted),
    }
}

/// Parses `trade_date` and `trade_time` (`20260830`, `042612`).
fn utc_of(row: &Row<'_>) -> Option<Timestamp> {
    let date = row.trade_date.optional_text("trade_date").ok()??;
    let time = row.trade_time.optional_text("trade_time").ok()??;
    let civil: DateTime = format!("{date}T{time}").parse().ok()?;
    TimeZone::UTC.to_timestamp(civil).ok()
}

/// The `status` of a legacy response with data.
const LEGACY_OK: &str = "0000";

/// What a body contains: a legacy response, or one of `v1`.
enum LegacyBody<'a> {
    /// A parsed legacy response.
    Response(Response),
    /// A `v1` response, without the envelope if it had one.
    Rows(&'a str),
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct LegacyEnvelope<'a> {
    status: RawMember<'a>,
    message: RawMember<'a>,
    data: RawMember<'a>,
}

/// Parses a body if it is a legacy response.
///
/// # Errors
/// [`ParseError::Refused`] for a `status` that is not `0000`.
fn parse_legacy<'a>(query: &RestQuery<'_>, body: &'a str) -> Result<LegacyBody<'a>, ParseError> {
    if json::shape(body)? == Shape::Array {
        return Ok(LegacyBody::Rows(body));
    }
    let envelope: LegacyEnvelope<'a> = json::object(body)?;
    if !envelope.status.is_present() {
        return Ok(LegacyBody::Rows(body));
    }
    if envelope.status.lossy_text() != LEGACY_OK {
        return Err(ParseError::Refused { code: envelope.status.lossy_text(), message: envelope.message.lossy_text() });
    }
    let data = envelope.data.non_null().ok_or_else(|| payload_error("it has no data"))?;
    match (query, json::shape(data.get())?) {
        (RestQuery::Tickers(requested), Shape::Object) => {
            legacy_tickers(requested, data).map(|t| LegacyBody::Response(Response::Tickers(t)))
        }
        (RestQuery::Candles { end, .. }, Shape::Array) => {
            let rows = json::list(data.get())?;
            if rows.first().is_some_and(|row| row.get().starts_with('{')) {
                return Ok(LegacyBody::Rows(data.get()));
            }
            Ok(LegacyBody::Response(Response::Candles(candles::parse(&rows, *end, legacy_candle)?)))
        }
        _ => Ok(LegacyBody::Rows(data.get())),
    }
}

/// Parses `/public/ticker/ALL_KRW` (an object keyed by base asset, and `date`) or `/public/ticker/BTC_KRW`.
///
/// Neither contains the quote asset: it is that of the requested markets.
fn legacy_tickers(requested: &[Market], data: &RawValue) -> Result<Vec<TickerRecord>, ParseError> {
    let members: BTreeMap<String, &RawValue> = json::object(data.get())?;
    let date = members.get("date").map_or(RawMember::default(), |raw| RawMember::of(raw));
    let sent_at = date.optional_time("date").unwrap_or_default();
    let first = requested.first().ok_or_else(|| payload_error("it does not name its market"))?;
    if members.contains_key("closing_price") {
        return Ok(vec![TickerRecord::new(Ok(upbit_like::symbol(first)), |ignored_fields| {
            legacy_ticker(data, sent_at, ignored_fields)
        })]);
    }
    let records = members.iter().filter(|(base, _)| *base != "date").map(|(base, raw)| {
        let market = Market::new(base, first.quote()).map_err(|_| rejection("data", "symbol"));
        TickerRecord::new(market.map(|market| upbit_like::symbol(&market)), |ignored_fields| {
            legacy_ticker(raw, sent_at, ignored_fields)
        })
    });
    Ok(records.collect())
}

fn legacy_ticker(
    raw: &RawValue,
    sent_at: Option<Timestamp>,
    ignored_fields: &mut Vec<Rejection>,
) -> Result<Ticker, Rejection> {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Figures<'a> {
        closing_price: RawMember<'a>,
        #[serde(rename = "units_traded_24H")]
        units_traded: RawMember<'a>,
        #[serde(rename = "acc_trade_value_24H")]
        acc_trade_value: RawMember<'a>,
        #[serde(rename = "fluctate_24H")]
        fluctate: RawMember<'a>,
    }
    let row: Figures<'_> = json::record(raw)?;
    let last = row.closing_price.price("closing_price")?;
    Ok(Ticker {
        sent_at,
        base_volume_24h: optional_field(row.units_traded.optional_volume("units_traded_24H"), ignored_fields),
        quote_volume_24h: optional_field(row.acc_trade_value.optional_volume("acc_trade_value_24H"), ignored_fields),
        base_24h: optional_field(legacy_base(last, row.fluctate), ignored_fields),
        ..Ticker::new(last)
    })
}

/// Returns the price 24 hours ago: last minus the rolling difference.
fn legacy_base(last: Price, fluctate: RawMember<'_>) -> Result<Option<Price>, Rejection> {
    let difference = fluctate.optional_signed("fluctate_24H")?;
    Ok(difference.and_then(|difference| last.get().checked_sub(difference)).and_then(Price::new))
}

/// Parses `[ms, open, close, high, low, volume]`; the close comes second.
fn legacy_candle(raw: &RawValue) -> Result<Candle, Rejection> {
    let row = json::cells(raw)?;
    let &[start, open, close, high, low, volume] = row.as_slice() else { return Err(rejection("record", "type")) };
    candles::checked(Candle {
        minute: candles::minute("time", RawMember::of(start).optional_time("time")?)?,
        open: RawMember::of(open).price("open")?,
        high: RawMember::of(high).price("high")?,
        low: RawMember::of(low).price("low")?,
        close: RawMember::of(close).price("close")?,
        base_volume: RawMember::of(volume).optional_volume("volume").unwrap_or_default(),
        quote_volume: None,
    })
}

/// Parses a frame of the old WebSocket API; returns `None` for other frames.
fn parse_legacy_frame(row: &Row<'_>) -> Option<Incoming> {
    if let (true, Some(content)) = (row.kind.lossy_text() == "ticker", row.content.non_null()) {
        return Some(Incoming::Tickers(vec![legacy_record(content)]));
    }
    if !row.resmsg.is_present() {
        return None;
    }
    let (status, message) = (row.status.lossy_text(), row.resmsg.lossy_text());
    Some(if status == LEGACY_OK { Incoming::Reply(message) } else { Incoming::Refused(format!("{status}: {message}")) })
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct LegacyFrame<'a> {
    symbol: RawMember<'a>,
    tick_type: RawMember<'a>,
    open_price: RawMember<'a>,
    close_price: RawMember<'a>,
    low_price: RawMember<'a>,
    high_price: RawMember<'a>,
    value: RawMember<'a>,
    volume: RawMember<'a>,
}

fn legacy_record(content: &RawValue) -> TickerRecord {
    let parse = || {
        let row: LegacyFrame<'_> = json::record(content)?;
        let symbol = row.symbol.symbol("symbol")?;
        let market = symbol.split_once('_').and_then(|(base, quote)| Market::new(base, quote).ok());
        Ok((market.ok_or_else(|| rejection("symbol", "symbol"))?, row))
    };
    match parse() {
        Ok((market, row)) => TickerRecord::new(Ok(upbit_like::symbol(&market)), |ignored_fields| {
            streamed_legacy_ticker(&row, ignored_fields)
        }),
        Err(rejection) => TickerRecord::unreadable(rejection),
    }
}

/// The figures are those of the period that the subscription chose; only `24H` is a rolling day.
fn streamed_legacy_ticker(row: &LegacyFrame<'_>, ignored_fields: &mut Vec<Rejection>) -> Result<Ticker, Rejection> {
    let last = Ticker::new(row.close_price.price("closePrice")?);
    if row.tick_type.lossy_text() != "24H" {
        return Ok(last);
    }
    let ticker = Ticker {
        high_24h: optional_field(row.high_price.optional_price("highPrice"), ignored_fields),
        low_24h: optional_field(row.low_price.optional_price("lowPrice"), ignored_fields),
        base_volume_24h: optional_field(row.volume.optional_volume("volume"), ignored_fields),
        quote_volume_24h: optional_field(row.value.optional_volume("value"), ignored_fields),
        base_24h: optional_field(row.open_price.optional_price("openPrice"), ignored_fields),
        ..last
    };
    Ok(drop_contradictions(ticker, ["highPrice", "lowPrice", "openPrice"], ignored_fields))
}
