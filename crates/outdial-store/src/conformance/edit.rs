//! Live edits: batches changed, expired, closed while paused; calls taken back.

use std::time::Duration;

use outdial_core::attempt::AttemptState;
use outdial_core::batch::{BatchSettings, BatchState, PauseReason};
use outdial_core::call::{CallNext, CallState, WaitReason};
use outdial_core::id::{CallId, PhoneId};
use outdial_core::outcome::{Disposition, Outcome};
use outdial_ports::store::{
    BatchPatch, BatchStart, BatchUpdateError, CallCanceled, CommitError, DropReason, NewPlan,
};

use super::Factory;
use super::world::{World, agent_spec, no_answer, phone, record, workspace};

pub(super) async fn update(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    w.add_numbers(batch, &[49_301, 49_302]).await;
    let live = w.commit(vec![w.intent(&w.due().await[0])]).await.committed;
    let plan: Vec<_> = w.due().await.iter().map(|c| w.intent(c)).collect();
    let before = w.version().await;
    let old = w.store.batch_fetch(batch).await.unwrap().unwrap();
    w.advance_s(1);
    let same = w.store.batch_update(w.ws, batch, BatchPatch::default()).await.unwrap();
    assert_eq!((same.name.as_str(), &same.settings), (old.name.as_str(), &old.settings));
    assert_eq!(same.numbers, old.numbers);
    assert_eq!(w.try_commit(before, plan).await, Err(CommitError::Stale));
    assert_eq!(w.version().await, before + 1);

    let second = phone(&*w.store, w.ws, 4_930_222, Some(w.agent)).await.id;
    let settings = BatchSettings { retry: 4, concurrency: Some(2), ..BatchSettings::default() };
    let patch = BatchPatch {
        name: Some("June".to_owned()),
        settings: Some(settings.clone()),
        was: Some(old.settings),
        numbers: Some(vec![second, w.phone]),
    };
    let changed = w.store.batch_update(w.ws, batch, patch).await.unwrap();
    assert_eq!((changed.name.as_str(), &changed.settings), ("June", &settings));
    assert_eq!((changed.numbers.as_slice(), changed.updated_at), (&[second, w.phone][..], w.now()));
    assert_eq!((changed.state, changed.totals.live), (BatchState::Active, 1));
    assert_eq!(w.store.batch_fetch(batch).await.unwrap().unwrap(), changed);
    assert_eq!(*w.batch_head(batch).await.settings, settings);
    // The call on the phone goes on, and what follows it goes by the settings as they are.
    let open = w.store.attempt_fetch(live[0].attempt).await.unwrap().unwrap();
    assert_eq!(open.settings, settings);
    w.retry_later(&live[0]).await;
}

pub(super) async fn update_refused(f: &dyn Factory) {
    let w = World::new(f).await;
    let other = workspace(&*w.store, "other", 2).await.workspace;
    let theirs = phone(&*w.store, other, 4_930_222, None).await.id;
    let bob = w.store.agent_create(w.ws, agent_spec("Bob")).await.unwrap().id;
    let bobs = phone(&*w.store, w.ws, 4_930_333, Some(bob)).await.id;
    let batch = w.batch().await;
    let old = w.store.batch_fetch(batch).await.unwrap();
    let before = w.version().await;
    let numbers = |n: &[PhoneId]| BatchPatch {
        name: Some("changed".to_owned()),
        numbers: Some(n.to_vec()),
        ..BatchPatch::default()
    };
    let update = |p| w.store.batch_update(w.ws, batch, p);
    let foreign = w.store.batch_update(other, batch, BatchPatch::default()).await;
    assert_eq!(foreign, Err(BatchUpdateError::NotFound));
    for lost in [theirs, PhoneId::from_parts(1, 1)] {
        let refused = update(numbers(&[w.phone, lost])).await;
        assert_eq!(refused, Err(BatchUpdateError::UnknownNumber(lost)));
    }
    assert_eq!(update(numbers(&[w.phone, bobs])).await, Err(BatchUpdateError::AgentsDiffer));
    assert_eq!(w.store.batch_fetch(batch).await.unwrap(), old);
    assert_eq!(w.version().await, before);
    w.store.batch_delete(w.ws, batch).await.unwrap();
    assert_eq!(update(BatchPatch::default()).await, Err(BatchUpdateError::NotFound));
}

