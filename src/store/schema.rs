//! Tables of the database file, and migrations from older versions.

use rusqlite::{Connection, TransactionBehavior};

/// SQLite application id of our files, at byte 68 of the header: `SISE`.
pub const APPLICATION_ID: i32 = 0x5349_5345;

/// Page size in bytes. Most hour rows are smaller than an eighth of a page, so that few need overflow pages.
const PAGE_BYTES: u32 = 8192;

/// Statement `n` migrates a file from version `n` to `n + 1`. Never change one; append a new one instead.
const MIGRATIONS: &[&str] = &[
    "CREATE TABLE hours (
       hour INTEGER NOT NULL,
       venue TEXT NOT NULL,
       market TEXT NOT NULL,
       closes TEXT NOT NULL,
       covered INTEGER NOT NULL,
       settled INTEGER NOT NULL,
       before_at INTEGER,
       before_price TEXT,
       checksum INTEGER NOT NULL,
       PRIMARY KEY (hour, venue, market)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE last_rows (
       venue TEXT NOT NULL,
       market TEXT NOT NULL,
       last TEXT NOT NULL,
       venue_time TEXT,
       trade_id TEXT,
       received_at TEXT NOT NULL,
       confirmed_at TEXT NOT NULL,
       sent_places INTEGER NOT NULL,
       high_24h TEXT,
       low_24h TEXT,
       base_volume_24h TEXT,
       quote_volume_24h TEXT,
       checksum INTEGER NOT NULL,
       PRIMARY KEY (venue, market)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE bans (
       venue TEXT NOT NULL PRIMARY KEY,
       not_before TEXT NOT NULL,
       checksum INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;",
    "CREATE VIEW minute_closes (venue, market, minute, price, settled) AS
       SELECT hours.venue, hours.market,
         strftime('%Y-%m-%dT%H:%M:00Z', hours.hour + 60 * json_extract(close.value, '$[0]'), 'unixepoch'),
         json_extract(close.value, '$[2]'),
         (hours.settled >> json_extract(close.value, '$[0]')) & 1
       FROM hours, json_each(hours.closes) AS close;",
    "ALTER TABLE last_rows ADD COLUMN confirmed_there TEXT;
     CREATE TABLE listings (
       venue TEXT NOT NULL,
       market TEXT NOT NULL,
       since TEXT,
       gone_since TEXT,
       halted_since TEXT,
       checksum INTEGER NOT NULL,
       PRIMARY KEY (venue, market)
     ) STRICT, WITHOUT ROWID;",
];

/// Returns the newest version, which this program writes.
pub fn newest_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Sets the pragmas that apply to a connection rather than to the file.
pub fn set_pragmas(connection: &Connection) -> rusqlite::Result<()> {
    // `secure_delete` overwrites deleted rows with zeros, so that a damaged pointer can't lead to an old row whose
    // checksum is valid.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON; PRAGMA journal_size_limit = 16777216; PRAGMA busy_timeout = 2000;",
    )
}

/// Returns the version of the file; an empty file has version 0.
pub fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Migrates the file to the newest version in one transaction, and turns on the write-ahead log.
pub fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    migrate_to(connection, newest_version())?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
}

pub fn migrate_to(connection: &mut Connection, target: i64) -> rusqlite::Result<()> {
    let from = version(connection)?;
    if from >= target {
        return Ok(());
    }
    if from == 0 {
        connection.execute_batch(&format!("PRAGMA page_size = {PAGE_BYTES}"))?;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let steps = MIGRATIONS.iter().zip(1..).filter(|&(_, to)| to > from && to <= target);
    for (step, _) in steps {
        transaction.execute_batch(step)?;
    }
    transaction.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {target}"))?;
    transaction.commit()
}

/// Returns a defect of the file's schema table, if there is one.
///
/// A damaged schema would make SQLite read, and later write, wrong data. Tables and indexes that an operator has
/// added are allowed.
pub fn find_defect(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let mut fresh = Connection::open_in_memory()?;
    migrate_to(&mut fresh, newest_version())?;
    let read = |connection: &Connection| -> rusqlite::Result<Vec<(String, Option<String>)>> {
        let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let found = read(connection)?;
    let lost = read(&fresh)?.into_iter().find(|item| !found.contains(item));
    Ok(lost.map(|(name, _)| format!("the schema entry of {name} is damaged")))
}
