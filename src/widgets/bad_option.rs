//! The error of an invalid query of a page: it names the parameter, and suggests similar names that exist.

use std::collections::HashSet;

use strsim::damerau_levenshtein;

use crate::config::Board;
use crate::locale::{self, Lang};
use crate::market::Market;
use crate::options::{Parameters, QueryError};

/// Maximum number of characters of an invalid value that are repeated in the error.
const VALUE_CHARS_MAX: usize = 40;

/// An invalid query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOption {
    /// The value is not allowed.
    #[error("{name}: invalid value {value:?}; allowed: {}", .allowed.0[1])]
    InvalidValue {
        /// The parameter.
        name: &'static str,
        /// The given value, shortened.
        value: String,
        /// The allowed values.
        allowed: Allowed,
    },
    /// The widget, board or market does not exist.
    #[error("{name} {value:?} does not exist{}", suggestion(.near))]
    NotFound {
        /// The parameter.
        name: &'static str,
        /// The given name, shortened.
        value: String,
        /// Similar names that exist, the closest first.
        near: Vec<String>,
    },
    /// The query exceeds its limits or repeats a parameter.
    #[error(transparent)]
    Query(#[from] QueryError),
}

fn suggestion(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean: {}", near.join(", ")) }
}

/// A description of the allowed values in each language, in the order of [`Lang::ALL`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed([String; 3]);

impl Allowed {
    /// Returns the description in a language.
    pub fn text(&self, lang: Lang) -> &str {
        let [ko, en, ja] = &self.0;
        lang.pick(ko, en, ja)
    }
}

impl BadOption {
    /// Creates the error for an invalid value; `allowed` describes the valid ones in a language.
    pub fn invalid_value(name: &'static str, value: &str, allowed: impl Fn(Lang) -> String) -> Self {
        Self::InvalidValue { name, value: shorten(value), allowed: Allowed(Lang::ALL.map(allowed)) }
    }

    /// Creates the error for a list with more than `max` items.
    pub fn too_many(name: &'static str, value: &str, max: usize) -> Self {
        let allowed = |lang: Lang| lang.pick(format!("최대 {max}개"), format!("at most {max}"), format!("{max}件まで"));
        Self::invalid_value(name, value, allowed)
    }

    /// Creates the error for a name that does not exist.
    pub fn not_found(name: &'static str, value: &str, near: Vec<String>) -> Self {
        Self::NotFound { name, value: shorten(value), near }
    }
}

/// Shortens a value for an error message.
pub fn shorten(value: &str) -> String {
    value.chars().take(VALUE_CHARS_MAX).collect()
}

/// Parses a parameter with `read`, if it is given; `allowed` describes the valid values in a language.
///
/// # Errors
/// If `read` returns `None`.
pub fn parse<T>(
    query: &Parameters,
    name: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
    allowed: impl Fn(Lang) -> String,
) -> Result<Option<T>, BadOption> {
    let Some(value) = query.get(name) else { return Ok(None) };
    read(value).map(Some).ok_or_else(|| BadOption::invalid_value(name, value, allowed))
}

/// Maximum number of suggestions.
const SUGGESTIONS_MAX: usize = 3;

/// Returns the words most similar to `name`, the closest first.
pub fn similar_words<'a>(name: &str, words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let name = shorten(name).to_lowercase();
    nearest(words.map(|word| (damerau_levenshtein(&name, &word.to_lowercase()), word)))
}

/// Returns the markets of the boards most similar to `name`, the closest first.
///
/// Compares with the id of a market, its base, and the names of its base. An equal base ranks before any similarity.
pub fn similar_markets(name: &str, boards: &[Board]) -> Vec<String> {
    let name = shorten(name).to_lowercase();
    let base = name.split('-').next().unwrap_or_default();
    let distance = |market: &Market| {
        let names = Lang::ALL.map(|lang| locale::asset(market.base(), lang));
        let mut spellings = vec![market.to_string(), format!("{}{}", market.base(), market.quote())];
        spellings.push(market.base().to_owned());
        let spelt = spellings.iter().chain(&names).map(|known| damerau_levenshtein(&name, &known.to_lowercase())).min();
        (!market.base().eq_ignore_ascii_case(base), spelt)
    };
    let markets = boards.iter().flat_map(|board| board.markets.iter());
    nearest(markets.map(|market| (distance(market), market.as_str())))
}

/// Returns the words with the smallest distance; equal distances keep their order.
fn nearest<'a, D: Ord>(all: impl Iterator<Item = (D, &'a str)>) -> Vec<String> {
    let mut known = HashSet::new();
    let mut all: Vec<_> = all.filter(|(_, word)| known.insert(*word)).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all.into_iter().take(SUGGESTIONS_MAX).map(|(_, word)| word.to_owned()).collect()
}
