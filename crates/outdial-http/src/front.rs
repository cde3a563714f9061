//! What every request passes first, and every answer last: its id, where it comes from, whether
//! that address asks too often.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use crate::app::App;
use crate::connections::{Peer, client};
use crate::rates::Client;
use crate::request_id::REQUEST_ID;

/// Asked by machines that watch over this one: they are to see how it is at any time.
const UNLIMITED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// A layer around all endpoints, and around what is no endpoint.
pub(crate) async fn front(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = app.request_ids.of(request.headers());
    let from = whence(&app, &request);
    request.extensions_mut().insert(from);
    // The route and not the path: what somebody wrote there may be a phone number. An error's span,
    // so that errors have it, whatever else is not logged.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let span = tracing::error_span!(
        "request",
        request_id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        route,
    );
    let may_come = match UNLIMITED.contains(&route) {
        true => Ok(()),
        false => app.rates.request(from),
    };
    async move {
        let mut response = match may_come {
            Ok(()) => next.run(request).await,
            Err(refused) => refused.into_response(),
        };
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }
    .instrument(span)
    .await
}

fn whence(app: &App, request: &Request) -> Client {
    let config = &app.config.connections;
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let address = peer.and_then(|p| client(p, request.headers(), &config.trusted_proxies));
    Client(address.filter(|a| !config.unlimited_addresses.contains(*a)))
}
