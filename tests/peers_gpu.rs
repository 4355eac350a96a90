//! NVIDIA's public client of NVML takes the fake library for a driver, and reads what the scenario says; NVIDIA's own library
//! without a driver says that there is none.

#![expect(clippy::disallowed_methods, reason = "the peer is a program")]

use std::path::Path;
use std::process::Command;

use fake_nvml::Symbols;
use serde_json::{Value, json};

const SCENARIO: &str = r#"
    driver = "535.261.03"
    [[gpu]]
    profile = "t4"
    pci_domain = 0x2C74
    utilization = 87
    power_mw = 64_000
    memory_used_mib = 1900
    ecc_uncorrected = 1
    retired_dbe = 1
    retirement_pending = true
    processes = [{ pid = 4711, memory_mib = 1800, mps = true }, { pid = 4712 }]
    [[gpu]]
    profile = "a2"
    [[step]]
    at_ms = 2000
    gpu = 0
    xid = 48
    [[step]]
    at_ms = 2000
    gpu = 1
    set = { lost = true }
"#;

#[test]
#[ignore = "needs EDGESHIFT_GPU_PYTHON: a Python with nvidia-ml-py"]
fn peer_gpu_public_client_reads_what_is_played() {
    let python = std::env::var("EDGESHIFT_GPU_PYTHON").expect("EDGESHIFT_GPU_PYTHON is a Python with nvidia-ml-py");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("public-client");
    fake_nvml::install(&folder, SCENARIO, Symbols::Current).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/gpu.py");
    let output = Command::new(python).arg(script).env("LD_LIBRARY_PATH", &folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (index, watts) in [(0, 64.0), (1, 8.9)] {
        let measured = seen["gpus"][index].as_object_mut().unwrap().remove("watts").unwrap().as_f64().unwrap();
        assert!((measured - watts).abs() < watts * 0.05, "{measured} W of {watts} W");
    }
    let mib = |mib: u64| mib * 1024 * 1024;
    let t4 = json!({
        "name": "Tesla T4", "uuid": "GPU-00000000-0000-0000-0000-000000000000", "bus": "00002C74:00:00.0",
        "memory": [mib(15360), mib(388), mib(1900)], "old_used": mib(2288), "busy": 87, "samples": [87],
        "temperature": 38, "slowdown": 93, "power": 64_000, "sm": 300, "ecc": [1, 1], "uncorrected": 1,
        "retired": [0, 1, 1], "remapped": [null, null, null, null],
        "processes": [[4711, mib(1800)], [4712, null]], "mps": [[4711, mib(1800)]],
    });
    let a2 = json!({
        "name": "NVIDIA A2", "uuid": "GPU-00000000-0000-0000-0000-000000000001", "bus": "00000000:00:00.0",
        "memory": [mib(15356), mib(413), mib(1)], "old_used": mib(414), "busy": 0, "samples": [0],
        "temperature": 40, "slowdown": 95, "power": 8900, "sm": 210, "ecc": [1, 1], "uncorrected": 0,
        "retired": [null, null, null], "remapped": [0, 0, 0, 0], "processes": [], "mps": [],
    });
    let expected = json!({
        "driver": ["535.261.03", 12020], "gpus": [t4, a2],
        "xid": ["GPU-00000000-0000-0000-0000-000000000000", 48], "lost": 15,
    });
    assert_eq!(seen, expected);
}

/// The genuine libraries of two drivers, where there is no driver (`gpu.md` §0.4).
#[cfg(feature = "agent")]
#[test]
#[ignore = "needs EDGESHIFT_NVML_LIBRARIES: a folder with NVIDIA's libraries; says so where they cannot be had"]
fn peer_gpu_genuine_library_without_a_driver_is_no_driver() {
    let folder = std::env::var("EDGESHIFT_NVML_LIBRARIES").expect("EDGESHIFT_NVML_LIBRARIES names a folder");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let libraries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    if libraries.is_empty() || Path::new("/proc/driver/nvidia/version").exists() {
        println!("skipped: {folder} is empty, since the component cannot be had, or there is a driver here");
        return;
    }
    for library in libraries {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgeshift"));
        let output = command.args(["gpu", "--format", "json", "--library"]).arg(&library).output().unwrap();
        let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(seen["driver"]["state"], "not-loaded", "{}: {seen}", library.display());
        assert_eq!(output.status.code(), Some(0), "{}", library.display());
        println!("{}: {}", library.display(), seen["driver"]["detail"]);
    }
}
