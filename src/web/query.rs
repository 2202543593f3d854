//! Queries for rows, by URL or by message: their parsing, within bounds, and their resolution to rows.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::rows_query::RowsQuery;
use super::state::AppState;
use crate::api::{Basis, Lang, Market, SourceId};
use crate::config::Board;
use crate::hub::RowsView;
use crate::options::{INTERVALS_MS, Interval, OptionValue as _, Parameters, QueryError};

/// Default of `interval_ms`.
const INTERVAL_MS_DEFAULT: u64 = 250;

/// Length to which an invalid value is truncated in an error, in characters.
const VALUE_CHARS_MAX: usize = 64;

/// Why a request is invalid or exceeds a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRequest {
    /// Stable error code.
    pub code: &'static str,
    /// The invalid parameter or member; empty if it is the request as a whole.
    pub field: String,
    /// Its value, truncated.
    pub value: Option<String>,
    /// The allowed values, if they are a list.
    pub allowed: Vec<String>,
    /// Description of the error.
    pub detail: String,
}

impl BadRequest {
    /// Creates an error without value and allowed values.
    pub fn new(code: &'static str, field: &str, detail: impl Into<String>) -> Self {
        Self { code, field: field.to_owned(), value: None, allowed: Vec::new(), detail: detail.into() }
    }

    /// Creates the error of an unknown value.
    pub fn unknown(code: &'static str, field: &str, value: &str, allowed: Vec<String>) -> Self {
        let value: String = value.chars().take(VALUE_CHARS_MAX).collect();
        let list = if allowed.is_empty() { String::new() } else { format!(": use {}", allowed.join(", ")) };
        let detail = format!("unknown value {value:?} for {field}{list}");
        Self { value: Some(value), allowed, ..Self::new(code, field, detail) }
    }
}

impl From<QueryError> for BadRequest {
    fn from(error: QueryError) -> Self {
        let detail = error.to_string();
        match error {
            QueryError::TooLong(_) | QueryError::TooMany(_) => BadRequest::new("query-too-long", "", detail),
            QueryError::Repeated(name) => BadRequest::new("bad-field", name, detail),
        }
    }
}

impl BadRequest {
    /// Returns whether the same request may succeed once another subscription or group has ended.
    pub fn is_retryable(&self) -> bool {
        matches!(self.code, "too-many-subscriptions" | "too-many-groups")
    }
}

impl RowsQuery {
    /// Resolves the query to rows.
    ///
    /// # Errors
    /// Returns [`BadRequest`] with the parameter, its value and the allowed values.
    pub fn resolve(&self, app: &AppState, boards: &[Board]) -> Result<RowsView, BadRequest> {
        self.view(app, boards, false)
    }

    /// Resolves the query of a subscription again: a board that is gone has no rows, and markets that are gone are
    /// missing.
    ///
    /// # Errors
    /// As [`RowsQuery::resolve`]. A query that was accepted once does not fail.
    pub fn resolve_again(&self, app: &AppState, boards: &[Board]) -> Result<RowsView, BadRequest> {
        self.view(app, boards, true)
    }

    fn view(&self, app: &AppState, boards: &[Board], may_be_gone: bool) -> Result<RowsView, BadRequest> {
        let (board, is_gone) = match find_board(boards, self.board.as_deref()) {
            Err(_) if may_be_gone => (None, true),
            found => (found?, false),
        };
        let default = boards.first().filter(|_| !is_gone);
        let mut missing = Vec::new();
        let rows: Arc<[(SourceId, Market)]> = match (&self.markets, board.or(default)) {
            (Some(markets), _) => {
                let boards = if is_gone { None } else { Some((boards, board)) };
                find_rows(app, boards, markets, may_be_gone, &mut missing)?.into()
            }
            (None, Some(board)) => board.markets.iter().map(|market| (board.source.clone(), market.clone())).collect(),
            (None, None) => Arc::new([]),
        };
        let named = board.or(if self.markets.is_none() { default } else { None });
        let basis = match &self.basis {
            Some(text) => text
                .parse()
                .map_err(|_| BadRequest::unknown("unknown-basis", "basis", text, to_strings(&Basis::ALL)))?,
            None => named.or(boards.first()).map(|board| board.basis).unwrap_or_default(),
        };
        let lang = match &self.lang {
            Some(text) => Some(
                text.parse().map_err(|_| BadRequest::unknown("unknown-lang", "lang", text, to_strings(&Lang::ALL)))?,
            ),
            None => None,
        };
        let board = if is_gone { self.board.as_deref() } else { named.map(|board| board.id.as_str()) }.map(Arc::from);
        Ok(RowsView { board, rows, basis, lang, demo: app.demo, missing: missing.into() })
    }

