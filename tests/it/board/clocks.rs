//! Wall clocks that are wrong or adjusted, a stopped process, a machine that slept.

use std::collections::BTreeSet;

use sisepan::market::VenueClock;

use super::*;

const DAY: u64 = 86_400;

/// By how much an operator or a time server adjusts our clock, in seconds.
const STEPS: [i64; 7] = [5, -5, 3_600, -3_600, 90_000, -90_000, 34];

impl Scene {
    /// Reports the venue's clock, as after a response.
    fn report_clock(&mut self, venue: VenueId) {
        let clock = VenueClock::showing(self.truth, self.now.monotonic).unwrap();
        self.quotes.apply(Event::Clock { venue, clock }, self.now);
    }

    fn step_wall(&mut self, seconds: i64) {
        self.now.wall += SignedDuration::from_secs(seconds);
    }

    /// Applies a day of closes: 100, 101, 102 and so on, so that each minute has its own.
    fn settle_day(&mut self) {
        let from = self.truth - SignedDuration::from_mins(1441);
        let closes: Vec<String> = (0..1441).map(|n| (100 + n).to_string()).collect();
        let closes: Vec<&str> = closes.iter().map(String::as_str).collect();
        self.settle(FIRST, "BTC", &from.to_string(), &closes);
    }

    /// Returns the 24-hour base as price and time.
    fn base(&mut self) -> Option<(String, Timestamp)> {
        self.row("BTC").base(Basis::Rolling24h).map(|base| (base.price.to_string(), base.at))
    }

    /// Returns the minutes since `from` whose close is known, as `minute of the hour: close`.
    fn known_since(&mut self, from: &str) -> Vec<String> {
        let window = self.recorded_window();
        let from = Minute::of(from.parse().unwrap());
        let minutes = (0..Minute::of(self.truth).0 - from.0).map(|n| from.plus(n));
        let known = minutes.filter_map(|m| Some((m, window.price_before(m.end())?)));
        known.map(|(m, price)| format!("{:02}: {price}", m.0.rem_euclid(60))).collect()
    }
}

#[test]
fn in_43_a_step_of_our_clock_moves_no_base_and_rejects_no_price() {
    for step in STEPS {
        let mut scene = Scene::new();
        scene.report_clock(FIRST);
        scene.settle_day();
        scene.tick(FIRST, "BTC", "2000", STREAM);
        let day_ago = scene.truth - SignedDuration::from_hours(24);
        assert_eq!(scene.base(), Some(("100".to_owned(), day_ago)));
        scene.step_wall(step);
        assert_eq!(scene.row("BTC").state, State::Live, "{step} s");
        for minute in 1..=3u64 {
            for _ in 0..20 {
                scene.pass(3);
                scene.tick(FIRST, "BTC", &(2000 + minute).to_string(), STREAM);
                assert_eq!(scene.row("BTC").state, State::Live, "{step} s");
            }
            let at = day_ago + SignedDuration::from_mins(i64::try_from(minute).unwrap());
            assert_eq!(scene.base(), Some(((100 + minute).to_string(), at)), "{step} s");
        }
        assert_eq!(scene.all_rejected(), 0, "{step} s");
        let (known, gaps) = (scene.known_since("2026-01-15T06:26:00Z"), scene.quotes.gaps(scene.now));
        assert_eq!(known, ["26: 1540", "27: 2001", "28: 2002", "29: 2003"], "{step} s: nothing is dropped");
        assert!(!gaps.iter().any(|gap| gap.venue == FIRST && gap.market == market("BTC")), "{step} s: {gaps:?}");
    }
}

