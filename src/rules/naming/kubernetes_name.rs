use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{Call, Service, label_fault, object_name};
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;

rule! {
    /// # Module that has another name on Kubernetes
    ///
    /// A module keeps its id in IoT Hub, in routes and in its twin. Its Kubernetes objects, and with them the **host name**
    /// at which other modules find it, are named after the id in lower case, without every character that is no
    /// letter, digit, `-` or `.`.
    ///
    /// Capitals alone are harmless, because host names are compared without regard to case; you only meet the other
    /// spelling in `kubectl` (info). But `_` is **removed**, not replaced: `Filter_Module` is found at `filtermodule`
    /// (warn), and a module that calls `http://Filter_Module` does not reach it (block).
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "Filter_Module": { "settings": { "image": "filter:1", "createOptions": { "ExposedPorts": { "80/tcp": {} } } } },
    ///   "camera": { "env": { "SINK": { "value": "http://Filter_Module:80" } }, "settings": { "image": "camera:1" } }
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "filter-module": { "settings": { "image": "filter:1", "createOptions": { "ExposedPorts": { "80/tcp": {} } } } },
    ///   "camera": { "env": { "SINK": { "value": "http://filter-module:80" } }, "settings": { "image": "camera:1" } }
    /// } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe for calls: they get the name that resolves. The module itself is never renamed for you: another id is
    /// another identity with another twin, and routes name it too.
    id: "naming-kubernetes-name",
    codes: &["NAM-001"],
    severity: Severity::Warn,
    fix: Safety::Safe,
    needs: &[Need::Deployment],
    targets: &[Platform::AseK8s],
    seed: &["naming.kubernetes-names"],
    source: "seed, Modules names; agent `ModuleIdentityExtensions.cs`, `KubeUtils.cs`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    let (id, name) = (module.id(), object_name(module.id()));
    // edgeAgent and edgeHub are known by their names on Kubernetes to everybody.
    if module.is_system() || has_placeholder(id) {
        return Verdict::NotApplicable;
    }
    // A name that Kubernetes refuses has to go anyway (NAM-003).
    if id == name || label_fault(&name).is_some() {
        return Verdict::Judged(Vec::new());
    }
    let same_host = id.eq_ignore_ascii_case(&name);
    let fix = Fix::advice(format!("call it `{name}`, or give it an id that is a Kubernetes name"));
    let service = Service::of(module);
    let has_host_name = service.unclear || !service.ports.is_empty();
    let (severity, reason) = if same_host && has_host_name {
        (Severity::Info, "harmless: host names are compared without regard to case, and IoT Hub keeps the id")
    } else if same_host {
        (Severity::Info, "harmless: IoT Hub, routes and twin keep the id")
    } else if !has_host_name {
        (Severity::Warn, "it is found under this name in Kubernetes; IoT Hub, routes and twin keep the id")
    } else {
        (Severity::Warn, "what calls it by its id does not find it; IoT Hub, routes and twin keep the id")
    };
    let label = if has_host_name {
        format!("`{name}` in Kubernetes and as a host name")
    } else {
        format!("`{name}` in Kubernetes")
    };
    let finding = Finding::new(severity, format!("`{id}` is called `{name}` on Kubernetes"))
        .at(module.entry().key_span(), label)
        .because(reason);
    let finding = if same_host { finding } else { finding.fix(fix) };
    let calls = context.calls.to(module).filter(|call| !call.address.host.eq_ignore_ascii_case(&name));
    Verdict::Judged(std::iter::once(finding).chain(calls.map(|call| unreached(call, &name))).collect())
}

fn unreached(call: &Call<'_>, name: &str) -> Finding {
    let message = format!("`{}` calls `{}` by a name that does not resolve", call.caller.id(), call.callee.id());
    Finding::new(Severity::Block, message)
        .at(call.argument.part(call.address.host_range.clone()), format!("is `{name}` on Kubernetes"))
        .because("Kubernetes knows the module without the characters that its names cannot have, so every call fails")
        .fix(call.argument.replaced(Fix::safe(format!("call it `{name}`")), call.address.host_range.clone(), name))
}
