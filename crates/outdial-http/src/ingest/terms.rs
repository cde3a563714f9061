//! What the records of one request are judged by. Kept with the request, so that a repeat judges
//! the same bytes by the same rules, whatever has changed since.

use outdial_core::batch::BatchSettings;
use outdial_core::contact::Rules;
use outdial_core::hours::CallingHours;
use outdial_core::id::AgentId;
use outdial_core::phone::PhoneNumber;
use outdial_core::phone_zones::zones_of;
use outdial_core::settings::{CallingRules, WorkspaceSettings};
use outdial_core::time::Timestamp;
use outdial_core::variables::{Variable, VariableSchema};
use outdial_core::zone::Zone;
use outdial_ports::store::AgentVersion;
use serde::{Deserialize, Serialize};

use crate::error::{ApiError, ApiResult};

/// The terms.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Terms {
    /// When the request first came.
    pub(crate) at: Timestamp,
    /// Whose variables.
    pub(crate) agent: AgentId,
    /// Which version of them.
    pub(crate) version: u32,
    variables: Vec<Variable>,
    countries: Vec<String>,
    special_numbers: bool,
    batch_zone: Option<String>,
    workspace_zone: String,
    /// The batch's calling hours.
    pub(crate) hours: CallingHours,
    /// Whether the calling rules apply.
    #[serde(default)]
    pub(crate) calling_rules: CallingRules,
    /// When the batch ends what is still pending.
    #[serde(default)]
    pub(crate) expires_at: Option<Timestamp>,
    /// The lane of a start with `callData`.
    pub(crate) lane: Option<u32>,
}

impl Terms {
    /// As things stand at `at`, over these calling numbers.
    pub(crate) fn new(
        at: Timestamp,
        agent: &AgentVersion,
        batch: &BatchSettings,
        workspace: &WorkspaceSettings,
        numbers: impl IntoIterator<Item = PhoneNumber>,
        lane: Option<u32>,
    ) -> Self {
        let countries = Rules::allowed_countries(workspace, numbers);
        Self {
            at,
            agent: agent.agent,
            version: agent.version,
            variables: agent.variables.clone(),
            countries: countries.iter().map(ToString::to_string).collect(),
            special_numbers: workspace.allow_special_numbers,
            batch_zone: batch.timezone.clone(),
            workspace_zone: workspace.timezone.clone(),
            hours: batch.calling_hours.clone(),
            calling_rules: workspace.calling_rules,
            expires_at: batch.expires_at,
            lane,
        }
    }

    /// As they were kept.
    pub(crate) fn parse(context: &str) -> ApiResult<Self> {
        serde_json::from_str(context)
            .map_err(|e| ApiError::internal(format!("the context of a request: {e}")))
    }

    /// As they are kept.
    pub(crate) fn context(&self) -> ApiResult<String> {
        serde_json::to_string(self)
            .map_err(|e| ApiError::internal(format!("the context of a request: {e}")))
    }

    /// In the words of the core.
    pub(crate) fn rules(&self) -> ApiResult<Rules> {
        let stored = |what: &str| ApiError::internal(format!("{what} of a request's context"));
        let zone = |name: &str| name.parse::<Zone>().map_err(|_| stored("a zone"));
        Ok(Rules {
            schema: VariableSchema::new(self.variables.clone())
                .map_err(|_| stored("the variables"))?,
            allowed_countries: self.countries.iter().filter_map(|c| c.parse().ok()).collect(),
            allow_special_numbers: self.special_numbers,
            batch_zone: self.batch_zone.as_deref().map(zone).transpose()?,
            workspace_zone: zone(&self.workspace_zone)?,
            candidate_zones: zones_of,
        })
    }
}
