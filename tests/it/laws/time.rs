//! Minutes, sets of minutes, base times and candles.

use std::collections::BTreeSet;

use jiff::Timestamp;
use proptest::prelude::*;
use rust_decimal::Decimal;
use sisepan::market::{Basis, Candle, Minute, MinuteSet, Price};

const DAY: i64 = 24 * 3600;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

proptest! {
    #[test]
    fn a_minute_holds_exactly_its_instants(ms in -4_000_000_000_000i64..4_000_000_000_000) {
        let instant = Timestamp::from_millisecond(ms).unwrap();
        let minute = Minute::of(instant);
        prop_assert!(minute.start() <= instant && instant < minute.end());
        prop_assert_eq!(minute.0, ms.div_euclid(60_000));
    }

    #[test]
    fn a_set_of_minutes_agrees_with_a_plain_set(
        steps in prop::collection::vec((any::<bool>(), 0i64..60, -2i64..12), 0..40),
        span in (0i64..60, 0i64..30),
    ) {
        let (mut ranges, mut plain) = (MinuteSet::default(), BTreeSet::new());
        for (cut, start, length) in steps {
            if cut && length < 1 {
                ranges.remove_before(Minute(start / 4));
                plain.retain(|&minute| minute >= start / 4);
            } else {
                ranges.insert(Minute(start)..Minute(start + length));
                plain.extend(start..start + length);
            }
        }
        let held: Vec<_> = ranges.iter().cloned().collect();
        prop_assert_eq!(held.iter().flat_map(|r| r.start.0..r.end.0).collect::<Vec<_>>(), plain.iter().copied().collect::<Vec<_>>());
        prop_assert!(held.iter().all(|r| r.start < r.end));
        prop_assert!(held.windows(2).all(|pair| pair[0].end < pair[1].start), "sorted, apart: {:?}", held);
        for minute in -3..80 {
            let range = ranges.containing(Minute(minute));
            prop_assert_eq!(range.is_some(), plain.contains(&minute));
            prop_assert!(range.is_none_or(|range| held.contains(&range)));
        }
        let span = span.0..span.0 + span.1;
        let missing: Vec<i64> =
            ranges.missing(Minute(span.start)..Minute(span.end)).into_iter().flat_map(|r| r.start.0..r.end.0).collect();
        prop_assert_eq!(missing, span.filter(|minute| !plain.contains(minute)).collect::<Vec<_>>());
    }

    #[test]
    fn base_times_follow_from_the_definition(second in 700_000_000i64..4_000_000_000) {
        let midnight = |zone: i64| (second + zone).div_euclid(DAY) * DAY - zone;
        prop_assert_eq!(Basis::Rolling24h.base_time(at(second)), at((second - DAY).div_euclid(60) * 60));
        prop_assert_eq!(Basis::UtcDay.base_time(at(second)), at(midnight(0)));
        prop_assert_eq!(Basis::KstDay.base_time(at(second)), at(midnight(9 * 3600)));
    }

    #[test]
    fn a_candle_has_its_open_and_close_within_its_low_and_high(units in prop::array::uniform4(1i64..6)) {
        let [open, high, low, close] = units.map(|units| Price::new(Decimal::from(units)).unwrap());
        let candle = Candle { minute: Minute(0), open, high, low, close, base_volume: None, quote_volume: None };
        let lawful = low == units.map(|u| Price::new(Decimal::from(u)).unwrap()).into_iter().min().unwrap()
            && high == units.map(|u| Price::new(Decimal::from(u)).unwrap()).into_iter().max().unwrap();
        prop_assert_eq!(candle.checked().is_ok(), lawful);
    }
}

#[test]
fn base_times_around_midnights() {
    for (now, rolling, utc, kst) in [
        ("2026-11-23T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-22T15:00:00Z"),
        ("2026-11-22T23:59:59.999Z", "2026-11-21T23:59:00Z", "2026-11-22T00:00:00Z", "2026-11-22T15:00:00Z"),
        ("2026-11-22T14:59:59.999Z", "2026-11-21T14:59:00Z", "2026-11-22T00:00:00Z", "2026-11-21T15:00:00Z"),
        ("2026-11-22T15:00:00Z", "2026-11-21T15:00:00Z", "2026-11-22T00:00:00Z", "2026-11-22T15:00:00Z"),
        // A leap day and the turn of a year.
        ("2028-02-29T15:00:00Z", "2028-02-28T15:00:00Z", "2028-02-29T00:00:00Z", "2028-02-29T15:00:00Z"),
        ("2026-12-31T15:00:30Z", "2026-12-30T15:00:00Z", "2026-12-31T00:00:00Z", "2026-12-31T15:00:00Z"),
        // Korea's last daylight saving time: the time-zone database has it, a fixed offset has not.
        ("1988-07-01T00:00:00Z", "1988-06-30T00:00:00Z", "1988-07-01T00:00:00Z", "1988-06-30T14:00:00Z"),
    ] {
        let found = Basis::ALL.map(|basis| basis.base_time(now.parse().unwrap()).to_string());
        assert_eq!(found, [rolling, utc, kst], "{now}");
    }
}
