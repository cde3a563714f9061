//! Intents, attempts, and what their ends do.

use std::time::Duration;

use outdial_core::attempt::{AttemptProgress, AttemptState};
use outdial_core::batch::{BatchSettings, BatchTotals};
use outdial_core::call::{CallFacts, CallNext, CallState, WaitReason};
use outdial_core::id::AttemptId;
use outdial_core::outcome::{Disposition, Fault, Outcome, RetryClass};
use outdial_ports::Mark;
use outdial_ports::store::{
    BatchStart, CommitError, DropReason, FinishResult, Integration, NewPlan, Settle,
};

use super::Factory;
use super::world::{World, completed, no_answer, workspace};

pub(super) async fn intents(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let ids = w.add_numbers(batch, &[49_303, 49_301, 49_302]).await;
    w.advance_s(1);
    let due = w.due().await;
    let intents: Vec<_> = due.iter().map(|c| w.intent(c)).collect();
    let version = w.version().await;
    let out = w.try_commit(version, intents.clone()).await.unwrap();
    assert_eq!((out.version, out.dropped.len()), (version + 1, 0));
    assert_eq!(w.version().await, out.version);
    let given: Vec<_> = out.committed.iter().map(|c| c.intent.clone()).collect();
    assert_eq!(given, intents, "in the order in which they were given");
    assert_eq!(w.totals(batch).await, BatchTotals { total: 3, live: 3, ..BatchTotals::default() });
    assert!(w.due().await.is_empty());

    let call = w.call(ids[0]).await;
    assert_eq!((call.state, call.facts.attempts, call.waiting), (CallState::Live, 1, None));
    let log = &call.attempts[0];
    assert_eq!((log.id, log.number, log.round), (out.committed[0].attempt, 1, 1));
    assert_eq!((log.state, log.token), (AttemptState::Intent, intents[0].token));
    assert_eq!((log.caller, log.send_at), (w.phone, w.now()));
    assert_eq!((log.sent_at, log.ended_at, log.disposition), (None, None, None));

    let open = w.store.attempt_fetch(log.id).await.unwrap().unwrap();
    assert_eq!((open.attempt, open.call, open.batch), (log.id, ids[0], batch));
    assert_eq!((open.batch_deleted, &open.settings), (false, &BatchSettings::default()));
    assert_eq!((open.callee.digits(), open.trunk), (49_303, w.trunk));
    assert_eq!(
        (open.integration, open.ring_timeout, open.trunks),
        (Integration::Simulated, None, 1)
    );
    assert_eq!((open.caller.digits(), open.dialog), (4_930_111, None));
    assert_eq!(open.send_by, intents[0].intent.send_by);
    assert_eq!(open.facts, CallFacts { round: 1, ..CallFacts::default() }, "as of before it");
    assert_eq!(open.state, AttemptState::Intent);

    // The same plan again: nothing of it is as its candidates said.
    let again = w.commit(intents).await;
    assert!(again.committed.is_empty());
    assert!(again.dropped.iter().all(|d| d.reason == DropReason::NotPending));
    assert_eq!(again.dropped.len(), 3);
}

pub(super) async fn versions_are_the_gate(f: &dyn Factory) {
    let w = World::new(f).await;
    let other = workspace(&*w.store, "other", 2).await.workspace;
    let batch = w.batch().await;
    let id = w.add_numbers(batch, &[49_301]).await[0];
    let intents: Vec<_> = w.due().await.iter().map(|c| w.intent(c)).collect();
    let version = w.version().await;
    w.store.batch_stop(w.ws, batch).await.unwrap();
    assert_eq!(w.try_commit(version, intents.clone()).await, Err(CommitError::Stale));
    assert_eq!(w.try_commit(version + 9, intents.clone()).await, Err(CommitError::Stale));
    // Even on the right version, a batch that is not active places nothing.
    assert_eq!(w.commit(intents.clone()).await.dropped.len(), 1);
    w.store.batch_start(w.ws, batch, BatchStart::default()).await.unwrap();
    // Nor does another workspace place this one's calls.
    let theirs = w.store.dispatch_head(other, None).await.unwrap().version;
    let plan = NewPlan { intents: intents.clone(), ..NewPlan::default() };
    let out = w.store.attempt_commit_intents(other, theirs, plan).await.unwrap();
    assert_eq!((out.committed.len(), out.dropped.len()), (0, 1));
    // A call that was re-opened meanwhile is not the one that the plan saw.
    let live = w.commit(intents.clone()).await.committed;
    w.complete(&live[0]).await;
    assert_eq!(w.add_numbers(batch, &[49_301]).await, [id]);
    let mut old = intents;
    old[0].intent.facts.attempts = 1;
    assert_eq!(w.commit(old).await.dropped[0].reason, DropReason::NotPending);
    assert_eq!(w.dial_all().await.len(), 1);
}

