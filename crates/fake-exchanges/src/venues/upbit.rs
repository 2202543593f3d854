//! Upbit: REST dispatch, market list, tickers and ticker frames. What Bithumb shares is in
//! [`upbit_family`](super::upbit_family).
//!
//! Changes are from the close at 00:00 UTC; `to` is UTC; candles come newest first, and minutes without trades are
//! left out. Source: docs.upbit.com/kr reference pages, and payloads observed in 2026-08 and 2026-09.

use std::time::Duration;

use super::upbit_family::UpbitFamily;
use super::upbit_family::book::{instruments, orderbooks, supported_levels};
use super::upbit_family::candle::candles;
use super::upbit_family::request::{
    CONNECT_GROUP, ROWS, TOO_MANY_REQUESTS, UpbitError, limit_group, requested_markets,
};
use super::upbit_family::session::UpbitFamilySession;
use super::upbit_family::ticker::delisting_date;
use super::upbit_family::trade::{ID_FACTOR, ticks};
use crate::connection_policy::ConnectionPolicy;
use crate::fake_venue::{FakeVenue, RestRequest};
use crate::fault_effects::MarketWarning;
use crate::fault_view::FaultView;
use crate::json::{Object, RowShape, array};
use crate::limits::{Charge, CountedRequest, Limit, Refusal, Usage, Window};
use crate::listing::Listing;
use crate::query::{KST_OFFSET_HOURS, RequestTarget, format_time};
use crate::response::FakeResponse;
use crate::session::Session;
use crate::simulated_market::{SimulatedMarket, Simulation};
use crate::ticker_figures::TickerFigures;
use crate::units::{fixed, java_double, plain, plain8, with_point};

/// The fake Upbit.
#[derive(Debug)]
pub struct Upbit;

/// Its days begin at 00:00 UTC.
const FAMILY: UpbitFamily = UpbitFamily {
    id: "upbit",
    utc_offset_hours: 0,
    format_price: with_point,
    format_stream_price: java_double,
    format_short_volume: java_double,
    ticker_frame,
    has_more_candles: true,
    groups_books: true,
    pads_sizes: true,
    book_time_factor: 1,
    streams_best_prices: true,
    streamed_id_factor: ID_FACTOR,
    reads_snake_case: true,
};

const BAN: Duration = Duration::from_secs(30);

// Windows begin with their first request (documented until 2022, not contradicted since).
const REQUESTS: Limit = Limit { windows: &[Window::from_first(10, 1)], ban: BAN, ban_status: 418 };
const WITH_ORIGIN: Limit = Limit { windows: &[Window::from_first(1, 10)], ban: BAN, ban_status: 418 };
const CONNECTIONS: Limit = Limit { windows: &[Window::from_first(5, 1)], ban: BAN, ban_status: 418 };

impl FakeVenue for Upbit {
    fn listing(&self) -> Listing {
        Listing::in_krw(FAMILY.id, |asset| format!("KRW-{asset}"))
    }

    fn stream_path(&self) -> &'static str {
        "/websocket/v1"
    }

    fn rest(&self, view: &FaultView<'_>, request: &RestRequest<'_>) -> FakeResponse {
        rest(view, &request.target)
    }

    fn open(&self, path: &str, _query: &str) -> Option<Box<dyn Session>> {
        (path == self.stream_path()).then(|| Box::new(UpbitFamilySession::new(&FAMILY)) as Box<dyn Session>)
    }

    fn connection_policy(&self, _lifetime: Duration) -> ConnectionPolicy {
        // The limit of requests is documented; assumed: that it closes with 1008, and that pings don't count.
        // Documented are 120 s without activity; in practice it closes after 60 s, without a close frame.
        const FRAMES: &[(usize, Duration)] = &[(5, Duration::from_secs(1)), (100, Duration::from_secs(60))];
        ConnectionPolicy { frame_limits: FRAMES, ..ConnectionPolicy::default() }
    }

    fn charges(&self, request: &CountedRequest<'_>) -> Vec<Charge> {
        let (limit, group) = match request.target {
            // One budget for all requests with an `Origin` header, streams included.
            _ if request.has_origin => (&WITH_ORIGIN, "origin"),
            None => (&CONNECTIONS, CONNECT_GROUP),
            Some(target) => (&REQUESTS, limit_group(&target.path)),
        };
        vec![Charge { limit, group, weight: 1 }]
    }

    fn limit_headers(&self, usages: &[Usage]) -> Vec<(&'static str, String)> {
        // `min` is a remnant of an older limit, always sixty times that of a second.
        let header = |Usage { group, used, max }: &Usage| {
            ("remaining-req", format!("group={group}; min={}; sec={}", 60 * max, max.saturating_sub(*used)))
        };
        usages.iter().map(header).collect()
    }

    fn row_shape(&self) -> RowShape {
        ROWS
    }

    fn refuse(&self, refusal: &Refusal) -> FakeResponse {
        // Assumed for a refused connection, of which only the status is known.
        let body = match refusal.status {
            418 => format!(
                r#"{{"error":{{"name":"blocked","message":"Blocked for {} seconds due to too many requests."}}}}"#,
                refusal.wait_seconds()
            ),
            _ => TOO_MANY_REQUESTS.to_owned(),
        };
        FakeResponse::json(refusal.status, body)
    }

    fn cautions(&self) -> &'static [&'static str] {
        &CAUTIONS
    }
}

