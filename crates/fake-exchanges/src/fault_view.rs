//! The fault view: the simulation with the effects of faults, as one response reports it; and REST dispatch.

use std::ops::Range;

use rust_decimal::Decimal;

use super::fault::TimeUnit;
use super::query::RequestTarget;
use super::simulated_market::{SimulatedMarket, Simulation};
use super::trade_log::Trade;
use super::units;
use super::{binance, bithumb, bithumb_legacy, upbit};

/// The simulation as of one instant, with the effects of the faults in force.
#[derive(Debug, Clone)]
pub struct FaultView<'a> {
    /// All markets.
    pub simulation: &'a Simulation,
    /// The instant in Unix ms.
    pub now: i64,
    /// The effects of the faults in force.
    pub effects: FaultEffects,
}

/// The combined effects of faults on what a venue reports. The default has no effect.
#[derive(Debug, Clone, Default)]
pub struct FaultEffects {
    /// Factors that prices are multiplied by, of one symbol or market, or of all.
    pub spikes: Vec<(Option<String>, Decimal)>,
    /// The time that replaces every time, in Unix ms.
    pub frozen_at: Option<i64>,
    /// Offset added to every time, in ms.
    pub skew: i64,
    /// Unit of every time.
    pub unit: TimeUnit,
    /// Number of past trades that a new connection is sent again as if they were new.
    pub replay: u32,
    /// Spans in Unix ms whose candles are left out, of one symbol or market, or of all.
    pub gaps: Vec<(Option<String>, Range<i64>)>,
    /// Markets that are halted: they don't trade, and their venue reports it.
    pub halted: Vec<String>,
    /// Markets that their venue warns of, with the warning.
    pub warnings: Vec<(String, MarketWarning)>,
    /// Markets whose delisting is announced, with its date.
    pub delistings: Vec<(String, String)>,
    /// Markets that are no longer listed.
    pub delisted: Vec<String>,
    /// Markets that have another symbol, with that symbol.
    pub renamed: Vec<(String, String)>,
}

/// A venue's warning about a market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarketWarning {
    /// 유의: the market is on the watch list.
    WatchList,
    /// 주의: the caution of this name is in force.
    Caution(String),
}

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeResponse {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl FakeResponse {
    /// Creates a response with a JSON body.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json;charset=UTF-8".to_owned())];
        Self { status, headers, body: body.into().into_bytes() }
    }
}

impl<'a> FaultView<'a> {
    /// Creates a view without faults, as of the simulation's current instant.
    pub fn new(simulation: &'a Simulation) -> Self {
        Self { simulation, now: simulation.now(), effects: FaultEffects::default() }
    }

    /// Returns a trade as it is reported: with the faults of prices and times applied.
    pub fn reported_trade(&self, market: &SimulatedMarket, trade: &Trade) -> Trade {
        let mut trade = *trade;
        trade.at = self.reported_time(trade.at);
        for (name, factor) in &self.effects.spikes {
            if name.as_ref().is_none_or(|name| *name == market.symbol || *name == market.name) {
                let price =
                    units::to_decimal(trade.price).checked_mul(*factor).map(|price| price.round_dp(units::PLACES));
                trade.price = price.and_then(units::from_decimal).unwrap_or(trade.price);
            }
        }
        trade
    }

    /// Returns a time (Unix ms) as it is reported: with the faults of times applied.
    pub fn reported_time(&self, at: i64) -> i64 {
        self.effects.unit.from_millis(self.effects.frozen_at.unwrap_or(at) + self.effects.skew)
    }

    /// Returns whether the candle from `start` to `end` is left out, which it is if it lies wholly in a gap.
    pub fn omits_candle(&self, market: &SimulatedMarket, start: i64, end: i64) -> bool {
        let named = |name: &Option<String>| name.as_ref().is_none_or(|name| market.has_name(name));
        self.effects.gaps.iter().any(|(name, gap)| gap.start <= start && end <= gap.end && named(name))
    }
}

/// Returns the response to a request to a venue's REST API; the path is without the venue prefix.
///
/// Does not count or enforce rate limits.
pub fn rest(venue: &str, view: &FaultView<'_>, path_and_query: &str) -> FakeResponse {
    let target = RequestTarget::parse(path_and_query);
    match venue {
        "upbit" => upbit::rest(view, &target),
        "bithumb" if target.path.starts_with("/public/") => bithumb_legacy::rest(view, &target),
        "bithumb" => bithumb::rest(view, &target),
        "binance" => binance::rest(view, &target),
        _ => FakeResponse::json(404, r#"{"error":{"name":"not_found","message":"no such venue"}}"#),
    }
}
