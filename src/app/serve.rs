//! Connects the components (exchanges → board → hub → web), runs them, and shuts them down in order.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::board::{self, BoardSpec, Quotes};
use crate::clock::Clock;
use crate::config::{Board, Config, VenueConfig};
use crate::failpoint;
use crate::feed::{Event, Gap, Reason, ReasonCode, Transport, VenueHealth, VenueState};
use crate::hub::Hub;
use crate::market::{HourSource, Market, VenueId};
use crate::store::{self, Restored, Store};
use crate::store::{MemoryHistory, RescaledHistory};
use crate::telemetry::ChangeLog;
use crate::venue::{self, Venue};
use crate::{ingest, metrics, web};

/// Most events queued for the board; beyond that, ingest keeps only the newest of each market.
const EVENTS_WAITING: usize = 4096;

/// Most gaps queued for one venue's backfill; dropped ones are found again.
const GAPS_WAITING: usize = 4096;

/// Most confirmation requests queued for one venue; dropped ones are requested again.
const CHECKS_WAITING: usize = 256;

/// Most events applied before rows are published.
const BATCH: usize = 512;

/// How often ages, bases and sources are updated without an event.
const TICK: Duration = Duration::from_secs(1);

/// Gaps are looked for every this many ticks.
const GAPS_EVERY: u32 = 5;

/// Two ends of a ban that differ by less than this count as equal.
const BAN_TOLERANCE: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

/// Open-file limit to assume if it can't be read: the usual default of systems.
const OPEN_FILES_ASSUMED: u64 = 1024;

/// How long tasks and clients have to finish after a shutdown before they are abandoned.
const GRACE: Duration = Duration::from_secs(9);

/// Runs everything until `shutdown` is cancelled.
///
/// The caller binds the listener. Metrics are not served. Exchanges that can't be reached are no error: they are
/// reported on the pages, in `/api/v1/venues` and in the log.
///
/// # Errors
/// If the store can't be opened because it is in use or not ours, if a certificate file can't be used, or if a
/// component ends unexpectedly: prices that are no longer updated must not be served as live.
pub async fn run(
    config: Config,
    listener: TcpListener,
    clock: Clock,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let boards = fixed_boards(&config);
    run_with_boards(config, boards, listener, clock, shutdown).await
}

/// Like [`run`], with boards that may change at any time; those of the configuration are not used. As in a
/// configuration, there must be at least one, with unique ids, and each with up to 128 markets.
///
/// The venues are those of the boards at the start: a row of any other venue stays unknown.
///
/// # Errors
/// As for [`run`].
pub async fn run_with_boards(
    config: Config,
    boards: watch::Receiver<Arc<[Board]>>,
    listener: TcpListener,
    clock: Clock,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let opened = open_store(&config, &clock).await?;
    run_with(config, boards, opened, Listeners { site: listener, metrics: None }, clock, shutdown).await
}

/// Returns the boards of the configuration, which do not change.
pub(crate) fn fixed_boards(config: &Config) -> watch::Receiver<Arc<[Board]>> {
    watch::channel(config.boards.as_slice().into()).1
}

/// The listeners to serve on.
pub(crate) struct Listeners {
    /// For readers: pages, API and streams.
    pub site: TcpListener,
    /// For operators: Prometheus metrics.
    pub metrics: Option<(TcpListener, PrometheusHandle)>,
}

/// Opens the store and reads the records of earlier runs; without a data directory there is no store, and no records.
pub(crate) async fn open_store(config: &Config, clock: &Clock) -> anyhow::Result<(Option<Store>, Restored)> {
    let Some(directory) = config.data.clone() else { return Ok((None, Restored::default())) };
    let settings = store::StoreSettings { retention_days: config.retention_days, ..store::StoreSettings::default() };
    let venues: Vec<VenueId> = venue::ALL.iter().map(|venue| venue.profile().id).collect();
    let clock = clock.clone();
    let open = move || Store::open(&directory, settings, &venues, clock);
    let (store, restored) = tokio::task::spawn_blocking(open).await.context("opening the store")??;
    Ok((Some(store), restored))
}

