//! Prices by REST: the first ones, those of silent markets, those that the board wants confirmed, and all of them
//! while streaming is down.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::context::VenueContext;
use super::limits::Backoff;
use super::liveness::STRIKES_MAX;
use super::rest::rest_query::{self, BatchResult, PartialResponse, QueryError};
use super::stream::connection::{Command, ManagerCommand, SilenceVerdict};
use crate::feed::{MissingPart, Reason, ReasonCode, Via};
use crate::market::Market;

/// Interval between two checks for markets that are due.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The first request waits this long for the market list, to avoid a refusal because of an unlisted market.
const LIST_WAIT: Duration = Duration::from_secs(1);

/// Longest wait between failing polls; shorter than for connections, since a poll is cheap.
const RETRY_MAX: Duration = Duration::from_secs(15);

/// Polls prices until shutdown.
///
/// `commands` reaches the manager of the connection with that index.
pub async fn run(context: Arc<VenueContext>, commands: mpsc::Sender<(usize, ManagerCommand)>) {
    tokio::join!(poll_batches(&context, commands), poll_isolated(&context));
}

async fn poll_batches(context: &VenueContext, commands: mpsc::Sender<(usize, ManagerCommand)>) {
    let mut markets = context.markets.subscribe();
    let _ = tokio::time::timeout(LIST_WAIT, markets.wait_for(|markets| markets.has_list())).await;
    let max = context.settings.backoff_max.min(RETRY_MAX);
    let mut backoff = Backoff::new(context.settings.poll_every.min(max), max);
    let mut retry_at = Duration::ZERO;
    loop {
        resubscribe_where_needed(context, &commands);
        let markets = context.markets();
        let due = context.liveness().due(&markets.listed, context.now());
        if context.now() >= retry_at {
            let poll = fetch_prices(context, &due.poll, poll_via(context)).await;
            let check = fetch_prices(context, &due.check, Via::Check).await;
            match poll.and(check) {
                Err(reason) => {
                    context.rest_failed("prices", &reason);
                    retry_at = context.now() + backoff.after_failure();
                }
                Ok(priced) if priced > 0 => backoff.reset(),
                Ok(_) => {}
            }
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

/// Requests the isolated markets (refused, missing, unreadable or late) one at a time, in parallel with the batches.
async fn poll_isolated(context: &VenueContext) {
    loop {
        let markets = context.markets();
        let due = context.liveness().due_isolated(&markets.listed, context.now());
        for (market, is_polled) in due {
            let via = if is_polled { poll_via(context) } else { Via::Check };
            context.liveness().record_request(std::slice::from_ref(&market), context.now());
            match fetch_part(context, vec![market.clone()], via).await {
                Ok(PartialResponse { missing, .. }) if missing.is_empty() => context.liveness().end_isolation(&market),
                Ok(_) => isolate(context, &market, &rest_query::unanswered_reason()),
                Err(QueryError::Query(reason)) => isolate(context, &market, &reason),
                // Reported by the batch requests.
                Err(QueryError::Host(_)) => break,
            }
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

/// Fetches the markets whose price the board wants confirmed immediately, until shutdown; those queued at
/// the same time are fetched together, streamed and polled ones separately.
///
/// A failed request is not repeated here: the board sends it again as long as it needs the price.
pub async fn run_checks(context: Arc<VenueContext>, mut markets: mpsc::Receiver<Market>) {
    while let Some(first) = markets.recv().await {
        let mut due = BTreeSet::from([first]);
        while let Ok(next) = markets.try_recv() {
            due.insert(next);
        }
        due.retain(|market| context.is_wanted(market));
        let is_streamed = |market: &Market| context.liveness().is_streamed(market);
        let (streamed, polled): (Vec<_>, Vec<_>) = due.into_iter().partition(is_streamed);
        for (markets, via) in [(streamed, Via::Check), (polled, poll_via(&context))] {
            if let Err(reason) = fetch_prices(&context, &markets, via).await {
                context.rest_failed("prices", &reason);
            }
        }
    }
    // The board has closed its channel: the program is about to end.
    std::future::pending().await
}

/// Returns how to mark fetched prices: until streaming has failed once, they are as good as streamed ones.
pub fn poll_via(context: &VenueContext) -> Via {
    let failed = context.health().stream_failure.is_some();
    if context.settings.stream_enabled && !failed && !context.liveness().any_up() { Via::Check } else { Via::Poll }
}

/// Commands connections to subscribe again to markets whose stream is dead, or was refused long ago; or to be replaced.
fn resubscribe_where_needed(context: &VenueContext, commands: &mpsc::Sender<(usize, ManagerCommand)>) {
    let dead = context.liveness().mark_dead(context.now());
    for (market, connection, strikes) in dead {
        context.health().count("missed-trade", 1);
        let message = format!("the stream missed a trade in {market} that REST reported");
        context.log_failure("stream", &Reason::new(ReasonCode::Silent, message));
        let command = if strikes == STRIKES_MAX {
            ManagerCommand::Replace(format!("the stream of {market} is still dead after resubscribing"))
        } else {
            ManagerCommand::Forward(Command::Resubscribe(vec![market]))
        };
        // A full queue already holds such commands; the market will be found again.
        let _ = commands.try_send((connection, command));
    }
    let refused = context.liveness().take_due_refused(&context.markets().listed, context.now());
    for (connection, markets) in refused {
        let _ = commands.try_send((connection, ManagerCommand::Forward(Command::RetryRefused(markets))));
    }
}

/// Checks by REST whether the markets of a silent connection are quiet, or the connection is dead.
pub async fn verify_silence(context: &VenueContext, markets: &[Market]) -> SilenceVerdict {
    if context.liveness().all_refused(markets) {
        let message = "the exchange refused to stream every market of the connection";
        return SilenceVerdict::Dead(Reason::new(ReasonCode::Refused, message));
    }
    let batched = context.liveness().not_isolated(markets);
    let (streamed, polled): (Vec<_>, Vec<_>) =
        batched.into_iter().partition(|market| context.liveness().is_streamed(market));
    let check = async {
        let count = fetch_prices(context, &streamed, Via::Check).await?;
        match fetch_prices(context, &polled, poll_via(context)).await {
            Ok(polled_count) => Ok((count + polled_count, true)),
            // The poller logs it. It is no evidence against the connection: its other markets got a response.
            Err(_) if count > 0 => Ok((count, false)),
            Err(reason) => Err(reason),
        }
    };
    let complete = match check.await {
        Ok((count, complete)) if count > 0 => complete,
        // What was requested is not wanted any more: its failure is no evidence.
        _ if !markets.iter().all(|market| context.is_wanted(market)) => return SilenceVerdict::Unknown,
        Err(reason) => {
            context.rest_failed("prices", &reason);
            let message = format!("no data on the open stream, and the REST check failed: {reason}");
            return SilenceVerdict::Dead(Reason::new(ReasonCode::Silent, message));
        }
        Ok(_) => {
            let message = "no data on the open stream, and the REST check returned no prices";
            return SilenceVerdict::Dead(Reason::new(ReasonCode::Silent, message));
        }
    };
    if context.liveness().first_missed(markets).is_none() {
        // Another connection may just have subscribed to the same markets, which resets what this one missed; or
        // REST had no response for some of them. That neither ends this connection nor lets it replace another.
        let watched = context.liveness().is_watched_for(markets, context.settings.first_message / 2, context.now());
        return if watched && complete { SilenceVerdict::Quiet } else { SilenceVerdict::Unknown };
    }
    // The trade may be in transit.
    tokio::time::sleep(context.settings.lag_grace).await;
    context.liveness().first_missed(markets).map_or(SilenceVerdict::Unknown, missed_trade)
}

/// Fetches and publishes tickers; returns how many markets got a usable price.
pub async fn fetch_prices(context: &VenueContext, markets: &[Market], via: Via) -> Result<usize, Reason> {
    let mut count = 0;
    for batch in markets.chunks(context.venue.profile().markets_per_request.max(1)) {
        count += fetch_batch(context, batch, via).await?;
    }
    Ok(count)
}

/// Fetches one batch, splitting it where necessary.
async fn fetch_batch(context: &VenueContext, batch: &[Market], via: Via) -> Result<usize, Reason> {
    context.liveness().record_request(batch, context.now());
    // If most markets, or as many as fit into one request, get no response, that is a failure of the host.
    let is_most = batch.len() * 2 > context.markets.borrow().listed.len()
        || batch.len() >= context.venue.profile().markets_per_request;
    let result = rest_query::query_batch(batch, is_most, |part| fetch_part(context, part, via)).await;
    let BatchResult { values, failed, undetermined: _ } =
        result.inspect_err(|reason| context.http.record_host_failure(reason))?;
    for (market, reason) in failed {
        isolate(context, &market, &reason);
    }
    Ok(values.into_iter().sum())
}

fn isolate(context: &VenueContext, market: &Market, reason: &Reason) {
    context.liveness().isolate(market, context.now());
    context.market_failed(market, MissingPart::Price, reason);
}

/// Requests and publishes tickers; the value is the number of markets that got a usable price.
async fn fetch_part(
    context: &VenueContext,
    markets: Vec<Market>,
    via: Via,
) -> Result<PartialResponse<usize>, QueryError> {
    let Some(tickers) = rest_query::query_tickers(context, markets).await else {
        return Ok(PartialResponse { value: 0, missing: Vec::new() });
    };
    let PartialResponse { value: (records, requested), missing } = tickers?;
    Ok(PartialResponse { value: context.deliver(records, via, Some(requested)).len(), missing })
}

/// Returns the verdict for a trade that REST reported and the stream missed.
fn missed_trade(market: &Market) -> SilenceVerdict {
    let message = format!("the open stream did not deliver a trade in {market} in time");
    SilenceVerdict::Dead(Reason::new(ReasonCode::Silent, message))
}
