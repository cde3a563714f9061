//! What a turn of the dispatcher reads, and the version that its plan rests on.
//!
//! A head is one view of the database. Its statements are sent at once, because the time that it
//! takes to read one is how little is known of the database's clock.

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
use outdial_core::zone::{Class, Zone};
use outdial_ports::store::StoreError;
use tokio_postgres::Row;

use super::error::corrupt;
use super::limits::{pulse, spend};
use super::params::params;
use super::pg;
use super::phone::{number_limits, price};
use super::rows::{Id, RowExt};
use super::tx::PgTx;
use crate::counts::{first_day_told, minute_of, unpack};

/// Values of `dispatch_slots.kind`.
const TRUNK: i64 = 0;
const NUMBER: i64 = 1;

/// Of which batches: the workspace's active ones, and one besides.
#[derive(Clone, Copy)]
struct Asked {
    workspace: i64,
    also: Option<i64>,
    secs: Option<i64>,
}

impl Asked {
    fn new(ws: WorkspaceId, also: Option<BatchId>) -> Self {
        let (also, secs) = also.map(|b| (b.seq64(), b.secs())).unzip();
        Self { workspace: ws.seq64(), also, secs }
    }
}

/// A line's kind and `seq`.
type LineKey = (i64, i64);

/// Live calls of one batch, number, trunk and day.
struct Live {
    batch: i64,
    caller: i64,
    trunk: i64,
    day: Day,
    count: u32,
    reserved: Spend,
}

