use std::ops::Range;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;
use crate::text::{At, Span};

/// How an NFS client asks for version 4.
const MARKS: [&str; 3] = ["nfs4", "nfsvers=4", "vers=4"];

rule! {
    /// # Share mounted by NFS 4
    ///
    /// The FPGA device offers its NFS shares in the versions 3 and 4.1, the GPU device in version 3 only. A module, or
    /// a volume of Docker in the VM, that asks for version 4 does not get the share.
    ///
    /// Environment variables, `Cmd`, `Entrypoint`, desired properties and the options of volume drivers are looked at.
    /// That a share is written by several clients, which wants care too, no manifest shows.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Cmd": ["sh", "-c", "mount -t nfs4 device:/results /results && score"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// On Kubernetes a mount of type `volume`; elsewhere version 3.
    ///
    /// ```json,passes
    /// { "Cmd": ["sh", "-c", "mount -t nfs -o nfsvers=3 device:/results /results && score"] }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: the options of version 3 differ, and the server may be another one than the device. Suppress the finding
    /// then.
    id: "storage-nfs-version",
    codes: &["STO-019"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: Platform::ALL,
    seed: &[],
    source: "ASE-MIG, considerations",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    let arguments = module.arguments().into_iter();
    let said = arguments.map(|argument| mark(argument.text).map(|range| argument.part(range)));
    // On Kubernetes nobody reads the options of a volume driver.
    let mounts = module.mounts().into_iter().filter(|_| context.target.platform.has_docker());
    let options = mounts.flat_map(|mount| {
        let keys = ["VolumeOptions", "DriverConfig", "Options"];
        keys.iter().try_fold(mount.at, |at, key| at.get_ignoring_case(key)).into_iter().flat_map(At::members)
    });
    let given = options.map(|option| mark(option.as_str()?).map(|range| option.part(range)));
    Verdict::each(said.chain(given), |place| place.map(finding))
}

fn finding(span: Span) -> Finding {
    Finding::new(Severity::Warn, "a share is mounted by NFS 4")
        .at(span, "version 4")
        .because("the GPU device offers its NFS shares in version 3 only")
        .fix(Fix::advice("mount the share as a volume, or by version 3 if it is one of the device"))
}

/// Where `text` asks for version 4 of NFS.
fn mark(text: &str) -> Option<Range<usize>> {
    // Nearly no text has one, and `contains` says so at once.
    MARKS.iter().filter(|mark| text.contains(**mark)).find_map(|mark| {
        let start = text.find(mark)?;
        let begins = !text[..start].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let rest = &text[start + mark.len()..];
        let ends = rest.is_empty() || rest.starts_with(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        (begins && ends).then(|| start..start + mark.len())
    })
}
