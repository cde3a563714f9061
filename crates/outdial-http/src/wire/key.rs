//! API keys.

use outdial_core::time::Timestamp;
use outdial_ports::store::{KeyRecord, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateKey {
    /// Display name.
    #[schema(value_type = String)]
    pub(crate) name: Option<String>,
    /// `calls:read`, `calls:write`, `admin`; by default the first two.
    pub(crate) scopes: Option<Vec<String>>,
}

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Key {
    /// Which.
    #[serde(rename = "_id")]
    pub(crate) id: String,
    /// Display name.
    pub(crate) name: String,
    /// The last characters of the secret.
    pub(crate) hint: String,
    /// What it may do.
    pub(crate) scopes: Vec<&'static str>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// Since when it is no longer good.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) revoked_at: Option<Timestamp>,
    /// The secret: shown once, in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_key: Option<String>,
}

impl Key {
    /// As it is shown.
    pub(crate) fn of(record: KeyRecord, api_key: Option<String>) -> Self {
        Self {
            id: record.id.to_string(),
            name: record.name,
            hint: record.hint,
            scopes: record.scopes.into_iter().map(Scope::as_str).collect(),
            created_at: record.created_at,
            revoked_at: record.revoked_at,
            api_key,
        }
    }
}

/// All keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Keys {
    /// Oldest first, revoked ones too.
    pub(crate) keys: Vec<Key>,
}

/// Who is asking.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Me {
    /// The workspace.
    pub(crate) workspace_id: String,
    /// Its user: the `userId` of the documented endpoints.
    pub(crate) user_id: String,
    /// What the key may do.
    pub(crate) scopes: Vec<&'static str>,
}
