//! Scripts, style sheets and the icon, compiled into the program.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::routing::get;
use bytes::Bytes;

use super::AppState;
use super::response_cache::{CachedBody, Effort};

/// Browser cache lifetime of an asset; short, since the URL contains no version.
pub const CACHE: &str = "public, max-age=300, stale-while-revalidate=86400";

static CONFIGURATOR_SCRIPT: Asset =
    LazyLock::new(|| asset("text/javascript; charset=utf-8", include_str!("../../static/widgets.js")));
static CONFIGURATOR_STYLE: Asset =
    LazyLock::new(|| asset("text/css; charset=utf-8", include_str!("../../static/widgets.css")));
static MARKET_SCRIPT: Asset =
    LazyLock::new(|| asset("text/javascript; charset=utf-8", include_str!("../../static/market.js")));
static HOME_SCRIPT: Asset =
    LazyLock::new(|| asset("text/javascript; charset=utf-8", include_str!("../../static/home.js")));
static PAGE_SCRIPT: Asset =
    LazyLock::new(|| asset("text/javascript; charset=utf-8", include_str!("../../static/page.js")));
static WIDGET_STYLE: Asset =
    LazyLock::new(|| asset("text/css; charset=utf-8", include_str!("../../static/sisepan.css")));
static PAGE_STYLE: Asset = LazyLock::new(|| asset("text/css; charset=utf-8", include_str!("../../static/page.css")));
static ICON: Asset = LazyLock::new(|| asset("image/svg+xml", include_str!("../../static/icon.svg")));

/// A file of `static/`, prepared and compressed on first use.
type Asset = LazyLock<CachedBody>;

/// Returns the routes of the assets.
pub fn routes() -> Router<AppState> {
    let serve = |asset: &'static Asset| get(move |headers: HeaderMap| async move { asset.respond(&headers) });
    Router::new()
        .route("/home.js", serve(&HOME_SCRIPT))
        .route("/market.js", serve(&MARKET_SCRIPT))
        .route("/page.js", serve(&PAGE_SCRIPT))
        .route("/sisepan.css", serve(&WIDGET_STYLE))
        .route("/page.css", serve(&PAGE_STYLE))
        .route("/widgets.js", serve(&CONFIGURATOR_SCRIPT))
        .route("/widgets.css", serve(&CONFIGURATOR_STYLE))
        .route("/icon.svg", serve(&ICON))
}

fn asset(content_type: &'static str, body: &'static str) -> CachedBody {
    file(content_type, CACHE, Bytes::from_static(body.as_bytes()))
}

/// Creates the response body of a file that any origin may load, with `cache` as its `Cache-Control`.
pub fn file(content_type: &'static str, cache: &'static str, body: Bytes) -> CachedBody {
    let head = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, cache),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let head = head.map(|(name, value)| (name, HeaderValue::from_static(value)));
    CachedBody::new(HeaderMap::from_iter(head), body, Effort::Best)
}
