//! Which module of a deployment calls which other one.

use super::names::object_name;
use crate::manifest::{Address, Argument, Module};
use crate::text::Span;

/// An address of one module in what another is started with.
#[derive(Debug)]
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

/// The calls of `caller` to other modules of its deployment. A host is a module if it is its id, in any case as host
/// names are compared, or the name that it has in Kubernetes.
pub(crate) fn calls_by(caller: Module<'_>) -> Vec<Call<'_>> {
    let others: Vec<_> = caller.manifest().modules().filter(|module| module.id() != caller.id()).collect();
    let names = |host: &str, module: &Module<'_>| {
        host.eq_ignore_ascii_case(module.id()) || host.eq_ignore_ascii_case(&object_name(module.id()))
    };
    let mut calls = Vec::new();
    for argument in caller.arguments() {
        for address in argument.addresses() {
            if let Some(callee) = others.iter().copied().find(|module| names(address.host, module)) {
                calls.push(Call { caller, argument, address, callee });
            }
        }
    }
    calls
}

/// The calls of other modules to `callee`.
pub(crate) fn calls_to(callee: Module<'_>) -> Vec<Call<'_>> {
    callee.manifest().modules().flat_map(calls_by).filter(|call| call.callee.id() == callee.id()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::text::Source;

    #[test]
    fn a_sibling_is_found_under_either_name_and_oneself_is_not() {
        let text = r#"{"modulesContent": {"$edgeAgent": {"properties.desired": {"modules": {
            "Filter_Module": {"env": {"SELF": {"value": "http://filter_module:1"}}},
            "caller": {"env": {
                "A": {"value": "http://filter_module:80"}, "B": {"value": "http://filtermodule:81"},
                "C": {"value": "http://elsewhere:82"}, "D": {"value": "/filtermodule/v1"}}}}}}}}"#;
        let manifest = Manifest::read(&Source::new("t", text)).unwrap();
        let ports: Vec<_> =
            calls_to(manifest.module("Filter_Module").unwrap()).iter().map(|call| call.address.port).collect();
        assert_eq!(ports, [Some(80), Some(81)]);
        assert_eq!(calls_by(manifest.module("Filter_Module").unwrap()).len(), 0);
    }
}
