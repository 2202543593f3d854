//! The start page: a board with search and sort, the movers, the health of the venues.

use askama::Template;

use super::super::AppState;
use super::board::BoardView;
use super::choice::{Choice, Column, find};
use super::given::{BadOption, Given};
use super::link::Link;
use super::movers::MoversView;
use super::options::{Options, Pick, of};
use super::past::{self, Past};
use super::reply::Frame;
use super::row::{RowView, SortKey};
use super::spark::{self, Spark};
use super::stage::{Stage, own_style, title};
use crate::domain::{Basis, VenueHealth};
use crate::text::{self, Lang};

/// Longest search, in characters.
const SEARCH_CHARS_MAX: usize = 64;

/// Most rows with a line of their last day.
const SPARKS_MAX: usize = 64;

/// How the page is looked at.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct View {
    /// What is searched for.
    search: String,
    /// By what the rows are sorted, and whether the largest stands first.
    sort: Option<(Column, bool)>,
}

/// A way of the rows to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Asc,
    Desc,
}

impl Choice for Order {
    const EVERY: &'static [Self] = &[Self::Asc, Self::Desc];

    fn word(self) -> &'static str {
        match self {
            Self::Asc => "asc",
            Self::Desc => "desc",
        }
    }
}

impl View {
    /// Reads `q`, `sort` and `order`.
    ///
    /// # Errors
    /// [`BadOption`], naming the parameter at fault.
    pub fn read(query: &str) -> Result<Self, BadOption> {
        let given = Given::read(query, ["q", "sort", "order"].into_iter())?;
        let sortable = |word: &str| find::<Column>(word).filter(|column| SORTABLE.contains(column));
        let allowed = |_| SORTABLE.map(Choice::word).join(", ");
        let order: Option<Order> = given.choose("order")?;
        let sort = given.parse("sort", sortable, allowed)?;
        let sort = sort.map(|column| (column, order.map_or(column != Column::Name, |order| order == Order::Desc)));
        Ok(Self { search: read_search(given.get("q").unwrap_or_default())?, sort })
    }

    /// Whether a row has every word that is searched for.
    fn finds(&self, row: &RowView) -> bool {
        let words = self.search.to_lowercase();
        words.split_whitespace().all(|word| row.found_by.contains(word))
    }

    /// Returns the query for the same page with something else in it.
    fn query(&self, at: &At<'_>, sort: Option<(Column, bool)>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([("board", at.board), ("basis", at.basis.as_str()), ("lang", at.lang.as_str())]);
        if !self.search.is_empty() {
            query.append_pair("q", &self.search);
        }
        if let Some((column, desc)) = sort {
            query.append_pair("sort", column.word());
            query.append_pair("order", if desc { Order::Desc } else { Order::Asc }.word());
        }
        format!("?{}{}", query.finish(), at.theme)
    }
}

/// Reads what is searched for.
///
/// # Errors
/// If it is too long.
pub fn read_search(text: &str) -> Result<String, BadOption> {
    if text.chars().count() > SEARCH_CHARS_MAX {
        let most = SEARCH_CHARS_MAX;
        let allowed = |lang: Lang| {
            lang.pick(format!("최대 {most}자"), format!("at most {most} characters"), format!("{most}文字まで"))
        };
        return Err(BadOption::value("q", text, allowed));
    }
    Ok(text.trim().to_owned())
}

const SORTABLE: [Column; 3] = [Column::Name, Column::Last, Column::Change];

/// Which page a link leads to.
struct At<'a> {
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
    /// After how many seconds a line may be longer; 0 if none grows.
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

/// What the page shows: the rows of the table, and all markets of the board for the movers.
pub struct Shown<'a> {
    table: Options<'a>,
    all: Options<'a>,
}

impl<'a> Shown<'a> {
    /// Finds the rows.
    pub fn new(app: &'a AppState, options: Options<'a>, view: &View) -> Self {
        let whole = Options { link: Link::Market, ..options };
        let all = Options { picks: of(whole.board), of_board: true, picked: false, ..whole.clone() };
        Self { table: if view.search.is_empty() { whole } else { search(app, &whole, view) }, all }
    }

    /// Returns the query that stands for all of it.
    pub fn query(&self) -> String {
        format!("{} {}", self.table.query(), self.all.query())
    }

    /// Reads the past of what is shown.
    pub async fn read(&self, app: &AppState) -> Past {
        let days = past::days(app, &self.table.picks, SPARKS_MAX).await;
        Past { days, plot: None, old: past::old(app, &self.all).await }
    }
}

