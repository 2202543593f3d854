//! FC-12 and FC-13: stored data is never replaced by less, and a store that is removed is noticed.
//!
//! Where the machine allows mounting, the real program writes to its own tmpfs, so that the errors of a read-only, full
//! or removed disk are the kernel's; elsewhere it writes to the emulated disk of `faulty_disk.c`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fake_exchanges::Fake;
use jiff::Timestamp;
use rand::RngExt as _;
use rusqlite::{Connection, OpenFlags};
use sisepan::clock::Clock;
use sisepan::market::Minute;
use sisepan::store::{DATABASE_FILE, LOCK_FILE, Refused, Store, StoreSettings};

use super::disk::{DEADLINE, FaultyDisk, until_saved};
use super::gaps::until_backfilled;
use super::serve::{MARKETS, Server, check_truth, configure, now, open_store, program, set_up};
use super::setup::{FIRST, FLUSH_MAX, Folder, UPBIT, VENUES, all_hours, check_hours, market, markets, true_records};
use crate::from_env;

/// Size of the tmpfs: enough for the store of three markets, and quickly filled.
const MOUNT_BYTES: &str = "16m";

/// The disk that holds the store.
struct StoreDisk {
    data: PathBuf,
    /// The emulated disk, if nothing can be mounted.
    emulated: Option<FaultyDisk>,
}

impl StoreDisk {
    fn new(folder: &Folder) -> Self {
        let data = folder.0.join("data");
        std::fs::create_dir_all(&data).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={MOUNT_BYTES}"), "sisepan-test"]).arg(&data);
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !mounted {
            println!("nothing can be mounted here: the disk is emulated");
        }
        Self { data, emulated: (!mounted).then(|| FaultyDisk::new(folder)) }
    }

    fn program(&self) -> Command {
        self.emulated.as_ref().map_or_else(program, FaultyDisk::program)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    /// Removes the shared index of the log.
    fn remove_index(&self) {
        std::fs::remove_file(self.path(&format!("{DATABASE_FILE}-shm"))).unwrap();
    }

    /// Makes the disk writable or read-only. No process may have a file on it open for writing.
    fn set_writable(&self, writable: bool) {
        match &self.emulated {
            Some(disk) => disk.set_fault(if writable { "" } else { "readonly" }),
            None => {
                let mut mount = Command::new("mount");
                mount.args(["-o", if writable { "remount,rw" } else { "remount,ro" }]).arg(&self.data);
                assert!(mount.status().unwrap().success());
            }
        }
    }

    fn set_full(&self, full: bool) {
        let filler = self.path("filler");
        match &self.emulated {
            Some(disk) => disk.set_fault(if full { "full" } else { "" }),
            None if full => {
                let mut copy = Command::new("dd");
                copy.arg("if=/dev/zero").arg(format!("of={}", filler.display())).arg("bs=4096");
                assert!(!copy.stderr(Stdio::null()).status().unwrap().success(), "the disk never filled up");
            }
            None => {
                let _ = std::fs::remove_file(filler);
            }
        }
    }

    /// Returns what the store knows, read with its log from a copy of the files.
    fn known(&self, fake: &Fake) -> Known {
        let copy = Folder::new();
        for entry in std::fs::read_dir(&self.data).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            if name.to_str().unwrap().starts_with(DATABASE_FILE) {
                std::fs::copy(&path, copy.0.join(name)).unwrap();
            }
        }
        known(fake, &copy.0)
    }
}

impl Drop for StoreDisk {
    fn drop(&mut self) {
        if self.emulated.is_none() {
            let _ = Command::new("umount").arg("--lazy").arg(&self.data).status();
        }
    }
}

/// The minutes that a store knows of each market.
type Known = BTreeMap<&'static str, Vec<Minute>>;

fn known(fake: &Fake, data: &Path) -> Known {
    let (store, restored) = open_store(data.to_str().unwrap());
    store.close();
    assert_eq!(restored.damaged, 0);
    let names = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let aside: Vec<_> = names.filter(|name| name.contains("damaged")).collect();
    assert!(aside.is_empty(), "{aside:?}");
    let of = |name: &&'static str| {
        let feed = restored.feeds.iter().find(|feed| feed.market == market(name));
        (*name, check_truth(fake, name, &feed.map(|feed| feed.hours.clone()).unwrap_or_default()))
    };
    MARKETS.iter().map(of).collect()
}

