//! Health of a venue whose link works, depending on whether its prices are believed.

use super::*;
use crate::domain::{
    Implausible, Lacks, Missing, NoChange, Problem, Problems, Reason, ReasonCode, VenueHealth, VenueState,
};

impl Scene {
    /// Ingest says how the link is.
    fn link(&mut self, state: VenueState, reason: Option<Reason>) {
        let health = VenueHealth { state, reason, ..VenueHealth::new(FIRST, 2, self.now.wall) };
        self.quotes.apply(Event::Health(health), self.now);
    }

    /// Returns the published health of the first venue.
    fn told(&mut self) -> VenueHealth {
        self.quotes.tick(self.now);
        self.quotes.publish(self.now);
        self.quotes.publish_all();
        self.quotes.publish(self.now);
        self.quotes.told[&FIRST].health.clone().unwrap()
    }

    fn stamped(&mut self, base: &str, ahead: i64) {
        let at = Some(self.truth + SignedDuration::from_secs(ahead));
        self.ticker(FIRST, base, Ticker { traded_at: at, sent_at: at, ..Ticker::new(price("300")) }, STREAM);
    }
}

fn up(health: &VenueHealth) -> (VenueState, Option<ReasonCode>, usize) {
    (health.state, health.reason.as_ref().map(|reason| reason.code), health.markets_live)
}

#[test]
fn fc_14_a_venue_whose_every_time_is_wrong_is_not_up_and_says_why() {
    for (ahead, code) in [(30, "time-ahead"), (-30, "time-behind"), (3_600, "time-ahead"), (-90_000, "time-behind")] {
        for before in [false, true] {
            let mut scene = Scene::new();
            scene.link(VenueState::Up, None);
            if before {
                ["BTC", "ETH"].into_iter().for_each(|base| scene.stamped(base, 0));
                assert_eq!(scene.told().state, VenueState::Up);
                assert_eq!(scene.told().markets_live, 2);
            }
            for _ in 0..20 {
                scene.pass(1);
                ["BTC", "ETH"].into_iter().for_each(|base| scene.stamped(base, ahead));
            }
            let told = scene.told();
            assert_eq!(up(&told), (VenueState::Down, Some(ReasonCode::Unbelieved), 0), "{ahead}: {told:?}");
            let message = &told.reason.as_ref().unwrap().message;
            for part in [code, "times", "-KRW", "at: "] {
                assert!(message.contains(part), "{ahead}: {message}");
            }
            let problem = told.problems.iter().find(|problem| problem.code == code).unwrap();
            assert!(problem.count >= 20 && problem.markets == 2, "{problem:?}");
            assert_eq!((told.without_price, told.missing.len()), (2, 2));
            assert!(told.missing.iter().all(|m| m.lacks == Lacks::Price && m.code == code), "{:?}", told.missing);
            // Right again with the first price of now.
            scene.stamped("BTC", 0);
            let told = scene.told();
            assert_eq!((told.state, told.markets_live), (VenueState::Up, 1));
        }
    }
}

#[test]
fn fc_14_it_is_logged_once_a_change() {
    let mut scene = Scene::new();
    scene.link(VenueState::Up, None);
    let mut lines = Vec::new();
    for second in 0..120 {
        scene.pass(1);
        scene.stamped("BTC", if second < 60 { 30 } else { 0 });
        scene.told();
        lines.extend(scene.quotes.news(scene.now).iter().map(up));
    }
    let states: Vec<VenueState> = lines.iter().map(|line| line.0).collect();
    assert_eq!(states.iter().filter(|state| **state == VenueState::Down).count(), 1, "{lines:?}");
    assert!(lines.len() <= 3, "{lines:?}");
}

