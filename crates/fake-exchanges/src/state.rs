//! The state that all tasks of the fake exchanges share.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client_log::{ClientLog, LogEntry};
use super::clock::Clock;
use super::fake_venue::FakeVenue;
use super::fault::{Faults, InjectionPoint, Transport};
use super::fault_view::FaultView;
use super::limits::{CountedRequest, RateLimits};
use super::recordings::Recordings;
use super::response::FakeResponse;
use super::simulated_market::Simulation;

/// How long the stall faults keep a client waiting before the connection is closed.
pub const STALL_MAX: Duration = Duration::from_secs(600);

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
    /// Base of the URLs of streams: scheme and address.
    pub stream_base: String,
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

    /// Returns the response of a `status` or `html` fault, or `None` if none applies.
    pub fn fault_response(&self, transport: Transport, venue: &str, path: &str) -> Option<FakeResponse> {
        let point = self.injection_point(transport, venue, path);
        let mut faults = lock(&self.faults);
        if let Some(fault) = faults.take("status", &point) {
            let mut response = FakeResponse::json(fault.status.unwrap_or(503), fault.body.unwrap_or_default());
            response.headers.extend(fault.retry_after.map(|value| ("retry-after".to_owned(), value)));
            return Some(response);
        }
        let fault = faults.take("html", &point)?;
        let page = "<!DOCTYPE html><html><head><title>점검 중</title></head><body><h1>Maintenance</h1></body></html>";
        let headers = vec![("content-type".to_owned(), "text/html; charset=utf-8".to_owned())];
        let body = fault.body.unwrap_or_else(|| page.to_owned()).into_bytes();
        Some(FakeResponse { status: fault.status.unwrap_or(503), headers, body })
    }

    /// Counts a request of a client at a venue; returns the headers that report the usage of limits.
    ///
    /// # Errors
    /// The venue's response, if the request is beyond a limit, which is logged.
    pub fn count_request(
        &self,
        connection: u64,
        venue: &dyn FakeVenue,
        client: IpAddr,
        request: &CountedRequest<'_>,
    ) -> Result<Vec<(String, String)>, FakeResponse> {
        let Some(limits) = &self.limits else { return Ok(Vec::new()) };
        let counted = lock(limits).count(venue.listing().venue, client, &venue.charges(request), self.monotonic());
        let headers = counted.map(|usages| venue.limit_headers(&usages)).map_err(|refusal| {
            let response = venue.refuse(&refusal);
            self.record_action(connection, venue.listing().venue, "refused", "", None);
            // A connection is never refused with 200, even where errors of requests are.
            if request.target.is_none() { FakeResponse { status: refusal.status, ..response } } else { response }
        })?;
        Ok(headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Returns the URL of a venue's stream.
    pub fn stream_url(&self, venue: &dyn FakeVenue) -> String {
        format!("{}/{}{}", self.stream_base, venue.listing().venue, venue.stream_path())
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
