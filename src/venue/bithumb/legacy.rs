//! The generation of Bithumb's interface before `v1`, still answering in 2026-09.
//!
//! Nothing here is asked for: these answers are read should they be what there
//! is. Every number is a string, an answer is wrapped into `status` and `data`,
//! candles are open-close-high-low, and the symbol is `BTC_KRW`. It has the one
//! thing that `v1` lacks, a rolling 24-hour difference: `fluctate_24H`.
//!
//! Source: apidocs.bithumb.com/v1.2.0, read 2026-09.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::json::{self, Raw, Shape, payload, refuse};
use super::super::upbit_like::{self, Row};
use super::super::{Answer, Ask, Incoming, ParseError, Record, Rejection, candles, consistent, side};
use crate::domain::{Candle, Market, Price, Ticker};

/// `status` of an answer that holds data.
const OK: &str = "0000";

/// What a body turned out to be.
pub(super) enum Found<'a> {
    /// An answer of this generation, read.
    Answer(Answer),
    /// A `v1` answer, out of its envelope if it had one.
    Rows(&'a str),
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Envelope<'a> {
    status: Raw<'a>,
    message: Raw<'a>,
    data: Raw<'a>,
}

/// Looks whether a body is of this generation, and reads it if so.
///
/// # Errors
/// [`ParseError::Refused`] for a `status` that is not `0000`.
pub(super) fn answer<'a>(ask: &Ask<'_>, body: &'a str) -> Result<Found<'a>, ParseError> {
    if json::shape(body)? == Shape::Array {
        return Ok(Found::Rows(body));
    }
    let envelope: Envelope<'a> = json::object(body)?;
    if !envelope.status.is_present() {
        return Ok(Found::Rows(body));
    }
    if envelope.status.words() != OK {
        return Err(ParseError::Refused { code: envelope.status.words(), message: envelope.message.words() });
    }
    let data = envelope.data.said().ok_or_else(|| payload("it has no data"))?;
    match (ask, json::shape(data.get())?) {
        (Ask::Tickers(asked), Shape::Object) => tickers(asked, data).map(|t| Found::Answer(Answer::Tickers(t))),
        (Ask::Candles { end, .. }, Shape::Array) => {
            let rows = json::list(data.get())?;
            if rows.first().is_some_and(|row| row.get().starts_with('{')) {
                return Ok(Found::Rows(data.get()));
            }
            Ok(Found::Answer(Answer::Candles(candles::read(&rows, *end, candle)?)))
        }
        _ => Ok(Found::Rows(data.get())),
    }
}

/// Reads `/public/ticker/ALL_KRW` (an object keyed by base asset, and `date`) or `/public/ticker/BTC_KRW`.
///
/// Neither says its quote asset: it is that of the markets asked for.
fn tickers(asked: &[Market], data: &RawValue) -> Result<Vec<Record>, ParseError> {
    let members: BTreeMap<String, &RawValue> = json::object(data.get())?;
    let date = members.get("date").map_or(Raw::default(), |raw| Raw::of(raw));
    let sent_at = date.time_maybe("date").unwrap_or_default();
    let first = asked.first().ok_or_else(|| payload("it does not say its market"))?;
    if members.contains_key("closing_price") {
        return Ok(vec![Record::new(Ok(upbit_like::symbol(first)), |left_out| ticker(data, sent_at, left_out))]);
    }
    let records = members.iter().filter(|(base, _)| *base != "date").map(|(base, raw)| {
        let market = Market::new(base, first.quote()).map_err(|_| refuse("data", "symbol"));
        Record::new(market.map(|market| upbit_like::symbol(&market)), |left_out| ticker(raw, sent_at, left_out))
    });
    Ok(records.collect())
}

