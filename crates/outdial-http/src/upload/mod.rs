//! Uploads: a file of contacts makes a batch, whole or not at all.
//!
//! The form is taken in (`form`), every row is judged (`judge`), the good ones go in chunks into a
//! batch that nobody sees, and one transaction makes it visible together with the answer. Nothing
//! here holds the file, or its rows, in memory.

pub(crate) mod file_body;
mod form;
mod judge;
mod multipart;
mod records;
mod room;
mod spool;

use std::fs::File;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use outdial_core::id::{BatchId, RequestId};
use outdial_ingest::TableKind;
use outdial_ports::failpoint;
use outdial_ports::store::{
    BatchCreateError, ImportError, ImportFinish, NewBatch, RequestProgress, StoreError,
    StoredAnswer,
};
use serde::Serialize;
use tracing::Instrument;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::grant::Grant;
use crate::ingest::{Arrival, Begun, Known, Source, Stored, Terms, Warning, do_not_call, store};

pub(crate) use form::{Form, take};
pub(crate) use judge::InvalidRow;
pub(crate) use room::{Room, Seat};

use judge::{JudgedFile, Rule, Verdict, judge};
use records::Importing;

/// E2 of `upload`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Uploaded {
    /// `true`.
    success: bool,
    /// What was made.
    batch: UploadedBatch,
    /// How many rows were ignored, with `type` = `true`.
    #[serde(skip_serializing_if = "is_zero")]
    invalid_count: u64,
    /// The first 100 of their faults.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    invalid_rows: Vec<InvalidRow>,
    /// How many rows have the number of an earlier row, which was kept.
    #[serde(skip_serializing_if = "is_zero")]
    duplicate_count: u64,
    /// What to look at, though it was imported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

/// The batch of an upload.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UploadedBatch {
    /// Its id.
    #[serde(rename = "_id")]
    id: String,
    /// Display name.
    batch_name: String,
    /// Its calling numbers, in the order of rotation.
    calling_numbers: Vec<String>,
    /// How many calls it has.
    total_calls: u64,
}

/// E2 of an upload with invalid rows; only described here: it is written row by row.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UploadRefused {
    /// `false`.
    success: bool,
    /// For people.
    message: String,
    /// What is wrong, by row.
    invalid_rows: Vec<InvalidRow>,
    /// How many rows are not valid; one row may have several faults.
    invalid_count: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A file on its way to a batch.
pub(crate) struct Upload {
    /// The file.
    pub(crate) file: File,
    /// What kind of file.
    pub(crate) kind: TableKind,
    /// Import the valid rows, ignore the others.
    pub(crate) ignore_invalid: bool,
    /// The request, as it was looked up.
    pub(crate) known: Known,
    /// That its caller may go on.
    pub(crate) grant: Grant,
    /// The batch to make.
    pub(crate) batch: NewBatch,
    /// What the rows are judged by.
    pub(crate) terms: Terms,
    /// Its room, given back when it is over.
    pub(crate) room: Seat,
}

/// Judges the file, imports it, and answers. Before the request is begun, a refusal leaves no
/// trace; from then on the work runs to its end even when nobody waits for the answer any more.
pub(crate) async fn submit(app: &Arc<App>, upload: Upload) -> ApiResult<Response> {
    let Upload { file, kind, ignore_invalid, known, grant, batch, terms, room } = upload;
    let rule = Rule {
        kind,
        ignore_invalid,
        rows_max: app.config.upload_rows_max,
        bytes_max: app.config.upload_max_bytes,
        spool_dir: spool::directory(app),
    };
    let judged = match judged(file, &terms, &rule).await? {
        Verdict::Good(judged) => judged,
        Verdict::Invalid(answer) => return Ok(invalid(answer, room)),
    };
    let app = app.clone();
    let running = async move {
        let done = begin(app, (known, grant), batch, *judged, terms, rule).await;
        drop(room);
        done
    };
    tokio::spawn(running.in_current_span())
        .await
        .map_err(|e| ApiError::internal(format!("the task of an upload: {e}")))?
}

async fn judged(file: File, terms: &Terms, rule: &Rule) -> ApiResult<Verdict> {
    let (terms, rule) = (terms.clone(), rule.clone());
    tokio::task::spawn_blocking(move || judge(file, &terms, &rule))
        .await
        .map_err(|e| ApiError::internal(format!("judging a file: {e}")))?
}

