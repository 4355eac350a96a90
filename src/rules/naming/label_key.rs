use std::collections::BTreeMap;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::annotation_key;
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # Label that becomes no annotation
    ///
    /// Docker labels become annotations on Kubernetes. Their keys are cleaned for that: what stands before a `/` must
    /// be left as a DNS name whose parts start with a letter, the rest as 1 to 63 letters, digits, `-`, `_` and `.`.
    /// Where nothing or too much is left, or two keys become one, the agent gives up, and with it the **whole
    /// deployment** fails.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Labels": { "com.example/": "vision" } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "Labels": { "com.example/team": "vision" } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, and removes the label: what reads it needs another one.
    id: "naming-label-key",
    codes: &["NAM-008"],
    severity: Severity::Block,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `KubeUtils.cs`, SanitizeAnnotationKey; two keys that become one: our inference",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let mut seen: BTreeMap<String, At<'_>> = BTreeMap::new();
    Verdict::each(module.option(&["Labels"]).into_iter().flat_map(At::members), |label| {
        let key = label.key().filter(|key| !has_placeholder(key))?;
        let annotation = match annotation_key(key) {
            Ok(annotation) => annotation,
            Err(fault) => {
                let finding = Finding::new(Severity::Block, format!("the label `{key}` cannot become an annotation"))
                    .at(label.key_span(), fault);
                return Some(fail(finding, label, key));
            }
        };
        let first = *seen.entry(annotation.clone()).or_insert(label);
        // One key twice is one member to the agent, the last.
        (first.key() != Some(key)).then(|| {
            let message = format!("the label `{key}` becomes the annotation `{annotation}`, which is there already");
            let finding = Finding::new(Severity::Block, message)
                .at(label.key_span(), format!("becomes `{annotation}`"))
                .related(first.key_span(), "as this one does");
            fail(finding, label, key)
        })
    })
}

fn fail(finding: Finding, label: At<'_>, key: &str) -> Finding {
    finding
        .because("the agent gives up, and no module of the deployment is made or updated")
        .fix(Fix::ask(format!("remove the label `{key}`")).remove(label.path()))
}
