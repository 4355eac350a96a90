use serde_json::json;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Home, Module, PortBinding, home, near, port};
use crate::target::Platform;
use crate::text::{At, Kind};

rule! {
    /// # Key that nobody reads there
    ///
    /// Docker and the agent read some keys right in the createOptions and others in `HostConfig`, and pass over what they
    /// don't know without a word. `Mounts` beside `HostConfig`, `Env` inside of it, or a misspelt `HostConfir`
    /// have no effect at all, whatever they were meant to do. (Engines older than those we know are said to have read some
    /// keys of `HostConfig` beside it; on the FPGA device such a key may have worked.)
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "ExposedPorts": { "80/tcp": {} } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "ExposedPorts": { "80/tcp": {} }, "HostConfig": { "Privileged": true } }
    /// ```
    ///
    /// ## Fix
    ///
    /// It asks where a key is misspelt, and for `ExposedPorts`: moving it to its place makes it work, perhaps for the
    /// first time, and the module may behave differently then. Other keys are moved by hand. No other rule judges what
    /// stands under a key in the wrong place.
    ///
    /// `ExposedPorts` that only repeat what `PortBindings` have change nothing in any place (info). In an Ubuntu VM the
    /// finding warns, not more: Docker passes over such a key there as it did on the FPGA device.
    id: "manifest-unread-key",
    codes: &["COR-19"],
    severity: Severity::Silent,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: Platform::ALL,
    seed: &[],
    source: "`corpus.md`, quirk 19; Docker's API 1.41; agent `CreateContainerParameters`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    let Some(root) = module.options().root().map(|id| module.manifest().document().at(id)) else {
        return Verdict::NotApplicable;
    };
    let inner = module.option(&["HostConfig"]).into_iter().flat_map(At::members).map(|at| (at, Home::HostConfig));
    let members = root.members().map(|at| (at, Home::Top)).chain(inner);
    let worst = if context.target.platform.has_docker() { Severity::Warn } else { Severity::Silent };
    Verdict::each(members, |(member, stands)| judge(module, member, stands, worst))
}

fn judge(module: Module<'_>, member: At<'_>, stands: Home, worst: Severity) -> Option<Finding> {
    let key = member.key()?;
    // `$schema` and the like are notes of tools.
    if key.starts_with('$') {
        return None;
    }
    let place = |home: Home| if home == Home::Top { "right in the createOptions" } else { "in `HostConfig`" };
    let Some((known, belongs)) = home(key) else {
        let finding = Finding::new(Severity::Warn, format!("`{key}` is no key that Docker or the agent know"))
            .at(member.key_span(), "passed over")
            .because("it has no effect, whatever it was meant to do");
        return Some(match near(key, stands) {
            Some(known) => finding.fix(Fix::ask(format!("write `{known}`")).rename(member.path(), known)),
            None => finding.fix(Fix::advice("remove it")),
        });
    };
    if belongs == stands {
        return None;
    }
    let there = if belongs == Home::Top { module.option(&[known]) } else { module.option(&["HostConfig", known]) };
    let repeats = known == "ExposedPorts" && member.members().all(|port| is_bound(module, port));
    let (severity, reason) = if repeats {
        (Severity::Info, "it has no effect where it stands, and needs none: `PortBindings` have the same ports")
    } else {
        (worst, "it has no effect where it stands")
    };
    let finding = Finding::new(severity, format!("`{key}` is not read {}", place(stands)))
        .at(member.key_span(), format!("belongs {}", place(belongs)))
        .because(reason);
    Some(match there {
        _ if repeats => finding.fix(Fix::ask(format!("remove `{key}`")).remove(member.path())),
        Some(other) => finding.related(other.key_span(), "there is one already").fix(Fix::advice("join the two there")),
        None if known == "ExposedPorts" && member.kind() == Kind::Object => {
            let ports = member.members().filter_map(At::key).map(|port| (port.to_owned(), json!({})));
            let fix = Fix::ask("move it to its place, where the ports count").remove(member.path());
            let ports: serde_json::Map<_, _> = ports.collect();
            finding.fix(fix.set(module.option_path(&[known]), ports))
        }
        None => finding.fix(Fix::advice(format!("move it to its place, {}, if you want its effect", place(belongs)))),
    })
}

/// Whether `PortBindings` have the exposed port `at` under the same number, so that exposing it adds nothing
/// (`k8s-translation.md` §3).
fn is_bound(module: Module<'_>, at: At<'_>) -> bool {
    at.key().and_then(port).is_some_and(|(number, protocol)| {
        let same = |binding: &PortBinding<'_>| (binding.container, binding.protocol) == (number, protocol);
        module.port_bindings().iter().any(|binding| same(binding) && binding.host == Some(number))
    })
}
