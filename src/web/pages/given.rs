//! The query of a page, bounded, with only the parameters that we know.

use std::collections::HashMap;

use axum::http::StatusCode;

use super::choice::{Choice, Switch, allowed, find};
use crate::text::Lang;
pub use crate::web::query::BYTES_MAX as QUERY_BYTES_MAX;

/// Most parameters in a query.
const PARAMETERS_MAX: usize = 20;

/// Most characters of a refused value that are shown again.
const VALUE_CHARS_MAX: usize = 40;

/// Why a query can't be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOption {
    /// The value is none of those allowed.
    #[error("{name} {value:?} is not known: use {}", .allowed.0[1])]
    Value {
        /// The parameter.
        name: &'static str,
        /// What was asked for, shortened.
        value: String,
        /// What may be asked for.
        allowed: Allowed,
    },
    /// A widget, board or market that does not exist here.
    #[error("{name} {value:?} does not exist here: try {}", .near.join(", "))]
    Missing {
        /// The parameter.
        name: &'static str,
        /// What was asked for, shortened.
        value: String,
        /// What exists and is spelt most like it, the nearest first.
        near: Vec<String>,
    },
    /// The same parameter more than once.
    #[error("{0} is given more than once")]
    Twice(&'static str),
    /// More than is read.
    #[error("the query is over {QUERY_BYTES_MAX} bytes or {PARAMETERS_MAX} parameters")]
    TooLong,
}

/// The values that an option may have, described in each language in the order of [`Lang::ALL`].
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
    /// Refuses a value; `allowed` describes the values that are taken, in a language.
    pub fn value(name: &'static str, value: &str, allowed: impl Fn(Lang) -> String) -> Self {
        Self::Value { name, value: shorten(value), allowed: Allowed(Lang::ALL.map(allowed)) }
    }

    /// Refuses more than `most` of something.
    pub fn too_many(name: &'static str, value: &str, most: usize) -> Self {
        let allowed =
            |lang: Lang| lang.pick(format!("최대 {most}개"), format!("at most {most}"), format!("{most}件まで"));
        Self::value(name, value, allowed)
    }

    /// Refuses a name that nothing here has.
    pub fn missing(name: &'static str, value: &str, near: Vec<String>) -> Self {
        Self::Missing { name, value: shorten(value), near }
    }

    /// Returns the HTTP status for it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Missing { .. } => StatusCode::NOT_FOUND,
            Self::Value { .. } | Self::Twice(_) | Self::TooLong => StatusCode::BAD_REQUEST,
        }
    }
}

/// Shortens a value to what is shown again.
pub fn shorten(value: &str) -> String {
    value.chars().take(VALUE_CHARS_MAX).collect()
}

/// The parameters that we know, as they were given; an empty value is an absent one, but for a switch.
#[derive(Debug, Default)]
pub struct Given(HashMap<&'static str, String>);

impl Given {
    /// Reads a query. Parameters that are none of `names` are passed over.
    ///
    /// # Errors
    /// If it is too long, or names one of ours twice.
    pub fn read(query: &str, names: impl Iterator<Item = &'static str> + Clone) -> Result<Self, BadOption> {
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
                return Err(BadOption::Twice(name));
            }
        }
        Ok(Self(known))
    }

    /// Returns a value as it was given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Reads an on/off option. Empty is on, as everywhere in HTML; frameworks write `true` and `false`.
    ///
    /// # Errors
    /// If it is none of these.
    pub fn switch(&self, name: &'static str) -> Result<Option<bool>, BadOption> {
        match self.0.get(name).map(String::as_str) {
            Some("" | "true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            _ => Ok(self.choose::<Switch>(name)?.map(|switch| switch == Switch::On)),
        }
    }

    /// Reads one of a fixed set of words.
    ///
    /// # Errors
    /// If it is none of them.
    pub fn choose<T: Choice>(&self, name: &'static str) -> Result<Option<T>, BadOption> {
        self.parse(name, find, |_| allowed::<T>())
    }

    /// Reads a value.
    ///
    /// # Errors
    /// If `read` makes nothing of it; `allowed` describes in a language what it would take.
    pub fn parse<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
        allowed: impl Fn(Lang) -> String,
    ) -> Result<Option<T>, BadOption> {
        let Some(value) = self.get(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| BadOption::value(name, value, allowed))
    }
}
