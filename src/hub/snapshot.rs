//! Snapshots: all rows of a view as JSON, encoded once per change and shared.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;

use super::update::{Encoding, SharedBody};
use super::view::RowsView;
use crate::api::{self, Quote, Row, SnapshotBody};
use crate::bus::Rows;

/// Maximum number of views whose snapshot is cached. Snapshots of further views are encoded per request.
const CACHED_MAX: usize = 256;

/// The body of `/api/v1/snapshot`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The sequence of its rows.
    pub sequence: u64,
    /// The encoded JSON.
    pub body: Bytes,
    /// Fingerprint of the content without epoch, sequence, `as_of` and times of confirmation.
    pub tag: u64,
    /// The JSON as the body of a message.
    pub(super) shared_body: SharedBody,
}

/// Shared cell of one encoded snapshot. The first caller encodes it while the others wait.
type Cell = Arc<OnceLock<Snapshot>>;

/// Cached snapshots of views, each with the version of its rows.
#[derive(Debug, Default)]
pub(super) struct Snapshots(Mutex<HashMap<RowsView, (u64, Cell)>>);

/// A snapshot that is either encoded already or still to be encoded.
pub(super) enum Draft {
    Encoded(Snapshot),
    Rows { cell: Cell, sequence: u64, as_of: Option<Timestamp>, quotes: Vec<Arc<Quote>> },
}

impl Snapshots {
    /// Collects the rows, which is quick, so that the slow encoding can run without the lock of the rows.
    pub fn draft(&self, newest: &Rows<'_>, view: &RowsView) -> Draft {
        let cell = self.cell(view, newest.version());
        if let Some(encoded) = cell.get() {
            return Draft::Encoded(encoded.clone());
        }
        let rows = view.rows.iter().filter_map(|(source, market)| newest.row(source, market));
        Draft::Rows {
            cell,
            sequence: newest.sequence(),
            as_of: newest.as_of(),
            quotes: rows.map(|row| row.quote).collect(),
        }
    }

    /// Returns the cell of a view at this version; an unshared cell if the cache is full.
    fn cell(&self, view: &RowsView, version: u64) -> Cell {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match cached.get(view) {
            Some((of, cell)) if *of == version => return cell.clone(),
            // Another caller has cached newer rows meanwhile.
            Some((of, _)) if *of > version => return Cell::default(),
            _ => {}
        }
        if cached.len() >= CACHED_MAX && !cached.contains_key(view) {
            cached.retain(|_, (of, _)| *of >= version);
        }
        let cell = Cell::default();
        if cached.len() < CACHED_MAX || cached.contains_key(view) {
            cached.insert(view.clone(), (version, cell.clone()));
        }
        cell
    }
}

impl Draft {
    /// Encodes the snapshot, unless another caller has done so.
    pub fn encode(self, encoding: &Encoding, view: &RowsView) -> Snapshot {
        let (cell, sequence, as_of, quotes) = match self {
            Self::Encoded(snapshot) => return snapshot,
            Self::Rows { cell, sequence, as_of, quotes } => (cell, sequence, as_of, quotes),
        };
        let encoded = cell.get_or_init(|| {
            let rows: Vec<_> = quotes.iter().map(|quote| Row::new(quote, view.basis, view.lang)).collect();
            let (epoch, board) = (&*encoding.epoch, view.board.as_deref());
            let (basis, demo, missing) = (view.basis, view.demo, &*view.missing);
            let body = SnapshotBody { epoch, sequence, as_of, board, basis, demo, missing, rows: &rows };
            let (body, tag) = (Bytes::from(api::json(&body)), body.content_tag());
            encoding.snapshots_encoded.fetch_add(1, Ordering::Relaxed);
            Snapshot { sequence, tag, shared_body: SharedBody::new(&body), body }
        });
        encoded.clone()
    }
}
