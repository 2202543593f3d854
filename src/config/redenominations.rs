//! `[[redenominations]]`: where the unit of a price has changed, as an operator says.

use jiff::Timestamp;

use crate::domain::{Market, Minute, Price, Redenomination};
use crate::venue;

use super::read::known_venues;
use super::section::{Section, Source};

/// Most entries.
const ENTRIES_MAX: usize = 256;

/// Reads them all; an entry with a mistake is left out, and each of its mistakes told.
pub(super) fn read(source: &Source<'_>, sections: Vec<(Section<'_>, String)>) -> Vec<Redenomination> {
    if sections.len() > ENTRIES_MAX {
        let message = format!("must be at most {ENTRIES_MAX}, are {}", sections.len());
        source.report(source.name.to_owned(), "redenominations", message);
    }
    let mut all: Vec<Redenomination> = Vec::new();
    for (mut section, place) in sections {
        let one = read_one(source, &mut section, &place);
        let same = |a: &Redenomination, b: &Redenomination| a.venue == b.venue && a.market == b.market && a.at == b.at;
        match one {
            Some(one) if all.iter().any(|other| same(other, &one)) => {
                source.report(
                    place,
                    section.key("at"),
                    format!("{} at {} has two entries for one minute", one.market, one.venue),
                );
            }
            one => all.extend(one),
        }
        section.finish();
    }
    all
}

fn read_one(source: &Source<'_>, section: &mut Section<'_>, place: &str) -> Option<Redenomination> {
    let mut value = |key: &'static str, must_be: &str, is_right: &dyn Fn(&str) -> bool| {
        let told = source.problems.borrow().len();
        let Some(found) = section.string(key) else {
            // What is there and no text was told already.
            if source.problems.borrow().len() == told {
                source.report(place.to_owned(), section.key(key), format!("is missing: must be {must_be}"));
            }
            return None;
        };
        if !is_right(&found.value) {
            source.report(found.place, section.key(key), format!("must be {must_be}, is {:?}", found.value));
            return None;
        }
        Some(found.value)
    };
    let is_venue = |text: &str| venue::find(text).is_some();
    let venue = value("venue", &format!("an exchange; known: {}", known_venues()), &is_venue);
    let market = value("market", "a market such as BTC-KRW", &|text| text.parse::<Market>().is_ok());
    let at = value("at", "the begin of a minute such as \"2026-03-01T00:00:00Z\"", &|text| minute(text).is_some());
    let must_be = "what older prices are multiplied by: a decimal above zero in quotes, such as \"0.01\", or \"1\" for a move of the market";
    let factor = value("factor", must_be, &|text| factor_of(text).is_some());
    Some(Redenomination {
        venue: venue::find(&venue?)?.profile().id,
        market: market?.parse().ok()?,
        at: minute(&at?)?,
        factor: factor_of(&factor?)?,
    })
}

/// Trades of the minute before and of this one are in different units: which is which must be plain.
fn minute(text: &str) -> Option<Minute> {
    let at: Timestamp = text.parse().ok()?;
    Some(Minute::of(at)).filter(|minute| minute.start() == at)
}

fn factor_of(text: &str) -> Option<Price> {
    text.parse().ok()
}
