//! Markets that disappear and return, are halted, or change their unit.

use sisepan::feed::{FeedRecords, Gap, JumpStatus, ListingRecord, Relisting};
use sisepan::market::{Change, NoChange, Redenomination};

use super::*;

const HOUR: u64 = 3600;

impl Scene {
    fn list_halted(&mut self, base: &str) {
        self.apply_list(FIRST, vec![listing(base, true)], &[], &[]);
    }

    /// Leaves the market out of two lists, then lists it again.
    fn relist(&mut self) {
        for bases in [&["BTC"][..], &["ETH"], &["ETH"], &["BTC"]] {
            self.pass(600);
            self.list(FIRST, bases);
        }
    }

    /// Applies two trades at the same price, a second apart.
    fn tick_twice(&mut self, last: &str) {
        self.tick(FIRST, "BTC", last, STREAM);
        self.pass(1);
        self.tick(FIRST, "BTC", last, STREAM);
    }

    fn gaps_of(&self, venue: VenueId) -> Vec<Gap> {
        let gaps = self.quotes.gaps(self.now).into_iter();
        gaps.filter(|gap| gap.venue == venue && gap.market == market("BTC")).collect()
    }
}

#[test]
fn in_52_a_relisted_market_never_gets_the_old_coins_base_back() {
    let mut scene = Scene::new();
    scene.settle_past(1500, "300");
    scene.tick(FIRST, "BTC", "300", STREAM);
    scene.relist();
    let since = Minute::of(scene.truth);
    for run in 0..2 {
        scene.tick_twice("3");
        assert_eq!(scene.row("BTC").last, Some(price("3")));
        assert!(scene.gaps_of(FIRST).iter().all(|gap| gap.span.start >= since), "{:?}", scene.gaps_of(FIRST));
        // The venue's candles under that name from before the listing, whichever request they answer.
        scene.settle_past(1500, "300");
        let with_base = Ticker { base_24h: Some(price("300")), ..Ticker::new(price("3")) };
        scene.ticker(FIRST, "BTC", with_base, STREAM);
        let row = scene.row("BTC");
        assert_eq!(row.bases, [None; 3], "run {run}");
        assert_eq!((row.low_24h, row.high_24h), (None, None), "run {run}");
        scene = scene.restarted();
    }
    // After a day of its own it has a base of its own.
    scene.sleep(24 * HOUR);
    scene.quotes.tick(scene.now);
    scene.settle_past(1440, "2");
    scene.tick(FIRST, "BTC", "3", STREAM);
    assert_eq!(scene.percent("BTC", Basis::UtcDay).as_deref(), Some("50.00"));
    scene.pass(60);
    scene.tick(FIRST, "BTC", "3", STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("50.00"));
}

#[test]
fn in_52_the_last_trade_of_the_former_coin_is_not_the_price_of_the_new_one() {
    let mut scene = Scene::new();
    let old = scene.truth;
    scene.tick(FIRST, "BTC", "300", STREAM);
    scene.relist();
    scene.ticker(FIRST, "BTC", Ticker { traded_at: Some(old), ..Ticker::new(price("300")) }, Via::Check);
    assert_eq!((scene.row("BTC").last, scene.counted("former-listing")), (None, 1));
}

#[test]
fn a_market_that_was_gone_before_a_restart_and_is_back_after_it_is_another_one() {
    let mut scene = Scene::new();
    scene.settle_past(1500, "300");
    scene.tick(FIRST, "BTC", "300", STREAM);
    scene.list(FIRST, &["BTC"]);
    scene.list(FIRST, &["ETH"]);
    scene.list(FIRST, &["ETH"]);
    let mut scene = scene.restarted();
    assert_eq!(scene.row("BTC").state, State::Halted, "before any list");
    scene.pass(HOUR);
    scene.list(FIRST, &["BTC"]);
    scene.tick_twice("3");
    scene.settle_past(1500, "300");
    assert_eq!(scene.percent("BTC", Basis::Rolling24h), None);
    let records = scene.quotes.take_unrecorded();
    let of = records.iter().find(|records| records.venue == FIRST && records.market == market("BTC")).unwrap();
    assert!(of.reset && of.listing.unwrap().since.is_some(), "{of:?}");
}

