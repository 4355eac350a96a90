//! What IoT Edge on Kubernetes does with single modules, as its own tests have it: every vector of the kinds that the
//! model covers. Run by `scripts/peers vectors`.

#![expect(clippy::disallowed_methods, reason = "the vectors are a file")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};

use edgeshift::kube_model::objects::{
    self, Fault, Labels, Parameters, RegistryCredential, claims, claims_equal, deployment, port_key, service,
    service_account,
};
use edgeshift::kube_model::status::{Meaning, RuntimeStatus, meanings, reported, reported_of_all};
use edgeshift::kube_model::{self, AgentSettings, ConfigVolume, ServiceKind, same_limits};
use edgeshift::manifest::Manifest;
use edgeshift::target::Agent;
use edgeshift::text::Source;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde_json::{Value, json};

/// Kinds that are left out, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("plan", "which commands the agent runs in which order: no object comes of it that `render` shows"),
    ("command", "how the agent writes its own objects: the API calls, not their content"),
    ("status-command", "how the agent reports that a pass failed"),
    ("crd-status", "how the agent compares the status of its custom object"),
    ("cluster", "needs a cluster"),
];

/// The bootstrap of the agent by iotedged is another program with other rules.
const LEFT_OUT_PREFIX: &str = "iotedged-";

#[test]
#[ignore = "needs EDGESHIFT_K8S_VECTORS"]
fn peer_vectors_of_kubernetes_pass() {
    let path = std::env::var("EDGESHIFT_K8S_VECTORS").expect("EDGESHIFT_K8S_VECTORS names a file of test vectors");
    let vectors: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let (mut passed, mut failed) = (0, Vec::new());
    let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
    for vector in &vectors {
        let (id, kind) = (vector["id"].as_str().unwrap(), vector["input"]["kind"].as_str().unwrap());
        if kind.starts_with(LEFT_OUT_PREFIX) || LEFT_OUT.iter().any(|(left, _)| *left == kind) {
            *left_out.entry(kind).or_default() += 1;
            continue;
        }
        let faults = judge(kind, &vector["input"], &vector["expect"]);
        if faults.is_empty() {
            passed += 1;
        } else {
            println!("{id}: {}", faults.join("; "));
            failed.push(id);
        }
    }
    println!("{passed} passed, {} failed", failed.len());
    for (kind, count) in left_out {
        let reason = LEFT_OUT.iter().find(|(left, _)| *left == kind).map(|(_, reason)| *reason);
        println!(
            "left out: {count} {kind}: {}",
            reason.unwrap_or("iotedged's bootstrap of the agent, another program")
        );
    }
    assert!(failed.is_empty(), "failed: {}", failed.join(", "));
    assert!(passed > 0, "{path} has no vector of a kind that is covered");
}

/// What is wrong.
fn judge(kind: &str, input: &Value, expect: &Value) -> Vec<String> {
    let got = match kind {
        "sanitize" => sanitized(input),
        "port" => json!({ "parsed": input["value"].as_str().and_then(|key| port_key(key, newest()))
            .map(|(port, protocol)| json!({ "port": port, "protocol": protocol.word().to_uppercase() })) }),
        "edgedeployment-name" => {
            let text = |key: &str| input[key].as_str().unwrap_or_default();
            named(objects::custom_object_name(text("iotHub"), text("deviceId")), "name", "ArgumentException")
        }
        "pullsecret-name" => pull_secret_name(input),
        "pullsecret-data" => pull_secret_data(input),
        "pvc-equality" => json!({ "equal": claim_equality(input["difference"].as_str().unwrap()) }),
        "status" => status(input),
        "status-list" => status_list(input),
        "deployment" => of_module(input, deployment_view),
        "service" => of_module(input, service_view),
        "pvc" => of_module(input, claims_view),
        "serviceaccount" => {
            of_module(input, |parameters, labels, settings| Ok(account_view(parameters, labels, settings)))
        }
        "config" | "k8s-experimental" => {
            of_module(input, |parameters, labels, settings| Ok(config_view(parameters, labels, settings)))
        }
        other => return vec![format!("there is no test of the kind {other}")],
    };
    // The container that a vector names is the one that is looked at.
    let named = expect.get("container").and_then(|name| got.get("containers")?.get(name.as_str()?));
    let mut got = got.clone();
    if let Some(Value::Object(container)) = named.cloned() {
        got.as_object_mut().unwrap().extend(container);
    }
    let mut faults = Vec::new();
    for (key, wanted) in expect.as_object().unwrap() {
        expected(key, wanted, &got, &mut faults);
    }
    faults
}

