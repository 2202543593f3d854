//! The past in memory: what it keeps, and what it lets go.

use sisepan::domain::{HourSource, Market, Minute, VenueId};
use sisepan::past::{KEPT_HOURS, MemoryHistory};

use super::{Told, kept, price, records, rising};

const FIRST: i64 = 29_000_040;

fn market() -> Market {
    "BTC-KRW".parse().unwrap()
}

#[test]
fn an_hour_that_the_window_forgot_in_part_stays_whole() {
    let history = kept("upbit", "BTC-KRW", &rising(FIRST..FIRST + 60, 100));
    // The window has let go of the first half, and a candle has corrected the rest.
    history.take(&[records("upbit", "BTC-KRW", &rising(FIRST + 30..FIRST + 60, 900))]);
    let hours = history.hours(VenueId("upbit"), &market(), Minute(FIRST)..Minute(FIRST + 60)).unwrap();
    let prices: Vec<_> = hours[0].closes.iter().map(|&(.., price)| price).collect();
    assert_eq!((hours.len(), prices.len(), hours[0].covered.count_ones()), (1, 60, 60));
    assert_eq!((prices[29], prices[30]), (price("129"), price("900")));
}

#[test]
fn eight_days_are_kept_and_no_more() {
    let history = kept("upbit", "BTC-KRW", &Told::new());
    for hour in 0..300 {
        let from = FIRST + hour * 60;
        history.take(&[records("upbit", "BTC-KRW", &rising(from..from + 1, 1))]);
    }
    let all = history.hours(VenueId("upbit"), &market(), Minute(0)..Minute(i64::MAX)).unwrap();
    assert_eq!((all.len(), all[0].hour), (KEPT_HOURS, Minute(FIRST + (300 - 192) * 60)));
}

#[test]
fn only_the_hours_that_were_asked_for_are_given() {
    let history = kept("upbit", "BTC-KRW", &rising(FIRST..FIRST + 600, 1));
    let ask = |from: i64, to: i64| {
        let span = Minute(FIRST + from)..Minute(FIRST + to);
        history.hours(VenueId("upbit"), &market(), span).unwrap().iter().map(|h| h.hour.0 - FIRST).collect::<Vec<_>>()
    };
    assert_eq!(ask(59, 61), [0, 60]);
    assert_eq!(ask(60, 120), [60]);
    assert_eq!(ask(61, 61), [] as [i64; 0]);
    assert_eq!(ask(-600, 0), [] as [i64; 0]);
    assert!(history.hours(VenueId("bithumb"), &market(), Minute(0)..Minute(i64::MAX)).unwrap().is_empty());
}

#[test]
fn a_market_that_was_listed_anew_begins_anew() {
    let history: &MemoryHistory = &kept("upbit", "BTC-KRW", &rising(FIRST..FIRST + 90, 1));
    let mut again = records("upbit", "BTC-KRW", &rising(FIRST + 100..FIRST + 101, 7));
    again.anew = true;
    history.take(&[again]);
    let hours = history.hours(VenueId("upbit"), &market(), Minute(FIRST)..Minute(FIRST + 200)).unwrap();
    assert_eq!(hours.iter().map(|hour| hour.closes.len()).sum::<usize>(), 1);
}
