//! The page of one market: its figures on every basis, and its past.

use std::sync::Arc;

use askama::Template;

use super::super::AppState;
use super::super::history::{self, Question, Series, Span};
use super::choice::{Choice, Widget};
use super::oembed;
use super::options::Options;
use super::past::GROWING_REFRESH_SECS;
use super::plot::Plot;
use super::stage::own_style;
use super::words;
use crate::domain::{Basis, Direction, HaltReason, Market, Quote, State, VenueId};
use crate::text::{self, Lang};

#[derive(Template)]
#[template(path = "market.html")]
struct MarketPage<'a> {
    lang: Lang,
    demo: bool,
    board: &'a str,
    basis: &'a str,
    basis_word: &'static str,
    theme: &'a str,
    theme_query: String,
    colors: String,
    style: Option<String>,
    discovery: Option<String>,
    market: &'a str,
    said: String,
    words: String,
    summary: String,
    name: String,
    unit: String,
    last: String,
    change: String,
    word: &'static str,
    base: String,
    state: &'static str,
    direction: &'static str,
    mark: String,
    notice: String,
    /// All that the exchange warns of, with its name; empty where that is nothing.
    warned: String,
    as_of: String,
    as_of_utc: String,
    confirmed_at: String,
    venue: &'static str,
    venue_name: &'static str,
    bases: Vec<BaseView>,
    figures: Vec<(&'static str, String, String)>,
    plots: Vec<Plot>,
    /// After how many seconds a line may be longer; 0 if none grows.
    refresh: u32,
    langs: Vec<(&'static str, &'static str, String)>,
}

/// The change against one base.
struct BaseView {
    basis: &'static str,
    name: &'static str,
    direction: &'static str,
    word: &'static str,
    change: String,
    amount: String,
    price: String,
    at: String,
    at_utc: String,
    source: &'static str,
    /// Why there is no change, though there is a price.
    no_change: String,
}

/// What is read from memory and from the past before anything is rendered.
pub struct Told {
    quote: Option<Arc<Quote>>,
    past: Vec<Arc<Series>>,
}

/// Reads what the page shows. A past that can't be read leaves its place empty.
pub async fn read(app: &AppState, options: &Options<'_>) -> Told {
    let Some(pick) = options.picks.first() else { return Told { quote: None, past: Vec::new() } };
    let market = &pick.market;
    let quote = app.hub.row(&pick.source, market);
    let venues = options.board.venues();
    let mut past = Vec::new();
    if let Some(venue) = quote.as_ref().map(|quote| quote.venue).or(venues.first().copied()) {
        // One reading for both, so that the day is the end of the week.
        let span = Span::Week;
        let question = Question { market: market.clone(), venue, venues, span, step: span.plot_step() };
        if let Some(week) = history::for_page(app, question).await {
            past.extend(week.day.clone());
            past.push(week);
        }
    }
    // The row is read after what had to be waited for: nothing on the page is newer than it.
    let quote = app.hub.row(&pick.source, market).or(quote);
    Told { quote, past }
}

/// Renders the page.
///
/// # Errors
/// When the template can't be written out.
pub fn page(app: &AppState, options: &Options<'_>, told: &Told) -> Result<String, askama::Error> {
    let Some(pick) = options.picks.first() else { return Ok(String::new()) };
    MarketPage::new(app, options, &pick.market, told).render()
}

impl<'a> MarketPage<'a> {
    fn new(app: &AppState, options: &'a Options<'_>, market: &'a Market, told: &Told) -> Self {
        let (lang, quote) = (options.lang, told.quote.as_deref());
        let change = quote.and_then(|quote| quote.change(options.basis));
        let base = quote.and_then(|quote| quote.base(options.basis));
        let venue = quote.map(|quote| quote.venue).or(options.board.venues().first().copied());
        let at = quote.and_then(|quote| quote.confirmed_at.or(quote.received_at));
        let theme_query = options.theme_query();
        let link = |lang: Lang| format!("?board={}&basis={}&lang={lang}{theme_query}", options.board.id, options.basis);
        Self {
            lang,
            demo: app.demo,
            board: &options.board.id,
            basis: options.basis.as_str(),
            basis_word: basis_word(options.basis, lang),
            theme: options.theme.word(),
            theme_query: theme_query.clone(),
            colors: options.colors.to_string(),
            style: own_style(options.colors, "../"),
            discovery: oembed::discovery(app, options, Widget::Chart),
            market: market.as_str(),
            said: quote.map_or_else(String::new, |quote| said(quote, options.basis)),
            words: words::json(&options.board.venues(), lang, true),
            summary: quote
                .map_or_else(|| text::asset(market.base(), lang), |quote| text::sentence(quote, options.basis, lang)),
            name: quote.map_or_else(|| text::asset(market.base(), lang), |quote| text::name(quote, lang)),
            unit: text::unit(market.quote(), lang).to_owned(),
            last: quote.map_or_else(|| text::UNKNOWN.to_owned(), |quote| text::last(quote, lang)),
            change: text::change(change.as_ref(), lang),
            word: change.map_or("", |change| text::direction(change.direction, lang)),
            base: change.and(base).map_or_else(
                || quote.map_or_else(String::new, |quote| text::no_change(quote, options.basis, lang)),
                |base| text::base(&base, lang),
            ),
            state: quote.map_or(State::Unknown, |quote| quote.state).as_str(),
            direction: change.map_or(Direction::Even, |change| change.direction).as_str(),
            mark: quote.map_or_else(
                || text::state(State::Unknown, lang).to_owned(),
                |quote| text::mark(quote, app.clock.now(), lang),
            ),
            notice: quote.map_or_else(String::new, |quote| text::notice(quote, lang)),
            warned: quote.map_or_else(String::new, |quote| text::notice_sentence(quote, lang)),
            as_of: at.map_or_else(|| text::UNKNOWN.to_owned(), |at| text::clock(at, lang)),
            as_of_utc: at.map_or_else(String::new, |at| at.to_string()),
            confirmed_at: at.map_or_else(String::new, |at| at.to_string()),
            venue: venue.map_or("", VenueId::as_str),
            venue_name: venue.map_or("", |venue| text::venue(venue, lang)),
            bases: Basis::ALL.map(|basis| base_view(quote, basis, lang)).into(),
            figures: quote.map_or_else(Vec::new, |quote| figures(quote, lang)),
            plots: told.past.iter().map(|series| Plot::new(series, quote, base, lang)).collect(),
            // The day comes first; a week has holes for a week.
            refresh: if told.past.first().is_some_and(|day| day.is_growing) { GROWING_REFRESH_SECS } else { 0 },
            langs: Lang::ALL.map(|it| (it.as_str(), it.own_name(), link(it))).into(),
        }
    }
}

