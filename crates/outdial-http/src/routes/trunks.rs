//! Trunks.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use outdial_core::id::{TrunkId, WorkspaceId};
use outdial_ports::store::{TrunkError, TrunkRecord};

use super::{Segment, id};
use crate::app::App;
use crate::auth::{Administers, Caller, Reads};
use crate::body::JsonBody;
use crate::error::{ApiError, ApiResult};
use crate::idempotency::{IdempotencyKey, Making};
use crate::wire::envelope::{Done, Envelope};
use crate::wire::trunk::{Trunk, TrunkWish, Trunks};

/// All trunks, with their health.
#[utoipa::path(get, path = "/api/trunks", operation_id = "listTrunks",
    tag = "trunks",
    responses((status = 200, body = Envelope<Trunks>)))]
pub(super) async fn list(
    caller: Caller<Reads>,
    State(app): State<Arc<App>>,
) -> ApiResult<Envelope<Trunks>> {
    let trunks = app.store.trunk_list(caller.workspace()).await?;
    let trunks = trunks.into_iter().map(Trunk::from).collect();
    Ok(Envelope::ok("Trunks fetched successfully", Trunks { trunks }))
}

/// Makes a SIP trunk.
#[utoipa::path(post, path = "/api/trunks", operation_id = "createTrunk",
    tag = "trunks", request_body = TrunkWish,
    responses((status = 201, body = Envelope<Trunk>)))]
pub(super) async fn create(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    key: IdempotencyKey,
    body: JsonBody<TrunkWish>,
) -> ApiResult<Response> {
    let (workspace, body_sha256) = (caller.workspace(), body.sha256);
    let making = Making { workspace, scope: "POST /api/trunks", key, body_sha256 };
    let spec = body.value.parse()?;
    let (store, wake) = (app.store.clone(), app.wake.clone());
    making
        .once(&app, async move {
            let trunk = store.trunk_create(workspace, spec).await.map_err(refused)?;
            wake.notify_one();
            Ok(Envelope::created("Trunk created successfully", Trunk::from(trunk)))
        })
        .await
}

/// One trunk.
#[utoipa::path(get, path = "/api/trunks/{id}", operation_id = "getTrunk",
    tag = "trunks",
    params(("id" = String, Path, description = "Which trunk")),
    responses((status = 200, body = Envelope<Trunk>)))]
pub(super) async fn fetch(
    caller: Caller<Reads>,
    State(app): State<Arc<App>>,
    Segment(trunk): Segment,
) -> ApiResult<Envelope<Trunk>> {
    let trunk = found(&app, caller.workspace(), id("id", &trunk)?).await?;
    Ok(Envelope::ok("Trunk fetched successfully", trunk.into()))
}

/// Changes a SIP trunk; holds for the next call. Live calls go on as they were placed.
#[utoipa::path(patch, path = "/api/trunks/{id}", operation_id = "updateTrunk",
    tag = "trunks", request_body = TrunkWish,
    params(("id" = String, Path, description = "Which trunk")),
    responses((status = 200, body = Envelope<Trunk>)))]
pub(super) async fn update(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    Segment(trunk): Segment,
    body: JsonBody<TrunkWish>,
) -> ApiResult<Envelope<Trunk>> {
    let (workspace, trunk) = (caller.workspace(), id("id", &trunk)?);
    let mut edit = app.edits.begin("trunk", trunk).await;
    let updated = loop {
        let old = found(&app, workspace, trunk).await?;
        let spec = body.value.clone().apply(old.spec.ok_or_else(simulated)?)?;
        match app.store.trunk_update(workspace, trunk, Some(old.updated_at), spec).await {
            Err(TrunkError::Changed) => edit.again()?,
            other => break other.map_err(refused)?,
        }
    };
    app.wake.notify_one();
    Ok(Envelope::ok("Trunk updated successfully", updated.into()))
}

/// Deletes a SIP trunk that no calling number goes out over.
#[utoipa::path(delete, path = "/api/trunks/{id}", operation_id = "deleteTrunk",
    tag = "trunks",
    params(("id" = String, Path, description = "Which trunk")),
    responses((status = 200, body = Done)))]
pub(super) async fn delete(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    Segment(trunk): Segment,
) -> ApiResult<axum::Json<Done>> {
    let (workspace, trunk) = (caller.workspace(), id("id", &trunk)?);
    found(&app, workspace, trunk).await?.spec.ok_or_else(simulated)?;
    app.store.trunk_delete(workspace, trunk).await.map_err(refused)?;
    app.wake.notify_one();
    Ok(Done::ok("Trunk deleted successfully"))
}

async fn found(app: &App, ws: WorkspaceId, id: TrunkId) -> ApiResult<TrunkRecord> {
    let trunks = app.store.trunk_list(ws).await?;
    let trunk = trunks.into_iter().find(|trunk| trunk.id == id);
    trunk.ok_or_else(|| ApiError::not_found("trunk"))
}

fn simulated() -> ApiError {
    let text = "this is the simulated trunk: it has nothing to change, and lives with its numbers";
    ApiError::new(StatusCode::CONFLICT, text)
}

fn refused(e: TrunkError) -> ApiError {
    match e {
        TrunkError::NotFound => ApiError::not_found("trunk"),
        TrunkError::Duplicate => {
            ApiError::bad("name: the workspace has a trunk of this name already")
        }
        TrunkError::InUse => ApiError::new(
            StatusCode::CONFLICT,
            "a calling number goes out over this trunk: give it another first",
        ),
        TrunkError::Changed => ApiError::new(StatusCode::CONFLICT, e.to_string()),
        TrunkError::Store(e) => e.into(),
    }
}
