//! A ticker in each of Binance's spellings: one letter in the stream, whole words over HTTP.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::json::{self, Raw, Shape};
use super::super::{CONTRADICTION, ParseError, Record, Rejection, consistent, side};
use crate::domain::{Price, Ticker};

/// Figures in one of the venue's spellings.
pub(super) trait Figures<'a>: Deserialize<'a> {
    fn symbol(&self) -> Result<String, Rejection>;
    fn ticker(&self, left_out: &mut Vec<Rejection>) -> Result<Ticker, Rejection>;
}

pub(super) fn record<'a, F: Figures<'a>>(raw: &'a RawValue) -> Record {
    json::record::<F>(raw).map_or_else(Record::unreadable, |f| read(&f))
}

pub(super) fn read<'a>(figures: &impl Figures<'a>) -> Record {
    Record::new(figures.symbol(), |left_out| figures.ticker(left_out))
}

/// Reads the price of 24 hours ago; it and the change since then give the last one.
fn opened(open: Raw<'_>, field: &'static str, change: Raw<'_>, last: Price) -> Result<Option<Price>, Rejection> {
    let price = open.price_maybe(field)?;
    // It is of no other use: one that can't be read proves nothing.
    let change = change.signed_maybe(field).ok().flatten();
    match price.zip(change) {
        Some((price, change)) if price.get().checked_add(change) != Some(last.get()) => {
            Err(open.refuse(field, CONTRADICTION))
        }
        _ => Ok(price),
    }
}

/// A `24hrTicker` or `24hrMiniTicker`; the members of the second are among those of the first.
///
/// Example: `{"e":"24hrTicker","E":1772574569035,"s":"BTCUSDT","c":"68004.12000000","o":"69442.01000000",
/// "h":"69506.94000000","l":"66158.00000000","v":"25691.57255000","q":"1742778450.16795780","L":6054521811}`.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Event<'a> {
    e: Raw<'a>,
    #[serde(rename = "E")]
    sent: Raw<'a>,
    s: Raw<'a>,
    c: Raw<'a>,
    p: Raw<'a>,
    o: Raw<'a>,
    h: Raw<'a>,
    l: Raw<'a>,
    v: Raw<'a>,
    q: Raw<'a>,
    #[serde(rename = "L")]
    last_id: Raw<'a>,
}

impl Event<'_> {
    /// Returns whether it says that it is one; other events have some of the same members.
    pub(super) fn is_ticker(&self) -> bool {
        let kind = self.e.text_maybe("e").ok().flatten();
        matches!(kind.as_deref(), Some("24hrTicker" | "24hrMiniTicker"))
    }
}

impl<'a> Figures<'a> for Event<'a> {
    fn symbol(&self) -> Result<String, Rejection> {
        self.s.symbol("s").map(Into::into)
    }

    fn ticker(&self, left_out: &mut Vec<Rejection>) -> Result<Ticker, Rejection> {
        let last = self.c.price("c")?;
        let ticker = Ticker {
            sent_at: self.sent.time_maybe("E")?,
            trade_id: side(self.last_id.count_maybe("L"), left_out),
            high_24h: side(self.h.price_maybe("h"), left_out),
            low_24h: side(self.l.price_maybe("l"), left_out),
            base_volume_24h: side(self.v.volume_maybe("v"), left_out),
            quote_volume_24h: side(self.q.volume_maybe("q"), left_out),
            base_24h: side(opened(self.o, "o", self.p, last), left_out),
            ..Ticker::new(last)
        };
        Ok(consistent(ticker, ["h", "l", "o"], left_out))
    }
}

/// A row of `/api/v3/ticker/24hr`, or of `/api/v3/ticker/price`, which says only `price`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Row<'a> {
    symbol: Raw<'a>,
    price: Raw<'a>,
    last_price: Raw<'a>,
    price_change: Raw<'a>,
    open_price: Raw<'a>,
    high_price: Raw<'a>,
    low_price: Raw<'a>,
    volume: Raw<'a>,
    quote_volume: Raw<'a>,
    close_time: Raw<'a>,
    last_id: Raw<'a>,
}

impl<'a> Figures<'a> for Row<'a> {
    fn symbol(&self) -> Result<String, Rejection> {
        self.symbol.symbol("symbol").map(Into::into)
    }

    fn ticker(&self, left_out: &mut Vec<Rejection>) -> Result<Ticker, Rejection> {
        let last =
            if self.price.is_present() { self.price.price("price")? } else { self.last_price.price("lastPrice")? };
        let ticker = Ticker {
            sent_at: self.close_time.time_maybe("closeTime")?,
            trade_id: side(self.last_id.count_maybe("lastId"), left_out),
            high_24h: side(self.high_price.price_maybe("highPrice"), left_out),
            low_24h: side(self.low_price.price_maybe("lowPrice"), left_out),
            base_volume_24h: side(self.volume.volume_maybe("volume"), left_out),
            quote_volume_24h: side(self.quote_volume.volume_maybe("quoteVolume"), left_out),
            base_24h: side(opened(self.open_price, "openPrice", self.price_change, last), left_out),
            ..Ticker::new(last)
        };
        Ok(consistent(ticker, ["highPrice", "lowPrice", "openPrice"], left_out))
    }
}

/// Reads a ticker answer: one symbol is answered by an object, several by a list.
pub(super) fn answered(body: &str) -> Result<Vec<Record>, ParseError> {
    match json::shape(body)? {
        Shape::Array => Ok(json::list(body)?.into_iter().map(record::<Row<'_>>).collect()),
        Shape::Object => Ok(vec![read(&json::object::<Row<'_>>(body)?)]),
    }
}
