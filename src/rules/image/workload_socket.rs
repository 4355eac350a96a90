use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;

/// The sockets of IoT Edge, by the names that they have in every installation.
const SOCKETS: [&str; 3] = ["workload.sock", "mgmt.sock", "fd://iotedge."];

rule! {
    /// # Socket of IoT Edge by its path
    ///
    /// On Docker a module reaches IoT Edge through a Unix socket. On Kubernetes there is none: the sidecar listens at
    /// `http://localhost:35001`, and `IOTEDGE_WORKLOADURI` says so. An SDK takes what the variable says; a program that
    /// was told the path of the socket doesn't find it, and has no identity.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Cmd": ["--workload", "unix:///var/run/iotedge/workload.sock"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "Cmd": ["--upstream", "edgehub"] }
    /// ```
    ///
    /// with a program that reads `IOTEDGE_WORKLOADURI`, and can speak HTTP over TCP as well as over a Unix socket.
    ///
    /// ## Fix
    ///
    /// Words only. What is written in the program itself, a manifest doesn't show. Variables `IOTEDGE_…` are not looked
    /// at: the agent overwrites them (ENV-004). Nor are mounts of the socket, which are a file (STO-003).
    id: "image-workload-socket",
    codes: &["IMG-006"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `KubernetesDeploymentMapper.cs` (CollectModuleEnv); helm `iotedged-proxy-config.yaml`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let arguments = module.arguments().into_iter().filter(|argument| {
        let name = argument.name.unwrap_or_default();
        !name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("IOTEDGE_"))
    });
    Verdict::each(arguments, |argument| {
        // Nearly no argument does, and `contains` says so at once.
        let mut named = SOCKETS.iter().filter(|socket| argument.text.contains(**socket));
        let (socket, end) = named.find_map(|socket| Some((socket, argument.text.find(socket)? + socket.len())))?;
        // The path or URL around it: from the last blank or `=` before.
        let before = &argument.text[..end - socket.len()];
        let start = before.trim_end_matches(|c: char| !c.is_whitespace() && !"=,;\"'".contains(c)).len();
        Some(
            Finding::new(Severity::Block, "the module is told where the socket of IoT Edge is")
                .at(argument.part(start..end), "no such socket on Kubernetes")
                .because("the module doesn't reach IoT Edge, and gets no identity")
                .fix(Fix::advice("let the program read `IOTEDGE_WORKLOADURI`, which is an HTTP address there")),
        )
    })
}
