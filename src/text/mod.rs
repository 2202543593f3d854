//! How a number, a name, a time is shown to a reader.
//!
//! The first text of a page and every later one come from here, so a price
//! never changes its look when it changes its value. Knows neither HTTP nor
//! the clock, nor who is asking.

mod lang;
mod name;
mod notice;
mod number;
mod phrase;
mod time;
mod trouble;

pub use lang::{Lang, UnknownLang, negotiate};
pub use name::{asset, initials, name, venue};
pub use notice::{notice, notice_sentence};
pub use number::{change, compact, grouped, last, percent, signed, volume};
pub use phrase::{
    base_source, basis_in_brackets, direction, footnote, mark, no_change, price_column, range_source, sentence,
    session, state, unit,
};
pub use time::{Zone, age, age_patterns, base, clock, day, moment, moment_exact, stamp, stamp_day, zone};
pub use trouble::{reason, reason_word, trouble, venue_state};

/// Stands where a figure is not known.
pub const UNKNOWN: &str = "–";

#[cfg(test)]
mod tests_support {
    //! A row to say things about.

    use crate::domain::{Base, BaseSource, Quote, SourceId, State, VenueId};

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
            no_bases: Default::default(),
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
