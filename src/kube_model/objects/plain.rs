//! Modules of which nothing is refused and over which the agent does not stumble, told at a glance. Most modules are such,
//! and making all objects of a module to find nothing wrong with them costs a hundred times as much.

use super::super::AgentSettings;
use super::super::admission::{KUBELET_PORT, is_qualified};
use super::super::names::{dns_label, label_fault, object_name};
use super::super::quantity::thousandths;
use super::parameters::image;
use super::pod::PROXY;
use super::shape;
use crate::manifest::{GPU, Module, Options, port};
use crate::target::Agent;
use crate::text::{At, Kind};

/// The most bytes of a module whose objects have no annotation that is too long: it holds all of the object, of which the
/// agent's own is a part.
const MAX_BYTES: usize = 32 * 1024;

/// Whether neither the agent nor Kubernetes has anything to say against `module`, names of variables aside, which have rules
/// of their own. `false` says nothing.
pub(crate) fn is_plain(module: Module<'_>, settings: &AgentSettings) -> bool {
    let name = object_name(module.id());
    let is_name = label_fault(&name).is_none() && name.starts_with(|c: char| c.is_ascii_alphabetic()) && name != PROXY;
    let is_small = module.entry().raw().len() <= MAX_BYTES;
    // A lone `.` is a name that the rules about names take for one.
    let has_names = || !module.env().iter().any(|variable| variable.name.starts_with('.'));
    let options = || match module.options() {
        Options::Absent => true,
        Options::Parsed(root) => are_plain(module.manifest().document().at(*root), settings),
        Options::Broken { .. } => false,
    };
    let is_known = settings.agent >= Agent::beta(13) && settings.extensions && image(module).is_some();
    is_known && is_name && is_small && has_names() && options()
}

/// Whether createOptions are.
fn are_plain(root: At<'_>, settings: &AgentSettings) -> bool {
    let host = root.get_ignoring_case("HostConfig");
    let is_plain = |at: At<'_>| match at.key() {
        Some("k8s-experimental") => has_only(at, |at| at.key() == Some("resources") && has_only(at, are_limits)),
        Some(key) if is("Env", key) || is("Cmd", key) || is("Entrypoint", key) => {
            at.kind() == Kind::Array && at.items().all(|item| item.kind() == Kind::String)
        }
        Some(key) if is("Labels", key) => has_only(at, is_label),
        Some(key) if is("WorkingDir", key) => at.kind() == Kind::String,
        Some(key) if is("HostConfig", key) => has_only(at, is_plain_host_option),
        Some(key) => shape::of_option(key).is_none_or(|shape| shape.check(at).is_ok()),
        None => false,
    };
    has_only(root, is_plain) && are_storage(host, settings) && are_ports(root.get_ignoring_case("ExposedPorts"), host)
}

/// Whether `at` is an object of which every member is as `is` says, and no key stands there twice in whatever spelling.
fn has_only(at: At<'_>, is: impl Fn(At<'_>) -> bool) -> bool {
    at.kind() == Kind::Object && at.members().all(is) && are_different(at)
}

/// Whether the keys of `at` are different, in any case.
fn are_different(at: At<'_>) -> bool {
    let keys: Vec<&str> = at.members().filter_map(At::key).collect();
    keys.iter().enumerate().all(|(i, key)| !keys[..i].iter().any(|other| is(other, key)))
}

fn is(known: &str, key: &str) -> bool {
    known.eq_ignore_ascii_case(key)
}

/// What is read of `HostConfig` by its type alone, or looked at by [`are_storage`] and [`are_ports`].
fn is_plain_host_option(at: At<'_>) -> bool {
    let Some(key) = at.key() else { return false };
    let is_looked_at = ["Binds", "Mounts", "PortBindings"].iter().any(|known| is(known, key));
    (!is_looked_at || at.kind() != Kind::Null) && shape::of_host_option(key).is_none_or(|shape| shape.check(at).is_ok())
}

/// A label without a prefix, of which the annotation is the label itself.
fn is_label(at: At<'_>) -> bool {
    at.key().is_some_and(|key| is_qualified(key) && !key.contains('/')) && at.as_text().is_some()
}

