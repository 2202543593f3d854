//! Binance: tickers, over REST and on the stream.
//!
//! The change is over rolling 24 hours, in percent.

use super::request::{BinanceError, encode_rows, format_average, format_percent, requested_markets, trade_count};
use crate::book::Book;
use crate::fault_view::FaultView;
use crate::json::Object;
use crate::query::RequestTarget;
use crate::ticker_figures::{DAY, TickerFigures};
use crate::units::{fixed, fixed8};

/// Returns the response to `/api/v3/ticker/24hr`.
///
/// # Errors
/// As [`requested_markets`].
pub fn tickers(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, BinanceError> {
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
