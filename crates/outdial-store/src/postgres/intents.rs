//! `attempt_commit_intents`: from a plan to attempts, at most one per number and per turn of a
//! call (I1).
//!
//! The version is bumped before anything else is looked at: of the commits of a workspace, and of
//! all that bump with them, one runs at a time, and what it reads holds until it is committed. What
//! may change without a bump is locked (the calls), or has a unique key (the numbers).

use std::collections::{BTreeMap, BTreeSet};

use outdial_core::batch::PauseReason;
use outdial_core::brake::BrakeState;
use outdial_core::call::WaitReason;
use outdial_core::dispatcher::Line;
use outdial_core::id::{AttemptId, BatchId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_core::time::Timestamp;
use outdial_ports::failpoint;
use outdial_ports::store::{
    CommitError, CommitOutcome, Committed, DropReason, Dropped, NODE_LEASE, NewIntent, NewPlan,
    StoreError,
};

use super::account::to_json;
use super::attempt::{Step, together};
use super::params::params;
use super::pg;
use super::rows::{Id, RowExt, digits};
use super::tx::PgTx;
use crate::common::{DO_NOT_CALL, Delta};
use crate::counts::{NUMBER_BUSY_WAIT, PERSON_WINDOW, pack, whole, without};

/// What the database says of a callee.
struct Person {
    /// Every number is checked, whatever its batch says.
    switch: bool,
    is_listed: bool,
    is_busy: bool,
    /// When the attempt was that makes another one too many.
    nth: Option<Timestamp>,
}

/// What comes of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its number may be locked.
    Go,
    NotPending,
    DoNotCall,
    NumberBusy,
    /// Its person may be called again then.
    Rests(Timestamp),
}

/// Intents in the order of phone numbers, which decides which of two calls to one number goes.
type Order<'a> = [&'a NewIntent];