#[test]
fn setting_a_clock_back_corrects_what_the_wrong_clock_has_dated() {
    let mut scene = Scene::new();
    scene.settle_day();
    let right = scene.truth;
    let send_figures = |scene: &mut Scene| {
        let day =
            Ticker { base_volume_24h: Some(7.into()), high_24h: Some(price("9999")), ..Ticker::new(price("1000")) };
        scene.ticker(FIRST, "BTC", Ticker { traded_at: Some(right), ..day }, Via::Check);
    };
    scene.report_clock(FIRST);
    send_figures(&mut scene);
    let before = scene.row("BTC");
    scene.truth += SignedDuration::from_hours(3);
    scene.report_clock(FIRST);
    send_figures(&mut scene);
    scene.truth = right;
    scene.report_clock(FIRST);
    scene.sleep(1);
    send_figures(&mut scene);
    let after = scene.row("BTC");
    assert_eq!(after.base_volume_24h, Some(7.into()));
    assert_eq!((after.high_24h, after.range_source), (before.high_24h, before.range_source));
    assert_eq!(after.base(Basis::Rolling24h), before.base(Basis::Rolling24h));
    // The same at the start, where the wrong clock is our own and the venue's is not known yet.
    let mut start = Scene::new();
    start.settle_day();
    start.step_wall(3 * 3600);
    send_figures(&mut start);
    start.report_clock(FIRST);
    start.sleep(1);
    send_figures(&mut start);
    assert_eq!(start.row("BTC").base_volume_24h, Some(7.into()));
    // Figures reported meanwhile expire after five minutes as well.
    for _ in 0..6 {
        scene.pass(60);
        let at = Some(scene.truth);
        scene.ticker(FIRST, "BTC", Ticker { traded_at: at, ..Ticker::new(price("1000")) }, Via::Check);
    }
    assert_eq!(scene.row("BTC").base_volume_24h, None);
}

#[test]
fn in_43_a_host_whose_clock_was_always_wrong_shows_the_venues_day() {
    for step in STEPS {
        let mut scene = Scene::new();
        scene.step_wall(step);
        // The first dated response comes before the first accepted price.
        scene.tick(FIRST, "BTC", "1999", STREAM);
        assert!(step.abs() < 15 || scene.row("BTC").state != State::Live, "{step} s");
        scene.report_clock(FIRST);
        let gaps = scene.quotes.gaps(scene.now);
        let base = Minute::of(scene.truth).plus(-24 * 60 - 1);
        assert!(gaps.iter().any(|gap| gap.venue == FIRST && gap.span == (base..base.plus(1))), "{step} s");
        scene.settle_day();
        scene.pass(1);
        scene.tick(FIRST, "BTC", "2000", STREAM);
        let day_ago = "2026-01-14T06:27:00Z".parse().unwrap();
        assert_eq!(
            (scene.row("BTC").state, scene.base()),
            (State::Live, Some(("100".to_owned(), day_ago))),
            "{step} s"
        );
        // The figures of the last confirmation stay, also after a restart.
        let mut scene = scene.restarted();
        scene.pass(100);
        assert_eq!(
            (scene.row("BTC").state, scene.base()),
            (State::Stale, Some(("100".to_owned(), day_ago))),
            "{step} s"
        );
    }
}

#[test]
fn no_price_from_after_a_pause_is_recorded_for_its_minutes() {
    for (asleep, ticked) in [(600, false), (600, true), (8 * 3600, true), (40, false)] {
        let mut scene = Scene::new();
        scene.report_clock(FIRST);
        for _ in 0..25 {
            scene.tick(FIRST, "BTC", "300", STREAM);
            scene.pass(4);
        }
        assert_eq!(scene.known_since("2026-01-15T06:27:00Z"), ["27: 300"]);
        // Stopped in the middle of 06:28.
        scene.sleep(asleep);
        if ticked {
            scene.quotes.tick(scene.now);
            assert_eq!(scene.row("BTC").state, State::Stale, "nothing old is live");
        }
        let began = Minute::of(scene.truth);
        // The same connection continues, as if nothing had happened.
        scene.tick(FIRST, "BTC", "500", STREAM);
        assert_eq!(scene.row("BTC").state, State::Live, "live again with the first current message");
        scene.pass(120);
        scene.tick(FIRST, "BTC", "501", STREAM);
        let (known, first) = (scene.known_since("2026-01-15T06:28:00Z"), began.0.rem_euclid(60));
        assert_eq!(known, [format!("{first:02}: 500"), format!("{:02}: 500", first + 1)], "asleep {asleep} s");
    }
}

#[test]
fn messages_buffered_by_a_socket_during_a_pause_are_old_when_they_are_read() {
    let mut scene = Scene::new();
    scene.report_clock(FIRST);
    scene.tick(FIRST, "BTC", "300", STREAM);
    let before = scene.truth;
    scene.sleep(600);
    for second in [10, 70, 130] {
        let at = Some(before + SignedDuration::from_secs(second));
        scene.ticker(FIRST, "BTC", Ticker { traded_at: at, sent_at: at, ..Ticker::new(price("400")) }, STREAM);
        assert_eq!(scene.row("BTC").state, State::Stale, "{second} s after");
    }
    // It is unknown whether the venue dropped messages meanwhile.
    assert_eq!(scene.known_since("2026-01-15T06:27:00Z"), Vec::<String>::new());
}

