//! What outlives the process: minute closes, last rows and bans, in one SQLite file.
//!
//! One thread writes. Those who hand over never wait for it: what waits is a
//! map in memory in which the newest word of each key wins ([`pending`]), and
//! the thread empties it at least once a second in small, synced transactions.
//! When the disk fails, prices go on from memory and the thread keeps trying.
//!
//! ```text
//!  board ──records──▶ pending ──▶ writer thread ──▶ sisepan.db ──▶ Past (history)
//!                                                      └─────────▶ Restored (at the start)
//! ```
//!
//! Each row carries a checksum over all of its columns and stands alone: a
//! damaged row is a hole, never another price. It knows no rule of the market,
//! and never deletes a file.

mod backup;
mod open;
mod past;
mod pending;
mod restore;
mod row;
mod schema;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Clock;
use crate::domain::{FeedRecords, HourSource, Keeper, Link, StoreHealth, VenueId};

use open::Trouble;
use restore::Reader;
use writer::{Desk, Writer};

pub use backup::{Copied, NotCopied, backup};
pub use open::{FILE, LOCK, Refused};
pub use restore::Restored;

/// What an operator may set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Hours older than so many days are deleted.
    pub retention_days: u32,
    /// What waits is written at least this often.
    pub flush_every: Duration,
    /// Most pages of 8 KiB in the file; beyond, it counts as a full disk. Default none.
    pub pages_max: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { retention_days: 8, flush_every: Duration::from_secs(1), pages_max: None }
    }
}

/// Returns why [`Store::open`] would refuse what lies in `directory`, or the disk's problem. Writes nothing.
///
/// # Errors
/// A message that names the file.
pub fn inspect(directory: &Path) -> Result<(), String> {
    match open::inspect(&directory.join(FILE)) {
        // What is damaged is moved aside by whoever opens it.
        Ok(()) | Err(Trouble::Damaged(_)) => Ok(()),
        Err(Trouble::Refused(refused)) => Err(refused.to_string()),
        Err(Trouble::Disk(problem)) => Err(problem),
    }
}

