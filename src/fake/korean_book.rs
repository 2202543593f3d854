//! Order books as Upbit and Bithumb write them, and Upbit's price steps.
//!
//! Source: docs.upbit.com/kr/reference (list-orderbooks, list-orderbook-instruments,
//! websocket-orderbook), apidocs.bithumb.com (호가), payloads of 2026-07 and 2026-09.

use super::book::{Book, LEVELS_MAX, Level};
use super::json::{Object, array, text};
use super::korean::Korean;
use super::query::Target;
use super::tape::Trade;
use super::units::{fixed, plain, plain8};
use super::upbit::{Refusal, listed};
use super::view::View;
use super::world::{Line, World};

/// Levels of a book unless it is said otherwise, and at most.
pub const UNITS_MAX: usize = 30;

/// How many levels a stream's code such as `KRW-BTC.15` may ask for.
pub const STREAMED: [usize; 4] = [1, 5, 15, 30];

/// How many steps of ten times as much a book can be gathered to.
const GATHERED_MAX: usize = 5;

/// Answers `/v1/orderbook`; where a step is not supported the list is empty, as the docs say.
///
/// # Errors
/// For markets, a count or a level that is not there or makes no sense.
pub fn orderbooks(view: &View<'_>, korean: Korean, target: &Target) -> Result<String, Refusal> {
    let count = target.get("count").map(|count| count.parse::<usize>().map_err(|_| Refusal::Parameter)).transpose()?;
    let level = target.get("level").map(|level| units(level).ok_or(Refusal::Parameter)).transpose()?.unwrap_or(0);
    let lines = listed(view.world, korean.venue(), target)?.into_iter();
    let lines = lines.filter(|line| korean == Korean::Bithumb || levels(line).contains(&level));
    let count = count.unwrap_or(UNITS_MAX).clamp(1, UNITS_MAX);
    Ok(array(lines.filter_map(|line| {
        let book = gathered(view, line, line.tape.last()?, korean, level, count);
        let object = Object::new().text("market", &line.symbol).raw("timestamp", view.time(view.now));
        let object = sizes(object, ["total_ask_size", "total_bid_size"], &book, |size| plain(size, 8));
        let price = |units| korean.price(units);
        let object = object.raw("orderbook_units", rows(&book, LONG, price, plain8));
        Some(if korean == Korean::Upbit { object.raw("level", plain8(level)).end() } else { object.end() })
    })))
}

/// Answers `/v1/orderbook/instruments`.
///
/// # Errors
/// As [`listed`].
pub fn instruments(world: &World, target: &Target) -> Result<String, Refusal> {
    Ok(array(listed(world, "upbit", target)?.into_iter().map(|line| {
        Object::new()
            .text("market", &line.symbol)
            .text("quote_currency", "KRW")
            .text("tick_size", &plain8(line.tick()))
            .raw("supported_levels", array(levels(line).into_iter().map(|level| text(&plain8(level)))))
            .end()
    })))
}

/// Answers `/v1/orderbook/supported_levels`, the older call.
///
/// # Errors
/// As [`listed`].
pub fn supported_levels(world: &World, target: &Target) -> Result<String, Refusal> {
    Ok(array(listed(world, "upbit", target)?.into_iter().map(|line| {
        let levels = array(levels(line).into_iter().map(plain8));
        Object::new().text("market", &line.symbol).raw("supported_levels", levels).end()
    })))
}

/// Returns the steps that a book can be gathered to: 0, and those of 1, 10, 100… that are over the price step and under the price.
pub fn levels(line: &Line) -> Vec<i64> {
    let price = line.tape.last().map_or(0, |trade| trade.price);
    let tens = std::iter::successors(Some(1_i64), |ten| ten.checked_mul(10));
    let tens = tens.skip_while(|ten| *ten <= line.tick()).take_while(|ten| *ten < price).take(GATHERED_MAX);
    std::iter::once(0).chain(tens).collect()
}

/// Reads a number of won such as `10000` or `0.1`.
fn units(text: &str) -> Option<i64> {
    super::units::of(text.parse().ok()?)
}

fn gathered(view: &View<'_>, line: &Line, trade: &Trade, korean: Korean, level: i64, count: usize) -> Book {
    let step = if korean == Korean::Upbit { level } else { 0 };
    let raw = if step > 0 { LEVELS_MAX } else { count };
    let mut book = Book::of(line, &view.bend(line, trade), raw).gathered(step);
    book.bids.truncate(count);
    book.asks.truncate(count);
    book
}

/// What a stream's book is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Gathered to this step, in units.
    pub level: i64,
    /// Levels a side.
    pub count: usize,
}

/// Spells a frame, in long or short words; `None` if the step is not supported.
pub fn frame(
    view: &View<'_>,
    korean: Korean,
    (line, trade): (&Line, &Trade),
    shape: Shape,
    simple: bool,
    stream: &str,
) -> Option<String> {
    if korean == Korean::Upbit && !levels(line).contains(&shape.level) {
        return None;
    }
    let book = gathered(view, line, trade, korean, shape.level, shape.count);
    let price = |units| if simple { plain8(units) } else { korean.streamed(units) };
    // Upbit keeps zeros at the end of sizes.
    let padded = korean == Korean::Upbit && !simple;
    let size = |size: i128| if padded { fixed(size, 8) } else { plain(size, 8) };
    let name = |long: &'static str, short: &'static str| if simple { short } else { long };
    // Bithumb's is in microseconds, seen 2026-07.
    let now = view.time(view.now) * if korean == Korean::Bithumb { 1000 } else { 1 };
    let object = Object::new()
        .text(name("type", "ty"), "orderbook")
        .text(name("code", "cd"), &line.symbol)
        .raw(name("timestamp", "tms"), now);
    let totals = [name("total_ask_size", "tas"), name("total_bid_size", "tbs")];
    let object = sizes(object, totals, &book, size);
    let level = if korean == Korean::Upbit { plain8(shape.level) } else { "1".to_owned() };
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

fn sizes(object: Object, names: [&str; 2], book: &Book, spell: impl Fn(i128) -> String) -> Object {
    let sum = |side: &[Level]| side.iter().map(|(_, size)| i128::from(*size)).sum::<i128>();
    object.raw(names[0], spell(sum(&book.asks))).raw(names[1], spell(sum(&book.bids)))
}
