//! A world: one database, one process at a time, users, a carrier, and virtual time, all drawn from
//! a seed.
//!
//! First *safety*: users do things, processes crash, and after every step the store is compared
//! with the model (the checkers of calls look on all the time). Then *liveness*: faults stop,
//! everything is started, and must end.

mod aimed;
mod faults;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use outdial_core::call::WaitReason;
use outdial_core::id::{BatchId, WorkspaceId};
use outdial_core::time::Timestamp;
use outdial_core::trunk_health::is_paused;
use outdial_engine::EngineConfig;
#[cfg(test)]
use outdial_ports::Clock;
use outdial_ports::Store;
use outdial_ports::store::{CallQuery, CallSort, CallView};
use outdial_store::SqliteInline;

use crate::checker::{Violation, recount};
use crate::client::{self, Client};
use crate::clock::SimClock;
use crate::outlook::{Outlook, outlook};
use crate::panics;
use crate::process::{Parts, Process};
use crate::rng::{Rng, SimEntropy};
use crate::sabotage::Sabotage;
use crate::store::Latency;
use crate::watch::Watch;
use crate::weather::Weather;
use aimed::Aimed;
pub(crate) use aimed::{Aim, Target};
use faults::Temper;

/// When worlds begin: mostly just before daylight saving changes where somebody is.
const STARTS: [&str; 6] = [
    "2026-03-08T06:20:00Z",
    "2026-11-01T05:20:00Z",
    "2026-03-29T00:20:00Z",
    "2026-10-25T00:20:00Z",
    "2026-04-04T14:20:00Z",
    "2026-06-15T13:00:00Z",
];
/// Once faults have stopped, everything ends within so much time in which a process runs.
const ENDS_WITHIN: Duration = Duration::from_secs(6 * 3600);
/// No trunk is paused for longer after a 503; the carrier of a world asks for less.
const PAUSE_MOST: Duration = Duration::from_secs(75);
/// Once all else is done, deleted batches are looked at for so long at least.
const DELETED_FOR: Duration = Duration::from_secs(120);
/// No call lasts longer: what one may talk here, and how late its end may show (`carrier::mishap`).
const LAST_CALLS: Duration = Duration::from_secs(21 * 60);
/// Looked at so often while waiting for the end.
const LOOK: Duration = Duration::from_secs(20);

/// A world in the middle of its story.
pub(crate) struct World {
    rng: Rng,
    temper: Temper,
    aimed: Aimed,
    parts: Parts,
    db: SqliteInline,
    /// The store without a line in between.
    store: Arc<dyn Store>,
    client: Client,
    process: Process,
}

impl World {
    /// The world of a seed. Needs a runtime whose time is paused.
    pub(crate) async fn new(
        seed: u64,
        (sabotage, aim): (Option<Sabotage>, Aim),
        watch: &mut Option<Arc<Watch>>,
    ) -> Result<Self, Violation> {
        let mut rng = Rng::new(seed);
        let start: Timestamp = rng.pick(&STARTS).parse().expect("these are instants");
        let start = start.after(Duration::from_secs(60 * rng.range(0..=90)));
        let clock = Arc::new(SimClock::new(start));
        let watch = watch.insert(Arc::new(Watch::new(Arc::clone(&clock))));
        let parts = Parts {
            clock: Arc::clone(&clock),
            watch: Arc::clone(watch),
            latency: Latency {
                usual_ms: *rng.pick(&[0, 0, 2, 10, 20]),
                spike_ms: *rng.pick(&[0, 100, 400]),
            },
            config: EngineConfig {
                node_calls: *rng.pick(&[3, 20, 2_000]),
                turn_limit: *rng.pick(&[2, 50, 500]),
                ring_limit_ms: *rng.pick(&[5_000, 20_000]),
                drain_limit_ms: *rng.pick(&[1_000, 20_000]),
                ..EngineConfig::default()
            },
            weather: Arc::new(Weather::new(Arc::clone(&clock))),
            sabotage,
            watermark: Arc::default(),
            journal: Arc::default(),
        };
        let temper = Temper::draw(&mut rng);
        let (latency, config) = (parts.latency, &parts.config);
        watch.note("world", &format!("seed {seed}, {start}, {latency:?}, {config:?}, {temper:?}"));
        let entropy = SimEntropy::new(rng.fork());
        let db = SqliteInline::in_memory(clock, &entropy)
            .map_err(|e| Violation::new("harness", e.to_string()))?;
        let store: Arc<dyn Store> = Arc::new(db.clone());
        let client = Client::new(rng.fork(), &parts, &*store).await?;
        let process = Process::start(&parts, 1, &db, rng.fork());
        let aimed = Aimed::new(seed, aim);
        Ok(Self { rng, temper, aimed, parts, db, store, client, process })
    }

