//! Tests of the board with hand-made events, on a clock that moves only on request.
//!
//! They use only what the board offers to the rest of the program: what it publishes, records, requests and reports.

mod changes;
mod clocks;
mod digits;
mod health;
mod jumps;
mod listings;
mod moves;
mod notices;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sisepan::board::{BoardSettings, BoardSpec, Quotes};
use sisepan::feed::{BoardUpdate, Event, Listing, MissingPart, Urgency, VenueHealth, VenueState, Via};
use sisepan::market::{BaseSource, Basis, Market, Minute, Now, Price, Quote, SourceId, State, Ticker, VenueId, Window};

const FIRST: VenueId = VenueId("first");
const SECOND: VenueId = VenueId("second");
const STREAM: Via = Via::Stream { session: 1 };

struct Scene {
    quotes: Quotes,
    now: Now,
    /// What the venues' clocks show; ours may be wrong.
    truth: Timestamp,
    /// When [`Scene::pass`] last ticked the board: at that moment it publishes whatever has changed.
    ticked_at: Option<Now>,
    /// The rows as last published.
    rows: BTreeMap<Market, Arc<Quote>>,
    /// The health of the venues as last published.
    health: BTreeMap<VenueId, VenueHealth>,
    /// How many lists in a row have lacked a market.
    missed_lists: BTreeMap<(VenueId, Market), u32>,
}

impl Scene {
    fn new() -> Self {
        let now = Now { wall: "2026-01-15T06:27:00Z".parse().unwrap(), monotonic: Duration::from_secs(100) };
        Self {
            quotes: Quotes::new(&[two_markets()], BoardSettings::default(), now),
            now,
            truth: now.wall,
            ticked_at: None,
            rows: BTreeMap::new(),
            health: BTreeMap::new(),
            missed_lists: BTreeMap::new(),
        }
    }

    /// Replaces the board with an empty one that starts now.
    fn start_board(&mut self, spec: BoardSpec, settings: BoardSettings) {
        self.quotes = Quotes::new(&[spec], settings, self.now);
        self.ticked_at = None;
        self.rows.clear();
        self.health.clear();
    }

    /// Restarts the process with what it has recorded.
    fn restarted(&mut self) -> Self {
        let records = self.quotes.take_unrecorded();
        let mut next = Self::new();
        (next.now, next.truth) = (self.now, self.truth);
        next.start_board(two_markets(), BoardSettings::default());
        records.iter().for_each(|record| next.quotes.restore(record));
        next
    }

    /// Lets time pass, while the board is ticked.
    fn pass(&mut self, seconds: u64) {
        for second in 1..=seconds {
            self.sleep(1);
            if second % 4 == 0 || second == seconds {
                self.quotes.tick(self.now);
                self.ticked_at = Some(self.now);
            }
        }
    }

    /// Lets time pass without a call to the board.
    fn sleep(&mut self, seconds: u64) {
        let by = Duration::from_secs(seconds);
        self.truth += SignedDuration::try_from(by).unwrap();
        self.now =
            Now { wall: self.now.wall + SignedDuration::try_from(by).unwrap(), monotonic: self.now.monotonic + by };
    }

    fn tick(&mut self, venue: VenueId, base: &str, last: &str, via: Via) {
        self.ticker(
            venue,
            base,
            Ticker { traded_at: Some(self.truth), sent_at: Some(self.truth), ..Ticker::new(price(last)) },
            via,
        );
    }

    fn ticker(&mut self, venue: VenueId, base: &str, ticker: Ticker, via: Via) {
        self.respond(venue, base, ticker, self.now, via);
    }

    /// Applies a ticker that arrives now and was requested earlier.
    fn respond(&mut self, venue: VenueId, base: &str, ticker: Ticker, requested: Now, via: Via) {
        let received = self.now;
        let event = Event::Ticker { venue, market: market(base), ticker, requested, received, via };
        self.quotes.apply(event, self.now);
    }

    fn settle(&mut self, venue: VenueId, base: &str, from: &str, closes: &[&str]) {
        let from = Minute::of(from.parse().unwrap());
        let closes = closes.iter().zip(0i64..).map(|(close, at)| (from.plus(at), price(close))).collect::<Vec<_>>();
        let span = from..from.plus(i64::try_from(closes.len()).unwrap());
        self.quotes.apply(Event::Settled { venue, market: market(base), span, closes }, self.now);
    }

