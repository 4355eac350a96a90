use std::collections::BTreeMap;

use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::evidence::{Space, Volume};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

/// Shares of what is free, percent: below the first it is low, below the second it is over. Assumed; nothing says what a site writes.
const LOW: u64 = 10;
const OVER: u64 = 1;

rule! {
    /// # Share that is nearly full
    ///
    /// The file system of a mount has less than a tenth of its space left; below a hundredth writes are about to fail. Usable space is 12.5 TB
    /// on the FPGA device and 4.19 TB on the GPU device (STO-020), so what fitted there may not fit here. Both limits are assumed. Only
    /// the mounts of the module that looks can be measured: mount a share into it to have it watched.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "process": { "module": "edgeshift", "mounts": [ { "target": "/out", "file_system": "nfs", "read_only": false,
    ///     "space": { "known": { "size": 4000000000000, "free": 100000000000 } } }] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "process": { "module": "edgeshift", "mounts": [ { "target": "/out", "file_system": "nfs", "read_only": false,
    ///     "space": { "known": { "size": 4000000000000, "free": 1000000000000 } } }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: make room, or move what is old.
    id: "storage-free-space",
    codes: &[],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::Process],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "`statvfs` of the mounts; migration rules STO-020; the limits are assumed",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, _: &Context<'_>) -> Verdict {
    let Some(process) = sighting.process else { return Verdict::NotApplicable };
    // Mounts of the same file system have the same space: one cause, one finding.
    let mut systems: BTreeMap<(u64, u64), Vec<&Volume>> = BTreeMap::new();
    for volume in process.mounts.iter().filter(|volume| !volume.read_only) {
        if let Some(Space { size: size @ 1.., free }) = volume.space.known() {
            systems.entry((*size, *free)).or_default().push(volume);
        }
    }
    Verdict::each(systems, |((size, free), volumes)| {
        // Of 100 parts; u128 because shares have up to 32 Ti.
        let percent = u64::try_from(u128::from(free) * 100 / u128::from(size)).unwrap_or(100);
        if percent >= LOW {
            return None;
        }
        let places: Vec<String> = volumes.iter().map(|volume| format!("`{}`", volume.target)).collect();
        let severity = if percent < OVER { Severity::Silent } else { Severity::Warn };
        let left = if percent == 0 { "less than 1 %".to_owned() } else { format!("{percent} %") };
        let message = format!("{left} of the space of {} in `{}` is left", places.join(", "), sighting.id);
        let gib = |bytes: u64| bytes >> 30;
        Some(
            Finding::new(severity, message)
                .because(format!("{} GiB of {} GiB are free; when it is full, writes fail", gib(free), gib(size)))
                .fix(Fix::advice("make room on the share, or move what is old")),
        )
    })
}