#[test]
fn fc_08_a_link_that_works_is_not_up_without_a_price_for_whatever_reason() {
    for state in [VenueState::Connecting, VenueState::Up, VenueState::Delayed] {
        for silent in [false, true] {
            let mut scene = Scene::new();
            let reason = silent.then(|| Reason::new(ReasonCode::Silent, "open and silent"));
            // Ingest has refused each price.
            let mut problems = Problems::default();
            let mut refuse = |scene: &mut Scene| {
                let mut health =
                    VenueHealth { state, reason: reason.clone(), ..VenueHealth::new(FIRST, 2, scene.now.wall) };
                for base in ["BTC", "ETH"] {
                    let text = || "E: time: 1788063972650000".to_owned();
                    problems.add(("time", Some("E")), Some(&market(base)), text, scene.now.wall);
                    health.missing.push(crate::domain::Missing {
                        market: market(base),
                        lacks: Lacks::Price,
                        code: "time",
                        detail: text(),
                        since: scene.now.wall,
                    });
                }
                health.problems = problems.list(scene.now.wall);
                scene.quotes.apply(Event::Health(health), scene.now);
            };
            refuse(&mut scene);
            let told = scene.told();
            assert_eq!(up(&told), (VenueState::Down, Some(ReasonCode::Unbelieved), 0), "{state:?} {told:?}");
            let message = told.reason.unwrap().message;
            assert!(message.contains("E: time, 2 times") && message.contains("1788063972650000"), "{message}");
        }
    }
    // And where nothing at all is said of it.
    let mut scene = Scene::new();
    scene.link(VenueState::Up, None);
    assert_eq!(scene.told().state, VenueState::Connecting);
    scene.pass(16);
    assert_eq!(up(&scene.told()), (VenueState::Down, Some(ReasonCode::Unbelieved), 0));
    let mut scene = Scene::new();
    scene.link(VenueState::Connecting, None);
    scene.pass(16);
    assert_eq!(up(&scene.told()), (VenueState::Down, Some(ReasonCode::Unbelieved), 0));
}

#[test]
fn fc_08_every_market_without_a_price_or_a_base_has_a_reason() {
    let mut scene = Scene::new();
    scene.link(VenueState::Up, None);
    scene.tick(FIRST, "BTC", "300", STREAM);
    let told = scene.told();
    assert_eq!(up(&told), (VenueState::Up, Some(ReasonCode::Incomplete), 1));
    let lacks: Vec<_> = told.missing.iter().map(|m| (m.market.as_str(), m.lacks, m.code)).collect();
    assert_eq!(lacks, [("BTC-KRW", Lacks::Base, "awaited"), ("ETH-KRW", Lacks::Price, "awaited")]);
    assert_eq!((told.without_price, told.without_base), (1, 1));
    let message = told.reason.unwrap().message;
    assert!(message.contains("1 of 2") && message.contains("ETH-KRW") && message.contains("BTC-KRW"), "{message}");
    // The market is gone: it is named so, and the reason stays.
    scene.list(FIRST, &["BTC"]);
    assert!(scene.told().missing.iter().any(|m| m.market.as_str() == "ETH-KRW" && m.code == "unlisted"));
    // With a day of closes nothing is missing but that.
    settle_a_day(&mut scene, "400", "600");
    let told = scene.told();
    assert_eq!((told.without_price, told.without_base), (1, 0), "{:?}", told.missing);
}

#[test]
fn fc_08_a_market_that_another_source_covers_is_in_the_reason_all_the_same() {
    let mut scene = Scene::new();
    scene.link(VenueState::Up, None);
    let from = scene.now.wall - SignedDuration::from_mins(1441);
    scene.settle(FIRST, "ETH", &from.to_string(), &["500"; 1441]);
    scene.pass(16);
    scene.tick(FIRST, "ETH", "500", STREAM);
    scene.tick(SECOND, "BTC", "500", STREAM);
    assert_eq!((scene.row("BTC").venue, scene.row("BTC").state), (SECOND, State::Live));
    let message = scene.told().reason.unwrap().message;
    assert!(message.starts_with("1 of 2 wanted markets without a price, such as BTC-KRW"), "{message}");
    // What the exchange does not trade it does not owe, whether it lists it or not.
    let halted = Ticker { halted: Some(true), traded_at: Some(scene.truth), ..Ticker::new(price("500")) };
    scene.ticker(FIRST, "BTC", halted, STREAM);
    scene.tick(SECOND, "BTC", "500", STREAM);
    assert_eq!(scene.row("BTC").venue, SECOND);
    let told = scene.told();
    assert_eq!((told.reason, told.without_price), (None, 1), "{:?}", told.missing);
    for _ in 0..2 {
        scene.list(FIRST, &["ETH"]);
        scene.tick(SECOND, "BTC", "500", STREAM);
    }
    let told = scene.told();
    assert_eq!((told.reason, told.without_price), (None, 1), "{:?}", told.missing);
}

