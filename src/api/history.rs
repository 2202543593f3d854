//! History of a market: JSON columns of equal steps, or CSV.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde::Serialize;

use super::time;
use crate::market::history::Bar;
use crate::market::{Market, Price, VenueId};

/// Metadata of a history response.
#[derive(Debug, Clone, Copy)]
pub struct HistoryHead<'a> {
    /// The market.
    pub market: &'a Market,
    /// The venue of the prices.
    pub venue: VenueId,
    /// The venues that may be requested.
    pub venues: &'a [VenueId],
    /// The span: `24h` or `7d`.
    pub span: &'a str,
    /// The step between two entries: `1m`, `1h`.
    pub step: &'a str,
    /// The step in seconds.
    pub step_seconds: u32,
    /// Start of the first entry.
    pub start: Timestamp,
    /// End of the last entry.
    pub end: Timestamp,
    /// Whether the prices are simulated.
    pub demo: bool,
}

/// The body of `/api/v1/history/{market}`.
#[derive(Debug, Serialize)]
struct History<'a> {
    market: &'a Market,
    base: &'a str,
    quote: &'a str,
    venue: VenueId,
    venues: &'a [VenueId],
    span: &'a str,
    step: &'a str,
    step_seconds: u32,
    #[serde(serialize_with = "time::seconds")]
    start: Timestamp,
    #[serde(serialize_with = "time::seconds")]
    end: Timestamp,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    demo: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<Column>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<Column>,
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<Column>,
    close: Column,
    quiet: Vec<[usize; 2]>,
}

type Column = Vec<Option<Decimal>>;

/// Encodes a history as JSON.
pub fn history_json(head: HistoryHead<'_>, bars: &[Option<Bar>]) -> Vec<u8> {
    let column =
        |price: fn(&Bar) -> Price| bars.iter().map(|bar| bar.as_ref().map(|bar| plain(price(bar)))).collect::<Column>();
    let wide = |price: fn(&Bar) -> Price| has_ohlc(head).then(|| column(price));
    let HistoryHead { market, venue, venues, span, step, step_seconds, start, end, demo } = head;
    super::json(&History {
        market,
        base: market.base(),
        quote: market.quote(),
        venue,
        venues,
        span,
        step,
        step_seconds,
        start,
        end,
        demo,
        open: wide(|bar| bar.open),
        high: wide(|bar| bar.high),
        low: wide(|bar| bar.low),
        close: column(|bar| bar.close),
        quiet: quiet(bars),
    })
}

/// Encodes a history as CSV, one line per entry. No cell contains text from a venue.
pub fn history_csv(head: HistoryHead<'_>, bars: &[Option<Bar>]) -> String {
    let wide = has_ohlc(head);
    let mut csv = String::from(if wide { "time,open,high,low,close,quiet\n" } else { "time,close,quiet\n" });
    for (bar, at) in bars.iter().zip(starts(head)) {
        // Writing to a `String` can't fail.
        let _ = match bar {
            Some(bar) if wide => {
                let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(plain);
                writeln!(csv, "{at:.0},{open},{high},{low},{close},{}", !bar.traded)
            }
            Some(bar) => writeln!(csv, "{at:.0},{},{}", plain(bar.close), !bar.traded),
            None => writeln!(csv, "{at:.0},{}", if wide { ",,,," } else { "," }),
        };
    }
    csv
}

/// Returns whether entries have open, high and low. A single minute has only its close.
fn has_ohlc(head: HistoryHead<'_>) -> bool {
    head.step_seconds > 60
}

/// Returns the start times of the entries.
fn starts(head: HistoryHead<'_>) -> impl Iterator<Item = Timestamp> {
    let step = SignedDuration::from_secs(i64::from(head.step_seconds));
    std::iter::successors(Some(head.start), move |at| at.checked_add(step).ok())
}

/// Returns the runs of entries without a trade: index of the first entry, and their number.
fn quiet(bars: &[Option<Bar>]) -> Vec<[usize; 2]> {
    let mut runs: Vec<[usize; 2]> = Vec::new();
    for (at, _) in bars.iter().enumerate().filter(|(_, bar)| bar.is_some_and(|bar| !bar.traded)) {
        match runs.last_mut() {
            Some([from, count]) if *from + *count == at => *count += 1,
            _ => runs.push([at, 1]),
        }
    }
    runs
}

fn plain(price: Price) -> Decimal {
    price.get().normalize()
}
