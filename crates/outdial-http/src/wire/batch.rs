//! Batches.

use outdial_core::batch::{BatchSettings, BatchState};
use outdial_core::hours::{Allowed, CallingHours, HoursError};
use outdial_core::id::PhoneId;
use outdial_core::time::Timestamp;
use outdial_core::zone::{Class, Zone};
use outdial_ports::store::BatchRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::faults::Faults;
use super::page::Pagination;
use crate::error::ApiResult;

/// Most calling numbers of a batch.
const NUMBERS_MAX: usize = 1000;
/// Most live calls that a batch may be told to hold.
const CONCURRENCY_MAX: u32 = 100_000;

/// A day's window.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CallingHour {
    /// `HH:MM`.
    pub(crate) start: String,
    /// `HH:MM`, up to `24:00`; before `start`: on the next day.
    pub(crate) end: String,
}

/// A batch to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateBatch {
    /// Display name.
    #[schema(value_type = String)]
    pub(crate) batch_name: Option<String>,
    /// Ids of the workspace's calling numbers, in the order of rotation.
    #[schema(value_type = Vec<String>)]
    pub(crate) calling_numbers: Option<Vec<String>>,
    /// Retries of failed calls, 0–10. Default 0.
    pub(crate) retry: Option<i64>,
    /// Seconds between retries, 0–604,800. Default 300.
    pub(crate) delay: Option<i64>,
    /// IANA name: the zone of records that bring none.
    pub(crate) timezone: Option<String>,
    /// When calls may be placed, in each record's zone.
    pub(crate) calling_hour: Option<CallingHour>,
    /// 0 = Sunday … 6 = Saturday.
    pub(crate) allowed_days: Option<Vec<i64>>,
    /// Redial calls that ended as `unknown`.
    pub(crate) redial_unknown: Option<bool>,
    /// Retry calls that a voicemail box answered.
    pub(crate) retry_voicemail: Option<bool>,
    /// Most live calls at once, 1–100,000. Default: no limit of its own.
    pub(crate) concurrency: Option<i64>,
    /// Share among the workspace's batches, 1–1000. Default 1.
    pub(crate) weight: Option<i64>,
    /// Longest call from the answer, 1–14,400 seconds. Default 600.
    pub(crate) max_call_seconds: Option<i64>,
    /// The caller's own user; not needed.
    pub(crate) user_id: Option<String>,
    /// Not in this version.
    #[schema(ignore)]
    pub(crate) budget: Option<Value>,
    /// Not in this version.
    #[schema(ignore)]
    pub(crate) canary: Option<Value>,
    /// Not in this version.
    #[schema(ignore)]
    pub(crate) expires_at: Option<Value>,
    /// `true` is not in this version.
    #[serde(rename = "enableDNC")]
    #[schema(ignore)]
    pub(crate) enable_dnc: Option<Value>,
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
    /// Checks all of it; `now` tells whether the calling hours can ever open.
    pub(crate) fn parse(self, now: Timestamp) -> ApiResult<BatchWish> {
        let mut faults = Faults::default();
        self.refuse_what_is_not_there(&mut faults);
        let name = faults.name("batchName", self.batch_name.as_deref());
        let numbers = numbers(&mut faults, self.calling_numbers.as_deref().unwrap_or_default());
        let zone = self
            .timezone
            .as_deref()
            .and_then(|name| name.parse::<Zone>().map_err(|e| faults.add("timezone", e)).ok());
        let calling_hours =
            hours(&mut faults, self.calling_hour.as_ref(), self.allowed_days.as_deref());
        let base = BatchSettings::default();
        let retry = faults.whole("retry", self.retry, 0, BatchSettings::RETRY_MAX.into());
        let delay = faults.whole("delay", self.delay, 0, BatchSettings::DELAY_MAX_S);
        let concurrency = faults.whole("concurrency", self.concurrency, 1, CONCURRENCY_MAX);
        let weight = faults.whole("weight", self.weight, 1, BatchSettings::WEIGHT_MAX);
        let longest = BatchSettings::MAX_CALL_MAX_S;
        let max_call = faults.whole("maxCallSeconds", self.max_call_seconds, 1, longest);
        let class = Class::new(zone.clone());
        if calling_hours.allowed(&class, now) == (Allowed::Closed { opens: None }) {
            faults.add("callingHour", "never opens within 14 days: widen it or the allowed days");
        }
        faults.finish()?;
        let settings = BatchSettings {
            retry: retry.and_then(|n| u8::try_from(n).ok()).unwrap_or(base.retry),
            delay_s: delay.unwrap_or(base.delay_s),
            timezone: zone.map(|z| z.name().to_owned()),
            calling_hours,
            redial_unknown: self.redial_unknown.unwrap_or(base.redial_unknown),
            retry_voicemail: self.retry_voicemail.unwrap_or(base.retry_voicemail),
            concurrency,
            weight: weight.unwrap_or(base.weight),
            max_call_s: max_call.unwrap_or(base.max_call_s),
        };
        Ok(BatchWish { name, numbers, settings })
    }

    /// To take a limit and not keep it would be worse than to refuse it.
    fn refuse_what_is_not_there(&self, faults: &mut Faults) {
        let asked = [
            ("budget", self.budget.is_some()),
            ("canary", self.canary.is_some()),
            ("expiresAt", self.expires_at.is_some()),
            ("enableDNC", self.enable_dnc.as_ref().is_some_and(|v| v != &Value::Bool(false))),
        ];
        for (field, _) in asked.into_iter().filter(|(_, asked)| *asked) {
            faults.add(field, "is not available in this version: leave it out");
        }
    }
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

