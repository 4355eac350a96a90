//! The GPUs as they are seen through a library of NVML that plays scenarios: each gives the findings that it is to give and
//! no other (`fixtures/gpu/`), and a driver that is old, hangs or goes away harms nobody.

#![expect(clippy::disallowed_methods, reason = "tests play on real time, out of files")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use edgeshift::evidence::{
    Container, DriverState, Engine, Gpu, GpuDriver, GpuOptions, GpuState, Holder, Observed, Pids, Process, Snapshot,
};
use edgeshift::finding::Severity;
use edgeshift::report::Outcome;
use edgeshift::settings::Settings;
use edgeshift::sim::{Device, Scenario};
use edgeshift::sources::nvml::{Nvml, Schedule};
use edgeshift::sources::{Question, Sight};
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

const A: &str = "3fb1c2d4e5f60718293a4b5c6d7e8f900112233445566778899aabbccddeeff0";
const B: &str = "0ffeeddccbbaa99887766554433221100f9e8d7c6b5a49382716f0e5d4c2b13f";

/// The start of the device that [`processes`] tells of.
const BOOT: &str = "5c3f0a52-6e0e-4a39-9b1d-6a2f1d2c7e11";

/// A folder like `/proc` of the host: the control group and the program of each process.
fn processes(name: &str, processes: &[(u32, String, &str)]) -> PathBuf {
    let proc = folder(name).join("proc");
    let _ = fs::remove_dir_all(&proc);
    fs::create_dir_all(proc.join("self/ns")).unwrap();
    std::os::unix::fs::symlink("pid:[4026531836]", proc.join("self/ns/pid")).unwrap();
    fs::create_dir_all(proc.join("sys/kernel/random")).unwrap();
    fs::write(proc.join("sys/kernel/random/boot_id"), format!("{BOOT}\n")).unwrap();
    for (pid, cgroup, program) in processes {
        let folder = proc.join(pid.to_string());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("cgroup"), cgroup).unwrap();
        fs::write(folder.join("comm"), program).unwrap();
    }
    proc
}

fn start_with(name: &str, scenario: &str, symbols: Symbols, proc: PathBuf) -> Nvml {
    let library = fake_nvml::install(&folder(name), scenario, symbols).unwrap();
    Nvml::with_processes(Some(library), Duration::from_secs(2), proc, None).unwrap()
}

/// What may happen to GPUs, as a scenario: whatever the numbers say, and not always what is possible.
fn scenarios() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::collection::vec;
    use proptest::prelude::*;
    let process =
        (38..48_u32, proptest::option::of(0..30_000_u64), any::<bool>(), 0..140_u32, proptest::option::of(0..2_usize));
    let processes = vec(process, 0..6).prop_map(|list| {
        let list = list.into_iter().map(|(pid, memory, mps, busy, part)| {
            let memory = memory.map_or(String::new(), |mib| format!(", memory_mib = {mib}"));
            let part = part.map_or(String::new(), |part| format!(", instance = {part}"));
            format!("{{ pid = {pid}, mps = {mps}, utilization = {busy}{memory}{part} }}")
        });
        format!("[{}]", list.collect::<Vec<_>>().join(", "))
    });
    let gpu = (0..3_usize, any::<bool>(), processes.clone()).prop_map(|(profile, cut, processes)| {
        let profile = ["t4", "a2", "h100"][profile];
        let part = |n: u32| {
            format!("{{ uuid = \"MIG-{n}\", profile = \"1g.10gb\", gpu_instance = {n}, memory_total_mib = 9728 }}")
        };
        let mig = if cut && profile == "h100" { format!("mig = [{}, {}]\n", part(0), part(1)) } else { String::new() };
        format!("[[gpu]]\nprofile = \"{profile}\"\n{mig}processes = {processes}\n")
    });
    let change = prop_oneof![
        any::<bool>().prop_map(|lost| format!("lost = {lost}")),
        (0..200_u32).prop_map(|percent| format!("utilization = {percent}")),
        (0..1024_u64).prop_map(|bits| format!("clock_events = {bits}")),
        (0..4_u32).prop_map(|mode| format!("compute_mode = {mode}")),
        (0..100_000_u64).prop_map(|count| format!("ecc_corrected = {count}, pcie_replays = {count}")),
        (0..40_u32, 0..1000_u32).prop_map(|(code, other)| format!(
            "returns = {{ nvmlDeviceGetComputeRunningProcesses_v3 = {code}, nvmlDeviceGetMemoryInfo_v2 = {other}, nvmlDeviceGetName = {code} }}"
        )),
        (0..9_u32, 0..14_u32).prop_map(|(action, links)| format!(
            "recovery_action = {action}, nvlink = [{links}, 0, 0], nvlink_active = {links}, sram_exceeded = true"
        )),
        processes.prop_map(|processes| format!("processes = {processes}")),
    ];
    let steps = vec((0..60_u64, proptest::option::of(0..200_u64), change), 0..6).prop_map(|steps| {
        let mut at = 0;
        let step = |(wait, xid, change): (u64, Option<u64>, String)| {
            at += wait;
            let xid = xid.map_or(String::new(), |xid| format!("xid = {xid}\n"));
            format!("[[step]]\nat_ms = {at}\n{xid}set = {{ {change} }}\n")
        };
        steps.into_iter().map(step).collect::<String>()
    });
    (0..1000_u32, vec(gpu, 0..5), steps).prop_map(|(init, gpus, steps)| {
        let init = if init < 50 { init } else { 0 };
        format!("init = {init}\n{}{steps}", gpus.concat())
    })
}

