//! The queue of minutes to fetch, and what responses settle. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use crate::feed::{Gap, Urgency};
use crate::ingest::limits::Backoff;
use crate::market::{Market, Minute};

/// Maximum number of queued jobs; the board requests dropped ones again.
const JOBS_MAX: usize = 4096;

/// Minutes that were not over yet are requested again after this long.
pub const NOT_OVER_RETRY: Duration = Duration::from_secs(5);

/// Up to this many markets, the first request for each is the single candle of its base, so that the first page
/// view is right after one short round. With more, a round takes longer than a base lasts: it starts with pages.
const SINGLE_CANDLE_MARKETS_MAX: usize = 60;

/// First wait before a span without candles is requested again; grows fourfold each time, up to
/// [`empty_retry_max`](crate::ingest::Settings::empty_retry_max). The venue may have been at fault.
const EMPTY_RETRY_MIN: Duration = Duration::from_secs(10);

/// Maximum number of empty spans remembered per market.
const EMPTY_SPANS_MAX: usize = 64;

/// An empty span is extended by this many minutes, since the base moves on during the wait.
const EMPTY_MARGIN_MINUTES: i64 = 10;

/// A span of minutes to fetch for one market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub urgency: Urgency,
    pub market: Market,
    pub span: Range<Minute>,
    pub not_before: Duration,
}

impl Job {
    fn with_span(&self, span: Range<Minute>) -> Self {
        Self { span, ..self.clone() }
    }
}

/// A span for which the venue has no candle.
#[derive(Debug, Clone, PartialEq, Eq)]
struct EmptySpan {
    span: Range<Minute>,
    until: Duration,
    times: u32,
}

/// Retry state of a market whose candles were refused or unreadable.
#[derive(Debug)]
pub struct Retry {
    until: Duration,
    backoff: Backoff,
}

/// Lanes of requests, which run in parallel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Markets whose last request did not fail.
    Regular,
    /// Markets whose last request failed.
    Retries,
}

/// Queued jobs, and what need not be requested now.
#[derive(Debug, Default)]
pub struct Jobs {
    queued: VecDeque<Job>,
    empty_spans: BTreeMap<Market, Vec<EmptySpan>>,
    /// Markets that have had a candle.
    has_candles: BTreeSet<Market>,
    pub retries: BTreeMap<Market, Retry>,
    /// Markets with a request in flight, and since when.
    pub in_flight: BTreeMap<Market, Duration>,
    /// Whether the last job taken was for the newest minutes: then it is the turn of an older gap.
    was_recent: bool,
}

impl Jobs {
    pub fn add(&mut self, job: Job, now: Duration) {
        let empty = self.empty_spans.get(&job.market).into_iter().flatten().filter(|empty| now < empty.until);
        let spans: Vec<_> = empty.map(|empty| empty.span.clone()).collect();
        for span in subtract(job.span.clone(), &spans) {
            self.merge_or_queue(job.with_span(span));
        }
    }

    fn merge_or_queue(&mut self, job: Job) {
        let same = self.queued.iter_mut().find(|other| {
            let touching = job.span.start <= other.span.end && other.span.start <= job.span.end;
            other.market == job.market && other.urgency == job.urgency && touching
        });
        if let Some(other) = same {
            other.span.start = other.span.start.min(job.span.start);
            other.span.end = other.span.end.max(job.span.end);
            return;
        }
        if self.queued.len() >= JOBS_MAX {
            let Some(last) = (0..self.queued.len()).max_by_key(|&at| self.queued[at].urgency) else { return };
            if self.queued[last].urgency <= job.urgency {
                return;
            }
            self.queued.remove(last);
        }
        self.queued.push_back(job);
    }

