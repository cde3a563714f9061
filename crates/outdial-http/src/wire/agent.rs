//! Agents: who talks when a call is answered.

use std::collections::BTreeMap;

use outdial_core::time::Timestamp;
use outdial_core::variables::{Variable, VariableSchema, VariableType};
use outdial_ports::store::{AgentRecord, AgentSpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::faults::Faults;
use super::{object, objects, present_object};
use crate::error::ApiResult;

/// How an answered call reaches the agent.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[serde(deny_unknown_fields)]
pub(crate) enum Connection {
    /// A text is spoken; `{{key}}` is filled from the contact.
    Announcement {
        /// What to say.
        text: String,
        /// In which voice.
        #[serde(skip_serializing_if = "Option::is_none")]
        voice: Option<String>,
    },
    /// The audio goes to a WebSocket.
    MediaStream {
        /// `ws://` or `wss://`.
        url: String,
        /// Handed over at the start.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<Object>)]
        parameters: Option<BTreeMap<String, Value>>,
    },
    /// A realtime model talks.
    Realtime {
        /// `ws://` or `wss://`.
        url: String,
        /// Which model.
        model: String,
        /// What it is told; `{{key}}` is filled from the contact.
        instructions: String,
        /// In which voice.
        #[serde(skip_serializing_if = "Option::is_none")]
        voice: Option<String>,
        /// Name of the environment variable with its API key.
        #[serde(skip_serializing_if = "Option::is_none")]
        api_key_env: Option<String>,
    },
}

/// A variable that an agent declares.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AgentVariable {
    /// Its key in a contact record, and its CSV column.
    pub(crate) key: String,
    /// `string`, `number`, `boolean`, `date` or `phone`.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub(crate) kind: VariableType,
    /// Whether a record must bring it (unless there is a default).
    #[serde(default)]
    pub(crate) required: bool,
    /// Filled in at the dial when the record brings none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) default: Option<Value>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
}

/// An agent to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateAgent {
    /// Display name.
    #[schema(value_type = String)]
    pub(crate) name: Option<String>,
    /// BCP 47 tags, at least one.
    #[schema(value_type = Vec<String>)]
    pub(crate) languages: Option<Vec<String>>,
    /// The variables that a contact brings.
    #[serde(default, deserialize_with = "objects")]
    pub(crate) variables: Vec<AgentVariable>,
    /// How an answered call reaches it.
    #[serde(default, deserialize_with = "object")]
    pub(crate) connection: Option<Connection>,
}

impl CreateAgent {
    /// In the words of the store.
    pub(crate) fn parse(self) -> ApiResult<AgentSpec> {
        let mut faults = Faults::default();
        let name = faults.name("name", self.name.as_deref());
        let languages = self.languages.unwrap_or_default();
        let variables = checked(&mut faults, &languages, self.variables, self.connection.as_ref());
        faults.finish()?;
        Ok(AgentSpec { name, languages, variables, connection: stored(self.connection.as_ref()) })
    }
}

/// What to change of an agent; absent leaves as it is.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PatchAgent {
    /// Display name.
    pub(crate) name: Option<String>,
    /// BCP 47 tags, at least one.
    pub(crate) languages: Option<Vec<String>>,
    /// All the variables that a contact brings from now on.
    pub(crate) variables: Option<Vec<AgentVariable>>,
    /// How an answered call reaches it; `null`: not yet.
    #[serde(default, deserialize_with = "present_object")]
    #[schema(value_type = Option<Connection>)]
    pub(crate) connection: Option<Option<Connection>>,
}

impl PatchAgent {
    /// The agent after this.
    pub(crate) fn apply(self, old: AgentSpec) -> ApiResult<AgentSpec> {
        let mut faults = Faults::default();
        let name = match self.name {
            Some(name) => faults.name("name", Some(&name)),
            None => old.name,
        };
        let languages = self.languages.unwrap_or(old.languages);
        let variables = self.variables.unwrap_or_else(|| shown(&old.variables));
        let connection = self.connection.unwrap_or_else(|| loaded(&old.connection));
        let variables = checked(&mut faults, &languages, variables, connection.as_ref());
        faults.finish()?;
        Ok(AgentSpec { name, languages, variables, connection: stored(connection.as_ref()) })
    }
}

