//! A batch out of a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use outdial_core::id::{AgentId, PhoneId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_ingest::TableKind;
use outdial_ports::store::{AgentVersion, NewBatch};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::add_calls::no_agent;
use super::batch::affordable;
use super::required;
use crate::app::App;
use crate::auth::{Caller, Writes};
use crate::body::parse_object;
use crate::error::{ApiError, ApiResult};
use crate::idempotency::IdempotencyKey;
use crate::ingest::{Arrival, Route, Terms, agents_differ, look_up};
use crate::upload::{Form, Upload, UploadRefused, Uploaded, submit, take};
use crate::wire::batch_settings::{BatchWish, CreateBatch};
use crate::wire::faults::Faults;

/// Parts that are taken as they stand; every other is JSON text.
const TEXTS: [&str; 3] = ["batchName", "timezone", "expiresAt"];
/// Parts that say what `createBatch` is told as JSON.
const VALUES: [&str; 13] = [
    "callingNumbers",
    "retry",
    "delay",
    "callingHour",
    "allowedDays",
    "enableDNC",
    "redialUnknown",
    "retryVoicemail",
    "concurrency",
    "weight",
    "maxCallSeconds",
    "budget",
    "canary",
];

/// Only described here: the form is read as a stream. Parts besides these are those of
/// `createBatch`, objects, arrays and numbers as JSON text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema; crate::upload reads the form")]
pub(super) struct UploadForm {
    /// `.csv`, `.xls` or `.xlsx`, told by the end of its name.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// The caller's own user.
    user_id: String,
    /// Display name.
    batch_name: String,
    /// JSON array of ids of the workspace's calling numbers.
    calling_numbers: String,
    /// `outbound` (default) or `mixed`.
    batch_type: Option<String>,
    /// Check this batch against the do-not-call list: `true` or `false`.
    #[serde(rename = "enableDNC")]
    enable_dnc: Option<String>,
    /// `true`: import the valid rows, ignore the others. `false` (default): any invalid row is 422.
    r#type: Option<String>,
    /// Retries of failed calls, 0–10.
    retry: Option<String>,
    /// Seconds between retries.
    delay: Option<String>,
    /// IANA name: the zone of rows that bring none.
    timezone: Option<String>,
    /// JSON object, `{"start":"09:00","end":"17:00"}`.
    calling_hour: Option<String>,
    /// JSON array, `[1,2,3,4,5]`.
    allowed_days: Option<String>,
}

/// Makes a batch out of a file of contacts: its first row names the fields, one of them
/// `phoneNumber`. All of it or nothing; of rows with the same number the first is kept. The batch
/// is not started: `start-calling` does that.
#[utoipa::path(post, path = "/api/call/upload", operation_id = "upload", tag = "calling",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    params(("Idempotency-Key" = Option<String>, Header, description = "Same key, same parts: done \
        once")),
    responses(
        (status = 200, body = Uploaded, example = json!({"success": true, "batch": {
            "_id": "64e5f12345abcdef98765432", "batchName": "Marketing Campaign May 2025",
            "callingNumbers": ["64e5f12345abcdef87654321"], "totalCalls": 100}})),
        (status = 422, body = UploadRefused, description = "Rows are not valid; nothing was \
            imported", example = json!({"success": false,
            "message": "1 row is not valid, nothing was imported", "invalidRows": [{"row": 3,
            "field": "phoneNumber", "code": "missing_phone_number", "message": "the cell is \
            empty; write digits with the country code, like 12125551234"}], "invalidCount": 1}))))]
