//! The Python packages that tests run, in an environment of their own beside the build.
//!
//! Made once, and anew when the list changes; nothing of it reaches the product.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// What is installed, each in one version, so that every machine runs the same.
const PACKAGES: &[&str] = &[
    // Verifies our webhooks independently of us.
    "standardwebhooks==1.1.0",
    // Tries the binary against its own description.
    "schemathesis==4.32.5",
];

/// Makes the environment if need be; the folder of its programs.
pub(crate) fn ensure() -> Result<PathBuf> {
    let folder = folder()?;
    let programs = folder.join("bin");
    let (note, wanted) = (folder.join("packages.txt"), PACKAGES.join("\n"));
    if fs::read_to_string(&note).is_ok_and(|there| there == wanted) {
        return Ok(programs);
    }
    println!("installing {}", PACKAGES.join(", "));
    let clear = ["-m", "venv", "--clear"];
    process::run(Command::new("python3").args(clear).arg(&folder))?;
    let mut pip = Command::new(programs.join("python3"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    process::run(pip.args(PACKAGES))?;
    fs::write(&note, wanted).with_context(|| format!("writing {}", note.display()))?;
    Ok(programs)
}

/// `python` in the build directory, where tests look for it too: two above this very program.
fn folder() -> Result<PathBuf> {
    let program = std::env::current_exe().context("where this program is")?;
    let build = program.ancestors().nth(2).map(Path::to_owned);
    Ok(build.context("this program is in no build directory")?.join("python"))
}
