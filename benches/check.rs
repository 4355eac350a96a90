//! `check` beside a plain parse of the same bytes. Run with `cargo bench`; with `EDGESHIFT_CORPUS` also on the largest real
//! deployment. The allocation columns show the peak memory of one run.

#![expect(clippy::disallowed_methods, reason = "a bench reads the corpus that the environment names")]
#![expect(clippy::unwrap_used, reason = "a panic is how a bench fails")]
#![expect(clippy::print_stderr, reason = "rows that are left out are named")]

use std::fmt;

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher, black_box};
use edgeshift::evidence::Snapshot;
use edgeshift::kube_model::{AgentSettings, objects};
use edgeshift::manifest::Manifest;
use edgeshift::settings::Settings;
use edgeshift::text::Source;
use edgeshift::verbs::check::check;
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// A deployment and what to call it in the table.
struct Input {
    name: String,
    text: String,
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} KB)", self.name, self.text.len() / 1024)
    }
}

fn inputs() -> Vec<Input> {
    let mut inputs: Vec<Input> = [20, 200, 2_000].into_iter().map(generated).collect();
    match std::env::var("EDGESHIFT_CORPUS") {
        Ok(folder) => inputs.push(largest(&folder)),
        Err(_) => eprintln!("EDGESHIFT_CORPUS is not set: the row of the largest real deployment is left out"),
    }
    inputs
}

fn largest(folder: &str) -> Input {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = files
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| std::fs::read_to_string(path).unwrap());
    let readable = texts.filter(|text| serde_json::from_str::<Value>(text).is_ok());
    Input { name: "largest real".to_owned(), text: readable.max_by_key(String::len).unwrap() }
}

/// A deployment of `modules` modules with what real ones have: strings and pieces, shares, ports, variables, limits. Every
/// third one was written for Docker, so that there are three findings for each module, as in real deployments.
fn generated(modules: usize) -> Input {
    let module = |i: usize| {
        let of_docker = json!({
            "HostConfig": {
                "Binds": [format!("/home/hcsshares/share{i}:/data"), "/var/lib/model:/model:ro"],
                "PortBindings": { format!("{}/tcp", 5000 + i): [{ "HostPort": (5000 + i).to_string() }] },
                "Memory": 268_435_456,
                "LogConfig": { "Type": "json-file", "Config": { "max-size": "10m", "max-file": "3" } },
            },
            "Env": ["MODE=fast", format!("PEER=module{}:{}", i / 2, 5000 + i / 2), "Logging:LogLevel=debug"],
            "Labels": { "owner": "line", "note": "é\u{1f600}\"quoted\"" },
        });
        let of_kubernetes = json!({
            "HostConfig": {
                "Mounts": [{ "Type": "volume", "Source": format!("share{i}"), "Target": "/data" }],
                "PortBindings": { format!("{}/tcp", 5000 + i): [{ "HostPort": (5000 + i).to_string() }] },
            },
            "k8s-experimental": { "resources": { "limits": { "memory": "256Mi", "cpu": "500m" } } },
            "Env": ["MODE=fast", format!("PEER=module{}:{}", i / 2, 5000 + i / 2), "Logging__LogLevel=debug"],
            "Labels": { "owner": "line", "note": "quoted" },
        });
        let options = if i.is_multiple_of(3) { of_docker } else { of_kubernetes };
        let mut settings = json!({ "image": format!("example.azurecr.io/module{i}:1.{i}") });
        let text = options.to_string();
        let characters: Vec<char> = text.chars().collect();
        for (n, piece) in characters.chunks(512).enumerate() {
            let key = if n == 0 { "createOptions".to_owned() } else { format!("createOptions{n:02}") };
            settings[key] = piece.iter().collect::<String>().into();
        }
        let value = json!({
            "version": "1.0",
            "type": "docker",
            "status": "running",
            "restartPolicy": "always",
            "env": { "LEVEL": { "value": "info" }, "https_proxy": { "value": "http://proxy.example:3128" } },
            "settings": settings,
        });
        (format!("Module{i}"), value)
    };
    let modules_section: serde_json::Map<String, Value> = (0..modules).map(module).collect();
    let deployment = json!({ "modulesContent": {
        "$edgeAgent": { "properties.desired": { "schemaVersion": "1.1", "systemModules": {}, "modules": modules_section } },
        "$edgeHub": { "properties.desired": { "schemaVersion": "1.1", "routes": {} } },
    } });
    Input { name: format!("{modules} modules"), text: format!("{deployment:#}") }
}

/// The yardstick: a plain parse into a tree.
#[divan::bench(args = inputs())]
fn serde_json_value(bencher: Bencher<'_, '_>, input: &Input) {
    bencher
        .counter(BytesCount::of_str(input.text.as_str()))
        .bench(|| serde_json::from_str::<Value>(black_box(&input.text)).unwrap());
}

/// Reading the manifest alone: spans, layers and views.
#[divan::bench(args = inputs())]
fn read(bencher: Bencher<'_, '_>, input: &Input) {
    let source = Source::new("bench", input.text.as_str());
    bencher.counter(BytesCount::of_str(input.text.as_str())).bench(|| Manifest::read(black_box(&source)).unwrap());
}

/// Reading and judging by every rule.
#[divan::bench(args = inputs())]
fn read_and_check(bencher: Bencher<'_, '_>, input: &Input) {
    let settings = Settings::default();
    bencher.counter(BytesCount::of_str(input.text.as_str())).bench(|| {
        let source = Source::new("bench", black_box(input.text.as_str()));
        let manifest = Manifest::read(&source).unwrap();
        check(&Snapshot::of_manifest(manifest, jiff::Timestamp::UNIX_EPOCH), &settings)
    });
}

/// Translating what was read into Kubernetes objects.
#[divan::bench(args = inputs())]
fn translate(bencher: Bencher<'_, '_>, input: &Input) {
    let manifest = Manifest::read(&Source::new("bench", input.text.as_str())).unwrap();
    let settings = AgentSettings::default();
    bencher
        .counter(BytesCount::of_str(input.text.as_str()))
        .bench(|| objects::translate(black_box(&manifest), &settings));
}
