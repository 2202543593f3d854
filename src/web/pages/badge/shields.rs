//! The badge as JSON for the endpoint badge of shields.io.
//!
//! Source: <https://shields.io/badges/endpoint-badge> (2026-11-28), which rejects members that it does not list.

use serde::Serialize;

use super::Badge;
use crate::api;

/// Minimum cache time that shields.io accepts, in seconds.
const CACHE_SECONDS: u32 = 300;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint<'a> {
    schema_version: u32,
    label: &'a str,
    message: String,
    color: String,
    is_error: bool,
    cache_seconds: u32,
}

/// Returns the badge data: the name as the label; price, change and time as the message, in the colour of the change.
///
/// A price that is not current is marked as an error, so that URL parameters can't override its colour.
pub fn json(badge: &Badge) -> Vec<u8> {
    let label = badge.parts.iter().find(|part| part.is_name).map_or("", |part| part.text.as_str());
    let message = badge.parts.iter().filter(|part| !part.is_name).map(|part| part.text.as_str());
    api::json(&Endpoint {
        schema_version: 1,
        label,
        message: message.collect::<Vec<_>>().join(" "),
        color: format!("#{}", badge.light[badge.tone]),
        is_error: !badge.current,
        cache_seconds: CACHE_SECONDS,
    })
}
