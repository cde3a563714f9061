//! `openapi.json` at the root is what the code says, committed so that a change shows in review.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

const FILE: &str = "openapi.json";

/// Writes the file, or compares it with the code.
pub(crate) fn run(check: bool) -> Result<bool> {
    let mut cargo = process::cargo();
    cargo.args(["run", "--quiet", "--package", "outdial", "--", "openapi"]);
    let fresh = spelled(&mut cargo)?;
    if check {
        compare(&fresh)?;
        println!("{FILE} is what the code says");
    } else {
        fs::write(process::root().join(FILE), fresh).with_context(|| format!("writing {FILE}"))?;
        println!("wrote {FILE}");
    }
    Ok(true)
}

/// Compares the file with what an already built binary says.
pub(crate) fn check_with(binary: &Path) -> Result<()> {
    compare(&spelled(Command::new(binary).arg("openapi"))?)
}

/// What the binary prints, ending in exactly one newline.
fn spelled(command: &mut Command) -> Result<String> {
    let text = process::output(command)?;
    if text.trim().is_empty() {
        bail!("the binary printed no document");
    }
    Ok(format!("{}\n", text.trim_end()))
}

fn compare(fresh: &str) -> Result<()> {
    let remedy = "run `cargo xtask openapi` and commit it";
    let committed = fs::read_to_string(process::root().join(FILE))
        .with_context(|| format!("{FILE} cannot be read; {remedy}"))?;
    if let Some((line, was, now)) = first_difference(&committed, fresh) {
        bail!("{FILE} drifted from the code at line {line}:\n  - {was}\n  + {now}\n{remedy}");
    }
    Ok(())
}

/// Line number, from 1, with the line on either side.
fn first_difference<'a>(old: &'a str, new: &'a str) -> Option<(usize, &'a str, &'a str)> {
    if old == new {
        return None;
    }
    let (mut olds, mut news) = (old.lines(), new.lines());
    for line in 1.. {
        match (olds.next(), news.next()) {
            (Some(a), Some(b)) if a == b => {}
            (None, None) => return Some((line, "(end)", "(end)")),
            (a, b) => return Some((line, a.unwrap_or("(end)"), b.unwrap_or("(end)"))),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some((2, "b", "c")));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some((2, "(end)", "b")));
        assert_eq!(first_difference("a", "a\n"), Some((2, "(end)", "(end)")));
    }
}
