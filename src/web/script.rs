//! The browser script and the modules that it brings on demand, under two kinds of address.
//!
//! `/sisepan.js` is always the newest. `/sisepan-<hash>.js` is one version for ever, for pages
//! that pin what they load with an integrity hash; it names its modules by their hashes as well.

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
use super::bodies::Body;

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A year, and never asked about again: the address has the content's hash in it.
const CACHE: &str = "public, max-age=31536000, immutable";

/// How a comment begins that gives a part of a line its type.
const TYPE: &str = "/** @type ";

/// Bytes of the hash in a file's name.
const NAME_BYTES: usize = 8;

/// The modules, each after those that it brings itself: the script is the last.
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

static TYPES: LazyLock<Body> = LazyLock::new(|| {
    let types = Bytes::from_static(include_bytes!("../../static/sisepan.d.ts"));
    file("text/plain; charset=utf-8", assets::CACHE, types)
});

/// One module under both of its addresses.
#[derive(Debug)]
struct Module {
    name: &'static str,
    newest: Body,
    /// Its name with the hash: `sisepan-0123456789abcdef.js`.
    file: String,
    integrity: String,
    pinned: Body,
}

/// What a page needs to pin the script.
#[derive(Debug, Clone, Serialize)]
pub struct Pinned {
    /// Name of the file, beside `sisepan.js`.
    pub file: &'static str,
    /// For `integrity`.
    pub integrity: &'static str,
    /// What the script brings on demand, to be pinned by `modulepreload`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<Pinned>,
}

/// Returns the routes of the script, its modules and its types.
pub fn routes() -> Router<AppState> {
    let serve = |body: &'static Body| get(move |asked: HeaderMap| async move { body.answer(&asked) });
    let types = get(|asked: HeaderMap| async move { TYPES.answer(&asked) });
    MODULES.iter().fold(Router::new().route("/sisepan.d.ts", types), |router, module| {
        router
            .route(&format!("/{}.js", module.name), serve(&module.newest))
            .route(&format!("/{}", module.file), serve(&module.pinned))
    })
}

/// Returns the newest version of the script.
pub fn pinned() -> Option<Pinned> {
    let pin =
        |module: &'static Module| Pinned { file: &module.file, integrity: &module.integrity, modules: Vec::new() };
    let (script, modules) = MODULES.split_last()?;
    Some(Pinned { modules: modules.iter().map(pin).collect(), ..pin(script) })
}

/// `GET /api/v1/script`: what to write into a page that pins the script.
pub async fn answer() -> Response {
    ([(header::CACHE_CONTROL, "public, max-age=60")], Json(pinned())).into_response()
}

/// Gives each module its name, and writes the names of the earlier ones into it.
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

/// Removes comments and indentation: readers' browsers need neither.
///
/// Comments stand on lines of their own, but for those that give a part of a line its type. No string spans lines; a test
/// holds the sources to that.
fn without_comments(source: &str) -> String {
    let mut is_inside = false;
    let mut code = String::with_capacity(source.len());
    for line in source.lines().map(str::trim) {
        let is_comment = is_inside || line.starts_with("/*") || line.starts_with("//");
        is_inside = (is_inside || line.starts_with("/*")) && !line.ends_with("*/");
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
