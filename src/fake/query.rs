//! Reading a request's path and query, and the spellings of time in them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// A path with its query.
#[derive(Debug, Clone)]
pub struct Target {
    /// The path alone.
    pub path: String,
    parameters: Vec<(String, String)>,
}

impl Target {
    /// Takes `/v1/ticker?markets=KRW-BTC` apart.
    pub fn parse(path_and_query: &str) -> Self {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let parameters = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { path: path.to_owned(), parameters }
    }

    /// Returns a parameter that is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns whether a flag parameter says `true`.
    pub fn flag(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true")))
    }

    /// Returns the path's parts after `prefix`, or `None` if it does not start with it.
    pub fn under(&self, prefix: &str) -> Option<&str> {
        self.path.strip_prefix(prefix)
    }
}

/// Hours that Korea is ahead of UTC.
pub const KOREA: i8 = 9;

/// Korea's offset in ms.
pub const KOREA_MS: i64 = 9 * 3_600_000;

/// Reads an instant: with an offset or `Z` as it says, without one at `hours` ahead of UTC.
pub fn instant(text: &str, hours: i8) -> Option<i64> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.as_millisecond());
    }
    let wall: DateTime = text.parse().ok()?;
    Some(Offset::constant(hours).to_timestamp(wall).ok()?.as_millisecond())
}

/// Spells an instant (ms) on the wall clock `hours` ahead of UTC, in `strftime`'s words.
pub fn spell(at: i64, hours: i8, format: &str) -> String {
    let instant = Timestamp::from_millisecond(at).unwrap_or_default();
    Offset::constant(hours).to_datetime(instant).strftime(format).to_string()
}
