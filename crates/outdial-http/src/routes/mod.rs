//! The endpoints, one file per group of resources.

mod account;
mod agents;
mod batches;
mod calling;
mod calls;
mod keys;
mod phones;
mod settings;
mod system;

use std::str::FromStr;
use std::sync::Arc;

use outdial_core::id::InvalidId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::error::{ApiError, ApiResult};

/// All of them.
pub(crate) fn all() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(batches::create))
        .routes(routes!(batches::list))
        .routes(routes!(batches::delete))
        .routes(routes!(calls::list))
        .routes(routes!(calls::details))
        .routes(routes!(calling::stop))
        .routes(routes!(phones::add))
        .routes(routes!(phones::delete))
        .routes(routes!(phones::list))
        .routes(routes!(phones::update))
        .routes(routes!(account::me))
        .routes(routes!(agents::list, agents::create))
        .routes(routes!(agents::fetch, agents::update, agents::delete))
        .routes(routes!(settings::fetch, settings::update))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(system::healthz))
        .routes(routes!(system::readyz))
        .routes(routes!(system::openapi_json))
}

/// An id of the path or the body; what is not one is 400 and names the field.
fn id<T: FromStr<Err = InvalidId>>(field: &str, text: &str) -> ApiResult<T> {
    text.parse().map_err(|e| ApiError::bad(format!("{field}: {e}")))
}

/// A field that the documented API asks for.
fn required<'a>(field: &str, value: Option<&'a str>) -> ApiResult<&'a str> {
    value.ok_or_else(|| ApiError::bad(format!("{field} is missing")))
}
