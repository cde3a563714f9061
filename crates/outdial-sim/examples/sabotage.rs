//! Which sabotage is found in which of the first seeds, and as what.
#![expect(clippy::print_stdout, reason = "a program for people")]

use outdial_sim::{STEPS, Sabotage, run_sabotaged};

fn main() {
    let seeds: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(20);
    for rule in Sabotage::ALL {
        let broken = (1..=seeds).filter_map(|seed| run_sabotaged(seed, STEPS, rule).err());
        let found: Vec<String> =
            broken.map(|f| format!("{} {}", f.seed, f.violation.promise)).collect();
        println!("{rule:?}: {} of {seeds}: {}", found.len(), found.join(", "));
    }
}
