//! The past in memory: what it keeps, and what it lets go.

use sisepan::domain::history::{MinuteClose, minute_closes};
use sisepan::domain::{HourSource, Market, Minute, Redenomination, VenueId};
use sisepan::past::{KEPT_HOURS, MemoryHistory, OneUnit};

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

#[test]
fn in_53_a_past_of_two_units_is_told_in_the_newer_one() {
    let mut told = rising(FIRST..FIRST + 120, 100);
    told.insert(FIRST + 10, Some(price("1.2345678901234567890123456789")));
    let said = kept("upbit", "BTC-KRW", &told);
    let other = kept("upbit", "ETH-KRW", &told);
    let entry =
        Redenomination { venue: VenueId("upbit"), market: market(), at: Minute(FIRST + 70), factor: price("0.25") };
    let span = Minute(FIRST)..Minute(FIRST + 120);
    let past = OneUnit { said: said.clone(), redenominations: vec![entry.clone()] };
    let hours = past.hours(VenueId("upbit"), &market(), span.clone()).unwrap();
    let closes = minute_closes(&hours, span.clone());
    assert_eq!(closes[0], MinuteClose::Traded(price("25")));
    assert_eq!(closes[10], MinuteClose::Hole, "it can't be written exactly");
    assert_eq!(closes[69], MinuteClose::Traded(price("42.25")));
    assert_eq!(closes[70], MinuteClose::Traded(price("170")));
    assert_eq!(hours[1].before, Some((Minute(FIRST + 59), price("39.75"))));
    // Looked at as of before, and another market's, it is as it was said.
    let before = Minute(FIRST)..Minute(FIRST + 69);
    let as_said = said.hours(VenueId("upbit"), &market(), before.clone()).unwrap();
    assert_eq!(past.hours(VenueId("upbit"), &market(), before).unwrap(), as_said);
    let past = OneUnit { said: other.clone(), redenominations: vec![entry] };
    let ether: Market = "ETH-KRW".parse().unwrap();
    let as_said = other.hours(VenueId("upbit"), &ether, span.clone()).unwrap();
    assert_eq!(past.hours(VenueId("upbit"), &ether, span).unwrap(), as_said);
}