    fn list(&mut self, venue: VenueId, bases: &[&str]) {
        self.apply_list(venue, bases.iter().map(|base| listing(base, false)).collect(), &[], &[]);
    }

    /// Applies a list, with the number of lists in a row that have lacked each market as ingest counts them.
    fn apply_list(&mut self, venue: VenueId, listings: Vec<Listing>, unreadable: &[&str], other_assets: &[&str]) {
        let markets = |bases: &[&str]| bases.iter().map(|base| market(base)).collect::<Vec<_>>();
        let (unreadable, other_assets) = (markets(unreadable), markets(other_assets));
        let mut missing = Vec::new();
        for wanted in ["BTC", "ETH"].map(market) {
            let is_there = listings.iter().any(|listing| listing.market == wanted);
            let lists = self.missed_lists.entry((venue, wanted.clone())).or_default();
            if is_there || unreadable.contains(&wanted) || other_assets.contains(&wanted) {
                *lists = 0;
            } else {
                *lists += 1;
                missing.push((wanted, *lists));
            }
        }
        self.quotes.apply(Event::Listings { venue, listings, unreadable, missing, other_assets }, self.now);
    }

    /// Applies a candle response for the minutes up to now, all of them at `close`.
    fn settle_past(&mut self, minutes: i64, close: &str) {
        let from = self.truth - SignedDuration::from_mins(minutes);
        let closes = vec![close; usize::try_from(minutes).unwrap()];
        self.settle(FIRST, "BTC", &from.to_string(), &closes);
    }

    /// Lets the board publish what has changed; returns it as well.
    fn publish(&mut self) -> BoardUpdate {
        let update = self.quotes.publish(self.now);
        let rows = update.changed.iter().chain(&update.confirmed);
        self.rows.extend(rows.map(|row| (row.market.clone(), Arc::clone(row))));
        self.health.extend(update.venues.iter().map(|health| (health.venue, health.clone())));
        update
    }

    /// Returns the row as a new reader would see it now.
    fn row(&mut self, base: &str) -> Quote {
        self.publish();
        let seen = self.rows.get(&market(base)).cloned();
        self.quotes.republish_all();
        let update = self.publish();
        let row = update.changed.iter().find(|row| row.market == market(base)).unwrap();
        if self.ticked_at == Some(self.now) {
            let confirmed_at = row.confirmed_at;
            let seen = seen.map(|seen| Quote { confirmed_at, ..Quote::clone(&seen) });
            assert_eq!(seen.as_ref(), Some(&**row), "an earlier reader sees another row");
        }
        Quote::clone(row)
    }

    /// Returns the health of a venue whose connection works, as the board publishes it now.
    ///
    /// The board publishes no health of a venue whose connection was never reported, so this reports it. Like every
    /// event, that ends a pause: call this only at a moment at which the board was called anyway.
    fn connected_health(&mut self, venue: VenueId) -> VenueHealth {
        let health = VenueHealth { state: VenueState::Up, ..VenueHealth::new(venue, 2, self.now.wall) };
        self.quotes.apply(Event::Health(health), self.now);
        self.publish();
        self.health[&venue].clone()
    }

    /// Returns how many records of the first venue the board has rejected for this cause; `None` if it was never one.
    /// See [`Scene::connected_health`].
    fn rejected(&mut self, cause: &str) -> Option<u64> {
        self.connected_health(FIRST).rejected.get(cause).copied()
    }

    /// Like [`Scene::rejected`], with zero for a cause that it never was.
    fn counted(&mut self, cause: &str) -> u64 {
        self.rejected(cause).unwrap_or(0)
    }

    /// Returns how many records of both venues the board has rejected. See [`Scene::connected_health`].
    fn all_rejected(&mut self) -> u64 {
        [FIRST, SECOND].into_iter().flat_map(|venue| self.connected_health(venue).rejected.into_values()).sum()
    }

