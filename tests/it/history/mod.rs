//! The past on the outside: what is kept, what `/api/v1/history` says of it, and the page of a market.

#![allow(clippy::unwrap_used, reason = "a test that can't go on says so by panicking")]

mod api;
mod laws;
mod memory;
mod page;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use sisepan::domain::{FeedRecords, HourRecord, Market, Minute, Price, VenueId};
use sisepan::past::MemoryHistory;

/// Minute → its close; `None` is covered and quiet. What is not in it is a hole.
pub type Told = BTreeMap<i64, Option<Price>>;

pub fn price(text: &str) -> Price {
    text.parse().unwrap()
}

pub fn minute(text: &str) -> i64 {
    Minute::of(text.parse().unwrap()).0
}

/// The records of the hours that hold what is told.
pub fn hours(told: &Told) -> Vec<HourRecord> {
    let mut hours: BTreeMap<Minute, HourRecord> = BTreeMap::new();
    let mut standing: Option<(i64, Minute, Price)> = None;
    for (&minute, &close) in told {
        let hour = HourRecord::of(Minute(minute));
        standing = standing.filter(|&(known, ..)| known == minute - 1);
        let before = standing.filter(|_| hour.0 == minute).map(|(_, at, price)| (at, price));
        let record = hours.entry(hour).or_insert_with(|| HourRecord {
            hour,
            closes: Vec::new(),
            covered: 0,
            settled: 0,
            before,
        });
        record.covered |= 1 << (minute - hour.0);
        record.closes.extend(close.map(|price| (Minute(minute), Minute(minute).start(), price)));
        standing =
            close.map(|price| (minute, Minute(minute), price)).or(standing.map(|(_, at, price)| (minute, at, price)));
    }
    hours.into_values().collect()
}

pub fn records(venue: &'static str, market: &str, told: &Told) -> FeedRecords {
    let market: Market = market.parse().unwrap();
    FeedRecords { venue: VenueId(venue), market, last: None, listing: None, hours: hours(told), anew: false }
}

pub fn kept(venue: &'static str, market: &str, told: &Told) -> Arc<MemoryHistory> {
    let history = MemoryHistory::default();
    history.take(&[records(venue, market, told)]);
    Arc::new(history)
}

/// A trade in each minute of the range, its price counted up from `first`.
pub fn rising(minutes: Range<i64>, first: i64) -> Told {
    let price = |n: i64| Price::new(rust_decimal::Decimal::from(first + n));
    minutes.clone().map(|minute| (minute, price(minute - minutes.start))).collect()
}
