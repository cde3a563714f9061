//! Forecasts.

use std::time::Duration;

use outdial_core::forecast::{Assumptions, Ending, Forecast, Never, Source};
use outdial_core::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// What is going to happen to a batch, as the dispatcher would do it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchForecast {
    /// Which; none: of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) batch_id: Option<String>,
    /// The batch is not active: this is what happens if it is started at `from`.
    assumes_start: bool,
    /// When it begins.
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    /// How far it reaches.
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// `done`; `paused`: by a brake or a budget, or calls are held; `window`: the days asked for
    /// are over; `work_limit`: there is more to work through than one request may; `stuck`: nothing
    /// goes on unless somebody changes something.
    ending: &'static str,
    /// Why it is paused at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_reason: Option<&'static str>,
    /// When the last call is over; `null`: not within this forecast.
    #[schema(value_type = Option<String>, format = DateTime)]
    done_at: Option<Timestamp>,
    /// When the first call goes out.
    #[schema(value_type = Option<String>, format = DateTime)]
    first_attempt_at: Option<Timestamp>,
    /// Calls that wait or are live at `from`: `reached` and `neverReached`.
    calls: u64,
    /// Calls that a person answers.
    reached: u64,
    /// The others.
    never_reached: u64,
    /// Why not, the most frequent first.
    never: Vec<NeverReached>,
    /// Attempts.
    attempts: u64,
    /// Attempts that a person answers.
    answered: u64,
    /// Most live calls at once.
    peak_channels: PeakChannels,
    /// The hours in which it places calls.
    per_hour: Vec<ForecastHour>,
    /// What becomes of attempts.
    assumptions: ForecastAssumptions,
}

/// Calls that no person answers, and why.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NeverReached {
    /// `retries_used_up`, `expired`, `no_common_hours`, `calls_held`, `batch_paused`,
    /// `out_of_time`, `on_the_phone`.
    reason: &'static str,
    /// What came of the last attempt, with `retries_used_up`.
    #[serde(skip_serializing_if = "Option::is_none")]
    disposition: Option<&'static str>,
    /// What it waits for at the end, with `out_of_time` (a reason of `whyNotYet`) and
    /// `batch_paused` (a `pauseReason`).
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<&'static str>,
    /// How many.
    calls: u64,
    /// For people.
    text: String,
}

/// Most live calls at once.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PeakChannels {
    /// Of the batch.
    batch: u32,
    /// Of the workspace.
    workspace: u32,
}

/// One hour of UTC.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ForecastHour {
    /// Its start.
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    /// Attempts that leave in it.
    attempts: u64,
    /// Those that a person answers.
    answered: u64,
}

/// What becomes of attempts. Shares from 0 to 1.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ForecastAssumptions {
    /// `observed`: as this batch's attempts went; `assumed`: too few have ended, the defaults;
    /// `given`: as the request says.
    source: &'static str,
    /// How many attempts were observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_attempts: Option<u64>,
    /// A person answers.
    answer_rate: f64,
    /// A machine answers.
    voicemail_rate: f64,
    /// It rings, nobody answers.
    no_answer_rate: f64,
    /// The line is busy.
    busy_rate: f64,
    /// The network fails.
    failed_rate: f64,
    /// Mean talk.
    talk_seconds: f64,
    /// Mean ringing before an answer.
    ring_seconds: f64,
}

impl BatchForecast {
    /// As it is shown.
    pub(crate) fn of(batch_id: Option<String>, f: &Forecast) -> Self {
        let (ending, pause_reason) = match f.ending {
            Ending::Done => ("done", None),
            Ending::Paused(reason) => ("paused", Some(reason.as_str())),
            Ending::Horizon => ("window", None),
            Ending::TurnsMax => ("work_limit", None),
            Ending::Stuck => ("stuck", None),
        };
        let hour = |h: &outdial_core::forecast::Hour| ForecastHour {
            start: h.start,
            attempts: h.attempts,
            answered: h.answered,
        };
        Self {
            batch_id,
            assumes_start: f.assumes_start,
            from: f.from,
            to: f.to,
            ending,
            pause_reason,
            done_at: f.done_at,
            first_attempt_at: f.first_attempt_at,
            calls: f.calls,
            reached: f.reached,
            never_reached: f.never.iter().map(|(_, calls)| calls).sum(),
            never: f.never.iter().map(|(why, calls)| never(*why, *calls)).collect(),
            attempts: f.attempts,
            answered: f.answered,
            peak_channels: PeakChannels { batch: f.peak_batch, workspace: f.peak_workspace },
            per_hour: f.hours.iter().map(hour).collect(),
            assumptions: ForecastAssumptions::of(&f.assumed),
        }
    }
}

impl ForecastAssumptions {
    fn of(a: &Assumptions) -> Self {
        let (source, observed_attempts) = match a.source {
            Source::Assumed => ("assumed", None),
            Source::Observed { attempts } => ("observed", Some(attempts)),
            Source::Given => ("given", None),
        };
        let rounded = |n: f64, scale: f64| (n * scale).round() / scale;
        let share = |n: f64| rounded(n, 10_000.0);
        let seconds = |d: Duration| rounded(d.as_secs_f64(), 10.0);
        Self {
            source,
            observed_attempts,
            answer_rate: share(a.answered),
            voicemail_rate: share(a.voicemail),
            no_answer_rate: share(a.no_answer),
            busy_rate: share(a.busy),
            failed_rate: share(a.failed),
            talk_seconds: seconds(a.talk),
            ring_seconds: seconds(a.ring),
        }
    }
}

fn never(why: Never, calls: u64) -> NeverReached {
    let (reason, disposition, waits_for) = match why {
        Never::GivenUp(disposition) => ("retries_used_up", Some(disposition.as_str()), None),
        Never::Expired => ("expired", None, None),
        Never::NoCommonHours => ("no_common_hours", None, None),
        Never::Held => ("calls_held", None, None),
        Never::Paused(reason) => ("batch_paused", None, Some(reason.as_str())),
        Never::OutOfTime(word) => ("out_of_time", None, Some(word)),
        Never::OnThePhone => ("on_the_phone", None, None),
    };
    NeverReached { reason, disposition, waits_for, calls, text: never_text(why) }
}

/// Why somebody is never reached, for people.
pub(crate) fn never_text(why: Never) -> String {
    match why {
        Never::GivenUp(disposition) => {
            format!(
                "the last attempt ended as {}, and there is no further one",
                disposition.as_str()
            )
        }
        Never::Expired => "the batch expires before".to_owned(),
        Never::NoCommonHours => {
            "calling hours and rules never open at once where they may be".to_owned()
        }
        Never::Held => "held until a start without callData".to_owned(),
        Never::Paused(reason) => format!("the batch pauses before: {}", reason.as_str()),
        Never::OutOfTime(word) => format!("not in time; waiting for {word}"),
        Never::OnThePhone => "still on the phone at the end".to_owned(),
    }
}
