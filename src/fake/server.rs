//! Starting and ending the fake: listeners, the walk's heartbeat, the handle.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fault::{Faults, Order, Plane};
use super::limits::Limits;
use super::log::{Entry, Log};
use super::manners::LIFETIME;
use super::recorded::Recorded;
use super::script::{self, Timed};
use super::series::Series;
use super::shared::{Shared, lock};
use super::tls::{self, Certificate, Identity};
use super::units;
use super::wire::Wire;
use super::world::{Line, Truth, World};
use super::{connection, control};
use crate::clock::Clock;
use crate::failpoint;

/// Most connections and other tasks at once; one more is not accepted.
const TASKS_MAX: usize = 10_000;

/// How often the walk is looked after.
const HEARTBEAT: Duration = Duration::from_millis(50);

/// The longest a client may take over its TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// The longest that tasks may take to end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// How a fake is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the exchanges listen.
    pub listen: SocketAddr,
    /// Where the control server listens.
    pub control: SocketAddr,
    /// The walk's seed.
    pub seed: u64,
    /// The time.
    pub clock: Clock,
    /// A directory of recordings to serve instead of the walk.
    pub from: Option<PathBuf>,
    /// A file of minute candles to trade instead of the walk, and which minute of it is the present one.
    pub series: Option<(PathBuf, usize)>,
    /// A file of timed faults.
    pub script: Option<PathBuf>,
    /// Serve https and wss with a certificate of this kind.
    pub tls: Option<Certificate>,
    /// Whether requests, connections and frames are counted and refused as the venues do.
    pub limits: bool,
    /// How long a venue that ends streams at an age leaves them open.
    pub lifetime: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: anywhere,
            control: anywhere,
            seed: 1,
            clock: Clock::system(),
            from: None,
            series: None,
            script: None,
            tls: None,
            limits: true,
            lifetime: LIFETIME,
        }
    }
}

/// A fake that runs; dropping it ends it, [`Fake::shutdown`] also waits.
#[derive(Debug)]
pub struct Fake {
    shared: Arc<Shared>,
    addr: SocketAddr,
    control_addr: SocketAddr,
    identity: Option<Identity>,
}

