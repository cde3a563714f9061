//! One batch with its settings, what it used, and what its calls wait for.

use outdial_core::budget::{Budget, Day};
use outdial_core::dispatcher::{BatchHead, Head};
use outdial_core::time::Timestamp;
use outdial_ports::store::BatchRecord;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::batch::Batch;
use super::batch_settings::{CallingHour, allowed_days, calling_hour};
use super::decimal;

/// A batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchDetails {
    #[serde(flatten)]
    batch: Batch,
    /// Calls that wait for an attempt.
    calls_pending: u64,
    /// Calls with an attempt that is not over.
    calls_live: u64,
    /// Calls that are done.
    calls_finished: u64,
    /// Ids of its calling numbers, in the order of rotation.
    calling_numbers: Vec<String>,
    /// Retries of failed calls.
    retry: u8,
    /// Seconds between retries.
    delay: u32,
    /// IANA name: the zone of records that bring none.
    timezone: Option<String>,
    /// When calls may be placed, in each record's zone; `null`: the whole day.
    calling_hour: Option<CallingHour>,
    /// 0 = Sunday … 6 = Saturday; `null`: every day.
    allowed_days: Option<Vec<i64>>,
    /// Calls that ended as `unknown` are redialed.
    redial_unknown: bool,
    /// Calls that a voicemail box answered are retried.
    retry_voicemail: bool,
    /// Most live calls at once; `null`: no limit of its own.
    concurrency: Option<u32>,
    /// Share among the workspace's batches.
    weight: u32,
    /// Longest call from the answer.
    max_call_seconds: u32,
    /// What it may use; `null`: as much as it takes.
    budget: Option<BatchBudget>,
    /// So many attempts must end well before more go out; `null`: full pace from the start.
    canary: Option<u32>,
    /// When calls that are still pending end as `expired`; `null`: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// The do-not-call list is checked even where the workspace does not.
    #[serde(rename = "enableDNC")]
    enable_dnc: bool,
    /// What of the budget is used, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_used: Option<BudgetUsed>,
    /// What its pending calls wait for, each counted once: by the gate that holds it longest.
    waiting: Vec<Waiting>,
}

/// What a batch may use.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchBudget {
    /// Minutes of talk.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    minutes: Option<Box<RawValue>>,
    /// Money.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    money: Option<Box<RawValue>>,
    /// Anew every calendar day of the workspace's zone.
    per_day: bool,
}

/// What is used of a budget. A call under way counts with all that is reserved for it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BudgetUsed {
    /// Minutes of talk.
    #[schema(value_type = f64)]
    minutes: Box<RawValue>,
    /// Money.
    #[schema(value_type = f64)]
    money: Box<RawValue>,
    /// When it begins anew, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// Pending calls that wait for the same thing.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Waiting {
    /// A stable word, as in `whyNotYet` of a call.
    pub(crate) reason: &'static str,
    /// How many.
    pub(crate) calls: u64,
    /// When the first of them need not wait for it any more, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) until: Option<Timestamp>,
}

impl BatchDetails {
    /// `head` knows what is used, `waiting` what its calls wait for.
    pub(crate) fn of(record: &BatchRecord, head: &Head, waiting: Vec<Waiting>) -> Self {
        let s = &record.settings;
        let own = head.batches.iter().find(|b| b.id == record.id);
        Self {
            batch: record.into(),
            calls_pending: record.totals.pending,
            calls_live: record.totals.live,
            calls_finished: record.totals.finished,
            calling_numbers: record.numbers.iter().map(ToString::to_string).collect(),
            retry: s.retry,
            delay: s.delay_s,
            timezone: s.timezone.clone(),
            calling_hour: calling_hour(&s.calling_hours),
            allowed_days: allowed_days(&s.calling_hours),
            redial_unknown: s.redial_unknown,
            retry_voicemail: s.retry_voicemail,
            concurrency: s.concurrency,
            weight: s.weight,
            max_call_seconds: s.max_call_s,
            budget: s.budget.map(|b| BatchBudget {
                minutes: b.seconds.map(decimal::minutes),
                money: b.micros.map(decimal::money),
                per_day: b.per_day,
            }),
            canary: s.canary,
            expires_at: s.expires_at,
            enable_dnc: s.enable_dnc,
            budget_used: s.budget.zip(own).map(|(budget, own)| used(budget, own, head)),
            waiting,
        }
    }
}

fn used(budget: Budget, own: &BatchHead, head: &Head) -> BudgetUsed {
    let today = Day::of(&head.zone, head.clock);
    let spent = if budget.per_day {
        let of_today = own.spent_by_day.iter().find(|(day, _)| *day == today);
        of_today.map(|(_, spent)| *spent).unwrap_or_default()
    } else {
        own.spent
    };
    BudgetUsed {
        minutes: decimal::minutes(spent.seconds),
        money: decimal::money(spent.micros),
        until: budget.per_day.then(|| today.ends(&head.zone)),
    }
}
