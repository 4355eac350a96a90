use std::collections::BTreeMap;

use crate::engine::{Check, Context, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Manifest;
use crate::target::Platform;
use crate::text::{At, Kind};

rule! {
    /// # Key that stands twice
    ///
    /// JSON with the same key twice in one object is read by almost every program without a word, and the last one wins.
    /// Whoever edits the first one changes nothing. Real deployments have this where blocks were copied.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Privileged": false, "IpcMode": "host", "Privileged": true } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Privileged": true, "IpcMode": "host" } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None: which of the two was meant is yours to say.
    id: "manifest-duplicate-key",
    codes: &["COR-03"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[],
    targets: Platform::ALL,
    seed: &[],
    source: "`corpus.md`, quirk 3; the agent's parser takes the last one",
    check: Check::Deployment(check),
}

fn check(manifest: &Manifest, _: &Context<'_>) -> Verdict {
    let objects = manifest.document().nodes().filter(|at| at.kind() == Kind::Object);
    Verdict::Judged(objects.flat_map(duplicates).collect())
}

/// One finding for each member whose key comes again later.
fn duplicates(object: At<'_>) -> Vec<Finding> {
    let mut last: BTreeMap<&str, At<'_>> = BTreeMap::new();
    let mut found = Vec::new();
    for member in object.members() {
        let Some(key) = member.key() else { continue };
        if let Some(earlier) = last.insert(key, member) {
            let finding = Finding::new(Severity::Warn, format!("`{key}` stands twice, and this one is not read"))
                .at(earlier.key_span(), "nobody reads this one")
                .related(member.key_span(), "this one counts")
                .because("the last one wins: a change here has no effect")
                .fix(Fix::advice("remove one of them"));
            found.push(finding);
        }
    }
    found
}
