//! The keys of Docker's create options, as Docker spells them, and where each belongs.

/// Where a key belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// Right in the createOptions.
    Top,
    /// In `HostConfig`.
    HostConfig,
}

/// `ContainerCreate` of Docker's API, version 1.41, and the key of the Kubernetes extensions.
const TOP: [&str; 28] = [
    "ArgsEscaped",
    "AttachStderr",
    "AttachStdin",
    "AttachStdout",
    "Cmd",
    "Domainname",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "HostConfig",
    "Hostname",
    "Image",
    "Labels",
    "MacAddress",
    "NetworkDisabled",
    "NetworkingConfig",
    "OnBuild",
    "OpenStdin",
    "Shell",
    "StdinOnce",
    "StopSignal",
    "StopTimeout",
    "Tty",
    "User",
    "Volumes",
    "WorkingDir",
    "k8s-experimental",
];

/// `HostConfig` of the same.
const HOST_CONFIG: [&str; 73] = [
    "AutoRemove",
    "Binds",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeight",
    "BlkioWeightDevice",
    "CapAdd",
    "CapDrop",
    "Capabilities",
    "Cgroup",
    "CgroupParent",
    "CgroupnsMode",
    "ConsoleSize",
    "ContainerIDFile",
    "CpuCount",
    "CpuPercent",
    "CpuPeriod",
    "CpuQuota",
    "CpuRealtimePeriod",
    "CpuRealtimeRuntime",
    "CpuShares",
    "CpusetCpus",
    "CpusetMems",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Devices",
    "DiskQuota",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "ExtraHosts",
    "GroupAdd",
    "IOMaximumBandwidth",
    "IOMaximumIOps",
    "Init",
    "InitPath",
    "IpcMode",
    "Isolation",
    "KernelMemory",
    "KernelMemoryTCP",
    "Links",
    "LogConfig",
    "MaskedPaths",
    "Memory",
    "MemoryReservation",
    "MemorySwap",
    "MemorySwappiness",
    "Mounts",
    "NanoCpus",
    "NetworkMode",
    "OomKillDisable",
    "OomScoreAdj",
    "PidMode",
    "PidsLimit",
    "PortBindings",
    "Privileged",
    "PublishAllPorts",
    "ReadonlyPaths",
    "ReadonlyRootfs",
    "RestartPolicy",
    "Runtime",
    "SecurityOpt",
    "ShmSize",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "UTSMode",
    "Ulimits",
    "UsernsMode",
    "VolumeDriver",
    "VolumesFrom",
];

/// Docker's spelling of `key`, and where it belongs; `None` for a key that Docker does not know. The key of the Kubernetes
/// extensions is known by its exact spelling only, as the agent knows it.
pub(crate) fn home(key: &str) -> Option<(&'static str, Home)> {
    // Nearly all keys are spelled as Docker spells them.
    let as_spelled = |keys: &[&'static str]| keys.binary_search(&key).ok().map(|place| keys[place]);
    let in_any_case = |keys: &[&'static str]| {
        keys.iter().copied().find(|known| known.eq_ignore_ascii_case(key) && *known != "k8s-experimental")
    };
    let top = |known| (known, Home::Top);
    let host_config = |known| (known, Home::HostConfig);
    (as_spelled(&TOP).map(top))
        .or_else(|| as_spelled(&HOST_CONFIG).map(host_config))
        .or_else(|| in_any_case(&TOP).map(top))
        .or_else(|| in_any_case(&HOST_CONFIG).map(host_config))
}

/// The key of `belongs` that looks most like `key`, if one does.
pub(crate) fn near(key: &str, belongs: Home) -> Option<&'static str> {
    let keys: &[&'static str] = if belongs == Home::Top { &TOP } else { &HOST_CONFIG };
    let likeness = |known: &str| {
        similar::TextDiff::from_chars(known.to_ascii_lowercase().as_str(), key.to_ascii_lowercase().as_str()).ratio()
    };
    let best = keys.iter().map(|known| (likeness(known), *known)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.8).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_unique_and_found_in_any_case() {
        for keys in [&TOP[..], &HOST_CONFIG[..]] {
            assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
        }
        assert_eq!(home("hostconfig"), Some(("HostConfig", Home::Top)));
        assert_eq!(home("NanoCPUs"), Some(("NanoCpus", Home::HostConfig)));
        assert_eq!(home("K8S-experimental"), None);
        assert_eq!(home("HostConfir"), None);
    }

    #[test]
    fn misspellings_are_near_their_key() {
        assert_eq!(near("HostConfir", Home::Top), Some("HostConfig"));
        assert_eq!(near("Link", Home::HostConfig), Some("Links"));
        assert_eq!(near("Whatever", Home::HostConfig), None);
    }
}
