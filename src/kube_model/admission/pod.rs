//! Deployments and the pods that they ask for (K8S-VAL `ValidateDeploymentSpec`, `ValidatePodTemplateSpec`).

use std::collections::HashSet;

use serde_json::Value;

use super::super::names::is_env_name;
use super::name::{is_label, is_subdomain, is_sysctl};
use super::{Refusals, is_port, items, members, text};

/// Where the API server keeps the pod of a Deployment.
const POD: &str = "spec.template.spec";

/// The numbers of users and groups.
const IDS: std::ops::RangeInclusive<i64> = 0..=2_147_483_647;

/// Annotations of pods that Kubernetes reads: what marks a pod of the kubelet's own, and what restricts system calls and
/// files.
const MIRROR: &str = "kubernetes.io/config.mirror";
const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// The most that a description of a Windows account may have, in bytes.
const MAX_CREDENTIAL_SPEC: usize = 64 * 1024;

impl Refusals {
    pub(super) fn deployment(&mut self, spec: &Value) {
        let before = self.0.len();
        self.labels(&spec["selector"]["matchLabels"], "spec.selector.matchLabels");
        if self.0.len() > before {
            // What cannot be selected is not looked at.
            self.follow("spec.selector", "cannot be used");
        } else {
            self.template(&spec["template"]);
        }
        self.strategy(&spec["strategy"]);
    }

    fn strategy(&mut self, strategy: &Value) {
        let rolling = &strategy["rollingUpdate"];
        match strategy["type"].as_str().unwrap_or_default() {
            "Recreate" if !rolling.is_null() => {
                self.add("spec.strategy.rollingUpdate", "may not be given with Recreate");
            }
            "Recreate" => {}
            "" | "RollingUpdate" => self.rolling(rolling),
            other => {
                let because = format!("`{other}` is no strategy: Recreate or RollingUpdate");
                self.add_at("spec.strategy", "spec.strategy.type", because);
            }
        }
    }

    fn rolling(&mut self, rolling: &Value) {
        let mut counts = Vec::new();
        for key in ["maxUnavailable", "maxSurge"] {
            let field = format!("spec.strategy.rollingUpdate.{key}");
            let count = match &rolling[key] {
                Value::Null => None,
                Value::String(text) => {
                    let percent = percent(text);
                    if percent.is_none() {
                        self.add(&*field, format!("`{text}` is neither a number nor a percentage"));
                    }
                    if key == "maxUnavailable" && percent.is_some_and(|percent| percent > 100) {
                        self.add(&*field, format!("{text} is more than all"));
                    }
                    Some(percent.or_else(|| text.parse().ok()).unwrap_or(0))
                }
                count => {
                    let count = count.as_i64().unwrap_or(0);
                    if count < 0 {
                        self.add(&*field, format!("{count} is less than nothing"));
                    }
                    Some(count)
                }
            };
            // A quarter is what Kubernetes takes where nothing is given.
            counts.push(count.unwrap_or(25));
        }
        if counts == [0, 0] {
            self.add("spec.strategy.rollingUpdate.maxUnavailable", "may not be 0 where `maxSurge` is 0");
        }
    }

    fn template(&mut self, template: &Value) {
        self.labels(&template["metadata"]["labels"], "spec.template.labels");
        self.annotations(&template["metadata"], "spec.template.annotations");
        self.pod_annotations(&template["metadata"]["annotations"], &template["spec"]);
        self.pod(&template["spec"]);
    }