/// Asserts that all minutes of `before` within a window are still known.
fn assert_nothing_lost(before: &Known, after: &Known, when: &str) {
    let oldest = Minute::of(now()).plus(-24 * 60);
    for (name, minutes) in before {
        let lost: Vec<_> = minutes.iter().filter(|m| **m > oldest && !after[name].contains(m)).collect();
        assert!(lost.is_empty(), "{when}: {} of {} minutes of {name} are lost", lost.len(), minutes.len());
    }
}

/// Makes REST fail, so that minutes which the store loses can't be requested again.
fn stop_candles(fake: &Fake) {
    fake.inject_fault(r#"{"fault":"status","status":503}"#).unwrap();
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("timed out waiting for: {what}"));
}

/// Starts the program and waits until its window is complete and saved.
async fn start_backfilled(folder: &Folder, disk: &StoreDisk, fake: &Fake) -> Server {
    let server = Server::start(folder, &mut disk.program());
    server.until_live().await;
    until_backfilled(fake).await;
    until_saved(&server, now()).await;
    server
}

/// Kills the program while its log holds data, makes the disk refuse writes with `refuse`, restarts the program, and
/// makes the disk work with `restore`.
async fn kill_and_restart(refuse: fn(&StoreDisk), restore: fn(&StoreDisk)) {
    let (folder, fake, _) = set_up().await;
    let disk = StoreDisk::new(&folder);
    let server = start_backfilled(&folder, &disk, &fake).await;
    server.kill();
    let before = disk.known(&fake);
    let without_log = {
        let copy = Folder::new();
        std::fs::copy(disk.path(DATABASE_FILE), copy.file()).unwrap();
        known(&fake, &copy.0)
    };
    let count = |known: &Known| known.values().map(Vec::len).sum::<usize>();
    assert!(count(&before) > count(&without_log) + 100, "the log must hold data: {}", count(&before));

    refuse(&disk);
    stop_candles(&fake);
    fake.inject_fault(r#"{"fault":"status","status":503,"on":"stream"}"#).unwrap();
    let server = Server::start(&folder, &mut disk.program());
    for row in server.rows() {
        assert!(row["state"] == "stale" && row["change"].is_object(), "the log holds it: {row}");
    }
    server.until("/readyz", |answer| answer["store"]["persisting"] == false).await;
    // Only the stream works: what the store lacks can't be requested again.
    fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    stop_candles(&fake);
    server.until_live().await;
    restore(&disk);
    until_saved(&server, now()).await;
    assert!(server.terminate().success());
    assert_nothing_lost(&before, &disk.known(&fake), "at the end");
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn fc_12_a_start_on_a_read_only_disk_reads_the_log_and_loses_nothing() {
    kill_and_restart(|disk| disk.set_writable(false), |disk| disk.set_writable(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn fc_12_a_start_on_a_read_only_disk_reads_the_log_without_its_index_too() {
    let refuse = |disk: &StoreDisk| {
        disk.remove_index();
        disk.set_writable(false);
    };
    kill_and_restart(refuse, |disk| disk.set_writable(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn fc_12_a_start_on_a_full_disk_reads_the_log_and_loses_nothing() {
    let refuse = |disk: &StoreDisk| {
        disk.remove_index();
        disk.set_full(true);
    };
    kill_and_restart(refuse, |disk| disk.set_full(false)).await;
}

/// Reads the history of every market from the disk, as a page does.
fn read_history(server: &Server) -> Vec<serde_json::Value> {
    MARKETS.iter().map(|name| server.get(&format!("/api/v1/history/{name}"))).collect()
}

/// Reads history from a read-only disk, with or without the index of the log, and then makes the disk writable.
async fn read_only_history(index: bool) {
    let (folder, fake, _) = set_up().await;
    let disk = StoreDisk::new(&folder);
    let server = start_backfilled(&folder, &disk, &fake).await;
    server.kill();
    if index {
        assert!(disk.path(&format!("{DATABASE_FILE}-shm")).exists(), "the index of the log must exist");
    } else {
        disk.remove_index();
    }
    let before = disk.known(&fake);
    disk.set_writable(false);
    let server = Server::start(&folder, &mut disk.program());
    server.until("/readyz", |answer| answer["store"]["persisting"] == false).await;
    for answer in read_history(&server) {
        assert!(answer["close"].as_array().is_some_and(|closes| !closes.is_empty()), "{answer}");
    }
    disk.set_writable(true);
    until_saved(&server, now()).await;
    // History can be read and written afterwards.
    for answer in read_history(&server) {
        assert!(answer["close"].is_array(), "{answer}");
    }
    until_saved(&server, now()).await;
    assert!(server.terminate().success());
    assert_nothing_lost(&before, &disk.known(&fake), "at the end");
    fake.shutdown().await;
}

/// A connection that reads from a read-only disk maps the index of the log read-only, and shares it with the writer.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn fc_12_a_read_of_history_on_a_read_only_disk_does_not_keep_the_store_from_being_written() {
    read_only_history(true).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn fc_12_history_is_read_on_a_read_only_disk_without_the_index_of_the_log_too() {
    read_only_history(false).await;
}

/// If a disk appears only while the program runs, its data and what was learned meanwhile are merged, both ways.
#[test]
fn fc_12_a_store_that_could_not_be_read_at_the_start_is_merged_with_newer_data() {
    let folder = Folder::new();
    let (data, link) = (folder.0.join("data"), folder.0.join("link"));
    let name = &markets()[0];
    let hour = FIRST.plus(60);
    let mut first = true_records(name, FIRST..hour.plus(41));
    first.last.as_mut().unwrap().sent_places = 3;
    {
        std::fs::create_dir_all(&data).unwrap();
        let store =
            Store::open(&data, StoreSettings::default(), &VENUES, Clock::manual(hour.plus(41).start())).unwrap().0;
        store.save(vec![first]);
        assert!(store.flush(FLUSH_MAX));
    }
    // A dangling link: the directory can neither be read nor created.
    let away = folder.0.join("away");
    std::fs::rename(&data, &away).unwrap();
    std::os::unix::fs::symlink(&data, &link).unwrap();
    let clock = Clock::manual(hour.plus(42).start());
    let (store, restored) = Store::open(&link, StoreSettings::default(), &VENUES, clock).unwrap();
    assert!(restored.feeds.is_empty() && !store.health_source().health().persisting);
    // This process knows only one minute of the hour.
    let mut second = true_records(name, hour..hour.plus(42));
    let only = hour.plus(41);
    second.hours[0].closes.retain(|close| close.0 == only);
    (second.hours[0].covered, second.hours[0].settled, second.hours[0].close_before) = (1 << 41, 0, None);
    store.save(vec![second]);
    std::fs::rename(&away, &data).unwrap();
    assert!(store.flush(FLUSH_MAX), "{:?}", store.health_source().health());
    let found = store.take_late_records().expect("the stored records are returned");
    assert_eq!(check_hours(name, &found.feeds[0].hours, FIRST.plus(10)..hour.plus(41)), 92);
    assert_eq!(store.take_late_records().map(|found| found.feeds.len()), None, "only once");
    let hours = all_hours(&store, UPBIT, name);
    assert_eq!(check_hours(name, &hours, FIRST.plus(10)..hour.plus(42)), 93, "{hours:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn fc_12_the_changes_from_a_disk_that_appears_late_are_shown() {
    let (folder, fake, data) = set_up().await;
    let server = Server::start(&folder, &mut program());
    server.until_live().await;
    until_backfilled(&fake).await;
    assert!(server.terminate().success());
    let (data, link) = (PathBuf::from(data), folder.0.join("link"));
    let before = known(&fake, &data);
    let away = folder.0.join("away");
    std::fs::rename(&data, &away).unwrap();
    std::os::unix::fs::symlink(&data, &link).unwrap();
    configure(&folder, &fake, link.to_str().unwrap());
    stop_candles(&fake);
    let server = Server::start(&folder, &mut program());
    let live = |row: &serde_json::Value| row["state"] == "live";
    let all_live = |answer: &serde_json::Value| answer["rows"].as_array().unwrap().iter().all(live);
    let seen = server.until("/api/v1/snapshot", all_live).await;
    assert!(seen["rows"][0]["change"].is_null(), "{seen}");
    std::fs::rename(&away, &data).unwrap();
    server.until_live().await;
    until_saved(&server, now()).await;
    assert!(server.terminate().success());
    assert_nothing_lost(&before, &known(&fake, &data), "at the end");
    fake.shutdown().await;
}

/// Waits until the store reports that its file is written, and that this began after `since`.
async fn until_noticed(server: &Server, since: Timestamp) {
    let noticed = |answer: &serde_json::Value| {
        let store = &answer["store"];
        let began: Timestamp = store["since"].as_str().unwrap().parse().unwrap();
        store["persisting"] == true && began > since
    };
    server.until("/readyz", noticed).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn fc_13_files_removed_while_in_use_are_noticed_and_rewritten_from_memory() {
    let (folder, fake, _) = set_up().await;
    let disk = StoreDisk::new(&folder);
    let server = start_backfilled(&folder, &disk, &fake).await;
    stop_candles(&fake);
    let mut before = disk.known(&fake);
    let (log, index) = (format!("{DATABASE_FILE}-wal"), format!("{DATABASE_FILE}-shm"));
    let all = [DATABASE_FILE, &log, &index, LOCK_FILE];
    for gone in [&all[..], &all[..1], &all[1..2], &all[2..3], &all[3..]] {
        let at = now();
        gone.iter().for_each(|name| std::fs::remove_file(disk.path(name)).unwrap());
        until_noticed(&server, at).await;
        until_saved(&server, now()).await;
        until("all of memory is written", || {
            let after = disk.known(&fake);
            let oldest = Minute::of(now()).plus(-24 * 60);
            before.iter().all(|(name, minutes)| minutes.iter().all(|m| *m <= oldest || after[name].contains(m)))
        })
        .await;
        before = disk.known(&fake);
        // Other processes find the lock.
        let second = Store::open(&disk.data, StoreSettings::default(), &VENUES, Clock::system());
        assert!(matches!(second, Err(Refused::InUse { .. })), "{gone:?}: {:?}", second.map(|_| ()));
    }
    server.kill();
    assert_nothing_lost(&before, &disk.known(&fake), "after a kill");
    fake.shutdown().await;
}

/// Returns whether a store lacks minutes of `before` within a window.
fn lacks(before: &Known, after: &Known) -> bool {
    let oldest = Minute::of(now()).plus(-24 * 60);
    before.iter().any(|(name, minutes)| minutes.iter().any(|m| *m > oldest && !after[name].contains(m)))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn fc_13_a_file_that_is_truncated_in_place_is_noticed_and_rewritten_from_memory() {
    let (folder, fake, _) = set_up().await;
    let disk = StoreDisk::new(&folder);
    // A clean shutdown moves the log into the file, which is then longer than an empty store.
    assert!(start_backfilled(&folder, &disk, &fake).await.terminate().success());
    let empty = Folder::new();
    Store::open(&empty.0, StoreSettings::default(), &VENUES, Clock::system()).unwrap().0.close();
    let length = |file: &Path| std::fs::metadata(file).unwrap().len();
    assert!(length(&empty.file()) < length(&disk.path(DATABASE_FILE)));
    let server = Server::start(&folder, &mut disk.program());
    server.until_live().await;
    stop_candles(&fake);
    until_saved(&server, now()).await;
    let mut before = disk.known(&fake);
    assert!(before.values().all(|minutes| minutes.len() > 1000));
    let smaller = std::fs::read(empty.file()).unwrap();
    for (what, content) in [("a smaller one copied over it", &smaller[..]), ("emptied", &[])] {
        read_history(&server);
        let at = now();
        std::fs::write(disk.path(DATABASE_FILE), content).unwrap();
        until_noticed(&server, at).await;
        until_saved(&server, now()).await;
        until(&format!("all of memory is written: {what}"), || !lacks(&before, &disk.known(&fake))).await;
        before = disk.known(&fake);
    }
    server.kill();
    assert_nothing_lost(&before, &disk.known(&fake), "after a kill");
    let server = Server::start(&folder, &mut disk.program());
    server.until_live().await;
    until_saved(&server, now()).await;
    server.kill();
    assert_nothing_lost(&before, &disk.known(&fake), "after a restart");
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn fc_13_a_removed_directory_is_recreated_and_one_that_another_process_took_is_left_to_it() {
    let (folder, fake, data) = set_up().await;
    let server = Server::start(&folder, &mut program());
    server.until_live().await;
    until_saved(&server, now()).await;
    let at = now();
    std::fs::remove_dir_all(&data).unwrap();
    until_noticed(&server, at).await;
    until_saved(&server, now()).await;
    assert!(Path::new(&data).join(DATABASE_FILE).exists());

    // Taken over by another process: the holder of the lock writes, and the program reports why it does not.
    let other = loop {
        let _ = std::fs::remove_dir_all(&data);
        if let Ok((store, _)) = Store::open(data.as_ref(), StoreSettings::default(), &VENUES, Clock::system()) {
            break store;
        }
    };
    other.save(vec![true_records(&market("ETH-KRW"), FIRST..FIRST.plus(60))]);
    assert!(other.flush(FLUSH_MAX), "{:?}", other.health_source().health());
    let reported = server.until("/readyz", |answer| answer["store"]["persisting"] == false).await;
    let in_use = |answer: &serde_json::Value| {
        answer["store"]["reason"].as_str().is_some_and(|reason| reason.contains("in use by another sisepan process"))
    };
    server.until("/readyz", in_use).await;
    assert_eq!(reported["ready"], true);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let rows = || -> i64 {
        let reader = Connection::open_with_flags(Path::new(&data).join(DATABASE_FILE), flags).unwrap();
        reader.query_row("SELECT count(*) FROM hours WHERE market <> 'ETH-KRW'", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(rows(), 0, "nothing is written into the other's file");
    other.close();
    server.until("/readyz", |answer| answer["store"]["persisting"] == true).await;
    until("it is written to again", || rows() > 0).await;
    assert!(server.terminate().success());
    fake.shutdown().await;
}

/// Synced data survives any order of kills, restarts, and read-only, full or removed disks, with reads of history
/// meanwhile. `SEED` replays the order, `STORE_STEPS` sets its length.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn fc_12_fc_13_saved_data_survives_any_order_of_faults() {
    let steps = from_env::number("STORE_STEPS", 14);
    let mut rng = from_env::rng();
    let (folder, fake, _) = set_up().await;
    let disk = StoreDisk::new(&folder);
    let mut server = Server::start(&folder, &mut disk.program());
    server.until_live().await;
    until_backfilled(&fake).await;
    stop_candles(&fake);
    until_saved(&server, now()).await;
    let mut saved = disk.known(&fake);
    assert!(saved.values().all(|minutes| minutes.len() > 1000));
    let mut done = Vec::new();
    for _ in 0..steps {
        let step = ["kill", "end", "read-only", "full", "full and kill", "removed", "no index"][rng.random_range(0..7)];
        let reads = rng.random_range(0..2) == 0;
        done.push((step, if reads { "history is read" } else { "" }));
        let moment = Duration::from_millis(rng.random_range(0..2500));
        match step {
            "kill" => {
                server.kill();
                server = Server::start(&folder, &mut disk.program());
            }
            "end" => {
                assert!(server.terminate().success());
                server = Server::start(&folder, &mut disk.program());
            }
            "read-only" | "no index" => {
                server.kill();
                if step == "no index" {
                    let _ = std::fs::remove_file(disk.path(&format!("{DATABASE_FILE}-shm")));
                }
                disk.set_writable(false);
                server = Server::start(&folder, &mut disk.program());
                tokio::time::sleep(moment).await;
                // With or without another start on the read-only disk.
                if rng.random_range(0..2) == 0 {
                    server.kill();
                    server = Server::start(&folder, &mut disk.program());
                }
                if reads {
                    read_history(&server);
                }
                disk.set_writable(true);
            }
            "full" | "full and kill" => {
                disk.set_full(true);
                server.until("/readyz", |answer| answer["store"]["persisting"] == false).await;
                tokio::time::sleep(moment).await;
                if step == "full and kill" {
                    server.kill();
                    server = Server::start(&folder, &mut disk.program());
                    tokio::time::sleep(moment).await;
                }
                if reads {
                    read_history(&server);
                }
                disk.set_full(false);
            }
            _ => {
                if reads {
                    read_history(&server);
                }
                let at = now();
                for entry in std::fs::read_dir(&disk.data).unwrap() {
                    let _ = std::fs::remove_file(entry.unwrap().path());
                }
                until_noticed(&server, at).await;
            }
        }
        server.until_live().await;
        until_saved(&server, now()).await;
        until_saved(&server, now()).await;
        let after = disk.known(&fake);
        assert_nothing_lost(&saved, &after, &format!("{done:?}"));
        saved = after;
    }
    server.kill();
    assert_nothing_lost(&saved, &disk.known(&fake), &format!("{done:?} and a kill"));
    fake.shutdown().await;
}
