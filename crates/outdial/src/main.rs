//! Outdial: one binary that takes lists of people to call, and calls them.
//!
//! This is the only place where the rooms are wired together; there is no logic here.
#![forbid(unsafe_code)]

mod carriers;
mod client;
mod clock;
mod commands;
mod config;
mod contacts;
mod courier;
mod database;
mod demo;
mod entropy;
mod files;
mod journal;
#[cfg(feature = "failpoints")]
mod killpoint;
mod logging;
mod metered;
mod metrics;
mod node;
mod serve;
mod state;
mod term;
mod traces;
mod watched;
mod watermark;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::commands::{batch, copy, doctor, key, migrate, simulate, workspace};
use crate::config::{Config, LogConfig, LogFormat, Overrides};
use crate::demo::DemoArgs;
use crate::serve::ServeArgs;

/// Takes lists of people to call, and calls them.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct GlobalArgs {
    /// A TOML file with settings; `outdial config` prints all of them with their defaults.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the data is: sqlite:FILE or postgres://USER@HOST/DATABASE.
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// Where this node keeps what it must know beside the database; each node its own.
    #[arg(long, global = true, value_name = "DIRECTORY")]
    state_dir: Option<String>,
    /// How log lines look.
    #[arg(long, global = true, value_enum)]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API and place calls, until SIGTERM.
    Serve(ServeArgs),
    /// See it work: 200 contacts, called over SIP on this machine, with nothing else installed.
    Demo(DemoArgs),
    Batch(batch::BatchArgs),
    Key(key::KeyArgs),
    Workspace(workspace::WorkspaceArgs),
    /// Look at database, clock, numbers and port, and say what is wrong. Calls nobody.
    Doctor(doctor::DoctorArgs),
    Simulate(simulate::SimulateArgs),
    /// Bring a database to this version's schema: a file that nobody serves, or a server's, also
    /// while nodes run.
    Migrate,
    Copy(copy::CopyArgs),
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
    /// Print the default configuration file, with comments.
    Config,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = run(&cli);
    logging::flush();
    match ended {
        Ok(code) => code,
        Err(error) => {
            term::hint(format_args!("outdial: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let config = settings(cli)?;
    #[cfg(feature = "failpoints")]
    killpoint::arm()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let is_server = matches!(cli.command, Command::Serve(_));
    let tracer = match is_server {
        true => traces::tracer(&config.monitoring, runtime.handle())?,
        false => None,
    };
    logging::start(&config.log, tracer)?;
    let ended = runtime.block_on(async {
        match &cli.command {
            Command::Serve(_) => return serve::run(&config).await,
            Command::Doctor(args) => return doctor::run(args, &config).await,
            Command::Demo(args) => return demo::run(args, &config).await,
            Command::Batch(args) => batch::run(args).await?,
            Command::Key(args) => key::run(args, &config).await?,
            Command::Workspace(args) => workspace::run(args, &config).await?,
            Command::Simulate(args) => simulate::run(args)?,
            Command::Migrate => migrate::run(&config).await?,
            Command::Copy(args) => copy::run(args, &config).await?,
            Command::Openapi => term::say(outdial_http::openapi().trim_end()),
            Command::Config => term::say(config::DEFAULT_FILE.trim_end()),
        }
        Ok(ExitCode::SUCCESS)
    });
    traces::flush();
    ended
}

/// File, environment, flags.
fn settings(cli: &Cli) -> Result<Config> {
    let mut flags = Overrides::default();
    flags.set("database", "url", cli.global.database_url.clone());
    flags.set("database", "state_dir", cli.global.state_dir.clone());
    flags.set("log", "format", cli.global.log_format.map(|f| f.as_str().to_owned()));
    if let Command::Serve(serve) = &cli.command {
        flags.set("server", "listen", serve.listen.clone());
        flags.set("server", "role", serve.role.map(|r| r.as_str().to_owned()));
    }
    // Names and values that are not text cannot be ours.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut config = config::load(cli.global.config.as_deref(), environment, &flags)?;
    if matches!(cli.command, Command::Demo(_)) && config.log == LogConfig::default() {
        // Its screen is for the progress bar.
        "error".clone_into(&mut config.log.filter);
    }
    Ok(config)
}