#[test]
fn fc_02_a_change_that_is_too_wide_to_be_worked_out_has_a_reason() {
    // Against a base of 500, or, the other way round, the highest price as the base.
    let wide = ["79228162514264337593543950335", "7922816251426433759354395033.5", "0.0000000000000000000000000001"];
    for (last, base) in wide.map(|last| (last, "500")).into_iter().chain([("0.00000001", wide[0]), (wide[2], wide[0])])
    {
        let mut scene = Scene::new();
        scene.link(VenueState::Up, None);
        let from = scene.now.wall - SignedDuration::from_mins(1441);
        scene.settle(FIRST, "BTC", &from.to_string(), &vec![base; 1441]);
        scene.settle(FIRST, "ETH", &from.to_string(), &["500"; 1441]);
        scene.tick(FIRST, "ETH", "500", STREAM);
        scene.tick(FIRST, "BTC", last, STREAM);
        let told = scene.told();
        let row = scene.row("BTC");
        assert_eq!((row.state, row.last.map(|p| p.to_string()).as_deref()), (State::Live, Some(last)));
        let lacking = told.missing.iter().find(|missing| missing.market.as_str() == "BTC-KRW");
        if Basis::ALL.iter().all(|&basis| row.change(basis).is_some()) {
            assert_eq!((lacking, told.reason), (None, None), "{last} against {base}");
            continue;
        }
        let lacking = lacking.unwrap_or_else(|| panic!("{last} against {base}: {told:?}"));
        assert_eq!(told.reason.as_ref().map(|reason| reason.code), Some(ReasonCode::Incomplete), "{told:?}");
        let message = &told.reason.as_ref().unwrap().message;
        assert!(message.contains("without a change") && message.contains("BTC-KRW"), "{message}");
        assert_eq!((lacking.lacks, lacking.code), (Lacks::Change, "too-wide"));
        assert!(lacking.detail.contains(last) && lacking.detail.contains(base), "{}", lacking.detail);
        assert_eq!((told.without_price, told.without_base, told.without_change), (0, 0, 1));
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
        example: crate::domain::Example { market: Some(market("BTC")), text: "market_state: type: 1".to_owned() },
        last_at: scene.now.wall,
    };
    let health =
        VenueHealth { state: VenueState::Up, problems: vec![problem], ..VenueHealth::new(FIRST, 2, scene.now.wall) };
    scene.quotes.apply(Event::Health(health), scene.now);
    let told = scene.told();
    assert_eq!(up(&told), (VenueState::Up, Some(ReasonCode::Unreadable), 2));
    let message = told.reason.unwrap().message;
    assert!(["market_state", "40 times", "BTC-KRW"].iter().all(|part| message.contains(part)), "{message}");
}

#[test]
fn fc_06_one_bad_record_of_a_small_board_is_not_the_venues_reason() {
    let mut scene = Scene::new();
    scene.link(VenueState::Up, None);
    ["BTC", "ETH"].into_iter().for_each(|base| scene.tick(FIRST, base, "300", STREAM));
    scene.settle_past(1500, "300");
    scene.stamped("ETH", 3_600);
    scene.stamped("ETH", 0);
    let told = scene.told();
    assert!(told.problems.iter().any(|problem| problem.code == "time-ahead" && problem.count == 1), "{told:?}");
    assert_ne!(told.reason.map(|reason| reason.code), Some(ReasonCode::Unreadable));
}

