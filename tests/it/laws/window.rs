//! The window never returns a base that was not the last trade, and returns every base that can be known.
//!
//! A generated history of one market is the truth: trades, lost and new connections, snapshots, repeats, replays, and
//! candle responses. The window sees what a client would see. The reference model is simple: one flag per minute,
//! whether it is covered, and the true closes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use rust_decimal::Decimal;
use sisepan::market::window::{KEPT_MINUTES, TradeObservation};
use sisepan::market::{Minute, Price, Window};

const MINUTE: i64 = 60_000;

/// Start of the history, in Unix milliseconds; not on a minute.
const START: i64 = 1_790_000_012_345;

#[derive(Debug, Clone)]
enum Step {
    Trade(i64),
    /// Whether an old trade is replayed first.
    Connect(bool),
    Disconnect,
    /// The venue sends its last trade again.
    Confirm,
    /// The newest message is delivered twice.
    Repeat,
    /// A candle response: its length, and how long ago it ends, in minutes.
    Settle(i64, i64),
    Prune,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    price: i64,
    traded_at: i64,
    until: i64,
    session: u32,
    /// Whether the venue sent an old trade as if it were new.
    replayed: bool,
}

#[derive(Debug, Clone)]
enum Op {
    See(Seen),
    Settle(std::ops::Range<i64>),
    Prune(i64),
}

#[derive(Debug, Default)]
struct History {
    ops: Vec<Op>,
    trades: Vec<(i64, i64)>,
    now: i64,
}

fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
    let gap = prop_oneof![4 => 1i64..30_000, 4 => 1i64..600_000, 1 => 1i64..20_000_000];
    let step = prop_oneof![
        8 => (1i64..100).prop_map(Step::Trade),
        3 => any::<bool>().prop_map(Step::Connect),
        2 => Just(Step::Disconnect),
        3 => Just(Step::Confirm),
        2 => Just(Step::Repeat),
        2 => (1i64..400, 0i64..100).prop_map(|(length, back)| Step::Settle(length, back)),
        1 => Just(Step::Prune),
    ];
    prop::collection::vec((gap, step), 1..80)
}

fn history(steps: &[(i64, Step)]) -> History {
    let mut history = History { now: START, ..History::default() };
    let (mut session, mut connected, mut seen) = (0, false, Vec::<Seen>::new());
    for (gap, step) in steps {
        history.now += gap;
        let now = history.now;
        let (mut messages, mut trade) = (Vec::new(), None);
        let fresh = |session, traded_at, price| Seen { price, traded_at, until: now, session, replayed: false };
        let standing = |session| history.trades.last().map(|&(at, price)| fresh(session, at, price));
        match *step {
            Step::Trade(price) => {
                messages.extend(connected.then(|| fresh(session, now, price)));
                trade = Some((now, price));
            }
            Step::Connect(replay) => {
                (session, connected) = (session + 1, true);
                let newest = seen.iter().map(|seen| seen.traded_at).max();
                let old = seen.iter().rev().find(|seen| Some(seen.traded_at) < newest);
                messages.extend(old.filter(|_| replay).map(|&old| Seen { session, replayed: true, ..old }));
                messages.extend(standing(session));
            }
            Step::Disconnect => connected = false,
            Step::Confirm => messages.extend(standing(session).filter(|_| connected)),
            Step::Repeat => {
                let last = seen.last().filter(|last| connected && last.session == session);
                messages.extend(last);
            }
            Step::Settle(length, back) => {
                let end = now / MINUTE - back;
                history.ops.push(Op::Settle(end - length..end));
            }
            Step::Prune => history.ops.push(Op::Prune(now)),
        }
        history.trades.extend(trade);
        seen.extend(&messages);
        history.ops.extend(messages.into_iter().map(Op::See));
    }
    history
}

impl History {
    /// Returns the true close of each minute that had a trade.
    fn closes(&self) -> BTreeMap<i64, i64> {
        self.trades.iter().map(|&(at, price)| (at / MINUTE, price)).collect()
    }

    /// Returns the true last price before a minute.
    fn before(&self, minute: i64) -> Option<i64> {
        self.trades.iter().rev().find(|&&(at, _)| at < minute * MINUTE).map(|&(_, price)| price)
    }

    fn minutes(&self) -> std::ops::Range<i64> {
        START / MINUTE - 500..self.now / MINUTE + 2
    }

    /// Returns a window after all operations.
    fn window(&self) -> Window {
        let (closes, mut window, mut session) = (self.closes(), Window::default(), None);
        for op in &self.ops {
            match op {
                Op::See(seen) => {
                    let unbroken = session == Some(seen.session);
                    session = Some(seen.session);
                    window.observe(TradeObservation {
                        price: price(seen.price),
                        traded_at: instant(seen.traded_at),
                        until: instant(seen.until),
                        unbroken,
                    });
                }
                Op::Settle(span) => {
                    let candles: Vec<_> =
                        closes.range(span.clone()).map(|(&minute, &units)| (Minute(minute), price(units))).collect();
                    let overridden = window.settle(Minute(span.start)..Minute(span.end), &candles);
                    assert_eq!(overridden, 0, "candles and tickers of one history disagree");
                }
                Op::Prune(now) => window.prune(instant(*now)),
            }
        }
        window
    }

