//! Requests that bring calls: taken in as a stream, recognised when they are repeats, judged as a
//! whole, stored in chunks, answered once.

mod answer;
mod arrival;
mod chunks;
mod judged;
mod terms;
mod warnings;

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use outdial_core::id::{BatchId, PhoneId, RequestId, WorkspaceId};
use outdial_ingest::{Body, BodyError};
use outdial_ports::failpoint;
use outdial_ports::store::{BatchStart, BatchStartError, RequestProgress, StoredAnswer};
use tracing::Instrument;

use crate::app::App;
use crate::budget::Share;
use crate::error::{ApiError, ApiResult};
use crate::grant::Grant;

pub(crate) use answer::{Added, Started, Stored, Warning, do_not_call};
pub(crate) use arrival::{Arrival, Begun, Known, Route, look_up, take};
pub(crate) use chunks::{Source, store};
pub(crate) use judged::{OnInvalid, closed};
pub(crate) use terms::Terms;
pub(crate) use warnings::warnings;

use answer::{Verdict, envelope, kept};
use judged::{Judged, Outgoing};

/// What is to come after the chunks.
#[derive(Clone, Debug)]
pub(crate) enum Then {
    /// Nothing: each chunk has started the batch.
    Nothing,
    /// Start the batch with what came along.
    Start {
        /// Over these numbers from now on.
        numbers: Option<Vec<PhoneId>>,
        /// The caller's tracking id.
        uuid: Option<String>,
    },
}

/// Records on their way into a batch.
pub(crate) struct Submission {
    /// The body they came in.
    pub(crate) body: Body,
    /// Its part of the budget.
    pub(crate) share: Share,
    /// The request, as it was looked up.
    pub(crate) known: Known,
    /// That its caller may go on.
    pub(crate) grant: Grant,
    /// Into which batch.
    pub(crate) batch: BatchId,
    /// What the records are judged by.
    pub(crate) terms: Terms,
    /// What about those that are not valid.
    pub(crate) on_invalid: OnInvalid,
    /// What comes after.
    pub(crate) then: Then,
}

/// A body that cannot be read: 400 and where; more records than one request may have: 413.
pub(crate) fn unreadable(e: &BodyError) -> ApiError {
    if e.kind.is_too_many_records() {
        return ApiError::new(axum::http::StatusCode::PAYLOAD_TOO_LARGE, e.kind.to_string());
    }
    ApiError::bad(e.to_string())
}

/// Judges all records, stores them, and answers. Before the request is begun, a refusal leaves no
/// trace; from then on the work runs to its end even when nobody waits for the answer any more.
pub(crate) async fn submit(app: &Arc<App>, s: Submission) -> ApiResult<Response> {
    let Submission { body, share, known, grant, batch, terms, on_invalid, then } = s;
    let judged = judge(body, &terms, on_invalid).await?;
    let (app, task) = (app.clone(), Task { known, grant, batch, then, on_invalid });
    // Spawned before it is begun: a client that hangs up in between would leave a request that
    // belongs to nobody, and for as long as its lease lasts nobody could take it.
    let running = async move {
        let done = begin(app, task, judged, terms).await;
        drop(share);
        done
    };
    tokio::spawn(running.in_current_span())
        .await
        .map_err(|e| ApiError::internal(format!("the task of a request: {e}")))?
}

/// What is to be done with records that were judged.
struct Task {
    known: Known,
    grant: Grant,
    batch: BatchId,
    then: Then,
    on_invalid: OnInvalid,
}

/// Takes the request, and does what is left of it.
async fn begin(app: Arc<App>, task: Task, judged: Judged, terms: Terms) -> ApiResult<Response> {
    let Task { known, grant, batch, then, on_invalid } = task;
    let context = terms.context()?;
    let (known, progress) = match known.begin(&app, context.clone()).await? {
        Begun::Answered(response) => return Ok(response),
        Begun::Mine(known, progress) => (known, progress),
    };
    let work = Work { app, known, grant, batch, then, request: progress.request };
    if progress.context == context {
        return work.run(judged, terms, progress).await;
    }
    // Somebody else began it since it was looked up: theirs are the terms.
    let rejudged = match Terms::parse(&progress.context) {
        Ok(terms) => judge(judged.into_body(), &terms, on_invalid).await.map(|j| (j, terms)),
        Err(e) => Err(e),
    };
    match rejudged {
        Ok((judged, terms)) => work.run(judged, terms, progress).await,
        Err(e) if progress.chunks.is_empty() => work.forget(e).await,
        Err(e) => work.give_back(e).await,
    }
}

