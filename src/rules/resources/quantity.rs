use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::quantity::thousandths;
use crate::kube_model::resources::{is_extended, is_standard};
use crate::manifest::{FPGA, GPU, Module, has_placeholder};
use crate::target::Platform;
use crate::text::At;

/// What follows from an amount that is refused.
const REFUSED: &str = "Kubernetes refuses the module, and no module gets its claims";

rule! {
    /// # Amount that Kubernetes refuses
    ///
    /// Amounts of memory and processor time are Kubernetes quantities: a number and perhaps a unit, `512Mi`, `2Gi`,
    /// `500m`. `128MB`, `-1`, a resource that Kubernetes doesn't know (`gpu`), part of a device, a request above its
    /// limit: each of them makes Kubernetes refuse the module's Deployment, which also keeps the claims of **all**
    /// modules from being made.
    ///
    /// One mistake is accepted: `128m` of memory is not 128 MiB, as Docker reads it, but an eighth of a byte.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "k8s-experimental": { "resources": { "limits": { "memory": "512MB", "cpu": "500m" } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "k8s-experimental": { "resources": {
    ///     "limits": { "memory": "512Mi", "cpu": "500m" },
    ///     "requests": { "memory": "256Mi", "cpu": 0.25 } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, and proposes the amount that seems to be meant: `512M` for `512MB`, `128Mi` for `128m`, the limit for a
    /// request above it.
    id: "resources-quantity",
    codes: &["RES-004"],
    severity: Severity::Block,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["resources.limits"],
    source: "Kubernetes `validation.go`; each refusal observed on Kubernetes 1.20, and that `128m` is accepted",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let section = |name| module.option(&["k8s-experimental", "resources", name]);
    let members = ["limits", "requests"].into_iter().filter_map(section).flat_map(At::members);
    Verdict::each(members.filter(|at| at.key() != Some(FPGA)), |amount| {
        let name = amount.key()?;
        let known = amount.as_text().is_none_or(|text| !has_placeholder(text)) && !has_placeholder(name);
        known.then(|| judge(module, name, amount)).flatten()
    })
}

fn judge(module: Module<'_>, name: &str, amount: At<'_>) -> Option<Finding> {
    if !is_standard(name) && !name.contains('/') {
        return Some(unknown(name, amount));
    }
    let text = amount.as_text()?;
    let refused =
        |message: String, label: &str| Finding::new(Severity::Block, message).at(amount.span(), label).because(REFUSED);
    let Some(value) = thousandths(text) else {
        let finding = refused(format!("`{text}` is no amount of `{name}`"), "expected a number with a unit");
        return Some(match meant(text) {
            Some(meant) => finding.fix(Fix::ask(format!("write `{meant}`")).set(amount.path(), meant)),
            None => finding.fix(Fix::advice("write a Kubernetes quantity, for instance 512Mi or 500m")),
        });
    };
    let is_fraction = value % 1000 != 0;
    if value < 0 {
        let fix = Fix::ask("leave it out, if no limit is meant").remove(amount.path());
        Some(refused(format!("`{text}` of `{name}` is less than nothing"), "negative").fix(fix))
    } else if is_extended(name) && is_fraction {
        let fix = Fix::advice("ask for a whole number; to share a GPU use `NVIDIA_VISIBLE_DEVICES`");
        Some(refused(format!("`{text}` of `{name}` is no whole number"), "devices can't be divided").fix(fix))
    } else if name == "memory" && is_fraction {
        Some(part_of_a_byte(text, amount))
    } else {
        request_against_limit(module, name, amount, value)
    }
}