    /// Returns the minimum time between two frames.
    ///
    /// # Errors
    /// Returns [`BadRequest`] if it is not one of [`INTERVALS_MS`].
    pub fn interval(&self) -> Result<Duration, BadRequest> {
        let Some(text) = &self.interval_ms else { return Ok(Duration::from_millis(INTERVAL_MS_DEFAULT)) };
        let interval = Interval::parse(text).map(|interval| Duration::from_millis(interval.millis()));
        interval.map_err(|text| BadRequest::unknown("bad-interval", "interval_ms", text, to_strings(&INTERVALS_MS)))
    }
}

/// Returns the rows of a list of markets, and adds the others to `missing`; without boards, all are missing.
///
/// # Errors
/// Returns [`BadRequest`] if there are too many, or none of them exists, unless `may_be_gone`.
fn find_rows(
    app: &AppState,
    boards: Option<(&[Board], Option<&Board>)>,
    markets: &[String],
    may_be_gone: bool,
    missing: &mut Vec<String>,
) -> Result<Vec<(SourceId, Market)>, BadRequest> {
    let max = app.limits().markets_max;
    if markets.len() > max {
        let detail = format!("markets has {} markets, at most {max} are allowed", markets.len());
        return Err(BadRequest::new("too-many-markets", "markets", detail));
    }
    let mut seen = HashSet::new();
    let mut rows = Vec::with_capacity(markets.len());
    let mut first_error = None;
    for (index, text) in markets.iter().enumerate() {
        match find_market(app, boards, index, text) {
            Ok((source, market)) => {
                if seen.insert(market.clone()) {
                    rows.push((source, market));
                }
            }
            Err(error) => {
                let name = error.value.clone().unwrap_or_default();
                if !missing.contains(&name) {
                    missing.push(name);
                }
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        // Unknown markets are reported; the others are served.
        Some(error) if rows.is_empty() && !may_be_gone => Err(error),
        _ => Ok(rows),
    }
}

/// Parses the market at `index` of a list and finds its source.
fn find_market(
    app: &AppState,
    boards: Option<(&[Board], Option<&Board>)>,
    index: usize,
    text: &str,
) -> Result<(SourceId, Market), BadRequest> {
    let unknown = || BadRequest::unknown("unknown-market", "markets", text, Vec::new());
    let market: Market =
        text.parse().map_err(|error| BadRequest { detail: format!("markets[{index}]: {error}"), ..unknown() })?;
    let source = boards.and_then(|(boards, board)| find_source(app, boards, board, &market)).ok_or_else(unknown)?;
    Ok((source, market))
}

/// Finds a board by its id.
///
/// # Errors
/// Returns [`BadRequest`] with the existing boards if there is no such board.
pub fn find_board<'a>(boards: &'a [Board], id: Option<&str>) -> Result<Option<&'a Board>, BadRequest> {
    let Some(id) = id else { return Ok(None) };
    match boards.iter().find(|board| board.id == *id) {
        Some(board) => Ok(Some(board)),
        None => {
            let known = boards.iter().map(|board| board.id.clone()).collect();
            Err(BadRequest::unknown("unknown-board", "board", id, known))
        }
    }
}

/// Returns the source of a market: that of `board` if given; else of the first board with the market, of the
/// default board, or any that publishes it.
pub fn find_source(app: &AppState, boards: &[Board], board: Option<&Board>, market: &Market) -> Option<SourceId> {
    if let Some(board) = board {
        return board.markets.contains(market).then(|| board.source.clone());
    }
    let on_board = boards.iter().find(|board| board.markets.contains(market));
    let default = boards.first().filter(|board| app.hub.row(&board.source, market).is_some());
    on_board.or(default).map(|board| board.source.clone()).or_else(|| app.hub.source_of(market))
}

/// Converts all values to strings.
pub fn to_strings<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// Parses a query for rows; unknown parameters are ignored.
///
/// # Errors
/// Returns [`BadRequest`] if the query is too long, has too many parameters, or repeats a known one.
pub fn parse_rows_query(query: Option<&str>) -> Result<RowsQuery, BadRequest> {
    let names = ["board", "markets", "basis", "lang", "interval_ms"];
    let [board, markets, basis, lang, interval_ms] = parse_parameters(query, names)?;
    let markets = markets.map(|list| list.split(',').map(str::to_owned).collect());
    Ok(RowsQuery { board, markets, basis, lang, interval_ms })
}

/// Returns the values of the parameters `names`.
///
/// # Errors
/// As for [`parse_rows_query`].
pub fn parse_parameters<const N: usize>(
    query: Option<&str>,
    names: [&'static str; N],
) -> Result<[Option<String>; N], BadRequest> {
    let parameters = Parameters::parse(query.unwrap_or_default(), names.into_iter())?;
    Ok(names.map(|name| parameters.value(name).map(str::to_owned)))
}
