//! From a request to a socket.

use std::any::Any;

use axum::body::Body;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::{debug, warn};

use crate::delivery::Newcomer;
use crate::web::error::Error;
use crate::web::place::Place;
use crate::web::socket::Socket;
use crate::web::{AppState, query};
use crate::websocket;

/// The one version of the WebSocket protocol.
const VERSION: &str = "13";

/// What our messages are called among subprotocols.
const PROTOCOL: &str = "sisepan.v1";

/// When to come back to a system that is out of threads.
const RETRY_SECS: u64 = 5;

/// `GET /api/v1/stream`.
pub async fn upgrade(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
    place: Result<Place, Error>,
    mut request: Request,
) -> Response {
    let key = match key(&request) {
        Ok(key) => key,
        Err(detail) => return no_upgrade(detail),
    };
    // Taken here, so that a shutdown between now and the first message waits for this stream as well.
    let guard = match place {
        Ok(place) => Box::new(place),
        Err(error) => return error.into_response(),
    };
    if let Err(error) = app.start_delivery() {
        warn!(%error, "streams can't be served");
        let detail = "the system gives no thread to serve streams";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Error::passing(status, "too-many-streams", "Too many streams", detail, RETRY_SECS).into_response();
    }
    let headers = request.headers();
    let deflate = websocket::takes_deflate(values(headers, header::SEC_WEBSOCKET_EXTENSIONS));
    let has_protocol = websocket::has_token(values(headers, header::SEC_WEBSOCKET_PROTOCOL), PROTOCOL);
    let response = switch(&key, deflate, has_protocol);
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(hand_over(app, upgrade, query, deflate, guard));
    response
}

/// Waits until the answer is written, and gives the socket to a delivery thread.
async fn hand_over(
    app: AppState,
    upgrade: OnUpgrade,
    query: Option<String>,
    deflate: bool,
    guard: Box<dyn Any + Send>,
) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return debug!(%error, "a stream broke off before it began"),
    };
    let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<Socket>>() else {
        return warn!("a stream came over something that is no plain socket and is cut off");
    };
    match io.into_inner().into_tcp().into_std() {
        Ok(stream) => {
            let ask = query::read(query.as_deref());
            let begin = super::Feed::new(&app).begin(ask);
            app.deliver(Newcomer { stream, read: read_buf.to_vec(), deflate, guard, begin });
        }
        Err(error) => warn!(%error, "a stream's socket can't be taken over and is cut off"),
    }
}

/// Returns the key of a request that may be upgraded.
///
/// # Errors
/// What it lacks.
fn key(request: &Request) -> Result<String, &'static str> {
    let headers = request.headers();
    let only = |name: HeaderName| {
        let mut all = headers.get_all(name).iter();
        all.next().filter(|_| all.next().is_none()).and_then(|value| value.to_str().ok())
    };
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return Err("the request is not a GET of HTTP/1.1");
    }
    if !websocket::has_token(values(headers, header::CONNECTION), "upgrade") {
        return Err("the header Connection does not say upgrade");
    }
    if !websocket::has_token(values(headers, header::UPGRADE), "websocket") {
        return Err("the header Upgrade does not say websocket");
    }
    if only(header::SEC_WEBSOCKET_VERSION) != Some(VERSION) {
        return Err("the header Sec-WebSocket-Version is not 13");
    }
    let key = only(header::SEC_WEBSOCKET_KEY).filter(|key| websocket::is_key(key));
    key.map(str::to_owned).ok_or("the header Sec-WebSocket-Key is not 16 bytes in base64")
}

fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

fn switch(key: &str, deflate: bool, has_protocol: bool) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    // Base64, so it is always a value.
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if deflate {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(websocket::DEFLATE));
    }
    if has_protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    response
}

fn no_upgrade(detail: &str) -> Response {
    let detail = format!("this is a WebSocket: {detail}");
    let status = StatusCode::UPGRADE_REQUIRED;
    let mut response = Error::new(status, "upgrade-required", "Upgrade required", detail).into_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    response
}
