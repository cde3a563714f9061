//! The stream of a workspace's events.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::App;
use crate::auth::{Caller, Reads};
use crate::error::ApiResult;
use crate::events::{self, Start};
use crate::wire::page::Params;

/// Where a client goes on that cannot send the header.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// As `Last-Event-ID`, which wins.
    #[serde(rename = "lastEventId")]
    #[param(value_type = Option<String>)]
    last_event_id: Option<String>,
}

/// The workspace's events as they happen: server-sent events, the same that webhooks get, each with
/// its position as `id`; they can be read for 72 hours. Between them `progress` about each second
/// for every active batch that moved, without an `id`. A client that comes again with
/// `Last-Event-ID` gets what it missed; if that is gone, or is no position, one `reset` event and
/// then what happens from then on. At most 100 streams a workspace.
#[utoipa::path(get, path = "/api/events", operation_id = "streamEvents",
    tag = "events",
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header,
        description = "The last `id` that was received")),
    responses((status = 200, description = "A stream that does not end by itself",
        content_type = "text/event-stream", body = String,
        example = "id: 42\nevent: batch.active\ndata: {\"id\":\"66f0a1b20000000000000029\",\
\"type\":\"batch.active\",\"timestamp\":\"2025-05-15T14:30:00.000Z\",\
\"data\":{\"batchId\":\"64e5f12345abcdef98765432\"}}\n\n")))]
pub(super) async fn stream(
    caller: Caller<Reads>,
    State(app): State<Arc<App>>,
    Params(query): Params<EventsQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let header = headers.get("last-event-id").map(|v| v.to_str().unwrap_or("?"));
    let start = match header.or(query.last_event_id.as_deref()).map(str::trim) {
        None | Some("") => Start::Live,
        Some(text) => text.parse().map_or(Start::Unknown, Start::After),
    };
    events::open(Arc::clone(&app), caller.workspace(), caller.grant(), start).await
}
