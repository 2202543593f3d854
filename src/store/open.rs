//! Opening the database file. A file that sisepan did not write is left exactly as it is.
//!
//! There are three kinds of failure. A file that is not ours, is of a newer
//! version or is in use is *refused*. Our own file with structural damage is
//! *moved aside*, never deleted. When the disk fails, the store *retries*.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema;

/// Name of the database file in the data directory.
pub const DATABASE_FILE: &str = "sisepan.db";

/// Name of the lock file: a process that uses the directory holds a lock on it.
pub const LOCK_FILE: &str = "sisepan.lock";

/// First bytes of every SQLite file.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Length of the SQLite header in bytes.
const HEADER_BYTES: usize = 100;

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another process uses the directory.
    #[error(
        "{}: in use by another sisepan process; stop that one, or give this one its own directory with --data",
        directory.display()
    )]
    InUse {
        /// The data directory.
        directory: PathBuf,
    },
    /// Not an SQLite file.
    #[error(
        "{}: not a database (it begins with {found}); left as it is: move it away, or choose another directory with --data",
        file.display()
    )]
    NotADatabase {
        /// The file.
        file: PathBuf,
        /// Its first bytes.
        found: String,
    },
    /// Another program's database, by its application id.
    #[error(
        "{}: a database of another program (application id {found:#010x}, expected {:#010x}); left as it is: \
         move it away, or choose another directory with --data",
        file.display(), schema::APPLICATION_ID
    )]
    Foreign {
        /// The file.
        file: PathBuf,
        /// Its application id.
        found: i32,
    },
    /// Written by a newer sisepan.
    #[error(
        "{}: written by a newer sisepan (file version {found}, this program supports up to {known}); left as it is: \
         run the newer program, or choose another directory with --data",
        file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version that this program supports.
        known: i64,
    },
}

/// Why the file can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Refused(Refused),
    /// Our own file is structurally damaged.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// The disk failed, or is not available at the moment.
    #[error("{0}")]
    Disk(String),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OperationInterrupted
                | ErrorCode::OutOfMemory
                | ErrorCode::NoLargeFileSupport,
            ) => Self::Disk(error.to_string()),
            _ => Self::Damaged(error.to_string()),
        }
    }
}

/// Locks the directory, creating it if missing. The lock is held until the returned file is dropped or the
/// process ends.
pub fn lock(directory: &Path) -> Result<File, OpenError> {
    let disk = |error: std::io::Error| OpenError::Disk(format!("{}: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(disk)?;
    let path = directory.join(LOCK_FILE);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(disk)?;
    match file.try_lock() {
        // If the file was removed between opening and locking, our lock keeps no other process out.
        Ok(()) if !is_same_file(&file, &path) => Err(OpenError::Disk(format!("{} was removed", path.display()))),
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Refused(Refused::InUse { directory: directory.to_owned() })),
        Err(TryLockError::Error(error)) => Err(disk(error)),
    }
}

/// Returns whether `path` still names the open file.
pub fn is_same_file(file: &File, path: &Path) -> bool {
    let open = file.metadata().ok().map(|of| identity(&of));
    open.is_some() && open == identify(path)
}

/// Device and inode, which identify a file on this machine.
pub type FileId = (u64, u64);

/// Returns the identity of the file at `path`, if it exists.
pub fn identify(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|of| identity(&of))
}

#[cfg(unix)]
fn identity(of: &std::fs::Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt as _;
    (of.dev(), of.ino())
}

/// Elsewhere an open file can't be removed, so all files may have the same identity.
#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> FileId {
    (0, 0)
}

/// Returns the length of a file in bytes. Does not open the file, since closing it would release SQLite's locks
/// on it.
pub fn length(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|of| of.len())
}

/// Returns the path of a file that SQLite keeps beside the database, by its suffix, such as `-wal`.
pub fn sibling_path(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens the file for writing, creates it if missing, and migrates it to the newest version.
///
/// The caller must hold the lock.
pub fn open(file: &Path) -> Result<Connection, OpenError> {
    check_header(file)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags)?;
    schema::set_pragmas(&connection)?;
    let version = schema::version(&connection)?;
    if version > schema::newest_version() {
        let (found, known) = (version, schema::newest_version());
        return Err(OpenError::Refused(Refused::Newer { file: file.to_owned(), found, known }));
    }
    schema::migrate(&mut connection)?;
    if let Some(defect) = schema::find_defect(&connection)? {
        return Err(OpenError::Damaged(defect));
    }
    // A failed sync may have lost parts of the write-ahead log that still read back from the page cache, and
    // later syncs don't report it: records appended after them would be lost too. So checkpoint the log into the
    // file and truncate it before writing anything. A reader may prevent that; then the log stays as it was.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(connection)
}

/// Refuses what [`open`] would refuse, without locking or writing.
pub fn inspect(file: &Path) -> Result<(), OpenError> {
    check_header(file)?;
    if std::fs::metadata(file).is_ok_and(|file| file.len() > 0) {
        let found = open_read_only(file).and_then(|connection| schema::version(&connection))?;
        if found > schema::newest_version() {
            return Err(OpenError::Refused(Refused::Newer {
                file: file.to_owned(),
                found,
                known: schema::newest_version(),
            }));
        }
    }
    Ok(())
}

/// Opens the file read-only.
pub fn open_read_only(file: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    schema::set_pragmas(&connection)?;
    Ok(connection)
}

/// A database opened for reading: the file itself or a temporary copy.
#[derive(Debug)]
pub struct ReadOnlyFile {
    /// Declared before `copy`, so that it is closed before the copy is deleted.
    pub connection: Connection,
    /// Whether all of it can be read; if not, the newest records, which are in the write-ahead log, are missing.
    pub is_complete: bool,
    copy: Option<tempfile::TempDir>,
}

