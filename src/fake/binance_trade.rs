//! Binance's trades: oldest first; each is also an aggregate of one, with the same number.
//!
//! Source: developers.binance.com, spot REST and streams, `trades`, `aggTrades`.

use super::binance::{Refusal, limit, number, one};
use super::json::{Object, array};
use super::query::Target;
use super::tape::Trade;
use super::units::{fixed, fixed8};
use super::view::View;
use super::world::Line;

/// Most trades of one answer, and how many if the request does not say.
const TRADES_MAX: usize = 1000;
const TRADES_USUAL: usize = 500;

/// Answers `/api/v3/trades` and `/api/v3/historicalTrades`: the newest, or those from `fromId` on.
///
/// # Errors
/// For a symbol, limit or id that is not there or makes no sense.
pub fn trades(view: &View<'_>, target: &Target) -> Result<String, Refusal> {
    let line = one(view, target)?;
    let rows = found(line, target)?.into_iter();
    Ok(array(rows.map(|trade| {
        let trade = view.bend(line, &trade);
        Object::new()
            .raw("id", trade.id)
            .text("price", &fixed8(trade.price))
            .text("qty", &fixed8(trade.volume))
            .text("quoteQty", &fixed(i128::from(trade.price) * i128::from(trade.volume) / 100_000_000, 8))
            .raw("time", trade.at)
            .raw("isBuyerMaker", trade.ask)
            .raw("isBestMatch", "true")
            .end()
    })))
}

/// Answers `/api/v3/aggTrades`.
///
/// # Errors
/// As [`trades`].
pub fn aggregated(view: &View<'_>, target: &Target) -> Result<String, Refusal> {
    let line = one(view, target)?;
    let rows = found(line, target)?.into_iter();
    Ok(array(rows.map(|trade| {
        let trade = view.bend(line, &trade);
        let object = Object::new().raw("a", trade.id).text("p", &fixed8(trade.price)).text("q", &fixed8(trade.volume));
        let object = object.raw("f", trade.id).raw("l", trade.id).raw("T", trade.at);
        object.raw("m", trade.ask).raw("M", "true").end()
    })))
}

/// The trades by `fromId`, or by `startTime` and `endTime` (both included), or the newest.
fn found(line: &Line, target: &Target) -> Result<Vec<Trade>, Refusal> {
    let limit = limit(target, TRADES_USUAL, TRADES_MAX)?;
    let (start, end) = (number(target, "startTime")?, number(target, "endTime")?);
    let from = number(target, "fromId")?;
    if from.is_some() && (start.is_some() || end.is_some()) {
        return Err((-1128, "Combination of optional parameters invalid.".to_owned()));
    }
    if let Some(from) = from {
        let after = u64::try_from(from).unwrap_or(0).saturating_sub(1);
        return Ok(line.tape.after_id(after, usize::MAX).take(limit).copied().collect());
    }
    let until = line.tape.from(start.unwrap_or(i64::MIN)).take_while(|trade| end.is_none_or(|end| trade.at <= end));
    if start.is_some() {
        return Ok(until.take(limit).copied().collect());
    }
    let all: Vec<Trade> = until.copied().collect();
    Ok(all[all.len().saturating_sub(limit)..].to_vec())
}

/// Spells a `trade` event.
pub fn frame(view: &View<'_>, line: &Line, trade: &Trade) -> String {
    event(view, line, trade, "trade", "t").raw("T", view.time(trade.at)).raw("m", trade.ask).raw("M", "true").end()
}

/// Spells an `aggTrade` event.
pub fn aggregate_frame(view: &View<'_>, line: &Line, trade: &Trade) -> String {
    let event = event(view, line, trade, "aggTrade", "a").raw("f", trade.id).raw("l", trade.id);
    event.raw("T", view.time(trade.at)).raw("m", trade.ask).raw("M", "true").end()
}

fn event(view: &View<'_>, line: &Line, trade: &Trade, name: &str, id: &str) -> Object {
    let bent = view.bend(line, trade);
    Object::new()
        .text("e", name)
        .raw("E", view.time(view.now))
        .text("s", &line.symbol)
        .raw(id, trade.id)
        .text("p", &fixed8(bent.price))
        .text("q", &fixed8(bent.volume))
}
