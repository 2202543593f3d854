//! One TCP connection to the exchanges: answers HTTP requests in turn until one upgrades to a stream.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::rfc2822;

use super::fake_venue::{FakeVenue, RestRequest};
use super::fault::{FaultSpec, InjectionPoint, Transport};
use super::http::{self, Request};
use super::json::{Object, RowShape, edit_rows, set_members};
use super::limits::CountedRequest;
use super::query::RequestTarget;
use super::response::FakeResponse;
use super::socket::Socket;
use super::state::{FakeState, STALL_MAX, lock};
use super::stream;
use super::venues::{self, id_of};

/// Time without a request after which a connection is closed.
const IDLE_MAX: Duration = Duration::from_secs(75);

/// Serves a connection until it ends; `id` is its number in the log.
pub async fn serve(state: Arc<FakeState>, mut socket: Socket, id: u64) {
    let mut buffer = Vec::new();
    let from = socket.peer();
    loop {
        let request = tokio::select! {
            () = state.stop.cancelled() => return,
            request = tokio::time::timeout(IDLE_MAX, http::read(&mut socket, &mut buffer)) => request,
        };
        let Ok(Ok(Some(request))) = request else { return };
        let (venue, path) = split_venue(&request.target);
        if request.websocket_key().is_some() {
            return stream::serve(&state, socket, buffer, request, (id, from, venue, path)).await;
        }
        let keep_alive = tokio::select! {
            () = state.stop.cancelled() => return,
            answered = answer(&state, &mut socket, &request, (id, from, venue, &path)) => answered,
        };
        let close = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if close || !keep_alive.unwrap_or(false) {
            return;
        }
    }
}

/// Splits `/upbit/v1/ticker` into the venue, if there is one of that name, and its own path.
fn split_venue(target: &str) -> (Option<&'static dyn FakeVenue>, String) {
    let target = target.trim_start_matches('/');
    let at = target.find(['/', '?']).unwrap_or(target.len());
    (venues::find(&target[..at]), target[at..].to_owned())
}

/// Answers one request; returns false if the connection must end.
async fn answer(
    state: &FakeState,
    socket: &mut Socket,
    request: &Request,
    (id, from, served, path): (u64, IpAddr, Option<&'static dyn FakeVenue>, &str),
) -> io::Result<bool> {
    let venue = id_of(served);
    let line = format!("{} {path}", request.method);
    let point = state.injection_point(Transport::Rest, venue, path);
    let broken = {
        let mut faults = lock(&state.faults);
        let reset = faults.take("rst", &point).is_some();
        (reset, reset || faults.take("eof", &point).is_some())
    };
    if let (reset, true) = broken {
        state.record_action(id, venue, "request", &line, None);
        if reset {
            socket.reset();
        }
        return Ok(false);
    }
    let mut response = respond(state, id, request, from, served, path);
    response.headers.extend(date_header(state, venue, path));
    state.record_action(id, venue, "request", &line, Some(response.status));
    if lock(&state.faults).take("stall-body", &point).is_some() {
        http::write(socket, &response, Some(response.body.len() / 2)).await?;
        tokio::time::sleep(STALL_MAX).await;
        return Ok(false);
    }
    http::write(socket, &response, None).await?;
    Ok(true)
}

/// Returns the `Date` header that real servers send, by the venue's clock: `skew` shifts it as well.
fn date_header(state: &FakeState, venue: &str, path: &str) -> Option<(String, String)> {
    let skew = lock(&state.faults).effects(&state.injection_point(Transport::Rest, venue, path)).skew;
    let at = state.clock.now().checked_add(SignedDuration::from_millis(skew)).ok()?;
    let date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()?;
    Some(("date".to_owned(), date))
}

fn respond(
    state: &FakeState,
    id: u64,
    request: &Request,
    from: IpAddr,
    served: Option<&'static dyn FakeVenue>,
    path: &str,
) -> FakeResponse {
    let Some(served) = served else {
        let paths: Vec<String> = venues::ids().map(|venue| format!("/{venue}")).collect();
        let (last, first) = paths.split_last().map_or(("", &[][..]), |(last, first)| (last.as_str(), first));
        let error = format!("paths begin with {} or {last}", first.join(", "));
        return FakeResponse::json(404, Object::new().text("error", &error).end());
    };
    let venue = id_of(Some(served));
    let point = state.injection_point(Transport::Rest, venue, path);
    if let Some(response) = state.fault_response(Transport::Rest, venue, path) {
        return response;
    }
    let target = RequestTarget::parse(path);
    if !served.accepts(&request.method, &target) {
        return FakeResponse::json(405, r#"{"error":{"name":"method_not_allowed","message":"only GET"}}"#);
    }
    let counted = CountedRequest { target: Some(&target), has_origin: request.header("origin").is_some() };
    let headers = match state.count_request(id, served, from, &counted) {
        Ok(headers) => headers,
        Err(response) => return response,
    };
    let recorded = state.recordings.as_ref().and_then(|recordings| recordings.rest(served, &target.path));
    let mut response = recorded.unwrap_or_else(|| {
        let stream_url = state.stream_url(served);
        let request = RestRequest { method: &request.method, target, stream_url: &stream_url };
        state.with_view(&point, |view| served.rest(view, &request))
    });
    response.headers.extend(headers);
    let mut faults = lock(&state.faults);
    for kind in ["null-field", "set-field", "omit", "rows"] {
        if let Some(fault) = faults.take(kind, &point) {
            response.body =
                apply_row_fault(&String::from_utf8_lossy(&response.body), served.payloads().rows, &fault, &point)
                    .into_bytes();
        }
    }
    if let Some(fault) = faults.take("raw", &point) {
        response.body = fault.payload.unwrap_or_default().into_bytes();
    }
    response
}

/// Returns the body of the response to the request at `point` with a fault applied to its rows.
fn apply_row_fault(body: &str, shape: RowShape, fault: &FaultSpec, point: &InjectionPoint<'_>) -> String {
    let mut left = fault.n.filter(|_| fault.fault == "rows").unwrap_or(u32::MAX);
    edit_rows(body, shape, |symbol, row| {
        let applies = match symbol {
            Some(symbol) => fault.affects_symbol(&symbol),
            // A candle that is an array does not name its market.
            None => fault.symbol.is_none() || row.starts_with('[') && point.names_market(fault.symbol.as_deref()),
        };
        match &fault.field {
            Some(field) if applies => Some(set_members(row, field, fault.payload.as_deref().unwrap_or("null"))),
            None if applies && fault.fault == "omit" => None,
            _ => {
                left = left.checked_sub(1)?;
                Some(row.to_owned())
            }
        }
    })
}
