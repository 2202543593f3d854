//! The list of markets: fetched at the start, anew every ten minutes, and never believed when empty.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Backoff;
use super::pace::Priority;
use super::shared::Shared;
use crate::domain::{Event, Listing, Market, Reason, ReasonCode};
use crate::venue::{Answer, Ask};

/// Keeps the list fresh until shutdown. The last good one stays while no other can be had.
pub async fn run(shared: Arc<Shared>) {
    let settings = &shared.settings;
    let mut backoff = Backoff::new(settings.backoff_min, settings.backoff_max);
    loop {
        let wait = match fetch(&shared).await {
            Some(Ok(listings)) => {
                backoff.reset();
                publish(&shared, listings);
                settings.list_every
            }
            Some(Err(reason)) => {
                shared.rest_failed("list of markets", &reason);
                let held = shared.http.held().map_or(std::time::Duration::ZERO, |(left, _)| left);
                held + backoff.after_failure()
            }
            None => return,
        };
        tokio::time::sleep(wait).await;
    }
}

async fn fetch(shared: &Shared) -> Option<Result<Vec<Listing>, Reason>> {
    let request = shared.venue.ask(&Ask::Markets)?;
    let body = match shared.http.get(&request, Priority::Price).await {
        Ok(body) => body,
        Err(error) => return Some(Err(error.reason)),
    };
    let records = match shared.venue.answer(&Ask::Markets, &body.text) {
        Ok(Answer::Markets(records)) => records,
        Ok(_) => return Some(Err(Reason::new(ReasonCode::Payload, "the answer is not a list of markets"))),
        Err(error) => {
            let text = super::decode::quoted(&error.to_string());
            return Some(Err(Reason::new(ReasonCode::Payload, format!("the list of markets can't be read: {text}"))));
        }
    };
    let mut listings = Vec::with_capacity(records.len());
    for record in records {
        match record {
            Ok(listing) => listings.push(listing),
            Err(rejection) => shared.reject(rejection.problem, &format!("a listed market: {rejection}")),
        }
    }
    if listings.is_empty() {
        return Some(Err(Reason::new(ReasonCode::Payload, "the list of markets is empty, which is not believed")));
    }
    shared.rest_worked(body.skew_ms);
    Some(Ok(listings))
}

fn publish(shared: &Shared, listings: Vec<Listing>) {
    let all: BTreeSet<&Market> = listings.iter().map(|listing| &listing.market).collect();
    let listed: BTreeSet<Market> = shared.wanted.iter().filter(|market| all.contains(market)).cloned().collect();
    let first = !*shared.has_list.borrow();
    for market in shared.wanted.iter().filter(|market| !listed.contains(*market)) {
        if first || shared.listed.borrow().contains(market) {
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
    shared.outbox.push(Event::Listings { venue: shared.id(), listings });
    shared.report(false);
}
