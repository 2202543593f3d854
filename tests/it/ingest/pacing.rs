//! Token buckets and back-off, over many generated cases.

use std::time::Duration;

use proptest::prelude::*;
use sisepan::ingest::{Backoff, TokenBucket};
use sisepan::venue::Rate;

proptest! {
    #[test]
    fn in_14_back_off_stays_within_its_bounds(min in 1u64..2_000, max in 1u64..120_000, tries in 1usize..200) {
        let (min, max) = (Duration::from_millis(min), Duration::from_millis(max));
        let mut backoff = Backoff::new(min, max);
        for at in 0..tries {
            let wait = backoff.after_failure();
            prop_assert!(wait <= max);
            prop_assert!(wait <= min.saturating_mul(1 << at.min(20)));
            prop_assert!(wait >= min.min(max) / 10);
        }
        backoff.reset();
        prop_assert!(backoff.after_failure() <= min);
    }

    #[test]
    fn a_bucket_never_exceeds_the_documented_limit_in_any_window(
        weight in 1u32..200,
        steps in prop::collection::vec((1u32..20, 0u64..400), 1..300),
    ) {
        let window = Duration::from_secs(1);
        let mut bucket = TokenBucket::half_of(Rate { units: weight, window }, Duration::ZERO);
        let (mut now, mut spent) = (Duration::ZERO, Vec::new());
        for (tokens, wait_ms) in steps {
            now += Duration::from_millis(wait_ms);
            let tokens = tokens.min((weight / 2).max(1));
            if bucket.try_acquire(tokens, 0, now).is_ok() {
                spent.push((now, tokens));
            }
        }
        for (from, _) in &spent {
            let inside = spent.iter().filter(|(at, _)| at >= from && *at < *from + window);
            prop_assert!(inside.map(|(_, tokens)| tokens).sum::<u32>() <= weight);
        }
    }

    #[test]
    fn in_22_no_sequence_of_restarts_exceeds_the_documented_limit_in_any_window(
        weight in 1u32..200,
        runs in prop::collection::vec((0u64..3000, prop::collection::vec((1u32..20, 0u64..400), 0..40)), 1..30),
    ) {
        let window = Duration::from_secs(1);
        let (mut now, mut spent) = (Duration::ZERO, Vec::new());
        for (down_ms, steps) in runs {
            now += Duration::from_millis(down_ms);
            // Each run starts with a new bucket.
            let mut bucket = TokenBucket::for_limit(Rate { units: weight, window }, now);
            for (tokens, wait_ms) in steps {
                now += Duration::from_millis(wait_ms);
                let tokens = tokens.min((weight / 4).max(1));
                if bucket.try_acquire(tokens, 0, now).is_ok() {
                    spent.push((now, tokens));
                }
            }
        }
        for (from, _) in &spent {
            let inside = spent.iter().filter(|(at, _)| at >= from && *at < *from + window);
            prop_assert!(inside.map(|(_, tokens)| tokens).sum::<u32>() <= weight);
        }
    }

    #[test]
    fn a_bucket_grants_the_tokens_after_exactly_the_wait_that_it_returned(capacity in 1u32..100, tokens in 1u32..200, window_ms in 1u64..100_000) {
        let mut bucket = TokenBucket::new(capacity, Duration::from_millis(window_ms), Duration::ZERO);
        while bucket.try_acquire(1, 0, Duration::ZERO).is_ok() {}
        let wait = bucket.try_acquire(tokens, 0, Duration::ZERO).unwrap_err();
        let just_before = wait.saturating_sub(Duration::from_nanos(2));
        prop_assert!(bucket.clone().try_acquire(tokens, 0, just_before).is_err());
        prop_assert!(bucket.try_acquire(tokens, 0, wait).is_ok());
    }
}

#[test]
fn in_14_the_jitter_is_full_at_the_cap_too() {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
    let waits: Vec<_> = (0..1000).map(|_| backoff.after_failure()).skip(100).collect();
    assert!(waits.iter().any(|wait| *wait < Duration::from_secs(6)));
    assert!(waits.iter().any(|wait| *wait > Duration::from_secs(54)));
}

#[test]
fn half_of_a_limit_is_used_even_if_it_is_a_single_request() {
    const WINDOWS: u32 = 120;
    for (units, seconds) in [(1, 1), (1, 60), (2, 1), (10, 60), (1200, 60)] {
        let rate = Rate { units, window: Duration::from_secs(seconds) };
        for mut bucket in [TokenBucket::half_of(rate, Duration::ZERO), TokenBucket::for_limit(rate, Duration::ZERO)] {
            while bucket.try_acquire(1, 0, Duration::ZERO).is_ok() {}
            let steps_per_window = 8 * units;
            let times = (1..=steps_per_window * WINDOWS).map(|step| rate.window * step / steps_per_window);
            let granted = times.filter(|&now| bucket.try_acquire(1, 0, now).is_ok()).count();
            assert_eq!(granted, (units * WINDOWS / 2) as usize, "{rate:?}");
        }
    }
}

#[test]
fn a_reserve_is_kept_for_more_urgent_requests() {
    let mut bucket = TokenBucket::new(8, Duration::from_secs(1), Duration::ZERO);
    for _ in 0..6 {
        bucket.try_acquire(1, 2, Duration::ZERO).unwrap();
    }
    assert!(bucket.try_acquire(1, 2, Duration::ZERO).is_err());
    bucket.try_acquire(2, 0, Duration::ZERO).unwrap();
}
