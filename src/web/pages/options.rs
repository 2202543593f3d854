//! What a reader may ask of a widget, read once from the query.
//!
//! Known parameters are checked against what exists; unknown ones are ignored,
//! so that a publisher's own tracking parameters break nothing.

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;

use axum::http::{HeaderMap, StatusCode, header};

use super::super::AppState;
use crate::config::Board;
use crate::domain::{Basis, Market};
use crate::text::{Lang, negotiate};

/// Longest query, in bytes.
const QUERY_BYTES_MAX: usize = 1024;

/// Most parameters in a query.
const PARAMETERS_MAX: usize = 20;

/// Most characters of a refused value that are shown again.
const VALUE_CHARS_MAX: usize = 40;

/// The options of a board widget, all of them usable.
#[derive(Debug, Clone, PartialEq)]
pub struct Options<'a> {
    /// Which board.
    pub board: &'a Board,
    /// Its markets, or those of them that were asked for, in the asked order.
    pub markets: Vec<Market>,
    /// Whether markets were asked for.
    pub picked: bool,
    /// In which language.
    pub lang: Lang,
    /// Against which base.
    pub basis: Basis,
    /// Light, dark, or as the reader's system is.
    pub theme: Theme,
    /// Which colours mean rise and fall.
    pub colors: Colors,
    /// The text size.
    pub size: Size,
}

/// Why a query can't be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOption {
    /// The value is none of those allowed.
    #[error("{name} {value:?} is not known: use {allowed}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// What was asked for, shortened.
        value: String,
        /// What may be asked for.
        allowed: String,
    },
    /// A board or market that does not exist here.
    #[error("{name} {value:?} does not exist here: use {allowed}")]
    Missing {
        /// The parameter.
        name: &'static str,
        /// What was asked for, shortened.
        value: String,
        /// What may be asked for.
        allowed: String,
    },
    /// The same parameter more than once.
    #[error("{0} is given more than once")]
    Twice(&'static str),
    /// More than is read.
    #[error("the query is over {QUERY_BYTES_MAX} bytes or {PARAMETERS_MAX} parameters")]
    TooLong,
}

impl BadOption {
    /// Returns the HTTP status for it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Missing { .. } => StatusCode::NOT_FOUND,
            Self::Value { .. } | Self::Twice(_) | Self::TooLong => StatusCode::BAD_REQUEST,
        }
    }
}

impl<'a> Options<'a> {
    /// Reads the options from a query; what is absent comes from the board or the request.
    ///
    /// # Errors
    /// [`BadOption`], naming the first parameter at fault and what it may be.
    pub fn read(app: &'a AppState, headers: &HeaderMap, query: &str) -> Result<Self, BadOption> {
        let given = Given::read(query)?;
        let board = find_board(app, given.get("board"))?;
        let picked = given.get("markets").filter(|markets| !markets.is_empty());
        let markets = picked.map_or_else(|| Ok(board.markets.to_vec()), |picked| pick(board, picked))?;
        Self::join(&given, headers, board, markets, picked.is_some())
    }

    /// Reads the options of the page of one market; without a board, the first that has it counts.
    ///
    /// # Errors
    /// As [`Options::read`]; a market that no board has is missing.
    pub fn of_market(app: &'a AppState, headers: &HeaderMap, query: &str, id: &str) -> Result<Self, BadOption> {
        let given = Given::read(query)?;
        let named = given.get("board").filter(|id| !id.is_empty());
        let boards = match named {
            Some(_) => std::slice::from_ref(find_board(app, named)?),
            None => app.boards.as_slice(),
        };
        let market = Market::from_str(id).ok();
        let board = boards.iter().find(|board| market.as_ref().is_some_and(|market| board.markets.contains(market)));
        let (market, board) = market.zip(board).ok_or_else(|| {
            let markets: BTreeSet<&str> = boards.iter().flat_map(|b| b.markets.iter().map(Market::as_str)).collect();
            let allowed = markets.into_iter().collect::<Vec<_>>().join(", ");
            BadOption::Missing { name: "market", value: shorten(id), allowed }
        })?;
        Self::join(&given, headers, board, vec![market], true)
    }

    fn join(
        given: &Given,
        headers: &HeaderMap,
        board: &'a Board,
        markets: Vec<Market>,
        picked: bool,
    ) -> Result<Self, BadOption> {
        let lang = given.choose("lang")?.unwrap_or_else(|| preferred(headers));
        Ok(Self {
            board,
            markets,
            picked,
            lang,
            basis: given.choose("basis")?.unwrap_or(board.basis),
            theme: given.choose("theme")?.unwrap_or(Theme::Auto),
            colors: given.choose("colors")?.unwrap_or_else(|| Colors::usual(lang)),
            size: given.choose("size")?.unwrap_or(Size::M),
        })
    }
}

