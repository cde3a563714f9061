//! What goes wrong in a world, beside crashes: clocks that are set, a store and a carrier in bad
//! weather, a process that is stalled; some of it just when hours end.

use std::time::Duration;

use outdial_core::batch::BatchState;
use outdial_core::id::BatchId;
use outdial_core::time::Timestamp;
use outdial_ports::Clock;

use super::World;
use crate::checker::Violation;
use crate::rng::Rng;
use crate::store::AFTERMATH;
use crate::weather::{CarrierStorm, StoreStorm};

/// What was just added is mostly committed within this.
pub(super) const MOMENT: Duration = Duration::from_millis(500);
/// Closings are searched so far ahead, on this grid.
const CLOSES_WITHIN: Duration = Duration::from_secs(40 * 60);
const GRID: Duration = Duration::from_secs(20);

/// What may go wrong in a world: not everything in every one, so that what went wrong can be told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Temper {
    clock: bool,
    store: bool,
    carrier: bool,
    stalls: bool,
}

impl Temper {
    /// Draws one.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        Self {
            clock: rng.percent(35),
            store: rng.percent(60),
            carrier: rng.percent(60),
            stalls: rng.percent(70),
        }
    }
}

impl World {
    /// Something goes wrong, if it can in this world.
    pub(super) async fn disturb(&mut self) -> Result<(), Violation> {
        match self.rng.range(0..=15) {
            0..=2 if self.temper.clock => self.set_clock(),
            3..=5 if self.temper.store => {
                self.storm_at_store();
                self.hurry().await?;
            }
            6..=8 if self.temper.carrier => {
                self.storm_at_carrier();
                self.hurry().await?;
            }
            9..=11 if self.temper.stalls => self.stall().await?,
            12..=15 if self.temper.stalls => self.stall_at_closing().await?,
            _ => {}
        }
        Ok(())
    }

    /// All goes well from now on.
    pub(super) fn heal(&self) {
        self.parts.watch.note("world", "heals");
        self.parts.weather.clear();
        self.process.life.stall(Duration::ZERO);
    }

    fn set_clock(&mut self) {
        const CHOICES: [(i64, &str); 10] = [
            (1_500, "fault: clock stepped a little"),
            (-1_500, "fault: clock stepped a little"),
            (200, "fault: clock stepped a little"),
            (90_000, "fault: clock set ahead"),
            (-90_000, "fault: clock set back"),
            (3_600_000, "fault: clock set ahead"),
            (3_600_000, "fault: clock set ahead"),
            (-3_600_000, "fault: clock set back"),
            (86_400_000, "fault: clock set a day ahead"),
            (-86_400_000, "fault: clock set a day back"),
        ];
        let (by_ms, what) = *self.rng.pick(&CHOICES);
        self.parts.watch.count(what);
        self.set_clock_by(by_ms);
    }

    /// Sets the wall clock.
    pub(crate) fn set_clock_by(&self, by_ms: i64) {
        self.parts.set_clock(by_ms);
    }

    fn storm_at_store(&mut self) {
        let rng = &mut self.rng;
        let (storm, what) = match rng.range(0..=7) {
            0 => (StoreStorm::Down, "fault: store down for a while"),
            1 => (StoreStorm::Flaky(rng.range(5..=60)), "fault: store flaky for a while"),
            2 => (StoreStorm::Full, "fault: disk full for a while"),
            3 | 4 => (StoreStorm::Losing(rng.range(5..=60)), "fault: store loses answers"),
            // Above the uncertainty that a node may have.
            5 => (StoreStorm::Slow(rng.range(40..=140)), "fault: store slower than time allows"),
            // Above a slot.
            6 => (StoreStorm::Slow(rng.range(150..=4_000)), "fault: store slower than a slot"),
            _ => (StoreStorm::Panics(rng.range(2..=20)), "fault: store panics for a while"),
        };
        let lasts = Duration::from_millis(match rng.range(0..=2) {
            0 => rng.range(200..=3_000),
            1 => rng.range(3_000..=20_000),
            _ => rng.range(20_000..=90_000),
        });
        self.parts.watch.count(what);
        self.parts.watch.note("world", &format!("{storm:?} at the store for {lasts:?}"));
        self.parts.weather.storm_at_store(storm, lasts);
        self.excuse(lasts);
    }

    fn storm_at_carrier(&mut self) {
        let rng = &mut self.rng;
        let storm = match rng.range(0..=4) {
            0 => CarrierStorm::Unavailable(None),
            1 => CarrierStorm::Unavailable(Some(Duration::from_secs(rng.range(1..=40)))),
            _ => CarrierStorm::Strange(rng.range(20..=100)),
        };
        let lasts = Duration::from_millis(rng.range(1_000..=60_000));
        self.parts.watch.note("world", &format!("{storm:?} at the carrier for {lasts:?}"));
        self.parts.weather.storm_at_carrier(storm, lasts);
    }

    /// Mostly something is done just then, so that it meets the fault.
    async fn hurry(&mut self) -> Result<(), Violation> {
        for _ in 0..self.rng.range(0..=3) {
            match self.rng.percent(50) {
                true => self.client.act(&self.process, &self.parts).await?,
                false => self.rush_somewhere().await?,
            }
            self.process.wake.notify_one();
            let wait = self.rng.range(0..=250);
            self.parts.clock.sleep(Duration::from_millis(wait)).await;
        }
        Ok(())
    }

