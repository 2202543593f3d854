//! Prices by REST: the first ones, those of a silent market, and all of them while streaming is down.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Backoff;
use super::connection::Quiet;
use super::liveness::STRIKES_MAX;
use super::question::{self, Answered, Fault, Taken};
use super::shared::Shared;
use super::slot::Order;
use crate::domain::{Lacks, Market, Reason, ReasonCode, Via};

/// How often it is looked at who is due.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The first call waits this long for the list of markets, which spares a refusal where one is not listed.
const LIST_WAIT: Duration = Duration::from_secs(1);

/// Longest wait between polls that fail; shorter than for connections, since a poll costs little.
const RETRY_MAX: Duration = Duration::from_secs(15);

/// Asks for prices until shutdown.
pub async fn run(shared: Arc<Shared>, orders: Vec<mpsc::Sender<Order>>) {
    tokio::join!(ask_together(&shared, orders), ask_apart(&shared));
}

async fn ask_together(shared: &Shared, orders: Vec<mpsc::Sender<Order>>) {
    let mut has_list = shared.has_list.subscribe();
    let _ = tokio::time::timeout(LIST_WAIT, has_list.wait_for(|has| *has)).await;
    let max = shared.settings.backoff_max.min(RETRY_MAX);
    let mut backoff = Backoff::new(shared.settings.poll_every.min(max), max);
    let mut retry_at = Duration::ZERO;
    loop {
        strike(shared, &orders);
        let listed = shared.listed.borrow().clone();
        let due = shared.liveness().due(&listed, shared.now());
        if shared.now() >= retry_at {
            let poll = fetch(shared, &due.poll, poll_via(shared)).await;
            let check = fetch(shared, &due.check, Via::Check).await;
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

/// Asks for the markets that were refused, left out, unreadable or late, one at a time, while the others are asked for together.
async fn ask_apart(shared: &Shared) {
    loop {
        let listed = shared.listed.borrow().clone();
        let due = shared.liveness().due_apart(&listed, shared.now());
        for (market, is_polled) in due {
            let via = if is_polled { poll_via(shared) } else { Via::Check };
            shared.liveness().asked(std::slice::from_ref(&market), shared.now());
            match call(shared, vec![market.clone()], via).await {
                Ok(Answered { left_out, .. }) if left_out.is_empty() => shared.liveness().rejoin(&market),
                Ok(_) => set_apart(shared, &market, &question::left_out()),
                Err(Fault::Question(reason)) => set_apart(shared, &market, &reason),
                // Told by those who ask for the others.
                Err(Fault::Host(_)) => break,
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
    let together = shared.liveness().together(markets);
    let (streamed, polled): (Vec<_>, Vec<_>) =
        together.into_iter().partition(|market| shared.liveness().is_streamed(market));
    let asked = async {
        let told = fetch(shared, &streamed, Via::Check).await?;
        match fetch(shared, &polled, poll_via(shared)).await {
            Ok(more) => Ok((told + more, true)),
            // The poller logs it; it says nothing about the connection, whose other markets are answered for.
            Err(_) if told > 0 => Ok((told, false)),
            Err(reason) => Err(reason),
        }
    };
    let complete = match asked.await {
        Err(reason) => {
            shared.rest_failed("prices", &reason);
            let message = format!("the stream is open and silent, and nobody can say why: {reason}");
            return Quiet::No(Reason::new(ReasonCode::Silent, message));
        }
        Ok((0, _)) => {
            let message = "the stream is open and silent, and the exchange can't be asked otherwise";
            return Quiet::No(Reason::new(ReasonCode::Silent, message));
        }
        Ok((_, complete)) => complete,
    };
    if shared.liveness().missed(markets).is_none() {
        // Another connection may just have subscribed to the same markets, which resets what this one has missed; or REST
        // did not answer for some of them. That neither ends this connection nor lets it replace another.
        let measured = shared.liveness().is_measured(markets, shared.settings.first_message / 2, shared.now());
        return if measured && complete { Quiet::Yes } else { Quiet::Unknown };
    }
    // The trade may be on its way.
    tokio::time::sleep(shared.settings.lag_grace).await;
    shared.liveness().missed(markets).map_or(Quiet::Unknown, missed)
}

/// Fetches and passes on tickers; returns how many markets told of a price.
pub async fn fetch(shared: &Shared, markets: &[Market], via: Via) -> Result<usize, Reason> {
    let mut told = 0;
    for batch in markets.chunks(shared.venue.profile().markets_per_request.max(1)) {
        told += fetch_batch(shared, batch, via).await?;
    }
    Ok(told)
}

/// Fetches a batch, taken apart where it must be.
async fn fetch_batch(shared: &Shared, batch: &[Market], via: Via) -> Result<usize, Reason> {
    shared.liveness().asked(batch, shared.now());
    // Nothing of most markets, or of as many as go into one request, is the host's failure.
    let most =
        batch.len() * 2 > shared.listed.borrow().len() || batch.len() >= shared.venue.profile().markets_per_request;
    let taken = question::take_apart(batch, most, |part| call(shared, part, via)).await;
    let Taken { values, culprits, open: _ } = taken.inspect_err(|reason| shared.http.host_failed(reason))?;
    for (market, reason) in culprits {
        set_apart(shared, &market, &reason);
    }
    Ok(values.into_iter().sum())
}

fn set_apart(shared: &Shared, market: &Market, reason: &Reason) {
    shared.liveness().set_apart(market, shared.now());
    shared.market_failed(market, Lacks::Price, reason);
}

/// Asks for tickers and passes them on; the value is how many markets told of a price that can be used.
async fn call(shared: &Shared, markets: Vec<Market>, via: Via) -> Result<Answered<usize>, Fault> {
    let Some(tickers) = question::tickers(shared, markets).await else {
        return Ok(Answered { value: 0, left_out: Vec::new() });
    };
    let Answered { value: (records, asked), left_out } = tickers?;
    Ok(Answered { value: shared.deliver(records, via, Some(asked)).len(), left_out })
}

/// What to say when REST finds a trade that the stream did not tell of.
fn missed(market: &Market) -> Quiet {
    let message = format!("the stream is open and did not tell of a trade in {market} in time");
    Quiet::No(Reason::new(ReasonCode::Silent, message))
}
