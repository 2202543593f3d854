//! Sends REST queries to a venue, and attributes failures to the query or to the host.
//!
//! A refused, unreadable or late response may be the fault of the query: it may
//! work for another market. Only failures that no query can avoid (DNS,
//! connection, a ban) count against the host at once; for the others, the
//! caller first queries other markets. That includes 403 and 451: one market
//! may be closed to us, or the whole host.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use rand::seq::SliceRandom;

use super::http::{Body, CallError};
use crate::feed::{Reason, ReasonCode, quoted};
use crate::ingest::context::VenueContext;
use crate::ingest::limits::Priority;
use crate::market::{Market, Now};
use crate::venue::{ParseError, Response, RestQuery, TickerRecord};

/// Maximum number of requests spent on isolating the failing or missing markets of one batch.
const CALLS_MAX: usize = 32;

/// Markets requested alone when a batch gets no usable response, to find out whether the host fails.
const PROBES: usize = 2;

/// Parts that the rest of a late batch is split into; they are requested in parallel.
const PARALLEL_PARTS: usize = 8;

/// Why a query failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryError {
    /// Another query may succeed.
    Query(Reason),
    /// No query can succeed now.
    Host(Reason),
}

impl QueryError {
    fn of(reason: Reason) -> Self {
        match reason.code {
            ReasonCode::Dns | ReasonCode::Connect | ReasonCode::TlsRefused | ReasonCode::RateLimited => {
                Self::Host(reason)
            }
            _ => Self::Query(reason),
        }
    }
}

/// Sends a query; returns `None` if the venue does not support it.
pub async fn send(
    context: &VenueContext,
    query: &RestQuery<'_>,
    priority: Priority,
) -> Option<Result<(Response, Body), QueryError>> {
    let request = context.venue.request(query)?;
    Some(match context.http.call(&request, priority).await {
        Ok(body) => parse(context, query, body),
        Err(error) => {
            let reason = failure_reason(error, |body| context.venue.response(query, body));
            context.http.record_rate_limit(&reason);
            Err(QueryError::of(reason))
        }
    })
}

fn parse(context: &VenueContext, query: &RestQuery<'_>, body: Body) -> Result<(Response, Body), QueryError> {
    body.check_age().map_err(QueryError::Query)?;
    match context.venue.response(query, &body.text) {
        Ok(answer) => Ok((answer, body)),
        Err(error) => {
            let reason = parse_reason(&error);
            context.http.record_rate_limit(&reason);
            Err(QueryError::of(reason))
        }
    }
}

/// Returns the reason of a failed call: the venue's own error, if its response contains one. `parse` parses it.
pub fn failure_reason<T>(error: CallError, parse: impl FnOnce(&str) -> Result<T, ParseError>) -> Reason {
    let may_explain = matches!(error.reason.code, ReasonCode::Http | ReasonCode::Retired);
    match error.body.filter(|_| may_explain).map(|body| parse(&body)) {
        Some(Err(refused @ (ParseError::Refused { .. } | ParseError::RateLimited { .. }))) => parse_reason(&refused),
        _ => error.reason,
    }
}

/// Returns the reason for a response that can't be used.
pub fn parse_reason(error: &ParseError) -> Reason {
    let code = match error {
        ParseError::Refused { .. } => ReasonCode::Refused,
        ParseError::RateLimited { .. } => ReasonCode::RateLimited,
        ParseError::Payload(_) => ReasonCode::Payload,
    };
    Reason::new(code, quoted(&error.to_string()))
}

/// The response to a query for several markets.
pub struct PartialResponse<T> {
    pub value: T,
    /// The markets without a row in the response.
    pub missing: Vec<Market>,
}

/// The result of a batch query, which may have been split.
pub struct BatchResult<T> {
    /// The value of each response.
    pub values: Vec<T>,
    /// The markets without a usable response, and why.
    pub failed: Vec<(Market, Reason)>,
    /// The markets for which this was not determined.
    pub undetermined: Vec<Market>,
}

