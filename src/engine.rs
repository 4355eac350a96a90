//! Rules applied to a snapshot: deterministic, total, without I/O. Decides what is evaluated at all; what a rule
//! thinks is the rule's.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::Timestamp;

use crate::evidence::{
    AgentTwin, Client, Conflict, Container, Engine, Gpu, GpuDriver, Grants, ModuleGpus, ModuleState, Network, Observed,
    Peer, Process, Proxy, RuntimeStatus, Snapshot, Why,
};
use crate::finding::{Finding, Level, Safety, Severity};
use crate::kube_model::{AgentSettings, Calls};
use crate::manifest::{Form, GPU, Manifest, Module, Options};
use crate::report::{Evaluation, Outcome, Report, Subject, Suppressed};
use crate::settings::{Settings, Site, Suppression};
use crate::target::{Agent, Platform, Target};

/// A rule: its page, what it declares, and its check.
#[derive(Debug)]
pub struct Rule {
    /// `family-thing`, the name that users see.
    pub id: &'static str,
    /// The rows of the rule catalogue that it covers (`STO-001`); usable wherever the id is.
    pub codes: &'static [&'static str],
    /// How bad a finding usually is.
    pub severity: Severity,
    /// The most that its fixes do without asking.
    pub fix: Safety,
    /// What must be known for the check to run.
    pub needs: &'static [Need],
    /// Where it holds.
    pub targets: &'static [Platform],
    /// Statements of the seed document that it covers.
    pub seed: &'static [&'static str],
    /// Where the fact comes from.
    pub source: &'static str,
    /// The check.
    pub check: Check,
    /// The page, Markdown: its first line is the title.
    pub page: &'static str,
}

