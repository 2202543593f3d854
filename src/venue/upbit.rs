//! Upbit (업비트): KRW, USDT and BTC markets.
//!
//! Pitfalls: every change and `prev_closing_price` refers to 00:00 UTC, never to
//! 24 hours ago; the WebSocket writes large prices as `1.16539E8`; a second
//! subscribe frame replaces the first; unknown and lower-case codes are ignored
//! silently; minutes without a trade have no candle.
//!
//! Source: docs.upbit.com (websocket-guide, rate-limits, list-candles-minutes), read 2026-09.

use std::time::Duration;

use super::adapter::{
    Incoming, Keepalive, Limit, Profile, Rate, Request, Response, RestQuery, Session, Stateless, Venue,
};
use super::json::ParseError;
use super::upbit_like;
use crate::market::{Market, VenueId};

/// The exchange.
#[derive(Debug)]
pub struct Upbit;

static PROFILE: Profile = Profile {
    id: VenueId("upbit"),
    rest: "https://api.upbit.com",
    stream: "wss://api.upbit.com/websocket/v1",
    quotes: &["KRW", "USDT", "BTC"],
    // Idle connections are closed after 120 s by the documentation, after 60.5 s in practice (2026-09).
    keepalive: Keepalive::Text("PING", Duration::from_secs(20)),
    silence_max: Duration::from_secs(10),
    stale_after: Duration::from_secs(15),
    lag: Duration::ZERO,
    lifetime: None,
    // No documented limit; 855 codes in one frame were all served (2026-09).
    markets_per_connection: 500,
    frames: &[Rate::per_second(5), Rate::per_minute(100)],
    connects: &[Rate::per_second(5)],
    // 10 requests per second and address, for each group separately.
    limits: &[
        Limit { group: "market", rates: &[Rate::per_second(10)] },
        Limit { group: "ticker", rates: &[Rate::per_second(10)] },
        Limit { group: "orderbook", rates: &[Rate::per_second(10)] },
        Limit { group: "candle", rates: &[Rate::per_second(10)] },
    ],
    // No documented limit; this keeps the URL at about a kilobyte.
    markets_per_request: 100,
    candles_per_request: 200,
    has_quiet_candles: false,
    minutes_kept: None,
    has_trade_times: true,
    needs_list: false,
};

impl Venue for Upbit {
    fn profile(&self) -> &Profile {
        &PROFILE
    }

    fn symbol(&self, market: &Market) -> String {
        upbit_like::symbol(market)
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(Stateless { subscribe, parse })
    }

    fn request(&self, query: &RestQuery<'_>) -> Option<Request> {
        let (group, path) = match query {
            RestQuery::Markets => ("market", "/v1/market/all?is_details=true".to_owned()),
            RestQuery::Tickers([]) | RestQuery::TickSizes([]) => return None,
            RestQuery::TickSizes(markets) => {
                ("orderbook", format!("/v1/orderbook/instruments?markets={}", upbit_like::encode_markets(markets)))
            }
            RestQuery::Tickers(markets) => {
                ("ticker", format!("/v1/ticker?markets={}", upbit_like::encode_markets(markets)))
            }
            // `to` is exclusive; the `Z` marks it as UTC.
            RestQuery::Candles { market, end, count } => {
                let symbol = upbit_like::encode_markets(std::slice::from_ref(*market));
                let (to, count) = (end.start(), (*count).min(PROFILE.candles_per_request));
                ("candle", format!("/v1/candles/minutes/1?market={symbol}&to={to}&count={count}"))
            }
        };
        Some(Request::get(path, group, 1))
    }

    fn response(&self, query: &RestQuery<'_>, body: &str) -> Result<Response, ParseError> {
        let rows = upbit_like::rows(body)?;
        match query {
            RestQuery::Markets => upbit_like::parse_listings(&rows),
            RestQuery::Tickers(_) => {
                let record = |raw| upbit_like::parse_record(raw, "market", upbit_like::parse_ticker);
                Ok(Response::Tickers(rows.into_iter().map(record).collect()))
            }
            RestQuery::TickSizes(_) => {
                Ok(Response::TickSizes(rows.into_iter().map(upbit_like::parse_tick_size).collect()))
            }
            RestQuery::Candles { market, end, .. } => {
                upbit_like::parse_candles(&rows, market, *end).map(Response::Candles)
            }
        }
    }
}

fn subscribe(markets: &[Market], _current: &[Market]) -> Vec<String> {
    upbit_like::subscribe_frames(markets, Some("DEFAULT"))
}

fn parse(text: &str) -> Result<Incoming, ParseError> {
    upbit_like::parse_frame(text, |_| None)
}
