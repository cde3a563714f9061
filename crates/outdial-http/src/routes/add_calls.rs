//! Calls into a batch.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use outdial_core::contact::json;
use outdial_core::id::BatchId;
use outdial_ingest::Body;
use outdial_ports::store::IngestContext;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{id, member, required};
use crate::app::App;
use crate::auth::{Caller, Submits};
use crate::error::{ApiError, ApiResult};
use crate::idempotency::IdempotencyKey;
use crate::ingest::{
    Added, Arrival, OnInvalid, Route, Submission, Terms, Then, agents_differ, look_up, submit,
    take, unreadable,
};
use crate::wire::envelope::Envelope;

/// Only described here: the body is read as a stream.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema; crate::ingest reads the body")]
pub(super) struct AddCalls {
    /// Which batch.
    batch_id: String,
    /// The records: `phoneNumber`, and whatever the agent's variables are. `callData` is another
    /// spelling.
    #[serde(rename = "call_data")]
    #[schema(value_type = Vec<Object>)]
    call_data: Vec<Value>,
    /// `skip`: store the valid records, and report the others under `rejected`.
    on_invalid: Option<String>,
}

/// Adds calls to a batch, in chunks of 1000 by position, and starts it.
#[utoipa::path(post, path = "/api/call/addCallsToBatch", operation_id = "addCallsToBatch",
    tag = "calling", request_body = AddCalls,
    params(("Idempotency-Key" = Option<String>, Header, description = "Same key, same body: done \
        once")),
    responses(
        (status = 200, body = Envelope<Added>),
        (status = 207, body = Envelope<Added>, description = "Not everything was stored"),
        (status = 500, body = Envelope<Added>, description = "Nothing was stored: try again")))]
pub(super) async fn add(
    caller: Caller<Submits>,
    State(app): State<Arc<App>>,
    key: IdempotencyKey,
    request: Request,
) -> ApiResult<Response> {
    let (parts, body) = request.into_parts();
    let taken = take(&app, &parts.headers, body).await?;
    caller.grant().confirm(&app).await?;
    let scope = "POST /api/call/addCallsToBatch";
    let route = Route { workspace: caller.workspace(), scope };
    let known = match look_up(&app, route, &key, taken.sha256).await? {
        Arrival::Answered(response) => return Ok(response),
        Arrival::Work(known) => known,
    };
    let body = taken.body.map_err(|e| unreadable(&e))?;
    let batch: BatchId = id("batchId", required("batchId", member(&body, "batchId")?.as_deref())?)?;
    let context = app.store.batch_ingest_context(caller.workspace(), batch).await?;
    let Some(context) = context else { return Err(not_ours(&app, batch).await) };
    let terms = match &known.progress {
        Some(progress) => Terms::parse(&progress.context)?,
        None => terms(&app, &context)?,
    };
    body.records().map_err(|e| ApiError::bad(e.to_string()))?;
    let on_invalid = on_invalid(&body)?;
    let (share, then, grant) = (taken.share, Then::Nothing, caller.grant());
    submit(&app, Submission { body, share, known, grant, batch, terms, on_invalid, then }).await
}

/// 403 for a batch of another workspace, 404 for one that nobody has.
async fn not_ours(app: &App, batch: BatchId) -> ApiError {
    match app.store.batch_fetch(batch).await {
        Ok(None) => ApiError::not_found("batch"),
        Ok(Some(_)) => ApiError::new(StatusCode::FORBIDDEN, "this API key does not own the batch"),
        Err(e) => e.into(),
    }
}

fn terms(app: &App, context: &IngestContext) -> ApiResult<Terms> {
    let agent = match context.agents.as_slice() {
        [agent] => agent,
        [] => return Err(no_agent()),
        _ => return Err(agents_differ()),
    };
    let numbers = context.numbers.iter().map(|n| n.number);
    let (batch, workspace) = (&context.batch.settings, &context.settings);
    Ok(Terms::new(app.clock.now(), agent, batch, workspace, numbers, None))
}

/// 404: the calling numbers lead to no agent.
pub(super) fn no_agent() -> ApiError {
    let text = "no agent found for the batch's calling numbers: bind one with PATCH /api/phones";
    ApiError::new(StatusCode::NOT_FOUND, text)
}

/// `onInvalid`, which is ours.
pub(super) fn on_invalid(body: &Body) -> ApiResult<OnInvalid> {
    match body.member("onInvalid") {
        None | Some("null") => Ok(OnInvalid::Refuse),
        Some(raw) if json::string(raw).as_deref() == Some("skip") => Ok(OnInvalid::Skip),
        Some(_) => Err(ApiError::bad("onInvalid: write \"skip\", or leave it out")),
    }
}
