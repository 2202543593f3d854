//! The number of decimal places that a venue has recently sent for a market.

use std::time::Duration;

/// A number of decimal places that no price has needed for this long is dropped.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// When each number of decimal places was last seen, by the monotonic clock.
#[derive(Debug, Default)]
pub struct RecentDecimalPlaces(Vec<(u32, Option<Duration>)>);

impl RecentDecimalPlaces {
    /// Records the decimal places of a price that was received at `now`.
    pub fn record(&mut self, places: u32, now: Duration) {
        self.0.retain(|(seen, _)| *seen != places);
        self.0.push((places, Some(now)));
    }

    /// Restores the number from a previous run; it expires as if it were seen at the next [`Self::expire`].
    pub fn restore(&mut self, places: u32) {
        self.0 = vec![(places, None)];
    }

    /// Drops the numbers that were last seen too long ago.
    pub fn expire(&mut self, now: Duration) {
        self.0.iter_mut().for_each(|(_, at)| *at = at.or(Some(now)));
        self.0.retain(|(_, at)| at.is_none_or(|at| now.saturating_sub(at) <= KEPT_FOR));
    }

    /// Returns the largest number of decimal places seen recently.
    pub fn max(&self) -> u32 {
        self.0.iter().map(|(places, _)| *places).max().unwrap_or(0)
    }
}
