//! The list of markets: fetched at the start, anew every ten minutes, and never believed when empty.
//!
//! One list that lacks a market may be a bad one, and so may two. A market is let go when a second list in a row lacks it,
//! which is asked for soon, and the exchange tells of no newer trade of it when it is asked for its price. A list far
//! shorter than the one before takes nothing away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use super::Backoff;
use super::liveness::Seen;
use super::pace::Priority;
use super::question::{self, Answered, Fault, Taken};
use super::shared::Shared;
use crate::domain::{Event, Listing, Market, Now, Reason, ReasonCode, Ticker, Via};
use crate::venue::{Answer, Ask, Record, RejectedListing, Rejection};

/// A market is let go when so many lists in a row lack it.
const MISSED_MAX: u32 = 2;

/// A price that can't be asked for while so many lists lack the market is as good as refused.
const UNANSWERED_MAX: u32 = 10;

/// A market that lists lack wrongly is let go after so many in a row without a newer trade: it may be a quiet one.
const QUIET_MAX: u32 = 10;

/// A list that has stayed short for so long is the exchange's will.
const SHORT_MAX: Duration = Duration::from_secs(3600);

/// A market that no list has had trades if its newest trade is no older.
const RECENT: SignedDuration = SignedDuration::from_secs(60);

/// A list, and what could not be read of it.
struct List {
    listings: Vec<Listing>,
    unreadable: Vec<Market>,
    /// How many rows it has, readable or not.
    rows: usize,
}

/// What the lists so far have said.
#[derive(Default)]
struct Memory {
    markets: BTreeMap<Market, Absence>,
    /// Rows of the last list that was believed to be whole.
    rows: usize,
    /// Since when the list is far shorter.
    short_since: Option<Duration>,
    /// How long to wait for the next list while nothing is missing but what no list has ever had.
    pause: Duration,
    /// Whether the last list was short, and the markets that it lacked wrongly.
    told: (bool, BTreeSet<Market>),
}

/// What the lists have said of one wanted market.
#[derive(Default)]
struct Absence {
    /// Whether some list has had it.
    had: bool,
    /// How many lists in a row lack it, since it was last seen to trade all the same.
    missed: u32,
    /// Whether it was seen to trade although lists lack it.
    trades_on: bool,
    /// The newest trade that was known when a list first lacked it.
    known: Option<Seen>,
    /// Its price is not asked for again before this time.
    ask_at: Duration,
    /// How long that is.
    pause: Duration,
}

impl Memory {
    /// Returns how many rows there were before, if a list has less than half of them.
    fn shortfall(&mut self, rows: usize, now: Duration) -> Option<usize> {
        let lasting = self.short_since.is_some_and(|since| now.saturating_sub(since) >= SHORT_MAX);
        if rows * 2 >= self.rows || lasting {
            (self.rows, self.short_since) = (rows, None);
            return None;
        }
        self.short_since.get_or_insert(now);
        Some(self.rows)
    }
}

