//! What a release is built with: no failpoints.
//!
//! The point at which a test kills the binary is a call into crate `fail`, an optional dependency.
//! Where cargo's default features bring neither that crate nor a feature of the name, the binary
//! has no such point: code that needs it would not compile (`.ci/run` also compiles that way).

use anyhow::{Result, ensure};

use crate::process;
use crate::suites::FAILPOINTS;

/// The crate that the feature brings.
const CRATE: &str = "fail";

/// Nobody gets failpoints who does not ask for them.
fn check() -> Result<()> {
    let found = traces(&tree(&[])?);
    ensure!(found.is_empty(), "built by default: {}", found.join(", "));
    // Else this would find nothing wherever it looks.
    let found = traces(&tree(&["--features", FAILPOINTS])?);
    ensure!(found.len() > 1, "with {FAILPOINTS} there is only: {}", found.join(", "));
    Ok(())
}

/// A line per package that a build takes in, with its features.
fn tree(more: &[&str]) -> Result<String> {
    let mut cargo = process::cargo();
    cargo.args(["tree", "--workspace", "--locked", "--edges", "normal,build", "--target", "all"]);
    process::output(cargo.args(["--prefix", "none", "--format", "{p} features:{f}"]).args(more))
}

/// Packages that are part of the failpoints.
fn traces(tree: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in tree.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let features = line.split_once("features:").map_or("", |(_, features)| features);
        let has = features.trim_end_matches(" (*)").split(',').any(|f| f.contains("failpoint"));
        if (name == CRATE || has) && !found.iter().any(|f| f == name) {
            found.push(name.to_owned());
        }
    }
    found
}

#[test]
fn packages_and_features_are_told_apart() {
    let tree = "outdial v0.1.0 (/failpoints/outdial) features:\n\
                failure v1.0.0 features:default,std\n\
                fail v0.5.1 features:\n\
                outdial-ports v0.1.0 (/x) features:bench,failpoints (*)";
    assert_eq!(traces(tree), ["fail", "outdial-ports"]);
}

#[test]
fn a_release_has_no_failpoints() {
    check().unwrap();
}
