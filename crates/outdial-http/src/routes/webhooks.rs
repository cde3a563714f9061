//! Webhook endpoints: who is told of a workspace's events. A secret is shown once, in the answer
//! that made it; so those `POST`s keep no answer for repeats, and take no `Idempotency-Key`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use outdial_core::id::WebhookId;
use outdial_core::time::Timestamp;
use outdial_ports::store::{DeliveryQuery, DeliveryState, NewWebhook, Replay, WebhookError};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Segment, id};
use crate::app::App;
use crate::auth::{Administers, Caller};
use crate::body::JsonBody;
use crate::error::{ApiError, ApiResult};
use crate::wire::envelope::{Done, Envelope};
use crate::wire::page::{Page, Pagination, Params};
use crate::wire::webhook::{
    CreateWebhook, Delivery, DeliveryPage, ReplayDeliveries, Replayed, RotateWebhook,
    UpdateWebhook, Webhook, Webhooks,
};

/// All endpoints, without their secrets.
#[utoipa::path(get, path = "/api/webhooks", operation_id = "listWebhooks",
    tag = "webhooks",
    responses((status = 200, body = Envelope<Webhooks>)))]
pub(super) async fn list(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
) -> ApiResult<Envelope<Webhooks>> {
    let webhooks = app.store.webhook_list(caller.workspace()).await?;
    let webhooks = webhooks.into_iter().map(Webhook::from).collect();
    Ok(Envelope::ok("Webhooks fetched successfully", Webhooks { webhooks }))
}

/// Makes an endpoint: it gets what happens from then on. Deliveries are signed as Standard Webhooks
/// says, with the secret that is shown this once. At most 50 a workspace.
#[utoipa::path(post, path = "/api/webhooks", operation_id = "createWebhook",
    tag = "webhooks",
    request_body(content = CreateWebhook, example = json!({"url": "https://hooks.example.com/calls",
        "events": ["call.finished", "batch.completed"]})),
    responses((status = 201, body = Envelope<Webhook>)))]
pub(super) async fn create(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    body: JsonBody<CreateWebhook>,
) -> ApiResult<Envelope<Webhook>> {
    let (spec, secret) = body.value.parse(app.config.webhook_reach, &*app.entropy)?;
    let new = NewWebhook { spec, secret };
    let made = app.store.webhook_create(caller.workspace(), new).await.map_err(refused)?;
    tracing::info!(workspace = %caller.workspace(), webhook = %made.id, "a webhook was made");
    Ok(Envelope::created("Webhook created successfully", Webhook::with_secret(made)))
}

/// One endpoint.
#[utoipa::path(get, path = "/api/webhooks/{id}", operation_id = "getWebhook",
    tag = "webhooks",
    params(("id" = String, Path, description = "Which endpoint")),
    responses((status = 200, body = Envelope<Webhook>)))]
pub(super) async fn fetch(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    Segment(webhook): Segment,
) -> ApiResult<Envelope<Webhook>> {
    let found = app.store.webhook_fetch(caller.workspace(), id("id", &webhook)?).await?;
    let found = found.ok_or_else(|| ApiError::not_found("webhook"))?;
    Ok(Envelope::ok("Webhook fetched successfully", found.into()))
}

/// Changes an endpoint, or enables it again after it was disabled.
#[utoipa::path(patch, path = "/api/webhooks/{id}", operation_id = "updateWebhook",
    tag = "webhooks", request_body = UpdateWebhook,
    params(("id" = String, Path, description = "Which endpoint")),
    responses((status = 200, body = Envelope<Webhook>)))]
pub(super) async fn update(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    Segment(webhook): Segment,
    body: JsonBody<UpdateWebhook>,
) -> ApiResult<Envelope<Webhook>> {
    let (workspace, webhook) = (caller.workspace(), id("id", &webhook)?);
    let patch = body.value.parse(app.config.webhook_reach)?;
    let updated = app.store.webhook_update(workspace, webhook, patch).await.map_err(refused)?;
    app.wake.notify_one();
    Ok(Envelope::ok("Webhook updated successfully", updated.into()))
}

/// Deletes an endpoint, and what waits for it.
#[utoipa::path(delete, path = "/api/webhooks/{id}", operation_id = "deleteWebhook",
    tag = "webhooks",
    params(("id" = String, Path, description = "Which endpoint")),
    responses((status = 200, body = Done)))]
pub(super) async fn delete(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    Segment(webhook): Segment,
) -> ApiResult<axum::Json<Done>> {
    match app.store.webhook_delete(caller.workspace(), id("id", &webhook)?).await? {
        true => Ok(Done::ok("Webhook deleted successfully")),
        false => Err(ApiError::not_found("webhook")),
    }
}

