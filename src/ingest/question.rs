//! One question to a venue by REST, and whose fault it is when it brings nothing.
//!
//! An answer that is refused, unreadable or late may be the question's fault:
//! another market may be answered. Only what no question could have avoided (no
//! name, no connection, a ban) is the host's at once; for the rest the caller
//! asks about other markets before it says so. That goes for "not served here"
//! (403, 451) too: one market may be closed to us, as well as the host.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use rand::seq::SliceRandom;

use super::decode::quoted;
use super::http::{Body, CallError};
use super::pace::Priority;
use super::shared::Shared;
use crate::domain::{Market, Now, Reason, ReasonCode};
use crate::venue::{Answer, Ask, ParseError, Record};

/// Calls spent on finding out which markets of a batch are at fault, or were left out.
const CALLS_MAX: usize = 32;

/// Markets asked for alone when a batch brings nothing, to see whether it is the host that fails.
const WITNESSES: usize = 2;

/// Parts that the rest of a batch is split into when it is late, which are asked for at the same time.
const LATE_PARTS: usize = 8;

/// Why a question brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Another question may be answered.
    Question(Reason),
    /// No question is answered now.
    Host(Reason),
}

impl Fault {
    fn of(reason: Reason) -> Self {
        match reason.code {
            ReasonCode::Dns | ReasonCode::Connect | ReasonCode::TlsRefused | ReasonCode::RateLimited => {
                Self::Host(reason)
            }
            _ => Self::Question(reason),
        }
    }
}

/// Asks; `None` where the venue can't be asked that.
pub async fn put(shared: &Shared, ask: &Ask<'_>, priority: Priority) -> Option<Result<(Answer, Body), Fault>> {
    let request = shared.venue.ask(ask)?;
    Some(match shared.http.get(&request, priority).await {
        Ok(body) => read(shared, ask, body),
        Err(error) => Err(Fault::of(in_its_words(shared, ask, error))),
    })
}

fn read(shared: &Shared, ask: &Ask<'_>, body: Body) -> Result<(Answer, Body), Fault> {
    body.check_age().map_err(Fault::Question)?;
    match shared.venue.answer(ask, &body.text) {
        Ok(answer) => Ok((answer, body)),
        Err(error) => Err(Fault::Question(reason(&error))),
    }
}

/// A refusal is told in the venue's own words, where it has any.
fn in_its_words(shared: &Shared, ask: &Ask<'_>, error: CallError) -> Reason {
    let may_be_ours = matches!(error.reason.code, ReasonCode::Http | ReasonCode::Retired);
    let words = error.body.filter(|_| may_be_ours).and_then(|body| shared.venue.answer(ask, &body).err());
    match words {
        Some(refused @ ParseError::Refused { .. }) => reason(&refused),
        _ => error.reason,
    }
}

fn reason(error: &ParseError) -> Reason {
    let code = match error {
        ParseError::Refused { .. } => ReasonCode::Refused,
        ParseError::Payload(_) => ReasonCode::Payload,
    };
    Reason::new(code, quoted(&error.to_string()))
}

/// What a request about several markets brought.
pub struct Answered<T> {
    pub value: T,
    /// The markets of which there was no row at all.
    pub left_out: Vec<Market>,
}

/// What a batch brought that may have been taken apart.
pub struct Taken<T> {
    /// Of each answer.
    pub values: Vec<T>,
    /// The markets that nothing was answered for, and why.
    pub culprits: Vec<(Market, Reason)>,
    /// The markets of which that was not found out.
    pub open: Vec<Market>,
}

