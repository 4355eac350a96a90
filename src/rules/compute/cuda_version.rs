use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Image, Module};
use crate::settings::Cuda;
use crate::target::Platform;
use crate::text::Span;

rule! {
    /// # Image for a newer CUDA than the driver's
    ///
    /// The driver of the GPUs belongs to the device and comes with its software; each driver goes up to some version of
    /// CUDA. An image that was made with a newer one may not start on it, or fail at its first call. Images that
    /// require a version (`NVIDIA_REQUIRE_CUDA`) are refused by NVIDIA's runtime.
    ///
    /// Needs the version that `nvidia-smi` shows, on the device or in the VM: `--site cuda=11.2`. Devices were seen
    /// with 10.2 in 2020, and with 11.2 on software 2102.
    ///
    /// ## Example
    ///
    /// With CUDA 11.2:
    ///
    /// ```json,fails
    /// { "Env": ["NVIDIA_REQUIRE_CUDA=cuda>=11.4"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "Env": ["NVIDIA_REQUIRE_CUDA=cuda>=11.0"] }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only. The version is read off the variable, a tag such as `1.0-cuda11.4`, and the tags of `nvidia/cuda`;
    /// most images don't say it there.
    id: "compute-cuda-version",
    codes: &["GPU-015"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::CreateOptions, Need::Cuda],
    targets: Platform::ALL,
    seed: &[],
    source: "ASE-PS and ASE-IOTSHARE samples; ASE-MIG; NVIDIA container toolkit",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    let Some(driver) = context.site.cuda else { return Verdict::NotApplicable };
    let required = module.env().into_iter().filter(|var| var.name == "NVIDIA_REQUIRE_CUDA").filter_map(|var| {
        let (version, range) = find(var.value, &["cuda>="])?;
        Some((version, var.value_part(range)))
    });
    let versions: Vec<(Cuda, Span)> = required.chain(module.image().as_ref().and_then(of_image)).collect();
    Verdict::each(versions, |(version, span)| {
        (version > driver).then(|| {
            Finding::new(Severity::Warn, format!("the image is for CUDA {version}, the driver goes up to {driver}"))
                .at(span, "newer than the driver")
                .because("the module may not start, or fail at its first call to CUDA")
                .fix(Fix::advice(
                    "take an image for an older CUDA, or a newer driver; the device gets one with its software",
                ))
        })
    })
}

/// The version in a tag: behind `cuda`, or at the start of a tag of an image that is called `cuda`.
fn of_image(image: &Image<'_>) -> Option<(Cuda, Span)> {
    let tag = image.tag()?;
    let start =
        if image.segments().last() == Some("cuda") { version(tag).map(|(cuda, end)| (cuda, 0..end)) } else { None };
    let (version, range) = start.or_else(|| find(tag, &["cuda", "cuda-", "cuda_"]))?;
    Some((version, image.tag_part(range)))
}

/// The version right behind one of `marks` in `text`, and its bytes.
fn find(text: &str, marks: &[&str]) -> Option<(Cuda, std::ops::Range<usize>)> {
    marks.iter().find_map(|mark| {
        text.match_indices(mark).find_map(|(at, _)| {
            let start = at + mark.len();
            version(&text[start..]).map(|(version, length)| (version, start..start + length))
        })
    })
}

/// The version at the start of `text`, and its length: two numbers with a point between, no more than that.
fn version(text: &str) -> Option<(Cuda, usize)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].trim_end_matches('.');
    number.parse().ok().map(|version| (version, number.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_where_they_are_said() {
        let marks = ["cuda", "cuda-", "cuda_"];
        let found = |text| find(text, &marks).map(|(version, range)| (version.to_string(), range));
        assert_eq!(found("1.0-cuda11.4"), Some(("11.4".to_owned(), 8..12)));
        assert_eq!(found("cuda-10.2.89-runtime"), Some(("10.2".to_owned(), 5..12)));
        assert_eq!(found("1.9-cuda11"), None);
        assert_eq!(found("1.9-cuda-amd64"), None);
        assert_eq!(found("11.4"), None);
        assert_eq!(find("brand=tesla cuda>=11.4 driver>=450", &["cuda>="]).unwrap().1, 18..22);
    }
}
