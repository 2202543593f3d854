//! `/api/v1/stream`: rows over a WebSocket.

mod close;
mod request;
mod session;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error::Error;
use super::place::Place;
use super::{AppState, query};
use session::Session;

/// Bytes read at once: a client sends a few dozen in its life, and every connection holds this much.
const READ_BUFFER_BYTES: usize = 256;

/// Most bytes that one message may take on its way out; a snapshot of a thousand rows fits.
const WRITE_BUFFER_BYTES_MAX: usize = 512 * 1024;

/// `GET /api/v1/stream`.
pub async fn upgrade(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    place: Result<Place, Error>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return no_upgrade(&rejection),
    };
    // Taken here, so that a shutdown between now and the first message waits for this stream as well.
    let place = match place {
        Ok(place) => place,
        Err(error) => return error.into_response(),
    };
    let ask = Box::new(query::read(query.as_deref()));
    let message_bytes_max = app.limits().message_bytes_max;
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(message_bytes_max)
        .max_frame_size(message_bytes_max)
        .on_upgrade(move |socket| async move {
            Session::new(app, socket).run(ask).await;
            drop(place);
        })
}

fn no_upgrade(rejection: &WebSocketUpgradeRejection) -> Response {
    let detail = format!("this is a WebSocket: {}", rejection.body_text());
    let status = StatusCode::UPGRADE_REQUIRED;
    let mut response = Error::new(status, "upgrade-required", "Upgrade required", detail).into_response();
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response
}