#[test]
fn one_faulty_list_or_an_unreadable_row_deletes_no_history() {
    let mut scene = Scene::new();
    scene.settle_past(1500, "200");
    scene.tick(FIRST, "BTC", "300", STREAM);
    // The first list after a start may be faulty, too.
    let mut scene = scene.restarted();
    for _ in 0..3 {
        scene.list(FIRST, &["ETH"]);
        scene.list(FIRST, &["BTC"]);
    }
    for _ in 0..5 {
        scene.apply_list(FIRST, vec![listing("ETH", false)], &["BTC"], &[]);
    }
    scene.list(FIRST, &["BTC"]);
    scene.tick(FIRST, "BTC", "300", STREAM);
    assert_eq!(scene.row("BTC").state, State::Live);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("50.00"));
    // Two lists lack it, but they are not consecutive.
    scene.list(FIRST, &["ETH"]);
    scene.apply_list(FIRST, vec![listing("ETH", false)], &["BTC"], &[]);
    scene.list(FIRST, &["ETH"]);
    assert_eq!(scene.row("BTC").state, State::Live);
}

#[test]
fn a_list_that_is_not_the_first_to_lack_a_market_delists_it() {
    for (lists, state) in [(1, State::Live), (2, State::Halted), (11, State::Halted)] {
        let mut scene = Scene::new();
        scene.list(FIRST, &["BTC", "ETH"]);
        scene.tick(FIRST, "BTC", "300", STREAM);
        let (listings, missing) = (vec![listing("ETH", false)], vec![(market("BTC"), lists)]);
        let (unreadable, other_assets) = (Vec::new(), Vec::new());
        let event = Event::Listings { venue: FIRST, listings, unreadable, missing, other_assets };
        scene.quotes.apply(event, scene.now);
        assert_eq!(scene.row("BTC").state, state, "after {lists} lists");
    }
}

#[test]
fn in_54_a_halt_under_the_same_name_is_another_listing_after_a_day() {
    for (hours, kept) in [(1, true), (23, true), (25, false), (18 * 24, false)] {
        let mut scene = Scene::new();
        scene.list(FIRST, &["BTC"]);
        scene.tick(FIRST, "BTC", "200", STREAM);
        scene.settle_past(1500, "200");
        scene.list_halted("BTC");
        let row = scene.row("BTC");
        assert_eq!((row.state, row.last), (State::Halted, Some(price("200"))));
        // Also if the process did not run for a part of it.
        let mut scene = scene.restarted();
        scene.sleep(hours * HOUR);
        scene.quotes.tick(scene.now);
        scene.list(FIRST, &["BTC"]);
        scene.tick(FIRST, "BTC", "300", STREAM);
        scene.settle_past(1500, "200");
        assert_eq!(scene.percent("BTC", Basis::Rolling24h).is_some(), kept, "{hours} h");
        assert_eq!(scene.row("BTC").state, State::Live);
    }
}

#[test]
fn in_53_a_price_in_another_unit_has_no_change_until_its_base_is_in_it_too() {
    for (before, after) in [("100", "10900"), ("10900", "100"), ("5", "47")] {
        let mut scene = Scene::new();
        scene.settle_past(1500, before);
        scene.tick(FIRST, "BTC", before, STREAM);
        assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("0.00"));
        scene.pass(60);
        scene.tick(FIRST, "BTC", after, STREAM);
        scene.quotes.tick(scene.now);
        let row = scene.row("BTC");
        assert_eq!((row.state, row.last, row.bases), (State::Live, Some(price(after)), [None; 3]), "{before}");
        assert_eq!((row.low_24h, row.high_24h), (None, None));
        assert_eq!(scene.counted("rescaled"), 1);

        // This lasts, also across a restart, and ends by itself.
        scene.pass(300);
        scene.settle_past(4, after);
        scene.tick(FIRST, "BTC", after, STREAM);
        assert_eq!(scene.percent("BTC", Basis::Rolling24h), None);
        let mut scene = scene.restarted();
        scene.tick(FIRST, "BTC", after, STREAM);
        assert_eq!(scene.percent("BTC", Basis::Rolling24h), None);
        scene.sleep(24 * HOUR);
        scene.quotes.tick(scene.now);
        scene.settle_past(1440, after);
        scene.tick(FIRST, "BTC", after, STREAM);
        assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("0.00"), "a day later");
    }
}

