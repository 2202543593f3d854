//! Types of the public API, as documented in docs/api.md, and their encoding.
//!
//! Decimals are strings, times are RFC 3339 in UTC. The hub and the web handle prices only as these types.

use std::hash::Hasher as _;

mod directory;
mod history;
mod messages;
mod row;
mod time;

pub use directory::{BoardReadiness, MarketEntry, MarketNames, MarketSource, Readiness, VenueEntry};
pub use history::{HistoryHead, history_csv, history_json};
pub use messages::{
    Closing, Delta, ErrorMessage, GroupId, Heartbeat, Limits, MessageHead, Pong, ProblemDetails, RequestId,
    SnapshotBody, Status, Unsubscribed, Welcome,
};
pub use row::{Row, RowChange, RowDelta, RowText, rows_csv};

// Domain types that pass through the hub unchanged.
pub use crate::feed::{BoardUpdate, Reason, VenueHealth, VenueState};
pub use crate::locale::Lang;
pub use crate::market::{Basis, Market, Quote, SourceId, State};

/// Version of the stream protocol; raised by changes that would break existing clients.
pub const PROTOCOL_VERSION: u32 = 1;

/// Encodes a value as JSON.
///
/// Encoding can't fail for the types of this module, since their keys are strings. If it ever does, the result is
/// `null`, not a panic.
pub fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec())
}

/// Returns the 64-bit FNV-1a hash, which is the same on every machine and in every build.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = fnv::FnvHasher::default();
    hasher.write(bytes);
    hasher.finish()
}