pub(super) async fn marks(f: &dyn Factory) {
    let w = World::new(f).await;
    assert!(!w.store.attempt_is_any().await.unwrap());
    let batch = w.batch().await;
    w.add_numbers(batch, &[49_301, 49_302]).await;
    let due = w.due().await;
    let first = w.commit(vec![w.intent(&due[0])]).await.committed.remove(0);
    let held = Mark { attempt: first.attempt, token: first.intent.token };
    assert!(w.store.attempt_is_any().await.unwrap());
    let is_known = async |m: Mark| w.store.attempt_is_known(m.attempt, m.token).await.unwrap();
    assert!(is_known(held).await);
    let mut other_token = held;
    other_token.token[15] ^= 1;
    let (seconds, seq) = (held.attempt.seconds(), held.attempt.seq());
    let other_attempt = Mark { attempt: AttemptId::from_parts(seconds, seq + 1), ..held };
    assert!(!is_known(other_token).await && !is_known(other_attempt).await);

    // A plan is refused on any version, and changes nothing.
    let second = w.intent(&due[1]);
    let version = w.version().await;
    let commit = async |version, mark| {
        let plan =
            NewPlan { intents: vec![second.clone()], mark: Some(mark), ..NewPlan::default() };
        w.store.attempt_commit_intents(w.ws, version, plan).await
    };
    for mark in [other_token, other_attempt] {
        assert_eq!(commit(version, mark).await, Err(CommitError::Older));
        assert_eq!(commit(version + 1, mark).await, Err(CommitError::Older));
    }
    assert_eq!((w.version().await, w.due().await.len()), (version, 1));
    // What is over is held as well as what is live.
    w.complete(&first).await;
    assert!(is_known(held).await);
    let version = w.version().await;
    assert_eq!(commit(version, held).await.unwrap().committed.len(), 1);
}

pub(super) async fn one_live_call_per_number(f: &dyn Factory) {
    let w = World::new(f).await;
    let (a, b) = (w.batch().await, w.batch().await);
    w.add_numbers(a, &[49_301, 49_302]).await;
    let second = w.add_numbers(b, &[49_301]).await[0];
    // Two in one plan: one goes, the other waits.
    let due = w.due().await;
    assert_eq!(due.len(), 3);
    let out = w.commit(due.iter().map(|c| w.intent(c)).collect()).await;
    assert_eq!(out.committed.len(), 2);
    assert_eq!(out.dropped[0].reason, DropReason::NumberBusy);
    assert_eq!(out.dropped[0].call, second);
    let waiting = w.call(second).await.waiting.unwrap();
    assert_eq!(waiting.reason, WaitReason::NumberBusy);
    assert_eq!(waiting.not_before, w.now().after(Duration::from_secs(5)));
    assert_eq!(w.totals(b).await.pending, 1);
    // And in two plans.
    w.advance_s(5);
    assert_eq!(w.commit(vec![w.intent(&w.due().await[0])]).await.dropped.len(), 1);
    w.advance_s(5);
    let first = out.committed.iter().find(|c| c.intent.intent.callee.digits() == 49_301).unwrap();
    w.complete(first).await;
    assert_eq!(w.dial_all().await.len(), 1);

    // Another workspace has its own numbers.
    let other = workspace(&*w.store, "other", 2).await.workspace;
    assert_eq!(w.store.dispatch_head(other, None).await.unwrap().live, 0);
}