/// Starts the fake exchanges; they are ready when this returns.
///
/// # Errors
/// If a listener can't be bound, or the recordings, the script or the
/// certificates can't be had.
pub async fn start(options: Options) -> anyhow::Result<Fake> {
    let recorded = options.from.as_deref().map(Recorded::read).transpose()?;
    let series = options.series.map(|(path, past)| anyhow::Ok((Series::read(&path)?, past))).transpose()?;
    let script = options.script.as_deref().map(script::read).transpose()?;
    let identity = options.tls.map(tls::identity).transpose()?;
    let listener = bind(options.listen).await?;
    let control = bind(options.control).await?;
    let (addr, control_addr) = (listener.local_addr()?, control.local_addr()?);
    let shared = Arc::new(Shared {
        world: Mutex::new(match &series {
            Some((series, past)) => World::of_series(series, *past, options.clock.now()),
            None => World::new(options.seed, options.clock.now()),
        }),
        clock: options.clock,
        advanced: watch::Sender::new(()),
        faults: Mutex::new(Faults::default()),
        log: Mutex::new(Log::default()),
        limits: options.limits.then(|| Mutex::new(Limits::default())),
        lifetime: options.lifetime,
        recorded,
        stop: CancellationToken::new(),
        failed: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    let acceptor = identity.as_ref().map(|identity| TlsAcceptor::from(Arc::clone(&identity.config)));
    shared.tasks.spawn(supervise(Arc::clone(&shared), accept(Arc::clone(&shared), listener, acceptor)));
    shared.tasks.spawn(supervise(Arc::clone(&shared), control::accept(Arc::clone(&shared), control)));
    shared.tasks.spawn(supervise(Arc::clone(&shared), heartbeat(Arc::clone(&shared))));
    if let Some(script) = script {
        shared.tasks.spawn(perform(Arc::clone(&shared), script));
    }
    Ok(Fake { shared, addr, control_addr, identity })
}

impl Fake {
    /// Returns where the exchanges listen.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns where the control server listens.
    pub fn control_addr(&self) -> SocketAddr {
        self.control_addr
    }

    /// Waits until a part of the fake has failed, so that it can't be relied on any more.
    pub async fn failed(&self) {
        self.shared.failed.cancelled().await;
    }

    /// Returns the base of a venue's REST API: what [`Profile::rest`](crate::venue::Profile::rest) is for the real one.
    pub fn rest_url(&self, venue: &str) -> String {
        let scheme = if self.identity.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/{venue}", self.addr)
    }

    /// Returns a venue's stream URL: what [`Profile::stream`](crate::venue::Profile::stream) is for the real one.
    pub fn stream_url(&self, venue: &str) -> String {
        let scheme = if self.identity.is_some() { "wss" } else { "ws" };
        let path = if venue == "binance" { "ws" } else { "websocket/v1" };
        format!("{scheme}://{}/{venue}/{path}", self.addr)
    }

    /// Returns the authority to trust, as PEM, if it serves TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.identity.as_ref().map(|identity| identity.ca_pem.as_str())
    }

    /// Trades a market at exactly this price now; `hold` keeps it there.
    ///
    /// # Errors
    /// As [`World::set_price`].
    pub fn set_price(&self, venue: &str, market: &str, price: Decimal, hold: bool) -> Result<(), String> {
        self.shared.set_price(venue, market, price, hold)
    }

    /// Breaks something; the order is JSON as for `POST /fault`.
    ///
    /// # Errors
    /// As [`Order::parse`] and [`Faults::add`].
    pub fn fault(&self, order: &str) -> Result<(), String> {
        self.shared.order(Order::parse(order)?)
    }

    /// Returns what is exactly so in a market now.
    pub fn truth(&self, venue: &str, market: &str) -> Option<Truth> {
        self.shared.look(&self.shared.site(Plane::Rest, venue, ""), |view| view.world.truth(venue, market))
    }

    /// Returns when the last trade of a market before an instant was, and at which price.
    pub fn trade_before(&self, venue: &str, market: &str, at: Timestamp) -> Option<(Timestamp, Decimal)> {
        self.line(venue, market, |line| {
            let trade = line.tape.before(at.as_millisecond())?;
            Some((Timestamp::from_millisecond(trade.at).ok()?, units::decimal(trade.price)))
        })
    }

    /// Returns the prices of the trades of a market in one millisecond.
    pub fn prices_at(&self, venue: &str, market: &str, at: Timestamp) -> Vec<Decimal> {
        let trades = |line: &Line| {
            let trades = line.tape.trades().filter(|trade| trade.at == at.as_millisecond());
            Some(trades.map(|trade| units::decimal(trade.price)).collect())
        };
        self.line(venue, market, trades).unwrap_or_default()
    }

    fn line<T>(&self, venue: &str, market: &str, look: impl FnOnce(&Line) -> Option<T>) -> Option<T> {
        let site = self.shared.site(Plane::Rest, venue, "");
        self.shared.look(&site, |view| view.world.line(venue, market).and_then(look))
    }

    /// Returns what clients have done so far, oldest first.
    pub fn log(&self) -> Vec<Entry> {
        lock(&self.shared.log).entries.iter().cloned().collect()
    }

    /// Ends all connections and tasks and waits for them.
    pub async fn shutdown(self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(SHUTDOWN_MAX, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.shared.tasks.len(), "fake: tasks have not ended in time");
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    /// See [`Fake::set_price`].
    ///
    /// # Errors
    /// As [`World::set_price`].
    pub fn set_price(&self, venue: &str, market: &str, price: Decimal, hold: bool) -> Result<(), String> {
        // A market that was halted a moment ago does not trade, though nobody has looked at it since.
        let warp = lock(&self.faults).warp(&self.site(Plane::Rest, venue, ""));
        let mut world = lock(&self.world);
        world.bend(venue, &warp);
        world.advance(self.clock.now());
        world.set_price(venue, market, price, hold)?;
        drop(world);
        self.advanced.send_replace(());
        Ok(())
    }

    /// Puts a fault in force.
    ///
    /// # Errors
    /// As [`Faults::add`].
    pub fn order(&self, order: Order) -> Result<(), String> {
        let wall = self.clock.now().as_millisecond();
        lock(&self.faults).add(order, self.monotonic(), wall)
    }
}

/// Runs a task that ends with the fake, and tells if it ends before.
async fn supervise(shared: Arc<Shared>, task: impl Future<Output = ()>) {
    let _ = AssertUnwindSafe(failpoint::part("fake", task)).catch_unwind().await;
    if !shared.stop.is_cancelled() {
        tracing::error!("a task of the fake exchanges has ended");
        shared.failed.cancel();
    }
}

async fn bind(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| format!("listening on {addr}"))
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, acceptor: Option<TlsAcceptor>) {
    let (mut id, mut failing) = (0, false);
    loop {
        let tcp = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    failing = false;
                    tcp
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "fake: connections can't be accepted; trying again until they can");
                    }
                    tokio::time::sleep(HEARTBEAT).await;
                    continue;
                }
            },
        };
        id += 1;
        shared.note(id, "", "connect", "", None);
        if shared.tasks.len() < TASKS_MAX {
            shared.tasks.spawn(greet(Arc::clone(&shared), tcp, acceptor.clone(), id));
        }
    }
}

/// Takes a connection through TLS, each in its own task, so that a slow one holds up nobody.
async fn greet(shared: Arc<Shared>, tcp: TcpStream, acceptor: Option<TlsAcceptor>, id: u64) {
    let _ = tcp.set_nodelay(true);
    if lock(&shared.faults).take("stall-accept", &shared.site(Plane::Rest, "", "")).is_some() {
        tokio::select! {
            () = shared.stop.cancelled() => {}
            () = tokio::time::sleep(connection::STALL_MAX) => {}
        }
        return;
    }
    let wire = match acceptor {
        None => Wire::Plain(tcp),
        Some(acceptor) => {
            let greeted = tokio::select! {
                () = shared.stop.cancelled() => return,
                greeted = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(tcp)) => greeted,
            };
            match greeted {
                Ok(Ok(tls)) => Wire::Tls(Box::new(tls)),
                Ok(Err(error)) => return shared.note(id, "", "tls-failed", &error.to_string(), None),
                Err(_) => return shared.note(id, "", "tls-failed", "handshake took too long", None),
            }
        }
    };
    connection::serve(shared, wire, id).await;
}

/// Keeps the walk walking, and tells the streams.
async fn heartbeat(shared: Arc<Shared>) {
    let mut beat = tokio::time::interval(HEARTBEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = beat.tick() => {}
        }
        lock(&shared.world).advance(shared.clock.now());
        shared.advanced.send_replace(());
    }
}

/// Carries out a script: each order at its time after the start.
async fn perform(shared: Arc<Shared>, script: Vec<Timed>) {
    let start = shared.monotonic();
    for timed in script {
        let wait = (start + timed.at).saturating_sub(shared.monotonic());
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        if let Err(error) = shared.order(timed.order) {
            tracing::warn!(%error, "fake: a fault of the script can't be carried out");
        }
    }
}
