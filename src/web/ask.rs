//! What is asked for, by URL or by message, and which rows that is.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::AppState;
use crate::config::Board;
use crate::hub::View;
use crate::wire::{Basis, Lang, Market, SourceId};

/// The shortest times between two frames that a client may choose from, in milliseconds; 0 is at once.
pub const INTERVALS_MS: [u64; 7] = [0, 100, 250, 500, 1000, 2000, 5000];

/// What a client that asks for no interval gets.
const INTERVAL_MS_DEFAULT: u64 = 250;

/// Longest part of a refused value that is given back, in characters.
const VALUE_CHARS_MAX: usize = 64;

/// What is asked for, unchecked.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Ask {
    pub board: Option<String>,
    pub markets: Option<Vec<String>>,
    pub basis: Option<String>,
    pub lang: Option<String>,
    pub interval_ms: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable word.
    pub code: &'static str,
    /// The parameter or member that is wrong; empty for the whole.
    pub field: String,
    /// Its value, shortened.
    pub value: Option<String>,
    /// What would be taken, where that is a list.
    pub allowed: Vec<String>,
    /// What is wrong.
    pub detail: String,
}

impl Refusal {
    /// Joins the parts that every refusal has.
    pub fn new(code: &'static str, field: &str, detail: impl Into<String>) -> Self {
        Self { code, field: field.to_owned(), value: None, allowed: Vec::new(), detail: detail.into() }
    }

    /// Joins the parts of a value that there is not.
    pub fn unknown(code: &'static str, field: &str, value: &str, allowed: Vec<String>) -> Self {
        let value: String = value.chars().take(VALUE_CHARS_MAX).collect();
        let list = if allowed.is_empty() { String::new() } else { format!(": use {}", allowed.join(", ")) };
        let detail = format!("{field} has no {value:?}{list}");
        Self { value: Some(value), allowed, ..Self::new(code, field, detail) }
    }
}

impl Refusal {
    /// Whether the same may be allowed once something else has ended.
    pub fn passes(&self) -> bool {
        matches!(self.code, "too-many-subscriptions" | "too-many-groups")
    }
}

impl Ask {
    /// Finds the rows.
    ///
    /// # Errors
    /// [`Refusal`] naming the parameter, its value and what is allowed.
    pub fn view(&self, app: &AppState) -> Result<View, Refusal> {
        let board = self.board(app)?;
        let mut missing = Vec::new();
        let rows: Arc<[(SourceId, Market)]> = match (&self.markets, board.or(app.boards.first())) {
            (Some(markets), _) => self.rows(app, board, markets, &mut missing)?.into(),
            (None, Some(board)) => board.markets.iter().map(|market| (board.source.clone(), market.clone())).collect(),
            (None, None) => Arc::new([]),
        };
        let named = board.or(if self.markets.is_none() { app.boards.first() } else { None });
        let basis = match &self.basis {
            Some(text) => {
                text.parse().map_err(|_| Refusal::unknown("unknown-basis", "basis", text, words(&Basis::ALL)))?
            }
            None => named.or(app.boards.first()).map(|board| board.basis).unwrap_or_default(),
        };
        let lang = match &self.lang {
            Some(text) => {
                Some(text.parse().map_err(|_| Refusal::unknown("unknown-lang", "lang", text, words(&Lang::ALL)))?)
            }
            None => None,
        };
        let board = named.map(|board| board.id.as_str().into());
        Ok(View { board, rows, basis, lang, demo: app.demo, missing: missing.into() })
    }

    /// Returns the shortest time between two frames.
    ///
    /// # Errors
    /// [`Refusal`] if it is none of [`INTERVALS_MS`].
    pub fn interval(&self) -> Result<Duration, Refusal> {
        let Some(text) = &self.interval_ms else { return Ok(Duration::from_millis(INTERVAL_MS_DEFAULT)) };
        let known = find_interval(text).map(Duration::from_millis);
        known.ok_or_else(|| Refusal::unknown("bad-interval", "interval_ms", text, words(&INTERVALS_MS)))
    }

    fn board<'a>(&self, app: &'a AppState) -> Result<Option<&'a Board>, Refusal> {
        board_of(app, self.board.as_deref())
    }

    fn rows(
        &self,
        app: &AppState,
        board: Option<&Board>,
        markets: &[String],
        missing: &mut Vec<String>,
    ) -> Result<Vec<(SourceId, Market)>, Refusal> {
        let most = app.limits().markets_max;
        if markets.len() > most {
            let detail = format!("markets has {} markets, at most {most} are allowed", markets.len());
            return Err(Refusal::new("too-many-markets", "markets", detail));
        }
        let mut seen = HashSet::new();
        let mut rows = Vec::with_capacity(markets.len());
        let mut refused = None;
        for (place, text) in markets.iter().enumerate() {
            match find(app, board, place, text) {
                Ok((source, market)) => {
                    if seen.insert(market.clone()) {
                        rows.push((source, market));
                    }
                }
                Err(refusal) => {
                    let name = refusal.value.clone().unwrap_or_default();
                    if !missing.contains(&name) {
                        missing.push(name);
                    }
                    refused.get_or_insert(refusal);
                }
            }
        }
        match refused {
            // One that is not known costs no other.
            Some(refusal) if rows.is_empty() => Err(refusal),
            _ => Ok(rows),
        }
    }
}

/// Finds the interval that is written exactly so.
pub fn find_interval(text: &str) -> Option<u64> {
    INTERVALS_MS.into_iter().find(|millis| millis.to_string() == text)
}

/// Finds the market at a place of a list, and its source.
fn find(app: &AppState, board: Option<&Board>, place: usize, text: &str) -> Result<(SourceId, Market), Refusal> {
    let unknown = || Refusal::unknown("unknown-market", "markets", text, Vec::new());
    let market: Market =
        text.parse().map_err(|error| Refusal { detail: format!("markets[{place}]: {error}"), ..unknown() })?;
    let source = source_of(app, board, &market).ok_or_else(unknown)?;
    Ok((source, market))
}

/// Finds the board of that id.
///
/// # Errors
/// [`Refusal`] naming the boards that there are.
pub fn board_of<'a>(app: &'a AppState, id: Option<&str>) -> Result<Option<&'a Board>, Refusal> {
    let Some(id) = id else { return Ok(None) };
    match app.boards.iter().find(|board| board.id == *id) {
        Some(board) => Ok(Some(board)),
        None => {
            let known = app.boards.iter().map(|board| board.id.clone()).collect();
            Err(Refusal::unknown("unknown-board", "board", id, known))
        }
    }
}

/// The board's source if a board was named; else that of the first board with the market, the default
/// board's, or any that publishes it.
pub fn source_of(app: &AppState, board: Option<&Board>, market: &Market) -> Option<SourceId> {
    if let Some(board) = board {
        return board.markets.contains(market).then(|| board.source.clone());
    }
    let on_board = app.boards.iter().find(|board| board.markets.contains(market));
    let default = app.boards.first().filter(|board| app.hub.row(&board.source, market).is_some());
    on_board.or(default).map(|board| board.source.clone()).or_else(|| app.hub.source_of(market))
}

/// Returns the texts of all of them.
pub fn words<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}
