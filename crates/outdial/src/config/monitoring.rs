//! Who may look on, and where traces go.

use std::fmt;

use serde::Deserialize;

/// Metrics and traces.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MonitoringConfig {
    /// What `GET /metrics` asks for as bearer token; none: nothing.
    pub(crate) metrics_token: Option<Token>,
    /// Where spans are sent, OTLP over HTTP; none: nowhere.
    pub(crate) traces_endpoint: Option<String>,
    /// Which part of traces is sent, 0 to 1.
    pub(crate) traces_ratio: f64,
}

impl Default for MonitoringConfig {
    fn default() -> Self {
        Self { metrics_token: None, traces_endpoint: None, traces_ratio: 1.0 }
    }
}

/// A secret; never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Token(String);

impl Token {
    /// As sent.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
