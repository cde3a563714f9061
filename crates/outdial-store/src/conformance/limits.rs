//! What limits, budgets and brakes count.

use std::time::Duration;

use outdial_core::attempt::AttemptState;
use outdial_core::batch::{BatchSettings, BatchState, PauseReason};
use outdial_core::brake::{BrakeState, Pulse};
use outdial_core::budget::{Budget, Day, Spend};
use outdial_core::call::{CallNext, CallState, WaitReason};
use outdial_core::outcome::{Disposition, Outcome};
use outdial_core::pacing::SLOT;
use outdial_core::settings::CallingRules;
use outdial_ports::store::{
    BatchStart, CommitOutcome, DropReason, FinishResult, NewPlan, PhonePatch, Settle,
};

use super::Factory;
use super::world::{PRICE, RESERVE, World, no_answer};

const MILLI: Duration = Duration::from_millis(1);

fn times(n: u64, s: Spend) -> Spend {
    Spend { seconds: n * s.seconds, micros: n * s.micros }
}

fn used(seconds: u64, micros: u64) -> Settle {
    Settle { used: Spend { seconds, micros }, ..Settle::default() }
}

pub(super) async fn reserves_and_use(f: &dyn Factory) {
    let w = World::new(f).await;
    let (batch, other) = (w.batch().await, w.batch().await);
    w.add_numbers(batch, &[49_301, 49_302]).await;
    let today = w.today();
    let live = w.dial_all().await;
    let head = w.batch_head(batch).await;
    assert_eq!((head.live, head.spent), (2, times(2, RESERVE)));
    assert_eq!(head.spent_by_day, [(today, times(2, RESERVE))]);
    let open = w.store.attempt_fetch(live[0].attempt).await.unwrap().unwrap();
    assert_eq!((open.reserve, open.price), (RESERVE, PRICE));

    // The reserve goes, the use comes; on the day of the intent, whenever it ends.
    w.settle(&live[0], used(61, 30_500)).await;
    let spent = RESERVE.plus(Spend { seconds: 61, micros: 30_500 });
    let head = w.batch_head(batch).await;
    assert_eq!((head.spent, head.spent_by_day), (spent, vec![(today, spent)]));
    w.advance_s(24 * 3600);
    w.settle(&live[1], used(9, 4_500)).await;
    let spent = Spend { seconds: 70, micros: 35_000 };
    let head = w.batch_head(batch).await;
    assert_eq!((head.spent, head.spent_by_day), (spent, vec![(today, spent)]));

    // A second end books nothing.
    let end = w.end(AttemptState::Ended, no_answer());
    let next = CallNext::Finished(Disposition::NoAnswer);
    let again = w.store.attempt_finish(live[1].attempt, end, next, used(9, 9)).await.unwrap();
    assert_eq!((again, w.batch_head(batch).await.spent), (FinishResult::AlreadyOver, spent));

    // Another day stands beside the first; days long past only count in the sum of all.
    let tomorrow = w.today();
    assert_eq!(tomorrow, Day(today.0 + 1));
    w.add_numbers(batch, &[49_303]).await;
    w.settle(&w.dial_all().await[0], used(30, 15_000)).await;
    let head = w.batch_head(batch).await;
    let next = Spend { seconds: 30, micros: 15_000 };
    assert_eq!(head.spent_by_day, [(today, spent), (tomorrow, next)]);
    w.advance_s(5 * 24 * 3600);
    let head = w.batch_head(batch).await;
    assert_eq!((head.spent, head.spent_by_day), (spent.plus(next), vec![]));
    assert_eq!(w.batch_head(other).await.spent, Spend::NONE, "of another batch");
}

/// The store books what it is told: all of the reserve, or nothing.
/// What a call takes beyond its reserve was in no plan.
pub(super) async fn use_beyond_the_reserve(f: &dyn Factory) {
    let w = World::new(f).await;
    let budget = Some(Budget { seconds: Some(6_000), micros: Some(3_000_000), per_day: false });
    let batch = w.batch_with(BatchSettings { budget, ..BatchSettings::default() }).await;
    w.add_numbers(batch, &[49_301, 49_302, 49_303]).await;
    let live = w.dial_all().await;
    let (version, Spend { seconds, micros }) = (w.version().await, RESERVE);
    w.settle(&live[0], used(seconds, micros)).await;
    assert_eq!(w.version().await, version);
    w.settle(&live[1], used(seconds + 1, micros)).await;
    assert_eq!(w.version().await, version + 1);
    w.settle(&live[2], used(seconds, micros + 1)).await;
    assert_eq!(w.version().await, version + 2);

    let unlimited = w.batch().await;
    w.add_numbers(unlimited, &[49_304]).await;
    let live = w.dial_all().await;
    let version = w.version().await;
    w.settle(&live[0], used(seconds + 1, micros + 1)).await;
    assert_eq!(w.version().await, version, "nobody counts it");
}

