//! Prices by REST: the first ones, those of a silent market, and all of them while streaming is down.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Backoff;
use super::connection::Quiet;
use super::http::CallError;
use super::liveness::STRIKES_MAX;
use super::pace::Priority;
use super::shared::Shared;
use super::slot::Order;
use crate::domain::{Market, Reason, ReasonCode, Via};
use crate::venue::{Answer, Ask, ParseError};

/// How often it is looked at who is due.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The first call waits this long for the list of markets, which spares a refusal where one is not listed.
const LIST_WAIT: Duration = Duration::from_secs(1);

/// Longest wait between polls that fail; shorter than for connections, since a poll costs little.
const RETRY_MAX: Duration = Duration::from_secs(15);

/// A market refused when asked for alone is left alone for this long: it may have been the moment.
const DOUBTFUL_RETRY: Duration = Duration::from_secs(10);

/// Calls spent on finding out which markets of a refused batch are at fault.
const BISECTIONS_MAX: usize = 32;

/// Asks for prices until shutdown.
pub async fn run(shared: Arc<Shared>, orders: Vec<mpsc::Sender<Order>>) {
    let mut has_list = shared.has_list.subscribe();
    let _ = tokio::time::timeout(LIST_WAIT, has_list.wait_for(|has| *has)).await;
    let max = shared.settings.backoff_max.min(RETRY_MAX);
    let mut backoff = Backoff::new(shared.settings.poll_every.min(max), max);
    let mut retry_at = Duration::ZERO;
    loop {
        strike(&shared, &orders);
        let listed = shared.listed.borrow().clone();
        let due = shared.liveness().due(&listed, shared.now());
        if shared.now() >= retry_at {
            let poll = fetch(&shared, &due.poll, poll_via(&shared), Priority::Price).await;
            let check = fetch(&shared, &due.check, Via::Check, Priority::Price).await;
            match poll.and(check) {
                Err(reason) => {
                    shared.rest_failed("prices", &reason);
                    retry_at = shared.now() + backoff.after_failure();
                }
                Ok(asked) if asked > 0 => backoff.reset(),
                Ok(_) => {}
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Before streaming has failed, a fetched price is as good as a streamed one.
pub fn poll_via(shared: &Shared) -> Via {
    let failed = shared.health().stream_reason.is_some();
    let any_up = (0..shared.slots.len()).any(|slot| shared.liveness().all_up(&[slot]));
    if shared.settings.stream_enabled && !failed && !any_up { Via::Check } else { Via::Poll }
}

/// Orders what is to be done about markets whose stream has died.
fn strike(shared: &Shared, orders: &[mpsc::Sender<Order>]) {
    let struck = shared.liveness().strike(shared.now());
    for (market, slot, strikes) in struck {
        shared.health().count("missed-trade", 1);
        let message = format!("the stream did not tell of a trade in {market}, which REST did");
        shared.log("stream", &Reason::new(ReasonCode::Silent, message));
        let order = if strikes == STRIKES_MAX {
            Order::Replace(format!("the stream of {market} stays dead"))
        } else {
            Order::Resubscribe(vec![market])
        };
        // Full means that the slot has such orders to do; the market is found again.
        if let Some(orders) = orders.get(slot) {
            let _ = orders.try_send(order);
        }
    }
}

/// Asks whether a connection's markets are quiet, or it is dead.
pub async fn verify(shared: &Shared, markets: &[Market]) -> Quiet {
    match fetch(shared, markets, Via::Check, Priority::Price).await {
        Err(reason) => {
            shared.rest_failed("prices", &reason);
            let message = format!("the stream is open and silent, and nobody can say why: {reason}");
            return Quiet::No(Reason::new(ReasonCode::Silent, message));
        }
        Ok(0) => {
            let message = "the stream is open and silent, and the exchange can't be asked otherwise";
            return Quiet::No(Reason::new(ReasonCode::Silent, message));
        }
        Ok(_) => {}
    }
    if shared.liveness().missed(markets).is_none() {
        return Quiet::Yes;
    }
    // The trade may be on its way.
    tokio::time::sleep(shared.settings.lag_grace).await;
    shared.liveness().missed(markets).map_or(Quiet::Yes, missed)
}

/// Fetches and passes on tickers; returns how many markets answered.
///
/// A call that is refused is taken apart, so that one bad symbol spoils only itself.
pub async fn fetch(shared: &Shared, markets: &[Market], via: Via, priority: Priority) -> Result<usize, Reason> {
    let mut told = 0;
    for chunk in markets.chunks(shared.venue.profile().markets_per_request.max(1)) {
        told += fetch_batch(shared, chunk, via, priority).await?;
    }
    Ok(told)
}

async fn fetch_batch(shared: &Shared, batch: &[Market], via: Via, priority: Priority) -> Result<usize, Reason> {
    shared.liveness().asked(batch, shared.now());
    let (mut told, mut answered, mut culprits) = (0, false, Vec::new());
    let mut parts = vec![batch];
    for _ in 0..BISECTIONS_MAX {
        let Some(part) = parts.pop() else { break };
        match call(shared, part, via, priority).await {
            Ok(markets) => (told, answered) = (told + markets, true),
            Err(Failure::Refused(reason)) => match part {
                [market] => culprits.push((market, reason)),
                _ => {
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.extend([right, left]);
                }
            },
            Err(Failure::Call(reason)) => return Err(reason),
        }
    }
    if !answered {
        // Then it may not be the symbols.
        if let [market] = batch {
            shared.liveness().refused(market, shared.now() + shared.settings.refused_retry.min(DOUBTFUL_RETRY));
        }
        return Err(culprits.pop().map_or_else(nothing, |(_, reason)| reason));
    }
    let until = shared.now() + shared.settings.refused_retry;
    for (market, reason) in culprits {
        shared.liveness().refused(market, until);
        shared.reject("refused-market", &format!("{market}: {reason}"));
    }
    Ok(told)
}

fn nothing() -> Reason {
    Reason::new(ReasonCode::Refused, "the exchange refused every part of a ticker request")
}

enum Failure {
    /// The question was refused: a smaller one may not be.
    Refused(Reason),
    Call(Reason),
}

async fn call(shared: &Shared, markets: &[Market], via: Via, priority: Priority) -> Result<usize, Failure> {
    let ask = Ask::Tickers(markets);
    let Some(request) = shared.venue.ask(&ask) else { return Ok(0) };
    let body = match shared.http.get(&request, priority).await {
        Ok(body) => body,
        Err(error) => return Err(judge(shared, &ask, error)),
    };
    body.check_age().map_err(Failure::Call)?;
    match shared.venue.answer(&ask, &body.text) {
        Ok(Answer::Tickers(records)) => {
            shared.rest_worked(body.dated);
            Ok(shared.deliver(records, via, Some(body.asked)).len())
        }
        Ok(_) => Err(Failure::Call(Reason::new(ReasonCode::Payload, "the answer is not one of tickers"))),
        Err(error) => Err(unreadable(&error)),
    }
}

/// A refusal in the venue's own words is one of the question; anything else is a failure of the call.
fn judge(shared: &Shared, ask: &Ask<'_>, error: CallError) -> Failure {
    let question = matches!(error.reason.code, ReasonCode::Http | ReasonCode::Retired);
    let words = error.body.filter(|_| question).and_then(|body| shared.venue.answer(ask, &body).err());
    match words {
        Some(refused @ ParseError::Refused { .. }) => unreadable(&refused),
        _ => Failure::Call(error.reason),
    }
}

fn unreadable(error: &ParseError) -> Failure {
    let text = super::decode::quoted(&error.to_string());
    match error {
        ParseError::Refused { .. } => Failure::Refused(Reason::new(ReasonCode::Refused, text)),
        ParseError::Payload(_) => Failure::Call(Reason::new(ReasonCode::Payload, text)),
    }
}

/// What to say when REST finds a trade that the stream did not tell of.
fn missed(market: &Market) -> Quiet {
    Quiet::No(Reason::new(ReasonCode::Silent, format!("the stream is open and did not tell of a trade in {market}")))
}
