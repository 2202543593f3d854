//! Minute closes by REST, for the stretches that the board does not know.
//!
//! One request at a time, the most urgent first, and always behind prices:
//! bases, then the newest minutes and older holes by turns, then what was seen
//! live. Among equals the oldest minute comes first, and a stretch is filled from its oldest minute on: that is the
//! one that the next base needs, so a page fetched for a base serves the bases
//! of the next hours too. Were it filled from its newest end, a venue with many
//! markets would be asked for nothing but the base of each minute, for ever.
//!
//! A request that fails costs its market alone: that market waits, longer each
//! time, and is asked for beside the others from then on. A request that takes
//! long has the next one beside it. So neither failures nor silence hold the
//! others up. All wait only when the host fails, or several markets in a row do
//! that had not failed before. A request that finds nothing is not made again for
//! a while.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::Backoff;
use super::pace::Priority;
use super::question::{self, Fault};
use super::shared::{Listed, Shared};
use crate::domain::{Candle, Event, Gap, Lacks, Market, Minute, Reason, ReasonCode, Urgency};
use crate::venue::{Answer, Ask};

/// Most stretches that wait; the board asks again for what was dropped.
const JOBS_MAX: usize = 4096;

/// A minute is asked for when it has been over for this long by our clock.
const SETTLE_AFTER: SignedDuration = SignedDuration::from_secs(5);

/// A minute without a candle is believed to have had no trade when it has been over for this long: candles may be late.
const SILENCE_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// What was not over is asked for again after this long.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Longest sleep while nothing is due.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// With no more markets than this, the first thing asked of each is the one candle of its base: the first page
/// is right after a short round. With more, the round takes longer than a base lasts, and pages begin at once.
const SINGLES_MAX: usize = 60;

/// A stretch in which nothing was found is asked for again after this long; each time four times longer, up to
/// [`refused_retry`](super::Settings::refused_retry): it may have been the venue's fault.
const VAIN_MIN: Duration = Duration::from_secs(10);

/// Stretches of one market in which nothing was found that are remembered.
const VAIN_MAX: usize = 64;

/// A request that has been under way for so long does not keep the next one waiting: it may never be answered.
const SLOW_AFTER: Duration = Duration::from_secs(1);

/// Requests under way at once, retries aside.
const ASKING_MAX: usize = 8;

/// When so many markets have failed in a row, and none was answered in between, it is the host that fails.
const HOST_AFTER: usize = 3;

/// Longest wait after failures that may still be those of single markets.
const DOUBT_MAX: Duration = Duration::from_secs(5);

/// So many minutes after one before which there is nothing there is nothing either: the base moves on while we wait.
const VAIN_AHEAD: i64 = 10;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Job {
    urgency: Urgency,
    market: Market,
    span: Range<Minute>,
    not_before: Duration,
}

impl Job {
    fn at(&self, span: Range<Minute>) -> Self {
        Self { span, ..self.clone() }
    }
}

/// A stretch for which the venue has no candle.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Vain {
    span: Range<Minute>,
    until: Duration,
    times: u32,
}

/// A market whose candles were refused or could not be read: it waits alone.
#[derive(Debug)]
struct Trouble {
    until: Duration,
    backoff: Backoff,
}

/// Who is asked for beside whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Markets that have not failed of late.
    First,
    /// Markets that have.
    Retries,
}

/// What waits, and what need not be asked.
#[derive(Debug, Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    vain: BTreeMap<Market, Vec<Vain>>,
    /// Markets of which a candle has come.
    begun: BTreeSet<Market>,
    troubles: BTreeMap<Market, Trouble>,
    /// Markets that are being asked for, and since when.
    asking: BTreeMap<Market, Duration>,
    /// Whether the last job taken was one of the newest minutes: then an older hole has its turn.
    was_recent: bool,
}

impl Jobs {
    fn add(&mut self, job: Job, now: Duration) {
        let vain = self.vain.get(&job.market).into_iter().flatten().filter(|vain| now < vain.until);
        let spans: Vec<_> = vain.map(|vain| vain.span.clone()).collect();
        for span in without(job.span.clone(), &spans) {
            self.put(job.at(span));
        }
    }

