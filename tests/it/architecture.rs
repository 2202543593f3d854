//! Architecture rules, checked in the sources: allowed dependencies between modules, no floats on the price path,
//! and no venue names outside their own files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenTree};
use syn::visit::Visit;

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
    ("bus", &["market", "feed", "clock"]),
    ("hub", &["bus", "api", "market", "feed", "locale", "failpoint", "fanout"]),
    ("options", &["market", "locale"]),
    ("config", &["venue", "market", "locale", "options"]),
    ("widgets", &["hub", "api", "locale", "options", "config", "market", "feed", "clock"]),
    (
        "web",
        &[
            "widgets",
            "hub",
            "api",
            "locale",
            "options",
            "config",
            "market",
            "feed",
            "clock",
            "failpoint",
            "metrics",
            "fanout",
        ],
    ),
    ("telemetry", &["config", "market", "feed"]),
    ("failpoint", &[]),
    ("metrics", &[]),
];

/// Modules that may use all others, since they connect the parts. Only `cli` may use the fake exchanges.
const UNRESTRICTED: &[&str] = &["lib", "main", "app", "cli"];

/// Folders on the path of a price, in which floating point is forbidden.
const PRICE_PATH: &[&str] = &[
    "src/market",
    "src/feed",
    "src/venue",
    "src/ingest",
    "src/board",
    "src/store",
    "src/bus",
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
    let (mut violations, mut needed) = (BTreeSet::new(), BTreeSet::new());
    for (file, used) in modules {
        let module = module_of(file);
        if module != "cli" && crates[file].contains("fake_exchanges") {
            violations.insert(format!("{} uses fake_exchanges", file.display()));
        }
        if UNRESTRICTED.contains(&module.as_str()) {
            continue;
        }
        let may = allowed.get(module.as_str()).unwrap_or_else(|| panic!("{module} is not in the table"));
        let used = used.into_iter().map(module_of).chain(crates[file].iter().map(|name| (*name).to_owned()));
        for used in used.filter(|used| *used != module) {
            if may.contains(&used.as_str()) {
                needed.insert((module.clone(), used));
            } else {
                violations.insert(format!("{} uses {used}", file.display()));
            }
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
    let rules =
        MAY_USE.iter().flat_map(|(module, may)| may.iter().map(|used| ((*module).to_owned(), (*used).to_owned())));
    let unneeded: Vec<_> = rules.filter(|rule| !needed.contains(rule)).collect();
    assert!(unneeded.is_empty(), "not needed: {unneeded:?}");
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

/// Most files that a price may pass on its way from the exchange's frame to the cell of a page.
const PATH_FILES_MAX: usize = 13;

/// The types that a price travels in, as the one argument that hands it over.
const PRICE_CARRIERS: &[&str] =
    &["TickerRecord", "ReceivedTicker", "Ticker", "Event", "Quote", "BoardUpdate", "SentRow", "Frame"];

/// Files that also take one of those by value, although a price does not pass them on its way.
const BESIDE_THE_PATH: &[(&str, &str)] = &[
    ("src/board/jump.rs", "keeps a price that is held back"),
    ("src/venue/adapter.rs", "is called by the exchange's own file"),
];

/// A step of the path of a price, as in the table of `ARCHITECTURE.md`.
struct Step {
    file: String,
    functions: Vec<String>,
    /// The number of the step that calls it, if it is called.
    called_by: Option<usize>,
}

fn path_of_a_price() -> Vec<Step> {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = page.split("\n## The path of a price\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1).filter(|line| !line.starts_with("| --- "));
    let steps: Vec<Step> = rows
        .enumerate()
        .map(|(at, line)| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells[0], (at + 1).to_string(), "{line}");
            let called_by = cells[3].strip_prefix("called by ").map(|number| number.parse().unwrap());
            let plain = |cell: &str| cell.trim_matches('`').to_owned();
            Step { file: plain(cells[1]), functions: cells[2].split(", ").map(plain).collect(), called_by }
        })
        .collect();
    assert!(steps.len() > 5, "too few steps found");
    steps
}

#[test]
fn each_step_of_a_price_is_called_by_the_one_that_the_architecture_page_names() {
    let steps = path_of_a_price();
    assert!(steps.len() <= PATH_FILES_MAX, "{} files", steps.len());
    let rust = |step: &Step| step.file.ends_with(".rs").then(|| Functions::of(&root().join(&step.file)));
    let files: Vec<Option<Functions>> = steps.iter().map(rust).collect();
    for (Step { file, functions, called_by }, code) in steps.iter().zip(&files) {
        let caller = called_by.map(|number| (&steps[number - 1], files[number - 1].as_ref().unwrap()));
        for function in functions {
            match code {
                Some(code) => assert!(code.calls.contains_key(function), "{file} has no function {function}"),
                None => assert!(fs::read_to_string(root().join(file)).unwrap().contains(&format!(" {function}("))),
            }
            if let Some((caller, code)) = caller {
                let is_called = caller.functions.iter().any(|from| code.reached_from(from).contains(function.as_str()));
                assert!(is_called, "{} does not call {function} of {file}", caller.file);
            }
        }
    }
}

#[test]
fn a_price_passes_no_file_that_the_architecture_page_does_not_list() {
    let steps = path_of_a_price();
    let listed: BTreeSet<PathBuf> = steps.iter().map(|step| root().join(&step.file)).collect();
    assert_eq!(listed.len(), steps.len(), "a file is listed twice");
    let beside = BESIDE_THE_PATH.iter().map(|(file, _)| root().join(file));
    let known: BTreeSet<PathBuf> = listed.into_iter().chain(beside).collect();
    let taking: BTreeSet<PathBuf> = sources("src").into_iter().filter(|file| Functions::of(file).take_prices).collect();
    let unknown: Vec<_> = taking.difference(&known).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    // The exceptions are still needed, and the check finds what it looks for.
    for (file, _) in BESIDE_THE_PATH {
        assert!(taking.contains(&root().join(file)), "{file} takes no price");
    }
    assert!(taking.contains(&root().join("src/ingest/event_queue.rs")));
}

/// The functions of a file, without those of its tests.
#[derive(Debug, Default)]
struct Functions {
    /// Names of functions, each with the names of what it calls.
    calls: BTreeMap<String, BTreeSet<String>>,
    /// Whether one of them takes a price by value.
    take_prices: bool,
    current: String,
}

impl Functions {
    fn of(file: &Path) -> Self {
        let mut functions = Self::default();
        functions.visit_file(&syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap());
        functions
    }

    /// Returns the names of all that a function calls, itself or through others of this file.
    fn reached_from<'a>(&'a self, function: &'a str) -> BTreeSet<&'a str> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![function]);
        while let Some(name) = open.pop() {
            let called = self.calls.get(name).into_iter().flatten().map(String::as_str);
            open.extend(called.filter(|called| seen.insert(*called)));
        }
        seen
    }

    fn enter(&mut self, signature: &syn::Signature, visit: impl FnOnce(&mut Self)) {
        let mut carriers = Carriers::default();
        signature.inputs.iter().for_each(|input| carriers.visit_fn_arg(input));
        self.take_prices |= carriers.found;
        let outer = std::mem::replace(&mut self.current, signature.ident.to_string());
        self.calls.entry(self.current.clone()).or_default();
        visit(self);
        self.current = outer;
    }

    /// Notes what is called in the arguments of a macro, which may be in a syntax of its own.
    fn note_calls(&mut self, tokens: proc_macro2::TokenStream) {
        let mut name = None;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => name = Some(ident.to_string()),
                TokenTree::Group(group) => {
                    let called = name.take().filter(|_| group.delimiter() == Delimiter::Parenthesis);
                    called.into_iter().for_each(|called| self.call(called));
                    self.note_calls(group.stream());
                }
                _ => name = None,
            }
        }
    }

    fn call(&mut self, name: String) {
        self.calls.entry(self.current.clone()).or_default().insert(name);
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.ident != "tests" {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.enter(&item.sig, |functions| syn::visit::visit_block(functions, &item.block));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.enter(&item.sig, |functions| syn::visit::visit_block(functions, &item.block));
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.note_calls(item.tokens.clone());
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.call(call.method.to_string());
        syn::visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        let mut function = &*call.func;
        while let syn::Expr::Paren(inner) = function {
            function = &inner.expr;
        }
        match function {
            syn::Expr::Path(path) => self.call(path.path.segments.last().unwrap().ident.to_string()),
            syn::Expr::Field(syn::ExprField { member: syn::Member::Named(name), .. }) => self.call(name.to_string()),
            _ => {}
        }
        syn::visit::visit_expr_call(self, call);
    }
}

/// Looks for [`PRICE_CARRIERS`] in a type that owns them or receives them from a channel.
#[derive(Debug, Default)]
struct Carriers {
    found: bool,
}

impl<'ast> Visit<'ast> for Carriers {
    fn visit_type_reference(&mut self, _: &'ast syn::TypeReference) {}

    fn visit_path_segment(&mut self, segment: &'ast syn::PathSegment) {
        self.found |= PRICE_CARRIERS.iter().any(|carrier| segment.ident == carrier);
        // A sender or a function makes the price pass elsewhere.
        if !["Sender", "Fn", "FnMut", "FnOnce"].iter().any(|name| segment.ident == name) {
            syn::visit::visit_path_segment(self, segment);
        }
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
        for venue in sisepan::venue::ALL.iter().map(|venue| venue.profile().id.as_str()) {
            let is_named =
                code.lines().any(|line| line.contains(&format!("\"{venue}\"")) || line.contains(&format!("{venue}::")));
            assert!(!is_named, "{} names {venue}", file.display());
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the source files of a folder.
fn sources(folder: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|suffix| suffix == "rs") {
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
