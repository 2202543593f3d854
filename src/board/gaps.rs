//! Which minutes of which windows candles should fill.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::domain::{Basis, Gap, Market, Minute, Now, Urgency, VenueClock, VenueId};

use super::feed::{self, Feed};
use super::row::Row;

/// The newest minutes are left to the stream: it may be about to say them.
const NEWEST_LEFT: i64 = 3;

/// A hole that no base needs yet is filled once it began this many minutes ago, so that one request fills many.
const HOLE_BATCH: i64 = 10;

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
            } else if base < present.plus(-NEWEST_LEFT) && !window.unsettled(base.plus(-1)..base).is_empty() {
                // A day's base was this moment's price a moment ago: what was seen live is not yet the last word.
                add(base.plus(-1)..base, Urgency::Settle);
            }
        }
        let day = present.plus(-DAY - 1)..present.plus(-NEWEST_LEFT);
        let holes = window.missing(day.clone());
        if holes.is_empty() {
            let unsettled = window.unsettled(day).into_iter();
            unsettled
                .filter(|span| span.end.0 - span.start.0 >= SETTLE_BATCH)
                .for_each(|span| add(span, Urgency::Settle));
        }
        let ripe = holes.into_iter().filter(|hole| hole.start <= present.plus(-HOLE_BATCH));
        ripe.for_each(|hole| add(hole, Urgency::Hole));
    }
    gaps
}
