//! The options of a widget, parsed from the query, with their defaults: as configured by the operator, else built in.
//!
//! Known parameters are validated; unknown ones are ignored, so that tracking parameters that a publisher appends do no
//! harm.

use std::str::FromStr;

use super::option_query::{self, BadOption, PageQuery};
use super::option_values::{
    ChartSpan, Choice, Colors, Column, Density, INTERVALS_MS, Link, Size, Switch, Theme, Widget, allowed, find,
    parse_interval,
};
use crate::config::{self, Board};
use crate::locale::Lang;
use crate::market::{Basis, Market, SourceId};

/// Every option: its name, which is the same in queries and attributes, and its description.
///
/// `docs/widgets.md` has the same list.
pub const TABLE: [(&str, &str); 17] = [
    ("board", "a board of this server; default: the first"),
    ("markets", "markets in display order, separated by commas; default: those of the board"),
    ("basis", "the basis of changes"),
    ("lang", "the language; default: that of the visitor"),
    ("theme", "the colour scheme"),
    ("colors", "the colours for rise and fall"),
    ("size", "the text size"),
    ("columns", "the columns of a board, separated by commas"),
    ("density", "the height of rows"),
    ("flash", "whether a price is highlighted when it changes"),
    ("link", "the target of the link on a name"),
    ("credit", "whether the sources are shown"),
    ("transparent", "whether the background is transparent"),
    ("interval", "minimum time between two updates, in milliseconds"),
    ("span", "the period of a chart"),
    ("count", "the number of risers and of fallers"),
    ("title", "whether the title is shown"),
];

/// Maximum number of markets in one card widget; the ticker has the same limit.
pub const CARD_MARKETS_MAX: usize = 12;

/// Maximum number of risers, and of fallers.
pub const COUNT_MAX: usize = 20;

/// The validated options of a widget.
#[derive(Debug, Clone, PartialEq)]
pub struct Options<'a> {
    /// The named board, or the first one that has the first market.
    pub board: &'a Board,
    /// Whether all markets are on that board.
    pub all_on_board: bool,
    /// The markets in display order, each with the source of its row.
    pub picks: Vec<Pick>,
    /// Whether the query names markets.
    pub names_markets: bool,
    /// Number of markets that the query names, known or not.
    pub named_count: usize,
    /// The language.
    pub lang: Lang,
    /// The basis of changes.
    pub basis: Basis,
    /// The colour scheme.
    pub theme: Theme,
    /// The colours for rise and fall.
    pub colors: Colors,
    /// The text size; `None` means the default of the widget, see [`Options::size_of`].
    pub size: Option<Size>,
    /// The columns of a board; the first is the name.
    pub columns: Vec<Column>,
    /// The height of rows.
    pub density: Density,
    /// Whether a price is highlighted when it changes.
    pub flash: bool,
    /// The target of the link on a name.
    pub link: Link,
    /// Whether the sources are shown; `None` means the default of the widget.
    pub credit: Option<bool>,
    /// Whether the background is transparent.
    pub transparent: bool,
    /// Minimum time between two updates, in milliseconds.
    pub interval_ms: u64,
    /// The period of a chart.
    pub span: ChartSpan,
    /// Number of risers and of fallers; `None` means that of the movers rule.
    pub count: Option<usize>,
    /// Whether the title is shown.
    pub title: bool,
    /// The defaults for options that the query does not set.
    pub defaults: OptionDefaults,
}

/// A market with the source of its row.
#[derive(Debug, Clone, PartialEq)]
pub struct Pick {
    /// The market.
    pub market: Market,
    /// The source of its row.
    pub source: SourceId,
}

