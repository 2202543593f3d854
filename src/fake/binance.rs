//! Binance's words: REST answers and the ticker frames.
//!
//! Numbers are strings with eight places; the change is over rolling 24 hours
//! in percent; candles oldest first, minutes without a trade are flat rows.
//! Source: developers.binance.com, spot API, and payloads seen 2024 to 2026.

use super::figures::{DAY, Figures};
use super::json::{Object, array, text};
use super::query::Target;
use super::tape::Bar;
use super::units::{fixed, fixed8, ratio};
use super::view::{FakeResponse, View};
use super::world::Line;

/// Most candles of one answer.
pub const CANDLES_MAX: usize = 1000;

/// Candles of an answer whose request does not say.
const CANDLES_USUAL: usize = 500;

const VENUE: &str = "binance";
const MINUTE: i64 = 60_000;

/// Code and message of an error.
type Refusal = (i32, String);

/// Answers a request.
pub fn rest(view: &View<'_>, target: &Target) -> FakeResponse {
    let answer = match target.path.as_str() {
        "/api/v3/ping" => Ok("{}".to_owned()),
        "/api/v3/time" => Ok(Object::new().raw("serverTime", view.time(view.now)).end()),
        "/api/v3/exchangeInfo" => info(view, target),
        "/api/v3/ticker/24hr" => tickers(view, target),
        "/api/v3/ticker/price" => prices(view, target),
        "/api/v3/klines" => candles(view, target),
        _ => return FakeResponse { headers: Vec::new(), ..FakeResponse::json(404, "") },
    };
    match answer {
        Ok(body) => FakeResponse::json(200, body),
        Err((code, message)) => FakeResponse::json(400, Object::new().raw("code", code).text("msg", &message).end()),
    }
}

/// Returns what a request costs of the minute's 6,000.
pub fn weight(target: &Target) -> u32 {
    let symbols = target.get("symbols").map(|list| list.split(',').count());
    match (target.path.as_str(), target.get("symbol").is_some(), symbols) {
        ("/api/v3/exchangeInfo", ..) => 20,
        ("/api/v3/ticker/24hr", true, _) | ("/api/v3/ticker/24hr", _, Some(..=20)) => 2,
        ("/api/v3/ticker/24hr", _, Some(..=100)) => 40,
        ("/api/v3/ticker/24hr", ..) => 80,
        ("/api/v3/ticker/price", true, _) | ("/api/v3/klines", ..) => 2,
        ("/api/v3/ticker/price", ..) => 4,
        _ => 1,
    }
}

/// The markets asked for; and whether the answer is one object rather than a list.
fn wanted<'a>(view: &View<'a>, target: &Target) -> Result<(Vec<&'a Line>, bool), Refusal> {
    let find = |symbol: &str| view.world.by_symbol(VENUE, symbol).ok_or_else(|| (-1121, "Invalid symbol.".to_owned()));
    match (target.get("symbol"), target.get("symbols")) {
        (Some(_), Some(_)) => Err((-1128, "Combination of optional parameters invalid.".to_owned())),
        (Some(symbol), None) => Ok((vec![find(symbol)?], true)),
        (None, Some(list)) => {
            let list: Vec<String> = serde_json::from_str(list).map_err(|_| illegal("symbols"))?;
            Ok((list.iter().map(|symbol| find(symbol)).collect::<Result<_, _>>()?, false))
        }
        (None, None) => Ok((view.world.lines(VENUE).collect(), false)),
    }
}

fn illegal(parameter: &str) -> Refusal {
    (-1100, format!("Illegal characters found in parameter '{parameter}'; legal range is '^[0-9]{{1,20}}$'."))
}

fn shape(rows: Vec<String>, single: bool) -> String {
    match rows.first() {
        Some(row) if single => row.clone(),
        _ => array(rows),
    }
}

fn tickers(view: &View<'_>, target: &Target) -> Result<String, Refusal> {
    let (lines, single) = wanted(view, target)?;
    let mini = target.get("type") == Some("MINI");
    let rows = lines.into_iter().filter_map(|line| Figures::newest(view, line, 0));
    Ok(shape(rows.map(|figures| ticker(&figures, mini)).collect(), single))
}

