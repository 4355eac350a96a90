use std::ops::Range;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Image, Module};
use crate::target::Platform;

/// Platforms of the ARM kind, as builders name them.
const ARM: [&str; 9] = ["arm32v5", "arm32v6", "arm32v7", "arm64v8", "arm64", "armv7", "armv7l", "armhf", "aarch64"];

/// Words that mean Windows.
const WINDOWS: [&str; 4] = ["windows", "nanoserver", "windowsservercore", "windowsamd64"];

rule! {
    /// # Image for another platform
    ///
    /// The GPU device runs Linux on processors of the amd64 kind, in Kubernetes as in its virtual machines. An image
    /// for ARM or for Windows does not start there.
    ///
    /// The platform is read off the name and the tag of the image, where most builders put it, and off placeholders
    /// such as `${MODULES.scorer.arm32v7}`, which choose one. What an image really holds is not looked up.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": { "settings": { "image": "example.azurecr.io/scorer:1.0-arm32v7" } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": { "settings": { "image": "example.azurecr.io/scorer:1.0-amd64" } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, because an image for amd64 must be there: `amd64` takes the place of the ARM platform. A module for
    /// Windows or for Jetson boards must be built anew.
    id: "image-platform",
    codes: &["IMG-001"],
    severity: Severity::Block,
    fix: Safety::Ask,
    needs: &[Need::Deployment],
    targets: Platform::ALL,
    seed: &[],
    source: "ASE-CS, IMPORTANT; ASE-COMP",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    Verdict::each(module.image(), |image| {
        let (kind, range) = platform(&image)?;
        let fix = match kind {
            Kind::Arm => {
                let fix = Fix::ask("take the image for amd64, if there is one");
                fix.replace(image.at.path(), range.clone(), "amd64")
            }
            Kind::Jetson | Kind::Windows => Fix::advice("build the module for Linux on amd64, and name that image"),
        };
        let what = match kind {
            Kind::Arm => "ARM",
            Kind::Jetson => "Jetson boards, which are ARM",
            Kind::Windows => "Windows",
        };
        Some(
            Finding::new(Severity::Block, format!("the image is for {what}"))
                .at(image.at.part(range), "the platform, by its name")
                .because("the GPU device runs Linux on amd64, and the image does not start there")
                .fix(fix),
        )
    })
}

/// What an image is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Arm,
    Jetson,
    Windows,
}

/// The other platform that an image is for, and where it says so.
fn platform(image: &Image<'_>) -> Option<(Kind, Range<usize>)> {
    image.words().into_iter().find_map(|(word, range)| {
        // `cpuarm64v8` and `gpuarm64v8` are flavours of one; short names end ordinary words too.
        let arm = ARM.iter().find(|arm| word == **arm || arm.len() > 5 && word.ends_with(*arm));
        match arm {
            Some(arm) => Some((Kind::Arm, range.end - arm.len()..range.end)),
            None if word == "jetson" => Some((Kind::Jetson, range)),
            None => WINDOWS.contains(&word.as_str()).then_some((Kind::Windows, range)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::text::Source;

    #[test]
    fn platforms_are_read_off_names() {
        let of = |image: &str| {
            let text = serde_json::json!({ "modulesContent": { "$edgeAgent": { "properties.desired": {
                "modules": { "m": { "settings": { "image": image } } } } } } });
            let manifest = Manifest::read(&Source::new("t", text.to_string())).unwrap();
            let image = manifest.module("m").unwrap().image().unwrap();
            platform(&image).map(|(kind, range)| (kind, image.at.as_str().unwrap()[range].to_owned()))
        };
        for (image, kind, part) in [
            ("x.io/a:1.0-arm32v7", Kind::Arm, "arm32v7"),
            ("arm64v8/redis:6", Kind::Arm, "arm64v8"),
            ("${MODULES.a.cpuarm64v8}", Kind::Arm, "arm64v8"),
            ("x.io/a-armhf", Kind::Arm, "armhf"),
            ("x.io/a-jetson:1", Kind::Jetson, "jetson"),
            ("x.io/a:1.0-windows-amd64", Kind::Windows, "windows"),
        ] {
            assert_eq!(of(image), Some((kind, part.to_owned())), "{image}");
        }
        for image in ["x.io/a:1.0-amd64", "arm64.io/a:1", "x.io/alarm:1", "x.io/farm:1", "x.io/a:latest"] {
            assert_eq!(of(image), None, "{image}");
        }
    }
}