    /// Annotations that Kubernetes itself reads. Those with tolerations are not looked into.
    fn pod_annotations(&mut self, annotations: &Value, pod: &Value) {
        for (key, value) in members(annotations) {
            let value = value.as_str().unwrap_or_default();
            let place = format!("spec.template.annotations[{key}]");
            if key == MIRROR {
                self.add(place, "has no place but on pods of the kubelet's own");
            } else if key == SECCOMP || key.starts_with(SECCOMP_CONTAINER) {
                if !is_seccomp(value) {
                    let because = format!("`{value}` is no profile of system calls");
                    self.add_at(format!("spec.template.annotations.{key}"), place, because);
                }
            } else if let Some(container) = key.strip_prefix(APPARMOR) {
                if !items(&pod["containers"]).any(|one| text(one, "/name") == container) {
                    self.add(&*place, format!("there is no container `{container}`"));
                }
                let known = ["", "runtime/default", "unconfined"];
                if !known.contains(&value) && !value.starts_with("localhost/") {
                    self.add(&*place, format!("`{value}` is no AppArmor profile"));
                }
            }
        }
    }

    fn pod(&mut self, pod: &Value) {
        // What is refused of the volumes is no volume for the mounts.
        let mut volumes = HashSet::new();
        let mut refused = HashSet::new();
        for (i, volume) in items(&pod["volumes"]).enumerate() {
            let (name, before) = (text(volume, "/name"), self.0.len());
            self.volume(volume, &format!("{POD}.volumes[{i}]"), &volumes);
            if self.0.len() == before {
                volumes.insert(name);
            } else {
                refused.insert(name);
            }
        }
        let host_network = pod["hostNetwork"].as_bool().unwrap_or(false);
        let mut names = HashSet::new();
        let mut host_ports = HashSet::new();
        for (i, container) in items(&pod["containers"]).enumerate() {
            let field = format!("{POD}.containers[{i}]");
            let name = text(container, "/name");
            if !is_label(name) {
                self.add(format!("{field}.name"), format!("`{name}` is no name of a container"));
            }
            if !names.insert(name) {
                self.add(format!("{field}.name"), format!("`{name}` is the name of another container"));
            }
            self.required(&container["image"], &format!("{field}.image"));
            self.ports(container, &field, host_network.then_some(&mut host_ports));
            for (j, env) in items(&container["env"]).enumerate() {
                let name = text(env, "/name");
                if !is_env_name(name) || name == "." || name.starts_with("..") {
                    self.add(format!("{field}.env[{j}].name"), format!("`{name}` is no name of a variable"));
                }
            }
            self.mounts(container, &field, &volumes, &refused);
            self.resources(&container["resources"], &format!("{field}.resources"));
        }
        self.labels(&pod["nodeSelector"], &format!("{POD}.nodeSelector"));
        self.security_context(&pod["securityContext"], &format!("{POD}.securityContext"));
        let account = text(pod, "/serviceAccountName");
        if !account.is_empty() && !is_subdomain(account) {
            self.add(format!("{POD}.serviceAccountName"), format!("`{account}` is no name of a ServiceAccount"));
        }
    }

    /// `host_ports` where the pod has the node's network, and each port is one of the node's.
    fn ports(&mut self, container: &Value, field: &str, mut host_ports: Option<&mut HashSet<(String, i64)>>) {
        for (i, port) in items(&container["ports"]).enumerate() {
            let field = format!("{field}.ports[{i}]");
            let number = port["containerPort"].as_i64().unwrap_or(0);
            if number == 0 {
                self.add(format!("{field}.containerPort"), "there is no port");
                continue;
            }
            if !is_port(number) {
                self.add(format!("{field}.containerPort"), format!("{number} is no port"));
            }
            let protocol = port["protocol"].as_str().unwrap_or("TCP").to_owned();
            self.protocol(&protocol, &field);
            if let Some(ports) = host_ports.as_mut() {
                if !is_port(number) {
                    self.follow(format!("{field}.hostPort"), format!("{number} is no port"));
                }
                if !ports.insert((protocol, number)) {
                    self.add(format!("{field}.hostPort"), format!("{number} is a port of the node already"));
                }
            }
        }
    }