impl<'a> Options<'a> {
    /// Parses the options of a query; the defaults come from the board, the visitor and the configuration.
    ///
    /// # Errors
    /// [`BadOption`] that names the first invalid parameter and its allowed values.
    pub fn read(
        boards: &'a [Board],
        defaults: OptionDefaults,
        markets_max: usize,
        visitor: Lang,
        query: &str,
    ) -> Result<Self, BadOption> {
        let query = PageQuery::parse_query(query, names())?;
        let named = query.get("board").map(|id| find_board(boards, Some(id))).transpose()?;
        match query.get("markets").map(|list| find_markets(boards, markets_max, named, list)).transpose()? {
            Some((board, picks)) => {
                let all_on_board = picks.iter().all(|pick| is_on(board, pick));
                Self::build(&query, defaults, visitor, (board, all_on_board), picks, true)
            }
            None => {
                let board = named.map_or_else(|| find_board(boards, None), Ok)?;
                Self::build(&query, defaults, visitor, (board, true), board_picks(board), false)
            }
        }
    }

    /// Parses the options of a market page; without a `board` parameter, the first board that has the market is used.
    ///
    /// # Errors
    /// As [`Options::read`]; [`BadOption::NotFound`] if no board has the market.
    pub fn for_market(
        boards: &'a [Board],
        defaults: OptionDefaults,
        visitor: Lang,
        query: &str,
        id: &str,
    ) -> Result<Self, BadOption> {
        let query = PageQuery::parse_query(query, names())?;
        let named = query.get("board").map(|id| find_board(boards, Some(id))).transpose()?;
        let boards = named.map_or(boards, std::slice::from_ref);
        let market = Market::from_str(id).ok();
        let found =
            market.and_then(|market| Some((boards.iter().find(|board| board.markets.contains(&market))?, market)));
        let (board, market) =
            found.ok_or_else(|| BadOption::not_found("market", id, option_query::similar_markets(id, boards)))?;
        let picks = vec![Pick { market, source: board.source.clone() }];
        Self::build(&query, defaults, visitor, (board, true), picks, true)
    }

