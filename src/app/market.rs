//! The market: reads the exchanges, keeps the board and its records, and publishes rows on the bus.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::settings::{board_settings, board_specs, ingest_settings, markets_of, venues_of};
use crate::board::Quotes;
use crate::bus::{Archive, Local};
use crate::clock::Clock;
use crate::config::{Board, Config};
use crate::failpoint;
use crate::feed::{Event, Gap, Reason, ReasonCode, Transport, VenueHealth, VenueState};
use crate::ingest;
use crate::market::{HourSource, Market, VenueId};
use crate::store::{MemoryHistory, RescaledHistory, Restored, Store};
use crate::telemetry::ChangeLog;

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

/// Starts to read the exchanges of the boards and to publish rows. Returns what edges read beside them, once the
/// restored rows are published. Each of `tasks` returns the name of the part that has ended.
///
/// # Errors
/// If a certificate file can't be used.
pub(super) fn start(
    config: &Config,
    boards: watch::Receiver<Arc<[Board]>>,
    (store, restored): (Option<Store>, Restored),
    mut bus: Local,
    clock: &Clock,
    stop: &CancellationToken,
    tasks: &mut JoinSet<&'static str>,
) -> anyhow::Result<Archive> {
    let tls = ingest::Tls::new(config.tls_ca.as_deref())?;
    let mut quotes = Quotes::new(&board_specs(&config.boards), board_settings(config), clock.read());
    restored.feeds.iter().for_each(|records| quotes.restore(records));
    let now = clock.read();
    bus.publish(quotes.publish(now), now.monotonic);
    let (stored_history, store_health) = store.as_ref().map(|store| (store.history(), store.health_source())).unzip();
    let memory_history = Arc::new(MemoryHistory::default());
    if store.is_none() {
        memory_history.record(&restored.feeds);
    }
    let raw_history: Arc<dyn HourSource> = stored_history.unwrap_or_else(|| memory_history.clone());
    let history = Arc::new(RescaledHistory { raw: raw_history, redenominations: config.redenominations.clone() });

    let (events, inbox) = mpsc::channel(EVENTS_WAITING);
    let mut request_senders = BTreeMap::new();
    for venue in venues_of(config) {
        let id = venue.profile().id;
        let (wanted, markets) = watch::channel(Arc::new(markets_of(&config.boards, id)));
        let (senders, requests) = RequestSenders::new(wanted);
        request_senders.insert(id, senders);
        let mut settings = ingest_settings(venue, config);
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
    let bans = restored.bans.into_iter().map(|(key, end)| (key, Some(end))).collect();
    let persistence = Persistence { store, memory_history, bans };
    let inputs = BoardInputs { events: inbox, boards };
    let running_board = run_board(quotes, inputs, request_senders, bus, persistence, clock.clone(), stop.clone());
    tasks.spawn(async move {
        failpoint::run("board", running_board).await;
        "board"
    });
    Ok(Archive { history, store_health })
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
    mut bus: Local,
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
        if bus.needs_all_rows() {
            quotes.republish_all();
        }
        let update = quotes.publish(now);
        log.note(&update);
        // Even if nothing has changed: without updates, edges show all rows as stale.
        bus.publish(update, now.monotonic);
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

/// Returns the exchanges of the boards that are not read.
fn unread_venues(boards: &[Board], request_senders: &BTreeMap<VenueId, RequestSenders>) -> BTreeSet<VenueId> {
    boards.iter().flat_map(Board::venues).filter(|venue| !request_senders.contains_key(venue)).collect()
}
