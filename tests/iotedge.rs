//! The client of the workload API with a server that answers as it is told, on a real socket.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod daemon;

use daemon::Daemon;
use edgeshift::iotedge::{Identity, Proof, Workload, WorkloadError};
use serde_json::{Value, json};

const DIGEST: &str = r#"{"digest":"YSBkaWdlc3Qgb2Ygbm90aGluZywgMzIgYnl0ZXMgb2s="}"#;

fn workload(daemon: &Daemon) -> std::sync::Arc<Workload> {
    let uri = daemon.uri();
    let identity = Identity::from_variables(|name| {
        Some(match name {
            "IOTEDGE_WORKLOADURI" => uri.clone(),
            "IOTEDGE_MODULEID" => "$odd-id".to_owned(),
            "IOTEDGE_MODULEGENERATIONID" => "637".to_owned(),
            "IOTEDGE_DEVICEID" => "edge01".to_owned(),
            "IOTEDGE_IOTHUBHOSTNAME" => "h.azure-devices.net".to_owned(),
            "IOTEDGE_GATEWAYHOSTNAME" => "gateway".to_owned(),
            "IOTEDGE_APIVERSION" => "2022-08-03".to_owned(),
            _ => return None,
        })
    });
    match identity.unwrap().proof {
        Proof::Workload(workload) => workload,
        Proof::Key(..) => panic!("the socket is to be asked"),
    }
}

fn answers<const N: usize>(answers: [(u16, &str); N]) -> Daemon {
    Daemon::start(answers.map(|(status, body)| (status, body.to_owned())).into())
}

#[tokio::test]
async fn a_signature_is_asked_for_as_iot_edge_wants_it() {
    let mut daemon = answers([(200, DIGEST)]);
    let digest = workload(&daemon).sign(b"hi").await.unwrap();
    assert!(digest.starts_with("YSBk"));
    let asked = daemon.asked.recv().await.unwrap();
    assert_eq!(asked.line, "POST /modules/%24odd-id/genid/637/sign?api-version=2022-08-03");
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body, json!({ "keyId": "primary", "algo": "HMACSHA256", "data": "aGk=" }));
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let busy = r#"{"message":"busy"}"#;
    let daemon = answers([(500, busy), (200, DIGEST)]);
    assert!(workload(&daemon).sign(b"hi").await.is_ok());
    drop(daemon);
    let mut daemon = answers([(403, r#"{"message":"forbidden"}"#), (200, DIGEST)]);
    let error = workload(&daemon).sign(b"hi").await.unwrap_err();
    let expected = "refused POST /modules/%24odd-id/genid/637/sign with 403: forbidden";
    assert!(error.to_string().ends_with(expected), "{error}");
    assert!(daemon.asked.recv().await.is_some() && daemon.asked.try_recv().is_err());
}

#[tokio::test]
async fn three_tries_are_enough() {
    let mut daemon = answers([(503, ""), (503, "{"), (503, "{}"), (200, DIGEST)]);
    let error = workload(&daemon).trust_bundle().await.unwrap_err();
    assert!(matches!(error, WorkloadError::Refused { status: 503, .. }), "{error}");
    for _ in 0..3 {
        assert_eq!(daemon.asked.recv().await.unwrap().line, "GET /trust-bundle?api-version=2022-08-03");
    }
    assert!(daemon.asked.try_recv().is_err());
}

#[tokio::test]
async fn what_is_no_answer_is_an_error() {
    let long = format!(r#"{{"digest":"{}"}}"#, "A".repeat(2 * 1024 * 1024));
    for body in ["", "null", "[]", "{}", r#"{"digest":7}"#, r#"{"digest":"AAAA"}"#, r#"{"digest":"&se=1"}"#, &long] {
        let daemon = answers([(200, body)]);
        let error = workload(&daemon).sign(b"hi").await.unwrap_err();
        let wanted = if body.len() > 1024 { "length limit" } else { "with something else" };
        assert!(error.to_string().contains(wanted), "{error}");
    }
    // Closed without an answer.
    let daemon = answers([(200, DIGEST)]);
    let workload = workload(&daemon);
    workload.sign(b"hi").await.unwrap();
    assert!(workload.sign(b"hi").await.is_err());
}

#[tokio::test]
async fn siblings_are_listed_with_their_labels() {
    let module = json!({
        "id": "id", "name": "scorer", "type": "docker",
        "config": {
            "settings": { "image": "i:1", "imageHash": "sha256:1", "createOptions": { "Labels": { "a": "b", "n": 1 } } },
            "env": [],
        },
        "status": { "startTime": "2026-01-01T00:00:00Z", "runtimeStatus": { "status": "running" } },
    });
    let bare = json!({
        "name": "bare", "config": { "settings": {} }, "status": { "runtimeStatus": { "status": "stopped" } },
    });
    let daemon = answers([(200, &json!({ "modules": [module, bare] }).to_string())]);
    let modules = workload(&daemon).modules().await.unwrap();
    assert_eq!((modules[0].name.as_str(), modules[0].image.as_str()), ("scorer", "i:1"));
    assert_eq!(modules[0].digest.as_deref(), Some("sha256:1"));
    assert_eq!(modules[0].labels, [("a".to_owned(), "b".to_owned())]);
    assert_eq!((modules[1].status.as_str(), &modules[1].digest), ("stopped", &None));
}