pub(super) async fn unknown_and_not_sent(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    w.add_numbers(batch, &[49_301, 49_302]).await;
    let live = w.dial_all().await;
    let lost = Outcome { charged: false, ..no_answer() };
    w.again(&live[0], AttemptState::NotSent, lost).await;
    assert_eq!(w.batch_head(batch).await.spent, RESERVE, "one is still reserved");
    let unknown = Outcome { disposition: Disposition::Unknown, ..no_answer() };
    let end = w.end(AttemptState::Unknown, unknown);
    let next = CallNext::Finished(Disposition::Unknown);
    let full = Settle { used: RESERVE, ..Settle::default() };
    w.store.attempt_finish(live[1].attempt, end, next, full).await.unwrap();
    let head = w.batch_head(batch).await;
    assert_eq!(
        (head.live, head.spent, head.spent_by_day),
        (0, RESERVE, vec![(w.today(), RESERVE)])
    );
}

pub(super) async fn numbers_by_day(f: &dyn Factory) {
    let w = World::new(f).await;
    let patch = PhonePatch {
        calls_per_day: Some(Some(100)),
        price: Some(Some(PRICE)),
        ..PhonePatch::default()
    };
    w.store.phone_update(w.ws, w.phone, patch).await.unwrap();
    let (a, b) = (w.batch().await, w.batch().await);
    w.add_numbers(a, &[49_301, 49_302]).await;
    w.add_numbers(b, &[49_303, 49_304]).await;
    let number = async || w.head().await.numbers.remove(0);
    let first = number().await;
    assert_eq!((first.limits.calls_per_day, first.price), (Some(100), Some(PRICE)));
    assert_eq!(first.placed_by_day, []);
    let today = w.today();
    let live = w.dial_all().await;
    assert_eq!(number().await.placed_by_day, [(today, 4)], "over all batches");
    // Sent but not charged counts; not sent does not, on the day of the intent.
    let uncharged = Outcome { charged: false, ..no_answer() };
    w.again(&live[0], AttemptState::Ended, uncharged).await;
    assert_eq!(number().await.placed_by_day, [(today, 4)]);
    w.advance_s(24 * 3600);
    w.again(&live[1], AttemptState::NotSent, uncharged).await;
    assert_eq!(number().await.placed_by_day, [(today, 3)]);
    w.complete(&live[2]).await;
    w.dial_all().await;
    assert_eq!(number().await.placed_by_day, [(today, 3), (Day(today.0 + 1), 2)]);
    w.advance_s(5 * 24 * 3600);
    assert_eq!(number().await.placed_by_day, []);
}

/// Commits every due call; nobody may be called more than `most` times in 24 h.
async fn dial_at_most(w: &World, most: u32) -> CommitOutcome {
    let mut intents: Vec<_> = w.due().await.iter().map(|c| w.intent(c)).collect();
    intents.iter_mut().for_each(|new| new.intent.attempts_24h = Some(most));
    w.commit(intents).await
}

