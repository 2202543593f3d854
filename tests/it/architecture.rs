//! Architecture rules, checked in the sources: allowed dependencies between modules, no floats on the price path,
//! and no venue names outside their own files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules, each with the modules of this crate that it may use. `ARCHITECTURE.md` shows the same table.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("clock", &["domain"]),
    ("venue", &["domain"]),
    ("locale", &["domain"]),
    ("board", &["domain"]),
    ("ingest", &["venue", "domain", "clock", "failpoint"]),
    ("api", &["domain", "locale"]),
    ("websocket", &[]),
    ("hub", &["api", "websocket", "clock", "failpoint"]),
    ("delivery", &["hub", "websocket", "api", "clock", "failpoint", "metrics"]),
    ("store", &["domain", "clock", "failpoint"]),
    ("config", &["venue", "domain"]),
    ("web", &["hub", "delivery", "websocket", "api", "locale", "config", "clock", "domain", "failpoint", "metrics"]),
    ("fake", &["domain", "venue", "clock", "failpoint"]),
    ("memory_history", &["domain"]),
    ("telemetry", &["config", "domain"]),
    ("failpoint", &[]),
    ("metrics", &[]),
];

/// Modules that may use all others, since they connect the parts.
const UNRESTRICTED: &[&str] = &["lib", "main", "run", "cli"];

/// Modules on the path of a price, in which floating point is forbidden.
const PRICE_PATH: &[&str] =
    &["domain", "venue", "board", "api", "locale", "hub", "fake", "ingest", "memory_history", "store"];

#[test]
fn modules_use_only_the_modules_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut violations = Vec::new();
    for file in sources() {
        let module = module_of(&file);
        if UNRESTRICTED.contains(&module.as_str()) {
            continue;
        }
        let may = allowed.get(module.as_str()).unwrap_or_else(|| panic!("{module} is not in the table"));
        for used in used_modules(&code(&file)) {
            if used != module && !may.contains(&used.as_str()) {
                violations.push(format!("{} uses crate::{used}", file.display()));
            }
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn the_architecture_page_shows_the_same_table() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (module, may) in MAY_USE {
        let may = if may.is_empty() {
            "nothing".to_owned()
        } else {
            may.iter().map(|m| format!("`{m}`")).collect::<Vec<_>>().join(", ")
        };
        let line = format!("| `{module}` | {may} |");
        assert!(page.contains(&line), "ARCHITECTURE.md lacks the line {line}");
    }
}

#[test]
fn no_float_is_used_on_the_price_path() {
    for file in sources().into_iter().filter(|file| PRICE_PATH.contains(&module_of(file).as_str())) {
        for (number, line) in code(&file).lines().enumerate() {
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            let float = words.into_iter().any(|word| matches!(word, "f32" | "f64"));
            assert!(!float, "{}:{}: {line}", file.display(), number + 1);
        }
    }
}

#[test]
fn no_venue_is_named_outside_its_own_files() {
    // Besides its adapter and its fake, a venue may be named in default settings and in display names.
    let allowed = ["venue", "fake", "config", "locale"];
    for file in sources() {
        if allowed.contains(&module_of(&file).as_str()) {
            continue;
        }
        let code = code(&file).to_lowercase();
        for venue in ["upbit", "bithumb", "binance"] {
            let is_named =
                code.lines().any(|line| line.contains(&format!("\"{venue}\"")) || line.contains(&format!("{venue}::")));
            assert!(!is_named, "{} names {venue}", file.display());
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|suffix| suffix == "rs") && path.file_stem().unwrap() != "tests" {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("src"), &mut found);
    assert!(found.len() > 20, "too few source files found");
    found
}

/// Returns the top-level module of a file: `venue` for `src/venue/upbit.rs`, `clock` for `src/clock.rs`.
fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// Returns a file without comments and without its test module, which may use any module.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let text = text.split("#[cfg(test)]\nmod tests_support {").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Returns every `x` in `crate::x` and in `crate::{x, y::z, w::{v}}`.
fn used_modules(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in code.split("crate::").skip(1) {
        for item in part.strip_prefix('{').map_or_else(|| vec![part], items) {
            let name: String = item.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name.chars().next().is_some_and(char::is_lowercase) {
                names.push(name);
            }
        }
    }
    names
}

/// Returns the items of a use group up to its closing brace, with nested groups intact.
fn items(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&group[start..at]);
                return items;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    panic!("unclosed use group: {group}");
}

#[test]
fn names_in_use_groups_are_found() {
    let code = "use crate::{domain::{a, b}, hub};\nuse crate::web::x;\nuse crate::{\n clock,\n locale::{self},\n};";
    assert_eq!(used_modules(code), ["domain", "hub", "web", "clock", "locale"]);
}
