//! Formats prices, percentages and amounts.
//!
//! All three languages use a comma to group thousands and a point as the decimal separator, so digits do not depend on
//! the language; only the units of [`compact`] do.

use rust_decimal::{Decimal, RoundingStrategy};

use super::{Lang, UNKNOWN};
use crate::market::{Change, Direction, Quote};

/// Returns the last price, grouped, with the row's number of decimal places; `–` if unknown.
pub fn last(quote: &Quote, _lang: Lang) -> String {
    quote.last.map_or_else(|| UNKNOWN.to_owned(), |last| grouped(last.get(), quote.digits))
}

/// Returns the change percentage with its sign, such as `+2.08%`; `–` if unknown.
pub fn change(change: Option<&Change>, _lang: Lang) -> String {
    let Some(change) = change else { return UNKNOWN.to_owned() };
    let sign = match change.direction {
        Direction::Rise => "+",
        Direction::Even => "",
        Direction::Fall => "-",
    };
    format!("{sign}{}", percent(change))
}

/// Returns the change percentage without a sign, such as `2.08%`.
pub fn percent(change: &Change) -> String {
    format!("{}%", grouped(change.percent.abs(), change.percent.scale()))
}

/// Returns the exact value grouped by thousands, with at least `digits` decimal places (at most
/// [`Decimal::MAX_SCALE`]).
///
/// All decimal places of the value are kept, so a price is never rounded to zero or to another price. Never panics: the
/// digits are written here because the formatter of `rust_decimal` panics if digits and decimal places together need
/// more than 32 characters (paupino/rust-decimal#574).
pub fn grouped(value: Decimal, digits: u32) -> String {
    let value = value.normalize();
    let (scale, places) = (value.scale() as usize, digits.clamp(value.scale(), Decimal::MAX_SCALE) as usize);
    let plain = format!("{:0>width$}", value.mantissa().unsigned_abs(), width = scale + 1);
    let (whole, fraction) = plain.split_at(plain.len() - scale);

    let mut text = String::with_capacity(plain.len() + whole.len() / 3 + places + 2);
    if value.is_sign_negative() && !value.is_zero() {
        text.push('-');
    }
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if places > 0 {
        text.push('.');
        text.push_str(fraction);
        text.extend(std::iter::repeat_n('0', places - scale));
    }
    text
}

/// Like [`grouped`], with a sign unless the value is zero.
pub fn signed(value: Decimal, digits: u32) -> String {
    let plus = if value > Decimal::ZERO { "+" } else { "" };
    format!("{plus}{}", grouped(value, digits))
}

/// Returns a traded amount rounded for display: no decimal places from 1,000 on, three from 1 on, otherwise eight.
pub fn volume(value: Decimal) -> String {
    let places = match value {
        value if value >= Decimal::ONE_THOUSAND => 0,
        value if value >= Decimal::ONE => 3,
        _ => 8,
    };
    grouped(value.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero), 0)
}

