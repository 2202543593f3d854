//! Bithumb (빗썸): KRW, USDT and BTC markets.
//!
//! Its `v1` uses Upbit's formats with these differences: the calendar day of
//! `prev_closing_price` starts at 00:00 in Seoul; the times of a REST ticker
//! are Seoul's local time written as Unix milliseconds, so nine hours ahead,
//! while those of the WebSocket are correct; the `to` of candles is Seoul's
//! local time unless it contains a time zone; errors come with HTTP 200.
//! [`legacy`] parses the previous version of the API.
//!
//! Source: apidocs.bithumb.com (v2.1.5), read 2026-09; messages captured on 2025-08-26 and 2026-09-23.

mod legacy;

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::json;
use super::upbit_like::{self, Row};
use super::{Incoming, Keepalive, Limit, ParseError, Profile, Rejection, Request, Response, RestQuery, Venue};
use crate::market::{Market, Ticker, VenueId};

/// The exchange.
#[derive(Debug)]
pub struct Bithumb;

/// How far the times of the REST ticker are ahead.
const REST_TIME_AHEAD: SignedDuration = SignedDuration::from_hours(9);

static PROFILE: Profile = Profile {
    id: VenueId("bithumb"),
    rest: "https://api.bithumb.com",
    stream: "wss://ws-api.bithumb.com/websocket/v1",
    quotes: &["KRW", "USDT", "BTC"],
    // Idle connections are closed after about 120 s by the documentation, after 60.0 s in practice (2026-09).
    keepalive: Keepalive::Text("PING", Duration::from_secs(20)),
    silence_max: Duration::from_secs(10),
    stale_after: Duration::from_secs(15),
    lifetime: None,
    // No documented limit; 493 codes in one frame were all served (2026-09).
    markets_per_connection: 400,
    // Not documented; Upbit's limit.
    frames_max: 5,
    frames_window: Duration::from_secs(3),
    // 150 requests per second and address, for each category separately.
    connects_max: 10,
    connects_window: Duration::from_secs(1),
    limits: &[
        Limit { group: "other", weight: 150, window: Duration::from_secs(1) },
        Limit { group: "ticker", weight: 150, window: Duration::from_secs(1) },
        Limit { group: "candle", weight: 150, window: Duration::from_secs(1) },
    ],
    // At most 200 from 2026-10-13 on; more get HTTP 400.
    markets_per_request: 200,
    candles_per_request: 200,
    has_quiet_candles: false,
    has_trade_times: true,
};

impl Venue for Bithumb {
    fn profile(&self) -> &Profile {
        &PROFILE
    }

    fn symbol(&self, market: &Market) -> String {
        upbit_like::symbol(market)
    }

    fn subscribe(&self, markets: &[Market], _current: &[Market]) -> Vec<String> {
        upbit_like::subscribe_frames(markets, None)
    }

    fn parse(&self, text: &str) -> Result<Incoming, ParseError> {
        upbit_like::parse_frame(text, legacy::parse_frame)
    }

    fn request(&self, query: &RestQuery<'_>) -> Option<Request> {
        let (group, path) = match query {
            RestQuery::Markets => ("other", "/v1/market/all?isDetails=true".to_owned()),
            // The venue publishes no tick sizes.
            RestQuery::TickSizes(_) | RestQuery::Tickers([]) => return None,
            RestQuery::Tickers(markets) => {
                ("ticker", format!("/v1/ticker?markets={}", upbit_like::encode_markets(markets)))
            }
            // `to` is exclusive and, in the documented form without a time zone, Seoul's
            // local time. If it were ever taken as UTC, the response would contain
            // minutes after `end`, which `candles` rejects.
            RestQuery::Candles { market, end, count } => {
                let symbol = upbit_like::encode_markets(std::slice::from_ref(*market));
                let count = (*count).min(PROFILE.candles_per_request);
                let to = upbit_like::seoul().to_datetime(end.start()).strftime("%Y-%m-%d%%20%H:%M:%S");
                ("candle", format!("/v1/candles/minutes/1?market={symbol}&to={to}&count={count}"))
            }
        };
        Some(Request { path, group, weight: 1 })
    }

    fn response(&self, query: &RestQuery<'_>, body: &str) -> Result<Response, ParseError> {
        let body = match legacy::parse_response(query, body)? {
            legacy::Body::Response(response) => return Ok(response),
            legacy::Body::Rows(rows) => rows,
        };
        let rows = upbit_like::rows(body)?;
        match query {
            RestQuery::Markets => upbit_like::parse_listings(&rows),
            RestQuery::Tickers(_) => {
                let record = |raw| upbit_like::parse_record(raw, "market", ticker);
                Ok(Response::Tickers(rows.into_iter().map(record).collect()))
            }
            RestQuery::TickSizes(_) => Err(json::payload_error("unsupported query")),
            RestQuery::Candles { market, end, .. } => {
                upbit_like::parse_candles(&rows, market, *end).map(Response::Candles)
            }
        }
    }
}

/// Parses the ticker of a row of `/v1/ticker`.
///
/// Its `timestamp` repeats the time of the last trade and is not the time of the
/// message, so the ticker has none.
fn ticker(row: &Row<'_>, ignored_fields: &mut Vec<Rejection>) -> Result<Ticker, Rejection> {
    let ticker = upbit_like::parse_ticker(row, ignored_fields)?;
    let traded_at = ticker.traded_at.and_then(|stated| corrected_time(stated, row));
    Ok(Ticker { traded_at, sent_at: None, ..ticker })
}

/// Returns the correct time of a trade whose Unix milliseconds are nine hours ahead.
///
/// The row contains a check: `trade_date` and `trade_time` are UTC. If the venue
/// corrects its milliseconds one day, they agree, and are used as they are. With
/// any other difference the clock is unknown, and no time is guessed.
fn corrected_time(stated: Timestamp, row: &Row<'_>) -> Option<Timestamp> {
    let shifted = stated.checked_sub(REST_TIME_AHEAD).ok()?;
    match utc_of(row).map(Timestamp::as_second) {
        Some(utc) if utc == stated.as_second() => Some(stated),
        Some(utc) if utc != shifted.as_second() => None,
        _ => Some(shifted),
    }
}

/// Parses `trade_date` and `trade_time` (`20260830`, `042612`).
fn utc_of(row: &Row<'_>) -> Option<Timestamp> {
    let date = row.trade_date.optional_text("trade_date").ok()??;
    let time = row.trade_time.optional_text("trade_time").ok()??;
    let civil: DateTime = format!("{date}T{time}").parse().ok()?;
    TimeZone::UTC.to_timestamp(civil).ok()
}
