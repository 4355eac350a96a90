use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{HostPath, Module};
use crate::target::Platform;

/// Extensions of certificates and keys.
const CERTIFICATES: [&str; 7] = [".pem", ".key", ".crt", ".cer", ".der", ".pfx", ".p12"];

rule! {
    /// # File mounted from the host
    ///
    /// On Kubernetes a path of the host can be mounted only if it is a directory. Where the file is there, the mount
    /// fails and the module never leaves `ContainerCreating` (IoT Hub shows `backoff`). Where it is missing, Kubernetes
    /// makes a *directory* of that name, and the program finds a directory where it opens a file.
    ///
    /// A manifest doesn't say what is a file. This rule goes by the name: an extension such as `.json` or `.sock`, a
    /// well-known file, or a node below `/dev`.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Binds": ["/etc/scorer/settings.json:/app/settings.json"] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// A directory of its own for the file, or a `ConfigMap` mounted through `k8s-experimental.volumes`.
    ///
    /// ```json,passes
    /// { "HostConfig": { "Mounts": [{ "Type": "bind", "Source": "/etc/scorer", "Target": "/app/config" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: the module must learn where its file is.
    id: "storage-file-bind",
    codes: &["STO-003"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["storage.bind-directories-only"],
    source: "seed, Storage; ASE-RN2101 #14; Kubernetes `hostpath/host_path.go`; observed on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    Verdict::each(module.host_mounts(), |mount| {
        let source = mount.source();
        let (kind, label) = match mount.host_path() {
            HostPath::File => ("a file", "a file, by its name"),
            HostPath::Device => ("a device", "a device node, by its name"),
            _ => return None,
        };
        let finding =
            Finding::new(Severity::Block, format!("`{source}` is {kind}, and only directories can be mounted"))
                .at(mount.source_span(), label)
                .because(
                    "if it exists, the module never leaves ContainerCreating; if not, a directory is made in its place",
                );
        Some(finding.fix(Fix::advice(way_out(source, mount.host_path()))))
    })
}

fn way_out(source: &str, path: HostPath<'_>) -> &'static str {
    if path == HostPath::Device {
        "remove it; a module reaches devices by a resource of a device plugin or, as a last resort, `Privileged`"
    } else if ["/etc/localtime", "/etc/timezone"].contains(&source) {
        "remove it, and give the module its time zone as a variable, usually `TZ`"
    } else if CERTIFICATES.iter().any(|end| source.to_ascii_lowercase().ends_with(end)) {
        "keep it in a directory of its own and mount that; certificates of IoT Edge are uploaded to the device instead"
    } else {
        "keep it in a directory of its own and mount that, or make it a ConfigMap for `k8s-experimental.volumes`"
    }
}
