//! Which files are accepted, which are refused and left alone, and how older ones are migrated.

use std::fs;

use rusqlite::Connection;
use sisepan::clock::Clock;
use sisepan::store::{Refused, Store, StoreSettings};

use super::setup::{self, FIRST, FLUSH_MAX, Folder, UPBIT, VENUES, all_hours, markets, true_hour, true_records};

fn refused(folder: &Folder) -> Refused {
    Store::open(&folder.0, StoreSettings::default(), &VENUES, Clock::manual(FIRST.start())).unwrap_err()
}

/// Asserts that the file is refused by name and that no byte of the directory changes; returns the error.
fn assert_refused_untouched(folder: &Folder) -> Refused {
    let contents = |folder: &Folder| {
        let names = folder.names().into_iter().filter(|name| name != sisepan::store::LOCK_FILE);
        names.map(|name| (name.clone(), fs::read(folder.0.join(name)).unwrap())).collect::<Vec<_>>()
    };
    let before = contents(folder);
    let refused = refused(folder);
    assert_eq!(contents(folder), before);
    let text = refused.to_string();
    assert!(text.starts_with(&folder.file().display().to_string()), "{text}");
    assert!(text.contains("left as it is") && text.contains("--data"), "{text}");
    refused
}

#[test]
fn a_file_that_is_not_a_database_is_refused_and_left_alone() {
    let folder = Folder::new();
    fs::write(folder.file(), "minutes of the last meeting\n").unwrap();
    let Refused::NotADatabase { found, .. } = assert_refused_untouched(&folder) else { panic!() };
    assert_eq!(found, "\"minutes of the l\"");
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    for id in [0, 0x0fff_1234] {
        let folder = Folder::new();
        let theirs = Connection::open(folder.file()).unwrap();
        theirs
            .execute_batch(&format!("PRAGMA journal_mode = WAL; PRAGMA application_id = {id}; CREATE TABLE hours (x)"))
            .unwrap();
        // Its log must not be replayed either: the other program did not close the database.
        let kept = fs::read(folder.0.join("sisepan.db-wal")).unwrap();
        drop(theirs);
        fs::write(folder.0.join("sisepan.db-wal"), kept).unwrap();
        let Refused::Foreign { found, .. } = assert_refused_untouched(&folder) else { panic!() };
        assert_eq!(found, id);
    }
}

#[test]
fn a_file_of_a_newer_version_is_refused_and_left_alone() {
    let folder = Folder::new();
    setup::open(&folder.0, FIRST).0.close();
    Connection::open(folder.file()).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let Refused::Newer { found: 99, known: 3, .. } = assert_refused_untouched(&folder) else { panic!() };
}

#[test]
fn a_directory_in_use_is_refused() {
    let folder = Folder::new();
    let store = setup::open(&folder.0, FIRST).0;
    let refusal = refused(&folder);
    assert_eq!(refusal, Refused::InUse { directory: folder.0.clone() });
    assert!(refusal.to_string().contains("another sisepan process"), "{refusal}");
    store.close();
    setup::open(&folder.0, FIRST).0.close();
}

#[test]
fn an_older_file_is_migrated_and_keeps_its_data() {
    // Version 0 is a file without tables; version 1 had no view.
    for version in [0, 1] {
        let folder = Folder::new();
        let (end, market) = (FIRST.plus(120), &markets()[0]);
        let store = setup::open(&folder.0, end).0;
        store.save(vec![true_records(market, FIRST..end)]);
        store.close();
        let older = Connection::open(folder.file()).unwrap();
        older.execute_batch(&format!("DROP VIEW minute_closes; PRAGMA user_version = {version}")).unwrap();
        // Before version 3 there were no listings, and no confirmation times by the venue's clock.
        let plain = "DROP TABLE listings; ALTER TABLE last_rows DROP COLUMN confirmed_there";
        older.execute_batch(plain).unwrap();
        if version == 0 {
            older.execute_batch("DROP TABLE hours; DROP TABLE last_rows; DROP TABLE bans").unwrap();
        }
        older.close().unwrap();

        let (store, restored) = setup::open(&folder.0, end);
        let hours = if version == 0 {
            vec![]
        } else {
            vec![true_hour(market, FIRST, end), true_hour(market, FIRST.plus(60), end)]
        };
        assert_eq!(all_hours(&store, UPBIT, market), hours);
        assert_eq!(restored.feeds.len(), version);
        store.save(vec![true_records(market, FIRST..end)]);
        store.close();
        let newest = Connection::open(folder.file()).unwrap();
        let count: u32 = newest.query_row("SELECT count(*) FROM minute_closes", [], |row| row.get(0)).unwrap();
        assert!(count > 60);
        assert_eq!(newest.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0)).unwrap(), 3);
    }
}

