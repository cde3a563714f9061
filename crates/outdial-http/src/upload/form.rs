//! The form of an upload, taken in part by part: the file goes to a temporary file, everything else
//! is small.

use std::collections::BTreeMap;
use std::fs::File;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use outdial_core::id::WorkspaceId;
use sha2::{Digest, Sha256};

use super::multipart::{Event, Multipart, PartHead, boundary};
use super::room::Seat;
use super::spool::Spool;
use crate::app::App;
use crate::body::BodyReader;
use crate::error::{ApiError, ApiResult};

/// The part that is the file.
const FILE: &str = "file";

/// A form.
pub(crate) struct Form {
    /// Its parts but the file, by name.
    pub(crate) fields: BTreeMap<String, String>,
    /// The file with its name, if one came.
    pub(crate) file: Option<(String, File)>,
    /// Of its parts as they were decoded, in whatever order and with whatever boundary they came.
    pub(crate) sha256: [u8; 32],
    /// Its room among those that are being taken in.
    pub(crate) room: Seat,
}

/// Takes a form in.
pub(crate) async fn take(
    app: &App,
    workspace: WorkspaceId,
    headers: &HeaderMap,
    body: Body,
) -> ApiResult<Form> {
    let boundary = boundary(headers).ok_or_else(|| {
        let why = "send the body as Content-Type: multipart/form-data with its boundary";
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why)
    })?;
    let most = app.config.upload_max_bytes.saturating_add(app.config.body_max_bytes);
    let mut reader = BodyReader::open(app, headers, body, most)?;
    let room = app.uploads.take(workspace)?;
    let mut multipart = Multipart::new(&boundary);
    let mut taking = Taking { app, fields: BTreeMap::new(), file: None, open: None, small: 0 };
    let mut digests = BTreeMap::new();
    while let Some(piece) = reader.next().await? {
        for event in multipart.feed(&piece).map_err(|e| ApiError::bad(e.to_string()))? {
            match event {
                Event::Begin(head) => taking.begin(head).await?,
                Event::Data(data) => taking.data(&data).await?,
                Event::End => taking.end(&mut digests).await?,
            }
        }
    }
    multipart.finish().map_err(|e| ApiError::bad(e.to_string()))?;
    let mut whole = Sha256::new();
    for ((name, filename), digest) in &digests {
        for text in [name, filename] {
            whole.update((text.len() as u64).to_be_bytes());
            whole.update(text);
        }
        whole.update(digest);
    }
    let sha256 = whole.finalize().into();
    Ok(Form { fields: taking.fields, file: taking.file, sha256, room })
}

struct Taking<'a> {
    app: &'a App,
    fields: BTreeMap<String, String>,
    file: Option<(String, File)>,
    open: Option<Part>,
    /// Bytes of all parts but the file.
    small: u64,
}

struct Part {
    head: PartHead,
    hash: Sha256,
    to: To,
}

enum To {
    Memory(Vec<u8>),
    File(Spool),
}

impl Taking<'_> {
    async fn begin(&mut self, head: PartHead) -> ApiResult<()> {
        let is_file = head.name == FILE;
        if self.fields.contains_key(&head.name) || (is_file && self.file.is_some()) {
            return Err(ApiError::bad(format!("{}: the form has this part twice", head.name)));
        }
        if is_file && head.filename.as_ref().is_none_or(String::is_empty) {
            return Err(ApiError::bad("file: send it as a file with its name, like contacts.csv"));
        }
        let to = if is_file { To::File(Spool::open(self.app).await?) } else { To::Memory(vec![]) };
        self.open = Some(Part { head, hash: Sha256::new(), to });
        Ok(())
    }

    async fn data(&mut self, data: &[u8]) -> ApiResult<()> {
        let Some(part) = &mut self.open else { return Ok(()) };
        part.hash.update(data);
        let config = &self.app.config;
        match &mut part.to {
            To::Memory(bytes) => {
                self.small += data.len() as u64;
                if self.small > config.body_max_bytes {
                    let most = config.body_max_bytes;
                    return Err(too_large(&format!("the form without its file has over {most}")));
                }
                bytes.extend_from_slice(data);
            }
            To::File(spool) => {
                spool.write(data).await?;
                if spool.bytes() > config.upload_max_bytes {
                    let most = config.upload_max_bytes;
                    return Err(too_large(&format!("file: it is larger than {most}")));
                }
            }
        }
        Ok(())
    }

    async fn end(&mut self, digests: &mut BTreeMap<(String, String), [u8; 32]>) -> ApiResult<()> {
        let Some(Part { head, hash, to }) = self.open.take() else { return Ok(()) };
        let filename = head.filename.unwrap_or_default();
        digests.insert((head.name.clone(), filename.clone()), hash.finalize().into());
        match to {
            To::File(spool) => self.file = Some((filename, spool.finish().await?)),
            To::Memory(bytes) => {
                let text = String::from_utf8(bytes)
                    .map_err(|_| ApiError::bad(format!("{}: send text in UTF-8", head.name)))?;
                self.fields.insert(head.name, text);
            }
        }
        Ok(())
    }
}

fn too_large(what: &str) -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("{what} bytes"))
}
