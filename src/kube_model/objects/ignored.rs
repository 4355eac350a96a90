//! What of createOptions does nothing on Kubernetes (`k8s-translation.md` §1 to §3): options that nobody translates, and what is
//! dropped of those that somebody does.

use std::fmt::Arguments;

use serde::Serialize;
use serde_json::Value;

use super::super::{AgentSettings, ServiceKind};
use super::parameters::{Extensions, Parameters};
use super::service::port_key;
use super::{Ignored, MODULE_ID};
use crate::target::Agent;
use crate::text::{At, Kind};

/// What has an effect: at the top, and in `HostConfig`. `Image` is read but `settings.image` is used.
const EFFECTIVE: [&str; 4] = ["Env", "ExposedPorts", "HostConfig", "Labels"];
const EFFECTIVE_HOST: [&str; 4] = ["Binds", "Mounts", "PortBindings", "Privileged"];

/// What has an effect of a mount.
const EFFECTIVE_MOUNT: [&str; 4] = ["ReadOnly", "Source", "Target", "Type"];

const UNTRANSLATED: &str = "the agent does not translate it";
const TOO_OLD: &str = "this version of the agent does not translate it yet";
const NO_PORT: &str = "is no port that the agent reads";
const UNKNOWN: &str = "the agent knows no such field";

struct Notes<'s> {
    found: Vec<Ignored>,
    settings: &'s AgentSettings,
}

impl Parameters<'_> {
    /// What of createOptions has no effect with `settings`.
    pub(super) fn ignored(&self, settings: &AgentSettings) -> Vec<Ignored> {
        let mut notes = Notes { found: Vec::new(), settings };
        if let Some(root) = self.module.options().root() {
            notes.top(self, self.module.manifest().document().at(root));
        }
        if let Some(host) = self.module.option(&["HostConfig"]) {
            notes.host(host);
        }
        notes.found
    }
}

