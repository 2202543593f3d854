//! Fetches prices that the board wants confirmed immediately.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::context::VenueContext;
use super::polling::{fetch_prices, poll_via};
use crate::domain::{Market, Via};

/// Fetches the requested markets until shutdown; those queued at the same time are fetched together, streamed and
/// polled ones separately.
///
/// A failed request is not repeated here: the board sends it again as long as it needs the price.
pub async fn run(context: Arc<VenueContext>, mut markets: mpsc::Receiver<Market>) {
    while let Some(first) = markets.recv().await {
        let mut due = BTreeSet::from([first]);
        while let Ok(next) = markets.try_recv() {
            due.insert(next);
        }
        let is_streamed = |market: &Market| context.liveness().is_streamed(market);
        let (streamed, polled): (Vec<_>, Vec<_>) = due.into_iter().partition(is_streamed);
        for (markets, via) in [(streamed, Via::Check), (polled, poll_via(&context))] {
            if let Err(reason) = fetch_prices(&context, &markets, via).await {
                context.rest_failed("prices", &reason);
            }
        }
    }
    // The board has closed its channel: the program is about to end.
    std::future::pending().await
}