    /// Returns why the first venue has no live price of a market, if it has none. See [`Scene::connected_health`].
    fn why_no_price(&mut self, base: &str) -> Option<&'static str> {
        let missing = self.connected_health(FIRST).missing;
        missing.iter().find(|m| m.market == market(base) && m.lacks == MissingPart::Price).map(|m| m.code)
    }

    /// Returns what the first venue's window of `BTC` knows, as a restart would restore it from its records.
    fn recorded_window(&mut self) -> Window {
        self.quotes.mark_all_unrecorded();
        let records = self.quotes.take_unrecorded();
        // Nothing is missing after a restart.
        self.quotes.mark_all_unrecorded();
        let mut window = Window::default();
        let of = records.iter().filter(|records| records.venue == FIRST && records.market == market("BTC"));
        of.for_each(|records| window.restore(&records.hours));
        window
    }

    fn percent(&mut self, base: &str, basis: Basis) -> Option<String> {
        self.row(base).change(basis).map(|change| change.percent.to_string())
    }
}

/// Two markets from the first venue, or else from the second.
fn two_markets() -> BoardSpec {
    BoardSpec {
        source: SourceId::new(["first", "second"]),
        venues: vec![FIRST, SECOND],
        markets: vec![market("BTC"), market("ETH")],
        basis: Basis::Rolling24h,
    }
}

fn listing(base: &str, halted: bool) -> Listing {
    let (symbol, market) = (base.to_owned(), market(base));
    Listing { halted, ..Listing::new(symbol, market) }
}

fn market(base: &str) -> Market {
    Market::new(base, "KRW").unwrap()
}

fn price(text: &str) -> Price {
    text.parse().unwrap()
}

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

#[test]
fn a_row_is_unknown_until_its_venue_has_a_price() {
    let mut scene = Scene::new();
    assert_eq!((scene.row("BTC").state, scene.row("BTC").last), (State::Unknown, None));
    scene.tick(FIRST, "BTC", "142187000", STREAM);
    assert_eq!((scene.row("BTC").state, scene.row("BTC").last), (State::Live, Some(price("142187000"))));
    assert_eq!(scene.row("ETH").state, State::Unknown);
}

#[test]
fn the_change_is_measured_against_the_last_trade_before_the_base_time() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "142187000", STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h), None, "without a base there is no change");
    // 06:26 is the minute that ended at the base time; 06:27 is already inside the 24 hours.
    scene.settle(FIRST, "BTC", "2026-01-14T06:25:00Z", &["1", "139290000", "2"]);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("2.08"));
    let base = scene.row("BTC").base(Basis::Rolling24h).unwrap();
    assert_eq!((base.at, base.source), ("2026-01-14T06:27:00Z".parse().unwrap(), BaseSource::Window));
}

#[test]
fn the_change_moves_with_the_minute_while_the_price_stays() {
    let mut scene = Scene::new();
    scene.settle(FIRST, "BTC", "2026-01-14T06:26:00Z", &["100", "200"]);
    scene.tick(FIRST, "BTC", "300", STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("200.00"));
    scene.pass(60);
    scene.tick(FIRST, "BTC", "300", STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("50.00"));
}

#[test]
fn each_basis_has_its_own_base() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "300", STREAM);
    scene.settle(FIRST, "BTC", "2026-01-14T14:59:00Z", &["200"]);
    scene.settle(FIRST, "BTC", "2026-01-14T23:59:00Z", &["150"]);
    assert_eq!(scene.percent("BTC", Basis::KstDay).as_deref(), Some("50.00"));
    assert_eq!(scene.percent("BTC", Basis::UtcDay).as_deref(), Some("100.00"));
    assert_eq!(scene.percent("BTC", Basis::Rolling24h), None);
}

#[test]
fn the_venues_own_rolling_base_is_used_until_the_window_has_one() {
    let mut scene = Scene::new();
    let ticker = Ticker { base_24h: Some(price("200")), ..Ticker::new(price("300")) };
    scene.ticker(FIRST, "BTC", ticker, STREAM);
    assert_eq!(scene.row("BTC").base(Basis::Rolling24h).unwrap().source, BaseSource::Venue);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("50.00"));
    assert_eq!(scene.percent("BTC", Basis::KstDay), None, "it is no base for a calendar day");
    scene.settle(FIRST, "BTC", "2026-01-14T06:26:00Z", &["100"]);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("200.00"));
}

