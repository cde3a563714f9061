//! `Idempotency-Key`: the same request with the same key is done once.
//!
//! This is the small form, for requests that make one thing; requests that bring calls have their
//! chunks to remember as well (`crate::ingest`).

use std::future::Future;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use outdial_core::id::{RequestId, WorkspaceId};
use outdial_ports::store::{RequestBegin, RequestLookup, StoredAnswer};
use tracing::Instrument;

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::wire::envelope::Answer;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key, in bytes.
const KEY_MAX_BYTES: usize = 255;

/// The request's key, if it has one.
#[derive(Clone)]
pub(crate) struct IdempotencyKey(pub Option<String>);

impl FromRequestParts<Arc<App>> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> ApiResult<Self> {
        let mut values = parts.headers.get_all(KEY).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        if values.next().is_some() {
            return Err(ApiError::bad("the header idempotency-key is there more than once"));
        }
        match value.to_str().map(str::trim) {
            Ok(key) if (1..=KEY_MAX_BYTES).contains(&key.len()) => Ok(Self(Some(key.to_owned()))),
            _ => {
                let right = "write 1 to 255 visible ASCII characters";
                Err(ApiError::bad(format!("idempotency-key: {right}")))
            }
        }
    }
}

/// A request that makes one thing.
pub(crate) struct Making {
    /// Whose.
    pub(crate) workspace: WorkspaceId,
    /// Method and path.
    pub(crate) scope: &'static str,
    /// Its key, if it has one.
    pub(crate) key: IdempotencyKey,
    /// SHA-256 of its body.
    pub body_sha256: [u8; 32],
}

impl Making {
    /// Does `work` once for its key; without a key, every time.
    ///
    /// A crash between the work and its answer being kept leaves the thing made and the key free:
    /// the repeat makes another. What is made by small requests places no call by itself.
    pub(crate) async fn once<A, F>(self, app: &Arc<App>, work: F) -> ApiResult<Response>
    where
        A: Answer,
        F: Future<Output = ApiResult<A>> + Send + 'static,
    {
        let Some(key) = self.key.0 else { return Ok(work.await?.into_response()) };
        let begin = RequestBegin {
            workspace: self.workspace,
            scope: self.scope.to_owned(),
            key: Some(key),
            body_sha256: self.body_sha256,
            context: String::new(),
        };
        if let Turn::Answer(answer) = turn(app.store.request_lookup(&begin).await?)? {
            return Ok(replay(answer));
        }
        let app = app.clone();
        // Spawned before it is begun: once begun it runs to its end, even when the client hangs up.
        let running = async move {
            match turn(app.store.request_begin(&begin).await?)? {
                Turn::Answer(answer) => Ok(replay(answer)),
                Turn::Go(Some(request)) => finish(&app, request, work.await).await,
                Turn::Go(None) => Err(ApiError::internal("a begun request is not there")),
            }
        };
        tokio::spawn(running.in_current_span())
            .await
            .map_err(|e| ApiError::internal(e.to_string()))?
    }
}

/// What is to be done about a request that was looked up.
enum Turn {
    /// It is answered.
    Answer(StoredAnswer),
    /// It is ours to do; its row, if it has one.
    Go(Option<RequestId>),
}

fn turn(lookup: RequestLookup) -> ApiResult<Turn> {
    match lookup {
        RequestLookup::Fresh => Ok(Turn::Go(None)),
        RequestLookup::Begun(progress) => Ok(Turn::Go(Some(progress.request))),
        RequestLookup::Answered { answer, .. } => Ok(Turn::Answer(answer)),
        RequestLookup::Busy { retry_after_s } => Err(busy(retry_after_s)),
        RequestLookup::BodyDiffers => Err(body_differs()),
    }
}

async fn finish<A: Answer>(
    app: &App,
    request: RequestId,
    made: ApiResult<A>,
) -> ApiResult<Response> {
    let answer = made.and_then(|answer| {
        let body = serde_json::to_vec(&answer)
            .map_err(|e| ApiError::internal(format!("an answer is not JSON: {e}")))?;
        Ok(StoredAnswer { status: answer.code(), body: body.into() })
    });
    match answer {
        Ok(answer) => {
            if let Err(e) = app.store.request_finish(request, answer.clone(), true).await {
                // The thing is made, and the client is told.
                tracing::error!(%request, error = %e, "the answer to a request was not kept");
                free(app, request).await;
            }
            Ok(replay(answer))
        }
        Err(e) => {
            // A refusal leaves no trace of the key.
            free(app, request).await;
            Err(e)
        }
    }
}

/// Frees the key of a request that has no answer.
async fn free(app: &App, request: RequestId) {
    if let Err(e) = app.store.request_close(request).await {
        tracing::error!(%request, error = %e, "the key of a request was not freed");
    }
}

/// 409: a live owner is at work on the same request.
pub(crate) fn busy(retry_after_s: u32) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "the same request is being worked on: ask again")
        .retry_after(retry_after_s)
}

/// 422: the key was used with another body.
pub(crate) fn body_differs() -> ApiError {
    let why = "this Idempotency-Key was used with another body: use a new key";
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, why)
}

/// An answer as it was kept, byte for byte.
pub(crate) fn replay(answer: StoredAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], answer.body).into_response()
}
