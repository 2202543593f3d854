//! Which minutes of which windows should be filled from candles.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use jiff::SignedDuration;

use crate::feed::{Gap, Urgency};
use crate::market::{Basis, Market, Minute, Now, VenueClock, VenueId};

use super::feed::{self, Feed};
use super::row::Row;

/// A minute is left to the stream until it has been over for this long, because its last trade may still
/// arrive.
const STREAM_GRACE: SignedDuration = SignedDuration::from_secs(15);

/// Gaps among this many of the newest minutes take precedence over older ones; one candle response covers
/// them all.
const RECENT_MINUTES: i64 = 180;

/// A base is settled once it is older than this many minutes.
const SETTLE_BASE_AFTER: i64 = 3;

/// Minutes seen live are settled once this many of them have accumulated.
const SETTLE_BATCH: i64 = 60;

/// Minutes in a day.
const DAY_MINUTES: i64 = 24 * 60;

/// Returns the gaps in the windows behind a row.
pub fn of_row(
    row: &Row,
    feeds: &HashMap<(VenueId, Market), Feed>,
    clocks: &BTreeMap<VenueId, VenueClock>,
    now: Now,
) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for &venue in &row.venues {
        let venue_now = feed::venue_now(clocks.get(&venue).copied(), now);
        let current = Minute::of(venue_now);
        let Some(feed) = feeds.get(&(venue, row.market.clone())).filter(|feed| !feed.is_unavailable()) else {
            continue;
        };
        let window = feed.window();
        let mut add = |span: Range<Minute>, urgency| {
            gaps.push(Gap { venue, market: row.market.clone(), span, urgency });
        };
        for basis in Basis::ALL {
            let base = Minute::of(basis.base_time(venue_now));
            if window.clip_to_listing(base.plus(-1)..base).is_empty() {
                continue;
            }
            let unknown = window.price_before(base.start()).is_none();
            if unknown {
                add(base.plus(-1)..base, if basis == row.basis { Urgency::Base } else { Urgency::Older });
            } else if base < current.plus(-SETTLE_BASE_AFTER) && !window.unsettled(base.plus(-1)..base).is_empty() {
                // The base was the current price until a moment ago: what was seen live still has to be
                // settled.
                add(base.plus(-1)..base, Urgency::Settle);
            }
        }
        let closed_until = Minute::of(venue_now.saturating_sub(STREAM_GRACE).unwrap_or(venue_now));
        let recent = current.plus(-RECENT_MINUTES);
        let day = current.plus(-DAY_MINUTES - 1)..closed_until;
        let missing = window.missing(day.clone());
        if missing.is_empty() {
            let unsettled = window.unsettled(day).into_iter();
            unsettled
                .filter(|span| span.end.0 - span.start.0 >= SETTLE_BATCH)
                .for_each(|span| add(span, Urgency::Settle));
        }
        for range in missing {
            let parts = [
                (range.start..range.end.min(recent), Urgency::Older),
                (range.start.max(recent)..range.end, Urgency::Recent),
            ];
            parts.into_iter().filter(|(span, _)| !span.is_empty()).for_each(|(span, urgency)| add(span, urgency));
        }
    }
    gaps
}
