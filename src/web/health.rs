//! Whether we run, and whether we can serve.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::ask::{self, Refusal};
use super::error::Error;
use super::{AppState, query};
use crate::config::Board;
use crate::wire::{self, BoardReadiness, Readiness};

/// `GET /healthz`: the process answers.
pub async fn alive() -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#)
}

/// `GET /readyz?require=&board=`: some board has a price to show, or (`require=live`) one of now.
///
/// # Errors
/// If a parameter has another value than those.
pub async fn ready(State(app): State<AppState>, RawQuery(query): RawQuery) -> Result<Response, Error> {
    let [require, board] = query::known(query.as_deref(), ["require", "board"])?;
    let live = match require.as_deref() {
        None | Some("price") => false,
        Some("live") => true,
        Some(other) => {
            let allowed = ["price", "live"].map(str::to_owned).to_vec();
            return Err(Refusal::unknown("bad-field", "require", other, allowed).into());
        }
    };
    let only = ask::board_of(&app, board.as_deref())?;
    let asked = app.boards.iter().filter(|board| only.is_none_or(|only| only.id == board.id));
    let boards: Vec<_> = asked.map(|board| count(&app, board)).collect();
    let missing = boards.iter().filter(|board| !board.has_price()).map(|board| board.board).collect();
    let ready = boards.iter().any(|board| if live { board.is_live() } else { board.has_price() });
    // Prices that are not written down are served all the same.
    let store = app.keeper.as_ref().map(|keeper| keeper.health().into());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "application/json")];
    let body = wire::json(&Readiness { ready, missing, boards, store });
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