    fn mounts(&mut self, container: &Value, field: &str, volumes: &HashSet<&str>, refused: &HashSet<&str>) {
        let privileged = container["securityContext"]["privileged"].as_bool().unwrap_or(false);
        let list = format!("{field}.volumeMounts");
        let mut paths = HashSet::new();
        for (i, mount) in items(&container["volumeMounts"]).enumerate() {
            let field = format!("{list}[{i}]");
            let (name, path) = (text(mount, "/name"), text(mount, "/mountPath"));
            if name.is_empty() {
                self.add(format!("{field}.name"), "there is no name");
            } else if !volumes.contains(name) {
                let (field, because) = (format!("{field}.name"), format!("there is no volume `{name}`"));
                if refused.contains(name) { self.follow(field, because) } else { self.add(field, because) }
            }
            self.required(&mount["mountPath"], &format!("{field}.mountPath"));
            if !paths.insert(path) {
                self.add(format!("{field}.mountPath"), format!("`{path}` has another mount"));
            }
            // The API server names these without saying which mount it is.
            for key in ["subPath", "subPathExpr"] {
                let sub = mount[key].as_str().unwrap_or_default();
                if sub.starts_with('/') || sub.split('/').any(|step| step == "..") {
                    let because = format!("`{sub}` is absolute or has `..` in it");
                    self.add_at(format!("{list}.{key}"), format!("{field}.{key}"), because);
                }
            }
            let given = |key: &str| mount[key].as_str().is_some_and(|text| !text.is_empty());
            if given("subPath") && given("subPathExpr") {
                self.add(format!("{field}.subPathExpr"), "cannot be given beside `subPath`");
            }
            if let Some(way) = mount["mountPropagation"].as_str() {
                let (field, place) = (format!("{list}.mountPropagation"), format!("{field}.mountPropagation"));
                match way {
                    "None" | "HostToContainer" => {}
                    "Bidirectional" if privileged => {}
                    "Bidirectional" => self.add_at(field, place, "Bidirectional is for privileged containers"),
                    other => self.add_at(field, place, format!("`{other}` is no way to pass mounts on")),
                }
            }
        }
    }

    fn security_context(&mut self, context: &Value, field: &str) {
        for key in ["fsGroup", "runAsUser", "runAsGroup"] {
            self.range(&context[key], &format!("{field}.{key}"), IDS);
        }
        for (i, group) in items(&context["supplementalGroups"]).enumerate() {
            self.range(group, &format!("{field}.supplementalGroups[{i}]"), IDS);
        }
        let mut names = HashSet::new();
        for (i, sysctl) in items(&context["sysctls"]).enumerate() {
            let (field, name) = (format!("{field}.sysctls[{i}].name"), text(sysctl, "/name"));
            if !is_sysctl(name) {
                self.add(field, format!("`{name}` is no name of a kernel parameter"));
            } else if !names.insert(name) {
                self.add(field, format!("`{name}` is there already"));
            }
        }
        let windows = &context["windowsOptions"];
        let field = format!("{field}.windowsOptions");
        if let Some(name) = windows["gmsaCredentialSpecName"].as_str().filter(|name| !is_subdomain(name)) {
            self.add(format!("{field}.gmsaCredentialSpecName"), format!("`{name}` is no name of an object"));
        }
        if let Some(spec) = windows["gmsaCredentialSpec"].as_str()
            && !(1..=MAX_CREDENTIAL_SPEC).contains(&spec.len())
        {
            self.add(format!("{field}.gmsaCredentialSpec"), "is empty or longer than 64 KiB");
        }
        if let Some(user) = windows["runAsUserName"].as_str().filter(|user| !is_windows_user(user)) {
            self.add(format!("{field}.runAsUserName"), format!("`{user}` is no user of Windows"));
        }
    }
}

/// The number before the `%`.
fn percent(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('%')?;
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?;
    number.filter(|_| !digits.is_empty())
}

