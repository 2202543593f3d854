//! JSON API of rows, markets and venues, each encoded once per change; and the checks of health and readiness.

use std::collections::{BTreeMap, HashSet};

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::api::{self, BoardReadiness, Lang, MarketEntry, MarketNames, MarketSource, Readiness, Row, VenueEntry};
use crate::config::Board;
use crate::hub::RowsView;
use crate::locale;
use crate::web::cache::{Freshness, format_etag};
use crate::web::error::Error;
use crate::web::layers;
use crate::web::query::{self, BadRequest, find_board};
use crate::web::rows_query::RowsQuery;
use crate::web::state::AppState;

/// HTTP caches hold rows for at most a second, and may serve them a little longer while fetching new ones.
const CACHE_SNAPSHOT: &str = "public, max-age=1, stale-while-revalidate=4, stale-if-error=30";

const JSON: &str = "application/json";

/// `GET /api/v1/snapshot`: the rows of a board or of a list of markets.
pub async fn snapshot(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let query = query::parse_rows_query(query.as_deref())?;
    // It has no effect here, but is validated, since the same query may be used for a stream.
    query.interval()?;
    let boards = app.boards();
    let key = key("snapshot", &query);
    app.response_cache().get_or_render(&headers, boards.revision, key, Freshness::UntilPublish, || {
        let view = query.resolve(&app, &boards)?;
        let snapshot = app.hub.snapshot(&view);
        Ok((tagged(head(JSON, CACHE_SNAPSHOT), snapshot.tag), snapshot.body))
    })
}

/// `GET /api/v1/snapshot.csv`: the same rows as CSV.
pub async fn snapshot_csv(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let query = query::parse_rows_query(query.as_deref())?;
    query.interval()?;
    let boards = app.boards();
    let key = key("snapshot.csv", &query);
    app.response_cache().get_or_render(&headers, boards.revision, key, Freshness::UntilPublish, || {
        let view = query.resolve(&app, &boards)?;
        let quotes = view.rows.iter().filter_map(|(source, market)| app.hub.row(source, market));
        let rows: Vec<Row> = quotes.map(|quote| Row::new(&quote, view.basis, None)).collect();
        let content: Vec<Row> = rows.iter().map(Row::without_confirmation).collect();
        let tag = api::fingerprint(api::rows_csv(&content, view.basis).as_bytes());
        let mut head = tagged(head("text/csv; charset=utf-8", CACHE_SNAPSHOT), tag);
        if let Some(missing) = missing(&view) {
            head.insert("x-missing-markets", missing);
        }
        Ok((head, api::rows_csv(&rows, view.basis).into()))
    })
}

/// `GET /api/v1/markets`: every market that has a row now.
pub async fn markets(State(app): State<AppState>, headers: HeaderMap) -> Result<Response, Error> {
    let boards = app.boards();
    let make = || Ok((head(JSON, "public, max-age=10"), all_markets(&app, &boards).into()));
    app.response_cache().get_or_render(&headers, boards.revision, "markets".to_owned(), Freshness::UntilPublish, make)
}

/// `GET /api/v1/venues`: health of each venue.
pub async fn venues(State(app): State<AppState>, headers: HeaderMap) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Body<'a> {
        venues: Vec<VenueEntry<'a>>,
    }
    let revision = app.hub.revision();
    app.response_cache().get_or_render(&headers, revision, "venues".to_owned(), Freshness::UntilPublish, || {
        let mut venues = app.hub.venues();
        venues.sort_by_key(|health| health.venue);
        let body = Body { venues: venues.iter().map(VenueEntry::from).collect() };
        Ok((head(JSON, "public, max-age=1"), api::json(&body).into()))
    })
}

/// Adds the entity tag of a fingerprint to headers.
fn tagged(mut head: HeaderMap, fingerprint: u64) -> HeaderMap {
    if let Ok(tag) = HeaderValue::from_str(&format_etag(fingerprint)) {
        head.insert(header::ETAG, tag);
    }
    head
}

/// Returns the unknown markets of a request as a header value, percent-encoded and separated by commas.
fn missing(view: &RowsView) -> Option<HeaderValue> {
    // Form encoding writes a space as a plus, and a plus as `%2B`.
    let encode =
        |name: &String| url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20");
    let names: Vec<_> = view.missing.iter().map(encode).collect();
    (!names.is_empty()).then(|| HeaderValue::from_str(&names.join(",")).ok())?
}

fn all_markets(app: &AppState, boards: &[Board]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        markets: Vec<MarketEntry<'a>>,
    }
    let rows = app.hub.all_rows();
    let mut markets: BTreeMap<&api::Market, MarketEntry<'_>> = BTreeMap::new();
    for row in &rows {
        let entry = markets.entry(&row.market).or_insert_with(|| MarketEntry {
            market: &row.market,
            base: row.market.base(),
            quote: row.market.quote(),
            names: MarketNames {
                ko: locale::name(row, Lang::Ko),
                en: locale::name(row, Lang::En),
                ja: locale::name(row, Lang::Ja),
            },
            boards: boards.iter().filter(|b| b.markets.contains(&row.market)).map(|b| b.id.as_str()).collect(),
            sources: Vec::new(),
        });
        entry.sources.push(MarketSource {
            source: row.source.as_str().split(',').collect(),
            venue: row.venue,
            digits: row.digits,
            state: row.state,
        });
    }
    api::json(&Body { markets: markets.into_values().collect() })
}

/// Returns the cache key of a query: equal for equivalent queries.
fn key(path: &str, query: &RowsQuery) -> String {
    let RowsQuery { board, markets, basis, lang, interval_ms: _ } = query;
    let mut seen = HashSet::new();
    let names = markets.iter().flatten().map(|market| market.to_ascii_uppercase());
    let distinct: Vec<_> = names.filter(|market| seen.insert(market.clone())).collect();
    // The number of names is part of the key, since too many names are rejected even if they repeat.
    let count = markets.as_ref().map(Vec::len);
    format!("{path} {board:?} {basis:?} {lang:?} {count:?} {distinct:?}")
}

/// Returns the headers of a response: those of the API, content type and cache control.
fn head(content_type: &'static str, cache: &'static str) -> HeaderMap {
    let mut head = HeaderMap::new();
    layers::add_api_headers(&mut head);
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    head
}

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
    let configured = app.boards();
    let requested = find_board(&configured, board.as_deref())?;
    let selected = configured.iter().filter(|board| requested.is_none_or(|requested| requested.id == board.id));
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
