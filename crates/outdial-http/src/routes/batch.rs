//! One batch: how it stands, and live edits.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use outdial_core::batch::BatchSettings;
use outdial_core::id::{BatchId, PhoneId, WorkspaceId};
use outdial_ports::store::{BatchRecord, BatchUpdateError};

use super::{Segment, id};
use crate::app::App;
use crate::auth::{Caller, Reads, Writes};
use crate::body::JsonBody;
use crate::error::{ApiError, ApiResult};
use crate::outlook;
use crate::wire::batch_details::BatchDetails;
use crate::wire::batch_settings::{PatchBatch, check_prices};
use crate::wire::envelope::Envelope;

/// A batch with its settings, and its pending calls counted by what they wait for. While calls are
/// placed the counts are read an instant apart.
#[utoipa::path(get, path = "/api/call/batch/{id}", operation_id = "getBatch",
    tag = "calling",
    params(("id" = String, Path, description = "Which batch")),
    responses((status = 200, body = Envelope<BatchDetails>)))]
pub(super) async fn fetch(
    caller: Caller<Reads>,
    State(app): State<Arc<App>>,
    Segment(batch): Segment,
) -> ApiResult<Envelope<BatchDetails>> {
    let batch = own(&app, caller.workspace(), id("id", &batch)?).await?;
    Ok(Envelope::ok("Batch fetched successfully", shown(&app, &batch).await?))
}

/// Changes a batch while it runs: holds within a second, and cuts no live call.
#[utoipa::path(patch, path = "/api/call/batch/{id}", operation_id = "updateBatch",
    tag = "calling",
    request_body(content = PatchBatch, example = json!({"batchName": "Marketing Campaign May 2025",
        "callingHour": {"start": "09:00", "end": "17:00"}, "allowedDays": [1, 2, 3, 4, 5],
        "concurrency": 20, "budget": {"money": 250, "perDay": true}})),
    params(("id" = String, Path, description = "Which batch")),
    responses((status = 200, body = Envelope<BatchDetails>)))]
pub(super) async fn update(
    caller: Caller<Writes>,
    State(app): State<Arc<App>>,
    Segment(batch): Segment,
    body: JsonBody<PatchBatch>,
) -> ApiResult<Envelope<BatchDetails>> {
    let (workspace, batch) = (caller.workspace(), id("id", &batch)?);
    if let Some(user) = &body.value.user_id {
        caller.check_user(user)?;
    }
    let _alone = app.edits.lock().await;
    let old = own(&app, workspace, batch).await?;
    let patch = body.value.parse(&old.settings, app.clock.now())?;
    if patch.settings.is_some() || patch.numbers.is_some() {
        let settings = patch.settings.as_ref().unwrap_or(&old.settings);
        let numbers = patch.numbers.as_ref().unwrap_or(&old.numbers);
        let is_costly = |s: &BatchSettings| (s.budget, s.max_call_s);
        if is_costly(settings) != is_costly(&old.settings) || *numbers != old.numbers {
            affordable(&app, workspace, settings, numbers).await?;
        }
    }
    let new = app.store.batch_update(workspace, batch, patch).await.map_err(refused)?;
    app.wake.notify_one();
    Ok(Envelope::ok("Batch updated successfully", shown(&app, &new).await?))
}

/// Checks a budget of money against what the calling numbers cost. Numbers that are not there are
/// left to the store, which knows whose they are.
pub(super) async fn affordable(
    app: &App,
    workspace: WorkspaceId,
    settings: &BatchSettings,
    numbers: &[PhoneId],
) -> ApiResult<()> {
    if settings.budget.is_none_or(|b| b.micros.is_none()) {
        return Ok(());
    }
    let all = app.store.phone_list(workspace).await?;
    let price = |id: &PhoneId| all.iter().find(|p| p.id == *id).map(|p| p.price);
    match numbers.iter().map(price).collect::<Option<Vec<_>>>() {
        Some(prices) => check_prices(settings, &prices),
        None => Ok(()),
    }
}

async fn own(app: &App, workspace: WorkspaceId, batch: BatchId) -> ApiResult<BatchRecord> {
    let found = app.store.batch_fetch(batch).await?.filter(|b| b.workspace == workspace);
    found.ok_or_else(|| ApiError::not_found("batch"))
}

async fn shown(app: &App, batch: &BatchRecord) -> ApiResult<BatchDetails> {
    let (head, waiting) = outlook::waiting(app, batch).await?;
    Ok(BatchDetails::of(batch, &head, waiting))
}

fn refused(e: BatchUpdateError) -> ApiError {
    let outer = e.to_string();
    match e {
        BatchUpdateError::NotFound => ApiError::not_found("batch"),
        BatchUpdateError::UnknownNumber(_) => ApiError::new(StatusCode::NOT_FOUND, outer),
        BatchUpdateError::AgentsDiffer => {
            ApiError::bad(format!("{outer}: bind them to one agent, or make several batches"))
        }
        BatchUpdateError::Store(e) => e.into(),
    }
}
