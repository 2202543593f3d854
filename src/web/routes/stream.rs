//! `/api/v1/stream`: rows over a WebSocket.
//!
//! The upgrade is handled here; then the socket goes to a delivery thread, which passes messages to [`StreamService`].
//! Client messages are parsed strictly; every error names the invalid member.

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use fanout::{ClientMessage, CloseReason, OnConnect, Service, Upgraded, websocket};
use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::{debug, warn};

use crate::api::{self, Closing, ErrorMessage, Pong, RequestId, Unsubscribed, Welcome};
use crate::hub::{GroupPermit, HEARTBEAT, InitialState, Member, Resume, RowsView};
use crate::web::admission::StreamPermit;
use crate::web::connection_service::Socket;
use crate::web::error::Error;
use crate::web::query::{BadRequest, parse_rows_query};
use crate::web::rows_query::RowsQuery;
use crate::web::state::{AppState, Boards, StreamService};
use crate::{failpoint, metrics};

/// Supported version of the WebSocket protocol.
const VERSION: &str = "13";

/// Name of our subprotocol.
const SUBPROTOCOL: &str = "sisepan.v1";

/// `Retry-After` if no threads can be started, in seconds.
const RETRY_SECS: u64 = 5;

/// `GET /api/v1/stream`.
pub async fn upgrade(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
    permit: Result<StreamPermit, Error>,
    mut request: Request,
) -> Response {
    let key = match key(&request) {
        Ok(key) => key,
        Err(detail) => return upgrade_required(detail),
    };
    // Acquired here, so that a shutdown before the first message waits for this stream as well.
    let guard = match permit {
        Ok(permit) => Box::new(permit),
        Err(error) => return error.into_response(),
    };
    if let Err(error) = app.start_delivery() {
        warn!(%error, "starting the delivery threads failed; stream refused with status 503");
        let detail = "the server can't start its threads for streams";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Error::retryable(status, "too-many-streams", "Too many streams", detail, RETRY_SECS).into_response();
    }
    let headers = request.headers();
    let deflate = websocket::offers_deflate(values(headers, header::SEC_WEBSOCKET_EXTENSIONS));
    let has_subprotocol = websocket::has_token(values(headers, header::SEC_WEBSOCKET_PROTOCOL), SUBPROTOCOL);
    let response = switching_protocols(&key, deflate, has_subprotocol);
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(hand_over(app, upgrade, query, deflate, guard));
    response
}

/// Waits until the response is written, then hands the socket to a delivery thread.
async fn hand_over(
    app: AppState,
    upgrade: OnUpgrade,
    query: Option<String>,
    deflate: bool,
    guard: Box<dyn Any + Send>,
) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return debug!(%error, "connection lost before the upgrade to WebSocket completed"),
    };
    let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<Socket>>() else {
        return warn!("upgraded connection is not a plain TCP socket; stream closed");
    };
    match io.into_inner().into_tcp().into_std() {
        Ok(stream) => {
            let rows_query = parse_rows_query(query.as_deref());
            let on_connect = StreamService::new(&app).on_connect(rows_query);
            app.admit_stream(Upgraded { stream, buffered: read_buf.to_vec(), deflate, guard, on_connect });
        }
        Err(error) => warn!(%error, "taking over the socket of a stream failed; stream closed"),
    }
}

/// Returns the `Sec-WebSocket-Key` of a valid upgrade request.
///
/// # Errors
/// Returns which requirement the request does not meet.
fn key(request: &Request) -> Result<String, &'static str> {
    let headers = request.headers();
    let single = |name: HeaderName| {
        let mut all = headers.get_all(name).iter();
        all.next().filter(|_| all.next().is_none()).and_then(|value| value.to_str().ok())
    };
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return Err("the request must be a GET of HTTP/1.1");
    }
    if !websocket::has_token(values(headers, header::CONNECTION), "upgrade") {
        return Err("the Connection header must contain upgrade");
    }
    if !websocket::has_token(values(headers, header::UPGRADE), "websocket") {
        return Err("the Upgrade header must contain websocket");
    }
    if single(header::SEC_WEBSOCKET_VERSION) != Some(VERSION) {
        return Err("the Sec-WebSocket-Version header must be 13");
    }
    let key = single(header::SEC_WEBSOCKET_KEY).filter(|key| websocket::is_valid_key(key));
    key.map(str::to_owned).ok_or("the Sec-WebSocket-Key header must be 16 bytes in base64")
}

