//! A disk that refuses, lies about nothing, and loses power: a minute is kept once its sync has succeeded, and not before.
//!
//! The real program runs with `faulty_disk.c` loaded before its C library. What of the file would be left after a power
//! cut is what the disk was asked to sync, and said yes to.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use rust_decimal::Decimal;
use serde_json::Value;
use sisepan::clock::Clock;
use sisepan::domain::{FeedRecords, Minute};
use sisepan::store::{Restored, Settings, Store};

use super::serve::{MARKETS, Server, check_truth, look_into, now, program, set_up};
use super::setup::{Folder, VENUES, market};
use crate::preload;

pub(super) const DEADLINE: Duration = Duration::from_secs(90);

const PAGE: usize = 4096;

/// What is on its way to the disk when the power fails: the ticks and the flush of a second each, on a slow machine.
const ON_THE_WAY: SignedDuration = SignedDuration::from_secs(60);

/// See `faulty_disk.c`.
pub(super) struct Disk {
    folder: PathBuf,
    root: PathBuf,
}

impl Disk {
    /// A disk in good order, for the program whose folder this is.
    pub(super) fn new(folder: &Folder) -> Self {
        let disk = Self { folder: folder.0.join("disk"), root: folder.0.join("data") };
        std::fs::create_dir_all(disk.kept()).unwrap();
        preload::compile("store/faulty_disk.c", &disk.library());
        disk.set("");
        disk
    }

    fn library(&self) -> PathBuf {
        self.folder.join("faulty_disk.so")
    }

    fn kept(&self) -> PathBuf {
        self.folder.join("kept")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("refused")
    }

    pub(super) fn program(&self) -> Command {
        let mut program = program();
        program
            .env("LD_PRELOAD", self.library())
            .env("FAULTY_DISK_ROOT", &self.root)
            .env("FAULTY_DISK_FAULT", self.folder.join("fault"))
            .env("FAULTY_DISK_KEPT", self.kept())
            .env("FAULTY_DISK_LOG", self.log());
        program
    }

    /// At once and whole: the program may be reading it.
    pub(super) fn set(&self, fault: &str) {
        let new = self.folder.join("fault.new");
        std::fs::write(&new, fault).unwrap();
        std::fs::rename(new, self.folder.join("fault")).unwrap();
    }

    fn refused(&self) -> u64 {
        std::fs::metadata(self.log()).map_or(0, |log| log.len())
    }

