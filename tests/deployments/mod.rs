//! Deployments that are made up, the same ones for the same seed: most modules are well, about half of the deployments have one
//! thing in them that Kubernetes refuses.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use edgeshift::kube_model::AgentSettings;
use edgeshift::target::Agent;
use serde_json::{Map, Value, json};

/// One deployment.
pub(crate) struct Generated {
    /// What is wrong with it; [`WELL`] where nothing is.
    pub(crate) class: &'static str,
    /// The module that it is wrong with.
    pub(crate) module: String,
    /// A part of the path at which it stands.
    pub(crate) place: &'static str,
    /// The deployment.
    pub(crate) text: String,
    /// The agent that translates it.
    pub(crate) agent: Agent,
    /// The size of claims, in MiB.
    pub(crate) claim_size: u32,
}

/// The class of deployments with which nothing is wrong.
pub(crate) const WELL: &str = "well";

/// A way to spoil a module, and where it does so.
type Fault = (&'static str, &'static str, fn(&mut Dice, &mut Module));

/// What Kubernetes refuses, by its kind.
const FAULTS: [Fault; 28] = [
    ("module name", "modules", |dice, module| {
        let long = "a".repeat(64);
        (*dice.of(&["Contoso.Camera", "camera-", "-camera", "a.b-1", long.as_str(), "___"])).clone_into(&mut module.id);
    }),
    ("module name with a digit", "modules", |dice, module| {
        (*dice.of(&["2d-filter", "1", "0_x"])).clone_into(&mut module.id);
        module.option(&["ExposedPorts", "80/tcp"], json!({}));
    }),
    ("module name that is taken", "modules", |_, module| "Proxy".clone_into(&mut module.id)),
    ("label value", "nodeSelector", |dice, module| {
        let long = "v".repeat(64);
        let (key, value) =
            *dice.of(&[("role", "a/b"), ("role", "-x"), ("a b", "c"), ("/x", "c"), ("role", long.as_str())]);
        module.extend("nodeSelector", json!({ key: value }));
    }),
    ("volume twice", "olume", |dice, module| {
        let name = *dice.of(&["config-volume", "trust-bundle-volume", "twice"]);
        module.volume(json!({ "name": name, "emptyDir": {} }), json!([]));
        // The others are the sidecar's.
        if name == "twice" {
            module.volume(json!({ "name": name, "emptyDir": {} }), json!([]));
        }
    }),
    ("volume of mounts twice", "ounts", |dice, module| {
        let kind = *dice.of(&["bind", "volume"]);
        for (source, target) in [("/data/x", "/one"), ("/datax", "/two")] {
            module.item(&["HostConfig", "Mounts"], json!({ "Type": kind, "Source": source, "Target": target }));
        }
    }),
    ("port name twice", "PortBindings", |dice, module| {
        let port = dice.number(1000, 2000);
        let hosts = json!([{ "HostPort": port.to_string() }, { "HostPort": (port + 1).to_string() }]);
        module.option(&["HostConfig", "PortBindings", "80/tcp"], hosts);
    }),
    ("mixed protocols", "PortBindings", |dice, module| {
        let other = *dice.of(&["udp", "SCTP"]);
        module.option(&["HostConfig", "PortBindings", "3000/tcp"], json!([{ "HostPort": "3000" }]));
        module.option(&["HostConfig", "PortBindings", &format!("3001/{other}")], json!([{ "HostPort": 3001 }]));
    }),
    ("port number", "Port", |dice, module| {
        let port = *dice.of(&["0", "70000", "-1", "65536"]);
        if dice.one_in(2) {
            module.option(&["ExposedPorts", &format!("{port}/tcp")], json!({}));
        } else {
            module.option(&["HostConfig", "PortBindings", "7777/tcp"], json!([{ "HostPort": port }]));
        }
    }),
    ("port of the kubelet", "Port", |_, module| {
        module.option(&["HostConfig", "PortBindings", "10250/tcp"], json!([{ "HostPort": "10250" }]));
    }),
    ("port of the node twice", "ExposedPorts", |_, module| {
        module.option(&["HostConfig", "NetworkMode"], json!("host"));
        module.option(&["ExposedPorts", "4444/tcp"], json!({}));
        module.option(&["ExposedPorts", "4444"], json!({}));
    }),
    ("quantity", "resources", |dice, module| {
        let amount = *dice.of(&["1MB", "12 Mi", "half", "", "1.2.3", "0x10", "1e", "-5", "1Gib", "1e3.5"]);
        let resource = *dice.of(&["memory", "cpu", "ephemeral-storage"]);
        module.amounts(json!({ "limits": { resource: amount } }));
    }),
    ("request above its limit", "requests", |dice, module| {
        let (request, limit) = *dice.of(&[("2Gi", "1Gi"), ("1.0000001", "1"), ("1001m", "1"), ("1e3", "999")]);
        module.amounts(json!({ "limits": { "memory": limit }, "requests": { "memory": request } }));
    }),
    ("name of a resource", "resources", |dice, module| {
        let name = *dice.of(&["gpu", "Memory", "pods", "nvidia.com/", "requests.nvidia.com/gpu", "a b/c", "/gpu"]);
        module.amounts(json!({ "limits": { name: 1 } }));
    }),
    ("extended resource", "resources", |dice, module| {
        let resources = match dice.below(4) {
            0 => json!({ "limits": { "nvidia.com/gpu": *dice.of(&["0.5", "1500m", "1.0001"]) } }),
            1 => json!({ "requests": { "nvidia.com/gpu": 1 } }),
            2 => json!({ "limits": { "nvidia.com/gpu": 2 }, "requests": { "nvidia.com/gpu": 1 } }),
            _ => json!({ "limits": { "vendor.example/dongle": "1" }, "requests": { "vendor.example/dongle": "2" } }),
        };
        module.amounts(resources);
    }),
    ("huge pages", "resources", |dice, module| {
        let resources = match dice.below(2) {
            0 => json!({ "limits": { "hugepages-2Mi": "64Mi" } }),
            _ => json!({ "limits": { "cpu": "1" }, "requests": { "hugepages-2Mi": "64Mi" } }),
        };
        module.amounts(resources);
    }),
    ("name of a variable", "nv", |dice, module| {
        let name = *dice.of(&["a:b", "1A", "Upstream protocol", "a/b", "..x", "é", "a,b"]);
        if dice.one_in(2) {
            module.item(&["Env"], json!(format!("{name}=1")));
        } else {
            module.env.insert(name.to_owned(), json!({ "value": "1" }));
        }
    }),
    ("source of a volume", "volumes", |dice, module| {
        let sources = [
            json!({ "emptyDir": {}, "configMap": { "name": "c" } }),
            json!({ "hostPath": { "path": "/x", "type": "dir" } }),
            json!({ "hostPath": { "path": "" } }),
            json!({ "hostPath": { "path": "/a/../b" } }),
            json!({ "configMap": {} }),
            json!({ "configMap": { "name": "c", "defaultMode": 512 } }),
            json!({ "secret": { "secretName": "s", "items": [{ "key": "k", "path": "../x" }] } }),
            json!({ "persistentVolumeClaim": { "claimName": "" } }),
            json!({ "nfs": { "server": "s", "path": "relative" } }),
            json!({ "emptyDir": { "sizeLimit": "-1Mi" } }),
            json!({ "emptyDir": { "sizeLimit": "1MB" } }),
            json!({ "csi": { "driver": "a b" } }),
            json!({ "iscsi": { "targetPortal": "p", "iqn": "iqn.example.com:x", "lun": 0 } }),
            json!({ "azureFile": { "shareName": "s" } }),
            json!({ "azureDisk": { "diskName": "d", "diskURI": "/subscriptions/x" } }),
            json!({ "downwardAPI": { "items": [{ "path": "p" }] } }),
            json!({ "downwardAPI": { "items": [{ "path": "p", "fieldRef": { "fieldPath": "spec.nodeName" } }] } }),
            json!({ "projected": { "sources": [{ "configMap": { "name": "" } }] } }),
            json!({ "flexVolume": { "driver": "d", "options": { "kubernetes.io/x": "y" } } }),
            json!({ "glusterfs": { "endpoints": "e" } }),
            json!({ "gcePersistentDisk": { "pdName": "d", "partition": 256 } }),
            json!({ "fc": { "targetWWNs": ["a"] } }),
            json!({ "cephfs": {} }),
            json!({ "gitRepo": { "repository": "r", "directory": "/abs" } }),
            json!({ "quobyte": { "registry": "host", "volume": "v" } }),
            json!({ "storageos": { "volumeName": "A" } }),
            json!({ "scaleIO": { "gateway": "g" } }),
        ];
        let mut volume = dice.of(&sources).clone();
        volume.as_object_mut().unwrap().insert("name".to_owned(), json!("faulty"));
        module.volume(volume, json!([{ "name": "faulty", "mountPath": "/faulty" }]));
    }),
    ("name of a volume", "volumes", |dice, module| {
        let long = "v".repeat(64);
        let name = *dice.of(&["Cache", "a.b", "a_b", "-a", "a-", long.as_str()]);
        module.volume(json!({ "name": name, "emptyDir": {} }), json!([{ "name": name, "mountPath": "/faulty" }]));
    }),
    ("step back in a path", "HostConfig", |dice, module| {
        let path = *dice.of(&["/var/../x", "../x", "/x/.."]);
        if dice.one_in(2) {
            module.item(&["HostConfig", "Binds"], json!(format!("{path}:/faulty")));
        } else {
            let mount = json!({ "Type": "bind", "Source": path, "Target": "/faulty" });
            module.item(&["HostConfig", "Mounts"], mount);
        }
    }),
    ("unknown volume", "volumeMounts", |_, module| {
        module
            .volume(json!({ "name": "known", "emptyDir": {} }), json!([{ "name": "unknown", "mountPath": "/faulty" }]));
    }),
    ("place of a mount", "", |dice, module| match dice.below(3) {
        0 => {
            module.item(&["HostConfig", "Mounts"], json!({ "Type": "volume", "Source": "s1", "Target": "/same" }));
            module.item(&["HostConfig", "Mounts"], json!({ "Type": "bind", "Source": "/s2", "Target": "/same" }));
        }
        1 => module.item(&["HostConfig", "Mounts"], json!({ "Type": "volume", "Source": "s1", "Target": "" })),
        _ => module.item(&["HostConfig", "Binds"], json!("/data:")),
    }),
    ("part of a volume", "volumeMounts", |dice, module| {
        let mut mount = dice
            .of(&[
                json!({ "subPath": "/abs" }),
                json!({ "subPath": "a/../b" }),
                json!({ "subPathExpr": "../$(X)" }),
                json!({ "subPath": "a", "subPathExpr": "b" }),
                json!({ "mountPropagation": "Bidirectional" }),
                json!({ "mountPropagation": "sometimes" }),
            ])
            .clone();
        mount["name"] = json!("whole");
        mount["mountPath"] = json!("/faulty");
        module.options["HostConfig"].as_object_mut().unwrap().remove("Privileged");
        module.volume(json!({ "name": "whole", "emptyDir": {} }), json!([mount]));
    }),
    ("security context", "securityContext", |dice, module| {
        let context = dice
            .of(&[
                json!({ "runAsUser": -1 }),
                json!({ "fsGroup": 2_147_483_648_i64 }),
                json!({ "runAsGroup": "-7" }),
                json!({ "supplementalGroups": [1, -1] }),
                json!({ "sysctls": [{ "name": "Net.x", "value": "1" }] }),
                json!({ "sysctls": [{ "name": "net.x", "value": "1" }, { "name": "net.x", "value": "2" }] }),
                json!({ "windowsOptions": { "runAsUserName": "a/b" } }),
            ])
            .clone();
        module.extend("securityContext", context);
    }),
    ("strategy", "strategy", |dice, module| {
        let strategy = dice
            .of(&[
                json!({ "type": "recreate" }),
                json!({ "type": "Recreate", "rollingUpdate": { "maxSurge": 1 } }),
                json!({ "type": "BlueGreen" }),
                json!({ "rollingUpdate": { "maxSurge": 0, "maxUnavailable": "0%" } }),
                json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "150%" } }),
                json!({ "rollingUpdate": { "maxSurge": "all" } }),
                json!({ "rollingUpdate": { "maxSurge": -1 } }),
            ])
            .clone();
        module.extend("strategy", strategy);
    }),
    ("annotation", "Labels", |dice, module| match dice.below(4) {
        0 => module.option(&["Labels", "kubernetes.io/config.mirror"], json!("x")),
        1 => module.option(&["Labels", "seccomp.security.alpha.kubernetes.io/pod"], json!("none")),
        2 => module.option(&["Labels", "container.apparmor.security.beta.kubernetes.io/nobody"], json!("unconfined")),
        _ => {
            module.option(&["ExposedPorts", "81/tcp"], json!({}));
            let ranges = "service.beta.kubernetes.io/load-balancer-source-ranges";
            module.option(&["Labels", ranges], json!("everywhere"));
        }
    }),
    ("size of the annotations", "Labels", |_, module| {
        module.option(&["Labels", "notes"], json!("n".repeat(256 * 1024)));
    }),
    ("claim of nothing", "Mounts", |_, module| {
        module.item(&["HostConfig", "Mounts"], json!({ "Type": "volume", "Source": "empty", "Target": "/empty" }));
    }),
];

