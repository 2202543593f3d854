//! `[widgets]`: default options of widgets; and `[movers]`: which markets qualify as risers and fallers.
//!
//! Names and values are the same as in queries and HTML attributes. Board,
//! markets and basis are configured in `[[boards]]`; `basis` here is the
//! default for all boards.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::section::{Found, Section, Source};
use crate::market::{ASSET_BYTES_MAX, MoversRule, amount};

/// Options that take one of several keywords.
const KEYWORD_OPTIONS: [(&str, &[&str]); 9] = [
    ("lang", &["ko", "en", "ja"]),
    ("theme", &["auto", "light", "dark"]),
    ("size", &["xs", "s", "m", "l", "xl", "inherit"]),
    ("density", &["normal", "compact"]),
    ("flash", ON_OFF),
    ("credit", ON_OFF),
    ("transparent", ON_OFF),
    ("title", ON_OFF),
    ("span", &["24h", "7d"]),
];

const ON_OFF: &[&str] = &["on", "off"];

/// Options that take one of several numbers.
const NUMBER_OPTIONS: [(&str, &[u64]); 1] = [("interval", &[0, 100, 250, 500, 1000, 2000, 5000])];

const COLUMNS: &[&str] = &["name", "last", "change", "amount", "high", "low", "volume"];

const COLORS: &[&str] = &["kr", "jp", "cn", "intl", "cb"];

/// Most risers and most fallers.
const COUNT_MAX: u64 = 20;

/// Longest link path, in bytes.
const LINK_BYTES_MAX: usize = 200;

/// Most quote currencies with a minimum turnover.
const FLOORS_MAX: usize = 32;

/// Default options of widgets: option name to value, as in a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Widgets(BTreeMap<&'static str, String>);

impl Widgets {
    /// Returns the value of an option, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the set options as pairs of name and value, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

/// Returns whether `text` is a valid link path on the same host: it starts with a single slash, and has no
/// characters from which a browser could read another host. May contain `{market}`, `{base}` and `{quote}`.
pub fn is_path_template(text: &str) -> bool {
    let plain = ["{market}", "{base}", "{quote}"].iter().fold(text.to_owned(), |text, name| text.replace(name, "x"));
    let usable = |b: u8| b.is_ascii_alphanumeric() || b"/-._~?&=%+,:@#".contains(&b);
    text.len() <= LINK_BYTES_MAX && text.starts_with('/') && !text.starts_with("//") && plain.bytes().all(usable)
}

/// Reads the table `[widgets]`, except for `basis`, which belongs to the boards.
///
/// - `lang`: language of widgets that name none; takes precedence over the browser's language. Default: the
///   browser's language.
/// - `theme`, `colors`, `size`, `columns`, `density`, `flash`, `link`, `credit`, `transparent`, `interval`,
///   `span`, `count`, `title`: values and defaults as in `docs/widgets.md`. `count` takes precedence over
///   `movers.count`.
pub(super) fn read(source: &Source<'_>, section: &mut Section<'_>) -> Widgets {
    let mut set = BTreeMap::new();
    let mut set_option = |name: &'static str, found: Found<String>, key: String, is_valid: bool, allowed: String| {
        if is_valid {
            set.insert(name, found.value);
        } else {
            source.report(found.location, key, format!("must be {allowed}, is {:?}", found.value));
        }
    };
    for (name, keywords) in KEYWORD_OPTIONS {
        if let Some(found) = section.string(name) {
            let is_valid = keywords.contains(&found.value.as_str());
            set_option(name, found, section.key(name), is_valid, format!("one of {}", keywords.join(", ")));
        }
    }
    for (name, numbers) in NUMBER_OPTIONS {
        if let Some(found) = section.number(name) {
            let is_valid = numbers.iter().any(|number| number.to_string() == found.value);
            let allowed = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            set_option(name, found, section.key(name), is_valid, format!("one of {allowed}"));
        }
    }
    if let Some(found) = section.number("count") {
        let is_valid = found.value.parse().is_ok_and(|count: u64| (1..=COUNT_MAX).contains(&count));
        set_option("count", found, section.key("count"), is_valid, format!("from 1 to {COUNT_MAX}"));
    }
    if let Some(found) = section.string("colors") {
        let is_valid = COLORS.contains(&found.value.as_str()) || is_custom_palette(&found.value);
        let allowed = format!("one of {}, or RRGGBB-RRGGBB (rise-fall), or four such colors", COLORS.join(", "));
        set_option("colors", found, section.key("colors"), is_valid, allowed);
    }
    if let Some(found) = section.string("link") {
        let is_valid = matches!(found.value.as_str(), "off" | "market") || is_path_template(&found.value);
        set_option(
            "link",
            found,
            section.key("link"),
            is_valid,
            "off, market, or a path such as /coins/{base}".to_owned(),
        );
    }
    if let Some(found) = section.strings("columns") {
        let invalid = found.value.iter().find(|column| !COLUMNS.contains(&column.value.as_str())).cloned();
        let columns = found.value.iter().map(|column| column.value.as_str()).collect::<Vec<_>>().join(",");
        let (is_valid, found) =
            (invalid.is_none(), invalid.unwrap_or(Found { value: columns, location: found.location }));
        set_option("columns", found, section.key("columns"), is_valid, format!("one of {}", COLUMNS.join(", ")));
    }
    Widgets(set)
}

/// Returns whether `text` is a custom palette: two or four colors such as `RRGGBB-RRGGBB`.
fn is_custom_palette(text: &str) -> bool {
    let is_color = |color: &str| color.len() == 6 && color.bytes().all(|b| b.is_ascii_hexdigit());
    matches!(text.split('-').count(), 2 | 4) && text.split('-').all(is_color)
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
