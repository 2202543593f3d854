//! The Upbit family: order books, and Upbit's tick sizes.
//!
//! Source: docs.upbit.com/kr/reference (list-orderbooks, list-orderbook-instruments, websocket-orderbook),
//! apidocs.bithumb.com (호가), payloads of 2026-07 and 2026-09.

use super::UpbitFamily;
use super::request::{UpbitError, requested_markets};
use crate::book::{Book, LEVELS_MAX, Level};
use crate::fault_view::FaultView;
use crate::json::{Object, array, json_string};
use crate::query::RequestTarget;
use crate::simulated_market::{SimulatedMarket, Simulation};
use crate::trade_log::Trade;
use crate::units::{fixed, plain, plain8};

/// Default and maximum number of levels of a book.
pub const UNITS_MAX: usize = 30;

/// Numbers of levels that a code of the stream, such as `KRW-BTC.15`, may select.
pub const STREAM_LEVELS: [usize; 4] = [1, 5, 15, 30];

/// Maximum number of grouping steps of a market, each ten times the one before.
const GROUPING_STEPS_MAX: usize = 5;

/// Returns the response to `/v1/orderbook`; it omits markets that don't support the grouping step, as documented.
///
/// # Errors
/// If the markets are missing or unknown, or the count or level is invalid.
pub fn orderbooks(view: &FaultView<'_>, venue: &UpbitFamily, target: &RequestTarget) -> Result<String, UpbitError> {
    let count = target
        .get("count")
        .map(|count| count.parse::<usize>().map_err(|_| UpbitError::InvalidParameter))
        .transpose()?;
    let level = target
        .get("level")
        .map(|level| parse_units(level).ok_or(UpbitError::InvalidParameter))
        .transpose()?
        .unwrap_or(0);
    let markets = requested_markets(view.simulation, venue.id, target)?.into_iter();
    let markets = markets.filter(|market| !venue.groups_books || grouping_steps(market).contains(&level));
    let count = count.unwrap_or(UNITS_MAX).clamp(1, UNITS_MAX);
    Ok(array(markets.filter_map(|market| {
        let book = grouped(view, market, market.trade_log.last()?, venue, level, count);
        let object = Object::new().text("market", &market.symbol).raw("timestamp", view.reported_time(view.now));
        let object = sizes(object, ["total_ask_size", "total_bid_size"], &book, |size| plain(size, 8));
        let price = |units| (venue.format_price)(units);
        let object = object.raw("orderbook_units", rows(&book, LONG, price, plain8));
        Some(if venue.groups_books { object.raw("level", plain8(level)).end() } else { object.end() })
    })))
}

/// Returns the response to `/v1/orderbook/instruments`.
///
/// # Errors
/// As [`requested_markets`].
pub fn instruments(simulation: &Simulation, venue: &UpbitFamily, target: &RequestTarget) -> Result<String, UpbitError> {
    Ok(array(requested_markets(simulation, venue.id, target)?.into_iter().map(|market| {
        Object::new()
            .text("market", &market.symbol)
            .text("quote_currency", "KRW")
            .text("tick_size", &plain8(market.tick_size()))
            .raw("supported_levels", array(grouping_steps(market).into_iter().map(|level| json_string(&plain8(level)))))
            .end()
    })))
}

/// Returns the response to `/v1/orderbook/supported_levels`, the older endpoint.
///
/// # Errors
/// As [`requested_markets`].
pub fn supported_levels(
    simulation: &Simulation,
    venue: &UpbitFamily,
    target: &RequestTarget,
) -> Result<String, UpbitError> {
    Ok(array(requested_markets(simulation, venue.id, target)?.into_iter().map(|market| {
        let levels = array(grouping_steps(market).into_iter().map(plain8));
        Object::new().text("market", &market.symbol).raw("supported_levels", levels).end()
    })))
}

