//! The writer thread, and the handle through which others pass records to it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior, params};

use crate::clock::Clock;
use crate::failpoint;
use crate::feed::{StoreHealth, StoreHealthSource};
use crate::market::{HourRecord, Market, Minute, SECONDS_PER_MINUTE, VenueId};

use super::open::{self, FileId, OpenError, ReadConnection};
use super::pending::{Pending, PendingFeed};
use super::restore::{Reader, Restored};
use super::row;

/// Delay before the next attempt after a failed write.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A write that takes longer than this is reported as a failure while it lasts.
const SLOW_WRITE: Duration = Duration::from_secs(10);

/// Maximum number of distinct failure reasons logged during one outage; the health always shows the newest.
const LOGGED_REASONS_MAX: usize = 8;

/// Approximate maximum number of rows in one transaction.
const ROWS_PER_TRANSACTION: usize = 1000;

/// Maximum number of old hour rows deleted in one step.
const PRUNE_ROWS: i64 = 500;

/// Old hours are pruned every this many flushes.
const PRUNE_EVERY: u32 = 60;

const MINUTES_PER_DAY: i64 = 24 * 60;

/// Settings of the store.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// Hour records older than this many days are deleted.
    pub retention_days: u32,
    /// Pending records are written at least this often.
    pub flush_every: Duration,
    /// Largest size of the file in pages of 8 KiB; beyond it, writes fail as on a full disk. Default: no limit.
    pub pages_max: Option<u32>,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { retention_days: 8, flush_every: Duration::from_secs(1), pages_max: None }
    }
}

/// Handle of the writer thread: queues records for it and reports its health. Shared by the store, the history
/// reader and the thread itself.
#[derive(Debug)]
pub struct WriterHandle {
    pub file: PathBuf,
    pub settings: StoreSettings,
    pub clock: Clock,
    pub read_connection: ReadConnection,
    /// Whether a new file has been created since the flag was last taken.
    pub file_recreated: AtomicBool,
    /// Records read from a file that was opened after the start.
    late_records: Mutex<Option<Restored>>,
    /// Locked only briefly, never during disk I/O.
    inbox: Mutex<Inbox>,
    wake: Condvar,
    /// Locked only briefly, never during disk I/O.
    state: Mutex<State>,
    written: Condvar,
}

#[derive(Debug, Default)]
struct Inbox {
    pending: Pending,
    urgent: bool,
    closing: bool,
    /// Number of submissions so far.
    submitted: u64,
}

/// Records to write in one cycle.
struct Batch {
    pending: Pending,
    /// Number of submissions that this batch completes.
    submitted: u64,
    /// Whether this is the last batch.
    closing: bool,
}

#[derive(Debug)]
struct State {
    health: StoreHealth,
    /// Monotonic time at which the current write began.
    writing: Option<Duration>,
    /// Failure reasons logged since the last successful write.
    logged: Vec<String>,
    /// Number of submissions that are on disk.
    written: u64,
}

impl WriterHandle {
    pub fn new(file: PathBuf, settings: StoreSettings, clock: Clock, failure: Option<String>) -> Self {
        let since = clock.now();
        let logged = failure.iter().cloned().collect();
        let health = StoreHealth { persisting: failure.is_none(), since, reason: failure, saved_at: None };
        Self {
            file,
            settings,
            clock,
            read_connection: ReadConnection::default(),
            file_recreated: AtomicBool::new(false),
            late_records: Mutex::default(),
            inbox: Mutex::default(),
            wake: Condvar::new(),
            state: Mutex::new(State { health, writing: None, logged, written: 0 }),
            written: Condvar::new(),
        }
    }

    /// Adds to the pending records; if `urgent`, wakes the thread at once.
    pub fn enqueue(&self, urgent: bool, add: impl FnOnce(&mut Pending)) {
        let mut inbox = self.inbox();
        add(&mut inbox.pending);
        inbox.submitted += 1;
        if urgent {
            inbox.urgent = true;
            self.wake.notify_one();
        }
    }

