//! Binance's candles, called klines: oldest first, a stretch without a trade is a flat one.
//!
//! Source: developers.binance.com, spot REST and streams, `klines`.

use super::binance::{Refusal, limit, missing, number, one, trades};
use super::candle::{Grid, unbroken};
use super::json::{Object, array, text};
use super::query::Target;
use super::tape::Bar;
use super::units::{fixed, fixed8};
use super::view::View;
use super::world::Line;

/// Most rows of one answer, and how many if the request does not say.
const ROWS_MAX: usize = 1000;
const ROWS_USUAL: usize = 500;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 86_400_000;

/// Lengths in ms by name; weeks and months are calendar things.
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

/// Returns where the candles of an interval begin, on a wall clock so many hours ahead of UTC.
pub fn grid(interval: &str, hours: i8) -> Option<Grid> {
    match interval {
        "1w" => Some(Grid::weeks(hours)),
        "1M" => Some(Grid::Months { count: 1, hours }),
        _ => LENGTHS.iter().find(|(name, _)| *name == interval).map(|(_, length)| Grid::every(*length, hours)),
    }
}

/// Reads a time zone such as `8`, `+08:00` or `-3`; half hours are not known here.
pub fn hours(zone: &str) -> Option<i8> {
    let (hours, minutes) = zone.split_once(':').unwrap_or((zone, "00"));
    hours.parse().ok().filter(|hours| (-12..=14).contains(hours) && minutes == "00")
}

/// Answers `/api/v3/klines`.
///
/// # Errors
/// For a symbol, interval, zone, limit or time that is not there or makes no sense.
pub fn klines(view: &View<'_>, target: &Target) -> Result<String, Refusal> {
    let line = one(view, target)?;
    let interval = target.get("interval").ok_or_else(|| missing("interval"))?;
    let hours = target.get("timeZone").map_or(Some(0), hours);
    let hours = hours.ok_or_else(|| (-1135, "Invalid timeZone.".to_owned()))?;
    let grid = grid(interval, hours).ok_or_else(|| (-1120, "Invalid interval.".to_owned()))?;
    let limit = limit(target, ROWS_USUAL, ROWS_MAX)?;
    let (start, end) = (number(target, "startTime")?, number(target, "endTime")?);
    let newest = grid.start(end.unwrap_or(view.now).min(view.now));
    let Some(first) = line.tape.bars(i64::MIN, i64::MAX).next().map(|bar| grid.start(bar.start)) else {
        return Ok("[]".to_owned());
    };
    let from = match start {
        // The first that does not begin before it.
        Some(start) => grid.start(start.saturating_sub(1).max(first)),
        None => (1..limit).fold(newest, |from, _| if from > first { grid.start(from - 1) } else { from }).max(first),
    };
    let from = if start.is_some_and(|start| from < start) { grid.next(from) } else { from };
    let rows = unbroken(&line.tape, grid, (from, newest), limit);
    let rows = rows.iter().filter(|candle| !view.leaves_out(line, candle.start, grid.next(candle.start)));
    Ok(array(rows.map(|candle| row(grid, candle))))
}

fn row(grid: Grid, candle: &Bar) -> String {
    let (bids, bid_value) = bought(candle);
    let prices = [candle.open, candle.high, candle.low, candle.close].map(|price| text(&fixed8(price)));
    let mut cells = vec![candle.start.to_string()];
    cells.extend(prices);
    cells.push(text(&fixed(candle.volume, 8)));
    cells.push((grid.next(candle.start) - 1).to_string());
    cells.push(text(&fixed(candle.value / 100_000_000, 8)));
    cells.push(trades(candle).to_string());
    cells.extend([text(&fixed(bids, 8)), text(&fixed(bid_value, 8)), text("0")]);
    array(cells)
}

/// Volume and value of what takers bought; the value by its share of the volume.
fn bought(candle: &Bar) -> (i128, i128) {
    let bids = candle.volume - candle.asks;
    let value = if candle.volume == 0 { 0 } else { candle.value / 100_000_000 * bids / candle.volume };
    (bids, value)
}

/// Spells a `kline` event.
pub fn frame(view: &View<'_>, line: &Line, interval: &str, grid: Grid, candle: &Bar, closed: bool) -> String {
    let (bids, bid_value) = bought(candle);
    let id = |id: u64| if candle.volume == 0 { "-1".to_owned() } else { id.to_string() };
    let kline = Object::new()
        .raw("t", candle.start)
        .raw("T", grid.next(candle.start) - 1)
        .text("s", &line.symbol)
        .text("i", interval)
        .raw("f", id(candle.first_id))
        .raw("L", id(candle.last_id))
        .text("o", &fixed8(candle.open))
        .text("c", &fixed8(candle.close))
        .text("h", &fixed8(candle.high))
        .text("l", &fixed8(candle.low))
        .text("v", &fixed(candle.volume, 8))
        .raw("n", trades(candle))
        .raw("x", closed)
        .text("q", &fixed(candle.value / 100_000_000, 8))
        .text("V", &fixed(bids, 8))
        .text("Q", &fixed(bid_value, 8))
        .text("B", "0")
        .end();
    let event = Object::new().text("e", "kline").raw("E", view.time(view.now)).text("s", &line.symbol);
    event.raw("k", kline).end()
}