    fn put(&mut self, job: Job) {
        let same = self.waiting.iter_mut().find(|other| {
            let touching = job.span.start <= other.span.end && other.span.start <= job.span.end;
            other.market == job.market && other.urgency == job.urgency && touching
        });
        if let Some(other) = same {
            other.span.start = other.span.start.min(job.span.start);
            other.span.end = other.span.end.max(job.span.end);
            return;
        }
        if self.waiting.len() >= JOBS_MAX {
            let Some(last) = (0..self.waiting.len()).max_by_key(|&at| self.waiting[at].urgency) else { return };
            if self.waiting[last].urgency <= job.urgency {
                return;
            }
            self.waiting.remove(last);
        }
        self.waiting.push_back(job);
    }

    /// Takes the most urgent job that is due, of markets that have failed or of the others; among equals the one with the
    /// oldest minute, then the one that came first.
    fn take(&mut self, now: Duration, over: Minute, line: Line) -> Option<Job> {
        let due = |job: &Job| {
            let in_line = match self.troubles.get(&job.market) {
                Some(trouble) => line == Line::Retries && trouble.until <= now,
                None => line == Line::First,
            };
            in_line && job.not_before <= now && job.span.start < over && !self.asking.contains_key(&job.market)
        };
        let rank = |job: &Job| {
            let turn = match job.urgency {
                Urgency::Base => 0,
                Urgency::Recent => 1 + 2 * u8::from(self.was_recent),
                Urgency::Hole => 2,
                Urgency::Settle => 4,
            };
            (turn, job.span.start)
        };
        let indices = (0..self.waiting.len()).filter(|&at| due(&self.waiting[at]));
        let at = indices.min_by_key(|&at| rank(&self.waiting[at]))?;
        let job = self.waiting.remove(at)?;
        if job.urgency != Urgency::Base {
            self.was_recent = job.urgency == Urgency::Recent;
        }
        Some(job)
    }

    /// A market's candles were refused or could not be read.
    fn failed(&mut self, market: &Market, now: Duration, fresh: Backoff) {
        let trouble = self.troubles.entry(market.clone()).or_insert(Trouble { until: now, backoff: fresh });
        trouble.until = now + trouble.backoff.after_failure();
    }

    /// Forgets the markets that are not listed any more.
    fn keep(&mut self, listed: &BTreeSet<Market>) {
        self.waiting.retain(|job| listed.contains(&job.market));
        self.vain.retain(|market, _| listed.contains(market));
        self.troubles.retain(|market, _| listed.contains(market));
    }

    /// What a job asks for first: the minutes from its oldest on that one answer can hold, and that are over.
    fn page(&self, job: &Job, over: Minute, most: usize, markets: usize) -> Range<Minute> {
        let most = i64::try_from(most.max(1)).unwrap_or(i64::MAX);
        let first = markets <= SINGLES_MAX && !self.begun.contains(&job.market);
        // One row may be what spoils a page: the base's own candle is worth having alone.
        let first = first || self.troubles.contains_key(&job.market);
        let end = match job.urgency {
            Urgency::Base if first => job.span.end,
            Urgency::Base => job.span.start.plus(most),
            Urgency::Recent | Urgency::Hole | Urgency::Settle => job.span.start.plus(most).min(job.span.end),
        };
        job.span.start..end.min(over)
    }

    /// Takes in the minutes of `page` that have candles; returns the stretches that are settled by them.
    ///
    /// A minute between two candles had no trade. Where the venue has a candle for such a minute too
    /// (`quiet_candles`), one that is not there says nothing.
    fn answered(&mut self, page: &Range<Minute>, job: &Job, had: &[Minute], times: Times) -> Vec<Range<Minute>> {
        let Times { now, over, sure, quiet_candles, retry } = times;
        let mut settled: Vec<Range<Minute>> = Vec::new();
        match had.first() {
            Some(_) if quiet_candles => {
                for &minute in had {
                    match settled.last_mut() {
                        Some(run) if run.end == minute => run.end = minute.plus(1),
                        _ => settled.push(minute..minute.plus(1)),
                    }
                }
            }
            Some(&oldest) => {
                let newest = had.last().map_or(oldest, |newest| newest.plus(1));
                settled.push(oldest..page.end.min(sure.max(newest)));
            }
            None => {}
        }
        let market = &job.market;
        if had.is_empty() {
            self.in_vain(market, Minute(i64::MIN)..page.end.plus(VAIN_AHEAD), now, retry);
        } else {
            self.begun.insert(market.clone());
            self.found(market, &settled);
            if quiet_candles {
                without(had[0]..page.end, &settled).into_iter().for_each(|hole| self.in_vain(market, hole, now, retry));
            }
        }
        for span in &settled {
            self.trim(market, span);
        }
        if job.urgency != Urgency::Base && !had.is_empty() {
            // What is older than the oldest candle is asked for by itself: an answer may be cut short.
            let left = without(job.span.start..page.end, &settled).into_iter().chain([page.end..job.span.end]);
            // What is not over there yet, or too new for its silence to be believed, would be found the same.
            let wait = |span: &Range<Minute>| if span.start >= over.min(sure) { now + ASK_AGAIN } else { now };
            left.for_each(|span| self.add(Job { not_before: wait(&span), ..job.at(span) }, now));
        }
        settled
    }

