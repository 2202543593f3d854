//! What a reader may ask of a widget, read once from the query.
//!
//! Known parameters are checked against what exists; unknown ones are ignored,
//! so that a publisher's own tracking parameters break nothing.

use std::str::FromStr;

use axum::http::{HeaderMap, header};

use super::super::AppState;
use super::super::ask::{INTERVALS_MS, find_interval, words};
use super::choice::{Choice, Colors, Column, Density, Reach, Size, Switch, Theme, Widget};
use super::given::{BadOption, Given};
use super::link::Link;
use super::near;
use super::usual::Usual;
use crate::config::Board;
use crate::domain::{Basis, Market, SourceId};
use crate::text::{Lang, negotiate};

/// Every option: its name, the same in queries and attributes, and what it is for. `docs/widgets.md` has the same list.
pub const TABLE: [(&str, &str); 17] = [
    ("board", "a board of this server; the first if not given"),
    ("markets", "markets in the order wanted, with commas; those of the board if not given"),
    ("basis", "what changes are measured against"),
    ("lang", "the language; the reader's own if not given"),
    ("theme", "the ground"),
    ("colors", "which colours mean rise and fall"),
    ("size", "the size of the text"),
    ("columns", "the columns of a board, with commas"),
    ("density", "how close rows stand"),
    ("flash", "whether a price that changed lights up for a moment"),
    ("link", "where a name leads"),
    ("credit", "whether the sources are named"),
    ("transparent", "whether the page behind shows through"),
    ("interval", "shortest time between two changes, in milliseconds"),
    ("span", "how far back a chart begins"),
    ("count", "how many risers and fallers"),
    ("title", "whether the heading stands"),
];

/// Most risers, and most fallers.
pub const COUNT_MAX: usize = 20;

/// The options of a widget, all of them usable.
#[derive(Debug, Clone, PartialEq)]
pub struct Options<'a> {
    /// Which board: named, or the first one that has the first market.
    pub board: &'a Board,
    /// Whether all markets are of that board.
    pub of_board: bool,
    /// The markets, in the asked order, each with the source of its row.
    pub picks: Vec<Pick>,
    /// Whether markets were asked for.
    pub picked: bool,
    /// How many were named, known or not.
    pub named: usize,
    /// In which language.
    pub lang: Lang,
    /// Against which base.
    pub basis: Basis,
    /// Light, dark, or as the page around it is.
    pub theme: Theme,
    /// Which colours mean rise and fall.
    pub colors: Colors,
    /// The text size; a ticker's is that of its sentence unless asked otherwise.
    pub size: Option<Size>,
    /// The columns of a board, the name first.
    pub columns: Vec<Column>,
    /// How close rows stand.
    pub density: Density,
    /// Whether a price that changed lights up for a moment.
    pub flash: bool,
    /// Where a name leads.
    pub link: Link,
    /// Whether the sources are named; each widget has its own habit.
    pub credit: Option<bool>,
    /// Whether the page behind shows through.
    pub transparent: bool,
    /// Shortest time between two changes, in milliseconds.
    pub interval_ms: u64,
    /// How far back a chart begins.
    pub span: Reach,
    /// How many risers and fallers; as the operator says if not given.
    pub count: Option<usize>,
    /// Whether the heading stands.
    pub title: bool,
    /// What would hold if nothing had been asked for.
    pub usual: Usual,
}

/// A market with the source of its row.
#[derive(Debug, Clone, PartialEq)]
pub struct Pick {
    /// The market.
    pub market: Market,
    /// Where its row comes from.
    pub source: SourceId,
}

impl<'a> Options<'a> {
    /// Reads the options from a query; what is absent comes from the board or the request.
    ///
    /// # Errors
    /// [`BadOption`], naming the first parameter at fault and what it may be.
    pub fn read(app: &'a AppState, headers: &HeaderMap, query: &str) -> Result<Self, BadOption> {
        let given = Given::read(query, names())?;
        let named = given.get("board").map(|id| find_board(app, Some(id))).transpose()?;
        match given.get("markets").map(|list| pick(app, named, list)).transpose()? {
            Some((board, picks)) => {
                let of_board = picks.iter().all(|pick| is_on(board, pick));
                Self::join(app, &given, headers, board, of_board, picks, true)
            }
            None => {
                let board = named.map_or_else(|| find_board(app, None), Ok)?;
                Self::join(app, &given, headers, board, true, of(board), false)
            }
        }
    }

