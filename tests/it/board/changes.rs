//! Boards whose markets change while the board runs.

use sisepan::feed::{Gap, Reason, ReasonCode};

use super::*;

/// A board of these markets from the first venue, or else from the second.
fn spec(bases: &[&str]) -> BoardSpec {
    BoardSpec { markets: bases.iter().copied().map(market).collect(), ..two_markets() }
}

/// The same from the second venue alone.
fn spec_of_second(bases: &[&str]) -> BoardSpec {
    BoardSpec { source: SourceId::new(["second"]), venues: vec![SECOND], ..spec(bases) }
}

fn markets_of(rows: &[Arc<Quote>]) -> Vec<Market> {
    rows.iter().map(|row| row.market.clone()).collect()
}

impl Scene {
    fn set_boards(&mut self, specs: &[BoardSpec]) {
        self.quotes.set_boards(specs, self.now);
    }

    /// Gives a market a price now and a base at 24 hours before.
    fn price_with_base(&mut self, base: &str, last: &str, base_price: &str) {
        let before = self.truth - SignedDuration::from_hours(24) - SignedDuration::from_mins(1);
        self.settle(FIRST, base, &before.to_string(), &[base_price]);
        self.tick(FIRST, base, last, STREAM);
    }

    fn gaps_of_market(&self, base: &str) -> Vec<Gap> {
        self.quotes.gaps(self.now).into_iter().filter(|gap| gap.market == market(base)).collect()
    }
}

#[test]
fn a_row_that_stays_keeps_everything_wherever_it_moves_to() {
    let mut scene = Scene::new();
    scene.price_with_base("BTC", "200", "100");
    scene.price_with_base("ETH", "300", "100");
    scene.publish();
    scene.set_boards(&[spec(&["XRP", "ETH", "BTC"])]);
    let update = scene.publish();
    assert_eq!(markets_of(&update.changed), [market("XRP")], "only the new row is published");
    assert_eq!(update.changed[0].state, State::Unknown);
    assert!(update.removed.is_empty(), "{:?}", update.removed);
    scene.set_boards(&[spec(&["BTC", "XRP"])]);
    let update = scene.publish();
    assert_eq!(update.removed, [(two_markets().source, market("ETH"))]);
    assert!(update.changed.is_empty(), "{:?}", update.changed);
    assert!(scene.publish().removed.is_empty(), "a removal is published once");
    // Later events reach the rows at their new places.
    scene.tick(FIRST, "XRP", "5", STREAM);
    scene.tick(FIRST, "ETH", "301", STREAM);
    assert_eq!(markets_of(&scene.publish().changed), [market("XRP")]);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("100.00"));
    assert_eq!(scene.row("XRP").last, Some(price("5")));
}

#[test]
fn a_row_that_stays_keeps_its_venue() {
    let mut scene = Scene::new();
    scene.tick(SECOND, "ETH", "300", STREAM);
    scene.pass(6);
    scene.tick(SECOND, "ETH", "300", STREAM);
    assert_eq!((scene.row("ETH").venue, scene.row("ETH").fallback), (SECOND, true));
    scene.set_boards(&[spec(&["XRP", "ETH"])]);
    // The preferred venue is healthy again, but the wait before the return goes on as if nothing had changed.
    scene.tick(FIRST, "ETH", "299", STREAM);
    assert_eq!((scene.row("ETH").venue, scene.row("ETH").last), (SECOND, Some(price("300"))));
}

#[test]
fn a_market_that_returns_starts_again_and_requests_its_gaps() {
    let mut scene = Scene::new();
    scene.settle_past(1500, "100");
    scene.tick(FIRST, "BTC", "200", STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("100.00"));
    assert!(scene.gaps_of_market("BTC").iter().all(|gap| gap.venue == SECOND), "{:?}", scene.gaps_of_market("BTC"));
    scene.publish();
    scene.set_boards(&[spec(&["ETH"])]);
    scene.tick(FIRST, "BTC", "201", STREAM);
    assert_eq!(scene.publish().removed.len(), 1);
    assert!(scene.gaps_of_market("BTC").is_empty());
    scene.set_boards(&[spec(&["ETH", "BTC"])]);
    let update = scene.publish();
    let row = &update.changed[0];
    assert_eq!((&row.market, row.state, row.last, row.bases), (&market("BTC"), State::Unknown, None, [None; 3]));
    let first = scene.gaps_of_market("BTC").into_iter().find(|gap| gap.venue == FIRST).unwrap();
    assert_eq!(first.urgency, Urgency::Base);
    scene.tick(FIRST, "BTC", "202", STREAM);
    assert_eq!((scene.row("BTC").state, scene.percent("BTC", Basis::Rolling24h)), (State::Live, None));
    scene.settle_past(1500, "101");
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("100.00"));
}

#[test]
fn a_market_that_returns_before_the_next_update_is_not_removed() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "200", STREAM);
    scene.publish();
    scene.set_boards(&[spec(&["ETH"])]);
    scene.set_boards(&[spec(&["ETH", "BTC"])]);
    let update = scene.publish();
    assert!(update.removed.is_empty(), "{:?}", update.removed);
    assert_eq!((&update.changed[0].market, update.changed[0].last), (&market("BTC"), None));
}

