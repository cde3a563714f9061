//! A request that brings calls, from its first byte to the moment when it is known whether it is
//! new, a repeat, or answered already.
//!
//! The order of checks is part of the contract: content type, encoding, size, then the
//! `Idempotency-Key`, and only then what the body says.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use outdial_core::id::{RequestId, WorkspaceId};
use outdial_ingest::{Body as ParsedBody, BodyError, BodyParser, Limits};
use outdial_ports::store::{RequestBegin, RequestLookup, RequestProgress, StoredAnswer};
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::body::{BodyReader, check_json};
use crate::budget::Share;
use crate::delivery::Identity;
use crate::error::{ApiError, ApiResult};
use crate::idempotency::{IdempotencyKey, body_differs, busy, replay};

/// Seconds after which a client comes again when too many bodies are being taken in.
const BUDGET_RETRY_S: u32 = 5;
/// A body of unknown length takes its share of the budget in steps of this many bytes.
const BUDGET_STEP_BYTES: u64 = 1 << 20;

/// Who sends it, and where to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    /// Whose.
    pub(crate) workspace: WorkspaceId,
    /// Method and path.
    pub(crate) scope: &'static str,
}

/// A body that was taken in.
pub(crate) struct Taken {
    /// What reading it made of it. Not looked at before it is known whether this is a repeat: that
    /// is answered as before, whatever its body says.
    pub(crate) body: Result<ParsedBody, BodyError>,
    /// Its part of the budget, given back when the request is over.
    pub(crate) share: Share,
    /// Of all its bytes, as they are without compression.
    pub(crate) sha256: [u8; 32],
}

/// Reads a body as it comes, parsing and hashing it on the way.
pub(crate) async fn take(app: &App, headers: &HeaderMap, body: Body) -> ApiResult<Taken> {
    check_json(headers)?;
    let mut reader = BodyReader::open(app, headers, body, app.config.ingest_body_max_bytes)?;
    let first = reader.declared().unwrap_or(BUDGET_STEP_BYTES);
    let mut share = app.budget.take(first).ok_or_else(over_budget)?;
    let max_records = u32::try_from(app.config.ingest_records_max).unwrap_or(u32::MAX);
    let mut parser = BodyParser::new(Limits { max_records, ..Limits::default() });
    let mut hash = Sha256::new();
    let mut read = 0;
    while let Some(part) = reader.next().await? {
        read += part.len() as u64;
        if read > first && !share.grow_to(read.next_multiple_of(BUDGET_STEP_BYTES)) {
            return Err(over_budget());
        }
        hash.update(&part);
        // A fault is remembered by the parser, and the rest still belongs to the hash.
        let _ = parser.feed(&part);
    }
    Ok(Taken { body: parser.finish(), share, sha256: hash.finalize().into() })
}

fn over_budget() -> ApiError {
    let why = "too many large requests are being taken in: come again";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(BUDGET_RETRY_S)
}

/// A request as far as repeats are concerned.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Whose, where to, with which key and body.
    begin: RequestBegin,
    /// What was begun before, if it was.
    pub(crate) progress: Option<RequestProgress>,
}

/// What is to be done about a request.
pub(crate) enum Arrival {
    /// It is answered already.
    Answered(Response),
    /// It is to be worked on.
    Work(Known),
}

/// What became of taking a request.
pub(crate) enum Begun {
    /// Somebody else has answered it meanwhile.
    Answered(Response),
    /// This caller has it, and what was done of it before.
    Mine(Known, RequestProgress),
}

/// Looks the request up: by its key, or a keyless one by its body.
pub(crate) async fn look_up(
    app: &Arc<App>,
    route: Route,
    key: &IdempotencyKey,
    body_sha256: [u8; 32],
) -> ApiResult<Arrival> {
    let begin = RequestBegin {
        workspace: route.workspace,
        scope: route.scope.to_owned(),
        key: key.0.clone(),
        body_sha256,
        context: String::new(),
    };
    let known = Known { begin, progress: None };
    if let Some(identity) = known.identity() {
        app.deliveries.settle(&identity).await?;
    }
    let lookup = app.store.request_lookup(&known.begin).await?;
    known.judge(app, lookup)
}

impl Known {
    /// Takes the request for good: its row, with `context` if it is the first to begin it.
    pub(crate) async fn begin(mut self, app: &Arc<App>, context: String) -> ApiResult<Begun> {
        self.begin.context = context;
        let lookup = app.store.request_begin(&self.begin).await?;
        match self.judge(app, lookup)? {
            Arrival::Answered(response) => Ok(Begun::Answered(response)),
            Arrival::Work(Self { progress: Some(progress), begin }) => {
                Ok(Begun::Mine(Self { begin, progress: None }, progress))
            }
            Arrival::Work(_) => Err(ApiError::internal("a begun request is not there")),
        }
    }

    /// How it stands, looked up once more.
    pub(crate) async fn again(self, app: &Arc<App>) -> ApiResult<Arrival> {
        let lookup = app.store.request_lookup(&self.begin).await?;
        self.judge(app, lookup)
    }

    /// Whose.
    pub(crate) fn workspace(&self) -> WorkspaceId {
        self.begin.workspace
    }

    /// The answer, as it goes to the client. `request` is its row.
    pub(crate) fn answer(
        &self,
        app: &Arc<App>,
        request: RequestId,
        answer: StoredAnswer,
    ) -> Response {
        // 207 and 500 advise to send the same again, and then it must be a repeat.
        let Some(identity) = self.identity().filter(|_| answer.status == 200) else {
            return replay(answer);
        };
        let mut response = replay(StoredAnswer { status: answer.status, body: Bytes::new() });
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = app.deliveries.body(answer.body, identity, request);
        response
    }

    fn judge(self, app: &Arc<App>, lookup: RequestLookup) -> ApiResult<Arrival> {
        match lookup {
            RequestLookup::Fresh => Ok(Arrival::Work(self)),
            RequestLookup::Begun(progress) => {
                Ok(Arrival::Work(Self { progress: Some(progress), ..self }))
            }
            RequestLookup::Answered { request, answer } => {
                Ok(Arrival::Answered(self.answer(app, request, answer)))
            }
            RequestLookup::Busy { retry_after_s } => Err(busy(retry_after_s)),
            RequestLookup::BodyDiffers => Err(body_differs()),
        }
    }

    /// What makes a keyless request the same as another.
    fn identity(&self) -> Option<Identity> {
        let b = &self.begin;
        b.key.is_none().then(|| (b.workspace, b.scope.clone(), b.body_sha256))
    }
}
