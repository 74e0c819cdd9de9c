//! Functions in Rust source, by their paths.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::Context;
use syn::{
    ImplItemFn, ItemFn, ItemImpl, ItemMod, Type,
    spanned::Spanned,
    visit::{self, Visit},
};

/// The Rust files in a folder and in those below it.
pub(super) fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("failed to list `{}`", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

/// Where the bodies of the functions of this path are in a file: `name` is in no `impl`, `Type::name` is in one of that
/// type's. What is in a module `tests` does not count.
pub(super) fn bodies(text: &str, path: &str) -> syn::Result<Vec<Range<usize>>> {
    let mut search = Search { path, owner: None, found: Vec::new() };
    search.visit_file(&syn::parse_file(text)?);
    Ok(search.found)
}

struct Search<'a> {
    path: &'a str,
    /// The type whose `impl` is looked at.
    owner: Option<String>,
    found: Vec<Range<usize>>,
}

impl Search<'_> {
    fn note(&mut self, name: &syn::Ident, body: &syn::Block) {
        let path = self.owner.as_ref().map_or_else(|| name.to_string(), |owner| format!("{owner}::{name}"));
        if path == self.path {
            self.found.push(body.span().byte_range());
        }
    }
}

impl Visit<'_> for Search<'_> {
    fn visit_item_mod(&mut self, module: &ItemMod) {
        if module.ident != "tests" {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_impl(&mut self, block: &ItemImpl) {
        if let Type::Path(owner) = &*block.self_ty {
            self.owner = owner.path.segments.last().map(|last| last.ident.to_string());
        }
        visit::visit_item_impl(self, block);
        self.owner = None;
    }

    fn visit_item_fn(&mut self, function: &ItemFn) {
        self.note(&function.sig.ident, &function.block);
    }

    fn visit_impl_item_fn(&mut self, method: &ImplItemFn) {
        self.note(&method.sig.ident, &method.block);
    }
}