/// The cautions of `market_event`.
pub const CAUTIONS: [&str; 5] = [
    "PRICE_FLUCTUATIONS",
    "TRADING_VOLUME_SOARING",
    "DEPOSIT_AMOUNT_SOARING",
    "GLOBAL_PRICE_DIFFERENCES",
    "CONCENTRATION_OF_SMALL_ACCOUNTS",
];

/// Returns the response to a REST request.
fn rest(view: &FaultView<'_>, target: &RequestTarget) -> FakeResponse {
    let answer = match target.path.as_str() {
        "/v1/market/all" => Ok(markets(view.simulation, target)),
        "/v1/ticker" => tickers(view, target),
        "/v1/ticker/all" => tickers_of_quotes(view, target),
        "/v1/orderbook/instruments" => instruments(view.simulation, &FAMILY, target),
        "/v1/orderbook/supported_levels" => supported_levels(view.simulation, &FAMILY, target),
        "/v1/orderbook" => orderbooks(view, &FAMILY, target),
        "/v1/trades/ticks" => ticks(view, &FAMILY, target),
        _ => match target.path_after("/v1/candles/") {
            Some(path) => candles(view, &FAMILY, target, path),
            None => Err(UpbitError::UnknownPath),
        },
    };
    match answer {
        Ok(body) => FakeResponse::json(200, body),
        Err(refusal) => refusal.response(),
    }
}

fn markets(simulation: &Simulation, target: &RequestTarget) -> String {
    let details = target.is_true(&["is_details", "isDetails"]);
    array(simulation.markets_of(FAMILY.id).map(|market| {
        let names = Object::new().text("market", &market.symbol).text("korean_name", market.asset.korean_name);
        let names = names.text("english_name", market.asset.english_name);
        if !details {
            return names.end();
        }
        let is_on = |name: &str| market.warnings.contains(&MarketWarning::Caution(name.to_owned()));
        let cautions = CAUTIONS.iter().fold(Object::new(), |object, name| object.raw(name, is_on(name))).end();
        let warning = market.warnings.contains(&MarketWarning::WatchList);
        names.raw("market_event", Object::new().raw("warning", warning).raw("caution", cautions).end()).end()
    }))
}

