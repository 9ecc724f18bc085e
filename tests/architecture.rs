//! The layers of ARCHITECTURE.md, held by reading the sources. Each rule has a planted violation that it must catch.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;

/// Which rooms a room may not name.
const FORBIDDEN: [(&str, &[&str]); 6] = [
    ("domain", &["adapters", "config", "engine", "tui", "report", "cli"]),
    ("config", &["adapters", "engine", "tui", "report", "cli"]),
    ("adapters", &["engine", "tui", "report", "cli"]),
    ("report", &["adapters", "engine", "tui", "cli"]),
    ("engine", &["tui", "report", "cli"]),
    ("tui", &["adapters", "cli"]),
];

/// Paths of the world that `domain` may not name.
const WORLD: [&str; 14] = [
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::env",
    "std::os",
    "std::io",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "rustix",
    "ratatui",
    "ssh2",
    "sqlx",
];

/// Collects every path that a file names, in code, in `use` trees and in macros.
#[derive(Default)]
struct Paths(Vec<String>);

impl Paths {
    fn of(source: &str) -> Vec<String> {
        let file = syn::parse_file(source).unwrap_or_else(|error| panic!("{error}"));
        let mut paths = Paths::default();
        file.items.iter().filter(|item| !is_test_module(item)).for_each(|item| paths.visit_item(item));
        paths.0
    }

    fn use_tree(&mut self, prefix: &str, tree: &syn::UseTree) {
        let join = |name: &syn::Ident| if prefix.is_empty() { name.to_string() } else { format!("{prefix}::{name}") };
        match tree {
            syn::UseTree::Path(path) => self.use_tree(&join(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.0.push(join(&name.ident)),
            syn::UseTree::Rename(name) => self.0.push(join(&name.ident)),
            syn::UseTree::Glob(_) => self.0.push(prefix.to_owned()),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.use_tree(prefix, tree)),
        }
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = String::new();
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => path.push_str(&ident.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == ':' => path.push(':'),
                TokenTree::Group(group) => {
                    self.0.push(std::mem::take(&mut path));
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.0.push(std::mem::take(&mut path)),
            }
        }
        self.0.push(path);
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree("", &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::"));
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
    }
}

fn is_test_module(item: &syn::Item) -> bool {
    let syn::Item::Mod(module) = item else { return false };
    module.attrs.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && matches!(&attribute.meta, syn::Meta::List(list) if list.tokens.to_string().contains("test"))
    })
}

/// What a file of a room names and may not.
fn violations(room: &str, source: &str) -> Vec<String> {
    let forbidden = FORBIDDEN.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, forbidden)| forbidden);
    let breaks = |path: &String| {
        let other_room = forbidden.iter().any(|other| path.starts_with(&format!("crate::{other}")));
        let world =
            room == "domain" && WORLD.iter().any(|world| path == world || path.starts_with(&format!("{world}::")));
        let now = room == "domain" && (path.ends_with("Utc::now") || path.ends_with("Local::now"));
        other_room || world || now
    };
    Paths::of(source).into_iter().filter(breaks).collect()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut found = Vec::new();
    for entry in entries.map(|entry| entry.unwrap_or_else(|error| panic!("{error}")).path()) {
        match entry.is_dir() {
            true => found.extend(sources(&entry)),
            false if entry.extension().is_some_and(|extension| extension == "rs") => found.push(entry),
            false => {}
        }
    }
    found
}

#[test]
fn every_room_names_only_the_rooms_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = Vec::new();
    for (room, _) in FORBIDDEN {
        for file in sources(&root.join(room)).into_iter().filter(|file| !file.to_string_lossy().ends_with("_tests.rs"))
        {
            let source = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let found = violations(room, &source);
            broken.extend(found.into_iter().map(|path| format!("{}: {path}", file.display())));
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

fn catches(room: &str, source: &str) {
    assert!(!violations(room, source).is_empty(), "{room}: {source}");
}

#[test]
fn a_planted_violation_of_each_rule_is_caught() {
    for (room, forbidden) in FORBIDDEN {
        for other in forbidden {
            catches(room, &format!("use crate::{other}::x;"));
            catches(room, &format!("fn f() {{ crate::{other}::x() }}"));
        }
    }
    for world in WORLD {
        catches("domain", &format!("use {world};"));
        catches("domain", &format!("fn f() {{ let x = {world}::y(); }}"));
    }
    catches("domain", "fn f() { let now = chrono::Utc::now(); }");
    catches("domain", "fn f() { println!(\"{:?}\", std::env::args()); }");
    catches("domain", "use std::{fmt, fs};");
}

#[test]
fn tests_within_the_sources_may_name_anything() {
    assert!(violations("domain", "#[cfg(test)] mod tests { use std::fs; }").is_empty());
}
