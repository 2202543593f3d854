//! Minute closes by REST, for the stretches that the board does not know.
//!
//! One request at a time, the most urgent first, and always behind prices.
//! A request that fails is made again later; one that finds nothing is not
//! made again for a while.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::Backoff;
use super::pace::Priority;
use super::shared::Shared;
use crate::domain::{Candle, Event, Gap, Market, Minute, Reason, ReasonCode, Urgency};
use crate::venue::{Answer, Ask};

/// Most stretches that wait; the board asks again for what was dropped.
const JOBS_MAX: usize = 4096;

/// A minute is asked for when it has been over for this long by our clock.
const SETTLE_AFTER: SignedDuration = SignedDuration::from_secs(5);

/// What was not over is asked for again after this long.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Longest sleep while nothing is due.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Job {
    urgency: Urgency,
    market: Market,
    span: Range<Minute>,
    not_before: Duration,
}

/// What waits, and what need not be asked.
#[derive(Debug, Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// Markets without candles before a minute, until when that is believed.
    barren: BTreeMap<Market, (Minute, Duration)>,
}

impl Jobs {
    fn add(&mut self, job: Job, now: Duration) {
        let barren = |(end, until): &(Minute, Duration)| now < *until && job.span.end <= end.plus(10);
        if job.span.start >= job.span.end || self.barren.get(&job.market).is_some_and(barren) {
            return;
        }
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

    /// Takes the most urgent job that is due; among equals the one that came first.
    fn take(&mut self, now: Duration, over: Minute) -> Option<Job> {
        let due = |job: &Job| job.not_before <= now && job.span.start < over;
        let indices = (0..self.waiting.len()).filter(|&at| due(&self.waiting[at]));
        let at = indices.min_by_key(|&at| self.waiting[at].urgency)?;
        self.waiting.remove(at)
    }
}

/// Fills gaps until shutdown, or for as long as the board may ask.
pub async fn run(shared: Arc<Shared>, mut gaps: mpsc::Receiver<Gap>) {
    let mut jobs = Jobs::default();
    let mut backoff = Backoff::new(shared.settings.backoff_min, shared.settings.backoff_max);
    let mut resume_at = Duration::ZERO;
    let mut open = true;
    loop {
        let over = Minute::of(shared.there().saturating_sub(SETTLE_AFTER).unwrap_or_default());
        let job = if shared.now() >= resume_at { jobs.take(shared.now(), over) } else { None };
        let Some(job) = job else {
            tokio::select! {
                gap = gaps.recv(), if open => match gap {
                    Some(gap) => accept(&mut jobs, gap, shared.now()),
                    None => open = false,
                },
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            continue;
        };
        let mut asking = Box::pin(ask(&shared, &job, over));
        let answer = loop {
            tokio::select! {
                answer = &mut asking => break answer,
                Some(gap) = gaps.recv(), if open => accept(&mut jobs, gap, shared.now()),
            }
        };
        drop(asking);
        match answer {
            Ok(Some((candles, date))) => {
                backoff.reset();
                // By the date of the answer: what we think of the venue's clock may be wrong.
                let over = over.min(date.map_or(over, Minute::of));
                settle(&shared, &mut jobs, job, over, candles).await;
            }
            Ok(None) => {}
            Err(reason) => {
                shared.log("candles", &reason);
                let held = shared.http.held().map_or(Duration::ZERO, |(left, _)| left);
                resume_at = shared.now() + held + backoff.after_failure();
                jobs.add(job, shared.now());
            }
        }
    }
}

fn accept(jobs: &mut Jobs, gap: Gap, now: Duration) {
    let Gap { market, span, urgency, .. } = gap;
    jobs.add(Job { urgency, market, span, not_before: Duration::ZERO }, now);
}

/// Asks for the newest candles of a job, with the date of the answer; `None` where it has no candles.
async fn ask(shared: &Shared, job: &Job, over: Minute) -> Result<Option<(Vec<Candle>, Option<Timestamp>)>, Reason> {
    let end = job.span.end.min(over);
    let length = usize::try_from(end.0 - job.span.start.0).unwrap_or(1);
    let count = match job.urgency {
        Urgency::Base => 1,
        Urgency::Hole | Urgency::Settle => length.clamp(1, shared.venue.profile().candles_per_request.max(1)),
    };
    let ask = Ask::Candles { market: &job.market, end, count };
    let Some(request) = shared.venue.ask(&ask) else { return Ok(None) };
    let body = shared.http.get(&request, Priority::Backfill).await.map_err(|error| error.reason)?;
    match shared.venue.answer(&ask, &body.text) {
        Ok(Answer::Candles(candles)) => Ok(Some((candles, body.dated.map(|dated| dated.date)))),
        Ok(_) => Err(Reason::new(ReasonCode::Payload, "the answer is not one of candles")),
        Err(error) => Err(Reason::new(ReasonCode::Payload, super::decode::quoted(&error.to_string()))),
    }
}

/// Passes on what an answer settles, and leaves the rest of the job waiting.
async fn settle(shared: &Shared, jobs: &mut Jobs, job: Job, over: Minute, candles: Vec<Candle>) {
    let (now, asked) = (shared.now(), job.span.end.min(over));
    let closes: Vec<_> =
        candles.iter().filter(|candle| candle.minute < asked).map(|candle| (candle.minute, candle.close)).collect();
    let Some(&(oldest, _)) = closes.first() else {
        let until = now + shared.settings.refused_retry;
        jobs.barren.retain(|_, (_, until)| now < *until);
        jobs.barren.insert(job.market, (asked, until));
        return;
    };
    // With our clock ahead the rest is not over yet, and asking at once would find the same.
    let later = Job { span: asked..job.span.end, not_before: now + ASK_AGAIN, ..job.clone() };
    let event = Event::Settled { venue: shared.id(), market: job.market.clone(), span: oldest..asked, closes };
    shared.outbox.send(event).await;
    if job.urgency != Urgency::Base {
        jobs.add(Job { span: job.span.start..oldest, ..job }, now);
        jobs.add(later, now);
    }
}
