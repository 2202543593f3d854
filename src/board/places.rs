//! How many decimal places a venue has lately sent for a market.

use std::time::Duration;

/// Places that no price has needed for so long are not shown any more.
const REMEMBERED: Duration = Duration::from_secs(60);

/// When each number of places was last seen, by the monotonic clock.
#[derive(Debug, Default)]
pub struct RecentPlaces(Vec<(u32, Option<Duration>)>);

impl RecentPlaces {
    /// Notes the places of a price that came at `now`.
    pub fn note(&mut self, places: u32, now: Duration) {
        self.0.retain(|(seen, _)| *seen != places);
        self.0.push((places, Some(now)));
    }

    /// Takes in what another life of the process had seen; it is remembered from the next [`Self::forget`] on.
    pub fn restore(&mut self, places: u32) {
        self.0 = vec![(places, None)];
    }

    /// Forgets what was seen too long ago.
    pub fn forget(&mut self, now: Duration) {
        self.0.iter_mut().for_each(|(_, at)| *at = at.or(Some(now)));
        self.0.retain(|(_, at)| at.is_none_or(|at| now.saturating_sub(at) <= REMEMBERED));
    }

    /// Returns the most places seen lately.
    pub fn most(&self) -> u32 {
        self.0.iter().map(|(places, _)| *places).max().unwrap_or(0)
    }
}
