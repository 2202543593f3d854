//! Starts and stops the tasks of one venue.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::backfill::task as backfill;
use super::context::VenueContext;
use super::limits::Cooldowns;
use super::outgoing::Tls;
use super::rest::http::RestClient;
use super::settings::Settings;
use super::stream::manager;
use super::{market_list, polling};
use crate::clock::Clock;
use crate::failpoint;
use crate::feed::{Event, Gap, VenueHealth, VenueState};
use crate::market::Market;
use crate::venue::Venue;

/// Changed health figures are published at this interval.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// Capacity of a connection manager's command queue; excess commands are dropped, and the next check repeats them.
const MANAGER_COMMANDS_MAX: usize = 16;

/// The board's requests to one venue.
#[derive(Debug)]
pub struct BoardRequests {
    /// Minutes to fill from candles, answered with [`Event::Settled`].
    pub gaps: mpsc::Receiver<Gap>,
    /// Markets whose price to fetch immediately, answered with [`Event::Ticker`].
    pub checks: mpsc::Receiver<Market>,
}

/// Reads the markets `wanted` from `venue` until `shutdown`: streams, polls, checks prices and fills gaps.
///
/// Sends everything to `events`, including the answers to `requests`. It
/// retries without end, and returns once `shutdown` is cancelled, all tasks
/// have ended and all sockets are closed. It returns earlier only if one of its
/// tasks panicked: the caller must then not carry on as if the exchange were
/// still being read.
#[expect(clippy::too_many_arguments, reason = "the dependencies of one venue, each with a different owner")]
pub async fn run(
    venue: &'static dyn Venue,
    settings: Settings,
    wanted: Vec<Market>,
    tls: Tls,
    clock: Clock,
    events: mpsc::Sender<Event>,
    requests: BoardRequests,
    shutdown: CancellationToken,
) {
    let cooldowns = Arc::new(Cooldowns::new(&settings, clock.clone()));
    let http = match RestClient::new(venue.profile(), &settings, &tls, &clock, cooldowns.clone()) {
        Ok(http) => http,
        Err(reason) => {
            tracing::error!(venue = %venue.profile().id, %reason, "setting up the exchange failed; it stays down");
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
    let context =
        Arc::new(VenueContext::new(venue, settings, wanted, tls, clock, (http, cooldowns), events, shutdown.clone()));
    context.publish_health(true);

    let mut tasks = JoinSet::new();
    let mut commands = Vec::new();
    let mut managers = JoinSet::new();
    if context.settings.stream_enabled {
        for index in 0..context.markets_by_connection.len() {
            let (sender, inbox) = mpsc::channel(MANAGER_COMMANDS_MAX);
            commands.push(sender);
            managers.spawn(failpoint::run("stream", manager::run(context.clone(), index, inbox)));
        }
    }
    tasks.spawn(failpoint::run("market-list", market_list::run(context.clone())));
    tasks.spawn(failpoint::run("polling", polling::run(context.clone(), commands)));
    tasks.spawn(failpoint::run("backfill", backfill::run(context.clone(), requests.gaps)));
    tasks.spawn(failpoint::run("price-check", polling::run_checks(context.clone(), requests.checks)));
    tasks.spawn(failpoint::run("event-queue", flush_events(context.clone())));
    tasks.spawn(failpoint::run("health", report_health(context)));

    tokio::select! {
        () = shutdown.cancelled() => {}
        // Tasks never end by themselves: this one panicked, and nothing does its work any more.
        _ = tasks.join_next() => {}
        Some(_) = managers.join_next() => {}
    }
    if !shutdown.is_cancelled() {
        tracing::error!(venue = %venue.profile().id, "a task of this exchange ended unexpectedly; stopping");
        return;
    }
    // Connections are closed cleanly; all other tasks are aborted where they wait.
    while managers.join_next().await.is_some() {}
    tasks.shutdown().await;
}

async fn flush_events(context: Arc<VenueContext>) {
    context.event_queue.flush().await;
}

async fn report_health(context: Arc<VenueContext>) {
    loop {
        tokio::time::sleep(HEALTH_INTERVAL).await;
        context.publish_health(true);
    }
}
