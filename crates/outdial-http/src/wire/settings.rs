//! Settings of a workspace.

use std::collections::BTreeSet;

use outdial_core::brake::BrakeSettings;
use outdial_core::phone;
use outdial_core::settings::{CallingRules, WorkspaceSettings};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::faults::Faults;
use super::{present, present_object};
use crate::error::ApiResult;

/// Most live calls that can be asked for.
const CONCURRENCY_MAX: u32 = 1_000_000;
/// Most attempts at one person in 24 h that can be asked for.
const ATTEMPTS_24H_MAX: u32 = 1000;
/// Longest window of the brakes, in seconds.
const WINDOW_MAX_S: u32 = 3600;
/// Most attempts that the brakes can be told to wait for.
const MIN_ATTEMPTS_MAX: u32 = 100_000;

/// The settings as they are.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settings {
    /// `on` or `off`: whether the calling rules of the called party's place (hours, days, holidays,
    /// attempts) apply on top of the batch's hours.
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
    /// The do-not-call list is checked before each call; `POST /api/dnc/enable-disable` is the same
    /// switch.
    pub(crate) do_not_call: bool,
    /// Most charged attempts at one person in any 24 h, over all batches; `null`: as the calling
    /// rules say.
    #[serde(rename = "attemptsPerPerson24h")]
    pub(crate) attempts_24h: Option<u32>,
    /// When a batch slows down and pauses by itself.
    pub(crate) brakes: Brakes,
}

/// Brakes. A percentage of `null`: not braked for that.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Brakes {
    /// How far back is looked.
    pub(crate) window_seconds: u32,
    /// Fewer ended attempts than this in the window say nothing.
    pub(crate) min_attempts: u32,
    /// Most attempts in a hundred that fail.
    pub(crate) failed_percent: Option<u8>,
    /// Most answered calls in a hundred that are over within 6 s.
    pub(crate) short_percent: Option<u8>,
    /// Most attempts in a hundred that a voicemail box answers.
    pub(crate) voicemail_percent: Option<u8>,
}

impl From<BrakeSettings> for Brakes {
    fn from(b: BrakeSettings) -> Self {
        Self {
            window_seconds: b.window_s,
            min_attempts: b.min_attempts,
            failed_percent: b.failed_percent,
            short_percent: b.short_percent,
            voicemail_percent: b.voicemail_percent,
        }
    }
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
            do_not_call: s.do_not_call,
            attempts_24h: s.attempts_24h,
            brakes: s.brakes.into(),
        }
    }
}

/// What to change; absent leaves as it is.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PatchSettings {
    /// `on` or `off`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(crate) calling_rules: Option<Option<String>>,
    /// IANA name.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(crate) timezone: Option<Option<String>>,
    /// ISO 3166-1 alpha-2; `null`: the countries of the batch's calling numbers.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    pub(crate) allowed_countries: Option<Option<Vec<String>>>,
    /// 1–1,000,000; `null`: no limit of its own.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    pub(crate) concurrency: Option<Option<i64>>,
    /// Premium-rate, shared-cost and satellite numbers may be called.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<bool>)]
    pub(crate) allow_special_numbers: Option<Option<bool>>,
    /// The do-not-call list is checked before each call.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<bool>)]
    pub(crate) do_not_call: Option<Option<bool>>,
    /// 1–1000; `null`: as the calling rules say.
    #[serde(default, deserialize_with = "present", rename = "attemptsPerPerson24h")]
    #[schema(value_type = Option<i64>)]
    pub(crate) attempts_24h: Option<Option<i64>>,
    /// When a batch slows down and pauses by itself; `null`: never.
    #[serde(default, deserialize_with = "present_object")]
    #[schema(value_type = Option<PatchBrakes>)]
    pub(crate) brakes: Option<Option<PatchBrakes>>,
}

/// What to change of the brakes; absent leaves as it is.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PatchBrakes {
    /// 60–3600.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    pub(crate) window_seconds: Option<Option<i64>>,
    /// 1–100,000.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    pub(crate) min_attempts: Option<Option<i64>>,
    /// 1–100; `null`: not braked for that.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    pub(crate) failed_percent: Option<Option<i64>>,
    /// 1–100; `null`: not braked for that.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    pub(crate) short_percent: Option<Option<i64>>,
    /// 1–100; `null`: not braked for that.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    pub(crate) voicemail_percent: Option<Option<i64>>,
}

impl PatchBrakes {
    fn apply(self, faults: &mut Faults, mut brakes: BrakeSettings) -> BrakeSettings {
        let window = faults.some("brakes.windowSeconds", self.window_seconds);
        let window = faults.whole("brakes.windowSeconds", window, 60, WINDOW_MAX_S);
        brakes.window_s = window.unwrap_or(brakes.window_s);
        let least = faults.some("brakes.minAttempts", self.min_attempts);
        let least = faults.whole("brakes.minAttempts", least, 1, MIN_ATTEMPTS_MAX);
        brakes.min_attempts = least.unwrap_or(brakes.min_attempts);
        for (field, wish, old) in [
            ("brakes.failedPercent", self.failed_percent, &mut brakes.failed_percent),
            ("brakes.shortPercent", self.short_percent, &mut brakes.short_percent),
            ("brakes.voicemailPercent", self.voicemail_percent, &mut brakes.voicemail_percent),
        ] {
            if let Some(percent) = wish {
                *old = faults.whole(field, percent, 1, 100).and_then(|n| u8::try_from(n).ok());
            }
        }
        brakes
    }
}

impl PatchSettings {
    /// The settings after this.
    pub(crate) fn apply(self, mut settings: WorkspaceSettings) -> ApiResult<WorkspaceSettings> {
        let mut faults = Faults::default();
        match faults.some("callingRules", self.calling_rules).as_deref() {
            None => {}
            Some("on") => settings.calling_rules = CallingRules::On,
            Some("off") => settings.calling_rules = CallingRules::Off,
            Some(_) => faults.add("callingRules", "write \"on\" or \"off\""),
        }
        if let Some(name) = faults.some("timezone", self.timezone) {
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
                    let text = format!(
                        "{c:?} is not a country with phone numbers: write two capitals of ISO \
                         3166-1 like \"US\""
                    );
                    faults.add(format!("allowedCountries[{i}]"), text);
                }
                settings.allowed_countries = Some(countries.into_iter().collect());
            }
        }
        if let Some(concurrency) = self.concurrency {
            settings.concurrency = faults.whole("concurrency", concurrency, 1, CONCURRENCY_MAX);
        }
        if let Some(allow) = faults.some("allowSpecialNumbers", self.allow_special_numbers) {
            settings.allow_special_numbers = allow;
        }
        if let Some(on) = faults.some("doNotCall", self.do_not_call) {
            settings.do_not_call = on;
        }
        if let Some(most) = self.attempts_24h {
            let field = "attemptsPerPerson24h";
            settings.attempts_24h = faults.whole(field, most, 1, ATTEMPTS_24H_MAX);
        }
        settings.brakes = match self.brakes {
            None => settings.brakes,
            Some(Some(patch)) => patch.apply(&mut faults, settings.brakes),
            Some(None) => BrakeSettings {
                failed_percent: None,
                short_percent: None,
                voicemail_percent: None,
                ..settings.brakes
            },
        };
        faults.finish()?;
        Ok(settings)
    }
}

fn is_country(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_uppercase()) && text.parse().is_ok_and(phone::has_numbers)
}
