//! The command as a user runs it: inputs of every kind, exit status, what goes where.

#![expect(clippy::disallowed_methods, reason = "tests write the files that they hand over")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A folder of its own for one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("edgeshift-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Ran {
    status: i32,
    stdout: String,
    stderr: String,
}

fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, "", &[])
}

fn run_with(arguments: &[&str], stdin: &str, env: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgeshift"));
    command.args(arguments).env_remove("CLICOLOR_FORCE").env_remove("NO_COLOR").envs(env.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A verb that does not read stdin may be gone by now.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ran = Ran { status: status.code().expect("ended by a signal"), stdout: text(stdout), stderr: text(stderr) };
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    ran
}

const GOOD: &str = r#"{ "HostConfig": { "Privileged": true }, "Env": ["A=1"] }"#;
const SILENT: &str = r#"{ "HostConfig": { "Binds": ["/home/hcsshares/in:/in"] } }"#;
const WARN: &str = r#"{ "Env": ["WIRESERVER_ADDRESS=10.139.218.1"] }"#;

#[test]
fn exit_status_says_how_it_went() {
    let folder = Folder::new("status");
    let (good, silent, warn) =
        (folder.file("good.json", GOOD), folder.file("silent.json", SILENT), folder.file("warn.json", WARN));
    assert_eq!(run(&["check", &good]).status, 0);
    assert_eq!(run(&["check", &silent]).status, 1);
    assert_eq!(run(&["check", &warn]).status, 0);
    assert_eq!(run(&["check", &warn, "--fail-on", "warn"]).status, 1);
    assert_eq!(run(&["check", &warn, "--fail-on", "block"]).status, 0);
    assert_eq!(run(&["check", &silent, "--fail-on", "block"]).status, 1, "block and silent rank equal");
    assert_eq!(run(&["check", "no-such-file.json"]).status, 2);
    assert_eq!(run(&["check"]).status, 2);
    assert_eq!(run(&["check", &good, "--target", "moon"]).status, 2);
    assert_eq!(run(&["check", &good, "--site", "gpu=1"]).status, 2);
    assert_eq!(run(&["--version"]).status, 0);
    assert_eq!(run(&["--help"]).status, 0);
}

#[test]
fn a_broken_file_does_not_stop_the_others() {
    let folder = Folder::new("broken");
    let broken = folder.file("broken.json", "{\n  \"modulesContent\": {\n");
    let silent = folder.file("silent.json", SILENT);
    let ran = run(&["check", &broken, &silent]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("broken.json:1:1"), "{}", ran.stderr);
    assert!(ran.stderr.contains("2 closing brackets missing"), "{}", ran.stderr);
    assert!(ran.stdout.contains("storage-share-bind"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("1 file could not be read\n"), "{}", ran.stdout);
}

#[test]
fn create_options_that_are_broken_spoil_their_module_only() {
    let text = r#"{ "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
        "bad": { "settings": { "image": "a:1", "createOptions": "{\"HostConfig\":{\"Binds\":[\"/home/hcsshares/in:/in\"]}" } },
        "good": { "settings": { "image": "a:1", "createOptions": "{\"HostConfig\":{\"Binds\":[\"/home/hcsshares/in:/in\"]}}" } },
        "worse": { "settings": { "image": "a:1", "createOptions": "{\"HostConfig\":{\"Binds\":[<binds>]}}" } }
    } } } } }"#;
    let ran = run_with(&["check", "-", "--format", "json"], text, &[]);
    assert_eq!(ran.status, 1);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let findings = report["files"][0]["findings"].as_array().unwrap();
    let of = |module: &str| -> Vec<&str> {
        let of_module = findings.iter().filter(|finding| finding["module"] == module);
        of_module.map(|finding| finding["rule"].as_str().unwrap()).collect()
    };
    assert_eq!(of("bad"), ["options-syntax"]);
    assert!(of("good").contains(&"storage-share-bind"));
    let waiting = report["files"][0]["not_evaluated"].as_array().unwrap();
    assert!(waiting.iter().any(|line| line["module"] == "bad" && line["required"] == true));
    let message = findings.iter().find(|finding| finding["module"] == "worse").unwrap()["message"].as_str().unwrap();
    assert_eq!(message, "createOptions are not JSON: the placeholder `<binds>` stands where a value belongs");
    // A rule about all modules says which of them it lacks.
    let all = "the createOptions of bad, worse, which are not JSON";
    assert!(waiting.iter().any(|line| line["module"].is_null() && line["missing"] == all), "{waiting:?}");
}