impl Notes<'_> {
    fn add(&mut self, option: impl Into<String>, because: &'static str) {
        self.found.push(Ignored { option: option.into(), because });
    }

    fn is_older_than(&self, beta: u8) -> bool {
        self.settings.agent < Agent::beta(beta)
    }

    fn top(&mut self, parameters: &Parameters<'_>, root: At<'_>) {
        for at in root.members().filter(|at| says_something(*at)) {
            let Some(key) = at.key() else { continue };
            let is = |name: &str| key.eq_ignore_ascii_case(name);
            if is("Image") {
                self.add(key, "`settings.image` is used");
            } else if ["Cmd", "Entrypoint", "WorkingDir"].into_iter().any(is) {
                if self.is_older_than(6) {
                    self.add(key, TOO_OLD);
                }
            } else if key == "k8s-experimental" {
                self.extensions(parameters, at);
            } else if is("Env") {
                self.variables(at);
            } else if is("ExposedPorts") {
                self.keys_of_ports(at, format_args!("{key}"));
            } else if is("Labels") {
                self.labels(at, key);
            } else if !EFFECTIVE.into_iter().any(is) {
                self.add(key, UNTRANSLATED);
            }
        }
    }

    fn host(&mut self, host: At<'_>) {
        for at in host.members().filter(|at| says_something(*at)) {
            let Some(key) = at.key() else { continue };
            let is = |name: &str| key.eq_ignore_ascii_case(name);
            let option = format_args!("HostConfig.{key}");
            let mode = [("IpcMode", 10), ("NetworkMode", 11), ("PidMode", 14)].into_iter().find(|(name, _)| is(name));
            match mode {
                Some((_, beta)) if self.is_older_than(beta) => self.add(option.to_string(), TOO_OLD),
                Some(_) if at.as_str().is_some_and(|mode| mode.eq_ignore_ascii_case("host")) => {}
                Some(_) => self.add(option.to_string(), "only `host` has an effect"),
                None if is("Binds") => self.binds(at, option),
                None if is("Mounts") => self.mounts(at, option),
                None if is("PortBindings") => self.bindings(at, option),
                None if EFFECTIVE_HOST.into_iter().any(is) => {}
                None => self.add(option.to_string(), UNTRANSLATED),
            }
        }
    }

    /// Entries of `Env` that set nothing, and before beta12 those with a second `=`.
    fn variables(&mut self, list: At<'_>) {
        for (i, at) in list.items().enumerate() {
            let Some(text) = at.as_text() else { continue };
            match text.split_once('=') {
                None | Some(("", _)) => self.add(format!("Env[{i}]"), "it has no name and value with a `=` between"),
                Some((_, value)) if value.contains('=') && self.is_older_than(12) => {
                    self.add(format!("Env[{i}]"), "this version of the agent drops a value with a `=`");
                }
                Some(_) => {}
            }
        }
    }

    fn labels(&mut self, labels: At<'_>, key: &str) {
        let own = labels.members().filter(|at| at.key() == Some(MODULE_ID));
        for _ in own {
            self.add(format!("{key}.{MODULE_ID}"), "the agent puts the module's name there on the pod");
        }
    }

    fn keys_of_ports(&mut self, map: At<'_>, option: Arguments<'_>) {
        for key in map.members().filter_map(At::key) {
            if port_key(key, self.settings.agent).is_none() {
                self.add(format!("{option}.{key}"), NO_PORT);
            }
        }
    }

    fn bindings(&mut self, map: At<'_>, option: Arguments<'_>) {
        self.keys_of_ports(map, option);
        for at in map.members() {
            let Some(key) = at.key().filter(|key| port_key(key, self.settings.agent).is_some()) else { continue };
            for (i, item) in at.items().enumerate() {
                let of = |part: &str| format!("{option}.{key}[{i}].{part}");
                let host = item.get_ignoring_case("HostPort").and_then(At::as_text);
                if host.and_then(|host| host.trim().parse::<i32>().ok()).is_none() {
                    self.add(of("HostPort"), "it is no whole number, so that the binding is dropped");
                }
                if item.get_ignoring_case("HostIp").is_some_and(says_something) {
                    self.add(of("HostIp"), UNTRANSLATED);
                }
            }
        }
    }

    fn binds(&mut self, list: At<'_>, option: Arguments<'_>) {
        for (i, at) in list.items().enumerate() {
            let Some(text) = at.as_text() else { continue };
            let mut parts = text.split(':').skip(1);
            if parts.next().is_none() {
                self.add(format!("{option}[{i}]"), "it has no source and target with a `:` between");
                continue;
            }
            let mode = parts.next().unwrap_or_default();
            if mode.split(',').any(|part| !matches!(part, "" | "ro" | "rw")) {
                self.add(format!("{option}[{i}]"), "of its mode only `ro` has an effect");
            }
            if parts.next().is_some() {
                self.add(format!("{option}[{i}]"), "what comes after its mode is dropped");
            }
        }
    }

    fn mounts(&mut self, list: At<'_>, option: Arguments<'_>) {
        for (i, at) in list.items().enumerate() {
            let kind = at.get_ignoring_case("Type").and_then(At::as_text).unwrap_or_default();
            if !["bind", "volume"].iter().any(|known| kind.eq_ignore_ascii_case(known)) {
                self.add(format!("{option}[{i}]"), "only mounts of type `bind` and `volume` are translated");
                continue;
            }
            for key in at.members().filter(|at| says_something(*at)).filter_map(At::key) {
                if !EFFECTIVE_MOUNT.iter().any(|known| known.eq_ignore_ascii_case(key)) {
                    self.add(format!("{option}[{i}].{key}"), UNTRANSLATED);
                }
            }
        }
    }

    fn extensions(&mut self, parameters: &Parameters<'_>, section: At<'_>) {
        let Some(extensions) = &parameters.extensions else {
            let because = if self.settings.extensions { "it is no object" } else { "extensions are switched off" };
            self.add("k8s-experimental", because);
            return;
        };
        for at in section.members() {
            let Some(key) = at.key() else { continue };
            match key.to_ascii_lowercase().as_str() {
                _ if !Extensions::knows(key, self.settings.agent) => {
                    self.add(format!("k8s-experimental.{key}"), "the agent knows no such extension");
                }
                "resources" => self.resources(at, key),
                "securitycontext" => self.extension(at, &extensions.security_context, key),
                "serviceoptions" => self.service_options(at, key),
                "strategy" => self.extension(at, &extensions.strategy, key),
                "volumes" => self.extension(at, &extensions.volumes, key),
                // All of `nodeSelector` is taken over.
                _ => {}
            }
        }
    }

    fn extension(&mut self, at: At<'_>, read: &impl Serialize, key: &str) {
        self.lost(at, &serde_json::to_value(read).unwrap_or_default(), &format!("k8s-experimental.{key}"));
    }

    fn resources(&mut self, resources: At<'_>, key: &str) {
        for at in resources.members().filter(|at| at.kind() != Kind::Null) {
            let Some(name) = at.key() else { continue };
            if !["limits", "requests"].into_iter().any(|known| known.eq_ignore_ascii_case(name)) {
                self.add(format!("k8s-experimental.{key}.{name}"), UNKNOWN);
            }
        }
    }

    fn service_options(&mut self, options: At<'_>, key: &str) {
        for at in options.members().filter(|at| says_something(*at)) {
            let Some(name) = at.key() else { continue };
            let option = format!("k8s-experimental.{key}.{name}");
            if name.eq_ignore_ascii_case("type") {
                if at.as_text().and_then(ServiceKind::parse).is_none() {
                    self.add(option, "it is no type that the agent knows");
                }
            } else if !name.eq_ignore_ascii_case("loadBalancerIP") {
                self.add(option, UNKNOWN);
            }
        }
    }

    /// What stands in `at` and was not taken over into `read`.
    fn lost(&mut self, at: At<'_>, read: &Value, option: &str) {
        for (i, (item, read)) in at.items().zip(read.as_array().into_iter().flatten()).enumerate() {
            self.lost(item, read, &format!("{option}[{i}]"));
        }
        for at in at.members().filter(|at| at.kind() != Kind::Null) {
            let Some(key) = at.key() else { continue };
            match member(read, key) {
                Some(read) => self.lost(at, read, &format!("{option}.{key}")),
                None => self.add(format!("{option}.{key}"), UNKNOWN),
            }
        }
    }
}

