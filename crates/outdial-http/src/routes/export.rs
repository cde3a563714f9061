//! The calls of a batch as CSV.

use std::io;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use outdial_core::id::{BatchId, CallId};
use outdial_ports::store::CallView;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{id, required};
use crate::app::App;
use crate::auth::{Caller, Reads};
use crate::error::{ApiError, ApiResult};
use crate::grant::Grant;
use crate::upload::Seat;
use crate::upload::file_body::{Pieces, channel};
use crate::wire::csv::{Columns, Sheet};
use crate::wire::page::Params;

/// Calls that are read at once; each may have 64 KiB.
const PAGE: u32 = 200;

/// Which batch.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct ExportQuery {
    /// Which batch.
    #[param(value_type = String)]
    batch_id: Option<String>,
}

/// A batch's calls as CSV, in the order in which they were added: what is known of each, and the
/// contact's own fields. Cells that a spreadsheet would run as a formula begin with an apostrophe.
#[utoipa::path(get, path = "/api/call/export/csv", operation_id = "exportCsv", tag = "calling",
    params(ExportQuery),
    responses((status = 200, body = String, content_type = "text/csv")))]
pub(super) async fn csv(
    caller: Caller<Reads>,
    State(app): State<Arc<App>>,
    Params(query): Params<ExportQuery>,
) -> ApiResult<Response> {
    let batch: BatchId = id("batchId", required("batchId", query.batch_id.as_deref())?)?;
    let found = app.store.batch_fetch(batch).await?.filter(|b| b.workspace == caller.workspace());
    if found.is_none() {
        return Err(ApiError::not_found("batch"));
    }
    let seat = app.exports.take(caller.workspace())?;
    let (send, body) = channel();
    let export = Export { app, batch, grant: caller.grant(), send, _seat: seat };
    tokio::spawn(export.run());
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let kind = "text/csv; charset=utf-8; header=present";
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let name = format!("attachment; filename=\"batch-{batch}.csv\"");
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

struct Export {
    app: Arc<App>,
    batch: BatchId,
    grant: Grant,
    send: Pieces,
    /// Its room, given back when it is over.
    _seat: Seat,
}

impl Export {
    /// Page by page, as the client takes them. What cannot be read breaks the connection: half an
    /// export must not look like a whole one.
    async fn run(mut self) {
        if let Err(why) = self.pages().await {
            tracing::error!(batch = %self.batch, error = %why, "an export broke");
            let _gone = self.send.send(Err(io::Error::other(why))).await;
        }
    }

    async fn pages(&mut self) -> Result<(), String> {
        // The names of all fields that any contact has: one look through the batch. What is added
        // after that is not exported.
        let (mut columns, mut last) = (Columns::default(), None);
        while let Some((page, end)) = self.page(last).await? {
            columns.learn(&page);
            last = Some(end);
            if self.send.is_closed() {
                return Ok(());
            }
        }
        let sheet = Sheet::new(columns);
        let mut after = None;
        let mut text = sheet.header();
        while self.send.send(Ok(Bytes::from(text))).await.is_ok() {
            if after == last {
                return Ok(());
            }
            let Some((mut page, end)) = self.page(after).await? else { return Ok(()) };
            page.retain(|call| last.is_some_and(|last| call.id.seq() <= last.seq()));
            let end =
                if last.is_some_and(|last| end.seq() > last.seq()) { last } else { Some(end) };
            text = sheet.rows(&page);
            after = end;
        }
        Ok(())
    }

    /// The next calls, and the last of them.
    async fn page(
        &mut self,
        after: Option<CallId>,
    ) -> Result<Option<(Vec<CallView>, CallId)>, String> {
        if !self.grant.is_good(&self.app).await.map_err(|e| e.to_string())? {
            return Err("the API key is no longer good".to_owned());
        }
        // A batch that is deleted meanwhile is nobody's any more.
        let found = self.app.store.batch_fetch(self.batch).await.map_err(|e| e.to_string())?;
        if found.is_none() {
            return Err("the batch was deleted".to_owned());
        }
        let page = self.app.store.call_export(self.batch, after, PAGE).await;
        let page = page.map_err(|e| e.to_string())?;
        let end = page.last().map(|call| call.id);
        Ok(end.map(|end| (page, end)))
    }
}
