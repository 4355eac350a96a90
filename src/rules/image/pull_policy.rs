use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;
use crate::text::Span;

/// Registries that are the machine itself.
const OWN: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

rule! {
    /// # Image that only the old device has
    ///
    /// `imagePullPolicy: never` takes an image that was loaded into the device's Docker by hand. The agent on
    /// Kubernetes doesn't look at the policy, and images of the old device are not on the new one: Kubernetes pulls,
    /// and where no registry has the image, the module never starts. An image from a registry on the device itself
    /// (`localhost:5000`) has no registry there either.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": { "imagePullPolicy": "never", "settings": { "image": "scorer:1.0" } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": { "imagePullPolicy": "on-create", "settings": { "image": "example.azurecr.io/scorer:1.0" } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: the image goes to a registry that the new device can reach. In an Ubuntu VM the policy is kept, and
    /// the image could be loaded into its Docker, so there only the registry on the device itself is reported.
    id: "image-pull-policy",
    codes: &["LIF-003"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Deployment],
    targets: Platform::ALL,
    seed: &[],
    source: "agent `KubernetesDeploymentMapper.cs`; that the cluster's default applies is inferred",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    let image = module.image();
    let policy = module.entry().get("imagePullPolicy").filter(|_| !context.target.platform.has_docker());
    if image.is_none() && policy.is_none() {
        return Verdict::NotApplicable;
    }
    let never = policy.filter(|at| at.as_str().is_some_and(|policy| policy.eq_ignore_ascii_case("never")));
    let never = never.map(|at| finding("the image is never to be pulled", at.span(), "not kept on Kubernetes"));
    let own = image.as_ref().and_then(|image| {
        let registry = image.registry()?;
        let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host).trim_matches(['[', ']']);
        OWN.contains(&host).then(|| {
            finding("the image is in a registry on the device", image.registry_span(), "the node or VM itself")
        })
    });
    Verdict::Judged(never.into_iter().chain(own).collect())
}

fn finding(message: &str, span: Span, label: &str) -> Finding {
    Finding::new(Severity::Block, message)
        .at(span, label)
        .because("images of the old device are not on the new one, and the module can't start without")
        .fix(Fix::advice("push the image to a registry that the new device can reach, and name it from there"))
}
