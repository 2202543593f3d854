//! High and low of the last 24 hours, worked out from a window no more often than they can change.

use jiff::Timestamp;

use crate::domain::{Basis, Minute, Price, Window};

/// So many of the newest minutes may not be known yet without spoiling the day.
const UNTOLD_MINUTES: i64 = 2;

/// The lowest and the highest minute close of a day of a window.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extremes(Option<Sought>);

#[derive(Debug, Clone, Copy)]
struct Sought {
    from: Minute,
    to: Minute,
    known: Option<(Price, Price)>,
}

impl Extremes {
    /// Looks through the day before `at`, unless that day was already looked through.
    pub fn seek(&mut self, window: &Window, at: Timestamp) {
        let (from, now) = (Minute::of(Basis::Rolling24h.base_time(at)), Minute::of(at));
        let to = window.known_from(from).unwrap_or(from).min(now);
        if self.0.is_some_and(|sought| (sought.from, sought.to) == (from, to)) {
            return;
        }
        // Two units have no common high.
        let whole = now.plus(-UNTOLD_MINUTES) <= to && window.units().is_one(from, now);
        self.0 = Some(Sought { from, to, known: window.extremes(from, to).filter(|_| whole) });
    }

    /// Makes the next [`Extremes::seek`] look again: the window was corrected.
    pub fn forget(&mut self) {
        self.0 = None;
    }

    /// Returns low and high with the last price among them, if the whole day is known.
    pub fn with(self, last: Price) -> Option<(Price, Price)> {
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
    fn the_two_newest_minutes_may_be_untold_and_no_more() {
        for (until, is_known) in [(DAY, true), (DAY - 1, true), (DAY - 2, true), (DAY - 3, false)] {
            let mut extremes = Extremes::default();
            extremes.seek(&known(until), FIRST.plus(DAY).start());
            assert_eq!(extremes.with(price(100)).is_some(), is_known, "up to {until}");
        }
    }

    #[test]
    fn a_close_that_is_told_within_the_same_minute_counts_at_once() {
        let (mut window, mut extremes) = (known(DAY - 1), Extremes::default());
        extremes.seek(&window, FIRST.plus(DAY).start());
        assert_eq!(extremes.with(price(100)), Some((price(100), price(100))));
        let newest = FIRST.plus(DAY - 1);
        window.settle(newest..newest.plus(1), &[(newest, price(150))]);
        extremes.seek(&window, FIRST.plus(DAY).start());
        assert_eq!(extremes.with(price(100)), Some((price(100), price(150))));
    }
}
