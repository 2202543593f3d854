//! A hub, and the bus on which its rows are published.

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use sisepan::bus::Local;
use sisepan::clock::Clock;
use sisepan::feed::BoardUpdate;
use sisepan::hub::Hub;
use sisepan::web::AppState;

/// A hub whose rows a test publishes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TestHub {
    hub: Hub,
    bus: Arc<Mutex<Local>>,
    clock: Clock,
}

impl TestHub {
    /// Creates a hub for which no time passes.
    pub fn new(epoch: &str) -> Self {
        Self::with_clock(epoch, Clock::manual(Timestamp::UNIX_EPOCH))
    }

    /// Creates a hub whose rows become stale when nothing is published for too long.
    pub fn with_clock(epoch: &str, clock: Clock) -> Self {
        let mut bus = Local::with_epoch(epoch.to_owned(), clock.clone());
        let hub = Hub::new(bus.edge());
        Self { hub, bus: Arc::new(Mutex::new(bus)), clock }
    }

    /// Publishes an update whose rows were evaluated now.
    pub fn publish(&self, update: BoardUpdate) {
        self.publish_late(update, Duration::ZERO);
    }

    /// Publishes an update whose rows were evaluated a while ago.
    pub fn publish_late(&self, update: BoardUpdate, ago: Duration) {
        let evaluated_at = self.clock.monotonic().saturating_sub(ago);
        self.bus.lock().unwrap().publish(update, evaluated_at);
    }

    /// Publishes the first update after a change of the boards.
    pub fn revise(&self, update: BoardUpdate) {
        self.publish(BoardUpdate { is_revision: true, ..update });
    }

    /// Returns whether all rows must be published with the next update.
    pub fn needs_all_rows(&self) -> bool {
        self.bus.lock().unwrap().needs_all_rows()
    }

    /// Returns the hub without the bus, as the server has it.
    pub fn served(&self) -> Hub {
        self.hub.clone()
    }
}

impl Deref for TestHub {
    type Target = Hub;

    fn deref(&self) -> &Hub {
        &self.hub
    }
}

/// An app and its hub, on which a test publishes.
#[derive(Debug, Clone)]
pub struct TestApp {
    pub hub: TestHub,
    app: AppState,
}

impl TestApp {
    /// `app` must have been created with the served hub.
    pub fn new(hub: &TestHub, app: AppState) -> Self {
        Self { hub: hub.clone(), app }
    }

    /// Returns the app as a server has it.
    pub fn served(&self) -> AppState {
        self.app.clone()
    }
}

impl Deref for TestApp {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.app
    }
}
