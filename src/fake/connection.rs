//! One TCP connection to the exchanges: requests one after another, until one asks for a stream.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::rfc2822;

use super::fault::{Order, Plane};
use super::http::{self, Request};
use super::json::{edit_rows, set_member, symbol_of};
use super::limits::{Asked, Verdict};
use super::query::Target;
use super::shared::{Shared, lock};
use super::view::{FakeResponse, rest};
use super::wire::Wire;
use super::{coins, stream};

/// A connection without a request is closed after this long.
const IDLE_MAX: Duration = Duration::from_secs(75);

/// The longest that a stalled answer is waited with.
pub const STALL_MAX: Duration = Duration::from_secs(600);

/// Serves a connection until it ends.
pub async fn serve(shared: Arc<Shared>, mut wire: Wire, id: u64) {
    let mut buffer = Vec::new();
    let from = wire.peer();
    loop {
        let request = tokio::select! {
            () = shared.stop.cancelled() => return,
            request = tokio::time::timeout(IDLE_MAX, http::read(&mut wire, &mut buffer)) => request,
        };
        let Ok(Ok(Some(request))) = request else { return };
        let (venue, path) = split(&request.target);
        if request.websocket_key().is_some() {
            return stream::serve(&shared, wire, buffer, request, (id, from, venue, path)).await;
        }
        let keep = tokio::select! {
            () = shared.stop.cancelled() => return,
            keep = answer(&shared, &mut wire, &request, (id, from, venue, &path)) => keep,
        };
        let close = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if close || !keep.unwrap_or(false) {
            return;
        }
    }
}

/// Takes `/upbit/v1/ticker` apart into the venue and its own path.
fn split(target: &str) -> (&'static str, String) {
    let target = target.trim_start_matches('/');
    let at = target.find(['/', '?']).unwrap_or(target.len());
    let venue = coins::VENUES.into_iter().find(|venue| *venue == &target[..at]).unwrap_or("");
    (venue, target[at..].to_owned())
}

/// Answers one request; false ends the connection.
async fn answer(
    shared: &Shared,
    wire: &mut Wire,
    request: &Request,
    (id, from, venue, path): (u64, IpAddr, &'static str, &str),
) -> io::Result<bool> {
    let line = format!("{} {path}", request.method);
    let site = shared.site(Plane::Rest, venue, path);
    let broken = {
        let mut faults = lock(&shared.faults);
        let reset = faults.take("rst", &site).is_some();
        (reset, reset || faults.take("eof", &site).is_some())
    };
    if let (reset, true) = broken {
        shared.note(id, venue, "request", &line, None);
        if reset {
            wire.reset();
        }
        return Ok(false);
    }
    let mut response = respond(shared, request, from, venue, path);
    response.headers.extend(dated(shared, venue, path));
    shared.note(id, venue, "request", &line, Some(response.status));
    if lock(&shared.faults).take("stall-body", &site).is_some() {
        http::write(wire, &response, Some(response.body.len() / 2)).await?;
        tokio::time::sleep(STALL_MAX).await;
        return Ok(false);
    }
    http::write(wire, &response, None).await?;
    Ok(true)
}

/// The time by the venue's own clock, as real servers tell it; a skewed venue's is skewed here too.
fn dated(shared: &Shared, venue: &str, path: &str) -> Option<(String, String)> {
    let skew = lock(&shared.faults).warp(&shared.site(Plane::Rest, venue, path)).skew;
    let at = shared.clock.now().checked_add(SignedDuration::from_millis(skew)).ok()?;
    let date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()?;
    Some(("date".to_owned(), date))
}

fn respond(shared: &Shared, request: &Request, from: IpAddr, venue: &'static str, path: &str) -> FakeResponse {
    let site = shared.site(Plane::Rest, venue, path);
    if venue.is_empty() {
        return FakeResponse::json(404, r#"{"error":"paths begin with /upbit, /bithumb or /binance"}"#);
    }
    if let Some(response) = refused(shared, Plane::Rest, venue, path) {
        return response;
    }
    if request.method != "GET" {
        return FakeResponse::json(405, r#"{"error":{"name":"method_not_allowed","message":"only GET"}}"#);
    }
    let target = Target::parse(path);
    let mut headers = Vec::new();
    if let Some(limits) = &shared.limits {
        let asked = Asked { venue, from, target: Some(&target), origin: request.header("origin").is_some() };
        match lock(limits).count(&asked, site.now) {
            Verdict::Pass(more) => headers = more,
            Verdict::Refuse(response) => return response,
        }
    }
    let mut response = match &shared.recorded {
        Some(recorded) => recorded.rest(venue, &target),
        None => shared.look(&site, |view| rest(venue, view, path)),
    };
    response.headers.extend(headers);
    let mut faults = lock(&shared.faults);
    for kind in ["null-field", "set-field", "omit", "rows"] {
        if let Some(order) = faults.take(kind, &site) {
            response.body = spoil(&String::from_utf8_lossy(&response.body), &order).into_bytes();
        }
    }
    if let Some(order) = faults.take("raw", &site) {
        response.body = order.payload.unwrap_or_default().into_bytes();
    }
    response
}

/// An answer with its rows as an order wants them.
fn spoil(body: &str, order: &Order) -> String {
    let mut left = order.n.filter(|_| order.fault == "rows").unwrap_or(u32::MAX);
    edit_rows(body, |row| {
        let about = order.symbol.is_none() || symbol_of(row).is_some_and(|symbol| order.concerns(&symbol));
        match &order.field {
            Some(field) if about => Some(set_member(row, field, order.payload.as_deref().unwrap_or("null"))),
            None if about && order.fault == "omit" => None,
            _ => {
                left = left.checked_sub(1)?;
                Some(row.to_owned())
            }
        }
    })
}

/// The answer of a `status` or `html` fault, if one strikes.
pub fn refused(shared: &Shared, plane: Plane, venue: &str, path: &str) -> Option<FakeResponse> {
    let site = shared.site(plane, venue, path);
    let mut faults = lock(&shared.faults);
    if let Some(order) = faults.take("status", &site) {
        let mut response = FakeResponse::json(order.status.unwrap_or(503), order.body.unwrap_or_default());
        response.headers.extend(order.retry_after.map(|value| ("retry-after".to_owned(), value)));
        return Some(response);
    }
    let order = faults.take("html", &site)?;
    let page = "<!DOCTYPE html><html><head><title>점검 중</title></head><body><h1>Maintenance</h1></body></html>";
    let headers = vec![("content-type".to_owned(), "text/html; charset=utf-8".to_owned())];
    let body = order.body.unwrap_or_else(|| page.to_owned()).into_bytes();
    Some(FakeResponse { status: order.status.unwrap_or(503), headers, body })
}
