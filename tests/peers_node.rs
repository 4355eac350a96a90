//! A real Kubernetes node, run by `scripts/peers`: what `render` prints is applied with `kubectl`, and the pods, Services and
//! claims do what the model says of them.

#![expect(clippy::disallowed_methods, reason = "the peers are files and programs")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use edgeshift::evidence::{self, Grant, Granted, GrantedBy, ModuleState, Observed, Snapshot};
use edgeshift::kube_model::status::{Meaning, Reported, meanings, reported_of_all};
use edgeshift::manifest::Manifest;
use edgeshift::settings::{Settings, Site};
use edgeshift::sources::{PodResources, Sight, Source};
use edgeshift::{text, verbs};
use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::{Value, json};

/// The image of every module: one static program.
const IMAGE: &str = "edgeshift-node-module:1";
/// The image of the container that stands beside each module.
const PROXY: &str = "edgeshift-node-proxy:1";
/// The image of EdgeShift itself.
const EDGESHIFT: &str = "edgeshift-node-edgeshift:1";
/// The label of what a run makes, by which the next one finds what was left.
const LABEL: &str = "edgeshift-test=node";
/// How long pods may take to come up, or to fail as they are to.
const SOON: Duration = Duration::from_secs(120);

/// One test at a time has the node.
static NODE: Mutex<()> = Mutex::new(());