#[test]
fn fc_08_a_start_with_stored_prices_is_no_outage() {
    let mut scene = Scene::new();
    ["BTC", "ETH"].into_iter().for_each(|base| scene.tick(FIRST, base, "300", STREAM));
    let mut scene = scene.reborn();
    scene.link(VenueState::Connecting, None);
    scene.pass(5);
    assert_eq!(up(&scene.told()), (VenueState::Connecting, None, 0));
    // For ever it is not waited, whatever the link says.
    scene.quotes.started = Now { monotonic: scene.now.monotonic - Duration::from_secs(16), ..scene.quotes.started };
    assert_eq!(up(&scene.told()), (VenueState::Down, Some(ReasonCode::Unbelieved), 0));
    scene.tick(FIRST, "BTC", "300", STREAM);
    scene.link(VenueState::Up, None);
    assert_eq!((scene.told().state, scene.told().markets_live), (VenueState::Up, 1));
}

#[test]
fn fc_11_a_delisted_market_is_halted_and_named_so() {
    let mut scene = Scene::new();
    scene.link(VenueState::Up, None);
    scene.list(FIRST, &["BTC", "ETH"]);
    for base in ["BTC", "ETH"] {
        scene.tick(FIRST, base, "300", STREAM);
    }
    scene.list(FIRST, &["ETH"]);
    scene.list(FIRST, &["ETH"]);
    assert_eq!(scene.row("BTC").state, State::Halted);
    let told = scene.told();
    let named = told.missing.iter().find(|missing| missing.market.as_str() == "BTC-KRW").unwrap();
    assert_eq!((named.lacks, named.code), (Lacks::Price, "delisted"));
    assert_eq!(told.markets_live, 1);
}

#[test]
fn fc_14_how_far_a_time_is_off_reads_like_a_duration() {
    for (nanos, text) in [
        (22_345_790_088, " 22.3 s "),
        (119_999_999_999, " 119.9 s "),
        (3_600_000_000_001, " 60 min "),
        (90_000_123_000_000, " 25 h "),
        (1_785_000_000_123_456_789, " 20659 days "),
    ] {
        let by = SignedDuration::from_nanos(nanos);
        let time = Timestamp::UNIX_EPOCH;
        let said = [Implausible::Ahead { what: "trade", time, by }, Implausible::Behind { what: "trade", time, by }];
        for said in said.map(|said| said.to_string()) {
            assert!(said.contains(text), "{said}");
        }
    }
}

#[test]
fn a_reason_and_the_figures_beside_it_are_of_one_moment() {
    let mut scene = Scene::new();
    scene.link(VenueState::Up, None);
    scene.tick(FIRST, "BTC", "300", STREAM);
    assert_eq!(scene.told().without_base, 1);
    scene.pass(1);
    scene.tick(FIRST, "ETH", "300", STREAM);
    let told = scene.told();
    assert_eq!((told.without_price, told.without_base), (0, 2));
    let message = told.reason.unwrap().message;
    assert!(message.starts_with("2 of 2 wanted markets without a base") && !message.contains("price"), "{message}");
}

#[test]
fn a_row_without_a_change_says_why() {
    let mut scene = Scene::new();
    scene.link(VenueState::Up, None);
    scene.tick(FIRST, "BTC", "300", STREAM);
    assert_eq!(scene.row("BTC").no_bases, [NoChange::Awaited; 3]);
    // Ingest asked for the past in vain.
    let lacks = Missing {
        market: market("BTC"),
        lacks: Lacks::Base,
        code: "http",
        detail: "500".to_owned(),
        since: scene.now.wall,
    };
    let health =
        VenueHealth { state: VenueState::Up, missing: vec![lacks], ..VenueHealth::new(FIRST, 2, scene.now.wall) };
    scene.quotes.apply(Event::Health(health), scene.now);
    assert_eq!(scene.row("BTC").no_change(Basis::Rolling24h), Some(NoChange::NoHistory));
    // A day of closes, and there is nothing to say.
    scene.link(VenueState::Up, None);
    settle_a_day(&mut scene, "400", "600");
    let row = scene.row("BTC");
    assert_eq!((row.no_bases, row.no_change(Basis::Rolling24h)), ([NoChange::Awaited; 3], None), "{row:?}");
    assert_eq!(scene.row("ETH").no_change(Basis::Rolling24h), None, "no price has no change, and needs no reason");
}
