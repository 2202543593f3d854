//! The state that all tasks of the fake exchanges share.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client_log::{ClientLog, LogEntry};
use super::clock::Clock;
use super::fault::{Faults, InjectionPoint, Transport};
use super::fault_view::FaultView;
use super::limits::RateLimits;
use super::recordings::Recordings;
use super::simulated_market::Simulation;

/// Shared state. Every lock is held for a few lines and never across an await.
#[derive(Debug)]
pub struct FakeState {
    /// Wall clock and monotonic clock.
    pub clock: Clock,
    /// All markets.
    pub simulation: Mutex<Simulation>,
    /// Notified when the simulation has advanced.
    pub advanced: watch::Sender<()>,
    /// The faults in force.
    pub faults: Mutex<Faults>,
    /// The log of what clients did.
    pub log: Mutex<ClientLog>,
    /// Rate-limit counters; `None` enforces no limits.
    pub limits: Option<Mutex<RateLimits>>,
    /// Lifetime of a stream at venues that limit it.
    pub stream_lifetime: Duration,
    /// Recorded payloads that are served instead of the walk.
    pub recordings: Option<Recordings>,
    /// Cancelled at shutdown.
    pub stop: CancellationToken,
    /// Cancelled when a task has ended unexpectedly.
    pub failed: CancellationToken,
    /// All tasks.
    pub tasks: TaskTracker,
}

impl FakeState {
    /// Returns the injection point of a request or stream, as of now.
    pub fn injection_point<'a>(&self, transport: Transport, venue: &'a str, path: &'a str) -> InjectionPoint<'a> {
        InjectionPoint { transport, venue, path, now: self.monotonic() }
    }

    /// Returns the monotonic time.
    pub fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Advances the simulation to now, and calls `read` with a view of it that has the faults of `point` applied.
    pub fn with_view<T>(&self, point: &InjectionPoint<'_>, read: impl FnOnce(&FaultView<'_>) -> T) -> T {
        let effects = lock(&self.faults).effects(point);
        let mut simulation = lock(&self.simulation);
        if !point.venue.is_empty() {
            simulation.apply_effects(point.venue, &effects);
        }
        simulation.advance(self.clock.now());
        read(&FaultView { effects, ..FaultView::new(&simulation) })
    }

    /// Appends an entry to the client log, dated now.
    pub fn record_action(&self, connection: u64, venue: &str, kind: &'static str, text: &str, status: Option<u16>) {
        let (at, venue, text) = (self.clock.now(), venue.to_owned(), text.to_owned());
        lock(&self.log).push(LogEntry { at, connection, venue, kind, text, status });
    }
}

/// Locks a mutex and ignores poisoning: a panic elsewhere leaves plain data usable.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