fn newest() -> Agent {
    Agent::beta(15)
}

/// The settings of the agent's own tests (`k8s-translation.md` §9).
fn test_settings() -> AgentSettings {
    let config = |path: &str, volume: &str, map: &str| ConfigVolume {
        path: Some(path.to_owned()),
        volume: Some(volume.to_owned()),
        map: Some(map.to_owned()),
    };
    let mut settings = AgentSettings {
        agent: newest(),
        hub: "hostname".to_owned(),
        device: "deviceid".to_owned(),
        namespace: "namespace".to_owned(),
        workload_uri: "http://workload".to_owned(),
        management_uri: "http://management".to_owned(),
        proxy_image: "proxy".to_owned(),
        proxy_config: config("configPath", "configVolumeName", "configMapName"),
        proxy_trust: config("trustBundlePath", "trustBundleVolumeName", "trustBundleConfigMapName"),
        agent_config: config("agentConfigPath", "agentConfigVolume", "agentConfigMapName"),
        proxy_resources: Some(same_limits("20m", "1000M")),
        agent_resources: Some(same_limits("150m", "1500Mi")),
        port_mapping: ServiceKind::ClusterIp,
        source_as_volume_name: false,
        ..AgentSettings::default()
    };
    "v1".clone_into(&mut settings.owner.api_version);
    "123".clone_into(&mut settings.owner.uid);
    settings
}

fn overridden(input: &Value) -> AgentSettings {
    let mut settings = test_settings();
    let overrides = input.get("agentSettingsOverride").and_then(Value::as_object);
    let mut all: Vec<(&str, &Value)> =
        overrides.into_iter().flatten().map(|(key, value)| (key.as_str(), value)).collect();
    for key in [
        "portMappingServiceType",
        "storageClassName",
        "useMountSourceForVolumeName",
        "persistentVolumeClaimDefaultSizeInMb",
        "workloadUri",
        "managementUri",
        "k8sExtensionsEnabled",
    ] {
        all.extend(input.get(key).map(|value| (key, value)));
    }
    for (key, value) in all {
        let text = || value.as_str().map(str::to_owned);
        let flag = || value.as_bool().unwrap();
        match key {
            "portMappingServiceType" => settings.port_mapping = ServiceKind::parse(value.as_str().unwrap()).unwrap(),
            "storageClassName" => settings.storage_class = text(),
            "useMountSourceForVolumeName" => settings.source_as_volume_name = flag(),
            "persistentVolumeClaimDefaultSizeInMb" => {
                settings.claim_size = u32::try_from(value.as_u64().unwrap_or(0)).unwrap();
            }
            "runAsNonRoot" => settings.run_as_non_root = flag(),
            "proxyImagePullSecretName" => settings.proxy_pull_secret = text(),
            "proxyImage" => settings.proxy_image = text().unwrap(),
            "agentConfigPath" => settings.agent_config.path = text(),
            "agentConfigVolume" => settings.agent_config.volume = text(),
            "agentConfigMapName" => settings.agent_config.map = text(),
            "workloadUri" => settings.workload_uri = text().unwrap(),
            "managementUri" => settings.management_uri = text().unwrap(),
            "k8sExtensionsEnabled" => settings.extensions = flag(),
            "edgeHostname" | "namespace" | "experimentalFeatures" => {}
            other => panic!("the setting {other} is not known"),
        }
    }
    settings
}

