//! Backup of the store: verified before it replaces an older one.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row};

use super::open::{self, DATABASE_FILE, OpenError};
use super::row::{self, DecodeResult};
use super::schema;

/// Contents of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupSummary {
    /// Hour records, over all markets.
    pub hours: usize,
    /// Markets with a last price.
    pub markets: usize,
}

/// Why no backup was made. An existing file at the destination is left unchanged.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store can't be read, or the backup can't be written.
    #[error("copying {file} to {to}: {reason}")]
    Failed {
        /// The store's file.
        file: PathBuf,
        /// The destination.
        to: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The copy was written but failed verification.
    #[error("{file} is damaged, no backup was kept: {reason}")]
    Damaged {
        /// The store's file.
        file: PathBuf,
        /// The defect found in the copy.
        reason: String,
    },
}

/// Copies the store in `directory` to the file `to`. Safe while another process writes to the store.
///
/// The copy is written next to `to` as `….new`, verified row by row with all checksums, synced, and only then
/// renamed. Blocks on the disk.
///
/// # Errors
/// [`BackupError`]; the existing file at `to` is kept.
pub fn backup(directory: &Path, to: &Path) -> Result<BackupSummary, BackupError> {
    let file = directory.join(DATABASE_FILE);
    let failed = |reason: String| BackupError::Failed { file: file.clone(), to: to.to_owned(), reason };
    let mut new_file = to.as_os_str().to_owned();
    new_file.push(".new");
    let new_file = PathBuf::from(new_file);
    let discard = || match std::fs::remove_file(&new_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error.to_string())),
        _ => Ok(()),
    };
    // An earlier backup that was killed may have left its file.
    discard()?;
    if let Err(reason) = copy(&file, &new_file) {
        discard()?;
        return Err(failed(reason));
    }
    let copied = verify(&new_file).map_err(|reason| BackupError::Damaged { file: file.clone(), reason });
    let copied = copied
        .and_then(|copied| replace_file(&new_file, to).map(|()| copied).map_err(|error| failed(error.to_string())));
    if copied.is_err() {
        discard()?;
    }
    copied
}

fn copy(file: &Path, new_file: &Path) -> Result<(), String> {
    match open::check_header(file) {
        Err(OpenError::Refused(refused)) => return Err(refused.to_string()),
        Err(OpenError::Damaged(reason) | OpenError::Disk(reason)) => return Err(reason),
        Ok(()) => {}
    }
    let from = open::open_read_only(file).map_err(|error| error.to_string())?;
    let done = from.execute("VACUUM INTO ?1", [new_file.to_string_lossy()]);
    done.map(drop).map_err(|error| error.to_string())
}

/// Reads every row of a copy and compares it with its checksum.
fn verify(new_file: &Path) -> Result<BackupSummary, String> {
    let read = || -> rusqlite::Result<(Option<String>, usize, BackupSummary)> {
        let copy = open::open_immutable(new_file)?;
        let verdict: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        let defect = Some(verdict)
            .filter(|verdict| verdict != "ok")
            .map_or_else(|| schema::find_defect(&copy), |v| Ok(Some(v)))?;
        let (hours, bad_hours) = count_rows(&copy, row::HOUR_COLUMNS, "hours", row::decode_hour)?;
        let (markets, bad_markets) = count_rows(&copy, row::LAST_COLUMNS, "last_rows", row::decode_last)?;
        let (_, bad_listings) = count_rows(&copy, row::LISTING_COLUMNS, "listings", row::decode_listing)?;
        let (_, bad_bans) = count_rows(&copy, row::BAN_COLUMNS, "bans", row::decode_ban)?;
        Ok((defect, bad_hours + bad_markets + bad_listings + bad_bans, BackupSummary { hours, markets }))
    };
    match read().map_err(|error| error.to_string())? {
        (Some(defect), ..) => Err(defect),
        (None, 0, copied) => Ok(copied),
        (None, rows, _) => Err(format!("{rows} rows have wrong checksums")),
    }
}

/// Returns the number of intact and of damaged rows in a table.
fn count_rows<T>(
    copy: &Connection,
    columns: &str,
    table: &str,
    read: fn(&Row<'_>) -> DecodeResult<T>,
) -> rusqlite::Result<(usize, usize)> {
    let mut statement = copy.prepare(&format!("SELECT {columns} FROM {table}"))?;
    let mut rows = statement.query([])?;
    let mut counts = (0, 0);
    while let Some(row) = rows.next()? {
        match read(row) {
            Ok(_) => counts.0 += 1,
            Err(row::DamagedRow) => counts.1 += 1,
        }
    }
    Ok(counts)
}

/// Renames the copy to `to` so that a power cut leaves either the old or the new file, complete.
fn replace_file(new_file: &Path, to: &Path) -> std::io::Result<()> {
    File::open(new_file)?.sync_all()?;
    std::fs::rename(new_file, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
