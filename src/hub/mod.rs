//! Groups of subscribers that get the same bytes: the newest rows of an edge, encoded once.
//!
//! ```text
//!            wakes          one task per group               newest only
//!  replica ─────────▶ groups ─────────────▶ frame, encoded ─────────────▶ members
//!     │                                       once, shared    callback per thread, or watch per task
//!     └──────▶ snapshot, encoded once per change
//! ```
//!
//! There is no queue: a frame replaces the one before it, and a member that missed frames gets the newest rows
//! changed since. The hub has no HTTP and does no arithmetic: to it, a row is a key, the sequence of its last
//! change, and a way to encode it.

mod group;
mod snapshot;
mod state;
mod subscription;
mod update;
mod view;

pub use group::{GroupPermit, HEARTBEAT};
pub use snapshot::Snapshot;
pub use state::{Hub, HubStats, Member};
pub use subscription::{Resume, Subscription};
pub use update::{EncodedUpdate, InitialState};
pub use view::RowsView;