/// A deployment with the one module of a vector, read as any other; then `view` says what comes of it.
fn of_module(
    input: &Value,
    view: impl Fn(&Parameters<'_>, &Labels, &AgentSettings) -> Result<Value, Box<Fault>>,
) -> Value {
    let settings = overridden(input);
    let given = input.get("module").filter(|module| module.is_object());
    let text = |key: &str| given.and_then(|module| module[key].as_str());
    let id = text("moduleId").or(input["moduleId"].as_str()).or(input["module"].as_str()).unwrap_or("Module1");
    let mut options = input.get("createOptions").cloned().unwrap_or(json!({}));
    if let Some(section) = input.get("section") {
        options = json!({ "k8s-experimental": section });
    }
    let entry = json!({
        "type": "docker",
        "status": text("desiredStatus").unwrap_or("running"),
        "env": given.map_or(json!({}), |module| module["env"].clone()),
        "settings": {
            "image": text("image").or(input["image"].as_str()).unwrap_or("image"),
            "createOptions": options,
        },
    });
    let name = id.trim_start_matches('$');
    let section = if matches!(name, "edgeAgent" | "edgeHub") { "systemModules" } else { "modules" };
    let credentials: BTreeMap<String, &Value> = input["registryCredentials"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(i, credential)| (format!("r{i}"), credential))
        .collect();
    let text = json!({ "modulesContent": { "$edgeAgent": { "properties.desired": {
        "runtime": { "settings": { "registryCredentials": credentials } }, section: { name: entry } } } } });
    let manifest = Manifest::read(&Source::new("vector", text.to_string())).unwrap();
    let module = manifest.modules().next().unwrap();
    let mut parameters = match Parameters::read(module, &settings) {
        Ok(parameters) => parameters,
        Err(fault) => return json!({ "error": fault.kind.exception() }),
    };
    parameters.pull_secret =
        given.and_then(|module| module["moduleImagePullSecret"].as_str()).map(str::to_owned).or_else(|| {
            let found = RegistryCredential::of(&manifest).into_iter().find(|one| one.is_for(&parameters.image))?;
            objects::pull_secret_name(&found.username, &found.address, settings.agent)
        });
    let labels = input.get("moduleLabels").or(input.get("labels"));
    let labels: Labels = labels.map_or(Labels::new(), |labels| serde_json::from_value(labels.clone()).unwrap());
    view(&parameters, &labels, &settings).unwrap_or_else(|fault| json!({ "error": fault.kind.exception() }))
}

fn deployment_view(
    parameters: &Parameters<'_>,
    labels: &Labels,
    settings: &AgentSettings,
) -> Result<Value, Box<Fault>> {
    let whole = serde_json::to_value(deployment(parameters, labels, settings)?).unwrap();
    let spec = &whole["spec"]["template"]["spec"];
    let container = |name: &str| {
        let found = spec["containers"].as_array().unwrap().iter().find(|container| container["name"] == name);
        container_view(found.unwrap())
    };
    let module = container(&parameters.name);
    let secrets = spec["imagePullSecrets"].as_array();
    let configs = [&settings.proxy_config, &settings.proxy_trust, &settings.agent_config];
    let is_own = |volume: &&Value| configs.iter().all(|config| config.volume.as_deref() != volume["name"].as_str());
    let mut view = module.clone();
    let more = json!({
        "deployment": whole, "deploymentSpec": whole["spec"], "podSpec": spec,
        "metadata": whole["metadata"], "replicas": whole["spec"]["replicas"],
        "container": parameters.name,
        "containers": { "proxy": container("proxy"), parameters.name.as_str(): module },
        "moduleContainer": module, "proxyContainer": container("proxy"),
        "volume": spec["volumes"].as_array().unwrap().iter().find(is_own), "volumeMount": module["volumeMounts"][0],
        "volumes": spec["volumes"], "moduleVolumeMounts": module["volumeMounts"],
        "imagePullSecrets": secrets.map(|list| list.iter().map(|one| one["name"].clone()).collect::<Vec<_>>()),
        "podSecurityContext": spec["securityContext"],
        "nodeSelector": spec["nodeSelector"],
        "podTemplate": {
            "annotation": whole["spec"]["template"]["metadata"]["annotations"],
            "annotations": whole["spec"]["template"]["metadata"]["annotations"],
            "labels": whole["spec"]["template"]["metadata"]["labels"],
            "container": spec["containers"], "moduleContainer": module, "proxyContainer": container("proxy"),
            "volume": spec["volumes"], "volumes": spec["volumes"], "spec": spec,
            "imagePullSecrets": secrets, "podSecurityContext": spec["securityContext"],
        },
    });
    view.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Ok(view)
}

fn container_view(container: &Value) -> Value {
    let mut view = container.clone();
    let env = container["env"].as_array().unwrap();
    let env: BTreeMap<&str, &Value> = env.iter().map(|one| (one["name"].as_str().unwrap(), &one["value"])).collect();
    view["env"] = json!(env);
    view["volumeMount"] = container["volumeMounts"].clone();
    view
}

fn service_view(parameters: &Parameters<'_>, labels: &Labels, settings: &AgentSettings) -> Result<Value, Box<Fault>> {
    let Some(service) = service(parameters, labels, settings)? else { return Ok(json!({ "service": null })) };
    let service = serde_json::to_value(service).unwrap();
    let mut view = service["spec"].clone();
    view["port"] = view["ports"].clone();
    for key in ["annotations", "labels", "ownerReferences"] {
        view[key] = service["metadata"][key].clone();
    }
    view["annotation"] = view["annotations"].clone();
    view["metadata"] = service["metadata"].clone();
    view["spec"] = service["spec"].clone();
    view["service"] = service;
    Ok(view)
}

fn claims_view(parameters: &Parameters<'_>, labels: &Labels, settings: &AgentSettings) -> Result<Value, Box<Fault>> {
    let claims = claims(parameters, labels, settings)?;
    let claims: Vec<Value> = claims.iter().map(|claim| serde_json::to_value(claim).unwrap()).collect();
    let view = claims.iter().map(|claim| {
        json!({
            "name": claim["metadata"]["name"], "labels": claim["metadata"]["labels"],
            "ownerReferences": claim["metadata"]["ownerReferences"],
            "accessModes0": claim["spec"]["accessModes"][0], "accessModes": claim["spec"]["accessModes"],
            "volumeName": claim["spec"]["volumeName"], "storageClassName": claim["spec"]["storageClassName"],
            "storageRequest": claim["spec"]["resources"]["requests"]["storage"],
        })
    });
    Ok(json!({ "claims": view.collect::<Vec<_>>() }))
}

fn account_view(parameters: &Parameters<'_>, labels: &Labels, settings: &AgentSettings) -> Value {
    serde_json::to_value(service_account(parameters, labels, settings)).unwrap()["metadata"].clone()
}

fn config_view(parameters: &Parameters<'_>, _: &Labels, _: &AgentSettings) -> Value {
    let mut view = serde_json::to_value(parameters.extensions.as_ref()).unwrap();
    let present = view.is_object();
    let options = view["serviceOptions"].clone();
    let binds = Some(&parameters.runtime_binds).filter(|binds| !binds.is_empty());
    let mut more = json!({
        "hostConfig": binds.map(|binds| json!({ "Binds": binds, "binds": binds })),
        "binds": binds,
        "imagePullSecret": parameters.pull_secret, "image": parameters.image,
        "cmd": parameters.cmd, "entrypoint": parameters.entrypoint, "workingDir": parameters.working_dir,
        "strategyPresent": view["strategy"].is_object(), "serviceOptionsPresent": options.is_object(),
        "type": options["type"], "loadBalancerIP": options["loadBalancerIP"],
    });
    if present {
        more["result"] = view.clone();
    }
    if !present {
        view = json!({ "result": null });
    }
    view.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    view
}

fn sanitized(input: &Value) -> Value {
    let text = input["value"].as_str();
    let result = match input["function"].as_str().unwrap() {
        // Nothing in is nothing out.
        "K8sValue" if text.is_none() => return json!({ "value": null }),
        "K8sValue" => kube_model::k8s_value(text.unwrap()),
        "DNSValue" => kube_model::dns_value(text.unwrap_or_default()),
        "DNSLabel" => kube_model::dns_label(text.unwrap_or_default()),
        "DNSDomain" => kube_model::dns_domain(text.unwrap_or_default()),
        "LabelValue" => kube_model::label_value(text.unwrap_or_default()),
        "AnnotationKey" => kube_model::annotation_key(text.unwrap_or_default()).ok(),
        other => panic!("there is no function {other}"),
    };
    named(result, "value", "InvalidKubernetesNameException")
}

fn named(result: Option<String>, key: &str, exception: &str) -> Value {
    result.map_or_else(|| json!({ "error": exception }), |text| json!({ key: text }))
}

fn pull_secret_name(input: &Value) -> Value {
    let text = |key: &str| input[key].as_str().unwrap_or_default();
    let name = objects::pull_secret_name(text("username"), text("serverAddress"), newest());
    named(name, "name", "InvalidKubernetesNameException")
}

fn pull_secret_data(input: &Value) -> Value {
    let text = |key: &str| input[key].as_str().unwrap();
    let deployment = json!({ "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {},
        "runtime": { "settings": { "registryCredentials": { "r": {
            "username": text("username"), "password": text("password"), "address": text("serverAddress") } } } } } } } });
    let manifest = Manifest::read(&Source::new("vector", deployment.to_string())).unwrap();
    let credential = RegistryCredential::of(&manifest).remove(0);
    let name = objects::pull_secret_name(&credential.username, &credential.address, newest()).unwrap();
    let secret = objects::pull_secret(&credential, &name, &Labels::new(), &test_settings());
    let data = &secret.data.unwrap()[".dockerconfigjson"].0;
    json!({ "name": secret.metadata.name, "type": secret.type_,
        "dockerconfigjson": serde_json::from_slice::<Value>(data).unwrap() })
}

