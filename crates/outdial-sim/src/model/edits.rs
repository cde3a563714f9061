//! What changes while calls run: settings, do-not-call, calls taken back, time that is over.

use std::time::Duration;

use outdial_core::batch::{BatchSettings, BatchState, PauseReason};
use outdial_core::brake::BrakeState;
use outdial_core::call::{CallState, WaitReason};
use outdial_core::id::{BatchId, CallId, DncId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_core::phone::PhoneNumber;
use outdial_core::settings::WorkspaceSettings;
use outdial_core::time::Timestamp;
use outdial_ports::store::{BatchPatch, CallCanceled, DncAddError, DncRecord};

use super::{Call, Model, differs};
use crate::checker::Violation;

/// What ended as unknown rests at least so long.
const UNKNOWN_REST_S: u32 = 60;

impl Model {
    /// A batch was changed.
    pub(crate) fn batch_changed(
        &mut self,
        id: BatchId,
        to: &BatchPatch,
        now: Timestamp,
    ) -> Result<(), Violation> {
        let batch = self.batch(id)?;
        if batch.state == BatchState::Deleted {
            return differs(format!("batch {id} was changed although it is deleted"));
        }
        let before = batch.settings.clone();
        if let Some(settings) = &to.settings {
            batch.settings = settings.clone();
            batch.retry_most = batch.retry_most.max(settings.retry);
        }
        if let Some(numbers) = &to.numbers {
            batch.numbers.clone_from(numbers);
            if batch.reason == Some(PauseReason::NoNumbers) {
                (batch.state, batch.reason) = (BatchState::Active, None);
            }
        }
        if let Some(settings) = &to.settings {
            let waiting = self.calls.values_mut().filter(|c| c.batch == id && c.is_retry);
            for call in waiting.filter(|c| c.state == CallState::Pending) {
                retry_follows(call, &before, settings, now);
            }
        }
        Ok(())
    }

    /// Settings of a workspace took effect.
    pub(crate) fn settings_changed(
        &mut self,
        ws: WorkspaceId,
        to: WorkspaceSettings,
        now: Timestamp,
    ) {
        let per_person = |s: &WorkspaceSettings| (s.attempts_24h, s.calling_rules);
        let after = per_person(&to);
        let before = self.settings.insert(ws, to);
        if before.is_some_and(|s| per_person(&s) == after) {
            return;
        }
        for call in self.calls.values_mut().filter(|c| c.reason == WaitReason::AttemptsPerDay) {
            let is_theirs = self.batches.get(&call.batch).is_some_and(|b| b.workspace == ws);
            if is_theirs && call.state == CallState::Pending {
                (call.not_before, call.reason) = (call.not_before.min(now), WaitReason::Due);
            }
        }
    }

    /// A number is on the list, and calls of this batch look there.
    pub(super) fn is_listed(&self, batch: BatchId, phone: PhoneNumber) -> bool {
        let Some(batch) = self.batches.get(&batch) else { return false };
        let switch = self.settings.get(&batch.workspace).is_none_or(|s| s.do_not_call);
        (switch || batch.settings.enable_dnc) && self.listed.contains_key(&(batch.workspace, phone))
    }

    /// A number was listed, or not: which batches have calls to it.
    pub(crate) fn listed(
        &mut self,
        ws: WorkspaceId,
        phone: PhoneNumber,
        answer: &Result<DncRecord, DncAddError>,
    ) -> Result<Vec<BatchId>, Violation> {
        let was_listed = self.listed.contains_key(&(ws, phone));
        match answer {
            Ok(record) if !was_listed && (record.workspace, record.phone) == (ws, phone) => {
                self.listed.insert((ws, phone), record.id);
            }
            Err(DncAddError::AlreadyListed) if was_listed => return Ok(Vec::new()),
            answer => return differs(format!("{phone} listed before: {was_listed}; {answer:?}")),
        }
        let ids: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, c)| c.phone == phone && self.is_listed(c.batch, phone))
            .map(|(id, _)| *id)
            .collect();
        let mut changed = Vec::new();
        for id in ids {
            let Some(call) = self.calls.get_mut(&id) else { continue };
            if call.state == CallState::Pending {
                (call.state, call.disposition) = (CallState::Finished, Some(Disposition::Skipped));
                call.by_list = true;
                changed.push(call.batch);
            }
        }
        Ok(changed)
    }

    /// An entry was taken off; whose number it was.
    pub(crate) fn unlisted(
        &mut self,
        ws: WorkspaceId,
        id: DncId,
    ) -> Result<PhoneNumber, Violation> {
        let found = self.listed.iter().find(|((w, _), i)| *w == ws && **i == id);
        let Some((&(_, phone), _)) = found else {
            return differs(format!("entry {id} was deleted that nobody made"));
        };
        self.listed.remove(&(ws, phone));
        Ok(phone)
    }

    /// A call was taken back; of which batch.
    pub(crate) fn canceled(
        &mut self,
        id: CallId,
        answer: Option<CallCanceled>,
    ) -> Result<Option<BatchId>, Violation> {
        let call = self.calls.get_mut(&id);
        let deleted = |c: &&mut super::Call| {
            self.batches.get(&c.batch).is_some_and(|b| b.state == BatchState::Deleted)
        };
        let Some(call) = call.filter(|c| !deleted(c)) else {
            return match answer {
                None => Ok(None),
                Some(what) => differs(format!("call {id} is not shown and {what:?}")),
            };
        };
        let wanted = match call.state {
            CallState::Pending => CallCanceled::Canceled,
            CallState::Live => CallCanceled::Recalled,
            CallState::Finished => CallCanceled::WasFinished,
        };
        if answer != Some(wanted) {
            return differs(format!("taking back {id} gave {answer:?}, should be {wanted:?}"));
        }
        match call.state {
            CallState::Pending => {
                (call.state, call.disposition) = (CallState::Finished, Some(Disposition::Canceled));
            }
            CallState::Live => call.canceled = true,
            CallState::Finished => {}
        }
        Ok(Some(call.batch))
    }

    /// Calls of batches whose time is over were finished; which batches.
    pub(crate) fn expired(
        &mut self,
        count: u32,
        now: Timestamp,
    ) -> Result<Vec<BatchId>, Violation> {
        let mut changed = Vec::new();
        for call in self.calls.values_mut().filter(|c| c.state == CallState::Pending) {
            let batch = &self.batches[&call.batch];
            let over = batch.settings.expires_at.is_some_and(|at| at <= now);
            // Added to a completed batch for a start that has not come yet: it is looked at then.
            if over && !matches!(batch.state, BatchState::Deleted | BatchState::Completed) {
                (call.state, call.disposition) = (CallState::Finished, Some(Disposition::Expired));
                changed.push(call.batch);
            }
        }
        match changed.len() == count as usize {
            true => Ok(changed),
            false => differs(format!("{count} calls expired, should be {}", changed.len())),
        }
    }

    /// A plan said what the brakes are to remember of a batch; what they did until then. None: it
    /// is not active.
    pub(crate) fn remembered(
        &mut self,
        id: BatchId,
        state: BrakeState,
    ) -> Result<Option<BrakeState>, Violation> {
        let batch = self.batch(id)?;
        let is_active = batch.state == BatchState::Active;
        Ok(is_active.then(|| std::mem::replace(&mut batch.brake, state)))
    }

    /// A plan paused a batch.
    pub(crate) fn paused(&mut self, id: BatchId, why: PauseReason) -> Result<bool, Violation> {
        let batch = self.batch(id)?;
        let has_reason = match why {
            PauseReason::Budget => batch.settings.budget.is_some(),
            PauseReason::Failures | PauseReason::ShortCalls | PauseReason::Voicemail => true,
            PauseReason::NoNumbers | PauseReason::CallsHeld => false,
        };
        if !has_reason {
            return differs(format!("batch {id} is paused for {why:?}: {batch:?}"));
        }
        let was_active = batch.state == BatchState::Active;
        if was_active {
            (batch.state, batch.reason) = (BatchState::Paused, Some(why));
        }
        Ok(was_active)
    }
}

/// A call that waits for a retry, after its batch's settings changed.
fn retry_follows(call: &mut Call, old: &BatchSettings, new: &BatchSettings, now: Timestamp) {
    if new.retry < old.retry && call.facts.charged > u32::from(new.retry) {
        (call.state, call.disposition) = (CallState::Finished, call.last[1]);
        call.by_list = false;
        return;
    }
    if call.reason != WaitReason::RetryDelay {
        return;
    }
    let rest = if call.last[0] == Some(Disposition::Unknown) { UNKNOWN_REST_S } else { 0 };
    let [before, after] = [old, new].map(|s| Duration::from_secs(u64::from(s.delay_s.max(rest))));
    let moved = call.not_before.after(after).before(before);
    call.not_before = moved.max(call.not_before.min(now));
}
