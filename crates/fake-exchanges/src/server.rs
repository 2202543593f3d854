//! Starts and stops the fake exchanges: listeners, the simulation's timer, and the handle.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client_log::{ClientLog, LogEntry};
use super::clock::Clock;
use super::fault::{FaultSpec, Faults, Transport};
use super::limits::RateLimits;
use super::listener::{bind, next_connection};
use super::recordings::Recordings;
use super::script::{self, TimedFault};
use super::series::CandleSeries;
use super::simulated_market::{HISTORY, MinuteCloses, SimulatedMarket, Simulation, Truth};
use super::socket::Socket;
use super::state::{FakeState, STALL_MAX, lock};
use super::tls::{self, Certificate, Identity};
use super::units;
use super::{connection, control, venues};

/// Maximum number of tasks, connections included; further connections are dropped.
const TASKS_MAX: usize = 10_000;

/// Interval at which the simulation advances.
const TICK: Duration = Duration::from_millis(50);

/// Timeout of a TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Default lifetime of a stream at venues that limit it.
const STREAM_LIFETIME: Duration = Duration::from_secs(86_400);

/// How long [`Fake::shutdown`] waits for tasks to end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// Options of the fake exchanges.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address of the exchanges; with port 0 the system chooses a free port.
    pub listen: SocketAddr,
    /// Address of the control server; with port 0 the system chooses a free port.
    pub control: SocketAddr,
    /// Seed of the price walk.
    pub seed: u64,
    /// Length of the walk's history before the start, at most a year; before the newest 27 hours there are minute
    /// candles but no single trades.
    pub history: Duration,
    /// The clock that the simulation, limits and faults use.
    pub clock: Clock,
    /// Directory of recorded payloads to serve instead of the walk.
    pub recordings: Option<PathBuf>,
    /// File of minute candles to trade instead of the walk, and how many of its minutes lie in the past at the start.
    pub series: Option<(PathBuf, usize)>,
    /// File of timed faults.
    pub script: Option<PathBuf>,
    /// Kind of certificate to serve https and wss with; `None` serves without TLS.
    pub tls: Option<Certificate>,
    /// Whether the venues' limits of requests, connections and frames are enforced.
    pub enforces_limits: bool,
    /// Lifetime of a stream at venues that limit it.
    pub stream_lifetime: Duration,
    /// Called whenever the simulation advances. If it returns false, the simulation ends, which counts as a failure: so
    /// that a program can test what it does then.
    pub on_tick: fn() -> bool,
}

impl Default for Options {
    fn default() -> Self {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: anywhere,
            control: anywhere,
            seed: 1,
            history: HISTORY,
            clock: Clock::system(),
            recordings: None,
            series: None,
            script: None,
            tls: None,
            enforces_limits: true,
            stream_lifetime: STREAM_LIFETIME,
            on_tick: || true,
        }
    }
}

/// Handle of running fake exchanges; dropping it stops them, [`Fake::shutdown`] also waits for their tasks.
#[derive(Debug)]
pub struct Fake {
    state: Arc<FakeState>,
    addr: SocketAddr,
    control_addr: SocketAddr,
    identity: Option<Identity>,
}

