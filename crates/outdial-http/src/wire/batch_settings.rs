//! The settings of a batch, as `createBatch` and the PATCH of a batch take them: one list of
//! fields, one set of checks.

use outdial_core::batch::BatchSettings;
use outdial_core::hours::{Allowed, CallingHours, HoursError};
use outdial_core::id::PhoneId;
use outdial_core::time::Timestamp;
use outdial_core::zone::{Class, Zone};
use outdial_ports::store::BatchPatch;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::budget::{BudgetWish, one_call_fits};
pub(crate) use super::budget::{PRICE_IT, check_prices};
use super::faults::Faults;
use super::{present, present_object};
use crate::error::ApiResult;

/// Most calling numbers of a batch.
const NUMBERS_MAX: usize = 1000;
/// Most live calls that a batch may be told to hold.
const CONCURRENCY_MAX: u32 = 100_000;
/// Most attempts of a canary.
const CANARY_MAX: u32 = 1_000_000;

/// A day's window.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallingHour {
    /// `HH:MM`.
    pub(crate) start: String,
    /// `HH:MM`, up to `24:00`; before `start`: on the next day.
    pub(crate) end: String,
}

/// What both bodies can say. Absent: as it is; `null`: the default.
#[derive(Debug, Default)]
struct Wish {
    retry: Option<Option<i64>>,
    delay: Option<Option<i64>>,
    calling_hour: Option<Option<CallingHour>>,
    allowed_days: Option<Option<Vec<i64>>>,
    redial_unknown: Option<Option<bool>>,
    retry_voicemail: Option<Option<bool>>,
    concurrency: Option<Option<i64>>,
    weight: Option<Option<i64>>,
    max_call_seconds: Option<Option<i64>>,
    budget: Option<Option<BudgetWish>>,
    canary: Option<Option<i64>>,
    expires_at: Option<Option<String>>,
    enable_dnc: Option<Option<bool>>,
}