/// A venue may date the messages of its stream, and no response.
#[test]
fn in_45_an_undated_response_does_not_let_older_messages_of_the_stream_pass() {
    let mut scene = Scene::new();
    let streamed = |scene: &mut Scene, last: &str, at: Timestamp| {
        scene.ticker(FIRST, "BTC", Ticker { sent_at: Some(at), ..Ticker::new(price(last)) }, STREAM);
    };
    let first = scene.truth;
    streamed(&mut scene, "100", first);
    scene.pass(3);
    let newest = scene.truth;
    streamed(&mut scene, "101", newest);
    scene.pass(1);
    scene.ticker(FIRST, "BTC", Ticker::new(price("102")), Via::Check);
    assert_eq!(scene.row("BTC").last, Some(price("102")));
    streamed(&mut scene, "100", first);
    assert_eq!(scene.row("BTC").last, Some(price("102")), "a message from before one that we know");
    scene.pass(1);
    let later = scene.truth;
    streamed(&mut scene, "103", later);
    assert_eq!(scene.row("BTC").last, Some(price("103")));
}

#[test]
fn in_45_an_older_trade_never_replaces_a_newer_one() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "300", STREAM);
    let old = Ticker { traded_at: at("2026-01-15T06:26:30Z"), ..Ticker::new(price("1")) };
    for via in [STREAM, Via::Poll, Via::Check] {
        scene.ticker(FIRST, "BTC", old.clone(), via);
        assert_eq!((scene.row("BTC").last, scene.row("BTC").state), (Some(price("300")), State::Live));
    }
}

#[test]
fn of_two_prices_without_times_the_one_that_was_streamed_after_the_request_counts() {
    let mut scene = Scene::new();
    scene.ticker(FIRST, "BTC", Ticker::new(price("99")), STREAM);
    let requested = scene.now;
    scene.pass(1);
    scene.ticker(FIRST, "BTC", Ticker::new(price("101")), STREAM);
    scene.pass(1);
    scene.respond(FIRST, "BTC", Ticker::new(price("100")), requested, Via::Check);
    assert_eq!((scene.row("BTC").last, scene.row("BTC").state), (Some(price("101")), State::Live));
    let requested = scene.now;
    scene.pass(1);
    scene.respond(FIRST, "BTC", Ticker::new(price("102")), requested, Via::Check);
    assert_eq!(scene.row("BTC").last, Some(price("102")), "the stream has delivered nothing since the request");
}

#[test]
fn in_44_a_ticker_from_the_future_or_in_another_time_unit_is_rejected_and_counted() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "300", STREAM);
    for time in ["2026-01-15T06:27:06Z", "2026-01-15T15:27:00Z", "9999-01-01T00:00:00Z", "1970-01-21T00:00:00Z"] {
        let ticker = Ticker { traded_at: at(time), ..Ticker::new(price("1")) };
        scene.ticker(FIRST, "BTC", ticker, STREAM);
        assert_eq!(scene.row("BTC").last, Some(price("300")), "{time}");
    }
    assert_eq!(scene.all_rejected(), 4);
}

#[test]
fn in_06_a_stream_whose_time_stands_still_confirms_nothing() {
    let mut scene = Scene::new();
    let frozen = Ticker { sent_at: Some(scene.now.wall), ..Ticker::new(price("300")) };
    for _ in 0..40 {
        scene.ticker(FIRST, "BTC", frozen.clone(), STREAM);
        scene.pass(1);
    }
    assert_eq!(scene.row("BTC").state, State::Stale);
}

#[test]
fn in_33_a_figure_that_a_ticker_lacks_keeps_its_value() {
    let mut scene = Scene::new();
    let full = Ticker { base_volume_24h: Some("12.5".parse().unwrap()), ..Ticker::new(price("300")) };
    scene.ticker(FIRST, "BTC", full, STREAM);
    scene.tick(FIRST, "BTC", "301", STREAM);
    assert_eq!(scene.row("BTC").base_volume_24h, Some("12.5".parse().unwrap()));
}

#[test]
fn in_33_a_figure_that_is_not_repeated_expires() {
    let mut scene = Scene::new();
    let full = Ticker {
        sent_at: Some(scene.truth),
        high_24h: Some(price("310")),
        base_volume_24h: Some("12.5".parse().unwrap()),
        base_24h: Some(price("200")),
        ..Ticker::new(price("300"))
    };
    scene.ticker(FIRST, "BTC", full, STREAM);
    scene.pass(60);
    scene.tick(FIRST, "BTC", "300", STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("50.00"));
    scene.pass(1);
    scene.tick(FIRST, "BTC", "300", STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h), None, "a base of another minute");
    assert_eq!(scene.row("BTC").high_24h, Some(price("310")));
    for _ in 0..5 {
        scene.pass(50);
        scene.tick(FIRST, "BTC", "300", STREAM);
    }
    let row = scene.row("BTC");
    assert_eq!((row.state, row.high_24h, row.base_volume_24h), (State::Live, None, None));
}

