//! Detection of a change of a price's unit: one coin for a hundred, or a hundred for one.
//!
//! No market moves by a factor of ten from one trade to the next; a redenomination does, and so does an
//! exchange that drops a digit.

use rust_decimal::Decimal;

use super::Price;

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
