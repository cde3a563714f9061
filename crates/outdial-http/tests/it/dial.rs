//! Attempts without an engine: what it would have written, written by hand.

use std::time::Duration;

use outdial_core::attempt::{AttemptEnd, AttemptProgress, AttemptState};
use outdial_core::brake;
use outdial_core::budget::{self, Day, Spend};
use outdial_core::call::CallNext;
use outdial_core::dispatcher::{Ask, Intent};
use outdial_core::id::AttemptId;
use outdial_core::outcome::{CallEnd, outcome_of};
use outdial_core::time::Timestamp;
use outdial_ports::Clock;
use outdial_ports::store::{CommitOutcome, NewIntent, NewPlan, Settle};

use crate::support::World;

impl World {
    /// Commits an attempt of the call that is due first; it is ringing.
    pub(crate) async fn dial(&self) -> AttemptId {
        self.dial_as([0xab; 16]).await
    }

    /// As `dial`; the attempt is known by this token.
    pub(crate) async fn dial_as(&self, token: [u8; 16]) -> AttemptId {
        let commit = self.commit_as(token).await;
        let attempt = commit.committed.first().expect("it goes through").attempt;
        for state in [AttemptState::Sent, AttemptState::Ringing] {
            let progress = AttemptProgress { state, at: self.clock.now() };
            assert!(self.store.attempt_record(attempt, progress, None).await.unwrap());
        }
        attempt
    }

    /// Commits an attempt of the call that is due first, if its number may be called.
    pub(crate) async fn commit(&self) -> CommitOutcome {
        self.commit_as([0xab; 16]).await
    }

    async fn commit_as(&self, token: [u8; 16]) -> CommitOutcome {
        let ws = self.own.workspace;
        let head = self.store.dispatch_head(ws, None).await.unwrap();
        let groups = self.store.dispatch_groups(ws, None).await.unwrap();
        let asks: Vec<_> =
            groups.iter().map(|g| Ask { group: g.key, limit: 1, after: None }).collect();
        let candidates = self.store.dispatch_candidates(&asks).await.unwrap();
        let c = candidates.first().expect("a call that is due");
        let number = &head.numbers[0];
        let (now, price) = (self.clock.now(), number.price.unwrap_or_default());
        let intent = Intent {
            call: c.call,
            batch: c.group.batch,
            callee: c.callee,
            facts: c.facts,
            lane: c.group.lane,
            class: c.group.class,
            caller: number.id,
            trunk: number.trunks[0],
            send_at: now,
            send_by: now.after(Duration::from_millis(100)),
            open_until: Timestamp::MAX,
            max_call_s: 600,
            day: Day::of(&head.zone, now),
            reserve: Spend::of(600, price),
            price,
            attempts_24h: head.attempts_24h,
        };
        let intents = vec![NewIntent { intent, token }];
        let plan = NewPlan { intents, ..NewPlan::default() };
        self.store.attempt_commit_intents(ws, head.version, plan).await.unwrap()
    }

    /// Ends it as answered by a person, after `talk`.
    pub(crate) async fn hang_up(&self, attempt: AttemptId, talk: Duration) {
        let answered = self.clock.now();
        self.clock.advance(talk);
        let outcome = outcome_of(&CallEnd::TalkOver);
        let end = AttemptEnd {
            state: AttemptState::Ended,
            outcome,
            sip_status: Some(200),
            sent_at: Some(answered),
            ringing_at: Some(answered),
            answered_at: Some(answered),
            ended_at: self.clock.now(),
        };
        let open = self.store.attempt_fetch(attempt).await.unwrap().expect("not over");
        let settle = Settle {
            used: budget::used(&end, open.reserve, open.price),
            pulse: brake::pulse_of(&end),
            trunk_paused_until: None,
        };
        let next = CallNext::Finished(outcome.disposition);
        self.store.attempt_finish(attempt, end, next, settle).await.unwrap();
    }
}