    /// What waits of a market need not be asked for where it is settled.
    fn trim(&mut self, market: &Market, settled: &Range<Minute>) {
        for job in self.waiting.iter_mut().filter(|job| job.market == *market) {
            if (settled.start..settled.end).contains(&job.span.start) {
                job.span.start = settled.end.min(job.span.end);
            } else if settled.start < job.span.end && job.span.end <= settled.end {
                job.span.end = settled.start;
            }
        }
        self.waiting.retain(|job| job.span.start < job.span.end);
    }

    fn in_vain(&mut self, market: &Market, span: Range<Minute>, now: Duration, longest: Duration) {
        let known = self.vain.entry(market.clone()).or_default();
        let before = known.iter().filter(|vain| vain.span.start <= span.start && span.start < vain.span.end);
        let times = before.map(|vain| vain.times).max().unwrap_or(0);
        known.retain(|vain| vain.span.start < span.start || span.end < vain.span.end);
        if known.len() >= VAIN_MAX {
            known.remove(0);
        }
        let wait = VAIN_MIN.saturating_mul(1 << (2 * times).min(20)).min(longest);
        known.push(Vain { span, until: now + wait, times: times + 1 });
    }

    /// What is found there after all is believed.
    fn found(&mut self, market: &Market, settled: &[Range<Minute>]) {
        let Some(known) = self.vain.get_mut(market) else { return };
        known.retain(|vain| !settled.iter().any(|span| span.start < vain.span.end && vain.span.start < span.end));
        if known.is_empty() {
            self.vain.remove(market);
        }
    }
}

/// What an answer is measured by.
#[derive(Debug, Clone, Copy)]
struct Times {
    now: Duration,
    /// The first minute that is not over.
    over: Minute,
    /// The first minute that may still get a candle.
    sure: Minute,
    quiet_candles: bool,
    /// Longest time for which a stretch without candles is left alone.
    retry: Duration,
}

