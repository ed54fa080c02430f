//! `cargo xtask layers`: the arrows between our crates only point downwards, and each layer stays free of
//! what it must never contain. The facts come from `cargo metadata`; the rules are the tables below.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::CommandResult;
use crate::args::Args;
use crate::workspace::Workspace;

/// What one crate may depend on.
struct Layer {
    name: &'static str,
    /// Our own crates that it may use.
    ours: &'static [&'static str],
    /// Our own crates that its tests, examples and benches may use besides.
    ours_in_tests: &'static [&'static str],
    /// External crates that it must not reach, not even through another crate.
    never: &'static [&'static str],
}

const NO_RUNTIME: &[&str] = &["tokio", "async-io", "smol", "mio", "tracing", "log", "rand", "clap"];
const NO_ASYNC: &[&str] = &["tokio", "async-io", "smol", "mio", "clap"];
const LIBRARY: &[&str] = &["clap", "tracing-subscriber", "toml"];

/// From the lowest layer to the highest; a crate that is not here may not exist.
const LAYERS: &[Layer] = &[
    Layer { name: "mqtt-codec", ours: &[], ours_in_tests: &["mqtt-testkit"], never: NO_RUNTIME },
    Layer { name: "mqtt-topic", ours: &[], ours_in_tests: &["mqtt-testkit"], never: NO_RUNTIME },
    Layer {
        name: "mqtt-session",
        ours: &["mqtt-codec", "mqtt-topic"],
        ours_in_tests: &["mqtt-testkit"],
        never: NO_RUNTIME,
    },
    Layer {
        name: "mqtt-store",
        ours: &["mqtt-codec", "mqtt-topic", "mqtt-session"],
        ours_in_tests: &["mqtt-testkit"],
        never: NO_ASYNC,
    },
    Layer {
        name: "mqtt-access",
        ours: &["mqtt-codec", "mqtt-topic", "mqtt-session"],
        ours_in_tests: &["mqtt-testkit"],
        never: &["tokio", "async-io", "smol", "mio", "clap", "tracing-subscriber", "toml"],
    },
    Layer { name: "mqtt-transport", ours: &["mqtt-codec"], ours_in_tests: &["mqtt-testkit"], never: LIBRARY },
    Layer { name: "mqtt-http", ours: &["mqtt-transport"], ours_in_tests: &["mqtt-testkit"], never: LIBRARY },
    Layer {
        name: "mqtt-login",
        ours: &["mqtt-codec", "mqtt-topic", "mqtt-session", "mqtt-access", "mqtt-http"],
        ours_in_tests: &["mqtt-testkit", "mqtt-broker", "mqtt-transport"],
        never: LIBRARY,
    },
    Layer {
        name: "mqtt-client",
        ours: &["mqtt-codec", "mqtt-topic", "mqtt-session", "mqtt-access", "mqtt-transport"],
        ours_in_tests: &["mqtt-testkit", "mqtt-broker", "mqtt-client"],
        never: LIBRARY,
    },
    Layer {
        name: "mqtt-broker",
        ours: &["mqtt-access", "mqtt-codec", "mqtt-topic", "mqtt-session", "mqtt-store", "mqtt-transport"],
        ours_in_tests: &["mqtt-testkit"],
        never: LIBRARY,
    },
    Layer {
        name: "mqtt-hooks",
        ours: &["mqtt-http", "mqtt-broker"],
        ours_in_tests: &["mqtt-testkit", "mqtt-hooks"],
        never: LIBRARY,
    },
    Layer { name: "mqtt-plugin", ours: &["mqtt-broker"], ours_in_tests: &["mqtt-testkit"], never: LIBRARY },
    Layer {
        name: "martlet",
        ours: &[
            "mqtt-codec",
            "mqtt-topic",
            "mqtt-session",
            "mqtt-store",
            "mqtt-access",
            "mqtt-http",
            "mqtt-login",
            "mqtt-transport",
            "mqtt-client",
            "mqtt-broker",
            "mqtt-plugin",
        ],
        ours_in_tests: &["mqtt-testkit"],
        never: &[],
    },
    Layer {
        name: "embedding-examples",
        ours: &[],
        // As a program has them: what it needs of the other layers comes through these.
        ours_in_tests: &["mqtt-client", "mqtt-broker", "mqtt-hooks"],
        never: LIBRARY,
    },
    Layer { name: "mqtt-testkit", ours: &["mqtt-codec"], ours_in_tests: &[], never: LIBRARY },
    Layer {
        name: "benches",
        ours: &[
            "mqtt-codec",
            "mqtt-topic",
            "mqtt-session",
            "mqtt-store",
            "mqtt-access",
            "mqtt-transport",
            "mqtt-client",
            "mqtt-broker",
            "mqtt-testkit",
        ],
        ours_in_tests: &[
            "mqtt-codec",
            "mqtt-topic",
            "mqtt-session",
            "mqtt-store",
            "mqtt-access",
            "mqtt-transport",
            "mqtt-client",
            "mqtt-broker",
            "mqtt-testkit",
        ],
        never: &[],
    },
    Layer { name: "xtask", ours: &[], ours_in_tests: &[], never: &["tokio", "clap"] },
];

