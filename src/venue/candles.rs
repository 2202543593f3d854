//! Rules for the candle responses of all venues, whatever their format.
//!
//! A candle response states two things: the closes of minutes, and that the
//! missing minutes had no trade. Therefore it is all or nothing: a silently
//! dropped row would look like a quiet minute, and lead to a wrong base.

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::json::{ParseError, RawMember, Rejection, payload_error, rejection};
use crate::market::{Candle, Minute, SECONDS_PER_MINUTE};

/// Parses the rows of a response, in any order, into candles: oldest first, without duplicates.
///
/// # Errors
/// [`ParseError::Payload`] if a row can't be parsed, if two rows disagree about
/// a minute, or if one is not before `end`: then the venue interpreted
/// `end` as another time, and missing candles prove nothing.
pub(super) fn parse<'a>(
    rows: &[&'a RawValue],
    end: Minute,
    row: impl Fn(&'a RawValue) -> Result<Candle, Rejection>,
) -> Result<Vec<Candle>, ParseError> {
    let mut candles = Vec::with_capacity(rows.len());
    for (at, raw) in rows.iter().enumerate() {
        let candle = row(raw).map_err(|rejection| payload_error(format!("candle {at}: {rejection}")))?;
        if candle.minute >= end {
            return Err(payload_error(format!("candle {at}: {:?} is not before {end:?}", candle.minute)));
        }
        candles.push(candle);
    }
    candles.sort_by_key(|candle| candle.minute);
    candles.dedup();
    if let Some(pair) = candles.windows(2).find(|pair| pair[0].minute == pair[1].minute) {
        return Err(payload_error(format!("two different candles for {:?}", pair[0].minute)));
    }
    Ok(candles)
}

/// Returns the minute that starts exactly at `start`.
pub(super) fn minute(field: &'static str, start: Option<Timestamp>) -> Result<Minute, Rejection> {
    let start = start.ok_or_else(|| rejection(field, "missing"))?;
    let minute = Minute::of(start);
    if minute.start() == start { Ok(minute) } else { Err(rejection(field, "time")) }
}

/// Returns the minute that starts exactly at `start`, in Unix seconds.
pub(super) fn minute_of_seconds(field: &'static str, start: RawMember<'_>) -> Result<Minute, Rejection> {
    let second = start.optional_count(field)?.and_then(|second| i64::try_from(second).ok());
    let second = second.filter(|second| second % SECONDS_PER_MINUTE == 0);
    second.map(|second| Minute(second / SECONDS_PER_MINUTE)).ok_or_else(|| start.rejection(field, "time"))
}

/// Checks that a candle is consistent.
pub(super) fn checked(candle: Candle) -> Result<Candle, Rejection> {
    candle.checked().map_err(|_| rejection("candle", "candle"))
}