fn is_seccomp(profile: &str) -> bool {
    let is_below = |path: &str| !path.starts_with('/') && path.split('/').all(|step| step != "..");
    matches!(profile, "runtime/default" | "docker/default" | "unconfined")
        || profile.strip_prefix("localhost/").is_some_and(is_below)
}

/// Whether `name` is `user` or `domain\user` as Windows has them.
fn is_windows_user(name: &str) -> bool {
    let parts: Vec<&str> = name.split('\\').collect();
    let (domain, user) = match parts.as_slice() {
        [user] => (None, *user),
        [domain, user] => (Some(*domain), *user),
        _ => return false,
    };
    let forbidden = |c: char| "\"/\\:;|=,+*?<>@[]".contains(c) || c.is_control();
    let is_user =
        (1..=104).contains(&user.len()) && !user.chars().any(forbidden) && !user.chars().all(|c| c == '.' || c == ' ');
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_netbios = |domain: &str| {
        (1..=15).contains(&domain.len()) && !domain.contains(|c: char| "\\/:*?\"<>|".contains(c) || c.is_whitespace())
    };
    let is_dns = |domain: &str| {
        domain.split('.').all(|part| {
            part.starts_with(is_word) && part.ends_with(is_word) && part.chars().all(|c| is_word(c) || c == '-')
        })
    };
    is_user && domain.is_none_or(|domain| domain.len() < 256 && (is_netbios(domain) || is_dns(domain)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::refusals;
    use super::*;

    /// The fields that are refused of a Deployment with `spec` laid over an empty pod.
    fn fields(strategy: &Value, pod: &Value) -> Vec<String> {
        let object = json!({ "kind": "Deployment", "metadata": { "name": "m" },
            "spec": { "strategy": strategy, "template": { "spec": pod } } });
        refusals(&object).into_iter().map(|refusal| refusal.field).collect()
    }

    fn rolling(unavailable: &Value, surge: &Value) -> Vec<String> {
        let strategy = json!({ "rollingUpdate": { "maxUnavailable": unavailable, "maxSurge": surge } });
        fields(&strategy, &Value::Null).iter().map(|field| field.rsplit('.').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_rolling_update_moves_something() {
        assert!(rolling(&json!("25%"), &json!(1)).is_empty());
        assert!(rolling(&Value::Null, &json!(0)).is_empty());
        assert_eq!(rolling(&json!(0), &json!("0%")), ["maxUnavailable"]);
        assert_eq!(rolling(&json!("101%"), &Value::Null), ["maxUnavailable"]);
        assert_eq!(rolling(&json!("a"), &json!(-1)), ["maxUnavailable", "maxSurge"]);
        assert!(rolling(&json!(1), &json!("200%")).is_empty());
    }

    #[test]
    fn a_label_that_cannot_be_selected_hides_the_pod() {
        let object = json!({ "kind": "Deployment", "metadata": { "name": "m" }, "spec": {
            "selector": { "matchLabels": { "a": "-" } },
            "template": { "spec": { "containers": [{ "name": "", "image": "" }] } }, "strategy": { "type": "x" } } });
        let found: Vec<_> = refusals(&object).into_iter().map(|refusal| refusal.field).collect();
        assert_eq!(found, ["spec.selector.matchLabels", "spec.selector", "spec.strategy"]);
    }

    #[test]
    fn numbers_of_users_and_names_of_parameters_are_judged() {
        let context = json!({ "securityContext": { "runAsUser": -1, "fsGroup": 2_147_483_648_i64,
            "supplementalGroups": [0, -5], "sysctls": [{ "name": "net.x" }, { "name": "net.x" }, { "name": "Net" }],
            "windowsOptions": { "runAsUserName": "a\\b\\c", "gmsaCredentialSpecName": "X", "gmsaCredentialSpec": "" } } });
        let found = fields(&Value::Null, &context);
        let ends: Vec<&str> =
            found.iter().map(|field| field.strip_prefix("spec.template.spec.securityContext.").unwrap()).collect();
        assert_eq!(
            ends,
            [
                "fsGroup",
                "runAsUser",
                "supplementalGroups[1]",
                "sysctls[1].name",
                "sysctls[2].name",
                "windowsOptions.gmsaCredentialSpecName",
                "windowsOptions.gmsaCredentialSpec",
                "windowsOptions.runAsUserName"
            ]
        );
        assert!(is_windows_user("user") && is_windows_user("NT AUTHORITY\\x") != is_windows_user("CONTOSO\\x"));
        assert!(!is_windows_user("a/b") && !is_windows_user("..") && !is_windows_user("\\x"));
    }

    #[test]
    fn mounts_say_what_is_wrong_with_them_and_what_follows() {
        let pod = json!({ "volumes": [{ "name": "bad", "secret": {} }, { "name": "v", "emptyDir": {} }],
            "containers": [{ "name": "c", "image": "i", "volumeMounts": [
                { "name": "bad", "mountPath": "/a" }, { "name": "none", "mountPath": "/b" },
                { "name": "v", "mountPath": "/b", "subPath": "/x" },
                { "name": "v", "mountPath": "/c", "subPath": "x", "subPathExpr": "../y" },
                { "name": "v", "mountPath": "", "mountPropagation": "Bidirectional" }] }] });
        let object =
            json!({ "kind": "Deployment", "metadata": { "name": "m" }, "spec": { "template": { "spec": pod } } });
        let found = refusals(&object);
        let list = "spec.template.spec.containers[0].volumeMounts";
        let expected = [
            ("spec.template.spec.volumes[0].secret.secretName".to_owned(), false),
            (format!("{list}[0].name"), true),
            (format!("{list}[1].name"), false),
            (format!("{list}[2].mountPath"), false),
            (format!("{list}.subPath"), false),
            (format!("{list}.subPathExpr"), false),
            (format!("{list}[3].subPathExpr"), false),
            (format!("{list}[4].mountPath"), false),
            (format!("{list}.mountPropagation"), false),
        ];
        assert_eq!(found.iter().map(|one| (one.field.clone(), one.follows)).collect::<Vec<_>>(), expected);
        assert_eq!(found[4].place, format!("{list}[2].subPath"));
    }

    #[test]
    fn ports_of_the_node_are_taken_once() {
        let pod = |host: bool| {
            json!({ "hostNetwork": host, "containers": [{ "name": "c", "image": "i",
                "ports": [{ "containerPort": 80 }, { "containerPort": 80, "protocol": "UDP" }, { "containerPort": 80 }] }] })
        };
        assert!(fields(&Value::Null, &pod(false)).is_empty());
        assert_eq!(fields(&Value::Null, &pod(true)), ["spec.template.spec.containers[0].ports[2].hostPort"]);
    }

    #[test]
    fn annotations_that_kubernetes_reads_are_judged() {
        let of = |key: &str, value: &str| {
            let object = json!({ "kind": "Deployment", "metadata": { "name": "m" }, "spec": { "template": {
                "metadata": { "annotations": { key: value } },
                "spec": { "containers": [{ "name": "m", "image": "i" }] } } } });
            refusals(&object).into_iter().map(|refusal| refusal.field).collect::<Vec<_>>()
        };
        assert_eq!(of(MIRROR, "x"), [format!("spec.template.annotations[{MIRROR}]")]);
        assert_eq!(of(SECCOMP, "none"), [format!("spec.template.annotations.{SECCOMP}")]);
        assert!(of(SECCOMP, "localhost/x.json").is_empty() && !of(SECCOMP, "localhost/../x").is_empty());
        assert!(of(&format!("{APPARMOR}m"), "runtime/default").is_empty());
        assert_eq!(of(&format!("{APPARMOR}other"), "bad").len(), 2);
        assert!(of("team", "anything at all").is_empty());
    }
}
