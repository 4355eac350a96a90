//! The layers of `ARCHITECTURE.md` hold: who may use whom, and which parts are pure.

#![expect(clippy::disallowed_methods, reason = "this test reads the sources")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Spacing, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// Each part and what it may use, itself aside. A part that is not listed here does not exist.
const ALLOWED: &[(&str, &[&str])] = &[
    ("text", &[]),
    ("target", &[]),
    ("iotedge", &[]),
    ("finding", &["text"]),
    ("manifest", &["finding", "text"]),
    ("evidence", &["kube_model", "manifest", "finding", "text"]),
    ("report", &["evidence", "finding", "target", "text"]),
    ("settings", &["kube_model", "target", "finding", "text"]),
    ("kube_model", &["manifest", "finding", "target", "text"]),
    ("engine", &["kube_model", "settings", "report", "evidence", "manifest", "finding", "target", "text"]),
    ("rules", &["engine", "kube_model", "settings", "report", "evidence", "manifest", "finding", "target", "text"]),
    ("hub", &["report", "evidence", "settings", "manifest", "finding"]),
    (
        "verbs",
        &["rules", "engine", "kube_model", "settings", "report", "evidence", "manifest", "finding", "target", "text"],
    ),
    (
        "output",
        &[
            "verbs",
            "rules",
            "engine",
            "kube_model",
            "settings",
            "report",
            "evidence",
            "manifest",
            "finding",
            "target",
            "text",
        ],
    ),
    ("sources", &["iotedge", "hub", "kube_model", "evidence", "manifest", "text"]),
    ("link", &["iotedge", "hub"]),
    (
        "agent",
        &[
            "sources",
            "link",
            "iotedge",
            "hub",
            "output",
            "verbs",
            "rules",
            "engine",
            "kube_model",
            "settings",
            "report",
            "evidence",
            "manifest",
            "finding",
            "target",
            "text",
        ],
    ),
    ("sim", &["sources", "link", "iotedge", "hub", "kube_model", "evidence", "manifest", "text"]),
    (
        "cli",
        &[
            "agent",
            "sim",
            "sources",
            "link",
            "iotedge",
            "hub",
            "output",
            "verbs",
            "rules",
            "engine",
            "kube_model",
            "settings",
            "report",
            "evidence",
            "manifest",
            "finding",
            "target",
            "text",
        ],
    ),
    ("main", &["cli"]),
];

/// Parts that know no clock, no environment, no files, no network and no tasks.
const PURE: &[&str] = &[
    "text",
    "target",
    "finding",
    "manifest",
    "evidence",
    "report",
    "settings",
    "kube_model",
    "engine",
    "rules",
    "hub",
    "verbs",
    "output",
];

/// What a pure part may not name.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
    "tokio",
    "tracing",
    "anstream",
    "anyhow",
];

/// Names that say nothing about what is in them.
const DRAWERS: &[&str] = &["util", "utils", "common", "helpers", "misc", "manager", "shared"];

