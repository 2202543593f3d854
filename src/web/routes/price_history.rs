//! History of a market: read once, cached for a few seconds, served as JSON, as CSV, and to pages.
//!
//! Separate from the rest of the API since only history may have to be read from disk: off the async threads, with
//! limited concurrency and a timeout. Pages load it before rendering, which is synchronous.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};

use crate::market::{HourSource, Market, Quote, VenueId};
use crate::options::{Choice, Span, Widget};
use crate::web::cache::{HistoryCache, etag, matches_etag};
use crate::web::error::Error;
use crate::web::query::{self, BadRequest, find_board, find_source, to_strings};
use crate::web::state::AppState;
use crate::widgets::series::{HistoryQuery, PageHistory, Series};
use crate::widgets::widget_options::{CARD_MARKETS_MAX, Options, Pick};

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
    let query = parse_query(&app, name, values)?;
    let series = read(app.history_cache(), &app, query).await?;
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

/// Timeout of a read, including the wait for a permit.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// `Retry-After` of a failed read, in seconds.
const RETRY_AFTER_SECS: u64 = 10;

/// Reads the history of a market for a page; returns `None` if it is not available.
pub async fn for_page(app: &AppState, query: HistoryQuery) -> Option<Arc<Series>> {
    read(app.history_cache(), app, query).await.ok()
}

/// Reads the history of a market for a sparkline: coarse and cached for a minute, so that a page may have many.
pub async fn for_spark(app: &AppState, query: HistoryQuery) -> Option<Arc<Series>> {
    read(app.spark_cache(), app, query).await.ok()
}

/// Maximum number of risers, and of fallers, whose history is checked for the minimum trading time.
const CANDIDATES_MAX: usize = 40;

/// Loads the history that a widget shows.
pub async fn load(app: &AppState, options: &Options<'_>, widget: Widget) -> PageHistory {
    match widget {
        Widget::Board | Widget::Tape | Widget::Ticker => PageHistory::default(),
        Widget::Card => {
            PageHistory { days: load_days(app, &options.picks, CARD_MARKETS_MAX).await, ..PageHistory::default() }
        }
        Widget::Chart => PageHistory { plot: plot(app, options).await, ..PageHistory::default() },
        Widget::Movers => {
            PageHistory { established: established_markets(app, options).await, ..PageHistory::default() }
        }
    }
}

/// Loads the last 24 hours of the first `max` markets.
pub async fn load_days(app: &AppState, picks: &[Pick], max: usize) -> Vec<Option<Arc<Series>>> {
    let days = picks.iter().take(max).map(|pick| async move {
        let quote = app.hub.row(&pick.source, &pick.market);
        for_spark(app, history_query(app, pick, quote.as_deref(), Span::Day, true)?).await
    });
    join_all(days).await
}

async fn plot(app: &AppState, options: &Options<'_>) -> Option<Arc<Series>> {
    let pick = options.picks.first()?;
    let quote = app.hub.row(&pick.source, &pick.market);
    for_page(app, history_query(app, pick, quote.as_deref(), options.values.span(), false)?).await
}

/// Returns the movers whose history begins early enough, or `None` if that is not required.
///
/// A market whose history can't be read is not included.
pub async fn established_markets(app: &AppState, options: &Options<'_>) -> Option<HashSet<Market>> {
    let since = app.movers().traded_since(app.clock.now())?;
    let quotes: Vec<_> = options.picks.iter().filter_map(|pick| app.hub.row(&pick.source, &pick.market)).collect();
    let ranked = app.movers().rank(quotes.iter().map(AsRef::as_ref), options.basis);
    let candidates = ranked.risers.iter().take(CANDIDATES_MAX).chain(ranked.fallers.iter().take(CANDIDATES_MAX));
    let found = candidates.map(|quote| async move {
        let pick = Pick { market: quote.market.clone(), source: quote.source.clone() };
        let series = for_spark(app, history_query(app, &pick, Some(quote), Span::Week, true)?).await?;
        let step = i64::from(series.query.step.minutes) * 60;
        let first = i64::try_from(series.bars.iter().position(Option::is_some)?).ok()?;
        (series.start.as_second() + first * step <= since.as_second()).then_some(pick.market)
    });
    Some(join_all(found).await.into_iter().flatten().collect())
}

/// Creates the query for the history of a market at the venue that its row shows.
fn history_query(app: &AppState, pick: &Pick, quote: Option<&Quote>, span: Span, coarse: bool) -> Option<HistoryQuery> {
    let venues: Vec<VenueId> = app.boards().iter().find(|board| board.source == pick.source)?.venues();
    let venue = quote.map(|quote| quote.venue).or(venues.first().copied())?;
    let step = if coarse { span.spark_step() } else { span.plot_step() };
    Some(HistoryQuery { market: pick.market.clone(), venue, venues, span, step })
}

