//! Calls over SIP trunks: what a turn reads of the trunks, how they are, what is kept of a call.

use std::time::Duration;

use outdial_core::attempt::{AttemptProgress, AttemptState};
use outdial_core::batch::BatchSettings;
use outdial_core::dispatcher::{Head, LineLimits};
use outdial_core::id::{BatchId, PhoneId, TrunkId};
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    BatchStart, Committed, Integration, Settle, TrunkHealth, TrunkRecord, TrunkState,
};

use super::Factory;
use super::trunk::{full, made, number_over, over, plain, trunk};
use super::world::{World, workspace};

/// An active batch over these numbers.
async fn batch_over(w: &World, numbers: &[PhoneId]) -> BatchId {
    let batch = w.batch_with(BatchSettings::default()).await;
    let start = BatchStart { numbers: Some(numbers.to_vec()), call_data_lane: None };
    w.store.batch_start(w.ws, batch, start).await.unwrap();
    batch
}

/// Calls this number from `caller`, over `trunk`.
async fn dial(w: &World, callee: u64, caller: PhoneId, trunk: TrunkId) -> Committed {
    let batch = batch_over(w, &[caller]).await;
    w.add_numbers(batch, &[callee]).await;
    let due = w.due().await;
    let mut intent = w.intent(due.iter().find(|c| c.callee.digits() == callee).unwrap());
    (intent.intent.caller, intent.intent.trunk) = (caller, trunk);
    w.commit(vec![intent]).await.committed.remove(0)
}

pub(super) async fn head_in_order(f: &dyn Factory) {
    let w = World::new(f).await;
    let first = w.store.trunk_create(w.ws, full("first")).await.unwrap().id;
    let (second, idle) = (made(&w, "second").await.id, made(&w, "idle").await.id);
    let one = number_over(&w, 4_930_222, &[second, first]).await.id;
    let two = number_over(&w, 4_930_333, &[first, second]).await.id;
    number_over(&w, 4_930_444, &[idle]).await;
    // Two numbers share trunks, two batches share numbers.
    batch_over(&w, &[one, two]).await;
    batch_over(&w, &[two, one]).await;
    dial(&w, 49_301, one, first).await;
    let live = dial(&w, 49_302, two, first).await;

    let head = w.head().await;
    let listed: Vec<_> = head.numbers.iter().map(|n| (n.id, &*n.trunks, n.live)).collect();
    assert_eq!(listed, [(one, &[second, first][..], 1), (two, &[first, second], 1)]);
    let lines = |head: &Head| {
        let lines = head.trunks.iter().map(|t| (t.id, t.limits, t.live, t.is_down, t.max_call_s));
        lines.collect::<Vec<_>>()
    };
    let busy = |live| (first, full("first").limits, live, false, Some(900));
    let free = (second, LineLimits::default(), 0, false, None);
    assert_eq!(lines(&head), [busy(2), free], "none that no number here goes out over");

    w.complete(&live).await;
    w.store.phone_update(w.ws, one, over(&[first])).await.unwrap();
    w.store.phone_update(w.ws, two, over(&[first])).await.unwrap();
    let head = w.head().await;
    assert!(head.numbers.iter().all(|n| n.trunks == [first]));
    assert_eq!(lines(&head), [busy(1)]);
}

fn health(state: TrunkState, detail: &str, since: Timestamp) -> TrunkHealth {
    TrunkHealth { state, detail: Some(detail.to_owned()), since: Some(since) }
}