/// Numbers lift the pause for want of them, and no other.
pub(super) async fn switches(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    w.add_numbers(batch, &[49_301]).await;
    w.store.phone_delete(w.ws, w.phone).await.unwrap();
    let state = async || {
        let b = w.store.batch_fetch(batch).await.unwrap().unwrap();
        (b.state, b.pause_reason)
    };
    assert_eq!(state().await, (BatchState::Paused, Some(PauseReason::NoNumbers)));
    let second = phone(&*w.store, w.ws, 4_930_222, Some(w.agent)).await.id;
    let numbers = || BatchPatch { numbers: Some(vec![second]), ..BatchPatch::default() };
    w.store.batch_update(w.ws, batch, numbers()).await.unwrap();
    assert_eq!(state().await, (BatchState::Active, None));
    let pauses = vec![(batch, PauseReason::Budget)];
    let plan = NewPlan { pauses, ..NewPlan::default() };
    w.store.attempt_commit_intents(w.ws, w.version().await, plan).await.unwrap();
    w.store.batch_update(w.ws, batch, numbers()).await.unwrap();
    assert_eq!(state().await, (BatchState::Paused, Some(PauseReason::Budget)));
    w.store.batch_stop(w.ws, batch).await.unwrap();
    w.store.batch_update(w.ws, batch, numbers()).await.unwrap();
    assert_eq!(state().await, (BatchState::Stopped, None));
}

/// Retries that wait go by the settings as they are.
pub(super) async fn retries_follow(f: &dyn Factory) {
    let w = World::new(f).await;
    let with = |retry, delay_s| BatchSettings { retry, delay_s, ..BatchSettings::default() };
    let (batch, other) = (w.batch_with(with(3, 60)).await, w.batch_with(with(3, 60)).await);
    let ids = w.add_numbers(batch, &[49_301, 49_302, 49_303, 49_304]).await;
    let bystander = w.add_numbers(other, &[49_305]).await[0];
    let live = w.dial_all().await;
    let ended = w.now();
    let of = |id| live.iter().find(|c| c.intent.intent.call == id).unwrap();
    let unknown = Outcome { disposition: Disposition::Unknown, ..no_answer() };
    let in_a_minute = CallNext::Pending {
        not_before: ended.after(Duration::from_secs(60)),
        reason: WaitReason::RetryDelay,
        is_retry: true,
    };
    w.retry_later(of(ids[0])).await;
    w.finish(of(ids[1]), unknown, in_a_minute).await;
    let unreached = Outcome { charged: false, disposition: Disposition::Failed, ..no_answer() };
    let no_retry = CallNext::Pending {
        not_before: ended.after(Duration::from_secs(4)),
        reason: WaitReason::CarrierUnavailable,
        is_retry: false,
    };
    w.finish(of(ids[2]), unreached, no_retry).await;
    w.retry_later(of(bystander)).await;
    w.advance_s(10);

    let set = async |settings| {
        let patch = BatchPatch { settings: Some(settings), ..BatchPatch::default() };
        w.store.batch_update(w.ws, batch, patch).await.unwrap();
    };
    let waits_s = async |id| {
        let at = w.call(id).await.waiting.unwrap().not_before;
        at.since(ended).as_secs()
    };
    // Longer and shorter; what ended as unknown rests a minute; what is over by now is due now.
    for (delay_s, waits, unknown) in [(300, 300, 300), (20, 20, 60), (5, 10, 60), (600, 605, 600)] {
        set(with(3, delay_s)).await;
        assert_eq!((waits_s(ids[0]).await, waits_s(ids[1]).await), (waits, unknown), "{delay_s}");
    }
    assert_eq!((waits_s(ids[2]).await, waits_s(bystander).await), (4, 60), "not for the delay");
    w.retry_later(of(ids[3])).await;

    // One retry less than three: all have it still. None: those who were reached are done.
    set(with(1, 600)).await;
    assert_eq!(w.totals(batch).await.finished, 0);
    let before = w.version().await;
    w.advance_s(1);
    set(with(0, 600)).await;
    assert_eq!(w.version().await, before + 1);
    for (id, disposition) in [
        (ids[0], Disposition::NoAnswer),
        (ids[1], Disposition::Unknown),
        (ids[3], Disposition::NoAnswer),
    ] {
        let call = w.call(id).await;
        let told = (call.state, call.disposition, call.disposition_reason, call.updated_at);
        assert_eq!(told, (CallState::Finished, Some(disposition), None, w.now()));
    }
    assert_eq!(w.call(ids[2]).await.state, CallState::Pending, "nobody was reached");
    let totals = w.totals(batch).await;
    assert_eq!((totals.pending, totals.finished, totals.completed), (1, 3, 0));
    assert_eq!(w.call(bystander).await.state, CallState::Pending);
}

