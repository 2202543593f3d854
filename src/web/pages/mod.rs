//! HTML pages and widgets, rendered on the server and complete without script.

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
mod client_strings;
mod colors;
mod configurator;
mod embed;
mod error_page;
mod height;
mod home;
mod link_option;
mod market_page;
mod movers;
mod oembed;
mod option_defaults;
mod option_labels;
mod option_types;
mod options;
mod page_history;
mod page_query;
mod page_response;
mod plot;
mod render_context;
mod row_view;
mod snippet;
mod spark;
mod suggestions;
mod tape_and_ticker;

use option_types::{Choice as _, Widget};
use options::Options;
use page_history::PageHistory;
use page_query::BadOption;
use page_response::{PageRequest, Placement};

#[cfg(test)]
pub use options::names as option_names;

/// Returns the routes of the pages, widgets, badges and the configurator.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(home_page))
        .route("/market/{id}", get(one_market))
        .route("/embed/{widget}", get(embed_page))
        .route("/fragment/{widget}", get(fragment))
        .route("/badge/{file}", get(badge::badge))
        .route("/sisepan-colors.css", get(colors::style))
        .route("/oembed", get(oembed::oembed))
        .route("/widgets", get(configurator::configurator))
}

/// `GET /`: the boards with search and sorting, the movers, and the state of each exchange.
async fn home_page(State(app): State<AppState>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let query = query.as_deref().unwrap_or_default();
    let request = PageRequest { app: &app, headers: &headers, query, placement: Placement::Page };
    let read = || Ok((home::HomeQuery::parse(query)?, Options::read(&app, &headers, query)?));
    match read() {
        Ok((home_query, options)) => {
            let shown = home::HomeOptions::new(&app, options, &home_query);
            let history = shown.load_history(&app).await;
            rendered_page(request, &format!("home {home_query:?} {}", shown.query()), || {
                home::page(&app, &shown, &home_query, &history)
            })
        }
        Err(bad) => invalid_query_response(request, &bad),
    }
}

/// `GET /market/{id}`: one market with its change on every basis and its price history.
async fn one_market(
    State(app): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.as_deref().unwrap_or_default();
    let request = PageRequest { app: &app, headers: &headers, query, placement: Placement::NestedPage };
    match Options::for_market(&app, &headers, query, &id) {
        Ok(options) => {
            let data = market_page::load(&app, &options).await;
            rendered_page(request, &format!("market {}", options.query()), || market_page::page(&app, &options, &data))
        }
        Err(bad) => invalid_query_response(request, &bad),
    }
}

/// `GET /embed/{widget}`: a widget as a page of its own, for an iframe.
async fn embed_page(
    State(app): State<AppState>,
    Path(widget): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    widget_response(&app, &headers, query.as_deref(), &widget, Placement::Embed).await
}

/// `GET /fragment/{widget}`: a widget as an HTML fragment, for server-side includes and for the script.
async fn fragment(
    State(app): State<AppState>,
    Path(widget): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    widget_response(&app, &headers, query.as_deref(), &widget, Placement::Fragment).await
}

async fn widget_response(
    app: &AppState,
    headers: &HeaderMap,
    query: Option<&str>,
    widget: &str,
    placement: Placement,
) -> Response {
    let query = query.unwrap_or_default();
    let request = PageRequest { app, headers, query, placement };
    let read = || {
        let found = option_types::find::<Widget>(widget);
        let widget = found.ok_or_else(|| {
            BadOption::not_found("widget", widget, Widget::EVERY.iter().map(|it| it.keyword().to_owned()).collect())
        })?;
        Ok((embed::adapt_options(Options::read(app, headers, query)?, widget)?, widget))
    };
    match read() {
        Ok((options, widget)) => {
            let history = PageHistory::load(app, &options, widget).await;
            let key = format!("{placement:?} {widget:?} {}", options.query());
            rendered_page(request, &key, || embed::html(app, &options, widget, placement, &history))
        }
        Err(bad) => invalid_query_response(request, &bad),
    }
}

/// Renders a page or takes it from the cache. If rendering fails, logs the error and returns status 500.
fn rendered_page(
    request: PageRequest<'_>,
    key: &str,
    render: impl FnOnce() -> Result<String, askama::Error>,
) -> Response {
    page_response::cached_page(request, key, render).unwrap_or_else(|error| {
        tracing::error!(%error, "rendering a page failed; request answered with status 500");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        page_response::plain_error(request.app, request.placement, status, "internal error".to_owned())
    })
}

/// Returns the error response for an invalid query: JSON if the client prefers it, else a page or fragment.
fn invalid_query_response(request: PageRequest<'_>, bad: &BadOption) -> Response {
    let PageRequest { app, headers, placement, .. } = request;
    if super::error::wants_json(headers) {
        return match bad.status() {
            StatusCode::NOT_FOUND => Error::new(StatusCode::NOT_FOUND, "no-route", "Not found", bad.to_string()),
            status => Error::new(status, "bad-field", "Bad parameter", bad.to_string()),
        }
        .into_response();
    }
    match error_page::page(app, bad, error_page::ErrorContext::for_request(request)) {
        Ok(body) => page_response::error_response(app, placement, bad.status(), body),
        Err(_) => page_response::plain_error(app, placement, bad.status(), bad.to_string()),
    }
}

/// Returns the 404 page, or `None` if it can't be rendered; `root` is the relative path to the start page.
pub fn no_page(app: &AppState, headers: &HeaderMap, query: &str, root: &str) -> Option<Response> {
    let body = error_page::no_page(error_page::ErrorContext::for_path(app, headers, query, root)).ok()?;
    Some(page_response::error_response(app, Placement::Page, StatusCode::NOT_FOUND, body))
}