pub(super) async fn reports(f: &dyn Factory) {
    let w = World::new(f).await;
    let (a, b) = (made(&w, "a").await, made(&w, "b").await);
    let number = number_over(&w, 4_930_222, &[a.id, b.id]).await.id;
    batch_over(&w, &[number]).await;
    let report = async |of: &TrunkRecord, health: TrunkHealth| {
        w.store.trunk_report(vec![(of.id, of.updated_at, health)]).await.unwrap();
        (w.version().await, w.head().await.trunks.iter().map(|t| t.is_down).collect::<Vec<_>>())
    };
    let v = w.version().await;
    let now = w.now();
    // What was not known and what works are both dialed; only `down` makes a difference.
    let up = health(TrunkState::Up, "200 OK", now);
    assert_eq!(report(&a, up.clone()).await, (v, vec![false, false]));
    assert_eq!(trunk(&w, a.id).await, TrunkRecord { health: up.clone(), ..a.clone() });
    assert_eq!(report(&a, up.clone()).await, (v, vec![false, false]));
    let down = health(TrunkState::Down, "no answer", now);
    assert_eq!(report(&a, down.clone()).await, (v + 1, vec![true, false]));
    let worse = health(TrunkState::Down, "503", now);
    assert_eq!(report(&a, worse.clone()).await, (v + 1, vec![true, false]));
    assert_eq!(trunk(&w, a.id).await.health, worse, "remembered all the same");
    assert_eq!(report(&a, TrunkHealth::default()).await, (v + 2, vec![false, false]));
    assert_eq!(trunk(&w, a.id).await.health, TrunkHealth::default());
    assert_eq!(report(&b, down.clone()).await, (v + 3, vec![false, true]));

    // A change begins anew, and what was found before it is nobody's, though no time has passed.
    let changed = w.store.trunk_update(w.ws, b.id, None, full("b")).await.unwrap();
    assert_eq!(changed.health, TrunkHealth::default());
    assert!(changed.updated_at > b.updated_at);
    assert_eq!(report(&b, down.clone()).await, (v + 4, vec![false, false]));
    assert_eq!(trunk(&w, b.id).await, changed);
    assert_eq!(report(&changed, down.clone()).await, (v + 5, vec![false, true]));
    reports_of_several(&w, &a, down).await;
}

async fn reports_of_several(w: &World, a: &TrunkRecord, down: TrunkHealth) {
    let other = workspace(&*w.store, "other", 2).await.workspace;
    let theirs = w.store.trunk_create(other, plain("a")).await.unwrap();
    let gone = made(w, "gone").await;
    w.store.trunk_delete(w.ws, gone.id).await.unwrap();
    let nobody = TrunkId::from_parts(1, 1);
    let versions = w.versions([w.ws, other]).await;
    let of = |t: &TrunkRecord| (t.id, t.updated_at, down.clone());
    let found = vec![of(&gone), (nobody, w.now(), down.clone())];
    w.store.trunk_report(found).await.unwrap();
    w.store.trunk_report(Vec::new()).await.unwrap();
    assert_eq!(w.versions([w.ws, other]).await, versions, "of nobody that is there");

    let found = vec![of(&gone), of(&theirs), of(a)];
    w.store.trunk_report(found).await.unwrap();
    let now = w.versions([w.ws, other]).await;
    assert_eq!(now, versions.map(|v| v + 1), "each its own");
    assert_eq!(trunk(w, a.id).await.health, down);
    assert_eq!(w.store.trunk_list(other).await.unwrap()[0].health, down);
}

/// A trunk that is left alone for a while is so by whatever number, and whatever else changes.
pub(super) async fn pauses(f: &dyn Factory) {
    let w = World::new(f).await;
    let (a, b) = (made(&w, "a").await.id, made(&w, "b").await.id);
    let one = number_over(&w, 4_930_222, &[a, b]).await.id;
    let two = number_over(&w, 4_930_333, &[b]).await.id;
    batch_over(&w, &[one, two]).await;
    let live = dial(&w, 49_301, one, b).await;
    let until = w.now().after(Duration::from_secs(9));
    let settle = Settle { trunk_paused_until: Some(until), ..Settle::default() };
    w.settle(&live, settle).await;
    let paused: Vec<_> = w.head().await.trunks.iter().map(|t| (t.id, t.paused_until)).collect();
    assert_eq!(paused, [(a, None), (b, Some(until))]);
    assert_eq!(trunk(&w, b).await.paused_until, Some(until));
    let changed = w.store.trunk_update(w.ws, b, None, full("b")).await.unwrap();
    assert_eq!(changed.paused_until, Some(until));
}

