//! What a turn of the dispatcher reads, and the version that its plan rests on.

use std::collections::BTreeMap;
use std::sync::Arc;

use outdial_core::call::CallFacts;
use outdial_core::dispatcher::{
    Ask, BatchHead, Candidate, Group, GroupKey, Head, Line, NumberHead, TrunkHead,
};
use outdial_core::id::{BatchId, WorkspaceId};
use outdial_core::settings::WorkspaceSettings;
use outdial_core::time::Timestamp;
use outdial_ports::store::StoreError;
use rusqlite::{Row, params};

use super::db::SqliteDb;
use super::error::corrupt;
use super::phone::limits;
use super::rows::{Id, RowExt};
use super::sql;

/// Live calls of one (batch, calling number, trunk).
struct Live {
    batch: i64,
    caller: i64,
    trunk: i64,
    count: u32,
}

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

    pub(super) fn dispatch_head(&mut self, ws: WorkspaceId, _also: Option<BatchId>) -> Result<Head, StoreError> {
        let clock = self.now();
        let seq = ws.seq64();
        let (version, settings): (i64, WorkspaceSettings) = self
            .one(sql!("dispatch/head"), params![seq, ws.secs()], |r| Ok((r.get(0)?, r.json(1)?)))?
            .ok_or_else(|| StoreError::Internal(format!("no workspace {ws}")))?;
        let live = self.all(sql!("dispatch/live"), [seq], |r| {
            Ok(Live { batch: r.get(0)?, caller: r.get(1)?, trunk: r.get(2)?, count: r.int(3)? })
        })?;
        let count = |of: &dyn Fn(&Live) -> bool| {
            live.iter().filter(|l| of(l)).map(|l| l.count).sum::<u32>()
        };
        let slots: BTreeMap<LineKey, Vec<Timestamp>> = self
            .all(sql!("dispatch/slots"), [seq], |r| {
                Ok(((r.get(0)?, r.get(1)?), unpack(r.get_ref(2)?.as_blob()?)))
            })?
            .into_iter()
            .collect();
        let slots_of = |key: LineKey| slots.get(&key).cloned().unwrap_or_default();
        let mut head = self.dispatch_lines(seq, &slots_of)?;
        for batch in head.batches.values_mut() {
            batch.live = count(&|l| l.batch == batch.id.seq64());
        }
        for number in head.numbers.values_mut() {
            number.live = count(&|l| l.caller == number.id.seq64());
        }
        for trunk in head.trunks.values_mut() {
            trunk.live = count(&|l| l.trunk == trunk.id.seq64());
        }
        Ok(Head {
            workspace: ws,
            version: version.unsigned_abs(),
            clock,
            concurrency: settings.concurrency,
            live: count(&|_| true),
            rules: settings.calling_rules,
            zone: settings.timezone.parse().map_err(|_| corrupt("time zone"))?,
            attempts_24h: settings.attempts_24h,
            brakes: settings.brakes,
            batches: by_id(head.batches.into_values(), |b| b.id),
            numbers: by_id(head.numbers.into_values(), |n| n.id),
            trunks: by_id(head.trunks.into_values(), |t| t.id),
        })
    }

    pub(super) fn dispatch_groups(&mut self, ws: WorkspaceId, _also: Option<BatchId>) -> Result<Vec<Group>, StoreError> {
        let batches = self.all(sql!("dispatch/batches"), [ws.seq64()], |r| {
            Ok((r.id::<BatchId>(0)?, r.get::<_, Option<i64>>(3)?))
        })?;
        let mut found = Vec::new();
        for (batch, lane) in batches {
            // The lane that is placed bounds the walk on both sides; none: all lanes.
            let (first, last) = lane.map_or((0, i64::from(u32::MAX)), |l| (l, l));
            let mut behind = (first - 1, i64::MAX, 1);
            loop {
                let key = params![batch.seq64(), behind.0, behind.1, behind.2, last];
                let next = self.one(sql!("dispatch/next_group"), key, |r| {
                    let group: (i64, i64, i64) = (r.get(0)?, r.get(1)?, r.get(2)?);
                    Ok((group, r.time(3)?))
                })?;
                let Some((group, next_due)) = next else { break };
                behind = group;
                found.push((batch, group, next_due));
            }
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
        Ok(groups)
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

    /// Batches, numbers and trunks of the workspace's active batches, without their live calls.
    fn dispatch_lines(
        &self,
        ws: i64,
        slots_of: &dyn Fn(LineKey) -> Vec<Timestamp>,
    ) -> Result<Lines, StoreError> {
        let mut lines = Lines::default();
        let batches = self.all(sql!("dispatch/batches"), [ws], |r| {
            let lane: Option<u32> = r.get(3)?;
            let settings = Arc::new(r.json(2)?);
            Ok(BatchHead { id: r.id(0)?, settings, numbers: Vec::new(), lane, live: 0, spent: outdial_core::budget::Spend::NONE, spent_by_day: Vec::new(), pulse: outdial_core::brake::Pulse::default(), pulse_ever: outdial_core::brake::Pulse::default() })
        })?;
        lines.batches = batches.into_iter().map(|b| (b.id.seq64(), b)).collect();
        let rows = self.all(sql!("dispatch/numbers"), [ws], |r| {
            let trunk = TrunkHead {
                id: r.id(6)?,
                limits: limits(r, 8)?,
                live: 0,
                slots: Vec::new(),
                paused_until: r.time_opt(10)?,
            };
            let number = NumberHead {
                id: r.id(1)?,
                number: r.phone(3)?,
                trunk: trunk.id,
                limits: limits(r, 4)?,
                live: 0,
                slots: Vec::new(),
                price: None,
                placed_by_day: Vec::new(),
            };
            Ok((r.get::<_, i64>(0)?, number, trunk))
        })?;
        for (batch, mut number, mut trunk) in rows {
            let batch = lines.batches.get_mut(&batch).ok_or_else(|| corrupt("batch"))?;
            batch.numbers.push(number.id);
            number.slots = slots_of((NUMBER, number.id.seq64()));
            trunk.slots = slots_of((TRUNK, trunk.id.seq64()));
            lines.numbers.insert(number.id.seq64(), number);
            lines.trunks.insert(trunk.id.seq64(), trunk);
        }
        Ok(lines)
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

fn pack(starts: &[Timestamp]) -> Vec<u8> {
    starts.iter().flat_map(|t| t.as_millis().to_be_bytes()).collect()
}

fn unpack(bytes: &[u8]) -> Vec<Timestamp> {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().map(|w| Timestamp::from_millis(i64::from_be_bytes(*w))).collect()
}
