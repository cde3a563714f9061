//! What a turn of the dispatcher reads, and the version that its plan rests on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use outdial_core::brake::Pulse;
use outdial_core::budget::{Day, Spend};
use outdial_core::call::{CallFacts, WaitReason};
use outdial_core::dispatcher::{
    Ask, BatchHead, Bucket, Candidate, Group, GroupKey, Head, Line, NumberHead, TrunkHead,
};
use outdial_core::id::{BatchId, WorkspaceId};
use outdial_core::settings::WorkspaceSettings;
use outdial_core::time::Timestamp;
use outdial_core::zone::Zone;
use outdial_ports::store::StoreError;
use rusqlite::{Row, params};

use super::db::SqliteDb;
use super::error::corrupt;
use super::limits::{add_pulse, first_day_told, minute_of, pulse, spend};
use super::phone::{number_limits, price};
use super::rows::{Id, RowExt};
use super::sql;
use crate::counts::{pack, unpack};

/// Of which batches: the workspace's active ones, and one besides.
#[derive(Clone, Copy)]
struct Asked {
    workspace: i64,
    also: Option<BatchId>,
}

impl Asked {
    /// The first three parameters of the statements that ask.
    fn columns(self) -> (i64, Option<i64>, Option<i64>) {
        (self.workspace, self.also.map(|b| b.seq64()), self.also.map(|b| b.secs()))
    }
}

/// Lane, class and `is_retry`.
pub(super) type GroupColumns = (i64, i64, i64);

/// A line's kind and `seq`.
type LineKey = (i64, i64);

impl SqliteDb {
    /// Every plan made before this commits no more.
    pub(super) fn dispatch_bump(&self, ws: i64) -> Result<(), StoreError> {
        self.exec(sql!("dispatch/bump"), [ws])?;
        Ok(())
    }

    pub(super) fn dispatch_workspaces(&mut self) -> Result<Vec<WorkspaceId>, StoreError> {
        self.all(sql!("dispatch/workspaces"), [], |r| r.id(0))
    }

    pub(super) fn dispatch_head(
        &mut self,
        ws: WorkspaceId,
        also: Option<BatchId>,
    ) -> Result<Head, StoreError> {
        let clock = self.now();
        let seq = ws.seq64();
        let (version, settings): (i64, WorkspaceSettings) = self
            .one(sql!("dispatch/head"), params![seq, ws.secs()], |r| Ok((r.get(0)?, r.json(1)?)))?
            .ok_or_else(|| StoreError::Internal(format!("no workspace {ws}")))?;
        let zone: Zone = settings.timezone.parse().map_err(|_| corrupt("time zone"))?;
        let asked = Asked { workspace: seq, also };
        let mut lines = self.dispatch_lines(asked)?;
        let since = clock.before(Duration::from_secs(u64::from(settings.brakes.window_s)));
        self.dispatch_pulses(asked, since, &mut lines)?;
        let live = self.dispatch_use(asked, clock, &mut lines)?;
        Ok(Head {
            workspace: ws,
            version: version.unsigned_abs(),
            clock,
            concurrency: settings.concurrency,
            live,
            rules: settings.calling_rules,
            zone,
            attempts_24h: settings.attempts_24h,
            brakes: settings.brakes,
            batches: by_id(lines.batches.into_values(), |b| b.id),
            numbers: by_id(lines.numbers.into_values(), |n| n.id),
            trunks: by_id(lines.trunks.into_values(), |t| t.id),
        })
    }

    pub(super) fn dispatch_groups(
        &mut self,
        ws: WorkspaceId,
        also: Option<BatchId>,
    ) -> Result<Vec<Group>, StoreError> {
        let (also, secs) = (also.map(|b| b.seq64()), also.map(|b| b.secs()));
        let batches = self.all(sql!("dispatch/lanes"), params![ws.seq64(), also, secs], |r| {
            Ok((r.id::<BatchId>(0)?, r.get::<_, Option<i64>>(2)?))
        })?;
        let mut found = Vec::new();
        for (batch, lane) in batches {
            let groups = self.pending_groups(batch.seq64(), lane)?;
            found.extend(groups.into_iter().map(|(group, next_due)| (batch, group, next_due)));
        }
        let mut groups = Vec::with_capacity(found.len());
        for (batch, (lane, class, is_retry), next_due) in found {
            let zones = self.class_zones(class)?;
            let key = GroupKey {
                batch,
                lane: narrow(lane)?,
                class: narrow(class)?,
                is_retry: is_retry == 1,
            };
            groups.push(Group { key, zones, next_due });
        }
        // The statement makes no promise about the order of its two parts.
        groups.sort_by_key(|g| g.key);
        Ok(groups)
    }