#[test]
fn in_53_a_jump_that_does_not_last_leaves_nothing_behind() {
    let mut scene = Scene::new();
    scene.settle_past(1500, "100");
    for (last, percent) in [("100", Some("0.00")), ("1000", None), ("101", Some("1.00"))] {
        scene.pass(61);
        scene.tick(FIRST, "BTC", last, STREAM);
        assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), percent, "{last}");
    }
}

#[test]
fn in_53_a_market_that_falls_gradually_is_shown_as_it_falls() {
    let mut scene = Scene::new();
    scene.settle_past(1500, "1000");
    let mut last = 1000;
    while last > 80 {
        last = last * 9 / 10;
        scene.pass(60);
        scene.tick(FIRST, "BTC", &last.to_string(), STREAM);
        let exact = Change::between(price(&last.to_string()), price("1000"), 2).unwrap();
        assert_eq!(scene.percent("BTC", Basis::Rolling24h), Some(exact.percent.to_string()));
    }
    assert_eq!(scene.counted("rescaled"), 0);
}

impl Scene {
    /// Like [`Scene::restarted`], with redenominations of the first market.
    fn restarted_with(&mut self, entries: &[(Timestamp, &str)]) -> Self {
        let records = self.quotes.take_unrecorded();
        let mut next = self.restarted();
        let of = |&(at, factor): &(Timestamp, &str)| Redenomination {
            venue: FIRST,
            market: market("BTC"),
            at: Minute::of(at),
            factor: price(factor),
        };
        let settings = BoardSettings { redenominations: entries.iter().map(of).collect(), ..BoardSettings::default() };
        next.start_board(two_markets(), settings);
        records.iter().for_each(|record| next.quotes.restore(record));
        next
    }
}

#[test]
fn in_53_with_the_operators_factor_the_change_is_exact_over_any_number_of_restarts() {
    let mut scene = Scene::new();
    scene.settle_past(1500, "123.45");
    scene.tick(FIRST, "BTC", "123.45", STREAM);
    scene.pass(60);
    // From this minute on one new coin stands for a hundred old ones.
    let at = scene.truth;
    scene.tick(FIRST, "BTC", "12500.00", STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h), None);
    let base = |scene: &mut Scene| scene.row("BTC").base(Basis::Rolling24h).map(|base| base.price.to_string());
    for run in 0..3 {
        scene.quotes.mark_all_unrecorded();
        scene = scene.restarted_with(&[(at, "100")]);
        assert_eq!(base(&mut scene).as_deref(), Some("12345"), "run {run}, with the last price of the previous one");
        scene.pass(61);
        scene.tick(FIRST, "BTC", "12500.00", STREAM);
        assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("1.26"), "run {run}");
        let row = scene.row("BTC");
        assert_eq!((row.low_24h, row.high_24h), (None, None), "a day of two units");
        assert_eq!(scene.counted("rescaled"), 0);
    }
    // An entry that is removed leaves nothing behind.
    scene.quotes.mark_all_unrecorded();
    let mut scene = scene.restarted_with(&[]);
    scene.tick(FIRST, "BTC", "12500.00", STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h), None);
}

#[test]
fn in_53_a_last_price_from_before_the_change_keeps_its_own_base() {
    let mut scene = Scene::new();
    scene.settle_past(1500, "100");
    scene.tick(FIRST, "BTC", "110", STREAM);
    let (old, at) = (scene.truth, scene.truth + SignedDuration::from_mins(1));
    scene.quotes.mark_all_unrecorded();
    let mut scene = scene.restarted_with(&[(at, "0.01")]);
    scene.sleep(600);
    scene.quotes.tick(scene.now);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("10.00"), "stale, from before the change");
    // It was still the last trade after the change, but it is in the old unit.
    let again = Ticker { traded_at: Some(old), sent_at: Some(scene.truth), ..Ticker::new(price("110")) };
    scene.ticker(FIRST, "BTC", again, STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("10.00"), "live, from before the change");
    scene.tick(FIRST, "BTC", "1.2", STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("20.00"));
}

#[test]
fn in_53_a_base_that_can_not_be_represented_exactly_in_the_new_unit_is_unknown() {
    let mut scene = Scene::new();
    scene.settle_past(1500, "1.2345678901234567890123456789");
    scene.tick(FIRST, "BTC", "1.2345678901234567890123456789", STREAM);
    let at = scene.truth + SignedDuration::from_mins(1);
    scene.quotes.mark_all_unrecorded();
    let mut scene = scene.restarted_with(&[(at, "0.3")]);
    scene.pass(61);
    scene.tick(FIRST, "BTC", "0.4", STREAM);
    assert_eq!((scene.row("BTC").state, scene.percent("BTC", Basis::Rolling24h)), (State::Live, None));
}

