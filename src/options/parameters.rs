//! The parameters of a URL, parsed within bounds.

use std::borrow::Cow;
use std::collections::HashMap;

/// Maximum length of a query in bytes: holds 128 percent-encoded market names, and fits into the head of a request.
pub const QUERY_BYTES_MAX: usize = 12 << 10;

/// Maximum number of parameters in a query, known or not.
const PARAMETERS_MAX: usize = 20;

/// Why a query can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// It is longer than this, in bytes.
    #[error("query is longer than {0} bytes")]
    TooLong(usize),
    /// It has more parameters than this.
    #[error("query has more than {0} parameters")]
    TooMany(usize),
    /// A known parameter is given more than once.
    #[error("{0} is given more than once")]
    Repeated(&'static str),
}

/// A name and its value.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Returns the names and values of a query, decoded; an error takes the place of the first parameter beyond the limit.
///
/// # Errors
/// If it is too long.
pub fn query_pairs(
    query: &str,
    bytes_max: usize,
    parameters_max: usize,
) -> Result<impl Iterator<Item = Result<Pair<'_>, QueryError>>, QueryError> {
    if query.len() > bytes_max {
        return Err(QueryError::TooLong(bytes_max));
    }
    let pairs = url::form_urlencoded::parse(query.as_bytes()).enumerate();
    let too_many = QueryError::TooMany(parameters_max);
    Ok(pairs.map(move |(at, pair)| if at < parameters_max { Ok(pair) } else { Err(too_many) }))
}

/// The known parameters of a query.
#[derive(Debug, Default)]
pub struct Parameters(HashMap<&'static str, String>);

impl Parameters {
    /// Parses a query; parameters that are not in `names` are ignored, so that tracking parameters that a publisher
    /// appends do no harm.
    ///
    /// # Errors
    /// If the query exceeds its limits or contains a known parameter twice.
    pub fn parse(query: &str, names: impl Iterator<Item = &'static str> + Clone) -> Result<Self, QueryError> {
        let mut known = HashMap::new();
        for pair in query_pairs(query, QUERY_BYTES_MAX, PARAMETERS_MAX)? {
            let (name, value) = pair?;
            let Some(name) = names.clone().find(|known| *known == name) else { continue };
            if known.insert(name, value.into_owned()).is_some() {
                return Err(QueryError::Repeated(name));
            }
        }
        Ok(Self(known))
    }

    /// Returns a value, which may be empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns a value; `None` if it is absent or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !value.is_empty())
    }
}
