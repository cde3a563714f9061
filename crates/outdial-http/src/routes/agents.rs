//! Agents.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use outdial_ports::store::AgentError;

use super::{Segment, id};
use crate::app::App;
use crate::auth::{Administers, Caller, Reads};
use crate::body::JsonBody;
use crate::error::{ApiError, ApiResult};
use crate::idempotency::{IdempotencyKey, Making};
use crate::wire::agent::{Agent, Agents, CreateAgent, PatchAgent};
use crate::wire::envelope::{Done, Envelope};

/// All agents.
#[utoipa::path(get, path = "/api/agents", operation_id = "listAgents",
    tag = "agents",
    responses((status = 200, body = Envelope<Agents>)))]
pub(super) async fn list(
    caller: Caller<Reads>,
    State(app): State<Arc<App>>,
) -> ApiResult<Envelope<Agents>> {
    let agents = app.store.agent_list(caller.workspace()).await?;
    let agents = agents.into_iter().map(Agent::from).collect();
    Ok(Envelope::ok("Agents fetched successfully", Agents { agents }))
}

/// Makes an agent.
#[utoipa::path(post, path = "/api/agents", operation_id = "createAgent",
    tag = "agents", request_body = CreateAgent,
    responses((status = 201, body = Envelope<Agent>)))]
pub(super) async fn create(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    key: IdempotencyKey,
    body: JsonBody<CreateAgent>,
) -> ApiResult<Response> {
    let (workspace, body_sha256) = (caller.workspace(), body.sha256);
    let making = Making { workspace, scope: "POST /api/agents", key, body_sha256 };
    let spec = body.value.parse()?;
    let store = app.store.clone();
    making
        .once(&app, async move {
            let agent = store.agent_create(workspace, spec).await?;
            Ok(Envelope::created("Agent created successfully", Agent::from(agent)))
        })
        .await
}

/// One agent.
#[utoipa::path(get, path = "/api/agents/{id}", operation_id = "getAgent",
    tag = "agents",
    params(("id" = String, Path, description = "Which agent")),
    responses((status = 200, body = Envelope<Agent>)))]
pub(super) async fn fetch(
    caller: Caller<Reads>,
    State(app): State<Arc<App>>,
    Segment(agent): Segment,
) -> ApiResult<Envelope<Agent>> {
    let agent = app.store.agent_fetch(caller.workspace(), id("id", &agent)?).await?;
    let agent = agent.ok_or_else(|| ApiError::not_found("agent"))?;
    Ok(Envelope::ok("Agent fetched successfully", agent.into()))
}

/// Changes an agent; calls that were checked against an earlier version keep that one.
#[utoipa::path(patch, path = "/api/agents/{id}", operation_id = "updateAgent",
    tag = "agents", request_body = PatchAgent,
    params(("id" = String, Path, description = "Which agent")),
    responses((status = 200, body = Envelope<Agent>)))]
pub(super) async fn update(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    Segment(agent): Segment,
    body: JsonBody<PatchAgent>,
) -> ApiResult<Envelope<Agent>> {
    let (workspace, agent) = (caller.workspace(), id("id", &agent)?);
    let mut edit = app.edits.begin("agent", agent).await;
    let agent = loop {
        let old = app.store.agent_fetch(workspace, agent).await?;
        let old = old.ok_or_else(|| ApiError::not_found("agent"))?;
        let spec = body.value.clone().apply(old.spec)?;
        match app.store.agent_update(workspace, agent, Some(old.version), spec).await {
            Err(AgentError::Changed) => edit.again()?,
            other => break other.map_err(refused)?,
        }
    };
    Ok(Envelope::ok("Agent updated successfully", agent.into()))
}

/// Deletes an agent that no calling number is bound to.
#[utoipa::path(delete, path = "/api/agents/{id}", operation_id = "deleteAgent",
    tag = "agents",
    params(("id" = String, Path, description = "Which agent")),
    responses((status = 200, body = Done)))]
pub(super) async fn delete(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    Segment(agent): Segment,
) -> ApiResult<axum::Json<Done>> {
    let agent = id("id", &agent)?;
    app.store.agent_delete(caller.workspace(), agent).await.map_err(refused)?;
    Ok(Done::ok("Agent deleted successfully"))
}

fn refused(e: AgentError) -> ApiError {
    match e {
        AgentError::NotFound => ApiError::not_found("agent"),
        AgentError::InUse => ApiError::new(
            StatusCode::CONFLICT,
            "a calling number is bound to this agent: bind it to another first",
        ),
        AgentError::Changed => ApiError::new(StatusCode::CONFLICT, e.to_string()),
        AgentError::Store(e) => e.into(),
    }
}