#[test]
fn in_53_the_venues_own_base_is_not_used_across_a_change_of_unit() {
    let mut scene = Scene::new();
    let at = scene.truth;
    let mut scene = scene.restarted_with(&[(at, "0.5")]);
    let with_base =
        |scene: &Scene| Ticker { sent_at: Some(scene.truth), base_24h: Some(price("100")), ..Ticker::new(price("60")) };
    let ticker = with_base(&scene);
    scene.ticker(FIRST, "BTC", ticker, STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h), None, "in the old unit, or converted to the new one: unknown");
    scene.sleep(25 * HOUR);
    let ticker = with_base(&scene);
    scene.ticker(FIRST, "BTC", ticker, STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("-40.00"));
}

#[test]
fn in_52_the_venues_rolling_base_from_before_a_new_listing_is_not_used() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "4", STREAM);
    scene.relist();
    scene.tick_twice("3");
    // So close to the new price that nothing else would reveal it.
    for (hours, percent) in [(0, None), (25, Some("-25.00"))] {
        scene.sleep(hours * HOUR);
        let ticker = Ticker { sent_at: Some(scene.truth), base_24h: Some(price("4")), ..Ticker::new(price("3")) };
        scene.ticker(FIRST, "BTC", ticker, STREAM);
        assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), percent, "{hours} h");
    }
}

/// Returns what the store receives for the first market at the first venue.
fn recorded(scene: &mut Scene) -> Option<FeedRecords> {
    let records = scene.quotes.take_unrecorded();
    records.into_iter().find(|records| records.venue == FIRST && records.market == market("BTC"))
}

#[test]
fn fc_11_a_market_back_after_a_short_absence_keeps_its_window_and_its_stored_hours() {
    for restarted in [false, true] {
        let mut scene = Scene::new();
        scene.settle_past(1500, "200");
        scene.tick(FIRST, "BTC", "300", STREAM);
        scene.list(FIRST, &["BTC"]);
        scene.list(FIRST, &["ETH"]);
        scene.list(FIRST, &["ETH"]);
        let row = scene.row("BTC");
        assert_eq!((row.state, row.last), (State::Halted, Some(price("300"))));
        if restarted {
            scene = scene.restarted();
        }
        scene.pass(600);
        scene.list(FIRST, &["BTC"]);
        assert_eq!(scene.row("BTC").last, None, "not known yet to be the same coin");
        scene.pass(5);
        scene.tick(FIRST, "BTC", "301", STREAM);
        let row = scene.row("BTC");
        assert_eq!((row.state, row.last), (State::Live, Some(price("301"))));
        assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("50.50"), "{restarted}");
        // The absence is a gap that candles fill.
        let gaps = scene.gaps_of(FIRST);
        assert!(gaps.iter().any(|gap| gap.span.contains(&Minute::of(scene.truth).plus(-5))), "{gaps:?}");
        let records = recorded(&mut scene).unwrap();
        assert!(!records.reset && records.listing.unwrap() == ListingRecord::default(), "{records:?}");
        assert_eq!(scene.quotes.take_relistings(), []);
        let mut scene = scene.restarted();
        scene.tick(FIRST, "BTC", "301", STREAM);
        assert_eq!(scene.row("BTC").state, State::Live);
    }
}

#[test]
fn fc_11_a_market_that_still_trades_although_its_list_lacks_it_is_back() {
    let mut scene = Scene::new();
    scene.settle_past(1500, "200");
    scene.tick(FIRST, "BTC", "300", STREAM);
    scene.list(FIRST, &["ETH"]);
    scene.list(FIRST, &["ETH"]);
    assert_eq!(scene.row("BTC").state, State::Halted);
    scene.pass(60);
    scene.apply_list(FIRST, vec![listing("ETH", false)], &["BTC"], &[]);
    scene.tick(FIRST, "BTC", "303", STREAM);
    assert_eq!(scene.row("BTC").state, State::Live);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("51.50"));
}

