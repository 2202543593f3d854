//! One market as a widget shows it: every cell as text.

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::choice::Column;
use crate::domain::{Basis, Direction, Market, Quote, State};
use crate::text::{self, Lang};

/// The cells of a row.
pub struct RowView {
    pub market: String,
    pub state: &'static str,
    pub direction: &'static str,
    pub name: String,
    /// Where the name leads, if anywhere.
    pub href: Option<String>,
    /// Whether that is a page of this server, in a fragment: the script gives it this server's origin in pages of others.
    pub is_ours: bool,
    pub mark: String,
    pub notice: String,
    pub last: String,
    pub unit: String,
    /// What stands between price and unit.
    pub gap: &'static str,
    pub change: String,
    pub word: &'static str,
    /// What the change is measured against, or why there is none.
    pub base: String,
    /// Why there is no change, though there is a price.
    pub no_change: String,
    pub amount: String,
    pub high: String,
    pub low: String,
    pub volume: String,
    pub confirmed_at: String,
    /// What it can be found by: its name in every language, and its id.
    pub found_by: String,
    pub key: SortKey,
}

/// What a table can be sorted by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SortKey {
    pub last: Option<Decimal>,
    pub change: Option<Decimal>,
    pub volume: Option<Decimal>,
}

impl RowView {
    /// Writes the cells. A market that was never published has a row of dashes.
    pub fn new(market: &Market, quote: Option<&Quote>, basis: Basis, now: Timestamp, lang: Lang) -> Self {
        let dash = || text::UNKNOWN.to_owned();
        let state = quote.map_or(State::Unknown, |quote| quote.state);
        let change = quote.and_then(|quote| quote.change(basis));
        let base = change.and(quote).and_then(|quote| quote.base(basis));
        let no_change = quote.map_or_else(String::new, |quote| text::no_change(quote, basis, lang));
        let digits = quote.map_or(0, |quote| quote.digits);
        let price =
            |price: Option<crate::domain::Price>| price.map_or_else(dash, |price| text::grouped(price.get(), digits));
        let at = quote.and_then(|quote| quote.confirmed_at.or(quote.received_at));
        let names = Lang::ALL.map(|lang| name(market, quote, lang).to_lowercase());
        Self {
            market: market.to_string(),
            state: state.as_str(),
            direction: change.map_or(Direction::Even, |change| change.direction).as_str(),
            name: name(market, quote, lang),
            href: None,
            is_ours: false,
            mark: quote.map_or_else(|| text::state(state, lang).to_owned(), |quote| text::mark(quote, now, lang)),
            notice: quote.map_or_else(String::new, |quote| text::notice(quote, lang)),
            last: quote.map_or_else(dash, |quote| text::last(quote, lang)),
            unit: text::unit(market.quote(), lang).to_owned(),
            gap: lang.pick("", " ", ""),
            change: text::change(change.as_ref(), lang),
            word: change.map_or("", |change| text::direction(change.direction, lang)),
            base: base.map_or_else(|| no_change.clone(), |base| text::base(&base, lang)),
            no_change,
            amount: change.map_or_else(dash, |change| text::signed(change.amount, digits)),
            high: price(quote.and_then(|quote| quote.high_24h)),
            low: price(quote.and_then(|quote| quote.low_24h)),
            volume: quote
                .and_then(|quote| quote.quote_volume_24h)
                .map_or_else(dash, |volume| text::compact(volume, lang)),
            confirmed_at: at.map_or_else(String::new, |at| at.to_string()),
            found_by: format!("{} {} {}", names.join(" "), text::initials(&names[0]), market.as_str().to_lowercase()),
            key: SortKey {
                last: quote.and_then(|quote| quote.last).map(|price| price.get()),
                change: change.map(|change| change.percent),
                volume: quote.and_then(|quote| quote.quote_volume_24h),
            },
        }
    }

    /// Returns the text of a column.
    pub fn cell(&self, column: &Column) -> &str {
        match column {
            Column::Name => &self.name,
            Column::Last => &self.last,
            Column::Change => &self.change,
            Column::Amount => &self.amount,
            Column::High => &self.high,
            Column::Low => &self.low,
            Column::Volume => &self.volume,
        }
    }
}

fn name(market: &Market, quote: Option<&Quote>, lang: Lang) -> String {
    quote.map_or_else(|| text::asset(market.base(), lang), |quote| text::name(quote, lang))
}