#[test]
fn a_market_on_two_boards_is_dropped_with_the_last_of_them() {
    let mut scene = Scene::new();
    scene.set_boards(&[spec(&["BTC"]), spec(&["ETH", "BTC"]), spec_of_second(&["BTC"])]);
    scene.tick(FIRST, "BTC", "200", STREAM);
    scene.tick(SECOND, "BTC", "201", STREAM);
    assert_eq!(scene.publish().changed.len(), 3, "the first two boards share the row");
    // One of two boards with the same source leaves the row alone.
    scene.set_boards(&[spec(&["ETH", "BTC"]), spec_of_second(&["BTC"])]);
    let update = scene.publish();
    assert!(update.removed.is_empty() && update.changed.is_empty(), "{update:?}");
    // The row of the other source keeps its feed, which the removed row read too.
    scene.set_boards(&[spec(&["ETH"]), spec_of_second(&["BTC"])]);
    let update = scene.publish();
    assert_eq!(update.removed, [(two_markets().source, market("BTC"))]);
    assert!(update.changed.is_empty(), "{update:?}");
    scene.tick(SECOND, "BTC", "202", STREAM);
    let update = scene.publish();
    assert_eq!((update.changed[0].last, &update.changed[0].source), (Some(price("202")), &SourceId::new(["second"])));
    // The row that returns reads that feed at once, and the dropped one of the first venue from the beginning.
    scene.set_boards(&[spec(&["BTC"]), spec_of_second(&["BTC"])]);
    scene.pass(6);
    scene.tick(SECOND, "BTC", "203", STREAM);
    let update = scene.publish();
    let row = update.changed.iter().find(|row| row.source == two_markets().source).unwrap();
    assert_eq!((row.venue, row.last), (SECOND, Some(price("203"))));
}

#[test]
fn what_a_dropped_feed_has_not_recorded_is_recorded() {
    let mut scene = Scene::new();
    scene.quotes.take_unrecorded();
    scene.tick(FIRST, "BTC", "200", STREAM);
    scene.pass(60);
    scene.tick(FIRST, "BTC", "201", STREAM);
    scene.set_boards(&[spec(&["ETH"])]);
    scene.set_boards(&[spec(&["BTC"])]);
    scene.tick(FIRST, "BTC", "300", STREAM);
    let records = scene.quotes.take_unrecorded();
    let last: Vec<_> = records.iter().filter_map(|records| Some(records.last.as_ref()?.last)).collect();
    assert_eq!(last, [price("201"), price("300")], "in the order in which they were made");
    assert!(!records[0].hours.is_empty());
    assert!(scene.quotes.take_unrecorded().is_empty());
}

#[test]
fn a_dropped_feed_waits_for_nothing_and_what_was_counted_stays() {
    let mut scene = Scene::new();
    let settings = BoardSettings { jump_max_percent: Some(20), ..BoardSettings::default() };
    scene.start_board(two_markets(), settings);
    scene.tick(FIRST, "BTC", "100", STREAM);
    scene.pass(1);
    scene.tick(FIRST, "BTC", "200", STREAM);
    scene.set_boards(&[spec(&["ETH"])]);
    assert!(scene.quotes.take_unconfirmed().is_empty());
    scene.pass(4);
    assert!(scene.quotes.take_unconfirmed().is_empty());
    assert_eq!(scene.rejected("price-jump"), Some(1));
    assert_eq!(scene.connected_health(FIRST).without_price, 1, "only the market that is still wanted");
}

#[test]
fn a_market_that_returns_does_not_get_a_base_of_an_earlier_listing() {
    let mut scene = Scene::new();
    scene.settle_past(1500, "300");
    scene.tick(FIRST, "BTC", "300", STREAM);
    // It leaves the list for longer than the same coin would.
    for bases in [&["BTC"][..], &["ETH"], &["ETH"]] {
        scene.pass(600);
        scene.list(FIRST, bases);
    }
    scene.sleep(7 * 3600);
    scene.list(FIRST, &["BTC", "ETH"]);
    scene.tick(FIRST, "BTC", "250", STREAM);
    assert_eq!(scene.row("BTC").bases, [None; 3]);
    scene.set_boards(&[spec(&["ETH"])]);
    scene.pass(5);
    scene.set_boards(&[spec(&["ETH", "BTC"])]);
    scene.tick(FIRST, "BTC", "250", STREAM);
    scene.settle_past(1500, "300");
    assert_eq!((scene.row("BTC").last, scene.row("BTC").bases), (Some(price("250")), [None; 3]));
}

#[test]
fn a_new_row_waits_for_its_preferred_venue() {
    let mut scene = Scene::new();
    scene.pass(60);
    scene.set_boards(&[spec(&["BTC", "ETH", "XRP"])]);
    scene.tick(SECOND, "XRP", "5", STREAM);
    assert_eq!((scene.row("XRP").venue, scene.row("XRP").last), (FIRST, None));
    scene.pass(6);
    scene.tick(SECOND, "XRP", "5", STREAM);
    assert_eq!((scene.row("XRP").venue, scene.row("XRP").last), (SECOND, Some(price("5"))));
}

#[test]
fn a_venue_whose_markets_are_all_new_is_not_down_before_it_could_send_a_price() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "200", STREAM);
    assert_eq!(scene.connected_health(FIRST).state, VenueState::Up);
    scene.pass(30);
    scene.tick(FIRST, "BTC", "200", STREAM);
    scene.set_boards(&[spec(&["XRP", "SOL"])]);
    assert_eq!(scene.connected_health(FIRST).state, VenueState::Connecting);
    scene.tick(FIRST, "XRP", "5", STREAM);
    assert_eq!(scene.connected_health(FIRST).state, VenueState::Up);
    // A change of some markets says nothing new about the others.
    scene.set_boards(&[spec(&["XRP"])]);
    scene.pass(20);
    let health = scene.connected_health(FIRST);
    let code = health.reason.as_ref().map(|Reason { code, .. }| *code);
    assert_eq!((health.state, code), (VenueState::Down, Some(ReasonCode::Unbelieved)), "{health:?}");
}
