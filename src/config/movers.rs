//! `[movers]`: which markets qualify as risers and fallers.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::section::{Section, Source};
use crate::market::{MoversRule, amount};

/// Most quote currencies with a minimum turnover.
const FLOORS_MAX: usize = 32;

/// Reads the table `[movers]`.
///
/// - `turnover_min`: minimum turnover of 24 hours, one entry per quote currency:
///   `["1000000000 KRW", "1000000 USDT"]`. Currencies that are not listed have no minimum. Default: these two,
///   `100000000 JPY` and `1000000 USD`.
/// - `change_max_percent`, 1 to 1000000: markets with a larger change are left out as implausible. Default 500.
/// - `age_min_hours`, 0 to 168: how long a market must have been trading. More than 24 is checked against the
///   stored history, so that a new server shows no movers until it has enough of it. Default 24.
/// - `count`, 1 to 20: number of risers and of fallers. Default 5.
pub(super) fn read(source: &Source<'_>, mut section: Section<'_>) -> MoversRule {
    let mut rule = MoversRule::default();
    if let Some(found) = section.strings("turnover_min") {
        if found.value.len() > FLOORS_MAX {
            let message = format!("must have at most {FLOORS_MAX} entries, has {}", found.value.len());
            source.report(found.location, section.key("turnover_min"), message);
        }
        let mut floors = BTreeMap::new();
        for entry in found.value.into_iter().filter(|entry| !entry.value.is_empty()).take(FLOORS_MAX) {
            match parse_floor(&entry.value) {
                Some((quote, floor)) => {
                    floors.insert(quote, floor);
                }
                None => {
                    let message =
                        format!("must be an amount and a currency such as 1000000 USDT, is {:?}", entry.value);
                    source.report(entry.location, section.key("turnover_min"), message);
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

fn parse_floor(text: &str) -> Option<(String, Decimal)> {
    let (amount, quote) = text.trim().split_once(' ')?;
    let floor = amount::parse(amount).ok().filter(|floor| !floor.is_sign_negative())?;
    let quote = quote.trim();
    let is_currency =
        !quote.is_empty() && quote.len() <= crate::market::ASSET_BYTES_MAX && !quote.contains(char::is_whitespace);
    is_currency.then(|| (quote.to_ascii_uppercase(), floor))
}