/// What only agents of an age do.
const OLD_FAULTS: [Fault; 2] = [
    ("name of a secret", "registryCredentials", |_, module| {
        "registry.example/a/b:1".clone_into(&mut module.image);
        module.user = Some("Team_A".to_owned());
    }),
    ("name of a claim", "Mounts", |_, module| {
        module.item(&["HostConfig", "Mounts"], json!({ "Type": "volume", "Source": "-share", "Target": "/old" }));
    }),
];

/// `count` deployments from `seed` on.
pub(crate) fn deployments(seed: u64, count: u64) -> impl Iterator<Item = Generated> {
    (seed..seed + count).map(deployment)
}

/// All classes.
pub(crate) fn classes() -> impl Iterator<Item = &'static str> {
    FAULTS.iter().chain(&OLD_FAULTS).map(|(class, ..)| *class)
}

fn deployment(seed: u64) -> Generated {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut modules: Vec<Module> = (0..dice.number(1, 3)).map(|i| Module::well(&mut dice, i)).collect();
    let (mut class, mut place, mut agent) = (WELL, "", Agent::default());
    // Every other one, each class as often as the others.
    if seed % 2 == 1 {
        let fault = usize::try_from(seed / 2).unwrap() % (FAULTS.len() + OLD_FAULTS.len());
        let (name, part, spoil) = FAULTS.iter().chain(&OLD_FAULTS).nth(fault).copied().unwrap();
        if fault >= FAULTS.len() {
            agent = Agent::beta(12);
        }
        (class, place) = (name, part);
        spoil(&mut dice, &mut modules[0]);
    }
    let credentials: Map<String, Value> = modules
        .iter()
        .filter_map(|module| {
            let user = module.user.as_ref()?;
            let credential = json!({ "username": user, "password": "p", "address": "registry.example" });
            Some(("registry".to_owned(), credential))
        })
        .collect();
    let entries: Map<String, Value> = modules.iter().map(|module| (module.id.clone(), module.entry())).collect();
    let text = json!({ "modulesContent": { "$edgeAgent": { "properties.desired": {
        "schemaVersion": "1.1",
        "runtime": { "type": "docker", "settings": { "registryCredentials": credentials } },
        "systemModules": { "edgeHub": { "type": "docker", "status": "running", "restartPolicy": "always",
            "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.0", "createOptions": {
                "HostConfig": { "PortBindings": { "8883/tcp": [{ "HostPort": "8883" }] } } } } } },
        "modules": entries,
    } } } });
    let claim_size = if class == "claim of nothing" { 0 } else { 100 };
    Generated { class, module: modules.swap_remove(0).id, place, text: format!("{text:#}"), agent, claim_size }
}