#[test]
fn a_price_not_confirmed_is_stale_and_keeps_its_change() {
    let mut scene = Scene::new();
    scene.settle(FIRST, "BTC", "2026-01-14T06:26:00Z", &["200", "100", "100", "100"]);
    scene.tick(FIRST, "BTC", "300", STREAM);
    scene.pass(120);
    let row = scene.row("BTC");
    assert_eq!((row.state, row.last), (State::Stale, Some(price("300"))));
    assert_eq!(row.change(Basis::Rolling24h).unwrap().percent.to_string(), "50.00", "as of its last confirmation");
}

#[test]
fn a_polled_price_is_delayed_and_a_checked_one_is_live() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "300", Via::Poll);
    assert_eq!(scene.row("BTC").state, State::Delayed);
    scene.pass(1);
    scene.tick(FIRST, "BTC", "300", Via::Check);
    assert_eq!(scene.row("BTC").state, State::Live);
}

#[test]
fn a_row_falls_back_when_its_venue_is_stale_and_returns_without_flapping() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "300", STREAM);
    scene.tick(SECOND, "BTC", "310", STREAM);
    assert_eq!((scene.row("BTC").venue, scene.row("BTC").fallback), (FIRST, false));
    scene.pass(16);
    scene.tick(SECOND, "BTC", "311", STREAM);
    assert_eq!((scene.row("BTC").venue, scene.row("BTC").fallback), (SECOND, true));
    let mut switches = 0;
    let mut shown = SECOND;
    for second in 0..60 {
        // The preferred venue is unreliable for half a minute, then stays.
        if second > 30 || second == 0 {
            scene.tick(FIRST, "BTC", "301", STREAM);
        }
        scene.tick(SECOND, "BTC", "312", STREAM);
        scene.pass(1);
        let venue = scene.row("BTC").venue;
        switches += u32::from(venue != shown);
        shown = venue;
    }
    assert_eq!((shown, switches), (SECOND, 0), "it is not stable yet");
    for _ in 0..5 {
        scene.tick(FIRST, "BTC", "301", STREAM);
        scene.tick(SECOND, "BTC", "312", STREAM);
        scene.pass(1);
    }
    assert_eq!(scene.row("BTC").venue, FIRST);
}

#[test]
fn a_row_waits_a_little_for_its_preferred_venue_at_the_start() {
    let mut scene = Scene::new();
    scene.tick(SECOND, "BTC", "310", STREAM);
    assert_eq!((scene.row("BTC").venue, scene.row("BTC").state), (FIRST, State::Unknown));
    scene.pass(6);
    assert_eq!((scene.row("BTC").venue, scene.row("BTC").state), (SECOND, State::Live));
}

#[test]
fn a_market_that_the_preferred_venue_does_not_list_is_taken_from_the_other_at_once() {
    let mut scene = Scene::new();
    scene.list(FIRST, &["ETH"]);
    scene.tick(SECOND, "BTC", "310", STREAM);
    assert_eq!(scene.row("BTC").venue, SECOND);
}

#[test]
fn each_venue_has_its_own_base() {
    let mut scene = Scene::new();
    scene.settle(FIRST, "BTC", "2026-01-14T06:26:00Z", &["200"]);
    scene.settle(SECOND, "BTC", "2026-01-14T06:26:00Z", &["250"]);
    scene.pass(6);
    scene.settle(SECOND, "BTC", "2026-01-14T06:26:00Z", &["250"]);
    scene.tick(SECOND, "BTC", "300", STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("20.00"));
}

