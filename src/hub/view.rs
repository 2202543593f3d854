//! The rows that a subscriber has asked for, and what has changed of them.

use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::{Basis, Lang, Market, SourceId};
use crate::bus::{Rows, VersionedHealth, VersionedRow};

/// Selection of rows and their format. Equal views have equal snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowsView {
    /// The board, if one was requested.
    pub board: Option<Arc<str>>,
    /// The rows, in order.
    pub rows: Arc<[(SourceId, Market)]>,
    /// The basis of the changes.
    pub basis: Basis,
    /// The language of the texts, if they are requested.
    pub lang: Option<Lang>,
    /// Whether the prices are simulated.
    pub demo: bool,
    /// Requested markets that are unknown.
    pub missing: Arc<[String]>,
}

/// Changes of a view since a sequence.
pub(super) struct Changes {
    pub sequence: u64,
    pub as_of: Option<Timestamp>,
    pub rows: Vec<(usize, VersionedRow)>,
    /// Indices of the rows that do not exist, or no longer.
    pub absent: Vec<usize>,
    pub venues: Vec<VersionedHealth>,
}

impl RowsView {
    /// Returns a hash of the view and of [`Rows::stale_changes`].
    pub(super) fn fingerprint(&self, stale_changes: u64) -> u64 {
        let mut hasher = fnv::FnvHasher::default();
        (self, stale_changes).hash(&mut hasher);
        hasher.finish()
    }

    /// Returns the rows and venues that changed after `since`.
    pub(super) fn changes(&self, newest: &Rows<'_>, since: u64) -> Changes {
        let (mut rows, mut absent) = (Vec::new(), Vec::new());
        for (index, (source, market)) in self.rows.iter().enumerate() {
            match newest.published(source, market) {
                // While all rows are stale, every member has a snapshot of them; the update that ends this has all rows.
                Some(row) if row.changed > since && !newest.is_stale() => rows.push((index, row.clone())),
                Some(_) => {}
                None => absent.push(index),
            }
        }
        Changes {
            sequence: newest.sequence(),
            as_of: newest.as_of(),
            rows,
            absent,
            venues: self.venues(newest).filter(|venue| venue.changed > since).cloned().collect(),
        }
    }

    /// Returns the venues that occur in the sources of the rows.
    pub(super) fn venues<'a>(&'a self, newest: &'a Rows<'_>) -> impl Iterator<Item = &'a VersionedHealth> {
        let feeds = |name: &str| self.rows.iter().any(|(source, _)| source.as_str().split(',').any(|id| id == name));
        newest.venues().iter().filter(move |venue| feeds(venue.health.venue.as_str()))
    }
}
