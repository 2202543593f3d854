//! The start page: a board with search and sorting, the movers, and the state of each exchange.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::page_response::{PageRequest, read_options, rendered_page};
use crate::config::Board;
use crate::feed::VenueHealth;
use crate::locale::{self, Lang};
use crate::market::Basis;
use crate::options::{Choice, Column, Link, Parameters, find_keyword};
use crate::web::error::invalid_query_response;
use crate::web::routes::price_history::{established_markets, load_days};
use crate::web::state::AppState;
use crate::widgets::bad_option::{self, BadOption};
use crate::widgets::board::BoardView;
use crate::widgets::context::{Placement, RenderContext, custom_colors_url, title};
use crate::widgets::movers::MoversView;
use crate::widgets::row_view::{RowView, SortKey};
use crate::widgets::series::PageHistory;
use crate::widgets::spark::{self, Spark};
use crate::widgets::widget_options::{Options, Pick, board_picks};

/// Maximum length of a search, in characters.
const SEARCH_CHARS_MAX: usize = 64;

/// Maximum number of rows with a sparkline.
const SPARKS_MAX: usize = 64;

/// The search and sort parameters of the page.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct HomeQuery {
    /// The search text.
    search: String,
    /// The sort column, and whether the order is descending.
    sort: Option<(Column, bool)>,
}

impl HomeQuery {
    /// Parses `q`, `sort` and `order`.
    ///
    /// # Errors
    /// [`BadOption`] that names the invalid parameter.
    pub fn parse(query: &str) -> Result<Self, BadOption> {
        let query = Parameters::parse(query, ["q", "sort", "order"].into_iter())?;
        let is_descending = |word: &str| match word {
            "asc" => Some(false),
            "desc" => Some(true),
            _ => None,
        };
        let is_descending = bad_option::parse(&query, "order", is_descending, |_| "asc, desc".to_owned())?;
        let sortable = |word: &str| find_keyword::<Column>(word).filter(|column| SORTABLE.contains(column));
        let sort = bad_option::parse(&query, "sort", sortable, |_| SORTABLE.map(Choice::keyword).join(", "))?;
        let sort = sort.map(|column| (column, is_descending.unwrap_or(column != Column::Name)));
        Ok(Self { search: parse_search(query.get("q").unwrap_or_default())?, sort })
    }

    /// Returns whether a row matches every word of the search.
    fn matches(&self, row: &RowView) -> bool {
        let words = self.search.to_lowercase();
        words.split_whitespace().all(|word| row.found_by.contains(word))
    }

    /// Returns the query for this page with another board, basis, language, theme or sort order.
    fn query(&self, target: &LinkTarget<'_>, sort: Option<(Column, bool)>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([("board", target.board), ("basis", target.basis.as_str()), ("lang", target.lang.as_str())]);
        if !self.search.is_empty() {
            query.append_pair("q", &self.search);
        }
        if let Some((column, desc)) = sort {
            query.append_pair("sort", column.keyword());
            query.append_pair("order", if desc { "desc" } else { "asc" });
        }
        format!("?{}{}", query.finish(), target.theme)
    }
}

/// Validates and trims a search text.
///
/// # Errors
/// If it is too long.
pub fn parse_search(text: &str) -> Result<String, BadOption> {
    if text.chars().count() > SEARCH_CHARS_MAX {
        let max = SEARCH_CHARS_MAX;
        let allowed = |lang: Lang| {
            lang.pick(format!("최대 {max}자"), format!("at most {max} characters"), format!("{max}文字まで"))
        };
        return Err(BadOption::invalid_value("q", text, allowed));
    }
    Ok(text.trim().to_owned())
}

/// Columns that the table can be sorted by.
const SORTABLE: [Column; 3] = [Column::Name, Column::Last, Column::Change];

/// The page that a link points to.
struct LinkTarget<'a> {
    board: &'a str,
    basis: Basis,
    lang: Lang,
    theme: &'a str,
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    lang: Lang,
    demo: bool,
    summary: String,
    page_title: &'a str,
    board_id: &'a str,
    basis: Basis,
    style: Option<String>,
    theme: &'static str,
    theme_query: &'a str,
    board: String,
    movers: String,
    /// Seconds after which the script reloads the sparklines; 0 if they are complete.
    refresh: u32,
    search: &'a str,
    searched: bool,
    all: String,
    boards: Vec<Item>,
    bases: Vec<Item>,
    langs: Vec<Item>,
    venues: Vec<VenueView>,
}

struct Item {
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
    since: String,
    since_utc: String,
}

