//! What a group is to this crate: something whose members get the same bytes.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// Membership of a client in a group, whose members get the same bytes. Dropping it leaves the group.
pub trait Member: fmt::Debug + Send + 'static {
    /// Returns a number that identifies the group as long as it has members.
    fn group(&self) -> usize;

    /// Returns the frames for a member at sequence `seen` and its new sequence; `None` if there are none.
    ///
    /// The frames are complete WebSocket frames, with compressed messages if `deflate`. A member that fell behind
    /// gets the newest state, however far behind it is.
    fn update_since(&self, seen: u64, deflate: bool) -> Option<(u64, Bytes)>;

    /// Returns whether the group has failed: no more updates follow, and its members are closed with 3011.
    fn has_failed(&self) -> bool;

    /// Returns a number that rises when the client's subscriptions may stand for other groups than before, or when their
    /// rows must be sent again; starts at 0.
    /// The watchers are called after it has risen, and then each client is passed to
    /// [`Service::on_revision`](super::Service::on_revision) before it gets another update.
    fn revision(&self) -> u64 {
        0
    }

    /// Registers a callback for new frames of the group until `watcher` is dropped.
    fn add_watcher(&self, watcher: &Arc<dyn Watcher>);
}

/// Callback for new frames of a group. It may be called while the group's list of watchers is locked, so it must not
/// call [`Member::add_watcher`].
pub trait Watcher: fmt::Debug + Send + Sync {
    /// Called when the group has a new frame, has failed, or has another [`Member::revision`].
    fn changed(&self);
}