impl PgTx<'_> {
    /// Every plan made before this commits no more. Before anything else that the transaction
    /// locks.
    pub(super) async fn dispatch_bump(&self, ws: i64) -> Result<(), StoreError> {
        self.exec(pg!("dispatch/bump"), params![ws]).await?;
        Ok(())
    }

    pub(super) async fn dispatch_workspaces(&self) -> Result<Vec<WorkspaceId>, StoreError> {
        self.all(pg!("dispatch/workspaces"), params![], |r| r.id(0)).await
    }

    pub(super) async fn dispatch_head(
        &self,
        ws: WorkspaceId,
        also: Option<BatchId>,
    ) -> Result<Head, StoreError> {
        let clock = self.now();
        let row = params![ws.seq64(), ws.secs()];
        let (version, settings): (i64, WorkspaceSettings) = self
            .one(pg!("dispatch/head"), row, |r| Ok((r.int(0)?, r.json(1)?)))
            .await?
            .ok_or_else(|| StoreError::Internal(format!("no workspace {ws}")))?;
        let zone: Zone = settings.timezone.parse().map_err(|_| corrupt("time zone"))?;
        let since = clock.before(Duration::from_secs(u64::from(settings.brakes.window_s)));
        let (lines, live) = self.dispatch_lines(Asked::new(ws, also), clock, since).await?;
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

    /// The batches that are asked for, their numbers and trunks, and what is live, reserved and
    /// used; and how many calls are live in the workspace.
    async fn dispatch_lines(
        &self,
        asked: Asked,
        clock: Timestamp,
        since: Timestamp,
    ) -> Result<(Lines, u32), StoreError> {
        let first_day = first_day_told(clock);
        let (slots, batches, numbers, trunks, pulses, used, live, placed) = tokio::join!(
            biased;
            self.slots_of_lines(asked.workspace),
            self.batch_heads(asked),
            self.number_heads(asked),
            self.dispatch_trunks(asked.workspace),
            self.pulses(asked, minute_of(since)),
            self.used(asked, first_day),
            self.live(asked.workspace),
            self.placed(asked.workspace, first_day),
        );
        let mut lines = Lines::new(batches?, numbers?, trunks?, &slots?)?;
        for (batch, pulse) in pulses? {
            if let Some(batch) = lines.batches.get_mut(&batch) {
                batch.pulse = pulse;
            }
        }
        let live = lines.count(first_day, used?, live?);
        for (number, day, placed) in placed? {
            if let Some(number) = lines.numbers.get_mut(&number) {
                number.placed_by_day.push((day, placed));
            }
        }
        Ok((lines, live))
    }

    async fn slots_of_lines(
        &self,
        workspace: i64,
    ) -> Result<BTreeMap<LineKey, Vec<Timestamp>>, StoreError> {
        let rows = self
            .all(pg!("dispatch/slots"), params![workspace], |r| {
                Ok(((r.int(0)?, r.int(1)?), unpack(r.col(2)?)))
            })
            .await?;
        Ok(rows.into_iter().collect())
    }

    async fn batch_heads(&self, asked: Asked) -> Result<Vec<BatchHead>, StoreError> {
        let row = params![asked.workspace, asked.also, asked.secs];
        self.all(pg!("dispatch/batches"), row, batch_head).await
    }

    /// In the order of rotation, each with its batch.
    async fn number_heads(&self, asked: Asked) -> Result<Vec<(i64, NumberHead)>, StoreError> {
        let row = params![asked.workspace, asked.also, asked.secs];
        self.all(pg!("dispatch/numbers"), row, |r| Ok((r.int(0)?, number_head(r)?))).await
    }

    /// How the batches' attempts ended from a minute on.
    async fn pulses(&self, asked: Asked, minute: i64) -> Result<Vec<(i64, Pulse)>, StoreError> {
        let row = params![asked.workspace, asked.also, asked.secs, minute];
        self.all(pg!("dispatch/pulses"), row, |r| Ok((r.int(0)?, pulse(r, 1)?))).await
    }

    async fn used(
        &self,
        asked: Asked,
        first_day: i64,
    ) -> Result<Vec<(i64, Day, Spend)>, StoreError> {
        let row = params![asked.workspace, asked.also, asked.secs, first_day];
        self.all(pg!("dispatch/used"), row, |r| Ok((r.int(0)?, Day(r.int(1)?), spend(r, 2)?))).await
    }

    async fn live(&self, workspace: i64) -> Result<Vec<Live>, StoreError> {
        self.all(pg!("dispatch/live"), params![workspace], |r| {
            Ok(Live {
                batch: r.int(0)?,
                caller: r.int(1)?,
                trunk: r.int(2)?,
                day: Day(r.int(3)?),
                count: r.int(4)?,
                reserved: spend(r, 5)?,
            })
        })
        .await
    }

    async fn placed(
        &self,
        workspace: i64,
        first_day: i64,
    ) -> Result<Vec<(i64, Day, u32)>, StoreError> {
        let row = params![workspace, first_day];
        self.all(pg!("dispatch/placed"), row, |r| Ok((r.int(0)?, Day(r.int(1)?), r.int(2)?))).await
    }

    pub(super) async fn dispatch_groups(
        &self,
        ws: WorkspaceId,
        also: Option<BatchId>,
    ) -> Result<Vec<Group>, StoreError> {
        let asked = Asked::new(ws, also);
        let row = params![asked.workspace, asked.also, asked.secs];
        let found =
            self.all(pg!("dispatch/groups"), row, |r| Ok((group_key(r)?, r.time(5)?))).await?;
        let zones = self.zones_of(found.iter().map(|(key, _)| key.class)).await?;
        let mut groups = Vec::with_capacity(found.len());
        for (key, next_due) in found {
            groups.push(Group { key, zones: zones_in(&zones, key.class)?, next_due });
        }
        groups.sort_by_key(|g| g.key);
        Ok(groups)
    }

    pub(super) async fn dispatch_waiting(
        &self,
        batches: &[BatchId],
    ) -> Result<Vec<Bucket>, StoreError> {
        let seqs: Vec<i64> = batches.iter().map(Id::seq64).collect();
        let rows = self
            .all(pg!("dispatch/waiting"), params![seqs, self.now()], |r| {
                let reason = r.word_opt(7, WaitReason::parse)?.unwrap_or(WaitReason::Due);
                let counts = (r.int(5)?, r.int(6)?, r.int(9)?);
                Ok((group_key(r)?, counts, reason, r.time(8)?, r.time(10)?))
            })
            .await?;
        let zones = self.zones_of(rows.iter().map(|row| row.0.class)).await?;
        let mut buckets = Vec::with_capacity(rows.len());
        for (group, (charged, uncharged, count), reason, not_before, earliest) in rows {
            let zones = zones_in(&zones, group.class)?;
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
        Ok(buckets)
    }

    async fn zones_of(
        &self,
        classes: impl Iterator<Item = u32>,
    ) -> Result<BTreeMap<i64, Arc<Class>>, StoreError> {
        let mut classes: Vec<i64> = classes.map(i64::from).collect();
        classes.sort_unstable();
        classes.dedup();
        self.class_zones_of(&classes).await
    }

    pub(super) async fn dispatch_candidates(
        &self,
        asks: &[Ask],
    ) -> Result<Vec<Candidate>, StoreError> {
        // Those that ask for about as many go together: one limit is what the planner can count on.
        let mut alike = BTreeMap::<u32, Vec<(usize, &Ask)>>::new();
        for (i, ask) in asks.iter().enumerate() {
            let limit = ask.limit.checked_next_power_of_two().unwrap_or(u32::MAX);
            alike.entry(limit).or_default().push((i, ask));
        }
        let read = alike.iter().map(|(limit, asks)| self.candidates(*limit, asks));
        let mut found = BTreeMap::<usize, Vec<Candidate>>::new();
        for answer in futures_util::future::join_all(read).await {
            for (i, candidate) in answer? {
                found.entry(i).or_default().push(candidate);
            }
        }
        let cut = |(i, candidates): (usize, Vec<Candidate>)| {
            let limit = asks.get(i).map_or(0, |ask| ask.limit);
            candidates.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX))
        };
        Ok(found.into_iter().flat_map(cut).collect())
    }

    /// The first candidates of each group, with the place of its ask.
    async fn candidates(
        &self,
        limit: u32,
        asks: &[(usize, &Ask)],
    ) -> Result<Vec<(usize, Candidate)>, StoreError> {
        let column = |of: fn(&Ask) -> i64| asks.iter().map(|(_, ask)| of(ask)).collect::<Vec<_>>();
        let is_retry: Vec<bool> = asks.iter().map(|(_, ask)| ask.group.is_retry).collect();
        let row = params![
            column(|a| a.group.batch.seq64()),
            column(|a| a.group.lane.into()),
            column(|a| a.group.class.into()),
            is_retry,
            column(|a| a.after.map_or(i64::MIN, |(due, _)| due.as_millis())),
            column(|a| a.after.map_or(0, |(_, call)| call.seq64())),
            self.now(),
            limit,
        ];
        self.all(pg!("dispatch/candidates"), row, |r| {
            let place = r.int::<usize>(0)?.saturating_sub(1);
            let (i, ask) = asks.get(place).ok_or_else(|| corrupt("place"))?;
            Ok((*i, candidate(r, ask.group)?))
        })
        .await
    }
}