impl Generated {
    /// The settings of its agent, with objects in `namespace`.
    pub(crate) fn settings(&self, namespace: &str) -> AgentSettings {
        AgentSettings { claim_size: self.claim_size, namespace: namespace.to_owned(), ..AgentSettings::of(self.agent) }
    }
}

/// A module before it is written down.
struct Module {
    id: String,
    image: String,
    user: Option<String>,
    env: Map<String, Value>,
    options: Value,
}

impl Module {
    /// One with which nothing is wrong.
    fn well(dice: &mut Dice, index: u64) -> Self {
        let id = format!("{}{index}", dice.of(&["camera", "Filter_", "ml-", "x"]));
        let mut module = Self {
            id,
            image: (*dice.of(&["a/b:1", "registry.example/c", "d", "mcr.example.com:5000/e@sha256:0"])).to_owned(),
            user: None,
            env: Map::new(),
            options: json!({ "HostConfig": {} }),
        };
        // Bits of what there can be, each with its own numbers, so that nothing meets.
        let port = 5000 + index * 100 + dice.below(50) as u64;
        if dice.one_in(2) {
            module.env.insert("Log__Level".to_owned(), json!({ "value": "debug" }));
        }
        if dice.one_in(2) {
            module.item(&["Env"], json!("THRESHOLD=0.5"));
            module.item(&["Env"], json!("no value"));
        }
        if dice.one_in(3) {
            module.option(&["ExposedPorts", &format!("{port}/tcp")], json!({}));
        }
        if dice.one_in(3) {
            let key = format!("{}/TCP", port + 60);
            module.option(&["HostConfig", "PortBindings", &key], json!([{ "HostPort": port + 60 }]));
        }
        if dice.one_in(3) {
            module.item(
                &["HostConfig", "Binds"],
                json!(format!("/var/lib/m{index}:/bound:{}", dice.of(&["ro", "rw,z"]))),
            );
        }
        if dice.one_in(3) {
            let mount =
                json!({ "Type": "Volume", "Source": format!("Share_{index}"), "Target": "/share", "ReadOnly": "true" });
            module.item(&["HostConfig", "Mounts"], mount);
        }
        if dice.one_in(4) {
            module.option(&["Labels", "com.example/team"], json!("vision & more"));
        }
        if dice.one_in(4) {
            module.option(&["HostConfig", "Privileged"], json!(true));
        }
        if dice.one_in(5) {
            module.option(&["HostConfig", *dice.of(&["IpcMode", "NetworkMode"])], json!(*dice.of(&["host", "bridge"])));
        }
        if dice.one_in(3) {
            let amount = *dice.of(&["128Mi", "1.5Gi", "1e9", "128974848", "0.5G", "+1Gi", "1E", "Mi"]);
            module.amounts(json!({ "limits": { "memory": amount, "cpu": 0.5, "nvidia.com/gpu": "1" },
                "requests": { "cpu": "250m" } }));
        }
        if dice.one_in(4) {
            module.extend("nodeSelector", json!({ "kubernetes.io/arch": "amd64", "empty": "" }));
        }
        if dice.one_in(4) {
            let context =
                json!({ "runAsUser": 1000, "fsGroup": "2000", "sysctls": [{ "name": "net.a-b.c_d", "value": "1" }] });
            module.extend("securityContext", context);
        }
        if dice.one_in(4) {
            let strategies = [
                json!({ "type": "Recreate" }),
                json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "200%", "maxUnavailable": 0 } }),
                json!({ "rollingUpdate": null }),
            ];
            module.extend("strategy", dice.of(&strategies).clone());
        }
        if dice.one_in(4) {
            let kind = *dice.of(&["clusterip", "LoadBalancer", "NodePort", "ExternalName"]);
            module.extend("serviceOptions", json!({ "type": kind, "loadBalancerIP": "anything" }));
        }
        if dice.one_in(3) {
            let sources = [
                // Kubernetes makes an `emptyDir` of it.
                json!({}),
                json!({ "emptyDir": { "medium": "Memory", "sizeLimit": "64Mi" } }),
                json!({ "hostPath": { "path": "relative/x", "type": "" } }),
                json!({ "ConfigMap": { "Name": "c", "defaultMode": "420", "items": [{ "key": "k", "path": "a/..b" }] } }),
                json!({ "persistentVolumeClaim": { "claimName": "Any Claim" } }),
                json!({ "nfs": { "server": "s", "path": "/x" } }),
                json!({ "csi": { "driver": "Disk.csi.example.com" } }),
                json!({ "downwardAPI": { "items": [{ "path": "p", "fieldRef": { "fieldPath": "metadata.labels['a']" } }] } }),
                json!({ "projected": { "sources": [{ "serviceAccountToken": { "path": "t" } }] } }),
                json!({ "iscsi": { "targetPortal": "10.0.0.1:3260", "iqn": "iqn.2001-04.com.example:x", "lun": 0 } }),
                json!({ "azureDisk": { "diskName": "d", "kind": "Managed", "diskURI": "/subscriptions/x" } }),
            ];
            let mut volume = dice.of(&sources).clone();
            volume["name"] = json!(format!("extra{index}"));
            let mount = json!({ "name": format!("extra{index}"), "mountPath": "relative:path", "subPath": "a" });
            module.volume(volume, json!([mount]));
        }
        module
    }

    /// Puts `value` at `keys` of the createOptions.
    fn option(&mut self, keys: &[&str], value: Value) {
        *keys.iter().fold(&mut self.options, |at, key| &mut at[*key]) = value;
    }

    /// Puts `value` at the end of the list at `keys`.
    fn item(&mut self, keys: &[&str], value: Value) {
        let list = keys.iter().fold(&mut self.options, |at, key| &mut at[*key]);
        match list.as_array_mut() {
            Some(list) => list.push(value),
            None => *list = json!([value]),
        }
    }

    fn extend(&mut self, key: &str, value: Value) {
        self.option(&["k8s-experimental", key], value);
    }

    fn amounts(&mut self, resources: Value) {
        self.extend("resources", resources);
    }

    fn volume(&mut self, volume: Value, mounts: Value) {
        let entry = [("volume".to_owned(), volume), ("volumeMounts".to_owned(), mounts)];
        self.item(&["k8s-experimental", "volumes"], Value::Object(entry.into_iter().collect()));
    }

    fn entry(&self) -> Value {
        json!({ "type": "docker", "version": "1.0", "status": "running", "restartPolicy": "always", "env": self.env,
            "settings": { "image": self.image, "createOptions": self.options } })
    }
}

/// Numbers that look thrown and are the same every time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn number(&mut self, first: u64, last: u64) -> u64 {
        first + self.next() % (last - first + 1)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<'t, T>(&mut self, things: &'t [T]) -> &'t T {
        &things[self.below(things.len())]
    }
}