/// Gives an endpoint another secret, shown this once. Until the old one ends, deliveries are signed
/// with both.
#[utoipa::path(post, path = "/api/webhooks/{id}/rotate-secret",
    operation_id = "rotateWebhookSecret",
    tag = "webhooks",
    request_body(content = RotateWebhook, example = json!({"oldSecretHours": 24})),
    params(("id" = String, Path, description = "Which endpoint")),
    responses((status = 200, body = Envelope<Webhook>)))]
pub(super) async fn rotate(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    Segment(webhook): Segment,
    body: JsonBody<RotateWebhook>,
) -> ApiResult<Envelope<Webhook>> {
    let (workspace, webhook) = (caller.workspace(), id("id", &webhook)?);
    let (secret, hours) = body.value.parse(&*app.entropy)?;
    let old_until = app.clock.now().after(Duration::from_secs(hours * 3_600));
    let rotated = app.store.webhook_rotate(workspace, webhook, secret, old_until).await;
    let rotated = rotated.map_err(refused)?;
    tracing::info!(%workspace, %webhook, "the secret of a webhook was rotated");
    Ok(Envelope::ok("Webhook secret rotated successfully", Webhook::with_secret(rotated)))
}

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesQuery {
    /// From 1. Default 1.
    #[param(value_type = Option<u32>)]
    page: Option<String>,
    /// 1–100. Default 10.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// `pending`, `delivered` or `given_up`; by default all.
    state: Option<String>,
}

/// What was delivered to an endpoint, and what was tried, newest first. Kept for 72 hours; what was
/// given up, for 30 days.
#[utoipa::path(get, path = "/api/webhooks/{id}/deliveries", operation_id = "listWebhookDeliveries",
    tag = "webhooks",
    params(("id" = String, Path, description = "Which endpoint"), DeliveriesQuery),
    responses((status = 200, body = Envelope<DeliveryPage>)))]
pub(super) async fn deliveries(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    Segment(webhook): Segment,
    Params(query): Params<DeliveriesQuery>,
) -> ApiResult<Envelope<DeliveryPage>> {
    let webhook: WebhookId = id("id", &webhook)?;
    let page = Page::parse(query.page.as_deref(), query.limit.as_deref())?;
    let state = query.state.as_deref().map(|word| {
        let wrong = || ApiError::bad("state: write \"pending\", \"delivered\" or \"given_up\"");
        DeliveryState::parse(word).ok_or_else(wrong)
    });
    let query = DeliveryQuery { page: page.page, limit: page.limit, state: state.transpose()? };
    let list = app.store.delivery_list(caller.workspace(), webhook, query).await?;
    let list = list.ok_or_else(|| ApiError::not_found("webhook"))?;
    let deliveries = list.deliveries.into_iter().map(Delivery::from).collect();
    let pagination = Pagination::new(page, list.total);
    let data = DeliveryPage { deliveries, pagination };
    Ok(Envelope::ok("Deliveries fetched successfully", data))
}

/// Sends deliveries that are over once more, with the id and the sequence that they had: one of
/// them, all made since an instant, or all that were given up.
#[utoipa::path(post, path = "/api/webhooks/{id}/replay", operation_id = "replayWebhook",
    tag = "webhooks",
    request_body(content = ReplayDeliveries, example = json!({"failed": true})),
    params(("id" = String, Path, description = "Which endpoint")),
    responses((status = 200, body = Envelope<Replayed>)))]
pub(super) async fn replay(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    Segment(webhook): Segment,
    body: JsonBody<ReplayDeliveries>,
) -> ApiResult<Envelope<Replayed>> {
    let (workspace, webhook): (_, WebhookId) = (caller.workspace(), id("id", &webhook)?);
    let what = what(&body.value)?;
    let replayed = app.store.delivery_replay(workspace, webhook, what).await?;
    let replayed = replayed.ok_or_else(|| ApiError::not_found("webhook"))?;
    if replayed == 0 && matches!(what, Replay::One(_)) {
        return Err(ApiError::not_found("delivery that is over"));
    }
    app.wake.notify_one();
    Ok(Envelope::ok("Deliveries are sent again", Replayed { replayed }))
}

fn what(wish: &ReplayDeliveries) -> ApiResult<Replay> {
    let failed = wish.failed == Some(true);
    match (&wish.delivery_id, &wish.since, failed) {
        (Some(delivery), None, false) => Ok(Replay::One(id("deliveryId", delivery)?)),
        (None, Some(since), false) => {
            let since: Timestamp = since.parse().map_err(|_| {
                ApiError::bad("since: write an instant, for instance 2025-05-15T14:30:00Z")
            })?;
            Ok(Replay::Since(since))
        }
        (None, None, true) => Ok(Replay::Failed),
        _ => Err(ApiError::bad("write one of deliveryId, since, and failed: true")),
    }
}

fn refused(e: WebhookError) -> ApiError {
    match e {
        WebhookError::NotFound => ApiError::not_found("webhook"),
        WebhookError::TooMany => {
            ApiError::new(StatusCode::CONFLICT, "the workspace has 50 webhooks: delete one first")
        }
        WebhookError::Store(e) => e.into(),
    }
}
