//! For those who run it: background work, measurements, and the reference to read in a browser.

use std::sync::{Arc, LazyLock};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use utoipa_swagger_ui::Config;

use crate::app::App;
use crate::auth::{Administers, Caller};
use crate::declared::Open;
use crate::error::{ApiError, ApiResult};
use crate::keys;
use crate::wire::envelope::Envelope;
use crate::wire::task::TaskList;

/// The page may load what comes from here, and nothing else; nobody may frame it.
const PAGE_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

static PAGE: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config =
        Config::new(["/openapi.json"]).validator_url("none").display_request_duration(true);
    Arc::new(config.filter(true).default_models_expand_depth(0))
});

/// Background work of the node that answers, and how it is doing.
#[utoipa::path(get, path = "/api/system/tasks", operation_id = "listTasks",
    tag = "system",
    responses((status = 200, body = Envelope<TaskList>)))]
pub(super) async fn tasks(
    _caller: Caller<Administers>,
    State(app): State<Arc<App>>,
) -> ApiResult<Envelope<TaskList>> {
    let tasks = app.monitoring.get().and_then(|m| m.tasks.as_ref());
    let list = tasks.map(|t| t.list()).unwrap_or_default();
    let list = TaskList {
        node_id: tasks.map(|t| t.node()),
        tasks: list.into_iter().map(Into::into).collect(),
    };
    Ok(Envelope::ok("Tasks fetched successfully", list))
}

/// What the process measures, in the text format of Prometheus. Asks for a bearer token if one is
/// configured (`monitoring.metrics_token`).
#[utoipa::path(get, path = "/metrics", operation_id = "metrics",
    tag = "system",
    responses((status = 200, content_type = "text/plain", body = String)))]
pub(super) async fn metrics(
    _: Open,
    headers: HeaderMap,
    State(app): State<Arc<App>>,
) -> ApiResult<Response> {
    let monitoring = app.monitoring.get().cloned().unwrap_or_default();
    if let Some(token) = &monitoring.metrics_token {
        let sent = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let sent = sent.and_then(|v| v.strip_prefix("Bearer ")).unwrap_or_default();
        // Keyed hashes: how long it takes to compare them says nothing of the token.
        let hash = |text| keys::hash(&app.secret, text);
        if hash(sent) != hash(token) {
            return Err(ApiError::new(StatusCode::UNAUTHORIZED, "missing or wrong bearer token"));
        }
    }
    let Some(meters) = monitoring.meters else { return Err(ApiError::not_found("endpoint")) };
    let text = meters.render().await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// The reference of this API, to read and to try.
#[utoipa::path(get, path = "/docs", operation_id = "docs",
    tag = "system",
    responses((status = 307, description = "To `/docs/`")))]
pub(super) async fn docs(_: Open) -> Redirect {
    Redirect::temporary("/docs/")
}

/// `/docs/`.
pub(super) async fn page() -> ApiResult<Response> {
    file("index.html")
}

/// What the page loads.
pub(super) async fn page_file(Path(name): Path<String>) -> ApiResult<Response> {
    file(&name)
}

fn file(name: &str) -> ApiResult<Response> {
    let found = utoipa_swagger_ui::serve(name, PAGE.clone());
    let found = found.map_err(|e| ApiError::internal(format!("the page's {name}: {e}")))?;
    let Some(file) = found else { return Err(ApiError::not_found("file")) };
    let headers = [
        (header::CONTENT_TYPE, file.content_type.as_str()),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, file.bytes.into_owned()).into_response())
}
