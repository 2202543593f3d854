//! The one thread that writes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior, params};

use crate::clock::Clock;
use crate::domain::{HourRecord, Market, Minute, StoreHealth, VenueId};
use crate::failpoint;

use super::open::{self, Identity, Trouble};
use super::past::Reading;
use super::pending::{Pending, Waiting};
use super::restore::{Reader, Restored};
use super::{Settings, row};

/// After a failure the next attempt is made this much later.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A write that takes longer than this is told as trouble while it lasts.
const SLOW: Duration = Duration::from_secs(10);

/// Reasons logged in one outage; the newest is always in the health.
const TOLD_MAX: usize = 8;

/// Rows in one transaction, about.
const ROWS_PER_TRANSACTION: usize = 1000;

/// Old hours deleted in one step.
const PRUNE_ROWS: i64 = 500;

/// Old hours are looked for this often, in flushes.
const PRUNE_EVERY: u32 = 60;

const SECONDS: i64 = 60;
const DAY: i64 = 24 * 60;

/// What the thread shares with those who hand over.
#[derive(Debug)]
pub struct Desk {
    pub file: PathBuf,
    pub settings: Settings,
    pub clock: Clock,
    pub reading: Reading,
    /// Whether a new file was begun while we run, and nobody has asked since.
    pub renewed: AtomicBool,
    /// What a file was found to hold that was opened while we run.
    found: Mutex<Option<Restored>>,
    /// Held for a few lines, never while the disk is asked for anything.
    inbox: Mutex<Inbox>,
    wake: Condvar,
    /// Likewise.
    state: Mutex<State>,
    written: Condvar,
}

#[derive(Debug, Default)]
struct Inbox {
    pending: Pending,
    urgent: bool,
    closing: bool,
    /// How often something was handed over.
    handed: u64,
}

/// What is to be written in one turn.
struct Batch {
    pending: Pending,
    /// Up to which hand-over.
    handed: u64,
    /// Whether it is the last.
    closing: bool,
}

#[derive(Debug)]
struct State {
    health: StoreHealth,
    /// Since when the disk has been at work on a write, by the monotonic clock.
    writing: Option<Duration>,
    /// The reasons logged since writing last worked.
    told: Vec<String>,
    /// How often something had been handed over when all of it was on disk.
    written: u64,
}

impl Desk {
    pub fn new(file: PathBuf, settings: Settings, clock: Clock, trouble: Option<String>) -> Self {
        let since = clock.now();
        let told = trouble.iter().cloned().collect();
        let health = StoreHealth { persisting: trouble.is_none(), since, reason: trouble, saved_at: None };
        Self {
            file,
            settings,
            clock,
            reading: Reading::default(),
            renewed: AtomicBool::new(false),
            found: Mutex::default(),
            inbox: Mutex::default(),
            wake: Condvar::new(),
            state: Mutex::new(State { health, writing: None, told, written: 0 }),
            written: Condvar::new(),
        }
    }

    /// Adds to what waits, and wakes the thread at once if it is urgent.
    pub fn hand_over(&self, urgent: bool, add: impl FnOnce(&mut Pending)) {
        let mut inbox = self.inbox();
        add(&mut inbox.pending);
        inbox.handed += 1;
        if urgent {
            inbox.urgent = true;
            self.wake.notify_one();
        }
    }

    pub fn take_found(&self) -> Option<Restored> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn close(&self) {
        self.inbox().closing = true;
        self.wake.notify_one();
    }

    pub fn flush(&self, at_most: Duration) -> bool {
        let handed = {
            let mut inbox = self.inbox();
            inbox.urgent = true;
            self.wake.notify_one();
            inbox.handed
        };
        let waits = |state: &mut State| state.written < handed;
        let state = self.written.wait_timeout_while(self.state(), at_most, waits);
        let (state, _) = state.unwrap_or_else(PoisonError::into_inner);
        state.written >= handed
    }