/// External crates that nothing here may reach: C libraries where a Rust one is chosen, and a second runtime.
const NEVER_ANYWHERE: &[&str] = &["openssl-sys", "native-tls", "async-std"];

pub(crate) fn command(workspace: &Workspace, args: Args) -> CommandResult {
    args.finish()?;
    run(workspace)
}

/// Prints every broken rule and says whether there was none.
pub(crate) fn run(workspace: &Workspace) -> CommandResult {
    let violations = violations(workspace.metadata())?;
    for violation in &violations {
        println!("layers: {violation}");
    }
    println!("layers: {} crates checked, {} violations", LAYERS.len(), violations.len());
    Ok(violations.is_empty())
}

/// Every broken rule, as a sentence.
fn violations(metadata: &Value) -> Result<Vec<String>, String> {
    let graph = Graph::new(metadata)?;
    let mut violations = Vec::new();
    for member in &graph.members {
        match LAYERS.iter().find(|layer| layer.name == graph.name(member)) {
            Some(layer) => check(&graph, member, layer, &mut violations),
            None => violations.push(format!("{} has no line in the table of layers", graph.name(member))),
        }
    }
    Ok(violations)
}

fn check(graph: &Graph, member: &str, layer: &Layer, violations: &mut Vec<String>) {
    for edge in graph.edges(member).iter().filter(|edge| graph.members.contains(&edge.to)) {
        let to = graph.name(&edge.to);
        let allowed = layer.ours.contains(&to) || (edge.only_dev && layer.ours_in_tests.contains(&to));
        if !allowed {
            let purpose = if edge.only_dev { " in its tests" } else { "" };
            violations.push(format!("{} must not use {to}{purpose}", layer.name));
        }
    }
    for reached in graph.reached(member) {
        let name = graph.name(reached);
        if layer.never.contains(&name) {
            violations.push(format!("{} must not reach {name}", layer.name));
        }
        if NEVER_ANYWHERE.contains(&name) {
            violations.push(format!("{} reaches {name}, which nothing here may", layer.name));
        }
    }
}

/// The resolved dependencies, by cargo's package ids.
struct Graph {
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, Vec<Edge>>,
    members: BTreeSet<String>,
}

struct Edge {
    to: String,
    /// Used by tests, examples and benches, not by what is shipped.
    only_dev: bool,
}

impl Graph {
    fn new(metadata: &Value) -> Result<Self, String> {
        let packages = metadata["packages"].as_array().ok_or("the metadata has no packages")?;
        let nodes = metadata["resolve"]["nodes"].as_array().ok_or("the metadata has no resolved graph")?;
        let members = metadata["workspace_members"].as_array().ok_or("the metadata has no members")?;
        Ok(Self {
            names: packages.iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect(),
            edges: nodes.iter().map(|node| (text(&node["id"]), edges(node))).collect(),
            members: members.iter().map(text).collect(),
        })
    }

    fn name(&self, id: &str) -> &str {
        self.names.get(id).map_or("", String::as_str)
    }

