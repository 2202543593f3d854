//! The venue's clock, as the dates of its answers tell it.
//!
//! It is kept against our monotonic clock, so that neither a step of our wall
//! clock nor a machine that slept moves it. Pure: time is an argument.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::domain::{Now, VenueClock};

/// The date of an answer is of some moment of its journey: of a longer one than this it says too little.
const JOURNEY_MAX: Duration = Duration::from_secs(2);

/// Round-trip limit for the first dates; looser, because there is nothing better yet.
const FIRST_JOURNEY_MAX: Duration = Duration::from_secs(12);

/// A date that is so far off what is known, or off our own clock while nothing is, is believed when the next one agrees.
const STEP_MIN: SignedDuration = SignedDuration::from_secs(3);

/// A date of whole seconds, put in the middle of its second, lies so far beside the truth at most.
const SECOND_HALF: Duration = Duration::from_millis(500);

/// The weight of one more date is one part in so many.
const WEIGHT: i32 = 8;

/// When an answer was dated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dated {
    /// The date that it bears, in the middle of its second.
    pub date: Timestamp,
    /// When it was asked for, by the monotonic clock.
    pub asked: Duration,
    /// When it came.
    pub arrived: Duration,
}

/// What we think it shows.
#[derive(Debug, Default)]
pub struct TheirClock {
    known: Option<VenueClock>,
    doubted: Option<VenueClock>,
}

impl TheirClock {
    /// Returns it, once an answer has told it.
    pub fn known(&self) -> Option<VenueClock> {
        self.known
    }

    /// Returns whether a date waits for a second one, and nothing is known until then.
    pub fn is_doubted(&self) -> bool {
        self.known.is_none() && self.doubted.is_some()
    }

    /// Takes in one more date, where our own clock shows `ours` now; returns whether it is believed.
    ///
    /// A date that may be of our own present is taken to be: both clocks are
    /// most likely set by the same servers, and a base would else be sought
    /// half a second beside its minute. One alone that is far off may be of an
    /// old answer that somebody kept, the first one as well as any other; two
    /// that agree are a clock that is set so.
    pub fn take(&mut self, dated: Dated, ours: Now) -> bool {
        let journey = dated.arrived.saturating_sub(dated.asked);
        let long = if self.known.is_some() { JOURNEY_MAX } else { FIRST_JOURNEY_MAX };
        let told = VenueClock::showing(dated.date, dated.asked + journey / 2);
        let Some(told) = told.filter(|_| journey <= long) else { return false };
        let ours = VenueClock::showing(ours.wall, ours.monotonic);
        let told = ours.filter(|ours| is_within(told, *ours, SECOND_HALF + journey / 2)).unwrap_or(told);
        let off = |other: VenueClock| told.at_zero.duration_since(other.at_zero);
        match (self.known, self.known.or(ours)) {
            (Some(known), _) if off(known).abs() < STEP_MIN => {
                let nearer = known.at_zero.checked_add(off(known) / WEIGHT);
                self.known = nearer.ok().map(|at_zero| VenueClock { at_zero });
            }
            (_, Some(expected))
                if off(expected).abs() >= STEP_MIN
                    && self.doubted.is_none_or(|doubted| off(doubted).abs() >= STEP_MIN) =>
            {
                self.doubted = Some(told);
                return false;
            }
            _ => self.known = Some(told),
        }
        self.doubted = None;
        true
    }
}

fn is_within(a: VenueClock, b: VenueClock, most: Duration) -> bool {
    a.at_zero.duration_since(b.at_zero).unsigned_abs() <= most
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Timestamp = Timestamp::UNIX_EPOCH;

    /// Our own clock, which stands years beside all dates of these tests but the last.
    const OURS: Now = Now { wall: Timestamp::constant(1_000_000_000, 0), monotonic: Duration::ZERO };

    fn dated(ahead_ms: i64, asked_ms: u64, journey_ms: u64) -> Dated {
        let (asked, arrived) = (Duration::from_millis(asked_ms), Duration::from_millis(asked_ms + journey_ms));
        let middle = i64::try_from(asked_ms + journey_ms / 2).unwrap();
        let date = Timestamp::from_millisecond(middle + ahead_ms).unwrap();
        Dated { date, asked, arrived }
    }

    fn ahead_ms(clock: &TheirClock) -> Option<i64> {
        clock.known().map(|known| known.at_zero.duration_since(ZERO).as_millis().try_into().unwrap())
    }

    #[test]
    fn the_first_dates_are_taken_at_once_and_later_ones_draw_it_nearer() {
        let mut clock = TheirClock::default();
        assert_eq!(ahead_ms(&clock), None);
        assert!(!clock.take(dated(3_600_000, 4_000, 100), OURS), "one that is far off ours");
        assert_eq!(ahead_ms(&clock), None);
        assert!(clock.take(dated(3_600_000, 5_000, 100), OURS));
        assert_eq!(ahead_ms(&clock), Some(3_600_000), "an hour off at once, not by and by");
        assert!(clock.take(dated(3_600_800, 6_000, 100), OURS));
        assert_eq!(ahead_ms(&clock), Some(3_600_100));
    }

    #[test]
    fn one_odd_date_changes_nothing_and_two_that_agree_do() {
        let ours = Now { wall: ZERO, monotonic: Duration::ZERO };
        let mut clock = TheirClock::default();
        assert!(!clock.take(dated(10_800_000, 0, 100), ours), "the first one may be an old answer too");
        assert_eq!(ahead_ms(&clock), None);
        assert!(clock.take(dated(100, 500, 100), ours), "it was");
        assert_eq!(ahead_ms(&clock), Some(0));
        assert!(!clock.take(dated(-60_000, 1_000, 100), OURS));
        assert!(clock.take(dated(80, 2_000, 100), OURS), "it was an old answer");
        assert!(!clock.take(dated(-60_000, 3_000, 100), OURS));
        assert!(!clock.take(dated(60_000, 4_000, 100), OURS));
        assert_eq!(ahead_ms(&clock), Some(10));
        assert!(clock.take(dated(60_500, 5_000, 100), OURS));
        assert_eq!(ahead_ms(&clock), Some(60_500));
    }

    #[test]
    fn an_answer_that_was_long_on_its_way_says_nothing() {
        let mut clock = TheirClock::default();
        let ours = Now { wall: ZERO, monotonic: Duration::ZERO };
        assert!(!clock.take(dated(0, 0, 600_000), ours), "we were stopped or asleep meanwhile");
        assert!(clock.take(dated(0, 700_000, 8_000), ours), "better than nothing");
        assert!(!clock.take(dated(1_000, 800_000, 3_000), OURS));
        assert_eq!(ahead_ms(&clock), Some(0));
    }

    #[test]
    fn a_date_that_may_be_of_our_own_present_is() {
        let mut clock = TheirClock::default();
        let ours = Now { wall: ZERO, monotonic: Duration::ZERO };
        for (ahead, shown) in [(490, 0), (-520, 0), (-500, 0), (540, 0), (-640, -80)] {
            clock.take(dated(ahead, 5_000, 80), ours);
            assert_eq!(ahead_ms(&clock), Some(shown), "{ahead}");
        }
    }
}
