//! Settings of the workspace.

use std::sync::Arc;

use axum::extract::State;
use outdial_core::settings::WorkspaceSettings;
use outdial_ports::store::Principal;

use crate::app::App;
use crate::auth::{Administers, Caller, Reads};
use crate::body::JsonBody;
use crate::error::ApiResult;
use crate::wire::envelope::Envelope;
use crate::wire::settings::{PatchSettings, Settings};

/// The settings as they are.
#[utoipa::path(get, path = "/api/settings", operation_id = "getSettings",
    tag = "settings",
    responses((status = 200, body = Envelope<Settings>)))]
pub(super) async fn fetch(
    caller: Caller<Reads>,
    State(app): State<Arc<App>>,
) -> ApiResult<Envelope<Settings>> {
    let settings = app.store.settings_fetch(caller.workspace()).await?;
    Ok(Envelope::ok("Settings fetched successfully", settings.into()))
}

/// Changes settings; they hold for the next decision.
#[utoipa::path(patch, path = "/api/settings", operation_id = "updateSettings",
    tag = "settings", request_body = PatchSettings,
    responses((status = 200, body = Envelope<Settings>)))]
pub(super) async fn update(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    body: JsonBody<PatchSettings>,
) -> ApiResult<Envelope<Settings>> {
    let new = edit(&app, &caller.principal, |old| body.value.clone().apply(old)).await?;
    Ok(Envelope::ok("Settings updated successfully", new.into()))
}

/// Changes the caller's settings, whoever else changes them at the same time. What protects the
/// called is logged with the key that switched it.
pub(super) async fn edit(
    app: &App,
    caller: &Principal,
    change: impl Fn(WorkspaceSettings) -> ApiResult<WorkspaceSettings>,
) -> ApiResult<WorkspaceSettings> {
    let (workspace, key) = (caller.workspace, caller.key);
    let mut edit = app.edits.begin("settings", workspace).await;
    let (old, new) = loop {
        let old = app.store.settings_fetch(workspace).await?;
        let new = change(old.clone())?;
        if app.store.settings_update(workspace, Some(old.clone()), new.clone()).await? {
            break (old, new);
        }
        edit.again()?;
    };
    if old.calling_rules != new.calling_rules {
        let rules = new.calling_rules;
        tracing::warn!(%workspace, %key, ?rules, "calling rules were switched");
    }
    if old.do_not_call != new.do_not_call {
        let is_on = new.do_not_call;
        tracing::warn!(%workspace, %key, is_on, "the check of the do-not-call list was switched");
    }
    app.wake.notify_one();
    Ok(new)
}
