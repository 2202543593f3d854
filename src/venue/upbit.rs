//! Upbit (업비트): won, USDT and BTC markets.
//!
//! What is easily got wrong: every change and `prev_closing_price` is against
//! 00:00 UTC, never 24 hours; the socket spells large prices `1.16539E8`; a
//! second subscribe frame replaces the first; unknown and lower-case codes are
//! ignored in silence; minutes without a trade have no candle.
//!
//! Source: docs.upbit.com (websocket-guide, rate-limits, list-candles-minutes), read 2026-09.

use std::time::Duration;

use super::{Answer, Ask, Incoming, Keepalive, Limit, ParseError, Profile, Request, Venue, upbit_like};
use crate::domain::{Market, VenueId};

/// The exchange.
#[derive(Debug)]
pub struct Upbit;

static PROFILE: Profile = Profile {
    id: VenueId("upbit"),
    rest: "https://api.upbit.com",
    stream: "wss://api.upbit.com/websocket/v1",
    quotes: &["KRW", "USDT", "BTC"],
    // The documents say closed after 120 s idle, the wire says 60.5 s (2026-09).
    keepalive: Keepalive::Text("PING", Duration::from_secs(20)),
    silence_max: Duration::from_secs(10),
    stale_after: Duration::from_secs(15),
    lifetime: None,
    // No documented cap; 855 codes in one frame were all served (2026-09).
    markets_per_connection: 500,
    // 5 a second and 100 a minute: 5 in 3 s keeps both.
    frames_max: 5,
    frames_window: Duration::from_secs(3),
    // 10 requests a second and address, each group for itself.
    connects_max: 5,
    connects_window: Duration::from_secs(1),
    limits: &[
        Limit { group: "market", weight: 10, window: Duration::from_secs(1) },
        Limit { group: "ticker", weight: 10, window: Duration::from_secs(1) },
        Limit { group: "orderbook", weight: 10, window: Duration::from_secs(1) },
        Limit { group: "candle", weight: 10, window: Duration::from_secs(1) },
    ],
    // No documented cap; this keeps the URL near a kilobyte.
    markets_per_request: 100,
    candles_per_request: 200,
    quiet_candles: false,
    dates_trades: true,
};

impl Venue for Upbit {
    fn profile(&self) -> &Profile {
        &PROFILE
    }

    fn symbol(&self, market: &Market) -> String {
        upbit_like::symbol(market)
    }

    fn subscribe(&self, markets: &[Market], _had: &[Market]) -> Vec<String> {
        upbit_like::subscribe(markets, Some("DEFAULT"))
    }

    fn parse(&self, text: &str) -> Result<Incoming, ParseError> {
        upbit_like::frame(text, |_| None)
    }

    fn ask(&self, ask: &Ask<'_>) -> Option<Request> {
        let (group, path) = match ask {
            Ask::Markets => ("market", "/v1/market/all?is_details=true".to_owned()),
            Ask::Tickers([]) | Ask::TickSizes([]) => return None,
            Ask::TickSizes(markets) => {
                ("orderbook", format!("/v1/orderbook/instruments?markets={}", upbit_like::query(markets)))
            }
            Ask::Tickers(markets) => ("ticker", format!("/v1/ticker?markets={}", upbit_like::query(markets))),
            // `to` is exclusive; the `Z` says that it is UTC.
            Ask::Candles { market, end, count } => {
                let symbol = upbit_like::query(std::slice::from_ref(*market));
                let (to, count) = (end.start(), (*count).min(PROFILE.candles_per_request));
                ("candle", format!("/v1/candles/minutes/1?market={symbol}&to={to}&count={count}"))
            }
        };
        Some(Request { path, group, weight: 1 })
    }

    fn answer(&self, ask: &Ask<'_>, body: &str) -> Result<Answer, ParseError> {
        let rows = upbit_like::rows(body)?;
        match ask {
            Ask::Markets => upbit_like::listings(&rows),
            Ask::Tickers(_) => {
                let record = |raw| upbit_like::record(raw, "market", upbit_like::ticker);
                Ok(Answer::Tickers(rows.into_iter().map(record).collect()))
            }
            Ask::TickSizes(_) => Ok(Answer::TickSizes(rows.into_iter().map(upbit_like::tick_size).collect())),
            Ask::Candles { market, end, .. } => upbit_like::minute_candles(&rows, market, *end).map(Answer::Candles),
        }
    }
}
