//! The state that all handlers share.

use std::io;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use fanout::{Delivery, Upgraded};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cache::{HistoryCache, ResponseCache};
use super::limits::AddressLimits;
use super::rows_query::SharedQueries;
use crate::clock::Clock;
use crate::config::{Board, Limits, Site};
use crate::feed::StoreHealthSource;
use crate::hub::Hub;
use crate::market::{HourSource, MoversRule};
use crate::options::OptionValues;
use crate::widgets::context::Server;

/// Shared state of all handlers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: AppParts,
    limits: Limits,
    site: Site,
    shutdown: CancellationToken,
    streams: TaskTracker,
    /// Permits of streams.
    stream_permits: Arc<Semaphore>,
    /// Permits of connections that are not streams.
    connection_permits: Arc<Semaphore>,
    /// Connections and streams by address.
    address_limits: Arc<AddressLimits>,
    /// Groups by the address that created them.
    group_limits: Arc<AddressLimits>,
    delivery: OnceLock<Delivery<StreamService>>,
    delivery_started: Notify,
    history_cache: HistoryCache,
    spark_cache: HistoryCache,
    response_cache: ResponseCache,
    shared_queries: SharedQueries,
    /// Monotonic time at which the server started.
    started_at: Duration,
}

/// The parts of [`AppState`].
#[derive(Debug)]
pub struct AppParts {
    /// Newest rows and subscriptions.
    pub hub: Hub,
    /// The boards, the default one first. They may change; the next update of the bus must then have `is_revision`.
    pub boards: watch::Receiver<Arc<[Board]>>,
    /// The clocks.
    pub clock: Clock,
    /// Source of history, if any is stored.
    pub history: Option<Arc<dyn HourSource>>,
    /// Source of the health of the store; `None` if data is kept in memory only.
    pub store_health: Option<Arc<dyn StoreHealthSource>>,
    /// Whether the prices are simulated, which every page and stream shows.
    pub demo: bool,
}

/// The boards at one moment, the default one first.
#[derive(Debug, Clone)]
pub struct Boards {
    /// A revision of the hub; the boards are at least as new.
    pub revision: u64,
    list: Arc<[Board]>,
}

impl std::ops::Deref for Boards {
    type Target = [Board];

    fn deref(&self) -> &[Board] {
        &self.list
    }
}

impl AppState {
    /// Creates the state with default limits and site.
    pub fn new(parts: AppParts) -> Self {
        Self::with_limits(parts, Limits::default())
    }

    /// Creates the state with the default site.
    pub fn with_limits(parts: AppParts, limits: Limits) -> Self {
        Self::with_site(parts, limits, Site::default())
    }

    /// Creates the state.
    pub fn with_site(parts: AppParts, limits: Limits, site: Site) -> Self {
        let permits = |max: usize| Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self(Arc::new(Inner {
            site,
            shutdown: CancellationToken::new(),
            streams: TaskTracker::new(),
            stream_permits: permits(limits.streams_max),
            connection_permits: permits(limits.connections_max),
            address_limits: Arc::new(AddressLimits::new(&limits)),
            group_limits: Arc::new(AddressLimits::new(&limits.for_groups())),
            started_at: parts.clock.monotonic(),
            delivery: OnceLock::new(),
            delivery_started: Notify::new(),
            history_cache: HistoryCache::default(),
            spark_cache: HistoryCache::for_sparks(),
            response_cache: ResponseCache::new(parts.hub.clone(), parts.clock.clone()),
            shared_queries: SharedQueries::default(),
            limits,
            parts,
        }))
    }

    /// Returns the boards as they are now.
    pub fn boards(&self) -> Boards {
        // In this order, so that the boards are at least as new as the revision.
        let revision = self.hub.revision();
        Boards { revision, list: self.boards.borrow().clone() }
    }

    /// Returns the queries that stream clients share.
    pub(super) fn shared_queries(&self) -> &SharedQueries {
        &self.0.shared_queries
    }

