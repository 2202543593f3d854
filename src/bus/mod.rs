//! What passes from the market, which makes rows, to the edges, which serve them.
//!
//! ```text
//!           update              update, sequence
//!  board ───────────▶ sequencer ─────────────────▶ replica ──▶ hub, web, widgets
//!           market                                    edge: the newest rows, and the health of the venues
//! ```
//!
//! The market numbers its updates, and edges keep its numbers, so that a client may resume at any of them. That an edge
//! gets nothing from the market is found out by the edge itself, and has no number: for a while, its rows are stale
//! under a number that means live rows elsewhere, and no client may resume from it there.

mod replica;
mod sequencer;

use std::sync::Arc;

use crate::feed::StoreHealthSource;
use crate::market::HourSource;

pub use replica::{Listener, Local, Replica, Rows, VersionedHealth, VersionedRow};
pub use sequencer::Sequenced;

/// What an edge reads from the market beside rows and health.
#[derive(Debug, Clone)]
pub struct Archive {
    /// Source of history.
    pub history: Arc<dyn HourSource>,
    /// Source of the health of the store; `None` if data is kept in memory only.
    pub store_health: Option<Arc<dyn StoreHealthSource>>,
}
