//! The Upbit family: trades, over REST and on the stream.
//!
//! Source: docs.upbit.com/kr/reference (list-pair-trades, websocket-trade), apidocs.bithumb.com (체결), payloads of
//! 2020-03, 2026-07 and 2026-09. Assumed: that `to` at Bithumb is a time of day in KST.

use super::UpbitFamily;
use super::request::UpbitError;
use crate::book::Book;
use crate::fault_view::FaultView;
use crate::json::{Object, array};
use crate::query::{RequestTarget, format_time};
use crate::simulated_market::SimulatedMarket;
use crate::ticker_figures::{DAY, TickerFigures};
use crate::trade_log::Trade;
use crate::units::plain8;

/// Maximum number of trades of a response.
pub const TRADES_MAX: usize = 500;

/// Factor that the time of a trade is multiplied by in its id.
pub const ID_FACTOR: i64 = 10_000;

/// Maximum of `days_ago`.
const DAYS_MAX: i64 = 7;

/// Returns the response to `/v1/trades/ticks`, newest first.
///
/// # Errors
/// If the market is missing or unknown, or the count, time, day or cursor is invalid.
pub fn ticks(view: &FaultView<'_>, venue: &UpbitFamily, target: &RequestTarget) -> Result<String, UpbitError> {
    let code = target.get("market").ok_or(UpbitError::MissingParameter)?.to_ascii_uppercase();
    let market = view.simulation.by_symbol(venue.id, &code).ok_or(UpbitError::UnknownMarket)?;
    let number =
        |name: &str| target.get(name).map(|text| text.parse::<i64>().map_err(|_| UpbitError::InvalidParameter));
    let count = usize::try_from(number("count").transpose()?.unwrap_or(1)).unwrap_or(0);
    let cursor = number("cursor").transpose()?.unwrap_or(i64::MAX);
    let days = number("days_ago").or(number("daysAgo")).transpose()?;
    if !(1..=TRADES_MAX).contains(&count) || days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
        return Err(UpbitError::InvalidParameter);
    }
    let midnight = view.now - (view.now + venue.utc_offset_ms()).rem_euclid(DAY) - days.unwrap_or(0) * DAY;
    let until = match target.get("to") {
        Some(to) => midnight + time_of_day(to).ok_or(UpbitError::InvalidParameter)?,
        None => midnight + DAY,
    };
    let from = if days.is_some() { midnight } else { i64::MIN };
    let trades = market.trade_log.trades_since(from).rev().filter(|trade| trade.at < until);
    let trades = trades.filter(|trade| sequential_id(venue, trade, false) < cursor).take(count);
    Ok(array(trades.map(|trade| row(view, venue, market, trade))))
}

/// Parses `HHmmss` or `HH:mm:ss` to ms since midnight.
fn time_of_day(text: &str) -> Option<i64> {
    let digits = text.replace(':', "");
    let number: i64 = digits.parse().ok().filter(|_| digits.len() == 6)?;
    let (hours, minutes, seconds) = (number / 10_000, number / 100 % 100, number % 100);
    (hours < 24 && minutes < 60 && seconds < 60).then_some(((hours * 60 + minutes) * 60 + seconds) * 1000)
}

fn row(view: &FaultView<'_>, venue: &UpbitFamily, market: &SimulatedMarket, trade: &Trade) -> String {
    let reported = view.reported_trade(market, trade);
    let midnight = trade.at - (trade.at + venue.utc_offset_ms()).rem_euclid(DAY);
    let before = market.trade_log.before(midnight).map_or(trade.price, |trade| trade.price);
    Object::new()
        .text("market", &market.symbol)
        .text("trade_date_utc", &format_time(reported.at, 0, "%Y-%m-%d"))
        .text("trade_time_utc", &format_time(reported.at, 0, "%H:%M:%S"))
        .raw("timestamp", reported.at)
        .raw("trade_price", (venue.format_price)(reported.price))
        .raw("trade_volume", plain8(reported.base_volume))
        .raw("prev_closing_price", (venue.format_price)(before))
        .raw("change_price", (venue.format_price)(reported.price - before))
        .text("ask_bid", side(trade))
        .raw("sequential_id", sequential_id(venue, trade, false))
        .end()
}

/// Encodes a frame of a trade with the figures at it, with short names if `simple`.
pub fn frame(figures: &TickerFigures<'_>, venue: &UpbitFamily, trade: &Trade, simple: bool, stream: &str) -> String {
    let (market, reported) = (figures.market, figures.trade);
    let price = |units| if simple { plain8(units) } else { (venue.format_stream_price)(units) };
    let name = |long: &'static str, short: &'static str| if simple { short } else { long };
    let volume = (if simple { venue.format_short_volume } else { plain8 })(reported.base_volume);
    let object = Object::new()
        .text(name("type", "ty"), "trade")
        .text(name("code", "cd"), &market.symbol)
        .raw(name("timestamp", "tms"), figures.now)
        .text(name("trade_date", "td"), &format_time(reported.at, venue.utc_offset_hours, "%Y-%m-%d"))
        .text(name("trade_time", "ttm"), &format_time(reported.at, venue.utc_offset_hours, "%H:%M:%S"))
        .raw(name("trade_timestamp", "ttms"), reported.at)
        .raw(name("trade_price", "tp"), price(reported.price))
        .raw(name("trade_volume", "tv"), volume)
        .text(name("ask_bid", "ab"), side(trade))
        .raw(name("prev_closing_price", "pcp"), price(figures.previous_close))
        .text(name("change", "c"), figures.direction())
        .raw(name("change_price", "cp"), price(figures.day_change().abs()))
        .raw(name("sequential_id", "sid"), sequential_id(venue, trade, true));
    let object = if venue.streams_best_prices {
        let book = Book::after_trade(market, &reported, 1);
        object
            .raw(name("best_ask_price", "bap"), price(book.ask().0))
            .raw(name("best_ask_size", "bas"), plain8(book.ask().1))
            .raw(name("best_bid_price", "bbp"), price(book.bid().0))
            .raw(name("best_bid_size", "bbs"), plain8(book.bid().1))
    } else {
        object
    };
    object.text(name("stream_type", "st"), stream).end()
}

fn side(trade: &Trade) -> &'static str {
    if trade.taker_sold { "ASK" } else { "BID" }
}

/// Returns the id of a trade: 17 digits over REST, and on the stream as many as the exchange has there.
fn sequential_id(venue: &UpbitFamily, trade: &Trade, streamed: bool) -> i64 {
    let places: i64 = if streamed { venue.streamed_id_factor } else { ID_FACTOR };
    let count = i64::try_from(trade.id % places.cast_unsigned()).unwrap_or(0);
    trade.at * places + count
}
