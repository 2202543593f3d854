//! The fault view: the simulation with the effects of faults, as one response reports it.

use super::fault_effects::FaultEffects;
use super::simulated_market::{SimulatedMarket, Simulation};
use super::trade_log::{Ohlcv, Trade};
use super::units;

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

    /// Returns the minute candles that start from `from` to `to` (Unix ms, both included) and that no fault leaves out,
    /// newest first; a minute without trades has none.
    pub fn newest_minutes<'m>(
        &'m self,
        market: &'m SimulatedMarket,
        (from, to): (i64, i64),
    ) -> impl Iterator<Item = &'m Ohlcv> {
        let minutes = market.trade_log.minute_candles(from, to.saturating_add(1)).rev();
        minutes.filter(|minute| !self.omits_minute(market, minute))
    }

    /// Returns whether a minute candle is left out, which it is if it lies wholly in a gap.
    pub fn omits_minute(&self, market: &SimulatedMarket, minute: &Ohlcv) -> bool {
        let (start, end) = (minute.start, minute.start + 60_000);
        let named = |name: &Option<String>| name.as_ref().is_none_or(|name| market.has_name(name));
        self.effects.gaps.iter().any(|(name, gap)| gap.start <= start && end <= gap.end && named(name))
    }
}
