//! Follows what `cargo test` prints and makes suites of it.

use std::io::{BufRead, BufReader, PipeReader};
use std::process::Child;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result};

use super::Suite;
use crate::process::Stopwatch;

/// How the run as a whole ended.
pub(super) struct Heard {
    pub(super) success: bool,
    /// The pipe stayed open though cargo had ended: a process of a test lives on.
    pub(super) left_over: bool,
}

/// Hands over every line until cargo has ended and its output is read.
pub(super) fn to_the_end(
    pipe: PipeReader,
    child: &mut Child,
    mut hear: impl FnMut(&str),
) -> Result<Heard> {
    let (sender, lines) = channel();
    // Ends with the pipe, or with the process when something holds the pipe open.
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    // Silence after cargo's own end that is long enough to have read what was printed.
    let patience = Duration::from_secs(5);
    let mut ended = None;
    let left_over = loop {
        match lines.recv_timeout(patience) {
            Ok(line) => hear(&line),
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) if ended.is_some() => break true,
            Err(RecvTimeoutError::Timeout) => ended = child.try_wait().context("cargo test")?,
        }
    };
    Ok(Heard { success: child.wait().context("cargo test")?.success(), left_over })
}

/// Turns lines into suites.
pub(super) struct Listener<Names> {
    /// The suite of a test program's file name, if it is known.
    names: Names,
    current: Option<(String, Stopwatch)>,
    suites: Vec<Suite>,
    /// Names of the current suite's tests that failed.
    broken: Vec<String>,
}

impl<Names: Fn(&str) -> Option<String>> Listener<Names> {
    pub(super) fn new(names: Names) -> Self {
        Self { names, current: None, suites: Vec::new(), broken: Vec::new() }
    }

    /// Takes a line in, and returns it when it is worth showing.
    pub(super) fn hear<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        let trimmed = line.trim_start();
        if let Some(name) = self.started(trimmed) {
            self.close();
            self.current = Some((name, Stopwatch::start()));
        } else if let Some(result) = trimmed.strip_prefix("test result: ") {
            self.result(result);
        }
        if let Some(name) =
            trimmed.strip_prefix("test ").and_then(|t| t.strip_suffix(" ... FAILED"))
        {
            self.broken.push(name.to_owned());
        }
        let passed = trimmed.starts_with("test ") && trimmed.ends_with(" ... ok");
        (!passed && !trimmed.is_empty()).then_some(line)
    }

    pub(super) fn finish(mut self) -> Vec<Suite> {
        self.close();
        self.suites
    }

    /// `Running tests/x.rs (target/debug/deps/x-0123)` or `Doc-tests outdial_core`.
    fn started(&self, line: &str) -> Option<String> {
        if let Some(library) = line.strip_prefix("Doc-tests ") {
            return Some(format!("{} (documentation)", library.trim().replace('_', "-")));
        }
        let (source, file) = line.strip_prefix("Running ")?.strip_suffix(')')?.split_once(" (")?;
        let file = file.rsplit(['/', '\\']).next().unwrap_or(file);
        Some((self.names)(file).unwrap_or_else(|| source.to_owned()))
    }

    fn result(&mut self, text: &str) {
        let count = |what: &str| {
            let part = text.split(['.', ';']).find_map(|p| p.trim().strip_suffix(what));
            part.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
        };
        let (name, took) = match self.current.take() {
            Some((name, watch)) => (name, watch.elapsed()),
            None => match self.suites.last() {
                // Examples of one library may come in two runs, with one head.
                Some(last) => (last.name.clone(), Duration::ZERO),
                None => ("unknown".to_owned(), Duration::ZERO),
            },
        };
        let (passed, failed, ignored) = (count(" passed"), count(" failed"), count(" ignored"));
        // What says FAILED has failed, whatever it counted.
        let failed = if text.starts_with("FAILED") { failed.max(1) } else { failed };
        let broken = std::mem::take(&mut self.broken);
        self.suites.push(Suite { name, passed, failed, ignored, took, broken });
    }

    /// A suite that began and never told its result died on the way.
    fn close(&mut self) {
        if let Some((name, watch)) = self.current.take() {
            let broken = std::mem::take(&mut self.broken);
            self.suites.push(Suite { broken, ..Suite::single(&name, false, watch.elapsed()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &str) -> Vec<(String, u32, u32, u32)> {
        let names = |file: &str| (file == "core-1a").then(|| "outdial-core/src/lib.rs".to_owned());
        let mut listener = Listener::new(names);
        for line in text.lines() {
            listener.hear(line);
        }
        let suites = listener.finish();
        suites.into_iter().map(|s| (s.name, s.passed, s.failed, s.ignored)).collect()
    }

    #[test]
    fn results_go_to_the_suite_that_ran() {
        let text = "\
     Running unittests src/lib.rs (/somewhere/debug/deps/core-1a)
running 3 tests
test a ... ok
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
     Running tests/api.rs (target/debug/deps/api-2b)
test result: FAILED. 4 passed; 3 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1s
   Doc-tests outdial_core
test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s";
        let wanted = [
            ("outdial-core/src/lib.rs".to_owned(), 2, 0, 1),
            ("tests/api.rs".to_owned(), 4, 3, 0),
            ("outdial-core (documentation)".to_owned(), 5, 0, 0),
        ];
        assert_eq!(heard(text), wanted);
    }

    #[test]
    fn a_suite_that_dies_has_failed() {
        let text = "\
     Running tests/a.rs (target/debug/deps/a-1)
running 1 test
     Running tests/b.rs (target/debug/deps/b-2)
error: test failed, to rerun pass `-p x --test b`";
        let wanted = [("tests/a.rs".to_owned(), 0, 1, 0), ("tests/b.rs".to_owned(), 0, 1, 0)];
        assert_eq!(heard(text), wanted);
    }

    #[test]
    fn passed_tests_are_not_shown() {
        let mut listener = Listener::new(|_: &str| None);
        assert_eq!(listener.hear("test a ... ok"), None);
        assert_eq!(listener.hear("test b ... FAILED"), Some("test b ... FAILED"));
        assert_eq!(listener.hear("note: slow"), Some("note: slow"));
        listener.hear("test result: FAILED. 1 passed; 1 failed; 0 ignored;");
        assert_eq!(listener.finish()[0].broken, ["b"]);
    }
}