#[test]
fn in_54_a_market_that_left_the_list_is_halted_and_starts_over_when_it_returns() {
    let mut scene = Scene::new();
    scene.list(FIRST, &["BTC"]);
    scene.settle(FIRST, "BTC", "2026-01-14T06:26:00Z", &["200"]);
    scene.tick(FIRST, "BTC", "300", STREAM);
    scene.list(FIRST, &["ETH"]);
    assert_eq!(scene.row("BTC").state, State::Live, "a single list may be faulty");
    scene.list(FIRST, &["ETH"]);
    assert_eq!(scene.row("BTC").state, State::Halted);
    scene.list(FIRST, &["BTC"]);
    scene.tick(FIRST, "BTC", "3", STREAM);
    assert_eq!(scene.row("BTC").last, None, "a single record may be faulty");
    scene.pass(1);
    scene.tick(FIRST, "BTC", "3", STREAM);
    let row = scene.row("BTC");
    assert_eq!((row.state, row.change(Basis::Rolling24h)), (State::Live, None), "no −99 % because of a new coin");
}

#[test]
fn gaps_are_requested_base_first_and_end_when_they_are_filled() {
    let mut scene = Scene::new();
    let gaps = scene.quotes.gaps(scene.now);
    assert_eq!(gaps.first().map(|gap| gap.urgency), Some(Urgency::Base));
    let base = Minute::of("2026-01-14T06:26:00Z".parse().unwrap());
    assert_eq!(gaps[0].span, base..base.plus(1));
    assert_eq!(gaps.iter().filter(|gap| gap.urgency == Urgency::Base).count(), 4, "two markets at two venues");

    assert!(gaps.iter().all(|gap| gap.urgency != Urgency::Settle), "a gap is not requested twice");

    let day: Vec<String> = (0..24 * 60).map(|n: i64| (n + 1).to_string()).collect();
    scene.settle(FIRST, "BTC", "2026-01-14T06:26:00Z", &day.iter().map(String::as_str).collect::<Vec<_>>());
    let left = scene.quotes.gaps(scene.now);
    assert!(!left.iter().any(|gap| gap.venue == FIRST && gap.market == market("BTC")), "{left:?}");
}

#[test]
fn a_confirmation_alone_is_not_published_as_a_change() {
    let mut scene = Scene::new();
    let ticker = Ticker { traded_at: Some(scene.now.wall), ..Ticker::new(price("300")) };
    scene.ticker(FIRST, "BTC", ticker.clone(), STREAM);
    assert_eq!(scene.publish().changed.len(), 2);
    for _ in 0..12 {
        scene.now.monotonic += Duration::from_secs(1);
        scene.now.wall += SignedDuration::from_secs(1);
        scene.ticker(FIRST, "BTC", ticker.clone(), Via::Check);
        let publish = scene.publish();
        assert!(publish.changed.is_empty(), "{publish:?}");
    }
    let row = &scene.rows[&market("BTC")];
    assert!(row.confirmed_at.is_some_and(|at| at > row.received_at.unwrap()));
}

#[test]
fn a_restored_row_is_the_same_but_stale() {
    let mut scene = Scene::new();
    scene.settle(FIRST, "BTC", "2026-01-14T06:20:00Z", &["90", "100", "110", "120", "130", "140", "200"]);
    scene.tick(FIRST, "BTC", "300", STREAM);
    let before = scene.row("BTC");
    let records = scene.quotes.take_unrecorded();
    assert!(scene.quotes.take_unrecorded().is_empty(), "nothing is recorded twice");

    let mut after = Scene::new();
    for record in &records {
        after.quotes.restore(record);
    }
    let row = after.row("BTC");
    assert_eq!(
        (row.state, row.last, row.base(Basis::Rolling24h)),
        (State::Stale, before.last, before.base(Basis::Rolling24h))
    );
    after.tick(FIRST, "BTC", "301", STREAM);
    assert_eq!(
        (after.row("BTC").state, after.percent("BTC", Basis::Rolling24h).as_deref()),
        (State::Live, Some("50.50"))
    );
}

#[test]
fn the_time_between_two_runs_is_a_gap() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "300", STREAM);
    scene.pass(60);
    scene.tick(FIRST, "BTC", "301", STREAM);
    let records = scene.quotes.take_unrecorded();

    let mut after = Scene::new();
    records.iter().for_each(|record| after.quotes.restore(record));
    after.pass(600);
    after.tick(FIRST, "BTC", "400", STREAM);
    after.pass(60);
    after.tick(FIRST, "BTC", "401", STREAM);
    let window = after.recorded_window();
    let at = |text: &str| window.price_before(text.parse().unwrap());
    assert_eq!(at("2026-01-15T06:28:00Z"), Some(price("300")), "seen by the previous run");
    assert_eq!(at("2026-01-15T06:33:00Z"), None, "seen by neither run");
    assert_eq!(at("2026-01-15T06:38:00Z"), Some(price("400")), "seen by this run");
}

