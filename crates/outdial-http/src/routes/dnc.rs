//! The do-not-call list of the organization: who is on it, and whether it is checked.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use outdial_core::id::DncId;
use outdial_ports::store::{DncAddError, DncDeleteError, DncListQuery, NewDnc};
use serde::Deserialize;
use utoipa::IntoParams;

use super::phones::parsed;
use super::{Segment, id, required};
use crate::app::App;
use crate::auth::{Administers, Caller, Reads, Writes};
use crate::body::JsonBody;
use crate::error::{ApiError, ApiResult};
use crate::idempotency::{IdempotencyKey, Making};
use crate::wire::call::token;
use crate::wire::dnc::{AddDnc, DncEntries, EnableDnc};
use crate::wire::envelope::{Done, Envelope};
use crate::wire::page::{Page, Pagination, Params};

/// Longest `type`, in characters.
const KIND_MAX_CHARS: usize = 200;

/// Lists a number: not dialed later than 2 s after the answer, by whatever batch. The batch must
/// have a phone log of that number with this `requestUUID` (`call-details` shows it); else 404.
#[utoipa::path(post, path = "/api/dnc/add", operation_id = "addDnc",
    tag = "dnc",
    request_body(content = AddDnc, example = json!({"phoneNumber": "12125551234",
        "batchId": "64e5f12345abcdef98765432",
        "requestUUID": "3f2b8c1e-9a4d-4e6f-8b7a-1c2d3e4f5a6b", "type": "customer_request"})),
    params(("Idempotency-Key" = Option<String>, Header, description = "Same key, same body: done \
        once")),
    responses((status = 200, body = Done, example = json!({
        "message": "Phone number added to DNC successfully", "status": true, "code": 200,
        "errorMessage": ""}))))]
pub(super) async fn add(
    caller: Caller<Writes>,
    State(app): State<Arc<App>>,
    key: IdempotencyKey,
    body: JsonBody<AddDnc>,
) -> ApiResult<Response> {
    let (workspace, by, wish) = (caller.workspace(), caller.principal.key, &body.value);
    let number = wish.phone_number.as_ref().ok_or_else(|| ApiError::bad("phoneNumber is missing"));
    let phone = number.and_then(parsed)?;
    let batch = id("batchId", required("batchId", wish.batch_id.as_deref())?)?;
    let name = required("requestUUID", wish.request_uuid.as_deref())?.to_owned();
    let kind = kind(wish.kind.as_deref())?;
    if let Some(user) = &wish.user_id {
        caller.check_user(user)?;
    }
    let making = Making { workspace, scope: "POST /api/dnc/add", key, body_sha256: body.sha256 };
    let app2 = app.clone();
    making
        .once(&app, async move {
            // What is no UUID names no phone log.
            let token = token(&name).ok_or_else(|| refused(DncAddError::NoPhoneLog))?;
            let new = NewDnc { phone, batch, token, kind };
            let entry = app2.store.dnc_add(workspace, new).await.map_err(refused)?;
            app2.wake.notify_one();
            tracing::info!(%workspace, key = %by, entry = %entry.id, "a number was listed");
            Ok(Done::new("Phone number added to DNC successfully"))
        })
        .await
}

fn kind(text: Option<&str>) -> ApiResult<Option<String>> {
    let Some(text) = text.map(str::trim).filter(|t| !t.is_empty()) else { return Ok(None) };
    if text.chars().count() > KIND_MAX_CHARS || text.chars().any(char::is_control) {
        let right = format!("type: write at most {KIND_MAX_CHARS} characters on one line");
        return Err(ApiError::bad(right));
    }
    Ok(Some(text.to_owned()))
}

fn refused(e: DncAddError) -> ApiError {
    match e {
        DncAddError::AlreadyListed => {
            ApiError::bad("phoneNumber: the number is on the do-not-call list already")
        }
        DncAddError::NoBatch => ApiError::not_found("batch"),
        DncAddError::NoPhoneLog => ApiError::not_found("phone log"),
        DncAddError::Store(e) => e.into(),
    }
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// From 1. Default 1.
    #[param(value_type = Option<u32>)]
    page: Option<String>,
    /// 1–100. Default 10.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// Part of `phoneNumber`, `type` or `requestUUID`, case-insensitive.
    search: Option<String>,
}

