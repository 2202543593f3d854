//! Bithumb's older words (`/public`): strings, and a change over rolling 24 hours in percent.

use super::figures::Figures;
use super::json::{Object, array, text};
use super::query::{KOREA_MS, Target};
use super::units::{fixed, plain, plain8, ratio};
use super::view::{FakeResponse, View};
use super::world::Line;

/// Candles of one answer, the newest; the old API sends what it has.
const CANDLES_MAX: usize = 1500;

const VENUE: &str = "bithumb";

/// Answers a request; every answer is a 200 with a `status`.
pub fn rest(view: &View<'_>, target: &Target) -> FakeResponse {
    let data = match (target.under("/public/ticker/"), target.under("/public/candlestick/")) {
        (Some(pair), _) => tickers(view, pair),
        (_, Some(rest)) => rest.split_once('/').and_then(|(pair, interval)| candles(view, pair, interval)),
        _ => None,
    };
    let body = match data {
        Some(data) => Object::new().text("status", "0000").raw("data", data).end(),
        None => Object::new().text("status", "5500").text("message", "상장 코인 아님").end(),
    };
    FakeResponse::json(200, body)
}

/// Finds `BTC` or `BTC_KRW`; the quote is won if it is not said.
fn find<'a>(view: &View<'a>, pair: &str) -> Option<&'a Line> {
    let pair = pair.to_ascii_uppercase();
    let (base, quote) = pair.split_once('_').unwrap_or((&pair, "KRW"));
    view.world.line(VENUE, &format!("{base}-{quote}"))
}

fn tickers(view: &View<'_>, pair: &str) -> Option<String> {
    let date = text(&view.time(view.now).to_string());
    if !matches!(pair.to_ascii_uppercase().as_str(), "ALL" | "ALL_KRW") {
        return Some(ticker(view, find(view, pair)?)?.raw("date", date).end());
    }
    let mut all = Object::new();
    for line in view.world.lines(VENUE) {
        if let Some(ticker) = ticker(view, line) {
            all = all.raw(line.coin.id, ticker.end());
        }
    }
    Some(all.raw("date", date).end())
}

fn ticker(view: &View<'_>, line: &Line) -> Option<Object> {
    let figures = Figures::newest(view, line, KOREA_MS)?;
    let day = figures.day;
    let change = figures.trade.price - figures.before;
    Some(
        Object::new()
            .text("opening_price", &plain8(day.open))
            .text("closing_price", &plain8(figures.trade.price))
            .text("min_price", &plain8(day.low))
            .text("max_price", &plain8(day.high))
            .text("units_traded", &plain(day.volume, 8))
            .text("acc_trade_value", &plain(day.value / 100_000_000, 8))
            .text("prev_closing_price", &plain8(figures.day_before))
            .text("units_traded_24H", &plain(figures.rolling.volume, 8))
            .text("acc_trade_value_24H", &plain(figures.rolling.value / 100_000_000, 8))
            .text("fluctate_24H", &plain8(change))
            .text("fluctate_rate_24H", &fixed(ratio(change.into(), figures.before.into(), 4), 2)),
    )
}

/// Rows of `[ms, open, close, high, low, volume]`, oldest first.
fn candles(view: &View<'_>, pair: &str, interval: &str) -> Option<String> {
    let line = find(view, pair)?;
    if interval != "1m" {
        return None;
    }
    let mut rows: Vec<String> = line.tape.bars(i64::MIN, i64::MAX).rev().take(CANDLES_MAX).map(row).collect();
    rows.reverse();
    Some(array(rows))
}

fn row(bar: &super::tape::Bar) -> String {
    let prices = [bar.open, bar.close, bar.high, bar.low].map(|price| text(&plain8(price)));
    array([vec![bar.start.to_string()], prices.to_vec(), vec![text(&plain(bar.volume, 8))]].concat())
}