    /// Returns which minutes are covered to their end: the reference model of coverage.
    fn known(&self) -> BTreeMap<i64, bool> {
        let mut known: BTreeMap<i64, bool> = self.minutes().map(|minute| (minute, false)).collect();
        let mut claim = |from: i64, until: i64| {
            // The end of a minute lies within (from, until].
            (from / MINUTE..until / MINUTE).for_each(|minute| *known.entry(minute).or_default() = true);
        };
        let mut chain: Option<Seen> = None;
        for op in &self.ops {
            match op {
                Op::See(seen) => {
                    claim(seen.traded_at, seen.until);
                    // Nothing is missed between two messages of one connection.
                    if let Some(before) = chain.filter(|before| before.session == seen.session && !before.replayed) {
                        claim(before.until, seen.until);
                    }
                    chain = Some(*seen);
                }
                Op::Settle(span) => claim(span.start * MINUTE, span.end * MINUTE),
                Op::Prune(_) => {}
            }
        }
        known
    }

    /// Returns the model's last close for each minute, if all minutes since that close are known.
    fn expected_closes(&self) -> BTreeMap<i64, Option<i64>> {
        let (known, closes, mut standing) = (self.known(), self.closes(), None);
        let expected = |(minute, known)| {
            standing = if known { closes.get(&minute).copied().or(standing) } else { None };
            (minute, standing)
        };
        known.into_iter().map(expected).collect()
    }
}

fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn price(units: i64) -> Price {
    Price::new(Decimal::from(units)).unwrap()
}

fn close_at_end(window: &Window, minute: i64) -> Option<Price> {
    window.price_before(Minute(minute + 1).start())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn messages_in_order_make_known_exactly_what_they_cover(steps in steps()) {
        let history = history(&steps);
        let window = history.window();
        let pruned = history.ops.iter().any(|op| matches!(op, Op::Prune(_)));
        let border = if pruned { history.now / MINUTE - KEPT_MINUTES } else { i64::MIN };
        for (minute, units) in history.expected_closes().into_iter().filter(|(minute, _)| *minute >= border) {
            prop_assert_eq!(close_at_end(&window, minute), units.map(price), "minute {}", minute);
        }
        let known = history.known();
        let span = Minute(history.minutes().start.max(border))..Minute(history.minutes().end);
        let missing = window.missing(span.clone()).into_iter().flat_map(|r| r.start.0..r.end.0).collect::<Vec<_>>();
        let model = known.iter().filter(|(minute, known)| !**known && (span.start.0..span.end.0).contains(minute));
        prop_assert_eq!(missing, model.map(|(&minute, _)| minute).collect::<Vec<_>>());
    }

    #[test]
    fn extremes_include_every_minute_or_are_unknown(steps in steps(), from in 0i64..900, length in 0i64..900) {
        let history = history(&steps);
        let window = history.window();
        let pruned = history.ops.iter().any(|op| matches!(op, Op::Prune(_)));
        let border = if pruned { history.now / MINUTE - KEPT_MINUTES } else { i64::MIN };
        let from = (history.minutes().end - from).max(border);
        let span = from..from + length;
        // The model: the last close at the end of each minute.
        let closes = history.expected_closes();
        let each = span.clone().map(|minute| closes.get(&minute).copied().flatten());
        let each: Option<Vec<i64>> = each.collect();
        let model = each.filter(|each| !each.is_empty());
        let model = model.map(|each| (price(*each.iter().min().unwrap()), price(*each.iter().max().unwrap())));
        prop_assert_eq!(window.extremes(Minute(span.start), Minute(span.end)), model);
    }

    #[test]
    fn messages_out_of_order_never_lead_to_a_wrong_price(steps in steps(), swaps in prop::collection::vec(0usize..200, 0..60)) {
        let mut history = history(&steps);
        for at in swaps {
            let Some([one, other]) = history.ops.get_mut(at..at + 2) else { continue };
            if matches!((&one, &other), (Op::See(a), Op::See(b)) if a.session == b.session) {
                std::mem::swap(one, other);
            }
        }
        let window = history.window();
        for minute in history.minutes() {
            if let Some(found) = close_at_end(&window, minute) {
                prop_assert_eq!(Some(found), history.before(minute + 1).map(price), "minute {}", minute);
            }
        }
    }

    #[test]
    fn pruning_removes_only_what_no_base_needs(steps in steps()) {
        let history = history(&steps);
        let mut window = history.window();
        let now = instant(history.now);
        let border = Minute::of(now).0 - KEPT_MINUTES;
        let kept: Vec<_> =
            (border..history.minutes().end).map(|minute| (minute, close_at_end(&window, minute))).collect();
        window.prune(now);
        for (minute, before) in kept {
            prop_assert_eq!(close_at_end(&window, minute), before, "minute {}", minute);
        }
        // One close more than the minutes kept: the last trade of a quiet market.
        prop_assert!(window.len() <= usize::try_from(KEPT_MINUTES).unwrap() + 2);
        let len = window.len();
        window.prune(now);
        prop_assert_eq!(window.len(), len);
    }

    #[test]
    fn repeated_messages_change_nothing(steps in steps()) {
        let history = history(&steps);
        let (mut window, mut again) = (history.window(), history.window());
        let repeated = history.ops.iter().filter_map(|op| if let Op::See(seen) = op { Some(seen) } else { None });
        for seen in repeated {
            again.observe(TradeObservation {
                price: price(seen.price),
                traded_at: instant(seen.traded_at),
                until: instant(seen.until),
                unbroken: false,
            });
        }
        for window in [&mut window, &mut again] {
            window.prune(instant(history.now));
        }
        let border = history.now / MINUTE - KEPT_MINUTES;
        for minute in border..history.minutes().end {
            prop_assert_eq!(close_at_end(&again, minute), close_at_end(&window, minute));
        }
    }
}