    /// Plays so many steps, then waits until everything has ended.
    pub(crate) async fn play(mut self, steps: u32) -> Result<(), Violation> {
        for _ in 0..steps {
            self = self.aim().await?;
            self = match self.rng.range(0..=99) {
                0..=4 => self.crash().await,
                5..=6 => self.restart().await?,
                7..=22 => {
                    self.disturb().await?;
                    self
                }
                _ => {
                    self.client.act(&self.process, &self.parts).await?;
                    self
                }
            };
            self.parts.watch.count("steps");
            self.check().await?;
            let pause = client::pause(&mut self.rng);
            self.parts.clock.sleep(pause).await;
            self.check().await?;
        }
        self.settle().await
    }

    /// Lets time pass.
    #[cfg(test)]
    pub(crate) async fn pass(&self, time: Duration) {
        self.parts.clock.sleep(time).await;
    }

    /// Users do so many things one after the other, and nothing goes wrong.
    #[cfg(test)]
    pub(crate) async fn users_act(mut self, times: u32) -> Result<Self, Violation> {
        for _ in 0..times {
            self.client.act(&self.process, &self.parts).await?;
            self.pass(Duration::from_millis(500)).await;
            self.check().await?;
        }
        Ok(self)
    }

    /// People are added by somebody in whose hands the clock is set, and after so long only the
    /// rest of the request is sent.
    #[cfg(test)]
    pub(crate) async fn add_while_clock_is_set(
        mut self,
        by_ms: i64,
        rest_after: Duration,
    ) -> Result<Self, Violation> {
        let Self { parts, process, client, .. } = &mut self;
        let meanwhile = async {
            parts.set_clock(by_ms);
            parts.clock.sleep(rest_after).await;
        };
        client.add_slowly(process, parts, meanwhile).await?;
        self.check().await?;
        Ok(self)
    }

    /// People are added to a batch that expires in an hour, and while a plan for them is on its way
    /// to the store, the clock is set to when it has expired.
    #[cfg(test)]
    pub(crate) async fn set_clock_as_plan_is_held(mut self) -> Result<Self, Violation> {
        const HOUR_MS: i64 = 3_600_000;
        let expires_at = self.parts.clock.now().after(Duration::from_secs(3_600));
        let hold = self.process.life.hold_next();
        self.client.add_to_expiring(expires_at, &self.process, &self.parts).await?;
        if hold.held().await.is_some() {
            self.parts.watch.count("clock set as a plan is held");
            self.parts.set_clock(HOUR_MS);
        }
        self.process.life.hold_none();
        hold.let_go();
        self.pass(Duration::from_secs(5)).await;
        self.check().await?;
        Ok(self)
    }

    /// People are added to a batch that expires in a moment, and the process is stalled until then
    /// once it has committed them.
    #[cfg(test)]
    pub(crate) async fn stall_as_batch_expires(
        mut self,
        ahead: Duration,
    ) -> Result<Self, Violation> {
        let expires_at = self.parts.clock.now().after(ahead);
        let hold = self.process.life.hold_next();
        self.client.add_to_expiring(expires_at, &self.process, &self.parts).await?;
        if hold.held().await.is_some() {
            let left = expires_at.since(self.parts.clock.now());
            self.process.life.stall_at_commit(Duration::ZERO, left);
        }
        self.process.life.hold_none();
        hold.let_go();
        self.pass(Duration::from_secs(5)).await;
        self.check().await?;
        Ok(self)
    }

