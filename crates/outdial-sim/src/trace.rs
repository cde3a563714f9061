//! The trace: what happened in a world, line by line, for people. The same seed gives the same
//! trace, byte for byte.

use std::fmt::Write;
use std::time::Duration;

/// Lines of text, each with the seconds since the world began.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    text: String,
    closed: bool,
}

impl Trace {
    /// Adds a line, unless it is closed.
    pub(crate) fn line(&mut self, at: Duration, who: &str, what: &str) {
        if !self.closed {
            let _ = writeln!(self.text, "{:>11.3} {who:<8} {what}", at.as_secs_f64());
        }
    }

    /// Nothing is added any more: what follows a violation says nothing new.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// All lines.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// The last `count` lines of a trace.
pub fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(count);
    let mut out = match from {
        0 => String::new(),
        n => format!("… {n} lines before\n"),
    };
    for line in &lines[from..] {
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tail_and_end() {
        let mut trace = Trace::default();
        trace.line(Duration::from_millis(1_500), "client", "a");
        trace.line(Duration::from_secs(70_000), "carrier", "b");
        trace.close();
        trace.line(Duration::from_secs(70_001), "carrier", "c");
        assert_eq!(trace.text(), "      1.500 client   a\n  70000.000 carrier  b\n");
        assert_eq!(tail(trace.text(), 1), "… 1 lines before\n  70000.000 carrier  b\n");
        assert_eq!(tail(trace.text(), 5), trace.text());
    }
}
