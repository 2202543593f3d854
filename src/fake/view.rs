//! A world as one answer sees it, and the one door to the encoders.

use std::ops::Range;

use rust_decimal::Decimal;

use super::fault::Unit;
use super::query::Target;
use super::tape::Trade;
use super::units;
use super::world::{Line, World};
use super::{binance, bithumb, bithumb_old, upbit};

/// A world at an instant, with what a fault bends in it.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// The markets.
    pub world: &'a World,
    /// The instant in Unix ms.
    pub now: i64,
    /// What is bent.
    pub warp: Warp,
}

/// How the figures sent differ from the truth. The default is not at all.
#[derive(Debug, Clone, Default)]
pub struct Warp {
    /// Prices sent times a factor: of one symbol or market, or of all.
    pub spikes: Vec<(Option<String>, Decimal)>,
    /// Every time sent is this one (Unix ms).
    pub freeze: Option<i64>,
    /// Added to every time sent, in ms.
    pub skew: i64,
    /// The unit of every time sent.
    pub unit: Unit,
    /// How many trades a new connection is told again, as if they were new.
    pub replay: u32,
    /// Candles that are left out: of one symbol or market, or of all; from when until when in Unix ms.
    pub gaps: Vec<(Option<String>, Range<i64>)>,
    /// Markets that are halted: they don't trade, and their venue says so.
    pub halted: Vec<String>,
    /// Markets that their venue warns of, and how.
    pub warned: Vec<(String, Warned)>,
    /// Markets whose delisting is announced, and for which day.
    pub leaving: Vec<(String, String)>,
    /// Markets that are not listed.
    pub gone: Vec<String>,
    /// Markets that have another symbol.
    pub renamed: Vec<(String, String)>,
}

/// What a venue warns of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warned {
    /// 유의: the market is on the watch list.
    Warning,
    /// 주의: the caution of this name is in force.
    Caution(String),
}

/// An answer over HTTP.
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
    /// Answers in JSON.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json;charset=UTF-8".to_owned())];
        Self { status, headers, body: body.into().into_bytes() }
    }
}

impl<'a> View<'a> {
    /// Sees a world as it truly is at the instant it has come to.
    pub fn new(world: &'a World) -> Self {
        Self { world, now: world.now(), warp: Warp::default() }
    }

    /// Returns a trade as it is to be sent.
    pub fn bend(&self, line: &Line, trade: &Trade) -> Trade {
        let mut trade = *trade;
        trade.at = self.time(trade.at);
        for (market, factor) in &self.warp.spikes {
            if market.as_ref().is_none_or(|name| *name == line.symbol || *name == line.market) {
                let price = units::decimal(trade.price).checked_mul(*factor).map(|price| price.round_dp(units::PLACES));
                trade.price = price.and_then(units::of).unwrap_or(trade.price);
            }
        }
        trade
    }

    /// Returns a time as it is to be sent.
    pub fn time(&self, at: i64) -> i64 {
        self.warp.unit.of(self.warp.freeze.unwrap_or(at) + self.warp.skew)
    }

    /// Returns whether a candle from `start` to `end` is left out: one that lies in a gap from end to end.
    pub fn leaves_out(&self, line: &Line, start: i64, end: i64) -> bool {
        let named = |name: &Option<String>| name.as_ref().is_none_or(|name| line.is_called(name));
        self.warp.gaps.iter().any(|(name, gap)| gap.start <= start && end <= gap.end && named(name))
    }
}

/// Answers a request to a venue's REST API; the path is the venue's own, without our prefix.
///
/// Request limits are not counted here.
pub fn rest(venue: &str, view: &View<'_>, path_and_query: &str) -> FakeResponse {
    let target = Target::parse(path_and_query);
    match venue {
        "upbit" => upbit::rest(view, &target),
        "bithumb" if target.path.starts_with("/public/") => bithumb_old::rest(view, &target),
        "bithumb" => bithumb::rest(view, &target),
        "binance" => binance::rest(view, &target),
        _ => FakeResponse::json(404, r#"{"error":{"name":"not_found","message":"no such venue"}}"#),
    }
}
