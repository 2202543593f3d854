//! Opening the file: what is ours is taken, what is not is left exactly as it is.
//!
//! Three things can go wrong, and each has its own answer. A file that is not
//! ours, or of a newer version, or in use, is *refused*. Our own file with
//! damage in its structure is *moved aside*, never deleted. A disk that does
//! not work is *waited for*.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema;

/// Name of the file in the data directory.
pub const FILE: &str = "sisepan.db";

/// Name of the file whose lock says that a process uses the directory.
pub const LOCK: &str = "sisepan.lock";

/// First bytes of every SQLite file.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Bytes of the header that are looked at.
const HEADER: usize = 100;

/// Why a file is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another process has the directory.
    #[error(
        "{}: in use by another sisepan process; stop that one, or give this one its own directory with --data",
        directory.display()
    )]
    InUse {
        /// The data directory.
        directory: PathBuf,
    },
    /// Not SQLite at all.
    #[error(
        "{}: not a database: it begins with {found}; it is left as it is: move it away, or choose another directory with --data",
        file.display()
    )]
    NotADatabase {
        /// The file.
        file: PathBuf,
        /// Its first bytes.
        found: String,
    },
    /// Another program's database.
    #[error(
        "{}: a database of another program (application id {found:#010x}, ours is {:#010x}); it is left as it is: \
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
        "{}: written by a newer sisepan (version {found} of the file, this program knows {known}); it is left as it is: \
         run the newer program, or choose another directory with --data",
        file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error(transparent)]
    Refused(Refused),
    /// Our file is damaged in its structure.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// The disk does not do what it is asked to.
    #[error("{0}")]
    Disk(String),
}

impl From<rusqlite::Error> for Trouble {
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

/// Takes the lock of the directory, which is made if it is not there; held until the file is dropped, and gone with the process.
pub fn lock(directory: &Path) -> Result<File, Trouble> {
    let disk = |error: std::io::Error| Trouble::Disk(format!("{}: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(disk)?;
    let path = directory.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(disk)?;
    match file.try_lock() {
        // Removed between the two steps, the file that we have locked locks nobody out.
        Ok(()) if !is_still(&file, &path) => Err(Trouble::Disk(format!("{} was removed", path.display()))),
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Trouble::Refused(Refused::InUse { directory: directory.to_owned() })),
        Err(TryLockError::Error(error)) => Err(disk(error)),
    }
}

/// Returns whether `path` still names the file that is open.
pub fn is_still(file: &File, path: &Path) -> bool {
    let open = file.metadata().ok().map(|of| identity(&of));
    open.is_some() && open == identify(path)
}

/// What tells a file from every other one on this machine.
pub type Identity = (u64, u64);

/// Returns which file `path` names, if it names one.
pub fn identify(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|of| identity(&of))
}

#[cfg(unix)]
fn identity(of: &std::fs::Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (of.dev(), of.ino())
}

/// Elsewhere an open file can't be removed.
#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> Identity {
    (0, 0)
}

/// Returns the length of a file in bytes. It is not opened for that: closing it would release SQLite's locks on it.
pub fn length(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|of| of.len())
}

/// Returns the path of what SQLite keeps beside its file, by its ending, such as `-wal`.
pub fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Opens the file for writing, at the newest version; makes it if there is none.
///
/// The lock must be held.
pub fn open(file: &Path) -> Result<Connection, Trouble> {
    look_at_header(file)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags)?;
    schema::tune(&connection)?;
    let version = schema::version(&connection)?;
    if version > schema::newest() {
        let (found, known) = (version, schema::newest());
        return Err(Trouble::Refused(Refused::Newer { file: file.to_owned(), found, known }));
    }
    schema::migrate(&mut connection)?;
    if let Some(defect) = schema::defect(&connection)? {
        return Err(Trouble::Damaged(defect));
    }
    // A sync that failed may have lost what the log held, though it can still be read, and no later one says so: what is
    // appended behind it would be lost with it. So nothing is: the log is taken into the file, and begun anew. A reader
    // may keep it from that; then it is as before.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(connection)
}

/// Refuses what [`open`] would refuse, without the lock and without writing.
pub fn inspect(file: &Path) -> Result<(), Trouble> {
    look_at_header(file)?;
    if std::fs::metadata(file).is_ok_and(|file| file.len() > 0) {
        let found = open_to_read(file).and_then(|connection| schema::version(&connection))?;
        if found > schema::newest() {
            return Err(Trouble::Refused(Refused::Newer { file: file.to_owned(), found, known: schema::newest() }));
        }
    }
    Ok(())
}

/// Opens the file for reading alone.
pub fn open_to_read(file: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    schema::tune(&connection)?;
    Ok(connection)
}

