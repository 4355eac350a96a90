//! Monitors that are in use read what the module serves: Prometheus with its linter, and Prometheus' public Python client.

#![expect(clippy::disallowed_methods, reason = "the peers are programs")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use edgeshift::sim::{EmbeddedConfig, EmbeddedDevice};
use fake_nvml::Symbols;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

const MODULE: &str = "edgeshift";

/// Two GPUs, one of which works in waves and has a fault.
const SCENARIO: &str = r#"
    [[gpu]]
    profile = "t4"
    utilization = 20
    fields = { 5 = 2, 6 = 0, 74 = 1_000_000, 197 = 4096, 198 = 8192 }
    [[gpu]]
    profile = "a2"
    [[step]]
    at_ms = 5000
    gpu = 0
    xid = 31
    set = { utilization = 90, power_mw = 66_000, temperature = 71, sm_mhz = 1590 }
    [[step]]
    at_ms = 25000
    gpu = 0
    set = { utilization = 0, power_mw = 10_000, temperature = 44, sm_mhz = 300 }
"#;

/// What the panels of the public dashboard 12239 ask (`gpu.md` §2.1), for all instances and GPUs.
const PANELS: [(&str, bool); 8] = [
    ("DCGM_FI_DEV_GPU_TEMP{instance=~\".*\", gpu=~\".*\"}", true),
    ("avg(DCGM_FI_DEV_GPU_TEMP{instance=~\".*\", gpu=~\".*\"})", true),
    ("DCGM_FI_DEV_POWER_USAGE{instance=~\".*\", gpu=~\".*\"}", true),
    ("sum(DCGM_FI_DEV_POWER_USAGE{instance=~\".*\", gpu=~\".*\"})", true),
    ("DCGM_FI_DEV_SM_CLOCK{instance=~\".*\", gpu=~\".*\"} * 1000000", true),
    ("DCGM_FI_DEV_GPU_UTIL{instance=~\".*\", gpu=~\".*\"}", true),
    ("DCGM_FI_DEV_FB_USED{instance=~\".*\", gpu=~\".*\"}", true),
    // Only DCGM's own library has it.
    ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{instance=~\".*\", gpu=~\".*\"}", false),
];

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs Prometheus with promtool, EDGESHIFT_METRICS_PYTHON: a Python with prometheus_client, and ports 443 and 8883"]
fn peer_metrics_are_read_by_prometheus_and_its_client() {
    let folder = std::env::temp_dir().join(format!("edgeshift-metrics-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fake_nvml::install(&folder.join("nvml"), SCENARIO, Symbols::Current).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let desired = json!({
        "intervals": { "collect": 1, "publish": 1 }, "site": { "gpus": 2 }, "metrics": { "dcgm": "core" },
    });
    let config = EmbeddedConfig {
        mqtt_port: 8883,
        https_port: 443,
        ..EmbeddedConfig::new(&folder, [(MODULE.to_owned(), desired)].into())
    };
    let (device, _arrivals) = runtime.block_on(EmbeddedDevice::start(config)).unwrap();
    let (module, monitor) = (free_port(), free_port());
    let log = fs::File::create(folder.join("agent.log")).unwrap();
    let agent = Command::new(env!("CARGO_BIN_EXE_edgeshift"))
        .args(["agent", "--source", "process", "--listen", &format!("127.0.0.1:{module}")])
        .envs(device.environment(MODULE).unwrap())
        .env("LD_LIBRARY_PATH", folder.join("nvml"))
        .stdout(log)
        .spawn();
    let _agent = Running(agent.unwrap());
    // Nothing before it listens.
    let native = |format: &str| try_get(module, "/metrics", format).unwrap_or_default();
    wait("the GPUs are seen and judged", || native("text/plain").contains("DCGM_FI_DEV_GPU_TEMP"));

    let _prometheus = prometheus(&folder, module, monitor);
    let started = Instant::now();
    let since = now();

    // While it scrapes: the linter, and the client.
    let lints = promtool(&native("text/plain"));
    assert_eq!(lints.kinds, BTreeSet::from([COUNTER_SUFFIX, TYPE_IN_NAME]), "{}", lints.said);
    let read = python(&native("application/openmetrics-text"));
    for (family, kind) in [
        ("edgeshift_gpu_utilization_ratio", "gauge"),
        ("edgeshift_gpu_energy_joules", "counter"),
        ("edgeshift_build", "info"),
        ("DCGM_FI_DEV_GPU_UTIL", "gauge"),
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "unknown"),
    ] {
        assert_eq!(read[family]["type"], kind, "{family}: {read:#}");
    }
    assert_eq!(read["DCGM_FI_DEV_FB_USED"]["samples"], 2, "{read:#}");

    std::thread::sleep(Duration::from_secs(60).saturating_sub(started.elapsed()));
    let until = now();
    let query = |query: &str| {
        let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
        ask(monitor, &format!("/api/v1/query_range?query={query}&start={since}&end={until}&step=5"))
    };
    let up = query("up{job=\"edgeshift\"}");
    let up = up[0]["values"].as_array().unwrap();
    // A scrape every second; the first may come a little late.
    assert!(up.len() > 9 && up.iter().all(|at| at[1] == "1"), "{up:?}");
    for (panel, has_data) in PANELS {
        let series = query(panel);
        let count = series.as_array().unwrap().len();
        let expected = if has_data { 1 + usize::from(!panel.contains("avg(") && !panel.contains("sum(")) } else { 0 };
        println!("{count} series: {panel}");
        assert_eq!(count, expected, "{panel}: {series:#}");
    }
    // What the panels show is what was played: idle, busy, idle.
    let busy = query("DCGM_FI_DEV_GPU_UTIL{gpu=\"0\"}");
    let busy: BTreeSet<&str> = busy[0]["values"].as_array().unwrap().iter().map(|at| at[1].as_str().unwrap()).collect();
    assert!(busy.contains("90") && busy.contains("0"), "{busy:?}");
    let variable = ask(monitor, "/api/v1/label/gpu/values?match[]=DCGM_FI_DEV_GPU_TEMP");
    assert_eq!(variable, json!(["0", "1"]));
    // Native names: a counter of what was busy, and the fault.
    let seconds = query("increase(edgeshift_gpu_busy_seconds_total{gpu=\"0\"}[1m])");
    assert!(!seconds.as_array().unwrap().is_empty());
    assert_eq!(query("edgeshift_gpu_xid_errors_total{xid=\"31\"}")[0]["metric"]["model"], "Tesla T4");

    // Other names are a matter of the settings.
    device.iot_hub().desire(MODULE, &json!({ "metrics": { "dcgm": "off" } })).unwrap();
    wait("the names of DCGM are gone", || !native("text/plain").contains("DCGM"));
    let lints = promtool(&native("text/plain"));
    assert!(lints.kinds.is_empty() && lints.success, "{}", lints.said);
    device.iot_hub().desire(MODULE, &json!({ "metrics": { "dcgm": "full" } })).unwrap();
    wait("there are more of them", || native("text/plain").contains("modelName"));
    let lints = promtool(&native("text/plain"));
    assert_eq!(lints.kinds, BTreeSet::from([COUNTER_SUFFIX, LABEL_CASE, TYPE_IN_NAME]), "{}", lints.said);
    fs::remove_dir_all(&folder).unwrap();
}

