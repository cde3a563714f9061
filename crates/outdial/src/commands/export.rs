//! `outdial batch export`: a batch's calls as CSV, to a file or to standard output.
//!
//! A file appears under its name only when it is whole.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use crate::client::Client;
use crate::term::{Progress, say};

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Id of the batch.
    batch: String,
    /// Where to write it; by default standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Fetches and writes it.
pub(crate) async fn run(client: &Client, args: &ExportArgs, as_json: bool) -> Result<()> {
    let total = client.progress(&args.batch).await?.total;
    let query = [("batchId", args.batch.as_str())];
    let mut answer = client.stream("/api/call/export/csv", &query).await?;
    let quiet = as_json || args.output.is_none() || !std::io::stderr().is_terminal();
    let mut bar = Progress::new("exported", total, quiet);
    let mut target = Target::open(args.output.as_deref())?;
    let (mut bytes, mut lines) = (0_u64, 0_u64);
    while let Some(piece) = answer.chunk().await.context("the answer broke off")? {
        target.write(&piece)?;
        bytes += piece.len() as u64;
        // Cells may have line ends in them: how far it is, not how many rows it has.
        lines += piece.iter().filter(|b| **b == b'\n').count() as u64;
        bar.update(lines.min(total), total, "");
    }
    bar.finish();
    target.close()?;
    match (&args.output, as_json) {
        (Some(path), true) => say(json!({ "file": path, "calls": total, "bytes": bytes })),
        (Some(path), false) => say(format_args!("{total} calls are in {}", path.display())),
        (None, _) => {}
    }
    Ok(())
}

enum Target<'a> {
    Out,
    File(tempfile::NamedTempFile, &'a Path),
}

impl<'a> Target<'a> {
    fn open(path: Option<&'a Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::Out) };
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        let file = tempfile::NamedTempFile::new_in(folder)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self::File(file, path))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Out => std::io::stdout().lock().write_all(bytes)?,
            Self::File(file, path) => file
                .write_all(bytes)
                .with_context(|| format!("{} cannot be written", path.display()))?,
        }
        Ok(())
    }

    fn close(self) -> Result<()> {
        match self {
            Self::Out => std::io::stdout().lock().flush()?,
            Self::File(file, path) => {
                file.as_file().sync_all()?;
                file.persist(path)
                    .with_context(|| format!("{} cannot be written", path.display()))?;
            }
        }
        Ok(())
    }
}
