//! A copy of the store that is known to be whole before it takes the place of an older one.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row};

use super::open::{self, FILE, Trouble};
use super::row::{self, Read};
use super::schema;

/// What a copy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Hours of all markets.
    pub hours: usize,
    /// Markets with a last price.
    pub markets: usize,
}

/// Why there is no new copy. An older one is left as it was.
#[derive(Debug, thiserror::Error)]
pub enum NotCopied {
    /// The store can't be read, or the copy can't be written.
    #[error("copying {file} to {to}: {reason}")]
    Failed {
        /// The store's file.
        file: PathBuf,
        /// Where the copy was to be.
        to: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The copy was made and is not whole.
    #[error("{file} is damaged, so that no copy was kept: {reason}")]
    Damaged {
        /// The store's file.
        file: PathBuf,
        /// What was found in the copy.
        reason: String,
    },
}

/// Copies the store of `directory` to the file `to`, also while another process writes to it.
///
/// The copy is made beside `to`, read whole with every checksum, synced, and only then renamed. Blocks on the disk.
///
/// # Errors
/// [`NotCopied`]; what was at `to` is still there then.
pub fn backup(directory: &Path, to: &Path) -> Result<Copied, NotCopied> {
    let file = directory.join(FILE);
    let failed = |reason: String| NotCopied::Failed { file: file.clone(), to: to.to_owned(), reason };
    let mut fresh = to.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let discard = || match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error.to_string())),
        _ => Ok(()),
    };
    // What an attempt that was killed has left.
    discard()?;
    if let Err(trouble) = copy(&file, &fresh) {
        discard()?;
        return Err(failed(trouble));
    }
    let copied = verify(&fresh).map_err(|reason| NotCopied::Damaged { file: file.clone(), reason });
    let copied = copied.and_then(|copied| put(&fresh, to).map(|()| copied).map_err(|error| failed(error.to_string())));
    if copied.is_err() {
        discard()?;
    }
    copied
}

fn copy(file: &Path, fresh: &Path) -> Result<(), String> {
    match open::look_at_header(file) {
        Err(Trouble::Refused(refused)) => return Err(refused.to_string()),
        Err(Trouble::Damaged(reason) | Trouble::Disk(reason)) => return Err(reason),
        Ok(()) => {}
    }
    let from = open::open_to_read(file).map_err(|error| error.to_string())?;
    let done = from.execute("VACUUM INTO ?1", [fresh.to_string_lossy()]);
    done.map(drop).map_err(|error| error.to_string())
}

/// Reads every row of a copy, with its checksum.
fn verify(fresh: &Path) -> Result<Copied, String> {
    let read = || -> rusqlite::Result<(Option<String>, usize, Copied)> {
        let copy = open::open_frozen(fresh)?;
        let verdict: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        let defect =
            Some(verdict).filter(|verdict| verdict != "ok").map_or_else(|| schema::defect(&copy), |v| Ok(Some(v)))?;
        let (hours, bad_hours) = count(&copy, row::HOUR_COLUMNS, "hours", row::hour)?;
        let (markets, bad_markets) = count(&copy, row::LAST_COLUMNS, "last_rows", row::last)?;
        let (_, bad_listings) = count(&copy, row::LISTING_COLUMNS, "listings", row::listing)?;
        let (_, bad_bans) = count(&copy, row::BAN_COLUMNS, "bans", row::ban)?;
        Ok((defect, bad_hours + bad_markets + bad_listings + bad_bans, Copied { hours, markets }))
    };
    match read().map_err(|error| error.to_string())? {
        (Some(defect), ..) => Err(defect),
        (None, 0, copied) => Ok(copied),
        (None, rows, _) => Err(format!("{rows} rows do not agree with their checksums")),
    }
}

/// Returns how many rows of a table are as they were written, and how many are not.
fn count<T>(
    copy: &Connection,
    columns: &str,
    table: &str,
    read: fn(&Row<'_>) -> Read<T>,
) -> rusqlite::Result<(usize, usize)> {
    let mut statement = copy.prepare(&format!("SELECT {columns} FROM {table}"))?;
    let mut rows = statement.query([])?;
    let mut counts = (0, 0);
    while let Some(row) = rows.next()? {
        match read(row) {
            Ok(_) => counts.0 += 1,
            Err(row::Damaged) => counts.1 += 1,
        }
    }
    Ok(counts)
}

/// Puts a copy in its place, so that a power cut leaves the older one or this one, whole.
fn put(fresh: &Path, to: &Path) -> std::io::Result<()> {
    File::open(fresh)?.sync_all()?;
    std::fs::rename(fresh, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