/// A body with the fields of [`Wish`] after its own.
macro_rules! body {
    ($(#[$meta:meta])* $name:ident { $($own:tt)* }) => {
        #[derive(Clone, Debug, Deserialize, ToSchema)]
        #[serde(rename_all = "camelCase")]
        $(#[$meta])*
        pub(crate) struct $name {
            $($own)*
            /// The caller's own user; not needed.
            pub(crate) user_id: Option<String>,
            /// Retries of failed calls, 0–10. Default 0.
            #[serde(default, deserialize_with = "present")]
            #[schema(value_type = Option<i64>)]
            retry: Option<Option<i64>>,
            /// Seconds between retries, 0–604,800. Default 300.
            #[serde(default, deserialize_with = "present")]
            #[schema(value_type = Option<i64>)]
            delay: Option<Option<i64>>,
            /// When calls may be placed, in each record's zone. Default: the whole day.
            #[serde(default, deserialize_with = "present_object")]
            #[schema(value_type = Option<CallingHour>)]
            calling_hour: Option<Option<CallingHour>>,
            /// 0 = Sunday … 6 = Saturday. Default: every day.
            #[serde(default, deserialize_with = "present")]
            #[schema(value_type = Option<Vec<i64>>)]
            allowed_days: Option<Option<Vec<i64>>>,
            /// Redial calls that ended as `unknown`. Default `false`.
            #[serde(default, deserialize_with = "present")]
            #[schema(value_type = Option<bool>)]
            redial_unknown: Option<Option<bool>>,
            /// Retry calls that a voicemail box answered. Default `false`.
            #[serde(default, deserialize_with = "present")]
            #[schema(value_type = Option<bool>)]
            retry_voicemail: Option<Option<bool>>,
            /// Most live calls at once, 1–100,000. Default: no limit of its own.
            #[serde(default, deserialize_with = "present")]
            #[schema(value_type = Option<i64>)]
            concurrency: Option<Option<i64>>,
            /// Share among the workspace's batches, 1–1000. Default 1.
            #[serde(default, deserialize_with = "present")]
            #[schema(value_type = Option<i64>)]
            weight: Option<Option<i64>>,
            /// Longest call from the answer, 1–14,400 seconds; what every call reserves of the
            /// budget. Default 600.
            #[serde(default, deserialize_with = "present")]
            #[schema(value_type = Option<i64>)]
            max_call_seconds: Option<Option<i64>>,
            /// What it may use. Default: as much as it takes.
            #[serde(default, deserialize_with = "present_object")]
            #[schema(value_type = Option<BudgetWish>)]
            budget: Option<Option<BudgetWish>>,
            /// So many attempts must have ended, and not badly, before more go out, 1–1,000,000.
            /// Default: full pace from the start.
            #[serde(default, deserialize_with = "present")]
            #[schema(value_type = Option<i64>)]
            canary: Option<Option<i64>>,
            /// ISO 8601, in the future: calls still pending then end as `expired`. Default: never.
            #[serde(default, deserialize_with = "present")]
            #[schema(value_type = Option<String>, format = DateTime)]
            expires_at: Option<Option<String>>,
            /// Check the do-not-call list even where the workspace does not. Default `false`.
            #[serde(default, deserialize_with = "present", rename = "enableDNC")]
            #[schema(value_type = Option<bool>)]
            enable_dnc: Option<Option<bool>>,
        }

        impl $name {
            fn wish(&mut self) -> Wish {
                Wish {
                    retry: self.retry,
                    delay: self.delay,
                    calling_hour: self.calling_hour.take(),
                    allowed_days: self.allowed_days.take(),
                    redial_unknown: self.redial_unknown,
                    retry_voicemail: self.retry_voicemail,
                    concurrency: self.concurrency,
                    weight: self.weight,
                    max_call_seconds: self.max_call_seconds,
                    budget: self.budget.take(),
                    canary: self.canary,
                    expires_at: self.expires_at.take(),
                    enable_dnc: self.enable_dnc,
                }
            }
        }
    };
}

body! {
    /// A batch to make.
    CreateBatch {
        /// Display name.
        #[schema(value_type = String)]
        pub(crate) batch_name: Option<String>,
        /// Ids of the workspace's calling numbers, in the order of rotation.
        #[schema(value_type = Vec<String>)]
        pub(crate) calling_numbers: Option<Vec<String>>,
        /// IANA name: the zone of records that bring none.
        pub(crate) timezone: Option<String>,
    }
}

body! {
    /// What to change of a batch; absent leaves as it is, `null` is the default.
    #[serde(deny_unknown_fields)]
    PatchBatch {
        /// Display name.
        #[serde(default, deserialize_with = "present")]
        #[schema(value_type = Option<String>)]
        batch_name: Option<Option<String>>,
        /// Ids of all its calling numbers from now on, in the order of rotation.
        #[serde(default, deserialize_with = "present")]
        #[schema(value_type = Option<Vec<String>>)]
        calling_numbers: Option<Option<Vec<String>>>,
        /// Cannot be changed.
        #[serde(default, deserialize_with = "present")]
        #[schema(ignore)]
        timezone: Option<Option<IgnoredAny>>,
    }
}

/// What of a [`CreateBatch`] goes to the store.
#[derive(Debug)]
pub(crate) struct BatchWish {
    /// Display name.
    pub(crate) name: String,
    /// Without repetition, in the order of rotation.
    pub(crate) numbers: Vec<PhoneId>,
    /// Everything else.
    pub(crate) settings: BatchSettings,
}

impl CreateBatch {
    /// Checks all of it but what depends on the calling numbers; `now` tells whether the calling
    /// hours can ever open.
    pub(crate) fn parse(mut self, now: Timestamp) -> ApiResult<BatchWish> {
        let mut faults = Faults::default();
        let name = faults.name("batchName", self.batch_name.as_deref());
        let numbers = numbers(&mut faults, self.calling_numbers.as_deref().unwrap_or_default());
        let zone = self
            .timezone
            .as_deref()
            .and_then(|name| name.parse::<Zone>().map_err(|e| faults.add("timezone", e)).ok());
        let timezone = zone.map(|z| z.name().to_owned());
        let base = BatchSettings { timezone, ..BatchSettings::default() };
        let settings = self.wish().apply(&mut faults, base, now);
        faults.finish()?;
        Ok(BatchWish { name, numbers, settings })
    }
}

impl PatchBatch {
    /// The changes to a batch with the settings `old`.
    pub(crate) fn parse(mut self, old: &BatchSettings, now: Timestamp) -> ApiResult<BatchPatch> {
        let mut faults = Faults::default();
        let name = self.batch_name.take().map(|n| faults.name("batchName", n.as_deref()));
        let ids = self.calling_numbers.take().map(Option::unwrap_or_default);
        let numbers = ids.map(|ids| numbers(&mut faults, &ids));
        if self.timezone.is_some() {
            let why = "cannot be changed: the zones of its records are stored with them";
            faults.add("timezone", format!("{why}; make another batch"));
        }
        let settings = self.wish().apply(&mut faults, old.clone(), now);
        faults.finish()?;
        let settings = (settings != *old).then_some(settings);
        Ok(BatchPatch { name, settings, was: None, numbers })
    }
}

impl Wish {
    /// The settings after this. With a fault they mean nothing.
    fn apply(self, faults: &mut Faults, old: BatchSettings, now: Timestamp) -> BatchSettings {
        let base = BatchSettings::default();
        let mut new = old;
        if let Some(n) = self.retry {
            let n = faults.whole("retry", n, 0, BatchSettings::RETRY_MAX.into());
            new.retry = n.and_then(|n| u8::try_from(n).ok()).unwrap_or(base.retry);
        }
        if let Some(n) = self.delay {
            let n = faults.whole("delay", n, 0, BatchSettings::DELAY_MAX_S);
            new.delay_s = n.unwrap_or(base.delay_s);
        }
        if self.calling_hour.is_some() || self.allowed_days.is_some() {
            let hours = hours(faults, self.calling_hour, self.allowed_days, &new.calling_hours);
            new.calling_hours = hours;
            let class = Class::new(new.zone());
            if new.calling_hours.allowed(&class, now) == (Allowed::Closed { opens: None }) {
                let right = "never opens within 14 days: widen it or the allowed days";
                faults.add("callingHour", right);
            }
        }
        let flag =
            |wish: Option<Option<bool>>, old: bool| wish.map_or(old, Option::unwrap_or_default);
        new.redial_unknown = flag(self.redial_unknown, new.redial_unknown);
        new.retry_voicemail = flag(self.retry_voicemail, new.retry_voicemail);
        new.enable_dnc = flag(self.enable_dnc, new.enable_dnc);
        if let Some(n) = self.concurrency {
            new.concurrency = faults.whole("concurrency", n, 1, CONCURRENCY_MAX);
        }
        if let Some(n) = self.weight {
            let n = faults.whole("weight", n, 1, BatchSettings::WEIGHT_MAX);
            new.weight = n.unwrap_or(base.weight);
        }
        let resized = self.max_call_seconds.is_some() || self.budget.is_some();
        if let Some(n) = self.max_call_seconds {
            let n = faults.whole("maxCallSeconds", n, 1, BatchSettings::MAX_CALL_MAX_S);
            new.max_call_s = n.unwrap_or(base.max_call_s);
        }
        if let Some(wish) = self.budget {
            new.budget = wish.and_then(|wish| wish.parse(faults));
        }
        if resized && let Some(most) = new.budget.and_then(|b| b.seconds) {
            one_call_fits(faults, "budget.minutes", new.max_call_s.into(), most, &new);
        }
        if let Some(n) = self.canary {
            new.canary = faults.whole("canary", n, 1, CANARY_MAX);
        }
        if let Some(text) = self.expires_at {
            new.expires_at = text.and_then(|text| expiry(faults, &text, now));
        }
        new
    }
}

fn expiry(faults: &mut Faults, text: &str, now: Timestamp) -> Option<Timestamp> {
    match text.parse::<Timestamp>() {
        Ok(at) if at > now => return Some(at),
        Ok(_) => faults.add("expiresAt", "is over: write an instant in the future"),
        Err(_) if text.starts_with("9999-") => {
            faults.add("expiresAt", "is too far away: write null for a batch that never expires");
        }
        Err(_) => {
            let right = "write ISO 8601 with a zone, like 2025-05-15T14:30:00.000Z";
            faults.add("expiresAt", right);
        }
    }
    None
}

/// Ids of calling numbers: at least one, each an id; repetitions are dropped.
pub(crate) fn numbers(faults: &mut Faults, ids: &[String]) -> Vec<PhoneId> {
    if ids.is_empty() {
        faults.add("callingNumbers", "is missing or empty: name the id of at least one number");
    } else if ids.len() > NUMBERS_MAX {
        faults.add("callingNumbers", format!("has more than {NUMBERS_MAX} numbers"));
    }
    let mut numbers = Vec::new();
    for (i, id) in ids.iter().enumerate() {
        match id.parse() {
            Ok(id) if numbers.contains(&id) => {}
            Ok(id) => numbers.push(id),
            Err(e) => faults.add(format!("callingNumbers[{i}]"), e),
        }
    }
    numbers
}

/// Window and days may come one without the other: what does not come stays.
fn hours(
    faults: &mut Faults,
    window: Option<Option<CallingHour>>,
    days: Option<Option<Vec<i64>>>,
    old: &CallingHours,
) -> CallingHours {
    let window = window.unwrap_or_else(|| calling_hour(old));
    let days = days.unwrap_or_else(|| allowed_days(old));
    let window = window.as_ref().map(|w| (w.start.as_str(), w.end.as_str()));
    CallingHours::new(window, days.as_deref()).unwrap_or_else(|e| {
        let field = match e {
            HoursError::NotATime(_) | HoursError::Empty => "callingHour",
            HoursError::NoDays | HoursError::NotADay(_) => "allowedDays",
        };
        faults.add(field, e);
        CallingHours::always()
    })
}

/// The window as it is written.
pub(crate) fn calling_hour(hours: &CallingHours) -> Option<CallingHour> {
    let (start, end) = hours.window()?;
    Some(CallingHour { start: start.to_string(), end: end.to_string() })
}

/// The days as they are written.
pub(crate) fn allowed_days(hours: &CallingHours) -> Option<Vec<i64>> {
    hours.days().map(|days| days.into_iter().map(i64::from).collect())
}

#[cfg(test)]
mod tests {
    use outdial_core::budget::Budget;

    use super::*;

    fn faults_of(body: &str) -> String {
        let body: CreateBatch = serde_json::from_str(body).unwrap();
        format!("{:?}", body.parse(Timestamp::EPOCH).unwrap_err())
    }

    #[test]
    fn says_every_fault_at_once() {
        let text = faults_of(r#"{"retry":11,"delay":-1,"timezone":"Mars/X","budget":{}}"#);
        for part in ["batchName: ", "callingNumbers: ", "retry: 11", "delay: -1", "Mars", "budget"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn takes_the_documented_example() {
        let body = r#"{ "batchName": "API Campaign May 2025",
            "callingNumbers": ["64e5f12345abcdef87654321"], "retry": 3, "delay": 60,
            "timezone": "America/New_York", "callingHour": {"start": "09:00", "end": "17:00"},
            "allowedDays": [1,2,3,4,5] }"#;
        let wish = serde_json::from_str::<CreateBatch>(body).unwrap();
        let wish = wish.parse(Timestamp::EPOCH).unwrap();
        assert_eq!((wish.settings.retry, wish.settings.delay_s), (3, 60));
        assert_eq!(wish.settings.timezone.as_deref(), Some("America/New_York"));
        assert_ne!(wish.settings.calling_hours, CallingHours::always());
    }

    fn patched(old: &BatchSettings, body: &str) -> BatchSettings {
        let patch: PatchBatch = serde_json::from_str(body).unwrap();
        let patch = patch.parse(old, Timestamp::EPOCH).unwrap();
        patch.settings.unwrap_or_else(|| old.clone())
    }

    #[test]
    fn a_patch_leaves_what_it_does_not_name() {
        let old = BatchSettings {
            retry: 3,
            calling_hours: CallingHours::new(Some(("09:00", "17:00")), Some(&[1, 2])).unwrap(),
            canary: Some(5),
            ..BatchSettings::default()
        };
        assert_eq!(patched(&old, "{}"), old);
        let days_only = patched(&old, r#"{"allowedDays":null}"#);
        assert_eq!(days_only.calling_hours.window(), old.calling_hours.window());
        assert_eq!(days_only.calling_hours.days(), None);
        let none = patched(&old, r#"{"callingHour":null,"allowedDays":null,"retry":null}"#);
        assert_eq!(
            (none.calling_hours, none.retry, none.canary),
            (CallingHours::always(), 0, Some(5))
        );
    }

    #[test]
    fn a_budget_that_holds_no_call_is_refused() {
        let small = r#"{"budget":{"minutes":5},"maxCallSeconds":301}"#;
        assert!(
            faults_of(small).contains("smaller than one call of maxCallSeconds (5.02 minutes)")
        );
        let old = BatchSettings {
            budget: Some(Budget { seconds: Some(600), ..Budget::default() }),
            ..BatchSettings::default()
        };
        let patch: PatchBatch = serde_json::from_str(r#"{"maxCallSeconds":601}"#).unwrap();
        assert!(patch.parse(&old, Timestamp::EPOCH).is_err());
    }
}