pub(super) async fn cancel(f: &dyn Factory) {
    let w = World::new(f).await;
    let other = workspace(&*w.store, "other", 2).await.workspace;
    let batch = w.batch().await;
    let ids = w.add_numbers(batch, &[49_301, 49_302]).await;
    let live = w.commit(vec![w.intent(&w.due().await[0])]).await.committed;
    let on_phone = live[0].intent.intent.call;
    let pending = *ids.iter().find(|id| **id != on_phone).unwrap();
    let cancel = |id| w.store.call_cancel(w.ws, id);
    assert_eq!(w.store.call_cancel(other, pending).await.unwrap(), None);
    let forged = CallId::from_parts(pending.seconds() + 1, pending.seq());
    assert_eq!(cancel(forged).await.unwrap(), None);

    let plan: Vec<_> = w.due().await.iter().map(|c| w.intent(c)).collect();
    let before = w.version().await;
    w.advance_s(1);
    assert_eq!(cancel(pending).await.unwrap(), Some(CallCanceled::Canceled));
    assert_eq!(w.version().await, before);
    let out = w.try_commit(before, plan).await.unwrap();
    assert_eq!((out.committed.len(), out.dropped[0].reason), (0, DropReason::NotPending));
    let call = w.call(pending).await;
    assert_eq!((call.state, call.disposition), (CallState::Finished, Some(Disposition::Canceled)));
    assert_eq!(call.disposition_reason.as_deref(), Some("cancel_requested"));
    assert_eq!((call.updated_at, call.waiting, call.group), (w.now(), None, None));
    assert_eq!(cancel(pending).await.unwrap(), Some(CallCanceled::WasFinished));
    assert_eq!((w.totals(batch).await.pending, w.totals(batch).await.finished), (0, 1));

    assert!(w.store.live_list_recalled().await.unwrap().is_empty());
    assert_eq!(cancel(on_phone).await.unwrap(), Some(CallCanceled::Recalled));
    assert_eq!(w.version().await, before + 1, "that of the commit");
    assert_eq!(w.store.live_list_recalled().await.unwrap(), [live[0].attempt]);
    w.again(&live[0], AttemptState::Ended, no_answer()).await;
    assert!(w.store.live_list_recalled().await.unwrap().is_empty());
    let call = w.call(on_phone).await;
    assert_eq!((call.state, call.disposition), (CallState::Finished, Some(Disposition::Canceled)));
    assert_eq!((call.facts.charged, call.attempts.len()), (1, 1), "it was called all the same");
    // The wish does not outlive the call: added again it is called, and may be retried.
    w.add_numbers(batch, &[49_301, 49_302]).await;
    for c in w.dial_all().await {
        w.again(&c, AttemptState::Ended, no_answer()).await;
    }
    assert_eq!(w.due().await.len(), 2);
    w.store.batch_delete(w.ws, batch).await.unwrap();
    assert_eq!(cancel(pending).await.unwrap(), None);
}

