use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;
use crate::text::{At, Span};

/// Programs that run JavaScript.
const PROGRAMS: [&str; 4] = ["node", "nodejs", "npm", "yarn"];

rule! {
    /// # Module in Node.js
    ///
    /// Modules that are written with the Node.js SDK were known not to start on Kubernetes: the SDK couldn't get its
    /// credentials from IoT Edge. Whether a later SDK can, was not found.
    ///
    /// A manifest doesn't name the language of a module. This rule sees it where `Cmd` or `Entrypoint` start `node` or
    /// `npm`, and where the image is `node` itself or has `nodejs` in its name.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Cmd": ["node", "./app.js"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// Another language, or proof on a device that the module starts with the SDK that it has.
    ///
    /// ```json,passes
    /// { "Cmd": ["python3", "app.py"] }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only. A program that doesn't use the SDK (Node-RED, a web page) is not concerned: suppress the finding
    /// with that reason.
    id: "image-node",
    codes: &["IMG-005"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "K8S-KI, Node.js modules do not start",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let commands = ["Entrypoint", "Cmd"].into_iter().filter_map(|key| module.option(&[key]));
    let commands: Vec<At<'_>> = commands.filter_map(|list| list.items().next()).collect();
    let image = module.image();
    if commands.is_empty() && image.is_none() {
        return Verdict::NotApplicable;
    }
    let started = commands.into_iter().find(|at| at.as_str().is_some_and(is_program)).map(At::span);
    let named = image.filter(|image| {
        image.segments().last() == Some("node") || image.words().iter().any(|(word, _)| word == "nodejs")
    });
    let place: Option<Span> = started.or_else(|| named.map(|image| image.at.span()));
    Verdict::from(place.map(|span| {
        Finding::new(Severity::Warn, format!("`{}` seems to be written in Node.js", module.id()))
            .at(span, "Node.js")
            .because("with the Node.js SDK a module was known not to start on Kubernetes, for want of credentials")
            .fix(Fix::advice("try the module on a device with the SDK that it has, before you rely on it"))
    }))
}

/// Whether a command starts one of the programs: by its name, or by a path to it.
fn is_program(command: &str) -> bool {
    PROGRAMS.contains(&command.rsplit('/').next().unwrap_or(command))
}
