//! Redenominations, as configured by the operator: in which unit a market's price was quoted at which time.
//!
//! Prices are stored as the venue reported them. Where prices of different times are compared (a base and a
//! last price, the points of a plot), the older one is converted to the unit of the newer one. So stored data
//! is never rewritten: an entry that is removed from the configuration has no lasting effect, and one that stays
//! is never applied twice, however often the program restarts.

use rust_decimal::Decimal;

use super::{Market, Minute, Price, VenueId};

/// A change of the unit in which a market's price is quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redenomination {
    /// The venue.
    pub venue: VenueId,
    /// The market.
    pub market: Market,
    /// The first minute whose trades are in the new unit.
    pub at: Minute,
    /// What older prices are multiplied by; 1 declares that the market moved and its unit did not change.
    pub factor: Price,
}

/// The unit changes of one market at one venue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitChanges(Vec<(Minute, Price)>);

impl UnitChanges {
    /// Selects the entries of one market at one venue.
    pub fn of(all: &[Redenomination], venue: VenueId, market: &Market) -> Self {
        let own = all.iter().filter(|one| one.venue == venue && one.market == *market);
        Self(own.map(|one| (one.at, one.factor)).collect())
    }

    /// Converts the price of a trade in minute `from` to the unit of minute `to`; returns `None` if the
    /// result can't be represented exactly.
    ///
    /// If `to` is earlier than `from`, the price is returned unchanged.
    pub fn convert(&self, price: Price, from: Minute, to: Minute) -> Option<Price> {
        let mut between = self.0.iter().filter(|(at, _)| from < *at && *at <= to);
        between.try_fold(price, |price, (_, factor)| Price::new(multiply_exactly(price.get(), factor.get())?))
    }

    /// Returns whether the unit is the same in `from` and in `to`, which is not earlier.
    pub fn is_same_unit(&self, from: Minute, to: Minute) -> bool {
        !self.0.iter().any(|(at, factor)| from < *at && *at <= to && factor.get() != Decimal::ONE)
    }

    /// Returns whether the operator has declared a move of the market between two minutes: an entry with the
    /// factor 1.
    pub fn is_market_move(&self, from: Minute, to: Minute) -> bool {
        self.0.iter().any(|(at, factor)| from < *at && *at <= to && factor.get() == Decimal::ONE)
    }
}

/// Returns the product, or `None` if it has to be rounded. [`Decimal::checked_mul`] would round.
fn multiply_exactly(one: Decimal, other: Decimal) -> Option<Decimal> {
    let (one, other) = (one.normalize(), other.normalize());
    let mut mantissa = one.mantissa().checked_mul(other.mantissa())?;
    let mut scale = one.scale() + other.scale();
    while scale > 0 && mantissa % 10 == 0 {
        (mantissa, scale) = (mantissa / 10, scale - 1);
    }
    Decimal::try_from_i128_with_scale(mantissa, scale).ok()
}

/// Largest exponent that is tested; a price even further away belongs to another coin.
const POWER_MAX: u32 = 12;

/// Returns the exponent of the power of ten between `before` and `after`, if their ratio is within a quarter
/// of that power (the market moves meanwhile); otherwise 0.
pub fn power_of_ten(before: Price, after: Price) -> i32 {
    let (before, after) = (before.get(), after.get());
    let (small, large, sign) = if before < after { (before, after, 1) } else { (after, before, -1) };
    let mut power = small;
    for exponent in 1..=POWER_MAX {
        let Some(next) = power.checked_mul(Decimal::TEN) else { return 0 };
        power = next;
        // large / power between 4/5 and 5/4
        let (Some(four), Some(five)) = (large.checked_mul(Decimal::from(4)), large.checked_mul(Decimal::from(5)))
        else {
            return 0;
        };
        let (Some(low), Some(high)) = (power.checked_mul(Decimal::from(4)), power.checked_mul(Decimal::from(5))) else {
            return 0;
        };
        if five < low {
            return 0;
        }
        if four <= high {
            return sign * i32::try_from(exponent).unwrap_or_default();
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }

    #[test]
    fn a_product_is_exact_or_none() {
        for (one, other, product) in [
            ("1234.5", "0.01", Some("12.345")),
            ("0.00001234", "100000", Some("1.234")),
            ("3", "7", Some("21")),
            ("79228162514264337593543950335", "0.1", Some("7922816251426433759354395033.5")),
            ("79228162514264337593543950335", "10", None),
            ("0.0000000000000000000000000001", "0.1", None),
            ("0.000000000000000000000000001", "10", Some("0.00000000000000000000000001")),
            ("1.2345678901234567890123456789", "1.1", None),
        ] {
            let is = multiply_exactly(price(one).get(), price(other).get()).map(|product| product.to_string());
            assert_eq!(is.as_deref(), product, "{one} × {other}");
        }
    }

    #[test]
    fn only_changes_between_two_minutes_affect_the_conversion() {
        let units = UnitChanges(vec![(Minute(100), price("0.01")), (Minute(200), price("5"))]);
        for (from, to, is) in [
            (50, 99, "300"),
            (50, 100, "3"),
            (99, 100, "3"),
            (100, 199, "300"),
            (100, 200, "1500"),
            (50, 250, "15"),
            (200, 250, "300"),
            (250, 50, "300"),
        ] {
            assert_eq!(units.convert(price("300"), Minute(from), Minute(to)), Some(price(is)), "{from} to {to}");
            assert_eq!(units.is_same_unit(Minute(from), Minute(to)), is == "300", "{from} to {to}");
        }
    }

    #[test]
    fn only_a_ratio_near_a_power_of_ten_is_a_change_of_unit() {
        for (before, after, power) in [
            ("1", "1", 0),
            ("100", "101", 0),
            ("100", "700", 0),
            ("100", "800", 1),
            ("100", "1250", 1),
            ("100", "1251", 0),
            ("100", "10900", 2),
            ("10900", "100", -2),
            ("0.0001", "0.0009", 1),
            ("0.00000003", "29", 9),
            ("79228162514264337593543950335", "1", 0),
            ("2", "1", 0),
        ] {
            let (before_price, after_price) = (before.parse().unwrap(), after.parse().unwrap());
            assert_eq!(power_of_ten(before_price, after_price), power, "{before} → {after}");
        }
    }
}