    fn edges(&self, id: &str) -> &[Edge] {
        self.edges.get(id).map_or(&[], Vec::as_slice)
    }

    /// Everything that is built into a crate, directly or through others; tests' needs do not count.
    fn reached(&self, from: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(id) = open.pop() {
            for edge in self.edges(id).iter().filter(|edge| !edge.only_dev) {
                if reached.insert(edge.to.as_str()) {
                    open.push(&edge.to);
                }
            }
        }
        reached
    }
}

fn edges(node: &Value) -> Vec<Edge> {
    let deps = node["deps"].as_array().map_or(&[][..], Vec::as_slice);
    deps.iter().map(|dep| Edge { to: text(&dep["pkg"]), only_dev: is_only_dev(dep) }).collect()
}

fn is_only_dev(dep: &Value) -> bool {
    let kinds = dep["dep_kinds"].as_array().map_or(&[][..], Vec::as_slice);
    !kinds.is_empty() && kinds.iter().all(|kind| kind["kind"] == "dev")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Graph, LAYERS, violations};
    use serde_json::{Value, json};

    /// A metadata document with these edges: from, to, and `"dev"` or null.
    fn metadata(members: &[&str], edges: &[(&str, &str, Value)]) -> Value {
        let mut names: Vec<&str> = members.to_vec();
        names.extend(edges.iter().flat_map(|(from, to, _)| [*from, *to]));
        names.sort_unstable();
        names.dedup();
        let deps = |name: &str| -> Vec<Value> {
            let own = edges.iter().filter(|(from, ..)| *from == name);
            own.map(|(_, to, kind)| json!({ "pkg": to, "dep_kinds": [{ "kind": kind }] })).collect()
        };
        json!({
            "packages": names.iter().map(|name| json!({ "id": name, "name": name })).collect::<Vec<_>>(),
            "workspace_members": members,
            "resolve": {
                "nodes": names.iter().map(|name| json!({ "id": name, "deps": deps(name) })).collect::<Vec<_>>()
            },
        })
    }

    fn check(members: &[&str], edges: &[(&str, &str, Value)], expected: &[&str]) {
        assert_eq!(violations(&metadata(members, edges)).unwrap(), expected);
    }

    #[test]
    fn an_arrow_downwards_is_allowed_and_one_upwards_is_not() {
        check(&["mqtt-codec", "mqtt-session"], &[("mqtt-session", "mqtt-codec", json!(null))], &[]);
        check(
            &["mqtt-codec", "mqtt-session"],
            &[("mqtt-codec", "mqtt-session", json!(null))],
            &["mqtt-codec must not use mqtt-session"],
        );
    }

    #[test]
    fn the_testkit_serves_tests_only() {
        let members = &["mqtt-topic", "mqtt-testkit"];
        check(members, &[("mqtt-topic", "mqtt-testkit", json!("dev"))], &[]);
        check(
            members,
            &[("mqtt-topic", "mqtt-testkit", json!(null))],
            &["mqtt-topic must not use mqtt-testkit"],
        );
    }

    #[test]
    fn a_forbidden_crate_is_found_behind_another_one_but_not_in_tests() {
        let edges = |kind: Value| vec![("mqtt-store", "pool", kind), ("pool", "tokio", json!(null))];
        check(&["mqtt-store"], &edges(json!(null)), &["mqtt-store must not reach tokio"]);
        check(&["mqtt-store"], &edges(json!("dev")), &[]);
    }

    #[test]
    fn an_unknown_crate_needs_a_line_in_the_table() {
        check(&["mqtt-extra"], &[], &["mqtt-extra has no line in the table of layers"]);
    }

    #[test]
    fn the_table_itself_only_points_downwards() {
        for (at, layer) in LAYERS.iter().enumerate() {
            for name in layer.ours {
                let below = LAYERS.iter().position(|other| other.name == *name).expect("a crate of ours");
                assert!(below < at, "{} -> {name}", layer.name);
            }
        }
    }

    #[test]
    fn a_document_without_a_graph_is_refused() {
        assert!(Graph::new(&json!({})).is_err());
    }
}