/// Starts Prometheus on the port `monitor`; it asks the module at the port `module` each second.
fn prometheus(folder: &Path, module: u16, monitor: u16) -> Running {
    let config = folder.join("prometheus.yml");
    let text = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: edgeshift\n    static_configs:\n      - targets: [\"127.0.0.1:{module}\"]\n"
    );
    fs::write(&config, text).unwrap();
    let flag = |name: &str, value: &dyn std::fmt::Display| format!("--{name}={value}");
    let child = Command::new("prometheus")
        .args([flag("config.file", &config.display()), flag("storage.tsdb.path", &folder.join("data").display())])
        .arg(flag("web.listen-address", &format!("127.0.0.1:{monitor}")))
        .stderr(fs::File::create(folder.join("prometheus.log")).unwrap())
        .spawn();
    let running = Running(child.expect("prometheus can be run"));
    wait("Prometheus is ready", || try_get(monitor, "/-/ready", "*/*").is_some_and(|text| text.contains("is Ready")));
    running
}

const COUNTER_SUFFIX: &str = "counter metrics should have \"_total\" suffix";
const TYPE_IN_NAME: &str = "metric name should not include type 'counter'";
const LABEL_CASE: &str = "label names should be written in 'snake_case' not 'camelCase'";

/// What the linter said.
struct Lints {
    success: bool,
    kinds: BTreeSet<&'static str>,
    said: String,
}

fn promtool(metrics: &str) -> Lints {
    let output = fed(Command::new("promtool").args(["check", "metrics"]), metrics);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let kind = |line: &str| {
        let known = [COUNTER_SUFFIX, TYPE_IN_NAME, LABEL_CASE].into_iter().find(|kind| line.ends_with(kind));
        let known = known.unwrap_or_else(|| panic!("{line}"));
        assert!(line.starts_with("DCGM_FI_DEV_"), "{line}");
        known
    };
    Lints { success: output.status.success(), kinds: said.lines().map(kind).collect(), said }
}

/// The families as the public client reads them: type and number of samples by name.
fn python(metrics: &str) -> Value {
    let python = std::env::var("EDGESHIFT_METRICS_PYTHON").expect("EDGESHIFT_METRICS_PYTHON is a Python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/metrics.py");
    let output = fed(Command::new(python).arg(script), metrics);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn fed(command: &mut Command, input: &str) -> Output {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the program can be run");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What Prometheus answers.
fn ask(port: u16, path: &str) -> Value {
    let answer: Value = serde_json::from_str(&get(port, path, "*/*")).unwrap();
    assert_eq!(answer["status"], "success", "{path}: {answer}");
    let data = &answer["data"];
    data.get("result").unwrap_or(data).clone()
}

fn get(port: u16, path: &str, accept: &str) -> String {
    try_get(port, path, accept).unwrap_or_else(|| panic!("no answer from port {port} to {path}"))
}

fn try_get(port: u16, path: &str, accept: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nAccept: {accept}\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(40), "not within 40 s: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
