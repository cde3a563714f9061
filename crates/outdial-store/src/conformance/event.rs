//! Facts become events: each once, in its place, with what was so.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use outdial_core::attempt::AttemptState;
use outdial_core::batch::{BatchSettings, BatchState, PauseReason};
use outdial_core::call::{CallNext, CallState, WaitReason};
use outdial_core::id::{AttemptId, BatchId, CallId};
use outdial_core::outcome::{Disposition, Outcome};
use outdial_ports::store::{
    BatchPatch, BatchStart, CallQuery, CallView, Committed, EVENT_KEPT_MS, EventKind, EventRecord,
    NewPlan, Settle,
};
use outdial_ports::{Entropy as _, Store};
use serde_json::Value;

use super::webhook::new_webhook;
use super::world::{World, completed, no_answer, query, record, workspace};
use super::{Factory, TestEntropy};

/// What a look saw: calls, with their rounds and whether they are finished; attempts that are
/// over; batches with their states.
#[derive(Default)]
struct Seen {
    calls: BTreeMap<CallId, (u32, Option<CallView>)>,
    over: BTreeMap<AttemptId, CallId>,
    states: BTreeMap<BatchId, BatchState>,
}

impl Seen {
    async fn look(w: &World, batches: &[BatchId]) -> Self {
        let mut seen = Self::default();
        for &batch in batches {
            let state = w.store.batch_fetch(batch).await.unwrap().unwrap().state;
            seen.states.insert(batch, state);
            for call in w.store.call_list(batch, all_calls()).await.unwrap().calls {
                for a in &call.attempts {
                    if matches!(a.state, AttemptState::Ended | AttemptState::Unknown) {
                        seen.over.insert(a.id, call.id);
                    }
                }
                let finished = (call.state == CallState::Finished).then(|| call.clone());
                seen.calls.insert(call.id, (call.facts.round, finished));
            }
        }
        seen
    }

    /// What must have been told between this look and a later one, as words, sorted.
    fn must_be_told(&self, later: &Self) -> Vec<String> {
        let mut told = Vec::new();
        for (id, (round, finished)) in &later.calls {
            let before = self.calls.get(id);
            let was_finished = before.is_some_and(|(r, f)| r == round && f.is_some());
            if let (Some(call), false) = (finished, was_finished) {
                let status = call.disposition.unwrap().as_str();
                told.push(format!("call.finished {id} {status} {}", call.fields));
            }
        }
        for (attempt, call) in &later.over {
            if !self.over.contains_key(attempt) {
                told.push(format!("call.attempted {call}"));
            }
        }
        for (batch, state) in &later.states {
            let is_told =
                matches!(state, BatchState::Active | BatchState::Paused | BatchState::Completed);
            if self.states.get(batch) != Some(state) && is_told {
                told.push(format!("batch.{} {batch}", state.as_str()));
            }
        }
        told.sort();
        told
    }
}

pub(super) fn data(event: &EventRecord) -> Value {
    serde_json::from_str(&event.data).unwrap()
}

