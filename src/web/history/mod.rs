//! History of a market: read once, cached for a few seconds, served as JSON, as CSV, and to pages.
//!
//! Separate from the rest of the API since only history may have to be read from disk: off the async threads, with
//! limited concurrency and a timeout.

mod history_cache;
mod history_query;

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error::Error;
use super::response_cache::{etag, matches_etag};
use super::{AppState, query};

pub use history_cache::{HistoryCache, Series};
pub use history_query::{HistoryQuery, Span};

/// HTTP caches keep a response about as long as our own cache does.
const CACHE: &str = "public, max-age=10, stale-while-revalidate=30, stale-if-error=300";

/// `GET /api/v1/history/{market}`: minute closes, or bars of several minutes, as JSON or CSV.
pub async fn history(
    State(app): State<AppState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let (name, csv) = name.strip_suffix(".csv").map_or((name.as_str(), false), |name| (name, true));
    let values = query::parse_parameters(query.as_deref(), ["board", "venue", "span", "step"])?;
    let query = HistoryQuery::parse(&app, name, values)?;
    let series = app.history_cache().read(&app, query).await?;
    let (content_type, body) =
        if csv { ("text/csv; charset=utf-8", series.csv()) } else { ("application/json", series.json()) };
    let tag = etag(&body);
    let mut response = if matches_etag(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, content_type)], body).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Reads the history of a market for a page; returns `None` if it is not available.
pub async fn for_page(app: &AppState, query: HistoryQuery) -> Option<Arc<Series>> {
    app.history_cache().read(app, query).await.ok()
}

/// Reads the history of a market for a sparkline: coarse and cached for a minute, so that a page may have many.
pub async fn for_spark(app: &AppState, query: HistoryQuery) -> Option<Arc<Series>> {
    app.spark_cache().read(app, query).await.ok()
}
