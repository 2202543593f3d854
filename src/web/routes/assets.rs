//! Scripts, style sheets and the icon, compiled into the program.
//!
//! The browser script and its on-demand modules have two URLs each. `/sisepan.js` is always the newest version.
//! `/sisepan-<hash>.js` is one immutable version, for pages that pin the script with an integrity hash; it imports its
//! modules by hashed names too.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use ring::digest::{SHA384, digest};
use serde::Serialize;

use crate::api;
use crate::web::cache::CachedBody;
use crate::web::layers::Effort;
use crate::web::state::AppState;

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Immutable, since the URL contains the hash of the content.
const PINNED_CACHE: &str = "public, max-age=31536000, immutable";

/// Start of an inline type comment.
const TYPE: &str = "/** @type ";

/// Bytes of the hash in a file name.
const NAME_BYTES: usize = 8;

/// The modules, each after those that it imports; the script itself is the last.
const SOURCES: [(&str, &str); 8] = [
    ("sisepan-announce", include_str!("../../../static/sisepan-announce.js")),
    ("sisepan-chart", include_str!("../../../static/sisepan-chart.js")),
    ("sisepan-detour", include_str!("../../../static/sisepan-detour.js")),
    ("sisepan-refresh", include_str!("../../../static/sisepan-refresh.js")),
    ("sisepan-tape", include_str!("../../../static/sisepan-tape.js")),
    ("sisepan-venues", include_str!("../../../static/sisepan-venues.js")),
    ("sisepan-frame", include_str!("../../../static/sisepan-frame.js")),
    ("sisepan", include_str!("../../../static/sisepan.js")),
];

static MODULES: LazyLock<Vec<Module>> = LazyLock::new(modules);

static TYPES: LazyLock<CachedBody> = LazyLock::new(|| {
    let types = Bytes::from_static(include_bytes!("../../../static/sisepan.d.ts"));
    file("text/plain; charset=utf-8", CACHE, types)
});

/// A module under both of its URLs.
#[derive(Debug)]
struct Module {
    name: &'static str,
    newest: CachedBody,
    /// File name with the hash: `sisepan-0123456789abcdef.js`.
    file: String,
    integrity: String,
    pinned: CachedBody,
}

/// Data that a page needs to pin the script.
#[derive(Debug, Clone, Serialize)]
pub struct Pinned {
    /// File name, in the same folder as `sisepan.js`.
    pub file: &'static str,
    /// Value of the `integrity` attribute.
    pub integrity: &'static str,
    /// The on-demand modules, to be pinned by `modulepreload`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<Pinned>,
}

/// Returns the routes of the script, its modules and its types.
fn script_routes() -> Router<AppState> {
    let serve = |body: &'static CachedBody| get(move |headers: HeaderMap| async move { body.respond(&headers) });
    let types = get(|headers: HeaderMap| async move { TYPES.respond(&headers) });
    MODULES.iter().fold(Router::new().route("/sisepan.d.ts", types), |router, module| {
        router
            .route(&format!("/{}.js", module.name), serve(&module.newest))
            .route(&format!("/{}", module.file), serve(&module.pinned))
    })
}

/// Returns the pinning data of the newest version.
pub fn pinned() -> Option<Pinned> {
    let pin =
        |module: &'static Module| Pinned { file: &module.file, integrity: &module.integrity, modules: Vec::new() };
    let (script, modules) = MODULES.split_last()?;
    Some(Pinned { modules: modules.iter().map(pin).collect(), ..pin(script) })
}

/// `GET /api/v1/script`: data for pages that pin the script.
pub async fn pinned_json() -> Response {
    let head = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "public, max-age=60")];
    (head, api::json(&pinned())).into_response()
}

