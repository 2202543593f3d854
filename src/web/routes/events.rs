//! `/api/v1/events`: stream messages as server-sent events, for networks that block WebSocket.
//!
//! Backpressure: nothing is queued for a client that does not read, neither here nor in the hub, and the kernel
//! disconnects it after the write timeout.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::time::sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::stream::{closing_message, join_current, welcome};
use crate::hub::{HEARTBEAT, Resume, Subscription};
use crate::web::admission::StreamPermit;
use crate::web::error::Error;
use crate::web::query;
use crate::web::query::BadRequest;
use crate::web::rows_query::RowsQuery;
use crate::web::state::AppState;

/// Maximum length of a resume position in bytes.
const POSITION_BYTES_MAX: usize = 64;

/// Reconnect delay of a client in milliseconds, chosen at random for each.
const RETRY_MS: std::ops::RangeInclusive<u32> = 1000..=5000;

/// `GET /api/v1/events`.
pub async fn events(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    permit: StreamPermit,
) -> Result<Response, Error> {
    let names = ["board", "markets", "basis", "lang", "interval_ms", "resume"];
    let [board, markets, basis, lang, interval_ms, resume] = query::parse_parameters(query.as_deref(), names)?;
    let markets = markets.map(|list| list.split(',').map(str::to_owned).collect());
    let query = RowsQuery { board, markets, basis, lang, interval_ms };
    // The browser's `Last-Event-ID` is newer than the position in the URL.
    let last = headers.get("last-event-id").filter(|id| !id.is_empty()).map(HeaderValue::as_bytes);
    let position = last.or(resume.as_ref().map(String::as_bytes)).map(parse_position);
    let is_board = query.markets.is_none();
    let admit = |groups| if is_board { Ok(None) } else { permit.admit_group(&app, groups) };
    let (subscription, texts, view) = join_current(&app, |boards| {
        let (view, interval) = (query.resolve(&app, boards)?, query.interval()?);
        let fingerprint = app.hub.fingerprint(&view);
        let (subscription, texts) = app.hub.try_subscribe(view, interval, None, position.as_ref(), admit)?;
        Ok::<_, BadRequest>((subscription, texts, fingerprint))
    })?;
    let mut first = format!("retry: {}\n", rand::random_range(RETRY_MS));
    write_event(&mut first, None, &welcome(&app, 1));
    write_events(&mut first, &app, &subscription, &texts);
    let stopped = Box::pin(app.shutdown().clone().cancelled_owned());
    let client = EventClient { app, query, view, subscription, stopped, permit };
    let mut response = Response::new(Body::from_stream(client.stream(first.into())));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        // The connection's permit was released, so the connection must not be reused after the stream.
        (header::CONNECTION, "close"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Client of an event stream.
struct EventClient {
    app: AppState,
    query: RowsQuery,
    /// Fingerprint of the view that the client has.
    view: u64,
    subscription: Subscription,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    permit: StreamPermit,
}

impl EventClient {
    /// Yields `first`, then updates and keep-alive comments until the server shuts down.
    fn stream(self, first: Bytes) -> impl Stream<Item = Result<Bytes, Infallible>> {
        let first = stream::once(std::future::ready(first));
        let rest = stream::unfold(Some(Box::new(self)), |client| async move { client?.next().await });
        futures_util::StreamExt::map(futures_util::StreamExt::chain(first, rest), Ok)
    }

    async fn next(mut self: Box<Self>) -> Option<(Bytes, Option<Box<Self>>)> {
        loop {
            let texts = tokio::select! {
                biased;
                () = &mut self.stopped => return Some((closing(&self.app, "shutdown"), None)),
                texts = self.subscription.next() => match texts {
                    Some(texts) => texts,
                    None if self.subscription.take_revision() => match self.subscribe_again() {
                        Ok(Some(texts)) => texts,
                        Ok(None) => continue,
                        Err(_) => return Some((closing(&self.app, "failed"), None)),
                    },
                    None => return Some((closing(&self.app, "failed"), None)),
                },
                () = sleep(HEARTBEAT) => return Some((Bytes::from_static(b":\n\n"), Some(self))),
            };
            let mut events = String::new();
            write_events(&mut events, &self.app, &self.subscription, &texts);
            return Some((events.into(), Some(self)));
        }
    }

    /// Subscribes again with the rows that the query stands for since the hub's revision has risen; returns the
    /// snapshot, or `None` if the client has these rows.
    fn subscribe_again(&mut self) -> Result<Option<Arc<[Bytes]>>, BadRequest> {
        let is_board = self.query.markets.is_none();
        let joined: Result<_, BadRequest> = join_current(&self.app, |boards| {
            let (view, interval) = (self.query.resolve_again(&self.app, boards)?, self.query.interval()?);
            let fingerprint = self.app.hub.fingerprint(&view);
            if fingerprint == self.view {
                return Ok(None);
            }
            let admit = |_| Ok::<_, BadRequest>(if is_board { None } else { self.permit.readmit_group(&self.app) });
            let (subscription, texts) = self.app.hub.try_subscribe(view, interval, None, None, admit)?;
            Ok(Some((subscription, texts, fingerprint)))
        });
        let Some((subscription, texts, fingerprint)) = joined? else { return Ok(None) };
        (self.subscription, self.view) = (subscription, fingerprint);
        Ok(Some(texts.into()))
    }
}

/// Parses `EPOCH:SEQUENCE`. An invalid position becomes one that never existed, so that the client gets a
/// snapshot with `recovered` set to false.
fn parse_position(text: &[u8]) -> Resume {
    let parse = || {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= POSITION_BYTES_MAX)?;
        let (epoch, sequence) = text.rsplit_once(':')?;
        let digits = sequence.bytes().all(|byte| byte.is_ascii_digit());
        let sequence = sequence.parse().ok().filter(|_| digits)?;
        Some(Resume { epoch: epoch.to_owned(), sequence })
    };
    parse().unwrap_or(Resume { epoch: String::new(), sequence: 0 })
}

/// Writes the messages of one update. Only the last has an id: a client that disconnects in between receives
/// the whole update again.
fn write_events(events: &mut String, app: &AppState, subscription: &Subscription, texts: &[Bytes]) {
    if let Some((last, others)) = texts.split_last() {
        others.iter().for_each(|text| write_event(events, None, text));
        write_event(events, Some((app.hub.epoch(), subscription.sequence())), last);
    }
}

fn write_event(events: &mut String, id: Option<(&str, u64)>, text: &[u8]) {
    if let Some((epoch, sequence)) = id {
        // Writing to a `String` can't fail.
        let _ = writeln!(events, "id: {epoch}:{sequence}");
    }
    // Our own JSON is UTF-8 and contains no line break.
    let _ = write!(events, "data: {}\n\n", String::from_utf8_lossy(text));
}

fn closing(app: &AppState, reason: &'static str) -> Bytes {
    let (message, retry_after_ms) = closing_message(Some(app), reason);
    let mut events = format!("retry: {retry_after_ms}\n");
    write_event(&mut events, None, &message);
    events.into()
}