/// Returns the values of a header that are valid text.
fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

fn switching_protocols(key: &str, deflate: bool, has_subprotocol: bool) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    // Base64 is always a valid header value.
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if deflate {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(websocket::DEFLATE));
    }
    if has_subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    response
}

fn upgrade_required(detail: &str) -> Response {
    let detail = format!("this path requires a WebSocket handshake: {detail}");
    let status = StatusCode::UPGRADE_REQUIRED;
    let mut response = Error::new(status, "upgrade-required", "Upgrade required", detail).into_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    response
}

/// Close reason of a client that sent a binary message.
const BINARY: CloseReason = CloseReason::Service(1003, "messages are text");

/// Close reason of a client whose subscription would exceed the limit of groups.
const TOO_MANY_GROUPS: CloseReason = CloseReason::Service(3014, "too many groups");

/// Close reason of a client whose URL has an invalid query.
const BAD_REQUEST: CloseReason = CloseReason::Service(3501, "bad request");

type ClientContext<'a> = fanout::ServiceContext<'a, StreamService>;

/// A subscription of a client, identified by its request id alone.
#[derive(Debug, Clone)]
pub struct StreamSubscription {
    id: Option<RequestId>,
    /// The query, which is resolved again when the boards change.
    query: Arc<RowsQuery>,
    /// Fingerprint of the view that the client has.
    view: u64,
}

