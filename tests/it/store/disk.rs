//! A disk that fails and loses power: a minute is saved once its sync has succeeded, and not before.
//!
//! The real program runs with `faulty_disk.c` preloaded. After a power cut a file holds what was synced
//! successfully.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::RngExt as _;
use rand_pcg::Pcg64;
use rust_decimal::Decimal;
use serde_json::Value;
use sisepan::clock::Clock;
use sisepan::feed::FeedRecords;
use sisepan::market::Minute;
use sisepan::store::{Restored, Store, StoreSettings};

use super::serve::{MARKETS, Server, check_truth, now, open_store, program, set_up};
use super::setup::{Folder, VENUES, market};
use crate::{from_env, preload};

pub(super) const DEADLINE: Duration = Duration::from_secs(90);

const PAGE: usize = 4096;

/// Age of the newest data that a power cut may lose: a tick and a flush of a second each, on a slow machine.
const UNSAVED_MAX: SignedDuration = SignedDuration::from_secs(60);

/// A directory on the emulated disk of `faulty_disk.c`.
pub(super) struct FaultyDisk {
    folder: PathBuf,
    root: PathBuf,
}

impl FaultyDisk {
    /// Creates a disk without a fault for the data of the program in `folder`.
    pub(super) fn new(folder: &Folder) -> Self {
        let disk = Self { folder: folder.0.join("disk"), root: folder.0.join("data") };
        std::fs::create_dir_all(disk.synced()).unwrap();
        preload::compile("store/faulty_disk.c", &disk.library());
        disk.set_fault("");
        disk
    }

    fn library(&self) -> PathBuf {
        self.folder.join("faulty_disk.so")
    }

    /// The directory with the synced content of each file.
    fn synced(&self) -> PathBuf {
        self.folder.join("synced")
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
            .env("FAULTY_DISK_SYNCED", self.synced())
            .env("FAULTY_DISK_LOG", self.log());
        program
    }

    /// Sets the fault atomically, since the program may be reading it.
    pub(super) fn set_fault(&self, fault: &str) {
        let new = self.folder.join("fault.new");
        std::fs::write(&new, fault).unwrap();
        std::fs::rename(new, self.folder.join("fault")).unwrap();
    }

