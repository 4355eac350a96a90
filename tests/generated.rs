//! Files of the repository that are made from the code are what the code makes: schemas and the pages of the rules.
//! `EDGESHIFT_UPDATE=1 cargo test --test generated` writes them.

#![expect(clippy::disallowed_methods, reason = "this test reads and writes files of the repository")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use edgeshift::output::{json, rule_docs};
use edgeshift::rules;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn is_update() -> bool {
    std::env::var_os("EDGESHIFT_UPDATE").is_some_and(|value| !value.is_empty())
}

/// The file `name` holds `text`; it is written where that is asked for.
fn assert_current(name: &str, text: &str) {
    let path = path(name);
    if is_update() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "{name} is stale: EDGESHIFT_UPDATE=1 cargo test --test generated");
}

#[test]
fn the_schemas_are_current() {
    assert_current("schema/check-1.json", &json::check_schema());
    assert_current("schema/settings.json", &json::settings_schema());
}

#[test]
fn the_pages_of_the_rules_are_current() {
    let pages = rule_docs::files(rules::ALL);
    for (name, text) in &pages {
        assert_current(&format!("docs/rules/{name}"), text);
    }
    let names: BTreeSet<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
    for entry in fs::read_dir(path("docs/rules")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_update() && !names.contains(name.as_str()) {
            fs::remove_file(entry.path()).unwrap();
            continue;
        }
        assert!(names.contains(name.as_str()), "docs/rules/{name} belongs to no rule");
    }
}

/// What is to be found in each scenario of `fixtures/gpu/`; `tests/nvml.rs` holds the rules to it.
#[test]
fn the_table_of_gpu_scenarios_is_current() {
    let mut table = "# What is found in each GPU scenario\n\n\
        The scenarios are in `fixtures/gpu/`. `tests/nvml.rs` plays each through the fake library of NVML, and finds what stands here and nothing \
        else; this table is written out of their first lines.\n\n| Scenario | Findings |\n|---|---|\n"
        .to_owned();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gpu");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "toml")) {
        let text = fs::read_to_string(file).unwrap();
        let found = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        let name = file.file_stem().unwrap().to_string_lossy();
        let found = if found == "well" { "none".to_owned() } else { format!("`{}`", found.replace(", ", "`, `")) };
        writeln!(table, "| `{name}` | {found} |").unwrap();
    }
    assert_current("docs/gpu-scenarios.md", &table);
}
