//! Binance: candles, which it calls klines. Oldest first; a candle without trades is flat.
//!
//! Source: developers.binance.com, spot REST and streams, `klines`.

use super::request::{
    BinanceError, integer_parameter, limit_parameter, missing_parameter, requested_market, trade_count,
};
use crate::candle::{Grid, contiguous};
use crate::fault_view::FaultView;
use crate::json::{Object, array, json_string};
use crate::query::RequestTarget;
use crate::simulated_market::SimulatedMarket;
use crate::trade_log::Ohlcv;
use crate::units::{fixed, fixed8};

/// Maximum and default number of rows of a response.
const ROWS_MAX: usize = 1000;
const ROWS_DEFAULT: usize = 500;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 86_400_000;

/// Lengths in ms by name; weeks and months follow the calendar.
const LENGTHS: [(&str, i64); 14] = [
    ("1s", SECOND),
    ("1m", MINUTE),
    ("3m", 3 * MINUTE),
    ("5m", 5 * MINUTE),
    ("15m", 15 * MINUTE),
    ("30m", 30 * MINUTE),
    ("1h", HOUR),
    ("2h", 2 * HOUR),
    ("4h", 4 * HOUR),
    ("6h", 6 * HOUR),
    ("8h", 8 * HOUR),
    ("12h", 12 * HOUR),
    ("1d", DAY),
    ("3d", 3 * DAY),
];

/// Returns the grid of an interval's candles at the offset `hours` from UTC, or `None` if the interval is unknown.
pub fn grid(interval: &str, hours: i8) -> Option<Grid> {
    match interval {
        "1w" => Some(Grid::weeks(hours)),
        "1M" => Some(Grid::Months { count: 1, hours }),
        _ => LENGTHS.iter().find(|(name, _)| *name == interval).map(|(_, length)| Grid::every(*length, hours)),
    }
}

/// Parses a time zone such as `8`, `+08:00` or `-3`; only whole hours are supported.
pub fn parse_utc_offset(zone: &str) -> Option<i8> {
    let (hours, minutes) = zone.split_once(':').unwrap_or((zone, "00"));
    hours.parse().ok().filter(|hours| (-12..=14).contains(hours) && minutes == "00")
}

/// Returns the response to `/api/v3/klines`.
///
/// # Errors
/// If the symbol or interval is missing or unknown, or the time zone, limit or a time is invalid.
pub fn klines(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, BinanceError> {
    let market = requested_market(view, target)?;
    let interval = target.get("interval").ok_or_else(|| missing_parameter("interval"))?;
    let hours = target.get("timeZone").map_or(Some(0), parse_utc_offset);
    let hours = hours.ok_or_else(|| (-1135, "Invalid timeZone.".to_owned()))?;
    let grid = grid(interval, hours).ok_or_else(|| (-1120, "Invalid interval.".to_owned()))?;
    let limit = limit_parameter(target, ROWS_DEFAULT, ROWS_MAX)?;
    let (start, end) = (integer_parameter(target, "startTime")?, integer_parameter(target, "endTime")?);
    let newest = grid.start(end.unwrap_or(view.now).min(view.now));
    let Some(first) = market.trade_log.minute_candles(i64::MIN, i64::MAX).next().map(|bar| grid.start(bar.start))
    else {
        return Ok("[]".to_owned());
    };
    let from = match start {
        // The first candle that begins at or after `start`.
        Some(start) => grid.start(start.saturating_sub(1).max(first)),
        None => (1..limit).fold(newest, |from, _| if from > first { grid.start(from - 1) } else { from }).max(first),
    };
    let from = if start.is_some_and(|start| from < start) { grid.next(from) } else { from };
    let rows = contiguous(&market.trade_log, grid, (from, newest), limit);
    let rows = rows.iter().filter(|candle| !view.omits_candle(market, candle.start, grid.next(candle.start)));
    Ok(array(rows.map(|candle| row(grid, candle))))
}

fn row(grid: Grid, candle: &Ohlcv) -> String {
    let (bids, bid_value) = taker_bought(candle);
    let prices = [candle.open, candle.high, candle.low, candle.close].map(|price| json_string(&fixed8(price)));
    let mut cells = vec![candle.start.to_string()];
    cells.extend(prices);
    cells.push(json_string(&fixed(candle.base_volume, 8)));
    cells.push((grid.next(candle.start) - 1).to_string());
    cells.push(json_string(&fixed(candle.quote_volume / 100_000_000, 8)));
    cells.push(trade_count(candle).to_string());
    cells.extend([json_string(&fixed(bids, 8)), json_string(&fixed(bid_value, 8)), json_string("0")]);
    array(cells)
}

/// Returns base and quote volume bought by takers; the quote volume is estimated by the share of the base volume.
fn taker_bought(candle: &Ohlcv) -> (i128, i128) {
    let bids = candle.base_volume - candle.sold_volume;
    let value = if candle.base_volume == 0 { 0 } else { candle.quote_volume / 100_000_000 * bids / candle.base_volume };
    (bids, value)
}

/// Encodes a `kline` event.
pub fn frame(
    view: &FaultView<'_>,
    market: &SimulatedMarket,
    interval: &str,
    grid: Grid,
    candle: &Ohlcv,
    closed: bool,
) -> String {
    let (bids, bid_value) = taker_bought(candle);
    let id = |id: u64| if candle.base_volume == 0 { "-1".to_owned() } else { id.to_string() };
    let kline = Object::new()
        .raw("t", candle.start)
        .raw("T", grid.next(candle.start) - 1)
        .text("s", &market.symbol)
        .text("i", interval)
        .raw("f", id(candle.first_id))
        .raw("L", id(candle.last_id))
        .text("o", &fixed8(candle.open))
        .text("c", &fixed8(candle.close))
        .text("h", &fixed8(candle.high))
        .text("l", &fixed8(candle.low))
        .text("v", &fixed(candle.base_volume, 8))
        .raw("n", trade_count(candle))
        .raw("x", closed)
        .text("q", &fixed(candle.quote_volume / 100_000_000, 8))
        .text("V", &fixed(bids, 8))
        .text("Q", &fixed(bid_value, 8))
        .text("B", "0")
        .end();
    let event = Object::new().text("e", "kline").raw("E", view.reported_time(view.now)).text("s", &market.symbol);
    event.raw("k", kline).end()
}
