//! The history in memory: what it keeps and what it drops.

use sisepan::market::history::{MinuteClose, minute_closes};
use sisepan::market::{HourSource, Market, Minute, Redenomination, VenueId};
use sisepan::store::{HOURS_MAX, MemoryHistory, RescaledHistory};

use super::{MinuteCloses, memory_history, price, records, rising};

const FIRST: i64 = 29_000_040;

fn market() -> Market {
    "BTC-KRW".parse().unwrap()
}

#[test]
fn an_hour_that_the_window_partly_dropped_stays_complete() {
    let history = memory_history("upbit", "BTC-KRW", &rising(FIRST..FIRST + 60, 100));
    // The window has dropped the first half, and a candle has corrected the rest.
    history.record(&[records("upbit", "BTC-KRW", &rising(FIRST + 30..FIRST + 60, 900))]);
    let hours = history.hours(VenueId("upbit"), &market(), Minute(FIRST)..Minute(FIRST + 60)).unwrap();
    let prices: Vec<_> = hours[0].closes.iter().map(|&(.., price)| price).collect();
    assert_eq!((hours.len(), prices.len(), hours[0].covered.count_ones()), (1, 60, 60));
    assert_eq!((prices[29], prices[30]), (price("129"), price("900")));
}

#[test]
fn eight_days_are_kept_and_no_more() {
    let history = memory_history("upbit", "BTC-KRW", &MinuteCloses::new());
    for hour in 0..300 {
        let from = FIRST + hour * 60;
        history.record(&[records("upbit", "BTC-KRW", &rising(from..from + 1, 1))]);
    }
    let all = history.hours(VenueId("upbit"), &market(), Minute(0)..Minute(i64::MAX)).unwrap();
    assert_eq!((all.len(), all[0].hour), (HOURS_MAX, Minute(FIRST + (300 - 192) * 60)));
}

#[test]
fn only_the_requested_hours_are_returned() {
    let history = memory_history("upbit", "BTC-KRW", &rising(FIRST..FIRST + 600, 1));
    let hours_in = |from: i64, to: i64| {
        let span = Minute(FIRST + from)..Minute(FIRST + to);
        history.hours(VenueId("upbit"), &market(), span).unwrap().iter().map(|h| h.hour.0 - FIRST).collect::<Vec<_>>()
    };
    assert_eq!(hours_in(59, 61), [0, 60]);
    assert_eq!(hours_in(60, 120), [60]);
    assert_eq!(hours_in(61, 61), [] as [i64; 0]);
    assert_eq!(hours_in(-600, 0), [] as [i64; 0]);
    assert!(history.hours(VenueId("bithumb"), &market(), Minute(0)..Minute(i64::MAX)).unwrap().is_empty());
}

#[test]
fn a_relisted_market_starts_a_new_history() {
    let history: &MemoryHistory = &memory_history("upbit", "BTC-KRW", &rising(FIRST..FIRST + 90, 1));
    let mut relisted = records("upbit", "BTC-KRW", &rising(FIRST + 100..FIRST + 101, 7));
    relisted.reset = true;
    history.record(&[relisted]);
    let hours = history.hours(VenueId("upbit"), &market(), Minute(FIRST)..Minute(FIRST + 200)).unwrap();
    assert_eq!(hours.iter().map(|hour| hour.closes.len()).sum::<usize>(), 1);
}

#[test]
fn in_53_history_before_a_redenomination_is_converted_to_the_new_unit() {
    let mut closes = rising(FIRST..FIRST + 120, 100);
    closes.insert(FIRST + 10, Some(price("1.2345678901234567890123456789")));
    let raw = memory_history("upbit", "BTC-KRW", &closes);
    let other = memory_history("upbit", "ETH-KRW", &closes);
    let entry =
        Redenomination { venue: VenueId("upbit"), market: market(), at: Minute(FIRST + 70), factor: price("0.25") };
    let span = Minute(FIRST)..Minute(FIRST + 120);
    let history = RescaledHistory { raw: raw.clone(), redenominations: vec![entry.clone()] };
    let hours = history.hours(VenueId("upbit"), &market(), span.clone()).unwrap();
    let converted = minute_closes(&hours, span.clone());
    assert_eq!(converted[0], MinuteClose::Traded(price("25")));
    assert_eq!(converted[10], MinuteClose::Gap, "the converted price is not exactly representable");
    assert_eq!(converted[69], MinuteClose::Traded(price("42.25")));
    assert_eq!(converted[70], MinuteClose::Traded(price("170")));
    assert_eq!(hours[1].close_before, Some((Minute(FIRST + 59), price("39.75"))));
    // A span before the redenomination, and the history of another market, stay unchanged.
    let before = Minute(FIRST)..Minute(FIRST + 69);
    let unchanged = raw.hours(VenueId("upbit"), &market(), before.clone()).unwrap();
    assert_eq!(history.hours(VenueId("upbit"), &market(), before).unwrap(), unchanged);
    let history = RescaledHistory { raw: other.clone(), redenominations: vec![entry] };
    let ether: Market = "ETH-KRW".parse().unwrap();
    let unchanged = other.hours(VenueId("upbit"), &ether, span.clone()).unwrap();
    assert_eq!(history.hours(VenueId("upbit"), &ether, span).unwrap(), unchanged);
}