    /// Takes the most urgent due job of a lane; among equals, the one with the oldest minute or queued first.
    pub fn take(&mut self, now: Duration, open_minute: Minute, lane: Lane) -> Option<Job> {
        let due = |job: &Job| {
            let in_lane = match self.retries.get(&job.market) {
                Some(retry) => lane == Lane::Retries && retry.until <= now,
                None => lane == Lane::Regular,
            };
            in_lane
                && job.not_before <= now
                && job.span.start < open_minute
                && !self.in_flight.contains_key(&job.market)
        };
        let rank = |job: &Job| {
            let turn = match job.urgency {
                Urgency::Base => 0,
                Urgency::Recent => 1 + 2 * u8::from(self.was_recent),
                Urgency::Older => 2,
                Urgency::Settle => 4,
            };
            (turn, job.span.start)
        };
        let indices = (0..self.queued.len()).filter(|&at| due(&self.queued[at]));
        let at = indices.min_by_key(|&at| rank(&self.queued[at]))?;
        let job = self.queued.remove(at)?;
        if job.urgency != Urgency::Base {
            self.was_recent = job.urgency == Urgency::Recent;
        }
        Some(job)
    }

    /// Records that a market's candles were refused or unreadable.
    pub fn record_failure(&mut self, market: &Market, now: Duration, initial_backoff: Backoff) {
        let retry = self.retries.entry(market.clone()).or_insert(Retry { until: now, backoff: initial_backoff });
        retry.until = now + retry.backoff.after_failure();
    }

    /// Drops the markets that are no longer listed.
    pub fn retain_listed(&mut self, listed: &BTreeSet<Market>) {
        self.queued.retain(|job| listed.contains(&job.market));
        self.empty_spans.retain(|market, _| listed.contains(market));
        self.retries.retain(|market, _| listed.contains(market));
        self.has_candles.retain(|market| listed.contains(market));
    }

    /// Returns the first page of a job: the minutes from its oldest on that fit into one response and are over.
    pub fn page(&self, job: &Job, open_minute: Minute, max: usize, markets: usize) -> Range<Minute> {
        let max = i64::try_from(max.max(1)).unwrap_or(i64::MAX);
        let is_single = markets <= SINGLE_CANDLE_MARKETS_MAX && !self.has_candles.contains(&job.market);
        // A single bad row can make a page unusable: request the base's own candle alone.
        let is_single = is_single || self.retries.contains_key(&job.market);
        let end = match job.urgency {
            Urgency::Base if is_single => job.span.end,
            Urgency::Base => job.span.start.plus(max),
            Urgency::Recent | Urgency::Older | Urgency::Settle => job.span.start.plus(max).min(job.span.end),
        };
        job.span.start..end.min(open_minute)
    }

    /// Records which minutes of `page` have candles (`found`); returns the spans that are settled by them.
    ///
    /// A minute between two candles was quiet. But where the venue has candles for quiet minutes too
    /// (`has_quiet_candles`), a missing candle proves nothing.
    pub fn record_candles(
        &mut self,
        page: &Range<Minute>,
        job: &Job,
        found: &[Minute],
        cutoffs: Cutoffs,
    ) -> Vec<Range<Minute>> {
        let Cutoffs { now, open_minute, quiet_before, has_quiet_candles, retry_max } = cutoffs;
        let mut settled: Vec<Range<Minute>> = Vec::new();
        match found.first() {
            Some(_) if has_quiet_candles => {
                for &minute in found {
                    match settled.last_mut() {
                        Some(run) if run.end == minute => run.end = minute.plus(1),
                        _ => settled.push(minute..minute.plus(1)),
                    }
                }
            }
            Some(&oldest) => {
                let newest = found.last().map_or(oldest, |newest| newest.plus(1));
                settled.push(oldest..page.end.min(quiet_before.max(newest)));
            }
            None => {}
        }
        let market = &job.market;
        if found.is_empty() {
            self.record_empty(market, Minute(i64::MIN)..page.end.plus(EMPTY_MARGIN_MINUTES), now, retry_max);
        } else {
            self.has_candles.insert(market.clone());
            self.forget_empty(market, &settled);
            if has_quiet_candles {
                subtract(found[0]..page.end, &settled)
                    .into_iter()
                    .for_each(|gap| self.record_empty(market, gap, now, retry_max));
            }
        }
        for span in &settled {
            self.trim(market, span);
        }
        if job.urgency != Urgency::Base && !found.is_empty() {
            // What is older than the oldest candle is requested separately: a response may be truncated.
            let left = subtract(job.span.start..page.end, &settled).into_iter().chain([page.end..job.span.end]);
            // What is not over yet (venue time), or too recent to count as quiet, would have the same result now.
            let wait = |span: &Range<Minute>| {
                if span.start >= open_minute.min(quiet_before) { now + NOT_OVER_RETRY } else { now }
            };
            left.for_each(|span| self.add(Job { not_before: wait(&span), ..job.with_span(span) }, now));
        }
        settled
    }

