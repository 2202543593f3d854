//! Binance: REST dispatch, market list, tickers and ticker frames. Candles, trades, books and windows have their
//! own files.
//!
//! Numbers are strings with eight decimal places; the change is over rolling 24 hours, in percent; candles come
//! oldest first, and minutes without trades are flat rows. Source: developers.binance.com, spot API, and payloads
//! observed from 2024 to 2026.

use super::book::Book;
use super::fault_view::{FakeResponse, FaultView};
use super::json::{Object, array};
use super::query::RequestTarget;
use super::simulated_market::SimulatedMarket;
use super::ticker_figures::{DAY, TickerFigures};
use super::trade_log::Ohlcv;
use super::units::{fixed, fixed8, ratio};
use super::{binance_depth as depth, binance_kline as kline, binance_trade as trade, binance_window as window};

const VENUE: &str = "binance";

/// An API error: code and message.
pub type BinanceError = (i32, String);

/// Returns the response to a REST request.
pub fn rest(view: &FaultView<'_>, target: &RequestTarget) -> FakeResponse {
    let answer = match target.path.as_str() {
        "/api/v3/ping" => Ok("{}".to_owned()),
        "/api/v3/time" => Ok(Object::new().raw("serverTime", view.reported_time(view.now)).end()),
        "/api/v3/exchangeInfo" => info(view, target),
        "/api/v3/ticker/24hr" => tickers(view, target),
        "/api/v3/ticker/price" => prices(view, target),
        "/api/v3/ticker" => window::tickers(view, target),
        "/api/v3/ticker/tradingDay" => window::trading_days(view, target),
        "/api/v3/ticker/bookTicker" => depth::book_tickers(view, target),
        "/api/v3/avgPrice" => depth::average_price(view, target),
        "/api/v3/depth" => depth::depth(view, target),
        "/api/v3/trades" | "/api/v3/historicalTrades" => trade::trades(view, target),
        "/api/v3/aggTrades" => trade::aggregate_trades(view, target),
        // At Binance the two differ for chart drawing only; here they are equal.
        "/api/v3/klines" | "/api/v3/uiKlines" => kline::klines(view, target),
        _ => return FakeResponse { headers: Vec::new(), ..FakeResponse::json(404, "") },
    };
    match answer {
        Ok(body) => FakeResponse::json(200, body),
        Err((code, message)) => FakeResponse::json(400, Object::new().raw("code", code).text("msg", &message).end()),
    }
}

/// Returns the weight of a request, out of 6,000 per minute.
pub fn request_weight(target: &RequestTarget) -> u32 {
    let symbols = target.get("symbols").map(|list| list.split(',').count());
    let single = target.get("symbol").is_some();
    match (target.path.as_str(), symbols) {
        ("/api/v3/exchangeInfo", _) => 20,
        ("/api/v3/ticker/24hr", _) if single => 2,
        ("/api/v3/ticker/24hr", Some(..=20)) => 2,
        ("/api/v3/ticker/24hr", Some(..=100)) => 40,
        ("/api/v3/ticker/24hr", _) => 80,
        // 4 per symbol, at most as for 50 symbols.
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
        |symbol: &str| view.simulation.by_symbol(VENUE, symbol).ok_or_else(|| (-1121, "Invalid symbol.".to_owned()));
    match (target.get("symbol"), target.get("symbols")) {
        (Some(_), Some(_)) => Err((-1128, "Combination of optional parameters invalid.".to_owned())),
        (Some(symbol), None) => Ok((vec![find(symbol)?], true)),
        (None, Some(list)) => {
            let list: Vec<String> = serde_json::from_str(list).map_err(|_| illegal("symbols"))?;
            Ok((list.iter().map(|symbol| find(symbol)).collect::<Result<_, _>>()?, false))
        }
        (None, None) => Ok((view.simulation.markets_of(VENUE).collect(), false)),
    }
}

/// Returns the market of the mandatory parameter `symbol`.
///
/// # Errors
/// If the parameter is missing or the symbol is not listed.
pub fn requested_market<'a>(view: &FaultView<'a>, target: &RequestTarget) -> Result<&'a SimulatedMarket, BinanceError> {
    let symbol = target.get("symbol").ok_or_else(|| missing_parameter("symbol"))?;
    view.simulation.by_symbol(VENUE, symbol).ok_or_else(|| (-1121, "Invalid symbol.".to_owned()))
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