/// Returns the steps that a book can be grouped by: 0, and those of 1, 10, 100… above the tick size and below the
/// price.
pub fn grouping_steps(market: &SimulatedMarket) -> Vec<i64> {
    let price = market.trade_log.last().map_or(0, |trade| trade.price);
    let tens = std::iter::successors(Some(1_i64), |ten| ten.checked_mul(10));
    let tens =
        tens.skip_while(|ten| *ten <= market.tick_size()).take_while(|ten| *ten < price).take(GROUPING_STEPS_MAX);
    std::iter::once(0).chain(tens).collect()
}

/// Parses an amount in KRW, such as `10000` or `0.1`, to units.
fn parse_units(text: &str) -> Option<i64> {
    crate::units::from_decimal(text.parse().ok()?)
}

fn grouped(
    view: &FaultView<'_>,
    market: &SimulatedMarket,
    trade: &Trade,
    venue: &UpbitFamily,
    level: i64,
    count: usize,
) -> Book {
    let step = if venue.groups_books { level } else { 0 };
    let raw = if step > 0 { LEVELS_MAX } else { count };
    let mut book = Book::after_trade(market, &view.reported_trade(market, trade), raw).grouped(step);
    book.bids.truncate(count);
    book.asks.truncate(count);
    book
}

/// The shape of a book that a stream sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookShape {
    /// Step that levels are grouped by, in units; 0 for none.
    pub level: i64,
    /// Number of levels per side.
    pub count: usize,
}

/// Encodes a frame, with short names if `simple`; returns `None` if the grouping step is not supported.
pub fn frame(
    view: &FaultView<'_>,
    venue: &UpbitFamily,
    (market, trade): (&SimulatedMarket, &Trade),
    shape: BookShape,
    simple: bool,
    stream: &str,
) -> Option<String> {
    if venue.groups_books && !grouping_steps(market).contains(&shape.level) {
        return None;
    }
    let book = grouped(view, market, trade, venue, shape.level, shape.count);
    let price = |units| if simple { plain8(units) } else { (venue.format_stream_price)(units) };
    let padded = venue.pads_sizes && !simple;
    let size = |size: i128| if padded { fixed(size, 8) } else { plain(size, 8) };
    let name = |long: &'static str, short: &'static str| if simple { short } else { long };
    let now = view.reported_time(view.now) * venue.book_time_factor;
    let object = Object::new()
        .text(name("type", "ty"), "orderbook")
        .text(name("code", "cd"), &market.symbol)
        .raw(name("timestamp", "tms"), now);
    let totals = [name("total_ask_size", "tas"), name("total_bid_size", "tbs")];
    let object = sizes(object, totals, &book, size);
    let level = if venue.groups_books { plain8(shape.level) } else { "1".to_owned() };
    let names = if simple { SHORT } else { LONG };
    let units = rows(&book, names, price, |units| size(units.into()));
    let object = object.raw(name("orderbook_units", "obu"), units);
    Some(object.text(name("stream_type", "st"), stream).raw(name("level", "lv"), level).end())
}

const LONG: [&str; 4] = ["ask_price", "bid_price", "ask_size", "bid_size"];
const SHORT: [&str; 4] = ["ap", "bp", "as", "bs"];

fn rows(book: &Book, names: [&str; 4], price: impl Fn(i64) -> String, size: impl Fn(i64) -> String) -> String {
    let count = book.asks.len().max(book.bids.len());
    let at = |side: &[Level], index: usize| side.get(index).copied().unwrap_or_default();
    array((0..count).map(|index| {
        let (ask, bid) = (at(&book.asks, index), at(&book.bids, index));
        let object = Object::new().raw(names[0], price(ask.0)).raw(names[1], price(bid.0));
        object.raw(names[2], size(ask.1)).raw(names[3], size(bid.1)).end()
    }))
}

fn sizes(object: Object, names: [&str; 2], book: &Book, encode: impl Fn(i128) -> String) -> Object {
    let sum = |side: &[Level]| side.iter().map(|(_, size)| i128::from(*size)).sum::<i128>();
    object.raw(names[0], encode(sum(&book.asks))).raw(names[1], encode(sum(&book.bids)))
}
