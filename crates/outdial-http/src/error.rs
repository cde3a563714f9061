//! What goes wrong in a request: an outer message for the client, an inner one for the log.
//!
//! Never lets the inner one out: it may name the machine.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use outdial_ports::store::StoreError;
use serde_json::value::RawValue;

use crate::wire::envelope::Refusal;

/// Seconds after which a client asks again when the database is gone.
const UNAVAILABLE_RETRY_S: u32 = 5;
/// Seconds after which a client asks again when the disk is full.
const FULL_RETRY_S: u32 = 60;

/// Why a request is answered with something else than what it asked for.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    outer: String,
    inner: Option<String>,
    retry_after_s: Option<u32>,
    data: Option<Box<RawValue>>,
}

/// What a handler returns.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// `outer` goes to the client; never empty.
    pub(crate) fn new(status: StatusCode, outer: impl Into<String>) -> Self {
        Self { status, outer: outer.into(), inner: None, retry_after_s: None, data: None }
    }

    /// 400.
    pub(crate) fn bad(outer: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, outer)
    }

    /// 404: `what` does not exist, as far as this workspace is concerned.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{what} not found"))
    }

    /// 500, with the reason in the log only.
    pub(crate) fn internal(inner: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong on our side")
            .because(inner)
    }

    /// What the log says.
    #[must_use]
    pub(crate) fn because(mut self, inner: impl Into<String>) -> Self {
        self.inner = Some(inner.into());
        self
    }

    /// When to ask again, in seconds.
    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// What the client can act on.
    #[must_use]
    pub(crate) fn with_data(mut self, data: &impl serde::Serialize) -> Self {
        self.data = serde_json::value::to_raw_value(data).ok();
        self
    }

    /// What the client is told.
    pub(crate) fn outer(&self) -> &str {
        &self.outer
    }

    /// A limit at work: nothing is wrong with this process.
    fn is_only_busy(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE && self.inner.is_none()
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<StoreError> for ApiError {
    fn from(e: StoreError) -> Self {
        let inner = e.to_string();
        match e {
            StoreError::Unavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "the database is not available")
                    .retry_after(UNAVAILABLE_RETRY_S)
            }
            StoreError::Full => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "the disk of the database is full")
                    .retry_after(FULL_RETRY_S)
            }
            StoreError::OutcomeUnknown(_) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "outcome unknown: the database did not say whether it was stored",
            ),
            StoreError::Internal(_) => return Self::internal(inner),
        }
        .because(inner)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = self.status.as_u16();
        let inner = self.inner.as_deref().unwrap_or_default();
        if self.is_only_busy() {
            tracing::debug!(code, outer = %self.outer, "request put off");
        } else if self.status.is_server_error() {
            tracing::error!(code, outer = %self.outer, inner, "request failed");
        } else {
            // The outer message may repeat what was sent, and that may be a phone number.
            tracing::debug!(code, inner, "request refused");
        }
        let body = Refusal {
            message: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: false,
            code,
            error_message: self.outer,
            data: self.data,
        };
        let mut response = (self.status, axum::Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inner_message_stays_inside() {
        let e = ApiError::from(StoreError::Unavailable("/var/lib/x: gone".into()));
        let response = e.into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "5");
        let busy = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy").retry_after(5);
        assert!(busy.is_only_busy());
        let gone = ApiError::from(StoreError::Unavailable("gone".into()));
        assert!(!gone.is_only_busy() && !ApiError::internal("x").is_only_busy());
        let e = ApiError::from(StoreError::Full).into_response();
        assert_eq!((e.status().as_u16(), e.headers()["retry-after"].as_bytes()), (507, &b"60"[..]));
        assert!(!ApiError::from(StoreError::Internal("sql".into())).outer.contains("sql"));
    }
}
