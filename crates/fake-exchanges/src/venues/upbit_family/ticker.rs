//! The Upbit family: the ticker frame in the format SIMPLE, and members that the formats share.

use crate::json::{Object, json_string};
use crate::query::format_time;
use crate::simulated_market::SimulatedMarket;
use crate::ticker_figures::TickerFigures;
use crate::units::{java_double, plain, plain8};

/// Returns the value of `delisting_date`: a date or `null`.
pub fn delisting_date(market: &SimulatedMarket) -> String {
    market.delisting_date.as_deref().map_or_else(|| "null".to_owned(), json_string)
}

/// Encodes a ticker frame in the format SIMPLE: short names, prices without exponent, small volumes as
/// `7.9276E-4`.
pub fn short_frame(figures: &TickerFigures<'_>, kind: &str) -> String {
    let (trade, day) = (figures.trade, figures.day);
    let change = figures.day_change();
    Object::new()
        .text("ty", "ticker")
        .text("cd", &figures.market.symbol)
        .raw("op", plain8(day.open))
        .raw("hp", plain8(day.high))
        .raw("lp", plain8(day.low))
        .raw("tp", plain8(trade.price))
        .raw("pcp", plain8(figures.previous_close))
        .text("c", figures.direction())
        .raw("cp", plain8(change.abs()))
        .raw("scp", plain8(change))
        .raw("cr", plain(figures.day_rate(10).abs(), 10))
        .raw("scr", plain(figures.day_rate(10), 10))
        .text("ab", if trade.taker_sold { "ASK" } else { "BID" })
        .raw("tv", java_double(trade.base_volume))
        .raw("atv", plain(day.base_volume, 8))
        .raw("atv24h", plain(figures.rolling.base_volume, 8))
        .raw("atp", plain(day.quote_volume / 100_000_000, 8))
        .raw("atp24h", plain(figures.rolling.quote_volume / 100_000_000, 8))
        .text("td", &format_time(trade.at, 0, "%Y%m%d"))
        .text("ttm", &format_time(trade.at, 0, "%H%M%S"))
        .raw("ttms", trade.at)
        .text("ms", figures.market_state())
        .raw("its", figures.market.halted)
        .raw("dd", delisting_date(figures.market))
        .text("mw", figures.market.market_warning())
        .raw("tms", figures.now)
        .text("st", kind)
        .end()
}
