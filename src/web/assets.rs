//! The script and the style sheets, built into the program.

use std::sync::OnceLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;

use super::AppState;
use super::pages::{etag, is_known};

/// How long a browser uses an asset without asking. Short: its address has no version in it.
const CACHE: &str = "public, max-age=300, stale-while-revalidate=86400";

/// Brotli's best and its largest useful window: each file is compressed once, when it is first asked for.
const BROTLI: (i32, i32) = (11, 22);

static SCRIPT: Asset = Asset::new("text/javascript; charset=utf-8", include_str!("../../static/sisepan.js"));
static MARKET_SCRIPT: Asset = Asset::new("text/javascript; charset=utf-8", include_str!("../../static/market.js"));
static WIDGET_STYLE: Asset = Asset::new("text/css; charset=utf-8", include_str!("../../static/sisepan.css"));
static PAGE_STYLE: Asset = Asset::new("text/css; charset=utf-8", include_str!("../../static/page.css"));
static ICON: Asset = Asset::new("image/svg+xml", include_str!("../../static/icon.svg"));

/// One file of `static/`.
#[derive(Debug)]
struct Asset {
    kind: &'static str,
    body: &'static str,
    /// In Brotli; empty if it can't be compressed.
    packed: OnceLock<Bytes>,
}

/// Returns the routes of the assets.
pub fn routes() -> Router<AppState> {
    let serve = |asset: &'static Asset| get(move |asked: HeaderMap| async move { asset.answer(&asked) });
    Router::new()
        .route("/sisepan.js", serve(&SCRIPT))
        .route("/market.js", serve(&MARKET_SCRIPT))
        .route("/sisepan.css", serve(&WIDGET_STYLE))
        .route("/page.css", serve(&PAGE_STYLE))
        .route("/icon.svg", serve(&ICON))
}

impl Asset {
    const fn new(kind: &'static str, body: &'static str) -> Self {
        Self { kind, body, packed: OnceLock::new() }
    }

    fn packed(&self) -> Bytes {
        let pack = || {
            let (quality, lgwin) = BROTLI;
            let settings = brotli::enc::BrotliEncoderParams { quality, lgwin, ..Default::default() };
            let mut packed = Vec::new();
            let done = brotli::BrotliCompress(&mut self.body.as_bytes(), &mut packed, &settings);
            if done.is_ok() { packed.into() } else { Bytes::new() }
        };
        self.packed.get_or_init(pack).clone()
    }

    /// Answers with the file, or 304 where the asker has it. Anyone's page may load it.
    ///
    /// Who takes no Brotli gets it plain from here; the router's own layer may still compress it.
    fn answer(&self, asked: &HeaderMap) -> Response {
        let (tag, packed) = (etag(self.body.as_bytes()), self.packed());
        let mut response = if is_known(asked, &tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else if takes_brotli(asked) && !packed.is_empty() {
            ([(header::CONTENT_TYPE, self.kind), (header::CONTENT_ENCODING, "br")], packed).into_response()
        } else {
            ([(header::CONTENT_TYPE, self.kind)], self.body).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

/// Whether `br` is among the accepted encodings and not with a weight of zero.
fn takes_brotli(asked: &HeaderMap) -> bool {
    let lists = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok());
    let mut entries = lists.flat_map(|list| list.split(','));
    entries.any(|entry| {
        let (name, weight) = entry.split_once(';').unwrap_or((entry, "q=1"));
        let digits = weight.trim().trim_start_matches("q=").trim_matches(['0', '.']);
        name.trim().eq_ignore_ascii_case("br") && !digits.is_empty()
    })
}
