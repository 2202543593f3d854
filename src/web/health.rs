//! Health and readiness checks.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error::Error;
use super::rows_query::{self, BadRequest};
use super::{AppState, query};
use crate::api::{self, BoardReadiness, Readiness};
use crate::config::Board;

/// `GET /healthz`: the process is running.
pub async fn alive() -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#)
}

/// `GET /readyz?require=&board=`: whether some board has a price, or with `require=live` a current one.
///
/// # Errors
/// Returns an error if a parameter has an unknown value.
pub async fn ready(State(app): State<AppState>, RawQuery(query): RawQuery) -> Result<Response, Error> {
    let [require, board] = query::parse_parameters(query.as_deref(), ["require", "board"])?;
    let live = match require.as_deref() {
        None | Some("price") => false,
        Some("live") => true,
        Some(other) => {
            let allowed = ["price", "live"].map(str::to_owned).to_vec();
            return Err(BadRequest::unknown("bad-field", "require", other, allowed).into());
        }
    };
    let requested = rows_query::find_board(&app, board.as_deref())?;
    let selected = app.boards.iter().filter(|board| requested.is_none_or(|requested| requested.id == board.id));
    let boards: Vec<_> = selected.map(|board| count(&app, board)).collect();
    let missing = boards.iter().filter(|board| !board.has_price()).map(|board| board.board).collect();
    let ready = boards.iter().any(|board| if live { board.is_live() } else { board.has_price() });
    // A failing store does not affect readiness: prices are served from memory.
    let store = app.store_health.as_ref().map(|keeper| keeper.health().into());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "application/json")];
    let body = api::json(&Readiness { ready, missing, boards, store });
    let mut response = (status, headers, body).into_response();
    if !ready {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response)
}

fn count<'a>(app: &AppState, board: &'a Board) -> BoardReadiness<'a> {
    let rows = app.hub.rows(&board.source, &board.markets);
    let unpublished = board.markets.len().saturating_sub(rows.len());
    BoardReadiness::count(board.id.as_str(), rows.iter().map(|row| row.state), unpublished)
}
