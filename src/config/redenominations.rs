//! `[[redenominations]]`: changes of a price's unit, as configured by the operator.

use jiff::Timestamp;

use crate::market::{Market, Minute, Price, Redenomination};
use crate::venue;

use super::section::{Section, Source, known_venues};

/// Most entries.
const ENTRIES_MAX: usize = 256;

/// Reads all entries. Invalid ones are left out and their errors reported.
pub(super) fn read(source: &Source<'_>, sections: Vec<(Section<'_>, String)>) -> Vec<Redenomination> {
    if sections.len() > ENTRIES_MAX {
        let message = format!("must have at most {ENTRIES_MAX} entries, has {}", sections.len());
        source.report(source.name.to_owned(), "redenominations", message);
    }
    let mut entries: Vec<Redenomination> = Vec::new();
    for (mut section, location) in sections {
        let entry = read_one(source, &mut section, &location);
        let same = |a: &Redenomination, b: &Redenomination| a.venue == b.venue && a.market == b.market && a.at == b.at;
        match entry {
            Some(entry) if entries.iter().any(|other| same(other, &entry)) => {
                source.report(
                    location,
                    section.key("at"),
                    format!("{} at {} has two entries for the same minute", entry.market, entry.venue),
                );
            }
            entry => entries.extend(entry),
        }
        section.finish();
    }
    entries
}

fn read_one(source: &Source<'_>, section: &mut Section<'_>, location: &str) -> Option<Redenomination> {
    let mut value = |key: &'static str, must_be: &str, is_valid: &dyn Fn(&str) -> bool| {
        let problem_count = source.problems.borrow().len();
        let Some(found) = section.string(key) else {
            // A value that is not a string has been reported already.
            if source.problems.borrow().len() == problem_count {
                source.report(location.to_owned(), section.key(key), format!("is missing; must be {must_be}"));
            }
            return None;
        };
        if !is_valid(&found.value) {
            source.report(found.location, section.key(key), format!("must be {must_be}, is {:?}", found.value));
            return None;
        }
        Some(found.value)
    };
    let is_venue = |text: &str| venue::find(text).is_some();
    let venue = value("venue", &format!("an exchange; known: {}", known_venues()), &is_venue);
    let market = value("market", "a market such as BTC-KRW", &|text| text.parse::<Market>().is_ok());
    let at = value("at", "the start of a minute such as \"2026-03-01T00:00:00Z\"", &|text| {
        parse_minute_start(text).is_some()
    });
    let must_be =
        "the factor for older prices, a positive decimal in quotes such as \"0.01\", or \"1\" for a real price move";
    let factor = value("factor", must_be, &|text| parse_factor(text).is_some());
    Some(Redenomination {
        venue: venue::find(&venue?)?.profile().id,
        market: market?.parse().ok()?,
        at: parse_minute_start(&at?)?,
        factor: parse_factor(&factor?)?,
    })
}

/// Parses a time that is exactly the start of a minute, since the unit changes between two minutes.
fn parse_minute_start(text: &str) -> Option<Minute> {
    let at: Timestamp = text.parse().ok()?;
    Some(Minute::of(at)).filter(|minute| minute.start() == at)
}

fn parse_factor(text: &str) -> Option<Price> {
    text.parse().ok()
}
