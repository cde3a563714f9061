//! Random moves against a model that is too slow and too simple to be wrong: what is live,
//! reserved, used, placed and charged is what it counts by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use outdial_core::attempt::AttemptState;
use outdial_core::brake::Pulse;
use outdial_core::budget::{Day, Spend};
use outdial_core::call::{CallNext, WaitReason};
use outdial_core::id::BatchId;
use outdial_core::outcome::{Disposition, Outcome};
use outdial_core::time::Timestamp;
use outdial_ports::Entropy as _;
use outdial_ports::store::{Committed, DropReason, Settle};

use super::world::{World, completed, no_answer};
use super::{Factory, TestEntropy};

/// 24 h and a slot, by the starts of slots.
const WINDOW: Duration = Duration::from_millis(24 * 3_600_000 + 100);

/// Everything that ever happened, as it was told.
#[derive(Default)]
struct Model {
    live: Vec<Committed>,
    /// Batch, day, use, attempts ended.
    ended: Vec<(BatchId, Day, Settle)>,
    /// Number, slot: charged, or still live.
    persons: Vec<(u64, Timestamp)>,
    placed: BTreeMap<Day, u32>,
}

impl Model {
    fn spent(&self, batch: BatchId, on: impl Fn(Day) -> bool) -> Spend {
        let live = self.live.iter().map(|c| &c.intent.intent);
        let reserved = live.filter(|i| i.batch == batch && on(i.day)).map(|i| i.reserve);
        let used =
            self.ended.iter().filter(|(b, day, _)| *b == batch && on(*day)).map(|e| e.2.used);
        reserved.chain(used).fold(Spend::NONE, Spend::plus)
    }

    fn ended(&self, batch: BatchId) -> u64 {
        self.ended.iter().filter(|e| e.0 == batch).map(|e| e.2.pulse.ended).sum()
    }

    /// How often this person was called in the 24 h before.
    fn called(&self, number: u64, at: Timestamp) -> usize {
        let since = at.before(WINDOW);
        self.persons.iter().filter(|(n, when)| *n == number && *when > since).count()
    }

    async fn check(&self, w: &World, batches: &[BatchId]) {
        for &batch in batches {
            let head = w.batch_head(batch).await;
            assert_eq!(head.spent, self.spent(batch, |_| true));
            for (day, spent) in head.spent_by_day {
                assert_eq!(spent, self.spent(batch, |d| d == day), "{day:?}");
            }
            let today = w.today();
            let head = w.batch_head(batch).await;
            let told = head.spent_by_day.iter().find(|d| d.0 == today).map(|d| d.1);
            assert_eq!(told.unwrap_or_default(), self.spent(batch, |d| d == today));
            assert_eq!(head.pulse_ever.ended, self.ended(batch));
            let live = self.live.iter().filter(|c| c.intent.intent.batch == batch).count();
            assert_eq!(usize::try_from(head.live).unwrap(), live);
            assert_eq!(w.totals(batch).await.live, u64::from(head.live));
        }
        for (day, placed) in w.head().await.numbers.remove(0).placed_by_day {
            assert_eq!(self.placed.get(&day), Some(&placed), "{day:?}");
        }
    }
}

pub(super) async fn sums_are_right(f: &dyn Factory) {
    let w = World::new(f).await;
    let dice = TestEntropy::default();
    let roll = |sides: u64| dice.next_u64() % sides;
    let batches = [w.batch().await, w.batch().await];
    let numbers: Vec<u64> = (49_300..49_312).collect();
    let mut model = Model::default();
    let mut waited = 0;
    for step in 0..240 {
        match roll(5) {
            0 => {
                let batch = batches[usize::try_from(roll(2)).unwrap()];
                let some: Vec<u64> = numbers.iter().copied().filter(|_| roll(2) == 0).collect();
                w.add_numbers(batch, &some).await;
            }
            1 => waited += commit(&w, &mut model, &roll).await,
            2 | 3 if !model.live.is_empty() => finish(&w, &mut model, &roll).await,
            _ => w.advance_s(60 * roll(240)),
        }
        if step % 8 == 0 {
            w.store.limits_prune(1000).await.unwrap();
        }
        model.check(&w, &batches).await;
    }
    assert!(waited > 0 && model.ended.len() > 50, "{waited} {}", model.ended.len());
}

/// Places what is due; how many had to wait for their person's 24 h.
async fn commit(w: &World, model: &mut Model, roll: &impl Fn(u64) -> u64) -> usize {
    let mut intents: Vec<_> = w.due().await.iter().map(|c| w.intent(c)).collect();
    for new in &mut intents {
        new.intent.attempts_24h = Some(3);
        let seconds = 1 + roll(900);
        new.intent.reserve = Spend { seconds, micros: roll(1_000_000) };
    }
    let out = w.commit(intents.clone()).await;
    let mut waited = 0;
    for dropped in &out.dropped {
        let new = &intents.iter().find(|n| n.intent.call == dropped.call).unwrap().intent;
        let called = model.called(new.callee.digits(), new.send_at);
        match dropped.reason {
            DropReason::AttemptsPerDay => {
                assert!(called >= 3);
                waited += 1;
                let until = w.call(dropped.call).await.waiting.unwrap().not_before;
                let number = new.callee.digits();
                assert_eq!(model.called(number, until), 2, "there is room then");
                assert_eq!(model.called(number, until.before(Duration::from_millis(1))), 3);
            }
            DropReason::NumberBusy => {}
            other => panic!("{other:?}"),
        }
    }
    for c in out.committed {
        let intent = &c.intent.intent;
        assert!(model.called(intent.callee.digits(), intent.send_at) < 3);
        model.persons.push((intent.callee.digits(), intent.send_at));
        *model.placed.entry(intent.day).or_default() += 1;
        model.live.push(c);
    }
    waited
}

async fn finish(w: &World, model: &mut Model, roll: &impl Fn(u64) -> u64) {
    let place = roll(u64::try_from(model.live.len()).unwrap());
    let c = model.live.swap_remove(usize::try_from(place).unwrap());
    let intent = &c.intent.intent;
    let share = Spend { seconds: roll(intent.reserve.seconds + 1), micros: roll(1000) };
    let ended = Pulse { ended: 1, ..Pulse::default() };
    let uncharged = Outcome { charged: false, ..no_answer() };
    let (state, outcome, used, pulse) = match roll(4) {
        0 => (AttemptState::NotSent, uncharged, Spend::NONE, Pulse::default()),
        1 => (AttemptState::Unknown, no_answer(), intent.reserve, ended),
        2 => (AttemptState::Ended, uncharged, Spend::NONE, ended),
        _ => (AttemptState::Ended, completed(), share, ended),
    };
    let next = if roll(2) == 0 {
        CallNext::Pending { not_before: w.now(), reason: WaitReason::Due, is_retry: true }
    } else {
        CallNext::Finished(Disposition::NoAnswer)
    };
    let settle = Settle { used, pulse, trunk_paused_until: None };
    let end = w.end(state, outcome);
    w.store.attempt_finish(c.attempt, end, next, settle).await.unwrap();
    if !outcome.charged {
        let key = (intent.callee.digits(), intent.send_at);
        let place = model.persons.iter().position(|p| *p == key).unwrap();
        model.persons.remove(place);
    }
    if state == AttemptState::NotSent {
        *model.placed.get_mut(&intent.day).unwrap() -= 1;
    }
    model.ended.push((intent.batch, intent.day, settle));
}
