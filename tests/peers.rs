//! Tests with real peers, run by `scripts/peers`. Each name starts with `peer_<group>`.

#![expect(clippy::disallowed_methods, reason = "the peers are files and programs")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use edgeshift::evidence::Snapshot;
use edgeshift::manifest::{Manifest, ManifestError};
use edgeshift::output::{CheckResult, Judged, json, text};
use edgeshift::report::Outcome;
use edgeshift::settings::Settings;
use edgeshift::text::Source;
use edgeshift::verbs;

/// The files of the corpus, sorted.
fn corpus() -> Vec<PathBuf> {
    let folder = std::env::var("EDGESHIFT_CORPUS").expect("EDGESHIFT_CORPUS names a folder of real deployments");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{folder}: {error}"))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} has no deployments");
    files
}

#[test]
#[ignore = "needs EDGESHIFT_CORPUS"]
fn peer_corpus_is_judged_without_a_fault_of_ours() {
    let files = corpus();
    let (mut read, mut rejected) = (0, Vec::new());
    let mut rules: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let source = Source::new(name.as_str(), fs::read_to_string(path).unwrap());
        let manifest = match Manifest::read(&source) {
            Ok(manifest) => manifest,
            Err(ManifestError::Syntax { document, error }) => {
                let place = document.position(error.at.first().map_or(0, |range| range.start));
                rejected.push(format!("{name}:{place}: {error}"));
                continue;
            }
            Err(error) => panic!("{name}: {error}"),
        };
        read += 1;
        let snapshot = Snapshot::of_manifest(manifest, "2026-01-01T00:00:00Z".parse().unwrap());
        let report = verbs::check::check(&snapshot, &Settings::default());
        for evaluation in &report.evaluations {
            assert!(!matches!(evaluation.outcome, Outcome::Broken(_)), "{name}: {:?}", evaluation.outcome);
            let found = evaluation.findings().len();
            let count = rules.entry(evaluation.rule).or_default();
            count.0 += found;
            count.1 += usize::from(found > 0);
        }
        // Every finding can be drawn and written down.
        let status = report.status(edgeshift::finding::Severity::Silent);
        let result = CheckResult { judged: vec![Judged { name, snapshot, report, status }], rejected: Vec::new() };
        assert!(!text::check(&result, text::Style { colour: false, width: 120 }).is_empty());
        assert!(serde_json::from_str::<serde_json::Value>(&json::check(&result)).is_ok());
    }
    println!("{} files, {read} read, {} not JSON", files.len(), rejected.len());
    for (rule, (findings, modules)) in rules.iter().filter(|(_, (findings, _))| *findings > 0) {
        println!("{findings:6} findings in {modules:5} subjects  {rule}");
    }
    println!("{}", rejected.join("\n"));
    // Comments and trailing commas are accepted, and 12 files stay broken beyond them (`corpus.md`, quirk 2).
    assert!(rejected.len() <= 12, "{} files are not read", rejected.len());
}

fn docker(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).output().expect("docker can be run")
}

fn succeeded(what: &str, output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Imports an image that has what the binary needs to start, the C library of this machine, and nothing else.
fn base_image() -> &'static str {
    let name = "edgeshift-test-base";
    let script = r#"
        set -e
        binary=$1; root=$(mktemp -d); trap 'rm -rf "$root"' EXIT
        for library in $(ldd "$binary" | grep -o '/[^ ]*'); do
            mkdir -p "$root$(dirname "$library")"; cp -L "$library" "$root$library"
        done
        tar -C "$root" -c . | docker import - "$2"
    "#;
    let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/edgeshift");
    let output = Command::new("bash").args(["-c", script, "bash"]).arg(binary).arg(name).output().unwrap();
    succeeded("docker import", &output);
    name
}

#[test]
#[ignore = "needs Docker"]
fn peer_docker_builds_the_image_and_runs_it() {
    let base = format!("BASE={}", base_image());
    let root = env!("CARGO_MANIFEST_DIR");
    let file = format!("{root}/Dockerfile.amd64");
    let image = "edgeshift-test";
    succeeded("docker build", &docker(&["build", "--build-arg", &base, "-f", &file, "-t", image, root]));
    let version = succeeded("docker run", &docker(&["run", "--rm", image, "--version"]));
    assert_eq!(version.trim(), format!("edgeshift {}", env!("CARGO_PKG_VERSION")));
    let demo = succeeded("docker run", &docker(&["run", "--rm", "--read-only", image, "demo"]));
    assert!(demo.contains("← twin"), "{demo}");
    // What a deployment starts keeps running.
    let id = succeeded("docker run", &docker(&["run", "-d", image]));
    std::thread::sleep(std::time::Duration::from_secs(5));
    let running = succeeded("docker inspect", &docker(&["inspect", "-f", "{{.State.Running}}", id.trim()]));
    succeeded("docker rm", &docker(&["rm", "-f", id.trim()]));
    assert_eq!(running.trim(), "true");
}
