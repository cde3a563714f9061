//! Plays seeds, and says which of them broke a promise.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use outdial_sim::{Failure, Report, run, tail};

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
    /// Print whole traces.
    #[arg(long)]
    trace: bool,
}

/// What came of all seeds.
#[derive(Default)]
struct Sum {
    played: u64,
    failed: Vec<u64>,
    counts: BTreeMap<&'static str, u64>,
    lasted: Duration,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let first = args.seed.unwrap_or(1);
    let seeds = args.seeds.unwrap_or(if args.seed.is_some() { 1 } else { 50 });
    let next = AtomicU64::new(0);
    let sum = Mutex::new(Sum::default());
    // A world is one thread; several worlds know nothing of each other.
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = first + next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    let played = run(seed, args.steps);
                    let mut sum = sum.lock().expect("nobody panics while holding it");
                    tell(&args, &mut sum, played, seeds);
                }
            });
        }
    });
    let sum = sum.into_inner().expect("nobody panics while holding it");
    for (what, count) in &sum.counts {
        println!("{count:>8} {what}");
    }
    println!("{:>8.1} virtual hours", sum.lasted.as_secs_f64() / 3600.0);
    println!("{} seeds, {} failed", sum.played, sum.failed.len());
    for seed in &sum.failed {
        println!("again: cargo run -p outdial-sim -- --seed {seed} --steps {} --trace", args.steps);
    }
    match sum.failed.is_empty() && sum.played == seeds {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
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
            let trace = if args.trace { failure.trace.clone() } else { tail(&failure.trace, TAIL) };
            println!("{trace}\n{failure}\n");
            sum.failed.push(failure.seed);
        }
    }
    if sum.played.is_multiple_of(10) || sum.played == seeds {
        println!("{} of {seeds} seeds played", sum.played);
    }
}
