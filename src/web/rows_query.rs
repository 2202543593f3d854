//! A query for rows as it was sent, and how streams with equal queries share it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Query for rows, not yet validated.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct RowsQuery {
    /// Id of a board.
    pub board: Option<String>,
    /// Names of markets.
    pub markets: Option<Vec<String>>,
    /// Basis of the changes.
    pub basis: Option<String>,
    /// Language of the texts.
    pub lang: Option<String>,
    /// Minimum time between two frames, in milliseconds.
    pub interval_ms: Option<String>,
}

/// The queries of the stream's subscriptions: equal ones share their memory.
#[derive(Debug, Default)]
pub struct SharedQueries(Mutex<HashSet<Arc<RowsQuery>>>);

impl SharedQueries {
    /// Returns the shared query that is equal to `query`.
    pub fn share(&self, query: &RowsQuery) -> Arc<RowsQuery> {
        let mut queries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = queries.get(query) {
            return shared.clone();
        }
        if queries.len() == queries.capacity() {
            queries.retain(|shared| Arc::strong_count(shared) > 1);
        }
        let shared = Arc::new(query.clone());
        queries.insert(shared.clone());
        shared
    }
}
