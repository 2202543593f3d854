//! What holds for every venue's candle answer, whatever its spelling.
//!
//! A candle answer says two things: what minutes closed at, and that the
//! minutes left out had no trade. The second makes it all or nothing: a row
//! dropped in silence would read as a quiet minute, and a wrong base follows.

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::json::{payload, refuse};
use super::{ParseError, Rejection};
use crate::domain::{Candle, Minute};

/// Reads the rows of an answer in any order into candles, oldest first, without duplicates.
///
/// # Errors
/// [`ParseError::Payload`] if one row can't be read, if two speak differently
/// of one minute, or if one is not over before `end`: then the venue took
/// `end` for another time than we meant, and its silence means nothing.
pub(super) fn read<'a>(
    rows: &[&'a RawValue],
    end: Minute,
    row: impl Fn(&'a RawValue) -> Result<Candle, Rejection>,
) -> Result<Vec<Candle>, ParseError> {
    let mut candles = Vec::with_capacity(rows.len());
    for (at, raw) in rows.iter().enumerate() {
        let candle = row(raw).map_err(|fault| payload(format!("candle {at}: {fault}")))?;
        if candle.minute >= end {
            return Err(payload(format!("candle {at}: {:?} is not before {end:?}", candle.minute)));
        }
        candles.push(candle);
    }
    candles.sort_by_key(|candle| candle.minute);
    candles.dedup();
    if let Some(pair) = candles.windows(2).find(|pair| pair[0].minute == pair[1].minute) {
        return Err(payload(format!("two candles differ about {:?}", pair[0].minute)));
    }
    Ok(candles)
}

/// Returns the minute that begins at `start` exactly.
pub(super) fn minute(field: &'static str, start: Option<Timestamp>) -> Result<Minute, Rejection> {
    let start = start.ok_or_else(|| refuse(field, "missing"))?;
    let minute = Minute::of(start);
    if minute.start() == start { Ok(minute) } else { Err(refuse(field, "time")) }
}

/// Holds a candle to its law.
pub(super) fn checked(candle: Candle) -> Result<Candle, Rejection> {
    candle.checked().map_err(|_| refuse("candle", "candle"))
}