fn tickers(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, UpbitError> {
    Ok(array(
        requested_markets(view.simulation, FAMILY.id, target)?.into_iter().filter_map(|market| ticker(view, market)),
    ))
}

fn tickers_of_quotes(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, UpbitError> {
    let quotes = target.get("quote_currencies").ok_or(UpbitError::MissingParameter)?.to_ascii_uppercase();
    let quoted = |market: &&SimulatedMarket| {
        quotes.split(',').any(|quote| market.symbol.split('-').next() == Some(quote.trim()))
    };
    Ok(array(view.simulation.markets_of(FAMILY.id).filter(quoted).filter_map(|market| ticker(view, market))))
}

fn ticker(view: &FaultView<'_>, market: &SimulatedMarket) -> Option<String> {
    let figures = TickerFigures::latest(view, market, 0)?;
    let (trade, day) = (figures.trade, figures.day);
    let change = figures.day_change();
    Some(
        Object::new()
            .text("market", &market.symbol)
            .text("trade_date", &format_time(trade.at, 0, "%Y%m%d"))
            .text("trade_time", &format_time(trade.at, 0, "%H%M%S"))
            .text("trade_date_kst", &format_time(trade.at, KST_OFFSET_HOURS, "%Y%m%d"))
            .text("trade_time_kst", &format_time(trade.at, KST_OFFSET_HOURS, "%H%M%S"))
            .raw("trade_timestamp", trade.at)
            .raw("opening_price", with_point(day.open))
            .raw("high_price", with_point(day.high))
            .raw("low_price", with_point(day.low))
            .raw("trade_price", with_point(trade.price))
            .raw("prev_closing_price", with_point(figures.previous_close))
            .text("change", figures.direction())
            .raw("change_price", with_point(change.abs()))
            .raw("change_rate", plain(figures.day_rate(10).abs(), 10))
            .raw("signed_change_price", with_point(change))
            .raw("signed_change_rate", plain(figures.day_rate(10), 10))
            .raw("trade_volume", plain8(trade.base_volume))
            .raw("acc_trade_price", plain(day.quote_volume / 100_000_000, 8))
            .raw("acc_trade_price_24h", plain(figures.rolling.quote_volume / 100_000_000, 8))
            .raw("acc_trade_volume", plain(day.base_volume, 8))
            .raw("acc_trade_volume_24h", plain(figures.rolling.base_volume, 8))
            .raw("highest_52_week_price", with_point(trade.price.saturating_mul(2)))
            .text("highest_52_week_date", &format_time(view.now - 200 * 86_400_000, 0, "%Y-%m-%d"))
            .raw("lowest_52_week_price", with_point((trade.price / 2).max(1)))
            .text("lowest_52_week_date", &format_time(view.now - 100 * 86_400_000, 0, "%Y-%m-%d"))
            .raw("timestamp", figures.now)
            .end(),
    )
}

/// Encodes a ticker frame in the format DEFAULT: large prices as `1.42187E8`, volumes with trailing zeros.
pub fn ticker_frame(figures: &TickerFigures<'_>, kind: &str) -> String {
    let (trade, day) = (figures.trade, figures.day);
    let change = figures.day_change();
    Object::new()
        .text("type", "ticker")
        .text("code", &figures.market.symbol)
        .raw("opening_price", java_double(day.open))
        .raw("high_price", java_double(day.high))
        .raw("low_price", java_double(day.low))
        .raw("trade_price", java_double(trade.price))
        .raw("prev_closing_price", java_double(figures.previous_close))
        .raw("acc_trade_price", plain(day.quote_volume / 100_000_000, 8))
        .text("change", figures.direction())
        .raw("change_price", java_double(change.abs()))
        .raw("signed_change_price", java_double(change))
        .raw("change_rate", plain(figures.day_rate(10).abs(), 10))
        .raw("signed_change_rate", plain(figures.day_rate(10), 10))
        .text("ask_bid", if trade.taker_sold { "ASK" } else { "BID" })
        .raw("trade_volume", fixed(trade.base_volume.into(), 8))
        .raw("acc_trade_volume", fixed(day.base_volume, 8))
        .text("trade_date", &format_time(trade.at, 0, "%Y%m%d"))
        .text("trade_time", &format_time(trade.at, 0, "%H%M%S"))
        .raw("trade_timestamp", trade.at)
        .raw("acc_ask_volume", fixed(day.sold_volume, 8))
        .raw("acc_bid_volume", fixed(day.base_volume - day.sold_volume, 8))
        .raw("highest_52_week_price", java_double(trade.price.saturating_mul(2)))
        .text("highest_52_week_date", &format_time(figures.now - 200 * 86_400_000, 0, "%Y-%m-%d"))
        .raw("lowest_52_week_price", java_double((trade.price / 2).max(1)))
        .text("lowest_52_week_date", &format_time(figures.now - 100 * 86_400_000, 0, "%Y-%m-%d"))
        .text("market_state", figures.market_state())
        .raw("is_trading_suspended", figures.market.halted)
        .raw("delisting_date", delisting_date(figures.market))
        .text("market_warning", figures.market.market_warning())
        .raw("timestamp", figures.now)
        .raw("acc_trade_price_24h", plain(figures.rolling.quote_volume / 100_000_000, 8))
        .raw("acc_trade_volume_24h", fixed(figures.rolling.base_volume, 8))
        .text("stream_type", kind)
        .end()
}