    async fn crash(self) -> Self {
        let Self { process, mut rng, temper, aimed, parts, db, store, client } = self;
        let number = process.number + 1;
        process.crash(&parts.watch).await;
        // The next one may be there at once, or take its time.
        if rng.percent(50) {
            parts.clock.sleep(client::pause(&mut rng)).await;
        }
        let process = Process::start(&parts, number, &db, rng.fork());
        Self { process, rng, temper, aimed, parts, db, store, client }
    }

    async fn restart(self) -> Result<Self, Violation> {
        self.pause_process(Duration::ZERO).await
    }

    /// Ends the process politely, lets time pass without one, and starts the next.
    async fn pause_process(self, away: Duration) -> Result<Self, Violation> {
        let Self { process, mut rng, temper, aimed, parts, db, store, client } = self;
        let number = process.number + 1;
        process.drain(&parts.watch).await?;
        // While nobody reads they may come of the age at which they are forgotten.
        read_events(&parts, &*store).await?;
        parts.clock.sleep(away).await;
        let process = Process::start(&parts, number, &db, rng.fork());
        Ok(Self { process, rng, temper, aimed, parts, db, store, client })
    }

    /// Everything that changed is as the model has it, and adds up.
    async fn check(&self) -> Result<(), Violation> {
        self.parts.watch.look(|seen, now| seen.checkers.recalls.check(now));
        self.parts.watch.verdict()?;
        panics::check()?;
        self.process.check(self.parts.weather.broke_down(), false)?;
        let changed = self.parts.watch.look(|seen, _| Ok(std::mem::take(&mut seen.changed)));
        read_events(&self.parts, &*self.store).await?;
        for batch in changed.into_iter().flatten() {
            self.check_batch(batch).await?;
        }
        self.parts.watch.verdict()
    }

    async fn check_batch(&self, batch: BatchId) -> Result<(), Violation> {
        let store = |e: &dyn std::fmt::Display| Violation::new("store", e.to_string());
        let shown = self.store.batch_fetch(batch).await.map_err(|e| store(&e))?;
        self.parts.watch.look(|seen, _| seen.model.compare_batch(batch, shown.as_ref()));
        let Some(shown) = shown else { return Ok(()) };
        let mut calls: Vec<CallView> = Vec::new();
        for page in 1.. {
            let query = CallQuery {
                page,
                limit: 100,
                filter: Vec::new(),
                sort: CallSort::CreatedAt,
                descending: false,
                search: None,
            };
            let list = self.store.call_list(batch, query).await.map_err(|e| store(&e))?;
            calls.extend(list.calls);
            if calls.len() as u64 >= list.total || page > 100 {
                break;
            }
        }
        let head = self.store.dispatch_head(shown.workspace, Some(batch)).await;
        let head = head.map_err(|e| store(&e))?;
        self.parts.watch.look(|seen, _| {
            for call in &calls {
                if let Some(w) = call.waiting.filter(|w| w.reason == WaitReason::AttemptsPerDay) {
                    let rested = seen.checkers.often.rested(shown.workspace, call.phone);
                    seen.model.rest(call.id, w.not_before, rested)?;
                }
            }
            seen.model.compare_calls(batch, &calls)?;
            seen.compare_head(batch, &head)?;
            for (call, times) in seen.model.finished_of(batch) {
                seen.checkers.events.finished(call, times)?;
            }
            recount(&shown.totals, &calls)
        });
        Ok(())
    }