impl PgTx<'_> {
    pub(super) async fn attempt_commit_intents(
        &self,
        ws: WorkspaceId,
        version: u64,
        plan: &NewPlan,
    ) -> Result<CommitOutcome, CommitError> {
        let workspace = ws.seq64();
        self.pass_gate(workspace, version, plan).await?;
        let mut places: Vec<usize> = (0..plan.intents.len()).collect();
        places.sort_by_key(|i| plan.intents[*i].intent.callee);
        let order: Vec<&NewIntent> = places.iter().map(|i| &plan.intents[*i]).collect();

        let mut fates = self.fates(workspace, plan, &order).await?;
        let attempts = self.go_live(workspace, &order, &mut fates).await?;
        self.book(workspace, plan, &order, &fates, &attempts).await?;

        failpoint("store.intents_applied");
        let mut fate_of = vec![Fate::NotPending; plan.intents.len()];
        for (i, fate) in places.into_iter().zip(fates) {
            fate_of[i] = fate;
        }
        let mut outcome = CommitOutcome { version: version + 1, ..CommitOutcome::default() };
        for (new, fate) in plan.intents.iter().zip(fate_of) {
            let (call, callee) = (new.intent.call, digits(new.intent.callee));
            match (reason(fate), attempts.get(&callee)) {
                (None, Some(&seq)) => outcome.committed.push(Committed {
                    attempt: AttemptId::of(seq, self.now().as_millis()),
                    intent: new.clone(),
                }),
                (reason, _) => {
                    let reason = reason.unwrap_or(DropReason::NumberBusy);
                    outcome.dropped.push(Dropped { call, reason });
                }
            }
        }
        Ok(outcome)
    }

    /// The version still stands, and is bumped; the database is the one that was dialed from, and
    /// this node is alive to the others.
    async fn pass_gate(
        &self,
        workspace: i64,
        version: u64,
        plan: &NewPlan,
    ) -> Result<(), CommitError> {
        let expected = i64::try_from(version).unwrap_or(-1);
        let (mark, token) = plan.mark.map(|m| (m.attempt.seq64(), m.token)).unzip();
        let token = token.as_ref().map(<[u8; 16]>::as_slice);
        let alive_since = self.now().before(NODE_LEASE);
        let row = params![workspace, expected, mark, token, self.instance(), alive_since];
        let passed = self
            .one(pg!("attempt/gate"), row, |r| Ok((r.flag(0)?, r.flag(1)?, r.flag(2)?)))
            .await?;
        match passed {
            Some((true, true, true)) => Ok(()),
            Some((false, ..)) => Err(CommitError::Older),
            Some((true, false, _)) => {
                let why = "this node has not been heard of for too long".to_owned();
                Err(StoreError::Unavailable(why).into())
            }
            Some((true, true, false)) | None => Err(CommitError::Stale),
        }
    }

    /// What comes of the intents, by their place in the order.
    async fn fates(
        &self,
        workspace: i64,
        plan: &NewPlan,
        order: &Order<'_>,
    ) -> Result<Vec<Fate>, StoreError> {
        if order.is_empty() {
            return Ok(Vec::new());
        }
        let (written, held, persons) = tokio::join!(
            biased;
            self.hold_batches(workspace, plan),
            self.hold_calls(workspace, order),
            self.persons(workspace, order),
        );
        let ((), held, persons) = (written?, held?, persons?);
        let mut taken = BTreeSet::new();
        let mut fates = Vec::with_capacity(order.len());
        for (i, new) in order.iter().enumerate() {
            let fate = fate(new, held.get(&i).copied(), persons.get(&i), &taken);
            if fate == Fate::Go {
                taken.insert(new.intent.callee);
            }
            fates.push(fate);
        }
        Ok(fates)
    }

    /// Locks the batches that `book` writes.
    async fn hold_batches(&self, workspace: i64, plan: &NewPlan) -> Result<(), StoreError> {
        let brakes = plan.brakes.iter().map(|(batch, _)| batch.seq64());
        let batches: Vec<i64> =
            brakes.chain(plan.pauses.iter().map(|(batch, _)| batch.seq64())).collect();
        if !batches.is_empty() {
            self.exec(pg!("attempt/hold_batches"), params![batches, workspace]).await?;
        }
        Ok(())
    }

    /// Locks the calls that are still as their candidates said, by their place, with what their
    /// batch says of the do-not-call list.
    async fn hold_calls(
        &self,
        workspace: i64,
        order: &Order<'_>,
    ) -> Result<BTreeMap<usize, bool>, StoreError> {
        let column =
            |of: fn(&NewIntent) -> i64| order.iter().map(|new| of(new)).collect::<Vec<_>>();
        let row = params![
            workspace,
            column(|n| n.intent.call.seq64()),
            column(|n| n.intent.call.secs()),
            column(|n| n.intent.batch.seq64()),
            column(|n| n.intent.batch.secs()),
            column(|n| digits(n.intent.callee)),
            column(|n| n.intent.facts.attempts.into()),
            column(|n| n.intent.facts.round.into()),
            column(|n| n.intent.lane.into()),
            column(|n| n.intent.class.into()),
        ];
        let held =
            self.all(pg!("attempt/lock_calls"), row, |r| Ok((place(r)?, r.flag(1)?))).await?;
        Ok(held.into_iter().collect())
    }

    async fn persons(
        &self,
        workspace: i64,
        order: &Order<'_>,
    ) -> Result<BTreeMap<usize, Person>, StoreError> {
        let callees: Vec<i64> = order.iter().map(|n| digits(n.intent.callee)).collect();
        let since: Vec<i64> =
            order.iter().map(|n| n.intent.send_at.before(PERSON_WINDOW).as_millis()).collect();
        let earlier: Vec<Option<i64>> = order
            .iter()
            .map(|n| n.intent.attempts_24h.and_then(|most| most.checked_sub(1)).map(i64::from))
            .collect();
        let row = params![workspace, callees, since, earlier];
        let persons = self
            .all(pg!("attempt/persons"), row, |r| {
                let person = Person {
                    switch: r.flag(1)?,
                    is_listed: r.flag(2)?,
                    is_busy: r.flag(3)?,
                    nth: r.time_opt(4)?,
                };
                Ok((place(r)?, person))
            })
            .await?;
        Ok(persons.into_iter().collect())
    }

    /// Locks the numbers of those that may go, makes their attempts and moves their calls: the
    /// attempts by number. One whose number is not to be had is put off after all.
    async fn go_live(
        &self,
        workspace: i64,
        order: &Order<'_>,
        fates: &mut [Fate],
    ) -> Result<BTreeMap<i64, i64>, StoreError> {
        let going = || order.iter().zip(&*fates).filter(|(_, fate)| **fate == Fate::Go);
        if going().next().is_none() {
            return Ok(BTreeMap::new());
        }
        let column =
            |of: fn(&NewIntent) -> i64| going().map(|(new, _)| of(new)).collect::<Vec<_>>();
        let tokens: Vec<&[u8]> = going().map(|(new, _)| new.token.as_slice()).collect();
        let row = params![
            workspace,
            self.instance(),
            self.now(),
            column(|n| digits(n.intent.callee)),
            column(|n| n.intent.batch.seq64()),
            column(|n| n.intent.call.seq64()),
            column(|n| i64::from(n.intent.facts.attempts) + 1),
            column(|n| n.intent.facts.round.into()),
            tokens,
            column(|n| n.intent.caller.seq64()),
            column(|n| n.intent.trunk.seq64()),
            column(|n| n.intent.send_at.as_millis()),
            column(|n| n.intent.send_by.as_millis()),
            column(|n| whole(n.intent.reserve.seconds)),
            column(|n| whole(n.intent.reserve.micros)),
            column(|n| whole(n.intent.price)),
            column(|n| n.intent.day.0.into()),
        ];
        let live = self.all(pg!("attempt/go_live"), row, |r| Ok((r.int(0)?, r.int(1)?))).await?;
        let attempts: BTreeMap<i64, i64> = live.into_iter().collect();
        for (new, fate) in order.iter().zip(fates) {
            if *fate == Fate::Go && !attempts.contains_key(&digits(new.intent.callee)) {
                *fate = Fate::NumberBusy;
            }
        }
        Ok(attempts)
    }

    /// What a plan changes besides, sent at once; the rows that many transactions share come last.
    async fn book(
        &self,
        workspace: i64,
        plan: &NewPlan,
        order: &Order<'_>,
        fates: &[Fate],
        attempts: &BTreeMap<i64, i64>,
    ) -> Result<(), StoreError> {
        let each = || order.iter().zip(fates).map(|(new, fate)| (&new.intent, *fate));
        let mut deltas = BTreeMap::<i64, Delta>::new();
        let mut placed = BTreeMap::<(i64, i64), i64>::new();
        let (mut skipped, mut put_off) = (Vec::new(), Vec::new());
        for (intent, fate) in each() {
            let (call, delta) = (intent.call.seq64(), deltas.entry(intent.batch.seq64()));
            match fate {
                Fate::Go => {
                    let delta = delta.or_default();
                    delta.pending -= 1;
                    delta.live += 1;
                    *placed.entry((intent.caller.seq64(), intent.day.0.into())).or_default() += 1;
                }
                Fate::DoNotCall => {
                    let delta = delta.or_default();
                    delta.pending -= 1;
                    delta.finished += 1;
                    skipped.push(call);
                }
                Fate::NumberBusy => {
                    let until = self.now().after(NUMBER_BUSY_WAIT);
                    put_off.push((call, until, WaitReason::NumberBusy));
                }
                Fate::Rests(until) => put_off.push((call, until, WaitReason::AttemptsPerDay)),
                Fate::NotPending => {}
            }
        }
        let dropped = each().filter(|(_, fate)| *fate != Fate::Go).map(|(intent, _)| intent);
        let slots = without(&plan.slots, dropped);
        let steps: Vec<Step<'_>> = vec![
            Box::pin(self.calls_skip(skipped)),
            Box::pin(self.calls_put_off(put_off)),
            Box::pin(self.set_latest(workspace, attempts)),
            Box::pin(self.dispatch_set_slots(workspace, &slots)),
            Box::pin(self.batches_set_brakes(workspace, &plan.brakes)),
            Box::pin(self.numbers_add(placed)),
            Box::pin(self.totals_add_all(&deltas)),
        ];
        together(steps).await?;
        self.batches_pause(workspace, &plan.pauses).await
    }

    async fn calls_skip(&self, calls: Vec<i64>) -> Result<(), StoreError> {
        if !calls.is_empty() {
            let why = Disposition::Skipped.as_str();
            self.exec(pg!("attempt/skip"), params![calls, why, DO_NOT_CALL, self.now()]).await?;
        }
        Ok(())
    }

    async fn calls_put_off(
        &self,
        calls: Vec<(i64, Timestamp, WaitReason)>,
    ) -> Result<(), StoreError> {
        if calls.is_empty() {
            return Ok(());
        }
        let seqs: Vec<i64> = calls.iter().map(|c| c.0).collect();
        let until: Vec<i64> = calls.iter().map(|c| c.1.as_millis()).collect();
        let why: Vec<&str> = calls.iter().map(|c| c.2.as_str()).collect();
        self.exec(pg!("attempt/put_off"), params![seqs, until, why]).await?;
        Ok(())
    }

    /// Counts attempts of numbers on days.
    async fn numbers_add(&self, placed: BTreeMap<(i64, i64), i64>) -> Result<(), StoreError> {
        if placed.is_empty() {
            return Ok(());
        }
        let numbers: Vec<i64> = placed.keys().map(|k| k.0).collect();
        let days: Vec<i64> = placed.keys().map(|k| k.1).collect();
        let counts: Vec<i64> = placed.into_values().collect();
        self.exec(pg!("limits/number_add"), params![numbers, days, counts]).await?;
        Ok(())
    }

    async fn set_latest(
        &self,
        workspace: i64,
        attempts: &BTreeMap<i64, i64>,
    ) -> Result<(), StoreError> {
        if let Some(latest) = attempts.values().max() {
            let row = params![workspace, self.instance(), *latest];
            self.exec(pg!("attempt/set_latest"), row).await?;
        }
        Ok(())
    }

    /// Remembers the recent slots of lines.
    async fn dispatch_set_slots(
        &self,
        workspace: i64,
        slots: &[(Line, Vec<Timestamp>)],
    ) -> Result<(), StoreError> {
        // A line has one list; of two the later stands.
        let lines: BTreeMap<(i64, i64), Vec<u8>> = slots
            .iter()
            .map(|(line, starts)| (super::dispatch::line_key(*line), pack(starts)))
            .collect();
        if lines.is_empty() {
            return Ok(());
        }
        let kinds: Vec<i64> = lines.keys().map(|k| k.0).collect();
        let seqs: Vec<i64> = lines.keys().map(|k| k.1).collect();
        let packed: Vec<Vec<u8>> = lines.into_values().collect();
        self.exec(pg!("dispatch/set_slots"), params![workspace, kinds, seqs, packed]).await?;
        Ok(())
    }

    /// What the brakes remember of active batches.
    async fn batches_set_brakes(
        &self,
        workspace: i64,
        brakes: &[(BatchId, BrakeState)],
    ) -> Result<(), StoreError> {
        if brakes.is_empty() {
            return Ok(());
        }
        let seqs: Vec<i64> = brakes.iter().map(|(batch, _)| batch.seq64()).collect();
        let secs: Vec<i64> = brakes.iter().map(|(batch, _)| batch.secs()).collect();
        let states = brakes.iter().map(|(_, s)| to_json(s)).collect::<Result<Vec<String>, _>>()?;
        self.exec(pg!("attempt/set_brakes"), params![workspace, seqs, secs, states]).await?;
        Ok(())
    }

    async fn batches_pause(
        &self,
        workspace: i64,
        pauses: &[(BatchId, PauseReason)],
    ) -> Result<(), StoreError> {
        if pauses.is_empty() {
            return Ok(());
        }
        let seqs: Vec<i64> = pauses.iter().map(|(batch, _)| batch.seq64()).collect();
        let secs: Vec<i64> = pauses.iter().map(|(batch, _)| batch.secs()).collect();
        let why: Vec<&str> = pauses.iter().map(|(_, reason)| reason.as_str()).collect();
        let row = params![workspace, self.now(), seqs, secs, why];
        let paused: Vec<i64> = self.all(pg!("attempt/pause_batches"), row, |r| r.int(0)).await?;
        self.tell_batches(&paused).await
    }
}

