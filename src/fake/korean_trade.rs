//! Trades as Upbit and Bithumb write them, over REST and on the stream.
//!
//! Source: docs.upbit.com/kr/reference (list-pair-trades, websocket-trade),
//! apidocs.bithumb.com (체결), payloads of 2020-03, 2026-07 and 2026-09. Not known
//! and so assumed: that Bithumb reads `to` as a time of day in Korea.

use super::book::Book;
use super::figures::{DAY, Figures};
use super::json::{Object, array};
use super::korean::Korean;
use super::query::{Target, spell};
use super::tape::Trade;
use super::units::{java, plain8};
use super::upbit::Refusal;
use super::view::View;
use super::world::Line;

/// Most trades of one answer.
pub const TRADES_MAX: usize = 500;

/// Days back that can be asked for.
const DAYS_MAX: i64 = 7;

/// Answers `/v1/trades/ticks`: newest first.
///
/// # Errors
/// For a market, count, time, day or cursor that is not there or makes no sense.
pub fn ticks(view: &View<'_>, korean: Korean, target: &Target) -> Result<String, Refusal> {
    let code = target.get("market").ok_or(Refusal::Missing)?.to_ascii_uppercase();
    let line = view.world.by_symbol(korean.venue(), &code).ok_or(Refusal::Code)?;
    let number = |name: &str| target.get(name).map(|text| text.parse::<i64>().map_err(|_| Refusal::Parameter));
    let count = usize::try_from(number("count").transpose()?.unwrap_or(1)).unwrap_or(0);
    let cursor = number("cursor").transpose()?.unwrap_or(i64::MAX);
    let days = number("days_ago").or(number("daysAgo")).transpose()?;
    if !(1..=TRADES_MAX).contains(&count) || days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
        return Err(Refusal::Parameter);
    }
    let midnight = view.now - (view.now + korean.offset()).rem_euclid(DAY) - days.unwrap_or(0) * DAY;
    let until = match target.get("to") {
        Some(to) => midnight + time_of_day(to).ok_or(Refusal::Parameter)?,
        None => midnight + DAY,
    };
    let from = if days.is_some() { midnight } else { i64::MIN };
    let trades = line.tape.from(from).rev().filter(|trade| trade.at < until);
    let trades = trades.filter(|trade| sequential_id(korean, trade, false) < cursor).take(count);
    Ok(array(trades.map(|trade| row(view, korean, line, trade))))
}

/// Reads `HHmmss` or `HH:mm:ss` as ms since midnight.
fn time_of_day(text: &str) -> Option<i64> {
    let digits = text.replace(':', "");
    let number: i64 = digits.parse().ok().filter(|_| digits.len() == 6)?;
    let (hours, minutes, seconds) = (number / 10_000, number / 100 % 100, number % 100);
    (hours < 24 && minutes < 60 && seconds < 60).then_some(((hours * 60 + minutes) * 60 + seconds) * 1000)
}

fn row(view: &View<'_>, korean: Korean, line: &Line, trade: &Trade) -> String {
    let bent = view.bend(line, trade);
    let midnight = trade.at - (trade.at + korean.offset()).rem_euclid(DAY);
    let before = line.tape.before(midnight).map_or(trade.price, |trade| trade.price);
    Object::new()
        .text("market", &line.symbol)
        .text("trade_date_utc", &spell(bent.at, 0, "%Y-%m-%d"))
        .text("trade_time_utc", &spell(bent.at, 0, "%H:%M:%S"))
        .raw("timestamp", bent.at)
        .raw("trade_price", korean.price(bent.price))
        .raw("trade_volume", plain8(bent.volume))
        .raw("prev_closing_price", korean.price(before))
        .raw("change_price", korean.price(bent.price - before))
        .text("ask_bid", side(trade))
        .raw("sequential_id", sequential_id(korean, trade, false))
        .end()
}

/// Spells a frame about a trade, and the figures around it, in long or short words.
pub fn frame(figures: &Figures<'_>, korean: Korean, trade: &Trade, simple: bool, stream: &str) -> String {
    let (line, bent) = (figures.line, figures.trade);
    let price = |units| if simple { plain8(units) } else { korean.streamed(units) };
    let name = |long: &'static str, short: &'static str| if simple { short } else { long };
    let volume = if simple && korean == Korean::Upbit { java(bent.volume) } else { plain8(bent.volume) };
    let object = Object::new()
        .text(name("type", "ty"), "trade")
        .text(name("code", "cd"), &line.symbol)
        .raw(name("timestamp", "tms"), figures.now)
        .text(name("trade_date", "td"), &spell(bent.at, korean.hours(), "%Y-%m-%d"))
        .text(name("trade_time", "ttm"), &spell(bent.at, korean.hours(), "%H:%M:%S"))
        .raw(name("trade_timestamp", "ttms"), bent.at)
        .raw(name("trade_price", "tp"), price(bent.price))
        .raw(name("trade_volume", "tv"), volume)
        .text(name("ask_bid", "ab"), side(trade))
        .raw(name("prev_closing_price", "pcp"), price(figures.day_before))
        .text(name("change", "c"), figures.direction())
        .raw(name("change_price", "cp"), price(figures.day_change().abs()))
        .raw(name("sequential_id", "sid"), sequential_id(korean, trade, true));
    let object = match korean {
        Korean::Bithumb => object,
        Korean::Upbit => {
            let book = Book::of(line, &bent, 1);
            object
                .raw(name("best_ask_price", "bap"), price(book.ask().0))
                .raw(name("best_ask_size", "bas"), plain8(book.ask().1))
                .raw(name("best_bid_price", "bbp"), price(book.bid().0))
                .raw(name("best_bid_size", "bbs"), plain8(book.bid().1))
        }
    };
    object.text(name("stream_type", "st"), stream).end()
}

fn side(trade: &Trade) -> &'static str {
    if trade.ask { "ASK" } else { "BID" }
}

/// The number of a trade: 17 digits, but 19 on Bithumb's stream, where it is not that of REST.
fn sequential_id(korean: Korean, trade: &Trade, streamed: bool) -> i64 {
    let places: i64 = if streamed && korean == Korean::Bithumb { 1_000_000 } else { 10_000 };
    let count = i64::try_from(trade.id % places.cast_unsigned()).unwrap_or(0);
    trade.at * places + count
}
