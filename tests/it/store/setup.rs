//! Temporary folders, and generated markets whose every trade is known.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use sisepan::clock::Clock;
use sisepan::feed::{FeedRecords, LastRecord};
use sisepan::market::{HourRecord, MINUTES_PER_HOUR, Market, Minute, Price, VenueId, Window};
use sisepan::store::{DATABASE_FILE, Restored, Store, StoreSettings};

pub const UPBIT: VenueId = VenueId("upbit");
pub const VENUES: [VenueId; 2] = [UPBIT, VenueId("bithumb")];
pub const FLUSH_MAX: Duration = Duration::from_secs(60);

/// The minute in which the trades of [`trade`] begin: 2026-01-10T00:00Z.
pub const FIRST: Minute = Minute(29_466_720);

/// A temporary directory, removed on drop.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sisepan-store-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self) -> PathBuf {
        self.0.join(DATABASE_FILE)
    }

    /// Returns the names of its entries, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn open(folder: &Path, now: Minute) -> (Store, Restored) {
    Store::open(folder, StoreSettings::default(), &VENUES, Clock::manual(now.start())).unwrap()
}

/// Reads all hours of a market.
pub fn all_hours(store: &Store, venue: VenueId, market: &Market) -> Vec<HourRecord> {
    store.history().hours(venue, market, Minute(0)..Minute(i64::MAX)).unwrap()
}

pub fn market(name: &str) -> Market {
    name.parse().unwrap()
}

pub fn markets() -> Vec<Market> {
    ["BTC-KRW", "ETH-KRW", "SAND-KRW"].map(market).to_vec()
}

/// Returns the last trade of a minute, if it has one. It differs by market; about a third of the minutes are quiet.
pub fn trade(market: &Market, minute: Minute) -> Option<(Timestamp, Price)> {
    let letters = market.as_str().bytes().fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mixed = (letters ^ minute.0.cast_unsigned()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = mixed ^ (mixed >> 29);
    if minute < FIRST || mixed.is_multiple_of(3) {
        return None;
    }
    let at = minute.start() + SignedDuration::from_millis(i64::try_from(mixed % 60_000).unwrap());
    let price = Decimal::new(i64::try_from(mixed % 1_000_000_007).unwrap() + 1, u32::try_from(mixed % 5).unwrap());
    Some((at, Price::new(price).unwrap()))
}

/// Returns the price of the last trade before `minute`, with the minute of the trade.
pub fn last_trade_before(market: &Market, minute: Minute) -> Option<(Minute, Price)> {
    let earlier = (FIRST.0..minute.0).rev().map(Minute);
    earlier.filter_map(|m| trade(market, m).map(|(_, price)| (m, price))).next()
}

/// Returns the true record of one hour, with its minutes before `until`.
pub fn true_hour(market: &Market, hour: Minute, until: Minute) -> HourRecord {
    let minutes: Vec<Minute> = (0..MINUTES_PER_HOUR).map(|n| hour.plus(n)).filter(|minute| *minute < until).collect();
    let covered = minutes.iter().fold(0u64, |bits, minute| bits | 1 << (minute.0 - hour.0));
    HourRecord {
        hour,
        closes: minutes.iter().filter_map(|&m| trade(market, m).map(|(at, price)| (m, at, price))).collect(),
        covered,
        settled: covered >> 7,
        close_before: last_trade_before(market, hour),
    }
}

pub fn true_last(market: &Market, until: Minute) -> LastRecord {
    let (minute, price) = last_trade_before(market, until).unwrap();
    LastRecord {
        last: price,
        venue_time: trade(market, minute).map(|(at, _)| at),
        trade_id: Some(u64::MAX - until.0.cast_unsigned()),
        received_at: minute.start(),
        confirmed_at: until.start(),
        confirmed_venue_time: Some(until.start()),
        sent_places: 3,
        high_24h: Some(price),
        low_24h: None,
        base_volume_24h: Some(Decimal::new(12_345_678_900, 8)),
        quote_volume_24h: None,
    }
}

/// Returns the true records of the hours of `span`.
pub fn true_records(market: &Market, span: Range<Minute>) -> FeedRecords {
    let hours = (span.start.0..span.end.0).step_by(60).map(Minute);
    FeedRecords {
        venue: UPBIT,
        market: market.clone(),
        last: Some(true_last(market, span.end)),
        listing: None,
        hours: hours.map(|hour| true_hour(market, hour, span.end)).collect(),
        reset: false,
    }
}

/// Asserts that every price restored from `hours` is true; returns how many of `span`'s minutes are known.
pub fn check_hours(market: &Market, hours: &[HourRecord], span: Range<Minute>) -> usize {
    let mut window = Window::default();
    window.restore(hours);
    let mut truth: BTreeMap<Minute, Price> = BTreeMap::new();
    truth.extend((FIRST.0..span.end.0).map(Minute).filter_map(|m| Some((m, trade(market, m)?.1))));
    let known = (span.start.0..=span.end.0).map(Minute).filter(|&minute| {
        let found = window.price_before(minute.start());
        let expected = truth.range(..minute).next_back().map(|(_, price)| *price);
        assert!(found.is_none() || found == expected, "{market} at {minute:?}: {found:?}, true is {expected:?}");
        found.is_some()
    });
    known.count()
}
