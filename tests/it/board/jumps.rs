//! Single bad prices among good ones, and real jumps.

use sisepan::market::Redenomination;

use super::*;

const REST: Via = Via::Check;

/// What a venue reports about its trades: their times (Upbit, Bithumb), or message times and trade ids
/// (Binance).
#[derive(Debug, Clone, Copy)]
enum Dialect {
    Dated,
    Numbered,
}

struct JumpScene {
    scene: Scene,
    dialect: Dialect,
    trade: u64,
}

impl JumpScene {
    /// Creates a market that is live at 100.
    fn new(dialect: Dialect) -> Self {
        let mut scene = Scene::new();
        let spec = BoardSpec {
            source: SourceId::new(["first"]),
            venues: vec![FIRST],
            markets: vec![market("BTC")],
            basis: Basis::Rolling24h,
        };
        let settings = BoardSettings { jump_max_percent: Some(20), ..BoardSettings::default() };
        scene.start_board(spec, settings);
        let mut one = Self { scene, dialect, trade: 1000 };
        one.trade("100");
        one
    }

    fn ticker(&self, last: &str) -> Ticker {
        let now = Some(self.scene.truth);
        match self.dialect {
            Dialect::Dated => Ticker { traded_at: now, sent_at: now, ..Ticker::new(price(last)) },
            Dialect::Numbered => Ticker { trade_id: Some(self.trade), sent_at: now, ..Ticker::new(price(last)) },
        }
    }

    /// Streams a trade.
    fn trade(&mut self, last: &str) {
        self.trade_by(last, STREAM);
    }

    fn trade_by(&mut self, last: &str, via: Via) {
        self.trade += 1;
        let ticker = self.ticker(last);
        self.scene.ticker(FIRST, "BTC", ticker, via);
    }

    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.scene.sleep(1);
            self.scene.quotes.tick(self.scene.now);
        }
    }

    fn shown(&mut self) -> (String, State) {
        let row = self.scene.row("BTC");
        (row.last.unwrap().to_string(), row.state)
    }

    fn shows(&mut self, last: &str) {
        assert_eq!(self.shown(), (last.to_owned(), State::Live), "{:?}", self.dialect);
    }

    fn counted(&mut self, what: &str) -> u64 {
        self.scene.counted(what)
    }
}

fn each(test: impl Fn(JumpScene)) {
    [Dialect::Dated, Dialect::Numbered].into_iter().for_each(|dialect| test(JumpScene::new(dialect)));
}

#[test]
fn fc_16_one_bad_tick_among_good_ones_is_never_shown_and_is_never_a_minute_close() {
    for factor in ["1", "0.01", "79", "126", "10000", "1e24"] {
        each(|mut one| {
            for _ in 0..6 {
                one.wait(10);
                one.trade("100");
            }
            one.wait(10);
            one.trade(factor);
            one.shows("100");
            assert_eq!(one.counted("price-jump"), 1);
            assert!(!one.scene.quotes.take_unconfirmed().is_empty(), "a check is requested at once");
            one.wait(1);
            one.shows("100");
            one.trade("101");
            one.shows("101");
            assert_eq!(one.counted("price-jump-refuted"), 1);
            one.scene.quotes.take_unconfirmed();
            one.wait(120);
            assert!(one.scene.quotes.take_unconfirmed().is_empty(), "no price is held any more");
            let records = one.scene.quotes.take_unrecorded();
            let closes: Vec<_> = records.iter().flat_map(|r| &r.hours).flat_map(|h| &h.closes).collect();
            assert!(closes.iter().all(|(_, _, close)| *close == price("100") || *close == price("101")), "{closes:?}");
        });
    }
}

#[test]
fn fc_16_a_real_jump_is_shown_with_the_next_trade_or_the_response_to_a_check() {
    for jump in ["50", "1", "125", "100000"] {
        each(|mut one| {
            one.trade(jump);
            one.shows("100");
            one.wait(1);
            one.trade(jump);
            one.shows(jump);
            assert_eq!((one.counted("price-jump"), one.counted("price-jump-refuted")), (1, 0));
        });
        each(|mut one| {
            one.trade(jump);
            let same_trade = one.ticker(jump);
            one.scene.sleep(1);
            one.scene.ticker(FIRST, "BTC", same_trade, REST);
            one.shows(jump);
        });
    }
}

#[test]
fn fc_16_a_step_within_the_limit_is_shown_at_once() {
    for step in ["80", "120", "100"] {
        each(|mut one| {
            one.trade(step);
            one.shows(step);
            assert_eq!(one.counted("price-jump"), 0);
        });
    }
}

#[test]
fn fc_16_the_same_trade_repeated_by_the_stream_confirms_nothing() {
    each(|mut one| {
        one.trade("1");
        let again = one.ticker("1");
        for _ in 0..3 {
            one.scene.ticker(FIRST, "BTC", again.clone(), STREAM);
        }
        one.shows("100");
        assert_eq!(one.counted("price-jump"), 1, "counted once");
    });
}

#[test]
fn fc_16_a_response_from_before_the_jump_neither_confirms_nor_refutes_it() {
    each(|mut one| {
        let (requested, before) = (one.scene.now, one.ticker("100"));
        one.scene.sleep(1);
        one.trade("50");
        one.scene.respond(FIRST, "BTC", before, requested, REST);
        one.shows("100");
        one.scene.sleep(1);
        one.trade("50");
        one.shows("50");
    });
}