pub(super) async fn progress_only_goes_forward(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let id = w.add_numbers(batch, &[49_301]).await[0];
    let live = w.dial_all().await;
    let attempt = live[0].attempt;
    let record = async |state| {
        w.advance_s(1);
        let progress = AttemptProgress { state, at: w.now() };
        w.store.attempt_record(attempt, progress, None).await.unwrap()
    };
    assert!(record(AttemptState::Sent).await);
    let sent_at = Some(w.now());
    assert!(!record(AttemptState::Sent).await, "a duplicate");
    assert!(record(AttemptState::Answered).await);
    let answered_at = Some(w.now());
    assert!(!record(AttemptState::Ringing).await, "late");
    let open = w.store.attempt_fetch(attempt).await.unwrap().unwrap();
    assert_eq!((open.state, open.sent_at), (AttemptState::Answered, sent_at));
    assert_eq!((open.ringing_at, open.answered_at), (None, answered_at));
    w.complete(&live[0]).await;
    assert!(!record(AttemptState::Answered).await, "over");
    assert_eq!(w.store.attempt_fetch(attempt).await.unwrap(), None);
    let log = &w.call(id).await.attempts[0];
    assert_eq!(
        (log.state, log.sent_at, log.answered_at),
        (AttemptState::Ended, sent_at, answered_at)
    );
    let nobody = AttemptId::from_parts(1, 1);
    let progress = AttemptProgress { state: AttemptState::Sent, at: w.now() };
    assert!(!w.store.attempt_record(nobody, progress, None).await.unwrap());
    assert_eq!(w.store.attempt_fetch(nobody).await.unwrap(), None);
}

pub(super) async fn finishing_counts(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let id = w.add_numbers(batch, &[49_301]).await[0];
    // Charged, to be retried.
    w.retry_later(&w.dial_all().await[0]).await;
    let call = w.call(id).await;
    assert_eq!(call.facts, CallFacts { round: 1, charged: 1, uncharged: 0, attempts: 1 });
    let waiting = call.waiting.unwrap();
    assert_eq!(waiting.not_before, w.now().after(Duration::from_secs(60)));
    assert_eq!((waiting.reason, call.disposition), (WaitReason::RetryDelay, None));
    assert!(w.due().await.is_empty());
    w.advance_s(60);
    assert!(w.groups().await[0].key.is_retry);

    // Sent, not charged.
    let refused = Outcome {
        disposition: Disposition::Failed,
        fault: Fault::Carrier,
        retry: RetryClass::Uncharged { retry_after: None },
        reason: "carrier_unavailable",
        charged: false,
        picked: false,
    };
    let next = CallNext::Pending {
        not_before: w.now(),
        reason: WaitReason::CarrierUnavailable,
        is_retry: true,
    };
    w.finish(&w.dial_all().await[0], refused, next).await;
    let call = w.call(id).await;
    assert_eq!(call.facts, CallFacts { round: 1, charged: 1, uncharged: 1, attempts: 2 });

    // Picked, retried all the same (a policy may say so), then finished unpicked: still picked.
    let next = CallNext::Pending { not_before: w.now(), reason: WaitReason::Due, is_retry: true };
    w.finish(&w.dial_all().await[0], completed(), next).await;
    assert_eq!(w.totals(batch).await.picked, 1);
    w.advance_s(1);
    let live = w.dial_all().await;
    let mut end = w.end(AttemptState::Ended, no_answer());
    end.sip_status = Some(480);
    end.sent_at = Some(w.now());
    let next = CallNext::Finished(Disposition::NoAnswer);
    w.store.attempt_finish(live[0].attempt, end, next, Settle::default()).await.unwrap();
    let totals = w.totals(batch).await;
    assert_eq!((totals.finished, totals.picked, totals.completed), (1, 1, 0));
    let call = w.call(id).await;
    assert_eq!((call.state, call.disposition), (CallState::Finished, Some(Disposition::NoAnswer)));
    assert_eq!(call.facts, CallFacts { round: 1, charged: 3, uncharged: 1, attempts: 4 });
    let log = &call.attempts[3];
    assert_eq!((log.state, log.disposition), (AttemptState::Ended, Some(Disposition::NoAnswer)));
    assert_eq!(
        (log.fault.as_deref(), log.reason.as_deref()),
        (Some("callee"), Some("ring_timeout"))
    );
    assert_eq!((log.sip_status, log.charged), (Some(480), true));
    assert_eq!((log.sent_at, log.ended_at), (Some(w.now()), Some(w.now())));
    assert!(!call.attempts[1].charged);
    assert_eq!(w.store.dispatch_head(w.ws, None).await.unwrap().live, 0);
}

