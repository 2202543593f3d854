//! A simulated day: what happens to the program, minute by minute, and the look at what it shows.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde::Deserialize;
use sisepan::board::{Quotes, Settings, Wanted};
use sisepan::clock::Clock;
use sisepan::domain::{
    BaseSource, Basis, Event, Gap, Market, Minute, Now, SourceId, Urgency, VenueClock, VenueId, Via,
};
use sisepan::fake::{self, View, World};
use sisepan::hub::{self, Hub};
use sisepan::store::{self, Store};
use sisepan::venue::{self, Answer, Ask, Incoming, Record, Venue};
use sisepan::wire;

use super::lane::{self, Knower, Lane};
use super::truth::{MINUTE, base_time, percent, spelled};
use crate::store::setup::Folder;

const MINUTES: i64 = 1440;

/// Longer than a day: the bases of its end were seen live, and no candle has spoken for them.
const MINUTES_LAZY: i64 = 1560;

/// A price not confirmed for so long is stale.
const STALE_AFTER: i64 = 15_000;

/// Without a look for so long the program was stopped: longer than the simulation itself leaves between two looks.
const PAUSE_MIN: Duration = Duration::from_secs(75);

/// Candle answers in a minute: at the start, and later.
const PAGES: (usize, usize) = (12, 2);

/// The coins of a day are drawn from these at each venue, busy and quiet.
const COINS: [&str; 10] = ["BCH", "TRX", "XLM", "BSV", "LINK", "SAND", "WAXP", "PEPE", "ADA", "SHIB"];

/// What was looked at, and what happened.
#[derive(Debug, Default)]
pub struct Tally {
    pub looked: u64,
    pub known: u64,
    /// Not known, as the model allows.
    pub excused: u64,
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
            (&mut self.looked, other.looked),
            (&mut self.known, other.known),
            (&mut self.excused, other.excused),
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

/// Until when (minutes of the day) each way to the exchanges is cut.
#[derive(Debug, Default)]
struct Cuts {
    stream: i64,
    rest: i64,
    candles: i64,
}

pub struct Day {
    seed: u64,
    dice: Pcg64,
    world: World,
    lanes: Vec<Lane>,
    /// The venues' time, in Unix ms.
    now: i64,
    monotonic: Duration,
    /// How far our wall clock is ahead of it, in ms.
    wall_ahead: i64,
    session: u64,
    streaming: bool,
    cuts: Cuts,
    folder: Folder,
    /// The program: what is gone with its process.
    quotes: Quotes,
    hub: Hub,
    store: Option<Store>,
    /// Candle answers that are on their way.
    on_the_way: Vec<(usize, Event)>,
    born: i64,
    /// Whether this life has heard of the venues' clocks.
    told: bool,
    /// Whether candles are asked for only where nothing is known.
    lazy: bool,
    tally: Tally,
}

impl Day {
    pub fn new(seed: u64) -> Self {
        let mut dice = Pcg64::seed_from_u64(seed);
        let now = 1_790_000_000_000 + i64::from(dice.random_range(0u32..2 * 86_400_000));
        let begin = Timestamp::from_millisecond(now).unwrap();
        let mut pick =
            |venue: &'static str, quote: &str| (venue, format!("{}-{quote}", COINS[dice.random_range(0..COINS.len())]));
        let mut picked = vec![pick("upbit", "KRW"), pick("bithumb", "KRW"), pick("binance", "USDT")];
        // One market is enough to go wrong by itself; what several do to each other is seen in every eighth day.
        if !seed.is_multiple_of(8) {
            picked = vec![picked.swap_remove(usize::try_from(seed % 3).unwrap())];
        }
        let lazy = dice.random_range(0..2) == 0;
        let is_picked = |venue: &str, market: &str| picked.iter().any(|(v, m)| *v == venue && m == market);
        let world = World::of(seed, begin, is_picked);
        let lanes: Vec<Lane> = world.all().iter().map(|line| Lane::new(line, id(line.venue), now)).collect();
        assert_eq!(lanes.len(), picked.len());
        let monotonic = Duration::from_millis(u64::from(dice.random::<u32>()));
        let quotes = Quotes::new(&[], settings(), Now { wall: begin, monotonic });
        let mut day = Self {
            seed,
            dice,
            world,
            lanes,
            now,
            monotonic,
            wall_ahead: 0,
            session: 0,
            streaming: false,
            cuts: Cuts::default(),
            folder: Folder::new(),
            quotes,
            hub: Hub::new(String::new()),
            store: None,
            on_the_way: Vec::new(),
            born: 0,
            told: false,
            lazy,
            tally: Tally::default(),
        };
        day.begin(0);
        day
    }