/// Like [`run_with_boards`], with the store already open and the records to start with.
pub(crate) async fn run_with(
    config: Config,
    mut boards: watch::Receiver<Arc<[Board]>>,
    (store, restored): (Option<Store>, Restored),
    listeners: Listeners,
    clock: Clock,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let tls = ingest::Tls::new(config.tls_ca.as_deref())?;
    let config = Config { boards: boards.borrow_and_update().to_vec(), ..config };
    let mut quotes = Quotes::new(&board_specs(&config.boards), board_settings(&config), clock.read());
    let hub = Hub::with_keep_alive(epoch(clock.now()), clock.clone());
    restored.feeds.iter().for_each(|records| quotes.restore(records));
    hub.publish(quotes.publish(clock.read()));
    let (stored_history, store_health) = store.as_ref().map(|store| (store.history(), store.health_source())).unzip();
    let memory_history = Arc::new(MemoryHistory::default());
    if store.is_none() {
        memory_history.record(&restored.feeds);
    }
    let raw_history: Arc<dyn HourSource> = stored_history.unwrap_or_else(|| memory_history.clone());
    let history = Arc::new(RescaledHistory { raw: raw_history, redenominations: config.redenominations.clone() });

    let stop = CancellationToken::new();
    // Each task returns its name.
    let mut tasks = JoinSet::new();
    let (events, inbox) = mpsc::channel(EVENTS_WAITING);
    let mut request_senders = BTreeMap::new();
    for venue in venues_of(&config) {
        let id = venue.profile().id;
        let (wanted, markets) = watch::channel(Arc::new(markets_of(&config.boards, id)));
        let (senders, requests) = RequestSenders::new(wanted);
        request_senders.insert(id, senders);
        let mut settings = ingest_settings(venue, &config);
        settings.not_before = restored.bans.get(&(id, Transport::Rest)).copied();
        settings.stream_not_before = restored.bans.get(&(id, Transport::Stream)).copied();
        let (tls, clock, events, stop) = (tls.clone(), clock.clone(), events.clone(), stop.clone());
        let reading = ingest::run(venue, settings, markets, tls, clock, events, requests, stop);
        let reading = failpoint::run("venue", reading);
        tasks.spawn(async move {
            reading.await;
            id.as_str()
        });
    }
    drop(events);
    let bans = restored.bans.into_iter().map(|(key, end)| (key, Some(end))).collect();
    let persistence = Persistence { store, memory_history, bans };
    let inputs = BoardInputs { events: inbox, boards: boards.clone() };
    let running_board =
        run_board(quotes, inputs, request_senders, hub.clone(), persistence, clock.clone(), stop.clone());
    tasks.spawn(async move {
        failpoint::run("board", running_board).await;
        "board"
    });

    if let Some((listener, metrics_handle)) = listeners.metrics {
        let serving = failpoint::run("metrics", metrics::serve(listener, metrics_handle, stop.clone()));
        tasks.spawn(async move {
            serving.await;
            "metrics"
        });
    }

    let demo = config.demo;
    let parts = web::AppParts { hub, boards, clock, history: Some(history), store_health, demo };
    let state = web::AppState::with_site(parts, config.limits.fit_open_files(raise_open_file_limit()), config.site);
    let serving = AssertUnwindSafe(serve(listeners.site, state.clone(), shutdown.clone())).catch_unwind();
    // Before the shutdown, a task ends only if it has failed.
    let failed = tokio::select! {
        served = serving => (served.is_err() || !shutdown.is_cancelled()).then_some("listener"),
        Some(ended) = tasks.join_next() => Some(ended.unwrap_or("a task that panicked")),
        () = state.delivery_failed() => Some("delivery"),
    };
    stop.cancel();
    let ended = tokio::time::timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        warn!("some tasks did not end in time and are abandoned");
    }
    match failed {
        None => Ok(()),
        Some(component) => {
            anyhow::bail!("a component has failed ({component}); exiting, since prices would no longer be updated")
        }
    }
}

/// Raises the open-file limit as far as the system allows, and returns it.
fn raise_open_file_limit() -> u64 {
    rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        warn!(%error, "can't read or raise the open-file limit; assuming the default");
        OPEN_FILES_ASSUMED
    })
}

async fn serve(listener: TcpListener, state: web::AppState, shutdown: CancellationToken) {
    let served = async {
        failpoint::run("listener", web::listen(listener, state.clone(), shutdown.clone())).await;
        if !shutdown.is_cancelled() {
            return;
        }
        state.streams().wait().await;
        let state = state.clone();
        // The delivery threads have no clients left, so this does not block for long.
        let _ = tokio::task::spawn_blocking(move || state.join_delivery()).await;
    };
    let stopped = async {
        shutdown.cancelled().await;
        info!("shutting down");
        state.stop();
        state.streams().close();
        // Clients that keep their connections open must not delay the shutdown any further.
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = served => {}
        () = stopped => warn!("some clients did not disconnect in time and are cut off"),
    }
}

/// What the board's task reads.
struct BoardInputs {
    events: mpsc::Receiver<Event>,
    boards: watch::Receiver<Arc<[Board]>>,
}