pub(super) async fn persons_in_24_hours(f: &dyn Factory) {
    let w = World::new(f).await;
    let (a, b) = (w.batch().await, w.batch().await);
    let id = w.add_numbers(a, &[49_301]).await[0];
    let first = w.now();
    let live = dial_at_most(&w, 2).await.committed;
    w.complete(&live[0]).await;
    w.advance_s(3600);
    let other = w.add_numbers(b, &[49_301]).await[0];
    let live = dial_at_most(&w, 2).await.committed;
    assert_eq!(live.len(), 1);
    // Its own number is busy meanwhile; that is not the person's doing.
    w.add_numbers(a, &[49_301]).await;
    assert_eq!(dial_at_most(&w, 2).await.dropped[0].reason, DropReason::NumberBusy);
    w.complete(&live[0]).await;
    w.advance_s(5);

    let out = dial_at_most(&w, 2).await;
    assert_eq!((out.committed.len(), out.dropped[0].reason), (0, DropReason::AttemptsPerDay));
    assert_eq!(out.dropped[0].call, id);
    let call = w.call(id).await;
    let waiting = call.waiting.unwrap();
    assert_eq!((call.state, waiting.reason), (CallState::Pending, WaitReason::AttemptsPerDay));
    // A call may leave at the end of its slot, the next at its beginning.
    let day = Duration::from_secs(24 * 3600) + SLOT;
    assert_eq!(waiting.not_before, first.after(day), "when the first leaves the window");
    assert!(w.due().await.is_empty());
    assert_eq!(call.facts.attempts, 1, "nothing was tried");
    w.add_numbers(b, &[49_301, 49_302]).await;
    // Others are called; a stricter limit waits for a later attempt to leave.
    let out = dial_at_most(&w, 1).await;
    assert_eq!(out.committed[0].intent.intent.callee.digits(), 49_302);
    let waiting = w.call(other).await.waiting.unwrap();
    assert_eq!(waiting.not_before, first.after(day).after(Duration::from_secs(3600)));
    w.complete(&out.committed[0]).await;

    w.advance_s(24 * 3600 - 3605);
    w.clock.advance(SLOT - MILLI);
    assert!(w.due().await.is_empty());
    w.clock.advance(MILLI);
    let live = dial_at_most(&w, 2).await.committed;
    assert_eq!(live.len(), 1, "the window is half-open");
    // Uncharged, it does not count; and the limit of nobody lets it through whatever was.
    let uncharged = Outcome { charged: false, ..no_answer() };
    w.again(&live[0], AttemptState::Ended, uncharged).await;
    let live = dial_at_most(&w, 2).await.committed;
    assert_eq!(live.len(), 1);
    w.again(&live[0], AttemptState::Ended, no_answer()).await;
    let out = dial_at_most(&w, 2).await;
    assert_eq!((out.committed.len(), out.dropped[0].reason), (0, DropReason::AttemptsPerDay));
    w.add_numbers(a, &[49_302]).await;
    assert_eq!(w.dial_all().await.len(), 1);
}

/// Who rests is due at once when more is allowed, and looked at once more.
pub(super) async fn a_looser_limit(f: &dyn Factory) {
    let w = World::new(f).await;
    let (a, b) = (w.batch().await, w.batch().await);
    w.configure(|s| s.attempts_24h = Some(1)).await;
    w.add_numbers(a, &[49_301, 49_302]).await;
    for c in w.dial_all().await {
        w.complete(&c).await;
    }
    let ids = w.add_numbers(b, &[49_301, 49_302]).await;
    let busy = w.add_numbers(b, &[49_303]).await[0];
    let rest = async || {
        assert_eq!(dial_at_most(&w, 1).await.dropped.len(), 2);
        assert!(w.due().await.is_empty());
    };
    let live = dial_at_most(&w, 1).await.committed;
    assert_eq!(live.len(), 1);
    w.retry_later(&live[0]).await;
    assert!(w.due().await.is_empty());
    // Another limit leaves them where they are.
    w.configure(|s| s.concurrency = Some(5)).await;
    assert!(w.due().await.is_empty());
    let before = w.version().await;
    w.configure(|s| s.calling_rules = CallingRules::Off).await;
    assert_eq!(w.version().await, before + 1);
    let waiting = w.call(ids[0]).await.waiting.unwrap();
    assert_eq!((waiting.not_before, waiting.reason), (w.now(), WaitReason::Due));
    assert_eq!(w.call(busy).await.waiting.unwrap().reason, WaitReason::RetryDelay);
    rest().await;
    w.configure(|s| s.attempts_24h = Some(2)).await;
    assert_eq!(dial_at_most(&w, 2).await.committed.len(), 2);
}

fn ended(n: u64) -> Settle {
    let pulse = Pulse { ended: n, failed: 1, answered: 2, short: 3, voicemail: 4, talk_ms: 5_000 };
    Settle { pulse, ..Settle::default() }
}

