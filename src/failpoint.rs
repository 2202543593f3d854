//! Failpoints: where a test ends a part of the program. Only debug builds have them.
//!
//! The environment variable `FAILPOINTS` names a directory. A file in it with
//! the name of a part ends that part: with a panic if the file holds `panic`,
//! else as if the part had returned. The part removes the file first.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// How often a task looks for its file.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs the work of the part `name`; `None` if its failpoint ended it.
pub async fn part<T>(name: &str, work: impl Future<Output = T>) -> Option<T> {
    if directory().is_none() {
        return Some(work.await);
    }
    let hit = async {
        while !is_hit(name) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        result = work => Some(result),
        () = hit => None,
    }
}

/// Whether the failpoint of the part `name` ends it now. For threads, which have no future to drop.
///
/// # Panics
/// If the failpoint says so.
pub fn is_hit(name: &str) -> bool {
    let Some(directory) = directory() else { return false };
    let file = directory.join(name);
    let Ok(what) = fs::read_to_string(&file) else { return false };
    // Several tasks may be of one part: the one that removes the file ends.
    if fs::remove_file(&file).is_err() {
        return false;
    }
    assert!(what.trim() != "panic", "failpoint {name}");
    true
}

fn directory() -> Option<&'static PathBuf> {
    static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || std::env::var_os("FAILPOINTS").filter(|_| cfg!(debug_assertions)).map(|path: OsString| path.into());
    DIRECTORY.get_or_init(find).as_ref()
}
