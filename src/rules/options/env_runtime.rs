use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{GATEWAY, is_set_by_agent};
use crate::manifest::Module;
use crate::target::Platform;

rule! {
    /// # Variable of the runtime
    ///
    /// The agent tells a module who it is and where its workload API is, by variables such as `IOTEDGE_MODULEID` and
    /// `IOTEDGE_WORKLOADURI`. On Kubernetes it adds them **after** the module's own, and of two the later wins: a value
    /// of your own is without effect, for instance the socket `fd://iotedge.socket` of Docker.
    ///
    /// `EdgeDeviceHostName` is the agent's in edgeAgent and edgeHub, and from beta14 on in every module (`--agent
    /// beta14`). `IOTEDGE_GATEWAYHOSTNAME` has its own rule, NET-014.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Env": ["IOTEDGE_WORKLOADURI=fd://iotedge.socket"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// Nothing; a variable with a name of your own, if a program must be told something else.
    ///
    /// ```json,passes
    /// { "Env": ["IOTEDGE_TIMEOUT=30"] }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, and removes the variable.
    id: "options-env-runtime",
    codes: &["ENV-004"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `KubernetesDeploymentMapper.cs`, CollectModuleEnv; SPATIAL; the last value wins, tried on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    Verdict::each(module.env(), |var| {
        (var.name != GATEWAY && is_set_by_agent(var.name, module, context.agent)).then(|| {
            Finding::new(Severity::Warn, format!("`{}` is set by the agent, and its value wins", var.name))
                .at(var.name_span(), "without effect")
                .because("the module gets the agent's value, whatever stands here")
                .fix(Fix::ask("remove it").remove(var.path()))
        })
    })
}