    /// Returns the time since the server started.
    pub(super) fn uptime(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.0.started_at)
    }

    /// Returns the settings of the site.
    pub fn site(&self) -> &Site {
        &self.0.site
    }

    /// Returns the path prefix of all routes, such as `/prices`; empty for the root.
    pub fn base_path(&self) -> &str {
        &self.0.site.base_path
    }

    /// Returns the public URL without a trailing slash, if set. Absolute URLs are built from it only.
    pub fn public_url(&self) -> Option<&str> {
        self.0.site.public_url.as_deref()
    }

    /// Returns the rule by which markets qualify as movers.
    pub fn movers(&self) -> &MoversRule {
        &self.0.site.movers
    }

    /// Returns the response cache.
    pub fn response_cache(&self) -> &ResponseCache {
        &self.0.response_cache
    }

    /// Returns the limits of connections, requests and streams.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Returns the history cache.
    pub(super) fn history_cache(&self) -> &HistoryCache {
        &self.0.history_cache
    }

    /// Returns the cache of sparkline series.
    pub(super) fn spark_cache(&self) -> &HistoryCache {
        &self.0.spark_cache
    }

    /// Returns the token that [`AppState::stop`] cancels.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.0.shutdown
    }

    /// Returns the tracker of all streams. After [`AppState::stop`], close it and wait for it with a timeout.
    pub fn streams(&self) -> &TaskTracker {
        &self.0.streams
    }

    /// Starts the delivery threads, unless they are running.
    pub(super) fn start_delivery(&self) -> io::Result<()> {
        if self.0.delivery.get().is_some() {
            return Ok(());
        }
        let delivery = Delivery::start(&self.0.limits.delivery_settings(), StreamService::new(self))?;
        // A concurrent second caller drops its own threads, which have no clients.
        if self.0.delivery.set(delivery).is_ok() {
            self.0.delivery_started.notify_one();
        }
        if self.0.shutdown.is_cancelled() {
            self.stop();
        }
        Ok(())
    }

    /// Closes every stream; clients are asked to reconnect.
    pub fn stop(&self) {
        self.0.shutdown.cancel();
        if let Some(delivery) = self.0.delivery.get() {
            delivery.close();
        }
    }

    /// Waits until a delivery thread has failed permanently.
    pub async fn delivery_failed(&self) {
        loop {
            if let Some(delivery) = self.0.delivery.get() {
                return delivery.failed().await;
            }
            self.0.delivery_started.notified().await;
        }
    }

    /// Hands a stream to a delivery thread.
    pub(super) fn admit_stream(&self, upgraded: Upgraded<StreamService>) {
        if let Some(delivery) = self.0.delivery.get() {
            delivery.admit(upgraded);
        }
    }

    /// Blocks until the delivery threads have ended, after [`AppState::stop`].
    pub fn join_delivery(&self) {
        if let Some(delivery) = self.0.delivery.get() {
            delivery.join();
        }
    }

    /// Returns what widgets show of the server.
    pub(super) fn server(&self) -> Server<'_> {
        Server { hub: &self.hub, clock: &self.clock, site: self.site(), demo: self.demo }
    }

    /// Returns the options that the operator has set.
    pub(super) fn default_options(&self) -> &OptionValues {
        &self.0.site.widgets
    }

    /// Returns the permits of streams.
    pub(super) fn stream_permits(&self) -> &Arc<Semaphore> {
        &self.0.stream_permits
    }

    /// Returns the permits of connections that are not streams.
    pub(super) fn connection_permits(&self) -> &Arc<Semaphore> {
        &self.0.connection_permits
    }

    /// Returns the connections and streams by address.
    pub(super) fn address_limits(&self) -> &Arc<AddressLimits> {
        &self.0.address_limits
    }

    /// Returns the groups by the address that created them.
    pub(super) fn group_limits(&self) -> &Arc<AddressLimits> {
        &self.0.group_limits
    }

    /// Returns a reference that does not keep the state alive.
    pub(super) fn downgrade(&self) -> WeakState {
        WeakState(Arc::downgrade(&self.0))
    }
}

/// Weak reference to an [`AppState`].
#[derive(Debug, Clone)]
pub(super) struct WeakState(Weak<Inner>);

impl WeakState {
    pub(super) fn upgrade(&self) -> Option<AppState> {
        self.0.upgrade().map(AppState)
    }
}

impl std::ops::Deref for AppState {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0.parts
    }
}

/// The service of the streams, whose protocol (docs/api.md) is in `routes/stream.rs`. Holds the state weakly, so that
/// delivery threads do not keep it alive.
#[derive(Debug, Clone)]
pub struct StreamService {
    pub(super) app: WeakState,
    pub(super) clock: Clock,
}

impl StreamService {
    /// Creates the service.
    pub fn new(app: &AppState) -> Self {
        Self { app: app.downgrade(), clock: app.clock.clone() }
    }
}