#[test]
fn fc_16_a_check_with_the_previous_price_refutes_the_jump() {
    each(|mut one| {
        one.trade("1");
        one.scene.sleep(1);
        one.trade_by("100", REST);
        one.shows("100");
        assert_eq!(one.counted("price-jump-refuted"), 1);
    });
}

#[test]
fn fc_16_the_same_rule_applies_to_a_polled_venue() {
    each(|mut one| {
        one.scene.sleep(16);
        one.trade_by("100", Via::Poll);
        assert_eq!(one.shown(), ("100".to_owned(), State::Delayed));
        one.scene.sleep(2);
        one.trade_by("1", Via::Poll);
        assert_eq!(one.shown(), ("100".to_owned(), State::Delayed));
        one.scene.sleep(1);
        one.trade_by("102", Via::Poll);
        assert_eq!(one.shown(), ("102".to_owned(), State::Delayed));
        one.scene.sleep(1);
        one.trade_by("51", Via::Poll);
        let same_trade = one.ticker("51");
        one.scene.sleep(1);
        one.scene.ticker(FIRST, "BTC", same_trade, Via::Poll);
        assert_eq!(one.shown(), ("51".to_owned(), State::Delayed));
    });
}

#[test]
fn fc_16_a_crash_in_steps_is_followed() {
    each(|mut one| {
        for last in ["70", "49", "34", "24"] {
            one.trade(last);
            one.scene.sleep(1);
        }
        one.shows("100");
        one.trade("25");
        one.shows("25");
        one.trade("12");
        one.scene.sleep(1);
        one.trade_by("12", REST);
        one.shows("12");
    });
}

#[test]
fn fc_16_without_confirmation_the_previous_price_becomes_stale_and_the_feed_does_not_freeze() {
    each(|mut one| {
        one.trade("50");
        let again = one.ticker("50");
        one.wait(16);
        assert_eq!(one.shown(), ("100".to_owned(), State::Stale), "not confirmed, so not live");
        let again = Ticker { sent_at: Some(one.scene.truth), ..again };
        one.scene.ticker(FIRST, "BTC", again, STREAM);
        one.shows("50");
    });
}

#[test]
fn fc_16_a_check_is_requested_as_long_as_the_price_is_held() {
    each(|mut one| {
        one.trade("50");
        for _ in 0..3 {
            assert_eq!(one.scene.quotes.take_unconfirmed().into_iter().collect::<Vec<_>>(), [(FIRST, market("BTC"))]);
            assert!(one.scene.quotes.take_unconfirmed().is_empty());
            one.wait(1);
        }
    });
}

#[test]
fn fc_16_a_first_price_and_one_after_a_stale_price_are_shown_at_once() {
    each(|mut one| {
        one.wait(16);
        assert_eq!(one.shown().1, State::Stale);
        one.trade("1");
        one.shows("1");
        assert_eq!(one.counted("price-jump"), 0);
    });
}

#[test]
fn fc_16_a_configured_redenomination_needs_no_confirmation() {
    let mut one = JumpScene::new(Dialect::Dated);
    one.scene.sleep(58);
    one.trade("100");
    let at = Minute::of(one.scene.truth).plus(1);
    let declared = Redenomination { venue: FIRST, market: market("BTC"), at, factor: price("100") };
    let spec = BoardSpec {
        source: SourceId::new(["first"]),
        venues: vec![FIRST],
        markets: vec![market("BTC")],
        basis: Basis::Rolling24h,
    };
    let settings =
        BoardSettings { jump_max_percent: Some(20), redenominations: vec![declared], ..BoardSettings::default() };
    one.scene.start_board(spec, settings);
    one.trade("100");
    one.scene.sleep(3);
    one.trade("10100");
    one.shows("10100");
    assert_eq!(one.counted("price-jump"), 0);
}

#[test]
fn fc_59_each_held_price_is_reported_once_and_so_is_its_end() {
    use sisepan::feed::JumpStatus::{Held, Refuted, Released};
    for (then, end) in [("100", Refuted), ("901", Released)] {
        let mut one = JumpScene::new(Dialect::Dated);
        assert_eq!(one.scene.quotes.take_jumps(), []);
        one.wait(1);
        one.trade("900");
        let again = one.ticker("900");
        one.scene.ticker(FIRST, "BTC", again, STREAM);
        let jumps = one.scene.quotes.take_jumps();
        let reported: Vec<_> = jumps.iter().map(|jump| (jump.held, jump.shown, jump.status)).collect();
        assert_eq!(reported, [(price("900"), Some(price("100")), Held)]);
        assert_eq!((jumps[0].venue, jumps[0].market.clone()), (FIRST, market("BTC")));
        one.wait(1);
        one.trade(then);
        let reported: Vec<_> =
            one.scene.quotes.take_jumps().iter().map(|jump| (jump.held, jump.shown, jump.status)).collect();
        assert_eq!(reported, [(price("900"), Some(price(then)), end)]);
    }
}

#[test]
fn fc_16_two_trades_minutes_apart_are_accepted_although_responses_repeat_the_previous_price() {
    for dialect in [Dialect::Dated, Dialect::Numbered] {
        let mut one = JumpScene::new(dialect);
        let before = one.ticker("100");
        for (last, shown) in [("150", "100"), ("151", "151")] {
            one.wait(1);
            one.trade(last);
            // An outdated copy in a cache keeps the previous price live.
            for _ in 0..18 {
                one.wait(5);
                let copy = Ticker { sent_at: None, ..before.clone() };
                one.scene.ticker(FIRST, "BTC", copy, REST);
            }
            assert_eq!(one.scene.row("BTC").last, Some(price(shown)), "{dialect:?}: {last}");
        }
    }
}
