//! Ends this process as SIGKILL would at a named failpoint, or makes it panic there, for tests of
//! what a crash or a defect leaves. Only with the feature `failpoints`, which no release has.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use outdial_ports::FAILPOINTS;
use rustix::process::{Signal, getpid, kill_process};

/// `NAME` or `NAME:N`: the process is killed when it passes the point for the Nth time.
const VARIABLE: &str = "OUTDIALTEST_KILL_AT";

/// `NAME:WHOM`: it panics each time it passes a point that is about somebody, for this one.
const PANIC_VARIABLE: &str = "OUTDIALTEST_PANIC_OF";

/// Arms what the environment names.
pub(crate) fn arm() -> Result<()> {
    arm_panic()?;
    let Ok(text) = std::env::var(VARIABLE) else { return Ok(()) };
    let (name, passes) = text.split_once(':').unwrap_or((&text, "1"));
    let passes: u64 = passes.parse().with_context(|| format!("{VARIABLE}={text}"))?;
    ensure!(FAILPOINTS.contains(&name), "{VARIABLE}: there is no failpoint {name}");
    let passed = AtomicU64::new(0);
    let kill = move || {
        if passed.fetch_add(1, Ordering::SeqCst) + 1 == passes {
            let _gone = kill_process(getpid(), Signal::KILL);
        }
    };
    fail::cfg_callback(name, kill).map_err(anyhow::Error::msg)
}

fn arm_panic() -> Result<()> {
    let Ok(text) = std::env::var(PANIC_VARIABLE) else { return Ok(()) };
    let (name, whom) = text.split_once(':').with_context(|| format!("{PANIC_VARIABLE}={text}"))?;
    ensure!(FAILPOINTS.contains(&name), "{PANIC_VARIABLE}: there is no failpoint {name}");
    fail::cfg(name, &format!("return({whom})")).map_err(anyhow::Error::msg)
}