pub(super) async fn open_attempts(f: &dyn Factory) {
    let mut w = World::new(f).await;
    let a = w.store.trunk_create(w.ws, full("a")).await.unwrap().id;
    let b = made(&w, "b").await.id;
    let number = number_over(&w, 4_930_222, &[a, b]).await.id;
    let live = dial(&w, 49_301, number, a).await;
    w.advance_s(1);
    let open = w.store.attempt_fetch(live.attempt).await.unwrap().unwrap();
    assert_eq!((open.trunk, open.integration, open.trunks), (a, Integration::Sip, 2));
    assert_eq!(open.ring_timeout, full("a").ring_timeout);
    assert_eq!((open.caller.digits(), open.send_by), (4_930_222, live.intent.intent.send_by));
    assert_eq!(open.dialog, None);

    // As many trunks as it has now; and a trunk that is gone is still the attempt's.
    w.store.phone_update(w.ws, number, over(&[b])).await.unwrap();
    w.store.trunk_delete(w.ws, a).await.unwrap();
    let open = w.store.attempt_fetch(live.attempt).await.unwrap().unwrap();
    assert_eq!((open.trunk, open.integration, open.trunks), (a, Integration::Sip, 1));
    // So is a number that is gone.
    w.store.phone_delete(w.ws, number).await.unwrap();
    w.store = w.db.process();
    let orphans = w.store.attempt_list_orphaned(10).await.unwrap();
    assert_eq!(orphans.len(), 1);
    assert_eq!((orphans[0].attempt, orphans[0].trunk), (live.attempt, a));
    assert_eq!((orphans[0].caller.digits(), orphans[0].trunks), (4_930_222, 0));
    let until = w.now().after(Duration::from_secs(9));
    w.settle(&live, Settle { trunk_paused_until: Some(until), ..Settle::default() }).await;
    let (_, call) = w.store.call_fetch(w.ws, live.intent.intent.call).await.unwrap().unwrap();
    assert_eq!((call.attempts[0].id, call.attempts[0].caller), (live.attempt, number));
}

pub(super) async fn dialogs(f: &dyn Factory) {
    let mut w = World::new(f).await;
    let a = made(&w, "a").await.id;
    let number = number_over(&w, 4_930_222, &[a]).await.id;
    let (one, two) = (dial(&w, 49_301, number, a).await, dial(&w, 49_302, number, a).await);
    let record = async |c: &Committed, state, dialog: Option<&str>| {
        let progress = AttemptProgress { state, at: w.now() };
        let dialog = dialog.map(str::to_owned);
        w.store.attempt_record(c.attempt, progress, dialog).await.unwrap()
    };
    assert!(record(&one, AttemptState::Ringing, None).await);
    let dialog = "{\"route\":[\"<sip:é;lr>\"],\n\"cseq\":1}";
    assert!(record(&one, AttemptState::Answered, Some(dialog)).await);
    assert!(!record(&one, AttemptState::Answered, Some("late")).await);
    // An answer with nothing to keep.
    assert!(record(&two, AttemptState::Answered, None).await);
    let kept = async |store: &dyn outdial_ports::Store, c: &Committed| {
        store.attempt_fetch(c.attempt).await.unwrap().unwrap().dialog
    };
    assert_eq!(kept(&*w.store, &one).await.as_deref(), Some(dialog));
    assert_eq!(kept(&*w.store, &two).await, None);

    // Another process finds it.
    w.store = w.db.process();
    let orphans = w.store.attempt_list_orphaned(10).await.unwrap();
    let found: Vec<_> = orphans.iter().map(|o| (o.attempt, o.dialog.as_deref())).collect();
    assert_eq!(found, [(one.attempt, Some(dialog)), (two.attempt, None)]);
    w.complete(&one).await;
    let progress = AttemptProgress { state: AttemptState::Answered, at: w.now() };
    let late = w.store.attempt_record(one.attempt, progress, Some("late".to_owned())).await;
    assert_eq!(late, Ok(false));
    assert_eq!(w.store.attempt_list_orphaned(10).await.unwrap().len(), 1);
}