#[test]
fn an_event_that_was_queued_during_a_pause_keeps_its_age() {
    let mut scene = Scene::new();
    scene.report_clock(FIRST);
    let (requested, at) = (scene.now, Some(scene.truth));
    let ticker = Ticker { traded_at: at, sent_at: at, ..Ticker::new(price("300")) };
    // Received before the pause, processed after it.
    let waiting = Event::Ticker {
        venue: FIRST,
        market: market("BTC"),
        ticker: ticker.clone(),
        requested,
        received: scene.now,
        via: STREAM,
    };
    scene.sleep(600);
    scene.quotes.apply(waiting, scene.now);
    assert_eq!(scene.row("BTC").state, State::Stale);
    // Requested before the pause, answered after it.
    scene.respond(FIRST, "BTC", Ticker { sent_at: None, ..ticker.clone() }, requested, Via::Check);
    assert_eq!(scene.row("BTC").state, State::Stale);
    assert_eq!(scene.known_since("2026-01-15T06:27:00Z"), Vec::<String>::new());
    scene.respond(FIRST, "BTC", Ticker { sent_at: None, ..ticker }, scene.now, Via::Check);
    assert_eq!(scene.row("BTC").state, State::Live);
}

#[test]
fn a_step_of_the_wall_clock_during_a_request_proves_nothing() {
    let mut scene = Scene::new();
    let ticker = Ticker { traded_at: Some(scene.truth), ..Ticker::new(price("300")) };
    // The venue does not date its responses, so there is only our own clock.
    scene.respond(FIRST, "BTC", ticker.clone(), scene.now, Via::Check);
    let requested = scene.now;
    scene.step_wall(3_600);
    scene.respond(FIRST, "BTC", ticker, requested, Via::Check);
    assert_eq!(close_before(&mut scene, "2026-01-15T06:28:00Z"), None);
}

#[test]
fn a_stale_row_keeps_its_change_for_as_long_as_it_is_stale() {
    let mut scene = Scene::new();
    scene.report_clock(FIRST);
    scene.settle_day();
    scene.tick(FIRST, "BTC", "2000", STREAM);
    let base = scene.base();
    assert!(base.is_some());
    let mut recorded = BTreeSet::new();
    for _ in 0..6 {
        scene.pass(DAY / 2);
        let row = scene.row("BTC");
        assert_eq!((row.state, row.last), (State::Stale, Some(price("2000"))));
        assert_eq!(scene.base(), base);
        scene.quotes.mark_all_unrecorded();
        let records = scene.quotes.take_unrecorded();
        let of = records.iter().filter(|records| records.venue == FIRST && records.market == market("BTC"));
        recorded.extend(of.flat_map(|records| &records.hours).flat_map(|hour| &hour.closes).map(|close| close.0));
        assert!((1..1600).contains(&recorded.len()), "without storing more for it");
    }
}

#[test]
fn all_rows_are_published_again_on_request() {
    let mut scene = Scene::new();
    scene.settle_day();
    scene.tick(FIRST, "BTC", "2000", STREAM);
    assert_eq!(scene.publish().changed.len(), 2);
    scene.quotes.tick(scene.now);
    assert_eq!(scene.publish().changed.len(), 0);
    scene.quotes.republish_all();
    assert_eq!(scene.publish().changed.len(), 2);
    assert_eq!(scene.publish().changed.len(), 0);
}

/// As on Binance, where messages are dated and trades are not.
#[test]
fn only_an_unchanged_trade_id_proves_that_there_was_no_trade_between_two_messages() {
    for (second, known) in [(7, Some(price("300"))), (8, None)] {
        let mut scene = Scene::new();
        for (pass, id) in [(50, 7), (20, second)] {
            scene.pass(pass);
            let dated = Ticker { sent_at: Some(scene.truth), trade_id: Some(id), ..Ticker::new(price("300")) };
            scene.ticker(FIRST, "BTC", dated, STREAM);
        }
        assert_eq!(close_before(&mut scene, "2026-01-15T06:28:00Z"), known);
    }
}

