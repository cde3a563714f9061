//! Which sabotage is found in which of the first seeds, and as what: `sabotage [SEEDS]`; or the
//! trace of one: `sabotage RULE SEED`.
#![expect(clippy::print_stdout, reason = "a program for people")]

use outdial_sim::{STEPS, Sabotage, run_sabotaged};

fn main() {
    let mut args = std::env::args().skip(1);
    let (first, second) = (args.next().unwrap_or_default(), args.next());
    let wanted = Sabotage::ALL.into_iter().find(|rule| format!("{rule:?}") == first);
    if let (Some(rule), Some(seed)) = (wanted, second.and_then(|n| n.parse().ok())) {
        match run_sabotaged(seed, STEPS, rule) {
            Ok(report) => println!("{}not found", report.trace),
            Err(failure) => println!("{}{failure}", failure.trace),
        }
        return;
    }
    let seeds: u64 = first.parse().unwrap_or(20);
    for rule in Sabotage::ALL {
        let broken = (1..=seeds).filter_map(|seed| run_sabotaged(seed, STEPS, rule).err());
        let found: Vec<String> =
            broken.map(|f| format!("{} {}", f.seed, f.violation.promise)).collect();
        println!("{rule:?}: {} of {seeds}: {}", found.len(), found.join(", "));
    }
}
