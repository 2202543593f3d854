//! Bithumb's legacy API (`/public`): numbers as strings, and a change over rolling 24 hours, in percent.

use crate::fault_view::FaultView;
use crate::json::{Object, array, json_string};
use crate::query::{KST_OFFSET_MS, RequestTarget};
use crate::response::FakeResponse;
use crate::simulated_market::SimulatedMarket;
use crate::ticker_figures::TickerFigures;
use crate::units::{fixed, plain, plain8, ratio};

/// Maximum number of candles of a response, the newest; the legacy API has no limit parameter.
const CANDLES_MAX: usize = 1500;

const VENUE: &str = "bithumb";

/// Returns the response to a REST request: always HTTP 200, with a `status` in the body.
pub fn rest(view: &FaultView<'_>, target: &RequestTarget) -> FakeResponse {
    let data = match (target.path_after("/public/ticker/"), target.path_after("/public/candlestick/")) {
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

/// Returns the market of `BTC` or `BTC_KRW`; the quote is KRW by default.
fn find<'a>(view: &FaultView<'a>, pair: &str) -> Option<&'a SimulatedMarket> {
    let pair = pair.to_ascii_uppercase();
    let (base, quote) = pair.split_once('_').unwrap_or((&pair, "KRW"));
    view.simulation.market(VENUE, &format!("{base}-{quote}"))
}

fn tickers(view: &FaultView<'_>, pair: &str) -> Option<String> {
    let date = json_string(&view.reported_time(view.now).to_string());
    if !matches!(pair.to_ascii_uppercase().as_str(), "ALL" | "ALL_KRW") {
        return Some(ticker(view, find(view, pair)?)?.raw("date", date).end());
    }
    let mut all = Object::new();
    for market in view.simulation.markets_of(VENUE) {
        if let Some(ticker) = ticker(view, market) {
            all = all.raw(market.asset.id, ticker.end());
        }
    }
    Some(all.raw("date", date).end())
}

fn ticker(view: &FaultView<'_>, market: &SimulatedMarket) -> Option<Object> {
    let figures = TickerFigures::latest(view, market, KST_OFFSET_MS)?;
    let day = figures.day;
    let change = figures.trade.price - figures.price_24h_ago;
    Some(
        Object::new()
            .text("opening_price", &plain8(day.open))
            .text("closing_price", &plain8(figures.trade.price))
            .text("min_price", &plain8(day.low))
            .text("max_price", &plain8(day.high))
            .text("units_traded", &plain(day.base_volume, 8))
            .text("acc_trade_value", &plain(day.quote_volume / 100_000_000, 8))
            .text("prev_closing_price", &plain8(figures.previous_close))
            .text("units_traded_24H", &plain(figures.rolling.base_volume, 8))
            .text("acc_trade_value_24H", &plain(figures.rolling.quote_volume / 100_000_000, 8))
            .text("fluctate_24H", &plain8(change))
            .text("fluctate_rate_24H", &fixed(ratio(change.into(), figures.price_24h_ago.into(), 4), 2)),
    )
}

/// Returns rows of `[ms, open, close, high, low, volume]`, oldest first.
fn candles(view: &FaultView<'_>, pair: &str, interval: &str) -> Option<String> {
    let market = find(view, pair)?;
    if interval != "1m" {
        return None;
    }
    let mut rows: Vec<String> =
        market.trade_log.minute_candles(i64::MIN, i64::MAX).rev().take(CANDLES_MAX).map(row).collect();
    rows.reverse();
    Some(array(rows))
}

fn row(bar: &crate::trade_log::Ohlcv) -> String {
    let prices = [bar.open, bar.close, bar.high, bar.low].map(|price| json_string(&plain8(price)));
    array([vec![bar.start.to_string()], prices.to_vec(), vec![json_string(&plain(bar.base_volume, 8))]].concat())
}