#[test]
fn hostile_inputs_give_a_clear_error_each() {
    let folder = Folder::new("hostile");
    let huge = folder.file("huge.json", "");
    fs::File::options().write(true).open(&huge).unwrap().set_len(100 * 1024 * 1024).unwrap();
    let latin1 = folder.file("latin1.json", b"{\n \"a\": \"\xe4\" }");
    let utf16 = folder.file("utf16.json", b"\xff\xfe{\0}\0");
    let nested = folder.file("nested.json", "[".repeat(100_000));
    let nested_objects = folder.file("nested-objects.json", "{\"a\":".repeat(100_000));
    let empty = folder.file("empty.json", "");
    let other = folder.file("other.json", r#"{ "name": "package" }"#);
    let merge = folder.file("word.json", "{ \"modulesContent\": __CONTENT__ }");
    let member = folder.file("member.json", "{\r\n  \"modulesContent\": {},\r\n  <more options>\r\n}\r\n");
    fs::create_dir(folder.0.join("none")).unwrap();
    let none = folder.0.join("none").display().to_string();
    for (path, expected) in [
        (huge.as_str(), "longer than 16 MiB"),
        (&latin1, "not UTF-8: byte 9, in line 2"),
        (&utf16, "looks like UTF-16"),
        (&nested, "nest 100000 deep, more than 128"),
        (&nested_objects, "nest 100000 deep"),
        (&empty, "the text is empty"),
        (&other, "not an IoT Edge deployment"),
        (&merge, "the placeholder `__CONTENT__` stands where a value belongs"),
        (&member, "the placeholder `<more options>` stands where a key belongs"),
        (&none, "there is no deployment in this folder"),
        ("/no/such/path.json", "cannot open /no/such/path.json"),
    ] {
        let ran = run(&["check", path]);
        assert_eq!(ran.status, 2, "{path}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{path}: expected `{expected}` in {}", ran.stderr);
        assert!(!ran.stderr.contains('\u{240d}'), "a line end is shown: {}", ran.stderr);
        assert!(ran.stderr.len() < 2_000, "{path}: {} bytes of error", ran.stderr.len());
        assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
        // What could not be read did not pass.
        let report: Value = serde_json::from_str(&run(&["check", path, "--format", "json"]).stdout).unwrap();
        assert_eq!(report["status"], "unknown", "{path}");
    }
}

#[cfg(unix)]
#[test]
fn an_unreadable_folder_is_an_error() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("unreadable");
    let closed = folder.file("closed/a.json", GOOD);
    let path = Path::new(&closed).parent().unwrap().to_owned();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads everything: there the file is simply checked.
    let readable = fs::read_dir(&path).is_ok();
    let ran = run(&["check", &folder.0.display().to_string()]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ran.status, if readable { 0 } else { 2 }, "{}", ran.stderr);
    assert_eq!(ran.stderr.contains("cannot list"), !readable, "{}", ran.stderr);
}

#[test]
fn folders_are_searched_and_other_json_is_passed_over() {
    let folder = Folder::new("folder");
    folder.file("b/deployment.json", SILENT);
    folder.file("a/deployment.JSON", SILENT);
    folder.file("package.json", r#"{ "name": "x" }"#);
    folder.file(".git/config.json", SILENT);
    folder.file("node_modules/x/deployment.json", SILENT);
    let ran = run(&["check", &folder.0.display().to_string()]);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("1 JSON file in folders is no deployment and was skipped"), "{}", ran.stderr);
    assert!(ran.stdout.contains("in 2 modules of 2 files"), "{}", ran.stdout);
    let (a, b) = (ran.stdout.find("a/deployment.JSON").unwrap(), ran.stdout.find("b/deployment.json").unwrap());
    assert!(a < b, "folders are sorted");
}

