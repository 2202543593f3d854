//! Encoding of times: RFC 3339 in UTC, with exactly three decimals or none.

use jiff::Timestamp;
use serde::Serializer;

/// Encodes a time as `2026-01-15T06:27:01.123Z`.
pub fn millis<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}

/// Encodes an optional time with milliseconds, or `null`.
pub fn millis_or_null<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => millis(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// Encodes a time as `2026-01-15T06:27:00Z`.
pub fn seconds<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.0}"))
}

/// Optional time as a value with its own `Serialize`, encoded with milliseconds.
pub struct Millis(pub Option<Timestamp>);

impl serde::Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        millis_or_null(&self.0, serializer)
    }
}
