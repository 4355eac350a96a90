use crate::engine::{Check, Context, Need, Verdict};
use crate::evidence::{Observed, Sidecar, Snapshot};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Sidecar that does not answer
    ///
    /// In the pod of every module the IoT Edge proxy listens on ports 35000 and 35001 and passes calls on to the IoT Edge daemon; that is where a
    /// module gets its identity. In the pod of the module that looks, nobody listens on 35000, or something listens there that is no sidecar, or the
    /// sidecar answers and the daemon behind it does not.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "network": { "from_kubernetes": true, "sidecar": { "known": { "status": 502, "version": null } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "network": { "from_kubernetes": true, "sidecar": { "known": { "status": 200, "version": "0.1.0-beta13" } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: keep ports 35000 and 35001 free, and look at the pods of the module and of `iotedged`.
    id: "network-sidecar",
    codes: &[],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Network],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "`ase-runtime.md` §2.3; migration rules NET-006",
    check: Check::Device(check),
}

fn check(snapshot: &Snapshot, _: &Context<'_>) -> Verdict {
    let Some(network) = snapshot.network.known() else { return Verdict::NotApplicable };
    let (what, why, way_out) = match &network.sidecar {
        Observed::Unknown(why) if !why.expected => return Verdict::NotApplicable,
        Observed::Unknown(why) => (
            "the sidecar of this pod does not answer".to_owned(),
            why.what.clone().into_owned(),
            "look at the container `proxy` of the module's pod",
        ),
        Observed::Absent => (
            "nobody listens on port 35000, where the sidecar of this pod should be".to_owned(),
            "a connection is refused, so the module gets no identity".to_owned(),
            "look at the container `proxy` of the module's pod",
        ),
        Observed::Known(Sidecar { status: None, .. }) => (
            "something else than the sidecar listens on port 35000".to_owned(),
            "it does not speak HTTP; the containers of a pod share one network, and whoever comes second cannot open the port".to_owned(),
            "let the program of this pod listen on another port than 35000 and 35001",
        ),
        Observed::Known(Sidecar { status: Some(status @ 500..), .. }) => (
            format!("the IoT Edge daemon behind the sidecar does not answer: HTTP status {status}"),
            "the sidecar is there and gets no answer, so no module gets an identity".to_owned(),
            "look at the pod `iotedged`",
        ),
        Observed::Known(_) => return Verdict::Judged(Vec::new()),
    };
    Verdict::Judged(vec![Finding::new(Severity::Block, what).because(why).fix(Fix::advice(way_out))])
}
