//! What becomes of records: never a price that did not stand, never one across a hole.

use proptest::prelude::*;
use rust_decimal::Decimal;
use sisepan::domain::history::{MinuteClose, bars, minute_closes, pieces};
use sisepan::domain::{Minute, Price};

use super::{Told, hours};

const FIRST: i64 = 29_000_000;

fn told() -> impl Strategy<Value = Told> {
    let minute =
        prop_oneof![3 => Just(None), 3 => Just(Some(None)), 4 => (1i64..50).prop_map(|units| Some(Some(units)))];
    prop::collection::vec(minute, 1..400).prop_map(|minutes| {
        let known = minutes.into_iter().zip(FIRST..).filter_map(|(told, at)| told.map(|close| (at, close)));
        known.map(|(at, close)| (at, close.and_then(|units| Price::new(Decimal::from(units))))).collect()
    })
}

/// The plain model: walk back from a minute until a trade or a hole.
fn model(told: &Told, minute: i64) -> MinuteClose {
    if let Some(Some(price)) = told.get(&minute) {
        return MinuteClose::Traded(*price);
    }
    for at in (0..=minute).rev() {
        match told.get(&at) {
            None => return MinuteClose::Hole,
            Some(Some(price)) => return MinuteClose::Quiet(*price),
            Some(None) => {}
        }
    }
    MinuteClose::Hole
}

proptest! {
    #[test]
    fn a_minute_is_told_as_it_was(told in told(), from in 0i64..300, length in 0i64..200) {
        let span = FIRST + from..FIRST + from + length;
        let closes = minute_closes(&hours(&told), Minute(span.start)..Minute(span.end));
        prop_assert_eq!(closes, span.map(|minute| model(&told, minute)).collect::<Vec<_>>());
    }

    #[test]
    fn a_bar_is_made_of_all_its_minutes_or_is_none(told in told(), step in 2usize..70) {
        let span = FIRST + 1..FIRST + 400;
        let closes: Vec<_> = span.map(|minute| model(&told, minute)).collect();
        let before = model(&told, FIRST);
        let mut opened = before.price();
        for (bar, part) in bars(before, &closes, step).into_iter().zip(closes.chunks(step)) {
            let prices: Option<Vec<Price>> = part.iter().map(|close| close.price()).collect();
            let all = opened.zip(prices).map(|(open, prices)| (open, [vec![open], prices].concat()));
            prop_assert_eq!(bar.map(|bar| bar.open), all.as_ref().map(|(open, _)| *open));
            prop_assert_eq!(bar.map(|bar| bar.high), all.as_ref().and_then(|(_, all)| all.iter().max().copied()));
            prop_assert_eq!(bar.map(|bar| bar.low), all.as_ref().and_then(|(_, all)| all.iter().min().copied()));
            prop_assert_eq!(bar.map(|bar| bar.close), all.as_ref().and_then(|(_, all)| all.last().copied()));
            let traded = part.iter().any(|close| matches!(close, MinuteClose::Traded(_)));
            prop_assert_eq!(bar.map(|bar| bar.traded), all.map(|_| traded));
            opened = part.last().unwrap().price();
        }
    }

    #[test]
    fn a_bar_of_one_minute_is_its_close(told in told()) {
        let closes: Vec<_> = (FIRST..FIRST + 400).map(|minute| model(&told, minute)).collect();
        let bars = bars(MinuteClose::Hole, &closes, 1);
        prop_assert_eq!(bars.len(), closes.len());
        for (bar, close) in bars.iter().zip(closes) {
            prop_assert_eq!(bar.map(|bar| [bar.open, bar.high, bar.low, bar.close]), close.price().map(|price| [price; 4]));
        }
    }
}

proptest! {
    #[test]
    fn fc_49_a_line_holds_every_known_minute_and_no_hole(told in told(), step in 1usize..70) {
        let end = told.keys().next_back().map_or(FIRST, |last| last + 3);
        let closes = minute_closes(&hours(&told), Minute(FIRST)..Minute(end));
        let pieces = pieces(MinuteClose::Hole, &closes, step);
        let known = || closes.iter().filter_map(|close| close.price());
        prop_assert_eq!(pieces.iter().map(|piece| piece.bar.high).max(), known().max());
        prop_assert_eq!(pieces.iter().map(|piece| piece.bar.low).min(), known().min());
        let mut ends = Vec::new();
        for (piece, next) in pieces.iter().zip(pieces.iter().skip(1).map(Some).chain([None])) {
            prop_assert!(piece.from / step == (piece.to.max(piece.from + 1) - 1) / step || piece.from == piece.to);
            // Between two points of a line there is no hole.
            prop_assert!(closes[piece.from..piece.to].iter().all(|close| *close != MinuteClose::Hole));
            prop_assert_eq!(Some(piece.bar.close), closes[piece.to - 1].price());
            prop_assert!(next.is_none_or(|next| next.from >= piece.to));
            ends.push(piece.to);
        }
        // Where a run of known minutes ends, a piece ends.
        for at in 1..closes.len() {
            if closes[at] == MinuteClose::Hole && closes[at - 1] != MinuteClose::Hole {
                prop_assert!(ends.contains(&at), "{} of {:?}", at, ends);
            }
        }
    }
}
