//! What all connections of one fake share.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fault::{Faults, Plane, Site};
use super::limits::Limits;
use super::log::{Entry, Log};
use super::recorded::Recorded;
use super::view::View;
use super::world::World;
use crate::clock::Clock;

/// See the module. Every lock is held for a few lines and never across an await.
#[derive(Debug)]
pub struct Shared {
    /// The time.
    pub clock: Clock,
    /// The markets.
    pub world: Mutex<World>,
    /// Says that the world has advanced.
    pub advanced: watch::Sender<()>,
    /// What is broken.
    pub faults: Mutex<Faults>,
    /// What clients did.
    pub log: Mutex<Log>,
    /// Request counters; `None` counts nothing.
    pub limits: Option<Mutex<Limits>>,
    /// The longest that a venue leaves a stream open, where it has such a rule.
    pub lifetime: Duration,
    /// Payloads served instead of the walk.
    pub recorded: Option<Recorded>,
    /// Cancelled when the fake ends.
    pub stop: CancellationToken,
    /// Cancelled when a task of the fake has ended that never should.
    pub failed: CancellationToken,
    /// Every task of the fake.
    pub tasks: TaskTracker,
}

impl Shared {
    /// Returns where and when a fault may strike now.
    pub fn site<'a>(&self, plane: Plane, venue: &'a str, path: &'a str) -> Site<'a> {
        Site { plane, venue, path, now: self.monotonic() }
    }

    /// Returns the monotonic time.
    pub fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Looks at the world as it is now, bent by the faults of a place.
    pub fn look<T>(&self, site: &Site<'_>, look: impl FnOnce(&View<'_>) -> T) -> T {
        let warp = lock(&self.faults).warp(site);
        let mut world = lock(&self.world);
        if !site.venue.is_empty() {
            world.bend(site.venue, &warp);
        }
        world.advance(self.clock.now());
        look(&View { warp, ..View::new(&world) })
    }

    /// Writes down what a client did.
    pub fn note(&self, connection: u64, venue: &str, kind: &'static str, text: &str, status: Option<u16>) {
        let (at, venue, text) = (self.clock.now(), venue.to_owned(), text.to_owned());
        lock(&self.log).push(Entry { at, connection, venue, kind, text, status });
    }
}

/// Locks; a panic elsewhere does not matter to plain data.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
