//! What faults change in the markets and in what a venue reports of them, apart from how they are injected.

use std::ops::Range;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

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

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Seconds.
    S,
    /// Milliseconds, which the venues use.
    #[default]
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

impl TimeUnit {
    /// Converts a time from Unix ms to this unit.
    pub fn from_millis(self, ms: i64) -> i64 {
        match self {
            Self::S => ms.div_euclid(1000),
            Self::Ms => ms,
            Self::Us => ms.saturating_mul(1000),
            Self::Ns => ms.saturating_mul(1_000_000),
        }
    }
}
