//! The words that the script puts on a row, in the reader's language, as one JSON object.
//!
//! They travel with the board, so the script itself has no language.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::domain::{Direction, State, VenueId, VenueState};
use crate::text::{self, Lang};

#[derive(Serialize)]
struct Words<'a> {
    direction: BTreeMap<&'a str, &'a str>,
    state: BTreeMap<&'a str, &'a str>,
    age: [&'a str; 4],
    venue: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    link: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    reason: BTreeMap<&'a str, &'a str>,
    base: &'a str,
    zone: &'a str,
    hours: i8,
    live: &'a str,
    off: &'a str,
}

/// Returns the words for rows of these venues; those for the state of the venues only where they are named.
pub fn json(venues: &[VenueId], lang: Lang, named: bool) -> String {
    let links = [VenueState::Connecting, VenueState::Delayed, VenueState::Down];
    let words = Words {
        direction: [Direction::Rise, Direction::Even, Direction::Fall]
            .map(|it| (it.as_str(), text::direction(it, lang)))
            .into(),
        state: [State::Delayed, State::Stale, State::Halted, State::Unknown]
            .map(|it| (it.as_str(), text::state(it, lang)))
            .into(),
        age: text::age_patterns(lang),
        venue: venues.iter().map(|&id| (id.as_str(), text::venue(id, lang))).collect(),
        link: links.into_iter().filter(|_| named).map(|it| (it.as_str(), text::venue_state(it, lang))).collect(),
        reason: text::reason_word(lang).filter(|_| named).collect(),
        base: lang.pick("기준", "base", "基準"),
        zone: text::zone(lang).label,
        hours: text::zone(lang).hours,
        live: lang.pick("실시간", "live", "リアルタイム"),
        off: lang.pick("연결 끊김", "not live", "接続なし"),
    };
    // Strings and numbers only: this can't fail.
    serde_json::to_string(&words).unwrap_or_default()
}
