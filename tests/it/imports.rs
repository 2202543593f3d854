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
        imports.read_file(root, root.parent().unwrap(), Vec::new());
        imports
    }

    /// Reads a file whose submodules are in `folder`.
    fn read_file(&mut self, file: &Path, folder: &Path, path: Vec<String>) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.read_items(file, folder, path, parsed.items);
    }

    fn read_items(&mut self, file: &Path, folder: &Path, path: Vec<String>, items: Vec<Item>) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        for item in items {
            if is_test(attributes(&item)) {
                continue;
            }
            match item {
                Item::Mod(item) => {
                    let name = item.ident.to_string();
                    let inner = [path.clone(), vec![name.clone()]].concat();
                    let inner_folder = folder.join(&name);
                    let flat = folder.join(format!("{name}.rs"));
                    match item.content {
                        Some((_, items)) => self.read_items(file, &inner_folder, inner, items),
                        None if flat.exists() => self.read_file(&flat, &inner_folder, inner),
                        None => self.read_file(&inner_folder.join("mod.rs"), &inner_folder, inner),
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

    /// Returns the files, each with those of the named crates that it uses.
    pub fn crates<'a>(&'a self, names: &[&'a str]) -> BTreeMap<&'a Path, BTreeSet<&'a str>> {
        let mut files: BTreeMap<&Path, BTreeSet<&str>> = BTreeMap::new();
        for module in self.modules.values() {
            let firsts = module.paths.iter().filter_map(|path| path.first());
            let used = names.iter().copied().filter(|name| firsts.clone().any(|first| first == name));
            files.entry(&module.file).or_default().extend(used);
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

/// Returns the groups of files that import each other in circles.
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
