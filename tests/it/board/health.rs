//! Health of a venue whose connection works, depending on whether its prices are accepted.

use sisepan::feed::{Example, Implausible, Missing, Problem, Problems, Reason, ReasonCode};
use sisepan::market::NoChange;

use super::*;

impl Scene {
    /// Reports the state of the connection, as ingest does.
    fn report_connection(&mut self, state: VenueState, reason: Option<Reason>) {
        let health = VenueHealth { state, reason, ..VenueHealth::new(FIRST, 2, self.now.wall) };
        self.quotes.apply(Event::Health(health), self.now);
    }

    /// Returns the published health of the first venue.
    fn published_health(&mut self) -> VenueHealth {
        self.quotes.tick(self.now);
        self.publish();
        self.quotes.republish_all();
        self.publish();
        self.health[&FIRST].clone()
    }

    fn tick_ahead(&mut self, base: &str, ahead: i64) {
        let at = Some(self.truth + SignedDuration::from_secs(ahead));
        self.ticker(FIRST, base, Ticker { traded_at: at, sent_at: at, ..Ticker::new(price("300")) }, STREAM);
    }
}

fn up(health: &VenueHealth) -> (VenueState, Option<ReasonCode>, usize) {
    (health.state, health.reason.as_ref().map(|reason| reason.code), health.markets_live)
}

#[test]
fn fc_14_a_venue_whose_times_are_all_wrong_is_not_up_and_has_a_reason() {
    for (ahead, code) in [(30, "time-ahead"), (-30, "time-behind"), (3_600, "time-ahead"), (-90_000, "time-behind")] {
        for before in [false, true] {
            let mut scene = Scene::new();
            scene.report_connection(VenueState::Up, None);
            if before {
                ["BTC", "ETH"].into_iter().for_each(|base| scene.tick_ahead(base, 0));
                assert_eq!(scene.published_health().state, VenueState::Up);
                assert_eq!(scene.published_health().markets_live, 2);
            }
            for _ in 0..20 {
                scene.pass(1);
                ["BTC", "ETH"].into_iter().for_each(|base| scene.tick_ahead(base, ahead));
            }
            let published = scene.published_health();
            assert_eq!(up(&published), (VenueState::Down, Some(ReasonCode::Unbelieved), 0), "{ahead}: {published:?}");
            let message = &published.reason.as_ref().unwrap().message;
            for part in [code, "times", "-KRW", "at: "] {
                assert!(message.contains(part), "{ahead}: {message}");
            }
            let problem = published.problems.iter().find(|problem| problem.code == code).unwrap();
            assert!(problem.count >= 20 && problem.markets == 2, "{problem:?}");
            assert_eq!((published.without_price, published.missing.len()), (2, 2));
            assert!(
                published.missing.iter().all(|m| m.lacks == MissingPart::Price && m.code == code),
                "{:?}",
                published.missing
            );
            // Up again with the first current price.
            scene.tick_ahead("BTC", 0);
            let published = scene.published_health();
            assert_eq!((published.state, published.markets_live), (VenueState::Up, 1));
        }
    }
}

#[test]
fn fc_14_each_change_is_logged_once() {
    let mut scene = Scene::new();
    scene.report_connection(VenueState::Up, None);
    let mut lines = Vec::new();
    for second in 0..120 {
        scene.pass(1);
        scene.tick_ahead("BTC", if second < 60 { 30 } else { 0 });
        scene.published_health();
        lines.extend(scene.quotes.take_health_to_log(scene.now).iter().map(up));
    }
    let states: Vec<VenueState> = lines.iter().map(|line| line.0).collect();
    assert_eq!(states.iter().filter(|state| **state == VenueState::Down).count(), 1, "{lines:?}");
    assert!(lines.len() <= 3, "{lines:?}");
}

