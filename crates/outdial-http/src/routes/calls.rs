//! Calls: a batch's, and one with its history.

use std::sync::Arc;

use axum::extract::State;
use outdial_core::call::CallState;
use outdial_core::id::{BatchId, CallId};
use outdial_ports::store::{CallCanceled, CallQuery, CallSort, FilterField};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::IntoParams;

use super::{Segment, id, required};
use crate::app::App;
use crate::auth::{Caller, Reads, Writes};
use crate::body::JsonBody;
use crate::error::{ApiError, ApiResult};
use crate::outlook;
use crate::wire::call::{CallDetails, CallMoved, Calls, CancelCall, call_status, flattened};
use crate::wire::envelope::Envelope;
use crate::wire::page::{Page, Params};
use crate::wire::record::fields;

/// Which calls of a batch.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// From 1. Default 1.
    #[param(value_type = Option<u32>)]
    page: Option<String>,
    /// 1–100. Default 10.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// JSON object of field → value or array of values: `callStatus`, `phoneNumber`, `timezone`,
    /// or any field of the contact.
    filter: Option<String>,
    /// `createdAt` (default), `updatedAt`, `phoneNumber`, `callStatus`, or a field of the contact.
    sort_by: Option<String>,
    /// `asc` (default) or `desc`.
    sort_order: Option<String>,
    /// Part of the phone number or of any field of the contact.
    search: Option<String>,
}

/// A batch's calls with their phone logs.
#[utoipa::path(get, path = "/api/call/batch-details/{id}", operation_id = "batchDetails",
    tag = "calling",
    params(("id" = String, Path, description = "Which batch"), ListQuery),
    responses((status = 200, body = Envelope<Calls>)))]
pub(super) async fn list(
    caller: Caller<Reads>,
    State(app): State<Arc<App>>,
    Segment(batch): Segment,
    Params(query): Params<ListQuery>,
) -> ApiResult<Envelope<Calls>> {
    let batch: BatchId = id("id", &batch)?;
    let page = Page::parse(query.page.as_deref(), query.limit.as_deref())?;
    let wanted = CallQuery {
        page: page.page,
        limit: page.limit,
        filter: query.filter.as_deref().map_or(Ok(Vec::new()), filter)?,
        sort: sort(query.sort_by.as_deref()),
        descending: descending(query.sort_order.as_deref())?,
        search: query.search.filter(|s| !s.is_empty()),
    };
    let found = app.store.batch_fetch(batch).await?;
    let batch = found
        .filter(|b| b.workspace == caller.workspace())
        .ok_or_else(|| ApiError::not_found("batch"))?;
    let calls = app.store.call_list(batch.id, wanted).await?;
    let data = Calls {
        batch_id: batch.id.to_string(),
        batch_name: batch.name,
        batch_status: batch.state.as_str(),
        page: page.page,
        limit: page.limit,
        total: calls.total,
        total_pages: page.pages(calls.total),
        data: calls.calls.iter().map(flattened).collect(),
    };
    Ok(Envelope::ok("Calls fetched successfully", data))
}

/// One call with its history, what it waits for, and when it can be placed.
#[utoipa::path(get, path = "/api/call/call-details/{callId}", operation_id = "callDetails",
    tag = "calling",
    params(("callId" = String, Path, description = "Which call")),
    responses((status = 200, body = Envelope<CallDetails>)))]
pub(super) async fn details(
    caller: Caller<Reads>,
    State(app): State<Arc<App>>,
    Segment(call): Segment,
) -> ApiResult<Envelope<CallDetails>> {
    let found = app.store.call_fetch(caller.workspace(), id("callId", &call)?).await?;
    let (batch, call) = found.ok_or_else(|| ApiError::not_found("call"))?;
    let (why, next) = outlook::of_call(&app, &batch, &call).await?;
    let data = CallDetails::of(call, why, next);
    Ok(Envelope::ok("Call fetched successfully", data))
}

/// Takes one call back: a pending one is not placed, one that rings is cancelled, one that is
/// answered ends by itself; none is tried again. `status`: `canceled`, `canceling`, or how the call
/// stands.
#[utoipa::path(post, path = "/api/call/cancel-call", operation_id = "cancelCall",
    tag = "calling",
    request_body(content = CancelCall, example = json!({"callId": "64e5f12345abcdef11111111"})),
    responses((status = 200, body = Envelope<CallMoved>, example = json!({
        "message": "", "status": true, "code": 200, "errorMessage": "",
        "data": {"callId": "64e5f12345abcdef11111111", "status": "canceled"}}))))]
