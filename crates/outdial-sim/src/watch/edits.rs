//! What the watch makes of changed settings, of commits and of ends.

use std::time::Duration;

use outdial_core::attempt::{AttemptEnd, AttemptState};
use outdial_core::brake::{BrakeSettings, BrakeState};
use outdial_core::dispatcher::Head;
use outdial_core::id::{AttemptId, BatchId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_core::settings::WorkspaceSettings;
use outdial_core::time::Timestamp;
use outdial_ports::store::{BatchPatch, Committed, Settle};

use super::Seen;
use crate::checker::{Cap, End, Most, Rules, Try, Violation};

/// Talk shorter than this is short.
const SHORT: Duration = Duration::from_secs(6);

impl Seen {
    /// Settings of a workspace took effect.
    pub(crate) fn settings_changed(
        &mut self,
        ws: WorkspaceId,
        to: WorkspaceSettings,
        now: Timestamp,
    ) {
        self.checkers.pace.set_cap(Cap::Workspace(ws), now, to.concurrency);
        if !to.do_not_call {
            self.checkers.wishes.switched_off(ws);
        }
        self.model.settings_changed(ws, to, self.wall);
        self.recall_listed(now);
    }

    /// Settings of a batch took effect.
    pub(crate) fn settings_of_batch(&mut self, id: BatchId, now: Timestamp) {
        let Some(batch) = self.model.batches.get(&id) else { return };
        self.checkers.pace.set_cap(Cap::Batch(id), now, batch.settings.concurrency);
        if !batch.settings.enable_dnc {
            self.checkers.wishes.batch_checked(id, false, now);
        }
    }

    /// A batch was changed.
    pub(crate) fn batch_changed(
        &mut self,
        id: BatchId,
        to: &BatchPatch,
        now: Timestamp,
    ) -> Result<(), Violation> {
        self.changed.insert(id);
        self.model.batch_changed(id, to, self.wall)?;
        self.settings_of_batch(id, now);
        self.recall_listed(now);
        Ok(())
    }

    /// A batch got into another state; whether that ended the pause of a brake.
    pub(crate) fn out_of_pause(&mut self, id: BatchId, braked: bool) {
        self.changed.insert(id);
        if braked {
            self.checkers.brakes.anew(id);
        }
    }

    /// What rings to a listed number must stop.
    pub(crate) fn recall_listed(&mut self, now: Timestamp) {
        let checkers = &mut self.checkers;
        checkers.recalls.compare(now, &checkers.wishes);
    }

    /// An intent was committed; the model knows of it.
    pub(crate) fn committed(
        &mut self,
        ws: WorkspaceId,
        new: &Committed,
        real: Timestamp,
    ) -> Result<(), Violation> {
        let (attempt, intent) = (new.attempt, &new.intent.intent);
        self.committed_at.insert(attempt, real);
        let Some(settings) = self.model.settings.get(&ws) else {
            return Err(Violation::new("harness", format!("nobody made workspace {ws}")));
        };
        let Some(batch) = self.model.batches.get(&intent.batch) else { return Ok(()) };
        let (limits, price) = self.model.phones.get(&intent.caller).copied().unwrap_or_default();
        let day = self.checkers.hours.day(&settings.timezone, intent.send_at)?;
        let class = self.model.attempts.get(&attempt).map(|a| a.class.clone());
        let by_rules = match class {
            Some(class) => self.checkers.hours.attempts_24h(settings.calling_rules, &class)?,
            None => None,
        };
        let made = Try {
            attempt,
            send_at: intent.send_at,
            day,
            caller: intent.caller,
            workspace: ws,
            callee: intent.callee,
        };
        let a_person = settings.attempts_24h.into_iter().chain(by_rules).min();
        self.checkers.often.committed(made, limits.calls_per_day, a_person)?;
        let budget = batch.settings.budget.unwrap_or_default();
        let most = Most { seconds: budget.seconds, micros: budget.micros, per_day: budget.per_day };
        if most.micros.is_some() && price.is_none() {
            let what = format!("{attempt} costs nobody knows what, and its batch has {most:?}");
            return Err(Violation::new("budget", what));
        }
        let reserve = (u64::from(batch.settings.max_call_s), price.unwrap_or(0));
        self.checkers.spending.reserved(attempt, (intent.batch, day), reserve, most)?;
        let made = &self.model.attempts[&attempt];
        self.checkers.unknowns.committed((made.call, made.round), attempt, made.at)?;
        let rules = rules(&settings.brakes);
        let slow = batch.brake.slowed.is_some();
        let live = self.model.live_of(intent.batch);
        let canary = batch.settings.canary.filter(|_| !batch.brake.canary_passed);
        let now = self.model.attempts[&attempt].at;
        // Both reckon by the wall clock; within the window of one that was set they may differ.
        let was_set = self.checkers.clocks.was_set_within(real, rules.window * 2);
        let walls = (real, (!was_set).then_some(now));
        self.checkers.brakes.committed(intent.batch, walls, (live, slow), rules, canary)
    }

    /// A plan said what the brakes are to remember of a batch.
    pub(crate) fn remembered(
        &mut self,
        id: BatchId,
        state: BrakeState,
        real: Timestamp,
    ) -> Result<(), Violation> {
        let Some(before) = self.model.remembered(id, state)? else { return Ok(()) };
        let Some(batch) = self.model.batches.get(&id) else { return Ok(()) };
        let Some(settings) = self.model.settings.get(&batch.workspace) else { return Ok(()) };
        let rules = rules(&settings.brakes);
        if state.canary_passed && !before.canary_passed {
            self.checkers.brakes.sang(id, batch.settings.canary)?;
        }
        match (before.slowed, state.slowed) {
            (None, Some(_)) => {
                let was_set = self.checkers.clocks.was_set_within(real, rules.window * 2);
                let walls = (real, (!was_set).then_some(self.wall));
                self.checkers.brakes.slowed(id, walls, rules)?;
                self.count("slowed down", 1);
            }
            (Some(_), None) => {
                self.checkers.brakes.released(id, real, rules, before.slowed_for)?;
                self.count("released", 1);
            }
            _ => {}
        }
        Ok(())
    }

    /// An attempt's end was recorded, for the first time.
    pub(crate) fn settled(
        &mut self,
        attempt: AttemptId,
        end: &AttemptEnd,
        settle: &Settle,
        now: Timestamp,
    ) -> Result<(), Violation> {
        let unknown =
            end.state == AttemptState::Unknown || end.outcome.disposition == Disposition::Unknown;
        let sent = end.state != AttemptState::NotSent;
        let used = self.checkers.spending.settled(attempt, unknown, !sent);
        if used != (settle.used.seconds, settle.used.micros) {
            let what = format!("{attempt} used {used:?}, recorded as {:?}: {end:?}", settle.used);
            return Err(Violation::new("budget", what));
        }
        self.checkers.often.ended(attempt, sent, end.outcome.charged);
        let made = self.model.attempts.get(&attempt).map(|a| (a.call, a.round));
        if let Some((call, round)) = made
            && unknown
            && let Some(batch) = self.model.calls.get(&call).map(|c| c.batch)
        {
            let again = self.model.batches[&batch].settings.redial_unknown;
            self.checkers.unknowns.ended((call, round), end.ended_at, again);
        }
        let made = made.map(|(call, _)| call);
        let Some(batch) = made.and_then(|c| self.model.calls.get(&c)).map(|c| c.batch) else {
            return Ok(());
        };
        let ended = match end.outcome.disposition {
            Disposition::Failed => End::Failed,
            Disposition::Voicemail => End::Voicemail,
            Disposition::Completed if end.talk() < SHORT => End::Short,
            Disposition::Completed => End::Talked,
            _ => End::Other,
        };
        if sent {
            self.checkers.brakes.ended(batch, (self.real, now), ended);
        }
        Ok(())
    }

    /// What a plan would rest on is what was seen.
    pub(crate) fn compare_head(&self, id: BatchId, head: &Head) -> Result<(), Violation> {
        let wrong = |what: String| Err(Violation::new("model", what));
        let Some(batch) = head.batches.iter().find(|b| b.id == id) else {
            return wrong(format!("batch {id} was asked for and is not in the head"));
        };
        let spent = self.checkers.spending.spent(id);
        if (batch.spent.seconds, batch.spent.micros) != spent {
            return wrong(format!("batch {id} spent {:?}, should be {spent:?}", batch.spent));
        }
        for (day, spend) in &batch.spent_by_day {
            let spent = self.checkers.spending.spent_on(id, day.0);
            if (spend.seconds, spend.micros) != spent {
                return wrong(format!("batch {id} spent {spend:?} on {day:?}, not {spent:?}"));
            }
        }
        let remembered = self.model.batches.get(&id).map(|b| b.brake).unwrap_or_default();
        if batch.brake != remembered {
            return wrong(format!("batch {id} has {:?}, not {remembered:?}", batch.brake));
        }
        if batch.live != self.model.live_of(id) {
            return wrong(format!("batch {id} has {} live calls in the head", batch.live));
        }
        for number in &head.numbers {
            for (day, placed) in &number.placed_by_day {
                let seen = self.checkers.often.on_day(number.id, day.0);
                if *placed as usize != seen {
                    return wrong(format!("{} placed {placed} on {day:?}, not {seen}", number.id));
                }
            }
        }
        Ok(())
    }
}

fn rules(brakes: &BrakeSettings) -> Rules {
    Rules {
        window: Duration::from_secs(u64::from(brakes.window_s)),
        least: brakes.min_attempts,
        failed: brakes.failed_percent,
        short: brakes.short_percent,
        voicemail: brakes.voicemail_percent,
    }
}