/// Task that owns the board: applies events and changes of the boards, publishes rows, requests gaps, and saves
/// records.
async fn run_board(
    mut quotes: Quotes,
    mut inputs: BoardInputs,
    request_senders: BTreeMap<VenueId, RequestSenders>,
    hub: Hub,
    mut persistence: Persistence,
    clock: Clock,
    shutdown: CancellationToken,
) {
    let mut log = ChangeLog::default();
    let mut batch = Vec::with_capacity(BATCH);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ticks = 0u32;
    loop {
        let mut is_revision = false;
        tokio::select! {
            () = shutdown.cancelled() => break,
            // The web server has them already: it reads the same value.
            Ok(()) = inputs.boards.changed() => {
                let boards = inputs.boards.borrow_and_update().clone();
                let markets: usize = boards.iter().map(|board| board.markets.len()).sum();
                info!(boards = boards.len(), markets, "the boards have changed");
                let now = clock.read();
                quotes.set_boards(&board_specs(&boards), now);
                for venue in unread_venues(&boards, &request_senders) {
                    let reason = Reason::new(ReasonCode::Incomplete, "not read until the next start of the program");
                    let health = VenueHealth::new(venue, markets_of(&boards, venue).len(), now.wall);
                    let health = VenueHealth { state: VenueState::Down, reason: Some(reason), ..health };
                    quotes.apply(Event::Health(health), now);
                }
                // Only after the board knows the markets: it ignores events of markets that it does not know.
                for (venue, senders) in &request_senders {
                    senders.set_wanted(markets_of(&boards, *venue));
                }
                // The gaps of new rows are requested with the next tick.
                ticks = 0;
                is_revision = true;
            }
            count = inputs.events.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    break;
                }
                let now = clock.read();
                batch.iter().for_each(|event| persistence.save_ban(event));
                batch.drain(..).for_each(|event| quotes.apply(event, now));
            }
            _ = tick.tick() => {
                let now = clock.read();
                quotes.tick(now);
                quotes.take_health_to_log(now).iter().for_each(|health| log.note_prices(health));
                persistence.save(&mut quotes);
                if persistence.has_failed() {
                    tracing::error!("the writer thread of the store has ended; exiting");
                    return;
                }
                ticks = ticks.wrapping_add(1);
                if ticks % GAPS_EVERY == 1 {
                    request_gaps(&quotes, &request_senders, &clock);
                }
            }
        }
        for (venue, market) in quotes.take_unconfirmed() {
            if let Some(senders) = request_senders.get(&venue) {
                // A full queue is no loss: the market is returned again for as long as its price is held back.
                let _ = senders.checks.try_send(market);
            }
        }
        let now = clock.read();
        quotes.take_jumps().iter().for_each(|jump| log.note_jump(jump, now.wall));
        quotes.take_relistings().iter().for_each(ChangeLog::note_relisting);
        if hub.keep_alive(now.monotonic) {
            quotes.republish_all();
        }
        let publish = quotes.publish(now);
        if is_revision {
            log.note(&publish);
            hub.revise(publish);
        } else if !(publish.changed.is_empty() && publish.confirmed.is_empty() && publish.venues.is_empty()) {
            log.note(&publish);
            hub.publish(publish);
        }
    }
    persistence.save(&mut quotes);
    let _ = tokio::task::spawn_blocking(move || drop(persistence)).await;
}

/// Saves the board's records: to the store, or in memory if there is none.
struct Persistence {
    store: Option<Store>,
    /// History in memory, used if there is no store.
    memory_history: Arc<MemoryHistory>,
    /// End of each ban as last sent to the store.
    bans: BTreeMap<(VenueId, Transport), Option<Timestamp>>,
}

impl Persistence {
    fn save(&self, quotes: &mut Quotes) {
        if let Some(late) = self.store.as_ref().and_then(Store::take_late_records) {
            late.feeds.iter().for_each(|records| quotes.restore(records));
        }
        if let Some(store) = self.store.as_ref().filter(|store| store.take_recreated()) {
            quotes.mark_all_unrecorded();
            self.bans.iter().for_each(|(&(venue, transport), &end)| store.save_ban(venue, transport, end));
        }
        let records = quotes.take_unrecorded();
        match &self.store {
            Some(store) => store.save(records),
            None => self.memory_history.record(&records),
        }
    }

    fn has_failed(&self) -> bool {
        self.store.as_ref().is_some_and(Store::has_failed)
    }

    fn save_ban(&mut self, event: &Event) {
        let (Some(store), Event::Health(health)) = (&self.store, event) else { return };
        let VenueHealth { venue, not_before, stream_not_before, .. } = *health;
        for (transport, not_before) in [(Transport::Rest, not_before), (Transport::Stream, stream_not_before)] {
            let saved = self.bans.entry((venue, transport)).or_default();
            // Each health computes the end from the time that remains, so it is never exactly the same.
            let same = match (*saved, not_before) {
                (Some(saved), Some(new)) => saved.duration_since(new).abs() < BAN_TOLERANCE,
                (saved, new) => saved == new,
            };
            if !same {
                *saved = not_before;
                store.save_ban(venue, transport, not_before);
            }
        }
    }
}