/// What comes of an intent. `enable_dnc`: what its batch says, if its call is as it was seen;
/// `taken`: numbers of intents before it.
fn fate(
    new: &NewIntent,
    enable_dnc: Option<bool>,
    person: Option<&Person>,
    taken: &BTreeSet<outdial_core::phone::PhoneNumber>,
) -> Fate {
    let intent = &new.intent;
    let (Some(enable_dnc), Some(person)) = (enable_dnc, person) else { return Fate::NotPending };
    if person.is_listed && (person.switch || enable_dnc) {
        return Fate::DoNotCall;
    }
    if person.is_busy || taken.contains(&intent.callee) {
        return Fate::NumberBusy;
    }
    match (intent.attempts_24h, person.nth) {
        (Some(0), _) => Fate::Rests(intent.send_at.after(PERSON_WINDOW)),
        // When that one has left the window, there is room.
        (Some(_), Some(nth)) => Fate::Rests(nth.after(PERSON_WINDOW)),
        (Some(_), None) | (None, _) => Fate::Go,
    }
}

/// None: it went through.
fn reason(fate: Fate) -> Option<DropReason> {
    match fate {
        Fate::Go => None,
        Fate::NotPending => Some(DropReason::NotPending),
        Fate::DoNotCall => Some(DropReason::DoNotCall),
        Fate::NumberBusy => Some(DropReason::NumberBusy),
        Fate::Rests(_) => Some(DropReason::AttemptsPerDay),
    }
}

/// `WITH ORDINALITY` counts from 1.
fn place(r: &tokio_postgres::Row) -> Result<usize, StoreError> {
    Ok(r.int::<usize>(0)?.saturating_sub(1))
}