/// The options of the two widgets of the page: the table, and the movers of the whole board.
pub struct HomeOptions<'a> {
    table: Options<'a>,
    all: Options<'a>,
}

impl<'a> HomeOptions<'a> {
    /// Selects the markets of the table and of the movers.
    pub fn new(app: &AppState, boards: &'a [Board], options: Options<'a>, home_query: &HomeQuery) -> Self {
        let mut board = options;
        board.values.link = Some(Link::Market);
        let all =
            Options { picks: board_picks(board.board), all_on_board: true, names_markets: false, ..board.clone() };
        Self { table: if home_query.search.is_empty() { board } else { search(app, boards, &board, home_query) }, all }
    }

    /// Returns a string that identifies the content, for the cache key.
    pub fn query(&self) -> String {
        format!("{} {}", self.table.query(), self.all.query())
    }

    /// Loads the price history of the rows.
    pub async fn load_history(&self, app: &AppState) -> PageHistory {
        let days = load_days(app, &self.table.picks, SPARKS_MAX).await;
        PageHistory { days, plot: None, established: established_markets(app, &self.all).await }
    }
}

/// `GET /`: the boards with search and sorting, the movers, and the state of each exchange.
pub async fn home_page(State(app): State<AppState>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let query = query.as_deref().unwrap_or_default();
    let boards = app.boards();
    let request = PageRequest { app: &app, boards: &boards, headers: &headers, query, placement: Placement::Page };
    let read = || Ok((HomeQuery::parse(query)?, read_options(&app, &boards, &headers, query)?));
    match read() {
        Ok((home_query, options)) => {
            let shown = HomeOptions::new(&app, &boards, options, &home_query);
            let history = shown.load_history(&app).await;
            rendered_page(request, &format!("home {home_query:?} {}", shown.query()), || {
                page(&app, &boards, &shown, &home_query, &history)
            })
        }
        Err(bad) => invalid_query_response(request, &bad),
    }
}

/// Renders the page.
///
/// # Errors
/// If the template can't be rendered.
pub fn page(
    app: &AppState,
    boards: &[Board],
    shown: &HomeOptions<'_>,
    home_query: &HomeQuery,
    history: &PageHistory,
) -> Result<String, askama::Error> {
    let [table, all] = RenderContext::for_page(app.server(), [&shown.table, &shown.all], Placement::Page);
    let board = board(&table, home_query, history).render()?;
    let movers = MoversView::new(&all, history).render()?;
    let (options, first) = (&shown.all, all.quotes.iter().flatten().next());
    let (lang, basis, id) = (options.lang, options.basis, options.board.id.as_str());
    let theme_query = options.theme_query();
    let theme = theme_query.as_str();
    let link = |board, basis, lang| home_query.query(&LinkTarget { board, basis, lang, theme }, home_query.sort);
    HomePage {
        lang,
        demo: app.demo,
        summary: first.map_or_else(|| all.title().to_owned(), |quote| locale::sentence(quote, basis, lang)),
        page_title: all.title(),
        board_id: id,
        basis,
        style: custom_colors_url(options.colors(), ""),
        theme: options.values.theme().keyword(),
        theme_query: &theme_query,
        board,
        movers,
        refresh: history.refresh(0),
        search: &home_query.search,
        searched: !home_query.search.is_empty(),
        all: HomeQuery::default().query(&LinkTarget { board: id, basis, lang, theme }, None),
        boards: boards
            .iter()
            .map(|board| Item {
                text: title(board, lang).to_owned(),
                href: HomeQuery::default()
                    .query(&LinkTarget { board: &board.id, basis: board.basis, lang, theme }, None),
                tag: lang.as_str(),
                current: board.id == id && home_query.search.is_empty(),
            })
            .collect(),
        bases: Basis::ALL
            .map(|it| Item {
                text: basis_label(it, lang).to_owned(),
                href: link(id, it, lang),
                tag: lang.as_str(),
                current: it == basis,
            })
            .into(),
        langs: Lang::ALL
            .map(|it| Item {
                text: it.own_name().to_owned(),
                href: link(id, basis, it),
                tag: it.as_str(),
                current: it == lang,
            })
            .into(),
        venues: app.hub.venues().iter().map(|health| venue(health, lang)).collect(),
    }
    .render()
}

