//! The market list: fetched at the start and every ten minutes, and never accepted when empty.
//!
//! The requests are in `rest::list_query`; here is what follows from a list.
//!
//! A symbol that the list shows to stand for other assets is not read from then on, whether or not it trades. A venue
//! with names of its own ([`Profile::needs_list`](crate::venue::Profile::needs_list)) is read only after its first
//! list, and only the markets that a list has confirmed.
//!
//! Markets that become wanted later are checked against the last complete list. If it lacks one, the market may be new
//! at the exchange: the list is fetched again, unless it is less than a minute old.
//!
//! A list that lacks a market may be faulty, and so may two. A market is dropped only when two lists in a row
//! lack it (the second is requested soon) and the exchange, when asked for its price, reports no newer trade. A
//! list much shorter than the previous one removes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::watch;

use super::context::VenueContext;
use super::limits::Backoff;
use super::liveness::TradeKey;
use super::polling::poll_via;
use super::rest::list_query::{self, CheckedList, MissingPrices};
use super::wanted::WantedMarkets;
use crate::feed::{Event, Listing, MISSED_LISTS_MAX, Reason, ReasonCode, Via};
use crate::market::Market;

/// If the price of a market can't be fetched while this many lists lack it, that counts as a refusal.
const UNANSWERED_LISTS_MAX: u32 = 10;

/// A market wrongly missing from lists is dropped only after this many in a row without a newer trade, because it may
/// be quiet.
const QUIET_LISTS_MAX: u32 = 10;

/// A list that stays short this long is accepted as intended by the exchange.
const SHORT_MAX: Duration = Duration::from_secs(3600);

/// A market that no list has contained counts as trading if its newest trade is at most this old.
const RECENT: SignedDuration = SignedDuration::from_secs(60);

/// The last list that was accepted as complete.
struct CompleteList {
    listings: Vec<Listing>,
    received_at: Duration,
}

/// What earlier lists contained.
#[derive(Default)]
struct ListHistory {
    markets: BTreeMap<Market, MarketHistory>,
    /// Number of rows of the last list that was accepted as complete.
    rows: usize,
    complete: Option<CompleteList>,
    /// When the last list was received, complete or not.
    received_at: Duration,
    /// Since when lists have been much shorter.
    short_since: Option<Duration>,
    /// Wait for the next list while the only missing markets are some that no list has ever contained.
    next_wait: Duration,
    /// Last reported: whether the list was short, and the markets wrongly missing from it.
    last_reported: (bool, BTreeSet<Market>),
}

/// History of one wanted market in the lists.
#[derive(Default)]
struct MarketHistory {
    /// Whether any list has contained it, and none since has shown its symbol to stand for other assets.
    was_listed: bool,
    /// Whether a list has shown that, and none has contained it since.
    was_other_asset: bool,
    /// Number of complete lists in a row without it, since it was last seen to trade nevertheless.
    lists_missed: u32,
    /// Whether it was seen to trade although lists lack it.
    trades_on: bool,
    /// The newest trade known when a list first lacked it.
    newest_known: Option<TradeKey>,
    /// Its price is not requested again before this time.
    price_check_at: Duration,
    /// How long the wait until that time was set to; doubles each time.
    price_check_wait: Duration,
}

impl ListHistory {
    /// Returns the number of rows of the previous list, if a list has less than half of them.
    fn shortfall(&mut self, rows: usize, now: Duration) -> Option<usize> {
        let is_lasting = self.short_since.is_some_and(|since| now.saturating_sub(since) >= SHORT_MAX);
        if rows * 2 >= self.rows || is_lasting {
            (self.rows, self.short_since) = (rows, None);
            return None;
        }
        self.short_since.get_or_insert(now);
        Some(self.rows)
    }
}