#[test]
fn stdout_is_the_report_and_colour_is_for_terminals() {
    let ran = run_with(&["check", "-"], SILENT, &[]);
    assert!(!ran.stdout.contains('\u{1b}'));
    assert_eq!(ran.stderr, "");
    let forced = run_with(&["check", "-"], SILENT, &[("CLICOLOR_FORCE", "1")]);
    assert!(forced.stdout.contains('\u{1b}'));
    let not = run_with(&["check", "-"], SILENT, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]);
    assert!(!not.stdout.contains('\u{1b}'));
}

#[test]
fn the_json_report_names_bytes_that_say_what_it_means() {
    let text = "{\r\n\t\"HostConfig\": { \"Binds\": [\"/home/hcsshares/ä\\u0062:/in\"] }\r\n}";
    let ran = run_with(&["check", "-", "--format", "json"], text, &[]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let location = &report["files"][0]["findings"][0]["location"];
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let range = number(&location["ranges"][0]["start"])..number(&location["ranges"][0]["end"]);
    assert_eq!(&text[range], "/home/hcsshares/ä\\u0062");
    assert_eq!((number(&location["line"]), number(&location["column"])), (2, 29));
    assert_eq!(location["path"], "HostConfig.Binds[0]");
}

#[test]
fn every_format_has_the_exit_status_of_the_check() {
    let folder = Folder::new("formats");
    let (good, silent) = (folder.file("good.json", GOOD), folder.file("silent.json", SILENT));
    let broken = folder.file("broken.json", "{");
    for (format, starts) in [
        ("text", ""),
        ("json", "{"),
        ("sarif", "{"),
        ("junit", "<?xml"),
        ("github", ""),
        ("markdown", "## EdgeShift: "),
    ] {
        for (paths, status) in [([&good, &good], 0), ([&good, &silent], 1), ([&silent, &broken], 2)] {
            let ran = run(&["check", paths[0], paths[1], "--format", format]);
            assert_eq!(ran.status, status, "{format} {paths:?}");
            assert!(ran.stdout.starts_with(starts), "{format}: {}", ran.stdout);
        }
    }
}

#[test]
fn there_is_no_progress_where_nobody_watches() {
    let folder = Folder::new("progress");
    for i in 0..30 {
        folder.file(&format!("{i}.json"), GOOD);
    }
    let ran = run(&["check", &folder.0.display().to_string()]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
}

#[test]
fn our_own_deployment_passes_our_own_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for target in ["ase-k8s", "ase-vm"] {
        let ran = run(&["check", &root.join("deployment.template.json").display().to_string(), "--target", target]);
        assert_eq!(ran.status, 0, "{}", ran.stdout);
    }
    let module: Value = serde_json::from_str(&fs::read_to_string(root.join("module.json")).unwrap()).unwrap();
    let file = module["image"]["tag"]["platforms"]["amd64"].as_str().unwrap();
    assert!(root.join(file).exists(), "module.json names {file}");
    assert_eq!(module["image"]["tag"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_edgeshift")).arg("rules").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn explain_finds_rules_by_id_and_code_and_helps_when_there_is_none() {
    assert!(run(&["explain", "sto-001"]).stdout.starts_with("# Share bound by its host path"));
    let ran = run(&["explain", "storage-share-bint"]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("did you mean storage-share-bind"), "{}", ran.stderr);
    assert!(run(&["explain", "qqq"]).stderr.contains("`edgeshift rules` lists them all"));
}

#[test]
fn the_demo_ends_by_itself_and_shows_its_story() {
    let started = std::time::SystemTime::now();
    let ran = run(&["demo"]);
    let seconds = started.elapsed().unwrap().as_secs_f64();
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    // It plays for 3.5 s; on a busy machine the process around it may take its time.
    assert!(seconds < 10.0, "{seconds} s");
    for part in [
        "storage-share-bind",
        "→ desired",
        "← twin",
        "← gpu",
        "module result-writer",
        "from  state starting",
        "to  state running",
        "→ method   check",
        "status 200",
        "→ sibling  FrameGrabber reports",
        "← FrameGrabber twin frames  seen 48 · written 47",
        "\n                    FrameGrabber twin frames  seen 48 · written 47",
    ] {
        assert!(ran.stdout.contains(part), "`{part}` is missing in:\n{}", ran.stdout);
    }
    assert_eq!(ran.stderr, "");
    assert!(!ran.stdout.contains("not-a-real-password"));
}

#[test]
fn the_demo_takes_any_manifest_and_refuses_what_is_none() {
    let folder = Folder::new("demo");
    let template = folder.file(
        "t.json",
        r#"{ "$schema-template": "4.0.0", "modulesContent": { "$edgeAgent": { "properties.desired": {
            "modules": { "only.one": { "settings": { "image": "${MODULES.x}", "createOptions": {} } } } } } } }"#,
    );
    let ran = run(&["demo", "--deployment", &template]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("module only.one"), "{}", ran.stdout);
    let ran = run(&["demo", "--deployment", &folder.file("bad.json", "{ \"a\" }")]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("bad.json:1:7: expected `:` after a key"), "{}", ran.stderr);
}

