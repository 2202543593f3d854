//! Parses the target of a request (path and query), and parses and formats the times in requests and responses.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// The target of a request: path and query.
#[derive(Debug, Clone)]
pub struct RequestTarget {
    /// The path alone.
    pub path: String,
    parameters: Vec<(String, String)>,
}

impl RequestTarget {
    /// Parses a target such as `/v1/ticker?markets=KRW-BTC`.
    pub fn parse(path_and_query: &str) -> Self {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        Self::new(path, query)
    }

    /// Creates a target of a path and a query, which is without the question mark.
    pub fn new(path: &str, query: &str) -> Self {
        let parameters = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { path: path.to_owned(), parameters }
    }

    /// Returns a query parameter, or `None` if it is absent or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns a query parameter as a number, or `None` if it is absent or not one.
    pub fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    /// Returns whether one of the named parameters is `true`, in any case.
    pub fn is_true(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true")))
    }
}

/// Offset of Korean time (KST) from UTC in hours.
pub const KST_OFFSET_HOURS: i8 = 9;

/// Offset of Korean time (KST) from UTC in ms.
pub const KST_OFFSET_MS: i64 = 9 * 3_600_000;

/// Parses a time to Unix ms; one without an offset is `hours` ahead of UTC. Returns `None` if it is invalid.
pub fn parse_time(text: &str, hours: i8) -> Option<i64> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.as_millisecond());
    }
    let wall: DateTime = text.parse().ok()?;
    Some(Offset::constant(hours).to_timestamp(wall).ok()?.as_millisecond())
}

/// Formats a time (Unix ms) at `hours` ahead of UTC, with a `strftime` format.
pub fn format_time(at: i64, hours: i8, format: &str) -> String {
    let instant = Timestamp::from_millisecond(at).unwrap_or_default();
    Offset::constant(hours).to_datetime(instant).strftime(format).to_string()
}