/// What cannot be decided is finished, if it is pending; nothing else is touched.
pub(super) async fn give_up(f: &dyn Factory) {
    let w = World::new(f).await;
    let other = workspace(&*w.store, "other", 2).await.workspace;
    let batch = w.batch().await;
    let ids = w.add_numbers(batch, &[49_301, 49_302, 49_303]).await;
    let live = w.commit(vec![w.intent(&w.due().await[0])]).await.committed;
    let on_phone = live[0].intent.intent.call;
    let pending = *ids.iter().find(|id| **id != on_phone).unwrap();
    let give_up = |ws, id| w.store.call_give_up(ws, id, "internal_error");
    assert!(!give_up(other, pending).await.unwrap());
    let forged = CallId::from_parts(pending.seconds() + 1, pending.seq());
    assert!(!give_up(w.ws, forged).await.unwrap());
    assert!(!give_up(w.ws, on_phone).await.unwrap());

    let before = w.version().await;
    w.advance_s(1);
    assert!(give_up(w.ws, pending).await.unwrap());
    assert!(!give_up(w.ws, pending).await.unwrap(), "once");
    assert_eq!(w.version().await, before);
    let call = w.call(pending).await;
    assert_eq!((call.state, call.disposition), (CallState::Finished, Some(Disposition::Failed)));
    assert_eq!(call.disposition_reason.as_deref(), Some("internal_error"));
    assert_eq!((call.updated_at, call.waiting, call.group), (w.now(), None, None));
    let totals = w.totals(batch).await;
    assert_eq!((totals.pending, totals.live, totals.finished, totals.completed), (1, 1, 1, 0));
    // Added again it is a new round.
    w.add_numbers(batch, &[49_301, 49_302, 49_303]).await;
    assert_eq!(w.call(pending).await.state, CallState::Pending);
    w.store.batch_delete(w.ws, batch).await.unwrap();
    assert!(!give_up(w.ws, pending).await.unwrap());
}

/// A ringing call that is cancelled says at whose wish.
pub(super) async fn cut_short(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let ids = w.add_numbers(batch, &[49_301, 49_302, 49_303]).await;
    let live = w.dial_all().await;
    let of = |id| live.iter().find(|c| c.intent.intent.call == id).unwrap();
    w.list(of(ids[0])).await.unwrap();
    w.store.call_cancel(w.ws, ids[1]).await.unwrap();
    let canceled = Outcome { disposition: Disposition::Canceled, ..no_answer() };
    for (id, why) in
        [(ids[0], Some("do_not_call")), (ids[1], Some("cancel_requested")), (ids[2], None)]
    {
        w.finish(of(id), canceled, CallNext::Finished(Disposition::Canceled)).await;
        let call = w.call(id).await;
        assert_eq!(call.disposition, Some(Disposition::Canceled));
        assert_eq!(call.disposition_reason.as_deref(), why);
    }
    // Added again while listed it is skipped, like others.
    assert_eq!(w.add(batch, vec![record(49_301)]).await.do_not_call, 1);
    let call = w.call(ids[0]).await;
    assert_eq!((call.state, call.disposition), (CallState::Finished, Some(Disposition::Skipped)));
    // What was answered before the wish arrived says how it went.
    w.add_numbers(batch, &[49_302]).await;
    let again = w.dial_all().await;
    w.store.call_cancel(w.ws, ids[1]).await.unwrap();
    w.complete(&again[0]).await;
    assert_eq!(w.call(ids[1]).await.disposition_reason, None);
}

