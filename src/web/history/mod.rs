//! The past of a market: read once, kept for a few seconds, given out as JSON, as CSV, and to the pages.
//!
//! Apart from the rest of the API because it alone reads what is not in
//! memory for sure: off the async threads, few at a time, with a deadline.

mod desk;
mod question;

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::bodies::{is_known, tag};
use super::error::Error;
use super::{AppState, query};

pub use desk::{Desk, Series};
pub use question::{Question, Span};

/// A cache holds an answer about as long as we do.
const CACHE: &str = "public, max-age=10, stale-while-revalidate=30, stale-if-error=300";

/// `GET /api/v1/history/{market}`: minute closes, or bars of several minutes.
pub async fn history(
    State(app): State<AppState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let (name, csv) = name.strip_suffix(".csv").map_or((name.as_str(), false), |name| (name, true));
    let asked = query::known(query.as_deref(), ["board", "venue", "span", "step"])?;
    let question = Question::read(&app, name, asked)?;
    let series = app.past().read(&app, question).await?;
    let (kind, body) =
        if csv { ("text/csv; charset=utf-8", series.csv()) } else { ("application/json", series.json()) };
    let tag = tag(&body);
    let mut response = if is_known(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, kind)], body).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Reads the past of a market for a page; `None` where there is none to be read now.
pub async fn for_page(app: &AppState, question: Question) -> Option<Arc<Series>> {
    app.past().read(app, question).await.ok()
}

/// Reads the past of a market for a small line: coarse, kept for a minute, so that a page may have many.
pub async fn for_spark(app: &AppState, question: Question) -> Option<Arc<Series>> {
    app.sparks().read(app, question).await.ok()
}
