//! What a rule is: its page, what it declares and needs, what it looks at, what it says.

use super::known::missing;
use super::{AgentSighting, Context, Sighting};
use crate::evidence::{Gpu, GpuDriver, ModuleGpus, ModuleState, Snapshot};
use crate::finding::{Finding, Safety, Severity};
use crate::manifest::{Manifest, Module};
use crate::settings::Suppression;
use crate::target::Platform;

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