pub(super) async fn pulses_and_pauses(f: &dyn Factory) {
    let w = World::new(f).await;
    w.configure(|s| s.brakes.window_s = 600).await;
    let (batch, other) = (w.batch().await, w.batch().await);
    w.add_numbers(batch, &[49_301, 49_302, 49_303]).await;
    let live = w.dial_all().await;
    assert_eq!(w.batch_head(batch).await.pulse, Pulse::default());
    w.settle(&live[0], ended(1)).await;
    w.settle(&live[1], ended(1)).await;
    let two = Pulse { ended: 2, failed: 2, answered: 4, short: 6, voicemail: 8, talk_ms: 10_000 };
    let head = w.batch_head(batch).await;
    assert_eq!((head.pulse, head.pulse_ever), (two, two));
    w.advance_s(599);
    w.settle(&live[2], ended(7)).await;
    assert_eq!(w.batch_head(batch).await.pulse.ended, 9);
    // Minutes leave whole, none before the window has passed it.
    w.advance_s(61);
    let head = w.batch_head(batch).await;
    assert_eq!((head.pulse.ended, head.pulse_ever.ended), (7, 9));
    assert_eq!(w.batch_head(other).await.pulse_ever, Pulse::default());

    // A plan pauses active batches, and only those.
    w.store.batch_start(w.ws, batch, BatchStart::default()).await.unwrap();
    let pauses = vec![(batch, PauseReason::Failures), (other, PauseReason::Failures)];
    let plan = NewPlan { pauses, ..NewPlan::default() };
    let before = w.version().await;
    w.store.attempt_commit_intents(w.ws, before, plan.clone()).await.unwrap();
    let state = async |id| {
        let b = w.store.batch_fetch(id).await.unwrap().unwrap();
        (b.state, b.pause_reason)
    };
    let paused = (BatchState::Paused, Some(PauseReason::Failures));
    assert_eq!(state(batch).await, paused);
    assert_eq!(state(other).await, (BatchState::Pending, None));
    assert!(w.store.attempt_commit_intents(w.ws, before, plan).await.is_err(), "stale");
    w.add_numbers(batch, &[49_304]).await;
    assert_eq!(state(batch).await, paused, "adding does not lift it");
    assert!(w.due().await.is_empty());
}

pub(super) async fn resuming(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    w.add_numbers(batch, &[49_301, 49_302, 49_303, 49_304, 49_305]).await;
    let mut live = w.dial_all().await;
    let ends = Settle { used: Spend { seconds: 9, micros: 8 }, ..ended(4) };
    w.settle(&live.remove(0), ends).await;
    let pulses = async || {
        let head = w.batch_head(batch).await;
        (head.pulse.ended, head.pulse_ever.ended)
    };
    // A start of one that runs, or that a person stopped, resumes from no brake.
    w.store.batch_start(w.ws, batch, BatchStart::default()).await.unwrap();
    w.store.batch_stop(w.ws, batch).await.unwrap();
    w.store.batch_start(w.ws, batch, BatchStart::default()).await.unwrap();
    assert_eq!(pulses().await, (4, 4));
    let reasons = [PauseReason::Failures, PauseReason::ShortCalls, PauseReason::Voicemail];
    for (i, reason) in (0_u32..).zip(reasons) {
        let plan = NewPlan { pauses: vec![(batch, reason)], ..NewPlan::default() };
        w.store.attempt_commit_intents(w.ws, w.version().await, plan).await.unwrap();
        assert_eq!(pulses().await.0, 4, "{reason:?}");
        if i == 1 {
            w.store.batch_stop(w.ws, batch).await.unwrap();
        }
        w.store.batch_start(w.ws, batch, BatchStart::default()).await.unwrap();
        assert_eq!(pulses().await, (0, 0), "{reason:?}");
        w.settle(&live.remove(0), ended(4)).await;
    }
    let spent = w.batch_head(batch).await.spent;
    assert_eq!(spent, RESERVE.plus(Spend { seconds: 9, micros: 8 }), "what was used stays used");
    // A budget says nothing of how calls go.
    let plan = NewPlan { pauses: vec![(batch, PauseReason::Budget)], ..NewPlan::default() };
    w.store.attempt_commit_intents(w.ws, w.version().await, plan).await.unwrap();
    w.store.batch_start(w.ws, batch, BatchStart::default()).await.unwrap();
    assert_eq!(pulses().await, (4, 4));
}

