use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, is_given};
use crate::target::Platform;
use crate::text::At;

/// What follows from a user that nobody reads.
const REASON: &str = "the module runs as the user of its image, with more or fewer rights than it is meant to have";

rule! {
    /// # User that is not translated
    ///
    /// `User` of the createOptions is ignored: on Kubernetes the module runs as the user of its image, which may be
    /// root where you had taken root away, or not root where you had given it. The user is set in
    /// `k8s-experimental.securityContext`, by number only.
    ///
    /// That section is for the whole **pod**: the sidecar runs as this user too.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "User": "1000:1000" }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "User": "1000", "k8s-experimental": { "securityContext": { "runAsUser": 1000 } } }
    /// ```
    ///
    /// (`User` may stay for Docker.)
    ///
    /// ## Fix
    ///
    /// Safe for numbers: `runAsUser`, and `runAsGroup` where a group is given; `User` goes. Asks before it gives root. Another
    /// name cannot be translated: look up its number in the image.
    id: "options-user",
    codes: &["OPT-003"],
    severity: Severity::Silent,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent, class CreatePodParameters; K8S-CO securityContext",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let set = module.option(&["k8s-experimental", "securityContext", "runAsUser"]).filter(|at| at.as_i64().is_some());
    Verdict::each(module.option(&["User"]), |user| {
        let text = user.as_text().filter(|_| is_given(user) || user.as_text() == Some("0"))?.trim();
        let (name, group) = text.split_once(':').map_or((text, None), |(name, group)| (name, Some(group)));
        let uid = id_of(name);
        match set {
            None => {
                let finding = Finding::new(Severity::Silent, format!("user `{text}` is ignored"));
                Some(finding.at(user.span(), "not translated").because(REASON).fix(run_as(module, user, uid, group)))
            }
            Some(set) if uid.is_some() && set.as_i64() != uid => {
                let finding = Finding::new(Severity::Silent, format!("user `{text}` is ignored, `runAsUser` counts"));
                let fix = Fix::ask("remove `User`").remove(user.path());
                let finding = finding.at(user.span(), "not translated").related(set.span(), "another user");
                Some(finding.because("the module runs as another user than on Docker").fix(fix))
            }
            Some(_) => None,
        }
    })
}

fn run_as(module: Module<'_>, user: At<'_>, uid: Option<i64>, group: Option<&str>) -> Fix {
    let gid = group.and_then(id_of);
    let Some(uid) = uid.filter(|_| group.is_some() == gid.is_some()) else {
        return Fix::advice(
            "look up the number of the user in the image and set `k8s-experimental.securityContext.runAsUser`",
        );
    };
    let root = uid == 0 || gid == Some(0);
    let fix = if root { Fix::ask("run the pod as root") } else { Fix::safe("run the pod as this user") };
    let path = |key| module.option_path(&["k8s-experimental", "securityContext", key]);
    let fix = fix.remove(user.path()).set(path("runAsUser"), uid);
    match gid {
        Some(gid) => fix.set(path("runAsGroup"), gid),
        None => fix,
    }
}

/// The number of a user or group; `root` is 0 in every image.
fn id_of(name: &str) -> Option<i64> {
    if name == "root" { Some(0) } else { name.parse().ok().filter(|id| *id >= 0) }
}
