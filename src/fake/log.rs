//! What clients did, for tests to look at.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::Serialize;

/// Entries kept; the oldest go first and are counted.
pub const ENTRIES_MAX: usize = 20_000;

/// Characters kept of what was received.
const TEXT_MAX: usize = 16_384;

/// One thing that a client did.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// The connection, counted from 1.
    pub connection: u64,
    /// The venue, empty where it is not known yet.
    pub venue: String,
    /// `connect`, `tls-failed`, `request`, `upgrade`, `frame`, `ping`, `pong`, `close`, `end`.
    pub kind: &'static str,
    /// Method and target of a request, the text of a frame, the reason of a close.
    pub text: String,
    /// What was answered, where that is a status.
    pub status: Option<u16>,
}

/// The entries, oldest first.
#[derive(Debug, Default, Serialize)]
pub struct Log {
    /// How many older entries were thrown away.
    pub dropped: u64,
    /// The entries.
    pub entries: VecDeque<Entry>,
}

impl Log {
    /// Writes an entry down.
    pub fn push(&mut self, mut entry: Entry) {
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
