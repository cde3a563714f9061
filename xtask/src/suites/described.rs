//! The running binary against its own description: `schemathesis` reads `openapi.json` and sends
//! what it allows, and what it does not. Every check counts but those that
//! `xtask/schemathesis.toml` leaves out, each with its reason.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{process, python};

/// How long the whole of it may take, in seconds.
const SECONDS: &str = "150";
/// The same chance on every machine, so that a failure can be had again.
const SEED: &str = "7";
/// How long the server may take to listen.
const START_WITHIN: Duration = Duration::from_secs(60);

/// Serves an empty database, and lets `schemathesis` at it.
pub(super) fn run(binary: &Path) -> Result<()> {
    let programs = python::ensure()?;
    let folder = tempfile::tempdir().context("a folder for the database")?;
    let mut server = Server::start(binary, folder.path())?;
    let (url, key) = server.address_and_key()?;
    let mut st = Command::new(programs.join("st"));
    st.current_dir(folder.path()).env("PYTHONHASHSEED", SEED).env("NO_PROXY", "*");
    st.arg("--config-file").arg(process::root().join("xtask/schemathesis.toml"));
    st.args(["run", &format!("{url}/openapi.json"), "--header", &format!("x-api-key: {key}")]);
    // All checks are on but where the configuration switches one off.
    st.args(["--max-time", SECONDS, "--seed", SEED, "--workers", "2"]);
    st.args(["--no-color", "--warnings", "off", "--generation-database", "none"]);
    let done = process::run(&mut st);
    match server.0.try_wait().context("the server")? {
        Some(status) => bail!("the server ended with {status}"),
        None => done,
    }
}

/// A server that ends with its owner.
struct Server(Child);

impl Server {
    fn start(binary: &Path, folder: &Path) -> Result<Self> {
        let mut command = Command::new(binary);
        command.current_dir(folder).args(["serve", "--listen", "127.0.0.1:0"]);
        command.args(["--database-url", "sqlite:described.db"]);
        command.env("OUTDIAL_LOG_FILTER", "error").stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(Self(command.spawn().context("the server cannot be started")?))
    }

    /// As it prints them on a new database.
    fn address_and_key(&mut self) -> Result<(String, String)> {
        let output = self.0.stdout.take().context("the server's output")?;
        let (sender, lines) = channel();
        // Reads to the end, so that the server never waits for a reader.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _nobody_listens = sender.send(line);
            }
        });
        let mut key = None;
        loop {
            let line = lines.recv_timeout(START_WITHIN).context("the server does not listen")?;
            if let Some(found) = line.trim().strip_prefix("API key ") {
                key = Some(found.trim().to_owned());
            } else if let Some(url) = line.strip_prefix("listening on ") {
                return Ok((url.trim().to_owned(), key.context("the server printed no API key")?));
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}
