//! Where in the manifest the fields of a module's objects come from, and what Kubernetes refuses of them, there.

use serde::Serialize;
use serde_json::Value;

use super::super::AgentSettings;
use super::super::admission::{Refusal, refusals};
use super::super::names::annotation_key;
use super::parameters::Parameters;
use super::pod::{Storage, given_variables};
use super::registry::{RegistryCredential, pull_secret_name};
use super::service::{exposed, ports};
use super::{claims, deployment, device_labels, module_labels, pull_secret, service};
use crate::manifest::Module;
use crate::text::{At, Kind, Span};

/// Where something comes from that stands in an object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin<'m> {
    /// It was taken over as it is, from here down.
    Verbatim(At<'m>),
    /// It was made of an entry of `Binds`.
    Bind(At<'m>),
    /// It was made of an entry of `Mounts`.
    Mount(At<'m>),
    /// It is the agent's own.
    Agent,
}

/// What Kubernetes refuses of one object of a module.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    /// The kind of the object.
    pub(crate) kind: &'static str,
    /// What is refused.
    pub(crate) refusal: Refusal,
    /// The bytes at fault.
    pub(crate) span: Span,
}

/// A step from an object to one of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step<'f> {
    Key(&'f str),
    /// What stands in brackets: a place in a list or a key of a map.
    In(&'f str),
}

/// What Kubernetes refuses of the objects that the agent makes of `module`. Nothing is said of what the agent cannot make.
pub(crate) fn refused_of(module: Module<'_>, settings: &AgentSettings) -> Vec<Refused> {
    let Ok(mut parameters) = Parameters::read(module, settings) else { return Vec::new() };
    let device = device_labels(settings);
    let mut found = Vec::new();
    let mut judge = |kind, object: Result<Value, serde_json::Error>, span: &dyn Fn(&str) -> Span| {
        let refusals = object.map(|object| refusals(&object)).unwrap_or_default();
        found.extend(refusals.into_iter().map(|refusal| Refused { kind, span: span(&refusal.place), refusal }));
    };
    if let Some(credential) = own_credential(&parameters)
        && let Some(name) = pull_secret_name(&credential.username, &credential.address, settings.agent)
    {
        let secret = pull_secret(&credential, &name, &device, settings);
        judge("Secret", json("Secret", &secret), &|_| credential.at.key_span());
        parameters.pull_secret = Some(name);
    }
    let labels = module_labels(&parameters.name, &device, settings);
    if let Ok(Some(service)) = service(&parameters, &labels, settings) {
        judge("Service", json("Service", &service), &|place| service_span(&parameters, settings, &steps(place)));
    }
    if let Ok(deployment) = deployment(&parameters, &labels, settings) {
        let object = json("Deployment", &deployment);
        judge("Deployment", object, &|place| deployment_span(&parameters, settings, &steps(place)));
    }
    for claim in claims(&parameters, &device, settings).unwrap_or_default() {
        let name = claim.metadata.name.clone().unwrap_or_default();
        judge("PersistentVolumeClaim", json("PersistentVolumeClaim", &claim), &|_| {
            claim_span(&parameters, settings, &name)
        });
    }
    found
}

/// The credential for the image of a module, where no module before takes it too.
fn own_credential<'m>(parameters: &Parameters<'m>) -> Option<RegistryCredential<'m>> {
    let manifest = parameters.module.manifest();
    let taken = |credential: &RegistryCredential<'_>, module: Module<'_>| {
        super::parameters::image(module).is_some_and(|image| credential.is_for(&image))
    };
    let credential =
        RegistryCredential::of(manifest).into_iter().find(|credential| credential.is_for(&parameters.image))?;
    let first = manifest.modules().find(|module| taken(&credential, *module))?;
    (first.id() == parameters.module.id()).then_some(credential)
}

/// `object` as it is sent; the types of some versions leave the kind out.
fn json(kind: &str, object: &impl Serialize) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(object)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("kind".to_owned(), kind.into());
    }
    Ok(value)
}

