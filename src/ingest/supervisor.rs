//! Starts and stops the tasks of one venue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::backfill::task as backfill;
use super::context::VenueContext;
use super::limits::Cooldowns;
use super::outgoing::Tls;
use super::rest::http::RestClient;
use super::settings::Settings;
use super::stream::connection::ManagerCommand;
use super::stream::manager;
use super::{market_list, polling};
use crate::clock::Clock;
use crate::failpoint;
use crate::feed::{Event, Gap, VenueHealth, VenueState};
use crate::market::Market;
use crate::venue::Venue;

/// Changed health figures are published at this interval.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// Capacity of the queues of commands to connection managers; excess ones are dropped, and the next check repeats them.
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
/// The wanted markets may change at any time, and are constant once the sender is dropped. Add a market to the board
/// before adding it here: events that the board ignores are not sent again.
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
    mut wanted: watch::Receiver<Arc<BTreeSet<Market>>>,
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
                ..VenueHealth::new(id, wanted.borrow().len(), clock.now())
            };
            let _ = events.send(Event::Health(health)).await;
            shutdown.cancelled().await;
            return;
        }
    };
    let first = wanted.borrow_and_update().clone();
    let context =
        Arc::new(VenueContext::new(venue, settings, &first, tls, clock, (http, cooldowns), events, shutdown.clone()));
    context.publish_health(true);

    let mut tasks = JoinSet::new();
    let (commands, mut inbox) = mpsc::channel(MANAGER_COMMANDS_MAX);
    let mut managers = Managers { context: context.clone(), running: BTreeMap::new(), tasks: JoinSet::new() };
    tasks.spawn(failpoint::run("market-list", market_list::run(context.clone())));
    tasks.spawn(failpoint::run("polling", polling::run(context.clone(), commands)));
    tasks.spawn(failpoint::run("backfill", backfill::run(context.clone(), requests.gaps)));
    tasks.spawn(failpoint::run("price-check", polling::run_checks(context.clone(), requests.checks)));
    tasks.spawn(failpoint::run("event-queue", flush_events(context.clone())));
    tasks.spawn(failpoint::run("health", report_health(context.clone())));

    loop {
        managers.follow_assignment();
        tokio::select! {
            () = shutdown.cancelled() => break,
            // Tasks never end by themselves: this one panicked, and nothing does its work any more.
            _ = tasks.join_next() => break,
            Some(ended) = managers.tasks.join_next() => if !managers.was_stopped(ended) {
                break;
            },
            Ok(()) = wanted.changed() => {
                let changed = wanted.borrow_and_update().clone();
                context.set_wanted(&changed);
                context.publish_health(true);
            }
            Some((connection, command)) = inbox.recv() => managers.forward(connection, command),
        }
    }
    if !shutdown.is_cancelled() {
        tracing::error!(venue = %venue.profile().id, "a task of this exchange ended unexpectedly; stopping");
        return;
    }
    // Connections are closed cleanly; all other tasks are aborted where they wait.
    while managers.tasks.join_next().await.is_some() {}
    tasks.shutdown().await;
}

/// The connection managers of one venue: one for each connection that has markets.
struct Managers {
    context: Arc<VenueContext>,
    running: BTreeMap<usize, ManagerHandle>,
    /// Each returns the index of its connection.
    tasks: JoinSet<usize>,
}

struct ManagerHandle {
    stop: CancellationToken,
    commands: mpsc::Sender<ManagerCommand>,
}

impl Managers {
    /// Stops the managers of connections without markets, and starts those of new ones.
    ///
    /// The next manager of a connection is started when the previous one has ended, so that there are never more
    /// connections than necessary.
    fn follow_assignment(&mut self) {
        if !self.context.settings.stream_enabled || self.context.shutdown.is_cancelled() {
            return;
        }
        let connections = self.context.markets().connections.clone();
        for (index, manager) in &self.running {
            if connections.markets_of(*index).is_none() {
                manager.stop.cancel();
            }
        }
        for (index, _) in connections.iter() {
            if self.running.contains_key(&index) {
                continue;
            }
            let stop = self.context.shutdown.child_token();
            let (commands, inbox) = mpsc::channel(MANAGER_COMMANDS_MAX);
            let running = manager::run(self.context.clone(), index, inbox, stop.clone());
            self.tasks.spawn(async move {
                failpoint::run("stream", running).await;
                index
            });
            self.running.insert(index, ManagerHandle { stop, commands });
        }
    }

    /// Removes a manager that has ended; returns whether it was stopped.
    fn was_stopped(&mut self, ended: Result<usize, JoinError>) -> bool {
        let ended = ended.ok().and_then(|index| self.running.remove(&index));
        ended.is_some_and(|manager| manager.stop.is_cancelled())
    }

    fn forward(&self, connection: usize, command: ManagerCommand) {
        if let Some(manager) = self.running.get(&connection) {
            // A full queue already holds such commands.
            let _ = manager.commands.try_send(command);
        }
    }
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