/// Renders the page.
///
/// # Errors
/// When the template can't be written out.
pub fn page(app: &AppState, shown: &Shown<'_>, view: &View, past: &Past) -> Result<String, askama::Error> {
    let [stage, all] = Stage::of_one_page(app, [&shown.table, &shown.all], Frame::Page);
    let board = board(&stage, view, past).render()?;
    let movers = MoversView::new(&all, past).render()?;
    let (whole, first) = (&shown.all, all.quotes.iter().flatten().next());
    let (lang, basis, id) = (whole.lang, whole.basis, whole.board.id.as_str());
    let theme_query = whole.theme_query();
    let theme = theme_query.as_str();
    let at = |board, basis, lang| view.query(&At { board, basis, lang, theme }, view.sort);
    HomePage {
        lang,
        demo: app.demo,
        summary: first.map_or_else(|| all.title().to_owned(), |quote| text::sentence(quote, basis, lang)),
        page_title: all.title(),
        board_id: id,
        basis,
        style: own_style(whole.colors, ""),
        theme: whole.theme.word(),
        theme_query: &theme_query,
        board,
        movers,
        refresh: past.refresh(0),
        search: &view.search,
        searched: !view.search.is_empty(),
        all: View::default().query(&At { board: id, basis, lang, theme }, None),
        boards: app
            .boards
            .iter()
            .map(|board| Item {
                text: title(board, lang).to_owned(),
                href: View::default().query(&At { board: &board.id, basis: board.basis, lang, theme }, None),
                tag: lang.as_str(),
                current: board.id == id && view.search.is_empty(),
            })
            .collect(),
        bases: Basis::ALL
            .map(|it| Item {
                text: basis_word(it, lang).to_owned(),
                href: at(id, it, lang),
                tag: lang.as_str(),
                current: it == basis,
            })
            .into(),
        langs: Lang::ALL
            .map(|it| Item {
                text: it.own_name().to_owned(),
                href: at(id, basis, it),
                tag: it.as_str(),
                current: it == lang,
            })
            .into(),
        venues: app.hub.venues().iter().map(|health| venue(health, lang)).collect(),
    }
    .render()
}

/// Finds markets on every board, those of the current one first; one that is on several stands once.
fn search<'a>(app: &'a AppState, options: &Options<'a>, view: &View) -> Options<'a> {
    let others = app.boards.iter().filter(|board| board.id != options.board.id);
    let mut picks: Vec<Pick> = Vec::new();
    for pick in std::iter::once(options.board).chain(others).flat_map(of) {
        let known = picks.iter().any(|known| known.market == pick.market);
        let quote = app.hub.row(&pick.source, &pick.market);
        let row = RowView::new(&pick.market, quote.as_deref(), options.basis, app.clock.now(), options.lang);
        if !known && picks.len() < app.limits().markets_max && view.finds(&row) {
            picks.push(pick);
        }
    }
    let here = |pick: &Pick| pick.source == options.board.source && options.board.markets.contains(&pick.market);
    let of_board = picks.iter().all(here);
    Options { picks, of_board, picked: true, ..options.clone() }
}

/// Makes the table, sorted, with a line for each row.
fn board<'a>(stage: &'a Stage<'a>, view: &View, past: &Past) -> BoardView<'a> {
    let lang = stage.options.lang;
    let mut board = BoardView::new(stage);
    let mut sparks = spark::draw_all(stage, past);
    sparks.resize_with(board.rows.len(), || None);
    let mut rows: Vec<(RowView, Option<Spark>)> = board.rows.into_iter().zip(sparks).collect();
    if let Some((column, desc)) = view.sort {
        rows.sort_by(|(a, _), (b, _)| order(column, desc, a, b));
    }
    (board.rows, board.sparks) = rows.into_iter().unzip();
    let theme = &stage.options.theme_query();
    let at = At { board: &stage.options.board.id, basis: stage.options.basis, lang, theme };
    for it in board.columns.iter_mut().filter(|it| SORTABLE.contains(&it.column)) {
        let now = view.sort.filter(|(column, _)| *column == it.column).map(|(_, desc)| desc);
        it.sorted = now.map_or("", |desc| if desc { "descending" } else { "ascending" });
        let next = match (it.column, now) {
            // The third look is the board's own order again.
            (Column::Name, Some(true)) | (Column::Last | Column::Change, Some(false)) => None,
            (column, now) => Some((column, now.map_or(column != Column::Name, |desc| !desc))),
        };
        it.sort = Some(view.query(&at, next));
    }
    // Prices move on in their rows, so the order holds for a moment, and the page says which.
    if view.sort.is_some_and(|(column, _)| column != Column::Name) {
        let at = format!("{} {}", text::clock(stage.now, lang), text::zone(lang).label);
        board.sorted_at =
            lang.pick(format!("{at} 시세 순서"), format!("sorted by prices of {at}"), format!("{at} 時点の価格順"));
        board.sorted_at_utc = stage.now.to_string();
    }
    if !view.search.is_empty() {
        board.title = lang.pick("검색 결과", "Found", "検索結果").to_owned();
        board.empty = lang.pick("맞는 종목이 없습니다.", "No market has that name.", "該当する銘柄はありません。");
    }
    board
}

/// What is not known stands last, whichever way.
fn order(column: Column, desc: bool, a: &RowView, b: &RowView) -> std::cmp::Ordering {
    let turn = |order: std::cmp::Ordering| if desc { order.reverse() } else { order };
    let figure = |key: &SortKey| match column {
        Column::Last => key.last,
        _ => key.change,
    };
    match (column, figure(&a.key), figure(&b.key)) {
        (Column::Name, ..) => turn(a.name.cmp(&b.name)),
        (_, Some(a), Some(b)) => turn(a.cmp(&b)),
        (_, a, b) => b.is_some().cmp(&a.is_some()),
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
        since: format!("{} {}", text::clock(health.since, lang), text::zone(lang).label),
        since_utc: health.since.to_string(),
    }
}
