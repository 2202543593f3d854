//! `[widgets]`: what a widget looks like unless its own page asks for something else.
//!
//! The names and values are those of the options in queries and attributes. Which
//! board, which markets and which basis are matters of `[[boards]]`, but for a
//! basis that all boards share.

use std::collections::BTreeMap;

use super::section::{Found, Section, Source};

/// Options whose values are words.
const WORDS: [(&str, &[&str]); 9] = [
    ("lang", &["ko", "en", "ja"]),
    ("theme", &["auto", "light", "dark"]),
    ("size", &["xs", "s", "m", "l", "xl", "inherit"]),
    ("density", &["normal", "compact"]),
    ("flash", SWITCH),
    ("credit", SWITCH),
    ("transparent", SWITCH),
    ("title", SWITCH),
    ("span", &["24h", "7d"]),
];

const SWITCH: &[&str] = &["on", "off"];

/// Options whose values are numbers.
const NUMBERS: [(&str, &[u64]); 1] = [("interval", &[0, 100, 250, 500, 1000, 2000, 5000])];

const COLUMNS: &[&str] = &["name", "last", "change", "amount", "high", "low", "volume"];

const COLORS: &[&str] = &["kr", "jp", "cn", "intl", "cb"];

/// Most risers, and most fallers.
const COUNT_MAX: u64 = 20;

/// Longest path that a name may lead to, in bytes.
const LINK_BYTES_MAX: usize = 200;

/// The options that the operator has set, each by its name, as a query would have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Widgets(BTreeMap<&'static str, String>);

impl Widgets {
    /// Returns the value of an option, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns what is set, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

/// Whether it is a path of the same host: one slash, and nothing that a browser would read as another host.
pub fn is_path_template(text: &str) -> bool {
    let plain = ["{market}", "{base}", "{quote}"].iter().fold(text.to_owned(), |text, name| text.replace(name, "x"));
    let usable = |b: u8| b.is_ascii_alphanumeric() || b"/-._~?&=%+,:@#".contains(&b);
    text.len() <= LINK_BYTES_MAX && text.starts_with('/') && !text.starts_with("//") && plain.bytes().all(usable)
}

/// Reads the section but for its `basis`, which belongs to the boards.
///
/// - `lang`: the language of whoever names none; it goes before what the browser prefers. Default: the reader's own.
/// - `theme`, `colors`, `size`, `columns`, `density`, `flash`, `link`, `credit`, `transparent`, `interval`, `span`,
///   `count`, `title`: as in `docs/widgets.md`. Default: as there. `count` goes before `movers.count`.
pub(super) fn read(source: &Source<'_>, section: &mut Section<'_>) -> Widgets {
    let mut set = BTreeMap::new();
    let mut keep = |name: &'static str, found: Found<String>, key: String, is_right: bool, allowed: String| {
        if is_right {
            set.insert(name, found.value);
        } else {
            source.report(found.place, key, format!("must be {allowed}, is {:?}", found.value));
        }
    };
    for (name, words) in WORDS {
        if let Some(found) = section.string(name) {
            let is_right = words.contains(&found.value.as_str());
            keep(name, found, section.key(name), is_right, format!("one of {}", words.join(", ")));
        }
    }
    for (name, numbers) in NUMBERS {
        if let Some(found) = section.number(name) {
            let is_right = numbers.iter().any(|number| number.to_string() == found.value);
            let allowed = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            keep(name, found, section.key(name), is_right, format!("one of {allowed}"));
        }
    }
    if let Some(found) = section.number("count") {
        let is_right = found.value.parse().is_ok_and(|count: u64| (1..=COUNT_MAX).contains(&count));
        keep("count", found, section.key("count"), is_right, format!("from 1 to {COUNT_MAX}"));
    }
    if let Some(found) = section.string("colors") {
        let is_right = COLORS.contains(&found.value.as_str()) || are_own(&found.value);
        let allowed = format!("one of {}, RRGGBB-RRGGBB (rise-fall), or four", COLORS.join(", "));
        keep("colors", found, section.key("colors"), is_right, allowed);
    }
    if let Some(found) = section.string("link") {
        let is_right = matches!(found.value.as_str(), "off" | "market") || is_path_template(&found.value);
        keep("link", found, section.key("link"), is_right, "off, market, or a path such as /coins/{base}".to_owned());
    }
    if let Some(found) = section.strings("columns") {
        let wrong = found.value.iter().find(|column| !COLUMNS.contains(&column.value.as_str())).cloned();
        let columns = found.value.iter().map(|column| column.value.as_str()).collect::<Vec<_>>().join(",");
        let (is_right, found) = (wrong.is_none(), wrong.unwrap_or(Found { value: columns, place: found.place }));
        keep("columns", found, section.key("columns"), is_right, format!("of {}", COLUMNS.join(", ")));
    }
    Widgets(set)
}

/// `RRGGBB-RRGGBB`, or four of them.
fn are_own(text: &str) -> bool {
    let tone = |tone: &str| tone.len() == 6 && tone.bytes().all(|b| b.is_ascii_hexdigit());
    matches!(text.split('-').count(), 2 | 4) && text.split('-').all(tone)
}
