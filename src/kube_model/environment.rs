//! The variables that the agent adds to a module's environment, after those of the user (`k8s-translation.md` §1.4 and
//! §6).

use crate::manifest::Module;
use crate::target::Agent;

/// In every module.
const EVERYWHERE: [&str; 7] = [
    "IOTEDGE_IOTHUBHOSTNAME",
    "IOTEDGE_AUTHSCHEME",
    "IOTEDGE_WORKLOADURI",
    "IOTEDGE_MODULEGENERATIONID",
    "IOTEDGE_DEVICEID",
    "IOTEDGE_MODULEID",
    "IOTEDGE_APIVERSION",
];

/// The host name of the device.
const HOST_NAME: &str = "EdgeDeviceHostName";

/// Where a module finds edgeHub: the agent says `edgehub`, in all modules but its own two.
pub(crate) const GATEWAY: &str = "IOTEDGE_GATEWAYHOSTNAME";

/// Whether the agent sets `name` in `module`, so that a value of the user's is lost: of two the later wins.
pub(crate) fn is_set_by_agent(name: &str, module: Module<'_>, agent: Agent) -> bool {
    match name {
        GATEWAY => !module.is_system(),
        // Before beta14 only the system modules got it.
        HOST_NAME => module.is_system() || agent >= Agent::beta(14),
        "IOTEDGE_MANAGEMENTURI" => module.is_system() && module.id() == "edgeAgent",
        name => EVERYWHERE.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::text::Source;

    #[test]
    fn what_is_set_depends_on_module_and_agent() {
        let text = r#"{"modulesContent": {"$edgeAgent": {"properties.desired": {
            "systemModules": {"edgeHub": {}}, "modules": {"m": {}}}}}}"#;
        let manifest = Manifest::read(&Source::new("t", text)).unwrap();
        let is_set = |id: &str, name, beta| is_set_by_agent(name, manifest.module(id).unwrap(), Agent::beta(beta));
        assert!(is_set("m", GATEWAY, 13) && !is_set("edgeHub", GATEWAY, 13));
        assert!(!is_set("m", HOST_NAME, 13) && is_set("m", HOST_NAME, 14) && is_set("edgeHub", HOST_NAME, 13));
        assert!(is_set("m", "IOTEDGE_WORKLOADURI", 13) && !is_set("m", "IOTEDGE_TIMEOUT", 13));
        assert!(!is_set("m", "IOTEDGE_MANAGEMENTURI", 13));
    }
}