/// What the script compares with the stream: where nothing of it differs, the page is as new as the stream.
fn said(quote: &Quote, basis: Basis) -> String {
    let last = quote.last.map_or_else(String::new, |last| last.get().normalize().to_string());
    let base = quote.base(basis).map_or_else(String::new, |base| format!("{:.0}", base.at));
    let reason = quote.reason.map_or("", HaltReason::as_str);
    let notice =
        quote.notice.as_deref().map_or_else(String::new, |notice| serde_json::to_string(notice).unwrap_or_default());
    format!("{last}|{}|{base}|{reason}|{notice}", quote.state.as_str())
}

fn base_view(quote: Option<&Quote>, basis: Basis, lang: Lang) -> BaseView {
    let change = quote.and_then(|quote| quote.change(basis));
    let base = change.and(quote).and_then(|quote| quote.base(basis));
    let digits = quote.map_or(0, |quote| quote.digits);
    let dash = || text::UNKNOWN.to_owned();
    BaseView {
        basis: basis.as_str(),
        name: basis_word(basis, lang),
        direction: change.map_or(Direction::Even, |change| change.direction).as_str(),
        word: change.map_or("", |change| text::direction(change.direction, lang)),
        change: text::change(change.as_ref(), lang),
        amount: change.map_or_else(dash, |change| text::signed(change.amount, digits)),
        price: base.map_or_else(dash, |base| text::grouped(base.price.get(), digits)),
        at: base.map_or_else(dash, |base| text::moment(base.at, lang)),
        at_utc: base.map_or_else(String::new, |base| base.at.to_string()),
        source: base.map_or("", |base| text::base_source(base.source, lang)),
        no_change: quote.map_or_else(String::new, |quote| text::no_change(quote, basis, lang)),
    }
}

/// Returns what a base is called in a heading.
fn basis_word(basis: Basis, lang: Lang) -> &'static str {
    match basis {
        Basis::Rolling24h => lang.pick("24시간 전 대비", "Since 24 hours ago", "24時間前から"),
        Basis::UtcDay => lang.pick("오전 9시(한국시간) 대비", "Since 00:00 UTC", "午前9時(日本時間)から"),
        Basis::KstDay => lang.pick("0시(한국시간) 대비", "Since 00:00 KST", "午前0時(日本時間)から"),
    }
}

/// Returns name, value and unit of each figure that is known.
fn figures(quote: &Quote, lang: Lang) -> Vec<(&'static str, String, String)> {
    let unit = text::unit(quote.market.quote(), lang).to_owned();
    let price = |price: crate::domain::Price| text::grouped(price.get(), quote.digits);
    let range = quote.range_source.map_or("", |source| text::range_source(source, lang));
    let range = format!("{unit} {range}").trim_end().to_owned();
    let time = |at| text::moment_exact(at, lang);
    [
        (lang.pick("24시간 고가", "24 h high", "24時間高値"), quote.high_24h.map(price), range.clone()),
        (lang.pick("24시간 저가", "24 h low", "24時間安値"), quote.low_24h.map(price), range),
        (
            lang.pick("24시간 거래량", "24 h volume", "24時間出来高"),
            quote.base_volume_24h.map(text::volume),
            quote.market.base().to_owned(),
        ),
        (
            lang.pick("24시간 거래대금", "24 h turnover", "24時間売買代金"),
            quote.quote_volume_24h.map(text::volume),
            unit,
        ),
        (lang.pick("마지막 체결", "Last trade", "最終約定"), quote.traded_at.map(time), String::new()),
        (lang.pick("마지막 확인", "Confirmed", "最終確認"), quote.confirmed_at.map(time), String::new()),
    ]
    .into_iter()
    .filter_map(|(name, value, unit)| Some((name, value?, unit)))
    .collect()
}
