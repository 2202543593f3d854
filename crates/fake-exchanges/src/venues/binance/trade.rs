//! Binance: trades, oldest first. Each is also an aggregate trade of its own, with the same id.
//!
//! Source: developers.binance.com, spot REST and streams, `trades`, `aggTrades`.

use super::request::{BinanceError, integer_parameter, limit_parameter, requested_market};
use crate::fault_view::FaultView;
use crate::json::{Object, array};
use crate::query::RequestTarget;
use crate::simulated_market::SimulatedMarket;
use crate::trade_log::Trade;
use crate::units::{fixed, fixed8};

/// Maximum and default number of trades of a response.
const TRADES_MAX: usize = 1000;
const TRADES_DEFAULT: usize = 500;

/// Returns the response to `/api/v3/trades` and `/api/v3/historicalTrades`: the newest trades, or those from
/// `fromId`.
///
/// # Errors
/// If the symbol is missing or unknown, or another parameter is invalid.
pub fn trades(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, BinanceError> {
    let market = requested_market(view, target)?;
    let rows = select(market, target)?.into_iter();
    Ok(array(rows.map(|trade| {
        let trade = view.reported_trade(market, &trade);
        Object::new()
            .raw("id", trade.id)
            .text("price", &fixed8(trade.price))
            .text("qty", &fixed8(trade.base_volume))
            .text("quoteQty", &fixed(i128::from(trade.price) * i128::from(trade.base_volume) / 100_000_000, 8))
            .raw("time", trade.at)
            .raw("isBuyerMaker", trade.taker_sold)
            .raw("isBestMatch", "true")
            .end()
    })))
}

/// Returns the response to `/api/v3/aggTrades`.
///
/// # Errors
/// As [`trades`].
pub fn aggregate_trades(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, BinanceError> {
    let market = requested_market(view, target)?;
    let rows = select(market, target)?.into_iter();
    Ok(array(rows.map(|trade| {
        let trade = view.reported_trade(market, &trade);
        let object =
            Object::new().raw("a", trade.id).text("p", &fixed8(trade.price)).text("q", &fixed8(trade.base_volume));
        let object = object.raw("f", trade.id).raw("l", trade.id).raw("T", trade.at);
        object.raw("m", trade.taker_sold).raw("M", "true").end()
    })))
}

/// Returns the trades selected by `fromId`, or by `startTime` and `endTime` (both included), or else the newest.
fn select(market: &SimulatedMarket, target: &RequestTarget) -> Result<Vec<Trade>, BinanceError> {
    let limit = limit_parameter(target, TRADES_DEFAULT, TRADES_MAX)?;
    let (start, end) = (integer_parameter(target, "startTime")?, integer_parameter(target, "endTime")?);
    let from = integer_parameter(target, "fromId")?;
    if from.is_some() && (start.is_some() || end.is_some()) {
        return Err((-1128, "Combination of optional parameters invalid.".to_owned()));
    }
    if let Some(from) = from {
        let after = u64::try_from(from).unwrap_or(0).saturating_sub(1);
        return Ok(market.trade_log.after_id(after, usize::MAX).take(limit).copied().collect());
    }
    let until = market
        .trade_log
        .trades_since(start.unwrap_or(i64::MIN))
        .take_while(|trade| end.is_none_or(|end| trade.at <= end));
    if start.is_some() {
        return Ok(until.take(limit).copied().collect());
    }
    let all: Vec<Trade> = until.copied().collect();
    Ok(all[all.len().saturating_sub(limit)..].to_vec())
}

/// Encodes a `trade` event.
pub fn frame(view: &FaultView<'_>, market: &SimulatedMarket, trade: &Trade) -> String {
    event(view, market, trade, "trade", "t")
        .raw("T", view.reported_time(trade.at))
        .raw("m", trade.taker_sold)
        .raw("M", "true")
        .end()
}

/// Encodes an `aggTrade` event.
pub fn aggregate_frame(view: &FaultView<'_>, market: &SimulatedMarket, trade: &Trade) -> String {
    let event = event(view, market, trade, "aggTrade", "a").raw("f", trade.id).raw("l", trade.id);
    event.raw("T", view.reported_time(trade.at)).raw("m", trade.taker_sold).raw("M", "true").end()
}

fn event(view: &FaultView<'_>, market: &SimulatedMarket, trade: &Trade, name: &str, id: &str) -> Object {
    let reported = view.reported_trade(market, trade);
    Object::new()
        .text("e", name)
        .raw("E", view.reported_time(view.now))
        .text("s", &market.symbol)
        .raw(id, trade.id)
        .text("p", &fixed8(reported.price))
        .text("q", &fixed8(reported.base_volume))
}
