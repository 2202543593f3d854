//! In which unit a market's price was when: what an operator says of a redenomination.
//!
//! Prices are kept as the venue said them. Where two of different times meet
//! (a base and a last price, the points of a plot), the older one is brought
//! into the unit of the newer. So nothing that is kept is ever written anew:
//! an entry that is taken back leaves nothing behind, and one that stands is
//! applied once, however often the process begins.

use rust_decimal::Decimal;

use super::{Market, Minute, Price, VenueId};

/// One market's unit of price has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redenomination {
    /// Where.
    pub venue: VenueId,
    /// What.
    pub market: Market,
    /// The first minute whose trades are in the new unit.
    pub at: Minute,
    /// What an older price is multiplied by; 1 says that the market moved, and its unit did not change.
    pub factor: Price,
}

/// The changes of unit of one market at one venue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Units(Vec<(Minute, Price)>);

impl Units {
    /// Picks those of one market at one venue.
    pub fn of(all: &[Redenomination], venue: VenueId, market: &Market) -> Self {
        let own = all.iter().filter(|one| one.venue == venue && one.market == *market);
        Self(own.map(|one| (one.at, one.factor)).collect())
    }

    /// Returns a price of a trade in `from` in the unit of `to`; `None` where that can't be written exactly.
    ///
    /// An earlier `to` than `from` is no older unit: the price stays as it is.
    pub fn bring(&self, price: Price, from: Minute, to: Minute) -> Option<Price> {
        let mut between = self.0.iter().filter(|(at, _)| from < *at && *at <= to);
        between.try_fold(price, |price, (_, factor)| Price::new(times(price.get(), factor.get())?))
    }

    /// Returns whether `from` and `to`, which is not earlier, are in one unit.
    pub fn is_one(&self, from: Minute, to: Minute) -> bool {
        !self.0.iter().any(|(at, factor)| from < *at && *at <= to && factor.get() != Decimal::ONE)
    }

    /// Returns whether the operator says that what happened between the trades of two minutes was a move of the market: an
    /// entry with the factor 1.
    pub fn is_move(&self, from: Minute, to: Minute) -> bool {
        self.0.iter().any(|(at, factor)| from < *at && *at <= to && factor.get() == Decimal::ONE)
    }
}

/// The product, if it can be written without rounding. [`Decimal::checked_mul`] would round.
fn times(one: Decimal, other: Decimal) -> Option<Decimal> {
    let (one, other) = (one.normalize(), other.normalize());
    let mut mantissa = one.mantissa().checked_mul(other.mantissa())?;
    let mut scale = one.scale() + other.scale();
    while scale > 0 && mantissa % 10 == 0 {
        (mantissa, scale) = (mantissa / 10, scale - 1);
    }
    Decimal::try_from_i128_with_scale(mantissa, scale).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }

    #[test]
    fn a_product_is_exact_or_there_is_none() {
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
            let is = times(price(one).get(), price(other).get()).map(|product| product.to_string());
            assert_eq!(is.as_deref(), product, "{one} × {other}");
        }
    }

    #[test]
    fn only_what_lies_between_two_times_is_between_their_units() {
        let units = Units(vec![(Minute(100), price("0.01")), (Minute(200), price("5"))]);
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
            assert_eq!(units.bring(price("300"), Minute(from), Minute(to)), Some(price(is)), "{from} to {to}");
            assert_eq!(units.is_one(Minute(from), Minute(to)), is == "300", "{from} to {to}");
        }
    }
}