#[test]
fn a_snapshot_gives_the_same_report_wherever_it_is_judged() {
    let folder = Folder::new("snapshot");
    let text = r#"{ "HostConfig": { "Binds": ["/home/hcsshares/in:/in"] }, "Env": ["PASSWORD=hunter2"] }"#;
    let manifest = folder.file("m.json", text);
    let kept = folder.0.join("kept.json").display().to_string();
    let ran = run(&["snapshot", "--source", "process", "--manifest", &manifest, "-o", &kept]);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    let json = fs::read_to_string(&kept).unwrap();
    assert!(!json.contains("hunter2"));
    let carried = folder.file("elsewhere/carried.json", &json);
    for format in ["text", "json", "sarif"] {
        let here = run(&["check", "--snapshot", &kept, "--format", format]);
        let there = run(&["check", "--snapshot", &carried, "--format", format]);
        assert_eq!((here.status, &here.stdout), (1, &there.stdout), "{format}");
        assert!(here.stdout.contains("storage-share-bind"), "{}", here.stdout);
    }
    let status = run(&["status", "--snapshot", &kept]);
    assert!(status.status == 0 && status.stdout.contains("source process: answered in"), "{}", status.stdout);
    let json: Value = serde_json::from_str(&run(&["status", "--snapshot", &kept, "--format", "json"]).stdout).unwrap();
    assert_eq!(json["modules"]["createOptions"]["rule"], "storage-share-bind", "{json}");
}

/// The twin of `$edgeAgent` as IoT Hub shows it: one module crashes, one was never made, one runs.
const TWIN: &str = r#"{ "deviceId": "edge", "moduleId": "$edgeAgent", "properties": {
    "desired": { "$version": 4, "modules": {
        "scorer": { "settings": { "image": "registry.example/scorer:1",
            "createOptions": "{\"HostConfig\":{\"Binds\":[\"/home/hcsshares/in:/in\"]},\"Env\":[\"PASSWORD=hunter2\"]}" } },
        "writer": { "settings": { "image": "registry.example/writer:1", "createOptions": "{}" } },
        "viewer": { "settings": { "image": "registry.example/viewer:1", "createOptions": "{}" } } } },
    "reported": { "lastDesiredVersion": 4, "lastDesiredStatus": { "code": 200, "description": "" },
        "runtime": { "platform": { "os": "Kubernetes", "architecture": "[{\"name\":\"amd64\",\"nodes_count\":2}]" } },
        "modules": {
            "scorer": { "runtimeStatus": "backoff", "exitCode": 139,
                "statusDescription": "Module in Back-off reason: CrashLoopBackOff with message: back-off 5m0s" },
            "viewer": { "runtimeStatus": "running", "exitCode": 0, "statusDescription": "Started at 02/10/2021 18:03:44" } },
        "$metadata": { "$lastUpdated": "2026-01-01T00:10:00Z",
            "lastDesiredStatus": { "$lastUpdated": "2026-01-01T00:00:00Z" },
            "lastDesiredVersion": { "$lastUpdated": "2026-01-01T00:00:00Z" } } } } }"#;