    /// The groups of a batch's pending calls in one lane (none: in all) as (lane, class, is_retry),
    /// and when the first of each is due.
    pub(super) fn pending_groups(
        &self,
        batch: i64,
        lane: Option<i64>,
    ) -> Result<Vec<(GroupColumns, Timestamp)>, StoreError> {
        // The lane that is placed bounds the walk on both sides.
        let (first, last) = lane.map_or((0, i64::from(u32::MAX)), |l| (l, l));
        let mut behind = (first - 1, i64::MAX, 1);
        let mut groups = Vec::new();
        loop {
            let key = params![batch, behind.0, behind.1, behind.2, last];
            let next = self.one(sql!("dispatch/next_group"), key, |r| {
                Ok(((r.get(0)?, r.get(1)?, r.get(2)?), r.time(3)?))
            })?;
            let Some((group, next_due)) = next else { return Ok(groups) };
            behind = group;
            groups.push((group, next_due));
        }
    }

    pub(super) fn dispatch_waiting(
        &mut self,
        batches: &[BatchId],
    ) -> Result<Vec<Bucket>, StoreError> {
        let now = self.now().as_millis();
        let mut buckets = Vec::new();
        for &batch in batches {
            let rows = self.all(sql!("dispatch/waiting"), params![batch.seq64(), now], |r| {
                let class: i64 = r.get(1)?;
                let group =
                    GroupKey { batch, lane: r.int(0)?, class: r.int(1)?, is_retry: r.get(2)? };
                let reason = r.word_opt(5, WaitReason::parse)?.unwrap_or(WaitReason::Due);
                let (charged, uncharged) = (r.int(3)?, r.int(4)?);
                Ok((class, group, charged, uncharged, reason, r.time(6)?, r.time(8)?, r.int(7)?))
            })?;
            for (class, group, charged, uncharged, reason, not_before, earliest, count) in rows {
                let zones = self.class_zones(class)?;
                buckets.push(Bucket {
                    group,
                    zones,
                    charged,
                    uncharged,
                    reason,
                    not_before,
                    earliest,
                    count,
                });
            }
        }
        Ok(buckets)
    }

    pub(super) fn dispatch_candidates(
        &mut self,
        asks: &[Ask],
    ) -> Result<Vec<Candidate>, StoreError> {
        let now = self.now().as_millis();
        let mut candidates = Vec::new();
        for ask in asks {
            let group = ask.group;
            let (due, call) =
                ask.after.map_or((i64::MIN, 0), |(at, call)| (at.as_millis(), call.seq64()));
            let row = params![
                group.batch.seq64(),
                group.lane,
                group.class,
                group.is_retry,
                now,
                due,
                call,
                ask.limit
            ];
            candidates.extend(self.all(sql!("dispatch/candidates"), row, |r| candidate(r, group))?);
        }
        Ok(candidates)
    }

    /// Remembers the recent slots of lines.
    pub(super) fn dispatch_set_slots(
        &self,
        ws: i64,
        slots: &[(Line, Vec<Timestamp>)],
    ) -> Result<(), StoreError> {
        for (line, starts) in slots {
            let (kind, seq) = match line {
                Line::Trunk(id) => (TRUNK, id.seq64()),
                Line::Number(id) => (NUMBER, id.seq64()),
            };
            self.exec(sql!("dispatch/set_slots"), params![ws, kind, seq, pack(starts)])?;
        }
        Ok(())
    }

    /// The batches that are asked for, their numbers and trunks, without what is live or was used.
    fn dispatch_lines(&self, asked: Asked) -> Result<Lines, StoreError> {
        let (workspace, also, secs) = asked.columns();
        let slots: BTreeMap<LineKey, Vec<Timestamp>> = self
            .all(sql!("dispatch/slots"), [workspace], |r| {
                Ok(((r.get(0)?, r.get(1)?), unpack(r.get_ref(2)?.as_blob()?)))
            })?
            .into_iter()
            .collect();
        let slots_of = |key: LineKey| slots.get(&key).cloned().unwrap_or_default();
        let mut lines = Lines::default();
        let key = params![workspace, also, secs];
        let batches = self.all(sql!("dispatch/batches"), key, batch_head)?;
        lines.batches = batches.into_iter().map(|b| (b.id.seq64(), b)).collect();
        let mut rows = self.all(sql!("dispatch/numbers"), key, |r| {
            Ok(((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?), number_head(r)?))
        })?;
        // In the order of rotation.
        rows.sort_by_key(|(place, _)| *place);
        for ((batch, _), mut number) in rows {
            let batch = lines.batches.get_mut(&batch).ok_or_else(|| corrupt("batch"))?;
            batch.numbers.push(number.id);
            number.slots = slots_of((NUMBER, number.id.seq64()));
            lines.numbers.insert(number.id.seq64(), number);
        }
        for (number, mut trunk) in self.dispatch_trunks(workspace)? {
            let Some(number) = lines.numbers.get_mut(&number) else { continue };
            number.trunks.push(trunk.id);
            trunk.slots = slots_of((TRUNK, trunk.id.seq64()));
            lines.trunks.insert(trunk.id.seq64(), trunk);
        }
        Ok(lines)
    }

