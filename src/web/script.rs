//! The browser script and its on-demand modules, each under two URLs.
//!
//! `/sisepan.js` is always the newest version. `/sisepan-<hash>.js` is one immutable version, for pages that
//! pin the script with an integrity hash; it imports its modules by hashed names too.

use std::sync::LazyLock;

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use ring::digest::{SHA384, digest};
use serde::Serialize;

use super::AppState;
use super::assets::{self, file};
use super::response_cache::CachedBody;

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Immutable, since the URL contains the hash of the content.
const CACHE: &str = "public, max-age=31536000, immutable";

/// Start of an inline type comment.
const TYPE: &str = "/** @type ";

/// Bytes of the hash in a file name.
const NAME_BYTES: usize = 8;

/// The modules, each after those that it imports; the script itself is the last.
const SOURCES: [(&str, &str); 8] = [
    ("sisepan-announce", include_str!("../../static/sisepan-announce.js")),
    ("sisepan-chart", include_str!("../../static/sisepan-chart.js")),
    ("sisepan-detour", include_str!("../../static/sisepan-detour.js")),
    ("sisepan-refresh", include_str!("../../static/sisepan-refresh.js")),
    ("sisepan-tape", include_str!("../../static/sisepan-tape.js")),
    ("sisepan-venues", include_str!("../../static/sisepan-venues.js")),
    ("sisepan-frame", include_str!("../../static/sisepan-frame.js")),
    ("sisepan", include_str!("../../static/sisepan.js")),
];

static MODULES: LazyLock<Vec<Module>> = LazyLock::new(modules);

static TYPES: LazyLock<CachedBody> = LazyLock::new(|| {
    let types = Bytes::from_static(include_bytes!("../../static/sisepan.d.ts"));
    file("text/plain; charset=utf-8", assets::CACHE, types)
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
pub fn routes() -> Router<AppState> {
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
    ([(header::CACHE_CONTROL, "public, max-age=60")], Json(pinned())).into_response()
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
            newest: file(SCRIPT, assets::CACHE, Bytes::from(source)),
            file: format!("{name}-{short}.js"),
            integrity: format!("sha384-{}", BASE64_STANDARD.encode(hash)),
            pinned: file(SCRIPT, CACHE, Bytes::from(body)),
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
