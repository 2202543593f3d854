//! Which minutes of which windows candles should fill.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use jiff::SignedDuration;

use crate::domain::{Basis, Gap, Market, Minute, Now, Urgency, VenueClock, VenueId};

use super::feed::{self, Feed};
use super::row::Row;

/// A minute is left to the stream until it has been over for this long: it may be about to say it.
const STREAM_FIRST: SignedDuration = SignedDuration::from_secs(15);

/// Holes among so many of the newest minutes come before older ones; one answer holds them all.
const RECENT: i64 = 180;

/// A base is settled once it is older than this many minutes.
const SETTLE_LEFT: i64 = 3;

/// Minutes seen live are settled once this many of them wait.
const SETTLE_BATCH: i64 = 60;

/// Minutes that a day has.
const DAY: i64 = 24 * 60;

/// Returns the gaps in the windows behind a row.
pub fn of_row(
    row: &Row,
    feeds: &HashMap<(VenueId, Market), Feed>,
    clocks: &BTreeMap<VenueId, VenueClock>,
    now: Now,
) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for &venue in &row.venues {
        let there = feed::there(clocks.get(&venue).copied(), now);
        let present = Minute::of(there);
        let Some(feed) = feeds.get(&(venue, row.market.clone())).filter(|feed| !feed.is_foreign()) else { continue };
        let window = feed.window();
        let mut add = |span: Range<Minute>, urgency| {
            gaps.push(Gap { venue, market: row.market.clone(), span, urgency });
        };
        for basis in Basis::ALL {
            let base = Minute::of(basis.base_time(there));
            if window.own(base.plus(-1)..base).is_empty() {
                continue;
            }
            let unknown = window.price_before(base.start()).is_none();
            if unknown {
                add(base.plus(-1)..base, if basis == row.basis { Urgency::Base } else { Urgency::Hole });
            } else if base < present.plus(-SETTLE_LEFT) && !window.unsettled(base.plus(-1)..base).is_empty() {
                // A day's base was this moment's price a moment ago: what was seen live is not yet the last word.
                add(base.plus(-1)..base, Urgency::Settle);
            }
        }
        let over = Minute::of(there.saturating_sub(STREAM_FIRST).unwrap_or(there));
        let recent = present.plus(-RECENT);
        let day = present.plus(-DAY - 1)..over;
        let holes = window.missing(day.clone());
        if holes.is_empty() {
            let unsettled = window.unsettled(day).into_iter();
            unsettled
                .filter(|span| span.end.0 - span.start.0 >= SETTLE_BATCH)
                .for_each(|span| add(span, Urgency::Settle));
        }
        for hole in holes {
            let parts = [
                (hole.start..hole.end.min(recent), Urgency::Hole),
                (hole.start.max(recent)..hole.end, Urgency::Recent),
            ];
            parts.into_iter().filter(|(span, _)| !span.is_empty()).for_each(|(span, urgency)| add(span, urgency));
        }
    }
    gaps
}