/// Two claims that differ as a vector says.
fn claim_equality(difference: &str) -> bool {
    let base = json!({
        "metadata": { "name": "claim", "labels": { "net.azure-devices.edge.deviceid": "device" } },
        "spec": { "accessModes": ["ReadWriteMany"], "volumeName": "volume", "storageClassName": "class",
            "resources": { "requests": { "storage": "1Mi" } } },
    });
    let (mut one, mut other) = (base.clone(), base);
    let named = |part: &str| difference.contains(part);
    if named("both without accessModes") {
        for claim in [&mut one, &mut other] {
            claim["spec"].as_object_mut().unwrap().remove("accessModes");
        }
    } else {
        if named("volumeName") {
            other["spec"]["volumeName"] = json!("another");
        }
        if named("storageClassName") {
            other["spec"]["storageClassName"] = json!("another");
        }
        if named("accessModes") {
            other["spec"]["accessModes"] = json!(["ReadOnlyMany"]);
        }
        if named("resources.requests null") {
            other["spec"]["resources"]["requests"] = Value::Null;
        } else if named("resources") || named("storage size") {
            other["spec"]["resources"]["requests"]["storage"] = json!("2Mi");
        }
        if named("label") {
            other["metadata"]["labels"]["net.azure-devices.edge.deviceid"] = json!("another");
        }
        if difference == "name" {
            other["metadata"]["name"] = json!("another");
        }
    }
    let read = |claim: Value| serde_json::from_value::<PersistentVolumeClaim>(claim).unwrap();
    claims_equal(&read(one), &read(other))
}

