//! Starts and stops the tasks of one venue.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::gate::Gate;
use super::http::Http;
use super::shared::Shared;
use super::{Settings, Tls, backfill, listings, poller, recheck, slot};
use crate::clock::Clock;
use crate::domain::{Event, Gap, Market, VenueHealth, VenueState};
use crate::failpoint;
use crate::venue::Venue;

/// Figures are published at most this often.
const FIGURES_EVERY: Duration = Duration::from_secs(1);

/// Orders that may wait for a slot; more are dropped, and found again by the next look.
const ORDERS_MAX: usize = 16;

/// What the board asks a venue for.
#[derive(Debug)]
pub struct Requests {
    /// Minutes to be filled from candles, answered with [`Event::Settled`].
    pub gaps: mpsc::Receiver<Gap>,
    /// Markets whose price is to be fetched at once, answered with [`Event::Ticker`].
    pub checks: mpsc::Receiver<Market>,
}

/// Reads `wanted` from `venue` until `shutdown`: streams, polls, checks and fills gaps.
///
/// What it learns goes to `events`, answers to `requests` too.
/// It never gives up, and returns when `shutdown` is cancelled, with every task
/// ended and every socket closed; before that only if one of its tasks has
/// panicked: whoever started it must not go on as if the exchange were read.
#[expect(clippy::too_many_arguments, reason = "the parts of one venue, each from another owner")]
pub async fn run(
    venue: &'static dyn Venue,
    settings: Settings,
    wanted: Vec<Market>,
    tls: Tls,
    clock: Clock,
    events: mpsc::Sender<Event>,
    requests: Requests,
    shutdown: CancellationToken,
) {
    let gate = Arc::new(Gate::new(&settings, clock.clone()));
    let http = match Http::new(venue.profile(), &settings, &tls, &clock, gate.clone()) {
        Ok(http) => http,
        Err(reason) => {
            tracing::error!(venue = %venue.profile().id, %reason, "the exchange can't be read");
            let id = venue.profile().id;
            let health = VenueHealth {
                state: VenueState::Down,
                reason: Some(reason),
                ..VenueHealth::new(id, wanted.len(), clock.now())
            };
            let _ = events.send(Event::Health(health)).await;
            shutdown.cancelled().await;
            return;
        }
    };
    let shared = Arc::new(Shared::new(venue, settings, wanted, tls, clock, (http, gate), events, shutdown.clone()));
    shared.report(true);

    let mut tasks = JoinSet::new();
    let mut orders = Vec::new();
    let mut slots = JoinSet::new();
    if shared.settings.stream_enabled {
        for index in 0..shared.slots.len() {
            let (sender, inbox) = mpsc::channel(ORDERS_MAX);
            orders.push(sender);
            slots.spawn(failpoint::part("stream", slot::run(shared.clone(), index, inbox)));
        }
    }
    tasks.spawn(failpoint::part("listings", listings::run(shared.clone())));
    tasks.spawn(failpoint::part("poller", poller::run(shared.clone(), orders)));
    tasks.spawn(failpoint::part("backfill", backfill::run(shared.clone(), requests.gaps)));
    tasks.spawn(failpoint::part("recheck", recheck::run(shared.clone(), requests.checks)));
    tasks.spawn(failpoint::part("outbox", flush(shared.clone())));
    tasks.spawn(failpoint::part("report", report(shared)));

    tokio::select! {
        () = shutdown.cancelled() => {}
        // None of them ever ends by itself: it panicked, and what it did is done by nobody now.
        _ = tasks.join_next() => {}
        Some(_) = slots.join_next() => {}
    }
    if !shutdown.is_cancelled() {
        tracing::error!(venue = %venue.profile().id, "a task that reads this exchange has ended");
        return;
    }
    // Connections close politely; everything else stops where it waits.
    while slots.join_next().await.is_some() {}
    tasks.shutdown().await;
}

async fn flush(shared: Arc<Shared>) {
    shared.outbox.flush().await;
}

async fn report(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(FIGURES_EVERY).await;
        shared.report(true);
    }
}