/// Limits of processors, memory and GPUs.
fn are_limits(at: At<'_>) -> bool {
    let is_limit = |at: At<'_>| {
        // Of a number with a fraction or an exponent the agent makes text of its own.
        let is_read = at.kind() == Kind::String || at.as_i64().is_some();
        let amount = at.as_text().filter(|_| is_read).and_then(thousandths).filter(|amount| *amount >= 0);
        amount.is_some_and(|amount| match at.key() {
            Some("cpu" | "memory") => true,
            Some(GPU) => amount % 1000 == 0,
            _ => false,
        })
    };
    at.key() == Some("limits") && has_only(at, is_limit)
}

/// Whether `Binds` and `Mounts` of `host` mount absolute paths and shares, each once and each in a place of its own.
fn are_storage(host: Option<At<'_>>, settings: &AgentSettings) -> bool {
    let configs = [&settings.proxy_config, &settings.proxy_trust, &settings.agent_config];
    let mut names: Vec<String> = configs.into_iter().filter_map(|config| config.volume.clone()).collect();
    let mut targets: Vec<&str> = Vec::new();
    let mut is_new = |source: &str, target| {
        let Some(name) = dns_label(source).filter(|name| !names.contains(name)) else { return false };
        names.push(name);
        let is_new = !targets.contains(&target);
        targets.push(target);
        is_new
    };
    let list = |key| host.and_then(|host| host.get_ignoring_case(key)).into_iter().flat_map(At::items);
    list("Binds").all(|at| {
        let parts: Vec<&str> = at.as_str().unwrap_or_default().split(':').collect();
        match parts.as_slice() {
            [source, target] | [source, target, _] => is_path(source) && is_path(target) && is_new(source, target),
            _ => false,
        }
    }) && list("Mounts").all(|at| {
        let text = |key| at.get_ignoring_case(key).and_then(At::as_str).unwrap_or_default();
        let (source, target) = (text("Source"), text("Target"));
        let is_source = match text("Type") {
            "bind" => is_path(source),
            "volume" => is_path(source) || is_word(source),
            _ => false,
        };
        is_source && is_path(target) && is_new(source, target) && are_different(at)
    })
}

/// An absolute path of ordinary characters without `..` in it.
fn is_path(path: &str) -> bool {
    let is_ordinary = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.');
    path.starts_with('/') && path.bytes().all(is_ordinary) && !path.contains("..")
}

