//! The rules of style that a program can check, over every tracked file.
//!
//! It reads and never mends. A rule that has exceptions takes them as a comment with a reason,
//! right above the place: `// tidy: long because …`, `// tidy: sleeps because …`.

mod functions;
mod manifests;
mod rust;
mod scan;
mod text;
mod walls;

use std::fmt;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// Something that a rule found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1; 0 means the file as a whole.
    line: usize,
    severity: Severity,
    says: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Warning,
    Fault,
}

impl Finding {
    fn fault(path: &str, line: usize, says: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, severity: Severity::Fault, says: says.into() }
    }

    fn warning(path: &str, line: usize, says: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::fault(path, line, says) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, says, severity } = self;
        let severity = if *severity == Severity::Fault { "" } else { "warning: " };
        if *line == 0 {
            write!(f, "{path}: {severity}{says}")
        } else {
            write!(f, "{path}:{line}: {severity}{says}")
        }
    }
}

/// A tracked file that is text.
struct Source {
    /// From the root of the workspace, with `/`.
    path: String,
    text: String,
}

/// Checks everything; false when a rule is broken.
pub(crate) fn run() -> Result<bool> {
    let sources = tracked()?;
    let mut findings = Vec::new();
    for source in &sources {
        text::check(source, &mut findings);
        if source.path.ends_with(".rs") {
            rust::check(source, &mut findings);
        }
    }
    manifests::check(&sources, &mut findings);
    walls::check(&mut findings)?;

    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    let faults = findings.iter().filter(|f| f.severity == Severity::Fault).count();
    let warnings = findings.len() - faults;
    println!("tidy: {} files, {faults} faults, {warnings} warnings", sources.len());
    Ok(faults == 0)
}

/// What git tracks, as it lies in the work tree; pictures and the like are left out.
fn tracked() -> Result<Vec<Source>> {
    let root = process::root();
    let list = process::output(Command::new("git").args(["ls-files", "-z"]).current_dir(&root))?;
    let mut sources = Vec::new();
    for path in list.split_terminator('\0') {
        let file = root.join(path);
        if !file.is_file() {
            // Deleted and not committed yet, or a link to somewhere else.
            continue;
        }
        let bytes = fs::read(&file).with_context(|| format!("reading {path}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            sources.push(Source { path: path.to_owned(), text });
        }
    }
    Ok(sources)
}
