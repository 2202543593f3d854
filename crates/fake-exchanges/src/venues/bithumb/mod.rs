//! Bithumb's current API (`/v1`): what differs from Upbit's, which it resembles.
//!
//! Changes are from the close at 00:00 KST, with four decimal places; Unix times over REST are 9 hours ahead; `to`
//! without an offset is KST; errors come with HTTP 200. Source: apidocs.bithumb.com, payloads observed from
//! 2025-08 to 2026-09.

mod legacy;
mod legacy_session;

use std::time::Duration;

use self::legacy_session::BithumbLegacySession;
use super::upbit_family::UpbitFamily;
use super::upbit_family::book::orderbooks;
use super::upbit_family::candle::candles;
use super::upbit_family::request::{
    CONNECT_GROUP, ROWS, TOO_MANY_REQUESTS, UpbitError, limit_group, requested_markets,
};
use super::upbit_family::session::UpbitFamilySession;
use super::upbit_family::trade::ticks;
use crate::fake_venue::{FakeVenue, RestRequest};
use crate::fault_view::FaultView;
use crate::json::{Object, RowShape, array};
use crate::limits::{Charge, CountedRequest, Limit, Refusal, Usage, Window};
use crate::listing::Listing;
use crate::query::{KST_OFFSET_HOURS, KST_OFFSET_MS, RequestTarget, format_time};
use crate::response::FakeResponse;
use crate::session::Session;
use crate::simulated_market::SimulatedMarket;
use crate::ticker_figures::TickerFigures;
use crate::units::{plain, plain8, python_float};

/// The fake Bithumb.
#[derive(Debug)]
pub struct Bithumb;

/// Its days begin at 00:00 KST; the time of a streamed book is in microseconds (observed 2026-07), and the ids of
/// streamed trades have 19 digits.
const FAMILY: UpbitFamily = UpbitFamily {
    id: "bithumb",
    utc_offset_hours: KST_OFFSET_HOURS,
    format_price: plain8,
    format_stream_price: plain8,
    format_short_volume: plain8,
    ticker_frame,
    has_more_candles: false,
    groups_books: false,
    pads_sizes: false,
    book_time_factor: 1000,
    streams_best_prices: false,
    streamed_id_factor: 1_000_000,
    reads_snake_case: false,
};

// The headers describe a token bucket that is refilled every second and holds one second's tokens, which is equivalent
// to a window aligned with the clock.
const REQUESTS: Limit = Limit { windows: &[Window::aligned(150, 1)], ban: Duration::from_secs(60), ban_status: 418 };
const CONNECTIONS: Limit = Limit { windows: &[Window::aligned(10, 1)], ban: Duration::from_secs(600), ban_status: 429 };

impl FakeVenue for Bithumb {
    fn listing(&self) -> Listing {
        Listing::in_krw(FAMILY.id, |asset| format!("KRW-{asset}"))
    }

    fn stream_path(&self) -> &'static str {
        "/websocket/v1"
    }

    fn rest(&self, view: &FaultView<'_>, request: &RestRequest<'_>) -> FakeResponse {
        match request.target.path.starts_with("/public/") {
            true => legacy::rest(view, &request.target),
            false => rest(view, &request.target),
        }
    }

    fn open(&self, path: &str, _query: &str) -> Option<Box<dyn Session>> {
        match path {
            "/websocket/v1" => Some(Box::new(UpbitFamilySession::new(&FAMILY))),
            "/pub/ws" => Some(Box::new(BithumbLegacySession::default())),
            _ => None,
        }
    }

    fn charges(&self, request: &CountedRequest<'_>) -> Vec<Charge> {
        let (limit, group) = match request.target {
            None => (&CONNECTIONS, CONNECT_GROUP),
            Some(target) => (&REQUESTS, limit_group(&target.path)),
        };
        vec![Charge { limit, group, weight: 1 }]
    }

    fn limit_headers(&self, usages: &[Usage]) -> Vec<(&'static str, String)> {
        let headers = |usage: &Usage| {
            [
                ("x-ratelimit-remaining", usage.max.saturating_sub(usage.used).to_string()),
                ("x-ratelimit-requested-tokens", "1".to_owned()),
                ("x-ratelimit-burst-capacity", usage.max.to_string()),
                ("x-ratelimit-replenish-rate", usage.max.to_string()),
            ]
        };
        usages.iter().flat_map(headers).collect()
    }

    fn row_shape(&self) -> RowShape {
        ROWS
    }

    fn refuse(&self, refusal: &Refusal) -> FakeResponse {
        // Assumed for a refused connection, of which only the status is known.
        FakeResponse::json(refusal.status, TOO_MANY_REQUESTS)
    }
}

/// Maximum number of markets of one ticker request, since 2026-10-13.
pub const MARKETS_MAX: usize = 200;

/// Returns the response to a REST request.
fn rest(view: &FaultView<'_>, target: &RequestTarget) -> FakeResponse {
    let answer = match target.path.as_str() {
        "/v1/market/all" => Ok(markets(view, target)),
        "/v1/ticker" => tickers(view, target),
        "/v1/orderbook" => orderbooks(view, &FAMILY, target),
        "/v1/trades/ticks" => ticks(view, &FAMILY, target),
        "/v1/market/virtual_asset_warning" | "/v1/notices" => Ok("[]".to_owned()),
        _ => match target.path_after("/v1/candles/") {
            Some(path) => candles(view, &FAMILY, target, path),
            None => Err(UpbitError::UnknownPath),
        },
    };
    match answer {
        Ok(body) => FakeResponse::json(200, body),
        Err(UpbitError::TooManyMarkets) => UpbitError::TooManyMarkets.response(),
        Err(refusal) => FakeResponse { status: 200, ..refusal.response() },
    }
}