    pub fn run(mut self) -> Tally {
        let first = self.now.div_euclid(MINUTE);
        for minute in 0..if self.lazy { MINUTES_LAZY } else { MINUTES } {
            self.happen(minute);
            let next = first + minute + 1;
            // In the minutes that a pause has taken nothing is looked at.
            if self.now.div_euclid(MINUTE) >= next {
                continue;
            }
            self.end_of_minute(next * MINUTE);
            let second = self.dice.random_range(14_500..55_000);
            self.come_to(next * MINUTE + second);
            self.work(minute);
            self.look();
        }
        self.store.take();
        self.tally
    }

    /// One in so many.
    fn chance(&mut self, one_in: u32) -> bool {
        self.dice.random_range(0..one_in) == 0
    }

    fn present(&self) -> Now {
        Now { wall: Timestamp::from_millisecond(self.now + self.wall_ahead).unwrap(), monotonic: self.monotonic }
    }

    fn come_to(&mut self, at: i64) {
        let ms = (at - self.now).max(0);
        self.now += ms;
        self.monotonic += Duration::from_millis(ms.unsigned_abs());
        self.world.advance(Timestamp::from_millisecond(self.now).unwrap());
    }

    /// Fate.
    fn happen(&mut self, minute: i64) {
        if self.chance(180) {
            let until = minute + self.dice.random_range(1..100);
            let kind = self.dice.random_range(0..5);
            self.tally.outages += 1;
            if [0, 2, 4].contains(&kind) {
                self.cuts.stream = until;
            }
            if [1, 2, 4].contains(&kind) {
                self.cuts.rest = until;
            }
            if [3, 4].contains(&kind) {
                self.cuts.candles = until;
            }
        }
        // Before the venues have told their clocks there is only ours: it had better be right to some seconds.
        if self.told && self.chance(250) {
            self.wall_ahead = [0, 5_000, -5_000, 3_600_000, -3_600_000, 90_000_000][self.dice.random_range(0..6)];
        }
        if self.chance(400) {
            self.pause();
        }
        if self.chance(500) {
            self.restart(minute);
        }
        let cut = minute < self.cuts.stream;
        if self.streaming && (cut || self.chance(150)) {
            self.streaming = false;
            self.lanes.iter_mut().for_each(Lane::parted);
        }
        if !self.streaming && !cut {
            self.connect();
        }
    }

    /// The process is stopped, or the machine sleeps.
    fn pause(&mut self) {
        self.tally.pauses += 1;
        let asleep = self.dice.random_range(150_000..1_800_000);
        let (end, mut kept) = (self.now + asleep, Vec::new());
        // What the socket holds of the time meanwhile, before the venue gave up on it.
        for _ in 0..self.dice.random_range(0..4) {
            let later = self.now + self.dice.random_range(1_000..60_000);
            self.come_to(later.min(end - 20_000));
            kept.extend(
                (0..self.lanes.len()).filter(|_| self.streaming).map(|at| (at, self.now, self.frame(at, "REALTIME"))),
            );
        }
        self.come_to(end);
        self.lanes.iter_mut().for_each(Lane::parted);
        if self.chance(2) {
            self.quotes.tick(self.present());
        }
        for (at, sent, text) in kept {
            self.read(at, &text);
            // It tells a newer price, and confirms none.
            let lane = &mut self.lanes[at];
            lane.heard = lane.heard.map(|heard| heard.max(sent));
        }
    }

    /// The process is killed, and another begins after a while.
    fn restart(&mut self, minute: i64) {
        self.tally.restarts += 1;
        self.store.take();
        let down = self.dice.random_range(0..2_400_000);
        self.come_to(self.now + down);
        self.lanes.iter_mut().for_each(Lane::reborn);
        // A host that starts with a slow clock asks again for what lies ahead of it: not here.
        let wrong = [0, 4_000, 90_000_000][self.dice.random_range(0..3)];
        let asked = minute >= self.cuts.rest;
        self.wall_ahead = if asked { wrong } else { wrong % 90_000_000 };
        self.begin(minute);
        if asked {
            (0..self.lanes.len()).for_each(|at| self.tell_clock(at));
        }
    }