    /// Reads the options of the page of one market; without a board, the first that has it counts.
    ///
    /// # Errors
    /// As [`Options::read`]; a market that no board has is missing.
    pub fn of_market(app: &'a AppState, headers: &HeaderMap, query: &str, id: &str) -> Result<Self, BadOption> {
        let given = Given::read(query, names())?;
        let named = given.get("board").map(|id| find_board(app, Some(id))).transpose()?;
        let boards = named.map_or(app.boards.as_slice(), std::slice::from_ref);
        let market = Market::from_str(id).ok();
        let found =
            market.and_then(|market| Some((boards.iter().find(|board| board.markets.contains(&market))?, market)));
        let (board, market) = found.ok_or_else(|| BadOption::missing("market", id, near::markets(id, boards)))?;
        let picks = vec![Pick { market, source: board.source.clone() }];
        Self::join(app, &given, headers, board, true, picks, true)
    }

    fn join(
        app: &AppState,
        given: &Given,
        headers: &HeaderMap,
        board: &'a Board,
        of_board: bool,
        picks: Vec<Pick>,
        picked: bool,
    ) -> Result<Self, BadOption> {
        let usual = Usual::of(app);
        let lang = given.choose("lang")?.or(usual.lang).unwrap_or_else(|| preferred(headers));
        let count = |text: &str| (1..=COUNT_MAX).find(|count| count.to_string() == text);
        let counts =
            |lang: Lang| lang.pick(format!("1~{COUNT_MAX}"), format!("1 to {COUNT_MAX}"), format!("1〜{COUNT_MAX}"));
        Ok(Self {
            board,
            of_board,
            picks,
            picked,
            named: given.get("markets").map_or(0, |list| names_in(list).count()),
            lang,
            basis: given.choose("basis")?.unwrap_or(board.basis),
            theme: given.choose("theme")?.unwrap_or(usual.theme),
            colors: given
                .parse("colors", |text| text.parse().ok(), Colors::allowed)?
                .or(usual.colors)
                .unwrap_or_else(|| Colors::usual(lang)),
            size: given.choose("size")?.or(usual.size),
            columns: given.get("columns").map_or_else(|| Ok(usual.columns.clone()), columns)?,
            density: given.choose("density")?.unwrap_or(usual.density),
            flash: given.switch("flash")?.unwrap_or(usual.flash),
            link: given.parse("link", Link::read, Link::allowed)?.unwrap_or_else(|| usual.link.clone()),
            credit: given.switch("credit")?.or(usual.credit),
            transparent: given.switch("transparent")?.unwrap_or(usual.transparent),
            interval_ms: given
                .parse("interval", find_interval, |_| words(&INTERVALS_MS).join(", "))?
                .unwrap_or(usual.interval_ms),
            span: given.choose("span")?.unwrap_or(usual.span),
            count: given.parse("count", count, counts)?.or(usual.count),
            title: given.switch("title")?.unwrap_or(usual.title),
            usual,
        })
    }

    /// Returns the size: what was asked for, else that of the text around a ticker, else the middle one.
    pub fn size_of(&self, widget: Widget) -> Size {
        self.size.unwrap_or(if widget == Widget::Ticker { Size::Inherit } else { Size::M })
    }

    /// Returns the markets with commas between them.
    pub fn market_list(&self) -> String {
        self.picks.iter().map(|pick| pick.market.as_str()).collect::<Vec<_>>().join(",")
    }

    /// Returns the end of a query that keeps the theme, `&theme=dark`; empty where it is the usual one.
    pub fn theme_query(&self) -> String {
        if self.theme == self.usual.theme { String::new() } else { format!("&theme={}", self.theme.word()) }
    }

    /// Returns the query that asks for the same again, in one spelling: what is usual is left out, but for the language.
    pub fn query(&self) -> String {
        let mut query: Vec<(&str, String)> = Vec::new();
        if self.of_board {
            query.push(("board", self.board.id.clone()));
        }
        if self.picked {
            query.push(("markets", self.market_list()));
        }
        query.push(("basis", self.basis.to_string()));
        query.push(("lang", self.lang.to_string()));
        let mut unless = |usual: bool, name: &'static str, value: String| {
            if !usual {
                query.push((name, value));
            }
        };
        let switch = |on: bool| if on { Switch::On } else { Switch::Off }.word().to_owned();
        let usual = &self.usual;
        unless(self.theme == usual.theme, "theme", self.theme.word().to_owned());
        unless(
            self.colors == usual.colors.unwrap_or_else(|| Colors::usual(self.lang)),
            "colors",
            self.colors.to_string(),
        );
        unless(self.size == usual.size, "size", self.size.map_or("", Choice::word).to_owned());
        let columns = self.columns.iter().map(|column| column.word()).collect::<Vec<_>>().join(",");
        unless(self.columns == usual.columns, "columns", columns);
        unless(self.density == usual.density, "density", self.density.word().to_owned());
        unless(self.flash == usual.flash, "flash", switch(self.flash));
        unless(self.link == usual.link, "link", self.link.to_string());
        unless(self.credit == usual.credit, "credit", switch(self.credit.unwrap_or_default()));
        unless(self.transparent == usual.transparent, "transparent", switch(self.transparent));
        unless(self.interval_ms == usual.interval_ms, "interval", self.interval_ms.to_string());
        unless(self.span == usual.span, "span", self.span.word().to_owned());
        unless(self.count == usual.count, "count", self.count.unwrap_or_default().to_string());
        unless(self.title == usual.title, "title", switch(self.title));
        let written = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        // A comma may stand in a query as it is, and is easier to read.
        written.replace("%2C", ",")
    }
}