impl PartialEq for StreamSubscription {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl StreamService {
    /// Returns a callback that sends the welcome message and subscribes to the rows of the URL, if any.
    pub fn on_connect(self, query: Result<RowsQuery, BadRequest>) -> OnConnect<Self> {
        Box::new(move |context| {
            let app = self.app.upgrade().ok_or(CloseReason::Shutdown)?;
            context.send(&welcome(&app, app.limits().subscriptions_max));
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
    type SubscriptionId = StreamSubscription;
    type Member = Member;

    fn on_message(&self, context: &mut ClientContext<'_>, message: ClientMessage<'_>) -> Result<(), CloseReason> {
        let app = self.app.upgrade().ok_or(CloseReason::Shutdown)?;
        let ClientMessage::Text(text) = message else { return Err(BINARY) };
        let (id, request) = parse(text);
        match request {
            Ok(ClientRequest::Ping) => context.send(&api::json(&Pong { id, server_time: app.clock.now() })),
            Ok(ClientRequest::Unsubscribe) => {
                context.unsubscribe(&StreamSubscription { id: id.clone(), query: Arc::default(), view: 0 });
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

    fn on_revision(&self, context: &mut ClientContext<'_>) -> Result<(), CloseReason> {
        let app = self.app.upgrade().ok_or(CloseReason::Shutdown)?;
        let subscriptions: Vec<_> = context.subscriptions().map(|(subscription, _)| subscription.clone()).collect();
        for subscription in subscriptions {
            let id = subscription.id.clone();
            if let Err(error) = subscribe_again(&app, context, subscription) {
                send_error(context, id, error);
            }
        }
        Ok(())
    }

    fn closing_message(&self) -> Vec<u8> {
        closing_message(self.app.upgrade().as_ref(), "shutdown").0
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
    let is_board = query.markets.is_none();
    let (member, mut initial, fingerprint) = join_current(app, |boards| {
        let (view, interval) = (query.resolve(app, boards)?, query.interval()?);
        check_limits(app, context, id.as_ref(), &view)?;
        let fingerprint = app.hub.fingerprint(&view);
        let admit = |groups| match permit(context) {
            Some(permit) if !is_board => permit.admit_group(app, groups),
            _ => Ok(None),
        };
        let (member, initial) = app.hub.join(view, interval, resume, admit)?;
        Ok::<_, BadRequest>((member, initial, fingerprint))
    })?;
    if let Some(sequence) = context.sequence_in_group_of(&member)
        && initial.is_recovery()
        && resume.is_some_and(|resume| resume.sequence > sequence)
    {
        // Another subscription of this client to the same group is further behind; both continue from here.
        initial = member.recover(sequence);
    }
    let query = app.shared_queries().share(query);
    send_initial(context, StreamSubscription { id, query, view: fingerprint }, member, &initial);
    Ok(())
}

/// Subscribes again with the rows that the subscription stands for since the hub's revision has risen, starting with a
/// snapshot; does nothing if the client has these rows.
fn subscribe_again(
    app: &AppState,
    context: &mut ClientContext<'_>,
    subscription: StreamSubscription,
) -> Result<(), BadRequest> {
    let query = &subscription.query;
    let interval = query.interval()?;
    let joined: Result<_, BadRequest> = join_current(app, |boards| {
        let view = query.resolve_again(app, boards)?;
        let fingerprint = app.hub.fingerprint(&view);
        if fingerprint == subscription.view {
            return Ok(None);
        }
        let is_board = query.markets.is_none();
        let admit = |_| -> Result<Option<GroupPermit>, BadRequest> {
            Ok(permit(context).filter(|_| !is_board).and_then(|permit| permit.readmit_group(app)))
        };
        let (member, initial) = app.hub.join(view, interval, None, admit)?;
        Ok(Some((member, initial, fingerprint)))
    });
    let Some((member, initial, fingerprint)) = joined? else { return Ok(()) };
    send_initial(context, StreamSubscription { view: fingerprint, ..subscription }, member, &initial);
    Ok(())
}

/// Calls `join` with the boards, again if the hub's revision rises meanwhile: a subscription must not begin with outdated
/// rows at the sequence of the change, because it could be resumed from there.
pub fn join_current<T, E>(app: &AppState, mut join: impl FnMut(&Boards) -> Result<T, E>) -> Result<T, E> {
    loop {
        let boards = app.boards();
        let joined = join(&boards);
        if app.hub.revision() == boards.revision {
            return joined;
        }
    }
}

/// Returns the admission permit of a client.
fn permit<'a>(context: &'a ClientContext<'_>) -> Option<&'a StreamPermit> {
    context.guard().downcast_ref()
}

/// Adds or replaces a subscription and sends its initial state.
fn send_initial(
    context: &mut ClientContext<'_>,
    subscription: StreamSubscription,
    member: Member,
    initial: &InitialState,
) {
    let frames = initial.frames(subscription.id.as_ref(), context.deflate());
    context.subscribe(subscription, member, initial.sequence, frames);
}

/// Checks the limits of subscriptions and markets with this one added or replaced.
fn check_limits(
    app: &AppState,
    context: &ClientContext<'_>,
    id: Option<&RequestId>,
    view: &RowsView,
) -> Result<(), BadRequest> {
    let limits = app.limits();
    let others = || context.subscriptions().filter(|(other, _)| other.id.as_ref() != id);
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

/// Maximum length of an id or epoch in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Request of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientRequest {
    /// Subscribe to rows, replacing a subscription with the same id.
    Subscribe { query: RowsQuery, resume: Option<Resume> },
    /// End a subscription.
    Unsubscribe,
    /// Ask for a `pong`.
    Ping,
}

/// Parses one message; returns the id even if the rest is invalid.
pub fn parse(text: &str) -> (Option<RequestId>, Result<ClientRequest, BadRequest>) {
    let object = match serde_json::from_str(text) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return (None, Err(BadRequest::new("bad-json", "", "message is not a JSON object"))),
        Err(error) => {
            let detail = format!("message is not JSON: line {}, column {}", error.line(), error.column());
            return (None, Err(BadRequest::new("bad-json", "", detail)));
        }
    };
    match id(&object) {
        Ok(id) => (id, request(&object)),
        Err(error) => (None, Err(error)),
    }
}

fn request(object: &Map<String, Value>) -> Result<ClientRequest, BadRequest> {
    match object.get("type").and_then(Value::as_str) {
        Some("subscribe") => Ok(ClientRequest::Subscribe { query: query(object)?, resume: resume(object)? }),
        Some("unsubscribe") => Ok(ClientRequest::Unsubscribe),
        Some("ping") => Ok(ClientRequest::Ping),
        _ => Err(BadRequest::new("unknown-type", "type", "type must be subscribe, unsubscribe or ping")),
    }
}

fn query(object: &Map<String, Value>) -> Result<RowsQuery, BadRequest> {
    let interval_ms = match object.get("interval_ms") {
        None | Some(Value::Null) => None,
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(_) => return Err(bad("interval_ms", "a number")),
    };
    let (board, markets) = (text(object, "board", "board")?, markets(object)?);
    if board.is_none() && markets.is_none() {
        return Err(BadRequest::new("bad-field", "board", "subscribe requires board or markets"));
    }
    let (basis, lang) = (text(object, "basis", "basis")?, text(object, "lang", "lang")?);
    Ok(RowsQuery { board, markets, basis, lang, interval_ms })
}

fn markets(object: &Map<String, Value>) -> Result<Option<Vec<String>>, BadRequest> {
    let list = match object.get("markets") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(bad("markets", "an array of strings")),
    };
    if list.is_empty() {
        return Err(BadRequest::new("bad-field", "markets", "markets must not be empty"));
    }
    let texts = list.iter().enumerate().map(|(index, market)| match market {
        Value::String(text) => Ok(text.clone()),
        _ => Err(bad(&format!("markets[{index}]"), "a string")),
    });
    texts.collect::<Result<_, _>>().map(Some)
}

fn resume(object: &Map<String, Value>) -> Result<Option<Resume>, BadRequest> {
    let resume = match object.get("resume") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(resume)) => resume,
        Some(_) => return Err(bad("resume", "an object")),
    };
    let epoch = text(resume, "epoch", "resume.epoch")?.filter(|epoch| epoch.len() <= NAME_BYTES_MAX);
    let epoch = epoch.ok_or_else(|| bad("resume.epoch", "a string of at most 64 bytes"))?;
    let sequence = resume.get("sequence").and_then(Value::as_u64);
    let sequence = sequence.ok_or_else(|| bad("resume.sequence", "a non-negative integer"))?;
    Ok(Some(Resume { epoch, sequence }))
}

fn id(object: &Map<String, Value>) -> Result<Option<RequestId>, BadRequest> {
    match object.get("id") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= NAME_BYTES_MAX => Ok(Some(RequestId::Text(text.clone()))),
        Some(value) => match value.as_u64() {
            Some(number) => Ok(Some(RequestId::Number(number))),
            None => Err(bad("id", "a non-negative integer or a string of at most 64 bytes")),
        },
    }
}

fn text(object: &Map<String, Value>, name: &str, path: &str) -> Result<Option<String>, BadRequest> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(bad(path, "a string")),
    }
}

fn bad(field: &str, expected: &str) -> BadRequest {
    BadRequest::new("bad-field", field, format!("{field} must be {expected}"))
}

/// Returns the first message of a stream whose client may have `subscriptions` subscriptions.
pub fn welcome(app: &AppState, subscriptions: usize) -> Vec<u8> {
    let limits = app.limits();
    api::json(&Welcome {
        protocol: api::PROTOCOL_VERSION,
        epoch: app.hub.epoch(),
        server_time: app.clock.now(),
        heartbeat_ms: millis(HEARTBEAT),
        demo: app.demo,
        limits: api::Limits {
            message_bytes: limits.message_bytes_max,
            messages_per_second: limits.messages_per_second_max,
            subscriptions,
            markets: limits.markets_max,
            subscribe_within_ms: millis(limits.subscribe_within),
        },
    })
}

/// Returns the last message of a stream, and the time in milliseconds after which the client may reconnect.
pub fn closing_message(app: Option<&AppState>, reason: &'static str) -> (Vec<u8>, u64) {
    let retry_after_ms = app.map_or(0, |app| millis(app.limits().retry_delay()));
    (api::json(&Closing { reason, retry_after_ms }), retry_after_ms)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