    async fn until_refused(&self, more: u64) {
        let before = self.refused();
        let wait = async {
            while self.refused() < before + more {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.expect("the program tries again");
    }

    /// Waits until a power cut would leave what is wanted: it is looked at on a copy.
    async fn until_kept(&self, what: &str, is_so: impl Fn(&Restored) -> bool) {
        let copy = self.folder.join("copy");
        let look = || {
            let _ = std::fs::remove_dir_all(&copy);
            std::fs::create_dir_all(&copy).unwrap();
            for entry in std::fs::read_dir(self.kept()).unwrap() {
                let path = entry.unwrap().path();
                // The program goes on meanwhile: a file may be gone, or be copied in part. Then this look is in vain.
                let _ = std::fs::copy(&path, copy.join(path.file_name().unwrap()));
            }
            let opened = Store::open(&copy, Settings::default(), &VENUES, Clock::system());
            opened.is_ok_and(|(_, restored)| is_so(&restored))
        };
        let wait = async {
            while !tokio::task::block_in_place(look) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("never on the disk: {what}"));
    }

    /// Waits until a power cut would leave every market with its price.
    async fn until_all_kept(&self) {
        let has = |restored: &Restored, name: &str| {
            restored
                .feeds
                .iter()
                .any(|feed| feed.market == market(name) && feed.last.is_some() && !feed.hours.is_empty())
        };
        self.until_kept("all markets", |restored| MARKETS.iter().all(|name| has(restored, name))).await;
    }

    /// Puts the files into the state of after a power cut. Of the pages that were written and not synced `dice` choose which
    /// have reached the disk; without dice none has.
    fn lose_power(&self, mut dice: Option<&mut Pcg64>) {
        for entry in std::fs::read_dir(&self.root).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            if name == sisepan::store::LOCK {
                continue;
            }
            let synced =
                std::fs::read(self.kept().join(name)).ok().filter(|_| !name.to_string_lossy().ends_with("-shm"));
            let Some(mut left) = synced else {
                std::fs::remove_file(path).unwrap();
                continue;
            };
            if let Some(dice) = &mut dice {
                for (at, page) in std::fs::read(&path).unwrap().chunks(PAGE).enumerate() {
                    if dice.random_range(0..2) == 0 {
                        let end = at * PAGE + page.len();
                        left.resize(left.len().max(end), 0);
                        left[at * PAGE..end].copy_from_slice(page);
                    }
                }
            }
            std::fs::write(path, left).unwrap();
        }
    }
}

fn saved_at(readyz: &Value) -> Option<Timestamp> {
    readyz["store"]["saved_at"].as_str().and_then(|at| at.parse().ok())
}

/// Waits until what was known at `since` is said to be saved, while prices go on.
pub(super) async fn until_saved(server: &Server, since: Timestamp) {
    let mut before = Some(since);
    // The first commit after it may hold what was handed over before it, and the second what was handed over while the
    // first was being written. What the third holds was handed over after the second had been taken.
    for _ in 0..3 {
        let saved = |answer: &Value| answer["store"]["persisting"] == true && saved_at(answer) > before;
        before = saved_at(&server.until("/readyz", saved).await);
    }
}

async fn until_shown(server: &Server, name: &str, last: &str) {
    let is_so = |answer: &Value| {
        let rows = answer["rows"].as_array().unwrap();
        rows.iter().any(|row| row["market"] == name && row["last"] == last && row["state"] == "live")
    };
    server.until("/api/v1/snapshot", is_so).await;
}

/// The minutes that the store knows of a market, none of them other than it was; and the last price.
fn kept(fake: &sisepan::fake::Fake, data: &str) -> Vec<(Vec<Minute>, Decimal, Timestamp)> {
    let (store, restored) = look_into(data);
    store.close();
    assert_eq!(restored.damaged, 0);
    let names = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let aside: Vec<_> = names.filter(|name| name.contains("damaged")).collect();
    assert!(aside.is_empty(), "{aside:?}");
    let of = |name: &&str| {
        let feed = restored.feeds.iter().find(|feed| feed.market == market(name)).expect("a feed is kept");
        let last = feed.last.as_ref().expect("a last price is kept");
        (check_truth(fake, name, &feed.hours), last.last.get(), last.confirmed_at)
    };
    MARKETS.iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_61_in_63_a_disk_that_refuses_is_told_prices_go_on_and_all_is_written_when_it_works_again() {
    let (folder, fake, data) = set_up().await;
    let disk = Disk::new(&folder);
    let server = Server::start(&folder, &mut disk.program());
    server.is_live().await;
    disk.until_all_kept().await;
    let mut price = 100_000_000;
    for (fault, reason) in [("sync", "disk I/O"), ("write", "disk I/O"), ("full", "full"), ("readonly", "")] {
        disk.set(fault);
        let told = server.until("/readyz", |answer| answer["store"]["persisting"] == false).await;
        let said = told["store"]["reason"].as_str().unwrap();
        assert!(said.contains(reason) && !said.is_empty(), "{fault}: {told}");
        assert_eq!(told["ready"], true, "{fault}");
        price += 1_000_000;
        fake.set_price("upbit", "BTC-KRW", Decimal::from(price), true).unwrap();
        until_shown(&server, "BTC-KRW", &price.to_string()).await;
        // It tries again and again, and never says that something was saved.
        disk.until_refused(4).await;
        let still = server.get("/readyz");
        assert!(
            still["store"]["persisting"] == false && saved_at(&still) == saved_at(&told),
            "{fault}: {still}, {told}"
        );
        disk.set("");
        let ended = now();
        until_saved(&server, ended).await;
        assert!(server.get("/readyz")["store"]["reason"].is_null());
    }
    assert!(server.terminate().success());
    assert_eq!(kept(&fake, &data)[0].1, Decimal::from(price));
    fake.shutdown().await;
}

/// A later sync that succeeds says nothing of what an earlier one has lost: it must have been written again.
#[tokio::test(flavor = "multi_thread")]
async fn in_61_what_a_failed_sync_has_lost_is_on_the_disk_once_it_is_said_to_be_saved() {
    let (folder, fake, data) = set_up().await;
    let disk = Disk::new(&folder);
    let server = Server::start(&folder, &mut disk.program());
    server.is_live().await;
    // There is a log by now, behind which the next words would be appended.
    disk.until_all_kept().await;
    disk.set("sync");
    server.until("/readyz", |answer| answer["store"]["persisting"] == false).await;
    disk.until_refused(4).await;
    let price = Decimal::from(123_456_000);
    fake.set_price("upbit", "BTC-KRW", price, true).unwrap();
    until_shown(&server, "BTC-KRW", "123456000").await;
    disk.until_refused(4).await;
    disk.set("");
    until_saved(&server, now()).await;
    let is_it = |feed: &FeedRecords| feed.last.as_ref().is_some_and(|last| last.last.get() == price);
    disk.until_kept("the price of meanwhile", |restored| restored.feeds.iter().any(is_it)).await;
    server.kill();
    disk.lose_power(None);
    let kept = kept(&fake, &data);
    assert_eq!(kept[0].1, price);
    assert!(kept.iter().all(|(minutes, ..)| !minutes.is_empty()));
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_61_after_power_cuts_the_store_opens_with_all_but_the_last_moment_and_nothing_false() {
    let (folder, fake, data) = set_up().await;
    let disk = Disk::new(&folder);
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut dice = Pcg64::seed_from_u64(seed);
    let mut known: Vec<Vec<Minute>> = Vec::new();
    for life in 0..6 {
        let server = Server::start(&folder, &mut disk.program());
        server.is_live().await;
        disk.until_all_kept().await;
        until_saved(&server, now()).await;
        // Any moment of a flush will do, and those of a backfill with the first lives.
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..2500))).await;
        let saved = saved_at(&server.get("/readyz")).unwrap();
        server.kill();
        disk.lose_power(Some(&mut dice).filter(|_| life % 2 == 1));
        let now_kept = kept(&fake, &data);
        for (at, (minutes, _, confirmed_at)) in now_kept.iter().enumerate() {
            assert!(saved.duration_since(*confirmed_at) < ON_THE_WAY, "life {life}: {confirmed_at}, saved at {saved}");
            let oldest = Minute::of(now()).plus(-24 * 60);
            let before = known.get(at).into_iter().flatten().filter(|minute| **minute > oldest);
            let lost: Vec<_> = before.filter(|minute| !minutes.contains(minute)).collect();
            assert!(lost.is_empty() && !minutes.is_empty(), "life {life}: {lost:?} of {} are lost", MARKETS[at]);
        }
        known = now_kept.into_iter().map(|(minutes, ..)| minutes).collect();
        // The disk holds what the look has left there: that program, too, was told that all is synced.
        std::fs::remove_dir_all(disk.kept()).unwrap();
        std::fs::create_dir_all(disk.kept()).unwrap();
        for entry in std::fs::read_dir(&disk.root).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), disk.kept().join(entry.file_name())).unwrap();
        }
    }
    fake.shutdown().await;
}