#[test]
fn fc_11_after_a_long_absence_or_at_another_price_a_new_listing_begins_with_a_cause() {
    for (hours, last, cause) in [
        (7, "300", "it was not listed for 7 h"),
        (1, "3", "relisted at 3, which does not continue its last price of 300"),
        (1, "400", "relisted at 400, which does not continue its last price of 300"),
    ] {
        let mut scene = Scene::new();
        scene.settle_past(1500, "200");
        scene.tick(FIRST, "BTC", "300", STREAM);
        scene.list(FIRST, &["ETH"]);
        scene.list(FIRST, &["ETH"]);
        scene.sleep(hours * HOUR);
        scene.list(FIRST, &["BTC"]);
        scene.pass(5);
        scene.tick_twice(last);
        assert_eq!((scene.row("BTC").last, scene.row("BTC").bases), (Some(price(last)), [None; 3]), "{cause}");
        let causes: Vec<String> = scene.quotes.take_relistings().into_iter().map(|relisting| relisting.cause).collect();
        assert_eq!(causes, [cause]);
        let records = recorded(&mut scene).unwrap();
        assert!(records.reset && records.listing.unwrap().since.is_some(), "{records:?}");
    }
}

#[test]
fn fc_11_a_ticker_that_does_not_prove_the_same_coin_shows_no_price_and_deletes_nothing() {
    let id = |last: &str, id: u64| Ticker { trade_id: Some(id), ..Ticker::new(price(last)) };
    let mut scene = Scene::new();
    scene.settle_past(1500, "200");
    scene.ticker(FIRST, "BTC", id("300", 70), STREAM);
    scene.relist();
    for unproven in [id("300", 70), id("301", 69)] {
        scene.ticker(FIRST, "BTC", unproven, Via::Check);
        let row = scene.row("BTC");
        assert_eq!((row.state, row.last), (State::Unknown, None));
        assert_eq!(row.no_change(Basis::Rolling24h), Some(NoChange::Returned));
    }
    assert_eq!(scene.counted("former-listing"), 2);
    assert_eq!(scene.why_no_price("BTC"), Some("former-listing"));
    // When it is gone again, its previous data is back.
    scene.list(FIRST, &["ETH"]);
    scene.list(FIRST, &["ETH"]);
    assert_eq!((scene.row("BTC").state, scene.row("BTC").last), (State::Halted, Some(price("300"))));
    scene.list(FIRST, &["BTC"]);
    scene.ticker(FIRST, "BTC", id("301", 71), STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("50.50"));
    assert!(!recorded(&mut scene).unwrap().reset);
    // Trade ids that restart, at another price, belong to another coin.
    scene.relist();
    scene.ticker(FIRST, "BTC", id("500", 1), STREAM);
    scene.ticker(FIRST, "BTC", id("500", 2), STREAM);
    assert_eq!((scene.row("BTC").last, scene.row("BTC").bases), (Some(price("500")), [None; 3]));
    assert!(recorded(&mut scene).unwrap().reset);
}

#[test]
fn fc_11_only_the_time_off_the_list_counts_as_an_absence() {
    for restarted in [false, true] {
        let mut scene = Scene::new();
        scene.settle_past(1500, "200");
        scene.tick(FIRST, "BTC", "300", STREAM);
        for _ in 0..2 {
            scene.relist();
            // It is a quiet market: no trade decides for a long time.
            for _ in 0..7 {
                scene.sleep(HOUR);
                scene.list(FIRST, &["BTC"]);
            }
            if restarted {
                scene.quotes.mark_all_unrecorded();
                scene = scene.restarted();
                scene.list(FIRST, &["BTC"]);
            }
        }
        scene.tick(FIRST, "BTC", "301", STREAM);
        let about_btc = |relisting: &Relisting| relisting.market == market("BTC");
        assert!(!scene.quotes.take_relistings().iter().any(about_btc), "{restarted}");
        let records = recorded(&mut scene).unwrap();
        assert!(!records.reset && records.listing.unwrap() == ListingRecord::default(), "{records:?}");
        assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("50.50"), "{restarted}");
    }
}

