//! The exact change, worked out in whole numbers and without a calendar: neither UTC nor Seoul shifts its clocks.

use sisepan::domain::Basis;

pub const MINUTE: i64 = 60_000;
pub const DAY: i64 = 86_400_000;
pub const KST: i64 = 9 * 3_600_000;

/// The instant a change is measured from, in Unix ms.
pub fn base_time(basis: Basis, now: i64) -> i64 {
    match basis {
        Basis::Rolling24h => (now - DAY).div_euclid(MINUTE) * MINUTE,
        Basis::UtcDay => now.div_euclid(DAY) * DAY,
        Basis::KstDay => (now + KST).div_euclid(DAY) * DAY - KST,
    }
}

/// The percentage with two places, rounded once, half away from zero, and its direction.
pub fn percent(last: i64, base: i64) -> (String, &'static str) {
    let (size, whole) = (i128::from((last - base).abs()) * 10_000, i128::from(base));
    let hundredths = (2 * size + whole) / (2 * whole);
    let (sign, direction) = match (hundredths, last > base) {
        (0, _) => ("", "even"),
        (_, true) => ("", "rise"),
        (_, false) => ("-", "fall"),
    };
    (format!("{sign}{}.{:02}", hundredths / 100, hundredths % 100), direction)
}

/// A price in units of 10^-8 as it is written, without zeros that say nothing.
pub fn spelled(units: i64) -> String {
    let text = format!("{}.{:08}", units / 100_000_000, units % 100_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[test]
fn the_expected_figures_are_what_a_pencil_gives() {
    for (last, base, expected) in [
        (3, 2, "50.00"),
        (2, 3, "-33.33"),
        (100_005, 100_000, "0.01"),
        (99_995, 100_000, "-0.01"),
        (100_004, 100_000, "0.00"),
    ] {
        assert_eq!(percent(last, base).0, expected, "{last} against {base}");
    }
    assert_eq!(percent(100_004, 100_000).1, "even");
    assert_eq!((spelled(14_218_700_000_000_000), spelled(1_250_000)), ("142187000".to_owned(), "0.0125".to_owned()));
}