fn service_span(parameters: &Parameters<'_>, settings: &AgentSettings, place: &[Step<'_>]) -> Span {
    let ports = || ports(parameters, settings.agent).unwrap_or_default();
    match place {
        [Step::Key("spec"), Step::Key("ports"), Step::In(index), rest @ ..] => {
            let ports = ports();
            let place = index.parse().ok().and_then(|index: usize| ports.get(index)).map(|(_, place)| *place);
            match (place, rest) {
                (Some(place), [Step::Key("targetPort" | "protocol"), ..]) => place.key.key_span(),
                (Some(place), []) => place.key.member_span(),
                (Some(place), _) => place.host.map_or(place.key.key_span(), At::span),
                (None, _) => own_name(parameters),
            }
        }
        place => annotation_span(parameters, place),
    }
}

fn deployment_span(parameters: &Parameters<'_>, settings: &AgentSettings, place: &[Step<'_>]) -> Span {
    use Step::{In, Key};
    let extension =
        |key: &str, rest: &[Step<'_>]| parameters.module.option(&["k8s-experimental", key]).map(|at| below(at, rest));
    let at = |list: &str| list.parse::<usize>().ok();
    let storage = || Storage::of(parameters, settings).ok();
    let found = match place {
        [Key("spec"), Key("strategy"), rest @ ..] => extension("strategy", rest),
        [Key("spec"), Key("template"), Key("spec"), rest @ ..] => match rest {
            [Key("volumes"), In(index), rest @ ..] => storage()
                .and_then(|storage| at(index).and_then(|index| origin_span(*storage.volume_origins.get(index)?, rest))),
            [Key("nodeSelector"), rest @ ..] => extension("nodeSelector", rest),
            [Key("securityContext"), rest @ ..] => extension("securityContext", rest),
            [Key("containers"), In("1"), Key("volumeMounts"), In(index), rest @ ..] => storage()
                .and_then(|storage| at(index).and_then(|index| origin_span(*storage.mount_origins.get(index)?, rest))),
            [Key("containers"), In("1"), Key("resources"), rest @ ..] => extension("resources", rest),
            [Key("containers"), In("1"), Key("env"), In(index), ..] => at(index).and_then(|index| {
                given_variables(parameters.module, settings.agent).nth(index).map(|given| given.name_span())
            }),
            [Key("containers"), In("1"), Key("ports"), In(index), ..] => at(index)
                .and_then(|index| exposed(parameters, settings.agent).get(index).map(|(_, _, at)| at.key_span())),
            _ => None,
        },
        _ => None,
    };
    found.unwrap_or_else(|| annotation_span(parameters, place))
}

/// The label that became an annotation, or else the module as a whole.
fn annotation_span(parameters: &Parameters<'_>, place: &[Step<'_>]) -> Span {
    let label = match place {
        [.., Step::Key("annotations"), Step::In(key)] => {
            let labels = parameters.module.option(&["Labels"]);
            let is = |at: &At<'_>| {
                let label = at.key().and_then(|label| annotation_key(label).ok());
                label.is_some_and(|label| label == *key)
            };
            labels.and_then(|labels| labels.members().find(is))
        }
        // All of them together are too much.
        [.., Step::Key("annotations")] => parameters.module.option(&["Labels"]),
        _ => None,
    };
    label.map_or_else(|| own_name(parameters), At::member_span)
}

fn claim_span(parameters: &Parameters<'_>, settings: &AgentSettings, name: &str) -> Span {
    let mounts = parameters.host_option("Mounts");
    let source = mounts.into_iter().flat_map(At::items).find_map(|mount| {
        let source = mount.get_ignoring_case("Source")?;
        let made = super::claim::claim_name(source.as_text()?, &parameters.name, settings.agent);
        made.is_some_and(|made| made == name).then_some(source)
    });
    source.map_or_else(|| own_name(parameters), At::span)
}

fn own_name(parameters: &Parameters<'_>) -> Span {
    parameters.module.entry().key_span()
}

/// The bytes of `origin` that a field below it was made of; none for what is the agent's.
fn origin_span(origin: Origin<'_>, rest: &[Step<'_>]) -> Option<Span> {
    let is_target = matches!(rest, [Step::Key("mountPath")]);
    match origin {
        Origin::Verbatim(at) => Some(below(at, rest)),
        Origin::Bind(at) => {
            let text = at.as_str()?;
            let source = text.find(':')?;
            let target = text[source + 1..].find(':').map_or(text.len(), |end| source + 1 + end);
            Some(match rest {
                _ if source == 0 || is_target && target == source + 1 => at.span(),
                _ if is_target => at.part(source + 1..target),
                _ => at.part(0..source),
            })
        }
        Origin::Mount(at) => {
            Some(at.get_ignoring_case(if is_target { "Target" } else { "Source" }).unwrap_or(at).span())
        }
        Origin::Agent => None,
    }
}