/// 422 with every fault; its room is taken until the client has read it.
fn invalid(answer: File, room: impl Send + 'static) -> Response {
    let length = answer.metadata().map(|m| m.len());
    let mut response = Response::new(file_body::of_file(answer, room));
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// Takes the request, and imports the file.
async fn begin(
    app: Arc<App>,
    (known, grant): (Known, Grant),
    batch: NewBatch,
    mut judged: JudgedFile,
    mut terms: Terms,
    rule: Rule,
) -> ApiResult<Response> {
    let context = terms.context()?;
    let (known, progress) = match known.begin(&app, context.clone()).await? {
        Begun::Answered(response) => return Ok(response),
        Begun::Mine(known, progress) => (known, progress),
    };
    let RequestProgress { request, context: first, .. } = progress;
    let import = Import { app, known, grant, request };
    if first != context {
        // Somebody else began it since it was looked up: theirs are the terms.
        match again(judged.file, &first, &rule).await {
            Ok((theirs, Verdict::Good(again))) => (terms, judged) = (theirs, *again),
            Ok((_, Verdict::Invalid(answer))) => {
                import.give_back().await;
                return Ok(invalid(answer, ()));
            }
            Err(e) => return import.refuse(e).await,
        }
    }
    import.run(batch, judged, &terms).await
}

async fn again(file: File, context: &str, rule: &Rule) -> ApiResult<(Terms, Verdict)> {
    let terms = Terms::parse(context)?;
    let verdict = judged(file, &terms, rule).await?;
    Ok((terms, verdict))
}

/// A request that was begun.
struct Import {
    app: Arc<App>,
    known: Known,
    grant: Grant,
    request: RequestId,
}

impl Import {
    async fn run(self, new: NewBatch, judged: JudgedFile, terms: &Terms) -> ApiResult<Response> {
        let request = self.request;
        failpoint("http.request_begun");
        let batch = match self.app.store.import_begin(request, new.clone()).await {
            Ok(batch) => batch,
            Err(e) => return self.refuse(refused(e)).await,
        };
        let calls = judged.records.count();
        let agent = (terms.agent, terms.version);
        let importing = Importing { records: judged.records, agent, request, batch };
        let source: Arc<dyn Source> = Arc::new(importing);
        let nothing = RequestProgress {
            request,
            context: String::new(),
            chunks: std::collections::BTreeMap::new(),
        };
        let stored = store(&self.app, &source, nothing, self.grant.clone()).await;
        failpoint("http.chunks_stored");
        drop(source);
        if let Some(e) = self.failure(&stored) {
            return self.refuse(e).await;
        }
        let listed = stored.committed.values().map(|c| u64::from(c.do_not_call)).sum();
        let numbers = new.numbers.iter().map(ToString::to_string).collect();
        let answer = Uploaded {
            success: true,
            batch: UploadedBatch {
                id: batch.to_string(),
                batch_name: new.name,
                calling_numbers: numbers,
                total_calls: calls,
            },
            invalid_count: judged.invalid,
            invalid_rows: judged.shown,
            duplicate_count: judged.duplicates,
            warnings: judged.warnings.into_iter().chain(do_not_call(listed)).collect(),
        };
        let body = match serde_json::to_vec(&answer) {
            Ok(body) => Bytes::from(body),
            Err(e) => return self.refuse(ApiError::internal(format!("an answer: {e}"))).await,
        };
        self.finish(batch, calls, StoredAnswer { status: 200, body }).await
    }

    /// The last transaction; when nobody can tell whether it was committed, once more.
    async fn finish(self, batch: BatchId, calls: u64, answer: StoredAnswer) -> ApiResult<Response> {
        let end = ImportFinish { batch, request: self.request, calls, answer: answer.clone() };
        let mut done = self.app.store.import_finish(end.clone()).await;
        if matches!(done, Err(ImportError::Store(StoreError::OutcomeUnknown(_)))) {
            done = self.app.store.import_finish(end).await;
        }
        match done {
            Ok(()) => {
                failpoint("http.answer_kept");
                self.app.wake.notify_one();
                Ok(self.known.answer(&self.app, self.request, answer))
            }
            // It may be over already: then the answer is there.
            Err(ImportError::Gone) => match self.known.clone().again(&self.app).await? {
                Arrival::Answered(response) => Ok(response),
                Arrival::Work(_) => self.refuse(refused(ImportError::Gone)).await,
            },
            Err(e) => self.refuse(refused(e)).await,
        }
    }

    /// Why not everything was stored, if it was not.
    fn failure(&self, stored: &Stored) -> Option<ApiError> {
        if stored.key_gone {
            return Some(self.grant.refusal());
        }
        if stored.is_complete() {
            return None;
        }
        Some(match stored.store_error.clone() {
            Some(e) => ApiError::from(e),
            None => refused(ImportError::Gone),
        })
    }

    /// Nothing was imported: what is there of it is dropped, and no trace of the key is left.
    async fn refuse(&self, e: ApiError) -> ApiResult<Response> {
        self.give_back().await;
        Err(e)
    }

    async fn give_back(&self) {
        let (request, store) = (self.request, &self.app.store);
        let answer = StoredAnswer { status: 500, body: Bytes::new() };
        if let Err(e) = store.request_finish(request, answer, false).await {
            tracing::error!(%request, error = %e, "an upload was not given back");
        }
        if let Err(e) = store.request_close(request).await {
            tracing::error!(%request, error = %e, "a refused upload was not forgotten");
        }
    }
}

fn refused(e: ImportError) -> ApiError {
    match e {
        ImportError::Gone => {
            ApiError::internal("an import was dropped while it was worked on").retry_after(1)
        }
        ImportError::Batch(e @ BatchCreateError::AgentsDiffer) => {
            ApiError::bad(format!("callingNumbers: {e}: bind them to one agent"))
        }
        ImportError::Batch(BatchCreateError::Store(e)) | ImportError::Store(e) => e.into(),
        ImportError::Batch(e) => ApiError::new(StatusCode::NOT_FOUND, e.to_string()),
    }
}
