//! Quote rows as JSON, complete or as deltas, and as CSV.

use std::fmt::{Display, Write as _};
use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::time::{self, Millis};
use crate::locale::{self, Lang};
use crate::market::{BaseSource, Basis, Direction, HaltReason, Market, Notice, Quote, State, VenueId};

/// Complete row of one market.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// `BTC-KRW`.
    pub market: Market,
    /// `BTC`.
    pub base: String,
    /// `KRW`.
    pub quote: String,
    /// The venue of the figures.
    pub venue: VenueId,
    /// Whether a preferred venue is unhealthy; omitted from a complete row if false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fallback: bool,
    /// Price of the last trade; `null` if none was ever received.
    pub last: Option<Decimal>,
    /// The change; `null` if the base price is unknown.
    pub change: Option<RowChange>,
    /// Highest price of the last 24 hours; our own is computed from minute closes.
    pub high_24h: Option<Decimal>,
    /// Lowest price of the last 24 hours.
    pub low_24h: Option<Decimal>,
    /// Source of high and low; `null` if they are unknown.
    pub range_source: Option<BaseSource>,
    /// Volume of the last 24 hours in the base asset.
    pub base_volume_24h: Option<Decimal>,
    /// Volume of the last 24 hours in the quote asset.
    pub quote_volume_24h: Option<Decimal>,
    /// State of the row.
    pub state: State,
    /// Why the market is halted; omitted from a complete row if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<HaltReason>,
    /// Notice of the venue; omitted from a complete row if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<Arc<Notice>>,
    /// Venue time of the last trade.
    #[serde(serialize_with = "time::millis_or_null")]
    pub traded_at: Option<Timestamp>,
    /// Time at which the last trade was received.
    #[serde(serialize_with = "time::millis_or_null")]
    pub received_at: Option<Timestamp>,
    /// Time of the venue's last confirmation of the price.
    #[serde(serialize_with = "time::millis_or_null")]
    pub confirmed_at: Option<Timestamp>,
    /// Localised texts, if a language was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<RowText>,
}

/// The change of a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowChange {
    /// The basis.
    pub basis: Basis,
    /// The change in percent, rounded once.
    pub percent: Decimal,
    /// The change in the quote asset, exact.
    pub amount: Decimal,
    /// The sign of `percent`.
    pub direction: Direction,
    /// The base price.
    pub base_price: Decimal,
    /// The base time.
    #[serde(serialize_with = "time::seconds")]
    pub base_at: Timestamp,
    /// Source of the base price.
    pub base_source: BaseSource,
}

/// Localised texts of a row, as shown on pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RowText {
    /// `비트코인`.
    pub name: String,
    /// `142,187,000`.
    pub last: String,
    /// `+2.08%`.
    pub change: String,
    /// Why there is no change; omitted if there is one, or if there is no price and the market was not listed again.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub no_change: String,
    /// `12.01 거래종료`; omitted if there is no notice.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub notice: String,
}

impl Row {
    /// Returns the row without the time of its last confirmation, which does not count as a change.
    pub fn without_confirmation(&self) -> Self {
        Self { confirmed_at: None, ..self.clone() }
    }

    /// Creates the row of a quote for one basis, with texts if a language is requested.
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
                name: locale::name(quote, lang),
                last: locale::last(quote, lang),
                change: locale::change(change.as_ref(), lang),
                no_change: locale::no_change(quote, basis, lang),
                notice: locale::notice(quote, lang),
            }),
        }
    }
}

/// Removes trailing zeros. Percentages keep theirs, which show the precision of the rounding.
fn plain(value: Decimal) -> Decimal {
    value.normalize()
}

/// Changed members of a row, compared with an older one, and its market.
#[derive(Debug, Clone, Copy)]
pub struct RowDelta<'a> {
    /// The row last sent; `None` to encode all members of `new`.
    pub old: Option<&'a Row>,
    /// The current row.
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

const CSV_HEAD: &str = "market,base,quote,venue,last,change_percent,change_amount,direction,basis,base_price,base_at,base_source,\
     high_24h,low_24h,range_source,base_volume_24h,quote_volume_24h,state,traded_at,received_at,confirmed_at,reason,notice,notice_date,cautions\n";

/// Encodes rows as CSV with a header line.
pub fn rows_csv(rows: &[Row], basis: Basis) -> String {
    let mut csv = String::from(CSV_HEAD);
    for row in rows {
        let change = row.change.as_ref();
        let time = |at: Option<Timestamp>| at.map_or_else(String::new, |at| format!("{at:.3}"));
        let cells = [
            text(row.market.as_str()),
            text(&row.base),
            text(&row.quote),
            row.venue.to_string(),
            cell(row.last),
            cell(change.map(|change| change.percent)),
            cell(change.map(|change| change.amount)),
            cell(change.map(|change| change.direction.as_str())),
            basis.to_string(),
            cell(change.map(|change| change.base_price)),
            change.map_or_else(String::new, |change| format!("{:.0}", change.base_at)),
            cell(change.map(|change| change.base_source.as_str())),
            cell(row.high_24h),
            cell(row.low_24h),
            cell(row.range_source.map(|source| source.as_str())),
            cell(row.base_volume_24h),
            cell(row.quote_volume_24h),
            row.state.as_str().to_owned(),
            time(row.traded_at),
            time(row.received_at),
            time(row.confirmed_at),
            cell(row.reason.map(|reason| reason.as_str())),
            cell(row.notice.as_ref().map(|notice| notice.kind.as_str())),
            cell(row.notice.as_ref().and_then(|notice| notice.date)),
            row.notice.as_ref().map_or_else(String::new, |notice| notice.cautions.join(" ")),
        ];
        // Writing to a `String` can't fail.
        let _ = writeln!(csv, "{}", cells.join(","));
    }
    csv
}

/// Encodes text chosen by an exchange: quoted if it contains a delimiter (RFC 4180), and prefixed with an
/// apostrophe if a spreadsheet would interpret it as a formula.
fn text(name: &str) -> String {
    const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    let plain = if name.starts_with(FORMULA) { format!("'{name}") } else { name.to_owned() };
    if plain.contains(['"', ',', ';', '\'']) { format!("\"{}\"", plain.replace('"', "\"\"")) } else { plain }
}

/// Encodes a value; an unknown one as an empty cell.
fn cell(value: Option<impl Display>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
