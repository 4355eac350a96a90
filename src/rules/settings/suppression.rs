use crate::engine::{Check, SuppressionUse, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Suppression that hides nothing
    ///
    /// A suppression says that a finding is known and accepted, why, and perhaps until when. One that names no rule, that
    /// hides nothing any more, or whose last day is over is left over from another time, and the next reader takes it
    /// for the truth.
    ///
    /// ## Example
    ///
    /// With `[[suppress]] rule = "storage-host-bind"` in the settings, and nothing that the rule finds:
    ///
    /// ```json,fails
    /// { "HostConfig": { "Privileged": true } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Binds": ["/var/cache/scratch:/scratch"] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Remove the suppression, or give it another last day. An expired one hides nothing: its findings are back.
    id: "settings-suppression",
    codes: &["SET-001"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[],
    targets: Platform::ALL,
    seed: &[],
    source: "our own settings",
    check: Check::Suppressions(check),
}

fn check(uses: &[SuppressionUse<'_>]) -> Verdict {
    Verdict::each(uses, |used| {
        let suppression = used.suppression;
        let of = match &suppression.module {
            Some(module) => format!("`{}` in module `{module}`", suppression.rule),
            None => format!("`{}`", suppression.rule),
        };
        let problem = match (used.names_a_rule, suppression.until) {
            (false, _) => format!("a suppression names {of}, which is no rule"),
            (true, Some(until)) if used.is_expired => format!("the suppression of {of} ended on {until}"),
            _ if used.hides => return None,
            _ => format!("the suppression of {of} hides nothing"),
        };
        let finding = Finding::new(Severity::Warn, problem);
        Some(
            finding
                .because(format!("it was made because: {}", suppression.reason))
                .fix(Fix::advice("remove it from the settings")),
        )
    })
}
