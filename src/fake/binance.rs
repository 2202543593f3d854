//! Binance's words: REST answers and the ticker frames; what is about candles, trades, books and windows has its own file.
//!
//! Numbers are strings with eight places; the change is over rolling 24 hours
//! in percent; candles oldest first, minutes without a trade are flat rows.
//! Source: developers.binance.com, spot API, and payloads seen 2024 to 2026.

use super::book::Book;
use super::figures::{DAY, Figures};
use super::json::{Object, array};
use super::query::Target;
use super::tape::Bar;
use super::units::{fixed, fixed8, ratio};
use super::view::{FakeResponse, View};
use super::world::Line;
use super::{binance_depth as depth, binance_kline as kline, binance_trade as trade, binance_window as window};

const VENUE: &str = "binance";

/// Code and message of an error.
pub type Refusal = (i32, String);

/// Answers a request.
pub fn rest(view: &View<'_>, target: &Target) -> FakeResponse {
    let answer = match target.path.as_str() {
        "/api/v3/ping" => Ok("{}".to_owned()),
        "/api/v3/time" => Ok(Object::new().raw("serverTime", view.time(view.now)).end()),
        "/api/v3/exchangeInfo" => info(view, target),
        "/api/v3/ticker/24hr" => tickers(view, target),
        "/api/v3/ticker/price" => prices(view, target),
        "/api/v3/ticker" => window::tickers(view, target),
        "/api/v3/ticker/tradingDay" => window::days(view, target),
        "/api/v3/ticker/bookTicker" => depth::book_tickers(view, target),
        "/api/v3/avgPrice" => depth::average_price(view, target),
        "/api/v3/depth" => depth::depth(view, target),
        "/api/v3/trades" | "/api/v3/historicalTrades" => trade::trades(view, target),
        "/api/v3/aggTrades" => trade::aggregated(view, target),
        // They differ in how a chart would draw them, not in their figures.
        "/api/v3/klines" | "/api/v3/uiKlines" => kline::klines(view, target),
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
    let single = target.get("symbol").is_some();
    match (target.path.as_str(), symbols) {
        ("/api/v3/exchangeInfo", _) => 20,
        ("/api/v3/ticker/24hr", _) if single => 2,
        ("/api/v3/ticker/24hr", Some(..=20)) => 2,
        ("/api/v3/ticker/24hr", Some(..=100)) => 40,
        ("/api/v3/ticker/24hr", _) => 80,
        // Four for each symbol, and no more than for fifty.
        ("/api/v3/ticker" | "/api/v3/ticker/tradingDay", symbols) => {
            4 * u32::try_from(symbols.unwrap_or(1).min(50)).unwrap_or(50)
        }
        ("/api/v3/ticker/price" | "/api/v3/ticker/bookTicker", _) => {
            if single {
                2
            } else {
                4
            }
        }
        ("/api/v3/klines" | "/api/v3/uiKlines" | "/api/v3/avgPrice", _) => 2,
        ("/api/v3/trades" | "/api/v3/historicalTrades", _) => 25,
        ("/api/v3/aggTrades", _) => 4,
        ("/api/v3/depth", _) => match target.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(100) {
            0..=100_u32 => 5,
            101..=500 => 25,
            501..=1000 => 50,
            _ => 250,
        },
        _ => 1,
    }
}

/// Returns the markets asked for; and whether the answer is one object rather than a list.
pub fn wanted<'a>(view: &View<'a>, target: &Target) -> Result<(Vec<&'a Line>, bool), Refusal> {
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

/// Returns the one market that must be asked for.
///
/// # Errors
/// If there is none, or it is not listed.
pub fn one<'a>(view: &View<'a>, target: &Target) -> Result<&'a Line, Refusal> {
    let symbol = target.get("symbol").ok_or_else(|| missing("symbol"))?;
    view.world.by_symbol(VENUE, symbol).ok_or_else(|| (-1121, "Invalid symbol.".to_owned()))
}

/// Reads a whole number, if it is there.
///
/// # Errors
/// If it is none.
pub fn number(target: &Target, name: &str) -> Result<Option<i64>, Refusal> {
    target.get(name).map(|value| value.parse::<i64>().map_err(|_| illegal(name))).transpose()
}

