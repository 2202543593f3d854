//! Newest rows of every market, and groups of subscribers that get the same bytes.
//!
//! ```text
//!             publish            one task per group              newest only
//!  board ──────────────▶ newest ────────────────▶ frame, encoded ─────────────▶ members
//!                          │  rows, sequence        once, shared    callback per thread, or watch per task
//!                          └──▶ snapshot, encoded once per change
//! ```
//!
//! There is no queue: a frame replaces the one before it, and a member that missed frames gets the newest rows
//! changed since. The hub has no HTTP and does no arithmetic: to it, a row is a key, the sequence of its last
//! change, and a way to encode it.

mod group;
mod newest;
mod snapshot;
mod state;
mod subscription;
mod update;

pub use group::{GroupPermit, HEARTBEAT};
pub use newest::RowsView;
pub use snapshot::Snapshot;
pub use state::{Hub, HubStats, Member};
pub use subscription::{Resume, Subscription};
pub use update::{EncodedUpdate, InitialState};
