//! One batch: how it stands, and live edits.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use outdial_core::batch::BatchSettings;
use outdial_core::contact::Never;
use outdial_core::dispatcher::Bucket;
use outdial_core::hours::CallingHours;
use outdial_core::id::{BatchId, PhoneId, WorkspaceId};
use outdial_core::settings::CallingRules;
use outdial_core::time::Timestamp;
use outdial_core::zone::{Class, Zone};
use outdial_ports::store::{BatchRecord, BatchUpdateError};

use super::{Segment, id};
use crate::app::App;
use crate::auth::{Caller, Reads, Writes};
use crate::body::JsonBody;
use crate::error::{ApiError, ApiResult};
use crate::outlook;
use crate::wire::batch_details::BatchDetails;
use crate::wire::batch_settings::{PRICE_IT, PatchBatch, check_prices};
use crate::wire::envelope::Envelope;
use crate::wire::faults::Faults;

/// How many sets of zones a refusal names.
const CLASSES_SHOWN: usize = 5;

/// A batch with its settings, and its pending calls counted by what they wait for. While calls are
/// placed the counts are read an instant apart.
#[utoipa::path(get, path = "/api/call/batch/{id}", operation_id = "getBatch",
    tag = "calling",
    params(("id" = String, Path, description = "Which batch")),
    responses((status = 200, body = Envelope<BatchDetails>)))]
pub(super) async fn fetch(
    caller: Caller<Reads>,
    State(app): State<Arc<App>>,
    Segment(batch): Segment,
) -> ApiResult<Envelope<BatchDetails>> {
    let batch = own(&app, caller.workspace(), id("id", &batch)?).await?;
    Ok(Envelope::ok("Batch fetched successfully", shown(&app, &batch).await?))
}

/// Changes a batch while it runs: holds within a second, and cuts no live call.
#[utoipa::path(patch, path = "/api/call/batch/{id}", operation_id = "updateBatch",
    tag = "calling",
    request_body(content = PatchBatch, example = json!({"batchName": "Marketing Campaign May 2025",
        "callingHour": {"start": "09:00", "end": "17:00"}, "allowedDays": [1, 2, 3, 4, 5],
        "concurrency": 20, "budget": {"money": 250, "perDay": true}})),
    params(("id" = String, Path, description = "Which batch")),
    responses((status = 200, body = Envelope<BatchDetails>)))]
pub(super) async fn update(
    caller: Caller<Writes>,
    State(app): State<Arc<App>>,
    Segment(batch): Segment,
    body: JsonBody<PatchBatch>,
) -> ApiResult<Envelope<BatchDetails>> {
    let (workspace, batch) = (caller.workspace(), id("id", &batch)?);
    if let Some(user) = &body.value.user_id {
        caller.check_user(user)?;
    }
    let mut edit = app.edits.begin("batch", batch).await;
    let new = loop {
        match update_once(&app, workspace, batch, body.value.clone()).await? {
            Some(new) => break new,
            None => edit.again()?,
        }
    };
    // What is shown may take its time.
    drop(edit);
    app.wake.notify_one();
    Ok(Envelope::ok("Batch updated successfully", shown(&app, &new).await?))
}

/// None: somebody else has changed its settings since they were read.
async fn update_once(
    app: &App,
    workspace: WorkspaceId,
    batch: BatchId,
    wish: PatchBatch,
) -> ApiResult<Option<BatchRecord>> {
    let old = own(app, workspace, batch).await?;
    let mut patch = wish.parse(&old.settings, app.clock.now())?;
    if patch.settings.is_some() || patch.numbers.is_some() {
        let settings = patch.settings.as_ref().unwrap_or(&old.settings);
        let numbers = patch.numbers.as_ref().unwrap_or(&old.numbers);
        let is_costly = |s: &BatchSettings| (s.budget, s.max_call_s);
        if is_costly(settings) != is_costly(&old.settings) || *numbers != old.numbers {
            affordable(app, workspace, settings, numbers).await?;
        }
        if settings.calling_hours != old.settings.calling_hours {
            callable(app, &old, &settings.calling_hours).await?;
        }
        patch.was = Some(old.settings);
    }
    match app.store.batch_update(workspace, batch, patch).await {
        Err(BatchUpdateError::Changed) => Ok(None),
        other => other.map(Some).map_err(refused),
    }
}

