//! The programs that tests and benchmarks start, and how they come onto the machine.
//!
//! Only what is missing is installed; a machine that has everything is left alone.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// A program that some test or benchmark starts.
struct Program {
    name: &'static str,
    /// The Debian packages that bring it, and what else of it tests use.
    packages: &'static [&'static str],
}

/// Everything that is started and that is not built here.
const PROGRAMS: &[Program] = &[
    Program { name: "curl", packages: &["curl"] },
    Program { name: "openssl", packages: &["openssl"] },
    // Independent readers of what we say.
    Program { name: "python3", packages: &["python3", "python3-venv"] },
    // The peers of the tests of SIP trunks.
    Program { name: "sipp", packages: &["sip-tester"] },
    Program { name: "baresip", packages: &["baresip-core"] },
    Program { name: "kamailio", packages: &["kamailio", "kamailio-tls-modules"] },
    // The database of several nodes, and the pooler that may stand before it.
    Program { name: "postgres", packages: &["postgresql"] },
    Program { name: "pgbouncer", packages: &["pgbouncer"] },
];

/// Where daemons are, which is on the path of root alone.
const DAEMONS: &str = "/usr/sbin";
/// Where the programs of each version of PostgreSQL are, which are on nobody's path.
const POSTGRES: &str = "/usr/lib/postgresql";

/// Installs what is missing; says what to do where it cannot.
pub(crate) fn ensure_programs() -> Result<()> {
    ensure(|_| true)
}

/// The same for one of them.
pub(crate) fn ensure_program(name: &str) -> Result<()> {
    ensure(|program| program.name == name)
}

fn ensure(is_needed: impl Fn(&Program) -> bool) -> Result<()> {
    let needed = PROGRAMS.iter().filter(|program| is_needed(program));
    let missing: Vec<&Program> = needed.filter(|p| !on_path(p.name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|p| p.packages).copied().collect();
    let names: Vec<&str> = missing.iter().map(|p| p.name).collect();
    let by_hand = format!("{} must be there: install {}", names.join(", "), packages.join(", "));
    if !on_path("apt-get") {
        bail!("{by_hand} by hand; this machine has no apt-get");
    }
    let root = is_root();
    if !root && !on_path("sudo") {
        bail!("{by_hand} as root (`apt-get install {}`)", packages.join(" "));
    }
    println!("installing {}", packages.join(", "));
    process::run(apt_get(root).args(["update", "-qq"]))?;
    process::run(
        apt_get(root).args(["install", "-qq", "-y", "--no-install-recommends"]).args(packages),
    )?;
    match names.into_iter().find(|n| !on_path(n)) {
        Some(name) => bail!("apt-get went well, but there is still no `{name}` on PATH"),
        None => Ok(()),
    }
}

fn apt_get(root: bool) -> Command {
    let mut command = Command::new(if root { "apt-get" } else { "sudo" });
    if !root {
        // `-n`: fail instead of asking a machine for a password.
        command.args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    }
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir(POSTGRES).into_iter().flatten().flatten();
    let versions = versions.map(|version| version.path().join("bin"));
    let mut folders = std::env::split_paths(&path).chain([DAEMONS.into()]).chain(versions);
    folders.any(|folder| is_executable(&folder.join(name)))
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file()
}

/// Asked of `id`, which every machine with apt-get has.
fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|done| done.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(on_path("sh"));
        assert!(!on_path("no-such-program-of-outdial"));
    }
}
