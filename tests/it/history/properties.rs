//! Properties of minute closes, bars and line segments: no price is invented, and none is carried across a gap.

use proptest::prelude::*;
use rust_decimal::Decimal;
use sisepan::market::history::{MinuteClose, bars, minute_closes, segments};
use sisepan::market::{Minute, Price};

use super::{MinuteCloses, hours};

const FIRST: i64 = 29_000_000;

fn known_minutes() -> impl Strategy<Value = MinuteCloses> {
    let minute =
        prop_oneof![3 => Just(None), 3 => Just(Some(None)), 4 => (1i64..50).prop_map(|units| Some(Some(units)))];
    prop::collection::vec(minute, 1..400).prop_map(|minutes| {
        let known = minutes.into_iter().zip(FIRST..).filter_map(|(minute, at)| minute.map(|close| (at, close)));
        known.map(|(at, close)| (at, close.and_then(|units| Price::new(Decimal::from(units))))).collect()
    })
}

/// Reference model: walks back from a minute to the last trade, or to a gap.
fn model(known: &MinuteCloses, minute: i64) -> MinuteClose {
    if let Some(Some(price)) = known.get(&minute) {
        return MinuteClose::Traded(*price);
    }
    for at in (0..=minute).rev() {
        match known.get(&at) {
            None => return MinuteClose::Gap,
            Some(Some(price)) => return MinuteClose::Quiet(*price),
            Some(None) => {}
        }
    }
    MinuteClose::Gap
}

proptest! {
    #[test]
    fn minute_closes_match_the_model(known in known_minutes(), from in 0i64..300, length in 0i64..200) {
        let span = FIRST + from..FIRST + from + length;
        let closes = minute_closes(&hours(&known), Minute(span.start)..Minute(span.end));
        prop_assert_eq!(closes, span.map(|minute| model(&known, minute)).collect::<Vec<_>>());
    }

    #[test]
    fn a_bar_covers_all_its_minutes_or_is_none(known in known_minutes(), step in 2usize..70) {
        let span = FIRST + 1..FIRST + 400;
        let closes: Vec<_> = span.map(|minute| model(&known, minute)).collect();
        let before = model(&known, FIRST);
        let mut previous_close = before.price();
        for (bar, part) in bars(before, &closes, step).into_iter().zip(closes.chunks(step)) {
            let prices: Option<Vec<Price>> = part.iter().map(|close| close.price()).collect();
            let all = previous_close.zip(prices).map(|(open, prices)| (open, [vec![open], prices].concat()));
            prop_assert_eq!(bar.map(|bar| bar.open), all.as_ref().map(|(open, _)| *open));
            prop_assert_eq!(bar.map(|bar| bar.high), all.as_ref().and_then(|(_, all)| all.iter().max().copied()));
            prop_assert_eq!(bar.map(|bar| bar.low), all.as_ref().and_then(|(_, all)| all.iter().min().copied()));
            prop_assert_eq!(bar.map(|bar| bar.close), all.as_ref().and_then(|(_, all)| all.last().copied()));
            let traded = part.iter().any(|close| matches!(close, MinuteClose::Traded(_)));
            prop_assert_eq!(bar.map(|bar| bar.traded), all.map(|_| traded));
            previous_close = part.last().unwrap().price();
        }
    }

    #[test]
    fn a_bar_of_one_minute_is_its_close(known in known_minutes()) {
        let closes: Vec<_> = (FIRST..FIRST + 400).map(|minute| model(&known, minute)).collect();
        let bars = bars(MinuteClose::Gap, &closes, 1);
        prop_assert_eq!(bars.len(), closes.len());
        for (bar, close) in bars.iter().zip(closes) {
            prop_assert_eq!(bar.map(|bar| [bar.open, bar.high, bar.low, bar.close]), close.price().map(|price| [price; 4]));
        }
    }
}

proptest! {
    #[test]
    fn fc_49_line_segments_cover_every_known_minute_and_no_gap(known in known_minutes(), step in 1usize..70) {
        let end = known.keys().next_back().map_or(FIRST, |last| last + 3);
        let closes = minute_closes(&hours(&known), Minute(FIRST)..Minute(end));
        let pieces = segments(MinuteClose::Gap, &closes, step);
        let prices = || closes.iter().filter_map(|close| close.price());
        prop_assert_eq!(pieces.iter().map(|piece| piece.bar.high).max(), prices().max());
        prop_assert_eq!(pieces.iter().map(|piece| piece.bar.low).min(), prices().min());
        let mut ends = Vec::new();
        for (piece, next) in pieces.iter().zip(pieces.iter().skip(1).map(Some).chain([None])) {
            prop_assert!(piece.from / step == (piece.to.max(piece.from + 1) - 1) / step || piece.from == piece.to);
            // A segment contains no gap.
            prop_assert!(closes[piece.from..piece.to].iter().all(|close| *close != MinuteClose::Gap));
            prop_assert_eq!(Some(piece.bar.close), closes[piece.to - 1].price());
            prop_assert!(next.is_none_or(|next| next.from >= piece.to));
            ends.push(piece.to);
        }
        // Where a run of known minutes ends, a segment ends.
        for at in 1..closes.len() {
            if closes[at] == MinuteClose::Gap && closes[at - 1] != MinuteClose::Gap {
                prop_assert!(ends.contains(&at), "{} of {:?}", at, ends);
            }
        }
    }
}
