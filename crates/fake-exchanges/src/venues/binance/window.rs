//! Binance: statistics over windows other than 24 hours: rolling ones, which begin at a whole minute, and trading
//! days.
//!
//! Source: developers.binance.com, spot REST and streams, `ticker`, `tradingDay`, `ticker_<window>`.

use super::kline::parse_utc_offset;
use super::request::{BinanceError, encode_rows, format_average, format_percent, requested_markets, trade_count};
use crate::fault_view::FaultView;
use crate::json::Object;
use crate::query::RequestTarget;
use crate::simulated_market::SimulatedMarket;
use crate::ticker_figures::window_ohlcv;
use crate::trade_log::{Ohlcv, Trade};
use crate::units::{fixed, fixed8};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 86_400_000;

/// Parses a window such as `30m`, `4h` or `7d` to ms; returns `None` if it is not supported.
pub fn parse_length(text: &str) -> Option<i64> {
    let (number, max, unit) = match text.split_at_checked(text.len().checked_sub(1)?)? {
        (number, "m") => (number, 59, MINUTE),
        (number, "h") => (number, 23, HOUR),
        (number, "d") => (number, 7, DAY),
        _ => return None,
    };
    let number: i64 = number.parse().ok()?;
    (1..=max).contains(&number).then(|| number * unit)
}

/// Returns the response to `/api/v3/ticker`.
///
/// # Errors
/// If the symbols are missing or unknown, or the window is invalid.
pub fn tickers(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, BinanceError> {
    let length = target.get("windowSize").map_or(Some(DAY), parse_length);
    let length = length.ok_or_else(|| (-1130, "Data sent for parameter 'windowSize' is not valid.".to_owned()))?;
    answer(view, target, window_start(view.now, length))
}

/// Returns the response to `/api/v3/ticker/tradingDay`.
///
/// # Errors
/// If the symbols are missing or unknown, or the time zone is invalid.
pub fn trading_days(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, BinanceError> {
    let hours = target.get("timeZone").map_or(Some(0), parse_utc_offset);
    let hours = hours.ok_or_else(|| (-1135, "Invalid timeZone.".to_owned()))?;
    let offset = i64::from(hours) * HOUR;
    answer(view, target, view.now - (view.now + offset).rem_euclid(DAY))
}

fn answer(view: &FaultView<'_>, target: &RequestTarget, from: i64) -> Result<String, BinanceError> {
    if target.get("symbol").is_none() && target.get("symbols").is_none() {
        return Err((-1128, "Combination of optional parameters invalid.".to_owned()));
    }
    let (markets, single) = requested_markets(view, target)?;
    let mini = target.get("type") == Some("MINI");
    let rows = markets.into_iter().filter_map(|market| Some(row(view, market, market.trade_log.last()?, from, mini)));
    Ok(encode_rows(rows.collect(), single))
}

/// Returns the start of a window that ends at `now`: a whole minute, so that the window is up to a minute longer.
fn window_start(now: i64, length: i64) -> i64 {
    (now - length).div_euclid(MINUTE) * MINUTE
}

fn row(view: &FaultView<'_>, market: &SimulatedMarket, last: &Trade, from: i64, mini: bool) -> String {
    let (last, sums) = (view.reported_trade(market, last), window_ohlcv(market, from, last.price).1);
    let mut object = Object::new().text("symbol", &market.symbol);
    if !mini {
        object = object
            .text("priceChange", &fixed8(last.price - sums.open))
            .text("priceChangePercent", &format_percent(last.price - sums.open, sums.open))
            .text("weightedAvgPrice", &format_average(&sums, last.price));
    }
    add_figures(object, &last, &sums, ["openPrice", "highPrice", "lowPrice", "lastPrice", "volume", "quoteVolume"])
        .raw("openTime", view.reported_time(from))
        .raw("closeTime", view.reported_time(view.now))
        .raw("firstId", sums.first_id)
        .raw("lastId", sums.last_id)
        .raw("count", trade_count(&sums))
        .end()
}

fn add_figures(object: Object, last: &Trade, sums: &Ohlcv, names: [&str; 6]) -> Object {
    let prices = [sums.open, sums.high, sums.low, last.price].map(fixed8);
    let volumes = [fixed(sums.base_volume, 8), fixed(sums.quote_volume / 100_000_000, 8)];
    names.into_iter().zip(prices.iter().chain(&volumes)).fold(object, |object, (name, text)| object.text(name, text))
}

/// Encodes an event such as `1hTicker`.
pub fn frame(view: &FaultView<'_>, market: &SimulatedMarket, last: &Trade, window: &str) -> String {
    let from = window_start(view.now, parse_length(window).unwrap_or(DAY));
    let (last, sums) = (view.reported_trade(market, last), window_ohlcv(market, from, last.price).1);
    let event = Object::new()
        .text("e", &format!("{window}Ticker"))
        .raw("E", view.reported_time(view.now))
        .text("s", &market.symbol)
        .text("p", &fixed8(last.price - sums.open))
        .text("P", &format_percent(last.price - sums.open, sums.open));
    add_figures(event, &last, &sums, ["o", "h", "l", "c", "v", "q"])
        .text("w", &format_average(&sums, last.price))
        .raw("O", view.reported_time(from))
        .raw("C", view.reported_time(view.now))
        .raw("F", sums.first_id)
        .raw("L", sums.last_id)
        .raw("n", trade_count(&sums))
        .end()
}
