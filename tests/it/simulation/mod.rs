//! Simulated days of trading: payloads of the fake exchanges pass the parsers, the board, the store and the
//! hub, to the JSON that a client gets, which is compared with the truth at every minute.
//!
//! There are no sockets and no sleeps: the test advances the exchanges, the program and the time. The truth is
//! the fake's trade log. A reference model of the evidence for each minute ([`market_model`]) determines which changes
//! must be known, and [`truth`] computes the expected change in whole numbers. Neither uses the code under test.
//!
//! Each number is a different day, with its own markets, outages, pauses, restarts and clocks. `DAY=7`
//! runs one day alone, `DAYS=10000` more days than the default thousand.

mod day;
mod market_model;
mod truth;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use day::{Day, Tally};

use crate::from_env;

const DAYS: u64 = 1000;

/// Minimum share of checked changes that must be known, in percent: a program that knows nothing must fail.
const KNOWN_MIN: u64 = 85;

#[test]
#[ignore = "slow"]
fn the_shown_change_is_the_exact_one_at_every_minute_of_a_thousand_days() {
    let days = match from_env::set("DAY") {
        Some(day) => day..day + 1,
        None => 0..from_env::number("DAYS", DAYS),
    };
    let (next, failed, all) = (AtomicU64::new(days.start), Mutex::new(Vec::new()), Mutex::new(Tally::default()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let day = next.fetch_add(1, Ordering::Relaxed);
                    if day >= days.end || !failed.lock().unwrap().is_empty() {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| Day::new(day).run())) {
                        Ok(tally) => all.lock().unwrap().add(&tally),
                        Err(_) => failed.lock().unwrap().push(day),
                    }
                }
            });
        }
    });
    let (failed, all) = (failed.into_inner().unwrap(), all.into_inner().unwrap());
    println!("days {days:?}: {all:?}");
    assert!(failed.is_empty(), "days {failed:?} failed, see above; DAY={} repeats the first one", failed[0]);
    assert!(all.known + all.allowed_unknown == all.checked, "{all:?}");
    assert!(all.known * 100 >= all.checked * KNOWN_MIN, "too few changes are known: {all:?}");
    let seen = [all.stale, all.restarts, all.pauses, all.outages, all.live, all.by_candle, all.by_stream];
    assert!(days.end - days.start < 100 || seen.iter().all(|&times| times > 0), "something never happened: {all:?}");
}
