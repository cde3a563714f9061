//! Starting and stopping.

use std::sync::Arc;

use axum::extract::State;

use super::{id, required};
use crate::app::App;
use crate::auth::{Caller, Writes};
use crate::body::JsonBody;
use crate::error::{ApiError, ApiResult};
use crate::wire::batch::{BatchMoved, StopCalling};
use crate::wire::envelope::Envelope;

/// Stops a batch: no new calls; calls in progress end by themselves.
#[utoipa::path(post, path = "/api/call/stop-calling", tag = "calling", request_body = StopCalling,
    responses((status = 200, body = Envelope<BatchMoved>)))]
pub(super) async fn stop(
    caller: Caller<Writes>,
    State(app): State<Arc<App>>,
    body: JsonBody<StopCalling>,
) -> ApiResult<Envelope<BatchMoved>> {
    let batch = required("batchId", body.value.batch_id.as_deref())?;
    let user = required("userId", body.value.user_id.as_deref())?;
    let batch = id("batchId", batch)?;
    caller.check_user(user)?;
    if !app.store.batch_stop(caller.workspace(), batch).await? {
        return Err(ApiError::not_found("batch"));
    }
    app.wake.notify_one();
    Ok(Envelope::ok("", BatchMoved { batch_id: batch.to_string(), status: "stopped" }))
}
