use crate::engine::{Check, Context, Need, Verdict};
use crate::evidence::Snapshot;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

/// Beyond this many seconds a clock is called wrong. Assumed: nothing says how much IoT Hub puts up with.
const WRONG: u64 = 300;
/// How long the tokens of modules live, s (`iotedge-protocol.md` §A3).
const LIFETIME: i64 = 3_600;

rule! {
    /// # Clock that is wrong
    ///
    /// The clock of the device is more than five minutes from the one that IoT Hub, or where that is out of reach edgeHub, tells in its answers. Tokens
    /// are signed with a time until which they hold: a clock that is an hour behind makes tokens that have expired when they are made, and
    /// neither edgeAgent nor a module can connect. Certificates are judged by the same clock. The five minutes are assumed; an hour is what the
    /// SDKs and edgeHub give their tokens.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "network": { "clock": { "known": { "beside": "h.azure-devices.net", "ahead_secs": -4000 } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "network": { "clock": { "known": { "beside": "h.azure-devices.net", "ahead_secs": 1 } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: give the device, or the VM, a time server that it can reach.
    id: "network-clock",
    codes: &[],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[Need::Network],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "the `Date` of an answer over HTTPS; iotedge-protocol §A3 for the life of tokens; five minutes are assumed",
    check: Check::Device(check),
}

fn check(snapshot: &Snapshot, _: &Context<'_>) -> Verdict {
    let Some(offset) = snapshot.network.known().and_then(|network| network.clock.known()) else {
        return Verdict::NotApplicable;
    };
    let (ahead, beside) = (offset.ahead_secs, &offset.beside);
    let wrong = ahead.unsigned_abs() > WRONG;
    Verdict::from(wrong.then(|| {
        let (severity, why) = if ahead <= -LIFETIME {
            (Severity::Silent, "tokens have expired when they are signed, so nobody connects to IoT Hub")
        } else {
            (Severity::Warn, "tokens and certificates are judged by their time, and are refused before they should be")
        };
        let side = if ahead < 0 { "behind" } else { "ahead of" };
        Finding::new(severity, format!("the clock is {} minutes {side} that of {beside}", ahead.unsigned_abs() / 60))
            .because(why)
            .fix(Fix::advice("give the device, or the VM, a time server that it can reach"))
    }))
}
