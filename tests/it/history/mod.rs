//! Price history: records in memory, `/api/v1/history`, and the page of a market.

#![allow(clippy::unwrap_used, reason = "a test that can't continue should panic")]

mod api;
mod memory;
mod page;
mod properties;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use sisepan::feed::FeedRecords;
use sisepan::market::{HourRecord, Market, Minute, Price, VenueId};
use sisepan::store::MemoryHistory;

/// Closes by minute. `None` is a covered minute without a trade; an absent minute is a gap.
pub type MinuteCloses = BTreeMap<i64, Option<Price>>;

pub fn price(text: &str) -> Price {
    text.parse().unwrap()
}

pub fn minute(text: &str) -> i64 {
    Minute::of(text.parse().unwrap()).0
}

/// Returns the hour records of these closes.
pub fn hours(closes: &MinuteCloses) -> Vec<HourRecord> {
    let mut hours: BTreeMap<Minute, HourRecord> = BTreeMap::new();
    let mut previous: Option<(i64, Minute, Price)> = None;
    for (&minute, &close) in closes {
        let hour = HourRecord::hour_of(Minute(minute));
        previous = previous.filter(|&(known, ..)| known == minute - 1);
        let before = previous.filter(|_| hour.0 == minute).map(|(_, at, price)| (at, price));
        let record = hours.entry(hour).or_insert_with(|| HourRecord {
            hour,
            closes: Vec::new(),
            covered: 0,
            settled: 0,
            close_before: before,
        });
        record.covered |= 1 << (minute - hour.0);
        record.closes.extend(close.map(|price| (Minute(minute), Minute(minute).start(), price)));
        previous =
            close.map(|price| (minute, Minute(minute), price)).or(previous.map(|(_, at, price)| (minute, at, price)));
    }
    hours.into_values().collect()
}

pub fn records(venue: &'static str, market: &str, closes: &MinuteCloses) -> FeedRecords {
    let market: Market = market.parse().unwrap();
    FeedRecords { venue: VenueId(venue), market, last: None, listing: None, hours: hours(closes), reset: false }
}

pub fn memory_history(venue: &'static str, market: &str, closes: &MinuteCloses) -> Arc<MemoryHistory> {
    let history = MemoryHistory::default();
    history.record(&[records(venue, market, closes)]);
    Arc::new(history)
}

/// Returns a trade in each minute of the range, with prices that count up from `first`.
pub fn rising(minutes: Range<i64>, first: i64) -> MinuteCloses {
    let price = |n: i64| Price::new(rust_decimal::Decimal::from(first + n));
    minutes.clone().map(|minute| (minute, price(minute - minutes.start))).collect()
}