/// Returns the language that the request prefers.
pub fn preferred(headers: &HeaderMap) -> Lang {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    negotiate(accepted.unwrap_or_default())
}

/// The parameters that we know, as they were given.
struct Given(HashMap<&'static str, String>);

impl Given {
    const NAMES: [&'static str; 7] = ["board", "markets", "lang", "basis", "theme", "colors", "size"];

    fn read(query: &str) -> Result<Self, BadOption> {
        if query.len() > QUERY_BYTES_MAX {
            return Err(BadOption::TooLong);
        }
        let mut known = HashMap::new();
        for (at, (name, value)) in url::form_urlencoded::parse(query.as_bytes()).enumerate() {
            if at >= PARAMETERS_MAX {
                return Err(BadOption::TooLong);
            }
            let Some(name) = Self::NAMES.into_iter().find(|known| *known == name) else { continue };
            if known.insert(name, value.into_owned()).is_some() {
                return Err(BadOption::Twice(name));
            }
        }
        Ok(Self(known))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Reads one of a fixed set of words; an empty value is an absent one.
    fn choose<T: Choice>(&self, name: &'static str) -> Result<Option<T>, BadOption> {
        let Some(value) = self.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
        let found = T::EVERY.iter().copied().find(|choice| choice.word() == value);
        found.map(Some).ok_or_else(|| BadOption::Value {
            name,
            value: shorten(value),
            allowed: T::EVERY.iter().map(|choice| choice.word()).collect::<Vec<_>>().join(", "),
        })
    }
}

fn find_board<'a>(app: &'a AppState, id: Option<&str>) -> Result<&'a Board, BadOption> {
    let id = id.filter(|id| !id.is_empty());
    let found = match id {
        Some(id) => app.boards.iter().find(|board| board.id == id),
        None => app.boards.first(),
    };
    found.ok_or_else(|| BadOption::Missing {
        name: "board",
        value: shorten(id.unwrap_or_default()),
        allowed: app.boards.iter().map(|board| board.id.as_str()).collect::<Vec<_>>().join(", "),
    })
}

/// Reads `BTC-KRW,ETH-KRW`; a market named twice stands where it is named first.
fn pick(board: &Board, asked: &str) -> Result<Vec<Market>, BadOption> {
    let mut picked: Vec<Market> = Vec::new();
    for name in asked.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let market = Market::from_str(name).ok().filter(|market| board.markets.contains(market));
        let market = market.ok_or_else(|| BadOption::Missing {
            name: "markets",
            value: shorten(name),
            allowed: board.markets.iter().map(Market::as_str).collect::<Vec<_>>().join(", "),
        })?;
        if !picked.contains(&market) {
            picked.push(market);
        }
    }
    Ok(picked)
}

fn shorten(value: &str) -> String {
    value.chars().take(VALUE_CHARS_MAX).collect()
}

/// One of a fixed set of words.
pub trait Choice: Copy + 'static {
    /// All of them.
    const EVERY: &'static [Self];

    /// Returns the word in URLs and markup.
    fn word(self) -> &'static str;
}

/// Defines an option whose values are words.
macro_rules! choice {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $case:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $case),+ }

        impl Choice for $name {
            const EVERY: &'static [Self] = &[$(Self::$case),+];

            fn word(self) -> &'static str {
                match self { $(Self::$case => $word),+ }
            }
        }
    };
}

choice! {
    /// The ground that a widget is drawn on.
    Theme {
        /// As the reader's system is.
        Auto = "auto",
        /// Dark on light.
        Light = "light",
        /// Light on dark.
        Dark = "dark",
    }
}

choice! {
    /// Which colours mean rise and fall.
    Colors {
        /// Korea: red and blue.
        Kr = "kr",
        /// Japan: red and green.
        Jp = "jp",
        /// China: red and green.
        Cn = "cn",
        /// Elsewhere: green and red.
        Intl = "intl",
        /// Told apart by colour-blind readers: orange and blue.
        Cb = "cb",
    }
}

choice! {
    /// The five steps of a newspaper's text size control.
    Size {
        /// 가장작게.
        Xs = "xs",
        /// 작게.
        S = "s",
        /// 기본.
        M = "m",
        /// 크게.
        L = "l",
        /// 가장크게.
        Xl = "xl",
        /// The size of the text around it.
        Inherit = "inherit",
    }
}

impl Colors {
    /// Returns the colours that readers of a language expect.
    pub fn usual(lang: Lang) -> Self {
        lang.pick(Self::Kr, Self::Intl, Self::Jp)
    }
}

impl Choice for Lang {
    const EVERY: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Choice for Basis {
    const EVERY: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}
