//! Bithumb's API before `v1`, still in service in 2026-09.
//!
//! We request none of this: these formats are only parsed in case the venue sends
//! them. Every number is a string, a response is wrapped into `status` and
//! `data`, candles are open-close-high-low, and the symbol is `BTC_KRW`. It has
//! one thing that `v1` lacks, a rolling 24-hour difference: `fluctate_24H`.
//!
//! Source: apidocs.bithumb.com/v1.2.0, read 2026-09.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::json::{self, RawMember, Shape, payload_error, rejection};
use super::super::upbit_like::{self, Row};
use super::super::{
    Incoming, ParseError, Rejection, Response, RestQuery, TickerRecord, candles, drop_contradictions, optional_field,
};
use crate::market::{Candle, Market, Price, Ticker};

/// The `status` of a response with data.
const OK: &str = "0000";

/// What a body contains.
pub(super) enum Body<'a> {
    /// A parsed response of this version.
    Response(Response),
    /// A `v1` response, without the envelope if it had one.
    Rows(&'a str),
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Envelope<'a> {
    status: RawMember<'a>,
    message: RawMember<'a>,
    data: RawMember<'a>,
}

/// Parses a body if it is of this version.
///
/// # Errors
/// [`ParseError::Refused`] for a `status` that is not `0000`.
pub(super) fn parse_response<'a>(query: &RestQuery<'_>, body: &'a str) -> Result<Body<'a>, ParseError> {
    if json::shape(body)? == Shape::Array {
        return Ok(Body::Rows(body));
    }
    let envelope: Envelope<'a> = json::object(body)?;
    if !envelope.status.is_present() {
        return Ok(Body::Rows(body));
    }
    if envelope.status.lossy_text() != OK {
        return Err(ParseError::Refused { code: envelope.status.lossy_text(), message: envelope.message.lossy_text() });
    }
    let data = envelope.data.non_null().ok_or_else(|| payload_error("it has no data"))?;
    match (query, json::shape(data.get())?) {
        (RestQuery::Tickers(requested), Shape::Object) => {
            tickers(requested, data).map(|t| Body::Response(Response::Tickers(t)))
        }
        (RestQuery::Candles { end, .. }, Shape::Array) => {
            let rows = json::list(data.get())?;
            if rows.first().is_some_and(|row| row.get().starts_with('{')) {
                return Ok(Body::Rows(data.get()));
            }
            Ok(Body::Response(Response::Candles(candles::parse(&rows, *end, candle)?)))
        }
        _ => Ok(Body::Rows(data.get())),
    }
}

/// Parses `/public/ticker/ALL_KRW` (an object keyed by base asset, and `date`) or `/public/ticker/BTC_KRW`.
///
/// Neither contains the quote asset: it is that of the requested markets.
fn tickers(requested: &[Market], data: &RawValue) -> Result<Vec<TickerRecord>, ParseError> {
    let members: BTreeMap<String, &RawValue> = json::object(data.get())?;
    let date = members.get("date").map_or(RawMember::default(), |raw| RawMember::of(raw));
    let sent_at = date.optional_time("date").unwrap_or_default();
    let first = requested.first().ok_or_else(|| payload_error("it does not name its market"))?;
    if members.contains_key("closing_price") {
        return Ok(vec![TickerRecord::new(Ok(upbit_like::symbol(first)), |ignored_fields| {
            ticker(data, sent_at, ignored_fields)
        })]);
    }
    let records = members.iter().filter(|(base, _)| *base != "date").map(|(base, raw)| {
        let market = Market::new(base, first.quote()).map_err(|_| rejection("data", "symbol"));
        TickerRecord::new(market.map(|market| upbit_like::symbol(&market)), |ignored_fields| {
            ticker(raw, sent_at, ignored_fields)
        })
    });
    Ok(records.collect())
}

fn ticker(
    raw: &RawValue,
    sent_at: Option<Timestamp>,
    ignored_fields: &mut Vec<Rejection>,
) -> Result<Ticker, Rejection> {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Row<'a> {
        closing_price: RawMember<'a>,
        #[serde(rename = "units_traded_24H")]
        units_traded: RawMember<'a>,
        #[serde(rename = "acc_trade_value_24H")]
        acc_trade_value: RawMember<'a>,
        #[serde(rename = "fluctate_24H")]
        fluctate: RawMember<'a>,
    }
    let row: Row<'_> = json::record(raw)?;
    let last = row.closing_price.price("closing_price")?;
    Ok(Ticker {
        sent_at,
        base_volume_24h: optional_field(row.units_traded.optional_volume("units_traded_24H"), ignored_fields),
        quote_volume_24h: optional_field(row.acc_trade_value.optional_volume("acc_trade_value_24H"), ignored_fields),
        base_24h: optional_field(base(last, row.fluctate), ignored_fields),
        ..Ticker::new(last)
    })
}

/// Returns the price 24 hours ago: last minus the rolling difference.
fn base(last: Price, fluctate: RawMember<'_>) -> Result<Option<Price>, Rejection> {
    let difference = fluctate.optional_signed("fluctate_24H")?;
    Ok(difference.and_then(|difference| last.get().checked_sub(difference)).and_then(Price::new))
}

/// Parses `[ms, open, close, high, low, volume]`; the close comes second.
fn candle(raw: &RawValue) -> Result<Candle, Rejection> {
    let row: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| rejection("record", "type"))?;
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
pub(super) fn parse_frame(row: &Row<'_>) -> Option<Incoming> {
    if let (true, Some(content)) = (row.kind.lossy_text() == "ticker", row.content.non_null()) {
        return Some(Incoming::Tickers(vec![parse_streamed(content)]));
    }
    if !row.resmsg.is_present() {
        return None;
    }
    let (status, message) = (row.status.lossy_text(), row.resmsg.lossy_text());
    Some(if status == OK { Incoming::Reply(message) } else { Incoming::Refused(format!("{status}: {message}")) })
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Content<'a> {
    symbol: RawMember<'a>,
    tick_type: RawMember<'a>,
    open_price: RawMember<'a>,
    close_price: RawMember<'a>,
    low_price: RawMember<'a>,
    high_price: RawMember<'a>,
    value: RawMember<'a>,
    volume: RawMember<'a>,
}

fn parse_streamed(content: &RawValue) -> TickerRecord {
    let parse = || {
        let row: Content<'_> = json::record(content)?;
        let symbol = row.symbol.symbol("symbol")?;
        let market = symbol.split_once('_').and_then(|(base, quote)| Market::new(base, quote).ok());
        Ok((market.ok_or_else(|| rejection("symbol", "symbol"))?, row))
    };
    match parse() {
        Ok((market, row)) => {
            TickerRecord::new(Ok(upbit_like::symbol(&market)), |ignored_fields| streamed_ticker(&row, ignored_fields))
        }
        Err(rejection) => TickerRecord::unreadable(rejection),
    }
}

/// The figures are those of the period that the subscription chose; only `24H` is a rolling day.
fn streamed_ticker(row: &Content<'_>, ignored_fields: &mut Vec<Rejection>) -> Result<Ticker, Rejection> {
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