/// Applies closes for each of the last 1,441 minutes: `low` and `high` in two of them, 500 in the others.
fn settle_a_day(scene: &mut Scene, low: &str, high: &str) {
    let mut closes = vec!["500"; 1441];
    (closes[300], closes[900]) = (low, high);
    let from = scene.now.wall - SignedDuration::from_mins(1441);
    scene.settle(FIRST, "BTC", &from.to_string(), &closes);
}

fn range(scene: &mut Scene) -> (Option<String>, Option<String>, Option<BaseSource>) {
    let row = scene.row("BTC");
    (row.low_24h.map(|p| p.to_string()), row.high_24h.map(|p| p.to_string()), row.range_source)
}

fn window(low: &str, high: &str) -> (Option<String>, Option<String>, Option<BaseSource>) {
    (Some(low.to_owned()), Some(high.to_owned()), Some(BaseSource::Window))
}

#[test]
fn high_and_low_come_from_the_minute_closes_and_the_last_price_of_a_whole_day() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "500", STREAM);
    assert_eq!(range(&mut scene), (None, None, None), "a day that is not covered has none");
    settle_a_day(&mut scene, "400", "600");
    assert_eq!(range(&mut scene), window("400", "600"));
    scene.pass(1);
    scene.tick(FIRST, "BTC", "700", STREAM);
    assert_eq!(range(&mut scene), window("400", "700"), "the last price counts at once");
    scene.pass(1);
    scene.tick(FIRST, "BTC", "500", STREAM);
    assert_eq!(range(&mut scene), window("400", "600"), "it was not a close");
    settle_a_day(&mut scene, "450", "550");
    assert_eq!(range(&mut scene), window("450", "550"), "a candle takes precedence");
}

#[test]
fn an_extreme_expires_with_its_minute() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "500", STREAM);
    settle_a_day(&mut scene, "400", "600");
    // The low was the close of minute 300 of 1,441: after 299 minutes it is the oldest of the day, after 300
    // it is out of range.
    for minute in 1..=300u64 {
        scene.pass(60);
        scene.tick(FIRST, "BTC", "500", STREAM);
        let low = if minute < 300 { "400" } else { "500" };
        assert_eq!(range(&mut scene), window(low, "600"), "{minute}");
    }
}

#[test]
fn a_gap_in_the_day_hides_high_and_low() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "500", STREAM);
    settle_a_day(&mut scene, "400", "600");
    // Another session five minutes later: trades in between may have been missed.
    scene.pass(300);
    scene.tick(FIRST, "BTC", "500", Via::Stream { session: 2 });
    assert_eq!(range(&mut scene), (None, None, None));
}

#[test]
fn the_venues_own_high_and_low_take_precedence() {
    let mut scene = Scene::new();
    settle_a_day(&mut scene, "400", "600");
    let own = Ticker { high_24h: Some(price("650")), low_24h: Some(price("350")), ..Ticker::new(price("500")) };
    scene.ticker(FIRST, "BTC", own, STREAM);
    let venue = (Some("350".to_owned()), Some("650".to_owned()), Some(BaseSource::Venue));
    assert_eq!(range(&mut scene), venue);
}

/// An old trade, repeated with its original times.
fn repeated(at_time: &str, last: &str) -> Ticker {
    Ticker { traded_at: at(at_time), sent_at: at(at_time), ..Ticker::new(price(last)) }
}

fn close_before(scene: &mut Scene, time: &str) -> Option<Price> {
    scene.recorded_window().price_before(time.parse().unwrap())
}

#[test]
fn in_46_a_trade_repeated_as_a_connections_first_message_proves_nothing() {
    let mut scene = Scene::new();
    scene.pass(90);
    scene.ticker(FIRST, "BTC", repeated("2026-01-15T06:27:10Z", "300"), STREAM);
    scene.pass(60);
    scene.tick(FIRST, "BTC", "310", STREAM);
    assert_eq!(
        close_before(&mut scene, "2026-01-15T06:28:00Z"),
        None,
        "other trades may have followed it in its minute"
    );
    scene.pass(60);
    scene.tick(FIRST, "BTC", "320", STREAM);
    assert_eq!(close_before(&mut scene, "2026-01-15T06:30:00Z"), Some(price("310")));
}