/// Asks for a batch. Markets that an answer leaves out are asked for again in a smaller request; a request that brings
/// nothing is taken apart. So a market that is refused, left out, unreadable or late spoils only itself. While answers are
/// late, the parts are asked for at the same time: one after the other, healthy markets would go stale meanwhile.
///
/// # Errors
/// Why the host answers nothing; also if no market of a batch is answered for that is `most` of what can be asked for.
pub async fn take_apart<T, F>(
    batch: &[Market],
    most: bool,
    mut call: impl FnMut(Vec<Market>) -> F,
) -> Result<Taken<T>, Reason>
where
    F: Future<Output = Result<Answered<T>, Fault>>,
{
    let (mut values, mut answered) = (Vec::new(), 0);
    let mut culprits: Vec<(Market, Reason)> = Vec::new();
    let mut parts = vec![batch.to_vec()];
    let (mut calls, mut is_late) = (0, false);
    while !parts.is_empty() && calls < CALLS_MAX {
        let at_once = if is_late { CALLS_MAX - calls } else { 1 };
        let asked = parts.split_off(parts.len().saturating_sub(at_once));
        let is_first = calls == 0;
        calls += asked.len();
        let answers = join_all(asked.iter().map(|part| call(part.clone()))).await;
        for (part, answer) in asked.into_iter().zip(answers) {
            let reason = match answer {
                Ok(Answered { value, left_out }) => {
                    values.push(value);
                    answered += part.len() - left_out.len();
                    match left_out.len() {
                        0 => continue,
                        left if left < part.len() => {
                            parts.push(left_out);
                            continue;
                        }
                        // It was left out before, and nothing else was asked for: so it is not the length of the request.
                        _ if answered > 0 => {
                            culprits.extend(left_out.into_iter().map(|market| (market, self::left_out())));
                            continue;
                        }
                        _ => self::left_out(),
                    }
                }
                Err(Fault::Question(reason)) => reason,
                Err(Fault::Host(reason)) => return Err(reason),
            };
            is_late |= reason.code == ReasonCode::Timeout;
            if let [market] = part.as_slice() {
                culprits.push((market.clone(), reason));
                continue;
            }
            parts.extend(split(part, is_first, is_late));
        }
        // One witness may be the culprit; if none is answered, it is the host, unless it refuses a few that may be wrong.
        let refused = !most && culprits.iter().all(|(_, reason)| is_refusal(reason));
        if answered == 0 && culprits.len() >= WITNESSES && !refused {
            break;
        }
    }
    match culprits.pop() {
        Some((_, reason)) if answered == 0 && most => return Err(reason),
        last => culprits.extend(last),
    }
    Ok(Taken { values, culprits, open: parts.into_iter().flatten().collect() })
}

/// Splits a batch (`is_first`) or a part of it that brought nothing; what is to be asked for next stands last.
fn split(mut part: Vec<Market>, is_first: bool, is_late: bool) -> Vec<Vec<Market>> {
    let mut witnesses = Vec::new();
    if is_first {
        part.shuffle(&mut rand::rng());
        witnesses = part.split_off(part.len().saturating_sub(WITNESSES));
    }
    let count = match (is_first, is_late) {
        (true, true) => LATE_PARTS,
        (false, true) => part.len(),
        (true, false) => 1,
        (false, false) => 2,
    };
    let rest = part.chunks(part.len().div_ceil(count.max(1)).max(1)).rev().map(<[Market]>::to_vec);
    rest.chain(witnesses.into_iter().map(|market| vec![market])).collect()
}

/// Whether the reason is that there is no such market.
pub fn is_refusal(reason: &Reason) -> bool {
    matches!(reason.code, ReasonCode::Refused | ReasonCode::Retired | ReasonCode::Unanswered)
}

/// The reason of a market that an answer has no row for.
pub fn left_out() -> Reason {
    Reason::new(ReasonCode::Unanswered, "the answer leaves it out")
}

/// Asks for tickers; the value is what they say, and when they were asked for. `None` where the venue can't be asked.
pub async fn tickers(shared: &Shared, markets: Vec<Market>) -> Option<Result<Answered<(Vec<Record>, Now)>, Fault>> {
    let mut answer = put(shared, &Ask::Tickers(&markets), Priority::Price).await?;
    // Our own clock may be wrong, and a second date tells.
    if answer.as_ref().is_ok_and(|(_, body)| shared.doubts_first_date(body.dated)) {
        answer = put(shared, &Ask::Tickers(&markets), Priority::Price).await?;
    }
    let (records, body) = match answer {
        Ok((Answer::Tickers(records), body)) => (records, body),
        Ok(_) => {
            let reason = Reason::new(ReasonCode::Payload, "the answer is not one of tickers");
            return Some(Err(Fault::Question(reason)));
        }
        Err(fault) => return Some(Err(fault)),
    };
    let left_out = missing_from(shared, &markets, records.iter().map(|record| record.symbol.as_str()));
    if left_out.len() < markets.len() {
        shared.rest_worked(body.dated);
    }
    Some(Ok(Answered { value: (records, body.asked), left_out }))
}

/// Returns those of `markets` that none of these symbols is of.
pub fn missing_from<'a>(shared: &Shared, markets: &[Market], symbols: impl Iterator<Item = &'a str>) -> Vec<Market> {
    let there: BTreeSet<&str> = symbols.collect();
    markets.iter().filter(|market| !there.contains(shared.venue.symbol(market).as_str())).cloned().collect()
}