#[test]
fn fc_08_a_venue_whose_connection_works_is_not_up_without_a_price() {
    for state in [VenueState::Connecting, VenueState::Up, VenueState::Delayed] {
        for silent in [false, true] {
            let mut scene = Scene::new();
            let reason = silent.then(|| Reason::new(ReasonCode::Silent, "open and silent"));
            // Ingest has rejected every price.
            let mut problems = Problems::default();
            let mut reject = |scene: &mut Scene| {
                let mut health =
                    VenueHealth { state, reason: reason.clone(), ..VenueHealth::new(FIRST, 2, scene.now.wall) };
                for base in ["BTC", "ETH"] {
                    let text = || "E: time: 1788063972650000".to_owned();
                    problems.add(("time", Some("E")), Some(&market(base)), text, scene.now.wall);
                    health.missing.push(Missing {
                        market: market(base),
                        lacks: MissingPart::Price,
                        code: "time",
                        detail: text(),
                        since: scene.now.wall,
                    });
                }
                health.problems = problems.list(scene.now.wall);
                scene.quotes.apply(Event::Health(health), scene.now);
            };
            reject(&mut scene);
            let published = scene.published_health();
            assert_eq!(up(&published), (VenueState::Down, Some(ReasonCode::Unbelieved), 0), "{state:?} {published:?}");
            let message = published.reason.unwrap().message;
            assert!(message.contains("E: time, 2 times") && message.contains("1788063972650000"), "{message}");
        }
    }
    // Also if no problem is reported at all.
    let mut scene = Scene::new();
    scene.report_connection(VenueState::Up, None);
    assert_eq!(scene.published_health().state, VenueState::Connecting);
    scene.pass(16);
    assert_eq!(up(&scene.published_health()), (VenueState::Down, Some(ReasonCode::Unbelieved), 0));
    let mut scene = Scene::new();
    scene.report_connection(VenueState::Connecting, None);
    scene.pass(16);
    assert_eq!(up(&scene.published_health()), (VenueState::Down, Some(ReasonCode::Unbelieved), 0));
}

#[test]
fn fc_08_every_market_without_a_price_or_a_base_has_a_reason() {
    let mut scene = Scene::new();
    scene.report_connection(VenueState::Up, None);
    scene.tick(FIRST, "BTC", "300", STREAM);
    let published = scene.published_health();
    assert_eq!(up(&published), (VenueState::Up, Some(ReasonCode::Incomplete), 1));
    let lacks: Vec<_> = published.missing.iter().map(|m| (m.market.as_str(), m.lacks, m.code)).collect();
    assert_eq!(lacks, [("BTC-KRW", MissingPart::Base, "awaited"), ("ETH-KRW", MissingPart::Price, "awaited")]);
    assert_eq!((published.without_price, published.without_base), (1, 1));
    let message = published.reason.unwrap().message;
    assert!(message.contains("1 of 2") && message.contains("ETH-KRW") && message.contains("BTC-KRW"), "{message}");
    // The market is not listed: its entry says so, and the reason stays.
    scene.list(FIRST, &["BTC"]);
    assert!(scene.published_health().missing.iter().any(|m| m.market.as_str() == "ETH-KRW" && m.code == "unlisted"));
    // With a day of closes, only that is missing.
    settle_a_day(&mut scene, "400", "600");
    let published = scene.published_health();
    assert_eq!((published.without_price, published.without_base), (1, 0), "{:?}", published.missing);
}

#[test]
fn a_base_from_before_the_candles_that_the_venue_keeps_is_explained() {
    let mut scene = Scene::new();
    let settings = BoardSettings { minutes_kept: [(FIRST, 720)].into(), ..BoardSettings::default() };
    scene.start_board(two_markets(), settings);
    scene.report_connection(VenueState::Up, None);
    scene.tick(FIRST, "BTC", "300", STREAM);
    let detail = |scene: &mut Scene| {
        let published = scene.published_health();
        published.missing.iter().find(|m| m.lacks == MissingPart::Base).map(|m| (m.code, m.detail.clone()))
    };
    let (code, message) = detail(&mut scene).unwrap();
    assert!(code == "awaited" && message.contains("last 720 minutes only"), "{code}: {message}");
    // Midnight in UTC was less than seven hours ago: its candle is still to come.
    let day_ago = scene.truth - SignedDuration::from_mins(1441);
    scene.settle(FIRST, "BTC", &day_ago.to_string(), &["200"]);
    let (_, message) = detail(&mut scene).unwrap();
    assert_eq!(message, "the base of its change is not known yet");
}