    fn build(
        query: &PageQuery,
        defaults: OptionDefaults,
        visitor: Lang,
        (board, all_on_board): (&'a Board, bool),
        picks: Vec<Pick>,
        names_markets: bool,
    ) -> Result<Self, BadOption> {
        let lang = query.keyword("lang")?.or(defaults.lang).unwrap_or(visitor);
        let count = |text: &str| (1..=COUNT_MAX).find(|count| count.to_string() == text);
        let counts =
            |lang: Lang| lang.pick(format!("1~{COUNT_MAX}"), format!("1 to {COUNT_MAX}"), format!("1〜{COUNT_MAX}"));
        Ok(Self {
            board,
            all_on_board,
            picks,
            names_markets,
            named_count: query.get("markets").map_or(0, |list| names_in(list).count()),
            lang,
            basis: query.keyword("basis")?.unwrap_or(board.basis),
            theme: query.keyword("theme")?.unwrap_or(defaults.theme),
            colors: query
                .parse("colors", |text| text.parse().ok(), Colors::allowed)?
                .or(defaults.colors)
                .unwrap_or_else(|| Colors::default_for(lang)),
            size: query.keyword("size")?.or(defaults.size),
            columns: query.get("columns").map_or_else(|| Ok(defaults.columns.clone()), parse_columns)?,
            density: query.keyword("density")?.unwrap_or(defaults.density),
            flash: query.switch("flash")?.unwrap_or(defaults.flash),
            link: query.parse("link", Link::parse, Link::allowed)?.unwrap_or_else(|| defaults.link.clone()),
            credit: query.switch("credit")?.or(defaults.credit),
            transparent: query.switch("transparent")?.unwrap_or(defaults.transparent),
            interval_ms: query
                .parse("interval", parse_interval, |_| INTERVALS_MS.map(|millis| millis.to_string()).join(", "))?
                .unwrap_or(defaults.interval_ms),
            span: query.keyword("span")?.unwrap_or(defaults.span),
            count: query.parse("count", count, counts)?.or(defaults.count),
            title: query.switch("title")?.unwrap_or(defaults.title),
            defaults,
        })
    }

    /// Returns the text size for a widget. The default is inherited for a ticker, medium for the others.
    pub fn size_of(&self, widget: Widget) -> Size {
        self.size.unwrap_or(if widget == Widget::Ticker { Size::Inherit } else { Size::M })
    }

    /// Returns the comma-separated markets.
    pub fn market_list(&self) -> String {
        self.picks.iter().map(|pick| pick.market.as_str()).collect::<Vec<_>>().join(",")
    }

    /// Returns the theme as the end of a query, such as `&theme=dark`; empty if it is the default.
    pub fn theme_query(&self) -> String {
        if self.theme == self.defaults.theme { String::new() } else { format!("&theme={}", self.theme.keyword()) }
    }

    /// Returns the canonical query for these options: defaults are left out, except basis and language.
    pub fn query(&self) -> String {
        let mut query: Vec<(&str, String)> = Vec::new();
        if self.all_on_board {
            query.push(("board", self.board.id.clone()));
        }
        if self.names_markets {
            query.push(("markets", self.market_list()));
        }
        query.push(("basis", self.basis.to_string()));
        query.push(("lang", self.lang.to_string()));
        let mut push_unless = |is_default: bool, name: &'static str, value: String| {
            if !is_default {
                query.push((name, value));
            }
        };
        let switch = |on: bool| if on { Switch::On } else { Switch::Off }.keyword().to_owned();
        let defaults = &self.defaults;
        push_unless(self.theme == defaults.theme, "theme", self.theme.keyword().to_owned());
        push_unless(
            self.colors == defaults.colors.unwrap_or_else(|| Colors::default_for(self.lang)),
            "colors",
            self.colors.to_string(),
        );
        push_unless(self.size == defaults.size, "size", self.size.map_or("", Choice::keyword).to_owned());
        let columns = self.columns.iter().map(|column| column.keyword()).collect::<Vec<_>>().join(",");
        push_unless(self.columns == defaults.columns, "columns", columns);
        push_unless(self.density == defaults.density, "density", self.density.keyword().to_owned());
        push_unless(self.flash == defaults.flash, "flash", switch(self.flash));
        push_unless(self.link == defaults.link, "link", self.link.to_string());
        push_unless(self.credit == defaults.credit, "credit", switch(self.credit.unwrap_or_default()));
        push_unless(self.transparent == defaults.transparent, "transparent", switch(self.transparent));
        push_unless(self.interval_ms == defaults.interval_ms, "interval", self.interval_ms.to_string());
        push_unless(self.span == defaults.span, "span", self.span.keyword().to_owned());
        push_unless(self.count == defaults.count, "count", self.count.unwrap_or_default().to_string());
        push_unless(self.title == defaults.title, "title", switch(self.title));
        let written = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        // A comma need not be percent-encoded in a query, and is easier to read as it is.
        written.replace("%2C", ",")
    }
}

/// Returns the names of all options.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    TABLE.iter().map(|(name, _)| *name)
}

/// Adapts options to a widget: card, ticker and chart show the first market of the board unless others are named.
///
/// # Errors
/// If more markets are named than the widget can show.
pub fn adapt_options<'a>(mut options: Options<'a>, widget: Widget) -> Result<Options<'a>, BadOption> {
    let max = match widget {
        Widget::Board | Widget::Tape | Widget::Movers => return Ok(options),
        Widget::Ticker | Widget::Card => CARD_MARKETS_MAX,
        Widget::Chart => 1,
    };
    if options.named_count > max {
        let word = widget.keyword();
        let allowed = |lang: Lang| {
            lang.pick(
                format!("{word} 위젯에는 최대 {max}개"),
                format!("at most {max} for {word}"),
                format!("{word} ウィジェットでは{max}件まで"),
            )
        };
        return Err(BadOption::invalid_value("markets", &options.market_list(), allowed));
    }
    if !options.names_markets {
        options.picks.truncate(1);
        options.names_markets = true;
    }
    Ok(options)
}