fn program(name: &str, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(name);
    child.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap_or_else(|error| panic!("cannot run {name}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn succeeded(name: &str, arguments: &[&str], input: &str) -> String {
    let output = program(name, arguments, input);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{name} {arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// `kubectl` on the cluster of `KUBECONFIG`.
fn kubectl(arguments: &[&str], input: &str) -> String {
    succeeded("kubectl", arguments, input)
}

/// Makes an image that has a static program, and perhaps one more with the libraries that it needs, and nothing else.
fn image(name: &str, entrypoint: &Value, program: Option<&str>) {
    // As EdgeShift's own image is: without root.
    let user = if program.is_some() { "1000:1000" } else { "0:0" };
    let script = r#"
        set -e
        root=$(mktemp -d); trap 'rm -rf "$root"' EXIT
        mkdir -p "$root/bin" "$root/tmp"; cp /bin/busybox "$root/bin/busybox"; ln -s busybox "$root/bin/sh"
        if [[ -n $3 ]]; then
            cp "$3" "$root/bin/"
            for library in $(ldd "$3" | grep -o '/[^ ]*'); do
                mkdir -p "$root$(dirname "$library")"; cp -L "$library" "$root$library"
            done
        fi
        tar -C "$root" -c . | docker import --change "ENTRYPOINT $2" --change "USER $4" - "$1" >/dev/null
    "#;
    let entrypoint = entrypoint.to_string();
    let arguments = ["-c", script, "bash", name, &entrypoint, program.unwrap_or_default(), user];
    let made = Command::new("bash").args(arguments).status().unwrap();
    assert!(made.success(), "the image needs /bin/busybox, statically linked");
}

/// A namespace as IoT Edge has it before it gets a deployment; it goes at the end, whatever happens.
struct Node {
    namespace: String,
    /// iotedged's Deployment, which owns all.
    owner: String,
    /// The folder of the host behind the share.
    folder: PathBuf,
    _lock: MutexGuard<'static, ()>,
}

impl Node {
    fn start(test: &str) -> Self {
        let lock = NODE.lock().unwrap_or_else(PoisonError::into_inner);
        remove_all().unwrap();
        image(IMAGE, &json!([]), None);
        // Where the real one listens.
        let proxy = json!(["/bin/busybox", "nc", "-ll", "-p", "35001", "-e", "/bin/busybox", "echo", "workload"]);
        image(PROXY, &proxy, None);
        let namespace = format!("edgeshift-node-{test}-{}", std::process::id());
        let folder = std::env::temp_dir().join(&namespace);
        std::fs::create_dir_all(&folder).unwrap();
        let (key, value) = LABEL.split_once('=').unwrap();
        let labels = json!({ key: value });
        let object = |kind: &str, name: &str, part: &str, content: Value| json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name, "labels": labels }, part: content });
        // A share of the device, as the device makes it (`ase-runtime.md` §2.6).
        let share = json!({ "capacity": { "storage": "32Ti" }, "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": { "path": folder } });
        kubectl(&["create", "-f", "-"], &object("Namespace", &namespace, "spec", json!({})).to_string());
        kubectl(&["create", "-f", "-"], &object("PersistentVolume", &namespace, "spec", share).to_string());
        let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "iotedged", "image": IMAGE }] } });
        let owner = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "iotedged" },
            "spec": { "replicas": 0, "selector": { "matchLabels": labels }, "template": template } });
        let inside = [
            object("ConfigMap", "iotedged-proxy-config", "data", json!({ "config.toml": "" })),
            object("ConfigMap", "iotedged-proxy-trust-bundle", "data", json!({ "trust-bundle.pem": "" })),
            owner,
        ];
        for object in inside {
            kubectl(&["-n", &namespace, "create", "-f", "-"], &object.to_string());
        }
        let uid = ["-n", &namespace, "get", "deployment", "iotedged", "-o", "jsonpath={.metadata.uid}"];
        let owner = kubectl(&uid, "");
        Self { namespace, owner, folder, _lock: lock }
    }

    /// The share of this node: volumes of the cluster have names of their own.
    fn share(&self) -> &str {
        &self.namespace
    }

    /// What `edgeshift render` prints for a deployment, but for the agent's own record of it: the kind is not one of Kubernetes',
    /// and an API server of that age which is built with a Go of today ends on every object of such a kind.
    fn rendered(&self, deployment: &Value) -> String {
        let file = std::env::temp_dir().join(format!("{}.json", self.namespace));
        std::fs::write(&file, deployment.to_string()).unwrap();
        let (namespace, owner) = (&self.namespace, &self.owner);
        let settings = [
            format!("K8sNamespace={namespace}"),
            format!("ProxyImage={PROXY}"),
            format!("EdgeK8sObjectOwnerUid={owner}"),
        ];
        let path = file.display().to_string();
        let mut arguments = vec!["render", &path, "--show-values"];
        arguments.extend(settings.iter().flat_map(|setting| ["--setting", setting]));
        let rendered = succeeded(env!("CARGO_BIN_EXE_edgeshift"), &arguments, "");
        std::fs::remove_file(&file).unwrap();
        let (record, objects): (Vec<&str>, Vec<&str>) =
            rendered.split("---\n").partition(|object| object.contains("\nkind: EdgeDeployment\n"));
        assert_eq!(record.len(), 1, "{rendered}");
        objects.join("---\n")
    }

    fn get<T: serde::de::DeserializeOwned>(&self, kind: &str) -> Vec<T> {
        let selector = "net.azure-devices.edge.module";
        let text = kubectl(&["-n", &self.namespace, "get", kind, "-l", selector, "-o", "json"], "");
        let mut list: Value = serde_json::from_str(&text).unwrap();
        let items = std::mem::take(list["items"].as_array_mut().unwrap());
        items.into_iter().map(|item| serde_json::from_value(item).unwrap()).collect()
    }

    fn pods(&self) -> Vec<Pod> {
        self.get("pods")
    }

    /// The pods as the agent reports them, by module.
    fn reported(&self) -> BTreeMap<String, Reported> {
        let all = reported_of_all(&self.pods()).into_iter();
        all.map(|reported| (reported.module.clone(), reported)).collect()
    }

    /// Waits until `is_there` says nothing more of what is missing.
    fn wait<T>(&self, look: impl Fn() -> Result<T, String>) -> T {
        let since = Instant::now();
        loop {
            match look() {
                Ok(seen) => return seen,
                Err(missing) if since.elapsed() > SOON => {
                    let pods = kubectl(&["-n", &self.namespace, "get", "pods,pvc,events", "-o", "wide"], "");
                    panic!("after {} s: {missing}\n{pods}", SOON.as_secs());
                }
                Err(_) => std::thread::sleep(Duration::from_millis(500)),
            }
        }
    }

    /// The pods of `modules` once each has its two containers up.
    fn up(&self, modules: &[&str]) -> Vec<Pod> {
        self.wait(|| {
            let pods = self.pods();
            let up: BTreeSet<&str> =
                pods.iter().filter(|pod| containers_up(pod) == [true, true]).filter_map(module_of).collect();
            let wanted = modules.iter().copied().collect();
            if up == wanted { Ok(pods) } else { Err(format!("{up:?} are up in place of {wanted:?}")) }
        })
    }

    /// What somebody says who connects to a port of a Service.
    fn answer(&self, service: &str, port: i32) -> String {
        let address =
            kubectl(&["-n", &self.namespace, "get", "service", service, "-o", "jsonpath={.spec.clusterIP}"], "");
        let address: SocketAddr = format!("{address}:{port}").parse().unwrap();
        self.wait(|| {
            let ask = || {
                let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
                stream.set_read_timeout(Some(Duration::from_secs(5)))?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer).map(|_| answer)
            };
            ask().map_err(|error: std::io::Error| format!("{service}:{port} at {address}: {error}"))
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The next run finds what is left.
        let _ = remove_all();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// Removes what this run, or one before that was cut off, has made; no pod is waited for longer than it needs.
fn remove_all() -> Result<(), String> {
    let kubectl = |arguments: &[&str]| {
        let output = program("kubectl", arguments, "");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    };
    let namespaces = kubectl(&["get", "namespaces", "-l", LABEL, "-o", "jsonpath={.items[*].metadata.name}"])?;
    for namespace in namespaces.split_whitespace() {
        // What starts pods goes first and leaves them, so that they are not given their thirty seconds.
        kubectl(&["-n", namespace, "delete", "deployments,replicasets", "--all", "--cascade=orphan"])?;
        kubectl(&["-n", namespace, "delete", "pods", "--all", "--grace-period=1"])?;
        kubectl(&["delete", "namespace", namespace, "--timeout=90s"])?;
    }
    kubectl(&["delete", "persistentvolumes", "-l", LABEL, "--timeout=30s"]).map(|_| ())
}

fn module_of(pod: &Pod) -> Option<&str> {
    pod.metadata.annotations.as_ref()?.get("net.azure-devices.edge.original-moduleid").map(String::as_str)
}

/// Whether each container is up.
fn containers_up(pod: &Pod) -> Vec<bool> {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().map(|status| status.ready).collect()
}

/// What a program says to whom connects to `port`: `words`, evaluated by a shell.
fn says(port: u16, words: &str) -> String {
    format!("/bin/busybox nc -ll -p {port} -e /bin/sh -c 'echo {words}'")
}

fn shell(script: &str) -> Value {
    json!(["/bin/sh", "-c", script])
}

/// A module of `image`, whose createOptions stand in a string as in every deployment.
fn module(image: &str, options: &Value) -> Value {
    json!({ "type": "docker", "status": "running", "restartPolicy": "always",
        "settings": { "image": image, "createOptions": options.to_string() } })
}

fn manifest(deployment: &Value) -> Manifest {
    Manifest::read(&text::Source::new("deployment.json", deployment.to_string())).unwrap()
}

fn deployment(system: &Value, modules: &Value) -> Value {
    json!({ "modulesContent": { "$edgeAgent": { "properties.desired": { "schemaVersion": "1.1",
        "runtime": { "type": "docker", "settings": { "minDockerVersion": "v1.25" } },
        "systemModules": system, "modules": modules } } } })
}

/// What `check` finds where IoT Hub says of the modules what the agent reports, as rule and message, by module.
fn found(
    deployment: &Value,
    reported: &BTreeMap<String, Reported>,
    settings: &Settings,
) -> BTreeMap<String, Vec<(&'static str, String)>> {
    // Long enough ago that a start is no excuse.
    let (since, now) = ("2026-01-01T00:00:00Z".parse().unwrap(), "2026-01-01T00:10:00Z".parse().unwrap());
    let states = reported.iter().map(|(id, reported)| {
        let status = evidence::RuntimeStatus::of_word(reported.status.word());
        let (description, exit_code) = (reported.description.clone(), i64::from(reported.exit_code));
        (id.clone(), ModuleState { status, description, exit_code, since })
    });
    let modules = Observed::Known(states.collect());
    let report =
        verbs::check::check(&Snapshot { modules, ..Snapshot::of_manifest(manifest(deployment), now) }, settings);
    let mut found: BTreeMap<String, Vec<(&'static str, String)>> = BTreeMap::new();
    for (evaluation, finding) in report.findings() {
        let id = evaluation.subject.module().unwrap_or_default().to_owned();
        let said = format!("{}: {}", finding.message, finding.reason);
        found.entry(id).or_default().push((evaluation.rule, said));
    }
    found
}

#[test]
#[ignore = "needs Kubernetes"]
fn peer_node_runs_what_is_rendered() {
    let node = Node::start("run");
    let share = |target: &str, read_only: bool| json!([{ "Type": "volume", "Source": node.share(), "Target": target, "ReadOnly": read_only }]);
    let scratch = node.folder.join("scratch").display().to_string();
    let hub = says(8883, "$IOTEDGE_MODULEID of $IOTEDGE_DEVICEID");
    let camera =
        format!("echo taken > /frames/frame; {}", says(8080, "$IOTEDGE_MODULEID, hub at $IOTEDGE_GATEWAYHOSTNAME"));
    // Two ports, of which one is known by another number outside.
    let scorer = format!(
        "{} & {}",
        says(80, "$IOTEDGE_MODULEID has $(cat /in/frame)"),
        says(9000, "$IOTEDGE_MODULEID with $THRESHOLD")
    );
    let deployment = deployment(
        &json!({ "edgeHub": module(IMAGE, &json!({ "Cmd": shell(&hub),
            "HostConfig": { "PortBindings": { "8883/tcp": [{ "HostPort": "8883" }] } } })) }),
        &json!({
            "Camera_1": module(IMAGE, &json!({ "Cmd": shell(&camera), "ExposedPorts": { "8080/tcp": {} },
                "HostConfig": { "Mounts": share("/frames", false), "Binds": [format!("{scratch}:/scratch")] } })),
            "scorer": module(IMAGE, &json!({ "Entrypoint": ["/bin/sh", "-c"], "Cmd": [scorer], "Env": ["THRESHOLD=0.5"],
                "ExposedPorts": { "9000/tcp": {} },
                "HostConfig": { "Mounts": share("/in", true), "PortBindings": { "80/tcp": [{ "HostPort": "5080" }] } } })),
            "spare": { "type": "docker", "status": "stopped", "restartPolicy": "always",
                "settings": { "image": IMAGE, "createOptions": "{}" } },
        }),
    );
    let rendered = node.rendered(&deployment);
    kubectl(&["apply", "-f", "-"], &rendered);
    let modules = ["Camera_1", "edgeHub", "scorer"];
    let pods = node.up(&modules);
    assert!(Path::new(&scratch).is_dir(), "the folder of a bind is made");

    let answers = [
        ("edgehub", 8883, "$edgeHub of device\n"),
        ("camera1", 8080, "Camera_1, hub at edgehub\n"),
        ("scorer", 5080, "scorer has taken\n"),
        ("scorer", 9000, "scorer with 0.5\n"),
    ];
    let services: Vec<Service> = node.get("services");
    let ports = services.iter().flat_map(|service| {
        let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
        ports.map(|port| (service.metadata.name.as_deref().unwrap(), port.port))
    });
    let ports: BTreeSet<(&str, i32)> = ports.collect();
    assert_eq!(ports, answers.iter().map(|(service, port, _)| (*service, *port)).collect());
    for (service, port, expected) in answers {
        assert_eq!(node.answer(service, port), expected, "{service}:{port}");
    }

    // As the agent reports them: all up, and nothing of the module that is to be stopped.
    let reported = node.reported();
    assert_eq!(reported.keys().collect::<Vec<_>>(), modules.iter().collect::<Vec<_>>());
    for reported in reported.values() {
        assert_eq!(meanings(reported.status, &reported.description), [Meaning::Runs], "{reported:?}");
        assert_eq!(reported.image, IMAGE);
    }

    // `apply` itself says "configured" of a Deployment that has `readOnly: false`, which the server leaves out.
    let versions = || {
        let kinds = "serviceaccounts,services,deployments,persistentvolumeclaims";
        let path = "jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.resourceVersion}{'\\n'}{end}";
        kubectl(&["-n", &node.namespace, "get", kinds, "-o", path], "")
    };
    let before = versions();
    kubectl(&["apply", "-f", "-"], &rendered);
    assert_eq!(versions(), before);
    assert!(before.lines().count() > 10, "{before}");
    kubectl(&["diff", "-f", "-"], &rendered);
    let uids = |pods: &[Pod]| pods.iter().map(|pod| pod.metadata.uid.clone().unwrap()).collect::<BTreeSet<_>>();
    assert_eq!(uids(&node.pods()), uids(&pods));
}

/// A module, its image and createOptions, what its status means, how `kubectl` calls it, and the rule that says so.
type Situation<'a> = (&'a str, &'a str, Value, Meaning, &'a [&'a str], Option<&'a str>);

#[test]
#[ignore = "needs Kubernetes"]
fn peer_node_pods_are_what_the_model_says_of_them() {
    let node = Node::start("states");
    let file = node.folder.join("file");
    std::fs::write(&file, "").unwrap();
    let sleep = shell("sleep 600");
    let situations: [Situation<'_>; 9] = [
        ("healthy", IMAGE, json!({ "Cmd": sleep }), Meaning::Runs, &["Running"], None),
        (
            "crash",
            IMAGE,
            json!({ "Cmd": shell("exit 3") }),
            Meaning::Crashes,
            &["CrashLoopBackOff"],
            Some("status-crash"),
        ),
        (
            "ends",
            IMAGE,
            json!({ "Cmd": shell("exit 0") }),
            Meaning::Crashes,
            &["CrashLoopBackOff"],
            Some("status-crash"),
        ),
        (
            "noprogram",
            IMAGE,
            json!({ "Cmd": ["/no/such"] }),
            Meaning::Crashes,
            &["CrashLoopBackOff"],
            Some("status-crash"),
        ),
        (
            "pull",
            "registry.invalid/scorer:1",
            json!({ "Cmd": sleep }),
            Meaning::ImageMissing,
            &["ErrImagePull", "ImagePullBackOff"],
            Some("status-waiting"),
        ),
        (
            "user",
            IMAGE,
            json!({ "Cmd": sleep, "k8s-experimental": { "securityContext": { "runAsNonRoot": true } } }),
            Meaning::ConfigurationRefused,
            &["CreateContainerConfigError"],
            Some("status-waiting"),
        ),
        (
            "file",
            IMAGE,
            json!({ "Cmd": sleep, "HostConfig": { "Binds": [format!("{}:/etc/file", file.display())] } }),
            Meaning::Starting,
            &["ContainerCreating"],
            Some("status-starting"),
        ),
        (
            "claim",
            IMAGE,
            json!({ "Cmd": sleep, "k8s-experimental": { "volumes": [{
            "volume": { "name": "v", "persistentVolumeClaim": { "claimName": "nowhere" } },
            "volumeMounts": [{ "name": "v", "mountPath": "/v" }] }] } }),
            Meaning::NoContainer,
            &["Pending"],
            Some("status-unscheduled"),
        ),
        // It runs, and the agent does not find its container.
        ("2nd", IMAGE, json!({ "Cmd": sleep }), Meaning::NoContainer, &["Running"], Some("status-unscheduled")),
    ];
    let modules = situations.iter().map(|(id, image, options, ..)| ((*id).to_owned(), module(image, options)));
    let deployment = deployment(&json!({}), &Value::Object(modules.collect()));
    kubectl(&["apply", "-f", "-"], &node.rendered(&deployment));

    let reported = node.wait(|| {
        let reported = node.reported();
        let words = kubectl(&["-n", &node.namespace, "get", "pods", "--no-headers"], "");
        let mut all_are = Ok(());
        for (id, _, _, meaning, words_of_it, _) in &situations {
            let line = words.lines().find(|line| line.starts_with(&format!("{id}-")));
            let word = line.and_then(|line| line.split_whitespace().nth(2)).unwrap_or_default();
            let of_it = reported.get(*id).map(|reported| meanings(reported.status, &reported.description));
            if of_it != Some(&[*meaning]) || !words_of_it.contains(&word) {
                all_are = Err(format!("`{id}` is {word} and {:?}, to be {meaning:?}", reported.get(*id)));
            }
        }
        all_are.map(|()| reported)
    });
    println!("{reported:#?}");
    for (id, code) in [("crash", 3), ("ends", 0), ("noprogram", 127), ("healthy", 0)] {
        assert_eq!(reported[id].exit_code, code, "{id}");
    }
    let found = found(&deployment, &reported, &Settings::default());
    for (id, _, _, _, _, rule) in &situations {
        let rules: Vec<&str> = found.get(*id).into_iter().flatten().map(|(rule, _)| *rule).collect();
        let of_status: Vec<&str> = rules.iter().copied().filter(|rule| rule.starts_with("status-")).collect();
        assert_eq!(of_status, rule.iter().copied().collect::<Vec<_>>(), "{id}: {rules:?}");
    }
}

/// The one GPU that the test's plugin offers.
const GPU: &str = "GPU-3f2504e0-4f89-11d3-9a0c-0305e82c3301";
/// Where every kubelet looks for plugins, wherever its own files are.
const PLUGINS: &str = "/var/lib/kubelet/device-plugins";

/// A device plugin, while it is held.
struct DevicePlugin(Child);

impl DevicePlugin {
    fn start() -> Self {
        let python = std::env::var("EDGESHIFT_NODE_PYTHON").expect("EDGESHIFT_NODE_PYTHON names a Python with grpcio");
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/device_plugin.py");
        let mut plugin = Command::new(python);
        plugin.arg(program).args([PLUGINS, "nvidia.com/gpu", GPU]).stdin(Stdio::piped());
        Self(plugin.spawn().unwrap())
    }
}

impl Drop for DevicePlugin {
    fn drop(&mut self) {
        // The end of its input is its end.
        drop(self.0.stdin.take());
        self.0.wait().ok();
    }
}

#[test]
#[ignore = "needs Kubernetes"]
fn peer_node_tells_who_was_given_a_gpu_and_who_was_not() {
    let node = Node::start("gpu");
    let kubelet =
        std::env::var("EDGESHIFT_KUBELET").expect("EDGESHIFT_KUBELET names the folder of a kubelet of this machine");
    image(EDGESHIFT, &json!([]), Some(env!("CARGO_BIN_EXE_edgeshift")));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _plugin = DevicePlugin::start();
    node.wait(|| {
        let path = r"jsonpath={.items[*].status.allocatable.nvidia\.com/gpu}";
        let offered = kubectl(&["get", "nodes", "-o", path], "");
        if offered == "1" { Ok(()) } else { Err(format!("the node offers `{offered}` GPUs in place of 1")) }
    });

    let gpus = |count: u32| json!({ "resources": { "limits": { "nvidia.com/gpu": count } } });
    let detector = says(7000, "$IOTEDGE_MODULEID sees $NVIDIA_VISIBLE_DEVICES");
    // What lets a module ask the kubelet: its folder, since files cannot be mounted, with nothing to be written; and root.
    let root = json!({ "securityContext": { "runAsUser": 0 } });
    let folder = format!("{kubelet}/pod-resources:/var/lib/kubelet/pod-resources:ro");
    let share = json!([{ "Type": "volume", "Source": node.share(), "Target": "/share" }]);
    let look = "while true; do /bin/edgeshift snapshot --source pod-resources -o /share/snapshot.json; /bin/busybox sleep 1; done";
    let deployment = deployment(
        &json!({}),
        &json!({
            "Detector": module(IMAGE, &json!({ "Cmd": shell(&detector), "ExposedPorts": { "7000/tcp": {} },
                "k8s-experimental": gpus(1) })),
            "trainer": module(IMAGE, &json!({ "Cmd": shell("sleep 600"), "k8s-experimental": gpus(2) })),
            "edgeshift": module(EDGESHIFT, &json!({ "Cmd": shell(look), "k8s-experimental": root,
                "HostConfig": { "Binds": [folder], "Mounts": share } })),
        }),
    );
    kubectl(&["apply", "-f", "-"], &node.rendered(&deployment));
    node.up(&["Detector", "edgeshift"]);
    assert_eq!(node.answer("detector", 7000), format!("Detector sees {GPU}\n"));

    // From the host, and from a module.
    let seen = runtime.block_on(PodResources::new(format!("{kubelet}/pod-resources")).look());
    let Ok(Some(Sight::Grants(seen))) = seen else { panic!("{seen:?}") };
    let mut snapshot = node.wait(|| {
        let file = std::fs::read_to_string(node.folder.join("snapshot.json")).map_err(|error| error.to_string())?;
        let snapshot = Snapshot::from_json(&file).map_err(|error| error.to_string())?;
        match &snapshot.grants {
            Observed::Known(grants) if grants.modules.contains_key("detector") => Ok(snapshot),
            other => Err(format!("{other:?}")),
        }
    });
    assert_eq!(snapshot.grants.known(), Some(&*seen));
    let held = vec![Grant { resource: "nvidia.com/gpu".to_owned(), devices: vec![GPU.to_owned()] }];
    assert_eq!(seen.modules.get("detector"), Some(&held));
    assert_eq!(seen.modules.get("edgeshift"), Some(&Vec::new()));
    assert_eq!(seen.modules.get("trainer"), None, "no node has taken it");

    snapshot.manifest = Observed::Known(manifest(&deployment));
    let modules = snapshot.gpus_of_modules();
    let granted = Granted { count: Some(1), devices: vec![GPU.to_owned()], by: GrantedBy::Kubelet };
    assert_eq!(modules["Detector"].granted, Observed::Known(granted));
    let nothing = Granted { count: Some(0), devices: Vec::new(), by: GrantedBy::Kubelet };
    assert_eq!(modules["edgeshift"].granted, Observed::Known(nothing));
    assert!(!modules.contains_key("detector"), "a module is one, though Kubernetes calls it otherwise");

    // The one that asks for more than there is.
    let reported = node.wait(|| {
        let reported = node.reported();
        let of_it = reported.get("trainer").map(|reported| meanings(reported.status, &reported.description));
        if of_it == Some(&[Meaning::NoContainer]) { Ok(reported) } else { Err(format!("{reported:?}")) }
    });
    println!("{:#?}", reported["trainer"]);
    let settings = Settings { site: Site { gpus: Some(1), ..Site::default() }, ..Settings::default() };
    let found = found(&deployment, &reported, &settings);
    let said = |rule: &str| {
        let of_it = found.values().flatten().find(|(name, _)| *name == rule);
        of_it.map(|(_, said)| said.as_str()).unwrap_or_default()
    };
    assert!(said("status-unscheduled").contains("it asks for 2 GPUs: the site has 1 GPU"), "{found:#?}");
    assert!(said("compute-gpu-count").contains("the modules ask for 3 GPUs, the site has 1"), "{found:#?}");
}
