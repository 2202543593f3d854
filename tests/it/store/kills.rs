//! `kill -9` at any moment: what was acknowledged is there, and everything that is there is true.
//!
//! The child is this test program itself: it writes one minute of every market at a time, as fast as the disk
//! allows, and prints each minute that is saved.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::RngExt as _;
use sisepan::clock::Clock;
use sisepan::feed::FeedRecords;
use sisepan::market::{HourRecord, Market, Minute, Window};
use sisepan::store::{Store, StoreSettings};

use super::setup::{
    self, FIRST, FLUSH_MAX, Folder, UPBIT, VENUES, all_hours, check_hours, markets, true_hour, true_last,
};
use crate::from_env;

const FOLDER: &str = "SISEPAN_TEST_STORE";
const NEXT: &str = "SISEPAN_TEST_NEXT";

fn settings() -> StoreSettings {
    StoreSettings { retention_days: 2, flush_every: Duration::from_millis(1), ..StoreSettings::default() }
}

/// Writes minutes until `enough` returns true, and prints each one that is on disk.
fn write(folder: &std::path::Path, from: Minute, enough: impl Fn(Minute) -> bool) {
    let clock = Clock::manual(from.start());
    let store = Store::open(folder, settings(), &VENUES, clock.clone()).unwrap().0;
    let mut minute = from;
    while !enough(minute) {
        clock.set_wall(minute.end());
        let next = minute.plus(1);
        let records = markets().into_iter().map(|market| FeedRecords {
            venue: UPBIT,
            last: Some(true_last(&market, next)),
            listing: None,
            hours: vec![true_hour(&market, HourRecord::hour_of(minute), next)],
            market,
            reset: false,
        });
        store.save(records.collect());
        assert!(store.flush(FLUSH_MAX));
        println!("saved {}", minute.0);
        std::io::stdout().flush().unwrap();
        minute = next;
    }
}

/// As the child of the next test it writes until it is killed; as a test of its own, ten minutes.
#[test]
fn the_child_process_saves_every_minute() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let next = std::env::var(NEXT).unwrap().parse().unwrap();
        return write(&PathBuf::from(folder), Minute(next), |_| false);
    }
    let folder = Folder::new();
    let end = FIRST.plus(70);
    write(&folder.0, FIRST.plus(60), |minute| minute == end);
    let store = setup::open(&folder.0, end).0;
    assert_eq!(all_hours(&store, UPBIT, &markets()[0]), [true_hour(&markets()[0], FIRST.plus(60), end)]);
}

/// Runs a child, kills it after `lifetime`, and returns the last minute that it printed as saved.
fn run_and_kill(folder: &Folder, next: Minute, lifetime: Duration) -> Option<Minute> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["store::kills::the_child_process_saves_every_minute", "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, &folder.0)
        .env(NEXT, next.0.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let lines = output.lines().map_while(Result::ok);
        lines.filter_map(|line| line.split("saved ").nth(1).and_then(|minute| minute.parse().ok())).last()
    });
    std::thread::sleep(lifetime);
    child.kill().unwrap();
    let ended = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(!errors.contains("panicked"), "{errors}");
    reader.join().unwrap().map(Minute)
}

#[test]
#[ignore = "slow"]
fn after_kill_9_at_any_moment_nothing_is_lost_and_nothing_is_wrong() {
    let kills = from_env::number("KILLS", 200_i64);
    let mut rng = from_env::rng();
    let folder = Folder::new();
    let begin = FIRST.plus(120);
    let (mut next, mut known_by_market) = (begin, BTreeMap::<Market, usize>::new());
    let mut empty = 0;
    for kill in 0..kills {
        let lifetime = Duration::from_millis(rng.random_range(1..120));
        let last_saved = run_and_kill(&folder, next, lifetime);
        empty += usize::from(last_saved.is_none());
        let acknowledged = last_saved.map_or(next, |minute| minute.plus(1));
        // The minute that was being written may be there too.
        let latest = acknowledged.plus(1);
        let (store, restored) = Store::open(&folder.0, settings(), &VENUES, Clock::manual(latest.start())).unwrap();
        assert_eq!(restored.damaged, 0, "after kill {kill}");
        let from = begin.max(latest.plus(-24 * 60));
        for market in markets() {
            let feed = restored.feeds.iter().find(|feed| feed.market == market);
            let hours = feed.map(|feed| feed.hours.clone()).unwrap_or_default();
            let mut window = Window::default();
            window.restore(&hours);
            assert_eq!(window.missing(from..acknowledged), vec![], "after kill {kill} of {market}");
            assert_ne!(window.missing(latest..latest.plus(1)), vec![], "{market} has a minute of the future");
            let known = check_hours(&market, &hours, from..acknowledged);
            if acknowledged > begin {
                assert!(feed.unwrap().last.as_ref().unwrap().confirmed_at >= acknowledged.start());
            }
            known_by_market.insert(market, known);
        }
        if kill % 50 == 49 {
            for market in markets() {
                check_hours(&market, &all_hours(&store, UPBIT, &market), begin..latest);
            }
        }
        store.close();
        next = acknowledged;
    }
    println!(
        "{kills} kills, {empty} before anything was saved, {} minutes saved, known at the end {known_by_market:?}",
        next.0 - begin.0
    );
    assert!(next.0 - begin.0 > kills / 2, "hardly anything was written between the kills");
}
