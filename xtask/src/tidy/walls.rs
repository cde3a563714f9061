//! The walls between the crates: who may depend on whom.
//!
//! A crate exists to enforce a direction. Dependencies of tests are not looked at: what a test
//! uses does not reach the product.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;
use crate::process;

/// A crate of the workspace and its wall.
struct Room {
    name: &'static str,
    /// Crates of the workspace that it may use.
    inner: &'static [&'static str],
    outer: Outer,
}

/// What a room may use from outside the workspace.
enum Outer {
    /// These and nothing else.
    Only(&'static [&'static str]),
    /// Anything but these.
    Not(&'static [&'static str]),
}

const CORE: &str = "outdial-core";
const PORTS: &str = "outdial-ports";

/// Every crate there is; a new one needs its reason in ARCHITECTURE.md, and a line here.
const ROOMS: &[Room] = &[
    Room {
        name: CORE,
        inner: &[],
        outer: Outer::Only(&["serde", "serde_json", "thiserror", "jiff", "rlibphonenumber"]),
    },
    Room {
        name: PORTS,
        inner: &[CORE],
        outer: Outer::Only(&["async-trait", "bytes", "fail", "futures-core", "thiserror"]),
    },
    Room {
        name: "outdial-ingest",
        inner: &[CORE],
        outer: Outer::Not(&["tokio", "axum", "hyper", "reqwest", "rusqlite", "tokio-postgres"]),
    },
    Room {
        name: "outdial-store",
        inner: &[CORE, PORTS],
        outer: Outer::Not(&["axum", "hyper", "reqwest", "rsipstack"]),
    },
    Room {
        name: "outdial-telephony",
        inner: &[CORE, PORTS],
        outer: Outer::Not(&["axum", "refinery", "rusqlite", "tokio-postgres"]),
    },
    Room {
        name: "outdial-agent",
        inner: &[CORE, PORTS],
        outer: Outer::Not(&["axum", "refinery", "rusqlite", "tokio-postgres", "rsipstack"]),
    },
    Room {
        name: "outdial-engine",
        inner: &[CORE, PORTS],
        outer: Outer::Not(&["axum", "refinery", "rusqlite", "tokio-postgres", "rsipstack"]),
    },
    Room {
        name: "outdial-http",
        inner: &[CORE, PORTS, "outdial-ingest"],
        outer: Outer::Not(&["refinery", "rusqlite", "tokio-postgres", "rsipstack"]),
    },
    Room {
        name: "outdial",
        inner: &[
            CORE,
            PORTS,
            "outdial-ingest",
            "outdial-store",
            "outdial-telephony",
            "outdial-agent",
            "outdial-engine",
            "outdial-http",
        ],
        outer: Outer::Not(&[]),
    },
    Room {
        name: "outdial-sim",
        inner: &[CORE, PORTS, "outdial-store", "outdial-engine"],
        outer: Outer::Not(&["axum", "hyper", "reqwest", "rsipstack"]),
    },
    Room { name: "xtask", inner: &[], outer: Outer::Not(&["rusqlite", "tokio", "axum"]) },
];

/// Compares what cargo says about the workspace with the rooms.
pub(super) fn check(findings: &mut Vec<Finding>) -> Result<()> {
    let mut cargo = process::cargo();
    let json = process::output(cargo.args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&json).context("cargo's metadata")?;
    for package in metadata["packages"].as_array().context("packages in cargo's metadata")? {
        check_package(package, findings);
    }
    Ok(())
}

fn check_package(package: &Value, findings: &mut Vec<Finding>) {
    let name = package["name"].as_str().unwrap_or_default();
    let manifest = package["manifest_path"].as_str().unwrap_or_default().replace('\\', "/");
    let folder = manifest.rsplit('/').nth(1).unwrap_or_default();
    let path =
        if name == "xtask" { "xtask/Cargo.toml" } else { &format!("crates/{name}/Cargo.toml") };
    let mut fault = |says: String| findings.push(Finding::fault(path, 0, says));
    if folder != name {
        fault(format!("the crate {name} lies in a folder {folder}"));
    }
    let Some(room) = ROOMS.iter().find(|r| r.name == name) else {
        fault(format!("{name} is a new crate: give its reason in ARCHITECTURE.md, then its wall"));
        return;
    };
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let other = dependency["name"].as_str().unwrap_or_default();
        let of_tests = dependency["kind"].as_str() == Some("dev");
        if !of_tests && !allowed(room, other) {
            fault(format!("{name} must not depend on {other}"));
        }
    }
}

fn allowed(room: &Room, other: &str) -> bool {
    if other == "outdial" || other == "xtask" || other.starts_with("outdial-") {
        return room.inner.contains(&other);
    }
    match room.outer {
        Outer::Only(names) => names.contains(&other),
        Outer::Not(names) => !names.contains(&other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(name: &str, folder: &str, dependencies: &Value) -> Vec<String> {
        let package = serde_json::json!({
            "name": name,
            "manifest_path": format!("/x/crates/{folder}/Cargo.toml"),
            "dependencies": dependencies,
        });
        let mut findings = Vec::new();
        check_package(&package, &mut findings);
        findings.into_iter().map(|f| f.says).collect()
    }

    fn uses(name: &str, other: &str) -> usize {
        says(name, name, &serde_json::json!([{ "name": other, "kind": null }])).len()
    }

    #[test]
    fn walls_stand() {
        for (name, other, faults) in [
            ("outdial-http", "outdial-ports", 0),
            ("outdial-http", "outdial-engine", 1),
            ("outdial-engine", "outdial-store", 1),
            ("outdial-core", "jiff", 0),
            ("outdial-core", "tokio", 1),
            ("outdial-ports", "tokio", 1),
            ("outdial-store", "rusqlite", 0),
            ("outdial-sim", "outdial-http", 1),
            ("outdial", "outdial-http", 0),
            ("outdial", "outdial-sim", 1),
        ] {
            assert_eq!(uses(name, other), faults, "{name} uses {other}");
        }
    }

    #[test]
    fn tests_may_use_more_and_build_scripts_may_not() {
        let one = |kind: &str| serde_json::json!([{ "name": "tokio", "kind": kind }]);
        assert_eq!(says(CORE, CORE, &one("dev")).len(), 0);
        assert_eq!(says(CORE, CORE, &one("build")).len(), 1);
    }

    #[test]
    fn a_crate_has_a_room_and_a_folder_of_its_name() {
        assert_eq!(says("outdial-new", "outdial-new", &serde_json::json!([])).len(), 1);
        assert_eq!(says(CORE, "core", &serde_json::json!([])).len(), 1);
    }

    #[test]
    fn no_room_stands_twice() {
        let mut names: Vec<&str> = ROOMS.iter().map(|r| r.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROOMS.len());
    }
}
