//! What is said to the person, or the script, in front of it. Results go to standard output, and
//! nothing else does; progress and logs go to standard error.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Prints a line to standard output. A reader that went away is no reason to fail.
pub(crate) fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    let _gone = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Prints a line to standard error.
pub(crate) fn hint(line: impl std::fmt::Display) {
    let _gone = writeln!(std::io::stderr().lock(), "{line}");
}

/// How far something is: a bar on a terminal, else a line now and then.
pub(crate) struct Progress {
    bar: ProgressBar,
    what: &'static str,
    /// Not on a terminal: percentage and message of the last line.
    last: Option<(u64, String)>,
    quiet: bool,
}

impl Progress {
    /// A bar over `total` things. `quiet` shows nothing at all.
    pub(crate) fn new(what: &'static str, total: u64, quiet: bool) -> Self {
        let target = match quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr_with_hz(10),
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = "{prefix:>10} {wide_bar:.green/dim} {pos}/{len} {msg} {elapsed}";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_prefix(what);
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar, what, last: None, quiet }
    }

    /// Now `done` of `total`, and what is to be said about it.
    pub(crate) fn update(&mut self, done: u64, total: u64, message: &str) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_message(message.to_owned());
        if self.quiet || !self.bar.is_hidden() {
            return;
        }
        // No terminal: a line for each step of a hundredth, not for every look.
        let step = (done * 100 / total.max(1), message.to_owned());
        if self.last.as_ref() != Some(&step) {
            hint(format_args!("{}: {done}/{total} {message}", self.what));
            self.last = Some(step);
        }
    }

    /// Says something beside it.
    pub(crate) fn note(&self, line: &str) {
        if !self.quiet {
            self.bar.suspend(|| hint(line));
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
