//! Formats numbers, names and times for display, and holds the translated texts.
//!
//! The initial page and every later update use these functions, so a price keeps its format when its value changes.
//! The module does no I/O and reads no clock; language and time are arguments.

mod lang;
mod name;
mod number;
mod phrase;
mod time;

pub use lang::{Lang, UnknownLang, negotiate};
pub use name::{asset, initials, name, venue};
pub use number::{change, compact, grouped, last, percent, signed, volume};
pub use phrase::{
    as_of_caption, base_source, basis_in_brackets, direction, footnote, mark, no_change, notice, notice_sentence,
    price_column, range_source, reason_text, reason_texts, sentence, state, unit, venue_state, venue_status,
};
pub use time::{Zone, age, age_patterns, base, clock, day, moment, moment_exact, stamp, stamp_day, zone};

/// Placeholder for an unknown figure.
pub const UNKNOWN: &str = "–";

#[cfg(test)]
pub(crate) mod tests_support {
    //! A quote row for the tests of this module.

    use crate::market::{Base, BaseSource, Quote, SourceId, State, VenueId};

    /// A live row of Bithumb, confirmed at 2026-01-15T06:27:00Z.
    pub fn quote(market: &str, last: &str, base: Option<&str>) -> Quote {
        let at = "2026-01-15T06:27:00Z".parse().unwrap();
        let base = base.map(|price| Base { price: price.parse().unwrap(), at, source: BaseSource::Window });
        Quote {
            market: market.parse().unwrap(),
            source: SourceId::new(["bithumb"]),
            venue: VenueId("bithumb"),
            fallback: false,
            korean_name: None,
            english_name: None,
            last: Some(last.parse().unwrap()),
            bases: [base, None, None],
            no_base_reasons: Default::default(),
            percent_places: 2,
            digits: 0,
            high_24h: None,
            low_24h: None,
            range_source: None,
            base_volume_24h: None,
            quote_volume_24h: None,
            state: State::Live,
            reason: None,
            notice: None,
            traded_at: None,
            received_at: Some(at),
            confirmed_at: Some(at),
        }
    }
}
