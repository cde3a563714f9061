//! API keys.

use std::collections::BTreeSet;
use std::time::Duration;

use outdial_core::time::Timestamp;
use outdial_ports::store::{KeyRecord, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::faults::Faults;
use crate::error::ApiResult;

/// How long the old key stays good, unless the request says so.
const OLD_KEY_HOURS: u32 = 24;
/// At most so long.
const OLD_KEY_HOURS_MAX: u32 = 720;

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateKey {
    /// Display name.
    #[schema(value_type = String)]
    pub(crate) name: Option<String>,
    /// `calls:read`, `calls:write`, `admin`; by default the first two.
    pub(crate) scopes: Option<Vec<String>>,
    /// From when on it is no longer good; absent: it does not end by itself.
    #[schema(format = DateTime)]
    pub(crate) expires_at: Option<String>,
}

/// What a new key may do, and until when.
#[derive(Debug)]
pub(crate) struct KeyWish {
    /// Display name.
    pub(crate) name: String,
    /// What it may do.
    pub(crate) scopes: Vec<Scope>,
    /// From when on it is no longer good.
    pub(crate) expires_at: Option<Timestamp>,
}

impl CreateKey {
    /// 400 with everything that is wrong.
    pub(crate) fn parse(self, now: Timestamp) -> ApiResult<KeyWish> {
        let mut faults = Faults::default();
        let name = faults.name("name", self.name.as_deref());
        let mut scopes = BTreeSet::new();
        match &self.scopes {
            None => scopes.extend([Scope::CallsRead, Scope::CallsWrite]),
            Some(words) if words.is_empty() => faults.add("scopes", "name at least one"),
            Some(words) => {
                for (i, word) in words.iter().enumerate() {
                    match Scope::parse(word) {
                        Some(scope) => _ = scopes.insert(scope),
                        None => faults.add(
                            format!("scopes[{i}]"),
                            "write \"calls:read\", \"calls:write\" or \"admin\"",
                        ),
                    }
                }
            }
        }
        let expires_at = self.expires_at.and_then(|text| expiry(&mut faults, &text, now));
        faults.finish()?;
        Ok(KeyWish { name, scopes: scopes.into_iter().collect(), expires_at })
    }
}

/// How to rotate a key; `{}` for the defaults.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RotateKey {
    /// Hours for which the old key stays good; 0: it ends at once.
    #[schema(default = 24, maximum = 720)]
    pub(crate) old_key_hours: Option<u32>,
    /// From when on the successor is no longer good; absent: it lasts as long as the old key was
    /// to last when it was made.
    #[schema(format = DateTime)]
    pub(crate) expires_at: Option<String>,
}

impl RotateKey {
    /// How long the old key stays good, and until when the new one is (`unless_said`); 400 with
    /// everything that is wrong.
    pub(crate) fn parse(
        self,
        unless_said: Option<Timestamp>,
        now: Timestamp,
    ) -> ApiResult<(Duration, Option<Timestamp>)> {
        let mut faults = Faults::default();
        let hours = self.old_key_hours.unwrap_or(OLD_KEY_HOURS);
        if hours > OLD_KEY_HOURS_MAX {
            faults.add("oldKeyHours", format_args!("write 0 to {OLD_KEY_HOURS_MAX}"));
        }
        let expires_at = match self.expires_at {
            Some(text) => expiry(&mut faults, &text, now),
            None => unless_said,
        };
        faults.finish()?;
        Ok((Duration::from_secs(u64::from(hours) * 3600), expires_at))
    }
}

fn expiry(faults: &mut Faults, text: &str, now: Timestamp) -> Option<Timestamp> {
    match text.parse::<Timestamp>() {
        Ok(at) if at > now => return Some(at),
        Ok(_) => faults.add("expiresAt", "is in the past"),
        Err(_) => faults.add("expiresAt", "write an instant like 2026-05-15T14:30:00.000Z"),
    }
    None
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
    /// From when on it is no longer good.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) last_used_at: Option<Timestamp>,
    /// Id of the key whose successor it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replaces: Option<String>,
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
            expires_at: record.expires_at,
            last_used_at: record.last_used_at,
            replaces: record.replaces.map(|k| k.to_string()),
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