/// Refreshes the market list until shutdown. The last good list stays in effect while no other is available.
pub async fn run(context: Arc<VenueContext>) {
    let settings = &context.settings;
    let mut backoff = Backoff::new(settings.backoff_min, settings.backoff_max);
    let mut history = ListHistory::default();
    let mut failing_since = None;
    let mut markets = context.markets.subscribe();
    loop {
        // Without wanted markets, the list is of no use.
        if markets.wait_for(|markets| !markets.wanted.is_empty()).await.is_err() {
            return;
        }
        let wait = match list_query::fetch_list(&context).await {
            Some(Ok(list)) => {
                backoff.reset();
                failing_since = None;
                context.health().current().list_failed = None;
                let wait = publish(&context, list, &mut history).await;
                list_query::update_tick_sizes(&context, &context.markets().listed).await;
                wait
            }
            Some(Err(reason)) => {
                context.health().current().list_failed = Some(reason.clone());
                context.rest_failed("list of markets", &reason);
                let since = *failing_since.get_or_insert(context.now());
                if context.now().saturating_sub(since) >= settings.list_again {
                    let message = format!("the list of markets can't be fetched: {}", reason.message);
                    context.health().current().list_reason = Some(Reason::new(reason.code, message));
                    context.publish_health(true);
                }
                let cooldown = context.http.remaining_cooldown().map_or(Duration::ZERO, |(left, _)| left);
                cooldown + backoff.after_failure()
            }
            None => return,
        };
        let mut next_at = context.now() + wait;
        loop {
            tokio::select! {
                () = tokio::time::sleep(next_at.saturating_sub(context.now())) => break,
                () = wait_for_new_markets(&mut markets) => {
                    let again = admit(&context, &mut history).await;
                    // While the list can't be fetched, that is tried again after the back-off.
                    if let Some(at) = again.filter(|_| failing_since.is_none()) {
                        next_at = next_at.min(at);
                    }
                }
            }
        }
    }
}

/// Waits for markets that were added since the last list was evaluated.
async fn wait_for_new_markets(markets: &mut watch::Receiver<Arc<WantedMarkets>>) {
    // An error means that the venue's context is gone, and this task with it.
    let _ = markets.wait_for(|markets| !markets.unchecked.is_empty()).await;
}

/// Returns how long to wait for the next list if something is expected to change.
fn list_again(context: &VenueContext) -> Duration {
    context.settings.list_again.min(context.settings.list_every)
}

/// Checks the new markets against the last complete list, and reports their rows of it to the board; returns when the
/// list is to be fetched again because it lacks one of them.
async fn admit(context: &VenueContext, history: &mut ListHistory) -> Option<Duration> {
    let complete = history.complete.as_ref()?;
    let (now, list_again) = (context.now(), list_again(context));
    let markets = context.markets();
    let (found, lacking): (BTreeSet<_>, BTreeSet<_>) =
        markets.unchecked.iter().cloned().partition(|market| markets.listed.contains(market));
    let is_new_list = now.saturating_sub(complete.received_at) < list_again;
    context.markets.send_modify(|now| *now = Arc::new(now.with_checked(&markets.unchecked)));
    if is_new_list || !found.is_empty() {
        let missing = lacking.iter().filter(|_| is_new_list).map(|market| (market.clone(), 1)).collect();
        context.event_queue.push(Event::Listings {
            venue: context.id(),
            listings: complete.listings.clone(),
            unreadable: Vec::new(),
            missing,
            other_assets: Vec::new(),
        });
    }
    for market in &found {
        history.markets.insert(market.clone(), MarketHistory { was_listed: true, ..MarketHistory::default() });
    }
    for market in &lacking {
        history.markets.remove(market);
        if is_new_list {
            report_unlisted(context, market);
            history.markets.insert(market.clone(), MarketHistory { lists_missed: 1, ..MarketHistory::default() });
        }
    }
    context.publish_health(false);
    list_query::update_tick_sizes(context, &found).await;
    if lacking.is_empty() {
        return None;
    }
    history.next_wait = Duration::ZERO;
    Some(history.received_at + list_again)
}

fn report_unlisted(context: &VenueContext, market: &Market) {
    tracing::warn!(venue = %context.id(), %market, "market not listed by the exchange; no prices until it is");
    context.health().count("unlisted", 1);
}

