//! HTTP: pages, widgets, the JSON API and the stream.

mod access;
mod addresses;
mod api;
mod ask;
mod assets;
mod bodies;
mod document;
mod error;
mod events;
mod front;
mod greeting;
mod health;
mod history;
mod host;
mod layers;
mod limits;
mod listen;
mod pages;
mod place;
mod query;
mod script;
mod socket;
mod stream;

use std::io;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{Board, Site};
use crate::delivery::{Delivery, Newcomer, Service};
use crate::domain::{HourSource, Keeper, MoversRule};
use crate::hub::Hub;

pub use limits::Limits;
pub use listen::listen;

/// What every handler may use. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Shared,
    limits: Limits,
    site: Site,
    shutdown: CancellationToken,
    streams: TaskTracker,
    /// Places for streams.
    slots: Arc<Semaphore>,
    /// Places for connections that are no streams.
    connections: Arc<Semaphore>,
    addresses: Arc<addresses::Addresses>,
    /// Groups by the address that began them.
    groups: Arc<addresses::Addresses>,
    delivery: OnceLock<Delivery>,
    delivery_started: Notify,
    past: history::Desk,
    sparks: history::Desk,
    bodies: bodies::Bodies,
    /// When the process began to serve, on the monotonic clock.
    begun: Duration,
}

/// The parts of [`AppState`].
#[derive(Debug)]
pub struct Shared {
    /// The newest rows.
    pub hub: Hub,
    /// The boards, the default one first.
    pub boards: Vec<Board>,
    /// The clocks.
    pub clock: Clock,
    /// Where the past is read from, if any is kept.
    pub history: Option<Arc<dyn HourSource>>,
    /// Who keeps what is to outlive the process; none if nobody does.
    pub keeper: Option<Arc<dyn Keeper>>,
    /// Whether the prices are invented: every page and the feed say so.
    pub demo: bool,
}

impl AppState {
    /// Joins the parts, with the limits that hold unless an operator sets others.
    pub fn new(shared: Shared) -> Self {
        Self::with_limits(shared, Limits::default())
    }

    /// Joins the parts, at the root of a host of their own.
    pub fn with_limits(shared: Shared, limits: Limits) -> Self {
        Self::with(shared, limits, Site::default())
    }

    /// Joins the parts.
    pub fn with(shared: Shared, limits: Limits, site: Site) -> Self {
        let places = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self(Arc::new(Inner {
            site,
            shutdown: CancellationToken::new(),
            streams: TaskTracker::new(),
            slots: places(limits.streams_max),
            connections: places(limits.connections_max),
            addresses: Arc::new(addresses::Addresses::new(&limits)),
            groups: Arc::new(addresses::Addresses::new(&limits.of_groups())),
            begun: shared.clock.monotonic(),
            delivery: OnceLock::new(),
            delivery_started: Notify::new(),
            past: history::Desk::default(),
            sparks: history::Desk::of_sparks(),
            bodies: bodies::Bodies::default(),
            limits,
            shared,
        }))
    }

    /// Returns for how long this has been served.
    fn uptime(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.0.begun)
    }

    /// Returns what the publisher has set.
    pub fn site(&self) -> &Site {
        &self.0.site
    }

    /// Returns the path that everything stands under, such as `/prices`; empty for the root.
    pub fn base_path(&self) -> &str {
        &self.0.site.base_path
    }

    /// Returns where readers find us, without a slash at the end, if that is set: the only source of whole addresses.
    pub fn public_url(&self) -> Option<&str> {
        self.0.site.public_url.as_deref()
    }

    /// Returns which markets may be called movers.
    pub fn movers(&self) -> &MoversRule {
        &self.0.site.movers
    }

    /// Returns the bodies kept in memory.
    pub fn bodies(&self) -> &bodies::Bodies {
        &self.0.bodies
    }

    /// Returns the limits of what comes in.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Returns where questions of the past are answered.
    fn past(&self) -> &history::Desk {
        &self.0.past
    }

    /// Returns where the small lines are kept.
    fn sparks(&self) -> &history::Desk {
        &self.0.sparks
    }

    /// Returns what is cancelled by [`AppState::stop`].
    pub fn shutdown(&self) -> &CancellationToken {
        &self.0.shutdown
    }

    /// Returns the count of the streams: after [`AppState::stop`], close and await it, with a deadline.
    pub fn streams(&self) -> &TaskTracker {
        &self.0.streams
    }

    /// Starts the threads that write to streams, if they are not there.
    fn start_delivery(&self) -> io::Result<()> {
        if self.0.delivery.get().is_some() {
            return Ok(());
        }
        let service: Arc<dyn Service> = Arc::new(stream::Feed::new(self));
        let delivery = Delivery::start(&self.0.limits.delivery(), &self.clock, &service)?;
        // Whoever comes second drops its own threads, which have no clients.
        if self.0.delivery.set(delivery).is_ok() {
            self.0.delivery_started.notify_one();
        }
        if self.0.shutdown.is_cancelled() {
            self.stop();
        }
        Ok(())
    }

    /// Ends every stream; its client is told to come back.
    pub fn stop(&self) {
        self.0.shutdown.cancel();
        if let Some(delivery) = self.0.delivery.get() {
            delivery.close();
        }
    }

    /// Waits until a thread that writes to streams has failed for good.
    pub async fn delivery_failed(&self) {
        loop {
            if let Some(delivery) = self.0.delivery.get() {
                return delivery.failed().await;
            }
            self.0.delivery_started.notified().await;
        }
    }

    /// Hands a stream to its thread.
    fn deliver(&self, newcomer: Newcomer) {
        if let Some(delivery) = self.0.delivery.get() {
            delivery.admit(newcomer);
        }
    }

    /// Waits for the threads of the streams, which end by themselves after [`AppState::stop`]. Blocks.
    pub fn join_delivery(&self) {
        if let Some(delivery) = self.0.delivery.get() {
            delivery.join();
        }
    }

    fn downgrade(&self) -> WeakState {
        WeakState(Arc::downgrade(&self.0))
    }
}

/// An [`AppState`] that keeps nothing alive.
#[derive(Debug, Clone)]
struct WeakState(Weak<Inner>);

impl WeakState {
    fn upgrade(&self) -> Option<AppState> {
        self.0.upgrade().map(AppState)
    }
}

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0.shared
    }
}

/// Returns all routes.
pub fn router(state: AppState) -> Router {
    let api = Router::new()
        .route("/api/v1/snapshot", get(api::snapshot))
        .route("/api/v1/snapshot.csv", get(api::snapshot_csv))
        .route("/api/v1/markets", get(api::markets))
        .route("/api/v1/history/{market}", get(history::history))
        .route("/api/v1/venues", get(api::venues))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/stream", get(stream::upgrade))
        .route("/api/v1/script", get(script::answer))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready));
    let app = state.clone();
    let routes = Router::new()
        .merge(layers::api(api))
        .merge(assets::routes())
        .merge(document::routes(&state))
        .merge(script::routes())
        .merge(pages::routes())
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::wrong_method)
        .layer(layers::compression())
        .with_state(state);
    front::under(app, routes).layer(axum::middleware::from_fn(layers::every))
}
