//! Calling numbers.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use outdial_core::contact::json;
use outdial_core::id::PhoneId;
use outdial_core::phone::{self, PhoneNumber};
use outdial_ports::store::{Integration, NewPhone, PhoneError};
use serde_json::Value;

use super::{Segment, id, required};
use crate::app::App;
use crate::auth::{Administers, Caller, Reads};
use crate::body::JsonBody;
use crate::error::{ApiError, ApiResult};
use crate::idempotency::{IdempotencyKey, Making};
use crate::wire::envelope::{Envelope, PhoneDeleted};
use crate::wire::phone::{AddPhone, PatchPhone, Phone, Phones};

/// Integrations that the documented API knows and this build cannot do.
const NOT_YET: [&str; 3] = ["plivo", "twilio", "telnyx"];

/// Adds a calling number.
#[utoipa::path(post, path = "/api/call/add-phone", operation_id = "addPhone",
    tag = "phones", request_body = AddPhone,
    responses((status = 201, body = Envelope<Phone>)))]
pub(super) async fn add(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    key: IdempotencyKey,
    body: JsonBody<AddPhone>,
) -> ApiResult<Response> {
    let (workspace, user, wish) = (caller.workspace(), caller.principal.user, &body.value);
    let named = required("userId", wish.user_id.as_deref())?;
    let number = wish.phone_number.as_ref().ok_or_else(|| ApiError::bad("phoneNumber is missing"));
    let number = number.and_then(parsed)?;
    let integration = integration(required("integration", wish.integration.as_deref())?)?;
    let agent = wish.agent_id.as_deref().map(|a| id("agentId", a)).transpose()?;
    let trunks = wish.trunks(integration)?;
    let limits = wish.limits()?;
    caller.check_user(named)?;
    let making =
        Making { workspace, scope: "POST /api/call/add-phone", key, body_sha256: body.sha256 };
    let store = app.store.clone();
    making
        .once(&app, async move {
            let new = NewPhone { number, integration, trunks, agent };
            let mut phone = store.phone_create(workspace, new).await.map_err(refused)?;
            if let Some(limits) = limits {
                let limited = store.phone_update(workspace, phone.id, limits).await;
                phone = match limited {
                    Ok(phone) => phone,
                    Err(e) => {
                        // Not without the limits that were asked for.
                        if let Err(e) = store.phone_delete(workspace, phone.id).await {
                            tracing::error!(phone = %phone.id, error = %e, "a number stayed");
                        }
                        return Err(refused(e));
                    }
                };
            }
            Ok(Envelope::created("Phone number added successfully", Phone::of(&phone, user)))
        })
        .await
}

fn integration(word: &str) -> ApiResult<Integration> {
    Integration::parse(word).ok_or_else(|| {
        if NOT_YET.contains(&word) {
            let text = format!("integration: {word} is not available in this version");
            ApiError::bad(format!("{text}: use sip or simulated"))
        } else {
            ApiError::bad(format!("integration: {word:?} is not known: use sip or simulated"))
        }
    })
}

/// A string or a whole number; anything else is no phone number, as in a contact record.
pub(super) fn parsed(value: &Value) -> ApiResult<PhoneNumber> {
    let wrong = || ApiError::bad("phoneNumber: write it as a string like \"12125551234\"");
    let number = match value {
        Value::String(text) => phone::parse(text),
        other => phone::parse(&json::phone_text(&other.to_string()).ok_or_else(wrong)?),
    };
    number.map(|p| p.number).map_err(|e| ApiError::bad(format!("phoneNumber: {e}")))
}

/// Deletes a calling number; it also leaves every batch.
#[utoipa::path(delete, path = "/api/call/delete-phone/{phoneId}", operation_id = "deletePhone",
    tag = "phones",
    params(("phoneId" = String, Path, description = "Which number")),
    responses((status = 200, body = PhoneDeleted)))]
pub(super) async fn delete(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    Segment(phone): Segment,
) -> ApiResult<axum::Json<PhoneDeleted>> {
    let phone: PhoneId = id("phoneId", &phone)?;
    app.store.phone_delete(caller.workspace(), phone).await.map_err(refused)?;
    app.wake.notify_one();
    Ok(axum::Json(PhoneDeleted { success: true, deleted_id: phone.to_string() }))
}

/// All calling numbers.
#[utoipa::path(get, path = "/api/phones", operation_id = "listPhones",
    tag = "phones",
    responses((status = 200, body = Envelope<Phones>)))]
pub(super) async fn list(
    caller: Caller<Reads>,
    State(app): State<Arc<App>>,
) -> ApiResult<Envelope<Phones>> {
    let phones = app.store.phone_list(caller.workspace()).await?;
    let phones = phones.iter().map(|p| Phone::of(p, caller.principal.user)).collect();
    Ok(Envelope::ok("Phone numbers fetched successfully", Phones { phones }))
}

/// Binds an agent, changes limits; holds for the next decision.
#[utoipa::path(patch, path = "/api/phones/{id}", operation_id = "updatePhone",
    tag = "phones", request_body = PatchPhone,
    params(("id" = String, Path, description = "Which number")),
    responses((status = 200, body = Envelope<Phone>)))]
pub(super) async fn update(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    Segment(phone): Segment,
    body: JsonBody<PatchPhone>,
) -> ApiResult<Envelope<Phone>> {
    let phone = id("id", &phone)?;
    let patch = body.value.parse()?;
    let updated = app.store.phone_update(caller.workspace(), phone, patch).await;
    let phone = updated.map_err(refused)?;
    app.wake.notify_one();
    let phone = Phone::of(&phone, caller.principal.user);
    Ok(Envelope::ok("Phone number updated successfully", phone))
}

fn refused(e: PhoneError) -> ApiError {
    match e {
        PhoneError::NotFound => ApiError::not_found("phone number"),
        PhoneError::Duplicate => {
            ApiError::bad("phoneNumber: the workspace has this number already")
        }
        PhoneError::NoSuchAgent => ApiError::not_found("agent"),
        PhoneError::NoSuchTrunk => ApiError::not_found("trunk"),
        PhoneError::Store(e) => e.into(),
    }
}