/// Computes the hashed name of each module, and inserts the names of earlier modules into its imports.
fn modules() -> Vec<Module> {
    let mut modules: Vec<Module> = Vec::new();
    for (name, source) in SOURCES {
        let source = without_comments(source);
        let body = modules.iter().fold(source.clone(), |body, module| {
            body.replace(&format!("import('./{}.js')", module.name), &format!("import('./{}')", module.file))
        });
        let hash = digest(&SHA384, body.as_bytes());
        let short: String = hash.as_ref().iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect();
        modules.push(Module {
            name,
            newest: file(SCRIPT, CACHE, Bytes::from(source)),
            file: format!("{name}-{short}.js"),
            integrity: format!("sha384-{}", BASE64_STANDARD.encode(hash)),
            pinned: file(SCRIPT, PINNED_CACHE, Bytes::from(body)),
        });
    }
    modules
}

/// Removes comments and indentation, which browsers do not need.
///
/// Comments must be on lines of their own, except inline type comments, and no string may span lines. A test
/// checks the sources for that.
fn without_comments(source: &str) -> String {
    let mut in_comment = false;
    let mut code = String::with_capacity(source.len());
    for line in source.lines().map(str::trim) {
        let is_comment = in_comment || line.starts_with("/*") || line.starts_with("//");
        in_comment = (in_comment || line.starts_with("/*")) && !line.ends_with("*/");
        if !is_comment && !line.is_empty() {
            let mut rest = line;
            while let Some((before, (_, after))) =
                rest.split_once(TYPE).and_then(|(before, after)| Some((before, after.split_once("*/ ")?)))
            {
                code.push_str(before);
                rest = after;
            }
            code.push_str(rest);
            code.push('\n');
        }
    }
    code
}

/// Browser cache lifetime of an asset; short, since the URL contains no version.
pub const CACHE: &str = "public, max-age=300, stale-while-revalidate=86400";

static CONFIGURATOR_SCRIPT: Asset =
    LazyLock::new(|| asset("text/javascript; charset=utf-8", include_str!("../../../static/widgets.js")));
static CONFIGURATOR_STYLE: Asset =
    LazyLock::new(|| asset("text/css; charset=utf-8", include_str!("../../../static/widgets.css")));
static MARKET_SCRIPT: Asset =
    LazyLock::new(|| asset("text/javascript; charset=utf-8", include_str!("../../../static/market.js")));
static HOME_SCRIPT: Asset =
    LazyLock::new(|| asset("text/javascript; charset=utf-8", include_str!("../../../static/home.js")));
static PAGE_SCRIPT: Asset =
    LazyLock::new(|| asset("text/javascript; charset=utf-8", include_str!("../../../static/page.js")));
static WIDGET_STYLE: Asset =
    LazyLock::new(|| asset("text/css; charset=utf-8", include_str!("../../../static/sisepan.css")));
static PAGE_STYLE: Asset = LazyLock::new(|| asset("text/css; charset=utf-8", include_str!("../../../static/page.css")));
static ICON: Asset = LazyLock::new(|| asset("image/svg+xml", include_str!("../../../static/icon.svg")));

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
        .merge(script_routes())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_can_be_removed_line_by_line() {
        for (name, source) in SOURCES {
            let code = without_comments(source);
            assert!(!code.contains("@ts-check") && code.contains("import") | code.contains("export"), "{name}");
            for line in code.lines() {
                assert_eq!(line.matches('`').count() % 2, 0, "{name}: a template spans lines: {line}");
                assert!(!line.starts_with('*') && !line.contains("/*"), "{name}: a comment is left: {line}");
            }
            for line in source.lines().map(str::trim) {
                let (starts, ends) = (line.starts_with("/*"), line.find("*/"));
                assert!(!starts || ends.is_none_or(|at| at + 2 == line.len()), "{name}: code after a comment: {line}");
            }
        }
        assert_eq!(without_comments("a;\n  /** x\n   * y */\n  // z\n\n  b;\n"), "a;\nb;\n");
        assert_eq!(
            without_comments("const a = /** @type {A} */ (b), c = /** @type {C} */ (d);\n"),
            "const a = (b), c = (d);\n"
        );
    }
}
