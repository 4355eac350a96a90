use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Safety, Severity};
use crate::manifest::{Module, is_given};
use crate::target::Platform;
use crate::text::Kind;

rule! {
    /// # Command of its own
    ///
    /// `Entrypoint`, `Cmd` and `WorkingDir` are translated into `command`, `args` and `workingDir` of the container, by every
    /// agent since beta6 (March 2020). The agents seen on devices are newer.
    ///
    /// The sources disagree: the migration guide says that `Entrypoint` does not work on Kubernetes; the agent's code translates
    /// it, and the device's own sample for GPU sharing uses `Entrypoint` and `Cmd`. So this is only for your information.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["./scorer --gpu"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// Nothing else, if your device has such an agent. Otherwise put the command into the image.
    ///
    /// ```json,passes
    /// { "Entrypoint": [] }
    /// ```
    ///
    /// ## Fix
    ///
    /// None, and none is needed.
    id: "options-entrypoint",
    codes: &["OPT-001"],
    severity: Severity::Info,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["options.entrypoint"],
    source: "seed, Other options; agent since beta6; ASE-IOTSHARE (contradiction C2)",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let options: Vec<_> = [("Entrypoint", Kind::Array), ("Cmd", Kind::Array), ("WorkingDir", Kind::String)]
        .into_iter()
        .filter_map(|(key, kind)| Some((module.option(&[key])?, kind)))
        .collect();
    if options.is_empty() {
        return Verdict::NotApplicable;
    }
    // Another shape than the agent reads is OPT-002's.
    let mut read = options.into_iter().filter(|(at, kind)| at.kind() == *kind && is_given(*at)).map(|(at, _)| at);
    let finding = read.next().map(|first| {
        let key = first.key().unwrap_or_default();
        let message = if key.eq_ignore_ascii_case("Entrypoint") {
            format!("`{key}` is translated, though the migration guide says otherwise")
        } else {
            format!("`{key}` is translated")
        };
        let finding = Finding::new(Severity::Info, message)
            .at(first.key_span(), "needs an agent of beta6 or later")
            .because("every agent since March 2020 hands it to Kubernetes, also those seen on devices");
        read.fold(finding, |finding, at| finding.related(at.key_span(), "this too"))
    });
    Verdict::from(finding)
}