    /// Removes the minutes before `oldest`, of which the venue has no candles any more.
    pub fn trim_before(&mut self, oldest: Minute) {
        for job in &mut self.queued {
            job.span.start = job.span.start.max(oldest);
        }
        self.queued.retain(|job| job.span.start < job.span.end);
    }

    /// Removes a settled span from the queued jobs of a market.
    fn trim(&mut self, market: &Market, settled: &Range<Minute>) {
        for job in self.queued.iter_mut().filter(|job| job.market == *market) {
            if (settled.start..settled.end).contains(&job.span.start) {
                job.span.start = settled.end.min(job.span.end);
            } else if settled.start < job.span.end && job.span.end <= settled.end {
                job.span.end = settled.start;
            }
        }
        self.queued.retain(|job| job.span.start < job.span.end);
    }

    fn record_empty(&mut self, market: &Market, span: Range<Minute>, now: Duration, retry_max: Duration) {
        let known = self.empty_spans.entry(market.clone()).or_default();
        let before = known.iter().filter(|empty| empty.span.start <= span.start && span.start < empty.span.end);
        let times = before.map(|empty| empty.times).max().unwrap_or(0);
        known.retain(|empty| empty.span.start < span.start || span.end < empty.span.end);
        if known.len() >= EMPTY_SPANS_MAX {
            known.remove(0);
        }
        let wait = EMPTY_RETRY_MIN.saturating_mul(1 << (2 * times).min(20)).min(retry_max);
        known.push(EmptySpan { span, until: now + wait, times: times + 1 });
    }

    /// Forgets the empty spans in which candles were found after all.
    fn forget_empty(&mut self, market: &Market, settled: &[Range<Minute>]) {
        let Some(known) = self.empty_spans.get_mut(market) else { return };
        known.retain(|empty| !settled.iter().any(|span| span.start < empty.span.end && empty.span.start < span.end));
        if known.is_empty() {
            self.empty_spans.remove(market);
        }
    }
}

/// Times and rules by which a response is evaluated.
#[derive(Debug, Clone, Copy)]
pub struct Cutoffs {
    pub now: Duration,
    /// The first minute that is not over yet.
    pub open_minute: Minute,
    /// The first minute that may still get a candle.
    pub quiet_before: Minute,
    pub has_quiet_candles: bool,
    /// Longest wait before an empty span is requested again.
    pub retry_max: Duration,
}

/// Returns the parts of `span` that are in none of `others`, oldest first.
fn subtract(span: Range<Minute>, others: &[Range<Minute>]) -> Vec<Range<Minute>> {
    let mut parts = vec![span];
    for other in others {
        parts = parts
            .into_iter()
            .flat_map(|part| {
                let (before, after) = (part.start..part.end.min(other.start), part.start.max(other.end)..part.end);
                [before, after]
            })
            .collect();
    }
    parts.retain(|part| part.start < part.end);
    parts
}

