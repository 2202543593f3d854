//! Prices that the board wants confirmed at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::poller::{fetch, poll_via};
use super::shared::Shared;
use crate::domain::{Market, Via};

/// Fetches each market that comes until shutdown, those that wait together in one request.
///
/// A failed request is not repeated here: the board asks again for as long as it wants to know.
pub async fn run(shared: Arc<Shared>, mut markets: mpsc::Receiver<Market>) {
    while let Some(first) = markets.recv().await {
        let mut due = BTreeSet::from([first]);
        while let Ok(next) = markets.try_recv() {
            due.insert(next);
        }
        let is_streamed = |market: &Market| shared.liveness().is_streamed(market);
        let (streamed, polled): (Vec<_>, Vec<_>) = due.into_iter().partition(is_streamed);
        for (markets, via) in [(streamed, Via::Check), (polled, poll_via(&shared))] {
            if let Err(reason) = fetch(&shared, &markets, via).await {
                shared.rest_failed("prices", &reason);
            }
        }
    }
    // Nobody asks any more: the program is about to end.
    std::future::pending().await
}
