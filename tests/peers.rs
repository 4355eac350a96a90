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
use edgeshift::report::{Outcome, Summary};
use edgeshift::settings::Settings;
use edgeshift::sim::{EmbeddedConfig, EmbeddedDevice};
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

/// The files that stay broken once comments and trailing commas are accepted (`corpus.md`, quirk 2), and where.
const BROKEN: [(&str, &str); 12] = [
    ("Azure-Samples__azure-intelligent-edge-patterns__deployment.percept.ava.json", "159:15"),
    ("Azure-Samples__azure-intelligent-edge-patterns__factory-ai-vision__Installer__deployment.ava.json", "159:15"),
    ("Azure-Samples__azure-intelligent-edge-patterns__factory-ai-vision__Installer__deployment.opencv.json", "162:15"),
    ("AzureIoTGBB__iot-edge-offline-dashboarding__deployment.template@fec9fc17.json", "1:1"),
    ("Azure__iotedge__e2e_deployment_files__connectivity_deployment.template@da8f81c1.json", "1:1"),
    ("Azure__iotedge__e2e_deployment_files__long_haul_deployment.template.windows@e2da86b9.json", "117:1"),
    ("Azure__iotedge__e2e_deployment_files__stress_deployment.template.windows@981ee7d9.json", "367:1"),
    ("Azure__iotedgedev__tests__assets__deployment.template.non_str_placeholder.json", "74:31"),
    ("bryan-starbuck__WeatherBalloon__edge__nontransmitter.deployment.json", "1:1"),
    ("marvin-garcia__IoTGateway__EdgeSolution__modules__OPC__layered.deployment.template.json", "33:20"),
    ("marvin-garcia__IoTGateway__EdgeSolution__modules__OPC__layered.deployment.template@a9d8f662.json", "53:20"),
    ("marvin-garcia__IoTGateway__EdgeSolution__modules__OPC__layered.deployment@ece54b04.json", "52:1"),
];

/// Files, and modules of those that can be read.
const FILES: usize = 391;
const MODULES: usize = 1_759;
/// Findings: block, silent, warn, info. A change of a rule changes these; look at what changed before you change them.
const FINDINGS: [usize; 4] = [439, 198, 1_166, 3_405];

#[test]
#[ignore = "needs EDGESHIFT_CORPUS"]
fn peer_corpus_is_judged_without_a_fault_of_ours() {
    let files = corpus();
    let (mut modules, mut broken) = (0, Vec::new());
    let mut rules: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut summary = Summary::default();
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let source = Source::new(name.as_str(), fs::read_to_string(path).unwrap());
        let manifest = match Manifest::read(&source) {
            Ok(manifest) => manifest,
            Err(ManifestError::Syntax { document, error }) => {
                let place = document.position(error.at.first().map_or(0, |range| range.start));
                println!("{name}:{place}: {error}");
                broken.push((name, place.to_string()));
                continue;
            }
            Err(error) => panic!("{name}: {error}"),
        };
        modules += manifest.modules().count();
        let snapshot = Snapshot::of_manifest(manifest, "2026-01-01T00:00:00Z".parse().unwrap());
        let report = verbs::check::check(&snapshot, &Settings::default());
        summary = summary.and(report.summary());
        for evaluation in &report.evaluations {
            assert!(!matches!(evaluation.outcome, Outcome::Broken(_)), "{name}: {:?}", evaluation.outcome);
            let found = evaluation.findings().len();
            let count = rules.entry(evaluation.rule).or_default();
            count.0 += found;
            count.1 += usize::from(found > 0);
        }
        // Every finding can be drawn and written down.
        let status = report.status(edgeshift::finding::Severity::Silent);
        let judged = vec![Judged { name, snapshot, report, status }];
        let result = CheckResult { judged, ..CheckResult::default() };
        assert!(!text::check(&result, text::Style { colour: false, width: 120 }).is_empty());
        assert!(serde_json::from_str::<serde_json::Value>(&json::check(&result)).is_ok());
    }
    for (rule, (findings, subjects)) in rules.iter().filter(|(_, (findings, _))| *findings > 0) {
        println!("{findings:6} findings in {subjects:5} subjects  {rule}");
    }
    let broken: Vec<(&str, &str)> = broken.iter().map(|(name, place)| (name.as_str(), place.as_str())).collect();
    assert_eq!(broken, BROKEN);
    assert_eq!((files.len(), modules), (FILES, MODULES));
    assert_eq!([summary.block, summary.silent, summary.warn, summary.info], FINDINGS);
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
    // A root that cannot be written is enough, but for the sockets of the demo.
    let demo = ["run", "--rm", "--read-only", "--tmpfs", "/tmp", image, "demo"];
    let demo = succeeded("docker run", &docker(&demo));
    assert!(demo.contains("← twin"), "{demo}");

    // What a deployment starts, as edgeAgent starts it: a module that reports.
    let folder = std::env::temp_dir().join(format!("edgeshift-image-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let modules = [("edgeshift".to_owned(), serde_json::json!({ "intervals": { "publish": 0.5 } }))].into();
    let (mqtt_port, https_port) = (8883, 443);
    let config = EmbeddedConfig { mqtt_port, https_port, ..EmbeddedConfig::new(&folder, modules) };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (device, _arrivals) = runtime.block_on(EmbeddedDevice::start(config)).unwrap();
    let volume = format!("{0}:{0}", folder.display());
    let mut run: Vec<String> =
        ["run", "-d", "--read-only", "--network", "host", "-v", &volume].map(str::to_owned).into();
    for (name, value) in device.environment("edgeshift").unwrap() {
        run.extend(["-e".to_owned(), format!("{name}={value}")]);
    }
    run.push(image.to_owned());
    let id = succeeded("docker run", &docker(&run.iter().map(String::as_str).collect::<Vec<_>>()));
    let reported = || device.iot_hub().twin("edgeshift").unwrap()["reported"]["edgeshift"]["version"].clone();
    let since = std::time::Instant::now();
    while reported().is_null() && since.elapsed().as_secs() < 20 {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let log = docker(&["logs", id.trim()]);
    succeeded("docker stop", &docker(&["stop", "-t", "9", id.trim()]));
    let exit = succeeded("docker inspect", &docker(&["inspect", "-f", "{{.State.ExitCode}}", id.trim()]));
    succeeded("docker rm", &docker(&["rm", "-f", id.trim()]));
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(reported(), env!("CARGO_PKG_VERSION"), "{}", String::from_utf8_lossy(&log.stdout));
    // It ended by itself on SIGTERM.
    assert_eq!(exit.trim(), "0");
}
