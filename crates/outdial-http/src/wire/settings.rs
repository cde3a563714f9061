//! Settings of a workspace.

use std::collections::BTreeSet;

use outdial_core::settings::{CallingRules, WorkspaceSettings};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::faults::Faults;
use super::present;
use crate::error::ApiResult;

/// Most live calls that can be asked for.
const CONCURRENCY_MAX: u32 = 1_000_000;

/// The settings as they are.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settings {
    /// `on` or `off`: whether the calling rules of the called party's place apply. This version
    /// keeps the choice, and has no rules yet: only the batch's hours hold calls back.
    pub(crate) calling_rules: &'static str,
    /// IANA name: the zone where nothing better is known.
    pub(crate) timezone: String,
    /// ISO 3166-1 alpha-2; `null`: the countries of the batch's calling numbers.
    #[schema(value_type = Option<Vec<String>>)]
    pub(crate) allowed_countries: Option<BTreeSet<String>>,
    /// Most live calls at once; `null`: no limit of its own.
    pub(crate) concurrency: Option<u32>,
    /// Premium-rate, shared-cost and satellite numbers may be called.
    pub(crate) allow_special_numbers: bool,
}

impl From<WorkspaceSettings> for Settings {
    fn from(s: WorkspaceSettings) -> Self {
        Self {
            calling_rules: match s.calling_rules {
                CallingRules::On => "on",
                CallingRules::Off => "off",
            },
            timezone: s.timezone,
            allowed_countries: s.allowed_countries,
            concurrency: s.concurrency,
            allow_special_numbers: s.allow_special_numbers,
        }
    }
}

/// What to change; absent leaves as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PatchSettings {
    /// `on` or `off`.
    pub(crate) calling_rules: Option<String>,
    /// IANA name.
    pub(crate) timezone: Option<String>,
    /// ISO 3166-1 alpha-2; `null`: the countries of the batch's calling numbers.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    pub(crate) allowed_countries: Option<Option<Vec<String>>>,
    /// 1–1,000,000; `null`: no limit of its own.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    pub(crate) concurrency: Option<Option<i64>>,
    /// Premium-rate, shared-cost and satellite numbers may be called.
    pub(crate) allow_special_numbers: Option<bool>,
}

impl PatchSettings {
    /// The settings after this.
    pub(crate) fn apply(self, mut settings: WorkspaceSettings) -> ApiResult<WorkspaceSettings> {
        let mut faults = Faults::default();
        match self.calling_rules.as_deref() {
            None => {}
            Some("on") => settings.calling_rules = CallingRules::On,
            Some("off") => settings.calling_rules = CallingRules::Off,
            Some(_) => faults.add("callingRules", "write \"on\" or \"off\""),
        }
        if let Some(name) = self.timezone {
            match name.parse::<outdial_core::zone::Zone>() {
                Ok(zone) => settings.timezone = zone.name().to_owned(),
                Err(e) => faults.add("timezone", e),
            }
        }
        match self.allowed_countries {
            None => {}
            Some(None) => settings.allowed_countries = None,
            Some(Some(countries)) => {
                if countries.is_empty() {
                    let right = "name at least one, or write null for those of the batch's numbers";
                    faults.add("allowedCountries", right);
                }
                for (i, c) in countries.iter().enumerate().filter(|(_, c)| !is_country(c)) {
                    let text = format!("{c:?} is not a country: write two capitals like \"US\"");
                    faults.add(format!("allowedCountries[{i}]"), text);
                }
                settings.allowed_countries = Some(countries.into_iter().collect());
            }
        }
        if let Some(concurrency) = self.concurrency {
            settings.concurrency = faults.whole("concurrency", concurrency, 1, CONCURRENCY_MAX);
        }
        if let Some(allow) = self.allow_special_numbers {
            settings.allow_special_numbers = allow;
        }
        faults.finish()?;
        Ok(settings)
    }
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase())
}
