//! One bad price among good ones, and real jumps.

use super::*;

const REST: Via = Via::Check;

/// What a scene's venue says of its trades: times (Upbit, Bithumb), or times of messages and numbers of trades (Binance).
#[derive(Debug, Clone, Copy)]
enum Dialect {
    Dated,
    Numbered,
}

struct Market1 {
    scene: Scene,
    dialect: Dialect,
    trade: u64,
}

impl Market1 {
    /// A market that is live at 100.
    fn new(dialect: Dialect) -> Self {
        let mut scene = Scene::new();
        let wanted = Wanted {
            source: SourceId::new(["first"]),
            venues: vec![FIRST],
            markets: vec![market("BTC")],
            basis: Basis::Rolling24h,
        };
        let settings = Settings { jump_max_percent: Some(20), ..Settings::default() };
        scene.quotes = Quotes::new(&[wanted], settings, scene.now);
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

    /// A trade, streamed.
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

    fn counted(&self, what: &str) -> u64 {
        self.scene.quotes.refused.get(&(FIRST, what)).copied().unwrap_or(0)
    }
}

fn each(test: impl Fn(Market1)) {
    [Dialect::Dated, Dialect::Numbered].into_iter().for_each(|dialect| test(Market1::new(dialect)));
}

#[test]
fn fc_16_one_bad_tick_among_good_ones_is_never_shown_and_is_no_minutes_close() {
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
            assert!(!one.scene.quotes.take_unchecked().is_empty(), "a check is asked for at once");
            one.wait(1);
            one.shows("100");
            one.trade("101");
            one.shows("101");
            assert_eq!(one.counted("price-jump-refuted"), 1);
            one.scene.quotes.take_unchecked();
            one.wait(120);
            assert!(one.scene.quotes.take_unchecked().is_empty(), "nothing waits any more");
            let records = one.scene.quotes.take_unrecorded();
            let closes: Vec<_> = records.iter().flat_map(|r| &r.hours).flat_map(|h| &h.closes).collect();
            assert!(closes.iter().all(|(_, _, close)| *close == price("100") || *close == price("101")), "{closes:?}");
        });
    }
}

#[test]
fn fc_16_a_real_jump_is_shown_with_the_next_trade_or_the_answer_to_a_check() {
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
fn fc_16_the_same_trade_told_again_by_the_stream_is_no_second_witness() {
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
fn fc_16_an_answer_from_before_the_jump_neither_confirms_nor_refutes_it() {
    each(|mut one| {
        let (asked, before) = (one.scene.now, one.ticker("100"));
        one.scene.sleep(1);
        one.trade("50");
        one.scene.answer(FIRST, "BTC", before, asked, REST);
        one.shows("100");
        one.scene.sleep(1);
        one.trade("50");
        one.shows("50");
    });
}

#[test]
fn fc_16_a_check_that_says_the_former_price_refutes_the_jump() {
    each(|mut one| {
        one.trade("1");
        one.scene.sleep(1);
        one.trade_by("100", REST);
        one.shows("100");
        assert_eq!(one.counted("price-jump-refuted"), 1);
    });
}

#[test]
fn fc_16_a_polled_venue_is_held_to_the_same_rule() {
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
fn fc_16_without_any_witness_the_former_price_ages_and_the_feed_does_not_freeze() {
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
fn fc_16_a_check_is_asked_for_as_long_as_the_price_waits() {
    each(|mut one| {
        one.trade("50");
        for _ in 0..3 {
            assert_eq!(one.scene.quotes.take_unchecked().into_iter().collect::<Vec<_>>(), [(FIRST, market("BTC"))]);
            assert!(one.scene.quotes.take_unchecked().is_empty());
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
fn fc_16_a_redenomination_that_the_operator_has_announced_needs_no_witness() {
    let mut one = Market1::new(Dialect::Dated);
    one.scene.sleep(58);
    one.trade("100");
    let at = Minute::of(one.scene.truth).plus(1);
    let told = crate::domain::Redenomination { venue: FIRST, market: market("BTC"), at, factor: price("100") };
    let wanted = Wanted {
        source: SourceId::new(["first"]),
        venues: vec![FIRST],
        markets: vec![market("BTC")],
        basis: Basis::Rolling24h,
    };
    let settings = Settings { jump_max_percent: Some(20), redenominations: vec![told], ..Settings::default() };
    one.scene.quotes = Quotes::new(&[wanted], settings, one.scene.now);
    one.trade("100");
    one.scene.sleep(3);
    one.trade("10100");
    one.shows("10100");
    assert_eq!(one.counted("price-jump"), 0);
}

#[test]
fn fc_59_each_price_held_back_is_news_once_and_so_is_its_end() {
    use crate::domain::JumpStands::{Held, Over, Refuted};
    for (then, end) in [("100", Refuted), ("901", Over)] {
        let mut one = Market1::new(Dialect::Dated);
        assert_eq!(one.scene.quotes.take_jumps(), []);
        one.wait(1);
        one.trade("900");
        let again = one.ticker("900");
        one.scene.ticker(FIRST, "BTC", again, STREAM);
        let news = one.scene.quotes.take_jumps();
        let told: Vec<_> = news.iter().map(|jump| (jump.held, jump.shown, jump.stands)).collect();
        assert_eq!(told, [(price("900"), Some(price("100")), Held)]);
        assert_eq!((news[0].venue, news[0].market.clone()), (FIRST, market("BTC")));
        one.wait(1);
        one.trade(then);
        let told: Vec<_> =
            one.scene.quotes.take_jumps().iter().map(|jump| (jump.held, jump.shown, jump.stands)).collect();
        assert_eq!(told, [(price("900"), Some(price(then)), end)]);
    }
}

#[test]
fn fc_16_two_trades_minutes_apart_are_believed_though_answers_repeat_the_price_before() {
    for dialect in [Dialect::Dated, Dialect::Numbered] {
        let mut one = Market1::new(dialect);
        let before = one.ticker("100");
        for (last, shown) in [("150", "100"), ("151", "151")] {
            one.wait(1);
            one.trade(last);
            // A copy in a cache that nobody renews keeps the former price live.
            for _ in 0..18 {
                one.wait(5);
                let copy = Ticker { sent_at: None, ..before.clone() };
                one.scene.ticker(FIRST, "BTC", copy, REST);
            }
            assert_eq!(one.scene.row("BTC").last, Some(price(shown)), "{dialect:?}: {last}");
        }
    }
}