/// Starts the fake exchanges; they accept connections when this returns.
///
/// # Errors
/// If a listener can't be bound, the recordings, the series or the script can't be read, or the certificates can't
/// be made.
pub async fn start(options: Options) -> anyhow::Result<Fake> {
    let recordings = options.recordings.as_deref().map(Recordings::read).transpose()?;
    let series = options.series.map(|(path, minutes)| anyhow::Ok((CandleSeries::read(&path)?, minutes))).transpose()?;
    let script = options.script.as_deref().map(script::read).transpose()?;
    let identity = options.tls.map(tls::identity).transpose()?;
    let listener = bind(options.listen).await?;
    let control = bind(options.control).await?;
    let (addr, control_addr) = (listener.local_addr()?, control.local_addr()?);
    let state = Arc::new(FakeState {
        simulation: Mutex::new(match &series {
            Some((series, minutes)) => Simulation::from_series(series, *minutes, options.clock.now()),
            None => Simulation::with_history(options.seed, options.clock.now(), options.history),
        }),
        clock: options.clock,
        advanced: watch::Sender::new(()),
        faults: Mutex::new(Faults::default()),
        log: Mutex::new(ClientLog::default()),
        limits: options.enforces_limits.then(|| Mutex::new(RateLimits::default())),
        stream_lifetime: options.stream_lifetime,
        stream_base: format!("{}://{addr}", if identity.is_some() { "wss" } else { "ws" }),
        recordings,
        stop: CancellationToken::new(),
        failed: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    let acceptor = identity.as_ref().map(|identity| TlsAcceptor::from(Arc::clone(&identity.config)));
    state.tasks.spawn(supervise(Arc::clone(&state), accept(Arc::clone(&state), listener, acceptor)));
    state.tasks.spawn(supervise(Arc::clone(&state), control::accept(Arc::clone(&state), control)));
    state.tasks.spawn(supervise(Arc::clone(&state), run_simulation(Arc::clone(&state), options.on_tick)));
    if let Some(script) = script {
        state.tasks.spawn(run_script(Arc::clone(&state), script));
    }
    Ok(Fake { state, addr, control_addr, identity })
}

impl Fake {
    /// Returns the address of the exchanges.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the address of the control server.
    pub fn control_addr(&self) -> SocketAddr {
        self.control_addr
    }

    /// Completes when a task has ended unexpectedly; the fake exchanges can't be relied on any more.
    pub async fn failed(&self) {
        self.state.failed.cancelled().await;
    }

    /// Returns the base URL of a venue's REST API, to use in place of the exchange's.
    pub fn rest_url(&self, venue: &str) -> String {
        let scheme = if self.identity.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/{venue}", self.addr)
    }

    /// Returns a venue's stream URL, to use in place of the exchange's.
    pub fn stream_url(&self, venue: &str) -> String {
        let venue = venues::find(venue);
        venue.map_or_else(|| self.state.stream_base.clone(), |venue| self.state.stream_url(venue))
    }

    /// Returns the certificate authority to trust, as PEM, or `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.identity.as_ref().map(|identity| identity.ca_pem.as_str())
    }

    /// Trades a market at exactly this price now; with `hold` the price stays there.
    ///
    /// # Errors
    /// As [`Simulation::set_price`].
    pub fn set_price(&self, venue: &str, market: &str, price: Decimal, hold: bool) -> Result<(), String> {
        self.state.set_price(venue, market, price, hold)
    }

    /// Puts a fault in force, given as JSON as for `POST /fault`.
    ///
    /// # Errors
    /// As [`FaultSpec::parse`] and [`Faults::add`].
    pub fn inject_fault(&self, json: &str) -> Result<(), String> {
        self.state.inject_fault(FaultSpec::parse(json)?)
    }

    /// Returns the exact prices of a market as of now.
    pub fn truth(&self, venue: &str, market: &str) -> Option<Truth> {
        self.state.with_view(&self.state.injection_point(Transport::Rest, venue, ""), |view| {
            view.simulation.truth(venue, market)
        })
    }

    /// Returns the minute closes of a market's whole history, and of the minutes since.
    pub fn minute_closes(&self, venue: &str, market: &str) -> Option<MinuteCloses> {
        let point = self.state.injection_point(Transport::Rest, venue, "");
        self.state.with_view(&point, |view| {
            view.simulation.market(venue, market).and_then(|market| market.minute_closes(view.now))
        })
    }

    /// Returns time and price of a market's last trade before `at`.
    pub fn trade_before(&self, venue: &str, market: &str, at: Timestamp) -> Option<(Timestamp, Decimal)> {
        self.with_market(venue, market, |market| {
            let trade = market.trade_log.before(at.as_millisecond())?;
            Some((Timestamp::from_millisecond(trade.at).ok()?, units::to_decimal(trade.price)))
        })
    }

    /// Returns the prices of all trades that a market had in the millisecond `at`.
    pub fn prices_at(&self, venue: &str, market: &str, at: Timestamp) -> Vec<Decimal> {
        let trades = |market: &SimulatedMarket| {
            let trades = market.trade_log.trades().filter(|trade| trade.at == at.as_millisecond());
            Some(trades.map(|trade| units::to_decimal(trade.price)).collect())
        };
        self.with_market(venue, market, trades).unwrap_or_default()
    }

    fn with_market<T>(&self, venue: &str, market: &str, read: impl FnOnce(&SimulatedMarket) -> Option<T>) -> Option<T> {
        let point = self.state.injection_point(Transport::Rest, venue, "");
        self.state.with_view(&point, |view| view.simulation.market(venue, market).and_then(read))
    }

    /// Returns the log of what clients did, oldest first.
    pub fn log(&self) -> Vec<LogEntry> {
        lock(&self.state.log).entries.iter().cloned().collect()
    }

    /// Stops all tasks, connections included, and waits up to 5 s for them to end.
    pub async fn shutdown(self) {
        self.state.stop.cancel();
        self.state.tasks.close();
        if tokio::time::timeout(SHUTDOWN_MAX, self.state.tasks.wait()).await.is_err() {
            tracing::warn!(
                tasks = self.state.tasks.len(),
                "fake exchanges: tasks are still running after the shutdown timeout; they are abandoned"
            );
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.state.stop.cancel();
    }
}

impl FakeState {
    /// Implements [`Fake::set_price`].
    ///
    /// # Errors
    /// As [`Simulation::set_price`].
    pub fn set_price(&self, venue: &str, market: &str, price: Decimal, hold: bool) -> Result<(), String> {
        // Apply faults first: a market that was just halted must not trade, even if no request has come since.
        let effects = lock(&self.faults).effects(&self.injection_point(Transport::Rest, venue, ""));
        let mut simulation = lock(&self.simulation);
        simulation.apply_effects(venue, &effects);
        simulation.advance(self.clock.now());
        simulation.set_price(venue, market, price, hold)?;
        drop(simulation);
        self.advanced.send_replace(());
        Ok(())
    }

    /// Puts a fault in force.
    ///
    /// # Errors
    /// As [`Faults::add`].
    pub fn inject_fault(&self, fault: FaultSpec) -> Result<(), String> {
        let wall = self.clock.now().as_millisecond();
        lock(&self.faults).add(fault, self.monotonic(), wall)
    }
}

/// Runs a task that must not end before shutdown; marks the fake exchanges as failed if it does.
async fn supervise(state: Arc<FakeState>, task: impl Future<Output = ()>) {
    let _ = AssertUnwindSafe(task).catch_unwind().await;
    if !state.stop.is_cancelled() {
        tracing::error!("fake exchanges: a task ended unexpectedly; reported as failed");
        state.failed.cancel();
    }
}

async fn accept(state: Arc<FakeState>, listener: TcpListener, acceptor: Option<TlsAcceptor>) {
    let (mut id, mut failing) = (0, false);
    while let Some(tcp) = next_connection(&state, &listener, &mut failing).await {
        id += 1;
        state.record_action(id, "", "connect", "", None);
        if state.tasks.len() < TASKS_MAX {
            state.tasks.spawn(serve_connection(Arc::clone(&state), tcp, acceptor.clone(), id));
        }
    }
}

/// Completes the TLS handshake and serves the connection; runs in its own task, so that a slow handshake delays no
/// other client.
async fn serve_connection(state: Arc<FakeState>, tcp: TcpStream, acceptor: Option<TlsAcceptor>, id: u64) {
    let _ = tcp.set_nodelay(true);
    if lock(&state.faults).take("stall-accept", &state.injection_point(Transport::Rest, "", "")).is_some() {
        tokio::select! {
            () = state.stop.cancelled() => {}
            () = tokio::time::sleep(STALL_MAX) => {}
        }
        return;
    }
    let socket = match acceptor {
        None => Socket::Plain(tcp),
        Some(acceptor) => {
            let accepted = tokio::select! {
                () = state.stop.cancelled() => return,
                accepted = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(tcp)) => accepted,
            };
            match accepted {
                Ok(Ok(tls)) => Socket::Tls(Box::new(tls)),
                Ok(Err(error)) => return state.record_action(id, "", "tls-failed", &error.to_string(), None),
                Err(_) => return state.record_action(id, "", "tls-failed", "handshake took too long", None),
            }
        }
    };
    connection::serve(state, socket, id).await;
}

/// Advances the simulation at every [`TICK`] and wakes the streams.
async fn run_simulation(state: Arc<FakeState>, on_tick: fn() -> bool) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = state.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if !on_tick() {
            return;
        }
        lock(&state.simulation).advance(state.clock.now());
        state.advanced.send_replace(());
    }
}

/// Injects each fault of a script at its time after the start.
async fn run_script(state: Arc<FakeState>, script: Vec<TimedFault>) {
    let start = state.monotonic();
    for timed in script {
        let wait = (start + timed.at).saturating_sub(state.monotonic());
        tokio::select! {
            () = state.stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        if let Err(error) = state.inject_fault(timed.spec) {
            tracing::warn!(%error, "fake exchanges: a fault of the script was rejected; continuing with the next");
        }
    }
}