#[test]
fn a_delayed_response_takes_back_no_newer_confirmation() {
    let mut scene = Scene::new();
    let traded = scene.truth;
    let ticker = Ticker { traded_at: Some(traded), ..Ticker::new(price("300")) };
    let requested = scene.now;
    scene.pass(14);
    scene.ticker(FIRST, "BTC", ticker.clone(), STREAM);
    let confirmed = scene.row("BTC").confirmed_at;
    scene.respond(FIRST, "BTC", ticker, requested, Via::Check);
    assert_eq!(scene.row("BTC").confirmed_at, confirmed);
    scene.pass(5);
    assert_eq!(scene.row("BTC").state, State::Live);
}

#[test]
fn the_frozen_bases_of_a_stale_price_are_not_used_for_a_new_one() {
    let mut scene = Scene::new();
    scene.settle_day();
    scene.tick(FIRST, "BTC", "2000", STREAM);
    let of_then = scene.base();
    scene.sleep(26 * 3_600);
    scene.quotes.tick(scene.now);
    assert_eq!((scene.row("BTC").state, scene.base()), (State::Stale, of_then), "the window has moved on without it");
    scene.tick(FIRST, "BTC", "2001", Via::Stream { session: 2 });
    assert_eq!((scene.row("BTC").state, scene.base()), (State::Live, None));
}

#[test]
fn high_and_low_are_known_from_the_first_row_after_a_restart() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "500", STREAM);
    settle_a_day(&mut scene, "400", "600");
    let mut next = scene.restarted();
    assert_eq!((next.row("BTC").state, range(&mut next)), (State::Stale, window("400", "600")));
}

#[test]
fn fc_14_a_quiet_market_whose_trade_was_dated_ahead_is_confirmed_again_by_repeated_responses() {
    for (what, price_now) in [("the trade is the same", "300"), ("there was another within that second", "299")] {
        let mut scene = Scene::new();
        let ahead = Ticker { traded_at: Some(scene.truth + SignedDuration::from_secs(1)), ..Ticker::new(price("300")) };
        scene.ticker(FIRST, "BTC", ahead, STREAM);
        assert_eq!(scene.row("BTC").state, State::Live, "{what}");
        let now = Ticker { traded_at: Some(scene.truth), ..Ticker::new(price(price_now)) };
        scene.pass(1);
        // A single older response is an outdated copy and takes nothing back.
        scene.ticker(FIRST, "BTC", now.clone(), Via::Check);
        assert_eq!(scene.row("BTC").last, Some(price("300")), "{what}");
        let mut states = Vec::new();
        for _ in 0..12 {
            scene.pass(5);
            scene.ticker(FIRST, "BTC", now.clone(), Via::Check);
            states.push(scene.row("BTC").state);
        }
        assert!(states.contains(&State::Stale), "{what}: it waits for repeated responses: {states:?}");
        let row = scene.row("BTC");
        assert_eq!((row.state, row.last), (State::Live, Some(price(price_now))), "{what}: {states:?}");
        assert!(scene.rejected("time-behind").is_some_and(|count| count > 0), "{what}: counted");
    }
}

#[test]
fn fc_14_outdated_copies_of_different_responses_never_replace_a_price() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "300", STREAM);
    let before = scene.truth;
    for turn in 1..=30 {
        scene.pass(5);
        let old = Ticker { traded_at: Some(before - SignedDuration::from_secs(60 - turn)), ..Ticker::new(price("1")) };
        scene.ticker(FIRST, "BTC", old, Via::Poll);
        assert_eq!(scene.row("BTC").last, Some(price("300")), "{turn}");
    }
}

#[test]
fn fc_14_a_permanently_outdated_response_never_replaces_a_price() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "300", STREAM);
    // An outdated copy in a cache: no clock is ahead by so much.
    let copy = Ticker { traded_at: Some(scene.truth - SignedDuration::from_secs(6)), ..Ticker::new(price("299")) };
    for _ in 0..60 {
        scene.pass(5);
        scene.ticker(FIRST, "BTC", copy.clone(), Via::Poll);
        assert_eq!(scene.row("BTC").last, Some(price("300")));
    }
    assert_eq!(scene.row("BTC").state, State::Stale);
    assert!(scene.rejected("time-behind").is_some_and(|count| count > 0), "and it is counted");
}

