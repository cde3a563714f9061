//! Rules for every text file: blanks at line ends, places of this machine, hosts of registries.

use super::{Finding, Source};

/// Hosts that nobody's tree may depend on: which registry is used is a matter of the machine.
/// In halves, so that this file does not break its own rule.
const HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("files.python", "hosted.org"),
    concat!("registry.npm", "js.org"),
    concat!("deb.deb", "ian.org"),
    concat!("security.deb", "ian.org"),
    concat!("proxy.go", "lang.org"),
];

/// Folders that exist on one machine only.
const PLACES: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

/// Words that say a thing is not finished, in files that are not Rust.
const UNFINISHED: &[&str] = &[concat!("FIX", "ME"), concat!("X", "XX")];

/// Files that a person writes as code, besides Rust.
const CODE: &[&str] = &["sql", "sh", "toml", "js", "css", "html", "yml", "yaml"];

/// Applies the rules to one file.
pub(super) fn check(source: &Source, findings: &mut Vec<Finding>) {
    let path = source.path.as_str();
    let extension = path.rsplit_once('.').map_or("", |(_, e)| e);
    if extension == "sql" && !path.starts_with("crates/outdial-store/") {
        findings.push(Finding::fault(path, 0, "SQL stands in outdial-store only"));
    }
    // The lock file names the registry's standard source; a snapshot holds what it holds.
    let (lock, snapshot) = (path == "Cargo.lock", extension == "snap");
    let code = CODE.contains(&extension) || path == ".ci/run";
    for (i, line) in source.text.split('\n').enumerate() {
        let mut fault = |says: String| findings.push(Finding::fault(path, i + 1, says));
        if !snapshot && line.ends_with([' ', '\t', '\r']) {
            fault("blanks at the end of the line".to_owned());
        }
        if let Some(host) = HOSTS.iter().find(|h| line.contains(**h)).filter(|_| !lock) {
            fault(format!("names the registry host {host}"));
        }
        if let Some(place) = PLACES.iter().find(|p| names_place(line, p)) {
            fault(format!("names {place}…, a place on one machine"));
        }
        if let Some(word) = UNFINISHED.iter().find(|w| code && has_word(line, w)) {
            fault(format!("{word}: finish it, or file an issue"));
        }
    }
}

/// Whether a line names the folder from the root of the file system; `/api/home/` does not.
fn names_place(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || "._-/}~$".contains(c)))
    })
}

/// Whether a line contains the word, not as a part of another.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c == '_' || c.is_alphanumeric());
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !is_part(before.chars().next_back()) && !is_part(after.chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(path: &str, text: &str) -> Vec<(usize, String)> {
        let mut findings = Vec::new();
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        check(&source, &mut findings);
        findings.into_iter().map(|f| (f.line, f.says)).collect()
    }

    #[test]
    fn blanks_at_line_ends() {
        assert_eq!(says("a.md", "a\nb \nc\t\nd\r\ne\n").len(), 3);
        assert_eq!(says("a.snap", "a \n"), []);
    }

    #[test]
    fn places_and_hosts() {
        for (text, count) in [
            (format!("see {}x", PLACES[0]), 1),
            (format!("path = \"{}x\"", PLACES[2]), 1),
            (format!("GET /api{}x", PLACES[2]), 0),
            (format!("see {}", HOSTS[0]), 1),
            ("nothing".to_owned(), 0),
        ] {
            assert_eq!(says("a.md", &text).len(), count, "{text}");
        }
        assert_eq!(says("Cargo.lock", HOSTS[0]), []);
    }

    #[test]
    fn sql_has_its_room() {
        assert_eq!(says("crates/outdial-store/src/sqlite/a.sql", "SELECT 1;"), []);
        assert_eq!(says("crates/outdial-http/src/a.sql", "SELECT 1;").len(), 1);
    }

    #[test]
    fn unfinished_words_are_whole_words() {
        assert_eq!(says("a.sql", UNFINISHED[1]).len(), 2, "one for the word, one for the place");
        assert_eq!(says("a.toml", &format!("1{}", UNFINISHED[1])), []);
        assert_eq!(says("a.md", UNFINISHED[0]), []);
    }
}