    fn begin(&mut self, minute: i64) {
        let present = self.present();
        let clock = Clock::manual(present.wall);
        let venues: Vec<VenueId> = venue::ALL.iter().map(|venue| venue.profile().id).collect();
        let often = store::Settings { flush_every: Duration::from_secs(3600), ..store::Settings::default() };
        let (store, restored) = Store::open(&self.folder.0, often, &venues, clock).unwrap();
        assert_eq!(restored.damaged, 0);
        let wanted: Vec<Wanted> = self.lanes.iter().map(wanted).collect();
        self.quotes = Quotes::new(&wanted, settings(), present);
        restored.feeds.iter().for_each(|records| self.quotes.restore(records));
        self.hub = Hub::new(format!("{}-{}", self.seed, self.now));
        (self.store, self.streaming, self.born) = (Some(store), false, minute);
        self.told = false;
        self.on_the_way.clear();
        self.hub.publish(self.quotes.publish(present));
    }

    fn connect(&mut self) {
        self.session += 1;
        self.streaming = true;
        for at in 0..self.lanes.len() {
            // Some venues begin with what they said long ago.
            if self.chance(2) {
                for old in self.lanes[at].said.clone() {
                    self.read(at, &old);
                }
            }
            self.hear(at, "SNAPSHOT");
        }
    }

    /// The last trades of the minute come in: of those that send each trade at once, and of Binance, which sends once a
    /// second, those up to its last second.
    fn end_of_minute(&mut self, end: i64) {
        if !self.streaming {
            self.come_to(end - 1);
            return self.quotes.tick(self.present());
        }
        let middle = self.now + self.dice.random_range(0..(end - self.now).max(1));
        self.come_to(middle);
        self.hear_all(&["upbit", "bithumb", "binance"]);
        let early = self.dice.random_range(1..1_000);
        self.come_to(end - 1 - early);
        self.hear_all(&["binance"]);
        self.come_to(end - 1);
        self.hear_all(&["upbit", "bithumb"]);
        self.quotes.tick(self.present());
    }

    /// Each market with a new trade says so; frames come twice, late, and in the wrong order.
    fn hear_all(&mut self, venues: &[&str]) {
        let newer = |day: &Self, at: &usize| {
            let lane = &day.lanes[*at];
            venues.contains(&lane.venue) && day.newest(*at) != lane.told
        };
        for at in (0..self.lanes.len()).filter(|at| newer(self, at)).collect::<Vec<_>>() {
            self.hear(at, "REALTIME");
            let twice = self.chance(4);
            if let Some(old) = self.lanes[at].said.first().cloned().filter(|_| twice) {
                self.read(at, &old);
            }
        }
    }

    fn newest(&self, at: usize) -> Option<u64> {
        self.world.all()[at].tape.last().map(|trade| trade.id)
    }

    fn frame(&self, at: usize, kind: &str) -> String {
        lane::frame(&View::new(&self.world), &self.world.all()[at], kind)
    }

    fn hear(&mut self, at: usize, kind: &str) {
        let text = self.frame(at, kind);
        self.read(at, &text);
        let (newest, now, base) = (self.newest(at), self.now, self.rolling_base(at));
        let lane = &mut self.lanes[at];
        lane.told = newest;
        lane.streamed(now);
        lane.venue_base = base;
        lane.said.insert(0, text);
        lane.said.truncate(3);
    }

    fn rolling_base(&self, at: usize) -> Option<i64> {
        let line = &self.world.all()[at];
        (line.venue == "binance").then(|| lane::figures(&View::new(&self.world), line).rolling.open)
    }

    fn read(&mut self, at: usize, text: &str) {
        let id = self.lanes[at].id;
        let Incoming::Tickers(records) = translator(id).parse(text).unwrap() else { panic!("{id} said {text}") };
        self.deliver(at, records, Via::Stream { session: self.session }, self.present());
    }

    fn deliver(&mut self, at: usize, records: Vec<Record>, via: Via, asked: Now) {
        let [record] = records.try_into().unwrap();
        let lane = &self.lanes[at];
        assert_eq!(record.symbol, lane.symbol);
        let (venue, market, received) = (lane.id, lane.market.clone(), self.present());
        let event = Event::Ticker { venue, market, ticker: record.ticker.unwrap(), asked, received, via };
        self.quotes.apply(event, received);
    }

