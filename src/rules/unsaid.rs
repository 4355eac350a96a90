//! What the rules that make a module's objects (`options-refused`, `options-unreadable`) have in common: the modules that
//! they judge, and what they leave to the rules that have words of their own for it.

use crate::engine::{Context, Rule};
use crate::finding::Finding;
use crate::manifest::{Module, has_placeholder};
use crate::text::Span;

/// Whether objects can be made of `module`: it is whole, and its name is known.
pub(super) fn can_be_made(module: Module<'_>) -> bool {
    !module.is_part() && !has_placeholder(module.id())
}

/// Leaves in `found` what is at a place where none of `rules` has a finding that counts.
pub(super) fn retain_unsaid<T>(
    found: &mut Vec<T>,
    place: impl Fn(&T) -> Span,
    rules: &[&Rule],
    counts: impl Fn(&Finding) -> bool,
    (module, context): (Module<'_>, &Context<'_>),
) {
    if found.is_empty() {
        return;
    }
    let document = module.manifest().document();
    let said: Vec<Finding> = rules.iter().flat_map(|rule| rule.findings_in(module, context)).filter(counts).collect();
    found.retain(|one| !said.iter().any(|finding| finding.points_at(place(one), document)));
}
