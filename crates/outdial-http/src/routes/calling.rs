//! Starting and stopping.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use outdial_core::id::{BatchId, PhoneId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_ingest::Body;
use outdial_ports::store::{AgentVersion, BatchStart, IngestContext, PhoneRecord};

use super::add_calls::{no_agent, on_invalid};
use super::{id, member, required};
use crate::app::App;
use crate::auth::{Caller, Writes};
use crate::body::JsonBody;
use crate::error::{ApiError, ApiResult};
use crate::idempotency::{IdempotencyKey, Making};
use crate::ingest::{
    self, Arrival, Known, Route, Started, Submission, Terms, Then, agents_differ, look_up, submit,
    take, unreadable,
};
use crate::wire::batch::{BatchMoved, StartCalling, StopCalling};
use crate::wire::batch_settings::numbers;
use crate::wire::envelope::Envelope;
use crate::wire::faults::Faults;

const START: &str = "POST /api/call/start-calling";

/// Starts a batch. With `callData` those records are called, and the batch's others wait for the
/// next start without.
#[utoipa::path(post, path = "/api/call/start-calling", operation_id = "startCalling",
    tag = "calling",
    request_body = StartCalling,
    params(("Idempotency-Key" = Option<String>, Header, description = "Same key, same body: done \
        once")),
    responses(
        (status = 200, body = Envelope<Started>),
        (status = 207, body = Envelope<Started>, description = "`callData` in part")))]
pub(super) async fn start(
    caller: Caller<Writes>,
    State(app): State<Arc<App>>,
    key: IdempotencyKey,
    request: Request,
) -> ApiResult<Response> {
    let (parts, body) = request.into_parts();
    let taken = take(&app, &parts.headers, body).await?;
    caller.grant().confirm(&app).await?;
    let workspace = caller.workspace();
    let known = match look_up(&app, Route { workspace, scope: START }, &key, taken.sha256).await? {
        Arrival::Answered(response) => return Ok(response),
        Arrival::Work(known) => known,
    };
    let body = taken.body.map_err(|e| unreadable(&e))?;
    let wish = Wish::read(&body)?;
    caller.check_user(&wish.user)?;
    let context = app.store.batch_ingest_context(workspace, wish.batch).await?;
    let context = context.ok_or_else(|| ApiError::not_found("batch"))?;
    if !body.has_call_data() {
        let making = Making { workspace, scope: START, key, body_sha256: taken.sha256 };
        return plain(&app, making, wish).await;
    }
    let terms = terms(&app, workspace, &known, &context, wish.numbers.as_deref()).await?;
    body.records().map_err(|e| ApiError::bad(e.to_string()))?;
    let on_invalid = on_invalid(&body)?;
    let then = Then::Start { numbers: wish.numbers, uuid: wish.uuid };
    let (share, batch, grant) = (taken.share, wish.batch, caller.grant());
    submit(&app, Submission { body, share, known, grant, batch, terms, on_invalid, then }).await
}

/// What a start asks for beside its records.
struct Wish {
    batch: BatchId,
    user: String,
    numbers: Option<Vec<PhoneId>>,
    uuid: Option<String>,
}

impl Wish {
    fn read(body: &Body) -> ApiResult<Self> {
        let batch = id("batchId", required("batchId", member(body, "batchId")?.as_deref())?)?;
        let user = required("userId", member(body, "userId")?.as_deref())?.to_owned();
        let mut faults = Faults::default();
        let numbers = match body.member("callingNumbers") {
            None | Some("null") => None,
            Some(raw) => {
                let ids: Vec<String> = serde_json::from_str(raw)
                    .map_err(|_| ApiError::bad("callingNumbers must be an array of ids"))?;
                Some(numbers(&mut faults, &ids))
            }
        };
        faults.finish()?;
        let uuid = member(body, "uuid")?.map(std::borrow::Cow::into_owned);
        Ok(Self { batch, user, numbers, uuid })
    }
}

/// A start without records.
async fn plain(app: &Arc<App>, making: Making, wish: Wish) -> ApiResult<Response> {
    let (workspace, app2) = (making.workspace, app.clone());
    making
        .once(app, async move {
            let how = BatchStart { numbers: wish.numbers, call_data_lane: None };
            ingest::start(&app2, workspace, wish.batch, how).await?;
            let batch_id = wish.batch.to_string();
            let data = Started { batch_id, status: "started", uuid: wish.uuid, added: None };
            Ok(Envelope::ok("", data))
        })
        .await
        .map(IntoResponse::into_response)
}

/// What the records are judged by: those of the numbers that come along, else of the batch's.
async fn terms(
    app: &App,
    workspace: WorkspaceId,
    known: &Known,
    context: &IngestContext,
    numbers: Option<&[PhoneId]>,
) -> ApiResult<Terms> {
    if let Some(progress) = &known.progress {
        return Terms::parse(&progress.context);
    }
    let new = |agent: &AgentVersion, numbers: Vec<PhoneNumber>| {
        let (batch, settings) = (&context.batch.settings, &context.settings);
        let lane = Some(context.free_lane);
        Terms::new(app.clock.now(), agent, batch, settings, numbers, lane)
    };
    let Some(wanted) = numbers else {
        return match context.agents.as_slice() {
            [agent] => Ok(new(agent, context.numbers.iter().map(|n| n.number).collect())),
            [] => Err(no_agent()),
            _ => Err(agents_differ()),
        };
    };
    let phones = phones(app, workspace, wanted).await?;
    let mut agents: Vec<_> = phones.iter().filter_map(|p| p.agent).collect();
    agents.sort_unstable();
    agents.dedup();
    let agent = match agents.as_slice() {
        [agent] => *agent,
        [] => return Err(no_agent()),
        _ => return Err(agents_differ()),
    };
    let agent = app.store.agent_fetch(workspace, agent).await?.ok_or_else(no_agent)?;
    let (variables, version) = (agent.spec.variables, agent.version);
    let agent = AgentVersion { agent: agent.id, version, variables };
    Ok(new(&agent, phones.iter().map(|p| p.number).collect()))
}

/// The workspace's numbers with these ids.
async fn phones(
    app: &App,
    workspace: WorkspaceId,
    wanted: &[PhoneId],
) -> ApiResult<Vec<PhoneRecord>> {
    let all = app.store.phone_list(workspace).await?;
    let found = wanted.iter().map(|id| {
        all.iter().find(|p| p.id == *id).cloned().ok_or_else(|| {
            let text = format!("calling number {id} does not exist");
            ApiError::new(StatusCode::NOT_FOUND, text)
        })
    });
    found.collect()
}

/// Stops a batch: no new calls; calls in progress end by themselves.
#[utoipa::path(post, path = "/api/call/stop-calling", operation_id = "stopCalling",
    tag = "calling", request_body = StopCalling,
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
