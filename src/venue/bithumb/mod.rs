//! Bithumb (빗썸): won, USDT and BTC markets.
//!
//! Its `v1` speaks Upbit's language with other accents: the calendar day of
//! `prev_closing_price` begins at 00:00 in Seoul; the times of a REST ticker
//! are Seoul's wall clock written as Unix milliseconds, nine hours ahead,
//! while those of the socket are true; the `to` of candles is Seoul's time
//! unless it says otherwise; errors come with HTTP 200. The generation before
//! it is read in [`legacy`].
//!
//! Source: apidocs.bithumb.com (v2.1.5), read 2026-09; wire captures of 2025-08-26 and 2026-09-23.

mod legacy;

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::json;
use super::upbit_like::{self, Row};
use super::{Answer, Ask, Incoming, Keepalive, Limit, ParseError, Profile, Rejection, Request, Venue};
use crate::domain::{Market, Ticker, VenueId};

/// The exchange.
#[derive(Debug)]
pub struct Bithumb;

/// How far a time of the REST ticker is ahead of the true one.
const AHEAD: SignedDuration = SignedDuration::from_hours(9);

static PROFILE: Profile = Profile {
    id: VenueId("bithumb"),
    rest: "https://api.bithumb.com",
    stream: "wss://ws-api.bithumb.com/websocket/v1",
    quotes: &["KRW", "USDT", "BTC"],
    // The documents say closed after about 120 s idle, the wire says 60.0 s (2026-09).
    keepalive: Keepalive::Text("PING", Duration::from_secs(20)),
    silence_max: Duration::from_secs(10),
    stale_after: Duration::from_secs(15),
    lifetime: None,
    // No documented cap; 493 codes in one frame were all served (2026-09).
    markets_per_connection: 400,
    // Not documented; Upbit's figure.
    frames_max: 5,
    frames_window: Duration::from_secs(3),
    // 150 requests a second and address, each category for itself.
    connects_max: 10,
    connects_window: Duration::from_secs(1),
    limits: &[
        Limit { group: "other", weight: 150, window: Duration::from_secs(1) },
        Limit { group: "ticker", weight: 150, window: Duration::from_secs(1) },
        Limit { group: "candle", weight: 150, window: Duration::from_secs(1) },
    ],
    // 200 from 2026-10-13, else HTTP 400.
    markets_per_request: 200,
    candles_per_request: 200,
    quiet_candles: false,
    dates_trades: true,
};

impl Venue for Bithumb {
    fn profile(&self) -> &Profile {
        &PROFILE
    }

    fn symbol(&self, market: &Market) -> String {
        upbit_like::symbol(market)
    }

    fn subscribe(&self, markets: &[Market], _had: &[Market]) -> Vec<String> {
        upbit_like::subscribe(markets, None)
    }

    fn parse(&self, text: &str) -> Result<Incoming, ParseError> {
        upbit_like::frame(text, legacy::frame)
    }

    fn ask(&self, ask: &Ask<'_>) -> Option<Request> {
        let (group, path) = match ask {
            Ask::Markets => ("other", "/v1/market/all?isDetails=true".to_owned()),
            // It publishes none.
            Ask::TickSizes(_) | Ask::Tickers([]) => return None,
            Ask::Tickers(markets) => ("ticker", format!("/v1/ticker?markets={}", upbit_like::query(markets))),
            // `to` is exclusive and, in the documented form without a zone, Seoul's wall
            // clock. Were it ever read as UTC, the answer would hold minutes after
            // `end`, which `candles` refuses.
            Ask::Candles { market, end, count } => {
                let symbol = upbit_like::query(std::slice::from_ref(*market));
                let count = (*count).min(PROFILE.candles_per_request);
                let to = upbit_like::seoul().to_datetime(end.start()).strftime("%Y-%m-%d%%20%H:%M:%S");
                ("candle", format!("/v1/candles/minutes/1?market={symbol}&to={to}&count={count}"))
            }
        };
        Some(Request { path, group, weight: 1 })
    }

    fn answer(&self, ask: &Ask<'_>, body: &str) -> Result<Answer, ParseError> {
        let body = match legacy::answer(ask, body)? {
            legacy::Found::Answer(answer) => return Ok(answer),
            legacy::Found::Rows(rows) => rows,
        };
        let rows = upbit_like::rows(body)?;
        match ask {
            Ask::Markets => upbit_like::listings(&rows),
            Ask::Tickers(_) => {
                let record = |raw| upbit_like::record(raw, "market", ticker);
                Ok(Answer::Tickers(rows.into_iter().map(record).collect()))
            }
            Ask::TickSizes(_) => Err(json::payload("there is no such question")),
            Ask::Candles { market, end, .. } => upbit_like::minute_candles(&rows, market, *end).map(Answer::Candles),
        }
    }
}

/// Reads the figures of a row of `/v1/ticker`.
///
/// Its `timestamp` is the last trade's time again, not the time of the answer,
/// so the answer has none.
fn ticker(row: &Row<'_>, left_out: &mut Vec<Rejection>) -> Result<Ticker, Rejection> {
    let plain = upbit_like::ticker(row, left_out)?;
    let traded_at = plain.traded_at.and_then(|written| truly(written, row));
    Ok(Ticker { traded_at, sent_at: None, ..plain })
}

/// Returns the true time of a trade whose Unix milliseconds are nine hours ahead.
///
/// The row carries its own check: `trade_date` and `trade_time` are UTC. Should
/// the venue mend its milliseconds one day, they agree and are left alone. At any
/// other distance they are of a clock that we do not know, and no time is guessed.
fn truly(written: Timestamp, row: &Row<'_>) -> Option<Timestamp> {
    let shifted = written.checked_sub(AHEAD).ok()?;
    match utc_of(row).map(Timestamp::as_second) {
        Some(said) if said == written.as_second() => Some(written),
        Some(said) if said != shifted.as_second() => None,
        _ => Some(shifted),
    }
}

/// Reads `trade_date` and `trade_time` (`20260830`, `042612`).
fn utc_of(row: &Row<'_>) -> Option<Timestamp> {
    let date = row.trade_date.text_maybe("trade_date").ok()??;
    let time = row.trade_time.text_maybe("trade_time").ok()??;
    let civil: DateTime = format!("{date}T{time}").parse().ok()?;
    TimeZone::UTC.to_timestamp(civil).ok()
}
