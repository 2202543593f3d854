//! From quotes to what a template shows.

use std::sync::Arc;

use askama::Template;
use jiff::Timestamp;

use super::super::AppState;
use super::options::{Choice, Options};
use super::words;
use crate::config::Board;
use crate::domain::{Basis, Direction, Market, Quote, State, VenueHealth, VenueId, VenueState};
use crate::text::{self, Lang};

/// Renders the board alone.
///
/// # Errors
/// When the template can't be written out.
pub fn fragment(app: &AppState, options: &Options<'_>) -> Result<String, askama::Error> {
    BoardView::new(app, options).render()
}

/// Renders the page for an iframe.
///
/// # Errors
/// When the template can't be written out.
pub fn embed(app: &AppState, options: &Options<'_>) -> Result<String, askama::Error> {
    let board = BoardView::new(app, options);
    EmbedPage { lang: options.lang, theme: board.theme, size: board.size, board: &board }.render()
}

/// Renders the start page.
///
/// # Errors
/// When the template can't be written out.
pub fn home(app: &AppState, options: &Options<'_>) -> Result<String, askama::Error> {
    HomePage::new(app, options).render()
}

#[derive(Template)]
#[template(path = "board.html")]
struct BoardView<'a> {
    id: &'a str,
    title: &'a str,
    lang: Lang,
    basis: &'a str,
    theme: &'a str,
    colors: &'a str,
    size: &'a str,
    /// Only where the reader picked them: the script subscribes to the same.
    markets: String,
    demo: bool,
    words: String,
    name_column: &'a str,
    price_column: String,
    change_column: &'a str,
    rows: Vec<RowView>,
    footnote: &'a str,
    sources: Vec<SourceView>,
    source_word: &'a str,
    /// The query of the links to the markets' own pages; none on other people's pages.
    link: Option<String>,
    /// The state of the row that is best off, unless that is live: a page stands still, so only the script says so.
    standing: &'static str,
    as_of: String,
    as_of_utc: String,
}

struct RowView {
    market: String,
    /// The market in a path.
    path: String,
    state: &'static str,
    direction: &'static str,
    name: String,
    mark: String,
    last: String,
    change: String,
    word: &'static str,
    base: String,
    confirmed_at: String,
}

struct SourceView {
    id: &'static str,
    state: &'static str,
    text: String,
}

#[derive(Template)]
#[template(path = "embed.html")]
struct EmbedPage<'a> {
    lang: Lang,
    theme: &'a str,
    size: &'a str,
    board: &'a BoardView<'a>,
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    lang: Lang,
    demo: bool,
    summary: String,
    board: BoardView<'a>,
    boards: Vec<Link>,
    bases: Vec<Link>,
    langs: Vec<Link>,
    venues: Vec<VenueView>,
}

struct Link {
    text: String,
    href: String,
    tag: &'static str,
    current: bool,
}

struct VenueView {
    name: &'static str,
    state: &'static str,
    word: &'static str,
    why: String,
    detail: String,
    since: String,
    since_utc: String,
}

impl<'a> BoardView<'a> {
    fn new(app: &AppState, options: &Options<'a>) -> Self {
        let (lang, now) = (options.lang, app.clock.now());
        let quotes = app.hub.rows(&options.board.source, &options.markets);
        let health = app.hub.venues();
        let sources: Vec<SourceView> =
            options.board.source.as_str().split(',').filter_map(|id| source(id, &health, &quotes, lang)).collect();
        let venues: Vec<VenueId> = sources.iter().map(|source| VenueId(source.id)).collect();
        let as_of = quotes.iter().filter_map(|quote| quote.confirmed_at).max();
        let best = best_of(&quotes);
        let time = as_of.map_or_else(|| text::UNKNOWN.to_owned(), |at| text::clock(at, lang));
        Self {
            id: &options.board.id,
            title: title(options.board, lang),
            lang,
            basis: options.basis.as_str(),
            theme: options.theme.word(),
            colors: options.colors.word(),
            size: options.size.word(),
            markets: if options.picked { join(&options.markets) } else { String::new() },
            demo: app.demo,
            words: words::json(&venues, lang),
            name_column: lang.pick("종목", "Coin", "銘柄"),
            price_column: text::price_column(&options.markets, lang),
            change_column: lang.pick("변동률", "Change", "変動率"),
            rows: options.markets.iter().map(|market| row(market, &quotes, options, now)).collect(),
            footnote: text::footnote(options.basis, lang),
            sources,
            source_word: lang.pick("시세", "Prices:", "価格:"),
            link: None,
            standing: if best == State::Live { "" } else { best.as_str() },
            as_of: match best {
                State::Live => time,
                State::Unknown => text::state(best, lang).to_owned(),
                _ => format!("{} · {time}", text::state(best, lang)),
            },
            as_of_utc: as_of.map_or_else(String::new, |at| at.to_string()),
        }
    }
}

/// Returns the state of the row that is best off: what the board as a whole may say of itself.
fn best_of(quotes: &[Arc<Quote>]) -> State {
    let states = [State::Live, State::Delayed, State::Stale, State::Halted];
    let any = |state: &State| quotes.iter().any(|quote| quote.state == *state);
    states.into_iter().find(any).unwrap_or(State::Unknown)
}