    /// People are added to a batch that is started by that.
    pub(super) async fn rush_somewhere(&mut self) -> Result<(), Violation> {
        let batches = self.parts.watch.look(|seen, _| {
            let active = seen.model.active();
            Ok(active.map(|(id, b)| (id, b.settings.calling_hours.is_always())).collect())
        });
        let batches: Vec<(BatchId, bool)> = batches.unwrap_or_default();
        // Rather one that is never closed.
        let open: Vec<_> = batches.iter().filter(|(_, always)| *always).copied().collect();
        let of = if open.is_empty() { batches } else { open };
        if of.is_empty() {
            return Ok(());
        }
        let (batch, _) = *self.rng.pick(&of);
        self.client.rush(batch, "Asia/Kolkata;IN", &self.process, &self.parts).await
    }

    /// Mostly when it next commits something, before it can send it.
    async fn stall(&mut self) -> Result<(), Violation> {
        let lasts = Duration::from_millis(match self.rng.range(0..=3) {
            0 => self.rng.range(10..=150),
            1 => self.rng.range(150..=800),
            2 => self.rng.range(800..=5_000),
            _ => self.rng.range(5_000..=70_000),
        });
        if self.rng.percent(70) {
            // The earliest slot is 10 ms after its plan.
            let after = self.rng.range(0..=20).saturating_sub(12);
            self.process.life.stall_at_commit(Duration::from_millis(after), lasts);
            self.rush_somewhere().await?;
            self.hurry().await?;
            self.parts.clock.sleep(MOMENT).await;
        } else {
            self.hurry().await?;
            self.stalls_for(lasts);
        }
        Ok(())
    }

    fn stalls_for(&self, lasts: Duration) {
        self.parts.watch.count("fault: process stalled");
        self.parts.watch.note("world", &format!("the process stalls for {lasts:?}"));
        self.process.life.stall(self.parts.clock.elapsed() + lasts);
        self.excuse(lasts);
    }

    pub(super) fn excuse(&self, lasts: Duration) {
        self.parts.watch.look(|seen, now| {
            seen.checkers.recalls.excuse(now.after(lasts + AFTERMATH));
            Ok(())
        });
    }

    /// Adds people to a batch just before its hours end, and stalls the process over the edge once
    /// it has committed them.
    async fn stall_at_closing(&mut self) -> Result<(), Violation> {
        let Some((batch, class, closes)) = self.next_closing()? else { return Ok(()) };
        let ahead = Duration::from_millis(self.rng.range(60..=420));
        let wait = closes.before(ahead).since(self.parts.clock.now());
        self.parts.clock.sleep(wait).await;
        let text = format!("hours of batch {} end at {closes} for {class}", batch.seq());
        self.parts.watch.note("world", &text);
        let lasts = ahead + Duration::from_millis(self.rng.range(0..=80));
        self.process.life.stall_at_commit(Duration::ZERO, lasts);
        self.parts.watch.count("fault: stalled as hours end");
        self.client.rush(batch, &class, &self.process, &self.parts).await
    }

    /// An active batch and when it next closes for somebody of it.
    fn next_closing(&mut self) -> Result<Option<(BatchId, String, Timestamp)>, Violation> {
        let found = self.parts.watch.look(|seen, _| {
            let now = seen.wall;
            let mut waiting = Vec::new();
            // Adding starts it, if it is done.
            let startable = [BatchState::Active, BatchState::Completed];
            for (&id, batch) in &seen.model.batches {
                if !startable.contains(&batch.state) {
                    continue;
                }
                let rules = seen.model.settings.get(&batch.workspace).map(|s| s.calling_rules);
                let hours = batch.settings.calling_hours.clone();
                let Some(rules) = rules.filter(|_| !hours.is_always()) else { continue };
                let mut classes: Vec<String> =
                    seen.model.calls_of(id).map(|c| c.class.to_string()).collect();
                classes.sort();
                classes.dedup();
                waiting.extend(classes.into_iter().map(|class| (id, hours.clone(), rules, class)));
            }
            for (id, hours, rules, class) in waiting {
                let mut is_open =
                    |at: Timestamp| seen.checkers.hours.is_open(&hours, rules, &class, at);
                if !is_open(now.after(Duration::from_secs(1)))? {
                    continue;
                }
                let mut at = now.after(Duration::from_secs(1));
                while at < now.after(CLOSES_WITHIN) {
                    let next = at.after(GRID);
                    if is_open(next)? {
                        at = next;
                        continue;
                    }
                    let (mut open, mut shut) = (at.as_millis(), next.as_millis());
                    while shut - open > 1 {
                        let middle = open.midpoint(shut);
                        match is_open(Timestamp::from_millis(middle))? {
                            true => open = middle,
                            false => shut = middle,
                        }
                    }
                    return Ok(Some((id, class, Timestamp::from_millis(shut))));
                }
            }
            Ok(None)
        });
        self.parts.watch.verdict()?;
        Ok(found.flatten())
    }
}