/// Returns whether another process holds the lock of `directory`. Makes nothing there.
pub fn is_in_use(directory: &Path) -> bool {
    let lock = std::fs::File::open(directory.join(LOCK));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

/// The store, open. Dropping it writes what waits and ends the thread.
#[derive(Debug)]
pub struct Store {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the store in `directory`, which is made if it is not there, and reads what it holds of `venues`.
    ///
    /// Blocks on the disk. A disk that does not work is no error: the store
    /// starts without it and keeps trying. A damaged file is moved aside.
    ///
    /// # Errors
    /// [`Refused`] if the directory is in use, or its file is not ours to write to.
    pub fn open(
        directory: &Path,
        settings: Settings,
        venues: &[VenueId],
        clock: Clock,
    ) -> Result<(Self, Restored), Refused> {
        let file = directory.join(FILE);
        let mut reader = Reader::new(venues);
        let mut lock = None;
        let opened = open::lock(directory).and_then(|held| {
            lock = Some(held);
            open_or_renew(&file, &settings, &mut reader, &clock)
        });
        let mut unread = false;
        let (connection, rescued, trouble) = match opened {
            Ok((connection, rescued)) => (Some(connection), rescued, None),
            Err(Trouble::Refused(refused)) => return Err(refused),
            Err(Trouble::Disk(reason) | Trouble::Damaged(reason)) => {
                tracing::error!(file = %file.display(), reason, "prices are not written to disk; continuing in memory only");
                // What lies there can still be read, if only the writing does not work.
                reader = Reader::new(venues);
                unread = !read_unwritable(&file, &mut reader, &clock);
                (None, false, Some(reason))
            }
        };
        let restored = reader.end();
        if restored.damaged > 0 {
            let rows = restored.damaged;
            tracing::warn!(file = %file.display(), rows, "rows of the store are damaged and left aside: their minutes are asked for again");
        }
        let desk = Arc::new(Desk::new(file, settings, clock, trouble));
        if rescued {
            restored.feeds.iter().for_each(|feed| desk.hand_over(false, |pending| pending.add(feed.clone())));
        }
        let writer = Writer::new(desk.clone(), venues.to_vec(), lock, connection, unread);
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || writer.run());
        let thread = thread.inspect_err(|error| tracing::error!(%error, "the store's thread can't be started")).ok();
        Ok((Self { desk, thread }, restored))
    }

    /// Hands over records to be written; never waits for the disk.
    pub fn keep(&self, records: Vec<FeedRecords>) {
        if !records.is_empty() {
            self.desk.hand_over(false, |pending| records.into_iter().for_each(|record| pending.add(record)));
        }
    }

    /// Hands over until when a venue is not to be asked, or its stream not dialled; written at once.
    pub fn keep_ban(&self, venue: VenueId, link: Link, not_before: Option<Timestamp>) {
        self.desk.hand_over(true, |pending| {
            pending.bans.insert((venue, link), not_before);
        });
    }

    /// Waits until all that was handed over is on disk; returns whether it is, at the latest after `at_most`.
    pub fn flush(&self, at_most: Duration) -> bool {
        self.desk.flush(at_most)
    }

    /// Returns whether a new file was begun since the last call, since the one before was damaged or gone: then
    /// everything is to be handed over once more.
    pub fn has_begun_anew(&self) -> bool {
        self.desk.renewed.swap(false, Ordering::AcqRel)
    }

    /// Returns what the file was found to hold only while we run, once: its disk could not be read when it was opened, or
    /// another file is now in its place.
    pub fn take_found(&self) -> Option<Restored> {
        self.desk.take_found()
    }

    /// Whether the thread that writes has ended although the store is open.
    pub fn has_failed(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Returns where the written hours are read from.
    pub fn past(&self) -> Arc<dyn HourSource> {
        Arc::new(past::Past::new(self.desk.clone()))
    }

    /// Returns who says whether the writing works.
    pub fn keeper(&self) -> Arc<dyn Keeper> {
        self.desk.clone()
    }

    /// Writes what waits, ends the thread and closes the file. Blocks on the disk.
    pub fn close(self) {}
}

impl Drop for Store {
    fn drop(&mut self) {
        self.desk.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Keeper for Desk {
    fn health(&self) -> StoreHealth {
        Self::health(self)
    }
}

/// Reads a file that can't be written to; returns whether that was all of it.
fn read_unwritable(file: &Path, reader: &mut Reader<'_>, clock: &Clock) -> bool {
    let file_name = file.display();
    match open::open_unwritable(file) {
        Ok(frozen) => {
            let read = reader.read(&frozen.connection, clock.now());
            if !frozen.whole {
                tracing::warn!(file = %file_name, "the store's log can't be read: what was written last is missing until the disk can be written to");
            }
            read.is_ok() && frozen.whole
        }
        Err(_) => false,
    }
}

/// Opens and reads the file; one that is damaged is moved aside for a new one, and what could be read of it is kept (`true`).
fn open_or_renew(
    file: &Path,
    settings: &Settings,
    reader: &mut Reader<'_>,
    clock: &Clock,
) -> Result<(rusqlite::Connection, bool), Trouble> {
    let mut open = || {
        let connection = open::open(file)?;
        writer::limit(&connection, settings)?;
        reader.read(&connection, clock.now())?;
        Ok(connection)
    };
    match open() {
        Err(Trouble::Damaged(defect)) => {
            let aside = open::move_aside(file, clock.now())?;
            tracing::error!(
                file = %file.display(), defect, moved_to = %aside.display(),
                "the store is damaged: it was moved aside and a new one is begun; what is missing is asked for again"
            );
            let connection = open::open(file)?;
            writer::limit(&connection, settings)?;
            Ok((connection, true))
        }
        opened => opened.map(|connection| (connection, false)),
    }
}