/// The innermost value on the way `rest` down from `at`, with its key where that is the user's.
fn below(at: At<'_>, rest: &[Step<'_>]) -> Span {
    let mut at = at;
    let mut span = at.span();
    for step in rest {
        let found = match step {
            Step::Key(key) => at.get_ignoring_case(key),
            Step::In(index) if at.opened().kind() == Kind::Array => index.parse().ok().and_then(|index| at.item(index)),
            Step::In(key) => at.get(key),
        };
        let Some(found) = found else { break };
        let is_own_key = matches!(step, Step::In(_)) && found.key().is_some();
        span = if is_own_key { found.member_span() } else { found.span() };
        at = found;
    }
    span
}

/// The way to a field: `spec.ports[0].port`.
fn steps(place: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut rest = place;
    while !rest.is_empty() {
        if let Some((inside, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            steps.push(Step::In(inside));
            rest = after;
        } else {
            let start = rest.trim_start_matches(['.', '[']);
            let end = start.find(['.', '[']).unwrap_or(start.len());
            if end > 0 {
                steps.push(Step::Key(&start[..end]));
            }
            rest = &start[end..];
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::text::Source;

    /// The fields that are refused of the one module of `options`, each with the text at its place.
    fn refused(options: &str) -> Vec<(String, String)> {
        let manifest = Manifest::read(&Source::new("t", options)).unwrap();
        let module = manifest.modules().next().unwrap();
        let found = refused_of(module, &AgentSettings::default());
        let document = manifest.document();
        let text = |span| document.ranges(span).into_iter().map(|range| &options[range]).collect::<String>();
        found.iter().map(|one| (one.refusal.place.clone(), text(one.span))).collect()
    }

    #[test]
    fn fields_are_ways() {
        let way = [Step::Key("spec"), Step::Key("limits"), Step::In("nvidia.com/gpu"), Step::Key("x"), Step::In("0")];
        assert_eq!(steps("spec.limits[nvidia.com/gpu].x[0]"), way);
        assert!(steps("").is_empty() && steps("[").is_empty());
    }

    #[test]
    fn what_was_taken_over_is_found_where_it_stands() {
        let options = r#"{"k8s-experimental": {"Resources": {"limits": {"gpu": 1}}, "nodeSelector": {"a b": "c"},
            "securityContext": {"supplementalGroups": [0, -7]},
            "strategy": {"rollingUpdate": {"maxSurge": "all"}},
            "volumes": [{}, {"volume": {"name": "v", "HostPath": {"path": "/x", "type": "dir"}}}]}}"#;
        let pod = "spec.template.spec";
        let expected = [
            (format!("{pod}.volumes[0].hostPath.type"), r#""dir""#),
            (format!("{pod}.containers[1].resources.limits[gpu]"), r#""gpu": 1"#),
            (format!("{pod}.nodeSelector[a b]"), r#""a b": "c""#),
            (format!("{pod}.securityContext.supplementalGroups[1]"), "-7"),
            ("spec.strategy.rollingUpdate.maxSurge".to_owned(), r#""all""#),
        ];
        let found = refused(options);
        // The sidecar's volumes come first.
        let found: Vec<_> =
            found.iter().map(|(place, text)| (place.replace("volumes[2]", "volumes[0]"), text.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_was_made_is_found_at_what_it_was_made_of() {
        let options = r#"{"Env": ["ok=1", "not ok=2"], "ExposedPorts": {"70000/tcp": {}},
            "Labels": {"$kubernetes.io/config.mirror": "x"},
            "HostConfig": {"Binds": ["/a/../b:/c", "/d:"], "Mounts": [{"Type": "bind", "Source": "/e", "Target": "/c"}],
                "PortBindings": {"80/tcp": [{"HostPort": "0"}]}}}"#;
        let found = refused(options);
        let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
        for text in ["/a/../b", "\"/d:\"", "\"/c\"", "not ok", "\"70000/tcp\"", "\"0\""] {
            assert!(texts.contains(&text), "{text}: {found:?}");
        }
        assert!(texts.contains(&"\"$kubernetes.io/config.mirror\": \"x\""), "{found:?}");
    }
}
