//! The GPUs as they are seen through a library of NVML that plays scenarios: each gives the findings that it is to give and
//! no other (`fixtures/gpu/`), and a driver that is old, hangs or goes away harms nobody.

#![expect(clippy::disallowed_methods, reason = "tests play on real time, out of files")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use edgeshift::evidence::{DriverState, Gpu, GpuDriver, GpuState, Snapshot};
use edgeshift::finding::Severity;
use edgeshift::settings::Settings;
use edgeshift::sources::nvml::Nvml;
use edgeshift::verbs::gpu::{GpuArgs, gpu};
use fake_nvml::Symbols;

const SYMBOLS: [Symbols; 3] = [Symbols::R470, Symbols::EarlyR535, Symbols::Current];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("nvml").join(name)
}

fn start(name: &str, scenario: &str, symbols: Symbols) -> Nvml {
    let library = fake_nvml::install(&folder(name), scenario, symbols).unwrap();
    Nvml::with_deadline(Some(library), Duration::from_secs(2)).unwrap()
}

fn look(source: &Nvml) -> (GpuDriver, Vec<Gpu>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(source.gpus()).unwrap()
}

#[test]
fn everything_is_read_with_every_age_of_driver() {
    let scenario = "[[gpu]]\nprofile = \"t4\"\nutilization = 87\nmemory_used_mib = 1900\nclock_events = 0x404\n\
                    processes = [{ pid = 41, memory_mib = 1800 }, { pid = 42 }]\n[[gpu]]\nprofile = \"a2\"";
    for symbols in SYMBOLS {
        let (driver, gpus) = look(&start(&format!("ages-{symbols:?}"), scenario, symbols));
        assert_eq!((driver.state, driver.gpus), (DriverState::Up, 2));
        assert_eq!(driver.cuda.as_deref(), Some("12.2"));
        let [t4, a2] = gpus.as_slice() else { panic!("{gpus:?}") };
        // The old function counts what the driver keeps for itself.
        let used = if symbols == Symbols::R470 { 2288 } else { 1900 };
        assert_eq!((t4.memory_used_mib, t4.memory_total_mib), (Some(used), Some(15360)), "{symbols:?}");
        assert_eq!((t4.utilization_mean, t4.utilization_max), (Some(0.87), Some(0.87)));
        assert_eq!(t4.clock_events, Some(0x404));
        let processes: Vec<_> = t4.processes.iter().flatten().map(|p| (p.pid, p.memory_mib)).collect();
        assert_eq!(processes, [(41, Some(1800)), (42, None)], "{symbols:?}");
        assert_eq!((t4.temperature_c, t4.temperature_slowdown_c), (Some(38), Some(93)));
        assert!(t4.retired.is_some() && t4.remapped.is_none() && t4.recovery_action.is_none());
        assert!(a2.retired.is_none() && a2.remapped.is_some() && a2.recovery_action == Some(0));
        assert_eq!(a2.name, "NVIDIA A2");
    }
}

#[test]
fn samples_between_two_looks_are_averaged_and_energy_makes_power() {
    let scenario = "[[gpu]]\n[[step]]\nat_ms = 500\nset = { utilization = 100, power_mw = 70000 }\n\
                    [[step]]\nat_ms = 1500\nset = { utilization = 0, power_mw = 10000 }";
    let source = start("samples", scenario, Symbols::Current);
    look(&source);
    std::thread::sleep(Duration::from_millis(2500));
    let (_, gpus) = look(&source);
    let gpu = &gpus[0];
    // Busy for one of the two and a half seconds, which a point at the end does not show.
    let mean = gpu.utilization_mean.unwrap();
    assert!((0.3..0.5).contains(&mean), "{mean}");
    assert_eq!(gpu.utilization_max, Some(1.0));
    let busy = gpu.busy_seconds.unwrap();
    assert!((0.8..1.2).contains(&busy), "{busy} s");
    let power = gpu.power_w.unwrap();
    assert!((30.0..38.0).contains(&power), "{power} W");
}

#[test]
fn an_idle_gpu_without_samples_is_read_at_a_point() {
    let (_, gpus) = look(&start("idle", "[[gpu]]\nno_samples = true\nutilization = 3", Symbols::Current));
    assert_eq!((gpus[0].utilization_mean, gpus[0].busy_seconds), (Some(0.03), None));
}

#[test]
fn sixteen_gpus_are_sixteen() {
    let (driver, gpus) = look(&start("sixteen", &"[[gpu]]\n".repeat(16), Symbols::Current));
    assert_eq!((driver.gpus, gpus.len()), (16, 16));
}

#[test]
fn a_driver_that_hangs_is_reported_in_time_and_again() {
    let source = start("hang", "[[gpu]]\nhangs = true", Symbols::Current);
    for _ in 0..3 {
        let before = Instant::now();
        assert_eq!(look(&source).0.state, DriverState::Unresponsive);
        assert!(before.elapsed() < Duration::from_secs(3), "{:?}", before.elapsed());
    }
}