#[test]
fn fc_11_a_market_whose_trade_ids_restart_is_another_one_once_that_is_certain() {
    let id = |scene: &Scene, last: &str, id: u64| Ticker {
        trade_id: Some(id),
        sent_at: Some(scene.truth),
        ..Ticker::new(price(last))
    };
    let mut scene = Scene::new();
    scene.settle_past(1500, "200");
    scene.ticker(FIRST, "BTC", id(&scene, "300", 70), STREAM);
    scene.relist();
    // It may come from an outdated copy.
    scene.ticker(FIRST, "BTC", id(&scene, "301", 9), Via::Check);
    assert_eq!(scene.row("BTC").last, None);
    scene.pass(31);
    scene.ticker(FIRST, "BTC", id(&scene, "302", 10), Via::Check);
    assert_eq!(scene.row("BTC").last, None, "a single record may be faulty");
    scene.ticker(FIRST, "BTC", id(&scene, "302", 10), Via::Check);
    assert_eq!((scene.row("BTC").last, scene.row("BTC").bases), (Some(price("302")), [None; 3]));
    let causes: Vec<String> = scene.quotes.take_relistings().into_iter().map(|relisting| relisting.cause).collect();
    assert_eq!(causes, ["relisted at 302 (trade 10), which does not continue its last price of 300 (trade 70)"]);
}

#[test]
fn fc_11_a_market_that_a_faulty_first_list_lacked_has_its_history_when_it_appears() {
    let mut scene = Scene::new();
    scene.list(FIRST, &["ETH"]);
    scene.pass(60);
    scene.list(FIRST, &["BTC", "ETH"]);
    scene.tick(FIRST, "BTC", "300", STREAM);
    scene.settle_past(1500, "200");
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("50.00"));
}

#[test]
fn fc_11_a_redenominated_market_continues_in_its_new_unit() {
    let mut scene = Scene::new();
    scene.settle_past(1500, "200");
    scene.tick(FIRST, "BTC", "200", STREAM);
    let at = scene.truth + SignedDuration::from_mins(10);
    scene.quotes.mark_all_unrecorded();
    let mut scene = scene.restarted_with(&[(at, "100")]);
    scene.relist();
    scene.tick(FIRST, "BTC", "20200", STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("1.00"));
    assert_eq!(scene.quotes.take_relistings(), []);
}

/// A market that traded at 300, was missing from two lists, and is listed again.
fn back_at_300() -> Scene {
    let mut scene = Scene::new();
    scene.settle_past(1500, "200");
    scene.tick(FIRST, "BTC", "300", STREAM);
    scene.relist();
    scene.pass(5);
    scene
}

#[test]
fn fc_11_one_distant_price_of_a_market_that_is_back_shows_nothing_and_deletes_nothing() {
    for restarted in [false, true] {
        let mut scene = back_at_300();
        scene.tick(FIRST, "BTC", "3", STREAM);
        let key = (FIRST, market("BTC"));
        assert!(scene.quotes.take_unconfirmed().contains(&key), "it is checked at once");
        // The same record, repeated, is not a confirmation.
        let again = Ticker { traded_at: Some(scene.truth), ..Ticker::new(price("3")) };
        scene.ticker(FIRST, "BTC", again, STREAM);
        assert_eq!((scene.row("BTC").state, scene.row("BTC").last), (State::Unknown, None));
        assert_eq!((scene.counted("price-jump"), scene.quotes.take_relistings().len()), (1, 0));
        assert_eq!(scene.why_no_price("BTC"), Some("former-listing"));
        assert!(recorded(&mut scene).is_none_or(|records| !records.reset));
        if restarted {
            scene.quotes.mark_all_unrecorded();
            scene = scene.restarted();
            scene.list(FIRST, &["BTC"]);
        }
        scene.pass(3);
        scene.tick(FIRST, "BTC", "301", STREAM);
        let row = scene.row("BTC");
        assert_eq!((row.state, row.last), (State::Live, Some(price("301"))));
        assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("50.50"), "{restarted}");
        assert_eq!(scene.counted("price-jump-refuted"), u64::from(!restarted));
        assert!(!recorded(&mut scene).unwrap().reset);
    }
}

#[test]
fn fc_11_a_distant_price_of_a_market_that_is_back_is_accepted_once_it_is_confirmed() {
    let same =
        |scene: &Scene, at| Ticker { traded_at: Some(at), sent_at: Some(scene.truth), ..Ticker::new(price("3")) };
    for (requested_since, another, accepted) in [(true, false, true), (false, false, false), (false, true, true)] {
        let mut scene = back_at_300();
        let (first, before) = (scene.truth, scene.now);
        scene.pass(1);
        scene.ticker(FIRST, "BTC", same(&scene, first), STREAM);
        let requested = if requested_since { scene.now } else { before };
        let at = if another { scene.truth } else { first };
        scene.respond(FIRST, "BTC", same(&scene, at), requested, Via::Check);
        assert_eq!(scene.row("BTC").last, accepted.then(|| price("3")), "{requested_since} {another}");
        assert_eq!(scene.quotes.take_relistings().len(), usize::from(accepted));
    }
    // A third price replaces the second.
    let mut scene = back_at_300();
    for (last, shown) in [("3", None), ("30", None), ("3", None), ("3", Some("3"))] {
        scene.pass(1);
        scene.tick(FIRST, "BTC", last, STREAM);
        assert_eq!(scene.row("BTC").last, shown.map(price), "{last}");
    }
}