    /// What is live, reserved and used. How many calls are live in the workspace.
    fn dispatch_use(
        &self,
        asked: Asked,
        clock: Timestamp,
        lines: &mut Lines,
    ) -> Result<u32, StoreError> {
        let (workspace, also, secs) = asked.columns();
        let first_day = first_day_told(clock);
        let mut by_day = BTreeMap::<i64, BTreeMap<Day, Spend>>::new();
        let used = params![workspace, also, secs, first_day];
        let used = self.all(sql!("dispatch/used"), used, |r| {
            Ok((r.get::<_, i64>(0)?, Day(r.int(1)?), spend(r, 2)?))
        })?;
        for (batch, day, used) in used {
            by_day.entry(batch).or_default().insert(day, used);
        }
        let live = self.all(sql!("dispatch/live"), [workspace], |r| {
            let line: (i64, i64, i64) = (r.get(0)?, r.get(1)?, r.get(2)?);
            Ok((line, Day(r.int(3)?), r.int::<u32>(4)?, spend(r, 5)?))
        })?;
        let mut total = 0;
        for ((batch, caller, trunk), day, count, reserved) in live {
            total += count;
            if let Some(batch) = lines.batches.get_mut(&batch) {
                batch.live += count;
                batch.spent = batch.spent.plus(reserved);
                if i64::from(day.0) >= first_day {
                    let spent = by_day.entry(batch.id.seq64()).or_default().entry(day).or_default();
                    *spent = spent.plus(reserved);
                }
            }
            if let Some(number) = lines.numbers.get_mut(&caller) {
                number.live += count;
            }
            if let Some(trunk) = lines.trunks.get_mut(&trunk) {
                trunk.live += count;
            }
        }
        for (batch, days) in by_day {
            if let Some(batch) = lines.batches.get_mut(&batch) {
                batch.spent_by_day = days.into_iter().collect();
            }
        }
        let placed = self.all(sql!("dispatch/placed"), params![workspace, first_day], |r| {
            Ok((r.get::<_, i64>(0)?, Day(r.int(1)?), r.int(2)?))
        })?;
        for (number, day, placed) in placed {
            if let Some(number) = lines.numbers.get_mut(&number) {
                number.placed_by_day.push((day, placed));
            }
        }
        Ok(total)
    }

    /// How the batches' attempts ended since then.
    fn dispatch_pulses(
        &self,
        asked: Asked,
        since: Timestamp,
        lines: &mut Lines,
    ) -> Result<(), StoreError> {
        let (workspace, also, secs) = asked.columns();
        let key = params![workspace, also, secs, minute_of(since)];
        let rows =
            self.all(sql!("dispatch/pulses"), key, |r| Ok((r.get::<_, i64>(0)?, pulse(r, 1)?)))?;
        for (batch, pulse) in rows {
            if let Some(batch) = lines.batches.get_mut(&batch) {
                add_pulse(&mut batch.pulse, &pulse);
            }
        }
        Ok(())
    }
}

/// Values of `dispatch_slots.kind`.
const TRUNK: i64 = 0;
const NUMBER: i64 = 1;

/// By `seq`.
#[derive(Default)]
struct Lines {
    batches: BTreeMap<i64, BatchHead>,
    numbers: BTreeMap<i64, NumberHead>,
    trunks: BTreeMap<i64, TrunkHead>,
}

/// In the order of ids, which is that of `seq` only while the clock does not go back.
fn by_id<T, K: Ord>(rows: impl Iterator<Item = T>, id: impl Fn(&T) -> K) -> Vec<T> {
    let mut rows: Vec<T> = rows.collect();
    rows.sort_by_key(id);
    rows
}

fn batch_head(r: &Row<'_>) -> rusqlite::Result<BatchHead> {
    let lane: Option<u32> = r.get(3)?;
    Ok(BatchHead {
        id: r.id(0)?,
        settings: Arc::new(r.json(2)?),
        numbers: Vec::new(),
        lane,
        live: 0,
        spent: spend(r, 4)?,
        spent_by_day: Vec::new(),
        pulse: Pulse::default(),
        pulse_ever: pulse(r, 6)?,
        brake: r.json(12)?,
    })
}

/// A number without its trunks, from the columns behind (batch, place).
fn number_head(r: &Row<'_>) -> rusqlite::Result<NumberHead> {
    Ok(NumberHead {
        id: r.id(2)?,
        number: r.phone(4)?,
        trunks: Vec::new(),
        limits: number_limits(r, 5)?,
        live: 0,
        slots: Vec::new(),
        price: price(r, 8)?,
        placed_by_day: Vec::new(),
    })
}

fn narrow(value: i64) -> Result<u32, StoreError> {
    u32::try_from(value).map_err(|_| corrupt("number"))
}

fn candidate(r: &Row<'_>, group: GroupKey) -> rusqlite::Result<Candidate> {
    Ok(Candidate {
        group,
        call: r.id(0)?,
        callee: r.phone(2)?,
        not_before: r.time(3)?,
        facts: CallFacts {
            round: r.int(4)?,
            charged: r.int(5)?,
            uncharged: r.int(6)?,
            attempts: r.int(7)?,
        },
    })
}
