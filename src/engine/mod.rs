//! Rules applied to a snapshot: deterministic, total, without I/O. Decides what is evaluated at all; what a rule
//! thinks is the rule's.

mod context;
mod known;
mod rule;
mod sighting;

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::Timestamp;

pub use self::context::Context;
use self::known::{manifest, missing, rests_on_ourselves, seen, unattributed, unknown_steps, unseen, unsighted};
pub use self::rule::{Check, Need, Rule, SuppressionUse, Verdict};
use self::sighting::sightings;
pub use self::sighting::{AgentSighting, Sighting};
use crate::evidence::{Snapshot, Why};
use crate::finding::Level;
use crate::manifest::{Manifest, Module};
use crate::report::{Evaluation, Outcome, Report, Subject, Suppressed};
use crate::settings::{Settings, Suppression};

/// Applies `rules` to `snapshot`.
pub fn evaluate(snapshot: &Snapshot, settings: &Settings, rules: &[&'static Rule]) -> Report {
    let context = Context::of(snapshot, settings);
    // The ids are shared: every rule has a line for every module.
    let modules: Vec<(Module<'_>, Subject)> = snapshot.manifest.known().map_or_else(Vec::new, |manifest| {
        manifest.modules().map(|module| (module, Subject::Module(module.id().into()))).collect()
    });
    // Most checks see nothing that runs.
    let running = LazyCell::new(|| sightings(snapshot));
    let mut evaluations = Vec::with_capacity(rules.len() * modules.len().max(1));
    let mut suppressions_used = BTreeSet::new();
    for (rule, of_modules) in rules.iter().zip(of_modules(rules, &modules, &context)) {
        let before = evaluations.len();
        evaluate_rule(rule, snapshot, &context, &modules, of_modules, &running, &mut evaluations);
        // Only the suppressions of this rule can matter to it.
        let suppressions = settings.suppress.iter().enumerate();
        let suppressions = suppressions.filter(|(_, s)| rule.answers_to(&s.rule) && !s.is_expired(snapshot.taken_at));
        let suppressions: Vec<(usize, &Suppression)> = suppressions.collect();
        suppressions_used.extend(evaluations[before..].iter_mut().filter_map(|line| suppress(line, &suppressions)));
    }
    Report { target: settings.target, evaluations, suppressions_used }
}