/// An event in the words of [`Seen::must_be_told`]; the others as their kind.
fn words(event: &EventRecord) -> String {
    let data = data(event);
    let text = |key: &str| data[key].as_str().unwrap().to_owned();
    match event.kind {
        EventKind::CallFinished => {
            assert_eq!(event.batch.unwrap().to_string(), text("batchId"));
            let (call, status) = (text("callId"), text("callStatus"));
            // As it was sent, to the letter.
            let fields = event.data.split(r#""variables":"#).nth(1).unwrap();
            format!("call.finished {call} {status} {}", fields.strip_suffix('}').unwrap())
        }
        EventKind::CallAttempted => {
            assert!(data["attempt"]["number"].as_u64().unwrap() >= 1);
            assert!(data.get("variables").is_none());
            format!("call.attempted {}", text("callId"))
        }
        EventKind::BatchActive | EventKind::BatchCompleted | EventKind::BatchPaused => {
            assert_eq!(event.kind.as_str(), format!("batch.{}", text("queue_status")));
            format!("{} {}", event.kind.as_str(), text("batchId"))
        }
        EventKind::DncAdded | EventKind::WebhookDisabled => event.kind.as_str().to_owned(),
    }
}

/// What was told so far, beside what was seen.
#[derive(Default)]
struct Told {
    seen: Seen,
    position: u64,
    count: BTreeMap<EventKind, u32>,
}

impl Told {
    /// What happened since the last time is told, and so many numbers were listed.
    async fn check(&mut self, w: &World, batches: &[BatchId], listed: usize, step: &str) {
        let seen = Seen::look(w, batches).await;
        let events = numbered(w, self.position).await;
        let mut told: Vec<String> = events.iter().map(words).collect();
        told.sort();
        let of_numbers = told.iter().filter(|t| *t == "dnc.added").count();
        told.retain(|t| t != "dnc.added");
        assert_eq!(told, self.seen.must_be_told(&seen), "{step}");
        assert_eq!(of_numbers, listed, "{step}");
        for event in &events {
            *self.count.entry(event.kind).or_default() += 1;
        }
        self.position += u64::try_from(events.len()).unwrap();
        self.seen = seen;
    }

    /// Every kind came, and often enough to mean something.
    fn is_enough(&self) {
        let count = &self.count;
        let enough = |kind, least: u32| {
            assert!(count.get(&kind).is_some_and(|n| *n >= least), "{kind:?} {count:?}");
        };
        enough(EventKind::CallFinished, 40);
        enough(EventKind::CallAttempted, 30);
        enough(EventKind::BatchActive, 3);
        enough(EventKind::BatchPaused, 1);
        enough(EventKind::BatchCompleted, 1);
        enough(EventKind::DncAdded, 1);
    }
}

/// Numbers all there is, and reads what is new.
pub(super) async fn numbered(w: &World, after: u64) -> Vec<EventRecord> {
    while w.store.event_number(7).await.unwrap() > 0 {}
    let page = w.store.event_list(w.ws, after, 10_000).await.unwrap();
    let positions: Vec<u64> = page.events.iter().map(|e| e.position).collect();
    assert_eq!(positions, (after + 1..=page.latest).collect::<Vec<_>>());
    page.events
}

/// Random moves; whatever they did is told once, and nothing else.
pub(super) async fn whatever_happens_is_told_once(f: &dyn Factory) {
    let mut w = World::new(f).await;
    let dice = TestEntropy::default();
    let roll = |sides: u64| dice.next_u64() % sides;
    let expiring = BatchSettings {
        retry: 3,
        expires_at: Some(w.now().after(std::time::Duration::from_secs(40_000))),
        ..BatchSettings::default()
    };
    let batches = [w.batch().await, w.batch_with(expiring).await, w.batch_with(retrying(3)).await];
    let mut live: Vec<Committed> = Vec::new();
    let mut last: Vec<Committed> = Vec::new();
    let mut told = Told { seen: Seen::look(&w, &batches).await, ..Told::default() };
    for step in 0..260 {
        let batch = batches[usize::try_from(roll(3)).unwrap()];
        let mut listed = 0;
        match roll(12) {
            0 | 1 => add(&w, batch, &roll).await,
            2..=4 => {
                let due: Vec<_> = w.due().await.iter().map(|c| w.intent(c)).collect();
                let some = due.into_iter().take(4).collect();
                live.extend(w.commit(some).await.committed);
            }
            5..=7 if !live.is_empty() => {
                let place = usize::try_from(roll(u64::try_from(live.len()).unwrap())).unwrap();
                let c = live.swap_remove(place);
                end(&w, &c, &roll).await;
                last.push(c);
            }
            8 => {
                let calls = w.store.call_list(batch, all_calls()).await.unwrap().calls;
                if let Some(call) = calls.first() {
                    w.store.call_cancel(w.ws, call.id).await.unwrap();
                }
                if let Some(call) = calls.last() {
                    w.store.call_give_up(w.ws, call.id, "undecided").await.unwrap();
                }
            }
            9 => match last.pop() {
                Some(c) if step > 130 && roll(3) == 0 => {
                    listed = usize::from(w.list(&c).await.is_ok());
                }
                _ => settings(&w, batches[2], u8::try_from(roll(4)).unwrap()).await,
            },
            10 => state_moves(&w, batch, &roll).await,
            _ => {
                w.advance_s(60 * roll(10));
                w.store.batch_expire_due(3).await.unwrap();
            }
        }
        told.check(&w, &batches, listed, &format!("step {step}")).await;
        if step == 200 {
            // Another process goes on where this one was.
            w.store = w.db.process();
            live.clear();
            for o in w.store.attempt_list_orphaned(1000).await.unwrap() {
                let end = w.end(AttemptState::Unknown, completed());
                let next = CallNext::Finished(Disposition::Unknown);
                w.store.attempt_finish(o.attempt, end, next, Settle::default()).await.unwrap();
            }
        }
    }
    for batch in batches {
        w.store.batch_start(w.ws, batch, BatchStart::default()).await.unwrap();
    }
    told.check(&w, &batches, 0, "started once more").await;
    wind_up(&w, &batches).await;
    told.check(&w, &batches, 0, "in the end").await;
    told.is_enough();
}

/// Everything is taken back, and what is on the phone ends: the batches complete.
async fn wind_up(w: &World, batches: &[BatchId]) {
    for &batch in batches {
        for call in w.store.call_list(batch, all_calls()).await.unwrap().calls {
            w.store.call_cancel(w.ws, call.id).await.unwrap();
            let live = call.attempts.last().filter(|a| !a.state.is_over());
            if let Some(attempt) = live {
                let end = w.end(AttemptState::Ended, completed());
                let next = CallNext::Finished(Disposition::Completed);
                w.store.attempt_finish(attempt.id, end, next, Settle::default()).await.unwrap();
            }
        }
    }
    assert_eq!(w.store.batch_close_due(10).await.unwrap().len(), batches.len());
}

fn all_calls() -> CallQuery {
    CallQuery { limit: 100, ..query() }
}

fn retrying(retry: u8) -> BatchSettings {
    BatchSettings { retry, ..BatchSettings::default() }
}

async fn add(w: &World, batch: BatchId, roll: &impl Fn(u64) -> u64) {
    let mut records = Vec::new();
    for number in (49_300..49_312).filter(|_| roll(3) == 0) {
        let mut one = record(number);
        one.fields = format!(r#"{{"phoneNumber":"{number}","n":{}}}"#, roll(1000)).into();
        if roll(5) == 0 {
            one.blocked = Some((Disposition::Skipped, "no_common_hours"));
        }
        records.push(one);
    }
    w.add(batch, records).await;
}

async fn end(w: &World, c: &Committed, roll: &impl Fn(u64) -> u64) {
    let uncharged = Outcome { charged: false, ..no_answer() };
    let (state, outcome) = match roll(4) {
        0 => (AttemptState::NotSent, uncharged),
        1 => (AttemptState::Unknown, no_answer()),
        2 => (AttemptState::Ended, no_answer()),
        _ => (AttemptState::Ended, completed()),
    };
    let next = if state == AttemptState::NotSent || roll(2) == 0 {
        CallNext::Pending { not_before: w.now(), reason: WaitReason::RetryDelay, is_retry: true }
    } else {
        CallNext::Finished(outcome.disposition)
    };
    let end = w.end(state, outcome);
    w.store.attempt_finish(c.attempt, end, next, Settle::default()).await.unwrap();
}

/// Fewer retries: those that are not allowed any more finish.
async fn settings(w: &World, batch: BatchId, retry: u8) {
    let patch = BatchPatch { settings: Some(retrying(retry)), ..BatchPatch::default() };
    w.store.batch_update(w.ws, batch, patch).await.unwrap();
}

async fn state_moves(w: &World, batch: BatchId, roll: &impl Fn(u64) -> u64) {
    match roll(4) {
        0 => drop(w.store.batch_stop(w.ws, batch).await.unwrap()),
        1 => drop(w.store.batch_close_due(10).await.unwrap()),
        2 => {
            let pauses = vec![(batch, PauseReason::Failures), (batch, PauseReason::Failures)];
            let plan = NewPlan { pauses, ..NewPlan::default() };
            let version = w.version().await;
            w.store.attempt_commit_intents(w.ws, version, plan).await.unwrap();
        }
        _ => drop(w.store.batch_start(w.ws, batch, BatchStart::default()).await.unwrap()),
    }
}

/// What the events of one journey say.
pub(super) async fn what_is_told(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let calls = w.add_numbers(batch, &[49_301, 49_302]).await;
    let live = w.dial_all().await;
    w.advance_s(3);
    w.complete(&live[0]).await;
    w.retry_later(&live[1]).await;
    w.list(&live[1]).await.unwrap();
    w.store.batch_close_due(10).await.unwrap();
    let events = numbered(&w, 0).await;
    let kinds: Vec<&str> = events.iter().map(|e| e.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "batch.active",
            "call.attempted",
            "call.finished",
            "call.attempted",
            "dnc.added",
            "call.finished",
            "batch.completed",
        ]
    );
    let first = data(&events[0]);
    assert_eq!(first["batchId"], batch.to_string());
    assert_eq!(first["totals"]["total"], 2);
    let attempted = data(&events[1]);
    assert_eq!(attempted["callId"], calls[0].to_string());
    assert_eq!(attempted["attempts"], 1);
    let finished = data(&events[2]);
    assert_eq!(
        (&finished["callStatus"], &finished["phoneNumber"]),
        (&Value::from("completed"), &Value::from("49301"))
    );
    assert_eq!(finished["attempt"]["requestUUID"], attempted["attempt"]["requestUUID"]);
    assert_eq!(finished["variables"]["phoneNumber"], "49301");
    let listed = data(&events[4]);
    assert_eq!(listed["phoneNumber"], "49302");
    let skipped = data(&events[5]);
    assert_eq!(
        (&skipped["callStatus"], &skipped["reason"]),
        (&Value::from("skipped"), &Value::from("do_not_call"))
    );
    assert_eq!(skipped["attempt"]["callStatus"], data(&events[3])["callStatus"]);
    let last = data(&events[6]);
    assert_eq!(
        (&last["totals"]["finished"], &last["totals"]["completed"]),
        (&Value::from(2), &Value::from(1))
    );
    // Nobody else is told, and no id comes twice.
    let other = workspace(&*w.store, "second", 77).await.workspace;
    let theirs = w.store.event_list(other, 0, 10).await.unwrap();
    assert_eq!((theirs.events.len(), theirs.oldest, theirs.latest), (0, 1, 0));
    let mut ids: Vec<_> = events.iter().map(|e| e.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), events.len());
    let tail = w.store.event_list(w.ws, 5, 1).await.unwrap();
    assert_eq!((tail.events[0].clone(), tail.latest), (events[5].clone(), 7));
    assert_eq!(w.store.event_backlog().await.unwrap().oldest_fact, None);
    let active: Vec<_> = w.store.batch_list_active(w.ws).await.unwrap();
    assert!(active.is_empty());
    w.add_numbers(batch, &[49_303]).await;
    assert_eq!(w.store.batch_list_active(w.ws).await.unwrap()[0].id, batch);
    assert_eq!(w.store.event_backlog().await.unwrap().oldest_fact, Some(w.now()));
}

