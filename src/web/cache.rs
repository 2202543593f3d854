//! Caches of history series and of responses. Each variant of a response is rendered and compressed once per change:
//!
//! ```text
//!  request ─▶ lookup ── hit: the response, without routing and parsing
//!               │ miss
//!               ▼
//!  router ─▶ handler ─▶ get_or_render(key) ── fresh: the body │ else: one request renders it, the others wait
//! ```
//!
//! A handler's key is the parsed request, so order, spelling and unknown parameters create no second entry. The
//! response cache is bounded; its least recently used entry is evicted.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::layers::{self, Coding, Effort};
use crate::api;
use crate::clock::Clock;
use crate::hub::Hub;
use crate::widgets::series::{HistoryQuery, Series};

/// Maximum number of cached bodies.
const ENTRIES_MAX: usize = 256;

/// Maximum number of exact requests whose entry is known without parsing them.
const REQUEST_KEYS_MAX: usize = 1024;

/// Maximum length of such a request in bytes.
const REQUEST_KEY_BYTES_MAX: usize = 1280;

/// Maximum number of cached series, of at most about 1 MB each: a week of minutes.
const SERIES_MAX: usize = 32;

/// How long a series is cached, in seconds. Shorter than a minute, since the newest minute close arrives late.
const SERIES_SECS: i64 = 10;

/// Maximum number of cached sparkline series, of about 8 kB each.
const SPARKS_MAX: usize = 512;

/// How long a sparkline series is cached, in seconds; it has one point per quarter of an hour.
const SPARKS_SECS: i64 = 60;

/// How long a series with holes is cached after the start, in seconds, while candles are still being fetched.
const GROWING_SECS: i64 = 1;

/// Maximum number of concurrent reads of series; each may block a thread on a slow disk.
const READS_MAX: usize = 4;

/// How long a body is fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Until an answer may differ ([`Hub::version`]).
    UntilPublish,
    /// As `UntilPublish`, at most until the end of the second: the body shows ages or the time.
    UntilSecond,
}

/// Response cache of one server.
#[derive(Debug)]
pub struct ResponseCache {
    hub: Hub,
    clock: Clock,
    entries: Mutex<HashMap<String, Arc<Entry>>>,
    /// Exact requests by their hash, with the entry that answered them.
    request_keys: Mutex<HashMap<u64, (RequestKey, Weak<Entry>)>>,
    hasher: RandomState,
    /// Counts uses, to find the least recently used entry.
    uses: AtomicU64,
    rendered: AtomicU64,
}

/// Cache entry of one response variant.
#[derive(Debug)]
struct Entry {
    freshness: Freshness,
    used: AtomicU64,
    newest: Mutex<Option<(Stamp, Arc<CachedBody>)>>,
}

/// State that a body was rendered from; the body is fresh as long as it is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    version: u64,
    /// The revision of the hub.
    revision: u64,
    second: i64,
}

/// Exact request: target and headers that the response depends on.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestKey {
    target: Box<str>,
    language: Option<HeaderValue>,
}

/// Response extension that names the cache entry of the response.
#[derive(Debug, Clone)]
pub struct CacheHit(Arc<Entry>);

/// Cache of history series.
#[derive(Debug)]
pub struct HistoryCache {
    /// The series, each with the time of its read in Unix seconds.
    entries: Mutex<HashMap<HistoryQuery, (i64, Arc<Series>)>>,
    cached_max: usize,
    cached_secs: i64,
    /// Permits of reads.
    pub reads: Arc<Semaphore>,
}

impl ResponseCache {
    /// Creates an empty cache of responses that show the rows of `hub`.
    pub fn new(hub: Hub, clock: Clock) -> Self {
        Self {
            hub,
            clock,
            entries: Mutex::default(),
            request_keys: Mutex::default(),
            hasher: RandomState::default(),
            uses: AtomicU64::default(),
            rendered: AtomicU64::default(),
        }
    }

    /// Responds with the body of `key`, rendered by `render` if the cached one is not fresh.
    ///
    /// `render` returns headers and bytes. While one caller renders, others with the same key wait. `revision` is that
    /// of the boards that `render` uses; a body of outdated boards is not served to later requests.
    ///
    /// # Errors
    /// Returns the error of `render`; nothing is cached then.
    pub fn get_or_render<E>(
        &self,
        request_headers: &HeaderMap,
        revision: u64,
        key: String,
        freshness: Freshness,
        render: impl FnOnce() -> Result<(HeaderMap, Bytes), E>,
    ) -> Result<Response, E> {
        let entry = self.entry(&key, freshness);
        let mut newest = entry.newest();
        let stamp = Stamp { revision, ..self.stamp(&entry) };
        let fresh = newest.as_ref().filter(|(rendered_from, _)| *rendered_from == stamp).map(|(_, body)| body.clone());
        let body = match fresh {
            Some(body) => body,
            None => {
                self.rendered.fetch_add(1, Ordering::Relaxed);
                let (head, plain) = render().inspect_err(|_| self.remove(&key))?;
                // An unchanged body is reused, since it is compressed already.
                let same = newest.take().map(|(_, body)| body).filter(|body| body.matches(&head, &plain));
                let body = same.unwrap_or_else(|| Arc::new(CachedBody::new(head, plain, Effort::Quick)));
                *newest = Some((stamp, body.clone()));
                body
            }
        };
        drop(newest);
        let mut response = body.respond(request_headers);
        response.extensions_mut().insert(CacheHit(entry));
        Ok(response)
    }

