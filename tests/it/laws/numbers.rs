//! A number is accepted exactly as written or rejected; it is never rounded silently.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Signed;
use proptest::prelude::*;
use rust_decimal::Decimal;
use sisepan::market::{AmountError, Price, amount};
use sisepan::venue::{self, Incoming, Venue};

use super::exact;
use crate::venues::{streamed, subscribed};

/// Returns whether a decimal of 96 bits and up to 28 places can hold the value.
fn fits(value: &BigRational) -> bool {
    let size_max = (BigInt::from(1) << 96) - 1;
    let scaled = (0..=28).map(|places| value * exact::power_of_ten(places)).find(BigRational::is_integer);
    scaled.is_some_and(|whole| whole.to_integer().abs() <= size_max)
}

fn written_exponent(text: &str) -> i64 {
    text.split_once(['e', 'E']).map_or(0, |(_, exponent)| exponent.parse().unwrap_or(i64::MAX))
}

/// Generates decimals of every width, most of them short.
fn decimals() -> impl Strategy<Value = Decimal> {
    let mantissa = prop_oneof![-1000i128..1000, any::<i64>().prop_map(i128::from), -(1i128 << 96) + 1..1i128 << 96];
    (mantissa, 0u32..=28).prop_map(|(mantissa, scale)| Decimal::from_i128_with_scale(mantissa, scale))
}

/// Parses `source` as the last price of a venue's ticker frame.
fn last_price(venue: &dyn Venue, source: &str) -> Result<Price, &'static str> {
    let text = streamed(venue.profile().id.as_str(), source);
    let Ok(Incoming::Tickers(records)) = subscribed(venue).parse(&text) else {
        return Err("frame");
    };
    records[0].ticker.clone().map(|ticker| ticker.last).map_err(|rejection| rejection.problem)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn parse_then_print_is_identity(value in decimals()) {
        let text = value.to_string();
        let read = amount::parse(&text).unwrap();
        prop_assert_eq!((read, read.scale()), (value, value.scale()));
        // A negative zero loses its sign, nothing else ever changes.
        prop_assert_eq!(read.to_string(), if value.is_zero() { text.trim_start_matches('-') } else { &*text });
    }

    #[test]
    fn both_json_forms_print_as_written(value in decimals()) {
        let text = value.abs().to_string();
        let sources = [text.clone(), format!("\"{text}\"")];
        for (venue, source) in venue::ALL.iter().flat_map(|venue| sources.iter().map(move |source| (venue, source))) {
            match last_price(*venue, source) {
                Ok(price) => prop_assert_eq!(price.to_string(), &*text),
                Err(problem) => prop_assert!(value.is_zero() && problem == "not-positive", "{}: {}", source, problem),
            }
        }
    }

    #[test]
    fn a_number_is_exact_or_rejected(text in "[+-]?[0-9]{1,34}(\\.[0-9]{1,32})?([eE][+-]?[0-9]{1,2})?") {
        let value = exact::parse_fraction(&text).unwrap();
        match amount::parse(&text) {
            Ok(read) => {
                prop_assert_eq!(exact::parse_fraction(&read.to_string()).unwrap(), value);
            }
            Err(AmountError::TooLong) => prop_assert!(text.len() > amount::CHARS_MAX),
            Err(AmountError::Exponent) => prop_assert!(written_exponent(&text).unsigned_abs() > 30),
            Err(AmountError::Inexact) => prop_assert!(!fits(&value), "{} would fit", text),
            Err(other) => prop_assert!(false, "{}: {}", text, other),
        }
    }

    #[test]
    fn a_short_number_is_never_rejected(text in "[+-]?[0-9]{1,14}(\\.[0-9]{1,14})?([eE][+-]?[0-9])?") {
        let value = exact::parse_fraction(&text).unwrap();
        prop_assert_eq!(amount::parse(&text).is_ok(), fits(&value));
    }

    #[test]
    fn written_places_are_kept(whole in "[1-9][0-9]{0,9}", fraction in "[0-9]{1,15}") {
        let text = format!("{whole}.{fraction}");
        prop_assert_eq!(amount::parse(&text).unwrap().to_string(), text);
    }

    #[test]
    fn junk_is_rejected_without_a_panic(text in prop_oneof!["\\PC{0,50}", "[0-9eE+.,_ -]{0,50}"]) {
        match amount::parse(&text) {
            Ok(read) => prop_assert_eq!(exact::parse_fraction(&read.to_string()), exact::parse_fraction(&text)),
            Err(AmountError::Malformed | AmountError::Empty) => prop_assert!(exact::parse_fraction(&text).is_none()),
            Err(_) => {}
        }
    }

    #[test]
    fn junk_in_a_frame_is_never_a_price(text in "\\PC{0,80}") {
        for venue in venue::ALL {
            if let Ok(Incoming::Tickers(records)) = subscribed(*venue).parse(&text) {
                prop_assert!(records.iter().all(|record| record.ticker.is_err()));
            }
        }
    }
}

