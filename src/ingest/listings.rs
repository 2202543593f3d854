//! The list of markets: fetched at the start, anew every ten minutes, and never believed when empty.
//!
//! One list that lacks a market may be a bad one: the market is let go when a
//! second says so, which is asked for soon.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Backoff;
use super::pace::Priority;
use super::shared::Shared;
use crate::domain::{Event, Listing, Market, Reason, ReasonCode};
use crate::venue::{Answer, Ask};

/// While a market is missing or halted the list is asked for this often: its return matters to the minute.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// A market is let go when so many lists in a row lack it.
const MISSED_MAX: u32 = 2;

/// A list, and what could not be read of it.
struct List {
    listings: Vec<Listing>,
    unreadable: Vec<Market>,
}

/// Keeps the list fresh until shutdown. The last good one stays while no other can be had.
pub async fn run(shared: Arc<Shared>) {
    let settings = &shared.settings;
    let mut backoff = Backoff::new(settings.backoff_min, settings.backoff_max);
    let mut missed = BTreeMap::new();
    loop {
        let wait = match fetch(&shared).await {
            Some(Ok(list)) => {
                backoff.reset();
                let away = publish(&shared, list, &mut missed);
                tick_sizes(&shared).await;
                if away { settings.list_every.min(LOOK_AGAIN) } else { settings.list_every }
            }
            Some(Err(reason)) => {
                shared.rest_failed("list of markets", &reason);
                let held = shared.http.held().map_or(Duration::ZERO, |(left, _)| left);
                held + backoff.after_failure()
            }
            None => return,
        };
        tokio::time::sleep(wait).await;
    }
}

async fn fetch(shared: &Shared) -> Option<Result<List, Reason>> {
    let request = shared.venue.ask(&Ask::Markets)?;
    let body = match shared.http.get(&request, Priority::Price).await {
        Ok(body) => body,
        Err(error) => return Some(Err(error.reason)),
    };
    let (records, left_out) = match shared.venue.answer(&Ask::Markets, &body.text) {
        Ok(Answer::Markets { listings, left_out }) => (listings, left_out),
        Ok(_) => return Some(Err(Reason::new(ReasonCode::Payload, "the answer is not a list of markets"))),
        Err(error) => {
            let text = super::decode::quoted(&error.to_string());
            return Some(Err(Reason::new(ReasonCode::Payload, format!("the list of markets can't be read: {text}"))));
        }
    };
    let (mut listings, mut refused) = (Vec::with_capacity(records.len()), false);
    for record in records {
        match record {
            Ok(listing) => listings.push(listing),
            Err(rejection) => {
                refused = true;
                shared.reject(rejection.problem, &format!("a listed market: {rejection}"));
            }
        }
    }
    if listings.is_empty() {
        return Some(Err(Reason::new(ReasonCode::Payload, "the list of markets is empty, which is not believed")));
    }
    shared.rest_worked(body.dated);
    for (market, rejection) in left_out.iter().filter(|(market, _)| shared.wanted.contains(market)) {
        shared.leave_out(market, rejection);
    }
    let read: BTreeSet<&Market> = listings.iter().map(|listing| &listing.market).collect();
    // A row that can't be read is there all the same: its symbol stands in the text.
    let named = |market: &&Market| body.text.contains(&format!("\"{}\"", shared.venue.symbol(market)));
    let unread = shared.wanted.iter().filter(|market| !read.contains(market));
    let unreadable = if refused { unread.filter(named).cloned().collect() } else { Vec::new() };
    Some(Ok(List { listings, unreadable }))
}

/// Asks for the smallest steps of the listed markets where the list does not say them; those known before stand if that fails.
async fn tick_sizes(shared: &Shared) {
    let listed = shared.listed.borrow().clone();
    let markets: Vec<Market> = shared.wanted.iter().filter(|market| listed.contains(*market)).cloned().collect();
    let symbols: BTreeMap<String, &Market> =
        markets.iter().map(|market| (shared.venue.symbol(market), market)).collect();
    for some in markets.chunks(shared.venue.profile().markets_per_request.max(1)) {
        let ask = Ask::TickSizes(some);
        let Some(request) = shared.venue.ask(&ask) else { return };
        let answer = match shared.http.get(&request, Priority::Price).await {
            Ok(body) => shared.venue.answer(&ask, &body.text).map_err(|error| {
                let text = super::decode::quoted(&error.to_string());
                Reason::new(ReasonCode::Payload, format!("the tick sizes can't be read: {text}"))
            }),
            Err(error) => Err(error.reason),
        };
        let records = match answer {
            Ok(Answer::TickSizes(records)) => records,
            Ok(_) => continue,
            Err(reason) => {
                shared.log("tick sizes", &reason);
                continue;
            }
        };
        let mut sizes = Vec::with_capacity(records.len());
        for (symbol, size) in records {
            match (symbols.get(&symbol), size) {
                (Some(&market), Ok(size)) => sizes.push((market.clone(), size)),
                (Some(&market), Err(rejection)) => shared.refuse(market, &rejection),
                (None, _) => shared.reject("unknown-symbol", &symbol),
            }
        }
        shared.outbox.push(Event::TickSizes { venue: shared.id(), sizes });
    }
}

/// Passes a list on; returns whether some market that was there is missing or halted.
fn publish(shared: &Shared, list: List, missed: &mut BTreeMap<Market, u32>) -> bool {
    let List { listings, unreadable } = list;
    let all: BTreeMap<&Market, &Listing> = listings.iter().map(|listing| (&listing.market, listing)).collect();
    let first = !*shared.has_list.borrow();
    let before = shared.listed.borrow().clone();
    let mut away = false;
    let mut listed = BTreeSet::new();
    for market in &shared.wanted {
        if let Some(listing) = all.get(market) {
            missed.insert(market.clone(), 0);
            away |= listing.halted;
            listed.insert(market.clone());
            continue;
        }
        if unreadable.contains(market) {
            listed.extend(before.contains(market).then(|| market.clone()));
            continue;
        }
        // What no list of this life has had is taken at its word.
        let Some(missed) = missed.get_mut(market) else { continue };
        *missed = missed.saturating_add(1);
        away = true;
        listed.extend((*missed < MISSED_MAX).then(|| market.clone()));
    }
    for market in shared.wanted.iter().filter(|market| !listed.contains(*market)) {
        if first || before.contains(market) {
            tracing::warn!(venue = %shared.id(), %market, "a wanted market is not listed");
            shared.health().count("unlisted", 1);
        }
    }
    shared.listed.send_if_modified(|now| {
        let changed = **now != listed;
        if changed {
            *now = Arc::new(listed);
        }
        changed
    });
    shared.has_list.send_replace(true);
    shared.outbox.push(Event::Listings { venue: shared.id(), listings, unreadable });
    shared.report(false);
    away
}