/// Several number while facts are written: places and sequences have no gap, and none twice.
pub(super) async fn numberers_at_once(f: &dyn Factory) {
    let w = World::new(f).await;
    let (one, other) = (w.batch().await, w.batch().await);
    let hook = w.store.webhook_create(w.ws, new_webhook("a", None)).await.unwrap();
    let only = Some(vec![EventKind::CallFinished]);
    w.store.webhook_create(w.ws, new_webhook("b", only)).await.unwrap();
    let ids: Vec<CallId> = [
        w.add_numbers(one, &(49_100..49_160).collect::<Vec<_>>()).await,
        w.add_numbers(other, &(49_100..49_160).collect::<Vec<_>>()).await,
    ]
    .concat();
    let number = |store: Arc<dyn Store>| async move {
        let mut count = 0;
        for _ in 0..40 {
            count += store.event_number(5).await.unwrap();
        }
        count
    };
    let cancel = ids.chunks(30).map(|some| {
        let (store, ws) = (Arc::clone(&w.store), w.ws);
        async move {
            for id in some {
                store.call_cancel(ws, *id).await.unwrap();
            }
            0
        }
    });
    let stores = (0..3).map(|_| Arc::clone(&w.store));
    let counts = futures_util::future::join(join_all(stores.map(number)), join_all(cancel)).await;
    let rest = numbered(&w, 0).await;
    assert!(counts.0.iter().sum::<u32>() > 0);
    assert_eq!(rest.len(), 122);
    let mut sequences = BTreeMap::<_, Vec<u64>>::new();
    loop {
        let jobs = w.store.delivery_claim(1000, 1000, &[]).await.unwrap();
        if jobs.is_empty() {
            break;
        }
        for job in jobs {
            sequences.entry((job.webhook.id, job.event.batch)).or_default().push(job.sequence);
        }
    }
    assert_eq!(sequences.len(), 4);
    for ((webhook, _), mut numbers) in sequences {
        numbers.sort_unstable();
        let most = if webhook == hook.id { 61 } else { 60 };
        assert_eq!(numbers, (1..=most).collect::<Vec<u64>>());
    }
}

