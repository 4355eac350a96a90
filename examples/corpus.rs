//! What `check` says about every deployment of a folder, as a table: `scripts/corpus DIR`.

#![expect(clippy::disallowed_methods, reason = "a tool of the command line")]
#![expect(clippy::print_stdout, reason = "the table is its output")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use edgeshift::evidence::Snapshot;
use edgeshift::finding::Severity;
use edgeshift::manifest::{Manifest, ManifestError};
use edgeshift::settings::Settings;
use edgeshift::text::Source;
use edgeshift::verbs::check::check;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: corpus DIR")?;
    let mut files = Vec::new();
    collect(Path::new(&folder), &mut files)?;
    files.sort();

    let mut rules: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let (mut modules, mut others, mut errors) = (0, 0, Vec::new());
    let started = Instant::now();
    for path in &files {
        let name = path.display().to_string();
        let bytes = std::fs::read(path)?;
        let Ok(text) = String::from_utf8(bytes) else {
            errors.push(format!("{name}: not UTF-8"));
            continue;
        };
        match Manifest::read(&Source::new(name.as_str(), text)) {
            Err(ManifestError::NotADeployment { .. }) => others += 1,
            Err(ManifestError::Syntax { document, error }) => {
                let place = error.at.first().map(|range| document.position(range.start));
                errors.push(format!("{name}:{}: {error}", place.map_or(String::new(), |place| place.to_string())));
            }
            Ok(manifest) => {
                modules += manifest.modules().count();
                let report = check(&Snapshot::of_manifest(manifest, jiff::Timestamp::UNIX_EPOCH), &Settings::default());
                for (evaluation, finding) in report.findings() {
                    let place = Severity::ALL.iter().position(|severity| *severity == finding.severity);
                    rules.entry(evaluation.rule).or_default()[place.unwrap_or_default()] += 1;
                }
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();

    println!("{:34} {:>6} {:>6} {:>6} {:>6}", "rule", "block", "silent", "warn", "info");
    for (rule, [block, silent, warn, info]) in &rules {
        println!("{rule:34} {block:>6} {silent:>6} {warn:>6} {info:>6}");
    }
    let findings: usize = rules.values().flatten().sum();
    println!("\n{} files, {modules} modules, {findings} findings, {seconds:.2} s", files.len());
    println!("{others} are JSON but no deployment, {} cannot be read:", errors.len());
    for error in &errors {
        println!("  {error}");
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
            files.push(path);
        }
    }
    Ok(())
}