/// Returns the price that is held back of a market that was at 300: the next trade near that refutes it.
fn held_until_refuted(mut scene: Scene) -> Option<Price> {
    scene.quotes.take_jumps();
    scene.pass(1);
    scene.tick(FIRST, "BTC", "301", STREAM);
    let jumps = scene.quotes.take_jumps();
    assert!(jumps.len() <= 1 && jumps.iter().all(|jump| jump.status == JumpStatus::Refuted), "{jumps:?}");
    jumps.first().map(|jump| jump.held)
}

#[test]
fn fc_11_a_distant_price_of_a_market_that_is_back_gives_way_to_the_exchanges_response() {
    let after_responses = |responses: usize| {
        let mut scene = back_at_300();
        let real = Ticker { traded_at: Some(scene.truth), ..Ticker::new(price("390")) };
        scene.pass(2);
        scene.tick(FIRST, "BTC", "3", STREAM);
        // A response from before the bad record proves nothing about it.
        scene.respond(FIRST, "BTC", real.clone(), scene.now.earlier_by(Duration::from_secs(1)), Via::Check);
        for _ in 0..responses {
            scene.pass(1);
            scene.ticker(FIRST, "BTC", real.clone(), Via::Check);
        }
        scene
    };
    for (responses, held, last) in [(0, Some("3"), None), (1, Some("390"), None), (2, None, Some("390"))] {
        let mut scene = after_responses(responses);
        assert_eq!(scene.row("BTC").last, last.map(price), "a repeated response is accepted");
        assert_eq!(held_until_refuted(scene), held.map(price), "after {responses} responses");
    }
}

#[test]
fn fc_11_a_distant_price_that_nothing_confirms_is_checked_for_a_minute() {
    let mut scene = back_at_300();
    let key = (FIRST, market("BTC"));
    scene.tick(FIRST, "BTC", "3", STREAM);
    let mut requested = 0;
    for _ in 0..40 {
        scene.pass(4);
        requested += usize::from(scene.quotes.take_unconfirmed().contains(&key));
    }
    assert!((10..=16).contains(&requested), "{requested}");
    // The next trade decides, however late.
    scene.tick(FIRST, "BTC", "301", STREAM);
    assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("50.50"));
    scene.quotes.tick(scene.now);
    assert!(scene.quotes.take_relistings().is_empty() && !scene.quotes.take_unconfirmed().contains(&key));
}

#[test]
fn fc_11_tickers_of_a_market_that_is_gone_are_ignored_until_it_is_listed_also_after_a_restart() {
    for restarted in [false, true] {
        let mut scene = Scene::new();
        scene.settle_past(1500, "200");
        scene.tick(FIRST, "BTC", "300", STREAM);
        scene.list(FIRST, &["ETH"]);
        scene.list(FIRST, &["ETH"]);
        if restarted {
            scene = scene.restarted();
        }
        scene.pass(HOUR);
        // The stream is faster than the list: another coin, or a bad record.
        scene.tick(FIRST, "BTC", "130", STREAM);
        let row = scene.row("BTC");
        assert_eq!((row.state, row.last), (State::Halted, Some(price("300"))), "{restarted}");
        scene.pass(5);
        scene.list(FIRST, &["BTC"]);
        scene.tick(FIRST, "BTC", "131", STREAM);
        assert_eq!(scene.row("BTC").last, None, "{restarted}: far from the previous price, and not confirmed");
        scene.pass(5);
        scene.tick(FIRST, "BTC", "301", STREAM);
        let row = scene.row("BTC");
        assert_eq!((row.state, row.last), (State::Live, Some(price("301"))), "{restarted}");
        assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("50.50"), "{restarted}");
    }
}

