//! `kill -9` at any moment: what was acknowledged is there, and nothing is there that was not true.
//!
//! The child is this test program itself: it writes a minute of every market
//! at a time, as fast as the disk takes it, and says which minute is kept.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use sisepan::clock::Clock;
use sisepan::domain::{FeedRecords, HourRecord, Market, Minute, Window};
use sisepan::store::{Settings, Store};

use super::setup::{self, FIRST, Folder, LONG, UPBIT, VENUES, all_hours, check_hours, markets, true_hour, true_last};

const FOLDER: &str = "SISEPAN_TEST_STORE";
const NEXT: &str = "SISEPAN_TEST_NEXT";

fn settings() -> Settings {
    Settings { retention_days: 2, flush_every: Duration::from_millis(1), ..Settings::default() }
}

/// Writes minutes until `enough` says so, and tells each that is on disk.
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
            hours: vec![true_hour(&market, HourRecord::of(minute), next)],
            market,
            anew: false,
        });
        store.keep(records.collect());
        assert!(store.flush(LONG));
        println!("kept {}", minute.0);
        std::io::stdout().flush().unwrap();
        minute = next;
    }
}

/// In the child of the next test it writes until it is killed; by itself, ten minutes.
#[test]
fn the_writer_that_is_killed_writes() {
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

/// Lets a child live for so long, and returns the last minute that it said is kept.
fn life(folder: &Folder, next: Minute, long: Duration) -> Option<Minute> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["store::kills::the_writer_that_is_killed_writes", "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, &folder.0)
        .env(NEXT, next.0.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let lines = said.lines().map_while(Result::ok);
        lines.filter_map(|line| line.split("kept ").nth(1).and_then(|minute| minute.parse().ok())).last()
    });
    std::thread::sleep(long);
    child.kill().unwrap();
    let ended = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(!errors.contains("panicked"), "{errors}");
    reader.join().unwrap().map(Minute)
}

#[test]
fn after_kill_9_at_any_moment_nothing_is_lost_and_nothing_is_false() {
    let kills: usize = std::env::var("SISEPAN_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(200);
    let mut dice = Pcg64::seed_from_u64(rand::random());
    let folder = Folder::new();
    let begin = FIRST.plus(120);
    let (mut next, mut kept) = (begin, BTreeMap::<Market, usize>::new());
    let mut empty = 0;
    for kill in 0..kills {
        let long = Duration::from_millis(dice.random_range(1..120));
        let said = life(&folder, next, long);
        empty += usize::from(said.is_none());
        let acknowledged = said.map_or(next, |minute| minute.plus(1));
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
            assert_ne!(window.missing(latest..latest.plus(1)), vec![], "{market} knows the future");
            let known = check_hours(&market, &hours, from..acknowledged);
            if acknowledged > begin {
                assert!(feed.unwrap().last.as_ref().unwrap().confirmed_at >= acknowledged.start());
            }
            kept.insert(market, known);
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
        "{kills} kills, {empty} before anything was kept, {} minutes kept, known at the end {kept:?}",
        next.0 - begin.0
    );
    assert!(next.0 - begin.0 > i64::try_from(kills).unwrap() / 2, "hardly anything was written between the kills");
}
