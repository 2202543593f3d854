//! How a moment is written: RFC 3339, UTC, with exactly three decimals or none.

use jiff::Timestamp;
use serde::Serializer;

/// Writes `2026-01-15T06:27:01.123Z`.
pub fn millis<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}

/// Writes the same, or `null`.
pub fn millis_or_null<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => millis(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// Writes `2026-01-15T06:27:00Z`.
pub fn seconds<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.0}"))
}

/// A moment that is a member of a hand-written map.
pub struct Millis(pub Option<Timestamp>);

impl serde::Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        millis_or_null(&self.0, serializer)
    }
}
