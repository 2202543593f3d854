//! Whether we run, and whether we can serve.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use super::AppState;
use crate::wire::{self, Readiness};

/// `GET /healthz`: the process answers.
pub async fn alive() -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#)
}

/// `GET /readyz`: some board has a price to show.
pub async fn ready(State(app): State<AppState>) -> impl IntoResponse {
    let has_price = |row: &std::sync::Arc<wire::Quote>| row.state != wire::State::Unknown;
    let empty = app.boards.iter().filter(|board| !app.hub.rows(&board.source, &board.markets).iter().any(has_price));
    let missing: Vec<_> = empty.map(|board| board.id.as_str()).collect();
    let ready = missing.len() < app.boards.len();
    // Prices that are not written down are served all the same.
    let store = app.keeper.as_ref().map(|keeper| keeper.health().into());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "application/json")];
    let mut response = (status, headers, wire::json(&Readiness { ready, missing, store })).into_response();
    if !ready {
        response.headers_mut().insert(header::RETRY_AFTER, axum::http::HeaderValue::from_static("1"));
    }
    response
}
