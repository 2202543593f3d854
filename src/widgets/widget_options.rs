//! The options of a widget, parsed from the query, with their defaults: as configured by the operator, else built in.

use std::str::FromStr;

use super::bad_option::{self, BadOption};
use crate::config::Board;
use crate::locale::Lang;
use crate::market::{Basis, Market, SourceId};
use crate::options::{
    Accepted, Colors, OptionValue as _, OptionValues, Parameters, Size, TABLE, Theme, Widget, find_keyword,
};

/// Maximum number of markets in one card widget; the ticker has the same limit.
pub const CARD_MARKETS_MAX: usize = 12;

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
    /// The options that the query or the operator has set.
    pub values: OptionValues,
    /// The values that the operator has set.
    pub defaults: &'a OptionValues,
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
        defaults: &'a OptionValues,
        markets_max: usize,
        visitor: Lang,
        query: &str,
    ) -> Result<Self, BadOption> {
        let query = Parameters::parse(query, names())?;
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
        defaults: &'a OptionValues,
        visitor: Lang,
        query: &str,
        id: &str,
    ) -> Result<Self, BadOption> {
        let query = Parameters::parse(query, names())?;
        let named = query.get("board").map(|id| find_board(boards, Some(id))).transpose()?;
        let boards = named.map_or(boards, std::slice::from_ref);
        let market = Market::from_str(id).ok();
        let found =
            market.and_then(|market| Some((boards.iter().find(|board| board.markets.contains(&market))?, market)));
        let (board, market) =
            found.ok_or_else(|| BadOption::not_found("market", id, bad_option::similar_markets(id, boards)))?;
        let picks = vec![Pick { market, source: board.source.clone() }];
        Self::build(&query, defaults, visitor, (board, true), picks, true)
    }

    fn build(
        query: &Parameters,
        defaults: &'a OptionValues,
        visitor: Lang,
        (board, all_on_board): (&'a Board, bool),
        picks: Vec<Pick>,
        names_markets: bool,
    ) -> Result<Self, BadOption> {
        let mut values = OptionValues::default();
        for option in TABLE {
            let text = match option.accepted {
                // An empty value is on, as for HTML attributes; frameworks write `true` and `false`.
                Accepted::Switch => query.value(option.name).map(|text| match text {
                    "" | "true" => "on",
                    "false" => "off",
                    text => text,
                }),
                _ => query.get(option.name),
            };
            let set = text.map_or(Ok(()), |text| values.set(option.name, text));
            set.map_err(|part| BadOption::invalid_value(option.name, part, |lang| option.accepted.allowed(lang)))?;
        }
        let values = values.or(defaults);
        Ok(Self {
            board,
            all_on_board,
            picks,
            names_markets,
            named_count: query.get("markets").map_or(0, |list| names_in(list).count()),
            lang: values.lang.unwrap_or(visitor),
            basis: values.basis.unwrap_or(board.basis),
            values,
            defaults,
        })
    }

    /// Returns the colours for rise and fall; the default is that of the language.
    pub fn colors(&self) -> Colors {
        self.values.colors.unwrap_or(Colors::default_for(self.lang))
    }

    /// Returns the text size for a widget. The default is inherited for a ticker, medium for the others.
    pub fn size_of(&self, widget: Widget) -> Size {
        self.values.size.unwrap_or(if widget == Widget::Ticker { Size::Inherit } else { Size::M })
    }

    /// Returns the comma-separated markets.
    pub fn market_list(&self) -> String {
        self.picks.iter().map(|pick| pick.market.as_str()).collect::<Vec<_>>().join(",")
    }

    /// Returns the theme as the end of a query, such as `&theme=dark`; empty if it is the default.
    pub fn theme_query(&self) -> String {
        let theme = self.values.theme();
        if theme == self.defaults.theme() { String::new() } else { format!("&theme={}", theme.text()) }
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
        let is_default = |name: &str| match name {
            "basis" | "lang" => true,
            // The colours of the language are the default, unless the operator has set others.
            "colors" => self.defaults.colors.is_none() && self.colors() == Colors::default_for(self.lang),
            _ => false,
        };
        let changes = self.values.changes(self.defaults).into_iter();
        query.extend(changes.filter(|(name, _)| !is_default(name)));
        let written = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        // A comma need not be percent-encoded in a query, and is easier to read as it is.
        written.replace("%2C", ",")
    }
}

/// Returns the names of all options.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    TABLE.iter().map(|option| option.name)
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
pub fn lang(defaults: &OptionValues, visitor: Lang, query: &str) -> Lang {
    let mut found = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "lang");
    let found = found.find_map(|(_, value)| find_keyword(&value));
    found.or(defaults.lang).unwrap_or(visitor)
}

/// Returns the theme for an error page: that of the query if valid, else the default.
pub fn theme(defaults: &OptionValues, query: &str) -> Theme {
    let found = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "theme");
    found.and_then(|(_, value)| find_keyword(&value)).unwrap_or_else(|| defaults.theme())
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
        BadOption::not_found("board", id, bad_option::similar_words(id, boards.iter().map(|board| board.id.as_str())))
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
        return Err(BadOption::not_found("markets", name, bad_option::similar_markets(name, boards)));
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