#[test]
fn known_edge_cases_parse_as_expected() {
    for (text, reads) in [
        ("0", Ok("0")),
        ("-0.00", Ok("0.00")),
        ("0E-30", Ok("0.0000000000000000000000000000")),
        ("+1", Ok("1")),
        ("0.99980", Ok("0.99980")),
        ("1155.00000000", Ok("1155.00000000")),
        ("1e-8", Ok("0.00000001")),
        ("1E-8", Ok("0.00000001")),
        ("9.9999E-8", Ok("0.000000099999")),
        ("1.5e+3", Ok("1500")),
        ("1.16539E8", Ok("116539000")),
        ("9e-05", Ok("0.00009")),
        ("0.1234567890123456789", Ok("0.1234567890123456789")),
        ("123456789.123456789", Ok("123456789.123456789")),
        ("79228162514264337593543950335", Ok("79228162514264337593543950335")),
        ("79228162514264337593543950336", Err("inexact")),
        ("0.12345678901234567890123456789", Err("inexact")),
        ("1e29", Err("inexact")),
        ("1e30", Err("inexact")),
        ("1e31", Err("exponent")),
        ("1e1000000000", Err("exponent")),
        ("1e-2147483648", Err("exponent")),
        ("1e99999999999999999999", Err("exponent")),
        ("", Err("empty")),
        ("NaN", Err("malformed")),
        ("Infinity", Err("malformed")),
        ("null", Err("malformed")),
        ("1,234.5", Err("malformed")),
        ("1.234,5", Err("malformed")),
        ("-160,000", Err("malformed")),
        (" 1", Err("malformed")),
        ("1 ", Err("malformed")),
        ("１２", Err("malformed")),
        ("1_000", Err("malformed")),
        (".5", Err("malformed")),
        ("1.", Err("malformed")),
        ("1e", Err("malformed")),
        ("1e+", Err("malformed")),
        ("--1", Err("malformed")),
        ("0x10", Err("malformed")),
    ] {
        let read = amount::parse(text);
        let found = read.as_ref().map(ToString::to_string).map_err(|error| error.code());
        assert_eq!(found.as_deref().map_err(|code| *code), reads, "{text:?}");
    }
    assert_eq!(amount::parse(&"9".repeat(41)), Err(AmountError::TooLong));
    for not_positive in ["0", "-0", "0.000", "-1", "-1e-28"] {
        assert_eq!(not_positive.parse::<Price>(), Err(AmountError::NotPositive), "{not_positive}");
    }
}

/// Numbers of a recorded frame, some in exponent form, each parsed to its last digit.
#[test]
fn recorded_exponents_are_read_digit_for_digit() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/upbit/ws-orderbook-exponent-trimmed.json");
    let frame = std::fs::read_to_string(file).unwrap();
    for (written, read) in [
        ("1.16539E8", "116539000"),
        ("1.16538E8", "116538000"),
        ("1.16542E8", "116542000"),
        ("1.16537E8", "116537000"),
        ("0.00077720", "0.00077720"),
        ("0.02054761", "0.02054761"),
        ("2.51469375", "2.51469375"),
    ] {
        assert!(frame.contains(&format!(":{written}")), "{written} is not in the recording");
        assert_eq!(amount::parse(written).unwrap().to_string(), read, "{written}");
        for venue in venue::ALL {
            assert_eq!(last_price(*venue, written).unwrap().to_string(), read, "{written}");
        }
    }
}
