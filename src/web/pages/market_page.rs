//! The market page: the figures of one market on every basis, and its price history.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::embed::discovery;
use super::page_response::{PageRequest, market_options, rendered_page};
use crate::locale::{self, Lang};
use crate::market::{Basis, Direction, HaltReason, Market, Quote, State as RowState, VenueId};
use crate::options::{Span, Widget};
use crate::web::error::invalid_query_response;
use crate::web::routes::price_history::for_page;
use crate::web::state::AppState;
use crate::widgets::context::{Placement, custom_colors_url};
use crate::widgets::plot::Plot;
use crate::widgets::row_view::client_strings;
use crate::widgets::series::{HistoryQuery, INCOMPLETE_REFRESH_SECS, Series};
use crate::widgets::widget_options::Options;

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
    fingerprint: String,
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
    /// The notices of the exchange as a sentence; empty if there are none.
    notice_sentence: String,
    as_of: String,
    as_of_utc: String,
    confirmed_at: String,
    venue: &'static str,
    venue_name: &'static str,
    bases: Vec<BaseView>,
    figures: Vec<(&'static str, String, String)>,
    plots: Vec<Plot>,
    /// Seconds after which the script reloads the plots; 0 if they are complete.
    refresh: u32,
    langs: Vec<(&'static str, &'static str, String)>,
}

/// The change on one basis, as a table row.
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
    /// Why a row with a price has no change.
    no_change: String,
}

/// The data of the page, loaded before rendering.
pub struct MarketData {
    quote: Option<Arc<Quote>>,
    history: Vec<Arc<Series>>,
}

/// Loads the data of the page. If the history can't be read, the page has no plots.
pub async fn load(app: &AppState, options: &Options<'_>) -> MarketData {
    let Some(pick) = options.picks.first() else { return MarketData { quote: None, history: Vec::new() } };
    let market = &pick.market;
    let quote = app.hub.row(&pick.source, market);
    let venues = options.board.venues();
    let mut history = Vec::new();
    if let Some(venue) = quote.as_ref().map(|quote| quote.venue).or(venues.first().copied()) {
        // One query for both plots, so that the day is exactly the end of the week.
        let span = Span::Week;
        let query = HistoryQuery { market: market.clone(), venue, venues, span, step: span.plot_step() };
        if let Some(week) = for_page(app, query).await {
            history.extend(week.day.clone());
            history.push(week);
        }
    }
    // Read again after waiting for the history, so that no other figure on the page is newer than the row.
    let quote = app.hub.row(&pick.source, market).or(quote);
    MarketData { quote, history }
}

/// `GET /market/{id}`: one market with its change on every basis and its price history.
pub async fn one_market(
    State(app): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.as_deref().unwrap_or_default();
    let boards = app.boards();
    let request =
        PageRequest { app: &app, boards: &boards, headers: &headers, query, placement: Placement::NestedPage };
    match market_options(&app, &boards, &headers, query, &id) {
        Ok(options) => {
            let data = load(&app, &options).await;
            rendered_page(request, &format!("market {}", options.query()), || page(&app, &options, &data))
        }
        Err(bad) => invalid_query_response(request, &bad),
    }
}

/// Renders the page.
///
/// # Errors
/// If the template can't be rendered.
pub fn page(app: &AppState, options: &Options<'_>, data: &MarketData) -> Result<String, askama::Error> {
    let Some(pick) = options.picks.first() else { return Ok(String::new()) };
    MarketPage::new(app, options, &pick.market, data).render()
}