#[test]
fn fc_08_a_market_that_another_source_covers_is_still_in_the_reason() {
    let mut scene = Scene::new();
    scene.report_connection(VenueState::Up, None);
    let from = scene.now.wall - SignedDuration::from_mins(1441);
    scene.settle(FIRST, "ETH", &from.to_string(), &["500"; 1441]);
    scene.pass(16);
    scene.tick(FIRST, "ETH", "500", STREAM);
    scene.tick(SECOND, "BTC", "500", STREAM);
    assert_eq!((scene.row("BTC").venue, scene.row("BTC").state), (SECOND, State::Live));
    let message = scene.published_health().reason.unwrap().message;
    assert!(message.starts_with("1 of 2 wanted markets without a price, such as BTC-KRW"), "{message}");
    // A market that the exchange does not trade is not expected of it, whether it lists it or not.
    let halted = Ticker { halted: Some(true), traded_at: Some(scene.truth), ..Ticker::new(price("500")) };
    scene.ticker(FIRST, "BTC", halted, STREAM);
    scene.tick(SECOND, "BTC", "500", STREAM);
    assert_eq!(scene.row("BTC").venue, SECOND);
    let published = scene.published_health();
    assert_eq!((published.reason, published.without_price), (None, 1), "{:?}", published.missing);
    for _ in 0..2 {
        scene.list(FIRST, &["ETH"]);
        scene.tick(SECOND, "BTC", "500", STREAM);
    }
    let published = scene.published_health();
    assert_eq!((published.reason, published.without_price), (None, 1), "{:?}", published.missing);
}

#[test]
fn fc_02_a_change_that_has_too_many_digits_to_be_computed_has_a_reason() {
    // Against a base of 500, or, the other way round, the highest price as the base.
    let wide = ["79228162514264337593543950335", "7922816251426433759354395033.5", "0.0000000000000000000000000001"];
    for (last, base) in wide.map(|last| (last, "500")).into_iter().chain([("0.00000001", wide[0]), (wide[2], wide[0])])
    {
        let mut scene = Scene::new();
        scene.report_connection(VenueState::Up, None);
        let from = scene.now.wall - SignedDuration::from_mins(1441);
        scene.settle(FIRST, "BTC", &from.to_string(), &vec![base; 1441]);
        scene.settle(FIRST, "ETH", &from.to_string(), &["500"; 1441]);
        scene.tick(FIRST, "ETH", "500", STREAM);
        scene.tick(FIRST, "BTC", last, STREAM);
        let published = scene.published_health();
        let row = scene.row("BTC");
        assert_eq!((row.state, row.last.map(|p| p.to_string()).as_deref()), (State::Live, Some(last)));
        let missing = published.missing.iter().find(|missing| missing.market.as_str() == "BTC-KRW");
        if Basis::ALL.iter().all(|&basis| row.change(basis).is_some()) {
            assert_eq!((missing, published.reason), (None, None), "{last} against {base}");
            continue;
        }
        let missing = missing.unwrap_or_else(|| panic!("{last} against {base}: {published:?}"));
        assert_eq!(published.reason.as_ref().map(|reason| reason.code), Some(ReasonCode::Incomplete), "{published:?}");
        let message = &published.reason.as_ref().unwrap().message;
        assert!(message.contains("without a change") && message.contains("BTC-KRW"), "{message}");
        assert_eq!((missing.lacks, missing.code), (MissingPart::Change, "too-wide"));
        assert!(missing.detail.contains(last) && missing.detail.contains(base), "{}", missing.detail);
        assert_eq!((published.without_price, published.without_base, published.without_change), (0, 0, 1));
    }
}

#[test]
fn fc_06_one_field_that_is_unreadable_in_many_markets_is_the_venues_reason() {
    let mut scene = Scene::new();
    for base in ["BTC", "ETH"] {
        scene.tick(FIRST, base, "300", STREAM);
    }
    let problem = Problem {
        code: "type",
        field: Some("market_state"),
        count: 40,
        markets: 2,
        example: Example { market: Some(market("BTC")), text: "market_state: type: 1".to_owned() },
        last_at: scene.now.wall,
    };
    let health =
        VenueHealth { state: VenueState::Up, problems: vec![problem], ..VenueHealth::new(FIRST, 2, scene.now.wall) };
    scene.quotes.apply(Event::Health(health), scene.now);
    let published = scene.published_health();
    assert_eq!(up(&published), (VenueState::Up, Some(ReasonCode::Unreadable), 2));
    let message = published.reason.unwrap().message;
    assert!(["market_state", "40 times", "BTC-KRW"].iter().all(|part| message.contains(part)), "{message}");
}

#[test]
fn fc_06_one_bad_record_of_a_small_board_is_not_the_venues_reason() {
    let mut scene = Scene::new();
    scene.report_connection(VenueState::Up, None);
    ["BTC", "ETH"].into_iter().for_each(|base| scene.tick(FIRST, base, "300", STREAM));
    scene.settle_past(1500, "300");
    scene.tick_ahead("ETH", 3_600);
    scene.tick_ahead("ETH", 0);
    let published = scene.published_health();
    assert!(
        published.problems.iter().any(|problem| problem.code == "time-ahead" && problem.count == 1),
        "{published:?}"
    );
    assert_ne!(published.reason.map(|reason| reason.code), Some(ReasonCode::Unreadable));
}

