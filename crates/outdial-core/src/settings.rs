//! Settings of a workspace.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::brake::BrakeSettings;

/// Whether the calling rules of the called party's place apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallingRules {
    /// They apply; the default.
    #[default]
    On,
    /// Switched off by the workspace's administrator, which is logged.
    Off,
}

/// What the administrator of a workspace chose. Stored as JSON; see `BatchSettings` on growing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkspaceSettings {
    /// IANA name: the zone of records for which nothing better is known, and of the day that
    /// budgets count.
    pub timezone: String,
    /// Whether the calling rules apply.
    pub calling_rules: CallingRules,
    /// ISO 3166-1 alpha-2 countries that may be called. None: those of the batch's calling numbers.
    pub allowed_countries: Option<BTreeSet<String>>,
    /// Premium-rate, shared-cost and satellite numbers may be called.
    pub allow_special_numbers: bool,
    /// Most live calls at once over all batches; none: no limit of its own.
    pub concurrency: Option<u32>,
    /// The do-not-call list is checked before every call; else only for batches that say so.
    pub do_not_call: bool,
    /// Most charged attempts at one person in any 24 h, over all batches; none: as the calling
    /// rules say.
    pub attempts_24h: Option<u32>,
    /// When a batch slows down and pauses by itself.
    pub brakes: BrakeSettings,
}

impl Default for WorkspaceSettings {
    fn default() -> Self {
        Self {
            timezone: "UTC".to_owned(),
            calling_rules: CallingRules::On,
            allowed_countries: None,
            allow_special_numbers: false,
            concurrency: None,
            do_not_call: true,
            attempts_24h: None,
            brakes: BrakeSettings::default(),
        }
    }
}
