//! The texts that the script writes into rows, as a JSON object in the language of the widget.
//!
//! They are part of the markup of each widget (`data-words`), so `sisepan.js` itself contains no texts.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::feed::VenueState;
use crate::locale::{self, Lang};
use crate::market::{Direction, State, VenueId};

#[derive(Serialize)]
struct ClientStrings<'a> {
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

/// Returns the texts for rows of these venues; `credit` adds those for the states of the venues.
pub fn json(venues: &[VenueId], lang: Lang, credit: bool) -> String {
    let links = [VenueState::Connecting, VenueState::Delayed, VenueState::Down];
    let strings = ClientStrings {
        direction: [Direction::Rise, Direction::Even, Direction::Fall]
            .map(|it| (it.as_str(), locale::direction(it, lang)))
            .into(),
        state: [State::Delayed, State::Stale, State::Halted, State::Unknown]
            .map(|it| (it.as_str(), locale::state(it, lang)))
            .into(),
        age: locale::age_patterns(lang),
        venue: venues.iter().map(|&id| (id.as_str(), locale::venue(id, lang))).collect(),
        link: links.into_iter().filter(|_| credit).map(|it| (it.as_str(), locale::venue_state(it, lang))).collect(),
        reason: locale::reason_texts(lang).filter(|_| credit).collect(),
        base: lang.pick("기준", "base", "基準"),
        zone: locale::zone(lang).label,
        hours: locale::zone(lang).hours,
        live: lang.pick("실시간", "live", "リアルタイム"),
        off: lang.pick("연결 끊김", "not live", "接続なし"),
    };
    // Serializing strings and numbers can't fail.
    serde_json::to_string(&strings).unwrap_or_default()
}