#[test]
fn a_twin_of_the_agent_is_judged_for_what_it_wants_and_for_what_it_reports() {
    let folder = Folder::new("twin");
    let twin = folder.file("twin.json", TWIN);
    let ran = run(&["check", "--twin", &twin, "--format", "json"]);
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(!ran.stdout.contains("hunter2"));
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let findings = report["files"][0]["findings"].as_array().unwrap();
    let about = |module: &str, rule: &str| findings.iter().any(|one| one["module"] == module && one["rule"] == rule);
    assert!(about("scorer", "storage-share-bind") && about("scorer", "status-crash"), "{}", ran.stdout);
    assert!(about("writer", "status-not-reported") && !about("viewer", "status-not-reported"), "{}", ran.stdout);

    // With a deployment of its own the twin says what runs, and the deployment what is wanted.
    let other = r#"{ "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "scorer": { "settings": {
        "image": "a:1", "createOptions": { "HostConfig": { "Binds": ["/home/hcsshares/other:/in"] } } } } } } } } }"#;
    let other = folder.file("other.json", other);
    let ran = run(&["check", "--twin", &twin, &other, "--format", "json"]);
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(ran.stdout.contains("share `other`") && ran.stdout.contains("status-crash"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("share `in`"), "{}", ran.stdout);

    let no_twin = folder.file("no-twin.json", SILENT);
    let ran = run(&["check", "--twin", &no_twin]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("is no twin: expected `properties` with `desired`"), "{}", ran.stderr);
}