/// The parts of `span` that are in none of `others`, oldest first.
fn without(span: Range<Minute>, others: &[Range<Minute>]) -> Vec<Range<Minute>> {
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

/// Fills gaps until shutdown, or for as long as the board may ask.
pub async fn run(shared: Arc<Shared>, mut gaps: mpsc::Receiver<Gap>) {
    let mut filler = Filler::new(&shared);
    let mut asking = FuturesUnordered::new();
    let mut open = true;
    let mut changes = shared.listed.subscribe();
    let mut listed: Listed = changes.borrow_and_update().clone();
    loop {
        if changes.has_changed().unwrap_or(false) {
            listed = changes.borrow_and_update().clone();
            filler.jobs.keep(&listed);
        }
        let over = Minute::of(shared.there().saturating_sub(SETTLE_AFTER).unwrap_or_default());
        while let Some((job, line)) = filler.next(over) {
            let page = filler.jobs.page(&job, over, shared.venue.profile().candles_per_request, shared.wanted.len());
            let shared = &shared;
            asking.push(async move {
                let answer = ask(shared, &job.market, page.clone()).await;
                (job, line, page, answer)
            });
        }
        tokio::select! {
            Some((job, line, page, answer)) = asking.next(), if !asking.is_empty() => {
                filler.answered(job, line, page, over, answer).await;
            }
            gap = gaps.recv(), if open => match gap {
                Some(gap) => accept(&mut filler.jobs, &listed, gap, shared.now()),
                None => open = false,
            },
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// A date and candles, or what kept them away; `None` where the venue can't be asked for them.
type Outcome = Option<Result<(Vec<Candle>, Option<Timestamp>), Fault>>;

/// Decides what is asked for next, and takes in what comes of it.
struct Filler<'a> {
    shared: &'a Shared,
    jobs: Jobs,
    fresh: Backoff,
    backoff: Backoff,
    /// Markets that have failed in a row, with none answered in between.
    failing: BTreeSet<Market>,
    /// From when on each line is asked for.
    first_at: Duration,
    retries_at: Duration,
}

impl<'a> Filler<'a> {
    fn new(shared: &'a Shared) -> Self {
        let fresh = Backoff::new(shared.settings.backoff_min, shared.settings.backoff_max);
        Self {
            shared,
            jobs: Jobs::default(),
            backoff: fresh.clone(),
            fresh,
            failing: BTreeSet::new(),
            first_at: Duration::ZERO,
            retries_at: Duration::ZERO,
        }
    }

    /// Takes a job that may be asked for now. One retry is under way at a time: a market that never answers holds up
    /// nothing but other retries.
    fn next(&mut self, over: Minute) -> Option<(Job, Line)> {
        let now = self.shared.now();
        let is_retry = |market: &Market| self.jobs.troubles.contains_key(market);
        let retrying = self.jobs.asking.keys().any(is_retry);
        let first: Vec<Duration> =
            self.jobs.asking.iter().filter(|(market, _)| !is_retry(market)).map(|(_, since)| *since).collect();
        let all_slow = first.iter().all(|since| now.saturating_sub(*since) >= SLOW_AFTER);
        let mut take = |line: Line, may: bool| {
            let job = may.then(|| self.jobs.take(now, over, line)).flatten();
            job.map(|job| (job, line))
        };
        let (job, line) = take(Line::First, all_slow && first.len() < ASKING_MAX && self.first_at <= now)
            .or_else(|| take(Line::Retries, !retrying && self.retries_at <= now))?;
        self.jobs.asking.insert(job.market.clone(), now);
        Some((job, line))
    }

    async fn answered(&mut self, job: Job, line: Line, page: Range<Minute>, over: Minute, answer: Outcome) {
        let Self { shared, jobs, .. } = self;
        jobs.asking.remove(&job.market);
        let Some(answer) = answer else { return };
        let (candles, date) = match answer {
            Ok(answer) => answer,
            Err(fault) => return self.failed(job, line, &fault),
        };
        self.backoff.reset();
        self.failing.clear();
        jobs.troubles.remove(&job.market);
        if candles.is_empty() {
            let code = ReasonCode::Unanswered.as_str();
            shared.lacks(&job.market, Lacks::Base, code, "the exchange has no candles of that time");
        } else if let Some(since) = shared.has(&job.market, Lacks::Base) {
            tracing::info!(venue = %shared.id(), market = %job.market, %since, "the exchange answers with candles again");
        }
        // By the date of the answer: what we think of the venue's clock may be wrong.
        let over = over.min(date.map_or(over, Minute::of));
        settle(shared, jobs, &job, page.start..page.end.min(over), over, candles).await;
    }

    fn failed(&mut self, job: Job, line: Line, fault: &Fault) {
        let (shared, now) = (self.shared, self.shared.now());
        let wait = match fault {
            Fault::Question(reason) => {
                self.jobs.failed(&job.market, now, self.fresh.clone());
                shared.market_failed(&job.market, Lacks::Base, reason);
                // A market that fails again says nothing of the others.
                if line == Line::First {
                    self.failing.insert(job.market.clone());
                }
                let in_doubt = self.failing.len() >= HOST_AFTER;
                if in_doubt { self.backoff.after_failure().min(DOUBT_MAX) } else { Duration::ZERO }
            }
            Fault::Host(reason) => {
                shared.log("candles", reason);
                let held = shared.http.held().map_or(Duration::ZERO, |(left, _)| left);
                held + self.backoff.after_failure()
            }
        };
        if line == Line::First || matches!(fault, Fault::Host(_)) {
            self.first_at = now + wait;
        }
        self.retries_at = now + wait;
        self.jobs.add(job, now);
    }
}

fn accept(jobs: &mut Jobs, listed: &BTreeSet<Market>, gap: Gap, now: Duration) {
    let Gap { market, span, urgency, .. } = gap;
    if listed.contains(&market) {
        jobs.add(Job { urgency, market, span, not_before: Duration::ZERO }, now);
    }
}

/// Asks for the candles of a page.
async fn ask(shared: &Shared, market: &Market, page: Range<Minute>) -> Outcome {
    let count = usize::try_from(page.end.0 - page.start.0).unwrap_or(1).max(1);
    let ask = Ask::Candles { market, end: page.end, count };
    Some(match question::put(shared, &ask, Priority::Backfill).await? {
        Ok((Answer::Candles(candles), body)) => Ok((candles, body.dated.map(|dated| dated.date))),
        Ok(_) => Err(Fault::Question(Reason::new(ReasonCode::Payload, "the answer is not one of candles"))),
        Err(fault) => Err(fault),
    })
}

/// Passes on what an answer settles, and leaves the rest of the job waiting.
async fn settle(shared: &Shared, jobs: &mut Jobs, job: &Job, page: Range<Minute>, over: Minute, candles: Vec<Candle>) {
    if page.start >= page.end {
        // None of it is over there yet.
        jobs.add(Job { not_before: shared.now() + ASK_AGAIN, ..job.clone() }, shared.now());
        return;
    }
    let closes: Vec<_> =
        candles.iter().filter(|candle| candle.minute < page.end).map(|candle| (candle.minute, candle.close)).collect();
    let had: Vec<Minute> = closes.iter().map(|&(minute, _)| minute).collect();
    let times = Times {
        now: shared.now(),
        over,
        sure: Minute::of(shared.there().saturating_sub(SILENCE_AFTER).unwrap_or_default()),
        quiet_candles: shared.venue.profile().quiet_candles,
        retry: shared.settings.refused_retry,
    };
    for span in jobs.answered(&page, job, &had, times) {
        let closes = closes.iter().filter(|(minute, _)| span.contains(minute)).copied().collect();
        let event = Event::Settled { venue: shared.id(), market: job.market.clone(), span, closes };
        shared.outbox.send(event).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Minute = Minute(1_000_000);
    const NEVER: Duration = Duration::from_secs(600);

    fn market(number: usize) -> Market {
        Market::new(&format!("C{number}"), "KRW").unwrap()
    }

    fn job(urgency: Urgency, number: usize, span: Range<i64>) -> Job {
        let span = FIRST.plus(span.start)..FIRST.plus(span.end);
        Job { urgency, market: market(number), span, not_before: Duration::ZERO }
    }

    fn times(over: Minute, quiet_candles: bool) -> Times {
        Times { now: Duration::ZERO, over, sure: over, quiet_candles, retry: NEVER }
    }

    #[test]
    fn the_oldest_hole_comes_first_and_each_is_filled_from_its_oldest_minute_on() {
        let mut jobs = Jobs::default();
        let over = FIRST.plus(1000);
        for job in [job(Urgency::Settle, 0, 0..10), job(Urgency::Hole, 1, 300..310), job(Urgency::Hole, 2, 100..350)] {
            jobs.add(job, Duration::ZERO);
        }
        jobs.add(job(Urgency::Base, 3, 500..501), Duration::ZERO);
        let mut asked = Vec::new();
        while let Some(job) = jobs.take(Duration::ZERO, over, Line::First) {
            let page = jobs.page(&job, over, 200, 4);
            asked.push((job.market.to_string(), page.start.0 - FIRST.0..page.end.0 - FIRST.0));
            let had: Vec<Minute> = (page.start.0..page.end.0).map(Minute).collect();
            assert_eq!(jobs.answered(&page, &job, &had, times(over, false)), [page]);
        }
        let expected =
            [("C3-KRW", 500..501), ("C2-KRW", 100..300), ("C1-KRW", 300..310), ("C2-KRW", 300..350), ("C0-KRW", 0..10)];
        assert_eq!(asked, expected.map(|(market, page)| (market.to_owned(), page)));
    }

    #[test]
    fn what_an_answer_has_settled_is_not_asked_for_again() {
        let mut jobs = Jobs::default();
        let over = FIRST.plus(1000);
        jobs.begun.insert(market(0));
        jobs.add(job(Urgency::Hole, 0, 0..250), Duration::ZERO);
        jobs.add(job(Urgency::Base, 0, 0..1), Duration::ZERO);
        let base = jobs.take(Duration::ZERO, over, Line::First).unwrap();
        let page = jobs.page(&base, over, 200, 1);
        assert_eq!(page, FIRST..FIRST.plus(200), "a base that is not the first brings those after it");
        jobs.answered(&page, &base, &[FIRST, FIRST.plus(199)], times(over, false));
        assert_eq!(jobs.take(Duration::ZERO, over, Line::First).unwrap().span, FIRST.plus(200)..FIRST.plus(250));
        assert_eq!(jobs.take(Duration::ZERO, over, Line::First), None);
    }

    #[test]
    fn in_48_a_row_that_is_missing_is_a_quiet_minute_only_where_quiet_minutes_have_none() {
        let over = FIRST.plus(1000);
        let had: Vec<Minute> = [0, 1, 2, 5, 6].map(|at| FIRST.plus(at)).to_vec();
        let hole = job(Urgency::Hole, 0, 0..8);
        let page = FIRST..FIRST.plus(8);
        let mut jobs = Jobs::default();
        assert_eq!(jobs.answered(&page, &hole, &had, times(over, false)), vec![page.clone()]);
        assert_eq!(jobs.take(Duration::ZERO, over, Line::First), None);

        // What is older than the oldest candle may have been cut off, whichever venue says it.
        let late = [FIRST.plus(3), FIRST.plus(5)];
        assert_eq!(jobs.answered(&page, &hole, &late, times(over, false)), [FIRST.plus(3)..FIRST.plus(8)]);
        assert_eq!(jobs.take(Duration::ZERO, over, Line::First).unwrap().span, FIRST..FIRST.plus(3));

        let runs = jobs.answered(&page, &hole, &had, times(over, true));
        assert_eq!(runs, [FIRST..FIRST.plus(3), FIRST.plus(5)..FIRST.plus(7)]);
        // What was not there is believed for a while, then sought again.
        assert_eq!(jobs.take(Duration::ZERO, over, Line::First), None);
        jobs.add(hole, VAIN_MIN);
        let spans: Vec<_> = std::iter::from_fn(|| jobs.take(VAIN_MIN, over, Line::First)).map(|job| job.span).collect();
        assert_eq!(spans, [FIRST..FIRST.plus(8)]);
    }

    /// A candle may be late: that a minute just over has none is no proof that it had no trade.
    #[test]
    fn fc_10_a_minute_just_over_is_settled_by_its_candle_and_not_by_silence() {
        let (over, sure) = (FIRST.plus(8), FIRST.plus(6));
        let times = Times { sure, ..times(over, false) };
        let recent = job(Urgency::Recent, 0, 0..8);
        let page = FIRST..over;
        let mut jobs = Jobs::default();
        assert_eq!(jobs.answered(&page, &recent, &[FIRST, FIRST.plus(3)], times), [FIRST..sure]);
        assert_eq!(jobs.take(Duration::ZERO, over, Line::First), None, "not at once");
        assert_eq!(jobs.take(ASK_AGAIN, over, Line::First).unwrap().span, sure..over);
        assert_eq!(jobs.answered(&page, &recent, &[FIRST, FIRST.plus(6)], times), [FIRST..FIRST.plus(7)]);
        assert_eq!(jobs.take(ASK_AGAIN, over, Line::First).unwrap().span, FIRST.plus(7)..over);
        assert_eq!(jobs.answered(&page, &recent, &[FIRST, FIRST.plus(7)], times), [page]);
        assert_eq!(jobs.take(ASK_AGAIN, over, Line::First), None);
    }

    #[test]
    fn an_empty_answer_is_doubted_at_first_and_believed_for_longer_each_time() {
        let mut jobs = Jobs::default();
        let over = FIRST.plus(1000);
        let mut now = Duration::ZERO;
        for wait in [10, 40, 160, 600, 600] {
            let base = job(Urgency::Base, 0, 0..1);
            let page = jobs.page(&base, over, 200, 1);
            assert_eq!(jobs.answered(&page, &base, &[], Times { now, ..times(over, false) }), []);
            jobs.add(base.clone(), now + Duration::from_secs(wait - 1));
            assert_eq!(jobs.take(now + Duration::from_secs(wait - 1), over, Line::First), None);
            now += Duration::from_secs(wait);
            jobs.add(base, now);
            assert!(jobs.take(now, over, Line::First).is_some());
        }
        jobs.answered(&(FIRST..FIRST.plus(1)), &job(Urgency::Base, 0, 0..1), &[FIRST], times(over, false));
        assert!(jobs.vain.is_empty());
    }

    /// The board, a venue that answers five requests a second, and a stream that is there or not. Returns the second
    /// from which on nothing but the newest hour was ever wanted.
    fn three_hundred_markets(streaming: bool) -> u64 {
        use crate::board::{Quotes, Settings, Wanted};
        use crate::domain::{Basis, Now, SourceId, Ticker, VenueId, Via};
        const MARKETS: usize = 300;
        const A_SECOND: usize = 5;
        let (venue, begin) = (VenueId("v"), FIRST.start().checked_add(SignedDuration::from_secs(37)).unwrap());
        let now_at = |seconds: u64| Now {
            wall: begin.checked_add(SignedDuration::from_secs(i64::try_from(seconds).unwrap())).unwrap(),
            monotonic: Duration::from_secs(seconds),
        };
        let markets: Vec<Market> = (0..MARKETS).map(market).collect();
        let listed: BTreeSet<Market> = markets.iter().cloned().collect();
        let all = markets.clone();
        let wanted = Wanted { source: SourceId::new(["v"]), venues: vec![venue], markets, basis: Basis::Rolling24h };
        let mut quotes = Quotes::new(&[wanted], Settings::default(), now_at(0));
        let mut jobs = Jobs::default();
        let (mut based, mut filled) = (BTreeMap::<Market, bool>::new(), 0);
        let price = "5".parse().unwrap();
        for second in 0..if streaming { 600 } else { 960 } {
            let now = now_at(second);
            let over = Minute::of(now.wall);
            if streaming && second % 5 == 0 {
                for market in &all {
                    let ticker = Ticker { traded_at: Some(now.wall), sent_at: Some(now.wall), ..Ticker::new(price) };
                    let (market, via) = (market.clone(), Via::Stream { session: 1 });
                    quotes.apply(Event::Ticker { venue, market, ticker, asked: now, received: now, via }, now);
                }
            }
            if second % 5 == 0 {
                let gaps = quotes.gaps(now);
                if gaps.iter().any(|gap| gap.span.start < over.plus(-60) && gap.urgency != Urgency::Settle) {
                    filled = second + 1;
                }
                gaps.into_iter().for_each(|gap| accept(&mut jobs, &listed, gap, now.monotonic));
            }
            for _ in 0..A_SECOND {
                let Some(job) = jobs.take(now.monotonic, over, Line::First) else { break };
                let page = jobs.page(&job, over, 200, MARKETS);
                // A minute in three has a trade; the venue leaves the others out.
                let all = (page.start.0 - 400..page.end.0).map(Minute).filter(|minute| minute.0 % 3 == 0);
                let newest: Vec<Minute> = all.collect();
                let count = usize::try_from(page.end.0 - page.start.0).unwrap();
                let had = &newest[newest.len() - count.min(newest.len())..];
                for span in jobs.answered(&page, &job, had, Times { now: now.monotonic, ..times(over, false) }) {
                    let closes = had.iter().filter(|m| span.contains(m)).map(|&minute| (minute, price)).collect();
                    quotes.apply(Event::Settled { venue, market: job.market.clone(), span, closes }, now);
                }
            }
            if second % 5 != 0 {
                continue;
            }
            quotes.tick(now);
            for quote in quotes.publish(now).changed {
                based.insert(quote.market.clone(), quote.base(Basis::Rolling24h).is_some());
            }
            let known = based.values().filter(|known| **known).count();
            assert!(known >= (usize::try_from(second).unwrap() * A_SECOND).min(MARKETS), "{known} bases at {second} s");
        }
        filled
    }

    #[test]
    fn three_hundred_markets_have_their_bases_after_a_minute_and_keep_them_while_the_windows_fill() {
        // Eight pages for each, and hardly any twice.
        let filled = three_hundred_markets(true);
        assert!(filled <= 560, "{filled}");
    }

    /// Without a stream the newest minutes are asked for over and over: every other request is for them, and no more.
    #[test]
    fn fc_10_the_newest_minutes_starve_neither_bases_nor_older_holes() {
        let filled = three_hundred_markets(false);
        assert!(filled <= 950, "{filled}");
    }
}
