//! Imports between the source files, with re-exports resolved to the file that defines what is imported.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::Visit;
use syn::{Attribute, Item, ItemUse, UseTree, Visibility};

/// The files of one crate and what each uses of the others.
#[derive(Debug, Default)]
pub struct Imports {
    /// Modules by path from the crate's root, such as `["web", "layers"]`.
    modules: BTreeMap<Vec<String>, Module>,
}

#[derive(Debug, Default)]
struct Module {
    file: PathBuf,
    /// Names of the items that it defines, modules excluded.
    items: BTreeSet<String>,
    /// Imported names, each with its path.
    uses: BTreeMap<String, Vec<String>>,
    /// Paths of glob imports.
    globs: Vec<Vec<String>>,
    /// Paths that occur in its code, re-exports excluded.
    paths: Vec<Vec<String>>,
}

impl Imports {
    /// Reads a crate from its root file.
    pub fn read(root: &Path) -> Self {
        let mut imports = Self::default();
        imports.read_file(root, Vec::new());
        imports
    }

    fn read_file(&mut self, file: &Path, path: Vec<String>) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.read_items(file, path, parsed.items);
    }

    fn read_items(&mut self, file: &Path, path: Vec<String>, items: Vec<Item>) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        for item in items {
            if is_test(attributes(&item)) {
                continue;
            }
            match item {
                Item::Mod(item) => {
                    let name = item.ident.to_string();
                    let inner = [path.clone(), vec![name.clone()]].concat();
                    match item.content {
                        Some((_, items)) => self.read_items(file, inner, items),
                        None => self.read_file(&file_of(file, path.is_empty(), &name), inner),
                    }
                }
                Item::Use(item) => module.add_use(&item),
                item => {
                    module.items.extend(name_of(&item));
                    module.visit_item(&item);
                }
            }
        }
        self.modules.insert(path, module);
    }

    /// Returns the files, each with the files that it imports from.
    pub fn files(&self) -> BTreeMap<&Path, BTreeSet<&Path>> {
        let mut files: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
        for (at, module) in &self.modules {
            let used = files.entry(&module.file).or_default();
            let resolved = module.paths.iter().filter_map(|path| self.resolve(at, path, 0));
            used.extend(resolved.filter(|file| *file != module.file));
        }
        files
    }

    /// Returns the file that defines what `path` means in the module `at`; `None` if that is not in this crate.
    fn resolve(&self, at: &[String], path: &[String], depth: usize) -> Option<&Path> {
        let (first, rest) = path.split_first()?;
        if depth > 20 {
            return None;
        }
        match first.as_str() {
            "crate" => self.follow(&[], rest, depth),
            "self" => self.follow(at, rest, depth),
            "super" => self.follow(at.split_last()?.1, rest, depth),
            _ => self.follow(at, path, depth),
        }
    }

    fn follow(&self, at: &[String], path: &[String], depth: usize) -> Option<&Path> {
        let module = self.modules.get(at)?;
        let Some((first, rest)) = path.split_first() else { return Some(&module.file) };
        if first == "super" {
            return self.follow(at.split_last()?.1, rest, depth);
        }
        let child = [at, std::slice::from_ref(first)].concat();
        if self.modules.contains_key(&child) {
            return self.follow(&child, rest, depth);
        }
        if module.items.contains(first) {
            return Some(&module.file);
        }
        if let Some(used) = module.uses.get(first) {
            return self.resolve(at, &[used.clone(), rest.to_vec()].concat(), depth + 1);
        }
        module.globs.iter().find_map(|glob| self.resolve(at, &[glob.clone(), path.to_vec()].concat(), depth + 1))
    }
}

impl Module {
    fn add_use(&mut self, item: &ItemUse) {
        let is_reexport = !matches!(item.vis, Visibility::Inherited);
        let mut found = Vec::new();
        flatten(&item.tree, Vec::new(), &mut found);
        for (name, path) in found {
            if !is_reexport {
                self.paths.push(path.clone());
            }
            match name {
                Some(name) => drop(self.uses.insert(name, path)),
                None => self.globs.push(path),
            }
        }
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_use(item);
    }
}

/// Lists the paths of a use tree, each with the name that it brings into scope; `None` for a glob.
fn flatten(tree: &UseTree, prefix: Vec<String>, found: &mut Vec<(Option<String>, Vec<String>)>) {
    let with = |name: &syn::Ident| [prefix.clone(), vec![name.to_string()]].concat();
    match tree {
        UseTree::Path(path) => flatten(&path.tree, with(&path.ident), found),
        UseTree::Name(name) if name.ident == "self" => found.push((prefix.last().cloned(), prefix)),
        UseTree::Name(name) => found.push((Some(name.ident.to_string()), with(&name.ident))),
        UseTree::Rename(name) => found.push((Some(name.rename.to_string()), with(&name.ident))),
        UseTree::Glob(_) => found.push((None, prefix)),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, prefix.clone(), found)),
    }
}

/// Returns the file of the module `name` declared in `file`.
fn file_of(file: &Path, is_root: bool, name: &str) -> PathBuf {
    let folder = file.parent().unwrap();
    let stem = file.file_stem().unwrap();
    let folder = if is_root || stem == "mod" { folder.to_owned() } else { folder.join(stem) };
    let flat = folder.join(format!("{name}.rs"));
    if flat.exists() { flat } else { folder.join(name).join("mod.rs") }
}

fn is_test(attributes: &[Attribute]) -> bool {
    let is_cfg_test = |meta: &syn::meta::ParseNestedMeta<'_>| meta.path.is_ident("test");
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let mut found = false;
        let _ = attribute.parse_nested_meta(|meta| {
            found |= is_cfg_test(&meta);
            Ok(())
        });
        found
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Const(item) => &item.attrs,
        _ => &[],
    }
}

fn name_of(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Macro(item) => item.ident.as_ref()?.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        _ => return None,
    })
}

/// Returns the groups of files that import each other in a circle.
pub fn circles<'a>(files: &BTreeMap<&'a Path, BTreeSet<&'a Path>>) -> Vec<BTreeSet<&'a Path>> {
    let reachable = |from: &'a Path| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            open.extend(files.get(file).into_iter().flatten().copied().filter(|next| seen.insert(*next)));
        }
        seen
    };
    let reach: BTreeMap<&Path, BTreeSet<&Path>> = files.keys().map(|file| (*file, reachable(file))).collect();
    let mut circles: Vec<BTreeSet<&Path>> = Vec::new();
    for (file, reached) in &reach {
        if reached.contains(file) && !circles.iter().any(|circle| circle.contains(file)) {
            circles.push(reached.iter().copied().filter(|other| reach[other].contains(file)).collect());
        }
    }
    circles
}

#[test]
fn no_circles() {
    for root in ["src/lib.rs", "crates/fanout/src/lib.rs", "crates/fake-exchanges/src/lib.rs"] {
        let imports = Imports::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(root));
        let files = imports.files();
        for circle in circles(&files) {
            println!("CIRCLE {}", circle.len());
            for file in &circle {
                let to: Vec<_> = files[file]
                    .iter()
                    .filter(|x| circle.contains(*x))
                    .map(|x| x.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display().to_string())
                    .collect();
                println!("   {} -> {}", file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display(), to.join(" "));
            }
        }
    }
}