    /// Returns how many calls were refused so far.
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
        tokio::time::timeout(DEADLINE, wait).await.expect("the program must try again");
    }

    /// Waits until `condition` holds for what a power cut would leave, read from a copy.
    async fn until_synced(&self, what: &str, condition: impl Fn(&Restored) -> bool) {
        let copy = self.folder.join("copy");
        let check = || {
            let _ = std::fs::remove_dir_all(&copy);
            std::fs::create_dir_all(&copy).unwrap();
            for entry in std::fs::read_dir(self.synced()).unwrap() {
                let path = entry.unwrap().path();
                // The program goes on meanwhile: a file may be gone, or be copied in part. The check is repeated.
                let _ = std::fs::copy(&path, copy.join(path.file_name().unwrap()));
            }
            let opened = Store::open(&copy, StoreSettings::default(), &VENUES, Clock::system());
            opened.is_ok_and(|(_, restored)| condition(&restored))
        };
        let wait = async {
            while !tokio::task::block_in_place(check) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("never synced: {what}"));
    }

    /// Waits until a power cut would leave every market with its price and hours.
    async fn until_all_synced(&self) {
        let has = |restored: &Restored, name: &str| {
            restored
                .feeds
                .iter()
                .any(|feed| feed.market == market(name) && feed.last.is_some() && !feed.hours.is_empty())
        };
        self.until_synced("all markets", |restored| MARKETS.iter().all(|name| has(restored, name))).await;
    }

    /// Puts the files into their state after a power cut. `rng` chooses which of the pages that were not synced
    /// have reached the disk; without it none has.
    fn lose_power(&self, mut rng: Option<&mut Pcg64>) {
        for entry in std::fs::read_dir(&self.root).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            if name == sisepan::store::LOCK_FILE {
                continue;
            }
            let synced =
                std::fs::read(self.synced().join(name)).ok().filter(|_| !name.to_string_lossy().ends_with("-shm"));
            let Some(mut left) = synced else {
                std::fs::remove_file(path).unwrap();
                continue;
            };
            if let Some(rng) = &mut rng {
                for (at, page) in std::fs::read(&path).unwrap().chunks(PAGE).enumerate() {
                    if rng.random_range(0..2) == 0 {
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

/// Waits until what was known at `since` is reported as saved, while prices keep arriving.
pub(super) async fn until_saved(server: &Server, since: Timestamp) {
    let mut before = Some(since);
    // The first commit after it may hold only what was handed over before it, and the second only what was handed
    // over while the first was being written. The third holds what was handed over after the second began.
    for _ in 0..3 {
        let saved = |answer: &Value| answer["store"]["persisting"] == true && saved_at(answer) > before;
        before = saved_at(&server.until("/readyz", saved).await);
    }
}

async fn until_shown(server: &Server, name: &str, last: &str) {
    let condition = |answer: &Value| {
        let rows = answer["rows"].as_array().unwrap();
        rows.iter().any(|row| row["market"] == name && row["last"] == last && row["state"] == "live")
    };
    server.until("/api/v1/snapshot", condition).await;
}

/// Returns for each market the minutes that the store knows, all checked, the last price, and its confirmation time.
fn saved_data(fake: &fake_exchanges::Fake, data: &str) -> Vec<(Vec<Minute>, Decimal, Timestamp)> {
    let (store, restored) = open_store(data);
    store.close();
    assert_eq!(restored.damaged, 0);
    let names = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let aside: Vec<_> = names.filter(|name| name.contains("damaged")).collect();
    assert!(aside.is_empty(), "{aside:?}");
    let of = |name: &&str| {
        let feed = restored.feeds.iter().find(|feed| feed.market == market(name)).expect("a feed is saved");
        let last = feed.last.as_ref().expect("a last price is saved");
        (check_truth(fake, name, &feed.hours), last.last.get(), last.confirmed_at)
    };
    MARKETS.iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn in_61_in_63_disk_errors_are_reported_prices_go_on_and_all_is_written_once_the_disk_works() {
    let (folder, fake, data) = set_up().await;
    let disk = FaultyDisk::new(&folder);
    let server = Server::start(&folder, &mut disk.program());
    server.until_live().await;
    disk.until_all_synced().await;
    let mut price = 100_000_000;
    for (fault, reason) in [("sync", "disk I/O"), ("write", "disk I/O"), ("full", "full"), ("readonly", "")] {
        disk.set_fault(fault);
        let reported = server.until("/readyz", |answer| answer["store"]["persisting"] == false).await;
        let message = reported["store"]["reason"].as_str().unwrap();
        assert!(message.contains(reason) && !message.is_empty(), "{fault}: {reported}");
        assert_eq!(reported["ready"], true, "{fault}");
        price += 1_000_000;
        fake.set_price("upbit", "BTC-KRW", Decimal::from(price), true).unwrap();
        until_shown(&server, "BTC-KRW", &price.to_string()).await;
        // It keeps trying, and never reports that something was saved.
        disk.until_refused(4).await;
        let still = server.get("/readyz");
        assert!(
            still["store"]["persisting"] == false && saved_at(&still) == saved_at(&reported),
            "{fault}: {still}, {reported}"
        );
        disk.set_fault("");
        let ended = now();
        until_saved(&server, ended).await;
        assert!(server.get("/readyz")["store"]["reason"].is_null());
    }
    assert!(server.terminate().success());
    assert_eq!(saved_data(&fake, &data)[0].1, Decimal::from(price));
    fake.shutdown().await;
}

/// A later sync that succeeds does not bring back what a failed one has lost: that must be written again.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn in_61_what_a_failed_sync_has_lost_is_on_the_disk_once_it_is_reported_as_saved() {
    let (folder, fake, data) = set_up().await;
    let disk = FaultyDisk::new(&folder);
    let server = Server::start(&folder, &mut disk.program());
    server.until_live().await;
    // There is a log by now, to which the next writes are appended.
    disk.until_all_synced().await;
    disk.set_fault("sync");
    server.until("/readyz", |answer| answer["store"]["persisting"] == false).await;
    disk.until_refused(4).await;
    let price = Decimal::from(123_456_000);
    fake.set_price("upbit", "BTC-KRW", price, true).unwrap();
    until_shown(&server, "BTC-KRW", "123456000").await;
    disk.until_refused(4).await;
    disk.set_fault("");
    until_saved(&server, now()).await;
    let is_it = |feed: &FeedRecords| feed.last.as_ref().is_some_and(|last| last.last.get() == price);
    disk.until_synced("the price set meanwhile", |restored| restored.feeds.iter().any(is_it)).await;
    server.kill();
    disk.lose_power(None);
    let saved = saved_data(&fake, &data);
    assert_eq!(saved[0].1, price);
    assert!(saved.iter().all(|(minutes, ..)| !minutes.is_empty()));
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn in_61_after_power_cuts_the_store_has_all_but_the_last_moment_and_nothing_wrong() {
    let (folder, fake, data) = set_up().await;
    let disk = FaultyDisk::new(&folder);
    let mut rng = from_env::rng();
    let mut known: Vec<Vec<Minute>> = Vec::new();
    for run in 0..6 {
        let server = Server::start(&folder, &mut disk.program());
        server.until_live().await;
        disk.until_all_synced().await;
        until_saved(&server, now()).await;
        // At any moment of a flush, and in the first runs of a backfill.
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..2500))).await;
        let saved = saved_at(&server.get("/readyz")).unwrap();
        server.kill();
        disk.lose_power(Some(&mut rng).filter(|_| run % 2 == 1));
        let saved_now = saved_data(&fake, &data);
        for (at, (minutes, _, confirmed_at)) in saved_now.iter().enumerate() {
            assert!(saved.duration_since(*confirmed_at) < UNSAVED_MAX, "run {run}: {confirmed_at}, saved at {saved}");
            let oldest = Minute::of(now()).plus(-24 * 60);
            let before = known.get(at).into_iter().flatten().filter(|minute| **minute > oldest);
            let lost: Vec<_> = before.filter(|minute| !minutes.contains(minute)).collect();
            assert!(lost.is_empty() && !minutes.is_empty(), "run {run}: {lost:?} of {} are lost", MARKETS[at]);
        }
        known = saved_now.into_iter().map(|(minutes, ..)| minutes).collect();
        // The check has written to the files too, and what it wrote counts as synced.
        std::fs::remove_dir_all(disk.synced()).unwrap();
        std::fs::create_dir_all(disk.synced()).unwrap();
        for entry in std::fs::read_dir(&disk.root).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), disk.synced().join(entry.file_name())).unwrap();
        }
    }
    fake.shutdown().await;
}