#[test]
fn fc_11_a_trade_between_the_list_without_a_market_and_the_next_one_with_it_counts() {
    for (hours, restarted) in [(1, false), (1, true), (7, false)] {
        let mut scene = Scene::new();
        scene.tick(FIRST, "BTC", "300", STREAM);
        let old = scene.truth;
        scene.pass(60);
        scene.list(FIRST, &["ETH"]);
        scene.list(FIRST, &["ETH"]);
        if restarted {
            scene = scene.restarted();
        }
        scene.sleep(hours * HOUR);
        let traded = scene.truth;
        scene.pass(600);
        scene.list(FIRST, &["BTC"]);
        for (at, last) in [(old, None), (traded, Some(price("303")))] {
            let ticker = Ticker { traded_at: Some(at), ..Ticker::new(price("303")) };
            scene.ticker(FIRST, "BTC", ticker, Via::Check);
            assert_eq!(scene.row("BTC").last, last, "{hours} h, {restarted}");
        }
        // It is the price after a restart as well, and the base a day later, although there was no trade
        // since.
        let mut scene = scene.restarted();
        scene.list(FIRST, &["BTC"]);
        let ticker = Ticker { traded_at: Some(traded), ..Ticker::new(price("303")) };
        scene.ticker(FIRST, "BTC", ticker.clone(), Via::Check);
        assert_eq!(scene.row("BTC").state, State::Live, "{hours} h, {restarted}");
        if hours == 7 {
            assert_eq!(scene.row("BTC").no_change(Basis::Rolling24h), Some(NoChange::NewListing));
            scene.sleep(25 * HOUR);
            scene.quotes.tick(scene.now);
            let from = Minute::of(traded);
            let span = from..Minute::of(scene.truth);
            let settled =
                Event::Settled { venue: FIRST, market: market("BTC"), span, closes: vec![(from, price("303"))] };
            scene.quotes.apply(settled, scene.now);
            scene.ticker(FIRST, "BTC", ticker, Via::Check);
            assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("0.00"));
            assert!(scene.gaps_of(FIRST).iter().all(|gap| gap.urgency != Urgency::Base), "{:?}", scene.gaps_of(FIRST));
        }
    }
}

#[test]
fn in_54_after_a_long_halt_the_last_trade_before_it_does_not_belong_to_the_new_listing() {
    let mut scene = Scene::new();
    scene.list(FIRST, &["ETH"]);
    scene.list(FIRST, &["ETH"]);
    scene.pass(60);
    scene.list(FIRST, &["BTC"]);
    let old = scene.truth;
    scene.tick(FIRST, "BTC", "200", STREAM);
    scene.pass(60);
    scene.list_halted("BTC");
    scene.sleep(25 * HOUR);
    scene.list(FIRST, &["BTC"]);
    scene.ticker(FIRST, "BTC", Ticker { traded_at: Some(old), ..Ticker::new(price("200")) }, Via::Check);
    assert_eq!((scene.row("BTC").last, scene.counted("former-listing")), (None, 1));
}

#[test]
fn a_symbol_that_stands_for_another_asset_loses_its_price_at_once_and_returns_as_another_listing() {
    for restarts in [false, true] {
        let mut scene = Scene::new();
        scene.settle_past(1500, "200");
        scene.tick(FIRST, "BTC", "300", STREAM);
        scene.list(FIRST, &["BTC"]);
        assert_eq!(scene.percent("BTC", Basis::Rolling24h).as_deref(), Some("50.00"));
        // A single list is enough, and neither what is still under way nor a list that lacks it changes anything.
        scene.apply_list(FIRST, vec![listing("ETH", false)], &[], &["BTC"]);
        for _ in 0..2 {
            let row = scene.row("BTC");
            assert_eq!((row.state, row.last, row.bases), (State::Unknown, None, [None; 3]));
            scene.tick_twice("301");
            scene.settle_past(1500, "7");
            scene.list(FIRST, &["ETH"]);
        }
        assert_eq!(scene.quotes.take_relistings().len(), 1);
        if restarts {
            scene = scene.restarted();
        }
        scene.pass(60);
        scene.list(FIRST, &["BTC"]);
        scene.tick_twice("3");
        scene.settle_past(1500, "7");
        let row = scene.row("BTC");
        assert_eq!((row.state, row.last, row.bases), (State::Live, Some(price("3")), [None; 3]), "{restarts}");
        assert_eq!(scene.quotes.take_relistings().len(), 1);
    }
}
