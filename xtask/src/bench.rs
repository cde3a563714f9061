//! Starts a benchmark of the binary's crate.

use anyhow::{Result, bail};
use clap::Args;

use crate::{apt, process};

/// Known benchmarks and what they measure.
const BENCHES: &[(&str, &str)] = &[
    ("ingest", "records per second over HTTP, beside the bare database loop"),
    ("upload", "contacts per second from a CSV file, beside addCallsToBatch with the same"),
    ("connections", "p99 of a client, alone and among 2,000 idle or dripping connections"),
    ("dispatch", "attempts per second, and the cost of one as more calls wait"),
    ("forecast", "a year of 100,000 contacts on virtual time, every attempt checked"),
    ("pinned", "a turn on PostgreSQL, while an old transaction keeps what was deleted"),
    ("sip", "calls per second over SIP, beside SIPp as caller"),
];
/// What one needs that is not built here.
const NEEDS: &[(&str, &str)] = &[("sip", "sipp"), ("pinned", POSTGRES)];
/// Needed wherever it is named after `--database`.
const POSTGRES: &str = "postgres";

#[derive(Args)]
pub(crate) struct Options {
    /// Which one; without it they are listed.
    name: Option<String>,
    /// Passed on to the benchmark.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Runs one on the release build.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let Some(name) = &options.name else {
        for (name, measures) in BENCHES {
            println!("{name:11} {measures}");
        }
        return Ok(true);
    };
    if !BENCHES.iter().any(|(known, _)| known == name) {
        let known: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
        bail!("no benchmark `{name}`; there are: {}", known.join(", "));
    }
    for (_, program) in NEEDS.iter().filter(|(bench, _)| bench == name) {
        apt::ensure_program(program)?;
    }
    if options.rest.iter().any(|a| a == POSTGRES) {
        apt::ensure_program(POSTGRES)?;
    }
    let mut cargo = process::cargo();
    cargo.args(["bench", "--package", "outdial", "--bench", name, "--"]).args(&options.rest);
    process::run(&mut cargo)?;
    Ok(true)
}
