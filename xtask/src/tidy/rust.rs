//! Rules for Rust files: lengths, heads, unfinished work, sleeping tests.

use super::functions::functions;
use super::scan::{Scanned, scan};
use super::text::has_word;
use super::{Finding, Source};

/// Lines of a file before its tests: a question, and a fault.
const FILE: (usize, usize) = (400, 800);
/// Lines of a function, head and end included.
const FUNCTION: usize = 70;
/// Characters of a line.
const LINE: usize = 100;

/// What stands in a comment right above something that is longer than the rule.
const LONG: &str = "tidy: long because ";
/// What stands in a comment right above a pause in a test that is part of a poll with a deadline.
const SLEEPS: &str = "tidy: sleeps because ";

/// Code that must not stay.
const LEFT: &[&str] = &["todo!", "unimplemented!", "dbg!", "#[ignore"];
/// Words in comments that must not stay; in halves, so that no search for them ends here.
const WORDS: &[&str] = &[concat!("FIX", "ME"), concat!("X", "XX"), concat!("TO", "DO")];

/// Applies the rules to one file.
pub(super) fn check(source: &Source, findings: &mut Vec<Finding>) {
    let file = File::new(source);
    file.head(findings);
    file.length(findings);
    file.functions(findings);
    file.lines(findings);
    file.unfinished(findings);
    file.sleeps(findings);
}

struct File<'a> {
    path: &'a str,
    lines: Vec<&'a str>,
    scanned: Scanned,
    /// The line, from 0, on which the tests begin; everything in a file of tests.
    tests_from: usize,
}

impl<'a> File<'a> {
    fn new(source: &'a Source) -> Self {
        let lines: Vec<&str> = source.text.lines().collect();
        let scanned = scan(&source.text);
        let path = source.path.as_str();
        let all_tests = path.contains("/tests/") || path.ends_with("/tests.rs");
        let tests_from = if all_tests { 0 } else { tests_from(&scanned.code) };
        Self { path, tests_from: tests_from.min(lines.len()), lines, scanned }
    }

    fn fault(&self, line: usize, says: impl Into<String>) -> Finding {
        Finding::fault(self.path, line + 1, says)
    }

    fn head(&self, findings: &mut Vec<Finding>) {
        let first = self.lines.iter().find(|l| !l.trim().is_empty());
        if !first.is_some_and(|l| l.starts_with("//!")) {
            let says = "begins without `//!`: say what it is and what it must never do";
            findings.push(Finding::fault(self.path, 0, says));
        }
    }

    fn length(&self, findings: &mut Vec<Finding>) {
        let (question, fault) = FILE;
        let n = self.tests_from;
        if n > fault {
            let says = format!("{n} lines before the tests, more than {fault}: split it");
            findings.push(Finding::fault(self.path, 0, says));
        } else if n > question {
            let says = format!("{n} lines before the tests: is it one thing?");
            findings.push(Finding::warning(self.path, 0, says));
        }
    }

    fn functions(&self, findings: &mut Vec<Finding>) {
        for function in functions(&self.scanned.code) {
            let n = function.lines();
            if n > FUNCTION && !self.excused_above(function.first, LONG) {
                let says = format!("`{}` has {n} lines, more than {FUNCTION}", function.name);
                findings.push(self.fault(function.first, says));
            }
        }
    }

    fn lines(&self, findings: &mut Vec<Finding>) {
        for (i, line) in self.lines.iter().enumerate() {
            if line.contains('\t') {
                findings.push(self.fault(i, "a tab"));
            }
            let n = line.chars().count();
            // Inside a string of several lines no comment can stand: it stands above the string.
            let from = self.scanned.string_from[i].unwrap_or(i);
            if n > LINE && !self.excused_above(from, LONG) {
                findings.push(self.fault(i, format!("{n} characters, more than {LINE}")));
            }
        }
    }

    fn unfinished(&self, findings: &mut Vec<Finding>) {
        for (i, line) in self.scanned.code.lines().enumerate() {
            for left in LEFT.iter().filter(|left| has_code(line, left)) {
                findings.push(self.fault(i, format!("`{left}` is left over")));
            }
        }
        for (i, line) in self.scanned.comments.lines().enumerate() {
            for word in WORDS.iter().filter(|word| has_word(line, word)) {
                findings.push(self.fault(i, format!("{word}: finish it, or file an issue")));
            }
        }
    }

    fn sleeps(&self, findings: &mut Vec<Finding>) {
        for (i, line) in self.scanned.code.lines().enumerate().skip(self.tests_from) {
            let sleeps = line.contains("thread::sleep") || line.contains("time::sleep(");
            if sleeps && !self.excused_above(i, SLEEPS) {
                let says = "a test that sleeps: wait for a signal, or poll with a deadline";
                findings.push(self.fault(i, says));
            }
        }
    }

