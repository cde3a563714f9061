//! Plays seeds, and says which of them broke a promise.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use outdial_sim::{Failure, Report, Sabotage, run, run_sabotaged, tail};

/// Lines of the trace that are printed when a promise is broken.
const TAIL: usize = 80;

/// Plays worlds in virtual time and checks the promises of Outdial in them.
#[derive(Parser)]
struct Args {
    /// How many seeds to play.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first of them; alone, the only one.
    #[arg(long)]
    seed: Option<u64>,
    /// Steps of each world.
    #[arg(long, default_value_t = outdial_sim::STEPS)]
    steps: u32,
    /// Begin no more worlds after so many minutes.
    #[arg(long)]
    minutes: Option<f64>,
    /// Print whole traces.
    #[arg(long)]
    trace: bool,
    /// Switch a safeguard off, and print in how many worlds that is found.
    #[arg(long, value_enum)]
    sabotage: Option<Sabotage>,
}

/// What came of all seeds.
#[derive(Default)]
struct Sum {
    played: u64,
    failed: Vec<u64>,
    /// By promise.
    broken: BTreeMap<&'static str, u64>,
    counts: BTreeMap<&'static str, u64>,
    lasted: Duration,
}

#[expect(clippy::disallowed_methods, reason = "how long it takes is asked by people")]
fn main() -> ExitCode {
    let args = Args::parse();
    let first = args.seed.unwrap_or(1);
    let seeds = args.seeds.unwrap_or(if args.seed.is_some() { 1 } else { 50 });
    let began = Instant::now();
    let in_time = || args.minutes.is_none_or(|most| began.elapsed().as_secs_f64() < most * 60.0);
    let next = AtomicU64::new(0);
    let sum = Mutex::new(Sum::default());
    // A world is one thread; several worlds know nothing of each other.
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while in_time() {
                    let seed = first + next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    let played = match args.sabotage {
                        Some(rule) => run_sabotaged(seed, args.steps, rule),
                        None => run(seed, args.steps),
                    };
                    let mut sum = sum.lock().expect("nobody panics while holding it");
                    tell(&args, &mut sum, played, seeds);
                }
            });
        }
    });
    let sum = sum.into_inner().expect("nobody panics while holding it");
    if let Some(rule) = args.sabotage {
        return found(rule, &sum);
    }
    report(&args, &sum, seeds, began.elapsed());
    match sum.failed.is_empty() && sum.played > 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Here it is good when promises are broken.
fn found(rule: Sabotage, sum: &Sum) -> ExitCode {
    println!("{rule:?}: found in {} of {} worlds {:?}", sum.failed.len(), sum.played, sum.broken);
    if sum.failed.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn report(args: &Args, sum: &Sum, seeds: u64, took: Duration) {
    for (what, count) in &sum.counts {
        println!("{count:>9} {what}");
    }
    let count = |what: &str| sum.counts.get(what).copied().unwrap_or(0);
    println!(
        "{} of {seeds} seeds in {:.0} s: {} steps, {} faults, {} attempts, {:.1} virtual years; \
         {} failed",
        sum.played,
        took.as_secs_f64(),
        count("steps"),
        sum.counts.iter().filter(|(what, _)| is_fault(what)).map(|(_, n)| n).sum::<u64>(),
        count("attempts"),
        sum.lasted.as_secs_f64() / (365.25 * 86_400.0),
        sum.failed.len()
    );
    for seed in &sum.failed {
        println!("again: cargo run -p outdial-sim -- --seed {seed} --steps {} --trace", args.steps);
    }
}

fn is_fault(what: &str) -> bool {
    what.starts_with("fault: ") || what == "crashed"
}

fn tell(args: &Args, sum: &mut Sum, played: Result<Report, Box<Failure>>, seeds: u64) {
    sum.played += 1;
    match played {
        Ok(report) => {
            if args.trace {
                println!("{}", report.trace);
            }
            for (what, count) in report.counts {
                *sum.counts.entry(what).or_default() += count;
            }
            sum.lasted += report.lasted;
        }
        Err(failure) => {
            *sum.broken.entry(failure.violation.promise).or_default() += 1;
            sum.failed.push(failure.seed);
            if args.sabotage.is_some() && !args.trace {
                return;
            }
            let trace = if args.trace { failure.trace.clone() } else { tail(&failure.trace, TAIL) };
            println!("{trace}\n{failure}\n");
        }
    }
    if args.sabotage.is_none() && sum.played.is_multiple_of(100) || sum.played == seeds {
        println!("{} of {seeds} seeds played", sum.played);
    }
}