    /// What the program does once a minute, or oftener: checks, backfill, records.
    fn work(&mut self, minute: i64) {
        if minute >= self.cuts.rest {
            (0..self.lanes.len()).for_each(|at| self.tell_clock(at));
        }
        if self.streaming {
            self.hear_all(&["upbit", "bithumb", "binance"]);
        }
        for at in 0..self.lanes.len() {
            let heard = self.lanes[at].heard.is_some_and(|heard| self.now - heard < 10_000);
            if minute >= self.cuts.rest && !heard {
                self.fetch(at);
            }
        }
        let present = self.present();
        self.quotes.tick(present);
        let come = std::mem::take(&mut self.on_the_way);
        come.into_iter().for_each(|(at, event)| self.settle(at, event));
        if minute >= self.cuts.candles {
            self.fill(if minute < self.born + 3 { PAGES.0 } else { PAGES.1 });
        }
        if self.chance(3) {
            let records = self.quotes.take_unrecorded();
            self.store.as_ref().unwrap().keep(records);
            self.lanes.iter_mut().for_each(Lane::kept);
        }
        self.hub.publish(self.quotes.publish(present));
    }

    /// An answer bears the venue's date, in whole seconds.
    fn tell_clock(&mut self, at: usize) {
        self.told = true;
        let off = i64::from(self.dice.random_range(0u32..800)) - 400;
        let there = Timestamp::from_millisecond(self.now + off).unwrap();
        let clock = VenueClock::showing(there, self.monotonic).unwrap();
        self.quotes.apply(Event::Clock { venue: self.lanes[at].id, clock }, self.present());
    }

    fn fetch(&mut self, at: usize) {
        let (id, market) = (self.lanes[at].id, self.lanes[at].market.clone());
        let body = lane::answer(&View::new(&self.world), &self.world.all()[at]);
        let markets = [market];
        let Answer::Tickers(records) = translator(id).answer(&Ask::Tickers(&markets), &body).unwrap() else {
            panic!("{id} was asked for tickers")
        };
        let via = if self.streaming { Via::Check } else { Via::Poll };
        let mut asked = self.present();
        let took = Duration::from_millis(u64::from(self.dice.random_range(0u32..9_000)));
        asked.monotonic -= took;
        asked.wall -= took;
        self.deliver(at, records, via, asked);
        let (now, base) = (self.now, self.rolling_base(at));
        self.lanes[at].fetched(now);
        self.lanes[at].venue_base = base;
    }

    /// Some gaps are filled, the most urgent first; some answers take a minute.
    fn fill(&mut self, pages: usize) {
        let over = Minute::of(Timestamp::from_millisecond(self.now - 5_000).unwrap());
        let gaps = self.quotes.gaps(self.present());
        let wanted = |gap: &Gap| gap.span.end <= over && !(self.lazy && gap.urgency == Urgency::Settle);
        let gaps: Vec<Gap> = gaps.into_iter().filter(wanted).take(pages).collect();
        for gap in gaps {
            let at = self.lanes.iter().position(|lane| lane.id == gap.venue).unwrap();
            if let Some(event) = self.candles(&gap) {
                if self.chance(3) {
                    self.on_the_way.push((at, event));
                } else {
                    self.settle(at, event);
                }
            }
        }
    }

    fn candles(&mut self, gap: &Gap) -> Option<Event> {
        let venue = translator(gap.venue);
        let length = usize::try_from(gap.span.end.0 - gap.span.start.0).unwrap();
        let page = if gap.urgency == Urgency::Base { 1 } else { venue.profile().candles_per_request };
        let count = length.min(page);
        // From either end of the gap.
        let oldest_first = gap.span.start.plus(i64::try_from(count).unwrap());
        let end = if self.chance(2) { oldest_first } else { gap.span.end };
        let ask = Ask::Candles { market: &gap.market, end, count };
        let request = venue.ask(&ask).unwrap();
        let response = fake::rest(gap.venue.as_str(), &View::new(&self.world), &request.path);
        let body = String::from_utf8(response.body).unwrap();
        assert_eq!(response.status, 200, "{} said {body}", request.path);
        let Answer::Candles(candles) = venue.answer(&ask, &body).unwrap() else { panic!("{ask:?}") };
        let closes: Vec<(Minute, _)> = candles.iter().map(|candle| (candle.minute, candle.close)).collect();
        let span = closes.first()?.0..end;
        Some(Event::Settled { venue: gap.venue, market: gap.market.clone(), span, closes })
    }

    fn settle(&mut self, at: usize, event: Event) {
        let Event::Settled { span, .. } = &event else { panic!("{event:?}") };
        self.lanes[at].settled(span.clone());
        self.quotes.apply(event, self.present());
    }

