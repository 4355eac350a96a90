//! The admission model against a real API server: every object of deployments that are made up, and of real ones, sent as the
//! agent sends them, as a dry run. Run by `scripts/peers kube`.

#![expect(clippy::disallowed_methods, reason = "the peers are an API server and files")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod deployments;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use deployments::{Generated, WELL, classes, deployments};
use edgeshift::kube_model::admission::refusals;
use edgeshift::kube_model::{AgentSettings, objects};
use edgeshift::manifest::Manifest;
use edgeshift::text::Source;
use futures_util::{StreamExt, stream};
use kube::api::PostParams;
use kube::core::Request;
use kube::{Client, Error};
use serde_json::{Value, json};

/// Requests under way.
const AT_ONCE: usize = 16;

/// Made up deployments.
const DEPLOYMENTS: u64 = 2_040;

/// Where an object of a kind is posted, below the server.
fn path(kind: &str, namespace: &str) -> String {
    let (group, plural) = match kind {
        "Deployment" => ("apis/apps/v1", "deployments"),
        "PersistentVolumeClaim" => ("api/v1", "persistentvolumeclaims"),
        "Secret" => ("api/v1", "secrets"),
        "Service" => ("api/v1", "services"),
        "ServiceAccount" => ("api/v1", "serviceaccounts"),
        other => panic!("nothing is known of the kind {other}"),
    };
    format!("/{group}/namespaces/{namespace}/{plural}")
}

/// What the server refuses of `object`: its fields and what it says; a field without a name where it cannot read it.
async fn refused(client: &Client, path: &str, object: &Value, dry_run: bool) -> Option<(BTreeSet<String>, String)> {
    let params = PostParams { dry_run, field_manager: None };
    let request = Request::new(path).create(&params, serde_json::to_vec(object).unwrap()).unwrap();
    match client.request::<Value>(request).await {
        Ok(_) => None,
        Err(Error::Api(status)) => {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            let fields: BTreeSet<String> = match status.reason.as_str() {
                "Invalid" => causes.map(|cause| cause.field.clone()).collect(),
                "BadRequest" => [String::new()].into(),
                other => panic!("{path}: {other}: {}", status.message),
            };
            Some((fields, status.message))
        }
        Err(error) => panic!("{path}: {error}"),
    }
}

/// A namespace of this run.
async fn prepare(client: &Client, purpose: &str) -> String {
    let name = format!("edgeshift-{purpose}-{}", std::process::id());
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    assert_eq!(refused(client, "/api/v1/namespaces", &namespace, false).await, None);
    name
}

async fn remove(client: &Client, namespace: &str) {
    let request = Request::new("/api/v1/namespaces").delete(namespace, &kube::api::DeleteParams::default()).unwrap();
    client.request::<Value>(request).await.unwrap();
}

/// What model and server say of one deployment.
#[derive(Default)]
struct Outcome {
    model: usize,
    server: usize,
    objects: usize,
    /// Where they differ.
    disagreements: Vec<String>,
}

/// What the server said of objects, by their path and text: accounts and the objects of edgeHub are the same in most deployments.
type Answers = Mutex<HashMap<String, Option<(BTreeSet<String>, String)>>>;

/// What the server refuses of `object`, asked once.
async fn answer(client: &Client, path: &str, object: &Value, answers: &Answers) -> Option<(BTreeSet<String>, String)> {
    let key = format!("{path} {object}");
    if let Some(known) = answers.lock().unwrap().get(&key) {
        return known.clone();
    }
    let answer = refused(client, path, object, true).await;
    answers.lock().unwrap().insert(key, answer.clone());
    answer
}

/// Sends what the agent would create, in its order, and compares. The agent's own object is left out: its kind has no schema, so
/// that nothing of it is refused (`k8s-translation.md` §8), and a server that was built with a Go newer than 1.17 dies over
/// every object of such a kind.
async fn compare(client: &Client, namespace: &str, mut created: Vec<Value>, answers: &Answers) -> Outcome {
    created.retain(|object| object["kind"] != "EdgeDeployment");
    let mut outcome = Outcome { objects: created.len(), ..Outcome::default() };
    for object in created {
        let kind = object["kind"].as_str().unwrap();
        let own: BTreeSet<String> = refusals(&object).into_iter().map(|refusal| refusal.field).collect();
        let (theirs, message) = answer(client, &path(kind, namespace), &object, answers).await.unwrap_or_default();
        outcome.model += usize::from(!own.is_empty());
        outcome.server += usize::from(!theirs.is_empty());
        if own != theirs {
            let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
            let message: String = message.chars().take(600).collect();
            let name = &object["metadata"]["name"];
            outcome.disagreements.push(format!(
                "{kind} {name}: the model alone refuses {:?}, the server alone {:?}\n    {message}",
                only(&own, &theirs),
                only(&theirs, &own)
            ));
        }
    }
    outcome
}

