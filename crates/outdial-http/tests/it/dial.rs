//! Attempts without an engine: what it would have written, written by hand.

use std::time::Duration;

use outdial_core::attempt::{AttemptEnd, AttemptProgress, AttemptState};
use outdial_core::call::CallNext;
use outdial_core::dispatcher::{Ask, Intent};
use outdial_core::id::AttemptId;
use outdial_core::outcome::{CallEnd, outcome_of};
use outdial_core::time::Timestamp;
use outdial_ports::Clock;
use outdial_ports::store::NewIntent;

use crate::support::World;

impl World {
    /// Commits an attempt of the call that is due first; it is ringing.
    pub(crate) async fn dial(&self) -> AttemptId {
        let ws = self.own.workspace;
        let head = self.store.dispatch_head(ws).await.unwrap();
        let groups = self.store.dispatch_groups(ws).await.unwrap();
        let asks: Vec<_> =
            groups.iter().map(|g| Ask { group: g.key, limit: 1, after: None }).collect();
        let candidates = self.store.dispatch_candidates(&asks).await.unwrap();
        let c = candidates.first().expect("a call that is due");
        let number = &head.numbers[0];
        let now = self.clock.now();
        let intent = Intent {
            call: c.call,
            batch: c.group.batch,
            callee: c.callee,
            facts: c.facts,
            caller: number.id,
            trunk: number.trunk,
            send_at: now,
            send_by: now.after(Duration::from_millis(100)),
            open_until: Timestamp::MAX,
            max_call_s: 600,
        };
        let intents = vec![NewIntent { intent, token: [0xab; 16] }];
        let commit = self.store.attempt_commit_intents(ws, head.version, intents, Vec::new());
        let attempt = commit.await.unwrap().committed[0].attempt;
        for state in [AttemptState::Sent, AttemptState::Ringing] {
            let progress = AttemptProgress { state, at: now };
            assert!(self.store.attempt_record(attempt, progress).await.unwrap());
        }
        attempt
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
        let next = CallNext::Finished(outcome.disposition);
        self.store.attempt_finish(attempt, end, next, None).await.unwrap();
    }
}
