//! Amounts as whole units of 10^-8, and the number formats of the venues.
//!
//! Every price and volume of the simulation is a whole number of units, so sums are exact and the venues' formats
//! differ in text only.

use rust_decimal::Decimal;

/// Decimal places of a unit.
pub const PLACES: u32 = 8;

/// Units of the amount 1.
pub const ONE: i64 = 100_000_000;

/// Converts a decimal to units; returns `None` if it has more than [`PLACES`] decimal places or is too large.
pub fn from_decimal(value: Decimal) -> Option<i64> {
    let value = value.normalize();
    let scale = PLACES.checked_sub(value.scale())?;
    i64::try_from(value.mantissa().checked_mul(10_i128.pow(scale))?).ok()
}

/// Parses a number exactly: digits with an optional sign, point and exponent, such as `9.417e-05`.
///
/// # Errors
/// If it is not a number, or has more digits than a [`Decimal`].
pub fn parse(text: &str) -> Result<Decimal, &'static str> {
    const MALFORMED: &str = "number is malformed";
    const INEXACT: &str = "number can't be represented exactly";
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().map_err(|_| MALFORMED)?),
        None => (text, 0),
    };
    // The library also reads `1_000`, `.5` and `5.`.
    let unsigned = number.strip_prefix(['-', '+']).unwrap_or(number);
    let mut parts = unsigned.splitn(2, '.');
    if !parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(MALFORMED);
    }
    let value = Decimal::from_str_exact(number).map_err(|_| INEXACT)?;
    let (mut mantissa, mut scale) = (value.mantissa(), i64::from(value.scale()) - i64::from(exponent));
    while scale > 0 && mantissa % 10 == 0 && mantissa != 0 {
        (mantissa, scale) = (mantissa / 10, scale - 1);
    }
    let power = u32::try_from(scale.min(0).unsigned_abs()).map_err(|_| INEXACT)?;
    let mantissa = 10_i128.checked_pow(power).and_then(|power| mantissa.checked_mul(power)).ok_or(INEXACT)?;
    let scale = u32::try_from(scale.max(0)).map_err(|_| INEXACT)?;
    Decimal::try_from_i128_with_scale(mantissa, scale).map_err(|_| INEXACT)
}

/// Converts units to a decimal.
pub fn to_decimal(units: i64) -> Decimal {
    Decimal::new(units, PLACES)
}

/// Formats `value` × 10^-`places` with exactly that many decimal places: `0.00077720`.
pub fn fixed(value: i128, places: usize) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Formats units with eight decimal places: `69442.01000000`.
pub fn fixed8(units: i64) -> String {
    fixed(units.into(), 8)
}

/// Formats `value` × 10^-`places` without trailing zeros: `108553000`, `0.0075`.
pub fn plain(value: i128, places: usize) -> String {
    let text = fixed(value, places);
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Formats units without trailing zeros.
pub fn plain8(units: i64) -> String {
    plain(units.into(), 8)
}

/// Formats units with at least one decimal place: `108580000.0`.
pub fn with_point(units: i64) -> String {
    let text = plain8(units);
    if text.contains('.') { text } else { text + ".0" }
}

/// Formats units as Java formats a double: `1.42187E8` from ten million up, `7.9276E-4` below a thousandth.
pub fn java_double(units: i64) -> String {
    if units == 0 {
        return "0.0".to_owned();
    }
    let size = units.unsigned_abs();
    if size >= 10_000_000 * ONE.unsigned_abs() || size < ONE.unsigned_abs() / 1000 {
        return scientific(units, "E");
    }
    with_point(units)
}

/// Formats units as Python formats a small float, `9e-05`, if they are below a ten-thousandth; else as [`plain8`].
pub fn python_float(units: i64) -> String {
    if units != 0 && units.unsigned_abs() < ONE.unsigned_abs() / 10_000 {
        return scientific(units, "e");
    }
    plain8(units)
}

/// Formats units with an exponent: for the mark `E` as Java (`9.0E-5`), else as Python (`9e-05`).
fn scientific(units: i64, mark: &str) -> String {
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

/// Returns `over` ÷ `under` × 10^`places`, rounded half away from zero; 0 if `under` is 0.
pub fn ratio(over: i128, under: i128, places: u32) -> i128 {
    if under == 0 {
        return 0;
    }
    let scaled = over * 10_i128.pow(places);
    let half = under.abs() / 2;
    (if (scaled < 0) == (under < 0) { scaled + half * under.signum() } else { scaled - half * under.signum() }) / under
}
