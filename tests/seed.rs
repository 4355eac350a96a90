//! Every checkable statement of the migration guide is covered by a rule, or is here with the reason why it is not.

use std::collections::BTreeSet;

use edgeshift::rules;

/// The statements, by their ids.
const STATEMENTS: [&str; 26] = [
    "storage.volume-mounts",
    "storage.no-binds",
    "storage.persistent-is-volume",
    "storage.host-path-is-bind",
    "storage.bind-directories-only",
    "storage.source-is-share",
    "network.hostport-exposes",
    "network.cluster-only",
    "network.peers-use-mapped-port",
    "network.host-network",
    "network.tcp-udp",
    "network.external-ip",
    "network.find-ip",
    "compute.fpga-spec",
    "compute.gpu-spec",
    "resources.limits",
    "resources.good-practice",
    "resources.shared-memory",
    "proxy.docker-env",
    "proxy.no-proxy",
    "proxy.reserved-ports",
    "lifecycle.strategy",
    "naming.kubernetes-names",
    "options.entrypoint",
    "options.env-colon",
    "status.backoff",
];

/// Statements that no rule can check, and why.
const NOT_CHECKABLE: [(&str, &str); 1] =
    [("network.find-ip", "says where people look an address up; nothing in a deployment can be wrong about it")];

#[test]
fn every_statement_is_covered() {
    let covered: BTreeSet<&str> = rules::ALL.iter().flat_map(|rule| rule.seed.iter().copied()).collect();
    let excused: BTreeSet<&str> = NOT_CHECKABLE.iter().map(|(id, _)| *id).collect();
    for id in STATEMENTS {
        assert!(
            covered.contains(id) != excused.contains(id),
            "{id}: covered {}, excused {}",
            covered.contains(id),
            excused.contains(id)
        );
    }
}

#[test]
fn rules_name_statements_that_there_are() {
    for rule in rules::ALL {
        for id in rule.seed {
            assert!(STATEMENTS.contains(id), "{}: there is no statement {id}", rule.id);
        }
    }
}