/// Returns the language for an error page: from the query if valid, else as configured, else that of the visitor.
pub fn lang(defaults: &OptionDefaults, visitor: Lang, query: &str) -> Lang {
    let mut found = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "lang");
    let found = found.find_map(|(_, value)| find(&value));
    found.or(defaults.lang).unwrap_or(visitor)
}

/// Returns the theme for an error page: that of the query if valid, else the default.
pub fn theme(defaults: &OptionDefaults, query: &str) -> Theme {
    let found = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "theme");
    found.and_then(|(_, value)| find(&value)).unwrap_or(defaults.theme)
}

/// Returns the markets of a board, each with its source.
pub fn board_picks(board: &Board) -> Vec<Pick> {
    board.markets.iter().map(|market| Pick { market: market.clone(), source: board.source.clone() }).collect()
}

fn find_board<'a>(boards: &'a [Board], id: Option<&str>) -> Result<&'a Board, BadOption> {
    let found = match id {
        Some(id) => boards.iter().find(|board| board.id == id),
        None => boards.first(),
    };
    found.ok_or_else(|| {
        let id = id.unwrap_or_default();
        BadOption::not_found("board", id, option_query::similar_words(id, boards.iter().map(|board| board.id.as_str())))
    })
}

/// Parses `BTC-KRW,ETH-KRW`; a repeated market keeps its first position, an unknown one is left out if any is known.
///
/// Without a named board every market is looked up on all boards, and the board of the first market is returned.
fn find_markets<'a>(
    all: &'a [Board],
    markets_max: usize,
    named: Option<&'a Board>,
    list: &str,
) -> Result<(&'a Board, Vec<Pick>), BadOption> {
    let boards = named.map_or(all, std::slice::from_ref);
    if names_in(list).count() > markets_max {
        return Err(BadOption::too_many("markets", list, markets_max));
    }
    let (mut first, mut picks, mut missing) = (None::<&Board>, Vec::<Pick>::new(), None);
    for name in names_in(list) {
        let market = Market::from_str(name).ok();
        let candidates = first.into_iter().chain(boards);
        let found = market.and_then(|market| {
            let board = candidates.into_iter().find(|board| board.markets.contains(&market))?;
            Some((board, market))
        });
        let Some((board, market)) = found else {
            // An unknown market does not affect the others.
            missing.get_or_insert(name);
            continue;
        };
        first.get_or_insert(board);
        if !picks.iter().any(|pick| pick.market == market) {
            picks.push(Pick { market, source: board.source.clone() });
        }
    }
    if let Some(name) = missing.filter(|_| picks.is_empty()) {
        return Err(BadOption::not_found("markets", name, option_query::similar_markets(name, boards)));
    }
    let board = first.or(named).or(all.first());
    let board = board.ok_or_else(|| BadOption::not_found("board", "", Vec::new()))?;
    Ok(if picks.is_empty() { (board, board_picks(board)) } else { (board, picks) })
}

fn names_in(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

fn is_on(board: &Board, pick: &Pick) -> bool {
    board.source == pick.source && board.markets.contains(&pick.market)
}

/// Parses `name,last,change`; the name is always the first column, even if it is not listed.
pub fn parse_columns(list: &str) -> Result<Vec<Column>, BadOption> {
    let mut columns = vec![Column::Name];
    for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let column = find(word);
        let column = column.ok_or_else(|| BadOption::invalid_value("columns", word, |_| allowed::<Column>()))?;
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    Ok(columns)
}

/// Default of `interval`, in milliseconds.
const INTERVAL_MS: u64 = 500;

/// Default of `columns`.
const COLUMNS: [Column; 3] = [Column::Name, Column::Last, Column::Change];

/// The options of a widget whose query sets none.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionDefaults {
    /// The language; `None` means that of the visitor.
    pub lang: Option<Lang>,
    /// The colour scheme.
    pub theme: Theme,
    /// The colours for rise and fall; `None` means those of the language.
    pub colors: Option<Colors>,
    /// The text size; `None` means the default of the widget.
    pub size: Option<Size>,
    /// The columns of a board.
    pub columns: Vec<Column>,
    /// The height of rows.
    pub density: Density,
    /// Whether a price is highlighted when it changes.
    pub flash: bool,
    /// The target of the link on a name.
    pub link: Link,
    /// Whether the sources are shown; `None` means the default of the widget.
    pub credit: Option<bool>,
    /// Whether the background is transparent.
    pub transparent: bool,
    /// Minimum time between two updates, in milliseconds.
    pub interval_ms: u64,
    /// The period of a chart.
    pub span: ChartSpan,
    /// Number of risers and of fallers; `None` means that of the movers rule.
    pub count: Option<usize>,
    /// Whether the title is shown.
    pub title: bool,
}

