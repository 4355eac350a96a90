use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, is_given};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # Rights that the VM takes away
    ///
    /// The IoT Edge daemon has a setting `allow_elevated_docker_permissions`. Where it is `false`, `Privileged` and
    /// `CapAdd` are taken out of a module's createOptions without a word: the module starts, and what needs the right
    /// fails.
    ///
    /// Needs `site.elevated_docker_permissions`, what the `config.toml` in the VM says (the daemon's own default is
    /// `true`).
    ///
    /// ## Example
    ///
    /// With `elevated_docker_permissions=false`:
    ///
    /// ```json,fails
    /// { "HostConfig": { "Privileged": true } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// The one device that the module needs, or `allow_elevated_docker_permissions = true` in the VM.
    ///
    /// ```json,passes
    /// { "HostConfig": { "Privileged": false, "Devices": [{ "PathOnHost": "/dev/video0" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None: whether the module needs the right, or the VM should give it, is yours to decide.
    id: "options-elevated",
    codes: &["OPT-007"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::CreateOptions, Need::ElevatedDockerPermissions],
    targets: &[Platform::AseVm],
    seed: &[],
    source: "IE-DEV; edgelet-docker `runtime.rs`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    let allowed = context.site.elevated_docker_permissions != Some(false);
    let options = ["Privileged", "CapAdd"].into_iter().filter_map(|key| module.option(&["HostConfig", key]));
    Verdict::each(options, |at| (!allowed && is_asked(at)).then(|| finding(at)))
}

fn is_asked(at: At<'_>) -> bool {
    at.as_bool().unwrap_or_else(|| is_given(at))
}

fn finding(at: At<'_>) -> Finding {
    let key = at.key().unwrap_or_default();
    Finding::new(Severity::Warn, format!("`{key}` is taken away in the VM"))
        .at(at.key_span(), "not allowed by the IoT Edge daemon")
        .because("the module starts without the right, and what needs it fails")
        .fix(Fix::advice("let the module do without, or set `allow_elevated_docker_permissions` in the VM to true"))
}
