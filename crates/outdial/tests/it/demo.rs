//! README's first command.

use crate::harness::{outdial, stdout_of};

#[test]
fn the_demo_calls_everybody_and_says_what_came_of_it() {
    // Faster than a person would want to watch.
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let mut demo = outdial();
    demo.args(["demo", "--exit"]).env("OUTDIAL_SIMULATED_SPEED", "40");
    let text = stdout_of(demo.env("OUTDIAL_DATABASE_STATE_DIR", &state));
    assert!(!state.exists(), "it leaves nothing behind");
    let rows: Vec<(&str, u64)> = text
        .lines()
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(word, count)| Some((word.trim(), count.parse().ok()?)))
        .collect();
    let of = |word: &str| rows.iter().find(|(w, _)| *w == word).map(|(_, n)| *n);
    assert_eq!(of("total"), Some(200), "{text}");
    let sum: u64 = rows.iter().filter(|(word, _)| *word != "total").map(|(_, n)| n).sum();
    assert_eq!(sum, 200, "{text}");
    // Two contacts for each row of the simulated table. That a machine answers is heard by nobody
    // here: over SIP its three rows are completed calls.
    for (word, count) in [
        ("completed", 146),
        ("no-answer", 22),
        ("busy", 10),
        ("rejected", 10),
        ("failed", 6),
        ("invalid-number", 2),
        ("canceled", 2),
        ("unknown", 2),
    ] {
        assert_eq!(of(word), Some(count), "{word}: {text}");
    }
}