fn tickers(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, BinanceError> {
    let (markets, single) = requested_markets(view, target)?;
    let mini = target.get("type") == Some("MINI");
    let rows = markets.into_iter().filter_map(|market| TickerFigures::latest(view, market, 0));
    Ok(encode_rows(rows.map(|figures| ticker(&figures, mini)).collect(), single))
}

fn ticker(figures: &TickerFigures<'_>, mini: bool) -> String {
    let (trade, sums) = (figures.trade, figures.rolling);
    let change = trade.price - sums.open;
    let mut object = Object::new().text("symbol", &figures.market.symbol);
    if !mini {
        object = object
            .text("priceChange", &fixed8(change))
            .text("priceChangePercent", &format_percent(change, sums.open))
            .text("weightedAvgPrice", &format_average(&sums, trade.price))
            .text("prevClosePrice", &fixed8(figures.price_24h_ago));
    }
    object = object.text("lastPrice", &fixed8(trade.price));
    if !mini {
        let book = Book::after_trade(figures.market, &trade, 1);
        object = object
            .text("lastQty", &fixed8(trade.base_volume))
            .text("bidPrice", &fixed8(book.bid().0))
            .text("bidQty", &fixed8(book.bid().1))
            .text("askPrice", &fixed8(book.ask().0))
            .text("askQty", &fixed8(book.ask().1));
    }
    object
        .text("openPrice", &fixed8(sums.open))
        .text("highPrice", &fixed8(sums.high))
        .text("lowPrice", &fixed8(sums.low))
        .text("volume", &fixed(sums.base_volume, 8))
        .text("quoteVolume", &fixed(sums.quote_volume / 100_000_000, 8))
        .raw("openTime", figures.now - DAY)
        .raw("closeTime", figures.now)
        .raw("firstId", sums.first_id)
        .raw("lastId", sums.last_id)
        .raw("count", trade_count(&sums))
        .end()
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

fn prices(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, BinanceError> {
    let (markets, single) = requested_markets(view, target)?;
    let row = |market: &SimulatedMarket| {
        let trade = view.reported_trade(market, market.trade_log.last()?);
        Some(Object::new().text("symbol", &market.symbol).text("price", &fixed8(trade.price)).end())
    };
    Ok(encode_rows(markets.into_iter().filter_map(row).collect(), single))
}

fn info(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, BinanceError> {
    let (markets, _) = requested_markets(view, target)?;
    let symbols = array(markets.into_iter().map(|market| {
        let tick = fixed8(market.asset.usdt_tick_size);
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
            .text("symbol", &market.symbol)
            .text("status", if market.halted { "HALT" } else { "TRADING" })
            .text("baseAsset", market.symbol.strip_suffix("USDT").unwrap_or(market.asset.id))
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
        .raw("serverTime", view.reported_time(view.now))
        .raw("rateLimits", limit)
        .raw("exchangeFilters", "[]")
        .raw("symbols", symbols)
        .end())
}

/// Encodes a `24hrTicker` event.
pub fn ticker_frame(figures: &TickerFigures<'_>) -> String {
    let (trade, sums) = (figures.trade, figures.rolling);
    let change = trade.price - sums.open;
    let book = Book::after_trade(figures.market, &trade, 1);
    Object::new()
        .text("e", "24hrTicker")
        .raw("E", figures.now)
        .text("s", &figures.market.symbol)
        .text("p", &fixed8(change))
        .text("P", &format_percent(change, sums.open))
        .text("w", &format_average(&sums, trade.price))
        .text("x", &fixed8(figures.price_24h_ago))
        .text("c", &fixed8(trade.price))
        .text("Q", &fixed8(trade.base_volume))
        .text("b", &fixed8(book.bid().0))
        .text("B", &fixed8(book.bid().1))
        .text("a", &fixed8(book.ask().0))
        .text("A", &fixed8(book.ask().1))
        .text("o", &fixed8(sums.open))
        .text("h", &fixed8(sums.high))
        .text("l", &fixed8(sums.low))
        .text("v", &fixed(sums.base_volume, 8))
        .text("q", &fixed(sums.quote_volume / 100_000_000, 8))
        .raw("O", figures.now - DAY)
        .raw("C", figures.now)
        .raw("F", sums.first_id)
        .raw("L", sums.last_id)
        .raw("n", trade_count(&sums))
        .end()
}

/// Encodes a `24hrMiniTicker` event.
pub fn mini_ticker_frame(figures: &TickerFigures<'_>) -> String {
    let (trade, sums) = (figures.trade, figures.rolling);
    Object::new()
        .text("e", "24hrMiniTicker")
        .raw("E", figures.now)
        .text("s", &figures.market.symbol)
        .text("c", &fixed8(trade.price))
        .text("o", &fixed8(sums.open))
        .text("h", &fixed8(sums.high))
        .text("l", &fixed8(sums.low))
        .text("v", &fixed(sums.base_volume, 8))
        .text("q", &fixed(sums.quote_volume / 100_000_000, 8))
        .end()
}
