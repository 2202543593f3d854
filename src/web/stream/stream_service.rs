//! Service of stream clients: handles their messages.

use std::collections::HashSet;
use std::time::Duration;

use fanout::{ClientMessage, CloseReason, OnConnect, Service};

use super::request::{self, ClientRequest};
use crate::api::{self, ErrorMessage, Pong, RequestId, Unsubscribed};
use crate::clock::Clock;
use crate::hub::{Member, Resume, RowsView};
use crate::web::admission::StreamPermit;
use crate::web::rows_query::{BadRequest, RowsQuery};
use crate::web::{AppState, WeakState, greeting};
use crate::{failpoint, metrics};

/// Close reason of a client that sent a binary message.
const BINARY: CloseReason = CloseReason::Service(1003, "messages are text");

/// Close reason of a client whose subscription would exceed the limit of groups.
const TOO_MANY_GROUPS: CloseReason = CloseReason::Service(3014, "too many groups");

/// Close reason of a client whose URL has an invalid query.
const BAD_REQUEST: CloseReason = CloseReason::Service(3501, "bad request");

type ClientContext<'a> = fanout::ClientContext<'a, StreamService>;

/// Implements the stream protocol of docs/api.md. Holds the state weakly, so that delivery threads do not keep
/// it alive.
#[derive(Debug, Clone)]
pub struct StreamService {
    app: WeakState,
    clock: Clock,
}

impl StreamService {
    /// Creates the service.
    pub fn new(app: &AppState) -> Self {
        Self { app: app.downgrade(), clock: app.clock.clone() }
    }

    /// Returns a callback that sends the welcome message and subscribes to the rows of the URL, if any.
    pub fn on_connect(self, query: Result<RowsQuery, BadRequest>) -> OnConnect<Self> {
        Box::new(move |context| {
            let app = self.app.upgrade().ok_or(CloseReason::Shutdown)?;
            context.send(&greeting::welcome(&app, app.limits().subscriptions_max));
            let subscribed = match query {
                Ok(query) if query.board.is_none() && query.markets.is_none() => return Ok(()),
                Ok(query) => subscribe(&app, context, None, &query, None),
                Err(error) => Err(error),
            };
            subscribed.map_err(|error| {
                let close = if error.is_retryable() { TOO_MANY_GROUPS } else { BAD_REQUEST };
                send_error(context, None, error);
                close
            })
        })
    }
}

impl Service for StreamService {
    type SubscriptionId = Option<RequestId>;
    type Member = Member;

    fn on_message(&self, context: &mut ClientContext<'_>, message: ClientMessage<'_>) -> Result<(), CloseReason> {
        let app = self.app.upgrade().ok_or(CloseReason::Shutdown)?;
        let ClientMessage::Text(text) = message else { return Err(BINARY) };
        let (id, request) = request::parse(text);
        match request {
            Ok(ClientRequest::Ping) => context.send(&api::json(&Pong { id, server_time: app.clock.now() })),
            Ok(ClientRequest::Unsubscribe) => {
                context.unsubscribe(&id);
                context.send(&api::json(&Unsubscribed { id }));
            }
            Ok(ClientRequest::Subscribe { query, resume }) => {
                if let Err(error) = subscribe(&app, context, id.clone(), &query, resume.as_ref()) {
                    send_error(context, id, error);
                }
            }
            Err(error) => send_error(context, id, error),
        }
        Ok(())
    }

    fn closing_message(&self) -> Vec<u8> {
        greeting::closing(self.app.upgrade().as_ref(), "shutdown").0
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn on_close(&self, code: u16, by_client: bool) {
        metrics::count_stream_close(code, by_client);
    }

    fn on_wake(&self) -> bool {
        !failpoint::is_hit("delivery")
    }
}

/// Subscribes to the rows of a query; a rejected request changes nothing.
fn subscribe(
    app: &AppState,
    context: &mut ClientContext<'_>,
    id: Option<RequestId>,
    query: &RowsQuery,
    resume: Option<&Resume>,
) -> Result<(), BadRequest> {
    let (view, interval) = (query.resolve(app)?, query.interval()?);
    check_limits(app, context, id.as_ref(), &view)?;
    let is_board = query.markets.is_none();
    let (member, mut initial) =
        app.hub.join(view, interval, resume, |groups| match context.guard().downcast_ref::<StreamPermit>() {
            Some(permit) if !is_board => permit.admit_group(app, groups),
            _ => Ok(None),
        })?;
    if let Some(sequence) = context.sequence_in_group_of(&member)
        && initial.is_recovery()
        && resume.is_some_and(|resume| resume.sequence > sequence)
    {
        // Another subscription of this client to the same group is further behind; both continue from here.
        initial = member.recover(sequence);
    }
    let frames = initial.frames(id.as_ref(), context.deflate());
    context.subscribe(id, member, initial.sequence, frames);
    Ok(())
}

/// Checks the limits of subscriptions and markets with this one added or replaced.
fn check_limits(
    app: &AppState,
    context: &ClientContext<'_>,
    id: Option<&RequestId>,
    view: &RowsView,
) -> Result<(), BadRequest> {
    let limits = app.limits();
    let others = || context.subscriptions().filter(|(other, _)| other.as_ref() != id);
    let max = limits.subscriptions_max;
    if others().count() >= max {
        let detail = format!("a connection may have at most {max} subscriptions");
        return Err(BadRequest::new("too-many-subscriptions", "", detail));
    }
    let max = limits.markets_max;
    let rows: HashSet<_> =
        others().map(|(_, member)| member.view()).chain([view]).flat_map(|view| view.rows.iter()).collect();
    if rows.len() > max {
        let detail = format!("the subscriptions would have {} markets together, at most {max} are allowed", rows.len());
        return Err(BadRequest::new("too-many-markets", "markets", detail));
    }
    Ok(())
}

/// Sends an error message.
fn send_error(context: &mut ClientContext<'_>, id: Option<RequestId>, error: BadRequest) {
    let retryable = error.is_retryable();
    let BadRequest { code, field, detail: message, .. } = error;
    let field = Some(field).filter(|field| !field.is_empty());
    context.send(&api::json(&ErrorMessage { id, code, message, retryable, field }));
}