/// A file that is open for reading: itself, or a copy.
#[derive(Debug)]
pub struct ForReading {
    /// Closed before the copy is deleted.
    pub connection: Connection,
    /// Whether everything in it can be read. Else its log is left out: what was written last.
    pub whole: bool,
    copy: Option<tempfile::TempDir>,
}

impl ForReading {
    /// Whether it is a copy, which later writes do not reach.
    pub fn is_copy(&self) -> bool {
        self.copy.is_some()
    }
}

impl From<Connection> for ForReading {
    fn from(connection: Connection) -> Self {
        Self { connection, whole: true, copy: None }
    }
}

/// Opens a file that can't be written to, with what its log holds, whatever the disk allows.
///
/// SQLite reads a log only where the index beside it is there or can be made. Where it is not, file and log are copied
/// to a place where it can be.
///
/// # Errors
/// If it is not ours, or can't be read.
pub fn open_unwritable(file: &Path) -> Result<ForReading, Trouble> {
    look_at_header(file)?;
    let probe = |connection: Connection| {
        let read = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
        read.map(|_| connection)
    };
    if let Ok(connection) = open_to_read(file).and_then(probe) {
        return Ok(connection.into());
    }
    let logged = std::fs::metadata(beside(file, "-wal")).is_ok_and(|log| log.len() > 0);
    if logged {
        for folder in [std::env::temp_dir(), PathBuf::from("/dev/shm")] {
            if let Ok((connection, copy)) = copy_to(&folder, file) {
                return Ok(ForReading { connection, whole: true, copy: Some(copy) });
            }
        }
    }
    Ok(ForReading { connection: probe(open_frozen(file)?)?, whole: !logged, copy: None })
}

/// Copies file and log into a new directory of `folder`, and opens the copy.
fn copy_to(folder: &Path, file: &Path) -> Result<(Connection, tempfile::TempDir), Trouble> {
    let disk = |error: std::io::Error| Trouble::Disk(format!("copying {}: {error}", file.display()));
    let copy = tempfile::Builder::new().prefix("sisepan-").tempdir_in(folder).map_err(disk)?;
    let to = copy.path().join(FILE);
    std::fs::copy(file, &to).map_err(disk)?;
    std::fs::copy(beside(file, "-wal"), beside(&to, "-wal")).map_err(disk)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&to, flags)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok((connection, copy))
}

/// Opens a file as it lies there, without what its log may hold beside it.
pub fn open_frozen(file: &Path) -> rusqlite::Result<Connection> {
    let path: String = file.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("file:{path}?immutable=1"), flags)
}

/// Refuses what is not ours before SQLite touches it: opening alone may change a file that has a log beside it.
pub fn look_at_header(file: &Path) -> Result<(), Trouble> {
    let mut header = Vec::new();
    match File::open(file).and_then(|file| file.take(HEADER as u64).read_to_end(&mut header)) {
        Ok(0) => return Ok(()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Trouble::Disk(format!("{}: {error}", file.display()))),
    }
    let file = || file.to_owned();
    if !header.starts_with(MAGIC) {
        let found = format!("{:?}", String::from_utf8_lossy(&header[..header.len().min(16)]));
        return Err(Trouble::Refused(Refused::NotADatabase { file: file(), found }));
    }
    let number = |at: usize| header.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, i32::from_be_bytes);
    if header.len() < HEADER {
        return Err(Trouble::Damaged(format!("it is only {} bytes long", header.len())));
    }
    let found = number(68);
    if found != schema::APPLICATION_ID {
        return Err(Trouble::Refused(Refused::Foreign { file: file(), found }));
    }
    let (found, known) = (i64::from(number(60)), schema::newest());
    if found > known {
        return Err(Trouble::Refused(Refused::Newer { file: file(), found, known }));
    }
    Ok(())
}

/// Renames the log and its index: beside a file that they were not written for, SQLite would take them for its own.
pub fn move_log_aside(file: &Path, now: Timestamp) -> Result<(), Trouble> {
    for ending in ["-wal", "-shm"] {
        let log = beside(file, ending);
        match std::fs::rename(&log, beside(&log, &format!(".aside-{}", stamp(now)))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Trouble::Disk(format!("moving {} aside: {error}", log.display())));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A time as part of a file's name.
fn stamp(now: Timestamp) -> impl std::fmt::Display {
    now.strftime("%Y%m%dT%H%M%S%3fZ")
}

/// Renames a damaged file and its log, and returns the new name.
pub fn move_aside(file: &Path, now: Timestamp) -> Result<PathBuf, Trouble> {
    let aside = beside(file, &format!(".damaged-{}", stamp(now)));
    // The log first: beside a new file, an old log must not be found.
    for ending in ["-wal", "-journal", "-shm", ""] {
        match std::fs::rename(beside(file, ending), beside(&aside, ending)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Trouble::Disk(format!("moving {} aside: {error}", file.display())));
            }
            _ => {}
        }
    }
    Ok(aside)
}