fn pod(input: &Value) -> Pod {
    let name = input["labels"]["net.azure-devices.edge.module"].as_str().unwrap_or_default();
    let state = input.get("moduleContainerState").filter(|state| !state.is_null());
    let statuses = state.map(|state| {
        json!([{ "name": name, "state": state, "image": "image:tag", "imageID": "", "ready": true, "restartCount": 0 }])
    });
    let status = input.get("phase").map(|phase| {
        json!({ "phase": phase, "reason": input["reason"], "message": input["message"], "containerStatuses": statuses })
    });
    serde_json::from_value(json!({ "apiVersion": "v1", "kind": "Pod", "metadata": {
        "name": input["podName"], "labels": input["labels"], "annotations": input["annotations"] }, "status": status }))
    .unwrap()
}

fn status(input: &Value) -> Value {
    reported(&pod(input)).map_or(json!({ "error": "" }), |reported| {
        // The time is written as the culture of the agent's host has it.
        let description = if reported.description.starts_with("Started at ") {
            "Started at <startedAt, host culture date format>".to_owned()
        } else {
            reported.description
        };
        json!({ "runtimeStatus": reported.status.word(), "statusDescription": description,
            "exitCode": reported.exit_code, "image": reported.image, "name": reported.module })
    })
}

fn status_list(input: &Value) -> Value {
    let running = json!({ "running": { "startedAt": "2019-06-12T16:11:22Z" } });
    let one = |label: Option<&str>, annotation: Option<&str>| {
        let labels = label.map(|label| json!({ "net.azure-devices.edge.module": label }));
        let annotations = annotation.map(|id| json!({ "net.azure-devices.edge.original-moduleid": id }));
        pod(&json!({ "labels": labels, "annotations": annotations, "phase": "Running",
            "moduleContainerState": running }))
    };
    let mut pods = Vec::new();
    for event in input["events"].as_array().into_iter().flatten() {
        pods.push(one(event["add"]["label"].as_str(), event["add"]["annotation"].as_str()));
    }
    pods.extend(input["labelledPods"].as_array().into_iter().flatten().map(|name| one(name.as_str(), None)));
    pods.extend(input["unlabelledPods"].as_array().into_iter().flatten().map(|_| one(None, None)));
    let all = reported_of_all(&pods);
    let only = |values: BTreeSet<&str>| values.into_iter().collect::<Vec<_>>().join(",");
    json!({
        "modules": all.iter().map(|one| &one.module).collect::<Vec<_>>(), "moduleCount": all.len(),
        "eachStatus": only(all.iter().map(|one| one.status.word()).collect()), "eachType": "docker",
        "image": only(all.iter().map(|one| one.image.as_str()).collect()),
    })
}