fn markets(view: &FaultView<'_>, target: &RequestTarget) -> String {
    let details = target.is_true(&["isDetails"]);
    array(view.simulation.markets_of(FAMILY.id).map(|market| {
        let names = Object::new().text("market", &market.symbol).text("korean_name", market.asset.korean_name);
        let names = names.text("english_name", market.asset.english_name);
        if details { names.text("market_warning", market.market_warning()).end() } else { names.end() }
    }))
}

fn tickers(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, UpbitError> {
    let markets = requested_markets(view.simulation, FAMILY.id, target)?;
    if markets.len() > MARKETS_MAX {
        return Err(UpbitError::TooManyMarkets);
    }
    Ok(array(markets.into_iter().filter_map(|market| ticker(view, market))))
}

fn ticker(view: &FaultView<'_>, market: &SimulatedMarket) -> Option<String> {
    let figures = TickerFigures::latest(view, market, KST_OFFSET_MS)?;
    let (trade, day) = (figures.trade, figures.day);
    let change = figures.day_change();
    Some(
        Object::new()
            .text("market", &market.symbol)
            .text("trade_date", &format_time(trade.at, 0, "%Y%m%d"))
            .text("trade_time", &format_time(trade.at, 0, "%H%M%S"))
            .text("trade_date_kst", &format_time(trade.at, KST_OFFSET_HOURS, "%Y%m%d"))
            .text("trade_time_kst", &format_time(trade.at, KST_OFFSET_HOURS, "%H%M%S"))
            .raw("trade_timestamp", trade.at + KST_OFFSET_MS)
            .raw("opening_price", plain8(day.open))
            .raw("high_price", plain8(day.high))
            .raw("low_price", plain8(day.low))
            .raw("trade_price", plain8(trade.price))
            .raw("prev_closing_price", plain8(figures.previous_close))
            .text("change", figures.direction())
            .raw("change_price", plain8(change.abs()))
            .raw("change_rate", plain(figures.day_rate(4).abs(), 4))
            .raw("signed_change_price", plain8(change))
            .raw("signed_change_rate", plain(figures.day_rate(4), 4))
            .raw("trade_volume", python_float(trade.base_volume))
            .raw("acc_trade_price", plain(day.quote_volume / 100_000_000, 8))
            .raw("acc_trade_price_24h", plain(figures.rolling.quote_volume / 100_000_000, 8))
            .raw("acc_trade_volume", plain(day.base_volume, 8))
            .raw("acc_trade_volume_24h", plain(figures.rolling.base_volume, 8))
            .raw("highest_52_week_price", plain8(trade.price.saturating_mul(2)))
            .text("highest_52_week_date", &format_time(view.now - 200 * 86_400_000, KST_OFFSET_HOURS, "%Y-%m-%d"))
            .raw("lowest_52_week_price", plain8((trade.price / 2).max(1)))
            .text("lowest_52_week_date", &format_time(view.now - 100 * 86_400_000, KST_OFFSET_HOURS, "%Y-%m-%d"))
            .raw("timestamp", trade.at + KST_OFFSET_MS)
            .end(),
    )
}

/// Encodes a ticker frame; its Unix times are correct, and `trade_date` and `trade_time` are in KST.
pub fn ticker_frame(figures: &TickerFigures<'_>, kind: &str) -> String {
    let (trade, day) = (figures.trade, figures.day);
    let change = figures.day_change();
    Object::new()
        .text("type", "ticker")
        .text("code", &figures.market.symbol)
        .raw("opening_price", plain8(day.open))
        .raw("high_price", plain8(day.high))
        .raw("low_price", plain8(day.low))
        .raw("trade_price", plain8(trade.price))
        .raw("prev_closing_price", plain8(figures.previous_close))
        .text("change", figures.direction())
        .raw("change_price", plain8(change.abs()))
        .raw("signed_change_price", plain8(change))
        .raw("change_rate", plain(figures.day_rate(8).abs(), 8))
        .raw("signed_change_rate", plain(figures.day_rate(8), 8))
        .raw("trade_volume", plain8(trade.base_volume))
        .raw("acc_trade_volume", plain(day.base_volume, 8))
        .raw("acc_trade_volume_24h", plain(figures.rolling.base_volume, 8))
        .raw("acc_trade_price", plain(day.quote_volume / 100_000_000, 8))
        .raw("acc_trade_price_24h", plain(figures.rolling.quote_volume / 100_000_000, 8))
        .text("trade_date", &format_time(trade.at, KST_OFFSET_HOURS, "%Y%m%d"))
        .text("trade_time", &format_time(trade.at, KST_OFFSET_HOURS, "%H%M%S"))
        .raw("trade_timestamp", trade.at)
        .text("ask_bid", if trade.taker_sold { "ASK" } else { "BID" })
        .raw("acc_ask_volume", plain(day.sold_volume, 8))
        .raw("acc_bid_volume", plain(day.base_volume - day.sold_volume, 8))
        .raw("highest_52_week_price", plain8(trade.price.saturating_mul(2)))
        .text("highest_52_week_date", &format_time(figures.now - 200 * 86_400_000, KST_OFFSET_HOURS, "%Y-%m-%d"))
        .raw("lowest_52_week_price", plain8((trade.price / 2).max(1)))
        .text("lowest_52_week_date", &format_time(figures.now - 100 * 86_400_000, KST_OFFSET_HOURS, "%Y-%m-%d"))
        .text("market_state", figures.market_state())
        .raw("is_trading_suspended", figures.market.halted)
        .text("delisting_date", figures.market.delisting_date.as_deref().unwrap_or_default())
        .text("market_warning", figures.market.market_warning())
        .raw("timestamp", figures.now)
        .text("stream_type", kind)
        .end()
}
