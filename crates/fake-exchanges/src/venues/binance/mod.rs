//! Binance: REST dispatch, market list, limits. Tickers, candles, trades, books and windows have their own files.
//!
//! Numbers are strings with eight decimal places; the change is over rolling 24 hours, in percent; candles come
//! oldest first, and minutes without trades are flat rows. Source: developers.binance.com, spot API, and payloads
//! observed from 2024 to 2026.

mod depth;
mod kline;
mod request;
mod session;
mod stream;
mod ticker;
mod trade;
mod window;

use std::time::Duration;

use self::request::{BinanceError, ID, encode_rows, requested_markets};
use self::session::BinanceSession;
pub use self::ticker::ticker_frame;
use crate::connection_policy::ConnectionPolicy;
use crate::fake_venue::{FakeVenue, RestRequest};
use crate::fault_view::FaultView;
use crate::json::{Object, RowShape, array};
use crate::limits::{Charge, CountedRequest, Limit, Refusal, Usage, Window};
use crate::listing::Listing;
use crate::query::RequestTarget;
use crate::response::FakeResponse;
use crate::session::Session;
use crate::simulated_market::SimulatedMarket;
use crate::units::fixed8;

/// How long before the end of a connection Binance announces it; at most a tenth of the lifetime.
const NOTICE_MAX: Duration = Duration::from_secs(600);

/// The fake Binance.
#[derive(Debug)]
pub struct Binance;

const BAN: Duration = Duration::from_secs(120);

// Clock-aligned minutes are documented for weight; assumed: that the windows of connections are aligned as well.
const WEIGHT: Limit = Limit { windows: &[Window::aligned(6000, 60)], ban: BAN, ban_status: 418 };
const CONNECTIONS: Limit = Limit { windows: &[Window::aligned(300, 300)], ban: BAN, ban_status: 418 };

impl FakeVenue for Binance {
    fn listing(&self) -> Listing {
        Listing::in_usdt(ID, |asset| format!("{asset}USDT"))
    }

    fn stream_path(&self) -> &'static str {
        "/ws"
    }

    fn rest(&self, view: &FaultView<'_>, request: &RestRequest<'_>) -> FakeResponse {
        rest(view, &request.target)
    }

    fn open(&self, path: &str, query: &str) -> Option<Box<dyn Session>> {
        BinanceSession::for_path(path, query).map(|session| Box::new(session) as Box<dyn Session>)
    }

    fn connection_policy(&self, lifetime: Duration) -> ConnectionPolicy {
        const FRAMES: &[(usize, Duration)] = &[(5, Duration::from_secs(1))];
        ConnectionPolicy {
            ping_interval: Some(Duration::from_secs(20)),
            idle_close: Some((1008, "Pong timeout")),
            frame_limits: FRAMES,
            counts_control_frames: true,
            lifetime: Some(lifetime),
            announcement_lead: (lifetime / 10).min(NOTICE_MAX),
            ..ConnectionPolicy::default()
        }
    }

    fn charges(&self, request: &CountedRequest<'_>) -> Vec<Charge> {
        let (limit, group, weight) = match request.target {
            None => (&CONNECTIONS, "connections", 1),
            Some(target) => (&WEIGHT, "all", request_weight(target)),
        };
        vec![Charge { limit, group, weight }]
    }

    fn limit_headers(&self, usages: &[Usage]) -> Vec<(&'static str, String)> {
        let names = ["x-mbx-used-weight", "x-mbx-used-weight-1m"];
        usages.iter().flat_map(|usage| names.map(|name| (name, usage.used.to_string()))).collect()
    }

    fn row_shape(&self) -> RowShape {
        RowShape { lists: &["symbols"], symbols: &["symbol", "s"], index: 0 }
    }

    fn refuse(&self, refusal: &Refusal) -> FakeResponse {
        // Assumed for a refused connection, of which only the status is known. `retry-after` is known of Binance alone.
        let seconds = refusal.wait_seconds();
        let message = match refusal.status {
            429 => "Too much request weight used; current limit is 6000 request weight per 1 MINUTE.".to_owned(),
            _ => format!("Way too much request weight used; IP banned for {seconds} seconds."),
        };
        let mut response = FakeResponse::json(refusal.status, error(-1003, &message));
        response.headers.push(("retry-after".to_owned(), seconds.to_string()));
        response
    }
}

fn error(code: i32, message: &str) -> String {
    Object::new().raw("code", code).text("msg", message).end()
}

/// Returns the response to a REST request.
fn rest(view: &FaultView<'_>, target: &RequestTarget) -> FakeResponse {
    let answer = match target.path.as_str() {
        "/api/v3/ping" => Ok("{}".to_owned()),
        "/api/v3/time" => Ok(Object::new().raw("serverTime", view.reported_time(view.now)).end()),
        "/api/v3/exchangeInfo" => info(view, target),
        "/api/v3/ticker/24hr" => ticker::tickers(view, target),
        "/api/v3/ticker/price" => prices(view, target),
        "/api/v3/ticker" => window::tickers(view, target),
        "/api/v3/ticker/tradingDay" => window::trading_days(view, target),
        "/api/v3/ticker/bookTicker" => depth::book_tickers(view, target),
        "/api/v3/avgPrice" => depth::average_price(view, target),
        "/api/v3/depth" => depth::depth(view, target),
        "/api/v3/trades" | "/api/v3/historicalTrades" => trade::trades(view, target),
        "/api/v3/aggTrades" => trade::aggregate_trades(view, target),
        // At Binance the two differ for chart drawing only; here they are equal.
        "/api/v3/klines" | "/api/v3/uiKlines" => kline::klines(view, target),
        _ => return FakeResponse { headers: Vec::new(), ..FakeResponse::json(404, "") },
    };
    match answer {
        Ok(body) => FakeResponse::json(200, body),
        Err((code, message)) => FakeResponse::json(400, error(code, &message)),
    }
}

