//! A simulated day: what happens to the program minute by minute, and the check of what it shows.

use std::sync::Arc;
use std::time::Duration;

use crate::test_hub::TestHub;
use fake_exchanges::{self as fake, FaultView, Simulation};
use jiff::Timestamp;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde::Deserialize;
use sisepan::api;
use sisepan::board::{BoardSettings, BoardSpec, Quotes};
use sisepan::clock::Clock;
use sisepan::feed::{Event, Gap, Urgency, Via};
use sisepan::hub;
use sisepan::market::{BaseSource, Basis, Market, Minute, Now, SourceId, VenueClock, VenueId};
use sisepan::store::{self, Store};
use sisepan::venue::{self, Incoming, Response, RestQuery, TickerRecord, Venue};

use super::market_model::{self, Evidence, MarketModel};
use super::truth::{MINUTE, base_time, format_price, percent};
use crate::store::setup::Folder;

const MINUTES: i64 = 1440;

/// Longer than a day, so that the bases at its end were seen live and no candle has settled them.
const MINUTES_LAZY: i64 = 1560;

/// Time without confirmation after which a price is stale, in ms.
const STALE_AFTER: i64 = 15_000;

/// Time without a tick that counts as a pause; longer than the simulation itself leaves between two ticks.
const PAUSE_MIN: Duration = Duration::from_secs(75);

/// Candle responses per minute: at the start, and later.
const PAGES: (usize, usize) = (12, 2);

/// The asset of a day at each venue is drawn from these, busy and quiet ones.
const ASSETS: [&str; 10] = ["BCH", "TRX", "XLM", "BSV", "LINK", "SAND", "WAXP", "PEPE", "ADA", "SHIB"];

/// Counts of what was checked, and of what happened.
#[derive(Debug, Default)]
pub struct Tally {
    pub checked: u64,
    pub known: u64,
    /// Changes that are not known, as the model allows.
    pub allowed_unknown: u64,
    pub by_candle: u64,
    pub by_stream: u64,
    pub by_venue: u64,
    pub live: u64,
    pub stale: u64,
    pub outages: u64,
    pub pauses: u64,
    pub restarts: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.checked, other.checked),
            (&mut self.known, other.known),
            (&mut self.allowed_unknown, other.allowed_unknown),
            (&mut self.by_candle, other.by_candle),
            (&mut self.by_stream, other.by_stream),
            (&mut self.by_venue, other.by_venue),
            (&mut self.live, other.live),
            (&mut self.stale, other.stale),
            (&mut self.outages, other.outages),
            (&mut self.pauses, other.pauses),
            (&mut self.restarts, other.restarts),
        ] {
            *mine += theirs;
        }
    }
}

/// The minute of the day until which each path to the exchanges is down.
#[derive(Debug, Default)]
struct Outages {
    stream: i64,
    rest: i64,
    candles: i64,
}

pub struct Day {
    seed: u64,
    rng: Pcg64,
    simulation: Simulation,
    models: Vec<MarketModel>,
    /// The venues' time, in Unix ms.
    now: i64,
    monotonic: Duration,
    /// How far our wall clock is ahead of it, in ms.
    wall_ahead: i64,
    session: u64,
    streaming: bool,
    outages: Outages,
    folder: Folder,
    /// The program, whose memory is lost at a restart.
    quotes: Quotes,
    hub: TestHub,
    store: Option<Store>,
    /// Candle responses in flight, each with the index of its market.
    in_flight: Vec<(usize, Event)>,
    /// The minute of the day in which the process started.
    started: i64,
    /// Whether this process has received the venues' clocks.
    has_clocks: bool,
    /// Whether candles are requested only where nothing is known.
    lazy: bool,
    tally: Tally,
}