    /// Whether the comments and attributes right above a line hold the excuse, with a reason.
    fn excused_above(&self, line: usize, excuse: &str) -> bool {
        self.lines[..line]
            .iter()
            .rev()
            .map(|l| l.trim())
            .take_while(|l| l.starts_with("//") || l.starts_with("#["))
            .any(|l| l.split_once(excuse).is_some_and(|(_, reason)| reason.trim().len() > 3))
    }
}

/// The line, from 0, of the first `#[cfg(test)]` over a module with a body.
fn tests_from(code: &str) -> usize {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let opens = |at: usize| {
        let item = lines[at + 1..].iter().find(|l| !l.is_empty() && !l.starts_with("#["));
        item.is_some_and(|l| l.contains("mod ") && l.ends_with('{'))
    };
    let found = (0..lines.len()).find(|&i| lines[i].starts_with("#[cfg(test)]") && opens(i));
    found.unwrap_or(lines.len())
}

/// Whether a line of code has the text, not as the end of a longer name.
fn has_code(line: &str, text: &str) -> bool {
    line.match_indices(text).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c == '_' || c.is_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(path: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(&Source { path: path.to_owned(), text: text.to_owned() }, &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    fn clean(text: &str) {
        let says = says("a.rs", &format!("//! Head.\n{text}"));
        assert!(says.is_empty(), "{text}: {says:?}");
    }

    fn broken(text: &str, wanted: &str) {
        let says = says("a.rs", &format!("//! Head.\n{text}"));
        assert!(says.len() == 1 && says[0].contains(wanted), "{text}: {says:?}");
    }

    #[test]
    fn a_file_has_a_head() {
        assert_eq!(says("a.rs", "\n//! Head.\n").len(), 0);
        assert_eq!(says("a.rs", "// No head.\n").len(), 1);
        assert_eq!(says("a.rs", "").len(), 1);
    }

    #[test]
    fn a_file_is_measured_up_to_its_tests() {
        let long = "//! Head.\n".repeat(401);
        assert!(says("a.rs", &long)[0].contains("warning: 401 lines"));
        let over = "//! Head.\n".repeat(801);
        assert!(says("a.rs", &over)[0].contains("more than 800"));
        let tests = format!("//! Head.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "//\n".repeat(900));
        assert_eq!(says("a.rs", &tests).len(), 0);
        assert_eq!(says("crates/x/tests/a.rs", &over).len(), 0);
        let elsewhere = format!("//! Head.\n#[cfg(test)]\nmod tests;\n{}", "//\n".repeat(900));
        assert_eq!(says("a.rs", &elsewhere).len(), 1, "tests in a file of their own end nothing");
    }

    #[test]
    fn a_long_function_needs_a_reason() {
        let body = "    x();\n".repeat(80);
        broken(&format!("fn a() {{\n{body}}}\n"), "`a` has 82 lines");
        broken(&format!("// tidy: long because\nfn a() {{\n{body}}}\n"), "`a` has 82 lines");
        clean(&format!(
            "// tidy: long because it is one table\n#[must_use]\nfn a() {{\n{body}}}\n"
        ));
    }

    #[test]
    fn a_long_line_needs_a_reason() {
        let long = "x".repeat(101);
        broken(&format!("let a = \"{long}\";\n"), "characters, more than 100");
        clean(&format!("// tidy: long because it is a URL\nlet a = \"{long}\";\n"));
        clean(&format!("// tidy: long because it is JSON\nlet a = r\"\n{long}\n{long}\";\n"));
        clean(&format!("// {}\n", "é".repeat(97)));
    }

    #[test]
    fn nothing_unfinished_stays() {
        broken("fn a() { todo!() }\n", "`todo!`");
        broken("    #[ignore = \"slow\"]\n", "`#[ignore`");
        broken(&format!("// {}: later\n", WORDS[0]), WORDS[0]);
        clean("// the macro todo! in a comment, and \"dbg!\"\nlet a = \"unimplemented!\";\n");
        clean("my_todo!();\n");
        broken("\tlet a;\n", "a tab");
    }

    #[test]
    fn tests_do_not_sleep() {
        let test = |line: &str| format!("#[cfg(test)]\nmod tests {{\n    {line}\n}}\n");
        broken(&test("std::thread::sleep(ms);"), "sleeps");
        broken(&test("tokio::time::sleep(ms).await;"), "sleeps");
        clean(&test("// tidy: sleeps because it polls until a deadline\n    thread::sleep(ms);"));
        clean("fn product() { tokio::time::sleep(ms).await; }\n");
        let head = "//! Head.\nfn a() { thread::sleep(ms); }\n";
        assert_eq!(says("crates/x/tests/a.rs", head).len(), 1);
    }
}