/// Searches the markets of every board, those of the current board first; each market is listed once.
fn search<'a>(app: &AppState, boards: &'a [Board], options: &Options<'a>, home_query: &HomeQuery) -> Options<'a> {
    let others = boards.iter().filter(|board| board.id != options.board.id);
    let mut picks: Vec<Pick> = Vec::new();
    for pick in std::iter::once(options.board).chain(others).flat_map(board_picks) {
        let known = picks.iter().any(|known| known.market == pick.market);
        let quote = app.hub.row(&pick.source, &pick.market);
        let row = RowView::new(&pick.market, quote.as_deref(), options.basis, app.clock.now(), options.lang);
        if !known && picks.len() < app.limits().markets_max && home_query.matches(&row) {
            picks.push(pick);
        }
    }
    let is_on_board = |pick: &Pick| pick.source == options.board.source && options.board.markets.contains(&pick.market);
    let of_board = picks.iter().all(is_on_board);
    Options { picks, all_on_board: of_board, names_markets: true, ..options.clone() }
}

/// Creates the sorted table, with a sparkline for each row.
fn board<'a>(context: &'a RenderContext<'a>, home_query: &HomeQuery, history: &PageHistory) -> BoardView<'a> {
    let lang = context.options.lang;
    let mut board = BoardView::new(context);
    let mut sparks = spark::draw_all(context, history);
    sparks.resize_with(board.rows.len(), || None);
    let mut rows: Vec<(RowView, Option<Spark>)> = board.rows.into_iter().zip(sparks).collect();
    if let Some((column, desc)) = home_query.sort {
        rows.sort_by(|(a, _), (b, _)| compare(column, desc, a, b));
    }
    (board.rows, board.sparks) = rows.into_iter().unzip();
    let theme = &context.options.theme_query();
    let target = LinkTarget { board: &context.options.board.id, basis: context.options.basis, lang, theme };
    for it in board.columns.iter_mut().filter(|it| SORTABLE.contains(&it.column)) {
        let current = home_query.sort.filter(|(column, _)| *column == it.column).map(|(_, desc)| desc);
        it.sorted = current.map_or("", |desc| if desc { "descending" } else { "ascending" });
        let next = match (it.column, current) {
            // The third click returns to the order of the board.
            (Column::Name, Some(true)) | (Column::Last | Column::Change, Some(false)) => None,
            (column, current) => Some((column, current.map_or(column != Column::Name, |desc| !desc))),
        };
        it.sort = Some(home_query.query(&target, next));
    }
    // Rows keep their place while their prices are updated, so the page states when they were sorted.
    if home_query.sort.is_some_and(|(column, _)| column != Column::Name) {
        let at = format!("{} {}", locale::clock(context.now, lang), locale::zone(lang).label);
        board.sorted_at =
            lang.pick(format!("{at} 기준 정렬"), format!("sorted as of {at}"), format!("{at} 時点の並び順"));
        board.sorted_at_utc = context.now.to_string();
    }
    if !home_query.search.is_empty() {
        board.title = lang.pick("검색 결과", "Search results", "検索結果").to_owned();
        board.empty = lang.pick("일치하는 종목이 없습니다.", "No matching markets.", "該当する銘柄はありません。");
    }
    board
}

/// Compares two rows for sorting; unknown figures are last in both directions.
fn compare(column: Column, desc: bool, a: &RowView, b: &RowView) -> std::cmp::Ordering {
    let directed = |order: std::cmp::Ordering| if desc { order.reverse() } else { order };
    let figure = |key: &SortKey| match column {
        Column::Last => key.last,
        _ => key.change,
    };
    match (column, figure(&a.key), figure(&b.key)) {
        (Column::Name, ..) => directed(a.name.cmp(&b.name)),
        (_, Some(a), Some(b)) => directed(a.cmp(&b)),
        (_, a, b) => b.is_some().cmp(&a.is_some()),
    }
}

fn basis_label(basis: Basis, lang: Lang) -> &'static str {
    match basis {
        Basis::Rolling24h => lang.pick("24시간", "over 24 hours", "24時間"),
        Basis::UtcDay => lang.pick("오전 9시", "since 00:00 UTC", "午前9時"),
        Basis::KstDay => lang.pick("0시", "since 00:00 KST", "午前0時"),
    }
}

fn venue(health: &VenueHealth, lang: Lang) -> VenueView {
    VenueView {
        name: locale::venue(health.venue, lang),
        state: health.state.as_str(),
        word: locale::venue_state(health.state, lang),
        why: health.reason.as_ref().map_or("", |why| locale::reason_text(why.code, lang)).to_owned(),
        since: format!("{} {}", locale::clock(health.since, lang), locale::zone(lang).label),
        since_utc: health.since.to_string(),
    }
}