/// A program that starts on a disk which has become read-only shows what is stored, and writes once it can.
#[tokio::test(flavor = "multi_thread")]
async fn in_63_a_start_on_a_read_only_disk_shows_what_is_stored_and_writes_once_it_can() {
    let (folder, fake, data) = set_up().await;
    let disk = FaultyDisk::new(&folder);
    let server = Server::start(&folder, &mut disk.program());
    server.until_live().await;
    assert!(server.terminate().success());
    let before = saved_data(&fake, &data);
    disk.set_fault("readonly");
    fake.inject_fault(r#"{"fault":"status","status":503}"#).unwrap();
    fake.inject_fault(r#"{"fault":"status","status":503,"on":"stream"}"#).unwrap();
    let server = Server::start(&folder, &mut disk.program());
    for (row, (name, (_, last, _))) in server.rows().iter().zip(MARKETS.iter().zip(&before)) {
        assert!(row["market"] == *name && row["state"] == "stale", "{row}");
        assert_eq!(row["last"].as_str().unwrap().parse(), Ok(*last), "{row}");
    }
    let reported = server.get("/readyz");
    assert!(reported["ready"] == true && reported["store"]["persisting"] == false, "{reported}");
    fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    fake.set_price("upbit", "BTC-KRW", Decimal::from(98_765_000), true).unwrap();
    until_shown(&server, "BTC-KRW", "98765000").await;
    disk.set_fault("");
    until_saved(&server, now()).await;
    // At shutdown it writes what was learned since.
    assert!(server.terminate().success());
    assert_eq!(saved_data(&fake, &data)[0].1, Decimal::from(98_765_000));
    fake.shutdown().await;
}