/// Returns the names of all options.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    TABLE.iter().map(|(name, _)| *name)
}

/// Returns the language that the request prefers.
pub fn preferred(headers: &HeaderMap) -> Lang {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    negotiate(accepted.unwrap_or_default())
}

/// Returns the language of a page whose other options can't be used: as asked for, else as usual, else as preferred.
pub fn lang(app: &AppState, headers: &HeaderMap, query: &str) -> Lang {
    let mut asked = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "lang");
    let asked = asked.find_map(|(_, value)| super::choice::find(&value));
    asked.or(Usual::of(app).lang).unwrap_or_else(|| preferred(headers))
}

/// Returns the theme of a page whose other options can't be used.
pub fn theme(app: &AppState, query: &str) -> Theme {
    let asked = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "theme");
    asked.and_then(|(_, value)| super::choice::find(&value)).unwrap_or_else(|| Usual::of(app).theme)
}

/// Returns the markets of a board.
pub fn of(board: &Board) -> Vec<Pick> {
    board.markets.iter().map(|market| Pick { market: market.clone(), source: board.source.clone() }).collect()
}

fn find_board<'a>(app: &'a AppState, id: Option<&str>) -> Result<&'a Board, BadOption> {
    let found = match id {
        Some(id) => app.boards.iter().find(|board| board.id == id),
        None => app.boards.first(),
    };
    found.ok_or_else(|| {
        let id = id.unwrap_or_default();
        BadOption::missing("board", id, near::words(id, app.boards.iter().map(|board| board.id.as_str())))
    })
}

/// Reads `BTC-KRW,ETH-KRW`; a market named twice stands where it is named first.
///
/// Without a board each is looked for on every board; the board of the first is the board of them all.
fn pick<'a>(app: &'a AppState, named: Option<&'a Board>, asked: &str) -> Result<(&'a Board, Vec<Pick>), BadOption> {
    let boards = named.map_or(app.boards.as_slice(), std::slice::from_ref);
    let most = app.limits().markets_max;
    if names_in(asked).count() > most {
        return Err(BadOption::too_many("markets", asked, most));
    }
    let (mut first, mut picks, mut missing) = (None::<&Board>, Vec::<Pick>::new(), None);
    for name in names_in(asked) {
        let market = Market::from_str(name).ok();
        let likely = first.into_iter().chain(boards);
        let found = market.and_then(|market| {
            let board = likely.into_iter().find(|board| board.markets.contains(&market))?;
            Some((board, market))
        });
        let Some((board, market)) = found else {
            // One that is not known costs no other.
            missing.get_or_insert(name);
            continue;
        };
        first.get_or_insert(board);
        if !picks.iter().any(|pick| pick.market == market) {
            picks.push(Pick { market, source: board.source.clone() });
        }
    }
    if let Some(name) = missing.filter(|_| picks.is_empty()) {
        return Err(BadOption::missing("markets", name, near::markets(name, boards)));
    }
    let board = first.or(named).or(app.boards.first());
    let board = board.ok_or_else(|| BadOption::missing("board", "", Vec::new()))?;
    Ok(if picks.is_empty() { (board, of(board)) } else { (board, picks) })
}

fn names_in(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

fn is_on(board: &Board, pick: &Pick) -> bool {
    board.source == pick.source && board.markets.contains(&pick.market)
}

/// Reads `name,last,change`; the name stands first whether it is asked for or not.
pub fn columns(asked: &str) -> Result<Vec<Column>, BadOption> {
    let mut columns = vec![Column::Name];
    for word in asked.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let column = super::choice::find(word);
        let column = column.ok_or_else(|| BadOption::value("columns", word, |_| super::choice::allowed::<Column>()))?;
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_the_widgets_lists_exactly_these_options() {
        let page = include_str!("../../../docs/widgets.md");
        let table = page.split("## Options").nth(1).and_then(|rest| rest.split("###").next()).unwrap();
        let listed: Vec<_> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        assert_eq!(listed, names().collect::<Vec<_>>());
    }
}
