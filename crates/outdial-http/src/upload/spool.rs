//! Temporary files without a name: when the process is gone, so are they.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use axum::http::StatusCode;

use crate::app::App;
use crate::error::ApiError;

/// Bytes that are written at once.
const BLOCK_BYTES: usize = 256 * 1024;
/// Seconds after which a client asks again when the disk is full.
const FULL_RETRY_S: u32 = 60;

/// Where the files are.
pub(crate) fn directory(app: &App) -> PathBuf {
    app.config.spool_dir.clone().unwrap_or_else(std::env::temp_dir)
}

/// A file that is being filled from an async task.
pub(crate) struct Spool {
    file: Option<File>,
    block: Vec<u8>,
    bytes: u64,
}

impl Spool {
    /// A new one.
    pub(crate) async fn open(app: &App) -> Result<Self, ApiError> {
        let dir = directory(app);
        let opened = blocking(move || {
            std::fs::create_dir_all(&dir)?;
            tempfile::tempfile_in(dir)
        })
        .await?;
        Ok(Self { file: Some(opened), block: Vec::with_capacity(BLOCK_BYTES), bytes: 0 })
    }

    /// How many bytes are in it.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds to it.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        self.bytes += bytes.len() as u64;
        self.block.extend_from_slice(bytes);
        if self.block.len() < BLOCK_BYTES { Ok(()) } else { self.flush().await }
    }

    /// The file, with all that was written.
    pub(crate) async fn finish(mut self) -> Result<File, ApiError> {
        self.flush().await?;
        self.file.ok_or_else(|| ApiError::internal("a temporary file was lost"))
    }

    async fn flush(&mut self) -> Result<(), ApiError> {
        let lost = || ApiError::internal("a temporary file was lost");
        let mut file = self.file.take().ok_or_else(lost)?;
        let mut block = std::mem::take(&mut self.block);
        let (file, block) = blocking(move || {
            file.write_all(&block)?;
            block.clear();
            Ok((file, block))
        })
        .await?;
        (self.file, self.block) = (Some(file), block);
        Ok(())
    }
}

/// Runs what reads or writes files where it blocks nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(run)
        .await
        .map_err(|e| ApiError::internal(format!("a task of temporary files: {e}")))?
        .map_err(|e| failed(&e))
}

/// What the client is told when a temporary file fails.
pub(crate) fn failed(e: &io::Error) -> ApiError {
    if matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "the disk for uploads is full")
            .because(e.to_string())
            .retry_after(FULL_RETRY_S);
    }
    ApiError::internal(format!("a temporary file: {e}"))
}
