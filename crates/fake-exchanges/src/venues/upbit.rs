//! Upbit: what is its own in the [family](super::upbit_family).
//!
//! Changes are from the close at 00:00 UTC; `to` is UTC. Source: docs.upbit.com/kr reference pages, and payloads
//! observed in 2026-08 and 2026-09.

use std::time::Duration;

use super::upbit_family::{
    REST_MEMBERS, TOO_MANY_REQUESTS, TickerFormat, UpbitError, UpbitFamily, limit_group, payloads,
};
use crate::connection_policy::ConnectionPolicy;
use crate::fake_venue::{FakeVenue, Payloads, RestRequest};
use crate::fault_effects::MarketWarning;
use crate::fault_view::FaultView;
use crate::json::{Object, array, json_string};
use crate::limits::{Charge, CountedRequest, Limit, Refusal, Usage, Window};
use crate::listing::Listing;
use crate::query::RequestTarget;
use crate::response::FakeResponse;
use crate::session::Session;
use crate::simulated_market::{SimulatedMarket, Simulation};
use crate::ticker_figures::TickerFigures;
use crate::units::{fixed, fixed8, java_double, plain, plain8, with_point};

/// The fake Upbit.
#[derive(Debug)]
pub struct Upbit;

static FAMILY: UpbitFamily = UpbitFamily {
    id: "upbit",
    utc_offset_hours: 0,
    details_flags: &["is_details", "isDetails"],
    // No documented limit.
    markets_max: usize::MAX,
    add_details: |names, market| names.raw("market_event", market_event(market)),
    no_delisting_date: "null",
    rest_ticker: TickerFormat {
        members: REST_MEMBERS,
        price: with_point,
        trade_volume: plain8,
        volume: |volume| plain(volume, 8),
        rate_places: 10,
        trade_offset_hours: 0,
        timestamps: |figures| (figures.trade.at, figures.now),
    },
    // Large prices as `1.42187E8`, volumes with trailing zeros.
    stream_ticker: TickerFormat {
        members: "type code opening_price high_price low_price trade_price prev_closing_price acc_trade_price \
            change change_price signed_change_price change_rate signed_change_rate ask_bid \
            trade_volume acc_trade_volume trade_date trade_time trade_timestamp acc_ask_volume acc_bid_volume \
            highest_52_week_price highest_52_week_date lowest_52_week_price lowest_52_week_date \
            market_state is_trading_suspended delisting_date market_warning timestamp \
            acc_trade_price_24h acc_trade_volume_24h stream_type",
        price: java_double,
        trade_volume: fixed8,
        volume: |volume| fixed(volume, 8),
        rate_places: 10,
        trade_offset_hours: 0,
        timestamps: |figures| (figures.trade.at, figures.now),
    },
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
        let body = match request.target.path.as_str() {
            "/v1/orderbook/instruments" => instruments(view.simulation, &request.target),
            _ => FAMILY.rest(view, &request.target),
        };
        body.map_or_else(UpbitError::response, |body| FakeResponse::json(200, body))
    }

    fn open(&self, path: &str, _query: &str) -> Option<Box<dyn Session>> {
        (path == self.stream_path()).then(|| FAMILY.session())
    }

    fn connection_policy(&self, _lifetime: Duration) -> ConnectionPolicy {
        // The limit of frames is documented. Assumed: it closes with 1008, and pings don't count.
        // Documented are 120 s without activity; in practice it closes after 60 s, without a close frame.
        const FRAMES: &[(usize, Duration)] = &[(5, Duration::from_secs(1)), (100, Duration::from_secs(60))];
        ConnectionPolicy { frame_limits: FRAMES, ..ConnectionPolicy::default() }
    }

    fn charges(&self, request: &CountedRequest<'_>) -> Vec<Charge> {
        let (limit, group) = match request.target {
            // One budget for all requests with an `Origin` header, streams included.
            _ if request.has_origin => (&WITH_ORIGIN, "origin"),
            None => (&CONNECTIONS, "websocket-connect"),
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

    fn payloads(&self) -> Payloads {
        payloads("market_event")
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

/// Maximum number of grouping steps of a market's book, each ten times the one before.
const GROUPING_STEPS_MAX: usize = 5;

fn market_event(market: &SimulatedMarket) -> String {
    let is_on = |name: &str| market.warnings.contains(&MarketWarning::Caution(name.to_owned()));
    let cautions = CAUTIONS.iter().fold(Object::new(), |object, name| object.raw(name, is_on(name))).end();
    let warning = market.warnings.contains(&MarketWarning::WatchList);
    Object::new().raw("warning", warning).raw("caution", cautions).end()
}

/// Returns the body of `/v1/orderbook/instruments`.
fn instruments(simulation: &Simulation, target: &RequestTarget) -> Result<String, UpbitError> {
    Ok(array(FAMILY.requested_markets(simulation, target)?.into_iter().map(|market| {
        let levels = grouping_steps(market).map(|level| json_string(&plain8(level)));
        Object::new()
            .text("market", &market.symbol)
            .text("quote_currency", "KRW")
            .text("tick_size", &plain8(market.tick_size()))
            .raw("supported_levels", array(levels))
            .end()
    })))
}

/// Returns the steps that a book can be grouped by, in units: 0, and those of 1, 10, 100… KRW above the tick size and
/// below the price.
fn grouping_steps(market: &SimulatedMarket) -> impl Iterator<Item = i64> {
    let (tick_size, price) = (market.tick_size(), market.trade_log.last().map_or(0, |trade| trade.price));
    let tens = std::iter::successors(Some(1_i64), |ten| ten.checked_mul(10));
    let tens = tens.skip_while(move |ten| *ten <= tick_size).take_while(move |ten| *ten < price);
    std::iter::once(0).chain(tens.take(GROUPING_STEPS_MAX))
}

/// Encodes a ticker frame.
pub fn ticker_frame(figures: &TickerFigures<'_>, stream_type: &str) -> String {
    FAMILY.ticker(&FAMILY.stream_ticker, figures, stream_type)
}
