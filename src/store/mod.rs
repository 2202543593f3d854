//! Persistent state: minute closes, last rows, listings and bans (cool-downs that exchanges imposed), in one
//! SQLite file. Without one, minute closes are kept in memory ([`MemoryHistory`]).
//!
//! One thread writes. Callers never wait for it: they put records into a map
//! in memory that keeps only the newest record of each key ([`pending`]), and
//! the thread drains the map at least once a second in small, synced
//! transactions. When the disk fails, prices continue from memory and the
//! thread keeps retrying.
//!
//! ```text
//!  board ──records──▶ pending ──▶ writer thread ──▶ sisepan.db ──▶ HistoryReader
//!                                                      └─────────▶ Restored (at the start)
//! ```
//!
//! Each row has a checksum over all of its columns and depends on no other
//! row: a damaged row becomes a gap, never a wrong price. The store contains
//! no market logic, and it never deletes a file.

mod backup;
mod history;
mod memory;
mod open;
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
use crate::feed::{FeedRecords, StoreHealthSource, Transport};
use crate::market::{HourSource, VenueId};

use open::OpenError;
use restore::Reader;
use writer::{Writer, WriterHandle};

pub use backup::{BackupError, BackupSummary, backup};
pub use memory::{FEEDS_MAX, HOURS_MAX, MemoryHistory, RescaledHistory};
pub use open::{DATABASE_FILE, LOCK_FILE, Refused};
pub use restore::Restored;
pub use writer::StoreSettings;

/// Checks that [`Store::open`] would accept the file in `directory`. Writes nothing.
///
/// # Errors
/// The reason for the refusal or the disk error, as a message that names the file.
pub fn inspect(directory: &Path) -> Result<(), String> {
    match open::inspect(&directory.join(DATABASE_FILE)) {
        // `Store::open` moves a damaged file aside, so it is no obstacle.
        Ok(()) | Err(OpenError::Damaged(_)) => Ok(()),
        Err(OpenError::Refused(refused)) => Err(refused.to_string()),
        Err(OpenError::Disk(reason)) => Err(reason),
    }
}

