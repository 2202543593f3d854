//! Failpoints, with which tests end a task or thread of the program. Active in debug builds only.
//!
//! The environment variable `FAILPOINTS` names a directory. A file in it with
//! the name of a component ends that component: with a panic if the file
//! contains `panic`, otherwise as if the component had returned. The component
//! removes the file before it ends.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// How often a task checks for its file.
const CHECK_EVERY: Duration = Duration::from_millis(20);

/// Runs the future of the component `name`; returns `None` if its failpoint ended it.
pub async fn run<T>(name: &str, work: impl Future<Output = T>) -> Option<T> {
    if directory().is_none() {
        return Some(work.await);
    }
    let hit = async {
        while !is_hit(name) {
            tokio::time::sleep(CHECK_EVERY).await;
        }
    };
    tokio::select! {
        result = work => Some(result),
        () = hit => None,
    }
}

/// Returns whether the failpoint of the component `name` ends it now. For threads and for
/// code of other crates, which have no future to drop.
///
/// # Panics
/// If the failpoint's file contains `panic`.
pub fn is_hit(name: &str) -> bool {
    let Some(directory) = directory() else { return false };
    let file = directory.join(name);
    let Ok(content) = fs::read_to_string(&file) else { return false };
    // Several tasks may have the same name; only the one that removes the file ends.
    if fs::remove_file(&file).is_err() {
        return false;
    }
    assert!(content.trim() != "panic", "failpoint {name}");
    true
}

fn directory() -> Option<&'static PathBuf> {
    static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || std::env::var_os("FAILPOINTS").filter(|_| cfg!(debug_assertions)).map(|path: OsString| path.into());
    DIRECTORY.get_or_init(find).as_ref()
}
