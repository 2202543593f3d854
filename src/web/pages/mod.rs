//! Pages and widgets as HTML: complete and right without any script.

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::AppState;
use super::error::Error;

mod badge;
mod board;
mod card;
mod chart;
mod choice;
mod colors;
mod embed;
mod error;
mod given;
mod height;
mod home;
mod line;
mod link;
mod market;
mod movers;
mod near;
mod oembed;
mod options;
mod past;
mod plot;
mod reply;
mod row;
mod snippet;
mod spark;
mod spoken;
mod stage;
mod usual;
mod widgets;
mod words;

use choice::{Choice as _, Widget};
use given::BadOption;
use options::Options;
use past::Past;
use reply::{Asked, Frame};

#[cfg(test)]
pub use options::names as option_names;

/// Returns the routes of the pages.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(home_page))
        .route("/market/{id}", get(one_market))
        .route("/embed/{widget}", get(embed_page))
        .route("/fragment/{widget}", get(fragment))
        .route("/badge/{file}", get(badge::badge))
        .route("/sisepan-colors.css", get(colors::style))
        .route("/oembed", get(oembed::oembed))
        .route("/widgets", get(widgets::widgets))
}

/// The boards with a search, the movers and the health of the venues, for a reader who came here.
async fn home_page(State(app): State<AppState>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let query = query.as_deref().unwrap_or_default();
    let asked = Asked { app: &app, headers: &headers, query, frame: Frame::Page };
    let read = || Ok((home::View::read(query)?, Options::read(&app, &headers, query)?));
    match read() {
        Ok((view, options)) => {
            let shown = home::Shown::new(&app, options, &view);
            let past = shown.read(&app).await;
            rendered(asked, &format!("home {view:?} {}", shown.query()), || home::page(&app, &shown, &view, &past))
        }
        Err(bad) => refuse(asked, &bad),
    }
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
            rendered(asked, &format!("market {}", options.query()), || market::page(&app, &options, &told))
        }
        Err(bad) => refuse(asked, &bad),
    }
}

/// A widget alone, for an iframe.
async fn embed_page(
    State(app): State<AppState>,
    Path(widget): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    answer(&app, &headers, query.as_deref(), &widget, Frame::Embed).await
}

/// A widget as a piece of HTML, for a server-side include and for the script.
async fn fragment(
    State(app): State<AppState>,
    Path(widget): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    answer(&app, &headers, query.as_deref(), &widget, Frame::Fragment).await
}

async fn answer(app: &AppState, headers: &HeaderMap, query: Option<&str>, widget: &str, frame: Frame) -> Response {
    let query = query.unwrap_or_default();
    let asked = Asked { app, headers, query, frame };
    let read = || {
        let found = choice::find::<Widget>(widget);
        let widget = found.ok_or_else(|| {
            BadOption::missing("widget", widget, Widget::EVERY.iter().map(|it| it.word().to_owned()).collect())
        })?;
        Ok((embed::fit(Options::read(app, headers, query)?, widget)?, widget))
    };
    match read() {
        Ok((options, widget)) => {
            let past = Past::read(app, &options, widget).await;
            let key = format!("{frame:?} {widget:?} {}", options.query());
            rendered(asked, &key, || embed::html(app, &options, widget, frame, &past))
        }
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
    if super::error::wants_json(headers) {
        return match bad.status() {
            StatusCode::NOT_FOUND => Error::new(StatusCode::NOT_FOUND, "no-route", "Not found", bad.to_string()),
            status => Error::new(status, "bad-field", "Bad parameter", bad.to_string()),
        }
        .into_response();
    }
    match error::page(app, bad, error::Place::of(asked)) {
        Ok(body) => reply::refusal(app, frame, bad.status(), body),
        Err(_) => reply::plain(app, frame, bad.status(), bad.to_string()),
    }
}

/// Returns the page that says that there is none at the address; our own pages begin at `root`.
pub fn no_page(app: &AppState, headers: &HeaderMap, query: &str, root: &str) -> Option<Response> {
    let body = error::no_page(error::Place::at(app, headers, query, root)).ok()?;
    Some(reply::refusal(app, Frame::Page, StatusCode::NOT_FOUND, body))
}