#[test]
fn a_file_with_a_damaged_schema_is_moved_aside_and_kept() {
    let folder = Folder::new();
    let (end, market) = (FIRST.plus(120), &markets()[0]);
    let store = setup::open(&folder.0, end).0;
    store.save(vec![true_records(market, FIRST..end)]);
    store.close();
    let bytes = fs::read(folder.file()).unwrap();
    let at = bytes.windows(14).position(|window| window == b"covered INTEGE").unwrap();
    let mut damaged = bytes.clone();
    damaged[at] ^= 1;
    fs::write(folder.file(), &damaged).unwrap();

    let (store, restored) = setup::open(&folder.0, end);
    assert_eq!(restored.feeds, vec![]);
    let aside = folder.names().into_iter().find(|name| name.starts_with("sisepan.db.damaged-2026")).unwrap();
    assert_eq!(fs::read(folder.0.join(aside)).unwrap(), damaged);
    store.save(vec![true_records(market, FIRST..end)]);
    assert!(store.flush(FLUSH_MAX));
    assert_eq!(all_hours(&store, UPBIT, market).len(), 2);
}

#[test]
fn a_full_file_is_reported_and_written_again_once_there_is_room() {
    let folder = Folder::new();
    let clock = Clock::manual(FIRST.plus(1440).start());
    let flush_every = std::time::Duration::from_millis(5);
    let (full, empty) = (&markets()[..2], &markets()[2..]);
    let store = setup::open(&folder.0, FIRST.plus(1440)).0;
    store.save(full.iter().map(|market| true_records(market, FIRST..FIRST.plus(1560))).collect());
    store.close();
    let pages = fs::metadata(folder.file()).unwrap().len() / 8192;
    let settings = StoreSettings { retention_days: 1, flush_every, pages_max: u32::try_from(pages + 1).ok() };
    let store = Store::open(&folder.0, settings, &VENUES, clock.clone()).unwrap().0;
    let health_source = store.health_source();
    assert!(health_source.health().persisting);
    store.save(empty.iter().map(|market| true_records(market, FIRST.plus(1440)..FIRST.plus(2880))).collect());
    assert!(!store.flush(std::time::Duration::from_millis(500)));
    let health = health_source.health();
    assert!(!health.persisting && health.reason.as_ref().unwrap().contains("full"), "{health:?}");
    // The stored data can be read meanwhile.
    assert_eq!(all_hours(&store, UPBIT, &full[0]).len(), 26);
    // Two days later the oldest hours are deleted, which makes room.
    clock.set_wall(FIRST.plus(2880).start());
    assert!(store.flush(FLUSH_MAX));
    let health = health_source.health();
    assert!(health.persisting && health.reason.is_none(), "{health:?}");
    for market in empty {
        assert_eq!(all_hours(&store, UPBIT, market).len(), 24);
    }
}

#[test]
fn the_settings_of_the_store_are_read_and_errors_are_reported_with_their_line() {
    use sisepan::config::{Config, Environment, parse};
    let read = |text: &str, environment: &[(&str, &str)]| {
        let environment: Environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        parse("x.toml", text, &environment)
    };
    let config = read("", &[]).unwrap();
    assert_eq!((config.data, config.retention_days), (Some("data".into()), 8));
    let config = read("data = \"/srv/sisepan\"\n[store]\nretention_days = 30\n", &[]).unwrap();
    assert_eq!((config.data, config.retention_days), (Some("/srv/sisepan".into()), 30));
    for nowhere in ["", "none"] {
        assert_eq!(read("data = \"here\"", &[("SISEPAN_DATA", nowhere)]).unwrap().data, None);
    }
    let config: Config = read("", &[("SISEPAN_DATA", "there"), ("SISEPAN_STORE_RETENTION_DAYS", "2")]).unwrap();
    assert_eq!((config.data, config.retention_days), (Some("there".into()), 2));
    let wrong = read("data = 7\n[store]\nretention_days = 1\nretention = 2\n", &[]).unwrap_err().to_string();
    for message in [
        "x.toml:1: data: must be a string",
        "x.toml:3: store.retention_days: must be from 2 to 3650, is 1",
        "x.toml:4: store.retention: unknown setting",
    ] {
        assert!(wrong.contains(message), "{wrong}");
    }
}
