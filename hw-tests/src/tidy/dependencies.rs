//! Who may depend on whom: the layers of the architecture, over `cargo metadata`.
//!
//! ```text
//! types ← wire, x86defs, platform, abi ← format, paging, drivers, transport ← vmm, agent ← node ← dvmm
//!                                                     hal ───────────────────────────────────────┘
//! ```
//! A bare-metal crate depends on crates of lower layers only. Only `dvmm` depends on `hal`. The appliance, the
//! signing tools and the lab share `types`, `wire`, `abi` and `format` with the node and nothing else.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Complaint, complain};

/// Layer of each crate that runs, or can run, without an operating system.
const LAYERS: &[(&str, u8)] = &[
    ("weft-types", 0),
    ("weft-wire", 1),
    ("weft-x86defs", 1),
    ("weft-platform", 1),
    ("weft-abi", 1),
    ("weft-format", 2),
    ("weft-paging", 2),
    ("weft-drivers", 2),
    ("weft-transport", 2),
    ("weft-membership", 2),
    ("weft-coherence", 2),
    ("weft-vmm", 3),
    ("weft-loader", 3),
    ("weft-agent", 3),
    ("weft-hal", 3),
    ("weft-node", 4),
    ("weft-stub", 5),
    ("weft-bios", 5),
    ("weft-dvmm", 5),
];

/// Bare-metal crates that host programs may use. The appliance is a voter of partitions.
const SHARED: &[&str] =
    &["weft-types", "weft-wire", "weft-abi", "weft-format", "weft-loader", "weft-membership"];

/// Host crates that drive the node's own code: the simulator and the fuzz targets.
const DRIVERS_OF_NODE: &[&str] = &["weft-sim", "weft-fuzz"];

/// What `hal` may know of ours.
const HAL_SEES: &[&str] = &["weft-types", "weft-x86defs", "weft-platform"];

/// Crates by name, with the names of ours that each depends on outside of tests.
pub type Graph = BTreeMap<String, Vec<String>>;

/// Reads the graph out of what `cargo metadata --no-deps` printed.
pub fn graph(metadata: &Value) -> Graph {
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let mut graph = Graph::new();
    for package in &packages {
        let dependencies = package["dependencies"].as_array().cloned().unwrap_or_default();
        let ours = dependencies.iter().filter(|d| d["kind"].is_null() && d["path"].is_string());
        graph.insert(name(package), ours.map(name).collect());
    }
    graph
}

/// Complaints about a graph.
pub fn check(graph: &Graph) -> Vec<Complaint> {
    let mut out = Vec::new();
    for (package, dependencies) in graph {
        for dependency in dependencies {
            if let Some(why) = forbidden(package, dependency) {
                complain(&mut out, package, format!("must not depend on {dependency}: {why}"));
            }
        }
    }
    out
}

/// Names of the bare-metal crates.
pub fn bare_metal() -> impl Iterator<Item = &'static str> {
    LAYERS.iter().map(|(name, _)| *name)
}

fn layer(package: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == package).map(|(_, layer)| *layer)
}

fn forbidden(package: &str, dependency: &str) -> Option<&'static str> {
    if dependency == "weft-hal" && package != "weft-dvmm" {
        return Some("only weft-dvmm touches hardware");
    }
    if package == "weft-hal" && !HAL_SEES.contains(&dependency) {
        return Some("hal sees types, x86defs and platform");
    }
    match (layer(package), layer(dependency)) {
        (Some(upper), Some(lower)) if lower < upper => None,
        (Some(_), Some(_)) => Some("it is not in a lower layer"),
        (Some(_), None) => Some("it needs an operating system"),
        (None, Some(_)) if DRIVERS_OF_NODE.contains(&package) || SHARED.contains(&dependency) => None,
        (None, Some(_)) => Some("it belongs to the node alone"),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(package: &str, dependency: &str) -> usize {
        check(&Graph::from([(package.to_owned(), vec![dependency.to_owned()])])).len()
    }

    #[test]
    fn each_rule_can_fail() {
        for (package, dependency) in [
            ("weft-node", "weft-hal"),
            ("weft-hal", "weft-wire"),
            ("weft-types", "weft-wire"),
            ("weft-wire", "weft-platform"),
            ("weft-vmm", "weft-lab"),
            ("weft-server", "weft-node"),
            ("weft-lab", "weft-vmm"),
        ] {
            assert_eq!(complaints(package, dependency), 1, "{package} → {dependency}");
        }
    }

    #[test]
    fn what_the_architecture_wants_passes() {
        for (package, dependency) in [
            ("weft-dvmm", "weft-hal"),
            ("weft-hal", "weft-platform"),
            ("weft-node", "weft-transport"),
            ("weft-server", "weft-wire"),
            ("weft-sim", "weft-node"),
            ("weft", "weft-server"),
        ] {
            assert_eq!(complaints(package, dependency), 0, "{package} → {dependency}");
        }
    }

    #[test]
    fn test_dependencies_do_not_count() {
        let metadata = serde_json::json!({ "packages": [{ "name": "weft-types", "dependencies": [
            { "name": "weft-lab", "kind": "dev", "path": "lab" },
            { "name": "serde", "kind": null },
            { "name": "weft-wire", "kind": null, "path": "wire" },
        ]}]});
        assert_eq!(graph(&metadata)["weft-types"], ["weft-wire"]);
    }
}