#[test]
fn the_layers_hold() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in sources(&root) {
        let module = module_path(path.strip_prefix(&root).unwrap());
        found.extend(violations(&module, &fs::read_to_string(&path).unwrap()));
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn planted_violations_are_found() {
    let planted = [
        ("text", "use crate::finding::Finding;", "text may not use finding"),
        ("text::tree", "use super::super::engine;", "text may not use engine"),
        ("manifest", "fn f() { let _ = crate::engine::evaluate; }", "manifest may not use engine"),
        ("rules::storage::x", "#[cfg(test)] mod tests { use crate::{text::At, verbs}; }", "rules may not use verbs"),
        ("verbs::check", "fn f(_: &crate::hub::Message) {}", "verbs may not use hub"),
        ("output", "fn f() { println!(\"{}\", crate::agent::X); }", "output may not use agent"),
        ("verbs", "macro_rules! m { () => { $crate::sources::Source } }", "verbs may not use sources"),
        ("hub::message", "use crate as us; fn f() { us::agent::run(); }", "renames the crate"),
        ("agent", "use crate::*;", "agent may not use *"),
        ("sim", "mod inner { fn f() { super::super::agent::run() } }", "sim may not use agent"),
        ("sim", "fn f() { tokio::select! { _ = super::agent::x() => {} } }", "sim may not use agent"),
        ("engine", "use std::{fs, sync::Arc};", "engine is pure and may not use std::fs"),
        ("report", "fn f() { std::env::var(\"A\").ok(); }", "report is pure and may not use std::env"),
        ("settings", "use std::time::{Duration, Instant};", "settings is pure and may not use std::time::Instant"),
        ("verbs", "async fn f() { tokio::task::yield_now().await }", "verbs is pure and may not use tokio"),
        ("nowhere", "", "nowhere is no part of the architecture"),
        ("rules::util::x", "", "is a drawer"),
    ];
    for (module, text, expected) in planted {
        let module: Vec<String> = module.split("::").map(str::to_owned).collect();
        let found = violations(&module, text);
        assert!(found.iter().any(|line| line.contains(expected)), "{text}: expected `{expected}`, found {found:?}");
    }
    let allowed = "use crate::text::At;\nuse super::Module;\nuse std::fmt; // crate::engine in a comment";
    assert_eq!(violations(&["manifest".into(), "env".into()], allowed), Vec::<String>::new());
}

#[test]
fn every_allowed_edge_leads_to_a_part() {
    let parts: Vec<&str> = ALLOWED.iter().map(|(part, _)| *part).collect();
    for (part, uses) in ALLOWED {
        for used in *uses {
            assert!(parts.contains(used), "{part} may use {used}, which is no part");
        }
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// `text/tree.rs` → `text::tree`, `text/mod.rs` → `text`; `lib.rs` → nothing.
fn module_path(path: &Path) -> Vec<String> {
    let parts = path.with_extension("");
    let parts = parts.iter().map(|part| part.to_string_lossy().into_owned());
    parts.filter(|part| part != "mod" && part != "lib").collect()
}

/// Every line of `text`, the source of `module`, that breaks a rule.
fn violations(module: &[String], text: &str) -> Vec<String> {
    let Some(part) = module.first() else { return Vec::new() };
    let mut found = Vec::new();
    if let Some(drawer) = module.iter().find(|name| DRAWERS.contains(&name.as_str())) {
        found.push(format!("{}: `{drawer}` is a drawer", module.join("::")));
    }
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let Some(allowed) = allowed.get(part.as_str()) else {
        found.push(format!("{}: {part} is no part of the architecture", module.join("::")));
        return found;
    };
    let mut paths = Paths { module: module.to_vec(), found: Vec::new() };
    paths.visit_file(&syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", module.join("::"))));
    let mut say = |span: Span, what: String| {
        let line = span.start().line;
        let code = text.lines().nth(line - 1).unwrap_or_default().trim();
        found.push(format!("{}:{line}: {what}\n    {code}", module.join("::")));
    };
    for (path, span) in paths.found {
        match path.as_slice() {
            [root, ..] if root == "crate as" => say(span, "renames the crate, which hides what is used".to_owned()),
            [root, used, ..] if root == "crate" && (used == part || allowed.contains(&used.as_str())) => {}
            [root, used, ..] if root == "crate" => say(span, format!("{part} may not use {used}")),
            _ if PURE.contains(&part.as_str()) => {
                let full = path.join("::");
                let impure = IMPURE.iter().find(|impure| full == **impure || full.starts_with(&format!("{impure}::")));
                if let Some(impure) = impure {
                    say(span, format!("{part} is pure and may not use {impure}"));
                }
            }
            _ => {}
        }
    }
    found
}

/// Every path in a file, with `super` and `self` resolved: `crate::part::…` for ours, as written for others.
struct Paths {
    module: Vec<String>,
    found: Vec<(Vec<String>, Span)>,
}

impl Paths {
    fn note(&mut self, path: &[String], span: Span) {
        let mut at: Option<Vec<String>> = None;
        for (i, name) in path.iter().enumerate() {
            match (name.as_str(), &mut at) {
                ("crate" | "edgeshift", None) => at = Some(Vec::new()),
                ("self", None) => at = Some(self.module.clone()),
                ("super", at) => {
                    at.get_or_insert_with(|| self.module.clone()).pop();
                }
                (_, Some(at)) => at.push(name.clone()),
                (_, None) => {
                    self.found.push((path[i..].to_vec(), span));
                    return;
                }
            }
        }
        let resolved = at.unwrap_or_default().into_iter();
        self.found.push((std::iter::once("crate".to_owned()).chain(resolved).collect(), span));
    }

    fn tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.note(&with(&name.ident), name.ident.span()),
            syn::UseTree::Glob(glob) => {
                self.note(&[before, &["*".to_owned()]].concat(), glob.star_token.spans[0]);
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(before, item)),
            syn::UseTree::Rename(rename) => {
                let path = with(&rename.ident);
                if path == ["crate"] {
                    self.found.push((vec!["crate as".to_owned()], rename.ident.span()));
                }
                self.note(&path, rename.ident.span());
            }
        }
    }

    /// Paths in the tokens of a macro, which no parser sees.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut start = Span::call_site();
        let mut colons = 0;
        let flush = |this: &mut Self, path: &mut Vec<String>, start: Span| {
            if path.len() > 1 {
                this.note(path, start);
            }
            path.clear();
        };
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        flush(self, &mut path, start);
                        start = ident.span();
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct)
                    if punct.as_char() == ':' && (colons == 1 || punct.spacing() == Spacing::Joint) =>
                {
                    colons += 1;
                }
                TokenTree::Group(group) => {
                    flush(self, &mut path, start);
                    colons = 0;
                    self.tokens(group.stream());
                }
                _ => {
                    flush(self, &mut path, start);
                    colons = 0;
                }
            }
        }
        flush(self, &mut path, start);
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            self.note(&names, path.segments[0].ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }
}
