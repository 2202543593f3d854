//! High and low of the last 24 hours, computed from a window only when they can have changed.

use jiff::Timestamp;

use crate::market::{Basis, Minute, Price, Window};

/// A day counts as complete even if this many of the newest minutes are not known yet.
const UNKNOWN_MINUTES_MAX: i64 = 2;

/// The lowest and the highest minute close of a day of a window.
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
