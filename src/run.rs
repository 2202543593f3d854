//! Joins the parts: exchanges → board → hub → web, and takes them down in order.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::board::{self, Quotes, Wanted};
use crate::clock::Clock;
use crate::config::{Board, Config, VenueConfig};
use crate::domain::{Event, Gap, HourSource, Link, Market, VenueHealth, VenueId};
use crate::failpoint;
use crate::hub::Hub;
use crate::past::{MemoryHistory, OneUnit};
use crate::store::{self, Restored, Store};
use crate::telemetry::ChangeLog;
use crate::venue::{self, Venue};
use crate::{ingest, metrics, web};

/// Events that may wait for the board; beyond that ingest keeps only the newest of each market.
const EVENTS_WAITING: usize = 4096;

/// Gaps that may wait for one venue's backfill; those left out are found again.
const GAPS_WAITING: usize = 4096;

/// Prices that may wait to be confirmed by one venue; those left out are asked for again.
const CHECKS_WAITING: usize = 256;

/// Events taken in before the rows are looked at.
const BATCH: usize = 512;

/// How often ages, bases and sources are looked at without any event.
const TICK: Duration = Duration::from_secs(1);

/// How often gaps are sought.
const GAPS_EVERY: u32 = 5;

/// Two ends of a ban that are so near are the same.
const SAME_BAN: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

/// Open files that we reckon with where we can't find out: what systems allow by default.
const OPEN_FILES_ASSUMED: u64 = 1024;

/// How long the parts have to end by themselves.
const GRACE: Duration = Duration::from_secs(9);

/// Runs everything until `shutdown` is cancelled.
///
/// The caller binds and the caller stops; metrics are served by the program alone. Exchanges that can't be reached do
/// not end it: they are told on the page, in `/api/v1/venues` and in the log.
///
/// # Errors
/// If a certificate file can't be used, or if a part has ended that never should:
/// prices that nobody keeps must not go on being served as live.
pub async fn run(
    config: Config,
    listener: TcpListener,
    clock: Clock,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let kept = open_store(&config, &clock).await?;
    run_with(config, kept, Listeners { site: listener, metrics: None }, clock, shutdown).await
}

/// Where we are reached.
pub(crate) struct Listeners {
    /// By readers.
    pub site: TcpListener,
    /// By operators, who are told what was counted.
    pub metrics: Option<(TcpListener, PrometheusHandle)>,
}

/// Opens the store and reads what another life of the process left there; nothing, if all is kept in memory.
pub(crate) async fn open_store(config: &Config, clock: &Clock) -> anyhow::Result<Option<(Store, Restored)>> {
    let Some(directory) = config.data.clone() else { return Ok(None) };
    let settings = store::Settings { retention_days: config.retention_days, ..store::Settings::default() };
    let venues: Vec<VenueId> = venue::ALL.iter().map(|venue| venue.profile().id).collect();
    let clock = clock.clone();
    let open = move || Store::open(&directory, settings, &venues, clock);
    Ok(Some(tokio::task::spawn_blocking(open).await.context("opening the store")??))
}

/// [`run`], with the store already open.
pub(crate) async fn run_with(
    config: Config,
    kept: Option<(Store, Restored)>,
    listeners: Listeners,
    clock: Clock,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let tls = ingest::Tls::new(config.tls_ca.as_deref())?;
    let wanted: Vec<Wanted> = config.boards.iter().map(wanted_by).collect();
    let mut quotes = Quotes::new(&wanted, board_settings(&config), clock.read());
    let hub = Hub::watched(epoch(clock.now()), clock.clone());
    let (store, restored) = kept.unzip();
    let restored = restored.unwrap_or_default();
    restored.feeds.iter().for_each(|records| quotes.restore(records));
    hub.publish(quotes.publish(clock.read()));
    let (kept, keeper) = store.as_ref().map(|store| (store.past(), store.keeper())).unzip();
    let recent = Arc::new(MemoryHistory::default());
    let said: Arc<dyn HourSource> = kept.unwrap_or_else(|| recent.clone());
    let history = Arc::new(OneUnit { said, redenominations: config.redenominations.clone() });

    let parts = CancellationToken::new();
    // Each returns its name.
    let mut tasks = JoinSet::new();
    let (events, inbox) = mpsc::channel(EVENTS_WAITING);
    let mut askable = BTreeMap::new();
    for venue in venues_of(&config) {
        let id = venue.profile().id;
        let (asking, requests) = Asking::new();
        askable.insert(id, asking);
        let mut settings = ingest_settings(venue, &config);
        settings.not_before = restored.bans.get(&(id, Link::Rest)).copied();
        settings.stream_not_before = restored.bans.get(&(id, Link::Stream)).copied();
        let markets = markets_of(&config, id);
        let (tls, clock, events, parts) = (tls.clone(), clock.clone(), events.clone(), parts.clone());
        let reading = ingest::run(venue, settings, markets, tls, clock, events, requests, parts);
        let reading = failpoint::part("venue", reading);
        tasks.spawn(async move {
            reading.await;
            id.as_str()
        });
    }
    drop(events);
    let bans = restored.bans.into_iter().map(|(whose, end)| (whose, Some(end))).collect();
    let memory = Memory { store, recent, bans };
    let keeping = keep_board(quotes, inbox, askable, hub.clone(), memory, clock.clone(), parts.clone());
    tasks.spawn(async move {
        failpoint::part("board", keeping).await;
        "board"
    });

    if let Some((listener, counted)) = listeners.metrics {
        let serving = failpoint::part("metrics", metrics::serve(listener, counted, parts.clone()));
        tasks.spawn(async move {
            serving.await;
            "metrics"
        });
    }

    let (boards, demo) = (config.boards, config.demo);
    let shared = web::Shared { hub, boards, clock, history: Some(history), keeper, demo };
    let state = web::AppState::with(shared, config.limits.fit(open_files()), config.site);
    let serving = AssertUnwindSafe(serve(listeners.site, state.clone(), shutdown.clone())).catch_unwind();
    // Before the shutdown none of them ends unless it fails.
    let failed = tokio::select! {
        served = serving => (served.is_err() || !shutdown.is_cancelled()).then_some("listener"),
        Some(ended) = tasks.join_next() => Some(ended.unwrap_or("a task that panicked")),
        () = state.delivery_failed() => Some("delivery"),
    };
    parts.cancel();
    let ended = tokio::time::timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        warn!("some parts did not end in time and are abandoned");
    }
    match failed {
        None => Ok(()),
        Some(part) => anyhow::bail!("a part of the program has failed ({part}): prices would not be kept up to date"),
    }
}