impl ReadOnlyFile {
    /// Returns whether it is a copy, which does not see later writes.
    pub fn is_copy(&self) -> bool {
        self.copy.is_some()
    }
}

impl From<Connection> for ReadOnlyFile {
    fn from(connection: Connection) -> Self {
        Self { connection, is_complete: true, copy: None }
    }
}

/// The read connection, opened on demand. Locked while a market is read, and while the writer opens the file.
///
/// SQLite shares the log's index among the connections of a process. A connection to a read-only disk maps the
/// index read-only, and while it is open no other connection can write, even after the disk has become writable.
#[derive(Debug, Default)]
pub struct ReadConnection(Mutex<Option<ReadOnlyFile>>);

impl ReadConnection {
    /// Closes the connection unless it reads a copy. None is opened while the returned guard is held.
    pub fn pause(&self) -> MutexGuard<'_, Option<ReadOnlyFile>> {
        let mut guard = self.lock();
        guard.take_if(|database| !database.is_copy());
        guard
    }

    pub fn lock(&self) -> MutexGuard<'_, Option<ReadOnlyFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a file that can't be written to, including its write-ahead log if possible.
///
/// SQLite reads a log only if its index (`-shm`) exists or can be created. Otherwise file and log are copied to a
/// temporary directory where it can be.
///
/// # Errors
/// If the file is not ours, or can't be read.
pub fn open_unwritable(file: &Path) -> Result<ReadOnlyFile, OpenError> {
    check_header(file)?;
    let probe = |connection: Connection| {
        let read = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
        read.map(|_| connection)
    };
    if let Ok(connection) = open_read_only(file).and_then(probe) {
        return Ok(connection.into());
    }
    let has_log = std::fs::metadata(sibling_path(file, "-wal")).is_ok_and(|log| log.len() > 0);
    if has_log {
        for folder in [std::env::temp_dir(), PathBuf::from("/dev/shm")] {
            if let Ok((connection, copy)) = copy_to(&folder, file) {
                return Ok(ReadOnlyFile { connection, is_complete: true, copy: Some(copy) });
            }
        }
    }
    Ok(ReadOnlyFile { connection: probe(open_immutable(file)?)?, is_complete: !has_log, copy: None })
}

/// Copies the file and its log into a new directory below `folder`, and opens the copy.
fn copy_to(folder: &Path, file: &Path) -> Result<(Connection, tempfile::TempDir), OpenError> {
    let disk = |error: std::io::Error| OpenError::Disk(format!("copying {}: {error}", file.display()));
    let copy = tempfile::Builder::new().prefix("sisepan-").tempdir_in(folder).map_err(disk)?;
    let to = copy.path().join(DATABASE_FILE);
    std::fs::copy(file, &to).map_err(disk)?;
    std::fs::copy(sibling_path(file, "-wal"), sibling_path(&to, "-wal")).map_err(disk)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&to, flags)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok((connection, copy))
}

/// Opens a file read-only as immutable: without its write-ahead log, locks or checks for changes.
pub fn open_immutable(file: &Path) -> rusqlite::Result<Connection> {
    let path: String = file.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("file:{path}?immutable=1"), flags)
}

/// Refuses files that are not ours before SQLite opens them: opening alone may change a file that has a log.
pub fn check_header(file: &Path) -> Result<(), OpenError> {
    let mut header = Vec::new();
    match File::open(file).and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut header)) {
        Ok(0) => return Ok(()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(OpenError::Disk(format!("{}: {error}", file.display()))),
    }
    let file = || file.to_owned();
    if !header.starts_with(MAGIC) {
        let found = format!("{:?}", String::from_utf8_lossy(&header[..header.len().min(16)]));
        return Err(OpenError::Refused(Refused::NotADatabase { file: file(), found }));
    }
    let number = |at: usize| header.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, i32::from_be_bytes);
    if header.len() < HEADER_BYTES {
        return Err(OpenError::Damaged(format!("it is only {} bytes long", header.len())));
    }
    let found = number(68);
    if found != schema::APPLICATION_ID {
        return Err(OpenError::Refused(Refused::Foreign { file: file(), found }));
    }
    let (found, known) = (i64::from(number(60)), schema::newest_version());
    if found > known {
        return Err(OpenError::Refused(Refused::Newer { file: file(), found, known }));
    }
    Ok(())
}

/// Renames the log and its index, because SQLite would apply them to a file that they were not written for.
pub fn move_log_aside(file: &Path, now: Timestamp) -> Result<(), OpenError> {
    for suffix in ["-wal", "-shm"] {
        let log = sibling_path(file, suffix);
        match std::fs::rename(&log, sibling_path(&log, &format!(".aside-{}", file_timestamp(now)))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(OpenError::Disk(format!("moving {} aside: {error}", log.display())));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Formats a time as part of a file name.
fn file_timestamp(now: Timestamp) -> impl std::fmt::Display {
    now.strftime("%Y%m%dT%H%M%S%3fZ")
}

/// Renames a damaged file and its log, and returns the file's new path.
pub fn move_aside(file: &Path, now: Timestamp) -> Result<PathBuf, OpenError> {
    let aside = sibling_path(file, &format!(".damaged-{}", file_timestamp(now)));
    // The log goes first, so that it never lies beside a new file.
    for suffix in ["-wal", "-journal", "-shm", ""] {
        match std::fs::rename(sibling_path(file, suffix), sibling_path(&aside, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(OpenError::Disk(format!("moving {} aside: {error}", file.display())));
            }
            _ => {}
        }
    }
    Ok(aside)
}