    /// Responds to a request that repeats an earlier one exactly, if its body is still fresh.
    pub fn lookup<B>(&self, request: &Request<B>) -> Option<Response> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let target = request.uri().path_and_query()?.as_str();
        let language = request.headers().get(header::ACCEPT_LANGUAGE);
        let hash = self.hasher.hash_one((target, language));
        let entry = {
            let request_keys = self.request_keys();
            let (known, entry) = request_keys.get(&hash)?;
            (*known.target == *target && known.language.as_ref() == language).then(|| entry.upgrade())??
        };
        let stamp = self.stamp(&entry);
        let newest = entry.newest();
        let body =
            newest.as_ref().filter(|(rendered_from, _)| *rendered_from == stamp).map(|(_, body)| body.clone())?;
        drop(newest);
        entry.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(body.respond(request.headers()))
    }

    /// Returns the key of a request, if [`ResponseCache::lookup`] may answer its repetition.
    pub fn request_key<B>(request: &Request<B>) -> Option<RequestKey> {
        let target = request.uri().path_and_query().filter(|_| *request.method() == Method::GET)?.as_str();
        let language = request.headers().get(header::ACCEPT_LANGUAGE).cloned();
        let bytes = target.len() + language.as_ref().map_or(0, HeaderValue::len);
        (bytes <= REQUEST_KEY_BYTES_MAX).then(|| RequestKey { target: target.into(), language })
    }

    /// Records which entry answers a request.
    pub fn record(&self, request_key: RequestKey, hit: CacheHit) {
        let hash = self.hasher.hash_one((&*request_key.target, request_key.language.as_ref()));
        let mut request_keys = self.request_keys();
        if request_keys.len() >= REQUEST_KEYS_MAX && !request_keys.contains_key(&hash) {
            // Costs each request one pass through the router, so a client that varies its requests gains nothing.
            request_keys.clear();
        }
        request_keys.insert(hash, (request_key, Arc::downgrade(&hit.0)));
    }

    /// Returns the number of cached entries and of known exact requests.
    pub fn entry_counts(&self) -> (usize, usize) {
        (self.entries().len(), self.request_keys().len())
    }

    /// Returns how often a body was rendered.
    pub fn render_count(&self) -> u64 {
        self.rendered.load(Ordering::Relaxed)
    }

    fn entry(&self, key: &str, freshness: Freshness) -> Arc<Entry> {
        let used = self.uses.fetch_add(1, Ordering::Relaxed);
        let mut entries = self.entries();
        if let Some(entry) = entries.get(key) {
            entry.used.store(used, Ordering::Relaxed);
            return entry.clone();
        }
        if entries.len() >= ENTRIES_MAX {
            let least_recent = entries.iter().min_by_key(|(_, entry)| entry.used.load(Ordering::Relaxed));
            if let Some(key) = least_recent.map(|(key, _)| key.clone()) {
                entries.remove(&key);
            }
        }
        let entry = Arc::new(Entry { freshness, used: AtomicU64::new(used), newest: Mutex::default() });
        entries.insert(key.to_owned(), entry.clone());
        entry
    }

    fn stamp(&self, entry: &Entry) -> Stamp {
        let second = match entry.freshness {
            Freshness::UntilPublish => 0,
            Freshness::UntilSecond => self.clock.now().as_second(),
        };
        Stamp { version: self.hub.version(), revision: self.hub.revision(), second }
    }

    fn remove(&self, key: &str) {
        self.entries().remove(key);
    }

    // Both locks are held briefly and never across an await.
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request_keys(&self) -> MutexGuard<'_, HashMap<u64, (RequestKey, Weak<Entry>)>> {
        self.request_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    // The lock is held while a body is rendered, so that other callers wait for it; never across an await.
    fn newest(&self) -> MutexGuard<'_, Option<(Stamp, Arc<CachedBody>)>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Immutable response body with its headers and compressed forms.
#[derive(Debug)]
pub struct CachedBody {
    /// All headers of a response, including the entity tag, without those of compression.
    head: HeaderMap,
    tag: String,
    plain: Bytes,
    effort: Effort,
    /// Compressed forms in the order of [`Coding::ALL`], each computed on first use.
    compressed: [OnceLock<Option<Compressed>>; 3],
}

