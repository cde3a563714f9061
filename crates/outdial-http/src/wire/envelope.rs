//! The envelopes around every answer. The order of their fields is the documented one.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// E1: most answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Envelope<T> {
    /// For people.
    pub(crate) message: String,
    /// Whether all went as asked.
    pub(crate) status: bool,
    /// The HTTP status.
    pub(crate) code: u16,
    /// Empty on success.
    pub(crate) error_message: String,
    /// What was asked for.
    pub(crate) data: T,
}

impl<T> Envelope<T> {
    /// 200.
    pub(crate) fn ok(message: &str, data: T) -> Self {
        Self {
            message: message.to_owned(),
            status: true,
            code: 200,
            error_message: String::new(),
            data,
        }
    }

    /// 201.
    pub(crate) fn created(message: &str, data: T) -> Self {
        Self { code: 201, ..Self::ok(message, data) }
    }
}

impl<T: Serialize> IntoResponse for Envelope<T> {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code).unwrap_or(StatusCode::OK);
        (status, axum::Json(self)).into_response()
    }
}

/// E1 of a refusal.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refusal {
    /// The HTTP status in words.
    pub(crate) message: String,
    /// `false`.
    pub(crate) status: bool,
    /// The HTTP status.
    pub(crate) code: u16,
    /// What is wrong, and what would be right.
    pub(crate) error_message: String,
    /// What a client can act on, when there is something.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) data: Option<Box<RawValue>>,
}

/// E1 without `data`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Done {
    /// For people.
    pub(crate) message: String,
    /// `true`.
    pub(crate) status: bool,
    /// The HTTP status.
    pub(crate) code: u16,
    /// Empty.
    pub(crate) error_message: String,
}

impl Done {
    /// 200.
    pub(crate) fn new(message: &str) -> Self {
        Self { message: message.to_owned(), status: true, code: 200, error_message: String::new() }
    }

    /// 200, as an answer.
    pub(crate) fn ok(message: &str) -> axum::Json<Self> {
        axum::Json(Self::new(message))
    }
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        axum::Json(self).into_response()
    }
}

/// E1 with data or without: an answer that can be kept for repeats.
pub(crate) trait Answer: Serialize + IntoResponse + Send + 'static {
    /// Its HTTP status.
    fn code(&self) -> u16;
}

impl<T: Serialize + Send + 'static> Answer for Envelope<T> {
    fn code(&self) -> u16 {
        self.code
    }
}

impl Answer for Done {
    fn code(&self) -> u16 {
        self.code
    }
}

/// E2 of `delete-batch`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchDeleted {
    /// `true`.
    pub(crate) success: bool,
    /// For people.
    pub(crate) message: String,
}

/// E2 of `delete-phone`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PhoneDeleted {
    /// `true`.
    pub(crate) success: bool,
    /// The number that is gone.
    pub(crate) deleted_id: String,
}
