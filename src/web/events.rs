//! `/api/v1/events`: the messages of a stream as server-sent events, for where WebSocket is blocked.
//!
//! A client that does not read is not written to: its connection takes no more
//! from here, the hub keeps nothing for it, and the kernel cuts it off when
//! nothing was taken for the write deadline.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::time::sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::ask::Ask;
use super::error::Error;
use super::place::Place;
use super::{AppState, greeting, query};
use crate::hub::{HEARTBEAT, Resume, Subscription};

/// Longest position that a client may come back with, in bytes.
const POSITION_BYTES_MAX: usize = 64;

/// How soon a client comes back after a break, in milliseconds: another figure for each of them.
const RETRY_MS: std::ops::RangeInclusive<u32> = 1000..=5000;

/// `GET /api/v1/events`.
pub async fn events(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    place: Place,
) -> Result<Response, Error> {
    let names = ["board", "markets", "basis", "lang", "interval_ms", "resume"];
    let [board, markets, basis, lang, interval_ms, resume] = query::known(query.as_deref(), names)?;
    let markets = markets.map(|list| list.split(',').map(str::to_owned).collect());
    let ask = Ask { board, markets, basis, lang, interval_ms };
    let (view, interval) = (ask.view(&app)?, ask.interval()?);
    // What a browser remembers is newer than the address that it began with.
    let last = headers.get("last-event-id").filter(|id| !id.is_empty()).map(HeaderValue::as_bytes);
    let position = last.or(resume.as_ref().map(String::as_bytes)).map(read_position);
    let is_board = ask.markets.is_none();
    let admit = |groups| if is_board { Ok(None) } else { place.admit_group(&app, groups) };
    let (subscription, texts) = app.hub.subscribe_if(view, interval, None, position.as_ref(), admit)?;
    let mut first = format!("retry: {}\n", rand::random_range(RETRY_MS));
    write_event(&mut first, None, &greeting::welcome(&app, 1));
    write_events(&mut first, &app, &subscription, &texts);
    let stopped = Box::pin(app.shutdown().clone().cancelled_owned());
    let member = Member { app, subscription, stopped, _place: place };
    let mut response = Response::new(Body::from_stream(member.stream(first.into())));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        // A place among the connections was given back, so this one serves nothing after the stream.
        (header::CONNECTION, "close"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// One client of events.
struct Member {
    app: AppState,
    subscription: Subscription,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: Place,
}

impl Member {
    /// Gives the first bytes, then whatever there is to say, until the server stops.
    fn stream(self, first: Bytes) -> impl Stream<Item = Result<Bytes, Infallible>> {
        let said = stream::once(std::future::ready(first));
        let rest = stream::unfold(Some(Box::new(self)), |member| async move { member?.next().await });
        futures_util::StreamExt::map(futures_util::StreamExt::chain(said, rest), Ok)
    }

    async fn next(mut self: Box<Self>) -> Option<(Bytes, Option<Box<Self>>)> {
        tokio::select! {
            biased;
            () = &mut self.stopped => Some((closing(&self.app, "shutdown"), None)),
            texts = self.subscription.next() => {
                let Some(texts) = texts else { return Some((closing(&self.app, "failed"), None)) };
                let mut events = String::new();
                write_events(&mut events, &self.app, &self.subscription, &texts);
                Some((events.into(), Some(self)))
            }
            () = sleep(HEARTBEAT) => Some((Bytes::from_static(b":\n\n"), Some(self))),
        }
    }
}

/// Reads `EPOCH:SEQUENCE`. What can't be read is a place that never was, so that the answer is everything, and says so.
fn read_position(text: &[u8]) -> Resume {
    let read = || {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= POSITION_BYTES_MAX)?;
        let (epoch, sequence) = text.rsplit_once(':')?;
        let digits = sequence.bytes().all(|byte| byte.is_ascii_digit());
        let sequence = sequence.parse().ok().filter(|_| digits)?;
        Some(Resume { epoch: epoch.to_owned(), sequence })
    };
    read().unwrap_or(Resume { epoch: String::new(), sequence: 0 })
}

/// Writes messages that belong together. Only the last has an id: who breaks off between them is told all of them again.
fn write_events(events: &mut String, app: &AppState, subscription: &Subscription, texts: &[Bytes]) {
    if let Some((last, others)) = texts.split_last() {
        others.iter().for_each(|text| write_event(events, None, text));
        write_event(events, Some((app.hub.epoch(), subscription.sequence())), last);
    }
}

fn write_event(events: &mut String, id: Option<(&str, u64)>, text: &[u8]) {
    if let Some((epoch, sequence)) = id {
        // Writing into a text can't fail.
        let _ = writeln!(events, "id: {epoch}:{sequence}");
    }
    // Our own JSON: UTF-8, and in one line.
    let _ = write!(events, "data: {}\n\n", String::from_utf8_lossy(text));
}

fn closing(app: &AppState, reason: &'static str) -> Bytes {
    let (message, retry_after_ms) = greeting::closing(Some(app), reason);
    let mut events = format!("retry: {retry_after_ms}\n");
    write_event(&mut events, None, &message);
    events.into()
}