fn ticker(figures: &Figures<'_>, mini: bool) -> String {
    let (trade, sum) = (figures.trade, figures.rolling);
    let change = trade.price - sum.open;
    let mut object = Object::new().text("symbol", &figures.line.symbol);
    if !mini {
        object = object
            .text("priceChange", &fixed8(change))
            .text("priceChangePercent", &percent(change, sum.open))
            .text("weightedAvgPrice", &average(figures))
            .text("prevClosePrice", &fixed8(figures.before));
    }
    object = object.text("lastPrice", &fixed8(trade.price));
    if !mini {
        object = object
            .text("lastQty", &fixed8(trade.volume))
            .text("bidPrice", &fixed8(trade.price))
            .text("bidQty", "1.25000000")
            .text("askPrice", &fixed8(trade.price + figures.line.tick()))
            .text("askQty", "1.50000000");
    }
    object
        .text("openPrice", &fixed8(sum.open))
        .text("highPrice", &fixed8(sum.high))
        .text("lowPrice", &fixed8(sum.low))
        .text("volume", &fixed(sum.volume, 8))
        .text("quoteVolume", &fixed(sum.value / 100_000_000, 8))
        .raw("openTime", figures.now - DAY)
        .raw("closeTime", figures.now)
        .raw("firstId", sum.first_id)
        .raw("lastId", sum.last_id)
        .raw("count", trades(&sum))
        .end()
}

fn trades(sum: &Bar) -> u64 {
    if sum.volume == 0 { 0 } else { sum.last_id - sum.first_id + 1 }
}

fn percent(change: i64, open: i64) -> String {
    fixed(ratio(change.into(), open.into(), 5), 3)
}

fn average(figures: &Figures<'_>) -> String {
    let sum = figures.rolling;
    let average = if sum.volume == 0 { figures.trade.price.into() } else { sum.value / sum.volume };
    fixed(average, 8)
}

fn prices(view: &View<'_>, target: &Target) -> Result<String, Refusal> {
    let (lines, single) = wanted(view, target)?;
    let row = |line: &Line| {
        let trade = view.bend(line, line.tape.last()?);
        Some(Object::new().text("symbol", &line.symbol).text("price", &fixed8(trade.price)).end())
    };
    Ok(shape(lines.into_iter().filter_map(row).collect(), single))
}