/// Publishes a list; returns how long to wait for the next one.
async fn publish(context: &VenueContext, list: CheckedList, history: &mut ListHistory) -> Duration {
    let CheckedList { listings, mut unreadable, other_symbols, rows, markets } = list;
    let is_other = |market: &Market| other_symbols.contains(&context.venue.symbol(market));
    let other_assets: Vec<Market> = markets.wanted.iter().filter(|market| is_other(market)).cloned().collect();
    let needs_list = context.venue.profile().needs_list;
    // Whether only a row of the list can show that the symbol is the market's.
    let must_be_listed = |entry: &MarketHistory| !entry.was_listed && (needs_list || entry.was_other_asset);
    let (now, list_again) = (context.now(), list_again(context));
    let all: BTreeMap<&Market, &Listing> = listings.iter().map(|listing| (&listing.market, listing)).collect();
    let before = &markets.listed;
    let previous_rows = history.shortfall(rows, now);
    history.received_at = now;
    history.markets.retain(|market, _| markets.wanted.contains(market) && !markets.unchecked.contains(market));
    let first_checked: BTreeSet<&Market> =
        markets.wanted.iter().filter(|market| !history.markets.contains_key(market)).collect();
    for market in &markets.unchecked {
        // The last list may have had it.
        let entry = MarketHistory { was_listed: before.contains(market), ..MarketHistory::default() };
        history.markets.insert(market.clone(), entry);
    }

    let mut listed = BTreeSet::new();
    let (mut halted, mut was_any_listed) = (false, false);
    // Markets that a complete list lacks; those that are wrongly missing, and those for which that is to be determined.
    let (mut missing, mut wrongly_missing, mut doubtful) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for market in &markets.wanted {
        let entry = history.markets.entry(market.clone()).or_default();
        if other_assets.contains(market) {
            *entry = MarketHistory { was_other_asset: true, ..MarketHistory::default() };
        } else if let Some(listing) = all.get(market) {
            *entry = MarketHistory { was_listed: true, ..MarketHistory::default() };
            halted |= listing.halted;
            listed.insert(market.clone());
        } else if unreadable.contains(market) && !must_be_listed(entry) {
            entry.lists_missed = 0;
            listed.insert(market.clone());
        } else if unreadable.contains(market) {
            doubtful.push(market.clone());
        } else if previous_rows.is_some() && (before.contains(market) || !first_checked.contains(market)) {
            wrongly_missing.extend(before.contains(market).then(|| market.clone()));
        } else {
            // A list that is much shorter than the one before says nothing of what it lacks.
            if previous_rows.is_none() {
                entry.lists_missed = entry.lists_missed.saturating_add(1);
                missing.insert(market.clone());
            }
            was_any_listed |= entry.was_listed;
            if entry.was_listed && entry.lists_missed < MISSED_LISTS_MAX {
                entry.newest_known = context.liveness().newest_trade(market);
                listed.insert(market.clone());
            } else {
                doubtful.push(market.clone());
            }
        }
    }

    let is_due = |market: &&Market| {
        let entry = history.markets.get(*market);
        entry.is_none_or(|entry| entry.price_check_at <= now && !must_be_listed(entry))
    };
    let requested: Vec<Market> = doubtful.iter().filter(is_due).cloned().collect();
    let prices = MissingPrices::fetch(context, &requested).await;
    let (mut undetermined, mut is_undetermined, mut is_priced) = (BTreeSet::new(), false, false);
    for market in &doubtful {
        let entry = history.markets.entry(market.clone()).or_default();
        let ticker = prices.of(&context.venue.symbol(market));
        let answered = ticker.map(TradeKey::of);
        let newest = answered.filter(|seen| entry.newest_known.is_none_or(|known| seen.is_later_than(&known)));
        let newest = newest.or_else(|| context.liveness().newest_trade(market));
        let trades = match (entry.newest_known, newest) {
            (Some(known), Some(newest)) => newest.is_later_than(&known),
            // There is no earlier trade to compare with.
            (None, _) => {
                ticker.and_then(|ticker| ticker.traded_at).is_some_and(|at| context.venue_now() <= at + RECENT)
            }
            (_, None) => false,
        };
        if trades {
            *entry = MarketHistory {
                was_listed: entry.was_listed,
                lists_missed: 1,
                trades_on: true,
                newest_known: newest,
                ..MarketHistory::default()
            };
            wrongly_missing.insert(market.clone());
        } else if entry.trades_on && entry.lists_missed <= QUIET_LISTS_MAX {
            wrongly_missing.insert(market.clone());
        } else if prices.undetermined.contains(market) && entry.lists_missed < UNANSWERED_LISTS_MAX {
            is_undetermined = true;
            undetermined.extend(before.contains(market).then(|| market.clone()));
        } else if requested.contains(market) {
            entry.trades_on = false;
            entry.newest_known = entry.newest_known.or(answered);
            entry.price_check_wait = (entry.price_check_wait * 2).max(list_again).min(context.settings.list_every);
            entry.price_check_at = now + entry.price_check_wait;
        }
        // A market with a price is no wrong name: it may be listed again, like one from an earlier list.
        is_priced |= entry.newest_known.is_some();
    }
    let kept = wrongly_missing.union(&undetermined);
    listed.extend(kept.clone().cloned());
    unreadable.extend(kept.cloned());
    unreadable.retain(|market| listed.contains(market));
    for market in markets.wanted.iter().filter(|market| !listed.contains(*market) && !other_assets.contains(*market)) {
        if first_checked.contains(market) || before.contains(market) {
            report_unlisted(context, market);
        }
    }
    // A market that no list has contained may be a wrong name: it is looked for less and less often.
    let is_unknown = !doubtful.is_empty();
    let soon = halted
        || was_any_listed
        || is_priced
        || is_undetermined
        || !other_assets.is_empty()
        || previous_rows.is_some()
        || !wrongly_missing.is_empty();
    report_incomplete(context, (rows, previous_rows), (&wrongly_missing, markets.wanted.len()), history);

    let is_complete = previous_rows.is_none();
    let last_list = is_complete.then(|| all.into_keys().cloned().collect());
    context.markets.send_modify(|now| *now = Arc::new(now.with_list(&markets, &listed, last_list, is_other)));
    if is_complete {
        history.complete = Some(CompleteList { listings: listings.clone(), received_at: now });
    } else if let Some(complete) = &mut history.complete {
        complete.listings.retain(|listing| !other_symbols.contains(&listing.symbol));
    }
    missing.retain(|market| !unreadable.contains(market));
    let lists_missed = |market: &Market| history.markets.get(market).map_or(0, |entry| entry.lists_missed);
    let missing = missing.into_iter().map(|market| (market.clone(), lists_missed(&market))).collect();
    context.event_queue.push(Event::Listings { venue: context.id(), listings, unreadable, missing, other_assets });
    for (records, requested) in prices.answers {
        for record in records {
            let Some(market) = markets.market(&record.symbol).filter(|market| wrongly_missing.contains(*market)) else {
                continue;
            };
            let is_streamed = context.liveness().is_streamed(market);
            let via = if is_streamed { Via::Check } else { poll_via(context) };
            context.deliver(vec![record], via, Some(requested));
        }
    }
    context.publish_health(false);

    let every = context.settings.list_every;
    history.next_wait = if is_unknown { (history.next_wait * 2).max(list_again).min(every) } else { Duration::ZERO };
    match (soon, is_unknown) {
        (true, _) => list_again,
        (false, true) => history.next_wait,
        (false, false) => every,
    }
}

