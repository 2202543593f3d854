//! One question to a venue by REST, and whose fault it is when it brings nothing.
//!
//! An answer that is refused, unreadable or late may be the question's fault:
//! another market may be answered. Only what no question could have avoided (no
//! name, no connection, a ban) is the host's at once; for the rest the caller
//! asks about other markets before it says so. That goes for "not served here"
//! (403, 451) too: one market may be closed to us, as well as the host.

use super::decode::quoted;
use super::http::{Body, CallError};
use super::pace::Priority;
use super::shared::Shared;
use crate::domain::{Reason, ReasonCode};
use crate::venue::{Answer, Ask, ParseError};

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
