//! The shapes of docs/api.md: what a program reads. One serialiser for all of them.
//!
//! Decimals are strings, times are RFC 3339 in UTC. The hub and the web know
//! prices only in these shapes.

mod directory;
mod history;
mod message;
mod problem;
mod row;
mod table;
mod time;

pub use directory::{BoardReadiness, MarketEntry, MarketNames, MarketSource, Readiness, VenueEntry};
pub use history::{HistoryHead, history_csv, history_json};
pub use message::{
    Closing, Delta, ErrorMessage, GroupId, Head, Heartbeat, Id, Limits, Pong, SnapshotBody, Status, Unsubscribed,
    Welcome,
};
pub use problem::Problem;
pub use row::{Row, RowChange, RowDelta, RowText};
pub use table::rows_csv;

// The words that pass through the hub without being looked into.
pub use crate::domain::{Basis, Market, Publish, Quote, Reason, SourceId, State, VenueHealth, VenueState};
pub use crate::text::Lang;

/// Version of the messages; it rises when a client written for the one before would misread them.
pub const PROTOCOL: u32 = 1;

/// Returns the JSON of a shape.
///
/// The shapes have text keys and no map or number that JSON lacks, so there is
/// always one; should that ever be untrue, the answer is `null` and no panic.
pub fn json<T: serde::Serialize>(shape: &T) -> Vec<u8> {
    serde_json::to_vec(shape).unwrap_or_else(|_| b"null".to_vec())
}

/// FNV-1a, 64 bits: the same on every machine and in every build.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
