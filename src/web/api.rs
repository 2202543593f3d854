//! The JSON API: rows, markets, venues.

use std::collections::BTreeMap;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

use super::error::Error;
use super::{AppState, query};
use crate::text;
use crate::wire::{self, Lang, MarketEntry, MarketNames, MarketSource, VenueEntry};

/// A row is at most a second old in a cache; while a new one is fetched the old may serve a little longer.
const CACHE_SNAPSHOT: &str = "public, max-age=1, stale-while-revalidate=4, stale-if-error=30";

/// `GET /api/v1/snapshot`: the rows of a board or of a list of markets.
pub async fn snapshot(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let view = query::read(query.as_deref())?.view(&app)?;
    let snapshot = app.hub.snapshot(&view);
    Ok(answer(&headers, CACHE_SNAPSHOT, &format!("W/\"{:016x}\"", snapshot.tag), snapshot.body))
}

/// Answers with the body, or with 304 if the asker has it.
fn answer(request: &HeaderMap, cache: &'static str, etag: &str, body: Bytes) -> Response {
    let mut response = if has(request, etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}

/// Compares weakly, as RFC 9110 has it for `If-None-Match`: `W/` makes no difference.
fn has(request: &HeaderMap, etag: &str) -> bool {
    let opaque = etag.trim_start_matches("W/");
    let values = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.trim_start_matches("W/") == opaque)
}

/// `GET /api/v1/markets`: every market that was ever published.
pub async fn markets(State(app): State<AppState>) -> impl IntoResponse {
    #[derive(Serialize)]
    struct Body<'a> {
        markets: Vec<MarketEntry<'a>>,
    }
    let rows = app.hub.all_rows();
    let mut markets: BTreeMap<&wire::Market, MarketEntry<'_>> = BTreeMap::new();
    for row in &rows {
        let entry = markets.entry(&row.market).or_insert_with(|| MarketEntry {
            market: &row.market,
            base: row.market.base(),
            quote: row.market.quote(),
            names: MarketNames {
                ko: text::name(row, Lang::Ko),
                en: text::name(row, Lang::En),
                ja: text::name(row, Lang::Ja),
            },
            boards: app.boards.iter().filter(|b| b.markets.contains(&row.market)).map(|b| b.id.as_str()).collect(),
            sources: Vec::new(),
        });
        entry.sources.push(MarketSource {
            source: row.source.as_str().split(',').collect(),
            venue: row.venue,
            digits: row.digits,
            state: row.state,
        });
    }
    json("public, max-age=10", &Body { markets: markets.into_values().collect() })
}

/// `GET /api/v1/venues`: how each source is.
pub async fn venues(State(app): State<AppState>) -> impl IntoResponse {
    #[derive(Serialize)]
    struct Body<'a> {
        venues: Vec<VenueEntry<'a>>,
    }
    let mut venues = app.hub.venues();
    venues.sort_by_key(|health| health.venue);
    json("public, max-age=1", &Body { venues: venues.iter().map(VenueEntry::from).collect() })
}

fn json<T: Serialize>(cache: &'static str, body: &T) -> ([(HeaderName, &'static str); 3], Vec<u8>) {
    let headers =
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, cache), (header::VARY, "accept-encoding")];
    (headers, wire::json(body))
}
