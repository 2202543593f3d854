//! Bithumb's current words (`/v1`), much like Upbit's; what differs is here.
//!
//! Changes are against the close at 00:00 KST with four decimals; REST times
//! are written 9 hours ahead; `to` without an offset is KST; errors come with
//! HTTP 200. Source: apidocs.bithumb.com, payloads seen 2025-08 to 2026-09.

use super::figures::Figures;
use super::json::{Object, array};
use super::korean::Korean;
use super::korean_book::orderbooks;
use super::korean_candle::candles;
use super::korean_trade::ticks;
use super::query::{KOREA, KOREA_MS, Target, spell};
use super::units::{plain, plain8, python};
use super::upbit::{Refusal, listed};
use super::view::{FakeResponse, View};
use super::world::Line;

/// Most markets of one ticker request since 2026-10-13.
pub const MARKETS_MAX: usize = 200;

const VENUE: &str = "bithumb";

/// Answers a request.
pub fn rest(view: &View<'_>, target: &Target) -> FakeResponse {
    let answer = match target.path.as_str() {
        "/v1/market/all" => Ok(markets(view, target)),
        "/v1/ticker" => tickers(view, target),
        "/v1/orderbook" => orderbooks(view, Korean::Bithumb, target),
        "/v1/trades/ticks" => ticks(view, Korean::Bithumb, target),
        "/v1/market/virtual_asset_warning" | "/v1/notices" => Ok("[]".to_owned()),
        _ => match target.under("/v1/candles/") {
            Some(path) => candles(view, Korean::Bithumb, target, path),
            None => Err(Refusal::Path),
        },
    };
    match answer {
        Ok(body) => FakeResponse::json(200, body),
        Err(Refusal::TooMany) => Refusal::TooMany.response(),
        Err(refusal) => FakeResponse { status: 200, ..refusal.response() },
    }
}

fn markets(view: &View<'_>, target: &Target) -> String {
    let details = target.flag(&["isDetails"]);
    array(view.world.lines(VENUE).map(|line| {
        let names = Object::new().text("market", &line.symbol).text("korean_name", line.coin.ko);
        let names = names.text("english_name", line.coin.en);
        if details { names.text("market_warning", line.market_warning()).end() } else { names.end() }
    }))
}

fn tickers(view: &View<'_>, target: &Target) -> Result<String, Refusal> {
    let lines = listed(view.world, VENUE, target)?;
    if lines.len() > MARKETS_MAX {
        return Err(Refusal::TooMany);
    }
    Ok(array(lines.into_iter().filter_map(|line| ticker(view, line))))
}

fn ticker(view: &View<'_>, line: &Line) -> Option<String> {
    let figures = Figures::newest(view, line, KOREA_MS)?;
    let (trade, day) = (figures.trade, figures.day);
    let change = figures.day_change();
    Some(
        Object::new()
            .text("market", &line.symbol)
            .text("trade_date", &spell(trade.at, 0, "%Y%m%d"))
            .text("trade_time", &spell(trade.at, 0, "%H%M%S"))
            .text("trade_date_kst", &spell(trade.at, KOREA, "%Y%m%d"))
            .text("trade_time_kst", &spell(trade.at, KOREA, "%H%M%S"))
            .raw("trade_timestamp", trade.at + KOREA_MS)
            .raw("opening_price", plain8(day.open))
            .raw("high_price", plain8(day.high))
            .raw("low_price", plain8(day.low))
            .raw("trade_price", plain8(trade.price))
            .raw("prev_closing_price", plain8(figures.day_before))
            .text("change", figures.direction())
            .raw("change_price", plain8(change.abs()))
            .raw("change_rate", plain(figures.day_rate(4).abs(), 4))
            .raw("signed_change_price", plain8(change))
            .raw("signed_change_rate", plain(figures.day_rate(4), 4))
            .raw("trade_volume", python(trade.volume))
            .raw("acc_trade_price", plain(day.value / 100_000_000, 8))
            .raw("acc_trade_price_24h", plain(figures.rolling.value / 100_000_000, 8))
            .raw("acc_trade_volume", plain(day.volume, 8))
            .raw("acc_trade_volume_24h", plain(figures.rolling.volume, 8))
            .raw("highest_52_week_price", plain8(trade.price.saturating_mul(2)))
            .text("highest_52_week_date", &spell(view.now - 200 * 86_400_000, KOREA, "%Y-%m-%d"))
            .raw("lowest_52_week_price", plain8((trade.price / 2).max(1)))
            .text("lowest_52_week_date", &spell(view.now - 100 * 86_400_000, KOREA, "%Y-%m-%d"))
            .raw("timestamp", trade.at + KOREA_MS)
            .end(),
    )
}

/// Spells a ticker frame: true Unix times, but the date and time of day are Korea's.
pub fn ticker_frame(figures: &Figures<'_>, kind: &str) -> String {
    let (trade, day) = (figures.trade, figures.day);
    let change = figures.day_change();
    Object::new()
        .text("type", "ticker")
        .text("code", &figures.line.symbol)
        .raw("opening_price", plain8(day.open))
        .raw("high_price", plain8(day.high))
        .raw("low_price", plain8(day.low))
        .raw("trade_price", plain8(trade.price))
        .raw("prev_closing_price", plain8(figures.day_before))
        .text("change", figures.direction())
        .raw("change_price", plain8(change.abs()))
        .raw("signed_change_price", plain8(change))
        .raw("change_rate", plain(figures.day_rate(8).abs(), 8))
        .raw("signed_change_rate", plain(figures.day_rate(8), 8))
        .raw("trade_volume", plain8(trade.volume))
        .raw("acc_trade_volume", plain(day.volume, 8))
        .raw("acc_trade_volume_24h", plain(figures.rolling.volume, 8))
        .raw("acc_trade_price", plain(day.value / 100_000_000, 8))
        .raw("acc_trade_price_24h", plain(figures.rolling.value / 100_000_000, 8))
        .text("trade_date", &spell(trade.at, KOREA, "%Y%m%d"))
        .text("trade_time", &spell(trade.at, KOREA, "%H%M%S"))
        .raw("trade_timestamp", trade.at)
        .text("ask_bid", if trade.ask { "ASK" } else { "BID" })
        .raw("acc_ask_volume", plain(day.asks, 8))
        .raw("acc_bid_volume", plain(day.volume - day.asks, 8))
        .raw("highest_52_week_price", plain8(trade.price.saturating_mul(2)))
        .text("highest_52_week_date", &spell(figures.now - 200 * 86_400_000, KOREA, "%Y-%m-%d"))
        .raw("lowest_52_week_price", plain8((trade.price / 2).max(1)))
        .text("lowest_52_week_date", &spell(figures.now - 100 * 86_400_000, KOREA, "%Y-%m-%d"))
        .text("market_state", figures.market_state())
        .raw("is_trading_suspended", figures.line.halted)
        .text("delisting_date", figures.line.leaving.as_deref().unwrap_or_default())
        .text("market_warning", figures.line.market_warning())
        .raw("timestamp", figures.now)
        .text("stream_type", kind)
        .end()
}
