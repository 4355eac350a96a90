//! The program of the image, `edgeshift agent`, as edgeAgent starts it: its environment, its log, its end.

#![expect(clippy::disallowed_methods, reason = "the program is started, and its lines are read")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[expect(dead_code, reason = "the raw clients are for other tests")]
mod sockets;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use edgeshift::manifest::Manifest;
use edgeshift::sim::{Behaviour, Device, EmbeddedConfig, EmbeddedDevice, Route, Scenario};
use edgeshift::text::Source;
use serde_json::{Value, json};
use sockets::{Folder, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

const MODULE: &str = "edgeshift";

/// The program, ended at the latest when it is dropped.
struct Program {
    child: Child,
    lines: Receiver<Value>,
}

impl Program {
    fn start(environment: &BTreeMap<&'static str, String>) -> Self {
        Self::with(&["agent", "--listen", "off", "--source", "workload,process"], environment)
    }

    fn with(arguments: &[&str], environment: &BTreeMap<&'static str, String>) -> Self {
        let program = std::env::var("EDGESHIFT_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_edgeshift").to_owned());
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}")));
            }
        });
        Self { child, lines }
    }

    /// The lines that were written since they were read last.
    fn lines(&self) -> Vec<Value> {
        self.lines.try_iter().collect()
    }

    /// How many of these were written while it was waited for `time`.
    async fn count_during(&self, time: Duration, level: &str) -> usize {
        self.lines();
        tokio::time::sleep(time).await;
        self.lines().iter().filter(|line| line["level"] == level).count()
    }

    /// Asks it to end as edgeAgent does; what it wrote to stderr, which has to be nothing.
    fn end(mut self) -> String {
        assert!(self.child.try_wait().unwrap().is_none(), "it has ended by itself");
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        let mut complaints = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
        complaints
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of this machine that no other run uses: the ports of edgeHub are built in.
fn address() -> IpAddr {
    let [a, b, ..] = std::process::id().to_le_bytes();
    Ipv4Addr::new(127, 77, b, a.max(1)).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_says_as_much_as_the_twin_asks_for() {
    let folder = Folder::new();
    let desired = json!({ "intervals": { "collect": 0.1, "publish": 0.1 } });
    let config = EmbeddedConfig {
        gateway: address().to_string(),
        address: address(),
        mqtt_port: 8883,
        behaviour: Behaviour { sync: Duration::from_millis(50), ..Behaviour::default() },
        ..EmbeddedConfig::new(folder.path(), [(MODULE.to_owned(), desired)].into())
    };
    let (device, _arrivals) = EmbeddedDevice::start(config).await.unwrap();
    let program = Program::start(&device.environment(MODULE).unwrap());
    let in_force = |version: u64| move |twin: &Value| twin["reported"]["settings"]["version"].as_u64() >= Some(version);
    let settled = async |version| {
        let is_so = in_force(version);
        until(|| device.iot_hub().twin(MODULE).is_some_and(|twin| is_so(&twin))).await;
    };
    settled(1).await;
    let heard = program.lines();
    assert!(heard.iter().any(|line| line["message"] == "Connected to edgeHub."), "{heard:?}");
    assert!(heard.iter().all(|line| line["level"] != "DEBUG"), "{heard:?}");
    assert_eq!(program.count_during(Duration::from_millis(700), "DEBUG").await, 0);

    let version = device.iot_hub().desire(MODULE, &json!({ "log": "debug" })).unwrap();
    settled(version).await;
    assert!(program.count_during(Duration::from_millis(700), "DEBUG").await >= 2);

    let version = device.iot_hub().desire(MODULE, &json!({ "log": null })).unwrap();
    settled(version).await;
    assert_eq!(program.count_during(Duration::from_millis(700), "DEBUG").await, 0);
    assert_eq!(program.end(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_of_the_workload_api_does_not_end_the_program() {
    let folder = Folder::new();
    let socket = folder.path().join("workload.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let http = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes();
        let answers = [
            http(r#"{"digest":7}"#),
            http("[[["),
            b"\x00\xff\xfe no HTTP\r\n\r\n".to_vec(),
            Vec::new(),
            http(r#"{"digest":"&se=1","certificate":"x"}"#),
            b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{".to_vec(),
            b"HTTP/1.1 999 ?\r\n\r\n".to_vec(),
        ];
        for answer in answers.iter().cycle() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer).await;
            let _ = asked.send(());
        }
    });
    let environment = BTreeMap::from([
        ("IOTEDGE_WORKLOADURI", format!("unix://{}", socket.display())),
        ("IOTEDGE_MODULEID", MODULE.to_owned()),
        ("IOTEDGE_MODULEGENERATIONID", "1".to_owned()),
        ("IOTEDGE_DEVICEID", "edge".to_owned()),
        ("IOTEDGE_IOTHUBHOSTNAME", "h.azure-devices.net".to_owned()),
        ("IOTEDGE_GATEWAYHOSTNAME", address().to_string()),
        ("IOTEDGE_APIVERSION", "2022-08-03".to_owned()),
    ]);
    let program = Program::start(&environment);
    // The pauses between tries double.
    for _ in 0..5 {
        sockets::within(asks.recv()).await.unwrap();
    }
    let heard = program.lines();
    assert!(heard.iter().any(|line| line["level"] == "WARN"), "{heard:?}");
    assert!(heard.iter().all(|line| line["level"] != "ERROR"), "{heard:?}");
    assert_eq!(program.end(), "");
}

/// The most modules of a deployment (`iothub-limits.md` §4).
const SIBLINGS: usize = 50;

/// A deployment of [`SIBLINGS`] modules, and the twin of `$edgeAgent` that says that they run.
fn twin_of_agent() -> Value {
    let id = |i: usize| format!("sibling-{i:02}");
    let options = r#"{"HostConfig":{"Binds":["/home/hcsshares/in:/in"],"Memory":134217728,"PortBindings":{"80/tcp":[{"HostPort":"8080"}]}}}"#;
    let declared = |i| {
        let settings = json!({ "image": "registry.example/sibling:1", "createOptions": options });
        (id(i), json!({ "type": "docker", "status": "running", "restartPolicy": "always", "settings": settings }))
    };
    let reported = |i| (id(i), json!({ "runtimeStatus": "running", "statusDescription": "Started", "exitCode": 0 }));
    let modules: serde_json::Map<String, Value> = (0..SIBLINGS).map(declared).collect();
    let states: serde_json::Map<String, Value> = (0..SIBLINGS).map(reported).collect();
    json!({ "moduleId": "$edgeAgent", "properties": {
        "desired": { "modules": modules, "$version": 1 },
        "reported": { "modules": states, "lastDesiredVersion": 1, "lastDesiredStatus": { "code": 200 } } } })
}

/// Seconds of processor time that a process has had, and the memory that it has, MiB.
fn cost(pid: u32) -> (f64, f64) {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    let stat = read("stat");
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // Fields 14 and 15, in ticks of which Linux has 100 a second.
    let ticks = |i: usize| fields[i].parse::<f64>().unwrap();
    let status = read("status");
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: f64 = rss.trim().trim_end_matches(" kB").parse().unwrap();
    ((ticks(11) + ticks(12)) / 100.0, kib / 1024.0)
}

/// `scripts/agent-measure` runs this with a release build.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: scripts/agent-measure"]
async fn measure_what_the_program_costs() {
    let folder = Folder::new();
    let minutes: f64 = std::env::var("EDGESHIFT_MINUTES").map_or(3.0, |minutes| minutes.parse().unwrap());
    let twin = twin_of_agent();
    let deployment = json!({ "$edgeAgent": { "properties.desired": twin["properties"]["desired"] } }).to_string();
    let manifest = Manifest::read(&Source::new("siblings", deployment)).unwrap();
    let text = twin.to_string();
    let pieces: serde_json::Map<String, Value> = text
        .as_bytes()
        .chunks(3_500)
        .enumerate()
        .map(|(n, piece)| (n.to_string(), String::from_utf8(piece.to_vec()).unwrap().into()))
        .collect();
    let names: Vec<String> = manifest.modules().map(|module| module.id().to_owned()).collect();
    let mut modules: BTreeMap<String, Value> = names.iter().map(|id| (id.clone(), json!({}))).collect();
    // The intervals are those that a deployment has without any settings.
    modules.insert(MODULE.to_owned(), json!({ "manifest": pieces }));
    let twins = r#"FROM /twinChangeNotifications INTO BrokeredEndpoint("/modules/edgeshift/inputs/twins")"#;
    let config = EmbeddedConfig {
        gateway: address().to_string(),
        address: address(),
        mqtt_port: 8883,
        routes: vec![Route::everything_upstream(), twins.parse().unwrap()],
        listed: Some(Device::start(Scenario::of(manifest))),
        ..EmbeddedConfig::new(folder.path(), modules)
    };
    let (device, _arrivals) = EmbeddedDevice::start(config).await.unwrap();
    let sources = std::env::var("EDGESHIFT_SOURCES").unwrap_or_else(|_| "workload,process".to_owned());
    let environment = device.environment(MODULE).unwrap();
    let program = Program::with(&["agent", "--listen", "off", "--source", &sources], &environment);
    until(|| device.iot_hub().twin(MODULE).is_some_and(|twin| twin["reported"]["modules"].is_object())).await;
    // Once it has settled.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (before, _) = cost(program.child.id());
    let started = tokio::time::Instant::now();
    let mut frames = 0_u64;
    while started.elapsed().as_secs_f64() < minutes * 60.0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Each sibling reports about once a minute.
        frames += 1;
        let sibling = &names[usize::try_from(frames).unwrap() % names.len()];
        device.edge_hub().report_for(sibling, &json!({ "frames": frames })).unwrap();
    }
    let (after, rss) = cost(program.child.id());
    let seconds = started.elapsed().as_secs_f64();
    let (spent, shown) = (after - before, device.iot_hub().twin(MODULE).unwrap());
    let share = spent / seconds * 100.0;
    println!("siblings  sources            minutes  CPU s/min  % of a core  RSS MiB");
    println!(
        "{SIBLINGS:8}  {sources:17}  {:7.1}  {:9.3}  {share:11.3}  {rss:7.1}",
        seconds / 60.0,
        spent / seconds * 60.0
    );
    let modules = shown["reported"]["modules"].as_object().unwrap().len();
    println!("modules in its twin: {modules}, left out: {}", shown["reported"]["modules_left_out"]);
    assert_eq!(program.end(), "");
    assert!(share < 1.0, "50 modules are to cost less than 1 % of a core");
}
