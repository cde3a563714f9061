//! A span for each request, for traces: which endpoint, how it was answered. No path as sent: it
//! has ids at most, but who knows what somebody types there.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

/// Runs the request in its span.
pub(crate) async fn request(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::debug_span!(target: "outdial::span", "request",
        "otel.kind" = "server", "http.request.method" = %request.method(), "http.route" = route,
        "http.response.status_code" = tracing::field::Empty);
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    response
}