/// An agent.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Agent {
    /// Which.
    #[serde(rename = "_id")]
    pub(crate) id: String,
    /// Display name.
    pub(crate) name: String,
    /// BCP 47 tags.
    pub(crate) languages: Vec<String>,
    /// The variables that a contact brings.
    pub(crate) variables: Vec<AgentVariable>,
    /// How an answered call reaches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connection: Option<Connection>,
    /// Grows by one with every change; calls keep the one they were checked with.
    pub(crate) version: u32,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: Timestamp,
}

impl From<AgentRecord> for Agent {
    fn from(record: AgentRecord) -> Self {
        Self {
            id: record.id.to_string(),
            name: record.spec.name,
            languages: record.spec.languages,
            variables: shown(&record.spec.variables),
            connection: loaded(&record.spec.connection),
            version: record.version,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

/// All agents.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Agents {
    /// Oldest first.
    pub(crate) agents: Vec<Agent>,
}

fn stored(connection: Option<&Connection>) -> String {
    serde_json::to_string(&connection).unwrap_or_else(|_| "null".to_owned())
}

fn loaded(text: &str) -> Option<Connection> {
    serde_json::from_str(text).unwrap_or_default()
}

fn shown(variables: &[Variable]) -> Vec<AgentVariable> {
    variables
        .iter()
        .map(|v| AgentVariable {
            key: v.key.clone(),
            kind: v.kind,
            required: v.required,
            default: v.default.clone(),
            description: v.description.clone(),
        })
        .collect()
}

fn checked(
    faults: &mut Faults,
    languages: &[String],
    variables: Vec<AgentVariable>,
    connection: Option<&Connection>,
) -> Vec<Variable> {
    if languages.is_empty() {
        faults.add("languages", "name at least one, like \"en-US\"");
    }
    for (i, l) in languages.iter().enumerate().filter(|(_, l)| !is_language(l)) {
        let text = format!("{l:?} is not a language tag: write one like \"en-US\"");
        faults.add(format!("languages[{i}]"), text);
    }
    if let Some(url) = connection.and_then(url_of)
        && !["ws://", "wss://"].iter().any(|s| url.len() > s.len() && url.starts_with(s))
    {
        faults.add("connection.url", "write one that starts with ws:// or wss://");
    }
    if let Some(Connection::Announcement { text, .. }) = connection
        && text.trim().is_empty()
    {
        faults.add("connection.text", "is empty: write what to say");
    }
    let variables = variables.into_iter().map(|v| Variable {
        key: v.key,
        kind: v.kind,
        required: v.required,
        default: v.default,
        description: v.description,
    });
    VariableSchema::new(variables.collect()).map_or_else(
        |e| {
            faults.add("variables", e);
            Vec::new()
        },
        |schema| schema.variables().to_vec(),
    )
}

/// The shape of BCP 47: subtags of one to eight letters and digits, the first of letters.
fn is_language(tag: &str) -> bool {
    let is_subtag =
        |s: &str| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric());
    let primary = tag.split('-').next().unwrap_or_default();
    (2..=8).contains(&primary.len())
        && primary.bytes().all(|b| b.is_ascii_alphabetic())
        && tag.len() <= 35
        && tag.split('-').all(is_subtag)
}

fn url_of(connection: &Connection) -> Option<&str> {
    match connection {
        Connection::Announcement { .. } => None,
        Connection::MediaStream { url, .. } | Connection::Realtime { url, .. } => Some(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_tags() {
        for good in ["en", "en-US", "zh-Hant-TW", "de-1996"] {
            assert!(is_language(good), "{good}");
        }
        for bad in ["", "e", "en_US", "en-", "1e", "en-toolongsubtag"] {
            assert!(!is_language(bad), "{bad}");
        }
    }

    #[test]
    fn a_connection_survives_the_store() {
        let text = r#"{"type":"mediaStream","url":"wss://a.example/x","parameters":{"k":1}}"#;
        let connection: Connection = serde_json::from_str(text).unwrap();
        assert_eq!(stored(Some(&connection)), text);
        assert_eq!(stored(loaded(text).as_ref()), text);
        assert!(loaded(&stored(None)).is_none());
    }
}