#[test]
fn whatever_happens_nothing_hangs_and_nobody_gets_the_credit_of_others() {
    let owned: Vec<(u32, String, &str)> = (38..47)
        .map(|pid| {
            (
                pid,
                format!("0::/docker/{}", if pid % 2 == 0 { A } else { B }),
                if pid == 46 { "nvidia-cuda-mps" } else { "x" },
            )
        })
        .collect();
    let proc = processes("random", &owned);
    let mut runner = proptest::test_runner::TestRunner::new(proptest::test_runner::Config {
        cases: 48,
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    });
    let number = Cell::new(0);
    let outcome = runner.run(&scenarios(), |scenario| {
        number.set(number.get() + 1);
        let name = format!("random-{}", number.get());
        let source = start_with(&name, &scenario, SYMBOLS[number.get() % 3], proc.clone());
        for _ in 0..3 {
            let (driver, gpus) = look(&source);
            proptest::prop_assert_ne!(driver.state, DriverState::Unresponsive);
            let snapshot = device(driver, gpus);
            let report = gpu(&GpuArgs::default(), &snapshot, &Settings::default());
            let broken = report.evaluations.iter().find(|line| matches!(line.outcome, Outcome::Broken(_)));
            proptest::prop_assert!(broken.is_none(), "{:?}", broken);
            let modules = snapshot.gpus_of_modules();
            for gpu in snapshot.gpus.known().into_iter().flatten() {
                let used =
                    modules.values().filter_map(|of| of.used.known()).flatten().filter(|used| used.gpu == gpu.uuid);
                let (count, memory) = used.fold((0, 0), |(count, memory), used| {
                    (count + used.processes as usize, memory + used.memory_mib.unwrap_or(0))
                });
                proptest::prop_assert!(count <= gpu.processes.as_ref().map_or(0, Vec::len));
                proptest::prop_assert!(memory <= gpu.memory_total_mib.unwrap_or(u64::MAX), "{} MiB", memory);
                // Even numbers are the detector's, the others the viewer's, and 46 is the service's.
                for process in gpu.processes.iter().flatten() {
                    let expected = match process.pid {
                        46 => Holder::MpsServer,
                        47.. => Holder::Unknown,
                        pid if pid % 2 == 0 => Holder::Module("detector"),
                        _ => Holder::Module("viewer"),
                    };
                    proptest::prop_assert_eq!(snapshot.holder(process), expected);
                }
            }
            std::thread::sleep(Duration::from_millis(40));
        }
        drop(source);
        // The library may be about to write down what it was asked.
        drop(fs::remove_dir_all(folder(&name)));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// The simulated device plays the same files, for the module that has no library: it finds the same, but for what only looks over
/// time or calls that fail can show.
#[test]
fn the_simulated_device_finds_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gpu");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut played = 0;
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let text = fs::read_to_string(&file).unwrap();
        let only_library = ["looks", "kept"].iter().any(|name| directive(&text, name).is_some())
            || ["returns", "compute_mode", "thermal_violation", "nvlink", "inforom", "power-brake"]
                .iter()
                .any(|key| text.contains(key))
            || file.ends_with("power-brake.toml");
        if only_library {
            continue;
        }
        let seen = runtime.block_on(async {
            let device = Device::start(Scenario::built_in().with_gpus(&text).unwrap());
            tokio::time::advance(Duration::from_secs(2)).await;
            let source = device.sources().into_iter().find(|source| source.question() == Question::Gpus).unwrap();
            source.look().await.unwrap().unwrap()
        });
        let Sight::Gpus(driver, gpus) = seen else { panic!("{seen:?}") };
        let (found, expected) = (found(&text, driver, gpus), text.lines().next().unwrap().trim_start_matches("# "));
        assert_eq!(found, expected, "{}", file.display());
        played += 1;
    }
    assert!(played > 50, "{played}");
}

/// The findings about GPUs that were seen in a scenario, in its own short form.
fn found(scenario: &str, driver: GpuDriver, gpus: Vec<Gpu>) -> String {
    let mut snapshot = Snapshot::empty("2026-01-01T00:00:00Z".parse().unwrap());
    snapshot.see_gpus(driver, gpus);
    let args = GpuArgs { expect: directive(scenario, "expect").map_or(Some(1), |number| number.parse().ok()) };
    let report = gpu(&args, &snapshot, &Settings::default());
    let found: Vec<String> =
        report.findings().map(|(line, finding)| format!("{} {}", line.rule, finding.severity.word())).collect();
    if found.is_empty() { "well".to_owned() } else { found.join(", ") }
}

#[test]
fn a_gpu_that_is_taken_out_and_another_one_put_in() {
    let source = start("swapped", "[[gpu]]\n[[gpu]]\nprofile = \"a2\"", Symbols::Current);
    assert_eq!(look(&source).1.len(), 2);
    fs::write(folder("swapped").join("scenario.toml"), "[[gpu]]").unwrap();
    let (driver, gpus) = look(&source);
    assert_eq!((driver.gpus, gpus.len(), gpus[0].name.as_str()), (1, 1, "Tesla T4"));
    fs::write(folder("swapped").join("scenario.toml"), "").unwrap();
    assert_eq!(look(&source).1, []);
    let other = "[[gpu]]\nprofile = \"h100\"\nuuid = \"GPU-ffffffff\"";
    fs::write(folder("swapped").join("scenario.toml"), other).unwrap();
    let (_, gpus) = look(&source);
    assert_eq!((gpus[0].uuid.as_str(), gpus[0].name.as_str()), ("GPU-ffffffff", "NVIDIA H100 PCIe"));
    assert!(gpus[0].retired.is_none() && gpus[0].remapped.is_some());
}

/// A device whose engine runs `detector` in container A and `viewer` in container B, both with every GPU.
fn device(driver: GpuDriver, gpus: Vec<Gpu>) -> Snapshot {
    let mut snapshot = Snapshot::empty("2026-01-01T00:10:00Z".parse().unwrap());
    snapshot.see_gpus(driver, gpus);
    let options = GpuOptions { runtime: "nvidia".to_owned(), visible: Some("all".to_owned()), ..GpuOptions::default() };
    let container = |id: &str| Container { id: id.to_owned(), gpus: options.clone(), ..Container::default() };
    let containers = [("detector".to_owned(), container(A)), ("viewer".to_owned(), container(B))].into();
    snapshot.engine = Observed::Known(Engine { containers, ..Engine::default() });
    snapshot.process = Observed::Known(Process::default());
    snapshot
}

#[test]
fn processes_find_their_modules_with_every_age_of_driver() {
    let scenario = "[[gpu]]\nprocesses = [{ pid = 41, memory_mib = 1800, mps = true }, { pid = 42, memory_mib = 200 }, \
                    { pid = 43, memory_mib = 30, graphics = true }, { pid = 44, memory_mib = 25 }, { pid = 45, memory_mib = 5 }]\n\
                    [[gpu]]\nprofile = \"a2\"\nprocesses = [{ pid = 41 }]";
    let owned = [
        (41, format!("0::/system.slice/docker-{A}.scope\n"), "python3\n"),
        (42, format!("12:memory:/docker/{B}\n0::/\n"), "viewer\n"),
        (43, format!("12:memory:/docker/{B}\n"), "Xorg\n"),
        (44, "0::/system.slice/nvidia-mps.service\n".to_owned(), "nvidia-cuda-mps\n"),
        (45, "0::/user.slice/session-1.scope\n".to_owned(), "python3\n"),
    ];
    for symbols in SYMBOLS {
        let name = format!("modules-{symbols:?}");
        let (driver, gpus) = look(&start_with(&name, scenario, symbols, processes(&name, &owned)));
        assert_eq!((driver.pids, driver.watched_secs), (Pids::Host, Some(0)));
        assert!(driver.last_used_secs.contains_key(A) && driver.last_used_secs.contains_key(B));
        assert!(gpus[0].processes.iter().flatten().any(|process| process.pid == 41 && process.mps), "{symbols:?}");
        let snapshot = device(driver, gpus);
        let modules = snapshot.gpus_of_modules();
        let used = |id: &str| {
            let used = modules[id].used.known().unwrap();
            used.iter().map(|used| (used.gpu.ends_with('1'), used.processes, used.memory_mib)).collect::<Vec<_>>()
        };
        assert_eq!(used("detector"), [(false, 1, Some(1800)), (true, 1, None)], "{symbols:?}");
        assert_eq!(used("viewer"), [(false, 2, Some(230))], "{symbols:?}");
        assert_eq!(modules["viewer"].visible.known().map(Vec::len), Some(2));
        let holders: Vec<Holder<'_>> = snapshot.gpus.known().unwrap()[0]
            .processes
            .iter()
            .flatten()
            .map(|process| snapshot.holder(process))
            .filter(|holder| !matches!(holder, Holder::Module(_)))
            .collect();
        assert_eq!(holders, [Holder::MpsServer, Holder::Host], "{symbols:?}");
        let text = edgeshift::output::text::gpu(
            &snapshot,
            &gpu(&GpuArgs::default(), &snapshot, &Settings::default()),
            edgeshift::output::text::Style { colour: false, width: 120 },
        );
        assert!(text.contains("detector") && text.contains("(MPS server)") && text.contains("(host)"), "{text}");
    }
}

#[test]
fn in_a_namespace_of_our_own_no_process_is_anybodys() {
    let name = "own-namespace";
    let proc = processes(name, &[(41, format!("0::/docker/{A}"), "python3")]);
    fs::remove_file(proc.join("self/ns/pid")).unwrap();
    std::os::unix::fs::symlink("pid:[4026532201]", proc.join("self/ns/pid")).unwrap();
    let scenario = "[[gpu]]\nprocesses = [{ pid = 41, memory_mib = 1800 }]";
    let (driver, gpus) = look(&start_with(name, scenario, Symbols::Current, proc));
    assert_eq!(driver.pids, Pids::Own);
    let modules = device(driver, gpus).gpus_of_modules();
    for id in ["detector", "viewer"] {
        let Observed::Unknown(why) = &modules[id].used else { panic!("{:?}", modules[id]) };
        assert!(why.what.contains("PidMode") && !why.expected, "{why:?}");
    }
}

#[test]
fn a_gpu_in_parts_is_attributed_by_part() {
    let scenario = "[[gpu]]\nprofile = \"h100\"\n\
        mig = [{ uuid = \"MIG-aaaa\", profile = \"3g.40gb\", gpu_instance = 2, memory_total_mib = 40448, memory_used_mib = 9000 }, \
        { uuid = \"MIG-bbbb\", profile = \"1g.10gb\", gpu_instance = 9, memory_total_mib = 9728, memory_used_mib = 100 }]\n\
        processes = [{ pid = 41, memory_mib = 8900, instance = 0, utilization = 50 }, { pid = 42, memory_mib = 80, instance = 1 }]";
    let owned = [(41, format!("0::/docker/{A}"), "trainer"), (42, format!("0::/docker/{B}"), "viewer")];
    let source = start_with("parts", scenario, Symbols::Current, processes("parts", &owned));
    look(&source);
    let (driver, gpus) = look(&source);
    let parts = gpus[0].instances.as_deref().unwrap();
    let seen: Vec<_> =
        parts.iter().map(|p| (p.uuid.as_str(), p.gpu_instance, p.memory_used_mib, p.memory_total_mib)).collect();
    assert_eq!(seen, [("MIG-aaaa", 2, Some(9000), Some(40448)), ("MIG-bbbb", 9, Some(100), Some(9728))]);
    assert_eq!(parts[0].name, "NVIDIA H100 PCIe MIG 3g.40gb");
    // NVML has no figures of use for a GPU in parts, so there are none.
    assert_eq!((gpus[0].utilization_mean, gpus[0].state), (None, GpuState::Up));
    let mut snapshot = device(driver, gpus);
    let container = |id: &str, visible: &str| Container {
        id: id.to_owned(),
        gpus: GpuOptions { runtime: "nvidia".to_owned(), visible: Some(visible.to_owned()), ..GpuOptions::default() },
        ..Container::default()
    };
    let uuid = snapshot.gpus.known().unwrap()[0].uuid.clone();
    let containers =
        [("detector".to_owned(), container(A, "0:0")), ("viewer".to_owned(), container(B, &format!("MIG-{uuid}/9/0")))];
    snapshot.engine = Observed::Known(Engine { containers: containers.into(), ..Engine::default() });
    let modules = snapshot.gpus_of_modules();
    for (id, part, memory) in [("detector", "MIG-aaaa", 8900), ("viewer", "MIG-bbbb", 80)] {
        let of = &modules[id];
        assert_eq!(of.visible, Observed::Known(vec![part.to_owned()]), "{id}");
        let used = of.used.known().unwrap();
        let seen: Vec<_> = used.iter().map(|u| (u.instance.as_deref(), u.memory_mib, u.utilization)).collect();
        assert_eq!(seen, [(Some(part), Some(memory), None)], "{id}");
    }
}

#[test]
fn a_process_is_as_busy_as_its_samples_after_the_first_look() {
    let scenario =
        "[[gpu]]\nprocesses = [{ pid = 41, memory_mib = 8, utilization = 60 }, { pid = 42, memory_mib = 8 }]";
    let source = start("busy-process", scenario, Symbols::Current);
    assert!(look(&source).1[0].processes.iter().flatten().all(|process| process.utilization.is_none()));
    std::thread::sleep(Duration::from_millis(1200));
    let gpus = look(&source).1;
    let shares: Vec<_> = gpus[0].processes.iter().flatten().map(|process| process.utilization).collect();
    assert_eq!(shares, [Some(0.6), Some(0.0)]);
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

/// How often each function of the library in `folder` was called, once nobody uses it any more.
fn calls(folder: &Path) -> BTreeMap<String, u64> {
    let before = Instant::now();
    loop {
        match fake_nvml::calls(folder) {
            Ok(calls) => return calls,
            Err(error) => assert!(before.elapsed() < Duration::from_secs(20), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `gpu.md` §5.3: what changes slowly is asked less often, and what is not supported not again.
#[test]
fn each_thing_is_asked_as_often_as_the_schedule_says() {
    let scenario = "[[gpu]]\nprofile = \"t4\"\nencoder = \"\"\nreturns = { nvmlDeviceGetTotalEnergyConsumption = 3 }\n\
                    fields = { 74 = 2_500_000_000, 197 = 1234 }";
    let library = fake_nvml::install(&folder("schedule"), scenario, Symbols::Current).unwrap();
    let _ = fs::remove_file(folder("schedule").join("calls.txt"));
    let (ms, hour) = (Duration::from_millis, Duration::from_secs(3600));
    let schedule = Schedule { samples: ms(150), users: ms(700), limits: hour, unsupported: hour, slow: Duration::MAX };
    let source = Nvml::scheduled(Some(library), schedule).unwrap();
    let mut last = Vec::new();
    let looks = 5;
    for _ in 0..looks {
        last = look(&source).1;
        std::thread::sleep(ms(400));
    }
    drop(source);
    // What was asked only at first is still known.
    assert_eq!((last[0].temperature_slowdown_c, last[0].power_limit_w), (Some(93), Some(70.0)));
    assert_eq!((last[0].encoder_utilization, last[0].decoder_utilization), (None, Some(0.0)));
    assert_eq!(last[0].clock_limit_seconds.values().copied().collect::<Vec<_>>(), [2.5]);
    assert_eq!((last[0].traffic.sent_bytes, last[0].traffic.received_bytes), (Some(1234), None));
    let calls = calls(&folder("schedule"));
    let times = |function: &str| calls.get(function).copied().unwrap_or(0);
    for (function, expected) in [
        ("nvmlDeviceGetTemperature", looks),
        ("nvmlDeviceGetMemoryInfo_v2", looks),
        ("nvmlDeviceGetFieldValues", looks),
        ("field 29", looks),
        // No T4 has rows to replace.
        ("field 142", 1),
        ("nvmlDeviceGetTotalEnergyConsumption", 1),
        ("nvmlDeviceGetEncoderUtilization", 1),
        ("nvmlDeviceGetTemperatureThreshold", 3),
        ("nvmlDeviceGetEccMode", 1),
    ] {
        assert_eq!(times(function), expected, "{function}: {calls:#?}");
    }
    // At least every 700 ms of 1.6 s or more, and not with each look unless each took that long.
    assert!((2..=looks).contains(&times("nvmlDeviceGetDecoderUtilization")), "{calls:#?}");
    // Of the GPU and its memory, at each look and twice in between.
    assert!(times("nvmlDeviceGetSamples") >= 4 * looks, "{calls:#?}");
    assert!(times("nvmlDeviceGetCurrentClocksEventReasons") >= 2 * looks, "{calls:#?}");
}

#[test]
fn what_the_driver_would_forget_between_two_looks_is_kept() {
    // A ring of half a second, and a GPU that is busy for one second out of three.
    let scenario = "[[gpu]]\nring = 3\n[[step]]\nat_ms = 500\nset = { utilization = 100 }\n\
                    [[step]]\nat_ms = 1500\nset = { utilization = 0 }";
    let library = fake_nvml::install(&folder("ring"), scenario, Symbols::Current).unwrap();
    let schedule = Schedule { samples: Duration::from_millis(200), ..Schedule::EACH_LOOK };
    let source = Nvml::scheduled(Some(library), schedule).unwrap();
    look(&source);
    std::thread::sleep(Duration::from_secs(3));
    let gpu = &look(&source).1[0];
    assert_eq!(gpu.utilization_max, Some(1.0));
    let busy = gpu.busy_seconds.unwrap();
    assert!((0.8..1.2).contains(&busy), "{busy} s");
    let window = gpu.window_seconds.unwrap();
    assert!((2.5..4.0).contains(&window), "{window} s");
    assert!(gpu.busy_total_seconds >= gpu.busy_seconds && gpu.covered_total_seconds >= gpu.window_seconds);
}

#[test]
fn a_slow_driver_is_left_alone_for_longer() {
    let library = fake_nvml::install(&folder("slow"), "[[gpu]]", Symbols::Current).unwrap();
    let _ = fs::remove_file(folder("slow").join("calls.txt"));
    // Whatever a look takes is too long.
    let source = Nvml::scheduled(Some(library), Schedule { slow: Duration::ZERO, ..Schedule::default() }).unwrap();
    // The first may wake the GPU up, the second counts, and the others are answered from what it saw.
    let seen: Vec<_> = (0..4).map(|_| look(&source).1).collect();
    assert_eq!(seen[3][0].memory_total_mib, Some(15360));
    assert_eq!((seen[3][0].busy_seconds, seen[3][0].window_seconds), (None, None));
    drop(source);
    assert_eq!(calls(&folder("slow"))["nvmlDeviceGetTemperature"], 2);
}

#[test]
fn another_driver_is_asked_for_what_the_last_one_did_not_support() {
    let without = "driver = \"470.1\"\n[[gpu]]\nreturns = { nvmlDeviceGetTemperature = 3 }";
    let source = start("newer", without, Symbols::Current);
    assert_eq!(look(&source).1[0].temperature_c, None);
    fs::write(folder("newer").join("scenario.toml"), "driver = \"470.1\"\n[[gpu]]").unwrap();
    assert_eq!(look(&source).1[0].temperature_c, None);
    fs::write(folder("newer").join("scenario.toml"), "driver = \"535.1\"\n[[gpu]]").unwrap();
    assert_eq!(look(&source).1[0].temperature_c, Some(38));
}

#[test]
fn an_idle_gpu_without_samples_is_read_at_a_point() {
    let (_, gpus) = look(&start("idle", "[[gpu]]\nno_samples = true\nutilization = 3", Symbols::Current));
    assert_eq!((gpus[0].utilization_mean, gpus[0].busy_seconds), (Some(0.03), None));
}

#[test]
fn sixteen_gpus_are_sixteen() {
    let library = fake_nvml::install(&folder("sixteen"), &"[[gpu]]\n".repeat(16), Symbols::Current).unwrap();
    // The fake library reads its scenario at each call.
    let (driver, gpus) = look(&Nvml::with_deadline(Some(library), Duration::from_secs(20)).unwrap());
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

/// `gpu.md` §3.1: a fault that only a restart clears stays until one was seen, or what is as good as one.
#[test]
fn a_fault_is_over_once_the_gpu_was_reset() {
    let fault =
        "driver = \"535.1\"\n[[gpu]]\nprofile = \"a2\"\n[[step]]\nat_ms = 0\nxid = 119\nset = { recovery_action = 1 }";
    let told = |source: &Nvml| {
        let before = Instant::now();
        loop {
            let xids = look(source).1.remove(0).xids;
            if !xids.is_empty() || before.elapsed() > Duration::from_secs(10) {
                return xids.get(&119).map(|xid| (xid.count, xid.restarts));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    for (name, reset) in [
        ("the driver asks for nothing more", "driver = \"535.1\"\n[[gpu]]\nprofile = \"a2\""),
        ("another driver was loaded", "driver = \"580.1\"\n[[gpu]]\nprofile = \"a2\"\nrecovery_action = \"\""),
        ("the driver was loaded anew", "init = 9"),
    ] {
        let place = format!("reset-{}", name.replace(' ', "-"));
        let proc = processes(&place, &[]);
        let source = start_with(&place, fault, Symbols::Current, proc);
        assert_eq!(told(&source), Some((1, 0)), "{name}");
        fs::write(folder(&place).join("scenario.toml"), reset).unwrap();
        let (driver, _) = look(&source);
        if driver.state == DriverState::NotLoaded {
            let anew = "driver = \"535.1\"\n[[gpu]]\nprofile = \"a2\"\nrecovery_action = \"\"";
            fs::write(folder(&place).join("scenario.toml"), anew).unwrap();
        }
        assert_eq!(look(&source).1[0].xids, BTreeMap::new(), "{name}");
    }
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

/// What a scenario's comments say after `name`.
fn directive<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let lines = text.lines().map_while(|line| line.strip_prefix("# "));
    lines.filter_map(|line| line.strip_prefix(name)).find_map(|rest| rest.strip_prefix(' ')).map(str::trim)
}

/// `fixtures/gpu/*.toml` against the rules: the first line of each names the findings. `# looks 7` looks seven times more, a
/// minute after the other; `# expect 2` tells the site's facts; `# kept {…}` is what an earlier run learnt, `NOW` and in this start of
/// the device (`BOOT`) or others; `# advice …` is in what the operator is told.
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
    let proc =
        processes("table", &[(41, format!("0::/docker/{A}"), "python3"), (44, "0::/".to_owned(), "nvidia-cuda-mps")]);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().to_string();
    let begin = |name: &str, text: &str| {
        let name = format!("table-{name}");
        let kept = folder(&name).join("kept");
        fs::create_dir_all(&kept).unwrap();
        if let Some(json) = directive(text, "kept") {
            fs::write(kept.join("gpus.json"), json.replace("NOW", &now).replace("BOOT", BOOT)).unwrap();
        }
        let library = fake_nvml::install(&folder(&name), text, Symbols::Current).unwrap();
        Nvml::with_processes(Some(library), Duration::from_secs(3), proc.clone(), Some(&kept)).unwrap()
    };
    // Some things happen only after the first look, soon after the library was started, and Xids take a moment.
    let mut sources = BTreeMap::new();
    for (name, text) in &read {
        let source = begin(name, text);
        look(&source);
        sources.insert(name.as_str(), source);
    }
    std::thread::sleep(Duration::from_millis(700));
    let looks = |text: &str| directive(text, "looks").map_or(0, |number| number.parse::<u32>().unwrap());
    let most = read.iter().map(|(_, text)| looks(text)).max().unwrap();
    // Each of these looks comes a minute after the one before, for the module; things happen in real time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut last = BTreeMap::new();
    for number in 1..=most {
        for (name, text) in read.iter().filter(|(_, text)| looks(text) >= number) {
            let seen = runtime.block_on(sources[name.as_str()].gpus()).unwrap();
            if looks(text) == number {
                last.insert(name.as_str(), seen);
            }
        }
        std::thread::sleep(Duration::from_millis(100));
        runtime.block_on(async {
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(60)).await;
            tokio::time::resume();
        });
    }
    let mut table = String::new();
    for (name, text) in &read {
        let (driver, gpus) = last.remove(name.as_str()).unwrap_or_else(|| look(&sources[name.as_str()]));
        let mut snapshot = Snapshot::empty("2026-01-01T00:00:00Z".parse().unwrap());
        snapshot.see_gpus(driver, gpus);
        let expect = directive(text, "expect").map_or(Some(1), |number| number.parse().ok());
        let args = GpuArgs { expect };
        let report = gpu(&args, &snapshot, &Settings::default());
        let found: Vec<String> =
            report.findings().map(|(line, finding)| format!("{} {}", line.rule, finding.severity.word())).collect();
        let expected = text.lines().next().unwrap_or_default().trim_start_matches("# ").to_owned();
        let found = if found.is_empty() { "well".to_owned() } else { found.join(", ") };
        let _ = writeln!(table, "{name}: {found}");
        assert_eq!(found, expected, "{name}: {:#?}", report.findings().map(|(_, f)| &f.message).collect::<Vec<_>>());
        assert!(report.findings().all(|(_, f)| f.severity == Severity::Info || f.fix.is_some()), "{name}");
        let advice: Vec<&str> = report.findings().filter_map(|(_, f)| Some(f.fix.as_ref()?.title.as_str())).collect();
        let expected = directive(text, "advice").unwrap_or_default();
        assert!(expected.is_empty() || advice.iter().any(|advice| advice.contains(expected)), "{name}: {advice:?}");
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
