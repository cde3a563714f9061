//! For those who run it; no credentials, but for who the nodes are.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::auth::{Administers, Caller};
use crate::declared::Open;
use crate::error::ApiResult;
use crate::wire::envelope::{Done, Envelope};
use crate::wire::node::Nodes;

/// The processes that share the database, whichever of them is asked: who is alive, what each does,
/// and how it is doing.
#[utoipa::path(get, path = "/api/system/nodes", operation_id = "listNodes",
    tag = "system",
    responses((status = 200, body = Envelope<Nodes>)))]
pub(super) async fn nodes(
    _caller: Caller<Administers>,
    State(app): State<Arc<App>>,
) -> ApiResult<Envelope<Nodes>> {
    let nodes = app.store.node_list().await?.into_iter().map(Into::into).collect();
    Ok(Envelope::ok("Nodes fetched successfully", Nodes { nodes }))
}

/// The process is alive.
#[utoipa::path(get, path = "/healthz", operation_id = "healthz",
    tag = "system",
    responses((status = 200, body = Done)))]
pub(super) async fn healthz(_: Open) -> axum::Json<Done> {
    Done::ok("alive")
}

/// The process can do its work: the database answers.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz",
    tag = "system",
    responses((status = 200, body = Done), (status = 503, description = "not now")))]
pub(super) async fn readyz(_: Open, State(app): State<Arc<App>>) -> ApiResult<axum::Json<Done>> {
    app.store.ping().await?;
    Ok(Done::ok("ready"))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi",
    tag = "system",
    responses((status = 200, description = "OpenAPI 3.1")))]
pub(super) async fn openapi_json(_: Open) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], crate::openapi()).into_response()
}
