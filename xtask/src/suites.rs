//! Runs every test there is, and tells what each suite took.
//!
//! The last line printed is `N passed, N failed` over all suites, alone. Nothing is counted as
//! passed that was not seen to pass: a test program that ends without its result line, or leaves
//! a process behind, is a failure.

mod described;
mod listen;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use self::listen::{Heard, Listener};
use crate::process::{self, Stopwatch, minutes};
use crate::{apt, openapi, python};

/// What the simulator plays on every change: so many seeds, or for so many minutes, whichever is
/// first. It prints how many it played.
const SEEDS: &str = "500";
const MINUTES: &str = "4";

/// Named points at which tests kill the binary; no release has them (`features`).
pub(crate) const FAILPOINTS: &str = "outdial/failpoints";

#[derive(Args, Default)]
pub(crate) struct Options {
    /// Only this package; leaves out the simulator and the document of the API.
    #[arg(long)]
    package: Option<String>,
    /// Only tests whose name contains this; leaves out the simulator and the document of the API.
    #[arg(long)]
    filter: Option<String>,
}

impl Options {
    fn everything(&self) -> bool {
        self.package.is_none() && self.filter.is_none()
    }

    /// What cargo is told to build. The binary has its failpoints: tests kill it there.
    fn packages(&self) -> Vec<&str> {
        match self.package.as_deref() {
            Some("outdial") => vec!["--package", "outdial", "--features", FAILPOINTS],
            Some(package) => vec!["--package", package],
            None => vec!["--workspace", "--features", FAILPOINTS],
        }
    }
}

/// What one test program, or one other check, came to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Suite {
    name: String,
    passed: u32,
    failed: u32,
    ignored: u32,
    took: Duration,
    /// Names of the tests that failed, as far as they said so.
    broken: Vec<String>,
}

impl Suite {
    /// Something that passes or fails as a whole.
    fn single(name: &str, passed: bool, took: Duration) -> Self {
        let (passed, failed) = if passed { (1, 0) } else { (0, 1) };
        Self { name: name.to_owned(), passed, failed, took, ..Self::default() }
    }
}

/// Builds, runs, reports; false when something failed or nothing ran.
pub(crate) fn run(options: &Options) -> Result<bool> {
    apt::ensure_programs()?;
    python::ensure()?;
    let whole = Stopwatch::start();
    let mut suites = Vec::new();
    let built = build(options);
    let build_took = whole.elapsed();
    match built {
        Ok(built) => {
            suites.extend(cargo_test(options, &built)?);
            if options.everything() {
                suites.push(simulator(&built));
                suites.push(document(&built));
                suites.push(described(&built));
            }
        }
        Err(error) => {
            println!("{error:#}");
            suites.push(Suite::single("build", false, Duration::ZERO));
        }
    }
    Ok(report(&suites, build_took, whole.elapsed()))
}

/// What the build made.
#[derive(Default)]
struct Built {
    /// Name of the test program's file → the name of its suite.
    suites: BTreeMap<String, String>,
    /// Name of a program of ours → its file.
    programs: BTreeMap<String, PathBuf>,
}

/// Builds all test programs and the binaries at once, so that their dependencies have one set of
/// features and are compiled once.
fn build(options: &Options) -> Result<Built> {
    println!("building the tests");
    let mut cargo = process::cargo();
    cargo.args(["build", "--tests", "--bins", "--message-format", "json-render-diagnostics"]);
    let messages = process::output(cargo.args(options.packages()))?;
    let mut built = Built::default();
    for line in messages.lines() {
        let message: serde_json::Value = serde_json::from_str(line).context("cargo's message")?;
        let Some(file) = message["executable"].as_str().map(PathBuf::from) else { continue };
        let target = message["target"]["name"].as_str().unwrap_or_default();
        if message["profile"]["test"].as_bool() == Some(true) {
            let source = message["target"]["src_path"].as_str().unwrap_or_default();
            built.suites.insert(file_name(&file), suite_name(Path::new(source)));
        } else {
            built.programs.insert(target.to_owned(), file);
        }
    }
    Ok(built)
}

/// `outdial-core/src/lib.rs`: the source from its package on, wherever the workspace lies.
fn suite_name(source: &Path) -> String {
    let root = process::root();
    let inside = source.strip_prefix(&root).unwrap_or(source);
    inside.strip_prefix("crates").unwrap_or(inside).display().to_string()
}