/// A resource without the domain of a vendor that is none of Kubernetes' own.
fn unknown(name: &str, amount: At<'_>) -> Finding {
    let lower = name.to_ascii_lowercase();
    let meant = if ["gpu", "gpus", "nvidia-gpu"].contains(&lower.as_str()) { GPU } else { &lower };
    let finding = Finding::new(Severity::Block, format!("Kubernetes knows no resource `{name}`"))
        .at(amount.key_span(), "neither Kubernetes' own nor a vendor's")
        .because(REFUSED);
    if meant == GPU || is_standard(meant) {
        finding.fix(Fix::ask(format!("ask for `{meant}`")).rename(amount.path(), meant))
    } else {
        finding.fix(Fix::advice("ask for `memory`, `cpu`, or a resource with the domain of its vendor"))
    }
}

fn part_of_a_byte(text: &str, amount: At<'_>) -> Finding {
    let finding = Finding::new(Severity::Warn, format!("`{text}` of memory is less than it looks"))
        .at(amount.span(), "`m` means thousandths: of a byte")
        .because("Kubernetes accepts it, and stops the module as soon as it uses any memory");
    match text.strip_suffix('m').filter(|number| number.bytes().all(|byte| byte.is_ascii_digit())) {
        Some(number) => finding.fix(Fix::ask(format!("write `{number}Mi`")).set(amount.path(), format!("{number}Mi"))),
        None => finding.fix(Fix::advice("write the amount in Mi")),
    }
}

/// A request that Kubernetes refuses beside its limit. GPUs are rule GPU-017's.
fn request_against_limit(module: Module<'_>, name: &str, amount: At<'_>, value: i128) -> Option<Finding> {
    let is_request = amount.parent().and_then(At::key).is_some_and(|key| key.eq_ignore_ascii_case("requests"));
    if !is_request || name == GPU {
        return None;
    }
    let limit = module.limit(name);
    let allowed = limit.and_then(At::as_text).and_then(thousandths);
    let asked = amount.as_text().unwrap_or_default();
    let refused = |message: String| Finding::new(Severity::Block, message).because(REFUSED);
    match (limit, allowed) {
        (None, _) if is_extended(name) => {
            let path = module.option_path(&["k8s-experimental", "resources", "limits", name]);
            let value = amount.as_i64().map_or(asked.into(), serde_json::Value::from);
            let fix = Fix::ask("make the request the limit").set(path, value).remove(amount.path());
            let finding = refused(format!("`{name}` is requested without a limit"));
            Some(finding.at(amount.key_span(), "needs a limit, and follows it").fix(fix))
        }
        (Some(limit), Some(allowed)) if value > allowed || is_extended(name) && value != allowed => {
            let (relation, label) =
                if value > allowed { ("above", "more than the limit") } else { ("below", "must equal the limit") };
            let fix = Fix::ask("leave the request out; it follows the limit then").remove(amount.path());
            let finding = refused(format!("the request for `{name}`, {asked}, is {relation} its limit"));
            Some(finding.at(amount.span(), label).related(limit.span(), "the limit").fix(fix))
        }
        _ => None,
    }
}

/// The quantity that `text` seems to mean: without blanks, without a `B` at the end, with its unit in the right case.
fn meant(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    // Kubernetes takes a unit alone as zero, which nobody means.
    if digits == 0 {
        return None;
    }
    let unit = match text[digits..].to_ascii_lowercase().trim_end_matches('b') {
        "" => "",
        "k" => "k",
        "m" => "M",
        "g" => "G",
        "t" => "T",
        "ki" => "Ki",
        "mi" => "Mi",
        "gi" => "Gi",
        "ti" => "Ti",
        _ => return None,
    };
    let quantity = format!("{}{unit}", &text[..digits]);
    thousandths(&quantity).map(|_| quantity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_guessed() {
        for (text, expected) in [
            ("512MB", Some("512M")),
            ("512mb", Some("512M")),
            ("1 Gi", Some("1Gi")),
            ("256mi", Some("256Mi")),
            ("2GiB", Some("2Gi")),
            ("100B", Some("100")),
            ("half", None),
            ("", None),
            ("MB", None),
        ] {
            assert_eq!(meant(text).as_deref(), expected, "{text}");
        }
    }
}
