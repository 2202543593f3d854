//! What a window hands over to outlive it, and what it believes when that comes back: single cases.

use jiff::Timestamp;
use proptest::prelude::*;
use rust_decimal::Decimal;
use sisepan::domain::window::Sighting;
use sisepan::domain::{HourRecord, Minute, Price, Window};

fn price(units: i64) -> Price {
    Price::new(Decimal::from(units)).unwrap()
}

fn at(time: &str) -> Timestamp {
    format!("2026-11-22T{time}Z").parse().unwrap()
}

fn minute(time: &str) -> Minute {
    Minute::of(at(time))
}

fn sighting(price_units: i64, traded: &str, until: &str, unbroken: bool) -> Sighting {
    Sighting { price: price(price_units), traded_at: at(traded), until: at(until), unbroken }
}

fn before(window: &Window, time: &str) -> Option<Price> {
    window.price_before(at(time))
}

/// An hour whose minutes `from..to` are covered, with one trade at the most.
fn hour(
    time: &str,
    minutes: std::ops::Range<i64>,
    close: Option<(&str, i64)>,
    stood: Option<(&str, i64)>,
) -> HourRecord {
    HourRecord {
        hour: minute(time),
        closes: close.into_iter().map(|(time, units)| (minute(time), at(time), price(units))).collect(),
        covered: minutes.fold(0, |bits, n| bits | 1 << n),
        settled: 0,
        before: stood.map(|(time, units)| (minute(time), price(units))),
    }
}

#[test]
fn what_comes_after_a_restart_or_an_interruption_is_not_joined_to_what_was_before() {
    let mut first = Window::default();
    first.observe(sighting(5, "10:00:10", "10:01:30", false));
    let mut restored = Window::default();
    restored.restore(&first.take_unrecorded());
    first.interrupt();
    for mut window in [restored, first] {
        window.observe(sighting(7, "10:20:00", "10:22:00", true));
        assert_eq!(before(&window, "10:01:00"), Some(price(5)));
        assert_eq!(before(&window, "10:10:00"), None);
        assert_eq!(before(&window, "10:21:00"), Some(price(7)));
    }
}

#[test]
fn a_record_has_the_close_that_stood_when_its_hour_began() {
    let mut window = Window::default();
    window.observe(sighting(5, "10:59:10", "10:59:50", false));
    window.observe(sighting(7, "11:00:00", "11:02:00", true));
    let record = window.record(minute("11:00:00"));
    assert_eq!(record.before, Some((minute("10:59:00"), price(5))), "not the first trade of the hour itself");
    assert_eq!(record.closes, [(minute("11:00:00"), at("11:00:00"), price(7))]);
}

#[test]
fn a_record_says_nothing_of_a_minute_that_was_seen_in_part() {
    let mut window = Window::default();
    window.observe(sighting(5, "10:00:10", "10:00:20", false));
    let record = window.record(minute("10:00:00"));
    assert_eq!((record.closes, record.covered), (vec![], 0));
}

#[test]
fn an_hour_is_recorded_anew_for_its_first_minute_and_for_a_trade_that_came_late() {
    let mut window = Window::default();
    window.observe(sighting(5, "10:58:10", "11:01:10", false));
    let hours = |records: &[HourRecord]| records.iter().map(|record| record.hour).collect::<Vec<_>>();
    assert_eq!(hours(&window.take_unrecorded()), [minute("10:00:00"), minute("11:00:00")]);
    // Of before what was known last, but after what was known of its minute.
    window.observe(sighting(6, "10:58:40", "10:58:41", true));
    let written = window.take_unrecorded();
    assert_eq!(hours(&written), [minute("10:00:00")]);
    assert_eq!(written[0].closes, [(minute("10:58:00"), at("10:58:40"), price(6))]);
}

#[test]
fn an_hours_own_record_knows_its_quiet_minutes_better_than_the_next_one() {
    let first = hour("10:00:00", 0..60, Some(("10:40:00", 5)), None);
    let second = hour("11:00:00", 0..60, None, Some(("10:59:00", 7)));
    let mut window = Window::default();
    window.restore(&[first, second]);
    assert_eq!(before(&window, "11:00:00"), Some(price(5)));
    assert_eq!(before(&window, "11:30:00"), Some(price(5)));
}

#[test]
fn records_that_contradict_each_other_join_nothing() {
    // The second says that another price stood in the minute that the first one ends with.
    let first = hour("10:00:00", 0..41, Some(("10:40:00", 5)), None);
    for (stood, is) in [(7, None), (5, Some(price(5)))] {
        let second = hour("11:00:00", 0..60, None, Some(("10:40:00", stood)));
        let mut window = Window::default();
        window.restore(&[first.clone(), second]);
        assert_eq!(before(&window, "10:41:00"), Some(price(5)));
        assert_eq!((before(&window, "10:50:00"), before(&window, "11:30:00")), (is, is));
    }
}

#[test]
fn a_trade_seen_live_in_a_minute_that_a_candle_calls_quiet_was_none() {
    let mut window = Window::default();
    window.observe(sighting(5, "10:00:10", "10:01:30", false));
    window.observe(sighting(9, "10:05:10", "10:06:30", true));
    assert_eq!(before(&window, "10:06:00"), Some(price(9)));
    let quiet = minute("10:05:00");
    assert_eq!(window.settle(quiet..quiet.plus(1), &[]), 1);
    assert_eq!(before(&window, "10:06:00"), Some(price(5)));
    assert_eq!(window.record(minute("10:00:00")).closes.len(), 1);
}

/// Minute by minute: what a record says, as (close, settled), if it knows the minute.
fn says(record: &HourRecord) -> Vec<Option<(Option<Price>, bool)>> {
    let of = |n: i64| {
        let minute = record.hour.plus(n);
        let close = record.closes.iter().find(|close| close.0 == minute).map(|close| close.2);
        record.has(record.covered, minute).then(|| (close, record.has(record.settled, minute)))
    };
    (0..60).map(of).collect()
}

/// Any knowledge of an hour: of each minute nothing, a close or none, seen live or from a candle.
fn knowledge() -> impl Strategy<Value = HourRecord> {
    let minute = proptest::option::of((proptest::option::of(1i64..5), any::<bool>()));
    proptest::collection::vec(minute, 60).prop_map(|minutes| {
        let start = minute_of_hour(0);
        let mut record = HourRecord { hour: start, closes: vec![], covered: 0, settled: 0, before: None };
        for (n, known) in (0i64..).zip(minutes) {
            let Some((close, settled)) = known else { continue };
            record.covered |= 1 << n;
            record.settled |= u64::from(settled) << n;
            let minute = minute_of_hour(n);
            record.closes.extend(close.map(|units| (minute, minute.start(), price(units))));
        }
        record
    })
}

fn minute_of_hour(n: i64) -> Minute {
    minute("10:00:00").plus(n)
}

proptest! {
    #[test]
    fn fc_12_what_two_records_know_together_is_neither_lost_nor_made_up(newer in knowledge(), older in knowledge()) {
        let merged = newer.clone().merged(&older);
        let (newer, older) = (says(&newer), says(&older));
        for (n, said) in says(&merged).into_iter().enumerate() {
            let expected = match (newer[n], older[n]) {
                (Some((_, false)), Some(candle @ (_, true))) => Some(candle),
                (Some(known), _) => Some(known),
                (None, known) => known,
            };
            prop_assert_eq!(said, expected, "minute {}", n);
        }
        prop_assert!(merged.closes.is_sorted_by_key(|close| close.0));
    }
}
