//! Batches: made, listed, deleted.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use outdial_ports::store::{BatchCreateError, BatchListQuery, NewBatch};
use serde::Deserialize;
use utoipa::IntoParams;

use super::batch::affordable;
use super::{Segment, id};
use crate::app::App;
use crate::auth::{Caller, Reads, Submits, Writes};
use crate::body::JsonBody;
use crate::error::{ApiError, ApiResult};
use crate::idempotency::{IdempotencyKey, Making};
use crate::wire::batch::{Batch, Batches};
use crate::wire::batch_settings::CreateBatch;
use crate::wire::envelope::{BatchDeleted, Envelope};
use crate::wire::page::{Page, Pagination, Params};

/// Makes a batch.
#[utoipa::path(post, path = "/api/call/createBatch", operation_id = "createBatch",
    tag = "calling", request_body = CreateBatch,
    responses((status = 201, body = Envelope<String>, description = "`data` is the batch's id")))]
pub(super) async fn create(
    caller: Caller<Submits>,
    State(app): State<Arc<App>>,
    key: IdempotencyKey,
    body: JsonBody<CreateBatch>,
) -> ApiResult<Response> {
    let (workspace, body_sha256) = (caller.workspace(), body.sha256);
    if let Some(user) = &body.value.user_id {
        caller.check_user(user)?;
    }
    let wish = body.value.parse(app.clock.now())?;
    let making = Making { workspace, scope: "POST /api/call/createBatch", key, body_sha256 };
    let app2 = app.clone();
    making
        .once(&app, async move {
            affordable(&app2, workspace, &wish.settings, &wish.numbers).await?;
            let new = NewBatch {
                workspace,
                name: wish.name,
                settings: wish.settings,
                numbers: wish.numbers,
            };
            let batch = app2.store.batch_create(new).await.map_err(refused)?;
            Ok(Envelope::created("Batch created successfully", batch.to_string()))
        })
        .await
}

fn refused(e: BatchCreateError) -> ApiError {
    let outer = e.to_string();
    match e {
        BatchCreateError::UnknownNumber(_) => ApiError::new(StatusCode::NOT_FOUND, outer),
        BatchCreateError::ForeignNumber(_) => ApiError::new(StatusCode::FORBIDDEN, outer),
        BatchCreateError::AgentsDiffer => {
            ApiError::bad(format!("{outer}: bind them to one agent, or make several batches"))
        }
        BatchCreateError::Store(e) => e.into(),
    }
}

/// Which batches.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// From 1. Default 1.
    #[param(value_type = Option<u32>)]
    page: Option<String>,
    /// 1–100. Default 10.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// Part of the name or of `queue_status`.
    search: Option<String>,
}

/// The user's batches, newest first.
#[utoipa::path(get, path = "/api/call/batches/{userId}", operation_id = "listBatches",
    tag = "calling",
    params(("userId" = String, Path, description = "The caller's own user"), ListQuery),
    responses((status = 200, body = Envelope<Batches>)))]
pub(super) async fn list(
    caller: Caller<Reads>,
    State(app): State<Arc<App>>,
    Segment(user): Segment,
    Params(query): Params<ListQuery>,
) -> ApiResult<Envelope<Batches>> {
    caller.check_user(&user)?;
    let page = Page::parse(query.page.as_deref(), query.limit.as_deref())?;
    let search = query.search.filter(|s| !s.is_empty());
    let wanted = BatchListQuery { page: page.page, limit: page.limit, search };
    let found = app.store.batch_list(caller.workspace(), wanted).await?;
    if !found.any {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "this user has no batches"));
    }
    let batches = found.batches.iter().map(Batch::from).collect();
    let pagination = Pagination::new(page, found.total);
    Ok(Envelope::ok("Batches fetched successfully", Batches { batches, pagination }))
}

/// Deletes a batch: no new calls, ringing ones are taken back, answered ones end by themselves.
#[utoipa::path(delete, path = "/api/call/delete-batch/{batchId}", operation_id = "deleteBatch",
    tag = "calling",
    params(("batchId" = String, Path, description = "Which batch")),
    responses((status = 200, body = BatchDeleted)))]
pub(super) async fn delete(
    caller: Caller<Writes>,
    State(app): State<Arc<App>>,
    Segment(batch): Segment,
) -> ApiResult<axum::Json<BatchDeleted>> {
    if !app.store.batch_delete(caller.workspace(), id("batchId", &batch)?).await? {
        return Err(ApiError::not_found("batch"));
    }
    app.wake.notify_one();
    Ok(axum::Json(BatchDeleted { success: true, message: "Batch deleted".to_owned() }))
}
