//! Binance: order books and average prices. The update id of a book is the id of the trade that it follows.
//!
//! Source: developers.binance.com, spot REST and streams, `depth`, `bookTicker`, `avgPrice`.

use std::collections::BTreeSet;

use super::request::{BinanceError, encode_rows, format_average, limit_parameter, requested_market, requested_markets};
use crate::book::{Book, LEVELS_MAX, Level};
use crate::fault_view::FaultView;
use crate::json::{Object, array, json_string};
use crate::query::RequestTarget;
use crate::simulated_market::SimulatedMarket;
use crate::ticker_figures::window_ohlcv;
use crate::trade_log::Trade;
use crate::units::fixed8;

/// Default and documented maximum of the levels of a response; books here have at most [`LEVELS_MAX`].
const DEPTH_DEFAULT: usize = 100;
const DEPTH_MAX: usize = 5000;

/// Maximum number of books considered for one event; only after a pause are there more trades between two events.
const BOOKS_MAX: usize = 200;

/// Window of the average price, in minutes.
const AVERAGE_MINUTES: i64 = 5;

/// Returns the response to `/api/v3/depth`.
///
/// # Errors
/// If the symbol is missing or unknown, or the limit is invalid.
pub fn depth(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, BinanceError> {
    let market = requested_market(view, target)?;
    let levels = limit_parameter(target, DEPTH_DEFAULT, DEPTH_MAX)?;
    Ok(market.trade_log.last().map_or_else(|| "{}".to_owned(), |trade| partial_frame(view, market, trade, levels)))
}

/// Encodes a partial book: the response to `/api/v3/depth`, and the event of `<symbol>@depth5`, `10` and `20`.
pub fn partial_frame(view: &FaultView<'_>, market: &SimulatedMarket, trade: &Trade, levels: usize) -> String {
    let book = Book::after_trade(market, &view.reported_trade(market, trade), levels);
    let object = Object::new().raw("lastUpdateId", book.trade_id);
    object.raw("bids", rows(&book.bids)).raw("asks", rows(&book.asks)).end()
}

/// Returns the response to `/api/v3/ticker/bookTicker`.
///
/// # Errors
/// As [`requested_markets`].
pub fn book_tickers(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, BinanceError> {
    let (markets, single) = requested_markets(view, target)?;
    let row = |market: &SimulatedMarket| {
        let book = Book::after_trade(market, &view.reported_trade(market, market.trade_log.last()?), 1);
        let object = Object::new().text("symbol", &market.symbol);
        Some(best(object, &book, ["bidPrice", "bidQty", "askPrice", "askQty"]).end())
    };
    Ok(encode_rows(markets.into_iter().filter_map(row).collect(), single))
}

/// Encodes the event of `<symbol>@bookTicker`, which has neither a name nor a time.
pub fn book_ticker_frame(view: &FaultView<'_>, market: &SimulatedMarket, trade: &Trade) -> String {
    let book = Book::after_trade(market, &view.reported_trade(market, trade), 1);
    best(Object::new().raw("u", book.trade_id).text("s", &market.symbol), &book, ["b", "B", "a", "A"]).end()
}

fn best(object: Object, book: &Book, names: [&str; 4]) -> Object {
    let cells = [book.bid().0, book.bid().1, book.ask().0, book.ask().1];
    names.into_iter().zip(cells).fold(object, |object, (name, units)| object.text(name, &fixed8(units)))
}

/// Returns the response to `/api/v3/avgPrice`.
///
/// # Errors
/// As [`requested_market`].
pub fn average_price(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, BinanceError> {
    let (price, at) = averaged(view, requested_market(view, target)?);
    Ok(Object::new().raw("mins", AVERAGE_MINUTES).text("price", &price).raw("closeTime", at).end())
}

/// Encodes an `avgPrice` event.
pub fn average_frame(view: &FaultView<'_>, market: &SimulatedMarket) -> String {
    let (price, at) = averaged(view, market);
    let event = Object::new().text("e", "avgPrice").raw("E", view.reported_time(view.now)).text("s", &market.symbol);
    event.text("i", &format!("{AVERAGE_MINUTES}m")).text("w", &price).raw("T", at).end()
}

/// Returns the average price and the time of the last trade.
fn averaged(view: &FaultView<'_>, market: &SimulatedMarket) -> (String, i64) {
    let last = market.trade_log.last().map_or((0, view.now), |trade| (trade.price, trade.at));
    let (_, sums) = window_ohlcv(market, view.now - AVERAGE_MINUTES * 60_000, last.0);
    (format_average(&sums, last.0), view.reported_time(last.1))
}

/// What was sent to a client of `<symbol>@depth`.
#[derive(Debug, Clone, Default)]
pub struct SentLevels {
    /// The newest update id sent.
    id: u64,
    /// Prices of levels that the client's local book may contain.
    bids: BTreeSet<i64>,
    asks: BTreeSet<i64>,
}

/// Encodes a `depthUpdate` event: every level of the current book, and size 0 for all other levels that the
/// client's local book may contain.
///
/// The client may have fetched the book of any trade since the last event over REST, so the levels of all of them
/// count.
pub fn diff_frame(view: &FaultView<'_>, market: &SimulatedMarket, last: &Trade, sent: &mut SentLevels) -> String {
    let last_sent = if sent.id == 0 { last.id - 1 } else { sent.id };
    for trade in market.trade_log.after_id(last_sent, BOOKS_MAX) {
        let book = Book::after_trade(market, &view.reported_trade(market, trade), LEVELS_MAX);
        sent.bids.extend(book.bids.iter().map(|(price, _)| *price));
        sent.asks.extend(book.asks.iter().map(|(price, _)| *price));
    }
    let book = Book::after_trade(market, &view.reported_trade(market, last), LEVELS_MAX);
    sent.id = last.id;
    let bids = update(&book.bids, &mut sent.bids);
    let asks = update(&book.asks, &mut sent.asks);
    let event = Object::new().text("e", "depthUpdate").raw("E", view.reported_time(view.now)).text("s", &market.symbol);
    event.raw("U", last_sent + 1).raw("u", last.id).raw("b", bids).raw("a", asks).end()
}

fn update(side: &[Level], held: &mut BTreeSet<i64>) -> String {
    for (price, _) in side {
        held.remove(price);
    }
    let gone = std::mem::take(held).into_iter().map(|price| (price, 0));
    let levels: Vec<Level> = side.iter().copied().chain(gone).collect();
    held.extend(side.iter().map(|(price, _)| *price));
    rows(&levels)
}

fn rows(side: &[Level]) -> String {
    array(side.iter().map(|(price, size)| array([json_string(&fixed8(*price)), json_string(&fixed8(*size))])))
}
