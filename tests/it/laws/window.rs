//! The window never names a base that was not the last trade, and names each that it can know.
//!
//! A generated day of one market is the truth: trades, connections that come
//! and go, snapshots, repeats, replays, candle answers. The window sees what a
//! client would. The model beside it is plain: which minutes someone spoke
//! for, one flag each, and the true closes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use rust_decimal::Decimal;
use sisepan::domain::window::{KEPT_MINUTES, Sighting};
use sisepan::domain::{Minute, Price, Window};

const MINUTE: i64 = 60_000;

/// Where the story begins, in Unix milliseconds; not on a minute.
const START: i64 = 1_790_000_012_345;

#[derive(Debug, Clone)]
enum Step {
    Trade(i64),
    /// With a replay of an old trade first, or not.
    Connect(bool),
    Disconnect,
    /// The venue says its last trade again.
    Confirm,
    /// The newest message comes twice.
    Repeat,
    /// A candle answer for so many minutes, ending so many minutes ago.
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
struct Story {
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

fn story(steps: &[(i64, Step)]) -> Story {
    let mut story = Story { now: START, ..Story::default() };
    let (mut session, mut connected, mut seen) = (0, false, Vec::<Seen>::new());
    for (gap, step) in steps {
        story.now += gap;
        let now = story.now;
        let (mut said, mut trade) = (Vec::new(), None);
        let fresh = |session, traded_at, price| Seen { price, traded_at, until: now, session, replayed: false };
        let standing = |session| story.trades.last().map(|&(at, price)| fresh(session, at, price));
        match *step {
            Step::Trade(price) => {
                said.extend(connected.then(|| fresh(session, now, price)));
                trade = Some((now, price));
            }
            Step::Connect(replay) => {
                (session, connected) = (session + 1, true);
                let newest = seen.iter().map(|seen| seen.traded_at).max();
                let old = seen.iter().rev().find(|seen| Some(seen.traded_at) < newest);
                said.extend(old.filter(|_| replay).map(|&old| Seen { session, replayed: true, ..old }));
                said.extend(standing(session));
            }
            Step::Disconnect => connected = false,
            Step::Confirm => said.extend(standing(session).filter(|_| connected)),
            Step::Repeat => {
                let last = seen.last().filter(|last| connected && last.session == session);
                said.extend(last);
            }
            Step::Settle(length, back) => {
                let end = now / MINUTE - back;
                story.ops.push(Op::Settle(end - length..end));
            }
            Step::Prune => story.ops.push(Op::Prune(now)),
        }
        story.trades.extend(trade);
        seen.extend(&said);
        story.ops.extend(said.into_iter().map(Op::See));
    }
    story
}

impl Story {
    /// The true close of each minute that had a trade.
    fn closes(&self) -> BTreeMap<i64, i64> {
        self.trades.iter().map(|&(at, price)| (at / MINUTE, price)).collect()
    }

    /// The true last price before a minute.
    fn before(&self, minute: i64) -> Option<i64> {
        self.trades.iter().rev().find(|&&(at, _)| at < minute * MINUTE).map(|&(_, price)| price)
    }

    fn minutes(&self) -> std::ops::Range<i64> {
        START / MINUTE - 500..self.now / MINUTE + 2
    }

    fn told(&self) -> Window {
        let (closes, mut window, mut session) = (self.closes(), Window::default(), None);
        for op in &self.ops {
            match op {
                Op::See(seen) => {
                    let unbroken = session == Some(seen.session);
                    session = Some(seen.session);
                    window.observe(Sighting {
                        price: price(seen.price),
                        traded_at: instant(seen.traded_at),
                        until: instant(seen.until),
                        unbroken,
                    });
                }
                Op::Settle(span) => {
                    let told: Vec<_> =
                        closes.range(span.clone()).map(|(&minute, &units)| (Minute(minute), price(units))).collect();
                    let overruled = window.settle(Minute(span.start)..Minute(span.end), &told);
                    assert_eq!(overruled, 0, "candles and tickers of one truth disagree");
                }
                Op::Prune(now) => window.prune(instant(*now)),
            }
        }
        window
    }

    /// Which minutes' ends someone spoke for: the plain model of coverage.
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
                    // From one message of a connection to the next nothing is missed.
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

