use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;
use crate::text::{At, Kind};

rule! {
    /// # Piece of createOptions that is not read
    ///
    /// Long createOptions are cut into `createOptions`, `createOptions01`, `createOptions02` and so on. The agent joins them by
    /// number and stops at the first one that is missing. What comes after a gap is lost, and so is a piece that is no
    /// string.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "m": { "settings": {
    ///   "image": "i:1", "createOptions": "{}", "createOptions02": "{}" } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "m": { "settings": {
    ///   "image": "i:1", "createOptions": "{ \"Env\":", "createOptions01": "[] }" } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None: number the pieces without a gap, or write the createOptions as one object and let a tool cut them.
    id: "manifest-pieces",
    codes: &["COR-16"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Deployment],
    targets: Platform::ALL,
    seed: &[],
    source: "`corpus.md`, quirk 16; agent `DockerConfig` and `Constants.cs`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let settings = module.entry().get("settings");
    let pieces = settings.into_iter().flat_map(At::members).filter_map(|at| Some((number(at.key()?)?, at)));
    let mut pieces: Vec<(usize, At<'_>)> = pieces.collect();
    pieces.sort_by_key(|(number, _)| *number);
    let object = pieces.first().is_some_and(|(number, at)| *number == 0 && at.kind() == Kind::Object);
    Verdict::each(pieces.iter().enumerate(), |(place, (number, piece))| {
        let (message, label) = match piece.kind() {
            Kind::String if *number == place && !object => return None,
            Kind::String if object => ("createOptions are an object, and there are pieces too", "not read"),
            Kind::String => ("a piece comes after a gap in the numbers", "not read"),
            // createOptions that are one object are the usual form of templates.
            _ if *number == 0 => return None,
            _ => ("a piece is no string", "not read, nor is what comes after it"),
        };
        Some(
            Finding::new(Severity::Block, message)
                .at(piece.key_span(), label)
                .because("the createOptions end before this piece: they are no JSON then, or say less than is written")
                .fix(Fix::advice("number the pieces 01, 02 … without a gap, each a string")),
        )
    })
}

/// The number of a piece: 0 for `createOptions`, 1 for `createOptions01`.
fn number(key: &str) -> Option<usize> {
    let (name, digits) = key.split_at_checked("createOptions".len())?;
    if !name.eq_ignore_ascii_case("createOptions") {
        return None;
    }
    if digits.is_empty() { Some(0) } else { digits.parse().ok() }
}
