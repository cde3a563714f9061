//! Rules for the tree as a whole: what must be committed, and what every manifest says.

use super::{Finding, Source};

/// Files that a reader and a build look for.
const NEEDED: &[&str] = &["Cargo.lock", "README.md", "ARCHITECTURE.md", "CHANGELOG.md", ".ci/run"];

/// Where the lock file may take crates from.
const SOURCE: &str = concat!("registry+https://github.com/rust-lang/crates", ".io-index");

/// Applies the rules to all files.
pub(super) fn check(sources: &[Source], findings: &mut Vec<Finding>) {
    for needed in NEEDED {
        if !sources.iter().any(|s| s.path == *needed) {
            findings.push(Finding::fault(needed, 0, "is not committed"));
        }
    }
    for source in sources {
        if source.path == "Cargo.lock" {
            lock(source, findings);
        } else if source.path.ends_with("/Cargo.toml") && !inherits_lints(&source.text) {
            let says = "lacks `[lints] workspace = true`";
            findings.push(Finding::fault(&source.path, 0, says));
        }
    }
}

fn lock(source: &Source, findings: &mut Vec<Finding>) {
    for (i, line) in source.text.lines().enumerate() {
        let Some(from) = line.strip_prefix("source = ") else { continue };
        if from.trim_matches('"') != SOURCE {
            findings.push(Finding::fault(&source.path, i + 1, "not from the Rust registry"));
        }
    }
}

fn inherits_lints(manifest: &str) -> bool {
    let lines: Vec<&str> = manifest.lines().map(str::trim).collect();
    let section = lines.iter().position(|l| *l == "[lints]");
    section.is_some_and(|at| {
        let inside = lines[at + 1..].iter().take_while(|l| !l.starts_with('['));
        inside.into_iter().any(|l| l.replace(' ', "") == "workspace=true")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(path: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(&[Source { path: path.to_owned(), text: text.to_owned() }], &mut findings);
        findings.retain(|f| f.path == path);
        findings.into_iter().map(|f| f.says).collect()
    }

    #[test]
    fn a_manifest_takes_the_lints_of_the_workspace() {
        let path = "crates/x/Cargo.toml";
        assert_eq!(says(path, "[package]\n[lints]\nworkspace = true\n").len(), 0);
        assert_eq!(says(path, "[package]\n[lints]\n[dependencies]\nworkspace = true\n").len(), 1);
        assert_eq!(says(path, "[package]\n").len(), 1);
    }

    #[test]
    fn the_lock_names_one_registry() {
        assert_eq!(says("Cargo.lock", &format!("source = \"{SOURCE}\"\n")).len(), 0);
        assert_eq!(says("Cargo.lock", "source = \"git+https://example.com/x\"\n").len(), 1);
    }

    #[test]
    fn what_is_needed_is_missed() {
        let mut findings = Vec::new();
        check(&[], &mut findings);
        assert_eq!(findings.len(), NEEDED.len());
    }
}
