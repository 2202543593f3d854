//! Requests the candles of the queued minutes, and publishes what they settle.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::jobs::{Cutoffs, Job, Jobs, Lane, NOT_OVER_RETRY, accept_gap};
use crate::feed::{Event, Gap, MissingPart, Reason, ReasonCode};
use crate::ingest::context::VenueContext;
use crate::ingest::limits::{Backoff, Priority};
use crate::ingest::rest::rest_query::{self, QueryError};
use crate::market::{Candle, Market, Minute};
use crate::venue::{Response, RestQuery};

/// A minute is requested once it has been over for this long (venue time).
const SETTLE_AFTER: SignedDuration = SignedDuration::from_secs(5);

/// A minute without a candle counts as quiet once it has been over for this long: candles may be late.
const QUIET_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// This many of the oldest minutes that a venue keeps candles of are not requested: further minutes begin while a
/// request waits for its turn.
const OLDEST_MARGIN: i64 = 2;

/// Longest sleep while nothing is due.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// A request in flight for this long no longer delays the next one: it may never get a response.
const SLOW_AFTER: Duration = Duration::from_secs(1);

/// Maximum number of requests in flight, not counting retries.
const IN_FLIGHT_MAX: usize = 8;

/// When this many markets fail in a row, without a success in between, the host counts as failing.
const HOST_FAILED_AFTER: usize = 3;

/// Longest wait after failures that may still concern single markets only.
const DOUBT_WAIT_MAX: Duration = Duration::from_secs(5);

/// Fills the gaps that the board requests, until shutdown.
pub async fn run(context: Arc<VenueContext>, mut gaps: mpsc::Receiver<Gap>) {
    let mut filler = Filler::new(&context);
    let mut in_flight = FuturesUnordered::new();
    let mut open = true;
    let mut changes = context.markets.subscribe();
    loop {
        if changes.has_changed().unwrap_or(false) {
            let markets = changes.borrow_and_update().clone();
            filler.jobs.retain_listed(&markets.listed);
        }
        let open_minute = open_minute(&context);
        if let Some(oldest) = oldest_minute(&context) {
            filler.jobs.trim_before(oldest);
        }
        while let Some((job, lane)) = filler.next_job(open_minute) {
            let (max, wanted) = (context.venue.profile().candles_per_request, context.markets.borrow().wanted.len());
            let page = filler.jobs.page(&job, open_minute, max, wanted);
            let context = &context;
            in_flight.push(async move {
                let answer = fetch_page(context, &job.market, page.clone()).await;
                (job, lane, page, answer)
            });
        }
        tokio::select! {
            Some((job, lane, page, answer)) = in_flight.next(), if !in_flight.is_empty() => {
                filler.handle_response(job, lane, page, open_minute, answer).await;
            }
            gap = gaps.recv(), if open => match gap {
                Some(gap) => accept_gap(&mut filler.jobs, &context.markets().listed, gap, context.now()),
                None => open = false,
            },
            () = tokio::time::sleep(SLEEP_MAX) => {}
        }
    }
}

/// Returns the first minute that is not over for long enough to be requested.
fn open_minute(context: &VenueContext) -> Minute {
    Minute::of(context.venue_now().saturating_sub(SETTLE_AFTER).unwrap_or_default())
}

/// Returns the oldest minute to request, if the venue keeps candles of the newest minutes only.
fn oldest_minute(context: &VenueContext) -> Option<Minute> {
    let kept = context.venue.profile().minutes_kept?;
    Some(open_minute(context).plus(OLDEST_MARGIN - kept))
}

/// Candles and the date of the response, or why there are none; `None` if the venue does not support the query.
type CandleResponse = Option<Result<(Vec<Candle>, Option<Timestamp>), QueryError>>;

/// Decides what to request next, and handles the responses.
struct Filler<'a> {
    context: &'a VenueContext,
    jobs: Jobs,
    initial_backoff: Backoff,
    backoff: Backoff,
    /// Markets that failed in a row, without a success in between.
    failing: BTreeSet<Market>,
    /// When the next request of each lane may be sent.
    regular_at: Duration,
    retries_at: Duration,
}

impl<'a> Filler<'a> {
    fn new(context: &'a VenueContext) -> Self {
        let initial_backoff = Backoff::new(context.settings.backoff_min, context.settings.backoff_max);
        Self {
            context,
            jobs: Jobs::default(),
            backoff: initial_backoff.clone(),
            initial_backoff,
            failing: BTreeSet::new(),
            regular_at: Duration::ZERO,
            retries_at: Duration::ZERO,
        }
    }

    /// Takes a job that may be requested now. At most one retry is in flight: a market that never responds only
    /// delays other retries.
    fn next_job(&mut self, open_minute: Minute) -> Option<(Job, Lane)> {
        let now = self.context.now();
        let is_retry = |market: &Market| self.jobs.retries.contains_key(market);
        let retrying = self.jobs.in_flight.keys().any(is_retry);
        let regular: Vec<Duration> =
            self.jobs.in_flight.iter().filter(|(market, _)| !is_retry(market)).map(|(_, since)| *since).collect();
        let all_slow = regular.iter().all(|since| now.saturating_sub(*since) >= SLOW_AFTER);
        let mut take = |lane: Lane, may: bool| {
            let job = may.then(|| self.jobs.take(now, open_minute, lane)).flatten();
            job.map(|job| (job, lane))
        };
        let (job, lane) = take(Lane::Regular, all_slow && regular.len() < IN_FLIGHT_MAX && self.regular_at <= now)
            .or_else(|| take(Lane::Retries, !retrying && self.retries_at <= now))?;
        self.jobs.in_flight.insert(job.market.clone(), now);
        Some((job, lane))
    }

