//! Binance's order books and averages. A book's update id is the number of the trade that it stands after.
//!
//! Source: developers.binance.com, spot REST and streams, `depth`, `bookTicker`, `avgPrice`.

use std::collections::BTreeSet;

use super::binance::{Refusal, average, limit, one, shape, wanted};
use super::book::{Book, LEVELS_MAX, Level};
use super::figures::stretch;
use super::json::{Object, array, text};
use super::query::Target;
use super::tape::Trade;
use super::units::fixed8;
use super::view::View;
use super::world::Line;

/// Levels of an answer if the request does not say, and at most by the docs; this book has [`LEVELS_MAX`].
const DEPTH_USUAL: usize = 100;
const DEPTH_MAX: usize = 5000;

/// Books looked at for one event; more trades in a tenth of a second are only there after a pause.
const BOOKS_MAX: usize = 200;

/// Length of the average, in minutes.
const AVERAGE: i64 = 5;

/// Answers `/api/v3/depth`.
///
/// # Errors
/// For a symbol or limit that is not there or makes no sense.
pub fn depth(view: &View<'_>, target: &Target) -> Result<String, Refusal> {
    let line = one(view, target)?;
    let levels = limit(target, DEPTH_USUAL, DEPTH_MAX)?;
    Ok(line.tape.last().map_or_else(|| "{}".to_owned(), |trade| partial_frame(view, line, trade, levels)))
}

/// Spells a partial book: what `/api/v3/depth` answers, and the event of `<symbol>@depth5`, `10` and `20`.
pub fn partial_frame(view: &View<'_>, line: &Line, trade: &Trade, levels: usize) -> String {
    let book = Book::of(line, &view.bend(line, trade), levels);
    let object = Object::new().raw("lastUpdateId", book.id);
    object.raw("bids", rows(&book.bids)).raw("asks", rows(&book.asks)).end()
}

/// Answers `/api/v3/ticker/bookTicker`.
///
/// # Errors
/// As [`wanted`].
pub fn book_tickers(view: &View<'_>, target: &Target) -> Result<String, Refusal> {
    let (lines, single) = wanted(view, target)?;
    let row = |line: &Line| {
        let book = Book::of(line, &view.bend(line, line.tape.last()?), 1);
        let object = Object::new().text("symbol", &line.symbol);
        Some(best(object, &book, ["bidPrice", "bidQty", "askPrice", "askQty"]).end())
    };
    Ok(shape(lines.into_iter().filter_map(row).collect(), single))
}

/// Spells the event of `<symbol>@bookTicker`, which has neither a name nor a time.
pub fn book_ticker_frame(view: &View<'_>, line: &Line, trade: &Trade) -> String {
    let book = Book::of(line, &view.bend(line, trade), 1);
    best(Object::new().raw("u", book.id).text("s", &line.symbol), &book, ["b", "B", "a", "A"]).end()
}

fn best(object: Object, book: &Book, names: [&str; 4]) -> Object {
    let cells = [book.bid().0, book.bid().1, book.ask().0, book.ask().1];
    names.into_iter().zip(cells).fold(object, |object, (name, units)| object.text(name, &fixed8(units)))
}

/// Answers `/api/v3/avgPrice`.
///
/// # Errors
/// As [`one`].
pub fn average_price(view: &View<'_>, target: &Target) -> Result<String, Refusal> {
    let (price, at) = averaged(view, one(view, target)?);
    Ok(Object::new().raw("mins", AVERAGE).text("price", &price).raw("closeTime", at).end())
}

/// Spells an `avgPrice` event.
pub fn average_frame(view: &View<'_>, line: &Line) -> String {
    let (price, at) = averaged(view, line);
    let event = Object::new().text("e", "avgPrice").raw("E", view.time(view.now)).text("s", &line.symbol);
    event.text("i", &format!("{AVERAGE}m")).text("w", &price).raw("T", at).end()
}

/// The average and the time of the last trade.
fn averaged(view: &View<'_>, line: &Line) -> (String, i64) {
    let last = line.tape.last().map_or((0, view.now), |trade| (trade.price, trade.at));
    let (_, sum) = stretch(line, view.now - AVERAGE * 60_000, last.0);
    (average(&sum, last.0), view.time(last.1))
}

/// What a client that follows `<symbol>@depth` has been told of.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The newest update id.
    id: u64,
    /// Prices of levels that it may hold.
    bids: BTreeSet<i64>,
    asks: BTreeSet<i64>,
}

/// Spells a `depthUpdate` event: every level of the book as it is, and those that it may still hold as gone.
///
/// A book of any trade since the last event may have been fetched over REST, so all their levels count as held.
pub fn diff_frame(view: &View<'_>, line: &Line, last: &Trade, told: &mut Told) -> String {
    let seen = if told.id == 0 { last.id - 1 } else { told.id };
    for trade in line.tape.after_id(seen, BOOKS_MAX) {
        let book = Book::of(line, &view.bend(line, trade), LEVELS_MAX);
        told.bids.extend(book.bids.iter().map(|(price, _)| *price));
        told.asks.extend(book.asks.iter().map(|(price, _)| *price));
    }
    let book = Book::of(line, &view.bend(line, last), LEVELS_MAX);
    told.id = last.id;
    let bids = changed(&book.bids, &mut told.bids);
    let asks = changed(&book.asks, &mut told.asks);
    let event = Object::new().text("e", "depthUpdate").raw("E", view.time(view.now)).text("s", &line.symbol);
    event.raw("U", seen + 1).raw("u", last.id).raw("b", bids).raw("a", asks).end()
}

fn changed(side: &[Level], held: &mut BTreeSet<i64>) -> String {
    for (price, _) in side {
        held.remove(price);
    }
    let gone = std::mem::take(held).into_iter().map(|price| (price, 0));
    let levels: Vec<Level> = side.iter().copied().chain(gone).collect();
    held.extend(side.iter().map(|(price, _)| *price));
    rows(&levels)
}

fn rows(side: &[Level]) -> String {
    array(side.iter().map(|(price, size)| array([text(&fixed8(*price)), text(&fixed8(*size))])))
}