/// A name of letters and digits, and `-` and `_` inside.
fn is_word(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether the ports of `exposed` and those that `host` binds are ports, of one protocol and each of its own.
fn are_ports(exposed: Option<At<'_>>, host: Option<At<'_>>) -> bool {
    let (mut numbers, mut containers, mut protocols) = (Vec::new(), Vec::new(), Vec::new());
    for at in exposed.into_iter().flat_map(At::members) {
        let Some((number, protocol)) = at.key().and_then(port) else { return false };
        numbers.push(number);
        protocols.push(protocol);
    }
    let bound = host.and_then(|host| host.get_ignoring_case("PortBindings"));
    for at in bound.into_iter().flat_map(At::members) {
        let mut items = at.items();
        let (Some(item), None) = (items.next(), items.next()) else { return false };
        let number = item.get_ignoring_case("HostPort").and_then(At::as_text).and_then(|text| text.parse().ok());
        let (Some((container, protocol)), Some(number)) = (at.key().and_then(port), number) else { return false };
        numbers.push(number);
        containers.push(container);
        protocols.push(protocol);
    }
    let are_own = |ports: &[u16]| ports.iter().enumerate().all(|(i, port)| *port > 0 && !ports[..i].contains(port));
    !numbers.contains(&KUBELET_PORT)
        && are_own(&numbers)
        && are_own(&containers)
        && protocols.windows(2).all(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::super::{faults_of, refused_of};
    use super::*;
    use crate::manifest::Manifest;
    use crate::text::Source;

    /// Whether the one module of `options` is plain, and whether anything is found in it.
    fn look(options: &str) -> (bool, bool) {
        let manifest = Manifest::read(&Source::new("t", options)).unwrap();
        let module = manifest.modules().next().unwrap();
        let settings = AgentSettings::default();
        let found = !refused_of(module, &settings).is_empty() || !faults_of(module, &settings).is_empty();
        (is_plain(module, &settings), found)
    }

    #[test]
    fn what_is_usual_is_plain() {
        for options in [
            "{}",
            r#"{"Env": ["A=b", "a.b=", "no value"], "Cmd": ["a"], "Hostname": "x", "Tty": {}}"#,
            r#"{"ExposedPorts": {"80/tcp": {}, "81": {}}, "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}}"#,
            r#"{"HostConfig": {"Binds": ["/a/b:/c", "/a/d:/e:ro"], "Privileged": true, "Memory": 1024,
                "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}},
                "Mounts": [{"Type": "volume", "Source": "share_1", "Target": "/s", "ReadOnly": true}]}}"#,
            r#"{"k8s-experimental": {"resources": {"limits": {"memory": "1Gi", "cpu": "500m", "nvidia.com/gpu": 1}}}}"#,
            r#"{"k8s-experimental": {"resources": {"limits": {"cpu": "1.5", "memory": "1e9"}}}}"#,
            r#"{"Labels": {"owner": "é", "build": 5}, "NetworkingConfig": {"EndpointsConfig": {"x": {}}}}"#,
        ] {
            assert_eq!(look(options), (true, false), "{options}");
        }
    }

    #[test]
    fn what_is_refused_or_stumbled_over_is_not() {
        for options in [
            r#"{"Env": [null]}"#,
            r#"{"Env": [".=b"]}"#,
            r#"{"Cmd": "a"}"#,
            r#"{"Tty": 1, "TTY": 2}"#,
            r#"{"ExposedPorts": {"80": {}}, "HostConfig": {"PortBindings": {"80/udp": [{"HostPort": 53}], "81": [{"HostPort": 54}]}}}"#,
            r#"{"HostConfig": {"PortBindings": {"80": [{"HostPort": 1}, {"HostPort": 2}]}}}"#,
            r#"{"HostConfig": {"PortBindings": {"80": [{"HostPort": 1}], "80/tcp": [{"HostPort": 2}]}}}"#,
            r#"{"HostConfig": {"PortBindings": {"80": [{"HostPort": 0}]}}}"#,
            r#"{"HostConfig": {"PortBindings": {"80": null}}}"#,
            r#"{"HostConfig": {"PortBindings": {"80": [{"HostPort": "10250"}]}}}"#,
            r#"{"HostConfig": {"Binds": ["/a:/c", "/b:/c"]}}"#,
            r#"{"HostConfig": {"Binds": ["/a/..:/c"]}}"#,
            r#"{"HostConfig": {"Binds": ["/:/c"]}}"#,
            r#"{"HostConfig": {"Binds": ["/config-volume:/c"]}}"#,
            r#"{"HostConfig": {"Mounts": [{"Type": "volume", "Source": "a", "Target": ""}]}}"#,
            r#"{"HostConfig": {"Mounts": [{"Type": "volume", "Target": "/a"}]}}"#,
            r#"{"HostConfig": {"Memory": "512m"}}"#,
            r#"{"HostConfig": {"PidsLimit": null}}"#,
            r#"{"HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}}}"#,
            r#"{"HostConfig": []}"#,
            r#"{"Labels": {"-": "x"}}"#,
            r#"{"Labels": {"a": "x", "a$": "y"}}"#,
            r#"{"k8s-experimental": {"resources": {"limits": {"gpu": 1}}}}"#,
            r#"{"k8s-experimental": {"resources": {"limits": {"memory": "1MB"}}}}"#,
            r#"{"k8s-experimental": {"resources": {"limits": {"nvidia.com/gpu": "500m"}}}}"#,
            r#"{"k8s-experimental": {"strategy": {"type": "none"}}}"#,
        ] {
            assert_eq!(look(options), (false, true), "{options}");
        }
    }

    /// One of `values`, as it stands there.
    fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = String> {
        select(values).prop_map(str::to_owned)
    }

    /// Up to `most` of `items` between brackets.
    fn some(
        brackets: [&'static str; 2],
        item: impl Strategy<Value = String>,
        most: usize,
    ) -> impl Strategy<Value = String> {
        vec(item, 0..=most).prop_map(move |items| format!("{}{}{}", brackets[0], items.join(","), brackets[1]))
    }

    /// createOptions out of what is usual, and now and then of what is not.
    fn options() -> impl Strategy<Value = String> {
        const PATHS: &[&str] = &[
            "/a",
            "/b/c",
            "/bc",
            "/d_1",
            "/E.x",
            "/f",
            "/g/h",
            "/i",
            "/j",
            "/l/../m",
            "/",
            "",
            "k",
            "/config-volume",
            "/é",
        ];
        const PORTS: &[&str] =
            &["80", "80/tcp", "81/tcp", "82/TCP", "83", "84/tcp", "85/udp", "0", "65536", "//", "x/tcp"];
        const NUMBERS: &[&str] = &["\"8080\"", "8081", "\"8082\"", "8083", "\"8084\"", "0", "10250", "\"x\"", "null"];
        let list = ["[", "]"];
        let map = ["{", "}"];
        let path = || one_of(PATHS);
        let target = || one_of(&["/t", "/u", "/v", "/w/x", "/t", ""]);
        let bind =
            (path(), target(), one_of(&["", "", ":ro", ":rw,z"])).prop_map(|(a, b, mode)| format!("\"{a}:{b}{mode}\""));
        let mount = (
            one_of(&["bind", "volume", "volume", "tmpfs"]),
            path(),
            target(),
            one_of(&["true", "\"false\"", "null", "0"]),
        )
            .prop_map(|(kind, a, b, flag)| {
                format!(r#"{{"Type": "{kind}", "Source": "{a}", "Target": "{b}", "ReadOnly": {flag}}}"#)
            });
        let bound = (one_of(PORTS), one_of(NUMBERS))
            .prop_map(|(port, number)| format!(r#""{port}": [{{"HostPort": {number}}}]"#));
        let exposed = one_of(PORTS).prop_map(|port| format!(r#""{port}": {{}}"#));
        let label = (
            one_of(&["a", "b.c", "D", "e_f", "1g", "-", "h$", "x/y", "kubernetes.io/config.mirror"]),
            one_of(&["\"x\"", "5", "true", "null"]),
        );
        let label = label.prop_map(|(key, value)| format!("\"{key}\": {value}"));
        let limit = (
            one_of(&["cpu", "memory", "nvidia.com/gpu", "CPU", "gpu", "hugepages-2Mi"]),
            one_of(&[
                "1", "\"1\"", "\"500m\"", "\"1Gi\"", "\"0.5\"", "\"1e3\"", "\"+1\"", "\" 1 \"", "\"-0\"", "\"Ki\"",
                "1.5", "1e400", "true", "\"1MB\"", "-1", "\"\"", "null",
            ]),
        );
        let limit = limit.prop_map(|(key, value)| format!("\"{key}\": {value}"));
        let more = one_of(&[
            "\"Memory\": 1",
            "\"Memory\": \"1m\"",
            "\"Privileged\": true",
            "\"Init\": null",
            "\"Devices\": {}",
            "\"NetworkMode\": \"host\"",
            "\"LogConfig\": {\"Config\": {\"a\": 1}}",
            "\"PidsLimit\": null",
        ]);
        let host = (some(list, bind, 2), some(list, mount, 2), some(map, bound, 2), more).prop_map(
            |(binds, mounts, ports, more)| {
                format!(r#""HostConfig": {{"Binds": {binds}, "Mounts": {mounts}, "PortBindings": {ports}, {more}}}"#)
            },
        );
        let limits = some(map, limit, 2)
            .prop_map(|limits| format!(r#""k8s-experimental": {{"resources": {{"limits": {limits}}}}}"#));
        let top = one_of(&[
            "\"Cmd\": [\"a\"]",
            "\"Cmd\": [null]",
            "\"Env\": [\"A=b\", \"C\"]",
            "\"Env\": [5]",
            "\"WorkingDir\": \"/\"",
            "\"Tty\": true",
            "\"hostconfig\": {}",
            "\"Entrypoint\": null",
        ]);
        let exposed = some(map, exposed, 2).prop_map(|ports| format!("\"ExposedPorts\": {ports}"));
        let labels = some(map, label, 2).prop_map(|labels| format!("\"Labels\": {labels}"));
        let part = prop_oneof![4 => host, 2 => exposed, 2 => labels, 2 => limits, 2 => top];
        some(map, part, 4)
    }

    #[test]
    fn nothing_is_found_in_what_is_plain() {
        let (mut runner, options) = (TestRunner::deterministic(), options());
        let (mut plain, mut found) = (0, 0);
        for _ in 0..4000 {
            let options = options.new_tree(&mut runner).unwrap().current();
            let (is_plain, is_found) = look(&options);
            assert!(!(is_plain && is_found), "{options}");
            plain += usize::from(is_plain);
            found += usize::from(is_found);
        }
        assert!(plain > 400 && found > 400, "{plain} are plain, in {found} something is found");
    }
}