/// Adds what is wrong with the expectation `key` of a vector. A name may be a path; some end in a word that says how to
/// compare.
fn expected(key: &str, wanted: &Value, got: &Value, faults: &mut Vec<String>) {
    let value = |key: &str| key.split('.').try_fold(got, |at, step| at.get(step)).filter(|value| !value.is_null());
    // `volumeNames` speaks of the volumes.
    let list = |base: &str| value(&format!("{base}s")).or_else(|| value(base));
    let size = |value: Option<&Value>| match value {
        Some(Value::Array(list)) => list.len(),
        Some(Value::Object(map)) => map.len(),
        _ => 0,
    };
    let names = |value: Option<&Value>| -> Vec<Value> {
        value.and_then(Value::as_array).into_iter().flatten().map(|one| one["name"].clone()).collect()
    };
    let keys = |value: Option<&Value>| -> Vec<Value> {
        value.and_then(Value::as_object).into_iter().flatten().map(|(key, _)| json!(key)).collect()
    };
    let has_all = |there: &[Value]| wanted.as_array().unwrap().iter().all(|one| there.contains(one));
    let same = |there: &[Value]| there.len() == size(Some(wanted)) && has_all(there);
    let fits = match key {
        "orderAsserted" => true,
        "container" if got.get("containers").is_some() => true,
        "allFieldsNull" => {
            let parts = ["securityContext", "strategy"];
            let part = parts.iter().find_map(|part| value(part)).cloned().unwrap_or_default();
            wanted.as_array().unwrap().iter().all(|field| part[field.as_str().unwrap()].is_null())
        }
        "eachVolumeNameOnce" => {
            let names = names(value("volumes"));
            names.iter().map(Value::to_string).collect::<BTreeSet<_>>().len() == names.len()
        }
        "noEnvValueEndsWith" => {
            let env = value("env").and_then(Value::as_object).unwrap();
            !env.values().any(|value| value.as_str().unwrap().ends_with(wanted.as_str().unwrap()))
        }
        "imagePullSecrets" => match (wanted.as_array(), value(key)) {
            (Some(_), Some(there)) => same(there.as_array().unwrap()),
            (None, there) => there.is_none(),
            (Some(_), None) => false,
        },
        "imageNot" => value("image").is_some_and(|image| image != wanted),
        key if value(key).is_some() => contains(wanted, value(key).unwrap()),
        key => {
            let suffix = ["NamesInclude", "KeysInclude", "Includes", "Include", "Names", "Keys", "Count"]
                .into_iter()
                .find_map(|suffix| Some((key.strip_suffix(suffix)?, suffix)));
            match suffix {
                Some((base, "Count")) => Some(size(list(base)) as u64) == wanted.as_u64(),
                Some((base, "Names")) => same(&names(list(base))),
                Some((base, "NamesInclude")) => has_all(&names(list(base))),
                Some((base, "Keys")) => same(&keys(list(base))),
                Some((base, "KeysInclude")) => has_all(&keys(list(base))),
                Some((base, _)) => list(base).is_some_and(|there| contains(wanted, there)),
                None => {
                    wanted.is_null() && got.get("error").is_none()
                        || wanted.as_object().is_some_and(serde_json::Map::is_empty)
                }
            }
        }
    };
    if !fits {
        faults.push(format!("{key}: expected {wanted}, got {}", value(key).unwrap_or(&got["error"])));
    }
}