    async fn handle_response(
        &mut self,
        job: Job,
        lane: Lane,
        page: Range<Minute>,
        open_minute: Minute,
        answer: CandleResponse,
    ) {
        let Self { context, jobs, .. } = self;
        jobs.in_flight.remove(&job.market);
        // The market may have been removed meanwhile.
        let is_listed = context.markets.borrow().listed.contains(&job.market);
        let Some(answer) = answer.filter(|_| is_listed) else { return };
        let (candles, date) = match answer {
            Ok(answer) => answer,
            Err(error) => return self.handle_failure(job, lane, &error),
        };
        self.backoff.reset();
        self.failing.clear();
        jobs.retries.remove(&job.market);
        // The venue may have dropped the oldest minutes while the request waited.
        let page = oldest_minute(context).map_or(page.start, |oldest| oldest.max(page.start))..page.end;
        if page.start >= page.end {
            return;
        }
        if candles.is_empty() {
            let code = ReasonCode::Unanswered.as_str();
            context.set_missing(&job.market, MissingPart::Base, code, "the exchange has no candles for that time");
        } else if let Some(since) = context.clear_missing(&job.market, MissingPart::Base) {
            tracing::info!(venue = %context.id(), market = %job.market, %since, "the exchange sends candles again");
        }
        // Limited by the date of the response: our estimate of the venue's clock may be wrong.
        let open_minute = open_minute.min(date.map_or(open_minute, Minute::of));
        publish_settled(context, jobs, &job, page.start..page.end.min(open_minute), open_minute, candles).await;
    }

    fn handle_failure(&mut self, job: Job, lane: Lane, error: &QueryError) {
        let (context, now) = (self.context, self.context.now());
        let wait = match error {
            QueryError::Query(reason) => {
                self.jobs.record_failure(&job.market, now, self.initial_backoff.clone());
                context.market_failed(&job.market, MissingPart::Base, reason);
                // A market that fails again is no evidence about the others.
                if lane == Lane::Regular {
                    self.failing.insert(job.market.clone());
                }
                let in_doubt = self.failing.len() >= HOST_FAILED_AFTER;
                if in_doubt { self.backoff.after_failure().min(DOUBT_WAIT_MAX) } else { Duration::ZERO }
            }
            QueryError::Host(reason) => {
                context.log_failure("candles", reason);
                let cooldown = context.http.remaining_cooldown().map_or(Duration::ZERO, |(left, _)| left);
                cooldown + self.backoff.after_failure()
            }
        };
        if lane == Lane::Regular || matches!(error, QueryError::Host(_)) {
            self.regular_at = now + wait;
        }
        self.retries_at = now + wait;
        self.jobs.add(job, now);
    }
}

/// Requests the candles of a page.
async fn fetch_page(context: &VenueContext, market: &Market, page: Range<Minute>) -> CandleResponse {
    let count = usize::try_from(page.end.0 - page.start.0).unwrap_or(1).max(1);
    let query = RestQuery::Candles { market, end: page.end, count };
    Some(match rest_query::send(context, &query, Priority::Backfill).await? {
        Ok((Response::Candles(candles), body)) => Ok((candles, body.clock_sample.map(|dated| dated.date))),
        Ok(_) => Err(QueryError::Query(Reason::new(ReasonCode::Payload, "unexpected response; expected candles"))),
        Err(error) => Err(error),
    })
}

/// Publishes what a response settles, and queues the rest of the job again.
async fn publish_settled(
    context: &VenueContext,
    jobs: &mut Jobs,
    job: &Job,
    page: Range<Minute>,
    open_minute: Minute,
    candles: Vec<Candle>,
) {
    if page.start >= page.end {
        // None of it is over yet (venue time).
        jobs.add(Job { not_before: context.now() + NOT_OVER_RETRY, ..job.clone() }, context.now());
        return;
    }
    let closes: Vec<_> =
        candles.iter().filter(|candle| candle.minute < page.end).map(|candle| (candle.minute, candle.close)).collect();
    let found: Vec<Minute> = closes.iter().map(|&(minute, _)| minute).collect();
    let cutoffs = Cutoffs {
        now: context.now(),
        open_minute,
        quiet_before: Minute::of(context.venue_now().saturating_sub(QUIET_AFTER).unwrap_or_default()),
        has_quiet_candles: context.venue.profile().has_quiet_candles,
        retry_max: context.settings.empty_retry_max,
    };
    for span in jobs.record_candles(&page, job, &found, cutoffs) {
        let closes = closes.iter().filter(|(minute, _)| span.contains(minute)).copied().collect();
        let event = Event::Settled { venue: context.id(), market: job.market.clone(), span, closes };
        context.event_queue.send(event).await;
    }
}