pub(super) async fn cancel(
    caller: Caller<Writes>,
    State(app): State<Arc<App>>,
    body: JsonBody<CancelCall>,
) -> ApiResult<Envelope<CallMoved>> {
    let call: CallId = id("callId", required("callId", body.value.call_id.as_deref())?)?;
    if let Some(user) = &body.value.user_id {
        caller.check_user(user)?;
    }
    let (workspace, nobody) = (caller.workspace(), || ApiError::not_found("call"));
    let became = app.store.call_cancel(workspace, call).await?.ok_or_else(nobody)?;
    app.wake.notify_one();
    let status = match became {
        CallCanceled::Canceled => "canceled",
        CallCanceled::Recalled | CallCanceled::WasFinished => {
            let (_, view) = app.store.call_fetch(workspace, call).await?.ok_or_else(nobody)?;
            let is_answered = view.attempts.last().is_some_and(|a| a.answered_at.is_some());
            match view.state {
                CallState::Live if !is_answered => "canceling",
                _ => call_status(&view),
            }
        }
    };
    Ok(Envelope::ok("", CallMoved { call_id: call.to_string(), status }))
}

/// `filter`: values are compared as text, a string by its characters, anything else as it stands.
fn filter(text: &str) -> ApiResult<Vec<(FilterField, Vec<String>)>> {
    let wrong = || ApiError::bad("filter: write a JSON object like {\"callStatus\":\"completed\"}");
    let object: &RawValue = serde_json::from_str(text).map_err(|_| wrong())?;
    if !object.get().starts_with('{') {
        return Err(wrong());
    }
    fields(object.get())
        .into_iter()
        .map(|f| {
            let key: String = serde_json::from_str(f.raw_key).map_err(|_| wrong())?;
            let values = if f.raw_value.starts_with('[') {
                serde_json::from_str::<Vec<&RawValue>>(f.raw_value).map_err(|_| wrong())?
            } else {
                vec![serde_json::from_str(f.raw_value).map_err(|_| wrong())?]
            };
            let mut values: Vec<String> =
                values.into_iter().map(filter_value).collect::<Option<_>>().ok_or_else(wrong)?;
            let field = match key.as_str() {
                "callStatus" => FilterField::CallStatus,
                "phoneNumber" => {
                    values.iter_mut().for_each(|v| v.retain(|c| !"+ -.()".contains(c)));
                    FilterField::PhoneNumber
                }
                _ => FilterField::Contact(key),
            };
            Ok((field, values))
        })
        .collect()
}

fn filter_value(raw: &RawValue) -> Option<String> {
    match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw.get()).ok(),
        Some(b'{' | b'[') => None,
        _ => Some(raw.get().to_owned()),
    }
}

fn sort(by: Option<&str>) -> CallSort {
    match by {
        None | Some("" | "createdAt") => CallSort::CreatedAt,
        Some("updatedAt") => CallSort::UpdatedAt,
        Some("phoneNumber") => CallSort::PhoneNumber,
        Some("callStatus") => CallSort::CallStatus,
        Some(field) => CallSort::Contact(field.to_owned()),
    }
}

fn descending(order: Option<&str>) -> ApiResult<bool> {
    match order {
        None | Some("" | "asc") => Ok(false),
        Some("desc") => Ok(true),
        Some(_) => Err(ApiError::bad("sortOrder: write asc or desc")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        let parsed = filter(r#"{"callStatus":["busy","no-answer"],"n":12.0,"phoneNumber":"+1 2"}"#);
        assert_eq!(
            parsed.unwrap(),
            [
                (FilterField::CallStatus, vec!["busy".to_owned(), "no-answer".to_owned()]),
                (FilterField::Contact("n".to_owned()), vec!["12.0".to_owned()]),
                (FilterField::PhoneNumber, vec!["12".to_owned()]),
            ]
        );
        for bad in ["", "[]", "1", "{", r#"{"a":{}}"#, r#"{"a":[[1]]}"#] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
