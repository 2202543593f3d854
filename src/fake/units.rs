//! Amounts as whole numbers of 10^-8, and how they are spelled.
//!
//! Every price and volume of the walk fits this grain, so sums are exact and
//! each venue's spelling is a matter of text alone.

use rust_decimal::Decimal;

/// Decimal places of a unit.
pub const PLACES: u32 = 8;

/// Units in one.
pub const ONE: i64 = 100_000_000;

/// Returns the units of a decimal, or `None` if it has more than [`PLACES`] places or is too large.
pub fn of(value: Decimal) -> Option<i64> {
    let value = value.normalize();
    let scale = PLACES.checked_sub(value.scale())?;
    i64::try_from(value.mantissa().checked_mul(10_i128.pow(scale))?).ok()
}

/// Returns the decimal of some units.
pub fn decimal(units: i64) -> Decimal {
    Decimal::new(units, PLACES)
}

/// Spells `value` × 10^-`places` with exactly that many places: `0.00077720`.
pub fn fixed(value: i128, places: usize) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Spells units with eight places: `69442.01000000`.
pub fn fixed8(units: i64) -> String {
    fixed(units.into(), 8)
}

/// Spells `value` × 10^-`places` without zeros at the end: `108553000`, `0.0075`.
pub fn plain(value: i128, places: usize) -> String {
    let text = fixed(value, places);
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Spells units without zeros at the end.
pub fn plain8(units: i64) -> String {
    plain(units.into(), 8)
}

/// Spells units with at least one place: `108580000.0`.
pub fn pointed(units: i64) -> String {
    let text = plain8(units);
    if text.contains('.') { text } else { text + ".0" }
}

/// Spells units as Java does: `1.42187E8` from ten million up, `7.9276E-4` below a thousandth.
pub fn java(units: i64) -> String {
    if units == 0 {
        return "0.0".to_owned();
    }
    let size = units.unsigned_abs();
    if size >= 10_000_000 * ONE.unsigned_abs() || size < ONE.unsigned_abs() / 1000 {
        return exponent(units, "E");
    }
    pointed(units)
}

/// Spells units as Python does when they are small: `9e-05`; else plainly.
pub fn python(units: i64) -> String {
    if units != 0 && units.unsigned_abs() < ONE.unsigned_abs() / 10_000 {
        return exponent(units, "e");
    }
    plain8(units)
}

/// Java writes `9.0E-5` where Python writes `9e-05`.
fn exponent(units: i64, mark: &str) -> String {
    let digits = units.unsigned_abs().to_string();
    let power = i64::try_from(digits.len()).unwrap_or(0) - 1 - i64::from(PLACES);
    let (head, tail) = digits.split_at(1);
    let tail = tail.trim_end_matches('0');
    let sign = if units < 0 { "-" } else { "" };
    match (mark, tail) {
        ("E", "") => format!("{sign}{head}.0E{power}"),
        ("E", _) => format!("{sign}{head}.{tail}E{power}"),
        (_, "") => format!("{sign}{head}e{}{:02}", if power < 0 { "-" } else { "+" }, power.abs()),
        (_, _) => format!("{sign}{head}.{tail}e{}{:02}", if power < 0 { "-" } else { "+" }, power.abs()),
    }
}

/// Returns `over` ÷ `under` × 10^`places`, rounded half away from zero; 0 for a zero divisor.
pub fn ratio(over: i128, under: i128, places: u32) -> i128 {
    if under == 0 {
        return 0;
    }
    let scaled = over * 10_i128.pow(places);
    let half = under.abs() / 2;
    (if (scaled < 0) == (under < 0) { scaled + half * under.signum() } else { scaled - half * under.signum() }) / under
}
