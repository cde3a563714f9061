//! Faults that are aimed at moments which chance alone seldom hits: the answer to a commit is lost,
//! something is changed while a plan is on its way to the store, the database is put back to an
//! older copy for a while.
//!
//! When they strike is drawn from a stream of their own: without them, the world of a seed is one
//! that knows nothing of them.

use std::sync::Arc;
use std::time::Duration;

use outdial_ports::{Noted, Store, Watermark};
use outdial_store::SqliteInline;

use super::World;
use super::faults::MOMENT;
use crate::checker::Violation;
use crate::process::Process;
use crate::rng::Rng;
use crate::weather::StoreStorm;

/// Copies of the database that are kept at most.
const COPIES: usize = 3;

/// What can be aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The answer to a commit.
    Commits,
    /// A plan on its way.
    Plans,
    /// The database.
    Copies,
}

/// How often which of them is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// None, ever.
    #[cfg(test)]
    Off,
    /// Each now and then.
    Usual,
    /// This one, often.
    At(Target),
}

/// Who aims.
pub(super) struct Aimed {
    aim: Aim,
    rng: Rng,
    copies: Vec<SqliteInline>,
}

impl Aimed {
    /// In the world of a seed.
    pub(super) fn new(seed: u64, aim: Aim) -> Self {
        // Another stream than the world's.
        Self { aim, rng: Rng::new(!seed), copies: Vec::new() }
    }

    /// What is struck in this step, and whether a copy is made before it.
    fn draw(&mut self) -> (Option<Target>, bool) {
        let rng = &mut self.rng;
        match self.aim {
            #[cfg(test)]
            Aim::Off => (None, false),
            Aim::Usual => {
                let target = *rng.pick(&[Target::Commits, Target::Plans, Target::Copies]);
                (rng.percent(5).then_some(target), rng.percent(10))
            }
            Aim::At(target) => (rng.percent(20).then_some(target), rng.percent(20)),
        }
    }
}

impl World {
    /// Strikes, or does not.
    pub(super) async fn aim(mut self) -> Result<Self, Violation> {
        let (target, copies) = self.aimed.draw();
        if copies {
            let copy = self.db.copy(Arc::clone(&self.parts.clock) as _);
            let copy = copy.map_err(|e| Violation::new("harness", e.to_string()))?;
            if self.aimed.copies.len() == COPIES {
                self.aimed.copies.remove(0);
            }
            self.aimed.copies.push(copy);
        }
        match target {
            None => return Ok(self),
            Some(Target::Commits) => self.lose_commits().await?,
            Some(Target::Plans) => self.change_meanwhile().await?,
            Some(Target::Copies) => self = self.put_back().await?,
        }
        self.check().await?;
        Ok(self)
    }

    async fn lose_commits(&mut self) -> Result<(), Violation> {
        let lasts = Duration::from_millis(self.rng.range(200..=3_000));
        self.parts.watch.count("fault: commits lose their answers");
        self.parts.watch.note("world", &format!("commits lose their answers for {lasts:?}"));
        self.parts.weather.storm_at_store(StoreStorm::LosingCommits, lasts);
        self.excuse(lasts);
        self.rush_somewhere().await?;
        self.parts.clock.sleep(MOMENT).await;
        Ok(())
    }

    async fn change_meanwhile(&mut self) -> Result<(), Violation> {
        let hold = self.process.life.hold_next();
        self.rush_somewhere().await?;
        let held = hold.held().await;
        self.process.life.hold_none();
        if let Some(ws) = held {
            self.parts.watch.count("fault: changed while a plan is under way");
            self.parts.watch.note("world", &format!("a plan of {} is held", ws.seq()));
            self.client.tighten(ws, &self.process, &self.parts).await?;
        }
        hold.let_go();
        self.parts.clock.sleep(MOMENT).await;
        Ok(())
    }

    /// The process crashes, and the next one finds an older copy of the database; after a while
    /// that is noticed, and the newer one put in its place again. What is known beside the
    /// database stays. No user does anything meanwhile.
    async fn put_back(mut self) -> Result<Self, Violation> {
        let Some(copy) = self.unrecognised().await? else { return Ok(self) };
        let Self { process, mut rng, temper, aimed, parts, db, store, client } = self;
        let number = process.number + 1;
        process.crash(&parts.watch).await;
        parts.watch.count("fault: older copy put back");
        parts.watch.note("world", "the database is an older copy");
        let process = Process::start_on_copy(&parts, number, &copy, rng.fork());
        for _ in 0..rng.range(1..=6) {
            parts.clock.sleep(Duration::from_millis(rng.range(500..=60_000))).await;
            parts.watch.verdict()?;
            process.check(parts.weather.broke_down(), false)?;
        }
        if rng.percent(50) {
            process.crash(&parts.watch).await;
        } else {
            process.drain(&parts.watch).await?;
        }
        parts.watch.note("world", "the database is the newer one again");
        let process = Process::start(&parts, number + 1, &db, rng.fork());
        Ok(Self { process, rng, temper, aimed, parts, db, store, client })
    }

    /// A copy from which nobody may be dialed though there is somebody to dial: in no workspace
    /// with an active batch does it hold what left last.
    async fn unrecognised(&mut self) -> Result<Option<SqliteInline>, Violation> {
        let wrong = |e: &dyn std::fmt::Display| Violation::new("harness", e.to_string());
        let mut found = Vec::new();
        for copy in &self.aimed.copies {
            let workspaces = copy.dispatch_workspaces().await.map_err(|e| wrong(&e))?;
            let mut recognised = workspaces.is_empty();
            for ws in workspaces {
                let noted = self.parts.watermark.latest(ws).await.map_err(|e| wrong(&e))?;
                recognised |= match noted {
                    Noted::Mark(mark) => copy
                        .attempt_is_known(mark.attempt, mark.token)
                        .await
                        .map_err(|e| wrong(&e))?,
                    Noted::Nothing | Noted::Lost => true,
                };
            }
            if !recognised {
                found.push(copy.clone());
            }
        }
        if found.is_empty() {
            return Ok(None);
        }
        // It is harmed by being dialed from, so another is made of it.
        let copy = self.rng.pick(&found).copy(Arc::clone(&self.parts.clock) as _);
        copy.map(Some).map_err(|e| wrong(&e))
    }
}
