//! Binance's ticker formats: one-letter fields in the stream, whole words over HTTP.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::json::{self, RawMember, Shape};
use super::super::{CONTRADICTION, ParseError, Rejection, TickerRecord, drop_contradictions, optional_field};
use crate::market::{Price, Ticker};

/// A ticker in one of the venue's formats.
pub(super) trait TickerFormat<'a>: Deserialize<'a> {
    fn symbol(&self) -> Result<String, Rejection>;
    fn ticker(&self, ignored_fields: &mut Vec<Rejection>) -> Result<Ticker, Rejection>;
}

pub(super) fn parse_record<'a, F: TickerFormat<'a>>(raw: &'a RawValue) -> TickerRecord {
    json::record::<F>(raw).map_or_else(TickerRecord::unreadable, |source| to_record(&source))
}

pub(super) fn to_record<'a>(source: &impl TickerFormat<'a>) -> TickerRecord {
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
pub(super) struct Event<'a> {
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

impl Event<'_> {
    /// Returns whether it is a ticker by its type; other events share some of its fields.
    pub(super) fn is_ticker(&self) -> bool {
        let kind = self.e.optional_text("e").ok().flatten();
        matches!(kind.as_deref(), Some("24hrTicker" | "24hrMiniTicker"))
    }
}

impl<'a> TickerFormat<'a> for Event<'a> {
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
struct Row<'a> {
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

impl<'a> TickerFormat<'a> for Row<'a> {
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
pub(super) fn parse_response(body: &str) -> Result<Vec<TickerRecord>, ParseError> {
    match json::shape(body)? {
        Shape::Array => Ok(json::list(body)?.into_iter().map(parse_record::<Row<'_>>).collect()),
        Shape::Object => Ok(vec![to_record(&json::object::<Row<'_>>(body)?)]),
    }
}