/// Of one class: deployments by model and server, accepted and refused.
#[derive(Default)]
struct Cells {
    both_accept: usize,
    model_alone: usize,
    server_alone: usize,
    both_refuse: usize,
}

async fn client() -> Client {
    // Missing is a failure: `scripts/peers kube` says how to have one.
    Client::try_default().await.expect("KUBECONFIG names a cluster of Kubernetes 1.20")
}

#[test]
#[ignore = "needs KUBECONFIG"]
fn peer_kube_refuses_what_the_model_refuses() {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let client = client().await;
        let namespace = &prepare(&client, "generated").await;
        let answers = &Answers::default();
        let all: Vec<(Generated, Outcome)> = stream::iter(deployments(0, DEPLOYMENTS))
            .map(|generated| {
                let manifest = Manifest::read(&Source::new("generated", generated.text.as_str())).unwrap();
                let made = objects::translate(&manifest, &generated.settings(namespace));
                assert!(made.faults.is_empty(), "{}: {:?}", generated.class, made.faults);
                let client = client.clone();
                async move { (generated, compare(&client, namespace, made.created().unwrap(), answers).await) }
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        remove(&client, namespace).await;

        let mut matrix: BTreeMap<&str, Cells> = BTreeMap::new();
        for (generated, outcome) in &all {
            let cells = matrix.entry(generated.class).or_default();
            *match (outcome.model > 0, outcome.server > 0) {
                (false, false) => &mut cells.both_accept,
                (true, false) => &mut cells.model_alone,
                (false, true) => &mut cells.server_alone,
                (true, true) => &mut cells.both_refuse,
            } += 1;
        }
        println!("{:28} {:>8} {:>8} {:>8} {:>8}", "class", "both", "model", "server", "both");
        println!("{:28} {:>8} {:>8} {:>8} {:>8}", "", "accept", "refuses", "refuses", "refuse");
        for (class, cells) in &matrix {
            let Cells { both_accept, model_alone, server_alone, both_refuse } = cells;
            println!("{class:28} {both_accept:>8} {model_alone:>8} {server_alone:>8} {both_refuse:>8}");
        }
        let refused = all.iter().filter(|(_, outcome)| outcome.server > 0).count();
        let objects: usize = all.iter().map(|(_, outcome)| outcome.objects).sum();
        let mut disagreements = Vec::new();
        for (Generated { class, module, place, .. }, outcome) in &all {
            let of = |one| format!("{class} at {place} of {module}: {one}");
            disagreements.extend(outcome.disagreements.iter().map(of));
        }
        println!(
            "{} deployments, {refused} refused, {objects} objects, {} disagreements",
            all.len(),
            disagreements.len()
        );
        disagreements.iter().take(60).for_each(|one| println!("  {one}"));
        assert!(disagreements.is_empty());
        assert!(refused * 3 >= all.len(), "too few are refused");
        assert_eq!(matrix[WELL].both_refuse, 0);
        for class in classes() {
            assert!(matrix.get(class).is_some_and(|cells| cells.both_refuse >= 5), "{class} is refused too rarely");
        }
    });
}

#[test]
#[ignore = "needs KUBECONFIG and EDGESHIFT_CORPUS"]
fn peer_kube_agrees_about_real_deployments() {
    let folder = std::env::var("EDGESHIFT_CORPUS").expect("EDGESHIFT_CORPUS names a folder of real deployments");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let client = client().await;
        let namespace = &prepare(&client, "corpus").await;
        let answers = &Answers::default();
        let settings = AgentSettings { namespace: namespace.clone(), ..AgentSettings::default() };
        let (mut unread, mut stopped) = (0, 0);
        let mut sent = Vec::new();
        for file in &files {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let Ok(manifest) = Manifest::read(&Source::new(name.as_str(), fs::read_to_string(file).unwrap())) else {
                unread += 1;
                continue;
            };
            let made = objects::translate(&manifest, &settings);
            stopped += usize::from(made.stopped_at().is_some());
            sent.push((name, made.created().unwrap()));
        }
        let all: Vec<(String, Outcome)> = stream::iter(sent)
            .map(|(name, created)| {
                let client = client.clone();
                async move { (name, compare(&client, namespace, created, answers).await) }
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        remove(&client, namespace).await;
        let objects: usize = all.iter().map(|(_, outcome)| outcome.objects).sum();
        let refused = all.iter().filter(|(_, outcome)| outcome.server > 0).count();
        let disagreements: Vec<String> = all
            .iter()
            .flat_map(|(name, outcome)| outcome.disagreements.iter().map(move |one| format!("{name}: {one}")))
            .collect();
        println!(
            "{} files ({unread} cannot be read, {stopped} stop the agent), {objects} objects, {refused} deployments refused, {} disagreements",
            files.len(),
            disagreements.len()
        );
        disagreements.iter().take(60).for_each(|one| println!("  {one}"));
        assert!(disagreements.is_empty());
        assert!(objects > 0 && refused > 0);
    });
}
