use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Form, Image, Manifest, Module, has_placeholder};
use crate::target::Platform;
use crate::text::{At, Kind};

rule! {
    /// # Registry without credentials
    ///
    /// For an image the agent takes the entry of `registryCredentials` whose `address` **is** the registry of the
    /// image, in any case of letters, with its port and without a scheme. Without such an entry the image is asked for
    /// without a name, and a private registry refuses: the module stays in `ImagePullBackOff` (IoT Hub shows
    /// `backoff`).
    ///
    /// Only Azure's registries (`*.azurecr.io`) are looked at, which are private unless somebody opens them; whether
    /// others want credentials, a manifest doesn't say. Where an address is a placeholder, it may be any registry; a blank
    /// one is none. Layered deployments have their credentials below.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": {
    ///   "runtime": { "type": "docker", "settings": { "registryCredentials": {
    ///     "plant": { "address": "https://plant.azurecr.io", "username": "u", "password": "p" } } } },
    ///   "modules": { "scorer": { "settings": { "image": "plant.azurecr.io/scorer:1.0" } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": {
    ///   "runtime": { "type": "docker", "settings": { "registryCredentials": {
    ///     "plant": { "address": "plant.azurecr.io", "username": "u", "password": "p" } } } },
    ///   "modules": { "scorer": { "settings": { "image": "plant.azurecr.io/scorer:1.0" } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks where an entry means the registry and spells it otherwise, as with a scheme or a slash at the end: the
    /// address becomes what the image says. Where there is no entry at all, the finding only warns: the registry may be
    /// open to everyone.
    id: "image-credentials",
    codes: &["IMG-004"],
    severity: Severity::Block,
    fix: Safety::Ask,
    needs: &[Need::Deployment],
    targets: Platform::ALL,
    seed: &[],
    source: "K8S-TR, ImagePullSecret; agent `DockerUtil.cs`; Azure/iotedge commit 8d45a484d9 (ports, beta13)",
    check: Check::Deployment(check),
}

fn check(manifest: &Manifest, _: &Context<'_>) -> Verdict {
    let agent = manifest.agent().filter(|_| manifest.form() != Form::Layered);
    let Some(agent) = agent else { return Verdict::NotApplicable };
    let settings = agent.get("runtime").and_then(|runtime| runtime.get("settings"));
    let credentials = settings.and_then(|settings| settings.get("registryCredentials"));
    let entries = credentials.into_iter().flat_map(At::members);
    let addresses: Vec<At<'_>> = entries.filter_map(|entry| entry.get("address")).collect();
    // What hides the whole section, or an address, may be any registry; so may a text that asks for one. A blank address
    // is no registry's.
    let hidden = |at: At<'_>| {
        at.as_str().is_some_and(|text| {
            let text = text.trim();
            text.contains(char::is_whitespace) || has_placeholder(text)
        })
    };
    let unclear = credentials.is_some_and(hidden) || addresses.iter().copied().any(hidden);
    let mut judged: Vec<&str> = Vec::new();
    let images: Vec<(Module<'_>, Image<'_>)> =
        manifest.modules().filter_map(|module| Some((module, module.image()?))).collect();
    let wanted: Vec<_> = images.iter().filter(|(_, image)| image.registry().is_some_and(is_azure)).collect();
    // One finding for each registry, at the first image from it.
    Verdict::each(wanted, |(module, image)| {
        let registry = image.registry()?;
        if judged.iter().any(|seen| seen.eq_ignore_ascii_case(registry)) {
            return None;
        }
        judged.push(registry);
        let named = |at: &&At<'_>| at.as_str().is_some_and(|address| address.eq_ignore_ascii_case(registry));
        let meant = |at: &&At<'_>| at.as_str().is_some_and(|address| bare(address).eq_ignore_ascii_case(registry));
        if addresses.iter().any(|at| named(&at)) {
            return None;
        }
        match addresses.iter().find(meant) {
            Some(address) => Some(misspelt(*address, image, registry)),
            None => (!unclear).then(|| {
                let blank = addresses.iter().find(|at| at.as_str().is_some_and(|text| text.trim().is_empty()));
                missing(*module, image, registry, blank.copied().or(credentials))
            }),
        }
    })
}

/// Azure's registries, by their name; one with a placeholder is not known.
fn is_azure(registry: &str) -> bool {
    registry.to_ascii_lowercase().ends_with(".azurecr.io") && !has_placeholder(registry)
}

/// An address without what people put around it.
fn bare(address: &str) -> &str {
    let address = address.trim();
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

fn misspelt(address: At<'_>, image: &Image<'_>, registry: &str) -> Finding {
    let text = address.as_str().unwrap_or_default();
    Finding::new(Severity::Block, format!("the credentials for `{registry}` are not used"))
        .at(address.part(0..text.len()), "not the registry as the image has it")
        .related(image.registry_span(), "the registry")
        .because("the agent compares the two as they are written, and pulls without credentials")
        .fix(Fix::ask(format!("write `{registry}`")).set(address.path(), registry))
}

fn missing(module: Module<'_>, image: &Image<'_>, registry: &str, instead: Option<At<'_>>) -> Finding {
    let finding = Finding::new(Severity::Warn, format!("there are no credentials for `{registry}`"))
        .at(image.registry_span(), format!("the registry of `{}`", module.id()))
        .because("unless the registry is open to everyone, the image is not pulled and the module never starts")
        .fix(Fix::advice("add an entry with this address to `registryCredentials`"));
    match instead {
        Some(at) if at.kind() == Kind::String => finding.related(at.member_span(), "an entry without an address"),
        Some(at) => finding.related(at.key_span(), "not among these"),
        None => finding,
    }
}
