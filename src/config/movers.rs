//! `[movers]`: which markets may be called risers and fallers.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::section::{Section, Source};
use crate::domain::{MoversRule, amount};

/// Most currencies with a floor.
const FLOORS_MAX: usize = 32;

/// Reads the section.
///
/// - `turnover_min`: least turnover of 24 hours, one entry a currency: `["1000000000 KRW", "1000000 USDT"]`. A currency
///   that is not named has no floor. Default: as here, and `100000000 JPY`, `1000000 USD`.
/// - `change_max_percent`, 1 to 1000000: a larger change is not believed. Default 500.
/// - `age_min_hours`, 0 to 168: for how long a market must have been traded. More than 24 is seen from the past that is
///   kept, so that a new server shows none until it has one. Default 24.
/// - `count`, 1 to 20: how many, each way. Default 5.
pub(super) fn read(source: &Source<'_>, mut section: Section<'_>) -> MoversRule {
    let mut rule = MoversRule::default();
    if let Some(found) = section.strings("turnover_min") {
        if found.value.len() > FLOORS_MAX {
            let message = format!("must be at most {FLOORS_MAX}, are {}", found.value.len());
            source.report(found.place, section.key("turnover_min"), message);
        }
        let mut floors = BTreeMap::new();
        for entry in found.value.into_iter().filter(|entry| !entry.value.is_empty()).take(FLOORS_MAX) {
            match floor(&entry.value) {
                Some((quote, floor)) => {
                    floors.insert(quote, floor);
                }
                None => {
                    let message =
                        format!("must be an amount and a currency such as 1000000 USDT, is {:?}", entry.value);
                    source.report(entry.place, section.key("turnover_min"), message);
                }
            }
        }
        rule.turnover_min = floors;
    }
    if let Some(percent) = section.integer("change_max_percent", 1..=1_000_000) {
        rule.change_max_percent = Decimal::from(percent);
    }
    if let Some(hours) = section.integer("age_min_hours", 0..=168) {
        rule.age_min_hours = u32::try_from(hours).unwrap_or(rule.age_min_hours);
    }
    if let Some(count) = section.integer("count", 1..=20) {
        rule.count = usize::try_from(count).unwrap_or(rule.count);
    }
    section.finish();
    rule
}

fn floor(text: &str) -> Option<(String, Decimal)> {
    let (amount, quote) = text.trim().split_once(' ')?;
    let floor = amount::parse(amount).ok().filter(|floor| !floor.is_sign_negative())?;
    let quote = quote.trim();
    let named =
        !quote.is_empty() && quote.len() <= crate::domain::ASSET_BYTES_MAX && !quote.contains(char::is_whitespace);
    named.then(|| (quote.to_ascii_uppercase(), floor))
}