pub(super) async fn upload(
    caller: Caller<Writes>,
    State(app): State<Arc<App>>,
    key: IdempotencyKey,
    request: Request,
) -> ApiResult<Response> {
    let (parts, body) = request.into_parts();
    let workspace = caller.workspace();
    let form = take(&app, workspace, &parts.headers, body).await?;
    caller.grant().confirm(&app).await?;
    let route = Route { workspace, scope: "POST /api/call/upload" };
    let known = match look_up(&app, route, &key, form.sha256).await? {
        Arrival::Answered(response) => return Ok(response),
        Arrival::Work(known) => known,
    };
    let Form { mut fields, file, room, .. } = form;
    fields.retain(|_, text| !text.trim().is_empty());
    caller.check_user(required("userId", fields.get("userId").map(String::as_str))?)?;
    let (name, file) = file.ok_or_else(|| ApiError::bad("file: the form has no file"))?;
    let kind = TableKind::of_name(&name)
        .ok_or_else(|| ApiError::bad("file: its name must end with .csv, .xls or .xlsx"))?;
    let ignore_invalid = choices(&fields)?;
    let wish = wish(&app, &fields)?;
    let terms = match &known.progress {
        Some(progress) => Terms::parse(&progress.context)?,
        None => terms(&app, workspace, &wish).await?,
    };
    affordable(&app, workspace, &wish.settings, &wish.numbers).await?;
    let BatchWish { name, settings, numbers } = wish;
    let batch = NewBatch { workspace, name, settings, numbers };
    let grant = caller.grant();
    submit(&app, Upload { file, kind, ignore_invalid, known, grant, batch, terms, room }).await
}

/// Whether invalid rows are ignored.
fn choices(fields: &BTreeMap<String, String>) -> ApiResult<bool> {
    let mut faults = Faults::default();
    let text = |name| fields.get(name).map(|text| text.trim());
    if !matches!(text("batchType"), None | Some("outbound" | "mixed")) {
        faults.add("batchType", "write `outbound` or `mixed`");
    }
    let ignore = match text("type") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            faults.add("type", "write `true` (ignore invalid rows) or `false`");
            false
        }
    };
    faults.finish().map(|()| ignore)
}

/// The batch that the form asks for, by the checks of `createBatch`.
fn wish(app: &App, fields: &BTreeMap<String, String>) -> ApiResult<BatchWish> {
    let mut object = Map::new();
    let mut faults = Faults::default();
    for (name, text) in fields {
        if TEXTS.contains(&name.as_str()) {
            object.insert(name.clone(), Value::String(text.clone()));
        } else if VALUES.contains(&name.as_str()) {
            match serde_json::from_str(text) {
                Ok(value) => drop(object.insert(name.clone(), value)),
                Err(e) => faults.add(name, format!("write it as JSON text: {e}")),
            }
        }
    }
    faults.finish()?;
    let text = Value::Object(object).to_string();
    parse_object::<CreateBatch>(text.as_bytes(), "the form")?.parse(app.clock.now())
}

/// What its rows are judged by: those of its numbers' agent.
async fn terms(app: &App, workspace: WorkspaceId, wish: &BatchWish) -> ApiResult<Terms> {
    let all = app.store.phone_list(workspace).await?;
    let (mut numbers, mut agents): (Vec<PhoneNumber>, Vec<AgentId>) = (Vec::new(), Vec::new());
    for id in &wish.numbers {
        let phone = all.iter().find(|p| p.id == *id).ok_or_else(|| unknown_number(*id))?;
        numbers.push(phone.number);
        agents.extend(phone.agent.filter(|agent| !agents.contains(agent)));
    }
    let agent = match agents.as_slice() {
        [agent] => *agent,
        [] => return Err(no_agent()),
        _ => return Err(agents_differ()),
    };
    let agent = app.store.agent_fetch(workspace, agent).await?.ok_or_else(no_agent)?;
    if agent.spec.languages.is_empty() {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "the agent has no language"));
    }
    let settings = app.store.settings_fetch(workspace).await?;
    let agent =
        AgentVersion { agent: agent.id, version: agent.version, variables: agent.spec.variables };
    Ok(Terms::new(app.clock.now(), &agent, &wish.settings, &settings, numbers, None))
}

fn unknown_number(id: PhoneId) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("calling number {id} does not exist"))
}