/// Counts and reports a list that is considered incomplete, and logs when that begins, changes and ends.
fn report_incomplete(
    context: &VenueContext,
    (rows, previous_rows): (usize, Option<usize>),
    (wrongly_missing, wanted): (&BTreeSet<Market>, usize),
    history: &mut ListHistory,
) {
    let is_now = (previous_rows.is_some(), wrongly_missing.clone());
    let example = wrongly_missing.first().map_or_else(String::new, |market| format!(", such as {market}"));
    let lacks = format!("{} of {wanted} wanted markets{example}", wrongly_missing.len());
    let message = match previous_rows {
        Some(previous) => {
            format!("the list of markets has {rows} rows, the previous one had {previous}; it lacks {lacks}")
        }
        None => format!("the list of markets lacks {lacks}, although the exchange reports new trades"),
    };
    let is_complete = is_now == (false, BTreeSet::new());
    if is_now != history.last_reported {
        if is_complete {
            tracing::info!(venue = %context.id(), "the list of markets is complete again");
        } else {
            tracing::warn!(venue = %context.id(), detail = message, "incomplete list of markets; the missing markets are kept");
        }
    }
    history.last_reported = is_now;
    let at = context.clock.now();
    let mut health = context.health();
    let kind = ("incomplete-list", None);
    for market in wrongly_missing {
        health.reject(kind, Some(market), || message.clone(), at);
    }
    if !is_complete && wrongly_missing.is_empty() {
        health.reject(kind, None, || message.clone(), at);
    }
    health.current().list_reason = (!is_complete).then(|| Reason::new(ReasonCode::Incomplete, message));
}