    /// Heals the world, and waits until every batch is done.
    async fn settle(mut self) -> Result<(), Violation> {
        self.heal();
        self.client.heal(&self.process, &self.parts).await?;
        self.check().await?;
        let mut ran = Duration::ZERO;
        loop {
            let open = self.parts.watch.look(|seen, _| Ok(seen.model.unfinished()));
            if open.as_ref().is_some_and(Vec::is_empty) {
                break;
            }
            if ran > ENDS_WITHIN {
                return Err(Violation::new("I2", format!("not done after {ran:?}: {open:?}")));
            }
            match self.nothing_to_do().await? {
                Outlook::Now => {}
                Outlook::After(away) => {
                    self.parts.watch.count("nights");
                    self = self.pause_process(away).await?;
                }
                Outlook::Never => {
                    self.client.at_any_hour(&self.parts, &*self.process.store).await?;
                }
            }
            self.parts.clock.sleep(LOOK).await;
            ran += LOOK;
            self.check().await?;
        }
        self.end_of_deleted().await?;
        self.process.check(false, true)?;
        self.process.drain(&self.parts.watch).await
    }

    /// What is left of deleted batches ends too: whom somebody talks to is not cut off.
    async fn end_of_deleted(&self) -> Result<(), Violation> {
        let mut ran = Duration::ZERO;
        loop {
            self.parts.clock.sleep(LOOK).await;
            ran += LOOK;
            self.check().await?;
            let live = self.parts.watch.look(|seen, _| Ok(seen.checkers.once.live_count()));
            if live == Some(0) && ran >= DELETED_FOR {
                return Ok(());
            }
            if ran > LAST_CALLS {
                let what = format!("{live:?} calls are live {ran:?} after everything");
                return Err(Violation::new("I2", what));
            }
        }
    }

    /// How long nothing can be placed, if that is long: hours are closed for everybody who waits,
    /// or trunks are paused until an instant of a clock that was set back since.
    async fn nothing_to_do(&self) -> Result<Outlook, Violation> {
        let found = self.parts.watch.look(outlook);
        self.parts.watch.verdict()?;
        let found = found.unwrap_or(Outlook::Now);
        if !matches!(found, Outlook::Now) {
            return Ok(found);
        }
        let pause = self.longest_pause().await?;
        let set_back = self.parts.watch.look(|seen, _| Ok(seen.checkers.clocks.was_set_back()));
        match pause {
            Some(pause) if pause > PAUSE_MOST && set_back != Some(true) => {
                Err(Violation::new("I2", format!("a trunk is paused for another {pause:?}")))
            }
            Some(pause) if pause > PAUSE_MOST => Ok(Outlook::After(pause)),
            _ => Ok(Outlook::Now),
        }
    }

    /// If nothing is live and a trunk is paused: for how long.
    async fn longest_pause(&self) -> Result<Option<Duration>, Violation> {
        let asked = self.parts.watch.look(|seen, _| {
            let idle = seen.checkers.once.live_count() == 0;
            let of = seen.model.active().map(|(_, batch)| batch.workspace);
            Ok((if idle { of.collect() } else { BTreeSet::new() }, seen.wall))
        });
        let (workspaces, wall) = asked.unwrap_or_default();
        let mut longest = None;
        for ws in workspaces {
            let head = self.store.dispatch_head(ws, None).await;
            let head = head.map_err(|e| Violation::new("store", e.to_string()))?;
            let pauses = head.trunks.iter().filter_map(|t| t.paused_until);
            let pauses = pauses.filter(|until| is_paused(*until, wall));
            longest = longest.max(pauses.map(|until| until.since(wall)).max());
        }
        Ok(longest)
    }
}

/// Numbers what was written, and reads it.
async fn read_events(parts: &Parts, db: &dyn Store) -> Result<(), Violation> {
    let store = |e: &dyn std::fmt::Display| Violation::new("store", e.to_string());
    while db.event_number(1000).await.map_err(|e| store(&e))? > 0 {}
    let read = parts.watch.look(|seen, _| {
        let of = |ws: &WorkspaceId| (*ws, seen.checkers.events.position(*ws));
        Ok(seen.model.settings.keys().map(of).collect::<Vec<_>>())
    });
    for (ws, after) in read.into_iter().flatten() {
        let page = db.event_list(ws, after, u32::MAX).await.map_err(|e| store(&e))?;
        parts.watch.look(|seen, _| {
            page.events.iter().try_for_each(|event| seen.checkers.events.told(event))
        });
    }
    Ok(())
}
