//! Market and edge in one process: connects them, runs them, and shuts them down in order.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{edge, market};
use crate::bus::Local;
use crate::clock::Clock;
use crate::config::{Board, Config};
use crate::market::VenueId;
use crate::store::{self, Restored, Store};
use crate::venue;
use crate::{failpoint, metrics};

/// Runs everything until `shutdown` is cancelled.
///
/// The caller binds the listener. Metrics are not served. Exchanges that can't be reached are no error: they are
/// reported on the pages, in `/api/v1/venues` and in the log.
///
/// # Errors
/// If the store can't be opened because it is in use or not ours, if a certificate file can't be used, or if a
/// component ends unexpectedly: prices that are no longer updated must not be served as live.
pub async fn run(
    config: Config,
    listener: TcpListener,
    clock: Clock,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let boards = fixed_boards(&config);
    run_with_boards(config, boards, listener, clock, shutdown).await
}

/// Like [`run`], with boards that may change at any time; those of the configuration are not used. As in a
/// configuration, there must be at least one, with unique ids, and each with up to 128 markets.
///
/// The venues are those of the boards at the start: a row of any other venue stays unknown.
///
/// # Errors
/// As for [`run`].
pub async fn run_with_boards(
    config: Config,
    boards: watch::Receiver<Arc<[Board]>>,
    listener: TcpListener,
    clock: Clock,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let opened = open_store(&config, &clock).await?;
    run_with(config, boards, opened, Listeners { site: listener, metrics: None }, clock, shutdown).await
}

/// Returns the boards of the configuration, which do not change.
pub(crate) fn fixed_boards(config: &Config) -> watch::Receiver<Arc<[Board]>> {
    watch::channel(config.boards.as_slice().into()).1
}

/// The listeners to serve on.
pub(crate) struct Listeners {
    /// For readers: pages, API and streams.
    pub site: TcpListener,
    /// For operators: Prometheus metrics.
    pub metrics: Option<(TcpListener, PrometheusHandle)>,
}

/// Opens the store and reads the records of earlier runs; without a data directory there is no store, and no records.
pub(crate) async fn open_store(config: &Config, clock: &Clock) -> anyhow::Result<(Option<Store>, Restored)> {
    let Some(directory) = config.data.clone() else { return Ok((None, Restored::default())) };
    let settings = store::StoreSettings { retention_days: config.retention_days, ..store::StoreSettings::default() };
    let venues: Vec<VenueId> = venue::ALL.iter().map(|venue| venue.profile().id).collect();
    let clock = clock.clone();
    let open = move || Store::open(&directory, settings, &venues, clock);
    let (store, restored) = tokio::task::spawn_blocking(open).await.context("opening the store")??;
    Ok((Some(store), restored))
}

/// Like [`run_with_boards`], with the store already open and the records to start with.
pub(crate) async fn run_with(
    config: Config,
    mut boards: watch::Receiver<Arc<[Board]>>,
    opened: (Option<Store>, Restored),
    listeners: Listeners,
    clock: Clock,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let config = Config { boards: boards.borrow_and_update().to_vec(), ..config };
    let mut bus = Local::new(clock.clone());
    let replica = bus.edge();
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    let archive = market::start(&config, boards.clone(), opened, bus, &clock, &stop, &mut tasks)?;
    if let Some((listener, metrics_handle)) = listeners.metrics {
        let serving = failpoint::run("metrics", metrics::serve(listener, metrics_handle, stop.clone()));
        tasks.spawn(async move {
            serving.await;
            "metrics"
        });
    }
    let state = edge::create(config, boards, (replica, archive), clock);
    let serving = AssertUnwindSafe(edge::serve(listeners.site, state.clone(), shutdown.clone())).catch_unwind();
    // Before the shutdown, a task ends only if it has failed.
    let failed = tokio::select! {
        served = serving => (served.is_err() || !shutdown.is_cancelled()).then_some("listener"),
        Some(ended) = tasks.join_next() => Some(ended.unwrap_or("a task that panicked")),
        () = state.delivery_failed() => Some("delivery"),
    };
    stop.cancel();
    let ended = tokio::time::timeout(edge::GRACE, async { while tasks.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        warn!("some tasks did not end in time and are abandoned");
    }
    match failed {
        None => Ok(()),
        Some(component) => {
            anyhow::bail!("a component has failed ({component}); exiting, since prices would no longer be updated")
        }
    }
}
