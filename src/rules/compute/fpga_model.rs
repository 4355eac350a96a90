use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{FPGA, Module};
use crate::target::Platform;
use crate::text::{At, Span};

/// Words in the name of an image that say what its model runs on.
const WORDS: [&str; 4] = ["fpga", "catapult", "brainwave", "arria"];

rule! {
    /// # Model made for the FPGA
    ///
    /// A model that was made for the FPGA does not run on a GPU: it must be made anew for the GPU, or for the
    /// processor. Models that ran on the processor should work unchanged.
    ///
    /// A manifest doesn't say what a model was made for. This rule goes by the name of the image, and by
    /// `WIRESERVER_ADDRESS`, which only modules with an FPGA have. Names of variables are not looked at: modules that
    /// call an FPGA in the cloud have them too. Modules that ask for the FPGA itself are the business of GPU-001 and
    /// GPU-019.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "detector": { "settings": { "image": "example.azurecr.io/void-detection-fpga:1.0", "createOptions": {} } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "detector": { "settings": { "image": "example.azurecr.io/void-detection-gpu:2.0", "createOptions": {
    ///     "k8s-experimental": { "resources": { "limits": { "nvidia.com/gpu": 1 } } } } } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: the model is made anew outside of the manifest.
    id: "compute-fpga-model",
    codes: &["GPU-003"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::CreateOptions, Need::Deployment],
    targets: Platform::ALL,
    seed: &["compute.gpu-spec"],
    source: "ASE-MIG, considerations; names of real images (`corpus.md`)",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let Some(image) = module.image() else { return Verdict::NotApplicable };
    let asks = [module.limit(FPGA), module.request(FPGA)].iter().any(Option::is_some)
        || module.devices().iter().any(|device| device.name().starts_with("catapult"));
    if asks {
        return Verdict::NotApplicable;
    }
    let word = image.words().into_iter().find(|(word, _)| WORDS.iter().any(|known| is_word(word, known)));
    let named: Option<(Span, &str)> = word.map(|(_, range)| (image.at.part(range), "made for the FPGA, by its name"));
    let server = module.env().into_iter().find(|var| var.name == "WIRESERVER_ADDRESS");
    let place = named.or_else(|| server.map(|_| (At::span(image.at), "made for the FPGA, by `WIRESERVER_ADDRESS`")));
    Verdict::from(place.map(|(span, label)| {
        Finding::new(Severity::Warn, format!("the model of `{}` seems to be made for the FPGA", module.id()))
            .at(span, label)
            .because("the GPU device has no FPGA, and a model for it runs on nothing else")
            .fix(Fix::advice("make the model anew for the GPU or the processor, and name that image here"))
    }))
}

/// Whether `word` is `known`, perhaps with the number of a generation behind it (`arria10`).
fn is_word(word: &str, known: &str) -> bool {
    word.strip_prefix(known).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}
