//! The template data of one row, every cell as text, and the texts that the script writes into rows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::feed::VenueState;
use crate::locale;
use crate::locale::Lang;
use crate::market::{Basis, Direction, Market, Quote, State, VenueId};
use crate::options::Column;

/// The cells of a row.
pub struct RowView {
    pub market: String,
    pub state: &'static str,
    pub direction: &'static str,
    pub name: String,
    /// Target of the link on the name.
    pub href: Option<String>,
    /// Whether `href` is a page of this server in a fragment. The script then resolves it against this server.
    pub is_ours: bool,
    pub mark: String,
    pub notice: String,
    pub last: String,
    pub unit: String,
    /// White space between price and unit.
    pub gap: &'static str,
    pub change: String,
    pub word: &'static str,
    /// Base price and base time, or why there is no change.
    pub base: String,
    /// Why a row with a price has no change.
    pub no_change: String,
    pub amount: String,
    pub high: String,
    pub low: String,
    pub volume: String,
    pub confirmed_at: String,
    /// Text that the search matches: the name in every language, its Korean initials, and the market id; in lower case.
    pub found_by: String,
    pub key: SortKey,
}

/// The figures that a table can be sorted by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SortKey {
    pub last: Option<Decimal>,
    pub change: Option<Decimal>,
    pub volume: Option<Decimal>,
}

/// The texts that the script writes into rows.
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

impl RowView {
    /// Formats the cells. A market without a quote row gets dashes.
    pub fn new(market: &Market, quote: Option<&Quote>, basis: Basis, now: Timestamp, lang: Lang) -> Self {
        let dash = || locale::UNKNOWN.to_owned();
        let state = quote.map_or(State::Unknown, |quote| quote.state);
        let change = quote.and_then(|quote| quote.change(basis));
        let base = change.and(quote).and_then(|quote| quote.base(basis));
        let no_change = quote.map_or_else(String::new, |quote| locale::no_change(quote, basis, lang));
        let digits = quote.map_or(0, |quote| quote.digits);
        let price =
            |price: Option<crate::market::Price>| price.map_or_else(dash, |price| locale::grouped(price.get(), digits));
        let at = quote.and_then(|quote| quote.confirmed_at.or(quote.received_at));
        let names = Lang::ALL.map(|lang| name(market, quote, lang).to_lowercase());
        Self {
            market: market.to_string(),
            state: state.as_str(),
            direction: change.map_or(Direction::Even, |change| change.direction).as_str(),
            name: name(market, quote, lang),
            href: None,
            is_ours: false,
            mark: quote.map_or_else(|| locale::state(state, lang).to_owned(), |quote| locale::mark(quote, now, lang)),
            notice: quote.map_or_else(String::new, |quote| locale::notice(quote, lang)),
            last: quote.map_or_else(dash, |quote| locale::last(quote, lang)),
            unit: locale::unit(market.quote(), lang).to_owned(),
            gap: lang.pick("", " ", ""),
            change: locale::change(change.as_ref(), lang),
            word: change.map_or("", |change| locale::direction(change.direction, lang)),
            base: base.map_or_else(|| no_change.clone(), |base| locale::base(&base, lang)),
            no_change,
            amount: change.map_or_else(dash, |change| locale::signed(change.amount, digits)),
            high: price(quote.and_then(|quote| quote.high_24h)),
            low: price(quote.and_then(|quote| quote.low_24h)),
            volume: quote
                .and_then(|quote| quote.quote_volume_24h)
                .map_or_else(dash, |volume| locale::compact(volume, lang)),
            confirmed_at: at.map_or_else(String::new, |at| at.to_string()),
            found_by: format!("{} {} {}", names.join(" "), locale::initials(&names[0]), market.as_str().to_lowercase()),
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

/// Returns the texts that the script writes into rows of these venues, as a JSON object; `credit` adds those for the
/// states of the venues.
///
/// They are part of the markup of each widget (`data-words`), so `sisepan.js` itself contains no texts.
pub fn client_strings(venues: &[VenueId], lang: Lang, credit: bool) -> String {
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

fn name(market: &Market, quote: Option<&Quote>, lang: Lang) -> String {
    quote.map_or_else(|| locale::asset(market.base(), lang), |quote| locale::name(quote, lang))
}
