//! All rows of a view as bytes, encoded once for everybody until something changes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

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
    /// A number that differs where the body does.
    pub tag: u64,
    /// The JSON as the end of a message.
    pub(super) rest: Body,
}

/// A snapshot that is yet to be encoded, or was.
pub(super) enum Draft {
    Kept(Snapshot),
    Rows { version: u64, sequence: u64, as_of: Option<Timestamp>, quotes: Vec<Arc<Quote>> },
}

impl Hub {
    /// Returns the newest rows of a view; those never published are left out.
    pub fn snapshot(&self, view: &View) -> Snapshot {
        let draft = self.draft(&self.newest(), view);
        self.encode(view, draft)
    }

    /// Takes the rows, which is quick, so that the slow half can be done with `newest` unlocked.
    pub(super) fn draft(&self, newest: &Newest, view: &View) -> Draft {
        if let Some(kept) = self.kept(view, newest.version) {
            return Draft::Kept(kept);
        }
        let entries = view.rows.iter().filter_map(|(source, market)| newest.find(source, market));
        Draft::Rows {
            version: newest.version,
            sequence: newest.sequence,
            as_of: newest.as_of,
            quotes: entries.map(|entry| entry.quote.clone()).collect(),
        }
    }

    pub(super) fn encode(&self, view: &View, draft: Draft) -> Snapshot {
        let (version, sequence, as_of, quotes) = match draft {
            Draft::Kept(snapshot) => return snapshot,
            Draft::Rows { version, sequence, as_of, quotes } => (version, sequence, as_of, quotes),
        };
        let rows: Vec<_> = quotes.iter().map(|quote| Row::new(quote, view.basis, view.lang)).collect();
        let (epoch, board) = (self.epoch(), view.board.as_deref());
        let body = SnapshotBody { epoch, sequence, as_of, board, basis: view.basis, demo: view.demo, rows: &rows };
        let body = Bytes::from(wire::json(&body));
        self.0.snapshots_encoded.fetch_add(1, Ordering::Relaxed);
        let snapshot = Snapshot { sequence, tag: fingerprint(&body), rest: Body::new(&body), body };
        self.keep(view, version, &snapshot);
        snapshot
    }

    fn kept(&self, view: &View, version: u64) -> Option<Snapshot> {
        let kept = self.0.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(view).filter(|(of, _)| *of == version).map(|(_, snapshot)| snapshot.clone())
    }

    fn keep(&self, view: &View, version: u64, snapshot: &Snapshot) {
        let mut kept = self.0.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX && !kept.contains_key(view) {
            kept.retain(|_, (of, _)| *of >= version);
        }
        if kept.get(view).is_some_and(|(of, _)| *of > version) {
            return;
        }
        if kept.len() < KEPT_MAX || kept.contains_key(view) {
            kept.insert(view.clone(), (version, snapshot.clone()));
        }
    }
}

/// FNV-1a, 64 bits: the same on every machine and in every build.
pub(super) fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
