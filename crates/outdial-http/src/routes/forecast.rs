//! What is going to happen to a batch.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use outdial_core::batch::BatchState;
use outdial_core::forecast::{self, Assumptions, Input};
use outdial_core::id::BatchId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Segment, id};
use crate::app::App;
use crate::auth::{Caller, Reads};
use crate::error::{ApiError, ApiResult};
use crate::wire::envelope::Envelope;
use crate::wire::forecast::BatchForecast;
use crate::wire::page::Params;

const DAY: Duration = Duration::from_secs(86_400);
const DAYS_DEFAULT: u32 = 14;
/// Longest window that may be asked for.
pub(crate) const DAYS_MAX: u32 = 366;
/// Longest mean talk that may be assumed, in seconds.
pub(crate) const TALK_MAX_S: u32 = 14_400;
/// Most turns of the dispatcher for one request: some seconds of one processor.
const TURNS_MAX: u64 = 2_000_000;
/// A turn looks at every group; with more groups than this it costs more, and there are fewer.
const GROUPS_CHEAP: u64 = 64;
/// Most waiting calls, at some forty bytes each.
const CALLS_MAX: u64 = 2_000_000;
/// After so many seconds another forecast may have room.
const RETRY_S: u32 = 5;

/// What to assume.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct ForecastQuery {
    /// Length of the window, 1–366. Default 14.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 366)]
    days: Option<String>,
    /// Share of attempts that a person answers, 0–1. Default: as observed of the batch's own
    /// attempts once 50 of them have ended, else 0.3.
    #[param(value_type = Option<f64>, minimum = 0, maximum = 1)]
    answer_rate: Option<String>,
    /// Mean talk in seconds, 1–14,400. Default: as observed, else 60.
    #[param(value_type = Option<f64>, minimum = 1, maximum = 14_400)]
    talk_seconds: Option<String>,
}

/// When a batch will be done, calls per hour, peak channels, who is never reached and why: the
/// dispatcher itself, run on virtual time from now on, among the workspace's other active batches.
/// Of a batch that is not active: what happens if it is started now (`assumesStart`). Places no
/// call and changes nothing.
#[utoipa::path(get, path = "/api/call/forecast/{batchId}", operation_id = "forecastBatch",
    tag = "calling",
    params(("batchId" = String, Path, description = "Which batch"), ForecastQuery),
    responses((status = 200, body = Envelope<BatchForecast>, example = json!({
        "message": "Forecast made", "status": true, "code": 200, "errorMessage": "",
        "data": {
            "batchId": "64e5f12345abcdef98765432", "assumesStart": false,
            "from": "2026-06-01T08:00:00.000Z", "to": "2026-06-01T09:01:44.210Z",
            "ending": "done", "doneAt": "2026-06-01T09:01:44.210Z",
            "firstAttemptAt": "2026-06-01T08:00:00.010Z",
            "calls": 2000, "reached": 1312, "neverReached": 688,
            "never": [{"reason": "retries_used_up", "disposition": "no-answer", "calls": 688,
                "text": "the last attempt ended as no-answer, and there is no further one"}],
            "attempts": 3264, "answered": 1312, "peakChannels": {"batch": 10, "workspace": 14},
            "perHour": [{"start": "2026-06-01T08:00:00.000Z", "attempts": 3171, "answered": 1274},
                {"start": "2026-06-01T09:00:00.000Z", "attempts": 93, "answered": 38}],
            "assumptions": {"source": "given", "answerRate": 0.4, "voicemailRate": 0.2143,
                "noAnswerRate": 0.2743, "busyRate": 0.0686, "failedRate": 0.0429,
                "talkSeconds": 60, "ringSeconds": 15}
        }}))))]
pub(super) async fn fetch(
    caller: Caller<Reads>,
    State(app): State<Arc<App>>,
    Segment(batch): Segment,
    Params(query): Params<ForecastQuery>,
) -> ApiResult<Envelope<BatchForecast>> {
    let id: BatchId = id("batchId", &batch)?;
    let wish = Wish::parse(&query)?;
    let found = app.store.batch_fetch(id).await?.filter(|b| b.workspace == caller.workspace());
    let batch = found.ok_or_else(|| ApiError::not_found("batch"))?;
    let permit = Arc::clone(&app.forecasts).try_acquire_owned().map_err(|_| {
        let busy = "other forecasts are being made: ask again in a moment";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, busy).retry_after(RETRY_S)
    })?;
    let head = app.store.dispatch_head(caller.workspace(), Some(id)).await?;
    let waiting = app.store.dispatch_waiting(head.batches.iter().map(|b| b.id).collect()).await?;
    if waiting.iter().map(|bucket| bucket.count).sum::<u64>() > CALLS_MAX {
        let most = format!("more than {CALLS_MAX} calls wait: too many to forecast");
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, most));
    }
    let pulse = head.batches.iter().find(|b| b.id == id).map(|b| b.pulse_ever);
    let mut groups: Vec<_> = waiting.iter().map(|bucket| bucket.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let input = Input {
        until: head.clock.after(DAY * wish.days),
        head,
        waiting,
        batch: id,
        assumes_start: !matches!(batch.state, BatchState::Active | BatchState::Completed),
        assume: wish.assume(Assumptions::observed(&pulse.unwrap_or_default())),
        turns_max: TURNS_MAX * GROUPS_CHEAP / (GROUPS_CHEAP + groups.len() as u64),
    };
    let run = tokio::task::spawn_blocking(move || {
        // Held until the work is over, whether or not somebody still waits for it.
        let _permit = permit;
        forecast::run(input)
    });
    let made = run.await.map_err(|e| ApiError::internal(format!("a forecast: {e}")))?;
    let data = BatchForecast::of(Some(id.to_string()), &made);
    Ok(Envelope::ok("Forecast made", data))
}

/// What was asked, checked.
struct Wish {
    days: u32,
    answer_rate: Option<f64>,
    talk: Option<Duration>,
}

impl Wish {
    fn parse(query: &ForecastQuery) -> ApiResult<Self> {
        let days = match query.days.as_deref().map(str::parse) {
            None => DAYS_DEFAULT,
            Some(Ok(days)) if (1..=DAYS_MAX).contains(&days) => days,
            Some(_) => {
                let right = format!("days: write a whole number from 1 to {DAYS_MAX}");
                return Err(ApiError::bad(right));
            }
        };
        let answer_rate = number("answerRate", query.answer_rate.as_deref(), 0.0, 1.0)?;
        let talk = query.talk_seconds.as_deref();
        let talk = number("talkSeconds", talk, 1.0, f64::from(TALK_MAX_S))?;
        Ok(Self { days, answer_rate, talk: talk.map(Duration::from_secs_f64) })
    }

    fn assume(&self, observed: Assumptions) -> Assumptions {
        let rated = self.answer_rate.map_or(observed, |rate| observed.with_answer_rate(rate));
        self.talk.map_or(rated, |talk| rated.with_talk(talk))
    }
}

fn number(field: &str, text: Option<&str>, min: f64, max: f64) -> ApiResult<Option<f64>> {
    match text.map(str::parse::<f64>) {
        None => Ok(None),
        Some(Ok(n)) if (min..=max).contains(&n) => Ok(Some(n)),
        Some(_) => Err(ApiError::bad(format!("{field}: write a number from {min} to {max}"))),
    }
}
