//! Which module of a deployment calls which other one.

use std::collections::{BTreeMap, HashMap};

use super::names::object_name;
use crate::manifest::{Address, Argument, Manifest, Module};
use crate::text::Span;

/// An address of one module in what another is started with.
#[derive(Debug, Clone)]
pub(crate) struct Call<'m> {
    /// Who calls.
    pub(crate) caller: Module<'m>,
    /// The string that has the address.
    pub(crate) argument: Argument<'m>,
    /// The address.
    pub(crate) address: Address<'m>,
    /// Who is called.
    pub(crate) callee: Module<'m>,
}

impl Call<'_> {
    /// The bytes of host and port.
    pub(crate) fn span(&self) -> Span {
        self.argument.part(self.address.range())
    }
}

/// Every call of a deployment.
#[derive(Debug, Default)]
pub(crate) struct Calls<'m> {
    all: Vec<Call<'m>>,
    by: BTreeMap<&'m str, Vec<usize>>,
    to: BTreeMap<&'m str, Vec<usize>>,
}

impl<'m> Calls<'m> {
    /// Finds the calls of `manifest`. A host is a module if it is its id, in any case as host names are compared, or the
    /// name that it has in Kubernetes.
    pub(crate) fn of(manifest: &'m Manifest) -> Self {
        let mut names: HashMap<String, Module<'m>> = HashMap::new();
        for module in manifest.modules() {
            names.entry(module.id().to_ascii_lowercase()).or_insert(module);
            names.entry(object_name(module.id())).or_insert(module);
        }
        let mut calls = Self::default();
        for caller in manifest.modules() {
            for argument in caller.arguments() {
                for address in argument.addresses() {
                    let callee = names.get(&address.host.to_ascii_lowercase()).copied();
                    if let Some(callee) = callee.filter(|callee| callee.id() != caller.id()) {
                        calls.by.entry(caller.id()).or_default().push(calls.all.len());
                        calls.to.entry(callee.id()).or_default().push(calls.all.len());
                        calls.all.push(Call { caller, argument, address, callee });
                    }
                }
            }
        }
        calls
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Call<'m>> {
        self.all.iter()
    }

    /// The calls of `caller` to other modules.
    pub(crate) fn by(&self, caller: Module<'_>) -> impl Iterator<Item = &Call<'m>> {
        self.by.get(caller.id()).into_iter().flatten().map(|i| &self.all[*i])
    }

    /// The calls of other modules to `callee`.
    pub(crate) fn to(&self, callee: Module<'_>) -> impl Iterator<Item = &Call<'m>> {
        self.to.get(callee.id()).into_iter().flatten().map(|i| &self.all[*i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Source;

    #[test]
    fn a_sibling_is_found_under_either_name_and_oneself_is_not() {
        let text = r#"{"modulesContent": {"$edgeAgent": {"properties.desired": {"modules": {
            "Filter_Module": {"env": {"SELF": {"value": "http://filter_module:1"}}},
            "caller": {"env": {
                "A": {"value": "http://filter_module:80"}, "B": {"value": "http://filtermodule:81"},
                "C": {"value": "http://elsewhere:82"}, "D": {"value": "/filtermodule/v1"}}}}}}}}"#;
        let manifest = Manifest::read(&Source::new("t", text)).unwrap();
        let calls = Calls::of(&manifest);
        let filter = manifest.module("Filter_Module").unwrap();
        assert_eq!(calls.to(filter).map(|call| call.address.port).collect::<Vec<_>>(), [Some(80), Some(81)]);
        assert_eq!(calls.by(filter).count(), 0);
        assert_eq!(calls.by(manifest.module("caller").unwrap()).count(), 2);
    }
}