    pub fn take_late_records(&self) -> Option<Restored> {
        self.late_records.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn close(&self) {
        self.inbox().closing = true;
        self.wake.notify_one();
    }

    pub fn flush(&self, timeout: Duration) -> bool {
        let submitted = {
            let mut inbox = self.inbox();
            inbox.urgent = true;
            self.wake.notify_one();
            inbox.submitted
        };
        let is_unwritten = |state: &mut State| state.written < submitted;
        let state = self.written.wait_timeout_while(self.state(), timeout, is_unwritten);
        let (state, _) = state.unwrap_or_else(PoisonError::into_inner);
        state.written >= submitted
    }

    pub fn health(&self) -> StoreHealth {
        let state = self.state();
        let mut health = state.health.clone();
        let took = state.writing.map(|since| self.clock.monotonic().saturating_sub(since));
        if let Some(took) = took.filter(|&took| took > SLOW_WRITE && health.persisting) {
            health.persisting = false;
            health.reason = Some(format!("the disk has not answered for {} s", took.as_secs()));
        }
        health
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `timeout`, or until the handle is closed or woken for urgent records, and returns the pending records.
    fn wait(&self, timeout: Duration, wake_if_urgent: bool) -> Batch {
        let inbox = self.inbox();
        let idle = |inbox: &mut Inbox| !(inbox.closing || wake_if_urgent && inbox.urgent);
        let (mut inbox, _) = self.wake.wait_timeout_while(inbox, timeout, idle).unwrap_or_else(PoisonError::into_inner);
        inbox.urgent = false;
        Batch { pending: std::mem::take(&mut inbox.pending), submitted: inbox.submitted, closing: inbox.closing }
    }

    fn begin_write(&self) {
        self.state().writing = Some(self.clock.monotonic());
    }

    /// Records the result of a write. Logs each new failure reason, and the first success after a failure.
    fn end_write(&self, outcome: Result<u64, &str>) {
        let now = self.clock.now();
        let mut state = self.state();
        state.writing = None;
        if let Ok(submitted) = outcome {
            state.written = submitted;
            state.health.saved_at = Some(now);
            self.written.notify_all();
        }
        let (file, persisting) = (self.file.display(), outcome.is_ok());
        let State { health, logged, .. } = &mut *state;
        if health.persisting != persisting {
            *health = StoreHealth { persisting, since: now, reason: None, saved_at: health.saved_at };
        }
        match outcome {
            Ok(_) if !logged.is_empty() => {
                logged.clear();
                health.reason = None;
                tracing::info!(%file, "prices are written to disk again");
            }
            Ok(_) => {}
            Err(reason) => {
                health.reason = Some(reason.to_owned());
                if logged.len() < LOGGED_REASONS_MAX && !logged.iter().any(|known| known == reason) {
                    logged.push(reason.to_owned());
                    tracing::error!(%file, reason, "prices are not written to disk; continuing in memory only");
                }
            }
        }
    }
}

impl StoreHealthSource for WriterHandle {
    fn health(&self) -> StoreHealth {
        Self::health(self)
    }
}

/// State owned by the writer thread.
pub struct Writer {
    handle: Arc<WriterHandle>,
    venues: Vec<VenueId>,
    lock: Option<File>,
    connection: Option<Connection>,
    /// Identities of the open files, where known: the database, its log, and the log's index.
    files: [Option<FileId>; 3],
    /// Length of the file in bytes at the last check. We never shrink it, since there is no `VACUUM`.
    length: Option<u64>,
    /// Whether the file may hold records that the program has not read.
    has_unread: bool,
    /// Whether there may be more to prune, or space must be freed.
    pruning: bool,
}

impl Writer {
    pub fn new(
        handle: Arc<WriterHandle>,
        venues: Vec<VenueId>,
        lock: Option<File>,
        connection: Option<Connection>,
        has_unread: bool,
    ) -> Self {
        let (files, length) = (identify_all(&handle.file), open::length(&handle.file));
        Self { handle, venues, lock, connection, files, length, has_unread, pruning: false }
    }

    /// Writes until the handle is closed, then writes the remaining records.
    pub fn run(mut self) {
        let mut cycles = 0u32;
        let mut is_healthy = self.connection.is_some();
        loop {
            let Batch { mut pending, submitted, closing } =
                self.handle.wait(if is_healthy { self.handle.settings.flush_every } else { RETRY_AFTER }, is_healthy);
            if failpoint::is_hit("store") {
                return;
            }
            self.handle.begin_write();
            let outcome = self.write_batch(&mut pending, cycles);
            is_healthy = outcome.is_ok();
            match outcome {
                Ok(()) => self.handle.end_write(Ok(submitted)),
                Err(error) => self.handle_failure(error),
            }
            if closing {
                return self.release();
            }
            self.handle.inbox().pending.put_back(pending);
            cycles = cycles.wrapping_add(1);
        }
    }

    /// Closes the file, then unlocks the directory explicitly: a child process may have inherited the lock.
    fn release(self) {
        // The last connection to close checkpoints the log into the file, so it must be one that can write.
        let reads = self.handle.read_connection.pause();
        drop(self.connection);
        drop(reads);
        let _ = self.lock.map(|lock| lock.unlock());
    }

    /// Writes the pending records and removes the written ones from `pending`.
    fn write_batch(&mut self, pending: &mut Pending, cycles: u32) -> Result<(), OpenError> {
        self.check_in_place()?;
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.reopen()?,
        };
        let connection = self.connection.insert(connection);
        // Prune first, since it frees space on a full disk; a failure to prune does not prevent the write.
        let prune_due = self.pruning || cycles.is_multiple_of(PRUNE_EVERY);
        let pruned = if prune_due { prune(connection, &self.handle) } else { Ok(0) };
        write(connection, pending)?;
        self.pruning = pruned? > 0;
        Ok(())
    }

    /// Checks that the open files are still the ones at their paths: an operator may have removed or replaced
    /// them, or may have truncated the database or copied a smaller file over it, which keeps the same inode.
    ///
    /// SQLite would go on writing to such a file or log without reporting an error.
    fn check_in_place(&mut self) -> Result<(), OpenError> {
        let file = &self.handle.file;
        let lock_path = file.with_file_name(open::LOCK_FILE);
        let lost_lock = self.lock.as_ref().is_some_and(|lock| !open::is_same_file(lock, &lock_path));
        if lost_lock {
            self.lock = None;
        }
        let Some(connection) = &self.connection else { return Ok(()) };
        let found = identify_all(file);
        let [lost_file, lost_log, lost_index] =
            std::array::from_fn(|at| self.files[at].is_some() && self.files[at] != found[at]);
        let length = open::length(file);
        let is_truncated = !lost_file && length.zip(self.length).is_some_and(|(now, before)| now < before);
        if !(lost_lock || lost_file || lost_log || lost_index || is_truncated) {
            // The first write creates the log and its index, so they may be new.
            (self.files, self.length) = (found, length);
            return Ok(());
        }
        if !(lost_file || is_truncated) {
            // Save records that are only in the removed log before it is gone for good.
            let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        // Closing would delete the log by name, and another process may have created a new one.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        self.handle.file_recreated.store(true, Ordering::Release);
        let (lost, how) = match (lost_lock, is_truncated) {
            (true, _) => (&lock_path, "removed or replaced"),
            (false, true) => (file, "emptied or replaced by a smaller file"),
            (false, false) => (file, "removed or replaced"),
        };
        let reason = format!("{} was {how} while in use", lost.display());
        if is_truncated {
            // Treat the truncated file as a different one, so that it is read again.
            self.files[0] = None;
            // The log holds pages of the old content; applied to the new one they would damage it.
            if !(lost_lock || lost_log || lost_index) {
                open::move_log_aside(file, self.handle.clock.now())?;
            }
        }
        Err(OpenError::Disk(reason))
    }

    fn reopen(&mut self) -> Result<Connection, OpenError> {
        if self.lock.is_none() {
            self.lock = Some(open::lock(self.handle.file.parent().unwrap_or(&self.handle.file))?);
        }
        let before = self.files[0];
        let existing = open::identify(&self.handle.file);
        let reads = self.handle.read_connection.pause();
        let connection = open::open(&self.handle.file)?;
        drop(reads);
        limit_size(&connection, &self.handle.settings)?;
        if existing.is_none() {
            self.handle.file_recreated.store(true, Ordering::Release);
        }
        (self.files, self.length) = (identify_all(&self.handle.file), open::length(&self.handle.file));
        if existing.is_some() && (self.has_unread || existing != before) {
            self.read_late_records(&connection);
        }
        self.has_unread = false;
        Ok(connection)
    }

    /// Reads records that the program does not know yet.
    fn read_late_records(&self, connection: &Connection) {
        let mut reader = Reader::new(&self.venues);
        // As at the start, parts that can't be read are skipped.
        let _ = reader.read(connection, self.handle.clock.now());
        *self.handle.late_records.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader.finish());
    }

    /// Handles a failed write: drops the connection, so that the next attempt checks the file from the start.
    fn handle_failure(&mut self, error: OpenError) {
        self.connection = None;
        self.pruning = true;
        let reason = match error {
            error @ (OpenError::Disk(_) | OpenError::Refused(_)) => error.to_string(),
            OpenError::Damaged(defect) => match open::move_aside(&self.handle.file, self.handle.clock.now()) {
                Ok(aside) => format!("the file is damaged ({defect}) and was moved to {}", aside.display()),
                Err(_) => format!("the file is damaged ({defect}) and could not be moved aside"),
            },
        };
        self.handle.end_write(Err(&reason));
    }
}

/// Returns the identities of the files at the paths of the database, its log, and the log's index.
fn identify_all(file: &Path) -> [Option<FileId>; 3] {
    ["", "-wal", "-shm"].map(|ending| open::identify(&open::sibling_path(file, ending)))
}

/// Limits the size of the file to [`StoreSettings::pages_max`], if set.
pub fn limit_size(connection: &Connection, settings: &StoreSettings) -> rusqlite::Result<()> {
    let Some(pages) = settings.pages_max else { return Ok(()) };
    connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
}

fn write(connection: &mut Connection, pending: &mut Pending) -> Result<(), OpenError> {
    while !pending.is_empty() {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for ((venue, transport), not_before) in &pending.bans {
            row::put_ban(&transaction, venue.as_str(), *transport, *not_before)?;
        }
        let mut rows = 0;
        let mut written = Vec::new();
        for ((venue, market), feed) in &pending.feeds {
            if rows >= ROWS_PER_TRANSACTION {
                break;
            }
            let deleted = put_feed(&transaction, *venue, market, feed)?;
            rows += feed.hours.len() + 1;
            written.push(((*venue, market.clone()), deleted));
        }
        transaction.commit()?;
        pending.bans.clear();
        for (key, hours) in written {
            if hours > 0 {
                let (venue, market, cause) = (key.0, &key.1, "a new listing uses the same market name");
                tracing::warn!(%venue, %market, cause, hours, "deleted the stored hours of the previous listing");
            }
            pending.feeds.remove(&key);
        }
    }
    Ok(())
}

/// Writes all records of a feed in one transaction, so that old records are never deleted without the new ones
/// being written. Returns the number of deleted hours of a previous listing.
fn put_feed(to: &Connection, venue: VenueId, market: &Market, feed: &PendingFeed) -> rusqlite::Result<usize> {
    let (venue, market) = (venue.as_str(), market.as_str());
    let mut deleted = 0;
    if feed.reset {
        deleted = to.execute("DELETE FROM hours WHERE venue = ?1 AND market = ?2", [venue, market])?;
        to.execute("DELETE FROM last_rows WHERE venue = ?1 AND market = ?2", [venue, market])?;
    }
    for record in feed.hours.values() {
        row::put_hour(to, venue, market, record)?;
    }
    if let Some(listing) = feed.listing {
        row::put_listing(to, venue, market, listing)?;
    }
    if let Some(last) = &feed.last {
        row::put_last(to, venue, market, last)?;
    }
    Ok(deleted)
}

/// Deletes expired bans and some of the hours that are older than the retention. Returns the number of deleted hours.
fn prune(connection: &Connection, handle: &WriterHandle) -> Result<usize, OpenError> {
    let now = handle.clock.now();
    connection.execute("DELETE FROM bans WHERE not_before < ?1", [now.to_string()])?;
    let newest: Option<i64> = connection.query_row("SELECT max(hour) FROM hours", [], |row| row.get(0))?;
    let Some(newest) = newest else { return Ok(0) };
    // If the clock is ahead, that must not cause all hours to be deleted: so measure from a day after the newest
    // stored hour at most.
    let retention_end = Minute::of(now).0.min(newest.div_euclid(SECONDS_PER_MINUTE).saturating_add(MINUTES_PER_DAY));
    let cutoff =
        HourRecord::hour_of(Minute(retention_end - i64::from(handle.settings.retention_days) * MINUTES_PER_DAY));
    let deleted = connection.execute(
        "DELETE FROM hours WHERE (hour, venue, market) IN
           (SELECT hour, venue, market FROM hours WHERE hour < ?1 ORDER BY hour LIMIT ?2)",
        params![cutoff.0.saturating_mul(SECONDS_PER_MINUTE), PRUNE_ROWS],
    )?;
    Ok(deleted)
}