#[test]
fn fc_08_a_start_with_stored_prices_is_no_outage() {
    let mut scene = Scene::new();
    ["BTC", "ETH"].into_iter().for_each(|base| scene.tick(FIRST, base, "300", STREAM));
    let mut scene = scene.restarted();
    scene.report_connection(VenueState::Connecting, None);
    scene.pass(5);
    assert_eq!(up(&scene.published_health()), (VenueState::Connecting, None, 0));
    // The wait is limited, whatever the state of the connection.
    scene.pass(11);
    assert_eq!(up(&scene.published_health()), (VenueState::Down, Some(ReasonCode::Unbelieved), 0));
    scene.tick(FIRST, "BTC", "300", STREAM);
    scene.report_connection(VenueState::Up, None);
    assert_eq!((scene.published_health().state, scene.published_health().markets_live), (VenueState::Up, 1));
}

#[test]
fn fc_11_a_delisted_market_is_halted_and_reported_as_delisted() {
    let mut scene = Scene::new();
    scene.report_connection(VenueState::Up, None);
    scene.list(FIRST, &["BTC", "ETH"]);
    for base in ["BTC", "ETH"] {
        scene.tick(FIRST, base, "300", STREAM);
    }
    scene.list(FIRST, &["ETH"]);
    scene.list(FIRST, &["ETH"]);
    assert_eq!(scene.row("BTC").state, State::Halted);
    let published = scene.published_health();
    let named = published.missing.iter().find(|missing| missing.market.as_str() == "BTC-KRW").unwrap();
    assert_eq!((named.lacks, named.code), (MissingPart::Price, "delisted"));
    assert_eq!(published.markets_live, 1);
}

#[test]
fn fc_14_the_error_of_a_time_is_formatted_as_a_duration() {
    for (nanos, text) in [
        (22_345_790_088, " 22.3 s "),
        (119_999_999_999, " 119.9 s "),
        (3_600_000_000_001, " 60 min "),
        (90_000_123_000_000, " 25 h "),
        (1_785_000_000_123_456_789, " 20659 days "),
    ] {
        let by = SignedDuration::from_nanos(nanos);
        let time = Timestamp::UNIX_EPOCH;
        let message = [Implausible::Ahead { what: "trade", time, by }, Implausible::Behind { what: "trade", time, by }];
        for message in message.map(|message| message.to_string()) {
            assert!(message.contains(text), "{message}");
        }
    }
}

#[test]
fn a_reason_matches_the_figures_beside_it() {
    let mut scene = Scene::new();
    scene.report_connection(VenueState::Up, None);
    scene.tick(FIRST, "BTC", "300", STREAM);
    assert_eq!(scene.published_health().without_base, 1);
    scene.pass(1);
    scene.tick(FIRST, "ETH", "300", STREAM);
    let published = scene.published_health();
    assert_eq!((published.without_price, published.without_base), (0, 2));
    let message = published.reason.unwrap().message;
    assert!(message.starts_with("2 of 2 wanted markets without a base") && !message.contains("price"), "{message}");
}

#[test]
fn a_row_without_a_change_has_a_reason() {
    let mut scene = Scene::new();
    scene.report_connection(VenueState::Up, None);
    scene.tick(FIRST, "BTC", "300", STREAM);
    assert_eq!(scene.row("BTC").no_base_reasons, [NoChange::Awaited; 3]);
    // Ingest could not fetch the history.
    let lacks = Missing {
        market: market("BTC"),
        lacks: MissingPart::Base,
        code: "http",
        detail: "500".to_owned(),
        since: scene.now.wall,
    };
    let health =
        VenueHealth { state: VenueState::Up, missing: vec![lacks], ..VenueHealth::new(FIRST, 2, scene.now.wall) };
    scene.quotes.apply(Event::Health(health), scene.now);
    assert_eq!(scene.row("BTC").no_change(Basis::Rolling24h), Some(NoChange::NoHistory));
    // With a day of closes there is nothing to explain.
    scene.report_connection(VenueState::Up, None);
    settle_a_day(&mut scene, "400", "600");
    let row = scene.row("BTC");
    assert_eq!((row.no_base_reasons, row.no_change(Basis::Rolling24h)), ([NoChange::Awaited; 3], None), "{row:?}");
    assert_eq!(scene.row("ETH").no_change(Basis::Rolling24h), None, "a row without a price needs no reason");
}