/// What a rule looks at.
#[derive(Debug)]
pub enum Check {
    /// Each module as written.
    Module(fn(Module<'_>, &Context<'_>) -> Verdict),
    /// The deployment as written.
    Deployment(fn(&Manifest, &Context<'_>) -> Verdict),
    /// Each module as it runs.
    State(fn(&str, &ModuleState, &Context<'_>) -> Verdict),
    /// Each GPU.
    Gpu(fn(&Gpu, &Context<'_>) -> Verdict),
    /// The driver of the GPUs.
    GpuDriver(fn(&GpuDriver, &Context<'_>) -> Verdict),
    /// The GPUs of each module.
    ModuleGpus(fn(&ModuleGpus, &Context<'_>) -> Verdict),
    /// Each module in everything that is known of it: as written, as reported, and on the Docker engine.
    Running(fn(&Sighting<'_>, &Context<'_>) -> Verdict),
    /// The device and its way to IoT Hub, in everything that is known of them.
    Device(fn(&Snapshot, &Context<'_>) -> Verdict),
    /// What IoT Edge's agent says of itself.
    Agent(fn(&AgentSighting<'_>, &Context<'_>) -> Verdict),
    /// The suppressions of the settings, once everything was judged: see [`evaluate_settings`].
    Suppressions(fn(&[SuppressionUse<'_>]) -> Verdict),
}

/// One module in everything that is known of it. It is declared, reported, or has a container.
#[derive(Debug, Clone)]
pub struct Sighting<'a> {
    /// Its id.
    pub id: &'a str,
    /// As it was written.
    pub declared: Option<Module<'a>>,
    /// As IoT Edge reports it.
    pub reported: Option<&'a ModuleState>,
    /// Its container.
    pub container: Option<&'a Container>,
    /// The engine that was looked at, whether it has such a container or not.
    pub engine: Option<&'a Engine>,
    /// The process that looked, if it is this module.
    pub process: Option<&'a Process>,
    /// How it looks over the network.
    pub peer: Option<&'a Peer>,
    /// The network in which somebody looked for it.
    pub network: Option<&'a Network>,
    /// The clients of edgeHub, whether it is one of them or not.
    pub clients: Option<&'a BTreeMap<String, Client>>,
    /// What sources say differently of it.
    pub conflicts: Vec<Conflict>,
}

/// What IoT Edge's agent says of itself, and of all modules that it runs.
#[derive(Debug, Clone, Copy)]
pub struct AgentSighting<'a> {
    /// Of itself.
    pub agent: &'a AgentTwin,
    /// Of the modules, where it says anything.
    pub modules: Option<&'a BTreeMap<String, ModuleState>>,
    /// `$version` of the deployment that is judged, where it is one out of IoT Hub.
    pub manifest_version: Option<i64>,
}

impl<'a> Sighting<'a> {
    /// The engine, if the module is to run there and has no container.
    pub fn lacks_container(&self) -> Option<(Module<'a>, &'a Engine)> {
        let declared = self.declared.filter(|module| !module.is_stopped())?;
        self.engine.filter(|_| self.container.is_none()).map(|engine| (declared, engine))
    }

    /// The proxies of its variables, as far as somebody saw them: the process of itself, or the engine.
    pub fn proxies(&self) -> Option<&'a [Proxy]> {
        let of_container = self.container.filter(|container| container.is_running());
        let of_container = of_container.map(|container| container.proxies.as_slice());
        of_container.or(self.process.map(|process| process.proxies.as_slice()))
    }

    /// Its variable `no_proxy`, likewise.
    pub fn no_proxy(&self) -> Option<&'a str> {
        let of_container = self.container.and_then(|container| container.no_proxy.as_deref());
        of_container.or(self.process.and_then(|process| process.no_proxy.as_deref()))
    }

    /// Whether nobody says that it does not run, so that it should answer.
    pub fn may_run(&self) -> bool {
        let nobody_objects = self.lacks_container().is_none()
            && self.container.is_none_or(Container::is_running)
            && self.reported.is_none_or(|state| state.status == RuntimeStatus::Running)
            && !self.declared.is_some_and(Module::is_stopped);
        // Whoever looks runs.
        self.process.is_some() || nobody_objects
    }
}

/// A suppression and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct SuppressionUse<'a> {
    /// The suppression.
    pub suppression: &'a Suppression,
    /// Whether there is such a rule.
    pub names_a_rule: bool,
    /// Whether it hid something.
    pub hides: bool,
    /// Whether its last day is over.
    pub is_expired: bool,
}

/// Evidence without which a rule is not evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The module's createOptions, readable.
    CreateOptions,
    /// The deployment around the createOptions.
    Deployment,
    /// What the Docker engine knows of the modules.
    Engine,
    /// What the process that looks knows of itself.
    Process,
    /// What can be reached over the network.
    Network,
    /// What is inside of modules: as the Docker engine has it, or for the module that looks as its own process has it.
    Inside,
    /// The modules that edgeHub has as clients.
    Clients,
    /// The site's shares.
    Shares,
    /// The site's GPUs.
    Gpus,
    /// The size of the site's range of external addresses.
    ExternalIps,
    /// The memory of the worker VM.
    WorkerMemory,
    /// The processors of the worker VM.
    WorkerCpus,
    /// The version of CUDA that the driver of the GPUs has.
    Cuda,
    /// The software of the device.
    Software,
    /// How long the site is without IoT Hub while it moves.
    Downtime,
    /// Whether the VM's IoT Edge daemon gives modules elevated permissions.
    ElevatedDockerPermissions,
}

/// What a rule knows besides its subject.
#[derive(Debug)]
pub struct Context<'a> {
    /// Where the deployment is to run.
    pub target: Target,
    /// The IoT Edge agent on Kubernetes.
    pub agent: Agent,
    /// Its settings, as far as they are known.
    pub(crate) agent_settings: AgentSettings,
    /// Facts about the site.
    pub site: &'a Site,
    /// Which module calls which other one: found once, since each rule that asks would look through all of them.
    pub(crate) calls: Calls<'a>,
    /// Whether somebody counts on a GPU: a module that asks for one, or the settings that name some.
    pub expects_gpus: bool,
    /// What the kubelet gave to whom, where it was asked.
    pub grants: Option<&'a Grants>,
    /// Whether a module counts on the Multi-Process Service, by its variables `CUDA_MPS_…`.
    pub expects_mps: bool,
    /// When the snapshot was taken.
    pub now: Timestamp,
}

/// What a rule says.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing of the rule's kind is there.
    NotApplicable,
    /// It was looked at; no findings means that it is well.
    Judged(Vec<Finding>),
}

impl Verdict {
    /// Judges each of `things`; not applicable if there are none.
    pub fn each<T>(things: impl IntoIterator<Item = T>, judge: impl FnMut(T) -> Option<Finding>) -> Self {
        let mut things = things.into_iter().peekable();
        if things.peek().is_none() {
            Verdict::NotApplicable
        } else {
            Verdict::Judged(things.filter_map(judge).collect())
        }
    }
}

impl From<Option<Finding>> for Verdict {
    fn from(finding: Option<Finding>) -> Self {
        Verdict::Judged(finding.into_iter().collect())
    }
}

impl Rule {
    /// The first line of the page.
    pub fn title(&self) -> &'static str {
        self.page.trim_start().lines().next().unwrap_or_default().trim_start_matches('#').trim()
    }

    /// The part of the id before the first hyphen: `storage`.
    pub fn family(&self) -> &'static str {
        self.id.split('-').next().unwrap_or_default()
    }

    /// What it finds in `module`, for a rule that leaves to it what it says already. Nothing where it is not evaluated, and for
    /// rules about anything else than modules as they are written.
    pub(crate) fn findings_in(&self, module: Module<'_>, context: &Context<'_>) -> Vec<Finding> {
        let applies = self.targets.contains(&context.target.platform);
        let is_evaluated = applies && missing(self, module.manifest(), Some(module), context).is_none();
        match &self.check {
            Check::Module(check) if is_evaluated => match check(module, context) {
                Verdict::Judged(findings) => findings,
                Verdict::NotApplicable => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// Whether `name` is the rule's id or one of its codes, in any case.
    pub fn answers_to(&self, name: &str) -> bool {
        self.id.eq_ignore_ascii_case(name) || self.codes.iter().any(|code| code.eq_ignore_ascii_case(name))
    }
}

/// Applies `rules` to `snapshot`.
pub fn evaluate(snapshot: &Snapshot, settings: &Settings, rules: &[&'static Rule]) -> Report {
    let context = Context {
        target: settings.target,
        agent: settings.agent,
        agent_settings: AgentSettings::of(settings.agent),
        site: &settings.site,
        calls: snapshot.manifest.known().map(Calls::of).unwrap_or_default(),
        grants: snapshot.grants.known(),
        expects_gpus: settings.site.gpus.is_some_and(|gpus| gpus > 0) || asks_for_gpus(snapshot),
        expects_mps: asks_for_mps(snapshot),
        now: snapshot.taken_at,
    };
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
            Err(why) => lines.push(line(Subject::Deployment, Outcome::NotEvaluated(why))),
            Ok(_) => lines.extend(modules.iter().zip(of_modules).map(|((_, subject), o)| line(subject.clone(), o))),
        },
        Check::Deployment(check) => {
            let outcome = match manifest(snapshot) {
                Err(why) => Outcome::NotEvaluated(why),
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

/// Whether `rule` is about what the module sees of its own.
fn rests_on_ourselves(rule: &Rule) -> bool {
    rule.needs.contains(&Need::Process) || rule.needs.contains(&Need::Network)
}

/// How a rule ends that needs what nobody saw.
fn unseen(rule: &Rule, snapshot: &Snapshot) -> Option<Outcome> {
    rule.needs.iter().find_map(|need| match need {
        Need::Engine | Need::Inside => seen(&snapshot.engine).err(),
        Need::Process => seen(&snapshot.process).err(),
        Need::Network => seen(&snapshot.network).err(),
        _ => None,
    })
}

/// What was seen, or how a rule ends that is about it: it does not apply to what is not there.
fn seen<T>(observed: &Observed<T>) -> Result<&T, Outcome> {
    match observed {
        Observed::Known(value) => Ok(value),
        Observed::Absent => Err(Outcome::NotApplicable),
        Observed::Unknown(why) => Err(Outcome::NotEvaluated(why.clone())),
    }
}

fn asks_for_gpus(snapshot: &Snapshot) -> bool {
    let mut modules = snapshot.manifest.known().into_iter().flat_map(Manifest::modules);
    modules.any(|module| module.limit(GPU).is_some() || !module.docker_gpus().is_empty())
}

fn asks_for_mps(snapshot: &Snapshot) -> bool {
    let mut modules = snapshot.manifest.known().into_iter().flat_map(Manifest::modules);
    let mut containers = snapshot.engine.known().into_iter().flat_map(|engine| engine.containers.values());
    modules.any(|module| module.env().iter().any(|variable| variable.name.starts_with("CUDA_MPS_")))
        || containers.any(|container| container.gpus.mps && container.is_running())
}

/// How a rule about running modules ends where nothing runs that anybody could see.
fn unsighted(rule: &Rule, snapshot: &Snapshot) -> Option<Outcome> {
    let needs_manifest = rule.needs.contains(&Need::Deployment) || rule.needs.contains(&Need::CreateOptions);
    let without_manifest = || needs_manifest.then(|| manifest(snapshot).err().map(Outcome::NotEvaluated)).flatten();
    if rule.needs.contains(&Need::Engine) || rule.needs.contains(&Need::Inside) || rests_on_ourselves(rule) {
        return unseen(rule, snapshot).or_else(without_manifest);
    }
    if rule.needs.contains(&Need::Clients)
        && let Err(outcome) = seen(&snapshot.clients)
    {
        return Some(outcome);
    }
    match (&snapshot.engine, &snapshot.modules) {
        (Observed::Unknown(why), Observed::Unknown(other)) => {
            // Of two reasons the one that is somebody's failure.
            Some(Outcome::NotEvaluated(if why.expected { why.clone() } else { other.clone() }))
        }
        (Observed::Absent | Observed::Unknown(_), Observed::Absent) => Some(Outcome::NotApplicable),
        _ => without_manifest(),
    }
}

/// How a rule about the GPUs of modules ends where nobody was asked who has which.
fn unattributed(snapshot: &Snapshot) -> Option<Outcome> {
    match (&snapshot.gpus, &snapshot.grants, &snapshot.engine) {
        (Observed::Unknown(why), Observed::Unknown(grants), Observed::Unknown(engine)) => {
            let why = [why, grants, engine].into_iter().find(|why| why.expected).unwrap_or(why);
            Some(Outcome::NotEvaluated(why.clone()))
        }
        (Observed::Absent, Observed::Unknown(_) | Observed::Absent, Observed::Unknown(_) | Observed::Absent) => {
            Some(Outcome::NotApplicable)
        }
        _ => None,
    }
}

/// What keeps a module that asks for GPUs from being judged: nothing is known but that it asks.
fn unknown_steps(gpus: &ModuleGpus) -> Option<Why> {
    gpus.asked.known()?;
    match (&gpus.granted, &gpus.visible, &gpus.used) {
        (Observed::Unknown(why), Observed::Unknown(_), Observed::Unknown(_)) => Some(why.clone()),
        _ => None,
    }
}

/// Every module that anybody knows of, by its id.
fn sightings(snapshot: &Snapshot) -> Vec<Sighting<'_>> {
    let (engine, reported) = (snapshot.engine.known(), snapshot.modules.known());
    let (process, network) = (snapshot.process.known(), snapshot.network.known());
    let manifest = snapshot.manifest.known();
    // Bare createOptions have no name by which anything could be found.
    let manifest = manifest.filter(|manifest| manifest.form() != Form::CreateOptions);
    let declared: BTreeMap<&str, Module<'_>> =
        manifest.into_iter().flat_map(Manifest::modules).map(|module| (module.id(), module)).collect();
    let mut ids: BTreeSet<&str> = declared.keys().copied().collect();
    ids.extend(reported.into_iter().flat_map(BTreeMap::keys).map(String::as_str));
    ids.extend(engine.into_iter().flat_map(|engine| engine.containers.keys()).map(String::as_str));
    ids.extend(process.and_then(|process| process.module.as_deref()));
    ids.extend(network.into_iter().flat_map(|network| network.peers.keys()).map(String::as_str));
    let sighting = |id| Sighting {
        id,
        declared: declared.get(id).copied(),
        reported: reported.and_then(|modules| modules.get(id)),
        container: engine.and_then(|engine| engine.containers.get(id)),
        engine,
        process: process.filter(|process| process.module.as_deref() == Some(id)),
        peer: network.and_then(|network| network.peers.get(id)),
        network,
        clients: snapshot.clients.known(),
        conflicts: snapshot.conflicts(id),
    };
    ids.into_iter().map(sighting).collect()
}

fn manifest(snapshot: &Snapshot) -> Result<&Manifest, Why> {
    match &snapshot.manifest {
        Observed::Known(manifest) => Ok(manifest),
        Observed::Absent => Err(Why::not_given("a deployment manifest")),
        Observed::Unknown(why) => Err(why.clone()),
    }
}

/// The first thing that `rule` needs and that is not known.
fn missing(rule: &Rule, manifest: &Manifest, module: Option<Module<'_>>, context: &Context<'_>) -> Option<Why> {
    rule.needs.iter().find_map(|need| match need {
        Need::CreateOptions => broken(manifest, module),
        // Looked at before: see `unsighted`.
        Need::Engine | Need::Process | Need::Network | Need::Inside | Need::Clients => None,
        Need::Deployment => (manifest.form() == Form::CreateOptions)
            .then(|| Why::not_given("the deployment around these createOptions")),
        Need::Shares => unless(context.site.shares.is_some(), "the shares of the site (site.shares)"),
        Need::Gpus => unless(context.site.gpus.is_some(), "the GPUs of the site (site.gpus)"),
        Need::ExternalIps => unless(
            context.site.external_ips.is_some(),
            "the range of external addresses of the site (site.external_ips)",
        ),
        Need::WorkerMemory => {
            unless(context.site.worker_memory.is_some(), "the memory of the worker VM (site.worker_memory)")
        }
        Need::WorkerCpus => {
            unless(context.site.worker_cpus.is_some(), "the processors of the worker VM (site.worker_cpus)")
        }
        Need::Cuda => unless(context.site.cuda.is_some(), "the CUDA version of the driver (site.cuda)"),
        Need::Software => unless(context.target.software.is_some(), "the device software (site.software)"),
        Need::Downtime => unless(
            context.site.downtime_secs.is_some(),
            "how long the site is without IoT Hub while it moves (site.downtime_secs)",
        ),
        Need::ElevatedDockerPermissions => unless(
            context.site.elevated_docker_permissions.is_some(),
            "the setting of the VM's IoT Edge daemon (site.elevated_docker_permissions)",
        ),
    })
}

fn unless(known: bool, what: &'static str) -> Option<Why> {
    (!known).then(|| Why::not_given(what))
}

/// The createOptions that cannot be read: those of `module`; for a rule about all modules, which cannot leave one out,
/// those of any.
fn broken(manifest: &Manifest, module: Option<Module<'_>>) -> Option<Why> {
    let ids: Vec<&str> = match module {
        Some(module) => is_broken(module).then(|| module.id()).into_iter().collect(),
        None => manifest.modules().filter(|module| is_broken(*module)).map(Module::id).collect(),
    };
    (!ids.is_empty()).then(|| Why::failed(format!("the createOptions of {}, which are not JSON", ids.join(", "))))
}

fn is_broken(module: Module<'_>) -> bool {
    matches!(module.options(), Options::Broken { .. })
}

fn judged(missing: Option<Why>, check: impl FnOnce() -> Verdict) -> Outcome {
    if let Some(why) = missing {
        return Outcome::NotEvaluated(why);
    }
    match catch_unwind(AssertUnwindSafe(check)) {
        Ok(Verdict::NotApplicable) => Outcome::NotApplicable,
        Ok(Verdict::Judged(findings)) if findings.is_empty() => Outcome::Pass,
        Ok(Verdict::Judged(findings)) => Outcome::Fail(findings),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            Outcome::Broken(
                text.or_else(|| panic.downcast_ref().cloned()).unwrap_or_else(|| "unknown panic".to_owned()),
            )
        }
    }
}
