//! What is recognised on a real Docker engine, run by `scripts/peers`: modules made as edgeAgent makes them, in twelve
//! situations, each told apart from the others within five seconds.

#![expect(clippy::disallowed_methods, reason = "the peers are files and programs")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use edgeshift::agent::{Clock, look_once};
use edgeshift::evidence::{Observed, ProxyAnswer, Snapshot};
use edgeshift::manifest::Manifest;
use edgeshift::settings::Settings;
use edgeshift::sources::{Docker, Source};
use edgeshift::text;
use edgeshift::verbs;

/// What edgeAgent writes on its containers.
const OWNER: &str = "net.azure-devices.edge.owner=Microsoft.Azure.Devices.Edge.Agent";
const IMAGE: &str = "edgeshift-peer-module:1";
/// How soon a situation is to be recognised.
const SOON: Duration = Duration::from_secs(5);
/// The rules that tell the situations apart.
const RULES: [&str; 11] = [
    "image-absent",
    "image-drift",
    "network-port-not-bound",
    "proxy-blocked",
    "resources-limits-in-force",
    "status-crash",
    "status-ended",
    "status-no-container",
    "status-out-of-memory",
    "status-restarted",
    "storage-mounted-file",
];

/// The name of a module of this run.
fn name(situation: &str) -> String {
    format!("edgeshift-peer-{situation}")
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("docker can be run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "docker {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// One test at a time has modules.
static ENGINE: Mutex<()> = Mutex::new(());

/// The modules of this run; they are removed at its end, whatever happens.
struct Modules(#[expect(dead_code, reason = "held until the modules are gone")] MutexGuard<'static, ()>);

impl Modules {
    /// Makes the image: one static program, nothing else.
    fn start() -> Self {
        let engine = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
        remove_all();
        let script = r#"
            set -e
            root=$(mktemp -d); trap 'rm -rf "$root"' EXIT
            mkdir -p "$root/bin" "$root/tmp"; cp /bin/busybox "$root/bin/busybox"; ln -s busybox "$root/bin/sh"
            tar -C "$root" -c . | docker import - "$1" >/dev/null
        "#;
        let made = Command::new("bash").args(["-c", script, "bash", IMAGE]).status().unwrap();
        assert!(made.success(), "the image needs /bin/busybox, statically linked");
        Self(engine)
    }

    /// Starts a module as edgeAgent does.
    fn run(situation: &str, options: &[&str], program: &[&str]) {
        let name = name(situation);
        let start = ["run", "-d", "--name", &name, "--label", OWNER];
        docker(&[&start, options, &[IMAGE, "/bin/busybox"], program].concat());
    }
}

impl Drop for Modules {
    fn drop(&mut self) {
        remove_all();
    }
}

fn remove_all() {
    let ours = docker(&["ps", "-aq", "--filter", "name=^/edgeshift-peer-"]);
    for id in ours.split_whitespace() {
        docker(&["rm", "-f", id]);
    }
}

const SLEEP: [&str; 2] = ["sleep", "600"];

/// The deployment of every situation.
fn manifest() -> Manifest {
    let module = |situation: &str, image: &str, options: &str| {
        format!(r#""{}": {{ "settings": {{ "image": "{image}", "createOptions": "{options}" }} }}"#, name(situation))
    };
    let plain = ["healthy", "crash", "memory", "file", "port", "blocked", "passed", "stopped", "restarted", "removed"];
    let mut modules: Vec<String> = plain.iter().map(|situation| module(situation, IMAGE, "{}")).collect();
    modules.push(module("limit", IMAGE, r#"{\"HostConfig\":{\"Memory\":268435456}}"#));
    modules.push(module("pull", "registry.invalid/scorer:1", "{}"));
    let modules = modules.join(", ");
    let text = format!(
        r#"{{ "modulesContent": {{ "$edgeAgent": {{ "properties.desired": {{ "modules": {{ {modules} }} }} }} }} }}"#
    );
    Manifest::read(&text::Source::new("deployment.json", text)).unwrap()
}

fn look(runtime: &tokio::runtime::Runtime, source: &Arc<dyn Source>) -> Snapshot {
    runtime.block_on(async {
        let snapshot = look_once(std::slice::from_ref(source), Clock::system()).await;
        Snapshot { manifest: Observed::Known(manifest()), ..snapshot }
    })
}

/// The rules that tell situations apart and find something in the module of `situation`.
fn found(snapshot: &Snapshot, situation: &str) -> BTreeSet<&'static str> {
    let report = verbs::check::check(snapshot, &Settings::default());
    let of_module = report.findings().filter(|(evaluation, _)| evaluation.subject.module() == Some(&name(situation)));
    of_module.map(|(evaluation, _)| evaluation.rule).filter(|rule| RULES.contains(rule)).collect()
}

fn address(situation: &str) -> String {
    docker(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", &name(situation)])
}

/// A proxy that answers everything with `status`.
fn proxy(situation: &str, status: &str) -> String {
    let answer = format!("HTTP/1.1 {status}\\r\\n\\r\\n");
    Modules::run(situation, &[], &["nc", "-ll", "-p", "3128", "-e", "/bin/busybox", "printf", &answer]);
    format!("https_proxy=http://user:hunter2@{}:3128", address(situation))
}

/// What the situations need that is made before them.
struct Site {
    /// A bind of a file of the host.
    file: String,
    /// Variables that name a proxy that refuses, and one that connects.
    blocking: String,
    passing: String,
}

/// The situations, and the one rule that tells each.
const SITUATIONS: [(&str, Option<&str>); 12] = [
    ("healthy", None),
    ("crash", Some("status-crash")),
    ("memory", Some("status-out-of-memory")),
    ("limit", Some("resources-limits-in-force")),
    ("file", Some("storage-mounted-file")),
    ("port", Some("network-port-not-bound")),
    ("blocked", Some("proxy-blocked")),
    ("passed", None),
    ("pull", Some("image-absent")),
    ("stopped", Some("status-ended")),
    ("restarted", Some("status-restarted")),
    ("removed", Some("status-no-container")),
];

/// Makes `situation` happen.
fn cause(situation: &str, site: &Site) {
    let run = |options: &[&str], program: &[&str]| Modules::run(situation, options, program);
    let hub = "IOTEDGE_IOTHUBHOSTNAME=h.azure-devices.net";
    match situation {
        "healthy" => run(&["-p", "80"], &["nc", "-ll", "-p", "80", "-e", "/bin/busybox", "echo", "well"]),
        "crash" => run(&["--restart", "always"], &["sh", "-c", "exit 3"]),
        "memory" => {
            let eat = "x=xxxxxxxxxxxxxxxx; while true; do x=$x$x; done";
            run(&["-m", "16m", "--memory-swap", "16m"], &["sh", "-c", eat]);
        }
        "limit" => run(&["-m", "64m"], &SLEEP),
        "file" => run(&["-v", &site.file], &SLEEP),
        "port" => run(&["-p", "81"], &SLEEP),
        "blocked" => run(&["-e", &site.blocking, "-e", hub], &SLEEP),
        "passed" => run(&["-e", &site.passing, "-e", hub], &SLEEP),
        "pull" => {}
        _ => {
            run(&[], &SLEEP);
            let name = name(situation);
            match situation {
                "stopped" => docker(&["stop", "-t", "1", &name]),
                "restarted" => docker(&["restart", "-t", "1", &name]),
                _ => docker(&["rm", "-f", &name]),
            };
        }
    }
}

fn address_of_engine() -> String {
    std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned())
}

#[test]
#[ignore = "needs Docker"]
fn peer_docker_tells_twelve_situations_apart_within_five_seconds() {
    let _modules = Modules::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine: Arc<dyn Source> = Arc::new(Docker::new(address_of_engine()));
    let labels = std::env::temp_dir().join(format!("edgeshift-peer-{}", std::process::id()));
    std::fs::write(&labels, "labels").unwrap();
    let site = Site {
        file: format!("{}:/labels:ro", labels.display()),
        blocking: proxy("refuses", "403 Forbidden"),
        passing: proxy("connects", "200 OK"),
    };
    for (situation, rule) in SITUATIONS {
        cause(situation, &site);
        let (happened, expected) = (Instant::now(), rule.into_iter().collect::<BTreeSet<_>>());
        loop {
            let found = found(&look(&runtime, &engine), situation);
            if found == expected {
                break;
            }
            assert!(happened.elapsed() < SOON, "{situation}: expected {expected:?}, found {found:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
        println!("{situation:10} {:5} ms  {}", happened.elapsed().as_millis(), rule.unwrap_or("well"));
    }
    // All at once they are still told apart, and what is kept has no password and says the same.
    let snapshot = look(&runtime, &engine);
    let json = snapshot.to_json();
    assert!(!json.contains("hunter2"));
    let read = Snapshot::from_json(&json).unwrap();
    for (situation, rule) in SITUATIONS {
        let expected = rule.into_iter().collect::<BTreeSet<_>>();
        assert_eq!(found(&snapshot, situation), expected, "{situation}");
        assert_eq!(found(&read, situation), expected, "{situation}, kept");
        // What is well was really looked at.
        let containers = &read.engine.known().unwrap().containers;
        assert_eq!(containers.contains_key(&name(situation)), !["pull", "removed"].contains(&situation), "{situation}");
    }
    let containers = &read.engine.known().unwrap().containers;
    assert_eq!(containers[&name("healthy")].ports[0].answers, Some(true));
    assert_eq!(containers[&name("passed")].proxies[0].answer, Some(ProxyAnswer::Connects));
    let _ = std::fs::remove_file(labels);
}

#[test]
#[ignore = "needs Docker"]
fn peer_docker_finds_a_share_that_is_an_empty_directory_until_something_is_in_it() {
    let _modules = Modules::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine: Arc<dyn Source> = Arc::new(Docker::new(address_of_engine()));
    let folder = std::env::temp_dir().join(format!("edgeshift-peer-share-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let settings = serde_json::json!({ "site": { "share_paths": { "frames": folder } } });
    let settings = Settings::from_json(settings).unwrap();
    Modules::run("share", &["-v", &format!("{}:/in", folder.display())], &SLEEP);
    // What the kernel shows of the module says it all; without that it has to be found by its being empty.
    let findings = |kernel: bool| {
        let mut snapshot = runtime.block_on(look_once(std::slice::from_ref(&engine), Clock::system()));
        if let (Observed::Known(engine), false) = (&mut snapshot.engine, kernel) {
            let mounts = engine.containers.values_mut().flat_map(|container| &mut container.mounts);
            mounts.for_each(|mount| assert!(mount.file_system.take().is_some(), "{mount:?}"));
        }
        let report = verbs::check::check(&snapshot, &settings);
        let found = report.findings().filter(|(evaluation, _)| evaluation.rule == "storage-share-mounted");
        found.map(|(_, finding)| finding.message.clone()).collect::<Vec<_>>()
    };
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let covers = |line: &&str| line.split(' ').nth(4).is_some_and(|mount| folder.starts_with(mount));
    let mount = table.lines().filter(covers).max_by_key(|line| line.split(' ').nth(4).map(str::len)).unwrap();
    let system = mount.split_once(" - ").and_then(|(_, rest)| rest.split(' ').next()).unwrap();
    let (module, path) = (name("share"), folder.display());
    let is_other = format!("`/in` of `{module}` is `{path}` of the host on `{system}`, not the share `frames`");
    let is_empty = format!("`/in` of `{module}`, the share `frames` by `{path}`, is empty");
    assert_eq!((findings(true), findings(false)), (vec![is_other.clone()], vec![is_empty]));
    std::fs::write(folder.join("frame"), "x").unwrap();
    assert_eq!((findings(true), findings(false)), (vec![is_other], vec![]));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
#[ignore = "needs Docker"]
fn peer_docker_sees_who_keeps_the_processor_busy_in_place_of_a_gpu() {
    let _modules = Modules::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine: Arc<dyn Source> = Arc::new(Docker::new(address_of_engine()));
    let asks = ["-e", "NVIDIA_VISIBLE_DEVICES=all"];
    Modules::run("works", &asks, &["sh", "-c", "while :; do :; done"]);
    Modules::run("sleeps", &asks, &SLEEP);
    Modules::run("plain", &[], &SLEEP);
    std::thread::sleep(Duration::from_secs(4));
    let snapshot = look(&runtime, &engine);
    let containers = &snapshot.engine.known().unwrap().containers;
    let processors = |situation: &str| containers[&name(situation)].processor.map(|time| time.processors().unwrap());
    let works = processors("works").unwrap();
    assert!((0.1..1.2).contains(&works), "{works}");
    assert!(processors("sleeps").unwrap() < 0.1, "{:?}", processors("sleeps"));
    // Of those that have nothing to do with GPUs it is not asked.
    assert_eq!(processors("plain"), None);
}

#[test]
#[ignore = "needs Docker"]
fn peer_docker_says_at_once_that_something_happened() {
    let _modules = Modules::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine = Docker::new(address_of_engine());
    runtime.block_on(async {
        let happens = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            tokio::task::spawn_blocking(|| Modules::run("news", &[], &SLEEP)).await.unwrap();
            Instant::now()
        };
        let told = async {
            tokio::time::timeout(Duration::from_secs(20), engine.changed()).await.expect("nobody was told");
            Instant::now()
        };
        let (happened, told) = tokio::join!(happens, told);
        assert!(told.saturating_duration_since(happened) < SOON);
    });
}

/// A second engine with a socket and a root of its own.
struct Second {
    folder: PathBuf,
    engine: Option<Child>,
}

impl Second {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("edgeshift-engine-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder, engine: None }
    }

    fn address(&self) -> String {
        format!("unix://{}/docker.sock", self.folder.display())
    }

    fn docker(&self, arguments: &[&str]) -> String {
        docker(&[&["-H", &self.address()], arguments].concat())
    }

    fn start(&mut self) {
        let at = |name: &str| self.folder.join(name);
        let log = std::fs::File::create(at("log")).unwrap();
        // In a network of its own: an engine without a bridge takes away the bridge of the other one.
        let mut engine = Command::new("unshare");
        engine.args(["--net", "dockerd", "--bridge", "none", "--iptables=false", "-H", &self.address()]);
        engine.arg("--data-root").arg(at("data")).arg("--exec-root").arg(at("exec")).arg("-p").arg(at("pid"));
        self.engine = Some(engine.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        let started = Instant::now();
        while !Command::new("docker").args(["-H", &self.address(), "info"]).output().unwrap().status.success() {
            let log = std::fs::read_to_string(at("log")).unwrap_or_default();
            assert!(started.elapsed() < Duration::from_secs(60), "the second engine does not start: {log}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn stop(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            let _ = Command::new("kill").arg(engine.id().to_string()).status();
            let _ = engine.wait();
        }
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        if self.engine.is_some() {
            let _ = Command::new("docker").args(["-H", &self.address(), "rm", "-f", &name("again")]).output();
        }
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
#[ignore = "needs Docker"]
fn peer_docker_outlives_a_restart_of_the_engine() {
    let _modules = Modules::start();
    let (mut second, saved) =
        (Second::new(), std::env::temp_dir().join(format!("edgeshift-image-{}", std::process::id())));
    second.start();
    docker(&["save", "-o", &saved.display().to_string(), IMAGE]);
    second.docker(&["load", "-i", &saved.display().to_string()]);
    std::fs::remove_file(&saved).unwrap();
    let container = name("again");
    let options = ["run", "-d", "--restart", "always", "--network", "none", "--name", &container, "--label", OWNER];
    second.docker(&[&options[..], &[IMAGE, "/bin/busybox"], &SLEEP].concat());

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine: Arc<dyn Source> = Arc::new(Docker::new(second.address()));
    let is_up = |snapshot: &Snapshot| {
        let container = snapshot.engine.known().and_then(|engine| engine.containers.get(&container));
        container.is_some_and(|container| container.is_running() && !container.is_crashing())
    };
    let told = || {
        let news = runtime.block_on(async { tokio::time::timeout(SOON, engine.changed()).await });
        news.expect("nobody was told");
    };
    assert!(is_up(&look(&runtime, &engine)));

    second.stop();
    told();
    let Observed::Unknown(why) = look(&runtime, &engine).engine else { panic!("the engine is away") };
    assert!(why.expected && why.what.starts_with("docker: cannot "), "{why:?}");

    second.start();
    told();
    let back = Instant::now();
    while !is_up(&look(&runtime, &engine)) {
        assert!(back.elapsed() < SOON, "the module is not seen again");
        std::thread::sleep(Duration::from_millis(100));
    }
}
