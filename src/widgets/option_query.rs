//! Parses the query of a page: bounded in size, known parameters only. Errors suggest similar names that exist.

use std::collections::{HashMap, HashSet};

use strsim::damerau_levenshtein;

use super::option_values::{Choice, Switch, allowed, find};
use crate::config::Board;
use crate::locale::{self, Lang};
use crate::market::Market;

/// Maximum length of a query in bytes: holds 128 percent-encoded market names, and fits into the head of a request.
pub const QUERY_BYTES_MAX: usize = 12 << 10;

/// Maximum number of parameters in a query.
const PARAMETERS_MAX: usize = 20;

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
    /// A parameter is given more than once.
    #[error("{0} is given more than once")]
    Repeated(&'static str),
    /// The query exceeds the limit on bytes or parameters.
    #[error("the query exceeds {QUERY_BYTES_MAX} bytes or {PARAMETERS_MAX} parameters")]
    TooLong,
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

/// The known parameters of a query. An empty value counts as absent, except for on/off options.
#[derive(Debug, Default)]
pub struct PageQuery(HashMap<&'static str, String>);

impl PageQuery {
    /// Parses a query; parameters that are not in `names` are ignored.
    ///
    /// # Errors
    /// If the query exceeds its limits or contains a known parameter twice.
    pub fn parse_query(query: &str, names: impl Iterator<Item = &'static str> + Clone) -> Result<Self, BadOption> {
        if query.len() > QUERY_BYTES_MAX {
            return Err(BadOption::TooLong);
        }
        let mut known = HashMap::new();
        for (at, (name, value)) in url::form_urlencoded::parse(query.as_bytes()).enumerate() {
            if at >= PARAMETERS_MAX {
                return Err(BadOption::TooLong);
            }
            let Some(name) = names.clone().find(|known| *known == name) else { continue };
            if known.insert(name, value.into_owned()).is_some() {
                return Err(BadOption::Repeated(name));
            }
        }
        Ok(Self(known))
    }

    /// Returns a value; `None` if it is absent or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Parses an on/off option.
    ///
    /// An empty value is on, as for HTML attributes. Frameworks write `true` and `false`, so both are accepted.
    ///
    /// # Errors
    /// If the value is none of these.
    pub fn switch(&self, name: &'static str) -> Result<Option<bool>, BadOption> {
        match self.0.get(name).map(String::as_str) {
            Some("" | "true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            _ => Ok(self.keyword::<Switch>(name)?.map(|switch| switch == Switch::On)),
        }
    }

    /// Parses a keyword.
    ///
    /// # Errors
    /// If the value is not one of the keywords.
    pub fn keyword<T: Choice>(&self, name: &'static str) -> Result<Option<T>, BadOption> {
        self.parse(name, find, |_| allowed::<T>())
    }

    /// Parses a value with `read`; `allowed` describes the valid values in a language.
    ///
    /// # Errors
    /// If `read` returns `None`.
    pub fn parse<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
        allowed: impl Fn(Lang) -> String,
    ) -> Result<Option<T>, BadOption> {
        let Some(value) = self.get(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| BadOption::invalid_value(name, value, allowed))
    }
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
