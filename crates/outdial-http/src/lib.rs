//! The HTTP API: it writes intent and shows what happened; it cannot place a call.
//!
//! Knows the ports and the ingest parser. Never knows the engine, a carrier or a database.
#![forbid(unsafe_code)]

mod app;
mod auth;
mod body;
mod budget;
mod config;
mod connections;
mod declared;
mod delivery;
mod describe;
mod edits;
mod encoding;
mod error;
mod events;
mod front;
mod grant;
mod idempotency;
mod ingest;
mod key_use;
pub mod keys;
mod monitoring;
pub mod offline;
mod outlook;
mod rates;
mod request_id;
mod routes;
mod spans;
mod upload;
mod wire;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::net::TcpListener;
use utoipa::openapi::SecurityRequirement;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{OpenApi, PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

pub use app::App;
pub use config::{ConnectionConfig, HttpConfig, RateConfig};
pub use connections::Networks;
use error::ApiError;
pub use monitoring::Monitoring;
use wire::envelope::Refusal;

/// All endpoints, ready to be served.
pub fn router(app: Arc<App>) -> axum::Router {
    let (router, _) = described().split_for_parts();
    router
        .fallback(|| async { ApiError::not_found("endpoint") })
        .method_not_allowed_fallback(|| async {
            let why = "this endpoint does not take this method";
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, why)
        })
        .layer(from_fn(spans::request))
        .with_state(app)
}

/// Serves `router` until `stop` resolves; then takes no new connections and lets requests end, for
/// at most `drain`. Returns how many connections were cut off then.
pub async fn serve(
    listener: TcpListener,
    router: axum::Router,
    app: Arc<App>,
    stop: impl Future<Output = ()> + Send,
    drain: Duration,
) -> usize {
    let router = router.layer(from_fn_with_state(app.clone(), front::front));
    connections::serve(listener, router, app, stop, drain).await
}

/// The OpenAPI document of [`router`], as pretty JSON with a newline at the end.
pub fn openapi() -> String {
    let mut api = described().into_openapi();
    describe::complete(&mut api);
    let mut text = api.to_pretty_json().expect("an OpenAPI document is JSON");
    text.push('\n');
    text
}

/// Endpoints and their descriptions from one source.
fn described() -> OpenApiRouter<Arc<App>> {
    #[derive(OpenApi)]
    #[openapi(info(
        title = "Outdial",
        description = "Takes lists of people to call, and calls them."
    ))]
    struct Doc;

    let mut api = Doc::openapi();
    let components = api.components.get_or_insert_default();
    components.schemas.insert(Refusal::name().into_owned(), Refusal::schema());
    let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("x-api-key")));
    components.add_security_scheme("apiKey", key);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let one_of = |name: &str| SecurityRequirement::new::<_, [&str; 0], &str>(name, []);
    api.security = Some(vec![one_of("apiKey"), one_of("bearer")]);
    OpenApiRouter::with_openapi(api).merge(routes::all())
}
