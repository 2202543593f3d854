//! Independent arithmetic for comparison: fractions of big integers, no decimal type.

use num_bigint::{BigInt, Sign};
use num_rational::BigRational;
use num_traits::{Signed, Zero};

/// Parses `[+-]digits[.digits][(e|E)[+-]digits]`; returns `None` for anything else.
pub fn parse_fraction(text: &str) -> Option<BigRational> {
    let (sign, unsigned) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (if text.starts_with('-') { Sign::Minus } else { Sign::Plus }, rest),
        None => (Sign::Plus, text),
    };
    let (number, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (down, exponent) = match exponent.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, exponent.strip_prefix('+').unwrap_or(exponent)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || !digits(exponent) {
        return None;
    }
    let mantissa: BigInt = format!("{whole}{fraction}").parse().ok()?;
    let exponent: i64 = exponent.parse().ok()?;
    let scale = if down { -exponent } else { exponent } - i64::try_from(fraction.len()).ok()?;
    let signed = if sign == Sign::Minus { -mantissa } else { mantissa };
    Some(BigRational::from(signed) * power_of_ten(scale))
}

/// Returns ten to the power of `exponent`.
pub fn power_of_ten(exponent: i64) -> BigRational {
    let size = BigInt::from(10).pow(u32::try_from(exponent.unsigned_abs()).unwrap());
    if exponent < 0 { BigRational::new(1.into(), size) } else { BigRational::from(size) }
}

/// Returns the change of `last` against `base` in units of 10^-places percent, rounded half away from zero.
pub fn percent(last: &BigRational, base: &BigRational, places: u32) -> BigInt {
    let exact = (last - base) * power_of_ten(2 + i64::from(places)) / base;
    let half = BigRational::new(1.into(), 2.into());
    let size = (exact.abs() + half).floor().to_integer();
    if exact < BigRational::zero() { -size } else { size }
}