    /// What the model answers for each minute: the close that stands, if the way back to it is known.
    fn answers(&self) -> BTreeMap<i64, Option<i64>> {
        let (known, closes, mut standing) = (self.known(), self.closes(), None);
        let answer = |(minute, known)| {
            standing = if known { closes.get(&minute).copied().or(standing) } else { None };
            (minute, standing)
        };
        known.into_iter().map(answer).collect()
    }
}

fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn price(units: i64) -> Price {
    Price::new(Decimal::from(units)).unwrap()
}

fn asked(window: &Window, minute: i64) -> Option<Price> {
    window.price_before(Minute(minute + 1).start())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_comes_in_order_is_known_exactly(steps in steps()) {
        let story = story(&steps);
        let window = story.told();
        let pruned = story.ops.iter().any(|op| matches!(op, Op::Prune(_)));
        let border = if pruned { story.now / MINUTE - KEPT_MINUTES } else { i64::MIN };
        for (minute, units) in story.answers().into_iter().filter(|(minute, _)| *minute >= border) {
            prop_assert_eq!(asked(&window, minute), units.map(price), "minute {}", minute);
        }
        let known = story.known();
        let span = Minute(story.minutes().start.max(border))..Minute(story.minutes().end);
        let missing = window.missing(span.clone()).into_iter().flat_map(|r| r.start.0..r.end.0).collect::<Vec<_>>();
        let model = known.iter().filter(|(minute, known)| !**known && (span.start.0..span.end.0).contains(minute));
        prop_assert_eq!(missing, model.map(|(&minute, _)| minute).collect::<Vec<_>>());
    }

    #[test]
    fn extremes_are_those_of_every_minute_or_are_not_known(steps in steps(), from in 0i64..900, length in 0i64..900) {
        let story = story(&steps);
        let window = story.told();
        let pruned = story.ops.iter().any(|op| matches!(op, Op::Prune(_)));
        let border = if pruned { story.now / MINUTE - KEPT_MINUTES } else { i64::MIN };
        let from = (story.minutes().end - from).max(border);
        let span = from..from + length;
        // Looked at one by one: the close that stands when each minute ends.
        let answers = story.answers();
        let each = span.clone().map(|minute| answers.get(&minute).copied().flatten());
        let each: Option<Vec<i64>> = each.collect();
        let model = each.filter(|each| !each.is_empty());
        let model = model.map(|each| (price(*each.iter().min().unwrap()), price(*each.iter().max().unwrap())));
        prop_assert_eq!(window.extremes(Minute(span.start), Minute(span.end)), model);
    }

    #[test]
    fn what_comes_out_of_order_is_never_wrong(steps in steps(), swaps in prop::collection::vec(0usize..200, 0..60)) {
        let mut story = story(&steps);
        for at in swaps {
            let Some([one, other]) = story.ops.get_mut(at..at + 2) else { continue };
            if matches!((&one, &other), (Op::See(a), Op::See(b)) if a.session == b.session) {
                std::mem::swap(one, other);
            }
        }
        let window = story.told();
        for minute in story.minutes() {
            if let Some(found) = asked(&window, minute) {
                prop_assert_eq!(Some(found), story.before(minute + 1).map(price), "minute {}", minute);
            }
        }
    }

    #[test]
    fn pruning_forgets_only_what_no_base_needs(steps in steps()) {
        let story = story(&steps);
        let mut window = story.told();
        let now = instant(story.now);
        let border = Minute::of(now).0 - KEPT_MINUTES;
        let kept: Vec<_> = (border..story.minutes().end).map(|minute| (minute, asked(&window, minute))).collect();
        window.prune(now);
        for (minute, before) in kept {
            prop_assert_eq!(asked(&window, minute), before, "minute {}", minute);
        }
        // One close more than the minutes kept: the one that a quiet market stands on.
        prop_assert!(window.len() <= usize::try_from(KEPT_MINUTES).unwrap() + 2);
        let len = window.len();
        window.prune(now);
        prop_assert_eq!(window.len(), len);
    }

    #[test]
    fn saying_all_again_changes_nothing(steps in steps()) {
        let story = story(&steps);
        let (mut window, mut again) = (story.told(), story.told());
        let repeated = story.ops.iter().filter_map(|op| if let Op::See(seen) = op { Some(seen) } else { None });
        for seen in repeated {
            again.observe(Sighting {
                price: price(seen.price),
                traded_at: instant(seen.traded_at),
                until: instant(seen.until),
                unbroken: false,
            });
        }
        for window in [&mut window, &mut again] {
            window.prune(instant(story.now));
        }
        let border = story.now / MINUTE - KEPT_MINUTES;
        for minute in border..story.minutes().end {
            prop_assert_eq!(asked(&again, minute), asked(&window, minute));
        }
    }
}