fn ticker(raw: &RawValue, sent_at: Option<Timestamp>, left_out: &mut Vec<Rejection>) -> Result<Ticker, Rejection> {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Row<'a> {
        closing_price: Raw<'a>,
        #[serde(rename = "units_traded_24H")]
        units_traded: Raw<'a>,
        #[serde(rename = "acc_trade_value_24H")]
        acc_trade_value: Raw<'a>,
        #[serde(rename = "fluctate_24H")]
        fluctate: Raw<'a>,
    }
    let row: Row<'_> = json::record(raw)?;
    let last = row.closing_price.price("closing_price")?;
    Ok(Ticker {
        sent_at,
        base_volume_24h: side(row.units_traded.volume_maybe("units_traded_24H"), left_out),
        quote_volume_24h: side(row.acc_trade_value.volume_maybe("acc_trade_value_24H"), left_out),
        base_24h: side(base(last, row.fluctate), left_out),
        ..Ticker::new(last)
    })
}

/// Returns the price 24 hours ago: last minus the rolling difference.
fn base(last: Price, fluctate: Raw<'_>) -> Result<Option<Price>, Rejection> {
    let difference = fluctate.signed_maybe("fluctate_24H")?;
    Ok(difference.and_then(|difference| last.get().checked_sub(difference)).and_then(Price::new))
}

/// Reads `[ms, open, close, high, low, volume]`; mind the order.
fn candle(raw: &RawValue) -> Result<Candle, Rejection> {
    let row: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| refuse("record", "type"))?;
    let &[start, open, close, high, low, volume] = row.as_slice() else { return Err(refuse("record", "type")) };
    candles::checked(Candle {
        minute: candles::minute("time", Raw::of(start).time_maybe("time")?)?,
        open: Raw::of(open).price("open")?,
        high: Raw::of(high).price("high")?,
        low: Raw::of(low).price("low")?,
        close: Raw::of(close).price("close")?,
        base_volume: Raw::of(volume).volume_maybe("volume").unwrap_or_default(),
        quote_volume: None,
    })
}

/// Reads a frame of the old socket, if it is one.
pub(super) fn frame(row: &Row<'_>) -> Option<Incoming> {
    if let (true, Some(content)) = (row.kind.words() == "ticker", row.content.said()) {
        return Some(Incoming::Tickers(vec![streamed(content)]));
    }
    if !row.resmsg.is_present() {
        return None;
    }
    let (status, words) = (row.status.words(), row.resmsg.words());
    Some(if status == OK { Incoming::Reply(words) } else { Incoming::Refused(format!("{status}: {words}")) })
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Content<'a> {
    symbol: Raw<'a>,
    tick_type: Raw<'a>,
    open_price: Raw<'a>,
    close_price: Raw<'a>,
    low_price: Raw<'a>,
    high_price: Raw<'a>,
    value: Raw<'a>,
    volume: Raw<'a>,
}

fn streamed(content: &RawValue) -> Record {
    let read = || {
        let row: Content<'_> = json::record(content)?;
        let spelled = row.symbol.symbol("symbol")?;
        let market = spelled.split_once('_').and_then(|(base, quote)| Market::new(base, quote).ok());
        Ok((market.ok_or_else(|| refuse("symbol", "symbol"))?, row))
    };
    match read() {
        Ok((market, row)) => Record::new(Ok(upbit_like::symbol(&market)), |left_out| streamed_ticker(&row, left_out)),
        Err(fault) => Record::unreadable(fault),
    }
}

/// The figures are those of a window that the subscription chose: only `24H` is a rolling day.
fn streamed_ticker(row: &Content<'_>, left_out: &mut Vec<Rejection>) -> Result<Ticker, Rejection> {
    let last = Ticker::new(row.close_price.price("closePrice")?);
    if row.tick_type.words() != "24H" {
        return Ok(last);
    }
    let ticker = Ticker {
        high_24h: side(row.high_price.price_maybe("highPrice"), left_out),
        low_24h: side(row.low_price.price_maybe("lowPrice"), left_out),
        base_volume_24h: side(row.volume.volume_maybe("volume"), left_out),
        quote_volume_24h: side(row.value.volume_maybe("value"), left_out),
        base_24h: side(row.open_price.price_maybe("openPrice"), left_out),
        ..last
    };
    Ok(consistent(ticker, ["highPrice", "lowPrice", "openPrice"], left_out))
}
