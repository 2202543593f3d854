//! All rows of a view as bytes, encoded once for everybody until something changes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;

use super::messages::Body;
use super::{Hub, Newest, View};
use crate::wire::{self, Quote, Row, SnapshotBody};

/// Most views whose snapshot is kept. Any more are encoded for each request.
const KEPT_MAX: usize = 256;

/// The body of `/api/v1/snapshot`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// How far its rows are.
    pub sequence: u64,
    /// The JSON.
    pub body: Bytes,
    /// A number that differs where the content does: everything but the times at which it was looked at and confirmed.
    pub tag: u64,
    /// The JSON as the end of a message.
    pub(super) rest: Body,
}

/// Where everybody who asks for the same rows finds them encoded; the first to look does it, the others wait.
pub(super) type Cell = Arc<OnceLock<Snapshot>>;

/// A snapshot that is yet to be encoded, or was.
pub(super) enum Draft {
    Kept(Snapshot),
    Rows { cell: Cell, sequence: u64, as_of: Option<Timestamp>, quotes: Vec<Arc<Quote>> },
}

impl Hub {
    /// Returns the newest rows of a view; those never published are left out.
    pub fn snapshot(&self, view: &View) -> Snapshot {
        let draft = self.draft(&self.newest(), view);
        self.encode(view, draft)
    }

    /// Takes the rows, which is quick, so that the slow half can be done with `newest` unlocked.
    pub(super) fn draft(&self, newest: &Newest, view: &View) -> Draft {
        let cell = self.cell(view, newest.version);
        if let Some(kept) = cell.get() {
            return Draft::Kept(kept.clone());
        }
        let entries = view.rows.iter().filter_map(|(source, market)| newest.find(source, market));
        Draft::Rows {
            cell,
            sequence: newest.sequence,
            as_of: newest.as_of,
            quotes: entries.map(|entry| entry.quote.clone()).collect(),
        }
    }

    pub(super) fn encode(&self, view: &View, draft: Draft) -> Snapshot {
        let (cell, sequence, as_of, quotes) = match draft {
            Draft::Kept(snapshot) => return snapshot,
            Draft::Rows { cell, sequence, as_of, quotes } => (cell, sequence, as_of, quotes),
        };
        let encoded = cell.get_or_init(|| {
            let rows: Vec<_> = quotes.iter().map(|quote| Row::new(quote, view.basis, view.lang)).collect();
            let (epoch, board) = (self.epoch(), view.board.as_deref());
            let (basis, demo, missing) = (view.basis, view.demo, &*view.missing);
            let body = SnapshotBody { epoch, sequence, as_of, board, basis, demo, missing, rows: &rows };
            let (body, tag) = (Bytes::from(wire::json(&body)), body.content_tag());
            self.0.snapshots_encoded.fetch_add(1, Ordering::Relaxed);
            Snapshot { sequence, tag, rest: Body::new(&body), body }
        });
        encoded.clone()
    }

    /// Returns the place of a view's rows of this version; one that nobody else finds where there are too many.
    fn cell(&self, view: &View, version: u64) -> Cell {
        let mut kept = self.0.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.get(view) {
            Some((of, cell)) if *of == version => return cell.clone(),
            // Somebody took newer rows meanwhile.
            Some((of, _)) if *of > version => return Cell::default(),
            _ => {}
        }
        if kept.len() >= KEPT_MAX && !kept.contains_key(view) {
            kept.retain(|_, (of, _)| *of >= version);
        }
        let cell = Cell::default();
        if kept.len() < KEPT_MAX || kept.contains_key(view) {
            kept.insert(view.clone(), (version, cell.clone()));
        }
        cell
    }
}
