//! Binance's statistics over other windows than 24 hours: rolling ones, which begin on a whole minute, and days.
//!
//! Source: developers.binance.com, spot REST and streams, `ticker`, `tradingDay`, `ticker_<window>`.

use super::binance::{Refusal, average, percent, shape, trades, wanted};
use super::binance_kline::hours;
use super::figures::stretch;
use super::json::Object;
use super::query::Target;
use super::tape::{Bar, Trade};
use super::units::{fixed, fixed8};
use super::view::View;
use super::world::Line;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 86_400_000;

/// Reads a window such as `30m`, `4h` or `7d`, as ms.
pub fn length(text: &str) -> Option<i64> {
    let (number, most, unit) = match text.split_at_checked(text.len().checked_sub(1)?)? {
        (number, "m") => (number, 59, MINUTE),
        (number, "h") => (number, 23, HOUR),
        (number, "d") => (number, 7, DAY),
        _ => return None,
    };
    let number: i64 = number.parse().ok()?;
    (1..=most).contains(&number).then(|| number * unit)
}

/// Answers `/api/v3/ticker`.
///
/// # Errors
/// For symbols or a window that are not there or make no sense.
pub fn tickers(view: &View<'_>, target: &Target) -> Result<String, Refusal> {
    let length = target.get("windowSize").map_or(Some(DAY), length);
    let length = length.ok_or_else(|| (-1130, "Data sent for parameter 'windowSize' is not valid.".to_owned()))?;
    answer(view, target, begin(view.now, length))
}

/// Answers `/api/v3/ticker/tradingDay`.
///
/// # Errors
/// For symbols or a time zone that are not there or make no sense.
pub fn days(view: &View<'_>, target: &Target) -> Result<String, Refusal> {
    let hours = target.get("timeZone").map_or(Some(0), hours);
    let hours = hours.ok_or_else(|| (-1135, "Invalid timeZone.".to_owned()))?;
    let offset = i64::from(hours) * HOUR;
    answer(view, target, view.now - (view.now + offset).rem_euclid(DAY))
}

fn answer(view: &View<'_>, target: &Target, from: i64) -> Result<String, Refusal> {
    if target.get("symbol").is_none() && target.get("symbols").is_none() {
        return Err((-1128, "Combination of optional parameters invalid.".to_owned()));
    }
    let (lines, single) = wanted(view, target)?;
    let mini = target.get("type") == Some("MINI");
    let rows = lines.into_iter().filter_map(|line| Some(row(view, line, line.tape.last()?, from, mini)));
    Ok(shape(rows.collect(), single))
}

/// When a window that ends now begins: on a whole minute, so it is up to a minute longer.
fn begin(now: i64, length: i64) -> i64 {
    (now - length).div_euclid(MINUTE) * MINUTE
}

fn row(view: &View<'_>, line: &Line, last: &Trade, from: i64, mini: bool) -> String {
    let (last, sum) = (view.bend(line, last), stretch(line, from, last.price).1);
    let mut object = Object::new().text("symbol", &line.symbol);
    if !mini {
        object = object
            .text("priceChange", &fixed8(last.price - sum.open))
            .text("priceChangePercent", &percent(last.price - sum.open, sum.open))
            .text("weightedAvgPrice", &average(&sum, last.price));
    }
    figures(object, &last, &sum, ["openPrice", "highPrice", "lowPrice", "lastPrice", "volume", "quoteVolume"])
        .raw("openTime", view.time(from))
        .raw("closeTime", view.time(view.now))
        .raw("firstId", sum.first_id)
        .raw("lastId", sum.last_id)
        .raw("count", trades(&sum))
        .end()
}

fn figures(object: Object, last: &Trade, sum: &Bar, names: [&str; 6]) -> Object {
    let prices = [sum.open, sum.high, sum.low, last.price].map(fixed8);
    let volumes = [fixed(sum.volume, 8), fixed(sum.value / 100_000_000, 8)];
    names.into_iter().zip(prices.iter().chain(&volumes)).fold(object, |object, (name, text)| object.text(name, text))
}

/// Spells an event such as `1hTicker`.
pub fn frame(view: &View<'_>, line: &Line, last: &Trade, window: &str) -> String {
    let from = begin(view.now, length(window).unwrap_or(DAY));
    let (last, sum) = (view.bend(line, last), stretch(line, from, last.price).1);
    let event = Object::new()
        .text("e", &format!("{window}Ticker"))
        .raw("E", view.time(view.now))
        .text("s", &line.symbol)
        .text("p", &fixed8(last.price - sum.open))
        .text("P", &percent(last.price - sum.open, sum.open));
    figures(event, &last, &sum, ["o", "h", "l", "c", "v", "q"])
        .text("w", &average(&sum, last.price))
        .raw("O", view.time(from))
        .raw("C", view.time(view.now))
        .raw("F", sum.first_id)
        .raw("L", sum.last_id)
        .raw("n", trades(&sum))
        .end()
}
