//! The log of what clients did, for tests to check.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::Serialize;

/// Maximum number of entries; older ones are dropped and counted.
pub const ENTRIES_MAX: usize = 20_000;

/// Maximum length of an entry's text, in characters.
const TEXT_MAX: usize = 16_384;

/// One action of a client.
#[derive(Debug, Clone, Serialize)]
pub struct LogEntry {
    /// Wall-clock time.
    pub at: Timestamp,
    /// Number of the connection, from 1.
    pub connection: u64,
    /// The venue's id; empty where it is not known yet.
    pub venue: String,
    /// `connect`, `tls-failed`, `request`, `upgrade`, `frame`, `ping`, `pong`, `close`, `end`; and `refused`, before
    /// the `request` or `upgrade` that is beyond a limit.
    pub kind: &'static str,
    /// Method and target of a request, path of an upgrade, text of a frame, code and reason of a close.
    pub text: String,
    /// HTTP status of the response, if there is one.
    pub status: Option<u16>,
}

/// The entries, oldest first.
#[derive(Debug, Default, Serialize)]
pub struct ClientLog {
    /// Number of older entries that were dropped.
    pub dropped: u64,
    /// The entries.
    pub entries: VecDeque<LogEntry>,
}

impl ClientLog {
    /// Appends an entry.
    pub fn push(&mut self, mut entry: LogEntry) {
        if entry.text.len() > TEXT_MAX {
            entry.text = entry.text.chars().take(TEXT_MAX).collect();
        }
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
            self.dropped += 1;
        }
        self.entries.push_back(entry);
    }
}
