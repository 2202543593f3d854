//! The badge as JSON, from which shields.io draws one in its own style.
//!
//! Source: <https://shields.io/badges/endpoint-badge> (2026-11-28). A member that is not listed there is an error.

use serde::Serialize;

use super::Badge;
use crate::wire;

/// The least that shields.io heeds.
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

/// Returns the name on the left; price, change and of when on the right, in the colour of the change.
///
/// A price that is not of now is an error, for then nobody can give it another colour.
pub fn json(badge: &Badge) -> Vec<u8> {
    let label = badge.parts.iter().find(|part| part.is_name).map_or("", |part| part.text.as_str());
    let said = badge.parts.iter().filter(|part| !part.is_name).map(|part| part.text.as_str());
    wire::json(&Endpoint {
        schema_version: 1,
        label,
        message: said.collect::<Vec<_>>().join(" "),
        color: format!("#{}", badge.light[badge.tone]),
        is_error: !badge.current,
        cache_seconds: CACHE_SECONDS,
    })
}
