//! Estimates the venue's clock from the dates of its responses.
//!
//! The estimate is relative to our monotonic clock, so that neither a step of
//! our wall clock nor a suspended machine moves it. Pure: time is an argument.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::market::{Now, VenueClock};

/// Round-trip limit of a sample: the date was set at some moment of the round trip.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(2);

/// Round-trip limit of the first samples; looser, because there is nothing better yet.
const FIRST_ROUND_TRIP_MAX: Duration = Duration::from_secs(12);

/// A sample this far off the estimate, or off our wall clock while there is none, must be confirmed by another.
const STEP_MIN: SignedDuration = SignedDuration::from_secs(3);

/// Largest error of a date in whole seconds, taken as the middle of its second.
const DATE_ERROR_MAX: Duration = Duration::from_millis(500);

/// Each further sample moves the estimate by one part in this many of the difference.
const SMOOTHING: i32 = 8;

/// A clock sample: the date of a response, and when it was requested and received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSample {
    /// The `Date` of the response, moved to the middle of its second.
    pub date: Timestamp,
    /// When it was requested (monotonic).
    pub requested_at: Duration,
    /// When it arrived (monotonic).
    pub received_at: Duration,
}

/// Estimate of the venue's clock.
#[derive(Debug, Default)]
pub struct ClockOffset {
    estimate: Option<VenueClock>,
    /// A sample far off the estimate, until another one confirms or contradicts it.
    pending: Option<VenueClock>,
}

impl ClockOffset {
    /// Returns the estimate, once there is one.
    pub fn estimate(&self) -> Option<VenueClock> {
        self.estimate
    }

    /// Returns whether there is no estimate yet and the first sample awaits a second one.
    pub fn awaits_confirmation(&self) -> bool {
        self.estimate.is_none() && self.pending.is_some()
    }

    /// Records a sample, with our own clocks showing `local`; returns whether it was accepted.
    ///
    /// A sample that is consistent with our wall clock is taken to agree with
    /// it: both clocks are most likely set by the same servers, and otherwise a
    /// base would be looked up half a second off its minute. A single sample
    /// that is far off may come from a cached response, the first one too; two
    /// that agree mean that the clock is set that way.
    pub fn observe(&mut self, sample: ClockSample, local: Now) -> bool {
        let round_trip = sample.received_at.saturating_sub(sample.requested_at);
        let round_trip_max = if self.estimate.is_some() { ROUND_TRIP_MAX } else { FIRST_ROUND_TRIP_MAX };
        let sample = VenueClock::showing(sample.date, sample.requested_at + round_trip / 2);
        let Some(sample) = sample.filter(|_| round_trip <= round_trip_max) else { return false };
        let local = VenueClock::showing(local.wall, local.monotonic);
        let sample = local.filter(|local| is_within(sample, *local, DATE_ERROR_MAX + round_trip / 2)).unwrap_or(sample);
        let distance = |other: VenueClock| sample.at_zero.duration_since(other.at_zero);
        match (self.estimate, self.estimate.or(local)) {
            (Some(known), _) if distance(known).abs() < STEP_MIN => {
                let adjusted = known.at_zero.checked_add(distance(known) / SMOOTHING);
                self.estimate = adjusted.ok().map(|at_zero| VenueClock { at_zero });
            }
            (_, Some(expected))
                if distance(expected).abs() >= STEP_MIN
                    && self.pending.is_none_or(|pending| distance(pending).abs() >= STEP_MIN) =>
            {
                self.pending = Some(sample);
                return false;
            }
            _ => self.estimate = Some(sample),
        }
        self.pending = None;
        true
    }
}

fn is_within(a: VenueClock, b: VenueClock, max: Duration) -> bool {
    a.at_zero.duration_since(b.at_zero).unsigned_abs() <= max
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Timestamp = Timestamp::UNIX_EPOCH;

    /// Our own clock, years off the dates of these tests.
    const LOCAL: Now = Now { wall: Timestamp::constant(1_000_000_000, 0), monotonic: Duration::ZERO };

    fn dated(ahead_ms: i64, requested_ms: u64, round_trip_ms: u64) -> ClockSample {
        let (requested, arrived) =
            (Duration::from_millis(requested_ms), Duration::from_millis(requested_ms + round_trip_ms));
        let middle = i64::try_from(requested_ms + round_trip_ms / 2).unwrap();
        let date = Timestamp::from_millisecond(middle + ahead_ms).unwrap();
        ClockSample { date, requested_at: requested, received_at: arrived }
    }

    fn ahead_ms(clock: &ClockOffset) -> Option<i64> {
        clock.estimate().map(|known| known.at_zero.duration_since(ZERO).as_millis().try_into().unwrap())
    }

    #[test]
    fn a_confirmed_first_sample_is_adopted_at_once_and_later_ones_adjust_it() {
        let mut clock = ClockOffset::default();
        assert_eq!(ahead_ms(&clock), None);
        assert!(!clock.observe(dated(3_600_000, 4_000, 100), LOCAL), "far off our own clock");
        assert_eq!(ahead_ms(&clock), None);
        assert!(clock.observe(dated(3_600_000, 5_000, 100), LOCAL));
        assert_eq!(ahead_ms(&clock), Some(3_600_000), "an hour off at once, not gradually");
        assert!(clock.observe(dated(3_600_800, 6_000, 100), LOCAL));
        assert_eq!(ahead_ms(&clock), Some(3_600_100));
    }

    #[test]
    fn one_odd_sample_changes_nothing_and_two_that_agree_do() {
        let local = Now { wall: ZERO, monotonic: Duration::ZERO };
        let mut clock = ClockOffset::default();
        assert!(!clock.observe(dated(10_800_000, 0, 100), local), "the first one may come from a cache too");
        assert_eq!(ahead_ms(&clock), None);
        assert!(clock.observe(dated(100, 500, 100), local), "it did");
        assert_eq!(ahead_ms(&clock), Some(0));
        assert!(!clock.observe(dated(-60_000, 1_000, 100), LOCAL));
        assert!(clock.observe(dated(80, 2_000, 100), LOCAL), "it came from a cache");
        assert!(!clock.observe(dated(-60_000, 3_000, 100), LOCAL));
        assert!(!clock.observe(dated(60_000, 4_000, 100), LOCAL));
        assert_eq!(ahead_ms(&clock), Some(10));
        assert!(clock.observe(dated(60_500, 5_000, 100), LOCAL));
        assert_eq!(ahead_ms(&clock), Some(60_500));
    }

    #[test]
    fn a_sample_with_a_long_round_trip_is_ignored() {
        let mut clock = ClockOffset::default();
        let local = Now { wall: ZERO, monotonic: Duration::ZERO };
        assert!(!clock.observe(dated(0, 0, 600_000), local), "the process or the machine was stopped meanwhile");
        assert!(clock.observe(dated(0, 700_000, 8_000), local), "better than nothing");
        assert!(!clock.observe(dated(1_000, 800_000, 3_000), LOCAL));
        assert_eq!(ahead_ms(&clock), Some(0));
    }

    #[test]
    fn a_sample_consistent_with_our_wall_clock_is_taken_to_agree_with_it() {
        let mut clock = ClockOffset::default();
        let local = Now { wall: ZERO, monotonic: Duration::ZERO };
        for (ahead, shown) in [(490, 0), (-520, 0), (-500, 0), (540, 0), (-640, -80)] {
            clock.observe(dated(ahead, 5_000, 80), local);
            assert_eq!(ahead_ms(&clock), Some(shown), "{ahead}");
        }
    }
}
