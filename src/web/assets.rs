//! The script and the style sheets, built into the program.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::routing::get;
use bytes::Bytes;

use super::AppState;
use super::bodies::{Body, Effort};

/// How long a browser uses an asset without asking. Short: its address has no version in it.
pub const CACHE: &str = "public, max-age=300, stale-while-revalidate=86400";

static STUDIO_SCRIPT: Asset =
    LazyLock::new(|| asset("text/javascript; charset=utf-8", include_str!("../../static/widgets.js")));
static STUDIO_STYLE: Asset =
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

/// One file of `static/`, made ready and compressed when it is first asked for.
type Asset = LazyLock<Body>;

/// Returns the routes of the assets.
pub fn routes() -> Router<AppState> {
    let serve = |asset: &'static Asset| get(move |asked: HeaderMap| async move { asset.answer(&asked) });
    Router::new()
        .route("/home.js", serve(&HOME_SCRIPT))
        .route("/market.js", serve(&MARKET_SCRIPT))
        .route("/page.js", serve(&PAGE_SCRIPT))
        .route("/sisepan.css", serve(&WIDGET_STYLE))
        .route("/page.css", serve(&PAGE_STYLE))
        .route("/widgets.js", serve(&STUDIO_SCRIPT))
        .route("/widgets.css", serve(&STUDIO_STYLE))
        .route("/icon.svg", serve(&ICON))
}

fn asset(kind: &'static str, body: &'static str) -> Body {
    file(kind, CACHE, Bytes::from_static(body.as_bytes()))
}

/// Holds a file that anyone's page may load, for as long as `cache` says.
pub fn file(kind: &'static str, cache: &'static str, body: Bytes) -> Body {
    let head = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, cache),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let head = head.map(|(name, value)| (name, HeaderValue::from_static(value)));
    Body::new(HeaderMap::from_iter(head), body, Effort::Best)
}
