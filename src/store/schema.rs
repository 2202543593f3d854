//! Tables of the file, and how an older file becomes a newer one.

use rusqlite::{Connection, TransactionBehavior};

/// Marks the file as ours, at byte 68 of its header: `SISE`.
pub const APPLICATION_ID: i32 = 0x5349_5345;

/// Bytes of a page. Most hours fit into an eighth of one, so that a row rarely spills into a page of its own.
const PAGE_BYTES: u32 = 8192;

/// What turns version `n` of the file into version `n + 1`. Written once, never changed: add another.
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

/// The version that this program writes.
pub fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Sets what holds for a connection, not for the file.
pub fn tune(connection: &Connection) -> rusqlite::Result<()> {
    // What was replaced is overwritten with zeros: a damaged pointer can then not find an older word with a right checksum.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON; PRAGMA journal_size_limit = 16777216; PRAGMA busy_timeout = 2000;",
    )
}

/// Returns the version of the file; 0 is an empty one.
pub fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings the file to the newest version, in one transaction.
pub fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    migrate_to(connection, newest())?;
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

/// Returns what is not as it should be in the file's own description of its tables.
///
/// Damage there would have SQLite read, and later write, something else than was meant.
/// Further tables and indexes are an operator's own matter.
pub fn defect(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let mut fresh = Connection::open_in_memory()?;
    migrate_to(&mut fresh, newest())?;
    let read = |connection: &Connection| -> rusqlite::Result<Vec<(String, Option<String>)>> {
        let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let found = read(connection)?;
    let lost = read(&fresh)?.into_iter().find(|item| !found.contains(item));
    Ok(lost.map(|(name, _)| format!("the description of {name} is damaged")))
}