/// Returns the weight of a request, out of 6,000 per minute.
fn request_weight(target: &RequestTarget) -> u32 {
    let symbols = target.get("symbols").map(|list| list.split(',').count());
    let single = target.get("symbol").is_some();
    match (target.path.as_str(), symbols) {
        ("/api/v3/exchangeInfo", _) => 20,
        ("/api/v3/ticker/24hr", _) if single => 2,
        ("/api/v3/ticker/24hr", Some(..=20)) => 2,
        ("/api/v3/ticker/24hr", Some(..=100)) => 40,
        ("/api/v3/ticker/24hr", _) => 80,
        // 4 per symbol, at most as for 50 symbols.
        ("/api/v3/ticker" | "/api/v3/ticker/tradingDay", symbols) => {
            4 * u32::try_from(symbols.unwrap_or(1).min(50)).unwrap_or(50)
        }
        ("/api/v3/ticker/price" | "/api/v3/ticker/bookTicker", _) => {
            if single {
                2
            } else {
                4
            }
        }
        ("/api/v3/klines" | "/api/v3/uiKlines" | "/api/v3/avgPrice", _) => 2,
        ("/api/v3/trades" | "/api/v3/historicalTrades", _) => 25,
        ("/api/v3/aggTrades", _) => 4,
        ("/api/v3/depth", _) => match target.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(100) {
            0..=100_u32 => 5,
            101..=500 => 25,
            501..=1000 => 50,
            _ => 250,
        },
        _ => 1,
    }
}

fn prices(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, BinanceError> {
    let (markets, single) = requested_markets(view, target)?;
    let row = |market: &SimulatedMarket| {
        let trade = view.reported_trade(market, market.trade_log.last()?);
        Some(Object::new().text("symbol", &market.symbol).text("price", &fixed8(trade.price)).end())
    };
    Ok(encode_rows(markets.into_iter().filter_map(row).collect(), single))
}

fn info(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, BinanceError> {
    let (markets, _) = requested_markets(view, target)?;
    let symbols = array(markets.into_iter().map(|market| {
        let tick = fixed8(market.asset.usdt_tick_size);
        let filters = array([
            Object::new()
                .text("filterType", "PRICE_FILTER")
                .text("minPrice", &tick)
                .text("maxPrice", "1000000.00000000")
                .text("tickSize", &tick)
                .end(),
            Object::new()
                .text("filterType", "LOT_SIZE")
                .text("minQty", "0.00001000")
                .text("maxQty", "9000.00000000")
                .text("stepSize", "0.00001000")
                .end(),
            Object::new()
                .text("filterType", "NOTIONAL")
                .text("minNotional", "5.00000000")
                .raw("applyMinToMarket", "true")
                .text("maxNotional", "9000000.00000000")
                .raw("applyMaxToMarket", "false")
                .raw("avgPriceMins", 5)
                .end(),
        ]);
        Object::new()
            .text("symbol", &market.symbol)
            .text("status", if market.halted { "HALT" } else { "TRADING" })
            .text("baseAsset", market.symbol.strip_suffix("USDT").unwrap_or(market.asset.id))
            .raw("baseAssetPrecision", 8)
            .text("quoteAsset", "USDT")
            .raw("quotePrecision", 8)
            .raw("quoteAssetPrecision", 8)
            .raw("baseCommissionPrecision", 8)
            .raw("quoteCommissionPrecision", 8)
            .raw("orderTypes", r#"["LIMIT","LIMIT_MAKER","MARKET"]"#)
            .raw("icebergAllowed", "true")
            .raw("ocoAllowed", "true")
            .raw("quoteOrderQtyMarketAllowed", "true")
            .raw("allowTrailingStop", "true")
            .raw("cancelReplaceAllowed", "true")
            .raw("isSpotTradingAllowed", "true")
            .raw("isMarginTradingAllowed", "false")
            .raw("filters", filters)
            .raw("permissions", "[]")
            .raw("permissionSets", r#"[["SPOT"]]"#)
            .text("defaultSelfTradePreventionMode", "EXPIRE_MAKER")
            .raw("allowedSelfTradePreventionModes", r#"["EXPIRE_TAKER","EXPIRE_MAKER","EXPIRE_BOTH"]"#)
            .end()
    }));
    let limit = r#"[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000}]"#;
    Ok(Object::new()
        .text("timezone", "UTC")
        .raw("serverTime", view.reported_time(view.now))
        .raw("rateLimits", limit)
        .raw("exchangeFilters", "[]")
        .raw("symbols", symbols)
        .end())
}
