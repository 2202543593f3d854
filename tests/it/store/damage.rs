//! Damaged files: a flipped bit or a truncated file loses data, but never leads to a wrong price.

use std::fs;
use std::path::Path;

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use sisepan::clock::Clock;
use sisepan::feed::Transport;
use sisepan::market::Minute;
use sisepan::store::{DATABASE_FILE, Store, StoreSettings};

use super::setup::{FIRST, FLUSH_MAX, Folder, UPBIT, VENUES, check_hours, markets, true_last, true_records};
use crate::from_env;

/// Names and contents of files.
type Files = Vec<(&'static str, Vec<u8>)>;

const FLIPS: usize = 500;
const HOURS: i64 = 14;

/// Returns the end of the stored bans.
fn ban() -> jiff::Timestamp {
    end().plus(30).start()
}

fn end() -> Minute {
    FIRST.plus(HOURS * 60 - 20)
}

/// Writes a store that has older versions of its rows under the current ones; returns its files after it was
/// closed, and as a killed process leaves them.
fn originals() -> (Folder, Files, Files) {
    let folder = Folder::new();
    let settings = StoreSettings { flush_every: std::time::Duration::from_millis(1), ..StoreSettings::default() };
    let store = Store::open(&folder.0, settings, &VENUES, Clock::manual(end().start())).unwrap().0;
    for back in [400, 90, 30, 0] {
        store.save(markets().iter().map(|market| true_records(market, FIRST..end().plus(-back))).collect());
        assert!(store.flush(FLUSH_MAX));
    }
    store.save_ban(UPBIT, Transport::Rest, Some(ban()));
    store.save_ban(UPBIT, Transport::Stream, Some(ban()));
    assert!(store.flush(FLUSH_MAX));
    let read = |names: &[&'static str]| {
        names.iter().map(|&name| (name, fs::read(folder.0.join(name)).unwrap())).collect::<Vec<_>>()
    };
    let killed = read(&[DATABASE_FILE, "sisepan.db-wal"]);
    store.close();
    let closed = read(&[DATABASE_FILE]);
    (folder, closed, killed)
}

fn write_files(folder: &Path, files: &[(&'static str, Vec<u8>)]) {
    files.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
}

/// Opens the store and checks everything that it restores; returns how many minutes are known.
fn check_store(folder: &Folder) -> usize {
    let clock = Clock::manual(end().start());
    let Ok((store, restored)) = Store::open(&folder.0, StoreSettings::default(), &VENUES, clock) else { return 0 };
    assert!(restored.bans.iter().all(|((venue, _), until)| *venue == UPBIT && *until == ban()), "{:?}", restored.bans);
    for feed in &restored.feeds {
        assert!(markets().contains(&feed.market) && feed.venue == UPBIT, "{feed:?} was never written");
        let last = feed.last.as_ref().into_iter();
        let written = [400, 90, 30, 0].map(|back| true_last(&feed.market, end().plus(-back)));
        last.for_each(|last| assert!(written.contains(last), "{last:?}"));
        check_hours(&feed.market, &feed.hours, FIRST..end());
    }
    let known = markets().into_iter().map(|market| {
        let hours = store.history().hours(UPBIT, &market, FIRST..end()).unwrap_or_default();
        check_hours(&market, &hours, FIRST..end())
    });
    let known = known.sum();
    // What is written afterwards is true as well, whatever was damaged.
    let market = &markets()[0];
    store.save(vec![true_records(market, end().plus(-60)..end())]);
    if store.flush(FLUSH_MAX) {
        let hours = store.history().hours(UPBIT, market, end().plus(-20)..end()).unwrap_or_default();
        check_hours(market, &hours, FIRST..end());
        store.close();
        let Ok((_store, again)) =
            Store::open(&folder.0, StoreSettings::default(), &VENUES, Clock::manual(end().start()))
        else {
            return known;
        };
        for feed in again.feeds {
            check_hours(&feed.market, &feed.hours, FIRST..end());
        }
    }
    known
}

fn rng() -> Pcg64 {
    let seed = from_env::number("SEED", 1);
    println!("seed {seed} (another with SEED)");
    Pcg64::seed_from_u64(seed)
}

#[test]
#[ignore = "slow"]
fn a_flipped_bit_loses_data_and_never_leads_to_a_wrong_price() {
    let (_origin, closed, killed) = originals();
    let mut rng = rng();
    let whole = Folder::new();
    write_files(&whole.0, &closed);
    let all = check_store(&whole);
    assert!(all > 3 * 700, "{all}");
    let (mut intact, mut partly) = (0, 0);
    for turn in 0..FLIPS {
        let folder = Folder::new();
        let mut files = if turn % 2 == 0 { closed.clone() } else { killed.clone() };
        let pick = rng.random_range(0..files.len());
        let bytes = &mut files[pick].1;
        let at = rng.random_range(0..bytes.len());
        bytes[at] ^= 1 << (rng.next_u32() % 8);
        write_files(&folder.0, &files);
        let known = check_store(&folder);
        assert!(known <= all);
        intact += usize::from(known == all);
        partly += usize::from(known > 0 && known < all);
    }
    println!("of {FLIPS} flips {intact} lost nothing, {partly} some minutes, {} all", FLIPS - intact - partly);
    // The test would prove nothing if flips never or always lost everything.
    assert!(intact + partly > FLIPS / 2 && partly > FLIPS / 20, "{intact} {partly}");
}

#[test]
#[ignore = "slow"]
fn a_file_truncated_anywhere_opens_without_wrong_data() {
    let (_origin, closed, killed) = originals();
    for (files, pick) in [(&closed, 0), (&killed, 0), (&killed, 1)] {
        let length = files[pick].1.len();
        let step = (length / 150).next_multiple_of(512).max(512);
        for cut in (0..length).step_by(step) {
            let folder = Folder::new();
            let mut files = files.clone();
            files[pick].1.truncate(cut);
            write_files(&folder.0, &files);
            check_store(&folder);
        }
    }
}

#[test]
fn in_60_a_small_store_truncated_at_every_512_bytes_opens_without_wrong_data() {
    let folder = Folder::new();
    let settings = StoreSettings { flush_every: std::time::Duration::from_millis(1), ..StoreSettings::default() };
    let store = Store::open(&folder.0, settings, &VENUES, Clock::manual(end().start())).unwrap().0;
    store.save(markets().iter().map(|market| true_records(market, end().plus(-100)..end())).collect());
    assert!(store.flush(FLUSH_MAX));
    store.close();
    let whole = fs::read(folder.file()).unwrap();
    assert!(whole.len() / 512 > 50, "{} bytes", whole.len());
    for cut in (0..whole.len()).step_by(512) {
        let folder = Folder::new();
        fs::write(folder.file(), &whole[..cut]).unwrap();
        check_store(&folder);
    }
}

/// Each column gets other values with which the row could still be read: only the checksum detects them.
#[test]
fn in_62_a_row_with_any_changed_column_is_skipped() {
    let folder = Folder::new();
    let (end, market) = (FIRST.plus(180), &markets()[0]);
    let store = super::setup::open(&folder.0, end).0;
    let mut records = true_records(market, FIRST..end);
    records.hours.retain(|hour| hour.hour == FIRST.plus(60));
    let moment = Some(end.start());
    records.listing = Some(sisepan::feed::ListingRecord { since: moment, gone_since: moment, halted_since: moment });
    store.save(vec![records]);
    store.save_ban(UPBIT, Transport::Rest, Some(end.plus(60).start()));
    assert!(store.flush(FLUSH_MAX));
    store.close();
    let whole = fs::read(folder.file()).unwrap();
    let mut changed = 0;
    for table in ["hours", "last_rows", "listings", "bans"] {
        fs::write(folder.file(), &whole).unwrap();
        let columns: Vec<(String, String)> = {
            let file = rusqlite::Connection::open(folder.file()).unwrap();
            let mut info = file.prepare(&format!("PRAGMA table_info({table})")).unwrap();
            let rows = info.query_map([], |row| Ok((row.get(1)?, row.get(2)?))).unwrap();
            rows.map(Result::unwrap).collect()
        };
        for (column, kind) in columns {
            // Another hour, another number, another digit or letter, and NULL.
            let others = match (column.as_str(), kind.as_str()) {
                ("hour" | "before_at", _) => vec!["{} - 3600", "NULL"],
                (_, "INTEGER") => vec!["{} + 1", "{} + 2", "NULL"],
                ("closes", _) => vec!["replace({}, ']]', '1]]')", "replace({}, '\"]', '1\"]')"],
                (_, _) => vec!["{} || '1'", "replace({}, '1', '2')", "NULL"],
            };
            for other in others {
                fs::write(folder.file(), &whole).unwrap();
                let other = other.replace("{}", &column);
                let file = rusqlite::Connection::open(folder.file()).unwrap();
                let text = |sql: &str| file.query_row(sql, [], |row| row.get::<_, Option<String>>(0)).unwrap();
                let read = format!("SELECT CAST({column} AS TEXT) FROM {table}");
                let was = text(&read);
                // A NOT NULL column keeps its value.
                let _ = file.execute(&format!("UPDATE {table} SET {column} = {other}"), []);
                let is_other = text(&read) != was;
                file.close().unwrap();
                if !is_other {
                    continue;
                }
                changed += 1;
                let (store, restored) = super::setup::open(&folder.0, end);
                store.close();
                assert_eq!(restored.damaged, 1, "{table}: {column} = {other}, it was {was:?}");
            }
        }
    }
    assert!(changed > 50, "only {changed} changes were tried");
}