/// Requests from the board to one venue: the markets to read, and queues.
struct RequestSenders {
    wanted: watch::Sender<Arc<BTreeSet<Market>>>,
    gaps: mpsc::Sender<Gap>,
    checks: mpsc::Sender<Market>,
}

impl RequestSenders {
    fn new(wanted: watch::Sender<Arc<BTreeSet<Market>>>) -> (Self, ingest::BoardRequests) {
        let (gaps, gap_requests) = mpsc::channel(GAPS_WAITING);
        let (checks, check_requests) = mpsc::channel(CHECKS_WAITING);
        (Self { wanted, gaps, checks }, ingest::BoardRequests { gaps: gap_requests, checks: check_requests })
    }

    fn set_wanted(&self, markets: BTreeSet<Market>) {
        self.wanted.send_if_modified(|wanted| {
            let is_changed = **wanted != markets;
            if is_changed {
                *wanted = Arc::new(markets);
            }
            is_changed
        });
    }
}

fn request_gaps(quotes: &Quotes, request_senders: &BTreeMap<VenueId, RequestSenders>, clock: &Clock) {
    for gap in quotes.gaps(clock.read()) {
        if let Some(senders) = request_senders.get(&gap.venue) {
            // A full queue is no loss: the gap is found again at the next check.
            let _ = senders.gaps.try_send(gap);
        }
    }
}

fn board_specs(boards: &[Board]) -> Vec<BoardSpec> {
    let spec = |board: &Board| BoardSpec {
        source: board.source.clone(),
        venues: board.venues(),
        markets: board.markets.to_vec(),
        basis: board.basis,
    };
    boards.iter().map(spec).collect()
}

/// Returns the exchanges of the boards that are not read.
fn unread_venues(boards: &[Board], request_senders: &BTreeMap<VenueId, RequestSenders>) -> BTreeSet<VenueId> {
    boards.iter().flat_map(Board::venues).filter(|venue| !request_senders.contains_key(venue)).collect()
}

/// Returns the exchanges that the boards use.
pub(crate) fn venues_of(config: &Config) -> Vec<&'static dyn Venue> {
    let used: Vec<VenueId> = config.boards.iter().flat_map(Board::venues).collect();
    venue::ALL.iter().copied().filter(|venue| used.contains(&venue.profile().id)).collect()
}

/// Returns every market that the boards need from an exchange.
pub(crate) fn markets_of(boards: &[Board], venue: VenueId) -> BTreeSet<Market> {
    let boards = boards.iter().filter(|board| board.venues().contains(&venue));
    boards.flat_map(|board| board.markets.iter().cloned()).collect()
}

/// Returns the board's settings: the configured values over the defaults.
pub(crate) fn board_settings(config: &Config) -> board::BoardSettings {
    let stale_after = venue::ALL.iter().map(|venue| {
        let profile = venue.profile();
        let set = config.venues.get(&profile.id).and_then(|overrides| overrides.stale_after);
        (profile.id, set.unwrap_or(profile.stale_after))
    });
    board::BoardSettings {
        percent_places: config.percent_places,
        jump_max_percent: config.jump_max_percent,
        stale_after: stale_after.collect(),
        venues_without_trade_times: venue::ALL
            .iter()
            .map(|venue| venue.profile())
            .filter(|p| !p.has_trade_times)
            .map(|p| p.id)
            .collect(),
        redenominations: config.redenominations.clone(),
        ..board::BoardSettings::default()
    }
}

/// Returns an exchange's settings: the configured values over its profile.
pub(crate) fn ingest_settings(venue: &dyn Venue, config: &Config) -> ingest::Settings {
    let defaults = ingest::Settings::defaults(venue.profile());
    let no_overrides = VenueConfig::default();
    let overrides = config.venues.get(&venue.profile().id).unwrap_or(&no_overrides);
    let rest = overrides.rest.clone().unwrap_or(defaults.rest);
    let stream = overrides.stream.clone().unwrap_or(defaults.stream);
    let proxy = |target: &str| config.proxies.proxy_for(target).cloned().map(ingest::Proxy::new);
    ingest::Settings {
        rest_proxy: proxy(&rest),
        stream_proxy: proxy(&stream),
        rest,
        stream,
        stream_enabled: overrides.streaming.unwrap_or(defaults.stream_enabled),
        stale_after: overrides.stale_after.unwrap_or(defaults.stale_after),
        silence_max: overrides.silence_max.unwrap_or(defaults.silence_max),
        confirm_after: overrides.confirm_after.unwrap_or(defaults.confirm_after),
        poll_every: overrides.poll_every.unwrap_or(defaults.poll_every),
        ..defaults
    }
}

/// Returns a new epoch for the sequence numbers, unique to this start.
fn epoch(now: Timestamp) -> String {
    format!("{:x}-{:08x}", now.as_millisecond(), rand::random::<u32>())
}
