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
use crate::market::{Market, Now};
use crate::venue::TickerRecord;

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

impl MarketHistory {
    /// Returns whether only a row of the list can show that the symbol is the market's.
    fn must_be_listed(&self, needs_list: bool) -> bool {
        !self.was_listed && (needs_list || self.was_other_asset)
    }
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
    let markets = list.markets.clone();
    let is_other = |market: &Market| list.other_symbols.contains(&context.venue.symbol(market));
    let other_assets: Vec<Market> = markets.wanted.iter().filter(|market| is_other(market)).cloned().collect();
    let (now, before) = (context.now(), &markets.listed);
    history.received_at = now;
    let previous_rows = history.shortfall(list.rows, now);
    let new_markets = history.update_wanted(&markets);
    let Findings { mut listed, mut missing, doubtful, wrongly_missing, is_soon } =
        history.compare(context, &list, &other_assets, previous_rows.is_some(), &new_markets);
    let prices = check_prices(context, history, &doubtful).await;

    let wrongly_missing = &wrongly_missing | &prices.trading;
    let kept = &wrongly_missing | &(&prices.undetermined & before);
    listed.extend(kept.iter().cloned());
    let unreadable = list.unreadable.iter().chain(&kept);
    let unreadable: BTreeSet<Market> = unreadable.filter(|market| listed.contains(market)).cloned().collect();
    missing.retain(|market| !unreadable.contains(market));
    for market in markets.wanted.iter().filter(|market| !listed.contains(*market) && !other_assets.contains(*market)) {
        if new_markets.contains(market) || before.contains(market) {
            report_unlisted(context, market);
        }
    }
    report_incomplete(context, (list.rows, previous_rows), (&wrongly_missing, markets.wanted.len()), history);

    let is_complete = previous_rows.is_none();
    let last_list = is_complete.then(|| list.listings.iter().map(|listing| listing.market.clone()).collect());
    context.markets.send_modify(|now| *now = Arc::new(now.with_list(&markets, &listed, last_list, is_other)));
    if is_complete {
        history.complete = Some(CompleteList { listings: list.listings.clone(), received_at: now });
    } else if let Some(complete) = &mut history.complete {
        complete.listings.retain(|listing| !list.other_symbols.contains(&listing.symbol));
    }
    let lists_missed = |market: &Market| match history.markets.get(market) {
        // It may trade: a market that has had prices stays, and one without is reported as unlisted.
        Some(entry) if prices.undetermined.contains(market) => entry.lists_missed.min(MISSED_LISTS_MAX - 1),
        entry => entry.map_or(0, |entry| entry.lists_missed),
    };
    let is_soon = is_soon || prices.is_soon || !is_complete || !other_assets.is_empty() || !wrongly_missing.is_empty();
    context.event_queue.push(Event::Listings {
        venue: context.id(),
        listings: list.listings,
        unreadable: unreadable.into_iter().collect(),
        missing: missing.into_iter().map(|market| (market.clone(), lists_missed(&market))).collect(),
        other_assets,
    });
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

    let (again, every) = (list_again(context), context.settings.list_every);
    // A market that no list has contained may be a wrong name: it is looked for less and less often.
    let is_unknown = !doubtful.is_empty();
    history.next_wait = if is_unknown { (history.next_wait * 2).max(again).min(every) } else { Duration::ZERO };
    match (is_soon, is_unknown) {
        (true, _) => again,
        (false, true) => history.next_wait,
        (false, false) => every,
    }
}

/// What a list says of the wanted markets.
#[derive(Default)]
struct Findings {
    /// Those that may be requested.
    listed: BTreeSet<Market>,
    /// Those that a complete list lacks.
    missing: BTreeSet<Market>,
    /// Those for which their price decides whether they trade.
    doubtful: Vec<Market>,
    /// Those listed before that a short list lacks.
    wrongly_missing: BTreeSet<Market>,
    /// Whether the next list is expected to say something else.
    is_soon: bool,
}

impl ListHistory {
    /// Forgets the markets that are not wanted any more, begins the history of added ones, and returns those that have
    /// not been checked against any list.
    fn update_wanted(&mut self, markets: &WantedMarkets) -> BTreeSet<Market> {
        self.markets.retain(|market, _| markets.wanted.contains(market) && !markets.unchecked.contains(market));
        let new = markets.wanted.iter().filter(|market| !self.markets.contains_key(market)).cloned().collect();
        for market in &markets.unchecked {
            // The last list may have had it.
            let entry = MarketHistory { was_listed: markets.listed.contains(market), ..MarketHistory::default() };
            self.markets.insert(market.clone(), entry);
        }
        new
    }

