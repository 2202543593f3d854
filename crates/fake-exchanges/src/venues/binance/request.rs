//! Binance: what the requests have in common: parameters, markets, errors, and the formats of figures.

use crate::fault_view::FaultView;
use crate::json::array;
use crate::query::RequestTarget;
use crate::simulated_market::SimulatedMarket;
use crate::trade_log::Ohlcv;
use crate::units::{fixed, ratio};

/// The venue's id.
pub const ID: &str = "binance";

/// An API error: code and message.
pub type BinanceError = (i32, String);

/// Returns the markets that a request selects with `symbol` or `symbols`, by default all, and whether the response
/// is one object instead of a list.
///
/// # Errors
/// If a symbol is not listed, `symbols` is malformed, or both parameters are given.
pub fn requested_markets<'a>(
    view: &FaultView<'a>,
    target: &RequestTarget,
) -> Result<(Vec<&'a SimulatedMarket>, bool), BinanceError> {
    let find =
        |symbol: &str| view.simulation.by_symbol(ID, symbol).ok_or_else(|| (-1121, "Invalid symbol.".to_owned()));
    match (target.get("symbol"), target.get("symbols")) {
        (Some(_), Some(_)) => Err((-1128, "Combination of optional parameters invalid.".to_owned())),
        (Some(symbol), None) => Ok((vec![find(symbol)?], true)),
        (None, Some(list)) => {
            let list: Vec<String> = serde_json::from_str(list).map_err(|_| illegal("symbols"))?;
            Ok((list.iter().map(|symbol| find(symbol)).collect::<Result<_, _>>()?, false))
        }
        (None, None) => Ok((view.simulation.markets_of(ID).collect(), false)),
    }
}

/// Returns the market of the mandatory parameter `symbol`.
///
/// # Errors
/// If the parameter is missing or the symbol is not listed.
pub fn requested_market<'a>(view: &FaultView<'a>, target: &RequestTarget) -> Result<&'a SimulatedMarket, BinanceError> {
    let symbol = target.get("symbol").ok_or_else(|| missing_parameter("symbol"))?;
    view.simulation.by_symbol(ID, symbol).ok_or_else(|| (-1121, "Invalid symbol.".to_owned()))
}

/// Parses an optional integer parameter.
///
/// # Errors
/// If the value is not an integer.
pub fn integer_parameter(target: &RequestTarget, name: &str) -> Result<Option<i64>, BinanceError> {
    target.get(name).map(|value| value.parse::<i64>().map_err(|_| illegal(name))).transpose()
}

/// Parses `limit`, which is `default` if absent and capped at `max`.
///
/// # Errors
/// If it is not an integer above zero.
pub fn limit_parameter(target: &RequestTarget, default: usize, max: usize) -> Result<usize, BinanceError> {
    let limit = integer_parameter(target, "limit")?.map_or(default, |limit| usize::try_from(limit).unwrap_or(0));
    if limit == 0 {
        return Err((-1130, "Data sent for parameter 'limit' is not valid.".to_owned()));
    }
    Ok(limit.min(max))
}

/// Returns the error for a missing mandatory parameter.
pub fn missing_parameter(name: &str) -> BinanceError {
    (-1102, format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."))
}

fn illegal(parameter: &str) -> BinanceError {
    (-1100, format!("Illegal characters found in parameter '{parameter}'; legal range is '^[0-9]{{1,20}}$'."))
}

/// Encodes rows as an array, or as one object if the request was for a single symbol.
pub fn encode_rows(rows: Vec<String>, single: bool) -> String {
    match rows.first() {
        Some(row) if single => row.clone(),
        _ => array(rows),
    }
}

/// Returns the number of trades of a span.
pub fn trade_count(sums: &Ohlcv) -> u64 {
    if sums.base_volume == 0 { 0 } else { sums.last_id - sums.first_id + 1 }
}

/// Formats a change as a percentage of `open`, with three decimal places.
pub fn format_percent(change: i64, open: i64) -> String {
    fixed(ratio(change.into(), open.into(), 5), 3)
}

/// Formats the volume-weighted average price of a span, or `last` if it has no trades.
pub fn format_average(sums: &Ohlcv, last: i64) -> String {
    fixed(if sums.base_volume == 0 { last.into() } else { sums.quote_volume / sums.base_volume }, 8)
}
