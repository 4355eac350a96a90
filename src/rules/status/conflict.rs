use jiff::{SignedDuration, Timestamp};

use crate::engine::{Check, Context, Sighting, Verdict};
use crate::evidence::{About, Statement};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Sources that contradict each other
    ///
    /// Two sources say different things of one module: Docker has no running container and the twin of `$edgeAgent` says
    /// `running`, the deployment says `stopped` and it runs, there is a container that the deployment does not have. One of them
    /// is out of date or about another device. Both sides are shown, each with the time at which it was so. A container that
    /// changed within the last minute contradicts nobody: the agent has to look first.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "taken_at": "2026-01-01T01:00:00Z",
    ///   "engine": { "containers": { "scorer": { "status": "exited", "finished_at": "2026-01-01T00:30:00Z" } } },
    ///   "states": { "scorer": { "status": "running", "since": "2026-01-01T00:00:00Z" } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "taken_at": "2026-01-01T01:00:00Z",
    ///   "engine": { "containers": { "scorer": { "status": "running", "started_at": "2026-01-01T00:00:00Z" } } },
    ///   "states": { "scorer": { "status": "running", "since": "2026-01-01T00:00:00Z" } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: which side to renew.
    id: "status-conflict",
    codes: &[],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "`iotedge-protocol.md` C, what each source gives; agent: looks every 5 s",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, context: &Context<'_>) -> Verdict {
    let seen = [sighting.declared.is_some(), sighting.reported.is_some(), sighting.container.is_some()];
    // One statement contradicts nothing.
    if seen.into_iter().filter(|seen| *seen).count() < 2 && sighting.conflicts.is_empty() {
        return Verdict::NotApplicable;
    }
    let finding = |conflict: &crate::evidence::Conflict| {
        let [now, other] = &conflict.sides;
        let what = match conflict.about {
            About::State => "what it does",
            About::Image => "its image",
            About::Presence => "whether it is there",
        };
        let message = format!(
            "`{}`: {} says {}, {} says {}",
            sighting.id,
            now.source,
            quoted(&now.says),
            other.source,
            quoted(&other.says)
        );
        let ages = format!("{}; {}", age(now, context.now), age(other, context.now));
        let finding = Finding::new(Severity::Warn, message)
            .because(format!("both cannot be true of {what}, and what was judged rests on one of them ({ages})"))
            .fix(Fix::advice(
                "renew the side that is out of date, and look whether edgeAgent runs and is on this device",
            ));
        match sighting.declared {
            Some(declared) => finding.at(declared.entry().key_span(), "declared here"),
            None => finding,
        }
    };
    Verdict::Judged(sighting.conflicts.iter().map(finding).collect())
}

/// Words of a program are quoted, ours are not.
fn quoted(says: &str) -> String {
    if says.contains(' ') { format!("that {says}") } else { format!("`{says}`") }
}

fn age(statement: &Statement, now: Timestamp) -> String {
    let source = statement.source;
    let Some(at) = statement.at else { return format!("{source}: at no known time") };
    let age = now.duration_since(at);
    match age {
        _ if age < SignedDuration::from_secs(10) => format!("{source}: just now"),
        _ if age < SignedDuration::from_mins(2) => format!("{source}: {} seconds ago", age.as_secs()),
        _ if age < SignedDuration::from_hours(2) => format!("{source}: {} minutes ago", age.as_mins()),
        _ => format!("{source}: {} hours ago", age.as_hours()),
    }
}