pub(super) async fn expire(f: &dyn Factory) {
    let w = World::new(f).await;
    let ends = |s| Some(w.now().after(Duration::from_secs(s)));
    let settings = |s| BatchSettings { expires_at: ends(s), ..BatchSettings::default() };
    let (soon, late) = (w.batch_with(settings(60)).await, w.batch_with(settings(90)).await);
    let (never, stopped) = (w.batch().await, w.batch_with(settings(60)).await);
    w.add_numbers(soon, &[49_301]).await;
    let live = w.dial_all().await;
    let mine = w.add_numbers(soon, &[49_302, 49_303, 49_304]).await;
    w.add_numbers(late, &[49_311]).await;
    w.add_numbers(never, &[49_321]).await;
    w.add_numbers(stopped, &[49_331]).await;
    w.store.batch_stop(w.ws, stopped).await.unwrap();
    w.advance_s(59);
    assert_eq!(w.store.batch_expire_due(100).await.unwrap(), 0);
    w.advance_s(1);
    let before = w.version().await;
    assert_eq!(w.store.batch_expire_due(2).await.unwrap(), 2, "no more than asked for");
    assert!(w.version().await > before);
    assert_eq!(w.store.batch_expire_due(100).await.unwrap(), 2, "and a stopped batch's");
    assert_eq!(w.store.batch_expire_due(100).await.unwrap(), 0);
    for id in mine {
        let call = w.call(id).await;
        assert_eq!(
            (call.state, call.disposition),
            (CallState::Finished, Some(Disposition::Expired))
        );
        assert_eq!(call.disposition_reason.as_deref(), Some("expires_at"));
    }
    let totals = w.totals(soon).await;
    assert_eq!((totals.pending, totals.live, totals.finished), (0, 1, 3));
    assert_eq!((w.totals(late).await.pending, w.totals(never).await.pending), (1, 1));
    // What was on the phone is not tried again either.
    w.again(&live[0], AttemptState::Ended, no_answer()).await;
    let call = w.call(live[0].intent.intent.call).await;
    assert_eq!((call.state, call.disposition), (CallState::Finished, Some(Disposition::Expired)));
    // The time can be changed while it runs, both ways.
    let patch = |s| BatchPatch { settings: Some(settings(s)), ..BatchPatch::default() };
    w.store.batch_update(w.ws, late, patch(600)).await.unwrap();
    w.store.batch_update(w.ws, never, patch(0)).await.unwrap();
    w.advance_s(60);
    assert_eq!(w.store.batch_expire_due(100).await.unwrap(), 1);
    assert_eq!((w.totals(late).await.pending, w.totals(never).await.pending), (1, 0));
}

pub(super) async fn closing_paused(f: &dyn Factory) {
    let w = World::new(f).await;
    let (done, busy, waits) = (w.batch().await, w.batch().await, w.batch().await);
    w.add_numbers(done, &[49_301]).await;
    w.add_numbers(busy, &[49_302]).await;
    let live = w.dial_all().await;
    w.add_numbers(waits, &[49_303]).await;
    let reasons = [PauseReason::Budget, PauseReason::Failures, PauseReason::Voicemail];
    let pauses = [done, busy, waits].into_iter().zip(reasons).collect();
    let plan = NewPlan { pauses, ..NewPlan::default() };
    w.store.attempt_commit_intents(w.ws, w.version().await, plan).await.unwrap();
    let of = |batch| live.iter().find(|c| c.intent.intent.batch == batch).unwrap();
    w.complete(of(done)).await;
    assert_eq!(w.store.batch_close_due(10).await.unwrap(), [done]);
    let closed = w.store.batch_fetch(done).await.unwrap().unwrap();
    assert_eq!((closed.state, closed.pause_reason), (BatchState::Completed, None));
    w.complete(of(busy)).await;
    assert_eq!(w.store.batch_close_due(10).await.unwrap(), [busy]);
    assert!(w.store.batch_close_due(10).await.unwrap().is_empty());
    let held = w.store.batch_fetch(waits).await.unwrap().unwrap();
    assert_eq!((held.state, held.pause_reason), (BatchState::Paused, Some(reasons[2])));
    w.store.batch_start(w.ws, waits, BatchStart::default()).await.unwrap();
    assert_eq!(w.due().await.len(), 1);
}
