//! Architecture rules, checked in the sources: allowed dependencies between modules, no floats on the price path,
//! and no venue names outside their own files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::imports::{Imports, circles};

/// Modules, each with the modules and crates of this workspace that it may use. `ARCHITECTURE.md` shows the same table.
const MAY_USE: &[(&str, &[&str])] = &[
    ("market", &[]),
    ("feed", &["market"]),
    ("clock", &["market"]),
    ("venue", &["market", "feed"]),
    ("locale", &["market", "feed"]),
    ("board", &["market", "feed"]),
    ("ingest", &["venue", "market", "feed", "clock", "failpoint"]),
    ("store", &["market", "feed", "clock", "failpoint"]),
    ("api", &["market", "feed", "locale"]),
    ("hub", &["api", "market", "feed", "locale", "clock", "failpoint", "fanout"]),
    ("config", &["venue", "market", "locale"]),
    ("widgets", &["api", "market", "feed", "locale", "config"]),
    ("web", &[]),
    ("telemetry", &["config", "market", "feed"]),
    ("failpoint", &[]),
    ("metrics", &[]),
];

/// Modules that may use all others, since they connect the parts.
const UNRESTRICTED: &[&str] = &["lib", "main", "app", "cli"];

/// Folders on the path of a price, in which floating point is forbidden.
const PRICE_PATH: &[&str] = &[
    "src/market",
    "src/feed",
    "src/venue",
    "src/ingest",
    "src/board",
    "src/store",
    "src/hub",
    "src/api",
    "src/locale",
    "crates/fake-exchanges/src",
];

/// The root files of the crates.
const CRATES: &[&str] = &["src/lib.rs", "crates/fanout/src/lib.rs", "crates/fake-exchanges/src/lib.rs"];

#[test]
fn modules_use_only_the_modules_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let imports = Imports::read(&root().join("src/lib.rs"));
    let (modules, crates) = (imports.files(), imports.crates(&["fanout", "fake_exchanges"]));
    assert!(modules.len() > 100, "too few source files found");
    let mut violations = BTreeSet::new();
    for (file, used) in modules {
        let module = module_of(file);
        if UNRESTRICTED.contains(&module.as_str()) {
            continue;
        }
        let may = allowed.get(module.as_str()).unwrap_or_else(|| panic!("{module} is not in the table"));
        let used = used.into_iter().map(module_of).chain(crates[file].iter().map(|name| (*name).to_owned()));
        for used in used.filter(|used| *used != module && !may.contains(&used.as_str())) {
            violations.insert(format!("{} uses {used}", file.display()));
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for crate_root in CRATES {
        let imports = Imports::read(&root().join(crate_root));
        let files = imports.files();
        assert!(files.len() > 15, "{crate_root}: too few source files found");
        let circles = circles(&files);
        assert!(circles.is_empty(), "{crate_root}: {circles:#?}");
    }
}

#[test]
fn imports_are_followed_through_re_exports_to_the_file_that_defines_them() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        file
    };
    let lib = write("lib.rs", "mod a;\nmod b { pub mod inner; }\nmod c;\npub use c::*;\n");
    let a = write("a/mod.rs", "use crate::b::inner::Renamed as Used;\npub fn of(used: Used) { used.x() }\n");
    let inner = write("b/inner.rs", "pub use crate::Defined as Renamed;\npub struct Other;\n");
    let c = write(
        "c.rs",
        "pub struct Defined;\nfn f() { crate::a::of(Defined) }\n#[cfg(test)]\nmod tests { use crate::b::inner::Other; }\n",
    );
    let imports = Imports::read(&lib);
    let files = imports.files();
    assert_eq!(files[a.as_path()], BTreeSet::from([c.as_path()]));
    assert_eq!((files[inner.as_path()].len(), files[lib.as_path()].len()), (0, 0));
    assert_eq!(files[c.as_path()], BTreeSet::from([a.as_path()]));
    assert_eq!(circles(&files), [BTreeSet::from([a.as_path(), c.as_path()])]);
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
    for file in PRICE_PATH.iter().flat_map(|folder| sources(folder)) {
        for (number, line) in code(&file).lines().enumerate() {
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            let float = words.into_iter().any(|word| matches!(word, "f32" | "f64"));
            assert!(!float, "{}:{}: {line}", file.display(), number + 1);
        }
    }
}

#[test]
fn no_venue_is_named_outside_its_own_files() {
    // Besides its adapter, a venue may be named in default settings and in display names.
    let allowed = ["venue", "config", "locale"];
    for file in sources("src") {
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

/// Returns the source files of a folder, without test modules in files of their own.
fn sources(folder: &str) -> Vec<PathBuf> {
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
    walk(&root().join(folder), &mut found);
    assert!(!found.is_empty(), "{folder}: no source files found");
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