    pub fn health(&self) -> StoreHealth {
        let state = self.state();
        let mut health = state.health.clone();
        let took = state.writing.map(|since| self.clock.monotonic().saturating_sub(since));
        if let Some(took) = took.filter(|&took| took > SLOW && health.persisting) {
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

    /// Waits for the next flush.
    fn wait(&self, at_most: Duration, hurry: bool) -> Batch {
        let inbox = self.inbox();
        let idle = |inbox: &mut Inbox| !(inbox.closing || hurry && inbox.urgent);
        let (mut inbox, _) = self.wake.wait_timeout_while(inbox, at_most, idle).unwrap_or_else(PoisonError::into_inner);
        inbox.urgent = false;
        Batch { pending: std::mem::take(&mut inbox.pending), handed: inbox.handed, closing: inbox.closing }
    }

    fn begin(&self) {
        self.state().writing = Some(self.clock.monotonic());
    }

    /// Notes how a write went, and logs each new reason of a failure, and the first success after it.
    fn end(&self, outcome: Result<u64, &str>) {
        let now = self.clock.now();
        let mut state = self.state();
        state.writing = None;
        if let Ok(handed) = outcome {
            state.written = handed;
            state.health.saved_at = Some(now);
            self.written.notify_all();
        }
        let (file, persisting) = (self.file.display(), outcome.is_ok());
        let State { health, told, .. } = &mut *state;
        if health.persisting != persisting {
            *health = StoreHealth { persisting, since: now, reason: None, saved_at: health.saved_at };
        }
        match outcome {
            Ok(_) if !told.is_empty() => {
                told.clear();
                health.reason = None;
                tracing::info!(%file, "prices are written to disk again");
            }
            Ok(_) => {}
            Err(reason) => {
                health.reason = Some(reason.to_owned());
                if told.len() < TOLD_MAX && !told.iter().any(|known| known == reason) {
                    told.push(reason.to_owned());
                    tracing::error!(%file, reason, "prices are not written to disk; continuing in memory only");
                }
            }
        }
    }
}

/// What the thread owns.
pub struct Writer {
    desk: Arc<Desk>,
    venues: Vec<VenueId>,
    lock: Option<File>,
    connection: Option<Connection>,
    /// Which files the connection has open, as far as they are known: the file, its log, and the index of the log.
    files: [Option<Identity>; 3],
    /// How long the file was when it was last looked at. It never gets shorter by what we do: there is no `VACUUM`.
    length: Option<u64>,
    /// Whether the file may hold what the program has not read.
    unread: bool,
    /// Whether there is something to prune, or room is needed.
    pruning: bool,
}

impl Writer {
    pub fn new(
        desk: Arc<Desk>,
        venues: Vec<VenueId>,
        lock: Option<File>,
        connection: Option<Connection>,
        unread: bool,
    ) -> Self {
        let (files, length) = (identify_all(&desk.file), open::length(&desk.file));
        Self { desk, venues, lock, connection, files, length, unread, pruning: false }
    }

    /// Writes until the desk is closed, then writes the rest.
    pub fn run(mut self) {
        let mut turns = 0u32;
        let mut well = self.connection.is_some();
        loop {
            let Batch { mut pending, handed, closing } =
                self.desk.wait(if well { self.desk.settings.flush_every } else { RETRY_AFTER }, well);
            if failpoint::is_hit("store") {
                return;
            }
            self.desk.begin();
            let outcome = self.turn(&mut pending, turns);
            well = outcome.is_ok();
            match outcome {
                Ok(()) => self.desk.end(Ok(handed)),
                Err(trouble) => self.give_up(trouble),
            }
            if closing {
                return self.let_go();
            }
            self.desk.inbox().pending.put_back(pending);
            turns = turns.wrapping_add(1);
        }
    }

    /// Closes the file, then unlocks the directory, also where a child of this process has inherited the lock.
    fn let_go(self) {
        // The last one to close takes the log into the file, and that must be one that may write.
        let reads = self.desk.reading.stop();
        drop(self.connection);
        drop(reads);
        let _ = self.lock.map(|lock| lock.unlock());
    }

    /// Writes what waits; what is written is taken out of it.
    fn turn(&mut self, pending: &mut Pending, turns: u32) -> Result<(), Trouble> {
        self.check_in_place()?;
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.open_again()?,
        };
        let connection = self.connection.insert(connection);
        // Where there is no room, pruning makes some: it comes first, and its failure does not stop the writing.
        let more = self.pruning || turns.is_multiple_of(PRUNE_EVERY);
        let pruned = if more { prune(connection, &self.desk) } else { Ok(0) };
        write(connection, pending)?;
        self.pruning = pruned? > 0;
        Ok(())
    }

    /// Checks that what we write to is what others find: an operator may have removed or replaced it, or have emptied it or
    /// copied a smaller file over it, which leaves it the same file.
    ///
    /// SQLite goes on writing to such a file or its log, and says that all is well.
    fn check_in_place(&mut self) -> Result<(), Trouble> {
        let file = &self.desk.file;
        let lock_path = file.with_file_name(open::LOCK);
        let lost_lock = self.lock.as_ref().is_some_and(|lock| !open::is_still(lock, &lock_path));
        if lost_lock {
            self.lock = None;
        }
        let Some(connection) = &self.connection else { return Ok(()) };
        let found = identify_all(file);
        let [lost_file, lost_log, lost_index] =
            std::array::from_fn(|at| self.files[at].is_some() && self.files[at] != found[at]);
        let length = open::length(file);
        let is_cut = !lost_file && length.zip(self.length).is_some_and(|(now, before)| now < before);
        if !(lost_lock || lost_file || lost_log || lost_index || is_cut) {
            // The log and its index are made by the first write.
            (self.files, self.length) = (found, length);
            return Ok(());
        }
        if !(lost_file || is_cut) {
            // What only the removed log holds goes into the file before it is gone for good.
            let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        // Closing deletes the log by its name, and another process may have made a new one.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        self.desk.renewed.store(true, Ordering::Release);
        let (lost, how) = match (lost_lock, is_cut) {
            (true, _) => (&lock_path, "removed or replaced"),
            (false, true) => (file, "emptied or replaced by a smaller file"),
            (false, false) => (file, "removed or replaced"),
        };
        let reason = format!("{} was {how} while in use", lost.display());
        if is_cut {
            // What lies there now is read as another file is.
            self.files[0] = None;
            // The log holds pages of the file as it was: beside another one they would damage it.
            if !(lost_lock || lost_log || lost_index) {
                open::move_log_aside(file, self.desk.clock.now())?;
            }
        }
        Err(Trouble::Disk(reason))
    }

    fn open_again(&mut self) -> Result<Connection, Trouble> {
        if self.lock.is_none() {
            self.lock = Some(open::lock(self.desk.file.parent().unwrap_or(&self.desk.file))?);
        }
        let before = self.files[0];
        let there = open::identify(&self.desk.file);
        let reads = self.desk.reading.stop();
        let connection = open::open(&self.desk.file)?;
        drop(reads);
        limit(&connection, &self.desk.settings)?;
        if there.is_none() {
            self.desk.renewed.store(true, Ordering::Release);
        }
        (self.files, self.length) = (identify_all(&self.desk.file), open::length(&self.desk.file));
        if there.is_some() && (self.unread || there != before) {
            self.find(&connection);
        }
        self.unread = false;
        Ok(connection)
    }

    /// Reads what the program does not know yet.
    fn find(&self, connection: &Connection) {
        let mut reader = Reader::new(&self.venues);
        // As at the start: what can't be read is left aside.
        let _ = reader.read(connection, self.desk.clock.now());
        *self.desk.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader.end());
    }

    /// The connection is given up too: the next one looks at the file anew.
    fn give_up(&mut self, trouble: Trouble) {
        self.connection = None;
        self.pruning = true;
        let reason = match trouble {
            trouble @ (Trouble::Disk(_) | Trouble::Refused(_)) => trouble.to_string(),
            Trouble::Damaged(defect) => match open::move_aside(&self.desk.file, self.desk.clock.now()) {
                Ok(aside) => format!("the file is damaged ({defect}) and was moved to {}", aside.display()),
                Err(_) => format!("the file is damaged ({defect}) and could not be moved aside"),
            },
        };
        self.desk.end(Err(&reason));
    }
}

/// Returns which files lie where the store, its log and the index of the log are looked for.
fn identify_all(file: &Path) -> [Option<Identity>; 3] {
    ["", "-wal", "-shm"].map(|ending| open::identify(&open::beside(file, ending)))
}

/// Bounds the file, where the settings do.
pub fn limit(connection: &Connection, settings: &Settings) -> rusqlite::Result<()> {
    let Some(pages) = settings.pages_max else { return Ok(()) };
    connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
}

fn write(connection: &mut Connection, pending: &mut Pending) -> Result<(), Trouble> {
    while !pending.is_empty() {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for ((venue, link), not_before) in &pending.bans {
            row::put_ban(&transaction, venue.as_str(), *link, *not_before)?;
        }
        let mut rows = 0;
        let mut written = Vec::new();
        for ((venue, market), waiting) in &pending.feeds {
            if rows >= ROWS_PER_TRANSACTION {
                break;
            }
            let deleted = put_feed(&transaction, *venue, market, waiting)?;
            rows += waiting.hours.len() + 1;
            written.push(((*venue, market.clone()), deleted));
        }
        transaction.commit()?;
        pending.bans.clear();
        for (key, hours) in written {
            if hours > 0 {
                let (venue, market, cause) = (key.0, &key.1, "another listing began under the same name");
                tracing::warn!(%venue, %market, cause, hours, "the stored hours of the listing before are deleted");
            }
            pending.feeds.remove(&key);
        }
    }
    Ok(())
}

/// All of a feed in one transaction: what it was before is not forgotten without what it is now. Returns how many hours
/// of the listing before were deleted.
fn put_feed(to: &Connection, venue: VenueId, market: &Market, waiting: &Waiting) -> rusqlite::Result<usize> {
    let (venue, market) = (venue.as_str(), market.as_str());
    let mut deleted = 0;
    if waiting.anew {
        deleted = to.execute("DELETE FROM hours WHERE venue = ?1 AND market = ?2", [venue, market])?;
        to.execute("DELETE FROM last_rows WHERE venue = ?1 AND market = ?2", [venue, market])?;
    }
    for record in waiting.hours.values() {
        row::put_hour(to, venue, market, record)?;
    }
    if let Some(listing) = waiting.listing {
        row::put_listing(to, venue, market, listing)?;
    }
    if let Some(last) = &waiting.last {
        row::put_last(to, venue, market, last)?;
    }
    Ok(deleted)
}

/// Deletes some of what is older than the retention; returns how many hours that were.
fn prune(connection: &Connection, desk: &Desk) -> Result<usize, Trouble> {
    let newest: Option<i64> = connection.query_row("SELECT max(hour) FROM hours", [], |row| row.get(0))?;
    let Some(newest) = newest else { return Ok(0) };
    let now = desk.clock.now();
    // A clock that runs ahead must not make the store forget what it has: the newest hour counts too.
    let present = Minute::of(now).0.min(newest.div_euclid(SECONDS).saturating_add(DAY));
    let border = HourRecord::of(Minute(present - i64::from(desk.settings.retention_days) * DAY));
    let gone = connection.execute(
        "DELETE FROM hours WHERE (hour, venue, market) IN
           (SELECT hour, venue, market FROM hours WHERE hour < ?1 ORDER BY hour LIMIT ?2)",
        params![border.0.saturating_mul(SECONDS), PRUNE_ROWS],
    )?;
    connection.execute("DELETE FROM bans WHERE not_before < ?1", [now.to_string()])?;
    Ok(gone)
}
