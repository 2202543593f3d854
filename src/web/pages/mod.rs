//! Pages and widgets as HTML: complete and right without any script.

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;

use super::AppState;

mod error;
mod market;
mod options;
mod plot;
mod reply;
mod view;
mod words;

use options::{BadOption, Options};
use reply::{Asked, Frame};

/// Returns the routes of the pages.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(home))
        .route("/market/{id}", get(one_market))
        .route("/embed/board", get(embed))
        .route("/fragment/board", get(fragment))
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
    let query = query.as_deref().unwrap_or_default();
    let asked = Asked { app: &app, headers: &headers, query, frame: Frame::Deep };
    match Options::of_market(&app, &headers, query, &id) {
        Ok(options) => {
            let told = market::read(&app, &options).await;
            rendered(asked, &format!("market {options:?}"), || market::page(&app, &options, &told))
        }
        Err(bad) => refuse(asked, &bad),
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
    let query = query.unwrap_or_default();
    let asked = Asked { app, headers, query, frame };
    match Options::read(app, headers, query) {
        Ok(options) => rendered(asked, &format!("{frame:?} {options:?}"), || render(app, &options)),
        Err(bad) => refuse(asked, &bad),
    }
}

fn rendered(asked: Asked<'_>, key: &str, render: impl FnOnce() -> Result<String, askama::Error>) -> Response {
    reply::html(asked, key, render).unwrap_or_else(|error| {
        tracing::error!(%error, "rendering a page failed");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        reply::plain(asked.app, asked.frame, status, "internal error".to_owned())
    })
}

fn refuse(asked: Asked<'_>, bad: &BadOption) -> Response {
    let Asked { app, headers, frame, .. } = asked;
    let lang = options::preferred(headers);
    match error::page(bad, lang, frame) {
        Ok(body) => reply::refusal(app, frame, bad.status(), body),
        Err(_) => reply::plain(app, frame, bad.status(), bad.to_string()),
    }
}