/// By `seq`.
#[derive(Default)]
struct Lines {
    batches: BTreeMap<i64, BatchHead>,
    numbers: BTreeMap<i64, NumberHead>,
    trunks: BTreeMap<i64, TrunkHead>,
}

impl Lines {
    /// Without what is live or was used. `numbers` come in the order of rotation, `trunks` in that
    /// of preference.
    fn new(
        batches: Vec<BatchHead>,
        numbers: Vec<(i64, NumberHead)>,
        trunks: Vec<(i64, TrunkHead)>,
        slots: &BTreeMap<LineKey, Vec<Timestamp>>,
    ) -> Result<Self, StoreError> {
        let slots_of = |key: LineKey| slots.get(&key).cloned().unwrap_or_default();
        let batches = batches.into_iter().map(|b| (b.id.seq64(), b)).collect();
        let mut lines = Self { batches, ..Self::default() };
        for (batch, mut number) in numbers {
            let batch = lines.batches.get_mut(&batch).ok_or_else(|| corrupt("batch"))?;
            batch.numbers.push(number.id);
            number.slots = slots_of((NUMBER, number.id.seq64()));
            lines.numbers.insert(number.id.seq64(), number);
        }
        for (number, mut trunk) in trunks {
            let Some(number) = lines.numbers.get_mut(&number) else { continue };
            number.trunks.push(trunk.id);
            trunk.slots = slots_of((TRUNK, trunk.id.seq64()));
            lines.trunks.insert(trunk.id.seq64(), trunk);
        }
        Ok(lines)
    }

