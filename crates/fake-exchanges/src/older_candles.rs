//! The minute candles from before the oldest single trade, made when they are first needed.

use std::sync::OnceLock;

use super::trade::Ohlcv;
use super::walk::{HISTORY_TRADES_MAX, Walk};

const MINUTE: i64 = 60_000;

/// The minute candles before the first minute of a walk.
#[derive(Debug, Clone)]
pub struct OlderCandles {
    walk: Walk,
    minutes: i64,
    made: OnceLock<Vec<Ohlcv>>,
}

impl OlderCandles {
    /// Describes the candles of the `minutes` minutes before the first one of `walk`.
    pub fn new(walk: Walk, minutes: i64) -> Self {
        Self { walk, minutes, made: OnceLock::new() }
    }

    /// Returns the span that they cover, in ms.
    pub fn length(&self) -> i64 {
        self.minutes * MINUTE
    }

    /// Returns the id of their last trade.
    pub fn last_id(&self) -> u64 {
        // The maximum number of trades, so that no id is below 1.
        u64::try_from(self.minutes).unwrap_or(0) * u64::from(HISTORY_TRADES_MAX)
    }

    /// Returns the candles, oldest first, and keeps them in memory.
    pub fn all(&self) -> &[Ohlcv] {
        self.made.get_or_init(|| self.make())
    }

    /// Returns start and close of each candle, oldest first, without keeping the candles in memory.
    pub fn closes(&self) -> Vec<(i64, i64)> {
        let closes = |candles: &[Ohlcv]| candles.iter().map(|candle| (candle.start, candle.close)).collect();
        self.made.get().map_or_else(|| closes(&self.make()), |candles| closes(candles))
    }

    fn make(&self) -> Vec<Ohlcv> {
        self.walk.candles_before(self.minutes, self.last_id())
    }
}
