//! `rules`: the list of all rules.

use crate::engine::Rule;

/// Every rule, in the order of reports.
pub fn rules() -> &'static [&'static Rule] {
    crate::rules::ALL
}