/// Parses a market and the values of `board`, `venue`, `span` and `step`.
///
/// # Errors
/// Returns an error that names the invalid parameter and its allowed values.
fn parse_query(app: &AppState, market: &str, values: [Option<String>; 4]) -> Result<HistoryQuery, Error> {
    let [board, venue, span, step] = values;
    let boards = app.boards();
    let board = find_board(&boards, board.as_deref())?;
    let parsed: Option<Market> = market.parse().ok();
    let found = parsed.and_then(|market| find_source(app, &boards, board, &market).map(|source| (market, source)));
    let (market, source) = found.ok_or_else(|| unknown_market(market))?;
    let venues = boards.iter().find(|board| board.source == source).map(|board| board.venues());
    let venues = venues.unwrap_or_default();
    let venue = match venue {
        Some(id) => *venues
            .iter()
            .find(|venue| venue.as_str() == id)
            .ok_or_else(|| BadRequest::unknown("unknown-venue", "venue", &id, to_strings(&venues)))?,
        None => {
            let current = app.hub.row(&source, &market).map(|row| row.venue);
            *current.as_ref().or(venues.first()).ok_or_else(|| unknown_market(market.as_str()))?
        }
    };
    let span = choose("bad-span", "span", span.as_deref(), Span::EVERY, |span| span.keyword())?;
    let step = choose("bad-step", "step", step.as_deref(), span.steps(), |step| step.name)?;
    Ok(HistoryQuery { market, venue, venues, span, step })
}

fn unknown_market(market: &str) -> Error {
    let name: String = market.chars().take(64).collect();
    Error::new(StatusCode::NOT_FOUND, "unknown-market", "Unknown market", format!("unknown market {name:?}"))
}

/// Parses a value; the default is the first of `all`.
fn choose<T: Copy>(
    code: &'static str,
    name: &str,
    value: Option<&str>,
    all: &[T],
    to_str: fn(&T) -> &'static str,
) -> Result<T, BadRequest> {
    let found = match value {
        Some(value) => all.iter().find(|one| to_str(one) == value),
        None => all.first(),
    };
    let invalid = || {
        let allowed = all.iter().map(|one| to_str(one).to_owned()).collect();
        BadRequest::unknown(code, name, value.unwrap_or_default(), allowed)
    };
    found.copied().ok_or_else(invalid)
}

/// Returns the series for a query, from the cache if possible.
///
/// # Errors
/// Returns an error if the server stores no history, or if reading it fails or times out.
async fn read(cache: &HistoryCache, app: &AppState, query: HistoryQuery) -> Result<Arc<Series>, Error> {
    let source = app.history.clone().ok_or_else(|| {
        let detail = "this server stores no history";
        Error::new(StatusCode::SERVICE_UNAVAILABLE, "no-history", "No history", detail)
    })?;
    let now = venue_now(app, &query);
    if let Some(series) = cache.cached(&query, now) {
        return Ok(series);
    }
    let answer = tokio::time::timeout(READ_TIMEOUT, read_uncached(cache, source, query, now, app)).await;
    answer.unwrap_or_else(|_| Err(retry_later("history-busy", "reading the history timed out")))
}

async fn read_uncached(
    cache: &HistoryCache,
    source: Arc<dyn HourSource>,
    query: HistoryQuery,
    now: Timestamp,
    app: &AppState,
) -> Result<Arc<Series>, Error> {
    let closed = |_| retry_later("history-failed", "the server is shutting down");
    let permit = cache.reads.clone().acquire_owned().await.map_err(closed)?;
    // Another request for the same series may have read it meanwhile.
    if let Some(series) = cache.cached(&query, now) {
        return Ok(series);
    }
    let (uptime, demo) = (app.uptime(), app.demo);
    let reading = tokio::task::spawn_blocking(move || {
        let series = Series::read(source.as_ref(), query, now, uptime, demo);
        drop(permit);
        series
    });
    let series = reading.await.unwrap_or_else(|error| Err(error.to_string()));
    let series = series.map(Arc::new).map_err(|error| {
        tracing::warn!(%error, "reading the history failed; request answered with status 503");
        retry_later("history-failed", "reading the history failed")
    })?;
    cache.insert(now.as_second(), &series);
    Ok(series)
}

/// Returns the venue time, since minutes are those of the venue's clock.
fn venue_now(app: &AppState, query: &HistoryQuery) -> Timestamp {
    let health = app.hub.venues().into_iter().find(|health| health.venue == query.venue);
    let ahead = SignedDuration::from_millis(health.and_then(|health| health.clock_skew_ms).unwrap_or(0));
    let now = app.clock.now();
    now.checked_add(ahead).unwrap_or(now)
}

/// Returns an error that asks the client to retry later.
fn retry_later(code: &str, detail: &str) -> Error {
    Error::retryable(StatusCode::SERVICE_UNAVAILABLE, code, "History not available", detail, RETRY_AFTER_SECS)
}