impl<'a> MarketPage<'a> {
    fn new(app: &AppState, options: &'a Options<'_>, market: &'a Market, data: &MarketData) -> Self {
        let (lang, quote) = (options.lang, data.quote.as_deref());
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
            basis_word: basis_label(options.basis, lang),
            theme: options.values.theme().keyword(),
            theme_query: theme_query.clone(),
            colors: options.colors().to_string(),
            style: custom_colors_url(options.colors(), "../"),
            discovery: discovery(app, options, Widget::Chart),
            market: market.as_str(),
            fingerprint: quote.map_or_else(String::new, |quote| fingerprint(quote, options.basis)),
            words: client_strings(&options.board.venues(), lang, true),
            summary: quote.map_or_else(
                || locale::asset(market.base(), lang),
                |quote| locale::sentence(quote, options.basis, lang),
            ),
            name: quote.map_or_else(|| locale::asset(market.base(), lang), |quote| locale::name(quote, lang)),
            unit: locale::unit(market.quote(), lang).to_owned(),
            last: quote.map_or_else(|| locale::UNKNOWN.to_owned(), |quote| locale::last(quote, lang)),
            change: locale::change(change.as_ref(), lang),
            word: change.map_or("", |change| locale::direction(change.direction, lang)),
            base: change.and(base).map_or_else(
                || quote.map_or_else(String::new, |quote| locale::no_change(quote, options.basis, lang)),
                |base| locale::base(&base, lang),
            ),
            state: quote.map_or(RowState::Unknown, |quote| quote.state).as_str(),
            direction: change.map_or(Direction::Even, |change| change.direction).as_str(),
            mark: quote.map_or_else(
                || locale::state(RowState::Unknown, lang).to_owned(),
                |quote| locale::mark(quote, app.clock.now(), lang),
            ),
            notice: quote.map_or_else(String::new, |quote| locale::notice(quote, lang)),
            notice_sentence: quote.map_or_else(String::new, |quote| locale::notice_sentence(quote, lang)),
            as_of: at.map_or_else(|| locale::UNKNOWN.to_owned(), |at| locale::clock(at, lang)),
            as_of_utc: at.map_or_else(String::new, |at| at.to_string()),
            confirmed_at: at.map_or_else(String::new, |at| at.to_string()),
            venue: venue.map_or("", VenueId::as_str),
            venue_name: venue.map_or("", |venue| locale::venue(venue, lang)),
            bases: Basis::ALL.map(|basis| base_view(quote, basis, lang)).into(),
            figures: quote.map_or_else(Vec::new, |quote| figures(quote, lang)),
            plots: data.history.iter().map(|series| Plot::new(series, quote, base, lang)).collect(),
            // The first series is the day; the week is not waited for.
            refresh: if data.history.first().is_some_and(|day| day.is_growing) { INCOMPLETE_REFRESH_SECS } else { 0 },
            langs: Lang::ALL.map(|it| (it.as_str(), it.own_name(), link(it))).into(),
        }
    }
}

/// Returns the value of `data-said`.
///
/// The script compares it with each row of the stream and reloads the figures of the page if they differ.
fn fingerprint(quote: &Quote, basis: Basis) -> String {
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
    let dash = || locale::UNKNOWN.to_owned();
    BaseView {
        basis: basis.as_str(),
        name: basis_label(basis, lang),
        direction: change.map_or(Direction::Even, |change| change.direction).as_str(),
        word: change.map_or("", |change| locale::direction(change.direction, lang)),
        change: locale::change(change.as_ref(), lang),
        amount: change.map_or_else(dash, |change| locale::signed(change.amount, digits)),
        price: base.map_or_else(dash, |base| locale::grouped(base.price.get(), digits)),
        at: base.map_or_else(dash, |base| locale::moment(base.at, lang)),
        at_utc: base.map_or_else(String::new, |base| base.at.to_string()),
        source: base.map_or("", |base| locale::base_source(base.source, lang)),
        no_change: quote.map_or_else(String::new, |quote| locale::no_change(quote, basis, lang)),
    }
}

/// Returns the name of a basis as a table heading.
fn basis_label(basis: Basis, lang: Lang) -> &'static str {
    match basis {
        Basis::Rolling24h => lang.pick("24시간 전 대비", "Over 24 hours", "24時間前比"),
        Basis::UtcDay => lang.pick("오전 9시(한국시간) 대비", "Since 00:00 UTC", "午前9時（日本時間）から"),
        Basis::KstDay => lang.pick("0시(한국시간) 대비", "Since 00:00 KST", "午前0時（日本時間）から"),
    }
}

/// Returns name, value and unit of each known figure.
fn figures(quote: &Quote, lang: Lang) -> Vec<(&'static str, String, String)> {
    let unit = locale::unit(quote.market.quote(), lang).to_owned();
    let price = |price: crate::market::Price| locale::grouped(price.get(), quote.digits);
    let range = quote.range_source.map_or("", |source| locale::range_source(source, lang));
    let range = format!("{unit} {range}").trim_end().to_owned();
    let time = |at| locale::moment_exact(at, lang);
    [
        (lang.pick("24시간 고가", "24 h high", "24時間高値"), quote.high_24h.map(price), range.clone()),
        (lang.pick("24시간 저가", "24 h low", "24時間安値"), quote.low_24h.map(price), range),
        (
            lang.pick("24시간 거래량", "24 h volume", "24時間出来高"),
            quote.base_volume_24h.map(locale::volume),
            quote.market.base().to_owned(),
        ),
        (
            lang.pick("24시간 거래대금", "24 h turnover", "24時間売買代金"),
            quote.quote_volume_24h.map(locale::volume),
            unit,
        ),
        (lang.pick("마지막 체결", "Last trade", "最終約定"), quote.traded_at.map(time), String::new()),
        (lang.pick("마지막 확인", "Last confirmed", "最終確認"), quote.confirmed_at.map(time), String::new()),
    ]
    .into_iter()
    .filter_map(|(name, value, unit)| Some((name, value?, unit)))
    .collect()
}