pub(super) async fn brakes_remember(f: &dyn Factory) {
    let w = World::new(f).await;
    let (batch, other, idle) = (w.batch().await, w.batch().await, w.batch().await);
    w.add_numbers(batch, &[49_301]).await;
    w.add_numbers(other, &[49_302]).await;
    let told = async |id| w.batch_head(id).await.brake;
    assert_eq!(told(batch).await, BrakeState::default());
    let state =
        BrakeState { canary_passed: true, slowed: Some(ended(3).pulse), ..BrakeState::default() };
    let commit = async |brakes, pauses| {
        let plan = NewPlan { brakes, pauses, ..NewPlan::default() };
        w.store.attempt_commit_intents(w.ws, w.version().await, plan).await.unwrap();
    };
    commit(vec![(batch, state), (idle, state)], vec![]).await;
    assert_eq!((told(batch).await, told(other).await), (state, BrakeState::default()));
    assert_eq!(told(idle).await, BrakeState::default(), "it is not active");
    let start = async || {
        w.store.batch_start(w.ws, batch, BatchStart::default()).await.unwrap();
        told(batch).await
    };
    assert_eq!(start().await, state);
    commit(vec![], vec![(batch, PauseReason::Budget)]).await;
    assert_eq!(start().await, state, "a budget is no brake");
    let free = BrakeState { slowed: None, ..state };
    commit(vec![(batch, free)], vec![(batch, PauseReason::Failures)]).await;
    assert_eq!(told(batch).await, free, "in one plan with the pause");
    assert_eq!(start().await, BrakeState::default());
}

pub(super) async fn pruning(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    w.add_numbers(batch, &[49_301, 49_302, 49_303]).await;
    let live = w.dial_all().await;
    let settle = Settle { used: Spend { seconds: 60, micros: 1 }, ..ended(1) };
    w.settle(&live[0], settle).await;
    w.settle(&live[1], settle).await;
    assert_eq!(w.store.limits_prune(100).await.unwrap(), 0);
    // Kept for longer than they count: a clock may be set back.
    w.advance_s(47 * 3600);
    assert_eq!(w.store.limits_prune(100).await.unwrap(), 0);
    w.advance_s(3600);
    w.clock.advance(SLOT);
    assert_eq!(w.store.limits_prune(2).await.unwrap(), 2, "no more than asked for");
    assert_eq!(w.store.limits_prune(100).await.unwrap(), 1, "persons");
    assert_eq!(w.batch_head(batch).await.spent_by_day.len(), 1);
    w.advance_s(30 * 24 * 3600);
    assert_eq!(w.store.limits_prune(100).await.unwrap(), 3, "a pulse, a day, a number's day");
    assert_eq!(w.store.limits_prune(100).await.unwrap(), 0);
    // Budgets that are not by day, and the canary, still know everything.
    let head = w.batch_head(batch).await;
    let spent = RESERVE.plus(Spend { seconds: 120, micros: 2 });
    assert_eq!((head.spent, head.pulse_ever.ended), (spent, 2));
    w.settle(&live[2], settle).await;
}

/// Attempts of a clock that was ahead stand before those that are old.
pub(super) async fn pruning_looks_behind_what_stays(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let ahead = Duration::from_secs(10 * 365 * 24 * 3600);
    w.clock.advance(ahead);
    w.add_numbers(batch, &[49_301, 49_302, 49_303, 49_304, 49_305]).await;
    w.dial_all().await;
    w.clock.set_back(ahead);
    w.add_numbers(batch, &[49_306, 49_307, 49_308]).await;
    assert_eq!(w.dial_all().await.len(), 3);
    w.advance_s(2 * 24 * 3600 + 1);
    for (round, old) in [(0, 3), (1, 1)] {
        let mut gone = 0;
        for _ in 0..10 {
            let pruned = w.store.limits_prune(2).await.unwrap();
            assert!(pruned <= 2);
            gone += pruned;
        }
        assert_eq!(gone, old, "those that are old, and none that stays");
        w.add_numbers(batch, &[49_309 + round]).await;
        assert_eq!(w.dial_all().await.len(), 1, "also of one that comes later");
        w.advance_s(2 * 24 * 3600 + 1);
    }
}
