//! The JSON API: rows, markets, venues. Every body is made once a change.

use std::collections::{BTreeMap, HashSet};

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde::Serialize;

use super::ask::Ask;
use super::bodies::{Life, tag_of};
use super::error::Error;
use super::{AppState, layers, query};
use crate::hub::View;
use crate::text;
use crate::wire::{self, Lang, MarketEntry, MarketNames, MarketSource, Row, VenueEntry};

/// A row is at most a second old in a cache; while a new one is fetched the old may serve a little longer.
const CACHE_SNAPSHOT: &str = "public, max-age=1, stale-while-revalidate=4, stale-if-error=30";

const JSON: &str = "application/json";

/// `GET /api/v1/snapshot`: the rows of a board or of a list of markets.
pub async fn snapshot(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let ask = query::read(query.as_deref())?;
    // It changes nothing here, but one query serves snapshot and stream: what that would refuse is refused.
    ask.interval()?;
    app.bodies().get(&app, &headers, key("snapshot", &ask), Life::Change, || {
        let view = ask.view(&app)?;
        let snapshot = app.hub.snapshot(&view);
        Ok((tagged(head(JSON, CACHE_SNAPSHOT), snapshot.tag), snapshot.body))
    })
}

/// `GET /api/v1/snapshot.csv`: the same as a table.
pub async fn snapshot_csv(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let ask = query::read(query.as_deref())?;
    ask.interval()?;
    app.bodies().get(&app, &headers, key("snapshot.csv", &ask), Life::Change, || {
        let view = ask.view(&app)?;
        let quotes = view.rows.iter().filter_map(|(source, market)| app.hub.row(source, market));
        let rows: Vec<Row> = quotes.map(|quote| Row::new(&quote, view.basis, None)).collect();
        let content: Vec<Row> = rows.iter().map(Row::timeless).collect();
        let tag = wire::fingerprint(wire::rows_csv(&content, view.basis).as_bytes());
        let mut head = tagged(head("text/csv; charset=utf-8", CACHE_SNAPSHOT), tag);
        if let Some(missing) = missing(&view) {
            head.insert("x-missing-markets", missing);
        }
        Ok((head, wire::rows_csv(&rows, view.basis).into()))
    })
}

/// `GET /api/v1/markets`: every market that was ever published.
pub async fn markets(State(app): State<AppState>, headers: HeaderMap) -> Result<Response, Error> {
    let make = || Ok((head(JSON, "public, max-age=10"), all_markets(&app).into()));
    app.bodies().get(&app, &headers, "markets".to_owned(), Life::Change, make)
}

/// `GET /api/v1/venues`: how each source is.
pub async fn venues(State(app): State<AppState>, headers: HeaderMap) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Body<'a> {
        venues: Vec<VenueEntry<'a>>,
    }
    app.bodies().get(&app, &headers, "venues".to_owned(), Life::Change, || {
        let mut venues = app.hub.venues();
        venues.sort_by_key(|health| health.venue);
        let body = Body { venues: venues.iter().map(VenueEntry::from).collect() };
        Ok((head(JSON, "public, max-age=1"), wire::json(&body).into()))
    })
}

/// Puts the entity tag of a content on its headers.
fn tagged(mut head: HeaderMap, fingerprint: u64) -> HeaderMap {
    if let Ok(tag) = HeaderValue::from_str(&tag_of(fingerprint)) {
        head.insert(header::ETAG, tag);
    }
    head
}

/// Returns what was asked for and is not known, percent-encoded and by comma, for a body that has no place for it.
fn missing(view: &View) -> Option<HeaderValue> {
    // A form writes a space as a plus, and a plus as `%2B`.
    let encode =
        |name: &String| url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20");
    let names: Vec<_> = view.missing.iter().map(encode).collect();
    (!names.is_empty()).then(|| HeaderValue::from_str(&names.join(",")).ok())?
}

fn all_markets(app: &AppState) -> Vec<u8> {
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
    wire::json(&Body { markets: markets.into_values().collect() })
}

/// Writes what is asked for so that the same is always the same text.
fn key(what: &str, ask: &Ask) -> String {
    let Ask { board, markets, basis, lang, interval_ms: _ } = ask;
    let mut seen = HashSet::new();
    let named = markets.iter().flatten().map(|market| market.to_ascii_uppercase());
    let each_once: Vec<_> = named.filter(|market| seen.insert(market.clone())).collect();
    // How many were named counts: too many are refused, also of the same.
    let count = markets.as_ref().map(Vec::len);
    format!("{what} {board:?} {basis:?} {lang:?} {count:?} {each_once:?}")
}

fn head(kind: &'static str, cache: &'static str) -> HeaderMap {
    let mut head = HeaderMap::new();
    layers::mark(&mut head);
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    head
}
