//! Exact parsing of decimal numbers: [`parse`], for quoted and bare numbers alike.
//!
//! It exists because no available parser is both exact and bounded: some round beyond 28 digits, some reject
//! exponents, some accept `1_000`, some allocate memory for `1e1000000000`. [`parse`] returns the value
//! exactly as written, or an error with the reason; it never rounds.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;

/// Maximum length of a number, in characters.
///
/// Twice the longest number seen in any exchange's messages (20 decimals).
pub const CHARS_MAX: usize = 40;

/// Maximum absolute value of a written exponent.
pub const EXPONENT_MAX: u32 = 30;

/// Maximum number of decimal places of a [`Decimal`].
const SCALE_MAX: i32 = 28;

/// Maximum mantissa of a [`Decimal`]: 96 bits.
const MANTISSA_MAX: u128 = (1 << 96) - 1;

/// Maximum length of a text whose digits always fit an `i64`: 18.
const PLAIN_CHARS_MAX: usize = 18;

/// Why a text is not a valid number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AmountError {
    /// The text is empty.
    #[error("number is empty")]
    Empty,
    /// Longer than [`CHARS_MAX`].
    #[error("number is longer than {CHARS_MAX} characters")]
    TooLong,
    /// Not of the form `[+-]digits[.digits][(e|E)[+-]digits]` in ASCII.
    #[error("number is malformed")]
    Malformed,
    /// The exponent is beyond ±[`EXPONENT_MAX`].
    #[error("exponent is beyond ±{EXPONENT_MAX}")]
    Exponent,
    /// Well formed, but with more digits than can be represented exactly.
    #[error("number can't be represented exactly")]
    Inexact,
    /// A price that is zero or negative.
    #[error("price is not above zero")]
    NotPositive,
}

impl AmountError {
    /// Returns the stable code under which this rejection is counted.
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too-long",
            Self::Malformed => "malformed",
            Self::Exponent => "exponent",
            Self::Inexact => "inexact",
            Self::NotPositive => "not-positive",
        }
    }
}

/// Parses a decimal number exactly.
///
/// Grammar: optional sign, one or more digits, optionally a point and one or more digits, optionally `e` or
/// `E` with an optional sign and digits. The written scale is kept (`0.99980` has five places) unless the
/// number fits only without its trailing zeros; negative zero becomes zero.
///
/// # Errors
/// Any [`AmountError`] except `NotPositive`.
pub fn parse(text: &str) -> Result<Decimal, AmountError> {
    if text.is_empty() {
        return Err(AmountError::Empty);
    }
    if let Some(plain) = parse_plain(text.as_bytes()) {
        return Ok(plain);
    }
    if text.len() > CHARS_MAX {
        return Err(AmountError::TooLong);
    }
    let (negative, unsigned) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (number, exponent) = match unsigned.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&unsigned[..at], parse_exponent(&unsigned[at + 1..])?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = match number.iter().position(|&b| b == b'.') {
        Some(at) => (&number[..at], Some(&number[at + 1..])),
        None => (number, None),
    };
    if whole.is_empty() || fraction.is_some_and(<[u8]>::is_empty) {
        return Err(AmountError::Malformed);
    }
    let fraction = fraction.unwrap_or_default();

    // Trailing zeros are only counted: they matter for the scale, not for the value, and forty digits would
    // not fit the accumulator.
    let (mut mantissa, mut zeros) = (0u128, 0u32);
    for &byte in whole.iter().chain(fraction) {
        match byte {
            b'0' => zeros += 1,
            b'1'..=b'9' => {
                mantissa = shift(mantissa, zeros + 1)
                    .and_then(|m| m.checked_add(u128::from(byte - b'0')))
                    .ok_or(AmountError::Inexact)?;
                zeros = 0;
            }
            _ => return Err(AmountError::Malformed),
        }
    }
    let written = i32::try_from(fraction.len()).map_err(|_| AmountError::TooLong)? - exponent;
    build(negative, mantissa, zeros, written)
}

/// Parses the form that nearly all numbers have: digits that fit an `i64`, with at most one point among them.
///
/// Returns `None` for anything else, valid or not: [`parse`] then applies the full grammar. For texts that
/// both can parse, the results are the same.
fn parse_plain(text: &[u8]) -> Option<Decimal> {
    if text.len() > PLAIN_CHARS_MAX {
        return None;
    }
    let (mut mantissa, mut point) = (0i64, None);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = mantissa * 10 + i64::from(byte - b'0'),
            b'.' if point.is_none() && at > 0 => point = Some(at),
            _ => return None,
        }
    }
    let fraction = point.map_or(0, |at| text.len() - 1 - at);
    if text.is_empty() || (point.is_some() && fraction == 0) {
        return None;
    }
    Some(Decimal::new(mantissa, u32::try_from(fraction).ok()?))
}

/// Combines the parts: value = mantissa × 10^zeros × 10^-scale.
fn build(negative: bool, mantissa: u128, zeros: u32, scale: i32) -> Result<Decimal, AmountError> {
    if mantissa == 0 {
        return Ok(Decimal::new(0, scale.clamp(0, SCALE_MAX).unsigned_abs()));
    }
    // Restore as many of the trailing zeros as the written scale requires and the width allows.
    let (mut mantissa, mut scale, mut zeros) = (mantissa, scale - zeros.cast_signed(), zeros);
    while scale < 0 || (zeros > 0 && scale < SCALE_MAX) {
        match shift(mantissa, 1).filter(|&m| m <= MANTISSA_MAX) {
            Some(wider) => mantissa = wider,
            None if scale < 0 => return Err(AmountError::Inexact),
            None => break,
        }
        scale += 1;
        zeros = zeros.saturating_sub(1);
    }
    if scale > SCALE_MAX || mantissa > MANTISSA_MAX {
        return Err(AmountError::Inexact);
    }
    let signed = if negative { -mantissa.cast_signed() } else { mantissa.cast_signed() };
    Decimal::try_from_i128_with_scale(signed, scale.unsigned_abs()).map_err(|_| AmountError::Inexact)
}

fn shift(value: u128, places: u32) -> Option<u128> {
    if value == 0 {
        return Some(0);
    }
    value.checked_mul(10u128.checked_pow(places)?)
}

fn parse_exponent(text: &[u8]) -> Result<i32, AmountError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(AmountError::Malformed);
    }
    let size = digits.iter().try_fold(0u32, |size, digit| {
        size.checked_mul(10)?.checked_add(u32::from(digit - b'0')).filter(|&size| size <= EXPONENT_MAX)
    });
    let size = size.ok_or(AmountError::Exponent)?.cast_signed();
    Ok(if negative { -size } else { size })
}

/// A price: a decimal above zero, in units of the quote asset.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(Decimal);

impl Price {
    /// Returns the price, or `None` for zero and below.
    pub fn new(value: Decimal) -> Option<Self> {
        (value > Decimal::ZERO).then_some(Self(value))
    }

    /// Returns the value, with the scale that it was written with.
    pub fn get(self) -> Decimal {
        self.0
    }
}

impl FromStr for Price {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::new(parse(text)?).ok_or(AmountError::NotPositive)
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
