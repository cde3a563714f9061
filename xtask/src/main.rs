//! The chores of the project, started as `cargo xtask …`.
//!
//! Nothing of the product lives here and nothing here is shipped. A chore prints what it does and
//! ends with a code other than 0 when something is wrong.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command-line program talks on its standard output")]

mod apt;
mod bench;
#[cfg(test)]
mod features;
mod openapi;
mod phone_places;
mod phone_zones;
mod process;
mod python;
mod suites;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The chores of the project")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Runs every test of the workspace and prints minutes per suite.
    Test(suites::Options),
    /// Checks the rules of style and the walls between crates.
    Tidy,
    /// Writes openapi.json from the code.
    Openapi {
        /// Compare instead of writing; differences are an error.
        #[arg(long)]
        check: bool,
    },
    /// Runs a benchmark on the release build.
    Bench(bench::Options),
    /// Makes the core's table of time zones by telephone prefix anew.
    PhoneZones,
    /// Makes the core's tables of places by area code and by time zone anew.
    PhonePlaces,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Test(options) => suites::run(&options),
        Chore::Tidy => tidy::run(),
        Chore::Openapi { check } => openapi::run(check),
        Chore::Bench(options) => bench::run(&options),
        Chore::PhoneZones => phone_zones::run(),
        Chore::PhonePlaces => phone_places::run(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
