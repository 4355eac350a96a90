use std::collections::BTreeSet;

use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::evidence::ProxyAnswer;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Proxy that does not let the module through
    ///
    /// The module is told to use a web proxy, and the proxy cannot be reached or refuses to connect to IoT Hub. The module
    /// comes up and works on the device; what it sends through the proxy never arrives. The connection is tried from the module that looks,
    /// as the user that the variable names.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "engine": { "containers": { "uploader": { "status": "running", "proxies": [
    ///   { "variable": "https_proxy", "address": "proxy:3128", "answer": { "refuses": 403 } }] } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "engine": { "containers": { "uploader": { "status": "running", "proxies": [
    ///   { "variable": "https_proxy", "address": "proxy:3128", "answer": "connects" }] } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: correct the variable, or let the proxy pass the hosts of IoT Hub.
    id: "proxy-blocked",
    codes: &[],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[Need::Inside],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "variables of the container, or of the process that looks; HTTP CONNECT to IoT Hub through the proxy",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, _: &Context<'_>) -> Verdict {
    let Some(proxies) = sighting.proxies() else { return Verdict::NotApplicable };
    // Both variables often name the same proxy: one cause, one finding.
    let mut seen = BTreeSet::new();
    let tried = proxies.iter().filter_map(|proxy| Some((proxy, proxy.answer.as_ref()?)));
    let tried = tried.filter(|(proxy, _)| seen.insert(proxy.address.as_str()));
    Verdict::each(tried, |(proxy, answer)| {
        let (what, fix) = match answer {
            ProxyAnswer::Connects | ProxyAnswer::Listens => return None,
            ProxyAnswer::Refuses(407) => {
                ("asks for another user or password".to_owned(), "correct user and password in the variable")
            }
            ProxyAnswer::Refuses(status) => (
                format!("refuses to connect to IoT Hub, HTTP status {status}"),
                "let the proxy pass the hosts of IoT Hub and of the registry",
            ),
            ProxyAnswer::Fails(why) => {
                (format!("cannot be used: {why}"), "correct the address in the variable, or start the proxy")
            }
        };
        let message = format!("the proxy of `{}`, {}, {what}", sighting.id, proxy.address);
        let finding = Finding::new(Severity::Silent, message)
            .because(format!("`{}` sends the module there, and nothing that it sends arrives", proxy.variable));
        Some(finding.fix(Fix::advice(fix)))
    })
}
