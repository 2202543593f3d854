//! Upgrade of an HTTP request to a WebSocket.

use std::any::Any;

use axum::body::Body;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use fanout::{Upgraded, websocket};
use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::{debug, warn};

use crate::web::admission::StreamPermit;
use crate::web::error::Error;
use crate::web::socket::Socket;
use crate::web::{AppState, query};

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
            let rows_query = query::parse_rows_query(query.as_deref());
            let on_connect = super::StreamService::new(&app).on_connect(rows_query);
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