/// Reads `limit`; more than `most` is as much as `most`.
///
/// # Errors
/// If it is not a number above zero.
pub fn limit(target: &Target, usual: usize, most: usize) -> Result<usize, Refusal> {
    let limit = number(target, "limit")?.map_or(usual, |limit| usize::try_from(limit).unwrap_or(0));
    if limit == 0 {
        return Err((-1130, "Data sent for parameter 'limit' is not valid.".to_owned()));
    }
    Ok(limit.min(most))
}

/// Refuses a request that lacks a parameter.
pub fn missing(name: &str) -> Refusal {
    (-1102, format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."))
}

fn illegal(parameter: &str) -> Refusal {
    (-1100, format!("Illegal characters found in parameter '{parameter}'; legal range is '^[0-9]{{1,20}}$'."))
}

/// Joins rows to a list, or to the one object that was asked for.
pub fn shape(rows: Vec<String>, single: bool) -> String {
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
            .text("weightedAvgPrice", &average(&sum, trade.price))
            .text("prevClosePrice", &fixed8(figures.before));
    }
    object = object.text("lastPrice", &fixed8(trade.price));
    if !mini {
        let book = Book::of(figures.line, &trade, 1);
        object = object
            .text("lastQty", &fixed8(trade.volume))
            .text("bidPrice", &fixed8(book.bid().0))
            .text("bidQty", &fixed8(book.bid().1))
            .text("askPrice", &fixed8(book.ask().0))
            .text("askQty", &fixed8(book.ask().1));
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

/// Returns how many trades a stretch has.
pub fn trades(sum: &Bar) -> u64 {
    if sum.volume == 0 { 0 } else { sum.last_id - sum.first_id + 1 }
}

/// Spells a change in percent of a price.
pub fn percent(change: i64, open: i64) -> String {
    fixed(ratio(change.into(), open.into(), 5), 3)
}

/// Spells the average price of a stretch, weighted by volume; the last price if nothing was traded.
pub fn average(sum: &Bar, last: i64) -> String {
    fixed(if sum.volume == 0 { last.into() } else { sum.value / sum.volume }, 8)
}

fn prices(view: &View<'_>, target: &Target) -> Result<String, Refusal> {
    let (lines, single) = wanted(view, target)?;
    let row = |line: &Line| {
        let trade = view.bend(line, line.tape.last()?);
        Some(Object::new().text("symbol", &line.symbol).text("price", &fixed8(trade.price)).end())
    };
    Ok(shape(lines.into_iter().filter_map(row).collect(), single))
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
            Object::new()
                .text("filterType", "NOTIONAL")
                .text("minNotional", "5.00000000")
                .raw("applyMinToMarket", "true")
                .text("maxNotional", "9000000.00000000")
                .raw("applyMaxToMarket", "false")
                .raw("avgPriceMins", 5)
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
            .raw("baseCommissionPrecision", 8)
            .raw("quoteCommissionPrecision", 8)
            .raw("orderTypes", r#"["LIMIT","LIMIT_MAKER","MARKET"]"#)
            .raw("icebergAllowed", "true")
            .raw("ocoAllowed", "true")
            .raw("quoteOrderQtyMarketAllowed", "true")
            .raw("allowTrailingStop", "true")
            .raw("cancelReplaceAllowed", "true")
            .raw("isSpotTradingAllowed", "true")
            .raw("isMarginTradingAllowed", "false")
            .raw("filters", filters)
            .raw("permissions", "[]")
            .raw("permissionSets", r#"[["SPOT"]]"#)
            .text("defaultSelfTradePreventionMode", "EXPIRE_MAKER")
            .raw("allowedSelfTradePreventionModes", r#"["EXPIRE_TAKER","EXPIRE_MAKER","EXPIRE_BOTH"]"#)
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
    let book = Book::of(figures.line, &trade, 1);
    Object::new()
        .text("e", "24hrTicker")
        .raw("E", figures.now)
        .text("s", &figures.line.symbol)
        .text("p", &fixed8(change))
        .text("P", &percent(change, sum.open))
        .text("w", &average(&sum, trade.price))
        .text("x", &fixed8(figures.before))
        .text("c", &fixed8(trade.price))
        .text("Q", &fixed8(trade.volume))
        .text("b", &fixed8(book.bid().0))
        .text("B", &fixed8(book.bid().1))
        .text("a", &fixed8(book.ask().0))
        .text("A", &fixed8(book.ask().1))
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