/// Queues a gap that the board requests, if its market is listed.
pub fn accept_gap(jobs: &mut Jobs, listed: &BTreeSet<Market>, gap: Gap, now: Duration) {
    let Gap { market, span, urgency, .. } = gap;
    if listed.contains(&market) {
        jobs.add(Job { urgency, market, span, not_before: Duration::ZERO }, now);
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::feed::Event;

    const FIRST: Minute = Minute(1_000_000);
    const NEVER: Duration = Duration::from_secs(600);

    fn market(number: usize) -> Market {
        Market::new(&format!("C{number}"), "KRW").unwrap()
    }

    fn job(urgency: Urgency, number: usize, span: Range<i64>) -> Job {
        let span = FIRST.plus(span.start)..FIRST.plus(span.end);
        Job { urgency, market: market(number), span, not_before: Duration::ZERO }
    }

    fn cutoffs(open_minute: Minute, has_quiet_candles: bool) -> Cutoffs {
        Cutoffs { now: Duration::ZERO, open_minute, quiet_before: open_minute, has_quiet_candles, retry_max: NEVER }
    }

    #[test]
    fn the_oldest_gap_comes_first_and_each_is_filled_from_its_oldest_minute_on() {
        let mut jobs = Jobs::default();
        let open = FIRST.plus(1000);
        for job in [job(Urgency::Settle, 0, 0..10), job(Urgency::Older, 1, 300..310), job(Urgency::Older, 2, 100..350)]
        {
            jobs.add(job, Duration::ZERO);
        }
        jobs.add(job(Urgency::Base, 3, 500..501), Duration::ZERO);
        let mut requested = Vec::new();
        while let Some(job) = jobs.take(Duration::ZERO, open, Lane::Regular) {
            let page = jobs.page(&job, open, 200, 4);
            requested.push((job.market.to_string(), page.start.0 - FIRST.0..page.end.0 - FIRST.0));
            let found: Vec<Minute> = (page.start.0..page.end.0).map(Minute).collect();
            assert_eq!(jobs.record_candles(&page, &job, &found, cutoffs(open, false)), [page]);
        }
        let expected =
            [("C3-KRW", 500..501), ("C2-KRW", 100..300), ("C1-KRW", 300..310), ("C2-KRW", 300..350), ("C0-KRW", 0..10)];
        assert_eq!(requested, expected.map(|(market, page)| (market.to_owned(), page)));
    }

    #[test]
    fn minutes_that_a_response_has_settled_are_not_requested_again() {
        let mut jobs = Jobs::default();
        let open = FIRST.plus(1000);
        jobs.has_candles.insert(market(0));
        jobs.add(job(Urgency::Older, 0, 0..250), Duration::ZERO);
        jobs.add(job(Urgency::Base, 0, 0..1), Duration::ZERO);
        let base = jobs.take(Duration::ZERO, open, Lane::Regular).unwrap();
        let page = jobs.page(&base, open, 200, 1);
        assert_eq!(page, FIRST..FIRST.plus(200), "a base that is not the first is fetched with the minutes after it");
        jobs.record_candles(&page, &base, &[FIRST, FIRST.plus(199)], cutoffs(open, false));
        assert_eq!(jobs.take(Duration::ZERO, open, Lane::Regular).unwrap().span, FIRST.plus(200)..FIRST.plus(250));
        assert_eq!(jobs.take(Duration::ZERO, open, Lane::Regular), None);
    }

    #[test]
    fn minutes_that_the_venue_has_dropped_are_not_requested_however_long_their_job_waited() {
        let mut jobs = Jobs::default();
        let open = FIRST.plus(1000);
        jobs.add(job(Urgency::Base, 0, 0..1), Duration::ZERO);
        jobs.add(job(Urgency::Older, 0, 0..300), Duration::ZERO);
        jobs.trim_before(FIRST.plus(295));
        let taken = jobs.take(Duration::ZERO, open, Lane::Regular).unwrap();
        assert_eq!(taken.span, FIRST.plus(295)..FIRST.plus(300));
        jobs.add(taken, Duration::ZERO);
        jobs.trim_before(FIRST.plus(300));
        assert_eq!(jobs.take(Duration::ZERO, open, Lane::Regular), None);
    }

    #[test]
    fn in_48_a_row_that_is_missing_is_a_quiet_minute_only_where_quiet_minutes_have_none() {
        let open = FIRST.plus(1000);
        let found: Vec<Minute> = [0, 1, 2, 5, 6].map(|at| FIRST.plus(at)).to_vec();
        let gap = job(Urgency::Older, 0, 0..8);
        let page = FIRST..FIRST.plus(8);
        let mut jobs = Jobs::default();
        assert_eq!(jobs.record_candles(&page, &gap, &found, cutoffs(open, false)), vec![page.clone()]);
        assert_eq!(jobs.take(Duration::ZERO, open, Lane::Regular), None);

        // What is older than the oldest candle may have been truncated, at any venue.
        let late = [FIRST.plus(3), FIRST.plus(5)];
        assert_eq!(jobs.record_candles(&page, &gap, &late, cutoffs(open, false)), [FIRST.plus(3)..FIRST.plus(8)]);
        assert_eq!(jobs.take(Duration::ZERO, open, Lane::Regular).unwrap().span, FIRST..FIRST.plus(3));

        let runs = jobs.record_candles(&page, &gap, &found, cutoffs(open, true));
        assert_eq!(runs, [FIRST..FIRST.plus(3), FIRST.plus(5)..FIRST.plus(7)]);
        // Missing candles are not requested again for a while.
        assert_eq!(jobs.take(Duration::ZERO, open, Lane::Regular), None);
        jobs.add(gap, EMPTY_RETRY_MIN);
        let spans: Vec<_> =
            std::iter::from_fn(|| jobs.take(EMPTY_RETRY_MIN, open, Lane::Regular)).map(|job| job.span).collect();
        assert_eq!(spans, [FIRST..FIRST.plus(8)]);
    }

    /// Candles may be late: if a minute that has just ended has none, that is no proof that it had no trade.
    #[test]
    fn fc_10_a_minute_just_over_is_settled_by_its_candle_and_not_by_silence() {
        let (open, quiet_before) = (FIRST.plus(8), FIRST.plus(6));
        let cutoffs = Cutoffs { quiet_before, ..cutoffs(open, false) };
        let recent = job(Urgency::Recent, 0, 0..8);
        let page = FIRST..open;
        let mut jobs = Jobs::default();
        assert_eq!(jobs.record_candles(&page, &recent, &[FIRST, FIRST.plus(3)], cutoffs), [FIRST..quiet_before]);
        assert_eq!(jobs.take(Duration::ZERO, open, Lane::Regular), None, "not at once");
        assert_eq!(jobs.take(NOT_OVER_RETRY, open, Lane::Regular).unwrap().span, quiet_before..open);
        assert_eq!(jobs.record_candles(&page, &recent, &[FIRST, FIRST.plus(6)], cutoffs), [FIRST..FIRST.plus(7)]);
        assert_eq!(jobs.take(NOT_OVER_RETRY, open, Lane::Regular).unwrap().span, FIRST.plus(7)..open);
        assert_eq!(jobs.record_candles(&page, &recent, &[FIRST, FIRST.plus(7)], cutoffs), [page]);
        assert_eq!(jobs.take(NOT_OVER_RETRY, open, Lane::Regular), None);
    }

    #[test]
    fn an_empty_response_is_retried_after_growing_waits() {
        let mut jobs = Jobs::default();
        let open = FIRST.plus(1000);
        let mut now = Duration::ZERO;
        for wait in [10, 40, 160, 600, 600] {
            let base = job(Urgency::Base, 0, 0..1);
            let page = jobs.page(&base, open, 200, 1);
            assert_eq!(jobs.record_candles(&page, &base, &[], Cutoffs { now, ..cutoffs(open, false) }), []);
            jobs.add(base.clone(), now + Duration::from_secs(wait - 1));
            assert_eq!(jobs.take(now + Duration::from_secs(wait - 1), open, Lane::Regular), None);
            now += Duration::from_secs(wait);
            jobs.add(base, now);
            assert!(jobs.take(now, open, Lane::Regular).is_some());
        }
        jobs.record_candles(&(FIRST..FIRST.plus(1)), &job(Urgency::Base, 0, 0..1), &[FIRST], cutoffs(open, false));
        assert!(jobs.empty_spans.is_empty());
    }

    /// Simulates the board and a venue that answers five requests per second, with or without a stream. Returns the
    /// second from which on only the newest hour was requested.
    fn three_hundred_markets(streaming: bool) -> u64 {
        use crate::board::{BoardSettings, BoardSpec, Quotes};
        use crate::feed::Via;
        use crate::market::{Basis, Now, SourceId, Ticker, VenueId};
        const MARKETS: usize = 300;
        const REQUESTS_PER_SECOND: usize = 5;
        let (venue, begin) = (VenueId("v"), FIRST.start().checked_add(SignedDuration::from_secs(37)).unwrap());
        let now_at = |seconds: u64| Now {
            wall: begin.checked_add(SignedDuration::from_secs(i64::try_from(seconds).unwrap())).unwrap(),
            monotonic: Duration::from_secs(seconds),
        };
        let markets: Vec<Market> = (0..MARKETS).map(market).collect();
        let listed: BTreeSet<Market> = markets.iter().cloned().collect();
        let all = markets.clone();
        let spec = BoardSpec { source: SourceId::new(["v"]), venues: vec![venue], markets, basis: Basis::Rolling24h };
        let mut quotes = Quotes::new(&[spec], BoardSettings::default(), now_at(0));
        let mut jobs = Jobs::default();
        let (mut has_base, mut filled) = (BTreeMap::<Market, bool>::new(), 0);
        let price = "5".parse().unwrap();
        for second in 0..if streaming { 600 } else { 960 } {
            let now = now_at(second);
            let open = Minute::of(now.wall);
            if streaming && second % 5 == 0 {
                for market in &all {
                    let ticker = Ticker { traded_at: Some(now.wall), sent_at: Some(now.wall), ..Ticker::new(price) };
                    let (market, via) = (market.clone(), Via::Stream { session: 1 });
                    quotes.apply(Event::Ticker { venue, market, ticker, requested: now, received: now, via }, now);
                }
            }
            if second % 5 == 0 {
                let gaps = quotes.gaps(now);
                if gaps.iter().any(|gap| gap.span.start < open.plus(-60) && gap.urgency != Urgency::Settle) {
                    filled = second + 1;
                }
                gaps.into_iter().for_each(|gap| accept_gap(&mut jobs, &listed, gap, now.monotonic));
            }
            for _ in 0..REQUESTS_PER_SECOND {
                let Some(job) = jobs.take(now.monotonic, open, Lane::Regular) else { break };
                let page = jobs.page(&job, open, 200, MARKETS);
                // One minute in three has a trade; the venue omits the others.
                let all = (page.start.0 - 400..page.end.0).map(Minute).filter(|minute| minute.0 % 3 == 0);
                let newest: Vec<Minute> = all.collect();
                let count = usize::try_from(page.end.0 - page.start.0).unwrap();
                let found = &newest[newest.len() - count.min(newest.len())..];
                for span in
                    jobs.record_candles(&page, &job, found, Cutoffs { now: now.monotonic, ..cutoffs(open, false) })
                {
                    let closes = found.iter().filter(|m| span.contains(m)).map(|&minute| (minute, price)).collect();
                    quotes.apply(Event::Settled { venue, market: job.market.clone(), span, closes }, now);
                }
            }
            if second % 5 != 0 {
                continue;
            }
            quotes.tick(now);
            for quote in quotes.publish(now).changed {
                has_base.insert(quote.market.clone(), quote.base(Basis::Rolling24h).is_some());
            }
            let known = has_base.values().filter(|known| **known).count();
            assert!(
                known >= (usize::try_from(second).unwrap() * REQUESTS_PER_SECOND).min(MARKETS),
                "{known} bases at {second} s"
            );
        }
        filled
    }

    #[test]
    fn three_hundred_markets_have_their_bases_after_a_minute_and_keep_them_while_the_windows_fill() {
        // Eight pages per market, and hardly any twice.
        let filled = three_hundred_markets(true);
        assert!(filled <= 560, "{filled}");
    }

    /// Without a stream the newest minutes are requested again and again: by every other request, but no more.
    #[test]
    fn fc_10_the_newest_minutes_starve_neither_bases_nor_older_gaps() {
        let filled = three_hundred_markets(false);
        assert!(filled <= 950, "{filled}");
    }
}
