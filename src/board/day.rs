//! The figures of the last 24 hours: those that the venue itself reports, with expiry, and high and low computed from a
//! window.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use crate::market::{Basis, Minute, Price, Ticker, Window};

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

/// A day counts as complete even if this many of the newest minutes are not known yet.
const UNKNOWN_MINUTES_MAX: i64 = 2;

/// The lowest and the highest minute close of a day of a window, computed only when they can have changed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extremes(Option<Computed>);

#[derive(Debug, Clone, Copy)]
struct Computed {
    from: Minute,
    to: Minute,
    known: Option<(Price, Price)>,
}

impl Extremes {
    /// Computes the extremes of the day before `at`, unless they are already computed for that day.
    pub fn update(&mut self, window: &Window, at: Timestamp) {
        let (from, now) = (Minute::of(Basis::Rolling24h.base_time(at)), Minute::of(at));
        let to = window.covered_until(from).unwrap_or(from).min(now);
        if self.0.is_some_and(|computed| (computed.from, computed.to) == (from, to)) {
            return;
        }
        // Prices in different units have no common high.
        let whole = now.plus(-UNKNOWN_MINUTES_MAX) <= to && window.units().is_same_unit(from, now);
        self.0 = Some(Computed { from, to, known: window.extremes(from, to).filter(|_| whole) });
    }

    /// Discards the result, because the window was corrected: the next [`Extremes::update`] computes it again.
    pub fn invalidate(&mut self) {
        self.0 = None;
    }

    /// Returns low and high including the last price, if the whole day is known.
    pub fn including(self, last: Price) -> Option<(Price, Price)> {
        let (low, high) = self.0?.known?;
        Some((low.min(last), high.max(last)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Minute = Minute(29_000_000);
    const DAY: i64 = 24 * 60;

    fn price(units: i64) -> Price {
        Price::new(units.into()).unwrap()
    }

    /// A window that knows the minutes up to `until` of the day that ends with minute `DAY`.
    fn known(until: i64) -> Window {
        let mut window = Window::default();
        let closes: Vec<_> = (0..until).map(|n| (FIRST.plus(n), price(100))).collect();
        window.settle(FIRST..FIRST.plus(until), &closes);
        window
    }

    #[test]
    fn up_to_two_of_the_newest_minutes_may_be_unknown() {
        for (until, is_known) in [(DAY, true), (DAY - 1, true), (DAY - 2, true), (DAY - 3, false)] {
            let mut extremes = Extremes::default();
            extremes.update(&known(until), FIRST.plus(DAY).start());
            assert_eq!(extremes.including(price(100)).is_some(), is_known, "up to {until}");
        }
    }

    #[test]
    fn a_close_reported_within_the_same_minute_counts_at_once() {
        let (mut window, mut extremes) = (known(DAY - 1), Extremes::default());
        extremes.update(&window, FIRST.plus(DAY).start());
        assert_eq!(extremes.including(price(100)), Some((price(100), price(100))));
        let newest = FIRST.plus(DAY - 1);
        window.settle(newest..newest.plus(1), &[(newest, price(150))]);
        extremes.update(&window, FIRST.plus(DAY).start());
        assert_eq!(extremes.including(price(100)), Some((price(100), price(150))));
    }
}