/// The list, newest first.
#[utoipa::path(get, path = "/api/dnc/list", operation_id = "listDnc",
    tag = "dnc", params(ListQuery),
    responses((status = 200, body = Envelope<DncEntries>, example = json!({
        "message": "DNC list fetched successfully", "status": true, "code": 200,
        "errorMessage": "", "data": {"dncList": [{"_id": "64e5f12345abcdef33333333",
            "phoneNumber": "12125551234", "type": "customer_request",
            "orgId": "64e5f12345abcdef44444444", "batchId": "64e5f12345abcdef98765432",
            "requestUUID": "3f2b8c1e-9a4d-4e6f-8b7a-1c2d3e4f5a6b", "callRecording": null,
            "transcription": null, "createdAt": "2025-05-15T14:30:00.000Z"}],
            "pagination": {"total": 1, "page": 1, "limit": 10, "totalPages": 1}}}))))]
pub(super) async fn list(
    caller: Caller<Reads>,
    State(app): State<Arc<App>>,
    Params(query): Params<ListQuery>,
) -> ApiResult<Envelope<DncEntries>> {
    let page = Page::parse(query.page.as_deref(), query.limit.as_deref())?;
    let search = query.search.filter(|s| !s.is_empty());
    let wanted = DncListQuery { page: page.page, limit: page.limit, search };
    let found = app.store.dnc_list(caller.workspace(), wanted).await?;
    let dnc_list = found.entries.into_iter().map(Into::into).collect();
    let pagination = Pagination::new(page, found.total);
    Ok(Envelope::ok("DNC list fetched successfully", DncEntries { dnc_list, pagination }))
}

/// Takes a number off the list; calls that were skipped stay so.
#[utoipa::path(delete, path = "/api/dnc/delete/{id}", operation_id = "deleteDnc",
    tag = "dnc",
    params(("id" = String, Path, description = "Which entry")),
    responses((status = 200, body = Done, example = json!({
        "message": "DNC record deleted successfully", "status": true, "code": 200,
        "errorMessage": ""}))))]
pub(super) async fn delete(
    caller: Caller<Writes>,
    State(app): State<Arc<App>>,
    Segment(entry): Segment,
) -> ApiResult<axum::Json<Done>> {
    let entry: DncId = id("id", &entry)?;
    let workspace = caller.workspace();
    app.store.dnc_delete(workspace, entry).await.map_err(|e| match e {
        DncDeleteError::NotFound => ApiError::not_found("DNC record"),
        DncDeleteError::Foreign => ApiError::new(StatusCode::FORBIDDEN, e.to_string()),
        DncDeleteError::Store(e) => e.into(),
    })?;
    app.wake.notify_one();
    let by = caller.principal.key;
    tracing::info!(%workspace, key = %by, %entry, "a number was taken off the list");
    Ok(Done::ok("DNC record deleted successfully"))
}

/// Whether the list is checked before each call; `doNotCall` of the settings is the same switch.
/// Off, only batches with `enableDNC` are checked.
#[utoipa::path(post, path = "/api/dnc/enable-disable", operation_id = "switchDnc",
    tag = "dnc", request_body(content = EnableDnc, example = json!({"enable": true})),
    responses((status = 200, body = Done, example = json!({
        "message": "DNC setting updated successfully", "status": true, "code": 200,
        "errorMessage": ""}))))]
pub(super) async fn switch(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    body: JsonBody<EnableDnc>,
) -> ApiResult<axum::Json<Done>> {
    let wrong = || ApiError::bad("enable is missing: write true or false");
    let enable = body.value.enable.ok_or_else(wrong)?;
    super::settings::edit(&app, &caller.principal, |mut settings| {
        settings.do_not_call = enable;
        Ok(settings)
    })
    .await?;
    Ok(Done::ok("DNC setting updated successfully"))
}
