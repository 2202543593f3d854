//! 24-hour figures reported by the venue itself, with expiry.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use crate::market::{Price, Ticker};

/// A figure that was not repeated for this long no longer belongs to the 24 hours of the price beside it.
const VALID_FOR: SignedDuration = SignedDuration::from_mins(5);

/// A base changes with every trade of a day ago, so it is not valid for the next minute's price.
const BASE_VALID_FOR: SignedDuration = SignedDuration::from_mins(1);

/// Latest reported value of each 24-hour figure with its venue timestamp; values expire.
///
/// A ticker need not contain all of them: a missing figure keeps its last value, but only for a
/// limited time, since the 24 hours that it describes move on.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReportedDay {
    high: Reported<Price>,
    low: Reported<Price>,
    base_volume: Reported<Decimal>,
    quote_volume: Reported<Decimal>,
    base: Reported<Price>,
}

type Reported<T> = Option<(T, Timestamp)>;

impl ReportedDay {
    /// Applies the figures of a ticker, reported at venue time `at`.
    pub fn apply(&mut self, ticker: &Ticker, at: Timestamp) {
        let updated = |new: Option<Price>, old| new.map(|new| (new, at)).or(old);
        self.high = updated(ticker.high_24h, self.high);
        self.low = updated(ticker.low_24h, self.low);
        self.base = updated(ticker.base_24h, self.base);
        self.base_volume = ticker.base_volume_24h.map(|new| (new, at)).or(self.base_volume);
        self.quote_volume = ticker.quote_volume_24h.map(|new| (new, at)).or(self.quote_volume);
    }

    /// Limits all timestamps to `at`, after the venue's clock was set back.
    pub fn clamp_times(&mut self, at: Timestamp) {
        fn clamp<T>(reported: Reported<T>, at: Timestamp) -> Reported<T> {
            reported.map(|(value, then)| (value, then.min(at)))
        }
        (self.high, self.low, self.base) = (clamp(self.high, at), clamp(self.low, at), clamp(self.base, at));
        (self.base_volume, self.quote_volume) = (clamp(self.base_volume, at), clamp(self.quote_volume, at));
    }

    /// Returns the highest price of the 24 hours before `at`, unless it has expired.
    pub fn high(&self, at: Timestamp) -> Option<Price> {
        valid_at(self.high, at, VALID_FOR)
    }

    /// Returns the lowest price of the 24 hours before `at`, unless it has expired.
    pub fn low(&self, at: Timestamp) -> Option<Price> {
        valid_at(self.low, at, VALID_FOR)
    }

    /// Returns the volume of the 24 hours before `at` in the base asset, unless it has expired.
    pub fn base_volume(&self, at: Timestamp) -> Option<Decimal> {
        valid_at(self.base_volume, at, VALID_FOR)
    }

    /// Returns the volume of the 24 hours before `at` in the quote asset, unless it has expired.
    pub fn quote_volume(&self, at: Timestamp) -> Option<Decimal> {
        valid_at(self.quote_volume, at, VALID_FOR)
    }

    /// Returns the price 24 hours before `at`, unless it has expired.
    pub fn base(&self, at: Timestamp) -> Option<Price> {
        valid_at(self.base, at, BASE_VALID_FOR)
    }
}

fn valid_at<T: Copy>(reported: Reported<T>, at: Timestamp, max_age: SignedDuration) -> Option<T> {
    reported.filter(|&(_, then)| at.duration_since(then) <= max_age).map(|(value, _)| value)
}