/// The program begins on a disk that has become read-only: what is on it is shown, and written to when that is over.
#[tokio::test(flavor = "multi_thread")]
async fn in_63_a_start_on_a_read_only_disk_shows_what_is_there_and_writes_when_it_can() {
    let (folder, fake, data) = set_up().await;
    let disk = Disk::new(&folder);
    let server = Server::start(&folder, &mut disk.program());
    server.is_live().await;
    assert!(server.terminate().success());
    let before = kept(&fake, &data);
    disk.set("readonly");
    fake.fault(r#"{"fault":"status","status":503}"#).unwrap();
    fake.fault(r#"{"fault":"status","status":503,"on":"stream"}"#).unwrap();
    let server = Server::start(&folder, &mut disk.program());
    for (row, (name, (_, last, _))) in server.rows().iter().zip(MARKETS.iter().zip(&before)) {
        assert!(row["market"] == *name && row["state"] == "stale", "{row}");
        assert_eq!(row["last"].as_str().unwrap().parse(), Ok(*last), "{row}");
    }
    let told = server.get("/readyz");
    assert!(told["ready"] == true && told["store"]["persisting"] == false, "{told}");
    fake.fault(r#"{"fault":"none"}"#).unwrap();
    fake.set_price("upbit", "BTC-KRW", Decimal::from(98_765_000), true).unwrap();
    until_shown(&server, "BTC-KRW", "98765000").await;
    disk.set("");
    until_saved(&server, now()).await;
    // At its end it writes what was learned since.
    assert!(server.terminate().success());
    assert_eq!(kept(&fake, &data)[0].1, Decimal::from(98_765_000));
    fake.shutdown().await;
}
