#![no_main]
//! What sources are answered on the device: IoT Edge's list of modules, the Docker engine's JSON, and the kubelet's messages. What reads becomes
//! evidence that can be kept, and that every rule judges without breaking.

use edgeshift::evidence::{Engine, Observed, Snapshot};
use edgeshift::iotedge::Listing;
use edgeshift::report::Outcome;
use edgeshift::settings::Settings;
use edgeshift::sources::{EngineAnswers, PodResources};
use edgeshift::verbs::check::check;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|input: (u8, &[u8], &str, &str, i64)| {
    let (kind, bytes, text, other, number) = input;
    match kind % 4 {
        0 => listing(bytes, text, other),
        1 => pods(bytes, text.as_bytes()),
        // As it comes, and in the places of what an engine says.
        2 => {
            let answers = serde_json::from_slice::<EngineAnswers>(bytes);
            answers.ok().into_iter().for_each(|answers| judge(&answers.read()));
        }
        _ => engine(text, other, number),
    }
});

fn listing(bytes: &[u8], text: &str, other: &str) {
    let _ = serde_json::from_slice::<Listing>(bytes);
    let module = json!({ "name": text, "config": { "settings": { "image": other, "imageHash": text,
        "createOptions": { "Labels": { other: text, "n": 1 } } }, "env": [] },
        "status": { "runtimeStatus": { "status": other } } });
    let listing: Listing = serde_json::from_value(json!({ "modules": [module] })).expect("it is a list");
    assert_eq!((listing.modules[0].name.as_str(), listing.modules[0].status.as_str()), (text, other));
}

fn pods(list: &[u8], allocatable: &[u8]) {
    let Ok(grants) = PodResources::read(list, Some(allocatable)) else { return };
    let all = grants.modules.values().flatten().chain(grants.allocatable.iter().flatten());
    assert!(all.clone().all(|grant| grant.resource.starts_with("nvidia.com/")));
    let mut snapshot = Snapshot::empty(jiff::Timestamp::UNIX_EPOCH);
    snapshot.grants = Observed::Known(grants);
    kept(&snapshot);
}

fn engine(text: &str, other: &str, number: i64) {
    let container = |id: &str, name: &str| {
        json!({ "Id": id, "Name": name, "Image": other, "RestartCount": number,
            "Config": { "Image": text, "Env": [text, format!("no_proxy={other}"), format!("NVIDIA_VISIBLE_DEVICES={text}")] },
            "State": { "Status": "running", "Running": true, "ExitCode": number, "StartedAt": text, "FinishedAt": other },
            "HostConfig": { "Memory": number, "NanoCpus": number, "NetworkMode": text, "Runtime": other,
                "DeviceRequests": [{ "Driver": "nvidia", "Count": number, "DeviceIDs": [text] }],
                "Devices": [{ "PathOnHost": format!("/dev/nvidia{other}") }] },
            "NetworkSettings": { "Ports": { text: [{ "HostIp": other, "HostPort": other }], "80/tcp": [{ "HostPort": text }], other: null },
                "Networks": { text: { "IPAddress": other } } },
            "Mounts": [{ "Type": "volume", "Name": text, "Driver": other, "Destination": other, "RW": false },
                { "Type": "bind", "Source": text, "Destination": other }] })
    };
    let event = |action: &str, id: &str| {
        json!({ "Action": action, "time": number, "timeNano": number,
        "Actor": { "ID": id, "Attributes": { "name": other, "exitCode": text } } })
    };
    let events = ["start", "die", "kill", "die", "oom", "destroy"].map(|action| event(action, text));
    let answers = json!({ "version": other,
        "containers": [container(text, other), container(other, text)],
        "volumes": [{ "Name": text, "Driver": other, "Mountpoint": "", "Labels": {}, "Scope": "local", "Options": { "type": other, "o": text } }],
        "images": [{ "Id": text, "ParentId": "", "RepoTags": [other], "RepoDigests": null, "Created": number, "Size": number,
            "SharedSize": number, "Labels": null, "Containers": number }],
        "events": events });
    let answers: EngineAnswers = serde_json::from_value(answers).expect("it is what an engine answers");
    judge(&answers.read());
}

fn judge(engine: &Engine) {
    let mut snapshot = Snapshot::empty(jiff::Timestamp::UNIX_EPOCH);
    snapshot.engine = Observed::Known(engine.clone());
    let report = check(&kept(&snapshot), &Settings::default());
    for evaluation in &report.evaluations {
        assert!(!matches!(evaluation.outcome, Outcome::Broken(_)), "{}: {:?}", evaluation.rule, evaluation.outcome);
    }
}

/// The snapshot as its file has it, which reads as it was written.
fn kept(snapshot: &Snapshot) -> Snapshot {
    let json = snapshot.to_json();
    let read = Snapshot::from_json(&json).expect("what is kept reads");
    assert_eq!(read.to_json(), json);
    read
}