/// Returns whether another process holds the lock of `directory`. Creates no files.
pub fn is_in_use(directory: &Path) -> bool {
    let lock = std::fs::File::open(directory.join(LOCK_FILE));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

/// An open store. Dropping it writes the pending records and ends the writer thread.
#[derive(Debug)]
pub struct Store {
    handle: Arc<WriterHandle>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the store in `directory`, creating it if missing, and reads the records of `venues`.
    ///
    /// Blocks on the disk. A failing disk is not an error: the store starts in
    /// memory and keeps retrying. A damaged file is moved aside.
    ///
    /// # Errors
    /// [`Refused`] if another process uses the directory, or if its file must not be written to.
    pub fn open(
        directory: &Path,
        settings: StoreSettings,
        venues: &[VenueId],
        clock: Clock,
    ) -> Result<(Self, Restored), Refused> {
        let file = directory.join(DATABASE_FILE);
        let mut reader = Reader::new(venues);
        let mut lock = None;
        let opened = open::lock(directory).and_then(|acquired| {
            lock = Some(acquired);
            open_or_recreate(&file, &settings, &mut reader, &clock)
        });
        let mut has_unread = false;
        let (connection, rescued, failure) = match opened {
            Ok((connection, rescued)) => (Some(connection), rescued, None),
            Err(OpenError::Refused(refused)) => return Err(refused),
            Err(OpenError::Disk(reason) | OpenError::Damaged(reason)) => {
                tracing::error!(file = %file.display(), reason, "prices are not written to disk; continuing in memory only");
                // If only writing fails, the file can still be read.
                reader = Reader::new(venues);
                has_unread = !read_unwritable(&file, &mut reader, &clock);
                (None, false, Some(reason))
            }
        };
        let restored = reader.finish();
        if restored.damaged > 0 {
            let rows = restored.damaged;
            tracing::warn!(file = %file.display(), rows, "damaged rows in the store are ignored; their minutes are fetched again");
        }
        let handle = Arc::new(WriterHandle::new(file, settings, clock, failure));
        if rescued {
            restored.feeds.iter().for_each(|feed| handle.enqueue(false, |pending| pending.add(feed.clone())));
        }
        let writer = Writer::new(handle.clone(), venues.to_vec(), lock, connection, has_unread);
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || writer.run());
        let thread =
            thread.inspect_err(|error| tracing::error!(%error, "can't start the writer thread of the store")).ok();
        Ok((Self { handle, thread }, restored))
    }

    /// Queues records to be written. Never waits for the disk.
    pub fn save(&self, records: Vec<FeedRecords>) {
        if !records.is_empty() {
            self.handle.enqueue(false, |pending| records.into_iter().for_each(|record| pending.add(record)));
        }
    }

    /// Queues the end of a venue's ban on REST requests or on stream connections (`None` lifts it), and wakes
    /// the writer at once.
    pub fn save_ban(&self, venue: VenueId, transport: Transport, not_before: Option<Timestamp>) {
        self.handle.enqueue(true, |pending| {
            pending.bans.insert((venue, transport), not_before);
        });
    }

    /// Waits at most `timeout` until all queued records are on disk; returns whether they are.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.handle.flush(timeout)
    }

    /// Returns whether a new file was created since the last call because the old one was damaged or lost; the
    /// caller must then queue all records again. Resets the flag.
    pub fn take_recreated(&self) -> bool {
        self.handle.file_recreated.swap(false, Ordering::AcqRel)
    }

    /// Returns, once, records that were read from the file after the start: because the disk could not be read
    /// when the store was opened, or because another file has replaced it since.
    pub fn take_late_records(&self) -> Option<Restored> {
        self.handle.take_late_records()
    }

    /// Returns whether the writer thread has ended, or never started, although the store is open.
    pub fn has_failed(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Returns the reader of the stored hours.
    pub fn history(&self) -> Arc<dyn HourSource> {
        Arc::new(history::HistoryReader::new(self.handle.clone()))
    }

    /// Returns the source of the store's health: whether writing works.
    pub fn health_source(&self) -> Arc<dyn StoreHealthSource> {
        self.handle.clone()
    }

    /// Writes the pending records, ends the writer thread and closes the file. Blocks on the disk.
    pub fn close(self) {}
}

impl Drop for Store {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads a file that can't be written to; returns whether all of it, including the write-ahead log, could be read.
fn read_unwritable(file: &Path, reader: &mut Reader<'_>, clock: &Clock) -> bool {
    let file_name = file.display();
    match open::open_unwritable(file) {
        Ok(database) => {
            let read = reader.read(&database.connection, clock.now());
            if !database.is_complete {
                tracing::warn!(file = %file_name, "can't read the write-ahead log of the store: the newest records are missing until the disk is writable");
            }
            read.is_ok() && database.is_complete
        }
        Err(_) => false,
    }
}

/// Opens and reads the file. If it is damaged, moves it aside, creates a new one and returns `true`: the
/// records that could be read must be written again.
fn open_or_recreate(
    file: &Path,
    settings: &StoreSettings,
    reader: &mut Reader<'_>,
    clock: &Clock,
) -> Result<(rusqlite::Connection, bool), OpenError> {
    let mut open = || {
        let connection = open::open(file)?;
        writer::limit_size(&connection, settings)?;
        reader.read(&connection, clock.now())?;
        Ok(connection)
    };
    match open() {
        Err(OpenError::Damaged(defect)) => {
            let aside = open::move_aside(file, clock.now())?;
            tracing::error!(
                file = %file.display(), defect, moved_to = %aside.display(),
                "the store is damaged; it was moved aside and a new one created; missing data is fetched again"
            );
            let connection = open::open(file)?;
            writer::limit_size(&connection, settings)?;
            Ok((connection, true))
        }
        opened => opened.map(|connection| (connection, false)),
    }
}