/// The member `key` of an object, found without regard to case.
fn member<'v>(object: &'v Value, key: &str) -> Option<&'v Value> {
    let map = object.as_object()?;
    map.get(key).or_else(|| map.iter().find(|(own, _)| own.eq_ignore_ascii_case(key)).map(|(_, value)| value))
}

/// Whether a value is more than the absence of one.
fn says_something(at: At<'_>) -> bool {
    match at.kind() {
        Kind::Null | Kind::Bool(false) => false,
        Kind::Bool(true) => true,
        Kind::Number => at.raw().chars().any(|c| ('1'..='9').contains(&c)),
        Kind::String => at.as_str().is_some_and(|text| !text.is_empty()),
        Kind::Array => at.items().len() > 0,
        Kind::Object => at.members().len() > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::text::Source;

    fn ignored(options: &str, agent: u8) -> Vec<String> {
        let manifest = Manifest::read(&Source::new("t", options)).unwrap();
        let settings = AgentSettings::of(Agent::beta(agent));
        let parameters = Parameters::read(manifest.modules().next().unwrap(), &settings).unwrap();
        parameters.ignored(&settings).into_iter().map(|one| one.option).collect()
    }

    #[test]
    fn what_is_dropped_of_translated_options_is_said() {
        let options = r#"{"Env": ["A=1", "B", "=C", "D=1=2"], "ExposedPorts": {"80": {}, "8000-8010/tcp": {}},
            "Labels": {"net.azure-devices.edge.original-moduleid": "x", "a": "b"},
            "HostConfig": {"Binds": ["/a:/b", "/c", "/d:/e:ro,z", "/f:/g:rw:x"],
                "Mounts": [{"Type": "bind", "Source": "a", "Target": "/h", "BindOptions": {"Propagation": "shared"}},
                           {"Type": "npipe", "Source": "a", "Target": "/i"}],
                "PortBindings": {"x": [{"HostPort": "1"}], "90/tcp": [{"HostPort": "", "HostIp": "127.0.0.1"}, {"HostPort": 90}]}}}"#;
        let expected = [
            "Env[1]",
            "Env[2]",
            "ExposedPorts.8000-8010/tcp",
            "Labels.net.azure-devices.edge.original-moduleid",
            "HostConfig.Binds[1]",
            "HostConfig.Binds[2]",
            "HostConfig.Binds[3]",
            "HostConfig.Mounts[0].BindOptions",
            "HostConfig.Mounts[1]",
            "HostConfig.PortBindings.x",
            "HostConfig.PortBindings.90/tcp[0].HostPort",
            "HostConfig.PortBindings.90/tcp[0].HostIp",
        ];
        assert_eq!(ignored(options, 13), expected);
        assert!(ignored(options, 11).contains(&"Env[3]".to_owned()));
        assert!(ignored(options, 9).contains(&"ExposedPorts.80".to_owned()));
    }

    #[test]
    fn fields_that_the_agents_types_lack_are_said() {
        let options = r#"{"k8s-experimental": {"NodeSelector": {"A": "b"}, "tolerations": [],
            "resources": {"limits": {"cpu": 1}, "claims": [{"name": "x"}]},
            "securityContext": {"runAsUser": 1, "seccompProfile": {"type": "Unconfined"}, "privileged": true},
            "serviceOptions": {"type": "ExternalName", "ports": []},
            "volumes": [{"volume": {"name": "v", "emptyDir": {"medium": "Memory", "size": "1Gi"}},
                "volumeMounts": [{"name": "v", "mountPath": "/v", "readonly": true, "recursiveReadOnly": "Enabled"}], "note": "x"}]}}"#;
        let expected = [
            "k8s-experimental.tolerations",
            "k8s-experimental.resources.claims",
            "k8s-experimental.securityContext.seccompProfile",
            "k8s-experimental.securityContext.privileged",
            "k8s-experimental.serviceOptions.type",
            "k8s-experimental.volumes[0].volume.emptyDir.size",
            "k8s-experimental.volumes[0].volumeMounts[0].recursiveReadOnly",
            "k8s-experimental.volumes[0].note",
        ];
        assert_eq!(ignored(options, 13), expected);
    }
}
