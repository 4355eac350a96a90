#![no_main]
//! What a Docker engine and the workload API answer on their sockets: whatever it is, a look ends in evidence that can be kept, or in a reason,
//! and never in a panic.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

use edgeshift::agent::{Clock, look_once};
use edgeshift::evidence::{Observed, Snapshot};
use edgeshift::iotedge::{Resource, Workload};
use edgeshift::sources::{Docker, Source, WorkloadList};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

/// What is answered to whom; the runtime that serves it; and where.
static ANSWERS: Mutex<Vec<(&'static str, Vec<u8>)>> = Mutex::new(Vec::new());
static SITE: LazyLock<(tokio::runtime::Runtime, PathBuf)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let path = std::env::temp_dir().join(format!("edgeshift-fuzz-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = runtime.block_on(async { UnixListener::bind(&path) }).expect("a socket");
    runtime.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let answers = ANSWERS.lock().expect("no panic").clone();
            let answer = answers.into_iter().find(|(path, _)| request.lines().next().is_some_and(|l| l.contains(path)));
            let _ = stream.write_all(&answer.map(|(_, answer)| answer).unwrap_or_default()).await;
        }
    });
    (runtime, path)
});

fn http(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// JSON text of what the fuzzer gives, or a string of it.
fn value(text: &str) -> String {
    let read: Result<serde_json::Value, _> = serde_json::from_str(text);
    read.unwrap_or_else(|_| text.into()).to_string()
}

fuzz_target!(|input: (bool, &[u8], &str, &str, &str, &str)| {
    let (raw, bytes, one, two, three, four) = input;
    let (a, b, c, d) = (value(one), value(two), value(three), value(four));
    let inspected = format!(
        r#"{{"Id":"a","Name":{a},"Image":"sha256:1","State":{{"Status":"running","Running":true,"StartedAt":{b},"ExitCode":137}},
            "Config":{{"Image":{c},"Env":["no_proxy=x",{d}]}},"HostConfig":{{"Memory":1,"NetworkMode":{a}}},
            "NetworkSettings":{{"Networks":{{"n":{{"IPAddress":{b}}}}},"Ports":{{{}:[{{"HostPort":{d}}}]}}}},
            "Mounts":[{{"Type":"volume","Name":"v","Source":"/s","Destination":{d},"RW":true}}]}}"#,
        serde_json::Value::from(one)
    );
    let event = format!(
        r#"{{"Type":"container","Action":{a},"time":1,"timeNano":1,"Actor":{{"ID":"a","Attributes":{{"name":{b},"exitCode":{c}}}}}}}"#
    );
    let volume = format!(
        r#"{{"Volumes":[{{"Name":"v","Driver":"local","Mountpoint":"/","Labels":{{}},"Scope":"local","Options":{{"type":{a},"o":{b}}}}}]}}"#
    );
    let module = format!(
        r#"{{"modules":[{{"name":{a},"config":{{"settings":{{"image":{b},"createOptions":{{"Labels":{{{}:{c}}}}}}}}},"status":{{"runtimeStatus":{{"status":{d}}}}}}}]}}"#,
        serde_json::Value::from(one)
    );
    let given = |sound: String| if raw { http(bytes) } else { http(sound.as_bytes()) };
    *ANSWERS.lock().expect("no panic") = vec![
        ("/version", http(br#"{"ApiVersion":"1.41","Version":"20.10.24"}"#)),
        ("/containers/json", http(br#"[{"Id":"a"}]"#)),
        ("/containers/a/json", given(inspected)),
        ("/images/json", http(b"[]")),
        ("/volumes", given(volume)),
        ("/info", http(br#"{"SystemTime":"2026-01-01T00:00:00Z"}"#)),
        ("/events", given(event)),
        ("/modules?", given(module)),
    ];
    let (runtime, path) = &*SITE;
    let address = format!("unix://{}", path.display());
    let _entered = runtime.enter();
    let resource = Resource { hub: "h".into(), device: "d".into(), module: "m".into() };
    let workload = Workload::new(&address, resource, "1".into(), "2018-06-28".into()).expect("a socket");
    let sources: [Arc<dyn Source>; 2] = [Arc::new(Docker::new(address)), Arc::new(WorkloadList(Arc::new(workload)))];
    let snapshot = runtime.block_on(look_once(&sources, Clock::system()));
    for line in &snapshot.sources {
        if let Observed::Unknown(why) = &line.answer {
            assert!(!why.what.contains("fault of ours"), "{why:?}");
        }
    }
    let kept = snapshot.to_json();
    assert_eq!(Snapshot::from_json(&kept).map(|read| read.to_json()).ok(), Some(kept));
});