/// Allows as many open files as the system lets us, and returns how many that is.
fn open_files() -> u64 {
    rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        warn!(%error, "the limit of open files can't be read or raised");
        OPEN_FILES_ASSUMED
    })
}

async fn serve(listener: TcpListener, state: web::AppState, shutdown: CancellationToken) {
    let served = async {
        failpoint::part("listener", web::listen(listener, state.clone(), shutdown.clone())).await;
        if !shutdown.is_cancelled() {
            return;
        }
        state.streams().wait().await;
        let state = state.clone();
        // They have let go of every client, so this takes no time.
        let _ = tokio::task::spawn_blocking(move || state.join_delivery()).await;
    };
    let stopped = async {
        shutdown.cancelled().await;
        info!("shutting down");
        state.stop();
        state.streams().close();
        // A client that keeps its connection open must not keep us.
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = served => {}
        () = stopped => warn!("some clients did not let go in time and are cut off"),
    }
}

/// Owns the state of the market: events in, rows out, gaps to fill.
async fn keep_board(
    mut quotes: Quotes,
    mut inbox: mpsc::Receiver<Event>,
    askable: BTreeMap<VenueId, Asking>,
    hub: Hub,
    mut memory: Memory,
    clock: Clock,
    shutdown: CancellationToken,
) {
    let mut log = ChangeLog::default();
    let mut batch = Vec::with_capacity(BATCH);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ticks = 0u32;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            count = inbox.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    break;
                }
                let now = clock.read();
                batch.iter().for_each(|event| memory.keep_ban(event));
                batch.drain(..).for_each(|event| quotes.apply(event, now));
            }
            _ = tick.tick() => {
                let now = clock.read();
                quotes.tick(now);
                quotes.news(now).iter().for_each(|health| log.note_prices(health));
                memory.keep(&mut quotes);
                if memory.has_failed() {
                    tracing::error!("the thread that writes the store has ended");
                    return;
                }
                ticks = ticks.wrapping_add(1);
                if ticks % GAPS_EVERY == 1 {
                    ask_for_gaps(&quotes, &askable, &clock);
                }
            }
        }
        for (venue, market) in quotes.take_unchecked() {
            if let Some(asking) = askable.get(&venue) {
                // A full queue is no loss: the market is named again as long as its price waits.
                let _ = asking.checks.try_send(market);
            }
        }
        let now = clock.read();
        quotes.take_jumps().iter().for_each(|jump| log.note_jump(jump, now.wall));
        quotes.take_relisted().iter().for_each(ChangeLog::note_relisting);
        if hub.watch(now.monotonic) {
            quotes.publish_all();
        }
        let publish = quotes.publish(now);
        if !(publish.changed.is_empty() && publish.confirmed.is_empty() && publish.venues.is_empty()) {
            log.note(&publish);
            hub.publish(publish);
        }
    }
    memory.keep(&mut quotes);
    let _ = tokio::task::spawn_blocking(move || drop(memory)).await;
}

/// What the board hands over to outlive it.
struct Memory {
    store: Option<Store>,
    /// The past for those who ask, where there is no store to read it from.
    recent: Arc<MemoryHistory>,
    /// What the store was last told of each venue.
    bans: BTreeMap<(VenueId, Link), Option<Timestamp>>,
}

