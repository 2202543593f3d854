//! Pages and widgets as HTML: complete and right without any script.

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use tower_http::compression::CompressionLayer;

use super::AppState;

mod error;
mod market;
mod options;
mod plot;
mod reply;
mod view;
mod words;

use options::{BadOption, Options};
use reply::Frame;
pub use reply::{etag, is_known};

/// Returns the routes of the pages.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(home))
        .route("/market/{id}", get(one_market))
        .route("/embed/board", get(embed))
        .route("/fragment/board", get(fragment))
        .layer(CompressionLayer::new())
}

/// The board with the health of its venues, for a reader who came here.
async fn home(State(app): State<AppState>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    answer(&app, &headers, query.as_deref(), Frame::Page, view::home)
}

/// One market on every basis, with its past.
async fn one_market(
    State(app): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    match Options::of_market(&app, &headers, query.as_deref().unwrap_or_default(), &id) {
        Ok(options) => {
            let told = market::read(&app, &options).await;
            rendered(&headers, Frame::Deep, market::page(&app, &options, &told))
        }
        Err(bad) => refuse(&headers, Frame::Deep, &bad),
    }
}

/// The board alone, for an iframe.
async fn embed(State(app): State<AppState>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    answer(&app, &headers, query.as_deref(), Frame::Embed, view::embed)
}

/// The board as a piece of HTML, for a server-side include and for the script.
async fn fragment(State(app): State<AppState>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    answer(&app, &headers, query.as_deref(), Frame::Fragment, view::fragment)
}

type Render = fn(&AppState, &Options<'_>) -> Result<String, askama::Error>;

fn answer(app: &AppState, headers: &HeaderMap, query: Option<&str>, frame: Frame, render: Render) -> Response {
    match Options::read(app, headers, query.unwrap_or_default()) {
        Ok(options) => rendered(headers, frame, render(app, &options)),
        Err(bad) => refuse(headers, frame, &bad),
    }
}

fn rendered(headers: &HeaderMap, frame: Frame, body: Result<String, askama::Error>) -> Response {
    match body {
        Ok(body) => reply::html(headers, frame, body),
        Err(error) => {
            tracing::error!(%error, "rendering a page failed");
            reply::plain(frame, StatusCode::INTERNAL_SERVER_ERROR, "internal error".to_owned())
        }
    }
}

fn refuse(headers: &HeaderMap, frame: Frame, bad: &BadOption) -> Response {
    let lang = options::preferred(headers);
    match error::page(bad, lang, frame) {
        Ok(body) => reply::refusal(frame, bad.status(), body),
        Err(_) => reply::plain(frame, bad.status(), bad.to_string()),
    }
}
