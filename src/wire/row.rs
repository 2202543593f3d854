//! A quote row as JSON, whole or only what changed.

use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::time::{self, Millis};

use crate::domain::{BaseSource, Basis, Direction, HaltReason, Market, Notice, Quote, State, VenueId};
use crate::text::{self, Lang};

/// One market, whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// `BTC-KRW`.
    pub market: Market,
    /// `BTC`.
    pub base: String,
    /// `KRW`.
    pub quote: String,
    /// The venue that the figures come from.
    pub venue: VenueId,
    /// Whether another venue is preferred but not healthy; left out of a whole row where not so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fallback: bool,
    /// Price of the last trade; `null` where never seen.
    pub last: Option<Decimal>,
    /// `null` where the base is not known.
    pub change: Option<RowChange>,
    /// Highest price of 24 hours; ours is of minute closes.
    pub high_24h: Option<Decimal>,
    /// Lowest price of 24 hours.
    pub low_24h: Option<Decimal>,
    /// Who says these two; `null` where they are not known.
    pub range_source: Option<BaseSource>,
    /// Volume of 24 hours in the base asset.
    pub base_volume_24h: Option<Decimal>,
    /// Volume of 24 hours in the quote asset.
    pub quote_volume_24h: Option<Decimal>,
    /// How far to rely on it.
    pub state: State,
    /// Why it is halted; left out of a whole row where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<HaltReason>,
    /// What the venue warns of; left out of a whole row where that is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<Arc<Notice>>,
    /// The venue's time of the last trade.
    #[serde(serialize_with = "time::millis_or_null")]
    pub traded_at: Option<Timestamp>,
    /// When we received it.
    #[serde(serialize_with = "time::millis_or_null")]
    pub received_at: Option<Timestamp>,
    /// When the venue last confirmed it.
    #[serde(serialize_with = "time::millis_or_null")]
    pub confirmed_at: Option<Timestamp>,
    /// The same as the page shows, where a language was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<RowText>,
}

/// The change of a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowChange {
    /// What it is measured against.
    pub basis: Basis,
    /// In percent, rounded once.
    pub percent: Decimal,
    /// In the quote asset, exact.
    pub amount: Decimal,
    /// The sign of `percent`.
    pub direction: Direction,
    /// The base price.
    pub base_price: Decimal,
    /// The base time.
    #[serde(serialize_with = "time::seconds")]
    pub base_at: Timestamp,
    /// Whose base it is.
    pub base_source: BaseSource,
}

/// What a reader sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RowText {
    /// `비트코인`.
    pub name: String,
    /// `142,187,000`.
    pub last: String,
    /// `+2.08%`.
    pub change: String,
    /// Why there is no change; left out where there is one, and where there is no price.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub no_change: String,
    /// `12.01 거래종료`; left out where there is nothing to warn of.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub notice: String,
}

impl Row {
    /// Returns it without the time of its last confirmation, which is no news.
    pub fn timeless(&self) -> Self {
        Self { confirmed_at: None, ..self.clone() }
    }

    /// Puts a quote into its shape for one basis, with texts if a language is asked for.
    pub fn new(quote: &Quote, basis: Basis, lang: Option<Lang>) -> Self {
        let change = quote.change(basis);
        let row_change = change.as_ref().zip(quote.base(basis)).map(|(change, base)| RowChange {
            basis,
            percent: change.percent,
            amount: plain(change.amount),
            direction: change.direction,
            base_price: plain(base.price.get()),
            base_at: base.at,
            base_source: base.source,
        });
        Self {
            market: quote.market.clone(),
            base: quote.market.base().to_owned(),
            quote: quote.market.quote().to_owned(),
            venue: quote.venue,
            fallback: quote.fallback,
            last: quote.last.map(|price| plain(price.get())),
            change: row_change,
            high_24h: quote.high_24h.map(|price| plain(price.get())),
            low_24h: quote.low_24h.map(|price| plain(price.get())),
            range_source: quote.range_source,
            base_volume_24h: quote.base_volume_24h.map(plain),
            quote_volume_24h: quote.quote_volume_24h.map(plain),
            state: quote.state,
            reason: quote.reason,
            notice: quote.notice.clone(),
            traded_at: quote.traded_at,
            received_at: quote.received_at,
            confirmed_at: quote.confirmed_at,
            text: lang.map(|lang| RowText {
                name: text::name(quote, lang),
                last: text::last(quote, lang),
                change: text::change(change.as_ref(), lang),
                no_change: text::no_change(quote, basis, lang),
                notice: text::notice(quote, lang),
            }),
        }
    }
}

/// Drops zeros after the point that say nothing. A percentage keeps its own: they say how it was rounded.
fn plain(value: Decimal) -> Decimal {
    value.normalize()
}

/// The members of a row that read differently from an older one, and its name.
#[derive(Debug, Clone, Copy)]
pub struct RowDelta<'a> {
    /// The row as the readers know it; `None` where they know none, and all of `new` is said.
    pub old: Option<&'a Row>,
    /// The row as it is.
    pub new: &'a Row,
}

impl Serialize for RowDelta<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (old, new) = (self.old, self.new);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("market", &new.market)?;
        macro_rules! changed {
            ($($member:ident),*) => {
                $(if old.is_none_or(|old| old.$member != new.$member) {
                    map.serialize_entry(stringify!($member), &new.$member)?;
                })*
            };
        }
        changed!(base, quote, venue, fallback, last, change);
        changed!(high_24h, low_24h, range_source, base_volume_24h, quote_volume_24h, state, reason, notice);
        for (name, new, old) in [
            ("traded_at", new.traded_at, old.map(|old| old.traded_at)),
            ("received_at", new.received_at, old.map(|old| old.received_at)),
            ("confirmed_at", new.confirmed_at, old.map(|old| old.confirmed_at)),
        ] {
            if old != Some(new) {
                map.serialize_entry(name, &Millis(new))?;
            }
        }
        if new.text.is_some() {
            changed!(text);
        }
        map.end()
    }
}