fn hours(faults: &mut Faults, window: Option<&CallingHour>, days: Option<&[i64]>) -> CallingHours {
    let window = window.map(|w| (w.start.as_str(), w.end.as_str()));
    CallingHours::new(window, days).unwrap_or_else(|e| {
        let field = match e {
            HoursError::NotATime(_) | HoursError::Empty => "callingHour",
            HoursError::NoDays | HoursError::NotADay(_) => "allowedDays",
        };
        faults.add(field, e);
        CallingHours::always()
    })
}

/// A batch in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Batch {
    /// Which.
    #[serde(rename = "_id")]
    pub(crate) id: String,
    /// Display name.
    pub(crate) batch_name: String,
    /// All its call records.
    pub(crate) total_calls: u64,
    /// Those that a person answered.
    pub(crate) calls_picked: u64,
    /// Those that ended as `completed`.
    pub(crate) calls_completed: u64,
    /// `pending`, `importing`, `active`, `paused`, `stopped` or `completed`.
    #[serde(rename = "queue_status")]
    pub(crate) queue_status: &'static str,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: Timestamp,
    /// Why it is paused, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pause_reason: Option<&'static str>,
}

impl From<&BatchRecord> for Batch {
    fn from(b: &BatchRecord) -> Self {
        Self {
            id: b.id.to_string(),
            batch_name: b.name.clone(),
            total_calls: b.totals.total,
            calls_picked: b.totals.picked,
            calls_completed: b.totals.completed,
            queue_status: b.state.as_str(),
            created_at: b.created_at,
            updated_at: b.updated_at,
            pause_reason: pause_reason(b),
        }
    }
}

/// Why a batch is paused, if it is.
pub(crate) fn pause_reason(b: &BatchRecord) -> Option<&'static str> {
    b.pause_reason.filter(|_| b.state == BatchState::Paused).map(|r| r.as_str())
}

/// A page of batches.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Batches {
    /// Newest first.
    pub(crate) batches: Vec<Batch>,
    /// Where it stands.
    pub(crate) pagination: Pagination,
}

/// A batch to start. Only described here: the body is read as a stream.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema; routes::calling reads the body")]
pub(crate) struct StartCalling {
    /// Which.
    #[schema(value_type = String)]
    pub(crate) batch_id: Option<String>,
    /// The caller's own user.
    #[schema(value_type = String)]
    pub(crate) user_id: Option<String>,
    /// Call over these instead of the batch's numbers, from now on.
    pub(crate) calling_numbers: Option<Vec<String>>,
    /// Call these instead of the batch's own records.
    #[schema(value_type = Option<Vec<Object>>)]
    pub(crate) call_data: Option<Vec<Value>>,
    /// The caller's tracking id; comes back in the answer.
    pub(crate) uuid: Option<String>,
}

/// A batch to stop.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StopCalling {
    /// Which.
    #[schema(value_type = String)]
    pub(crate) batch_id: Option<String>,
    /// The caller's own user.
    #[schema(value_type = String)]
    pub(crate) user_id: Option<String>,
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchMoved {
    /// Which.
    pub(crate) batch_id: String,
    /// `started` or `stopped`.
    pub(crate) status: &'static str,
}

#[cfg(test)]
mod tests {
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
}
