//! The endpoints, one file per group of resources.

mod account;
mod add_calls;
mod agents;
mod batch;
mod batches;
mod calling;
mod calls;
mod dnc;
mod events;
mod export;
pub(crate) mod forecast;
mod keys;
mod monitoring;
mod phones;
mod settings;
mod system;
mod trunks;
mod upload;
mod webhooks;

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use outdial_core::contact::json;
use outdial_core::id::InvalidId;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::declared::routes;
use crate::error::{ApiError, ApiResult};

/// All of them.
pub(crate) fn all() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(batches::create))
        .routes(routes!(add_calls::add))
        .routes(routes!(upload::upload))
        .routes(routes!(export::csv))
        .routes(routes!(batches::list))
        .routes(routes!(batches::delete))
        .routes(routes!(batch::fetch, batch::update))
        .routes(routes!(calls::list))
        .routes(routes!(calls::details))
        .routes(routes!(calls::cancel))
        .routes(routes!(forecast::fetch))
        .routes(routes!(calling::start))
        .routes(routes!(calling::stop))
        .routes(routes!(phones::add))
        .routes(routes!(phones::delete))
        .routes(routes!(phones::list))
        .routes(routes!(phones::update))
        .routes(routes!(dnc::add))
        .routes(routes!(dnc::list))
        .routes(routes!(dnc::delete))
        .routes(routes!(dnc::switch))
        .routes(routes!(account::me))
        .routes(routes!(agents::list, agents::create))
        .routes(routes!(agents::fetch, agents::update, agents::delete))
        .routes(routes!(trunks::list, trunks::create))
        .routes(routes!(trunks::fetch, trunks::update, trunks::delete))
        .routes(routes!(settings::fetch, settings::update))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(keys::rotate))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::fetch, webhooks::update, webhooks::delete))
        .routes(routes!(webhooks::rotate))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(webhooks::replay))
        .routes(routes!(events::stream))
        .routes(routes!(system::nodes))
        .routes(routes!(monitoring::tasks))
        .routes(routes!(monitoring::metrics))
        .routes(routes!(monitoring::docs))
        .route("/docs/", axum::routing::get(monitoring::page))
        .route("/docs/{file}", axum::routing::get(monitoring::page_file))
        .routes(routes!(system::healthz))
        .routes(routes!(system::readyz))
        .routes(routes!(system::openapi_json))
}

/// The variable part of a path; what cannot be read is 400 in our envelope.
struct Segment(String);

impl FromRequestParts<Arc<App>> for Segment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        let segment = Path::<String>::from_request_parts(parts, app).await;
        segment.map(|Path(text)| Self(text)).map_err(|e| ApiError::bad(format!("path: {e}")))
    }
}

/// An id of the path or the body; what is not one is 400 and names the field.
fn id<T: FromStr<Err = InvalidId>>(field: &str, text: &str) -> ApiResult<T> {
    text.parse().map_err(|e| ApiError::bad(format!("{field}: {e}")))
}

/// A string among the members of a body that was read as a stream.
fn member<'a>(body: &'a outdial_ingest::Body, field: &str) -> ApiResult<Option<Cow<'a, str>>> {
    let Some(raw) = body.member(field).filter(|raw| *raw != "null") else { return Ok(None) };
    let text = json::string(raw);
    text.map(Some).ok_or_else(|| ApiError::bad(format!("{field} must be a string")))
}

/// A field that the documented API asks for.
fn required<'a>(field: &str, value: Option<&'a str>) -> ApiResult<&'a str> {
    value.ok_or_else(|| ApiError::bad(format!("{field} is missing")))
}