/// Judges the settings themselves, after everything that they are about: a suppression that hides nothing in any of
/// `reports`, or whose last day is over, is itself a finding.
pub fn evaluate_settings(settings: &Settings, reports: &[&Report], now: Timestamp, rules: &[&'static Rule]) -> Report {
    let uses: Vec<SuppressionUse<'_>> = settings
        .suppress
        .iter()
        .enumerate()
        .map(|(i, suppression)| SuppressionUse {
            suppression,
            names_a_rule: rules.iter().any(|rule| rule.answers_to(&suppression.rule)),
            hides: reports.iter().any(|report| report.suppressions_used.contains(&i)),
            is_expired: suppression.is_expired(now),
        })
        .collect();
    let evaluations = rules.iter().filter_map(|rule| match &rule.check {
        Check::Suppressions(check) => {
            Some(evaluation(rule, Subject::Deployment, Level::L1, judged(None, || check(&uses))))
        }
        _ => None,
    });
    Report { target: settings.target, evaluations: evaluations.collect(), suppressions_used: BTreeSet::new() }
}

/// Hides the findings of `evaluation` behind the first suppression that covers it, and says which one that was.
fn suppress(evaluation: &mut Evaluation, suppressions: &[(usize, &Suppression)]) -> Option<usize> {
    let Outcome::Fail(findings) = &mut evaluation.outcome else { return None };
    let module = evaluation.subject.module();
    let (index, suppression) = suppressions.iter().find(|(_, suppression)| suppression.covers(module))?;
    evaluation.outcome = Outcome::Suppressed(Box::new(Suppressed {
        reason: suppression.reason.clone(),
        until: suppression.until.map(|until| until.to_string()),
        hidden: std::mem::take(findings),
    }));
    Some(*index)
}

/// One line of the ledger.
fn evaluation(rule: &'static Rule, subject: Subject, level: Level, outcome: Outcome) -> Evaluation {
    Evaluation { rule: rule.id, codes: rule.codes, severity: rule.severity, subject, level, outcome }
}

/// What each of `rules` that looks at modules as they are written says of each module. Every rule looks at a few modules
/// before the next rule does: what is written of so few stays in the processor's cache.
fn of_modules(rules: &[&Rule], modules: &[(Module<'_>, Subject)], context: &Context<'_>) -> Vec<Vec<Outcome>> {
    const FEW: usize = 16;
    let mut outcomes: Vec<Vec<Outcome>> = rules.iter().map(|_| Vec::new()).collect();
    for few in modules.chunks(FEW) {
        for (rule, outcomes) in rules.iter().zip(&mut outcomes) {
            let Check::Module(check) = &rule.check else { continue };
            if rule.targets.contains(&context.target.platform) {
                outcomes.extend(few.iter().map(|(module, _)| {
                    let missing = missing(rule, module.manifest(), Some(*module), context);
                    judged(missing, || check(*module, context))
                }));
            }
        }
    }
    outcomes
}

/// Adds what `rule` says of each of its subjects to `lines`; `of_modules` is what it says of each module.
fn evaluate_rule<'s>(
    rule: &'static Rule,
    snapshot: &Snapshot,
    context: &Context<'_>,
    modules: &[(Module<'_>, Subject)],
    of_modules: Vec<Outcome>,
    running: &LazyCell<Vec<Sighting<'s>>, impl FnOnce() -> Vec<Sighting<'s>>>,
    lines: &mut Vec<Evaluation>,
) {
    // Manifest and `$edgeAgent` twin alike were handed to us; Docker's socket is a right given on purpose.
    let engine_is_known = snapshot.engine.known().is_some();
    let rests_on_engine =
        matches!(rule.check, Check::Running(_)) && (rule.needs.contains(&Need::Engine) || engine_is_known);
    let level = match rule.check {
        // GPUs are seen without any right, and so are the process that looks, and the network.
        Check::Gpu(_) | Check::GpuDriver(_) => Level::L0,
        Check::ModuleGpus(_) if snapshot.engine.known().is_none() && snapshot.grants.known().is_none() => Level::L0,
        Check::ModuleGpus(_) => Level::L2,
        _ if rests_on_ourselves(rule) => Level::L0,
        _ if rests_on_engine => Level::L2,
        _ if rule.needs.contains(&Need::Inside) => Level::L0,
        _ => Level::L1,
    };
    let line = |subject: Subject, outcome: Outcome| evaluation(rule, subject, level, outcome);
    if !rule.targets.contains(&context.target.platform) {
        lines.push(line(Subject::Deployment, Outcome::NotApplicable));
        return;
    }
    match &rule.check {
        Check::Module(_) => match manifest(snapshot) {
            Err(why) => lines.push(line(Subject::Deployment, Outcome::not_evaluated(why))),
            Ok(_) => lines.extend(modules.iter().zip(of_modules).map(|((_, subject), o)| line(subject.clone(), o))),
        },
        Check::Deployment(check) => {
            let outcome = match manifest(snapshot) {
                Err(why) => Outcome::not_evaluated(why),
                Ok(manifest) => judged(missing(rule, manifest, None, context), || check(manifest, context)),
            };
            lines.push(line(Subject::Deployment, outcome));
        }
        Check::State(check) => match seen(&snapshot.modules) {
            Err(outcome) => lines.push(line(Subject::Deployment, outcome)),
            Ok(states) => lines.extend(states.iter().map(|(id, state)| {
                line(Subject::Module(id.as_str().into()), judged(None, || check(id, state, context)))
            })),
        },
        Check::Gpu(check) => match seen(&snapshot.gpus) {
            Err(outcome) => lines.push(line(Subject::Deployment, outcome)),
            Ok(gpus) => lines.extend(
                gpus.iter()
                    .map(|gpu| line(Subject::Gpu(gpu.uuid.as_str().into()), judged(None, || check(gpu, context)))),
            ),
        },
        Check::GpuDriver(check) => {
            let outcome = seen(&snapshot.gpu_driver);
            let outcome = outcome.map_or_else(|outcome| outcome, |driver| judged(None, || check(driver, context)));
            lines.push(line(Subject::Deployment, outcome));
        }
        Check::Agent(check) => {
            let outcome = match seen(&snapshot.agent) {
                Err(outcome) => outcome,
                Ok(agent) => {
                    let manifest_version = snapshot.manifest.known().and_then(Manifest::version);
                    let sighting = AgentSighting { agent, modules: snapshot.modules.known(), manifest_version };
                    judged(None, || check(&sighting, context))
                }
            };
            lines.push(line(Subject::Deployment, outcome));
        }
        Check::ModuleGpus(check) => match unattributed(snapshot) {
            Some(outcome) => lines.push(line(Subject::Deployment, outcome)),
            None => lines.extend(snapshot.gpus_of_modules().iter().map(|(id, gpus)| {
                let outcome = judged(unknown_steps(gpus), || check(gpus, context));
                line(Subject::Module(id.as_str().into()), outcome)
            })),
        },
        Check::Running(check) => {
            let outcome = unsighted(rule, snapshot);
            // Without an engine what is inside of our own module is known all the same.
            let only_ours = outcome.is_some() && rule.needs.contains(&Need::Inside);
            let modules = running
                .iter()
                .filter(|sighting| if only_ours { sighting.process.is_some() } else { outcome.is_none() });
            lines.extend(modules.map(|sighting| {
                let missing =
                    sighting.declared.and_then(|module| missing(rule, module.manifest(), Some(module), context));
                line(Subject::Module(sighting.id.into()), judged(missing, || check(sighting, context)))
            }));
            lines.extend(outcome.map(|outcome| line(Subject::Deployment, outcome)));
        }
        Check::Device(check) => {
            let outcome = unseen(rule, snapshot).unwrap_or_else(|| judged(None, || check(snapshot, context)));
            lines.push(line(Subject::Deployment, outcome));
        }
        Check::Suppressions(_) => {}
    }
}

fn judged(missing: Option<Why>, check: impl FnOnce() -> Verdict) -> Outcome {
    if let Some(why) = missing {
        return Outcome::not_evaluated(why);
    }
    match catch_unwind(AssertUnwindSafe(check)) {
        Ok(Verdict::NotApplicable) => Outcome::NotApplicable,
        Ok(Verdict::Judged(findings)) if findings.is_empty() => Outcome::Pass,
        Ok(Verdict::Judged(findings)) => Outcome::Fail(findings),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Outcome::Broken(text.unwrap_or("unknown panic").into())
        }
    }
}