#[test]
fn fc_14_a_ticker_without_a_trade_time_makes_no_trade_outdated() {
    let mut scene = Scene::new();
    let traded_at = Some(scene.truth - SignedDuration::from_hours(1));
    let sent =
        |scene: &Scene, traded_at, last| Ticker { traded_at, sent_at: Some(scene.truth), ..Ticker::new(price(last)) };
    let quiet = sent(&scene, traded_at, "300");
    scene.ticker(FIRST, "BTC", quiet, STREAM);
    for via in [STREAM, Via::Poll, Via::Check] {
        scene.pass(1);
        let (undated, whole) = (sent(&scene, None, "300"), sent(&scene, traded_at, "300"));
        scene.ticker(FIRST, "BTC", undated, via);
        assert_eq!(scene.row("BTC").traded_at, None, "{via:?}: no trade time");
        let mut states = Vec::new();
        for _ in 0..12 {
            scene.pass(5);
            scene.ticker(FIRST, "BTC", Ticker { sent_at: Some(scene.truth), ..whole.clone() }, via);
            states.push(scene.row("BTC").state);
        }
        assert!(states.iter().all(|state| matches!(state, State::Live | State::Delayed)), "{via:?}: {states:?}");
        assert_eq!(scene.row("BTC").traded_at, traded_at, "{via:?}");
    }
    assert_eq!(scene.rejected("time-behind"), None);

    // An older trade or an older message still does not replace the price.
    scene.pass(1);
    let newest = sent(&scene, Some(scene.truth), "310");
    scene.ticker(FIRST, "BTC", newest, STREAM);
    let before = sent(&scene, Some(scene.truth), "305");
    scene.pass(1);
    let undated = sent(&scene, None, "311");
    scene.ticker(FIRST, "BTC", undated, STREAM);
    for old in [sent(&scene, traded_at, "300"), before, sent(&scene, traded_at, "300")] {
        scene.ticker(FIRST, "BTC", old, STREAM);
        assert_eq!(scene.row("BTC").last, Some(price("311")));
    }
    scene.pass(1);
    let next = sent(&scene, Some(scene.truth), "312");
    scene.ticker(FIRST, "BTC", next, STREAM);
    assert_eq!(scene.row("BTC").last, Some(price("312")));
}

#[test]
fn fc_14_a_trade_that_was_dated_much_too_late_costs_half_a_minute_if_the_price_is_the_same() {
    let mut scene = Scene::new();
    let wrong = Ticker { traded_at: Some(scene.truth), ..Ticker::new(price("300")) };
    let right = Ticker { traded_at: Some(scene.truth - SignedDuration::from_hours(1)), ..wrong.clone() };
    scene.ticker(FIRST, "BTC", wrong, STREAM);
    for _ in 0..12 {
        scene.pass(5);
        scene.ticker(FIRST, "BTC", right.clone(), Via::Check);
    }
    let row = scene.row("BTC");
    assert_eq!((row.state, row.last, row.traded_at), (State::Live, Some(price("300")), right.traded_at));
    assert!(scene.rejected("time-behind").is_some_and(|count| count > 0), "counted");
}

#[test]
fn fc_14_a_price_repeated_after_a_restart_stays_confirmed_without_trade_times() {
    let mut scene = Scene::new();
    let sent = |at| Ticker { sent_at: Some(at), ..Ticker::new(price("300")) };
    scene.ticker(FIRST, "BTC", sent(scene.truth), STREAM);
    let quiet = sent(scene.truth - SignedDuration::from_secs(2));
    let mut next = scene.restarted();
    for turn in 0..24 {
        next.pass(5);
        next.ticker(FIRST, "BTC", quiet.clone(), Via::Check);
        assert!(turn < 8 || next.row("BTC").state == State::Live, "{turn}");
    }
}

#[test]
fn fc_06_the_last_price_is_within_the_range_of_its_day() {
    let mut scene = Scene::new();
    let full = Ticker {
        traded_at: Some(scene.truth),
        high_24h: Some(price("310")),
        low_24h: Some(price("290")),
        ..Ticker::new(price("300"))
    };
    scene.ticker(FIRST, "BTC", full, STREAM);
    // The next messages contain no range.
    for (last, low, high) in [("305", "290", "310"), ("311", "290", "311"), ("289", "289", "310")] {
        scene.pass(1);
        scene.tick(FIRST, "BTC", last, STREAM);
        let row = scene.row("BTC");
        assert_eq!((row.low_24h, row.high_24h), (Some(price(low)), Some(price(high))), "{last}");
    }
}