/// Whether `there` has everything that is `wanted`; `null` means that nothing is there, lists may stand in any order.
fn contains(wanted: &Value, there: &Value) -> bool {
    match (wanted, there) {
        (Value::Object(wanted), there @ Value::Object(_)) if !wanted.is_empty() => {
            let mut faults = Vec::new();
            for (key, value) in wanted {
                match there.get(key) {
                    Some(found) if value.is_object() || value.is_array() => {
                        if !contains(value, found) {
                            faults.push(key.clone());
                        }
                    }
                    Some(found) if found == value => {}
                    _ => expected(key, value, there, &mut faults),
                }
            }
            faults.is_empty()
        }
        (Value::Array(wanted), Value::Array(there)) => {
            let scalars = wanted.iter().all(|one| !one.is_object());
            if scalars {
                wanted == there
            } else {
                wanted.iter().all(|one| there.iter().any(|found| contains(one, found)))
            }
        }
        (wanted, there) => wanted == there,
    }
}

/// What a real API server of Kubernetes 1.20 says of single objects: accepted or refused, and for which field.
#[test]
#[ignore = "needs EDGESHIFT_ADMISSION_VECTORS"]
fn peer_vectors_of_admission_pass() {
    let path =
        std::env::var("EDGESHIFT_ADMISSION_VECTORS").expect("EDGESHIFT_ADMISSION_VECTORS names a file of answers");
    let vectors: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let mut failed = Vec::new();
    for vector in &vectors {
        let (case, accepted) = (vector["case"].as_str().unwrap(), vector["accepted"].as_bool().unwrap());
        let message = vector["message"].as_str().unwrap();
        let refusals = kube_model::admission::refusals(&vector["object"]);
        // What cannot be read is refused without a field.
        let names_it = |field: &str| match field {
            "" => message.contains("cannot be handled as"),
            field => message.contains(&format!("{field}: ")),
        };
        if accepted != refusals.is_empty() || !accepted && !names_it(&refusals[0].field) {
            println!("{case}: accepted {accepted}, but {refusals:?}\n  {message}");
            failed.push(case);
        }
    }
    println!("{} passed, {} failed", vectors.len() - failed.len(), failed.len());
    assert!(failed.is_empty(), "failed: {}", failed.join(", "));
}

/// What becomes of real pods in a state that is named: what the agent reports, and that the way back leads there.
#[test]
#[ignore = "needs EDGESHIFT_POD_STATUS"]
fn peer_vectors_of_pods_are_reported_and_understood() {
    let expected = |situation: &str| match situation {
        "badcmd" | "crash" | "oom" => (RuntimeStatus::Backoff, Meaning::Crashes),
        "file-bind" => (RuntimeStatus::Backoff, Meaning::Starting),
        "nopull" => (RuntimeStatus::Backoff, Meaning::ImageMissing),
        "fpga" | "gpu" | "no-claim" => (RuntimeStatus::Failed, Meaning::NoContainer),
        "env-dup" | "missing-dir" | "mount-colon" | "mount-relative" | "relative-path" => {
            (RuntimeStatus::Running, Meaning::Runs)
        }
        other => panic!("the situation {other} is not known"),
    };
    let path = std::env::var("EDGESHIFT_POD_STATUS").expect("EDGESHIFT_POD_STATUS names a file of observed pods");
    let vectors: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for vector in &vectors {
        let situation = vector["situation"].as_str().unwrap();
        let mut status = vector.clone();
        for container in status["containerStatuses"].as_array_mut().unwrap() {
            container["imageID"] = json!("");
        }
        let pod: Pod = serde_json::from_value(json!({ "apiVersion": "v1", "kind": "Pod", "status": status,
            "metadata": { "labels": { "net.azure-devices.edge.module": "m" } } }))
        .unwrap();
        let got = reported(&pod).unwrap();
        let (status, meaning) = expected(situation);
        assert_eq!(got.status, status, "{situation}: {got:?}");
        assert_eq!(meanings(got.status, &got.description), [meaning], "{situation}: {got:?}");
    }
    assert!(!vectors.is_empty());
}