pub(super) async fn finishing_twice(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let id = w.add_numbers(batch, &[49_301]).await[0];
    let first = w.dial_all().await;
    w.retry_later(&first[0]).await;
    w.advance_s(60);
    let second = w.dial_all().await;
    // The late result of the first must not touch the second, nor release its number.
    let end = w.end(AttemptState::Ended, completed());
    let next = CallNext::Finished(Disposition::Completed);
    let late = w
        .store
        .attempt_finish(first[0].attempt, end.clone(), next, Settle::default())
        .await
        .unwrap();
    assert_eq!(late, FinishResult::AlreadyOver);
    assert_eq!(w.call(id).await.state, CallState::Live);
    assert_eq!(w.store.dispatch_head(w.ws, None).await.unwrap().live, 1);
    w.complete(&second[0]).await;
    let totals = w.totals(batch).await;
    let again = w
        .store
        .attempt_finish(second[0].attempt, end.clone(), next, Settle::default())
        .await
        .unwrap();
    assert_eq!(again, FinishResult::AlreadyOver);
    assert_eq!(w.totals(batch).await, totals);
    let nobody = AttemptId::from_parts(1, 1);
    assert!(w.store.attempt_finish(nobody, end, next, Settle::default()).await.is_err());
}

pub(super) async fn not_sent_counts_nothing(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let id = w.add_numbers(batch, &[49_301]).await[0];
    let live = w.dial_all().await;
    let outcome = Outcome {
        disposition: Disposition::Failed,
        fault: Fault::Local,
        retry: RetryClass::AtOnce,
        reason: "slot_missed",
        charged: false,
        picked: false,
    };
    let end = w.end(AttemptState::NotSent, outcome);
    let next = CallNext::Pending { not_before: w.now(), reason: WaitReason::Due, is_retry: false };
    w.store.attempt_finish(live[0].attempt, end, next, Settle::default()).await.unwrap();
    let call = w.call(id).await;
    assert_eq!(call.facts, CallFacts { round: 1, charged: 0, uncharged: 0, attempts: 1 });
    assert_eq!(call.attempts[0].state, AttemptState::NotSent);
    let next = w.dial_all().await;
    assert_eq!(next[0].intent.intent.facts.attempts, 1, "numbers are never used again");
    // What cannot be known was possibly sent: it counts.
    let unknown = Outcome { disposition: Disposition::Unknown, charged: true, ..outcome };
    let end = w.end(AttemptState::Unknown, unknown);
    let done = CallNext::Finished(Disposition::Unknown);
    w.store.attempt_finish(next[0].attempt, end, done, Settle::default()).await.unwrap();
    let call = w.call(id).await;
    assert_eq!((call.facts.charged, call.facts.uncharged), (1, 0));
    assert_eq!(call.attempts[1].state, AttemptState::Unknown);
}

pub(super) async fn recalled_when_deleted(f: &dyn Factory) {
    let w = World::new(f).await;
    let (gone, kept) = (w.batch().await, w.batch().await);
    w.add_numbers(gone, &[49_301, 49_302]).await;
    w.add_numbers(kept, &[49_303]).await;
    let live = w.dial_all().await;
    assert!(w.store.live_list_recalled().await.unwrap().is_empty());
    w.store.batch_delete(w.ws, gone).await.unwrap();
    let mut recalled = w.store.live_list_recalled().await.unwrap();
    recalled.sort();
    let mut expected: Vec<_> =
        live.iter().filter(|c| c.intent.intent.batch == gone).map(|c| c.attempt).collect();
    expected.sort();
    assert_eq!(recalled, expected);
    assert!(w.store.attempt_fetch(recalled[0]).await.unwrap().unwrap().batch_deleted);
    // Nothing of a deleted batch is retried, whatever its caller thought.
    let end = w.end(AttemptState::Ended, no_answer());
    let next = CallNext::Pending { not_before: w.now(), reason: WaitReason::Due, is_retry: true };
    for attempt in recalled {
        w.store.attempt_finish(attempt, end.clone(), next, Settle::default()).await.unwrap();
    }
    assert!(w.store.live_list_recalled().await.unwrap().is_empty());
    assert!(w.due().await.is_empty());
    assert_eq!(w.store.dispatch_head(w.ws, None).await.unwrap().live, 1);
}
