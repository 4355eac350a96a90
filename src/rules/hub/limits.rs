use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{MAX_SECTION, Manifest, Module, Section};
use crate::target::Platform;

/// The most modules that a device or a deployment may have.
const MAX_MODULES: usize = 50;

rule! {
    /// # Deployment that IoT Hub does not take
    ///
    /// IoT Hub takes at most 50 modules, and 32 KB (32,768 bytes) of desired properties for each: `$edgeAgent`, which
    /// has the createOptions of all modules, `$edgeHub`, and the twins of the modules. It refuses more as a whole.
    ///
    /// Sizes are counted as IoT Hub counts them: keys and strings by their length, 8 bytes for a number, 4 for a
    /// boolean; not quotes, commas and blanks. createOptions are a string there, so *their* quotes, commas and blanks
    /// do count. They grow by moving: a mount is longer than a bind. Check the converted deployment too.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "m1": {}, "m2": {}, "m3": {}, "m4": {}, "m5": {}, "m6": {}, "m7": {}, "m8": {}, "m9": {}, "m10": {}, "m11": {},
    ///   "m12": {}, "m13": {}, "m14": {}, "m15": {}, "m16": {}, "m17": {}, "m18": {}, "m19": {}, "m20": {}, "m21": {},
    ///   "m22": {}, "m23": {}, "m24": {}, "m25": {}, "m26": {}, "m27": {}, "m28": {}, "m29": {}, "m30": {}, "m31": {},
    ///   "m32": {}, "m33": {}, "m34": {}, "m35": {}, "m36": {}, "m37": {}, "m38": {}, "m39": {}, "m40": {}, "m41": {},
    ///   "m42": {}, "m43": {}, "m44": {}, "m45": {}, "m46": {}, "m47": {}, "m48": {}, "m49": {}, "m50": {}, "m51": {}
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "m1": { "settings": { "image": "i:1", "createOptions": "{\"HostConfig\":{\"Privileged\":true}}" } }
    /// } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None: write createOptions without blanks and without what has no effect, move configuration into the twins of
    /// the modules, or spread the modules over two devices.
    id: "hub-limits",
    codes: &["HUB-007", "OPT-009"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Deployment],
    targets: Platform::ALL,
    seed: &[],
    source: "IE-LIM; QUOTA; DEVTWIN \"Device twin size\"; IE-PROD \"Be mindful of twin size\"",
    check: Check::Deployment(check),
}

fn check(manifest: &Manifest, _: &Context<'_>) -> Verdict {
    let modules: Vec<_> = manifest.modules().filter(|module| !module.is_system()).collect();
    let many = modules.get(MAX_MODULES).map(|first| too_many(*first, modules.len()));
    let sizes = manifest.sections().map(|section| (section, section.size()));
    let large = sizes.filter(|(_, size)| *size > MAX_SECTION);
    let large = large.map(|(section, size)| too_large(manifest, section, size));
    Verdict::Judged(many.into_iter().chain(large).collect())
}

fn too_many(first: Module<'_>, number: usize) -> Finding {
    Finding::new(Severity::Block, format!("{number} modules, IoT Hub takes {MAX_MODULES}"))
        .at(first.entry().key_span(), format!("the first beyond {MAX_MODULES}"))
        .because("IoT Hub refuses the deployment")
        .fix(Fix::advice("join modules, or spread them over two devices"))
}

fn too_large(manifest: &Manifest, section: Section<'_>, size: usize) -> Finding {
    let message = format!("`{}` has {size} bytes of desired properties, IoT Hub takes {MAX_SECTION}", section.id());
    let finding = Finding::new(Severity::Block, message)
        .at(section.at().key_span(), format!("{} bytes too many", size - MAX_SECTION))
        .because("IoT Hub refuses the deployment");
    if section.id() != "$edgeAgent" {
        return finding.fix(Fix::advice("move what is large into a file on a share, or into the image"));
    }
    let largest = manifest.modules().map(|module| (module, module.size())).max_by_key(|(_, size)| *size);
    let finding = match largest {
        Some((module, size)) => finding.related(module.entry().key_span(), format!("the largest module, {size} bytes")),
        None => finding,
    };
    let way_out =
        "take out of the createOptions what has no effect, and move configuration into the twins of the modules";
    finding.fix(Fix::advice(way_out))
}
