//! Named cases of the records that a window hands over for storage, and of windows restored from them.

use jiff::Timestamp;
use proptest::prelude::*;
use rust_decimal::Decimal;
use sisepan::market::window::TradeObservation;
use sisepan::market::{HourRecord, Minute, Price, Window};

fn price(units: i64) -> Price {
    Price::new(Decimal::from(units)).unwrap()
}

fn at(time: &str) -> Timestamp {
    format!("2026-11-22T{time}Z").parse().unwrap()
}

fn minute(time: &str) -> Minute {
    Minute::of(at(time))
}

fn observation(price_units: i64, traded: &str, until: &str, unbroken: bool) -> TradeObservation {
    TradeObservation { price: price(price_units), traded_at: at(traded), until: at(until), unbroken }
}

fn before(window: &Window, time: &str) -> Option<Price> {
    window.price_before(at(time))
}

/// Returns an hour with `minutes` covered, at most one close, and the close before the hour.
fn hour(
    time: &str,
    minutes: std::ops::Range<i64>,
    close: Option<(&str, i64)>,
    close_before: Option<(&str, i64)>,
) -> HourRecord {
    HourRecord {
        hour: minute(time),
        closes: close.into_iter().map(|(time, units)| (minute(time), at(time), price(units))).collect(),
        covered: minutes.fold(0, |bits, n| bits | 1 << n),
        settled: 0,
        close_before: close_before.map(|(time, units)| (minute(time), price(units))),
    }
}

#[test]
fn trades_after_a_restart_or_an_interruption_are_not_joined_to_earlier_ones() {
    let mut first = Window::default();
    first.observe(observation(5, "10:00:10", "10:01:30", false));
    let mut restored = Window::default();
    restored.restore(&first.take_unrecorded());
    first.interrupt();
    for mut window in [restored, first] {
        window.observe(observation(7, "10:20:00", "10:22:00", true));
        assert_eq!(before(&window, "10:01:00"), Some(price(5)));
        assert_eq!(before(&window, "10:10:00"), None);
        assert_eq!(before(&window, "10:21:00"), Some(price(7)));
    }
}

#[test]
fn a_record_has_the_last_close_before_its_hour() {
    let mut window = Window::default();
    window.observe(observation(5, "10:59:10", "10:59:50", false));
    window.observe(observation(7, "11:00:00", "11:02:00", true));
    let record = window.hour_record(minute("11:00:00"));
    assert_eq!(record.close_before, Some((minute("10:59:00"), price(5))), "not the first trade of the hour itself");
    assert_eq!(record.closes, [(minute("11:00:00"), at("11:00:00"), price(7))]);
}

#[test]
fn a_record_does_not_cover_a_minute_that_was_seen_in_part() {
    let mut window = Window::default();
    window.observe(observation(5, "10:00:10", "10:00:20", false));
    let record = window.hour_record(minute("10:00:00"));
    assert_eq!((record.closes, record.covered), (vec![], 0));
}

#[test]
fn an_hour_is_recorded_again_for_its_first_minute_and_for_a_late_trade() {
    let mut window = Window::default();
    window.observe(observation(5, "10:58:10", "11:01:10", false));
    let hours = |records: &[HourRecord]| records.iter().map(|record| record.hour).collect::<Vec<_>>();
    assert_eq!(hours(&window.take_unrecorded()), [minute("10:00:00"), minute("11:00:00")]);
    // Older than the last observation, but newer than the known close of its minute.
    window.observe(observation(6, "10:58:40", "10:58:41", true));
    let written = window.take_unrecorded();
    assert_eq!(hours(&written), [minute("10:00:00")]);
    assert_eq!(written[0].closes, [(minute("10:58:00"), at("10:58:40"), price(6))]);
}

#[test]
fn an_hours_own_record_overrides_the_close_before_the_next_hour() {
    let first = hour("10:00:00", 0..60, Some(("10:40:00", 5)), None);
    let second = hour("11:00:00", 0..60, None, Some(("10:59:00", 7)));
    let mut window = Window::default();
    window.restore(&[first, second]);
    assert_eq!(before(&window, "11:00:00"), Some(price(5)));
    assert_eq!(before(&window, "11:30:00"), Some(price(5)));
}

#[test]
fn records_that_contradict_each_other_are_not_joined() {
    // The close before the second hour is in the last minute that the first one covers, with another price.
    let first = hour("10:00:00", 0..41, Some(("10:40:00", 5)), None);
    for (units, expected) in [(7, None), (5, Some(price(5)))] {
        let second = hour("11:00:00", 0..60, None, Some(("10:40:00", units)));
        let mut window = Window::default();
        window.restore(&[first.clone(), second]);
        assert_eq!(before(&window, "10:41:00"), Some(price(5)));
        assert_eq!((before(&window, "10:50:00"), before(&window, "11:30:00")), (expected, expected));
    }
}

#[test]
fn a_candle_that_calls_a_minute_quiet_removes_a_trade_seen_live() {
    let mut window = Window::default();
    window.observe(observation(5, "10:00:10", "10:01:30", false));
    window.observe(observation(9, "10:05:10", "10:06:30", true));
    assert_eq!(before(&window, "10:06:00"), Some(price(9)));
    let quiet = minute("10:05:00");
    assert_eq!(window.settle(quiet..quiet.plus(1), &[]), 1);
    assert_eq!(before(&window, "10:06:00"), Some(price(5)));
    assert_eq!(window.hour_record(minute("10:00:00")).closes.len(), 1);
}

/// Returns (close, settled) of each minute that the record covers.
fn minutes(record: &HourRecord) -> Vec<Option<(Option<Price>, bool)>> {
    let of = |n: i64| {
        let minute = record.hour.plus(n);
        let close = record.closes.iter().find(|close| close.0 == minute).map(|close| close.2);
        record.is_set(record.covered, minute).then(|| (close, record.is_set(record.settled, minute)))
    };
    (0..60).map(of).collect()
}

/// Generates hour records whose minutes are unknown, or have a close or none, seen live or from a candle.
fn hour_records() -> impl Strategy<Value = HourRecord> {
    let minute = proptest::option::of((proptest::option::of(1i64..5), any::<bool>()));
    proptest::collection::vec(minute, 60).prop_map(|minutes| {
        let start = minute_of_hour(0);
        let mut record = HourRecord { hour: start, closes: vec![], covered: 0, settled: 0, close_before: None };
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
    fn fc_12_merging_two_records_neither_loses_nor_invents_anything(newer in hour_records(), older in hour_records()) {
        let merged = newer.clone().merged(&older);
        let (newer, older) = (minutes(&newer), minutes(&older));
        for (n, found) in minutes(&merged).into_iter().enumerate() {
            let expected = match (newer[n], older[n]) {
                (Some((_, false)), Some(candle @ (_, true))) => Some(candle),
                (Some(known), _) => Some(known),
                (None, known) => known,
            };
            prop_assert_eq!(found, expected, "minute {}", n);
        }
        prop_assert!(merged.closes.is_sorted_by_key(|close| close.0));
    }
}