impl Memory {
    fn keep(&self, quotes: &mut Quotes) {
        if let Some(found) = self.store.as_ref().and_then(Store::take_found) {
            found.feeds.iter().for_each(|records| quotes.restore(records));
        }
        if let Some(store) = self.store.as_ref().filter(|store| store.has_begun_anew()) {
            quotes.record_all();
            self.bans.iter().for_each(|(&(venue, link), &end)| store.keep_ban(venue, link, end));
        }
        let records = quotes.take_unrecorded();
        match &self.store {
            Some(store) => store.keep(records),
            None => self.recent.take(&records),
        }
    }

    fn has_failed(&self) -> bool {
        self.store.as_ref().is_some_and(Store::has_failed)
    }

    fn keep_ban(&mut self, event: &Event) {
        let (Some(store), Event::Health(health)) = (&self.store, event) else { return };
        let VenueHealth { venue, not_before, stream_not_before, .. } = *health;
        for (link, not_before) in [(Link::Rest, not_before), (Link::Stream, stream_not_before)] {
            let said = self.bans.entry((venue, link)).or_default();
            // Worked out anew each time from what is left, it is never quite the same.
            let same = match (*said, not_before) {
                (Some(said), Some(new)) => said.duration_since(new).abs() < SAME_BAN,
                (said, new) => said == new,
            };
            if !same {
                *said = not_before;
                store.keep_ban(venue, link, not_before);
            }
        }
    }
}

/// What the board asks one venue for.
struct Asking {
    gaps: mpsc::Sender<Gap>,
    checks: mpsc::Sender<Market>,
}

impl Asking {
    fn new() -> (Self, ingest::Requests) {
        let (gaps, wanted_gaps) = mpsc::channel(GAPS_WAITING);
        let (checks, wanted_checks) = mpsc::channel(CHECKS_WAITING);
        (Self { gaps, checks }, ingest::Requests { gaps: wanted_gaps, checks: wanted_checks })
    }
}

fn ask_for_gaps(quotes: &Quotes, askable: &BTreeMap<VenueId, Asking>, clock: &Clock) {
    for gap in quotes.gaps(clock.read()) {
        if let Some(asking) = askable.get(&gap.venue) {
            // A full queue is no loss: the gap is still there at the next look.
            let _ = asking.gaps.try_send(gap);
        }
    }
}

fn wanted_by(board: &Board) -> Wanted {
    Wanted { source: board.source.clone(), venues: board.venues(), markets: board.markets.to_vec(), basis: board.basis }
}

/// Returns the exchanges that the boards use.
pub(crate) fn venues_of(config: &Config) -> Vec<&'static dyn Venue> {
    let used: Vec<VenueId> = config.boards.iter().flat_map(Board::venues).collect();
    venue::ALL.iter().copied().filter(|venue| used.contains(&venue.profile().id)).collect()
}

/// Returns every market that the boards want from an exchange.
pub(crate) fn markets_of(config: &Config, venue: VenueId) -> Vec<Market> {
    let boards = config.boards.iter().filter(|board| board.venues().contains(&venue));
    let markets: BTreeSet<Market> = boards.flat_map(|board| board.markets.iter().cloned()).collect();
    markets.into_iter().collect()
}

/// Lays the settings of the operator over those of the board.
pub(crate) fn board_settings(config: &Config) -> board::Settings {
    let stale_after = venue::ALL.iter().map(|venue| {
        let profile = venue.profile();
        let set = config.venues.get(&profile.id).and_then(|own| own.stale_after);
        (profile.id, set.unwrap_or(profile.stale_after))
    });
    board::Settings {
        percent_places: config.percent_places,
        jump_max_percent: config.jump_max_percent,
        stale_after: stale_after.collect(),
        undated: venue::ALL.iter().map(|venue| venue.profile()).filter(|p| !p.dates_trades).map(|p| p.id).collect(),
        redenominations: config.redenominations.clone(),
        ..board::Settings::default()
    }
}

/// Lays an operator's settings over an exchange's own facts.
pub(crate) fn ingest_settings(venue: &dyn Venue, config: &Config) -> ingest::Settings {
    let defaults = ingest::Settings::defaults(venue.profile());
    let usual = VenueConfig::default();
    let own = config.venues.get(&venue.profile().id).unwrap_or(&usual);
    let rest = own.rest.clone().unwrap_or(defaults.rest);
    let stream = own.stream.clone().unwrap_or(defaults.stream);
    let proxy = |target: &str| config.proxies.leading_to(target).cloned().map(ingest::Proxy::new);
    ingest::Settings {
        rest_proxy: proxy(&rest),
        stream_proxy: proxy(&stream),
        rest,
        stream,
        stream_enabled: own.streaming.unwrap_or(defaults.stream_enabled),
        stale_after: own.stale_after.unwrap_or(defaults.stale_after),
        silence_max: own.silence_max.unwrap_or(defaults.silence_max),
        confirm_after: own.confirm_after.unwrap_or(defaults.confirm_after),
        poll_every: own.poll_every.unwrap_or(defaults.poll_every),
        ..defaults
    }
}

/// Names this life of the sequence numbers: no two starts share one.
fn epoch(now: Timestamp) -> String {
    format!("{:x}-{:08x}", now.as_millisecond(), rand::random::<u32>())
}