impl Day {
    pub fn new(seed: u64) -> Self {
        let mut rng = Pcg64::seed_from_u64(seed);
        let now = 1_790_000_000_000 + i64::from(rng.random_range(0u32..2 * 86_400_000));
        let begin = Timestamp::from_millisecond(now).unwrap();
        let mut pick = |venue: &'static str, quote: &str| {
            (venue, format!("{}-{quote}", ASSETS[rng.random_range(0..ASSETS.len())]))
        };
        let mut picked = vec![pick("upbit", "KRW"), pick("bithumb", "KRW"), pick("binance", "USDT")];
        // One market is enough for most defects; every eighth day has several, for those between markets.
        if !seed.is_multiple_of(8) {
            picked = vec![picked.swap_remove(usize::try_from(seed % 3).unwrap())];
        }
        let lazy = rng.random_range(0..2) == 0;
        let is_picked = |venue: &str, market: &str| picked.iter().any(|(v, m)| *v == venue && m == market);
        let simulation = Simulation::with_markets(seed, begin, is_picked);
        let models: Vec<MarketModel> =
            simulation.all_markets().iter().map(|market| MarketModel::new(market, id(market.venue), now)).collect();
        assert_eq!(models.len(), picked.len());
        let monotonic = Duration::from_millis(u64::from(rng.random::<u32>()));
        let quotes = Quotes::new(&[], settings(), Now { wall: begin, monotonic });
        let mut day = Self {
            seed,
            rng,
            simulation,
            models,
            now,
            monotonic,
            wall_ahead: 0,
            session: 0,
            streaming: false,
            outages: Outages::default(),
            folder: Folder::new(),
            quotes,
            hub: TestHub::new(""),
            store: None,
            in_flight: Vec::new(),
            started: 0,
            has_clocks: false,
            lazy,
            tally: Tally::default(),
        };
        day.start_program(0);
        day
    }

    pub fn run(mut self) -> Tally {
        let first = self.now.div_euclid(MINUTE);
        for minute in 0..if self.lazy { MINUTES_LAZY } else { MINUTES } {
            self.inject_events(minute);
            let next = first + minute + 1;
            // Minutes that a pause has skipped are not checked.
            if self.now.div_euclid(MINUTE) >= next {
                continue;
            }
            self.end_of_minute(next * MINUTE);
            let second = self.rng.random_range(14_500..55_000);
            self.advance_to(next * MINUTE + second);
            self.work(minute);
            self.check_all();
        }
        self.store.take();
        self.tally
    }

    /// Returns true with a probability of 1 / `one_in`.
    fn chance(&mut self, one_in: u32) -> bool {
        self.rng.random_range(0..one_in) == 0
    }

    /// Returns the time by the program's own clocks.
    fn program_time(&self) -> Now {
        Now { wall: Timestamp::from_millisecond(self.now + self.wall_ahead).unwrap(), monotonic: self.monotonic }
    }

    fn advance_to(&mut self, at: i64) {
        let ms = (at - self.now).max(0);
        self.now += ms;
        self.monotonic += Duration::from_millis(ms.unsigned_abs());
        self.simulation.advance(Timestamp::from_millisecond(self.now).unwrap());
    }

    /// Draws the outages, pauses, restarts and reconnects of a minute.
    fn inject_events(&mut self, minute: i64) {
        if self.chance(180) {
            let until = minute + self.rng.random_range(1..100);
            let kind = self.rng.random_range(0..5);
            self.tally.outages += 1;
            if [0, 2, 4].contains(&kind) {
                self.outages.stream = until;
            }
            if [1, 2, 4].contains(&kind) {
                self.outages.rest = until;
            }
            if [3, 4].contains(&kind) {
                self.outages.candles = until;
            }
        }
        // Until the venues' clocks are known only ours counts, so it must be right to some seconds.
        if self.has_clocks && self.chance(250) {
            self.wall_ahead = [0, 5_000, -5_000, 3_600_000, -3_600_000, 90_000_000][self.rng.random_range(0..6)];
        }
        if self.chance(400) {
            self.pause();
        }
        if self.chance(500) {
            self.restart(minute);
        }
        let is_down = minute < self.outages.stream;
        if self.streaming && (is_down || self.chance(150)) {
            self.streaming = false;
            self.models.iter_mut().for_each(MarketModel::disconnect);
        }
        if !self.streaming && !is_down {
            self.connect();
        }
    }

    /// Pauses the process, as when it is stopped or the machine sleeps.
    fn pause(&mut self) {
        self.tally.pauses += 1;
        let asleep = self.rng.random_range(150_000..1_800_000);
        let (end, mut buffered) = (self.now + asleep, Vec::new());
        // Frames that the socket has buffered meanwhile, until the venue closed it.
        for _ in 0..self.rng.random_range(0..4) {
            let later = self.now + self.rng.random_range(1_000..60_000);
            self.advance_to(later.min(end - 20_000));
            buffered.extend(
                (0..self.models.len()).filter(|_| self.streaming).map(|at| (at, self.now, self.frame(at, "REALTIME"))),
            );
        }
        self.advance_to(end);
        self.models.iter_mut().for_each(MarketModel::disconnect);
        if self.chance(2) {
            self.quotes.tick(self.program_time());
        }
        for (at, sent, text) in buffered {
            self.parse_and_apply(at, &text);
            // It brings a newer price, but confirms none as current.
            let model = &mut self.models[at];
            model.confirmed_at = model.confirmed_at.map(|confirmed_at| confirmed_at.max(sent));
        }
    }

    /// Kills the process and starts another one after a while.
    fn restart(&mut self, minute: i64) {
        self.tally.restarts += 1;
        self.store.take();
        let down = self.rng.random_range(0..2_400_000);
        self.advance_to(self.now + down);
        self.models.iter_mut().for_each(MarketModel::restart);
        // Never a slow clock: a host that starts with one requests the minutes ahead of it again.
        let wrong = [0, 4_000, 90_000_000][self.rng.random_range(0..3)];
        let is_rest_up = minute >= self.outages.rest;
        self.wall_ahead = if is_rest_up { wrong } else { wrong % 90_000_000 };
        self.start_program(minute);
        if is_rest_up {
            (0..self.models.len()).for_each(|at| self.receive_clock(at));
        }
    }

    fn start_program(&mut self, minute: i64) {
        let now = self.program_time();
        let clock = Clock::manual(now.wall);
        let venues: Vec<VenueId> = venue::ALL.iter().map(|venue| venue.profile().id).collect();
        let store_settings =
            store::StoreSettings { flush_every: Duration::from_secs(3600), ..store::StoreSettings::default() };
        let (store, restored) = Store::open(&self.folder.0, store_settings, &venues, clock).unwrap();
        assert_eq!(restored.damaged, 0);
        let wanted: Vec<BoardSpec> = self.models.iter().map(wanted).collect();
        self.quotes = Quotes::new(&wanted, settings(), now);
        restored.feeds.iter().for_each(|records| self.quotes.restore(records));
        self.hub = TestHub::new(&format!("{}-{}", self.seed, self.now));
        (self.store, self.streaming, self.started) = (Some(store), false, minute);
        self.has_clocks = false;
        self.in_flight.clear();
        self.hub.publish(self.quotes.publish(now));
    }

    fn connect(&mut self) {
        self.session += 1;
        self.streaming = true;
        for at in 0..self.models.len() {
            // Some venues begin with old messages.
            if self.chance(2) {
                for old in self.models[at].recent_frames.clone() {
                    self.parse_and_apply(at, &old);
                }
            }
            self.deliver_frame(at, "SNAPSHOT");
        }
    }

    /// Delivers the last trades of the minute: all of them from venues that send each trade at once, and those
    /// up to the last second from Binance, which sends once a second.
    fn end_of_minute(&mut self, end: i64) {
        if !self.streaming {
            self.advance_to(end - 1);
            return self.quotes.tick(self.program_time());
        }
        let middle = self.now + self.rng.random_range(0..(end - self.now).max(1));
        self.advance_to(middle);
        self.deliver_new_frames(&["upbit", "bithumb", "binance"]);
        let early = self.rng.random_range(1..1_000);
        self.advance_to(end - 1 - early);
        self.deliver_new_frames(&["binance"]);
        self.advance_to(end - 1);
        self.deliver_new_frames(&["upbit", "bithumb"]);
        self.quotes.tick(self.program_time());
    }

    /// Delivers a frame for each market with a new trade; some old frames are repeated late and out of order.
    fn deliver_new_frames(&mut self, venues: &[&str]) {
        let newer = |day: &Self, at: &usize| {
            let model = &day.models[*at];
            venues.contains(&model.venue) && day.newest(*at) != model.streamed_id
        };
        for at in (0..self.models.len()).filter(|at| newer(self, at)).collect::<Vec<_>>() {
            self.deliver_frame(at, "REALTIME");
            let twice = self.chance(4);
            if let Some(old) = self.models[at].recent_frames.first().cloned().filter(|_| twice) {
                self.parse_and_apply(at, &old);
            }
        }
    }

    fn newest(&self, at: usize) -> Option<u64> {
        self.simulation.all_markets()[at].trade_log.last().map(|trade| trade.id)
    }

    fn frame(&self, at: usize, kind: &str) -> String {
        market_model::ticker_frame(&FaultView::new(&self.simulation), &self.simulation.all_markets()[at], kind)
    }

    fn deliver_frame(&mut self, at: usize, kind: &str) {
        let text = self.frame(at, kind);
        self.parse_and_apply(at, &text);
        let (newest, now, base) = (self.newest(at), self.now, self.rolling_base(at));
        let model = &mut self.models[at];
        model.streamed_id = newest;
        model.apply_stream(now);
        model.venue_base = base;
        model.recent_frames.insert(0, text);
        model.recent_frames.truncate(3);
    }

    fn rolling_base(&self, at: usize) -> Option<i64> {
        let simulated = &self.simulation.all_markets()[at];
        let figures = || market_model::figures(&FaultView::new(&self.simulation), simulated);
        (simulated.venue == "binance").then(|| figures().rolling.open)
    }

    fn parse_and_apply(&mut self, at: usize, text: &str) {
        let id = self.models[at].id;
        let Incoming::Tickers(records) = adapter(id).session().parse(text).unwrap() else { panic!("{id} sent {text}") };
        self.apply_ticker(at, records, Via::Stream { session: self.session }, self.program_time());
    }

    fn apply_ticker(&mut self, at: usize, records: Vec<TickerRecord>, via: Via, asked: Now) {
        let [record] = records.try_into().unwrap();
        let model = &self.models[at];
        assert_eq!(record.symbol, model.symbol);
        let (venue, market, received) = (model.id, model.market.clone(), self.program_time());
        let event = Event::Ticker { venue, market, ticker: record.ticker.unwrap(), requested: asked, received, via };
        self.quotes.apply(event, received);
    }

    /// Does what the program does at least once a minute: checks, backfill, saving.
    fn work(&mut self, minute: i64) {
        if minute >= self.outages.rest {
            (0..self.models.len()).for_each(|at| self.receive_clock(at));
        }
        if self.streaming {
            self.deliver_new_frames(&["upbit", "bithumb", "binance"]);
        }
        for at in 0..self.models.len() {
            let is_recent = self.models[at].confirmed_at.is_some_and(|confirmed_at| self.now - confirmed_at < 10_000);
            if minute >= self.outages.rest && !is_recent {
                self.fetch(at);
            }
        }
        let now = self.program_time();
        self.quotes.tick(now);
        let arrived = std::mem::take(&mut self.in_flight);
        arrived.into_iter().for_each(|(at, event)| self.settle(at, event));
        if minute >= self.outages.candles {
            self.fill(if minute < self.started + 3 { PAGES.0 } else { PAGES.1 });
        }
        if self.chance(3) {
            let records = self.quotes.take_unrecorded();
            self.store.as_ref().unwrap().save(records);
            self.models.iter_mut().for_each(MarketModel::mark_saved);
        }
        self.hub.publish(self.quotes.publish(now));
    }

    /// Applies the venue's clock as of a response, whose date has whole seconds.
    fn receive_clock(&mut self, at: usize) {
        self.has_clocks = true;
        let off = i64::from(self.rng.random_range(0u32..800)) - 400;
        let venue_time = Timestamp::from_millisecond(self.now + off).unwrap();
        let clock = VenueClock::showing(venue_time, self.monotonic).unwrap();
        self.quotes.apply(Event::Clock { venue: self.models[at].id, clock }, self.program_time());
    }

    fn fetch(&mut self, at: usize) {
        let (id, market) = (self.models[at].id, self.models[at].market.clone());
        let body = market_model::ticker_response(&FaultView::new(&self.simulation), &self.simulation.all_markets()[at]);
        let markets = [market];
        let Response::Tickers(records) = adapter(id).response(&RestQuery::Tickers(&markets), &body).unwrap() else {
            panic!("{id} did not return tickers")
        };
        let via = if self.streaming { Via::Check } else { Via::Poll };
        let mut asked = self.program_time();
        let took = Duration::from_millis(u64::from(self.rng.random_range(0u32..9_000)));
        asked.monotonic -= took;
        asked.wall -= took;
        self.apply_ticker(at, records, via, asked);
        let (now, base) = (self.now, self.rolling_base(at));
        self.models[at].apply_rest(now);
        self.models[at].venue_base = base;
    }

    /// Fills some gaps, the most urgent first; some responses take a minute.
    fn fill(&mut self, pages: usize) {
        let ended = Minute::of(Timestamp::from_millisecond(self.now - 5_000).unwrap());
        let gaps = self.quotes.gaps(self.program_time());
        let wanted = |gap: &Gap| gap.span.end <= ended && !(self.lazy && gap.urgency == Urgency::Settle);
        let gaps: Vec<Gap> = gaps.into_iter().filter(wanted).take(pages).collect();
        for gap in gaps {
            let at = self.models.iter().position(|model| model.id == gap.venue).unwrap();
            if let Some(event) = self.candles(&gap) {
                if self.chance(3) {
                    self.in_flight.push((at, event));
                } else {
                    self.settle(at, event);
                }
            }
        }
    }

    fn candles(&mut self, gap: &Gap) -> Option<Event> {
        let venue = adapter(gap.venue);
        let length = usize::try_from(gap.span.end.0 - gap.span.start.0).unwrap();
        let page = if gap.urgency == Urgency::Base { 1 } else { venue.profile().candles_per_request };
        let count = length.min(page);
        // From either end of the gap.
        let oldest_first = gap.span.start.plus(i64::try_from(count).unwrap());
        let end = if self.chance(2) { oldest_first } else { gap.span.end };
        let query = RestQuery::Candles { market: &gap.market, end, count };
        let request = venue.request(&query).unwrap();
        let response = fake::rest(gap.venue.as_str(), &FaultView::new(&self.simulation), &request.path);
        let body = String::from_utf8(response.body).unwrap();
        assert_eq!(response.status, 200, "{} returned {body}", request.path);
        let Response::Candles(candles) = venue.response(&query, &body).unwrap() else { panic!("{query:?}") };
        let closes: Vec<(Minute, _)> = candles.iter().map(|candle| (candle.minute, candle.close)).collect();
        let span = closes.first()?.0..end;
        Some(Event::Settled { venue: gap.venue, market: gap.market.clone(), span, closes })
    }

    fn settle(&mut self, at: usize, event: Event) {
        let Event::Settled { span, .. } = &event else { panic!("{event:?}") };
        self.models[at].apply_candles(span.clone());
        self.quotes.apply(event, self.program_time());
    }

    /// Checks the row of every market on every basis; on one basis, drawn at random, as the bytes that a client gets.
    fn check_all(&mut self) {
        let turn = self.rng.random_range(0..Basis::ALL.len());
        for basis in Basis::ALL {
            let rows: Arc<[(SourceId, Market)]> = self.models.iter().map(|l| (source(l), l.market.clone())).collect();
            let shown: Vec<Row> = if basis == Basis::ALL[turn] {
                let view = hub::RowsView { board: None, rows, basis, lang: None, demo: false, missing: [].into() };
                serde_json::from_slice::<Page>(&self.hub.snapshot(&view).body).unwrap().rows
            } else {
                let quotes = rows.iter().map(|(source, market)| self.hub.row(source, market).unwrap());
                quotes.map(|quote| Row::of(&api::Row::new(&quote, basis, None))).collect()
            };
            assert_eq!(shown.len(), self.models.len());
            for (at, row) in shown.iter().enumerate() {
                self.check(at, row, basis);
            }
        }
    }

    fn check(&mut self, at: usize, row: &Row, basis: Basis) {
        let (model, simulated) = (&self.models[at], &self.simulation.all_markets()[at]);
        let context = || {
            let at = Timestamp::from_millisecond(self.now).unwrap();
            format!(
                "day {}: {} {} {basis} at {at}, confirmed {:?}, restored {}: {row:?}",
                self.seed,
                model.venue,
                model.name,
                model.confirmed_at.map(stamp),
                model.restored
            )
        };
        let Some(confirmed_at) = model.confirmed_at else {
            assert!(row.state == "unknown" && row.last.is_none() && row.change.is_none(), "{}", context());
            return;
        };
        let fresh = !model.restored && self.now - confirmed_at <= STALE_AFTER;
        let states: &[&str] = if fresh { &["live", "delayed"] } else { &["stale"] };
        assert!(states.contains(&row.state.as_str()), "{}", context());
        *(if fresh { &mut self.tally.live } else { &mut self.tally.stale }) += 1;
        // The venue's clock is known to half a second, or, until it is received, to the four seconds that ours
        // may be off. A price confirmed so near to the end of a minute may count for the next one. No check is
        // so near.
        let base_at = row.change.as_ref().map(|change| change.base_at.as_str());
        let is_base_of = |ms: &i64| base_at == Some(stamp(base_time(basis, *ms)).as_str());
        let as_of = if fresh {
            self.now
        } else {
            let near = [confirmed_at - 500, confirmed_at + 500, confirmed_at + 4_500];
            near.into_iter().find(is_base_of).unwrap_or(confirmed_at)
        };
        let last = simulated.trade_log.at_or_before(confirmed_at).unwrap().price;
        assert_eq!(row.last, Some(format_price(last)), "{}", context());

        let time = base_time(basis, as_of);
        let evidence = model.evidence_before(simulated, time);
        self.tally.checked += 1;
        let Some(change) = &row.change else {
            // A price that had long been stale when the process started has lost its base with the older hours.
            let lost = model.restored && self.now - confirmed_at > 50 * MINUTE;
            let near = [confirmed_at - 500, confirmed_at + 500, confirmed_at + 4_500];
            let unknown = |ms: &i64| model.evidence_before(simulated, base_time(basis, *ms)).is_none();
            let between = !fresh && near.iter().any(unknown);
            assert!(evidence.is_none() || lost || between, "{}: the base is known by {evidence:?}", context());
            self.tally.allowed_unknown += 1;
            return;
        };
        let base = if change.base_source == "venue" {
            assert!(basis == Basis::Rolling24h && evidence.is_none(), "{}", context());
            self.tally.by_venue += 1;
            model.venue_base.unwrap_or_else(|| panic!("{}", context()))
        } else {
            simulated.trade_log.before(time).unwrap().price
        };
        let (expected, direction) = percent(last, base);
        assert_eq!(change.base_price, format_price(base), "{}", context());
        assert_eq!(
            (change.percent.as_str(), change.direction.as_str()),
            (expected.as_str(), direction),
            "{}",
            context()
        );
        assert_eq!(change.base_at, stamp(time), "{}", context());
        self.tally.known += 1;
        match evidence {
            Some(Evidence::Candle) => self.tally.by_candle += 1,
            Some(Evidence::Stream) => self.tally.by_stream += 1,
            _ => {}
        }
    }
}