/// Returns a turnover abbreviated to about three significant digits: `1,750억`, `175B`.
///
/// Rounded once, half away from zero. Units step by 10,000 in Korean and Japanese, by 1,000 in English.
pub fn compact(value: Decimal, lang: Lang) -> String {
    let units = lang.pick(
        [(12, "조"), (8, "억"), (4, "만")].as_slice(),
        [(12, "T"), (9, "B"), (6, "M"), (3, "K")].as_slice(),
        [(12, "兆"), (8, "億"), (4, "万")].as_slice(),
    );
    for (zeros, suffix) in units {
        let unit = Decimal::from(10u64.pow(*zeros));
        let Some(count) = value.checked_div(unit) else { continue };
        let places = match count {
            count if count >= Decimal::ONE_HUNDRED => 0,
            count if count >= Decimal::TEN => 1,
            _ => 2,
        };
        let rounded = count.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero);
        if rounded >= Decimal::ONE {
            return format!("{}{suffix}", grouped(rounded, 0));
        }
    }
    volume(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::market::{Price, amount};

    fn shown(value: &str, digits: u32) -> String {
        grouped(amount::parse(value).unwrap(), digits)
    }

    /// Covers every scale, mantissas of every width, and every number of digits.
    #[test]
    fn fc_02_every_decimal_is_written_whole_with_every_number_of_digits() {
        let widest = (1i128 << 96) - 1;
        let tens = (0..=28).map(|power| 10i128.pow(power));
        let mantissas = tens.flat_map(|ten| [ten, ten - 1, ten * 7]).chain([widest, 1 << 95]);
        for mantissa in mantissas.flat_map(|mantissa| [mantissa.min(widest), -mantissa.min(widest)]) {
            for scale in 0..=28 {
                let value = Decimal::from_i128_with_scale(mantissa, scale);
                for digits in (0..=29).chain([u32::MAX]) {
                    let text = grouped(value, digits);
                    let plain = text.replace(',', "");
                    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
                    let zeros = fraction.trim_end_matches('0');
                    let kept = format!("{whole}.{zeros}");
                    assert_eq!(kept.trim_end_matches('.').parse::<Decimal>().unwrap(), value, "{text}");
                    assert!(fraction.len() >= digits.min(28) as usize && fraction.len() <= 28, "{text}");
                }
            }
        }
    }

    fn change_text(last: &str, base: &str) -> String {
        let price = |text: &str| text.parse::<Price>().unwrap();
        change(Change::between(price(last), price(base), 2).as_ref(), Lang::Ko)
    }

    #[test]
    fn prices_are_grouped_by_thousands() {
        assert_eq!(shown("142187000", 0), "142,187,000");
        assert_eq!(shown("142187000.00000000", 0), "142,187,000");
        assert_eq!(shown("999", 0), "999");
        assert_eq!(shown("1000", 0), "1,000");
        assert_eq!(shown("1234567.5", 2), "1,234,567.50");
    }

    #[test]
    fn a_small_price_is_never_shown_as_zero_or_with_an_exponent() {
        assert_eq!(shown("0.00001234", 8), "0.00001234");
        assert_eq!(shown("1.2e-7", 2), "0.00000012");
        assert_eq!(shown("1e-20", 2), "0.00000000000000000001");
    }

    #[test]
    fn a_percentage_has_its_sign_unless_it_is_zero() {
        assert_eq!(change_text("142187000", "139290000"), "+2.08%");
        assert_eq!(change_text("3104", "3131"), "-0.86%");
        assert_eq!(change_text("100000", "100001"), "0.00%");
        assert_eq!(change_text("100", "100"), "0.00%");
        assert_eq!(change_text("1100", "10"), "+10,900.00%");
        assert_eq!(change(None, Lang::En), "–");
    }

    #[test]
    fn an_amount_is_rounded_by_its_size() {
        let volume = |text: &str| volume(amount::parse(text).unwrap());
        assert_eq!(volume("175000000000.4999"), "175,000,000,000");
        assert_eq!(volume("1234.5678"), "1,235");
        assert_eq!(volume("12.34567"), "12.346");
        assert_eq!(volume("0.000123456789"), "0.00012346");
        assert_eq!(volume("0"), "0");
        let signed = |text: &str| signed(amount::parse(text).unwrap(), 2);
        assert_eq!([signed("2897000"), signed("0"), signed("-0.5")], ["+2,897,000.00", "0.00", "-0.50"]);
    }

    #[test]
    fn a_turnover_is_abbreviated() {
        let all = |text: &str| Lang::ALL.map(|lang| compact(amount::parse(text).unwrap(), lang));
        assert_eq!(all("175000000000"), ["1,750억", "175B", "1,750億"]);
        assert_eq!(all("1234567890123"), ["1.23조", "1.23T", "1.23兆"]);
        assert_eq!(all("99995000000"), ["1,000억", "100B", "1,000億"]);
        assert_eq!(all("9999"), ["1만", "10K", "1万"], "rounded to three figures");
        assert_eq!(all("9949"), ["9,949", "9.95K", "9,949"]);
        assert_eq!(all("12345.6"), ["1.23만", "12.3K", "1.23万"]);
        assert_eq!(all("999.5"), ["999.5", "1K", "999.5"]);
        assert_eq!(all("0"), ["0", "0", "0"]);
    }

    proptest! {
        #[test]
        fn a_printed_price_reads_back_as_the_same_price(mantissa in 1i64.., scale in 0u32..=18, digits in 0u32..=12) {
            let price = Decimal::new(mantissa, scale);
            let text = grouped(price, digits);
            prop_assert_eq!(amount::parse(&text.replace(',', "")).unwrap(), price);
            prop_assert!(!text.contains(['e', 'E']));
        }

        #[test]
        fn a_column_has_constant_digits(mantissas in prop::collection::vec(1i64..1_000_000_000_000, 1..20), digits in 0u32..=8) {
            for mantissa in mantissas {
                let text = grouped(Decimal::new(mantissa, digits), digits);
                let places = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
                prop_assert_eq!(places, digits as usize);
            }
        }

        #[test]
        fn groups_have_three_digits(mantissa in 0i64.., scale in 0u32..=10) {
            let text = grouped(Decimal::new(mantissa, scale), 0);
            let whole = text.split('.').next().unwrap();
            let mut groups = whole.split(',');
            prop_assert!((1..=3).contains(&groups.next().unwrap().len()));
            prop_assert!(groups.all(|group| group.len() == 3));
        }
    }
}