    /// Compares a list with the earlier ones; `is_short` if it is much shorter than the one before.
    fn compare(
        &mut self,
        context: &VenueContext,
        list: &CheckedList,
        other_assets: &[Market],
        is_short: bool,
        new_markets: &BTreeSet<Market>,
    ) -> Findings {
        let needs_list = context.venue.profile().needs_list;
        let rows: BTreeMap<&Market, &Listing> =
            list.listings.iter().map(|listing| (&listing.market, listing)).collect();
        let before = &list.markets.listed;
        let mut found = Findings::default();
        for market in &list.markets.wanted {
            let entry = self.markets.entry(market.clone()).or_default();
            let is_unreadable = list.unreadable.contains(market);
            if other_assets.contains(market) {
                *entry = MarketHistory { was_other_asset: true, ..MarketHistory::default() };
            } else if let Some(listing) = rows.get(market) {
                *entry = MarketHistory { was_listed: true, ..MarketHistory::default() };
                found.is_soon |= listing.halted;
                found.listed.insert(market.clone());
            } else if is_unreadable && !entry.must_be_listed(needs_list) {
                entry.lists_missed = 0;
                found.listed.insert(market.clone());
            } else if is_unreadable {
                found.doubtful.push(market.clone());
            } else if is_short && (before.contains(market) || !new_markets.contains(market)) {
                found.wrongly_missing.extend(before.contains(market).then(|| market.clone()));
            } else {
                // A list that is much shorter than the one before says nothing of what it lacks.
                if !is_short {
                    entry.lists_missed = entry.lists_missed.saturating_add(1);
                    found.missing.insert(market.clone());
                }
                found.is_soon |= entry.was_listed;
                if entry.was_listed && entry.lists_missed < MISSED_LISTS_MAX {
                    entry.newest_known = context.liveness().newest_trade(market);
                    found.listed.insert(market.clone());
                } else {
                    found.doubtful.push(market.clone());
                }
            }
        }
        found
    }
}

/// What the prices of markets that a list lacks say of them.
struct PriceCheck {
    /// Those that trade, although the list lacks them.
    trading: BTreeSet<Market>,
    /// Those for which the exchange has not said whether they have a price, while less than [`UNANSWERED_LISTS_MAX`]
    /// lists have lacked them.
    undetermined: BTreeSet<Market>,
    /// The records, and when they were requested.
    answers: Vec<(Vec<TickerRecord>, Now)>,
    /// Whether the next list or the next price is expected to say something else.
    is_soon: bool,
}

/// Requests the prices of markets that a list lacks, unless they have been requested recently, and determines which of
/// them trade.
async fn check_prices(context: &VenueContext, history: &mut ListHistory, doubtful: &[Market]) -> PriceCheck {
    let needs_list = context.venue.profile().needs_list;
    let (now, list_again) = (context.now(), list_again(context));
    let is_due = |market: &&Market| {
        let entry = history.markets.get(*market);
        entry.is_none_or(|entry| entry.price_check_at <= now && !entry.must_be_listed(needs_list))
    };
    let requested: Vec<Market> = doubtful.iter().filter(is_due).cloned().collect();
    let prices = MissingPrices::fetch(context, &requested).await;
    let (mut trading, mut undetermined, mut is_priced) = (BTreeSet::new(), BTreeSet::new(), false);
    for market in doubtful {
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
            trading.insert(market.clone());
        } else if entry.trades_on && entry.lists_missed <= QUIET_LISTS_MAX {
            trading.insert(market.clone());
        } else if prices.undetermined.contains(market) && entry.lists_missed < UNANSWERED_LISTS_MAX {
            undetermined.insert(market.clone());
        } else if requested.contains(market) {
            entry.trades_on = false;
            entry.newest_known = entry.newest_known.or(answered);
            entry.price_check_wait = (entry.price_check_wait * 2).max(list_again).min(context.settings.list_every);
            entry.price_check_at = now + entry.price_check_wait;
        }
        // A market with a price is no wrong name: it may be listed again, like one from an earlier list.
        is_priced |= entry.newest_known.is_some();
    }
    let is_soon = is_priced || !undetermined.is_empty();
    PriceCheck { trading, undetermined, answers: prices.answers, is_soon }
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
