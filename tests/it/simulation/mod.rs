//! Days of trading in seconds: the fake exchanges' own words, through the translators, the board, the store and the hub,
//! to the JSON that a client gets, against the truth at every minute.
//!
//! No sockets and no sleeping: the world, the program and the present are all moved by hand. The truth is the fake's list
//! of trades; what should be known is worked out by a plain model of who spoke for which minute ([`lane`]), and the
//! expected change in whole numbers ([`truth`]). Nothing of the code under test takes part in either.
//!
//! Each seed is another day: other markets, other outages, pauses, restarts and clocks. `SISEPAN_SEED=7` plays one of
//! them alone, `SISEPAN_SEEDS=10000` more of them than the thousand.

mod day;
mod lane;
mod truth;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use day::{Day, Tally};

const SEEDS: u64 = 1000;

/// So many of the changes looked at must be known, in hundredths: a program that knows nothing must fail.
const KNOWN_MIN: u64 = 85;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, it is {text:?}")))
}

#[test]
fn the_shown_change_is_the_exact_one_at_every_minute_of_a_thousand_days() {
    let seeds =
        setting("SISEPAN_SEED").map_or_else(|| 0..setting("SISEPAN_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let (next, failed, all) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()), Mutex::new(Tally::default()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || !failed.lock().unwrap().is_empty() {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| Day::new(seed).run())) {
                        Ok(tally) => all.lock().unwrap().add(&tally),
                        Err(_) => failed.lock().unwrap().push(seed),
                    }
                }
            });
        }
    });
    let (failed, all) = (failed.into_inner().unwrap(), all.into_inner().unwrap());
    println!("days {seeds:?}: {all:?}");
    assert!(
        failed.is_empty(),
        "days {failed:?} went wrong, see above; SISEPAN_SEED={} plays that one again",
        failed[0]
    );
    assert!(all.known + all.excused == all.looked, "{all:?}");
    assert!(all.known * 100 >= all.looked * KNOWN_MIN, "too little is known: {all:?}");
    let seen = [all.stale, all.restarts, all.pauses, all.outages, all.live, all.by_candle, all.by_stream];
    assert!(seeds.end - seeds.start < 100 || seen.iter().all(|&times| times > 0), "something never happened: {all:?}");
}
