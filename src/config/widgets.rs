//! `[widgets]`: default options of widgets; and `[movers]`: which markets qualify as risers and fallers.
//!
//! Names and values are the same as in queries and HTML attributes. Board,
//! markets and basis are configured in `[[boards]]`; `basis` here is the
//! default for all boards.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::section::{Found, Section, Source};
use crate::locale::Lang;
use crate::market::{ASSET_BYTES_MAX, MoversRule, amount};
use crate::options::{Accepted, OptionValues, settings};

/// Most quote currencies with a minimum turnover.
const FLOORS_MAX: usize = 32;

/// Reads the table `[widgets]`, except for `basis`, which belongs to the boards.
///
/// Numbers are integers, columns are a list of strings, all other values are strings. `lang` takes precedence over the
/// browser's language, `count` over `movers.count`.
pub(super) fn read(source: &Source<'_>, section: &mut Section<'_>) -> OptionValues {
    let mut values = OptionValues::default();
    for option in settings() {
        let (name, allowed) = (option.name, option.accepted.allowed(Lang::En));
        let key = section.key(name);
        let report = |found: &Found<String>, which: &str| {
            let message = format!("must be {which} {allowed}, is {:?}", found.value);
            source.report(found.location.clone(), key.clone(), message);
        };
        let found = match option.accepted {
            Accepted::Columns => {
                let Some(list) = section.strings(name) else { continue };
                let is_column =
                    |part: &&Found<String>| option.accepted.keywords().iter().any(|(word, _)| *word == part.value);
                if let Some(wrong) = list.value.iter().find(|part| !is_column(part)) {
                    report(wrong, "one of");
                    continue;
                }
                let words: Vec<_> = list.value.iter().map(|part| part.value.as_str()).collect();
                Some(Found { value: words.join(","), location: list.location })
            }
            Accepted::Numbers(_) => section.number(name),
            // `05` is the value 5.
            Accepted::UpTo(_) => section.number(name).map(|found| {
                let number = found.value.parse::<u64>().map(|number| number.to_string());
                Found { value: number.unwrap_or(found.value), location: found.location }
            }),
            _ => section.string(name),
        };
        let Some(found) = found else { continue };
        if values.set(name, &found.value).is_err() {
            report(&found, if let Accepted::UpTo(_) = option.accepted { "from" } else { "one of" });
        }
    }
    values
}

/// Reads the table `[movers]`.
///
/// - `turnover_min`: minimum turnover of 24 hours, one entry per quote currency:
///   `["1000000000 KRW", "1000000 USDT"]`. Currencies that are not listed have no minimum. Default: these two,
///   `100000000 JPY` and `1000000 USD`.
/// - `change_max_percent`, 1 to 1000000: markets with a larger change are left out as implausible. Default 500.
/// - `age_min_hours`, 0 to 168: how long a market must have been trading. More than 24 is checked against the
///   stored history, so that a new server shows no movers until it has enough of it. Default 24.
/// - `count`, 1 to 20: number of risers and of fallers. Default 5.
pub(super) fn read_movers(source: &Source<'_>, mut section: Section<'_>) -> MoversRule {
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
    let is_currency = !quote.is_empty() && quote.len() <= ASSET_BYTES_MAX && !quote.contains(char::is_whitespace);
    is_currency.then(|| (quote.to_ascii_uppercase(), floor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Config};

    fn parsed(name: &str, value: &str) -> Result<Config, String> {
        let text = format!("[widgets]\n{name} = {value}");
        config::parse("x", &text, &Default::default()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn every_option_accepts_its_values_and_names_them_if_it_rejects_one() {
        for option in settings() {
            let (name, accepted) = (option.name, option.accepted);
            let (values, wrong) = match accepted {
                Accepted::Numbers(numbers) => (numbers.iter().map(u64::to_string).collect(), "77".to_owned()),
                Accepted::UpTo(max) => ((1..=max).map(|number| number.to_string()).collect(), (max + 1).to_string()),
                _ => {
                    let words = accepted.keywords().iter().map(|(word, _)| option.toml(word));
                    (words.collect::<Vec<_>>(), option.toml("x"))
                }
            };
            for value in values {
                let set = parsed(name, &value).unwrap().site.widgets.set_options();
                assert!(set.len() == 1 && set[0].0 == name, "{name} = {value}: {set:?}");
            }
            let error = parsed(name, &wrong).unwrap_err();
            let named = [format!("widgets.{name}: must be "), accepted.allowed(Lang::En)];
            assert!(named.iter().all(|part| error.contains(part)), "{name}: {error}");
        }
    }
}