fn candles(view: &View<'_>, target: &Target) -> Result<String, Refusal> {
    let missing =
        |name: &str| (-1102, format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."));
    let symbol = target.get("symbol").ok_or_else(|| missing("symbol"))?;
    let line = view.world.by_symbol(VENUE, symbol).ok_or_else(|| (-1121, "Invalid symbol.".to_owned()))?;
    if target.get("interval").ok_or_else(|| missing("interval"))? != "1m" {
        return Err((-1120, "Invalid interval.".to_owned()));
    }
    let number = |name: &str| target.get(name).map(|value| value.parse::<i64>().map_err(|_| illegal(name))).transpose();
    let limit = number("limit")?.map_or(CANDLES_USUAL, |limit| usize::try_from(limit).unwrap_or(0));
    if limit == 0 {
        return Err((-1130, "Data sent for parameter 'limit' is not valid.".to_owned()));
    }
    let limit = limit.min(CANDLES_MAX);
    let (start, end) = (number("startTime")?, number("endTime")?);
    let newest = end.unwrap_or(view.now).min(view.now).div_euclid(MINUTE) * MINUTE;
    let first = line.tape.bars(i64::MIN, i64::MAX).next().map_or(i64::MAX, |bar| bar.start);
    let from = match start {
        Some(start) => start.saturating_add(MINUTE - 1).div_euclid(MINUTE).saturating_mul(MINUTE).max(first),
        None => first.max(newest - (i64::try_from(limit).unwrap_or(1) - 1) * MINUTE),
    };
    Ok(array(rows(view, line, from, newest, limit)))
}

/// Rows from `from` to `to`, both included; a minute without trades repeats the close before it.
fn rows(view: &View<'_>, line: &Line, from: i64, to: i64, limit: usize) -> Vec<String> {
    let mut bars = line.tape.bars(from, i64::MAX).copied().peekable();
    let mut close = line.tape.before(from).map(|trade| trade.price);
    let mut rows = Vec::new();
    let mut minute = from;
    while minute <= to && rows.len() < limit {
        let bar = bars.next_if(|bar| bar.start == minute);
        close = bar.map_or(close, |bar| Some(bar.close));
        if view.leaves_out(line, minute) {
            // Nothing at all.
        } else if let Some(bar) = bar {
            rows.push(row(minute, [bar.open, bar.high, bar.low, bar.close], &bar));
        } else if let Some(price) = close {
            rows.push(row(minute, [price; 4], &EMPTY));
        }
        minute += MINUTE;
    }
    rows
}

const EMPTY: Bar = Bar {
    start: 0,
    open: 0,
    high: 0,
    low: 0,
    close: 0,
    volume: 0,
    asks: 0,
    value: 0,
    last_at: 0,
    first_id: 0,
    last_id: 0,
};

fn row(minute: i64, prices: [i64; 4], bar: &Bar) -> String {
    let bids = bar.volume - bar.asks;
    let bid_value = if bar.volume == 0 { 0 } else { bar.value / 100_000_000 * bids / bar.volume };
    let mut cells = vec![minute.to_string()];
    cells.extend(prices.map(|price| text(&fixed8(price))));
    cells.push(text(&fixed(bar.volume, 8)));
    cells.push((minute + MINUTE - 1).to_string());
    cells.push(text(&fixed(bar.value / 100_000_000, 8)));
    cells.push(trades(bar).to_string());
    cells.extend([text(&fixed(bids, 8)), text(&fixed(bid_value, 8)), text("0")]);
    array(cells)
}

fn info(view: &View<'_>, target: &Target) -> Result<String, Refusal> {
    let (lines, _) = wanted(view, target)?;
    let symbols = array(lines.into_iter().map(|line| {
        let tick = fixed8(line.coin.usdt_tick);
        let filters = array([
            Object::new()
                .text("filterType", "PRICE_FILTER")
                .text("minPrice", &tick)
                .text("maxPrice", "1000000.00000000")
                .text("tickSize", &tick)
                .end(),
            Object::new()
                .text("filterType", "LOT_SIZE")
                .text("minQty", "0.00001000")
                .text("maxQty", "9000.00000000")
                .text("stepSize", "0.00001000")
                .end(),
        ]);
        Object::new()
            .text("symbol", &line.symbol)
            .text("status", if line.halted { "HALT" } else { "TRADING" })
            .text("baseAsset", line.symbol.strip_suffix("USDT").unwrap_or(line.coin.id))
            .raw("baseAssetPrecision", 8)
            .text("quoteAsset", "USDT")
            .raw("quotePrecision", 8)
            .raw("quoteAssetPrecision", 8)
            .raw("orderTypes", r#"["LIMIT","MARKET"]"#)
            .raw("isSpotTradingAllowed", "true")
            .raw("isMarginTradingAllowed", "false")
            .raw("filters", filters)
            .raw("permissions", "[]")
            .raw("permissionSets", r#"[["SPOT"]]"#)
            .end()
    }));
    let limit = r#"[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000}]"#;
    Ok(Object::new()
        .text("timezone", "UTC")
        .raw("serverTime", view.time(view.now))
        .raw("rateLimits", limit)
        .raw("exchangeFilters", "[]")
        .raw("symbols", symbols)
        .end())
}

/// Spells a `24hrTicker` event.
pub fn ticker_frame(figures: &Figures<'_>) -> String {
    let (trade, sum) = (figures.trade, figures.rolling);
    let change = trade.price - sum.open;
    Object::new()
        .text("e", "24hrTicker")
        .raw("E", figures.now)
        .text("s", &figures.line.symbol)
        .text("p", &fixed8(change))
        .text("P", &percent(change, sum.open))
        .text("w", &average(figures))
        .text("x", &fixed8(figures.before))
        .text("c", &fixed8(trade.price))
        .text("Q", &fixed8(trade.volume))
        .text("b", &fixed8(trade.price))
        .text("B", "1.25000000")
        .text("a", &fixed8(trade.price + figures.line.tick()))
        .text("A", "1.50000000")
        .text("o", &fixed8(sum.open))
        .text("h", &fixed8(sum.high))
        .text("l", &fixed8(sum.low))
        .text("v", &fixed(sum.volume, 8))
        .text("q", &fixed(sum.value / 100_000_000, 8))
        .raw("O", figures.now - DAY)
        .raw("C", figures.now)
        .raw("F", sum.first_id)
        .raw("L", sum.last_id)
        .raw("n", trades(&sum))
        .end()
}

/// Spells a `24hrMiniTicker` event.
pub fn mini_frame(figures: &Figures<'_>) -> String {
    let (trade, sum) = (figures.trade, figures.rolling);
    Object::new()
        .text("e", "24hrMiniTicker")
        .raw("E", figures.now)
        .text("s", &figures.line.symbol)
        .text("c", &fixed8(trade.price))
        .text("o", &fixed8(sum.open))
        .text("h", &fixed8(sum.high))
        .text("l", &fixed8(sum.low))
        .text("v", &fixed(sum.volume, 8))
        .text("q", &fixed(sum.value / 100_000_000, 8))
        .end()
}