/// Checks a budget of money against what the calling numbers cost. Numbers that are not there are
/// left to the store, which knows whose they are.
pub(super) async fn affordable(
    app: &App,
    workspace: WorkspaceId,
    settings: &BatchSettings,
    numbers: &[PhoneId],
) -> ApiResult<()> {
    if settings.budget.is_none_or(|b| b.micros.is_none()) {
        return Ok(());
    }
    let all = app.store.phone_list(workspace).await?;
    let price = |id: &PhoneId| all.iter().find(|p| p.id == *id).map(|p| p.price);
    match numbers.iter().map(price).collect::<Option<Vec<_>>>() {
        Some(prices) => check_prices(settings, &prices, PRICE_IT),
        None => Ok(()),
    }
}

/// Refuses calling hours that leave waiting calls without an instant, where those before leave one:
/// such a call would wait for ever.
async fn callable(app: &App, old: &BatchRecord, hours: &CallingHours) -> ApiResult<()> {
    let rules = app.store.settings_fetch(old.workspace).await?.calling_rules;
    let waiting = app.store.dispatch_waiting(vec![old.id]).await?;
    let (before, after, at) = (old.settings.calling_hours.clone(), hours.clone(), app.clock.now());
    // Each class costs up to milliseconds.
    let judged =
        tokio::task::spawn_blocking(move || stranded(&waiting, &before, &after, rules, at));
    let stranded = judged.await.map_err(|e| ApiError::internal(format!("calling hours: {e}")))?;
    let calls: u64 = stranded.iter().map(|(_, calls)| calls).sum();
    if calls == 0 {
        return Ok(());
    }
    let mut whose: Vec<String> = stranded
        .iter()
        .take(CLASSES_SHOWN)
        .map(|(class, calls)| format!("{calls} in {}", where_about(class)))
        .collect();
    if let Some(more) = stranded.len().checked_sub(CLASSES_SHOWN).filter(|more| *more > 0) {
        whose.push(format!("the others in {more} further sets of zones"));
    }
    let mut faults = Faults::default();
    let text = format!(
        "{calls} waiting call{} would never be placed ({}): these hours and the calling rules have \
         no common instant there within 14 days; widen the hours, or make another batch",
        if calls == 1 { "" } else { "s" },
        whose.join("; "),
    );
    faults.add("callingHour", text);
    faults.finish()
}

/// Where waiting calls could be placed before and could not after, the most first.
fn stranded(
    waiting: &[Bucket],
    before: &CallingHours,
    after: &CallingHours,
    rules: CallingRules,
    at: Timestamp,
) -> Vec<(Arc<Class>, u64)> {
    let mut classes: BTreeMap<u32, (Arc<Class>, u64)> = BTreeMap::new();
    for bucket in waiting {
        let zones = || (Arc::clone(&bucket.zones), 0);
        classes.entry(bucket.group.class).or_insert_with(zones).1 += bucket.count;
    }
    let never = |class: &Class, hours| Never::of(class, hours, rules, at).is_some();
    let mut lost: Vec<_> = classes
        .into_values()
        .filter(|(class, _)| never(class, after) && !never(class, before))
        .collect();
    lost.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
    lost
}

/// `America/New_York`, or how many zones.
fn where_about(class: &Class) -> String {
    let zones: Vec<&str> = class.zones().iter().map(Zone::name).collect();
    match zones.as_slice() {
        few @ ([_] | [_, _]) => few.join(" or "),
        many => format!("one of {} zones", many.len()),
    }
}

async fn own(app: &App, workspace: WorkspaceId, batch: BatchId) -> ApiResult<BatchRecord> {
    let found = app.store.batch_fetch(batch).await?.filter(|b| b.workspace == workspace);
    found.ok_or_else(|| ApiError::not_found("batch"))
}

async fn shown(app: &App, batch: &BatchRecord) -> ApiResult<BatchDetails> {
    let (head, waiting) = outlook::waiting(app, batch).await?;
    Ok(BatchDetails::of(batch, &head, waiting))
}

fn refused(e: BatchUpdateError) -> ApiError {
    let outer = e.to_string();
    match e {
        BatchUpdateError::NotFound => ApiError::not_found("batch"),
        BatchUpdateError::UnknownNumber(_) => ApiError::new(StatusCode::NOT_FOUND, outer),
        BatchUpdateError::AgentsDiffer => {
            ApiError::bad(format!("{outer}: bind them to one agent, or make several batches"))
        }
        BatchUpdateError::Changed => ApiError::new(StatusCode::CONFLICT, outer),
        BatchUpdateError::Store(e) => e.into(),
    }
}
