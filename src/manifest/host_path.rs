//! What a path of the host is, as far as its name tells. A manifest doesn't say whether a path is a file or a
//! directory, so files are told by their extension and by well-known names (`corpus.md`, "how sure these are").

use super::placeholder::starts_with_placeholder;

/// Where the FPGA device mounts its shares on the host (ASE-FPGA sample; `corpus.md`, real FPGA manifests).
const SHARES: &str = "/home/hcsshares";

/// Paths that bring Docker's socket or client into a container (catalogue, STO-023).
const DOCKER: [&str; 5] = ["/var/run/docker.sock", "/run/docker.sock", "/var/run", "/run", "/usr/bin/docker"];

/// Files that the kubelet writes for every container.
const KUBELET: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/// Files without an extension that modules are known to bind.
const FILES: [&str; 8] = [
    "/etc/localtime",
    "/etc/timezone",
    "/etc/machine-id",
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/sys/class/gpio/export",
    "/sys/class/gpio/unexport",
];

/// Directories that every Linux system has and that belong to it: devices, the kernel's views, its programs and settings.
/// `/run` and `/var/run` themselves are [`DOCKER`].
const SYSTEM: [&str; 12] =
    ["/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr"];

/// Directories that hold programs and nothing else.
const PROGRAMS: [&str; 3] = ["/usr/bin/", "/bin/", "/usr/local/bin/"];

/// Extensions of files. Directories that look like files by them were not found in real manifests; those that have
/// a dot (`/tmp/.X11-unix`, `/opt/nvidia/deepstream/deepstream-4.0/`, `/etc/cron.d`) are none of these.
const EXTENSIONS: [&str; 31] = [
    "json",
    "yaml",
    "yml",
    "toml",
    "conf",
    "cfg",
    "ini",
    "xml",
    "properties",
    "env",
    "txt",
    "csv",
    "log",
    "sh",
    "py",
    "so",
    "sql",
    "pem",
    "key",
    "crt",
    "cer",
    "der",
    "pfx",
    "p12",
    "sock",
    "pid",
    "zip",
    "gz",
    "tar",
    "sqlite",
    "onnx",
];

/// Directories right below `/dev`; everything else there is a device node.
const DEVICE_DIRECTORIES: [&str; 14] =
    ["bus", "block", "char", "cpu", "disk", "dri", "fd", "hugepages", "input", "mapper", "net", "pts", "shm", "snd"];

/// The source of a bind, told by its name. Each path is exactly one of these, so that rules share the paths out
/// among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPath<'t> {
    /// A share by its path on the FPGA device, and what is named below it; both may be empty.
    Share {
        /// The name of the share.
        name: &'t str,
        /// The path below it, without slashes at its ends.
        below: &'t str,
    },
    /// Docker's socket, its client, or a directory that holds them.
    Docker,
    /// A file that the kubelet writes itself.
    Kubelet,
    /// A device node.
    Device,
    /// A file or socket.
    File,
    /// A directory of the operating system, or one below it.
    System,
    /// Any other absolute path.
    Directory,
    /// The name of a Docker volume.
    Volume,
    /// A path that doesn't start at the root.
    Relative,
    /// A path of a Windows host.
    Windows,
    /// Not known before a tool fills in what it begins with.
    Placeholder,
}

impl<'t> HostPath<'t> {
    /// What `path` is.
    pub fn of(path: &'t str) -> Self {
        let bare = path.trim_end_matches('/');
        if let Some(below) = bare.strip_prefix(SHARES).filter(|rest| rest.is_empty() || rest.starts_with('/')) {
            let (name, below) = below.trim_start_matches('/').split_once('/').unwrap_or((below.trim_matches('/'), ""));
            return HostPath::Share { name, below: below.trim_matches('/') };
        }
        match path {
            _ if DOCKER.contains(&bare) => HostPath::Docker,
            _ if KUBELET.contains(&path) => HostPath::Kubelet,
            // Before files: a file of Windows is no file for the agent, which takes its path apart wrongly.
            _ if is_windows(path) => HostPath::Windows,
            _ if is_device(path) => HostPath::Device,
            _ if is_file(path) => HostPath::File,
            _ if starts_with_placeholder(path.trim_start_matches('/')) => HostPath::Placeholder,
            _ if is_system(path) => HostPath::System,
            _ if path.starts_with('/') => HostPath::Directory,
            _ if path.contains('/') || path.starts_with(['.', '~']) => HostPath::Relative,
            _ => HostPath::Volume,
        }
    }
}

fn is_device(path: &str) -> bool {
    path.strip_prefix("/dev/")
        .is_some_and(|name| !name.is_empty() && !name.contains('/') && !DEVICE_DIRECTORIES.contains(&name))
}

fn is_system(path: &str) -> bool {
    let path = path.strip_prefix("/var").filter(|rest| rest.starts_with("/run/")).unwrap_or(path);
    SYSTEM
        .iter()
        .any(|directory| path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

fn is_windows(path: &str) -> bool {
    let elsewhere = path.starts_with('/') || starts_with_placeholder(path);
    !elsewhere && (path.contains('\\') || path.get(1..3) == Some(":/"))
}

fn is_file(path: &str) -> bool {
    let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension);
    let program = PROGRAMS.iter().find_map(|directory| path.strip_prefix(directory));
    FILES.contains(&path)
        || program.is_some_and(|name| !name.is_empty() && !name.contains('/'))
        || extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_real_manifests() {
        use HostPath::{Device, Directory, Docker, File, Kubelet, Placeholder, Relative, System, Volume, Windows};
        let cases: &[(&str, HostPath<'_>)] = &[
            ("/var/run/docker.sock", Docker),
            ("/run/", Docker),
            ("/run/udev", System),
            ("/var/run/udev", System),
            ("/var/runner", Directory),
            ("/usr/lib/aarch64-linux-gnu/tegra", System),
            ("/library", Directory),
            ("/tmp", Directory),
            ("/etc/hosts", Kubelet),
            ("/dev", System),
            ("/dev/bus/usb", System),
            ("/dev/snd", System),
            ("/dev/video0", Device),
            ("/etc/localtime", File),
            ("/usr/bin/iotedge", File),
            ("/usr/bin", System),
            ("/var/run/iotedge/mgmt.sock", File),
            ("$DIR/settings.JSON", File),
            ("/var/lib/videoanalyzer/", Directory),
            ("/tmp/.X11-unix", Directory),
            ("/opt/nvidia/deepstream/deepstream-4.0/", Directory),
            ("/data/archive.zip/", Directory),
            ("$SHARE_NAME/out", Placeholder),
            ("/$ROOT/x", Placeholder),
            ("<Host storage path for Edge local share>", Placeholder),
            ("sqlvolume", Volume),
            ("./data", Relative),
            ("c:/iotedge", Windows),
            (r"C:\data", Windows),
            ("C:/data/settings.json", Windows),
            (r"$DIR\settings.json", File),
        ];
        for (path, expected) in cases {
            assert_eq!(HostPath::of(path), *expected, "{path}");
        }
    }

    #[test]
    fn shares_are_taken_apart() {
        let share = |path| match HostPath::of(path) {
            HostPath::Share { name, below } => Some((name, below)),
            _ => None,
        };
        assert_eq!(share("/home/hcsshares/in"), Some(("in", "")));
        assert_eq!(share("/home/hcsshares/$SHARE/out/a.json"), Some(("$SHARE", "out/a.json")));
        assert_eq!(share("/home/hcsshares/"), Some(("", "")));
        assert_eq!(share("/home/hcsshares2/in"), None);
    }
}