    /// Everybody's rows on every basis; on one of them, in turn, as the bytes that a client gets.
    fn look(&mut self) {
        let turn = self.dice.random_range(0..Basis::ALL.len());
        for basis in Basis::ALL {
            let rows: Arc<[(SourceId, Market)]> = self.lanes.iter().map(|l| (source(l), l.market.clone())).collect();
            let shown: Vec<Row> = if basis == Basis::ALL[turn] {
                let view = hub::View { board: None, rows, basis, lang: None, demo: false, missing: [].into() };
                serde_json::from_slice::<Page>(&self.hub.snapshot(&view).body).unwrap().rows
            } else {
                let quotes = rows.iter().map(|(source, market)| self.hub.row(source, market).unwrap());
                quotes.map(|quote| Row::of(&wire::Row::new(&quote, basis, None))).collect()
            };
            assert_eq!(shown.len(), self.lanes.len());
            for (at, row) in shown.iter().enumerate() {
                self.check(at, row, basis);
            }
        }
    }

    fn check(&mut self, at: usize, row: &Row, basis: Basis) {
        let (lane, line) = (&self.lanes[at], &self.world.all()[at]);
        let place = || {
            let at = Timestamp::from_millisecond(self.now).unwrap();
            format!(
                "day {}: {} {} {basis} at {at}, heard {:?}, inherited {}: {row:?}",
                self.seed,
                lane.venue,
                lane.name,
                lane.heard.map(stamp),
                lane.inherited
            )
        };
        let Some(heard) = lane.heard else {
            assert!(row.state == "unknown" && row.last.is_none() && row.change.is_none(), "{}", place());
            return;
        };
        let fresh = !lane.inherited && self.now - heard <= STALE_AFTER;
        let states: &[&str] = if fresh { &["live", "delayed"] } else { &["stale"] };
        assert!(states.contains(&row.state.as_str()), "{}", place());
        *(if fresh { &mut self.tally.live } else { &mut self.tally.stale }) += 1;
        // The venue's clock is known to half a second, or to the four that ours may be wrong before it is told: what was
        // heard so near to a minute's end may be of the next one. No look is so near.
        let said = row.change.as_ref().map(|change| change.base_at.as_str());
        let is_said = |ms: &i64| said == Some(stamp(base_time(basis, *ms)).as_str());
        let as_of = if fresh {
            self.now
        } else {
            [heard - 500, heard + 500, heard + 4_500].into_iter().find(is_said).unwrap_or(heard)
        };
        let last = line.tape.at(heard).unwrap().price;
        assert_eq!(row.last, Some(spelled(last)), "{}", place());

        let time = base_time(basis, as_of);
        let knower = lane.knower(line, time);
        self.tally.looked += 1;
        let Some(change) = &row.change else {
            // A price that was stale for long when the process began has lost its base with the older hours.
            let lost = lane.inherited && self.now - heard > 50 * MINUTE;
            let near = [heard - 500, heard + 500, heard + 4_500];
            let unknown = |ms: &i64| lane.knower(line, base_time(basis, *ms)).is_none();
            let between = !fresh && near.iter().any(unknown);
            assert!(knower.is_none() || lost || between, "{}: {knower:?} has said its base", place());
            self.tally.excused += 1;
            return;
        };
        let base = if change.base_source == "venue" {
            assert!(basis == Basis::Rolling24h && knower.is_none(), "{}", place());
            self.tally.by_venue += 1;
            lane.venue_base.unwrap_or_else(|| panic!("{}", place()))
        } else {
            line.tape.before(time).unwrap().price
        };
        let (expected, direction) = percent(last, base);
        assert_eq!(change.base_price, spelled(base), "{}", place());
        assert_eq!((change.percent.as_str(), change.direction.as_str()), (expected.as_str(), direction), "{}", place());
        assert_eq!(change.base_at, stamp(time), "{}", place());
        self.tally.known += 1;
        match knower {
            Some(Knower::Candle) => self.tally.by_candle += 1,
            Some(Knower::Stream) => self.tally.by_stream += 1,
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
    fn of(row: &wire::Row) -> Self {
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

fn settings() -> Settings {
    Settings { pause_min: PAUSE_MIN, ..Settings::default() }
}

fn wanted(lane: &Lane) -> Wanted {
    Wanted { source: source(lane), venues: vec![lane.id], markets: vec![lane.market.clone()], basis: Basis::Rolling24h }
}

fn source(lane: &Lane) -> SourceId {
    SourceId::new([lane.venue])
}

fn id(venue: &str) -> VenueId {
    venue::find(venue).unwrap().profile().id
}

fn translator(id: VenueId) -> &'static dyn Venue {
    venue::find(id.as_str()).unwrap()
}