#[test]
fn a_lost_gpu_keeps_its_name_and_its_siblings() {
    let source = start("lost", "[[gpu]]\n[[gpu]]\nprofile = \"a2\"", Symbols::Current);
    let before = look(&source).1;
    fs::write(folder("lost").join("scenario.toml"), "[[gpu]]\nlost = true\n[[gpu]]\nprofile = \"a2\"").unwrap();
    let after = look(&source).1;
    assert_eq!((after[0].uuid.as_str(), after[0].state), (before[0].uuid.as_str(), GpuState::Lost));
    assert_eq!((after[1].uuid.as_str(), after[1].state), (before[1].uuid.as_str(), GpuState::Up));
}

#[test]
fn a_driver_may_go_and_come_back() {
    let source = start("restart", "[[gpu]]", Symbols::Current);
    assert_eq!(look(&source).0.state, DriverState::Up);
    fs::write(folder("restart").join("scenario.toml"), "init = 9\n[[gpu]]").unwrap();
    assert_eq!(look(&source).0.state, DriverState::NotLoaded);
    assert_eq!(look(&source).0.state, DriverState::NotLoaded);
    fs::write(folder("restart").join("scenario.toml"), "driver = \"580.1\"\n[[gpu]]").unwrap();
    assert_eq!(look(&source).0.version.as_deref(), Some("580.1"));
}

#[test]
fn what_stands_in_the_way_has_a_name() {
    for (init, expected) in [
        (9, DriverState::NotLoaded),
        (12, DriverState::NoLibrary),
        (17, DriverState::NoAccess),
        (18, DriverState::Mismatch),
        (999, DriverState::NoAccess),
        (28, DriverState::Failed),
    ] {
        let source = start(&format!("init-{init}"), &format!("init = {init}"), Symbols::Current);
        assert_eq!(look(&source).0.state, expected, "{init}");
    }
    let nowhere = Nvml::start(Some(folder("nowhere").join("libnvidia-ml.so.1"))).unwrap();
    assert_eq!(look(&nowhere).0.state, DriverState::NoLibrary);
}

/// `fixtures/gpu/*.toml` against the rules: the first line of each names the findings.
#[test]
fn each_scenario_gives_its_findings_and_no_other() {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gpu");
    let mut files: Vec<PathBuf> = fs::read_dir(&scenarios).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.retain(|file| file.extension().is_some_and(|end| end == "toml"));
    assert!(files.len() > 20, "{} scenarios", files.len());
    let read: Vec<(String, String)> = files
        .iter()
        .map(|file| (file.file_stem().unwrap().to_string_lossy().into_owned(), fs::read_to_string(file).unwrap()))
        .collect();
    let sources: BTreeMap<&str, Nvml> = read
        .iter()
        .map(|(name, text)| (name.as_str(), start(&format!("table-{name}"), text, Symbols::Current)))
        .collect();
    // Some things happen only after the first look, and Xids take a moment.
    for source in sources.values() {
        look(source);
    }
    std::thread::sleep(Duration::from_millis(700));
    let mut table = String::new();
    for (name, text) in &read {
        let (driver, gpus) = look(&sources[name.as_str()]);
        let mut snapshot = Snapshot::empty("2026-01-01T00:00:00Z".parse().unwrap());
        snapshot.see_gpus(driver, gpus);
        let args = GpuArgs { expect: Some(u32::from(!text.contains("expect none"))) };
        let report = gpu(&args, &snapshot, &Settings::default());
        let found: Vec<String> =
            report.findings().map(|(line, finding)| format!("{} {}", line.rule, finding.severity.word())).collect();
        let expected = text.lines().next().unwrap_or_default().trim_start_matches("# ").to_owned();
        let found = if found.is_empty() { "well".to_owned() } else { found.join(", ") };
        let _ = writeln!(table, "{name}: {found}");
        assert_eq!(found, expected, "{name}: {:#?}", report.findings().map(|(_, f)| &f.message).collect::<Vec<_>>());
        assert!(report.findings().all(|(_, f)| f.severity == Severity::Info || f.fix.is_some()), "{name}");
    }
    println!("{table}");
    // A copy of the library each.
    for name in sources.keys() {
        fs::remove_dir_all(folder(&format!("table-{name}"))).unwrap();
    }
}

fn edgeshift(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_edgeshift")).args(arguments).env("LD_LIBRARY_PATH", folder).output().unwrap()
}

#[test]
fn the_command_shows_the_gpus_and_what_is_wrong() {
    let scenario = "[[gpu]]\nutilization = 40\ntemperature = 94";
    fake_nvml::install(&folder("command"), scenario, Symbols::R470).unwrap();
    let output = edgeshift(&folder("command"), &["gpu"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for expected in ["driver 535.261.03, CUDA up to 12.2, 1 GPU", "Tesla T4", "40 %", "94 °C", "slows itself down"] {
        assert!(text.contains(expected), "no `{expected}` in\n{text}");
    }
    let output = edgeshift(&folder("command"), &["gpu", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["gpus"][0]["temperature_c"], 94);
    assert_eq!(json["findings"][0]["rule"], "gpu-temperature");
}

#[test]
fn without_a_library_there_is_no_gpu_and_no_fault() {
    let empty = folder("empty");
    fs::create_dir_all(&empty).unwrap();
    let missing = empty.join("libnvidia-ml.so.1");
    let output = edgeshift(&empty, &["gpu", "--library", missing.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("no NVIDIA library here"));
    let output = edgeshift(&empty, &["gpu", "--expect", "1", "--library", missing.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
}