#[derive(Debug)]
struct Compressed {
    head: HeaderMap,
    bytes: Bytes,
}

impl CachedBody {
    /// Creates a body from its headers; adds `ETag` and `Vary: accept-encoding` where they are missing.
    pub fn new(mut head: HeaderMap, plain: Bytes, effort: Effort) -> Self {
        layers::add_security_headers(&mut head);
        let existing = head.get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let tag = existing.unwrap_or_else(|| etag(&plain));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            head.insert(header::ETAG, tag);
        }
        if !head.contains_key(header::VARY) {
            head.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        Self { head, tag, plain, effort, compressed: [const { OnceLock::new() }; 3] }
    }

    /// Returns whether the body has these bytes and headers.
    pub fn matches(&self, head: &HeaderMap, plain: &[u8]) -> bool {
        let is_equal = |(name, value): (_, &HeaderValue)| self.head.get(name) == Some(value);
        self.plain == plain && head.iter().all(is_equal)
    }

    /// Creates the response to a request: the body in the preferred compression, or 304 if the client has it.
    pub fn respond(&self, request_headers: &HeaderMap) -> Response {
        if matches_etag(request_headers, &self.tag) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.headers_mut() = self.head.clone();
            response.headers_mut().remove(header::CONTENT_TYPE);
            return response;
        }
        let (head, bytes) = match Coding::negotiate(request_headers).and_then(|coding| self.compressed(coding)) {
            Some(compressed) => (&compressed.head, &compressed.bytes),
            None => (&self.head, &self.plain),
        };
        let mut response = Response::new(Body::from(bytes.clone()));
        *response.headers_mut() = head.clone();
        response
    }

    fn compressed(&self, coding: Coding) -> Option<&Compressed> {
        let compress = || {
            if self.is_compressed_format() {
                return None;
            }
            let bytes = coding.compress(&self.plain, self.effort)?;
            let mut head = self.head.clone();
            head.insert(header::CONTENT_ENCODING, coding.header());
            Some(Compressed { head, bytes })
        };
        self.compressed.get(coding as usize)?.get_or_init(compress).as_ref()
    }

    /// Returns whether the format is compressed by itself: a PNG.
    fn is_compressed_format(&self) -> bool {
        self.head.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "image/png")
    }
}

impl Default for HistoryCache {
    fn default() -> Self {
        Self::with_size(SERIES_MAX, SERIES_SECS)
    }
}

impl HistoryCache {
    /// Creates a cache for the sparklines of many markets.
    pub fn for_sparks() -> Self {
        Self::with_size(SPARKS_MAX, SPARKS_SECS)
    }

    fn with_size(cached_max: usize, cached_secs: i64) -> Self {
        Self { entries: Mutex::default(), cached_max, cached_secs, reads: Arc::new(Semaphore::new(READS_MAX)) }
    }

    /// Returns a series that is still valid.
    pub fn cached(&self, query: &HistoryQuery, now: Timestamp) -> Option<Arc<Series>> {
        let entries = self.entries();
        entries
            .get(query)
            .filter(|(at, series)| self.is_fresh(*at, series, now.as_second()))
            .map(|(_, series)| series.clone())
    }

    /// Returns whether a cached series is still valid: all series read in one time slot expire together.
    fn is_fresh(&self, at: i64, series: &Series, now: i64) -> bool {
        let slot_secs = if series.is_growing { GROWING_SECS } else { self.cached_secs };
        at.div_euclid(slot_secs) == now.div_euclid(slot_secs)
    }

    /// Caches a series that was read at a time in Unix seconds.
    pub fn insert(&self, at: i64, series: &Arc<Series>) {
        let mut entries = self.entries();
        if entries.len() >= self.cached_max && !entries.contains_key(&series.query) {
            entries.retain(|_, (read_at, series)| self.is_fresh(*read_at, series, at));
        }
        if entries.len() < self.cached_max || entries.contains_key(&series.query) {
            entries.insert(series.query.clone(), (at, series.clone()));
        }
    }

    // The lock is held briefly and never across an await.
    fn entries(&self) -> MutexGuard<'_, HashMap<HistoryQuery, (i64, Arc<Series>)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a weak entity tag of the content, which is the same on every node, compressed or not.
pub fn etag(body: &[u8]) -> String {
    format_etag(api::fingerprint(body))
}

/// Formats a fingerprint as a weak entity tag.
pub fn format_etag(fingerprint: u64) -> String {
    format!("W/\"{fingerprint:016x}\"")
}

/// Returns whether `If-None-Match` contains `tag`, by weak comparison as in RFC 9110.
pub fn matches_etag(request_headers: &HeaderMap, tag: &str) -> bool {
    let opaque = tag.trim_start_matches("W/");
    let lists = request_headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.trim_start_matches("W/") == opaque)
}