fn file_name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// All test programs, and the examples in the documentation.
fn cargo_test(options: &Options, built: &Built) -> Result<Vec<Suite>> {
    let mut cargo = process::cargo();
    cargo.args(["test", "--no-fail-fast"]).args(options.packages()).arg("--");
    if let Some(filter) = &options.filter {
        cargo.arg(filter);
    }
    // Both streams through one pipe: which program runs is on one, its result on the other.
    let (reader, writer) = std::io::pipe().context("a pipe")?;
    cargo.stdin(Stdio::null()).stdout(writer.try_clone().context("a pipe")?).stderr(writer);
    let mut child = cargo.spawn().context("cannot start cargo test")?;
    // The command holds our ends of the pipe; they would keep it open for ever.
    drop(cargo);

    let mut listener = Listener::new(|file| built.suites.get(file).cloned());
    let heard = listen::to_the_end(reader, &mut child, |line| {
        if let Some(line) = listener.hear(line) {
            println!("{line}");
        }
    })?;
    Ok(judge(listener.finish(), &heard))
}

/// Adds what only the whole run shows.
fn judge(mut suites: Vec<Suite>, heard: &Heard) -> Vec<Suite> {
    if heard.left_over {
        println!("a test left a process behind that still holds its output");
        suites.push(Suite::single("left-over processes", false, Duration::ZERO));
    }
    if !heard.success && suites.iter().all(|s| s.failed == 0) {
        println!("cargo test failed, though no test did");
        suites.push(Suite::single("cargo test", false, Duration::ZERO));
    }
    suites
}

/// The simulator over its usual seeds; it prints what it found.
fn simulator(built: &Built) -> Suite {
    let name = format!("outdial-sim --seeds {SEEDS} --minutes {MINUTES}");
    println!("running {name}");
    let watch = Stopwatch::start();
    let done = program(built, "outdial-sim").and_then(|file| {
        process::run(Command::new(file).args(["--seeds", SEEDS, "--minutes", MINUTES]))
    });
    single(&name, &done, watch.elapsed())
}

/// The committed document of the API against the code.
fn document(built: &Built) -> Suite {
    let watch = Stopwatch::start();
    let done = program(built, "outdial").and_then(openapi::check_with);
    single("openapi.json", &done, watch.elapsed())
}

/// The binary against its description.
fn described(built: &Built) -> Suite {
    println!("running schemathesis");
    let watch = Stopwatch::start();
    let done = program(built, "outdial").and_then(described::run);
    single("schemathesis", &done, watch.elapsed())
}

fn program<'a>(built: &'a Built, name: &str) -> Result<&'a Path> {
    let file = built.programs.get(name);
    file.map(PathBuf::as_path).with_context(|| format!("the build made no `{name}`"))
}

fn single(name: &str, done: &Result<()>, took: Duration) -> Suite {
    if let Err(error) = done {
        println!("{name}: {error:#}");
    }
    Suite::single(name, done.is_ok(), took)
}

/// Prints the table and, last and alone, the sum.
fn report(suites: &[Suite], build: Duration, whole: Duration) -> bool {
    let width = suites.iter().map(|s| s.name.len()).max().unwrap_or(0).max(12);
    println!("\n{:width$}  passed  failed  ignored  minutes", "suite");
    for Suite { name, passed, failed, ignored, took, .. } in suites {
        let took = minutes(*took);
        println!("{name:width$}  {passed:6}  {failed:6}  {ignored:7}  {took:>7}");
    }
    println!("{:width$}  {:>33}", "(building)", minutes(build));
    println!("{:width$}  {:>33}\n", "(all)", minutes(whole));
    for suite in suites.iter().filter(|s| s.failed > 0) {
        println!("{}", format!("failed: {} {}", suite.name, suite.broken.join(", ")).trim_end());
    }
    let passed: u32 = suites.iter().map(|s| s.passed).sum();
    let failed: u32 = suites.iter().map(|s| s.failed).sum();
    println!("{passed} passed, {failed} failed");
    failed == 0 && passed > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(passed: u32, failed: u32) -> Suite {
        Suite { name: "x".to_owned(), passed, failed, ..Suite::default() }
    }

    #[test]
    fn nothing_run_is_no_success() {
        assert!(!report(&[], Duration::ZERO, Duration::ZERO));
        assert!(!report(&[suite(3, 1)], Duration::ZERO, Duration::ZERO));
        assert!(report(&[suite(0, 0), suite(3, 0)], Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn a_failure_without_a_failed_test_is_counted() {
        let failed = |suites: Vec<Suite>, success, left_over| {
            let suites = judge(suites, &Heard { success, left_over });
            suites.iter().map(|s| s.failed).sum::<u32>()
        };
        assert_eq!(failed(vec![suite(1, 0)], true, false), 0);
        assert_eq!(failed(vec![suite(1, 0)], false, false), 1);
        assert_eq!(failed(vec![suite(1, 2)], false, false), 2);
        assert_eq!(failed(vec![suite(1, 0)], true, true), 1);
    }

    #[test]
    fn suites_are_named_by_their_source() {
        let source = process::root().join("crates/outdial-core/src/lib.rs");
        assert_eq!(suite_name(&source), "outdial-core/src/lib.rs");
        assert_eq!(suite_name(&process::root().join("xtask/src/main.rs")), "xtask/src/main.rs");
    }
}