/// Events are forgotten after 72 h; positions go on, and what is gone is said.
pub(super) async fn forgetting(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let calls = w.add_numbers(batch, &[49_301, 49_302, 49_303]).await;
    w.store.call_cancel(w.ws, calls[0]).await.unwrap();
    assert_eq!(numbered(&w, 0).await.len(), 2);
    assert_eq!(w.store.event_prune(10).await.unwrap(), 0);
    w.advance_s(EVENT_KEPT_MS.unsigned_abs() / 1000 - 60);
    w.store.call_cancel(w.ws, calls[1]).await.unwrap();
    numbered(&w, 2).await;
    w.advance_s(60);
    assert_eq!(w.store.event_prune(1).await.unwrap(), 1);
    assert_eq!(w.store.event_prune(10).await.unwrap(), 1);
    let page = w.store.event_list(w.ws, 0, 10).await.unwrap();
    assert_eq!((page.oldest, page.latest), (3, 3));
    assert_eq!(page.events.iter().map(|e| e.position).collect::<Vec<_>>(), [3]);
    w.advance_s(EVENT_KEPT_MS.unsigned_abs() / 1000);
    assert_eq!(w.store.event_prune(10).await.unwrap(), 1);
    let page = w.store.event_list(w.ws, 0, 10).await.unwrap();
    assert_eq!((page.events.len(), page.oldest, page.latest), (0, 4, 3));
    w.store.call_cancel(w.ws, calls[2]).await.unwrap();
    assert_eq!(numbered(&w, 3).await[0].position, 4);
}