#[test]
fn a_trade_older_than_the_last_one_recorded_proves_nothing_after_a_restart() {
    let mut scene = Scene::new();
    scene.pass(40);
    scene.tick(FIRST, "BTC", "335", STREAM);
    let records = scene.quotes.take_unrecorded();

    let mut after = Scene::new();
    records.iter().for_each(|record| after.quotes.restore(record));
    after.pass(41);
    // Recent enough for a first message, but the previous run knew a later trade.
    after.ticker(FIRST, "BTC", Ticker { traded_at: at("2026-01-15T06:27:10Z"), ..Ticker::new(price("336")) }, STREAM);
    after.pass(60);
    after.tick(FIRST, "BTC", "334", STREAM);
    assert_ne!(close_before(&mut after, "2026-01-15T06:28:00Z"), Some(price("336")));
}

#[test]
fn a_fetched_response_counts_as_of_its_request() {
    let mut scene = Scene::new();
    let ticker = Ticker { traded_at: at("2026-01-15T06:27:10Z"), ..Ticker::new(price("300")) };
    scene.pass(59);
    let requested = scene.now;
    scene.pass(2);
    let soon_after = scene.now;
    scene.pass(6);
    scene.respond(FIRST, "BTC", ticker.clone(), requested, Via::Check);
    assert_eq!(close_before(&mut scene, "2026-01-15T06:28:00Z"), None, "it was requested before the end of the minute");
    scene.respond(FIRST, "BTC", ticker.clone(), soon_after, Via::Check);
    assert_eq!(
        close_before(&mut scene, "2026-01-15T06:28:00Z"),
        None,
        "or so soon after it that it may be before by the venue's clock"
    );
    assert_eq!(scene.row("BTC").state, State::Live);
    scene.respond(FIRST, "BTC", ticker, scene.now, Via::Check);
    assert_eq!(close_before(&mut scene, "2026-01-15T06:28:00Z"), Some(price("300")));
}

/// Returns the gaps among the newest minutes of a market, and those among its older ones.
fn recent_and_older_gaps(scene: &Scene, base: &str) -> [Vec<std::ops::Range<Minute>>; 2] {
    let gaps = scene.quotes.gaps(scene.now);
    let own = gaps.iter().filter(|gap| gap.venue == FIRST && gap.market == market(base));
    let of = |urgency| own.clone().filter(|gap| gap.urgency == urgency).map(|gap| gap.span.clone()).collect();
    [of(Urgency::Recent), of(Urgency::Older)]
}

#[test]
fn fc_10_the_newest_gap_is_requested_soon_after_its_minute_is_over_and_apart_from_older_ones() {
    let mut scene = Scene::new();
    let start = Minute::of(scene.truth);
    let [recent, older] = recent_and_older_gaps(&scene, "BTC");
    assert_eq!(recent, [start.plus(-180)..start.plus(-1)], "the stream may still report the minute just over");
    assert!(older.iter().any(|span| span.end == start.plus(-180)), "{older:?}");
    scene.settle(FIRST, "BTC", "2026-01-14T06:26:00Z", &vec!["5"; 24 * 60]);
    // The stream begins in the middle of a minute and knows its close; the minute before is unknown.
    for _ in 0..9 {
        scene.pass(10);
        scene.tick(FIRST, "BTC", "5", STREAM);
    }
    let gaps = recent_and_older_gaps(&scene, "BTC");
    assert_eq!(gaps, [vec![start.plus(-1)..start], vec![]], "a minute and a half after the start");
    scene.settle(FIRST, "BTC", "2026-01-15T06:26:00Z", &["5"]);
    assert_eq!(recent_and_older_gaps(&scene, "BTC"), [vec![], vec![]]);
    // It is interrupted for four minutes.
    scene.pass(240);
    let session = Via::Stream { session: 2 };
    scene.tick(FIRST, "BTC", "6", session);
    let back = Minute::of(scene.truth);
    let [recent, _] = recent_and_older_gaps(&scene, "BTC");
    assert_eq!(recent, [start.plus(1)..back], "the whole interruption except the running minute");
}