/// Keeps the list fresh until shutdown. The last good one stays while no other can be had.
pub async fn run(shared: Arc<Shared>) {
    let settings = &shared.settings;
    let mut backoff = Backoff::new(settings.backoff_min, settings.backoff_max);
    let mut memory = Memory::default();
    let mut failing_since = None;
    loop {
        let wait = match fetch(&shared).await {
            Some(Ok(list)) => {
                backoff.reset();
                failing_since = None;
                shared.health().figures().list_failed = None;
                let wait = publish(&shared, list, &mut memory).await;
                tick_sizes(&shared).await;
                wait
            }
            Some(Err(reason)) => {
                shared.health().figures().list_failed = Some(reason.clone());
                shared.rest_failed("list of markets", &reason);
                let since = *failing_since.get_or_insert(shared.now());
                if shared.now().saturating_sub(since) >= settings.list_again {
                    let message = format!("the list of markets can't be fetched: {}", reason.message);
                    shared.health().figures().list_reason = Some(Reason::new(reason.code, message));
                    shared.report(true);
                }
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
    let rows = records.len();
    let (mut listings, mut unreadable, mut nameless) = (Vec::with_capacity(rows), BTreeSet::new(), false);
    let mut seen = BTreeSet::new();
    for record in records {
        match record.and_then(|listing| checked(shared, listing, &mut seen)) {
            Ok(listing) => listings.push(listing),
            Err(rejected) => match shared.refuse_listing(&rejected) {
                Some(market) => {
                    unreadable.insert(market.clone());
                }
                None => nameless |= rejected.symbol.is_none(),
            },
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
    let is_there = |market: &&Market| unreadable.contains(*market) || (nameless && named(market));
    let unreadable = unread.filter(is_there).cloned().collect();
    Some(Ok(List { listings, unreadable, rows }))
}

/// Refuses a listing whose symbol is not that of its market, and any but the first of a market: it would overwrite what
/// the market's own row says.
fn checked(shared: &Shared, listing: Listing, seen: &mut BTreeSet<Market>) -> Result<Listing, RejectedListing> {
    let problem = if shared.venue.symbol(&listing.market) != listing.symbol {
        "contradiction"
    } else if !seen.insert(listing.market.clone()) {
        "repeated"
    } else {
        return Ok(listing);
    };
    let rejection = Rejection { field: "symbol", problem, seen: format!("names {}", listing.market) };
    Err(RejectedListing { symbol: Some(listing.symbol), rejection })
}

/// Asks for the smallest steps of the listed markets where the list does not say them; those known before stand if that fails.
async fn tick_sizes(shared: &Shared) {
    let listed = shared.listed.borrow().clone();
    let markets: Vec<Market> = shared.wanted.iter().filter(|market| listed.contains(*market)).cloned().collect();
    let fails = |market: &Market, reason: &Reason| {
        let rejection = Rejection { field: "tick_size", problem: "refused-market", seen: reason.message.clone() };
        shared.leave_out(market, &rejection);
    };
    for some in markets.chunks(shared.venue.profile().markets_per_request.max(1)) {
        match question::take_apart(some, true, |part| steps(shared, part)).await {
            Ok(Taken { values, culprits, open: _ }) => {
                let sizes = values.into_iter().flatten().collect();
                shared.outbox.push(Event::TickSizes { venue: shared.id(), sizes });
                culprits.iter().for_each(|(market, reason)| fails(market, reason));
            }
            Err(reason) => {
                shared.log("tick sizes", &reason);
                some.iter().for_each(|market| fails(market, &reason));
            }
        }
    }
}

/// Asks for the smallest steps of some markets.
async fn steps(shared: &Shared, markets: Vec<Market>) -> Result<Answered<Vec<(Market, rust_decimal::Decimal)>>, Fault> {
    let Some(answer) = question::put(shared, &Ask::TickSizes(&markets), Priority::Price).await else {
        return Ok(Answered { value: Vec::new(), left_out: Vec::new() });
    };
    let Answer::TickSizes(records) = answer?.0 else {
        return Err(Fault::Question(Reason::new(ReasonCode::Payload, "the answer is not one of tick sizes")));
    };
    let symbols: BTreeMap<String, &Market> =
        markets.iter().map(|market| (shared.venue.symbol(market), market)).collect();
    let left_out = question::missing_from(shared, &markets, records.iter().map(|(symbol, _)| symbol.as_str()));
    let mut sizes = Vec::with_capacity(records.len());
    for (symbol, size) in records {
        match (symbols.get(&symbol), size) {
            (Some(&market), Ok(size)) => sizes.push((market.clone(), size)),
            (Some(&market), Err(rejection)) => shared.refuse(market, &rejection),
            (None, _) => shared.reject("unknown-symbol", &symbol),
        }
    }
    Ok(Answered { value: sizes, left_out })
}

/// The answers to questions for the prices of markets that a list lacks.
#[derive(Default)]
struct Prices {
    answers: Vec<(Vec<Record>, Now)>,
    /// Markets of which it could not be found out whether they have a price.
    open: BTreeSet<Market>,
}

impl Prices {
    async fn ask(shared: &Shared, markets: &[Market]) -> Self {
        let mut prices = Self::default();
        let ask = async |part| match question::tickers(shared, part).await {
            Some(answer) => answer,
            None => Ok(Answered { value: (Vec::new(), shared.clock.read()), left_out: Vec::new() }),
        };
        for some in markets.chunks(shared.venue.profile().markets_per_request.max(1)) {
            // Any number of them may be wrong names, which say nothing of the others.
            match question::take_apart(some, false, ask).await {
                Ok(Taken { values, culprits, open }) => {
                    prices.answers.extend(values);
                    let failed = culprits.into_iter().filter(|(_, reason)| !question::is_refusal(reason));
                    prices.open.extend(failed.map(|(market, _)| market).chain(open));
                }
                Err(_) => prices.open.extend(some.iter().cloned()),
            }
        }
        prices
    }

    fn of(&self, symbol: &str) -> Option<&Ticker> {
        let mut records = self.answers.iter().flat_map(|(records, _)| records);
        records.find(|record| record.symbol == symbol)?.ticker.as_ref().ok()
    }
}

/// Passes a list on; returns when to ask for the next one.
async fn publish(shared: &Shared, list: List, memory: &mut Memory) -> Duration {
    let List { listings, mut unreadable, rows } = list;
    let now = shared.now();
    let again = shared.settings.list_again.min(shared.settings.list_every);
    let all: BTreeMap<&Market, &Listing> = listings.iter().map(|listing| (&listing.market, listing)).collect();
    let first = !*shared.has_list.borrow();
    let before = shared.listed.borrow().clone();
    let had_rows = memory.shortfall(rows, now);

    let mut listed = BTreeSet::new();
    let (mut halted, mut had) = (false, false);
    // Markets that the list lacks wrongly, and those of which that is to be found out.
    let (mut wronged, mut doubtful) = (BTreeSet::new(), Vec::new());
    for market in &shared.wanted {
        let absence = memory.markets.entry(market.clone()).or_default();
        if let Some(listing) = all.get(market) {
            *absence = Absence { had: true, ..Absence::default() };
            halted |= listing.halted;
            listed.insert(market.clone());
        } else if unreadable.contains(market) {
            absence.missed = 0;
            listed.insert(market.clone());
        } else if had_rows.is_some() {
            absence.missed = 0;
            wronged.extend(before.contains(market).then(|| market.clone()));
        } else {
            absence.missed = absence.missed.saturating_add(1);
            had |= absence.had;
            if absence.had && absence.missed < MISSED_MAX {
                absence.known = shared.liveness().newest(market);
                listed.insert(market.clone());
            } else {
                doubtful.push(market.clone());
            }
        }
    }

    let is_due = |market: &&Market| memory.markets.get(*market).is_none_or(|absence| absence.ask_at <= now);
    let asked: Vec<Market> = doubtful.iter().filter(is_due).cloned().collect();
    let prices = Prices::ask(shared, &asked).await;
    let (mut undecided, mut is_open, mut is_priced) = (BTreeSet::new(), false, false);
    for market in &doubtful {
        let absence = memory.markets.entry(market.clone()).or_default();
        let ticker = prices.of(&shared.venue.symbol(market));
        let answered = ticker.map(Seen::of);
        let newest = answered.filter(|seen| absence.known.is_none_or(|known| seen.later_than(&known)));
        let newest = newest.or_else(|| shared.liveness().newest(market));
        let trades = match (absence.known, newest) {
            (Some(known), Some(newest)) => newest.later_than(&known),
            // Nothing is known that it could be newer than.
            (None, _) => ticker.and_then(|ticker| ticker.traded_at).is_some_and(|at| shared.there() <= at + RECENT),
            (_, None) => false,
        };
        if trades {
            *absence = Absence { had: absence.had, missed: 1, trades_on: true, known: newest, ..Absence::default() };
            wronged.insert(market.clone());
        } else if absence.trades_on && absence.missed <= QUIET_MAX {
            wronged.insert(market.clone());
        } else if prices.open.contains(market) && absence.missed < UNANSWERED_MAX {
            is_open = true;
            undecided.extend(before.contains(market).then(|| market.clone()));
        } else if asked.contains(market) {
            absence.trades_on = false;
            absence.known = absence.known.or(answered);
            absence.pause = (absence.pause * 2).max(again).min(shared.settings.list_every);
            absence.ask_at = now + absence.pause;
        }
        // What has a price is no wrong name: it may come back, as what an earlier list had.
        is_priced |= absence.known.is_some();
    }
    let stay = wronged.union(&undecided);
    listed.extend(stay.clone().cloned());
    unreadable.extend(stay.cloned());
    for market in shared.wanted.iter().filter(|market| !listed.contains(*market)) {
        if first || before.contains(market) {
            tracing::warn!(venue = %shared.id(), %market, "a wanted market is not listed");
            shared.health().count("unlisted", 1);
        }
    }
    // What no list has had may be a wrong name: it costs a question less and less often.
    let is_unknown = !doubtful.is_empty();
    let soon = halted || had || is_priced || is_open || had_rows.is_some() || !wronged.is_empty();
    tell(shared, (rows, had_rows), &wronged, memory);

    shared.listed.send_if_modified(|now| {
        let changed = **now != listed;
        if changed {
            *now = Arc::new(listed);
        }
        changed
    });
    shared.has_list.send_replace(true);
    shared.outbox.push(Event::Listings { venue: shared.id(), listings, unreadable });
    for (records, asked) in prices.answers {
        for record in records {
            let Some(market) = shared.market(&record.symbol).filter(|market| wronged.contains(*market)) else {
                continue;
            };
            let is_streamed = shared.liveness().is_streamed(market);
            let via = if is_streamed { Via::Check } else { super::poller::poll_via(shared) };
            shared.deliver(vec![record], via, Some(asked));
        }
    }
    shared.report(false);

    let every = shared.settings.list_every;
    memory.pause = if is_unknown { (memory.pause * 2).max(again).min(every) } else { Duration::ZERO };
    match (soon, is_unknown) {
        (true, _) => again,
        (false, true) => memory.pause,
        (false, false) => every,
    }
}

/// Counts and tells of a list that is not believed to be whole, and logs when that begins, changes and ends.
fn tell(shared: &Shared, (rows, had_rows): (usize, Option<usize>), wronged: &BTreeSet<Market>, memory: &mut Memory) {
    let is_now = (had_rows.is_some(), wronged.clone());
    let example = wronged.first().map_or_else(String::new, |market| format!(", such as {market}"));
    let lacks = format!("{} of {} wanted markets{example}", wronged.len(), shared.wanted.len());
    let message = match had_rows {
        Some(had) => format!("the list of markets has {rows} rows where the one before had {had}; it lacks {lacks}"),
        None => format!("the list of markets lacks {lacks}, although the exchange tells of new trades"),
    };
    let is_whole = is_now == (false, BTreeSet::new());
    if is_now != memory.told {
        if is_whole {
            tracing::info!(venue = %shared.id(), "the list of markets is whole again");
        } else {
            tracing::warn!(venue = %shared.id(), detail = message, "incomplete list of markets: what it lacks is not taken as gone");
        }
    }
    memory.told = is_now;
    let at = shared.clock.now();
    let mut health = shared.health();
    let kind = ("incomplete-list", None);
    for market in wronged {
        health.refuse(kind, Some(market), || message.clone(), at);
    }
    if !is_whole && wronged.is_empty() {
        health.refuse(kind, None, || message.clone(), at);
    }
    health.figures().list_reason = (!is_whole).then(|| Reason::new(ReasonCode::Incomplete, message));
}
