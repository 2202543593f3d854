//! Bithumb's API `/v1`: what differs from Upbit's, which it resembles.
//!
//! Changes are from the close at 00:00 KST, with four decimal places; Unix times over REST are 9 hours ahead; `to`
//! without an offset is KST; errors come with HTTP 200. Source: apidocs.bithumb.com, payloads observed from
//! 2025-08 to 2026-09.

use std::time::Duration;

use super::upbit_family::{
    REST_MEMBERS, TOO_MANY_REQUESTS, TickerFormat, UpbitError, UpbitFamily, limit_group, payloads,
};
use crate::fake_venue::{FakeVenue, Payloads, RestRequest};
use crate::fault_view::FaultView;
use crate::limits::{Charge, CountedRequest, Limit, Refusal, Usage, Window};
use crate::listing::Listing;
use crate::query::{KST_OFFSET_HOURS, KST_OFFSET_MS};
use crate::response::FakeResponse;
use crate::session::Session;
use crate::ticker_figures::TickerFigures;
use crate::units::{plain, plain8, python_float};

/// The fake Bithumb.
#[derive(Debug)]
pub struct Bithumb;

static FAMILY: UpbitFamily = UpbitFamily {
    id: "bithumb",
    utc_offset_hours: KST_OFFSET_HOURS,
    details_flags: &["isDetails"],
    // The limit since 2026-10-13.
    markets_max: 200,
    add_details: |names, market| names.text("market_warning", market.market_warning()),
    no_delisting_date: "\"\"",
    rest_ticker: TickerFormat {
        members: REST_MEMBERS,
        price: plain8,
        trade_volume: python_float,
        volume: |volume| plain(volume, 8),
        rate_places: 4,
        trade_offset_hours: 0,
        timestamps: |figures| (figures.trade.at + KST_OFFSET_MS, figures.trade.at + KST_OFFSET_MS),
    },
    stream_ticker: TickerFormat {
        members: "type code opening_price high_price low_price trade_price prev_closing_price \
            change change_price signed_change_price change_rate signed_change_rate \
            trade_volume acc_trade_volume acc_trade_volume_24h acc_trade_price acc_trade_price_24h \
            trade_date trade_time trade_timestamp ask_bid acc_ask_volume acc_bid_volume \
            highest_52_week_price highest_52_week_date lowest_52_week_price lowest_52_week_date \
            market_state is_trading_suspended delisting_date market_warning timestamp stream_type",
        price: plain8,
        trade_volume: plain8,
        volume: |volume| plain(volume, 8),
        rate_places: 8,
        trade_offset_hours: KST_OFFSET_HOURS,
        timestamps: |figures| (figures.trade.at, figures.now),
    },
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
        match FAMILY.rest(view, &request.target) {
            Ok(body) => FakeResponse::json(200, body),
            Err(UpbitError::TOO_MANY_MARKETS) => UpbitError::TOO_MANY_MARKETS.response(),
            Err(refusal) => FakeResponse { status: 200, ..refusal.response() },
        }
    }

    fn open(&self, path: &str, _query: &str) -> Option<Box<dyn Session>> {
        (path == self.stream_path()).then(|| FAMILY.session())
    }

    fn charges(&self, request: &CountedRequest<'_>) -> Vec<Charge> {
        let (limit, group) = match request.target {
            None => (&CONNECTIONS, "websocket-connect"),
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

    fn payloads(&self) -> Payloads {
        payloads("market_warning")
    }

    fn refuse(&self, refusal: &Refusal) -> FakeResponse {
        // Assumed for a refused connection, of which only the status is known.
        FakeResponse::json(refusal.status, TOO_MANY_REQUESTS)
    }
}

/// Encodes a ticker frame; its Unix times are correct, and `trade_date` and `trade_time` are in KST.
pub fn ticker_frame(figures: &TickerFigures<'_>, stream_type: &str) -> String {
    FAMILY.ticker(&FAMILY.stream_ticker, figures, stream_type)
}
