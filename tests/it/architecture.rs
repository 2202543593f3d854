//! The rules of the house, read off the sources: who may know whom, and where floats and clocks are not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Module → modules of this crate that its sources may name. `ARCHITECTURE.md` shows the same table.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("clock", &["domain"]),
    ("venue", &["domain"]),
    ("text", &["domain"]),
    ("board", &["domain"]),
    ("ingest", &["venue", "domain", "clock", "failpoint"]),
    ("wire", &["domain", "text"]),
    ("websocket", &[]),
    ("hub", &["wire", "websocket", "clock", "failpoint"]),
    ("delivery", &["hub", "websocket", "wire", "clock", "failpoint", "metrics"]),
    ("store", &["domain", "clock", "failpoint"]),
    ("config", &["venue", "domain"]),
    ("web", &["hub", "delivery", "websocket", "wire", "text", "config", "clock", "domain", "failpoint", "metrics"]),
    ("fake", &["domain", "venue", "clock", "failpoint"]),
    ("past", &["domain"]),
    ("telemetry", &["config", "domain"]),
    ("failpoint", &[]),
    ("metrics", &[]),
];

/// Free to know all: they join the parts.
const JOINERS: &[&str] = &["lib", "main", "run", "cli"];

/// Modules that a price passes through: no floating point there at all.
const PRICE_PATH: &[&str] = &["domain", "venue", "board", "wire", "text", "hub", "fake", "ingest", "past", "store"];

#[test]
fn modules_know_only_whom_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    let mut broken = Vec::new();
    for file in sources() {
        let module = module_of(&file);
        if JOINERS.contains(&module.as_str()) {
            continue;
        }
        let may = allowed.get(module.as_str()).unwrap_or_else(|| panic!("{module} is not in the table"));
        for known in named_modules(&code(&file)) {
            if known != module && !may.contains(&known.as_str()) {
                broken.push(format!("{} names crate::{known}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_architecture_page_shows_the_same_table() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (module, may) in MAY_KNOW {
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
fn no_float_is_near_a_price() {
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
    // Beside its translator and its fake, a venue may be named where defaults are chosen and where readers are told its name.
    let allowed = ["venue", "fake", "config", "cli", "text"];
    for file in sources() {
        if allowed.contains(&module_of(&file).as_str()) {
            continue;
        }
        let code = code(&file).to_lowercase();
        for venue in ["upbit", "bithumb", "binance"] {
            let named =
                code.lines().any(|line| line.contains(&format!("\"{venue}\"")) || line.contains(&format!("{venue}::")));
            assert!(!named, "{} names {venue}", file.display());
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
            } else if path.extension().is_some_and(|ending| ending == "rs") && path.file_stem().unwrap() != "tests" {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("src"), &mut found);
    assert!(found.len() > 20, "the sources are not where they were");
    found
}

/// `src/venue/upbit.rs` is of `venue`, `src/clock.rs` of `clock`.
fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The file without comments and without its test module, which may know anybody.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let text = text.split("#[cfg(test)]\nmod tests_support {").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Every `x` of `crate::x`, and of `crate::{x, y::z, w::{v}}`.
fn named_modules(code: &str) -> Vec<String> {
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

/// The items of a group up to its own closing brace, whatever groups are in it.
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
    panic!("a group of names is not closed: {group}");
}

#[test]
fn names_within_groups_are_seen() {
    let code = "use crate::{domain::{a, b}, hub};\nuse crate::web::x;\nuse crate::{\n clock,\n text::{self},\n};";
    assert_eq!(named_modules(code), ["domain", "hub", "web", "clock", "text"]);
}