    /// Adds what was used, and what is live and reserved. How many calls are live.
    fn count(&mut self, first_day: i64, used: Vec<(i64, Day, Spend)>, live: Vec<Live>) -> u32 {
        let mut by_day = BTreeMap::<i64, BTreeMap<Day, Spend>>::new();
        for (batch, day, used) in used {
            by_day.entry(batch).or_default().insert(day, used);
        }
        let mut total = 0;
        for of in live {
            total += of.count;
            if let Some(batch) = self.batches.get_mut(&of.batch) {
                batch.live += of.count;
                batch.spent = batch.spent.plus(of.reserved);
                if i64::from(of.day.0) >= first_day {
                    let spent = by_day.entry(of.batch).or_default().entry(of.day).or_default();
                    *spent = spent.plus(of.reserved);
                }
            }
            if let Some(number) = self.numbers.get_mut(&of.caller) {
                number.live += of.count;
            }
            if let Some(trunk) = self.trunks.get_mut(&of.trunk) {
                trunk.live += of.count;
            }
        }
        for (batch, days) in by_day {
            if let Some(batch) = self.batches.get_mut(&batch) {
                batch.spent_by_day = days.into_iter().collect();
            }
        }
        total
    }
}

/// A line as its columns.
pub(super) fn line_key(line: Line) -> LineKey {
    match line {
        Line::Trunk(id) => (TRUNK, id.seq64()),
        Line::Number(id) => (NUMBER, id.seq64()),
    }
}

/// In the order of ids, which is that of `seq` only while the clock does not go back.
fn by_id<T, K: Ord>(rows: impl Iterator<Item = T>, id: impl Fn(&T) -> K) -> Vec<T> {
    let mut rows: Vec<T> = rows.collect();
    rows.sort_by_key(id);
    rows
}

/// From five columns: batch, lane, class, `is_retry`.
fn group_key(r: &Row) -> Result<GroupKey, StoreError> {
    Ok(GroupKey { batch: r.id(0)?, lane: r.int(2)?, class: r.int(3)?, is_retry: r.flag(4)? })
}

fn zones_in(zones: &BTreeMap<i64, Arc<Class>>, class: u32) -> Result<Arc<Class>, StoreError> {
    zones.get(&i64::from(class)).map(Arc::clone).ok_or_else(|| corrupt("class"))
}

fn batch_head(r: &Row) -> Result<BatchHead, StoreError> {
    Ok(BatchHead {
        id: r.id(0)?,
        settings: Arc::new(r.json(2)?),
        numbers: Vec::new(),
        lane: r.int_opt(3)?,
        live: 0,
        spent: spend(r, 4)?,
        spent_by_day: Vec::new(),
        pulse: Pulse::default(),
        pulse_ever: pulse(r, 6)?,
        brake: r.json(12)?,
    })
}

/// A number without its trunks, from the columns behind (batch, place).
fn number_head(r: &Row) -> Result<NumberHead, StoreError> {
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

fn candidate(r: &Row, group: GroupKey) -> Result<Candidate, StoreError> {
    Ok(Candidate {
        group,
        call: r.id(1)?,
        callee: r.phone(3)?,
        not_before: r.time(4)?,
        facts: CallFacts {
            round: r.int(5)?,
            charged: r.int(6)?,
            uncharged: r.int(7)?,
            attempts: r.int(8)?,
        },
    })
}