/// Queries a batch of markets.
///
/// Markets missing from a response are requested again in a smaller request; a request without a usable response
/// is split. So a market that is refused, missing, unreadable or late affects no other. Once a response is late,
/// the parts are requested in parallel: one after the other, healthy markets would go stale meanwhile.
///
/// # Errors
/// The reason why the host fails. If the batch is most of what can be requested (`is_most`), the host also counts as
/// failing when none of the markets gets a response.
pub async fn query_batch<T, F>(
    batch: &[Market],
    is_most: bool,
    mut call: impl FnMut(Vec<Market>) -> F,
) -> Result<BatchResult<T>, Reason>
where
    F: Future<Output = Result<PartialResponse<T>, QueryError>>,
{
    let (mut values, mut answered) = (Vec::new(), 0);
    let mut failed: Vec<(Market, Reason)> = Vec::new();
    let mut parts = vec![batch.to_vec()];
    let (mut calls, mut is_late) = (0, false);
    while !parts.is_empty() && calls < CALLS_MAX {
        let in_parallel = if is_late { CALLS_MAX - calls } else { 1 };
        let requested = parts.split_off(parts.len().saturating_sub(in_parallel));
        let is_first = calls == 0;
        calls += requested.len();
        let answers = join_all(requested.iter().map(|part| call(part.clone()))).await;
        for (part, answer) in requested.into_iter().zip(answers) {
            let reason = match answer {
                Ok(PartialResponse { value, missing }) => {
                    values.push(value);
                    answered += part.len() - missing.len();
                    match missing.len() {
                        0 => continue,
                        left if left < part.len() => {
                            parts.push(missing);
                            continue;
                        }
                        // Missing again from a request for nothing else: the length of the request is no cause.
                        _ if answered > 0 => {
                            failed.extend(missing.into_iter().map(|market| (market, unanswered_reason())));
                            continue;
                        }
                        _ => unanswered_reason(),
                    }
                }
                Err(QueryError::Query(reason)) => reason,
                Err(QueryError::Host(reason)) => return Err(reason),
            };
            is_late |= reason.code == ReasonCode::Timeout;
            if let [market] = part.as_slice() {
                failed.push((market.clone(), reason));
                continue;
            }
            parts.extend(split(part, is_first, is_late));
        }
        // One probe may be the failing market. If no market gets a response, the host probably fails, so no more is
        // requested; but a few markets that are all refused may just be wrong names.
        let all_refused = !is_most && failed.iter().all(|(_, reason)| is_refusal(reason));
        if answered == 0 && failed.len() >= PROBES && !all_refused {
            break;
        }
    }
    match failed.pop() {
        Some((_, reason)) if answered == 0 && is_most => return Err(reason),
        last => failed.extend(last),
    }
    Ok(BatchResult { values, failed, undetermined: parts.into_iter().flatten().collect() })
}

/// Splits a batch (`is_first`), or a part of it, without a usable response; the part to request next is last.
fn split(mut part: Vec<Market>, is_first: bool, is_late: bool) -> Vec<Vec<Market>> {
    let mut probes = Vec::new();
    if is_first {
        part.shuffle(&mut rand::rng());
        probes = part.split_off(part.len().saturating_sub(PROBES));
    }
    let count = match (is_first, is_late) {
        (true, true) => PARALLEL_PARTS,
        (false, true) => part.len(),
        (true, false) => 1,
        (false, false) => 2,
    };
    let rest = part.chunks(part.len().div_ceil(count.max(1)).max(1)).rev().map(<[Market]>::to_vec);
    rest.chain(probes.into_iter().map(|market| vec![market])).collect()
}

/// Returns whether the reason means that there is no such market.
pub fn is_refusal(reason: &Reason) -> bool {
    matches!(reason.code, ReasonCode::Refused | ReasonCode::Retired | ReasonCode::Unanswered)
}

/// Returns the reason for a market that is missing from a response.
pub fn unanswered_reason() -> Reason {
    Reason::new(ReasonCode::Unanswered, "the response does not include this market")
}

/// Requests tickers; the value is their records and the request time. `None` if the venue does not support it.
pub async fn query_tickers(
    context: &VenueContext,
    markets: Vec<Market>,
) -> Option<Result<PartialResponse<(Vec<TickerRecord>, Now)>, QueryError>> {
    let mut answer = send(context, &RestQuery::Tickers(&markets), Priority::Price).await?;
    // The first date disagrees with our clock, which may be wrong: a second one decides.
    if answer.as_ref().is_ok_and(|(_, body)| context.needs_second_date(body.clock_sample)) {
        answer = send(context, &RestQuery::Tickers(&markets), Priority::Price).await?;
    }
    let (records, body) = match answer {
        Ok((Response::Tickers(records), body)) => (records, body),
        Ok(_) => {
            let reason = Reason::new(ReasonCode::Payload, "unexpected response; expected tickers");
            return Some(Err(QueryError::Query(reason)));
        }
        Err(error) => return Some(Err(error)),
    };
    let missing = missing_markets(context, &markets, records.iter().map(|record| record.symbol.as_str()));
    if missing.len() < markets.len() {
        context.rest_succeeded(body.clock_sample);
    }
    Some(Ok(PartialResponse { value: (records, body.requested_at), missing }))
}

/// Returns those of `markets` whose symbol is not among `symbols`.
pub fn missing_markets<'a>(
    context: &VenueContext,
    markets: &[Market],
    symbols: impl Iterator<Item = &'a str>,
) -> Vec<Market> {
    let present: BTreeSet<&str> = symbols.collect();
    markets.iter().filter(|market| !present.contains(context.venue.symbol(market).as_str())).cloned().collect()
}