/// Starts a batch. Idempotent.
pub(crate) async fn start(
    app: &App,
    workspace: WorkspaceId,
    batch: BatchId,
    how: BatchStart,
) -> ApiResult<()> {
    let started = app.store.batch_start(workspace, batch, how).await;
    started.map_err(|e| match e {
        BatchStartError::NotFound => ApiError::not_found("batch"),
        BatchStartError::NoNumbers => {
            ApiError::bad("callingNumbers: the batch has no calling number, name at least one")
        }
        BatchStartError::UnknownNumber(_) => {
            ApiError::new(axum::http::StatusCode::NOT_FOUND, e.to_string())
        }
        BatchStartError::AgentsDiffer => agents_differ(),
        BatchStartError::Store(e) => e.into(),
    })?;
    app.wake.notify_one();
    Ok(())
}

/// 400: no single agent's variables could be asked for.
pub(crate) fn agents_differ() -> ApiError {
    ApiError::bad("agents_differ: the calling numbers lead to different agents, bind them to one")
}

async fn judge(body: Body, terms: &Terms, on_invalid: OnInvalid) -> ApiResult<Judged> {
    let terms = terms.clone();
    tokio::task::spawn_blocking(move || Judged::new(body, &terms, on_invalid))
        .await
        .map_err(|e| ApiError::internal(format!("judging a request: {e}")))?
}

/// A request that was begun.
struct Work {
    app: Arc<App>,
    known: Known,
    grant: Grant,
    batch: BatchId,
    then: Then,
    request: RequestId,
}

impl Work {
    async fn run(
        self,
        mut judged: Judged,
        terms: Terms,
        progress: RequestProgress,
    ) -> ApiResult<Response> {
        let request = self.request;
        failpoint("http.request_begun");
        let remarks = std::mem::take(&mut judged.remarks);
        let lane = terms.lane;
        let outgoing = Outgoing { judged, terms, request, batch: self.batch };
        let source: Arc<dyn chunks::Source> = Arc::new(outgoing);
        let stored = chunks::store(&self.app, &source, progress, self.grant.clone()).await;
        failpoint("http.chunks_stored");
        // The records are not needed any more, and there is an answer to be made.
        drop(source);
        if stored.batch_gone && stored.committed.is_empty() {
            return self.forget(ApiError::not_found("batch")).await;
        }
        if stored.key_gone && stored.committed.is_empty() {
            return self.forget(self.grant.refusal()).await;
        }
        if !stored.committed.is_empty() {
            self.app.wake.notify_one();
            if let Then::Start { numbers, .. } = &self.then {
                if stored.key_gone {
                    return self.give_back(self.grant.refusal()).await;
                }
                let how = BatchStart { numbers: numbers.clone(), call_data_lane: lane };
                let started = start(&self.app, self.known.workspace(), self.batch, how).await;
                if let Err(e) = started {
                    return self.give_back(e).await;
                }
            }
        }
        let (verdict, complete) = (stored.verdict(&remarks), stored.is_complete());
        let added = stored.into_added(remarks);
        let ids = added.len();
        let answer = match &self.then {
            Then::Nothing => kept(&envelope(verdict, "Calls enqueued successfully", added), ids),
            Then::Start { uuid, .. } => {
                let status = if verdict == Verdict::None { "failed" } else { "started" };
                let (batch_id, uuid) = (self.batch.to_string(), uuid.clone());
                let data = Started { batch_id, status, uuid, added: Some(added.once_started()) };
                kept(&envelope(verdict, "", data), ids)
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(e) => return self.give_back(ApiError::internal(format!("an answer: {e}"))).await,
        };
        if let Err(e) = self.app.store.request_finish(request, answer.clone(), complete).await {
            // The chunks say what happened; a repeat composes the same answer from them.
            tracing::error!(%request, error = %e, "the answer to a request was not kept");
        }
        failpoint("http.answer_kept");
        Ok(self.known.answer(&self.app, request, answer))
    }

    /// Refuses after the request was begun: a repeat may try the rest of it at once.
    async fn give_back(&self, e: ApiError) -> ApiResult<Response> {
        let (request, store) = (self.request, &self.app.store);
        let answer = StoredAnswer { status: e.status().as_u16(), body: Bytes::new() };
        if let Err(e) = store.request_finish(request, answer, false).await {
            tracing::error!(%request, error = %e, "a request was not given back");
        }
        Err(e)
    }

    /// Refuses when nothing was stored: no trace of the key is left. Given back before that, for a
    /// chunk may be there after all, and then the request is not forgotten.
    async fn forget(&self, e: ApiError) -> ApiResult<Response> {
        let refused = self.give_back(e).await;
        let request = self.request;
        if let Err(e) = self.app.store.request_close(request).await {
            tracing::error!(%request, error = %e, "a refused request was not forgotten");
        }
        refused
    }
}
