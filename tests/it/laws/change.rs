//! The change against a base is exact, and rounded once, half away from zero.

use num_bigint::BigInt;
use proptest::prelude::*;
use rust_decimal::Decimal;
use sisepan::market::change::PLACES_MAX;
use sisepan::market::{Change, Direction, Price};

use super::exact;

fn prices() -> impl Strategy<Value = Price> {
    let mantissa = prop_oneof![1i128..1000, 1i128..1_000_000_000_000_000, 1i128..1i128 << 62];
    let price = |(mantissa, scale)| Price::new(Decimal::from_i128_with_scale(mantissa, scale)).unwrap();
    (mantissa, 0u32..=12).prop_map(price)
}

fn times_ten(price: Price, power: u32) -> Price {
    Price::new(Decimal::from_i128_with_scale(price.get().mantissa() * 10i128.pow(power), price.get().scale())).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_change_equals_the_exact_fraction(last in prices(), base in prices(), places in 0..=PLACES_MAX) {
        let value = |price: Price| exact::parse_fraction(&price.to_string()).unwrap();
        let units = exact::percent(&value(last), &value(base), places);
        match Change::between(last, base, places) {
            Some(change) => {
                prop_assert_eq!(BigInt::from(change.percent.mantissa()), units.clone());
                prop_assert_eq!(change.percent.scale(), places);
                prop_assert_eq!(exact::parse_fraction(&change.amount.to_string()).unwrap(), value(last) - value(base));
            }
            // Unknown only where the figures have too many digits for a decimal.
            None => {
                let wide: BigInt = BigInt::from(1) << 92;
                let scale = i64::from(last.get().scale().max(base.get().scale()));
                let widest = value(last).max(value(base)) * exact::power_of_ten(scale + 2 + i64::from(places));
                prop_assert!(units.magnitude() > wide.magnitude() || widest.to_integer() > wide);
            }
        }
    }

    #[test]
    fn prices_of_ordinary_size_always_have_a_change(last in 1i64..1_000_000_000_000, base in 1i64..1_000_000_000_000, scale in 0u32..=8) {
        let price = |units| Price::new(Decimal::new(units, scale)).unwrap();
        prop_assert!(Change::between(price(last), price(base), PLACES_MAX).is_some());
    }

    #[test]
    fn the_same_price_is_even(price in prices(), zeros in 0u32..4) {
        // The same value, written with more zeros.
        let longer = Price::new(Decimal::from_i128_with_scale(
            price.get().mantissa() * 10i128.pow(zeros), price.get().scale() + zeros)).unwrap();
        let change = Change::between(price, longer, 2).unwrap();
        prop_assert_eq!(change.percent.to_string(), "0.00");
        prop_assert_eq!(change.direction, Direction::Even);
        prop_assert!(change.amount.is_zero());
    }

    #[test]
    fn the_direction_is_that_of_the_shown_percentage(last in prices(), base in prices(), places in 0..=PLACES_MAX) {
        let Some(change) = Change::between(last, base, places) else { return Ok(()) };
        let zero = change.percent.is_zero();
        prop_assert_eq!(change.direction == Direction::Even, zero);
        if !zero {
            prop_assert_eq!(change.direction == Direction::Rise, last > base);
            prop_assert_eq!(change.percent.is_sign_positive(), last > base);
        }
        prop_assert!(!change.percent.to_string().starts_with("-0") || !zero);
    }

    #[test]
    fn scaling_both_prices_does_not_alter_the_change(last in 1i64..1_000_000_000, base in 1i64..1_000_000_000, scale in 0u32..=8, power in 0u32..=6) {
        let (last, base) = [last, base].map(|units| Price::new(Decimal::new(units, scale)).unwrap()).into();
        let (plain, scaled) =
            (Change::between(last, base, 2).unwrap(), Change::between(times_ten(last, power), times_ten(base, power), 2).unwrap());
        prop_assert_eq!((plain.percent, plain.direction), (scaled.percent, scaled.direction));
    }

    #[test]
    fn a_tie_rounds_away_from_zero(odd in 0i64..5000, places in 0..=PLACES_MAX, fall: bool) {
        // An odd number of half units of the last place.
        let base = 2 * 10i64.pow(2 + places);
        let halves = (2 * odd + 1).min(base - 1) | 1;
        let last = if fall { base - halves } else { base + halves };
        let price = |units| Price::new(Decimal::from(units)).unwrap();
        let change = Change::between(price(last), price(base), places).unwrap();
        let away = i128::from((halves + 1) / 2);
        prop_assert_eq!(change.percent.mantissa(), if fall { -away } else { away });
    }
}

#[test]
fn known_changes() {
    for (last, base, percent, direction) in [
        ("100", "100", "0.00", Direction::Even),
        ("100.004", "100", "0.00", Direction::Even),
        ("100.005", "100", "0.01", Direction::Rise),
        ("99.995", "100", "-0.01", Direction::Fall),
        ("99.996", "100", "0.00", Direction::Even),
        ("80694000", "81045000", "-0.43", Direction::Fall),
        ("2", "1", "100.00", Direction::Rise),
        ("0.00000001", "100000000", "-100.00", Direction::Fall),
    ] {
        let change = Change::between(last.parse().unwrap(), base.parse().unwrap(), 2).unwrap();
        assert_eq!((change.percent.to_string().as_str(), change.direction), (percent, direction), "{last} of {base}");
    }
    let price: Price = "1".parse().unwrap();
    assert_eq!(Change::between(price, price, PLACES_MAX + 1), None);
}
