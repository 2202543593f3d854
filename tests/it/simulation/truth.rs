//! The exact change, computed in whole numbers and without a calendar: neither UTC nor Korean time has daylight
//! saving time.

use sisepan::market::Basis;

pub const MINUTE: i64 = 60_000;
pub const DAY: i64 = 86_400_000;
pub const KST: i64 = 9 * 3_600_000;

/// Returns the base time of a change, in Unix ms.
pub fn base_time(basis: Basis, now: i64) -> i64 {
    match basis {
        Basis::Rolling24h => (now - DAY).div_euclid(MINUTE) * MINUTE,
        Basis::UtcDay => now.div_euclid(DAY) * DAY,
        Basis::KstDay => (now + KST).div_euclid(DAY) * DAY - KST,
    }
}

/// Returns the percentage with two places, rounded once, half away from zero, and its direction.
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

/// Formats a price in units of 10^-8, without trailing zeros.
pub fn format_price(units: i64) -> String {
    let text = format!("{}.{:08}", units / 100_000_000, units % 100_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[test]
fn the_expected_figures_match_known_values() {
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
    assert_eq!(
        (format_price(14_218_700_000_000_000), format_price(1_250_000)),
        ("142187000".to_owned(), "0.0125".to_owned())
    );
}
