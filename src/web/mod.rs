//! HTTP: pages, widgets, the JSON API and the stream.

mod api;
mod ask;
mod assets;
mod error;
mod health;
mod history;
mod layers;
mod limits;
mod listen;
mod pages;
mod query;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::Board;
use crate::domain::{HourSource, Keeper};
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
    shutdown: CancellationToken,
    streams: TaskTracker,
    slots: Arc<Semaphore>,
    past: history::Desk,
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

    /// Joins the parts.
    pub fn with_limits(shared: Shared, limits: Limits) -> Self {
        let slots = Arc::new(Semaphore::new(limits.streams_max));
        let (shutdown, streams) = (CancellationToken::new(), TaskTracker::new());
        Self(Arc::new(Inner { shared, limits, shutdown, streams, slots, past: history::Desk::default() }))
    }

    /// Returns the limits of what comes in.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Returns where questions of the past are answered.
    fn past(&self) -> &history::Desk {
        &self.0.past
    }

    /// Returns what ends every stream when cancelled.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.0.shutdown
    }

    /// Returns the tasks of the streams: after [`AppState::shutdown`], close and await it, with a deadline.
    pub fn streams(&self) -> &TaskTracker {
        &self.0.streams
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
        .route("/api/v1/markets", get(api::markets))
        .route("/api/v1/history/{market}", get(history::history))
        .route("/api/v1/venues", get(api::venues))
        .route("/api/v1/stream", get(stream::upgrade))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready));
    Router::new()
        .merge(layers::api(api))
        .merge(assets::routes())
        .merge(pages::routes())
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::wrong_method)
        .layer(layers::compression())
        .with_state(state)
}