fn title(board: &Board, lang: Lang) -> &str {
    let [ko, en, ja] = &board.titles;
    lang.pick(ko, en, ja)
}

fn join(markets: &[Market]) -> String {
    markets.iter().map(Market::as_str).collect::<Vec<_>>().join(",")
}

/// Writes a market so that it can stand in a path, whatever an exchange calls it.
fn path(market: &Market) -> String {
    url::form_urlencoded::byte_serialize(market.as_str().as_bytes()).collect()
}

/// A market that was never published has a row all the same.
fn row(market: &Market, quotes: &[Arc<Quote>], options: &Options<'_>, now: Timestamp) -> RowView {
    let lang = options.lang;
    let Some(quote) = quotes.iter().find(|quote| quote.market == *market) else {
        return RowView {
            market: market.to_string(),
            path: path(market),
            state: State::Unknown.as_str(),
            direction: Direction::Even.as_str(),
            name: text::asset(market.base(), lang),
            mark: text::state(State::Unknown, lang).to_owned(),
            last: text::UNKNOWN.to_owned(),
            change: text::UNKNOWN.to_owned(),
            word: "",
            base: String::new(),
            confirmed_at: String::new(),
        };
    };
    let change = quote.change(options.basis);
    RowView {
        market: market.to_string(),
        path: path(market),
        state: quote.state.as_str(),
        direction: change.map_or(Direction::Even, |change| change.direction).as_str(),
        name: text::name(quote, lang),
        mark: text::mark(quote, now, lang),
        last: text::last(quote, lang),
        change: text::change(change.as_ref(), lang),
        word: change.map_or("", |change| text::direction(change.direction, lang)),
        base: change.and(quote.base(options.basis)).map_or_else(String::new, |base| text::base(&base, lang)),
        confirmed_at: quote.confirmed_at.or(quote.received_at).map_or_else(String::new, |at| at.to_string()),
    }
}

/// Says of one of the board's venues how it is. Venues that nothing is known of are left out.
fn source(id: &str, health: &[VenueHealth], quotes: &[Arc<Quote>], lang: Lang) -> Option<SourceView> {
    if let Some(health) = health.iter().find(|health| health.venue.as_str() == id) {
        let (id, state) = (health.venue.as_str(), health.state.as_str());
        return Some(SourceView { id, state, text: text::trouble(health, lang) });
    }
    let venue = quotes.iter().map(|quote| quote.venue).find(|venue| venue.as_str() == id)?;
    let state = VenueState::Connecting.as_str();
    Some(SourceView { id: venue.as_str(), state, text: text::venue(venue, lang).to_owned() })
}

impl<'a> HomePage<'a> {
    fn new(app: &'a AppState, options: &Options<'a>) -> Self {
        let lang = options.lang;
        let mut view = BoardView::new(app, options);
        view.link = Some(format!("board={}&basis={}&lang={lang}", options.board.id, options.basis));
        let quotes = app.hub.rows(&options.board.source, &options.markets);
        let first = quotes.first().map(|quote| text::sentence(quote, options.basis, lang));
        let link = |board: &str, basis: Basis, lang: Lang| format!("?board={board}&basis={basis}&lang={lang}");
        let (id, basis) = (options.board.id.as_str(), options.basis);
        Self {
            lang,
            demo: app.demo,
            summary: first.unwrap_or_else(|| view.title.to_owned()),
            boards: app
                .boards
                .iter()
                .map(|board| Link {
                    text: title(board, lang).to_owned(),
                    href: link(&board.id, board.basis, lang),
                    tag: lang.as_str(),
                    current: board.id == id,
                })
                .collect(),
            bases: Basis::ALL
                .map(|it| Link {
                    text: basis_word(it, lang).to_owned(),
                    href: link(id, it, lang),
                    tag: lang.as_str(),
                    current: it == basis,
                })
                .into(),
            langs: Lang::ALL
                .map(|it| Link {
                    text: it.own_name().to_owned(),
                    href: link(id, basis, it),
                    tag: it.as_str(),
                    current: it == lang,
                })
                .into(),
            venues: app.hub.venues().iter().map(|health| venue(health, lang)).collect(),
            board: view,
        }
    }
}

fn basis_word(basis: Basis, lang: Lang) -> &'static str {
    match basis {
        Basis::Rolling24h => lang.pick("24시간", "24 hours", "24時間"),
        Basis::UtcDay => lang.pick("오전 9시", "00:00 UTC", "午前9時"),
        Basis::KstDay => lang.pick("0시", "00:00 KST", "午前0時"),
    }
}

fn venue(health: &VenueHealth, lang: Lang) -> VenueView {
    VenueView {
        name: text::venue(health.venue, lang),
        state: health.state.as_str(),
        word: text::venue_state(health.state, lang),
        why: health.reason.as_ref().map_or("", |why| text::reason(why.code, lang)).to_owned(),
        detail: health.reason.as_ref().map_or_else(String::new, |why| why.message.clone()),
        since: format!("{} {}", text::clock(health.since, lang), text::zone(lang).label),
        since_utc: health.since.to_string(),
    }
}