#[test]
fn status_shows_what_a_twin_of_the_agent_says() {
    let folder = Folder::new("status-twin");
    let twin = folder.file("twin.json", TWIN);
    let ran = run(&["status", "--source", "process", "--twin", &twin]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let row = |module: &str| ran.stdout.lines().find(|line| line.starts_with(module)).unwrap_or_default();
    assert!(row("scorer").contains("blocked") && row("scorer").contains("backoff"), "{}", ran.stdout);
    assert!(row("writer").contains("blocked") && row("writer").contains("status-not-reported"), "{}", ran.stdout);
    assert!(row("viewer").contains("ready") && row("viewer").contains("running"), "{}", ran.stdout);
    let agent = "IoT Edge: Kubernetes, amd64, 2 nodes, looked at deployment 4, code 200";
    assert!(ran.stdout.contains(agent) && ran.stdout.contains("source twin: answered"), "{}", ran.stdout);
    let json = run(&["status", "--source", "process", "--twin", &twin, "--format", "json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["modules"]["scorer"]["rule"], &json["agent"]["code"]), (&"status-crash".into(), &200.into()));
}

#[test]
fn what_is_no_snapshot_is_refused_with_a_way_out() {
    let folder = Folder::new("no-snapshot");
    for (text, expected) in [
        ("{}", "edgeshift snapshot -o FILE"),
        (r#"{ "edgeshift_snapshot": 9 }"#, "version 9 of the format"),
        (r#"{ "edgeshift_snapshot": 1 }"#, "take it again"),
    ] {
        let ran = run(&["check", "--snapshot", &folder.file("s.json", text)]);
        assert_eq!(ran.status, 2, "{}", ran.stdout);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
}

#[test]
fn a_source_that_was_asked_for_and_is_not_there_makes_the_answer_unknown() {
    let nowhere = [("DOCKER_HOST", "unix:///nowhere/docker.sock")];
    let ran = run_with(&["check", "--source", "docker"], "", &nowhere);
    assert_eq!(ran.status, 3, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("docker"), "{}", ran.stdout);
    let ran = run_with(&["check", "--source", "all"], "", &nowhere);
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    let ran = run_with(&["status"], "", &nowhere);
    assert!(ran.stdout.contains("source docker: not asked: there is no socket"), "{}", ran.stdout);
}

#[test]
fn render_shows_objects_what_is_ignored_and_what_stops_the_agent() {
    let module = |options: &str, value: &str| {
        format!(
            r#"{{ "modulesContent": {{ "$edgeAgent": {{ "properties.desired": {{ "modules": {{ "My_Module": {{
                "env": {{ "KEY": {{ "value": "{value}" }} }},
                "settings": {{ "image": "a/b:1", "createOptions": {options} }} }} }} }} }} }} }}"#
        )
    };
    let folder = Folder::new("render");
    let options = r#"{ "HostConfig": { "ShmSize": 1, "PortBindings": { "80/tcp": [{ "HostPort": "8080" }] } } }"#;
    let (old, new) =
        (folder.file("old.json", module(options, "hunter2")), folder.file("new.json", module("{}", "hunter2")));
    let yaml = run(&["render", &old]);
    assert_eq!(yaml.status, 0, "{}", yaml.stderr);
    assert!(yaml.stdout.contains("kind: Service\n") && yaml.stdout.contains("name: mymodule\n"), "{}", yaml.stdout);
    assert!(yaml.stdout.contains("# ignored: HostConfig.ShmSize of My_Module"), "{}", yaml.stdout);
    assert!(!yaml.stdout.contains("hunter2") && run(&["render", &old, "--show-values"]).stdout.contains("hunter2"));
    let tree = run(&["render", &old, "--format", "tree", "--setting", "PortMappingServiceType=NodePort"]);
    assert!(tree.stdout.contains("service mymodule, NodePort\n│     8080/TCP → 80\n"), "{}", tree.stdout);
    let json: Value = serde_json::from_str(&run(&["render", &old, "--format", "json"]).stdout).unwrap();
    let kinds: Vec<&str> =
        json["objects"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["EdgeDeployment", "ServiceAccount", "Service", "Deployment"]);
    let diff = run(&["render", "--diff", &old, &new]);
    assert_eq!(diff.stdout, "- Service mymodule\nno module restarts\n");
    let changed = folder.file("changed.json", module(r#"{ "Env": ["MODE=fast"] }"#, "hunter3"));
    let diff = run(&["render", "--diff", &old, &changed]);
    assert_eq!(diff.status, 0, "{}", diff.stderr);
    let fields = "containers[mymodule].env[KEY].value, containers[mymodule].env[MODE]";
    assert!(diff.stdout.ends_with(&format!("\nMy_Module restarts: {fields}\n")), "{}", diff.stdout);
    assert!(!diff.stdout.contains("hunter"), "{}", diff.stdout);
    let piped = run_with(&["render", "-", "--format", "tree"], &fs::read_to_string(&old).unwrap(), &[]);
    assert!(piped.stdout.starts_with("My_Module\n├─ pod mymodule\n"), "{}", piped.stdout);

    let bad = folder.file("bad.json", module(r#"{ "Labels": { "": "x" } }"#, "v"));
    let stopped = run(&["render", &bad]);
    assert_eq!(stopped.status, 1);
    assert!(stopped.stdout.contains("# the agent stops: no services are created"), "{}", stopped.stdout);
    assert!(stopped.stdout.contains("InvalidKubernetesNameException"), "{}", stopped.stdout);
    let refused = folder.file("refused.json", module(r#"{ "Env": ["a:b=1"] }"#, "v"));
    let refused = run(&["render", &refused, "--format", "tree"]);
    assert_eq!(refused.status, 1);
    let line = "Kubernetes refuses Deployment mymodule: spec.template.spec.containers[1].env[1].name: `a:b`";
    assert!(refused.stdout.contains(line), "{}", refused.stdout);
    for (name, text, message) in [
        ("half.json", r#"{ "HostConfig": "#, "half.json:1:1: one `}` missing"),
        ("other.json", r#"{ "a": 1 }"#, "other.json is JSON but not an IoT Edge deployment"),
    ] {
        let broken = folder.file(name, text);
        for arguments in [["render", &broken].as_slice(), &["render", "--diff", &old, &broken]] {
            let ran = run(arguments);
            assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{arguments:?}");
            assert!(ran.stderr.contains(message), "{arguments:?}: {}", ran.stderr);
        }
    }
    assert_eq!(run(&["render", "nowhere.json"]).status, 2);
    assert_eq!(run(&["render", &old, "--setting", "x=1"]).status, 2);
    assert_eq!(run(&["render", &old, "--module", "nobody"]).status, 2);
}