#[derive(Debug, Deserialize)]
struct Page {
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    state: String,
    last: Option<String>,
    change: Option<Change>,
}

#[derive(Debug, Deserialize)]
struct Change {
    percent: String,
    direction: String,
    base_price: String,
    base_at: String,
    base_source: String,
}

impl Row {
    fn of(row: &api::Row) -> Self {
        let change = row.change.as_ref().map(|change| Change {
            percent: change.percent.to_string(),
            direction: change.direction.as_str().to_owned(),
            base_price: change.base_price.to_string(),
            base_at: change.base_at.to_string(),
            base_source: if change.base_source == BaseSource::Venue { "venue" } else { "window" }.to_owned(),
        });
        Self { state: row.state.as_str().to_owned(), last: row.last.map(|last| last.to_string()), change }
    }
}

fn stamp(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap().to_string()
}

fn settings() -> BoardSettings {
    BoardSettings { pause_min: PAUSE_MIN, ..BoardSettings::default() }
}

fn wanted(model: &MarketModel) -> BoardSpec {
    BoardSpec {
        source: source(model),
        venues: vec![model.id],
        markets: vec![model.market.clone()],
        basis: Basis::Rolling24h,
    }
}

fn source(model: &MarketModel) -> SourceId {
    SourceId::new([model.venue])
}

fn id(venue: &str) -> VenueId {
    venue::find(venue).unwrap().profile().id
}

fn adapter(id: VenueId) -> &'static dyn Venue {
    venue::find(id.as_str()).unwrap()
}