impl OptionDefaults {
    /// Returns the defaults. The configuration was validated at start, so a value that can't be parsed does not occur.
    pub fn of(configured: &config::Widgets) -> Self {
        let set = |name: &str| configured.get(name);
        let switch = |name: &str| keyword::<Switch>(set(name)).map(|switch| switch == Switch::On);
        let number = |name: &str| set(name).and_then(|text| text.parse::<u64>().ok());
        Self {
            lang: keyword(set("lang")),
            theme: keyword(set("theme")).unwrap_or(Theme::Auto),
            colors: set("colors").and_then(|text| text.parse().ok()),
            size: keyword(set("size")),
            columns: set("columns").and_then(|text| parse_columns(text).ok()).unwrap_or_else(|| COLUMNS.into()),
            density: keyword(set("density")).unwrap_or(Density::Normal),
            flash: switch("flash").unwrap_or(true),
            link: set("link").and_then(Link::parse).unwrap_or(Link::Off),
            credit: switch("credit"),
            transparent: switch("transparent").unwrap_or(false),
            interval_ms: number("interval").unwrap_or(INTERVAL_MS),
            span: keyword(set("span")).unwrap_or(ChartSpan::Day),
            count: number("count").and_then(|count| usize::try_from(count).ok()),
            title: switch("title").unwrap_or(true),
        }
    }
}

/// Parses a configured keyword.
fn keyword<T: Choice>(text: Option<&str>) -> Option<T> {
    text.and_then(find)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Config};

    #[test]
    fn the_widgets_page_of_the_docs_lists_exactly_these_options() {
        let page = include_str!("../../docs/widgets.md");
        let table = page.split("## Options").nth(1).and_then(|rest| rest.split("###").next()).unwrap();
        let listed: Vec<_> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        assert_eq!(listed, names().collect::<Vec<_>>());
    }

    fn parsed(name: &str, value: &str) -> Result<Config, String> {
        let text = format!("[widgets]\n{name} = {value}");
        config::parse("x", &text, &Default::default()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn the_configuration_accepts_exactly_the_keywords_of_the_options() {
        for (name, words) in [
            ("lang", allowed::<Lang>()),
            ("theme", allowed::<Theme>()),
            ("size", allowed::<Size>()),
            ("columns", allowed::<Column>()),
            ("density", allowed::<Density>()),
            ("flash", allowed::<Switch>()),
            ("credit", allowed::<Switch>()),
            ("transparent", allowed::<Switch>()),
            ("title", allowed::<Switch>()),
            ("span", allowed::<ChartSpan>()),
        ] {
            for word in words.split(", ") {
                parsed(name, &format!("{word:?}")).unwrap();
            }
            let error = parsed(name, "\"x\"").expect_err(name);
            assert!(error.contains(&format!("of {words}, is")), "{name}: {error} is not {words}");
        }
        for interval in INTERVALS_MS {
            parsed("interval", &interval.to_string()).unwrap();
        }
        for colors in Colors::allowed(Lang::En).split(", ").take(5) {
            parsed("colors", &format!("{colors:?}")).unwrap();
            assert!(colors.parse::<Colors>().is_ok(), "{colors}");
        }
        parsed("count", &COUNT_MAX.to_string()).unwrap();
        assert!(parsed("count", &(COUNT_MAX + 1).to_string()).is_err());
    }
}
