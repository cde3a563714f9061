//! Brakes and canaries: no more than the first few calls of a batch before so many have ended; at
//! most two live calls while its calls go wrong, and none when that has gone on, until it is
//! started again. A batch that was slowed down is judged by what ended since, and one that was
//! released by what ended since that.
//!
//! The product may look at a little more or less than the window says (it counts by the minute),
//! and at what it knew a moment ago. Only what no such reading excuses is broken.

use std::collections::BTreeMap;
use std::time::Duration;

use outdial_core::batch::PauseReason;
use outdial_core::id::BatchId;
use outdial_core::time::Timestamp;

use super::Violation;

/// The product counts by the minute.
const COARSE: Duration = Duration::from_secs(60);
/// It may not have seen what happened so lately.
const LATELY: Duration = Duration::from_secs(2);
/// Live calls of a batch that is slowed down.
const SLOW: u32 = 2;

/// When a batch is braked; shares in percent.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How far back is looked.
    pub window: Duration,
    /// Fewer say nothing.
    pub least: u32,
    /// Of all.
    pub failed: Option<u8>,
    /// Of those answered.
    pub short: Option<u8>,
    /// Of all.
    pub voicemail: Option<u8>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The network failed.
    Failed,
    /// A person talked for less than 6 s.
    Short,
    /// A person talked.
    Talked,
    /// A machine answered.
    Voicemail,
    /// Anything else.
    Other,
}

/// All batches.
#[derive(Debug, Default)]
pub struct Brakes(BTreeMap<BatchId, Story>);

#[derive(Debug, Default)]
struct Story {
    /// When the store last told.
    known: Option<Timestamp>,
    ends: Vec<(Timestamp, End)>,
    /// The pause of a brake ended, the last time.
    anew: Option<Timestamp>,
    /// Slowed down, the last time.
    slowed: Option<Timestamp>,
    /// Released from that, the last time: the instants that a plan may have taken for that.
    released: Vec<Timestamp>,
    /// So many had ended by then: a canary begins anew with that.
    before: usize,
}

impl Brakes {
    /// The store told how a batch is: a plan may rest on that for a while.
    pub fn known(&mut self, batch: BatchId, at: Timestamp) {
        self.0.entry(batch).or_default().known = Some(at);
    }

    /// The pause of a brake ended: what was before says nothing any more.
    pub fn anew(&mut self, batch: BatchId, at: Timestamp) {
        let story = self.0.entry(batch).or_default();
        (story.anew, story.before) = (Some(at), story.ends.len());
    }

    /// An attempt that was sent ended.
    pub fn ended(&mut self, batch: BatchId, at: Timestamp, end: End) {
        self.0.entry(batch).or_default().ends.push((at, end));
    }

    /// A plan slowed a batch down.
    pub fn slowed(&mut self, batch: BatchId, at: Timestamp) {
        self.0.entry(batch).or_default().slowed = Some(at);
    }

    /// A plan released a batch that had been slowed down for this reason.
    pub fn released(
        &mut self,
        batch: BatchId,
        at: Timestamp,
        rules: Rules,
        reason: Option<PauseReason>,
    ) -> Result<(), Violation> {
        let story = self.0.entry(batch).or_default();
        story.released = story.lately(at);
        let from = story.slowed.unwrap_or(at).before(LATELY);
        let since = story.ends.iter().filter(|(t, _)| *t >= from).map(|(_, end)| *end);
        let answered = |end: &End| matches!(end, End::Short | End::Talked);
        let (watched, speak) = match reason {
            Some(PauseReason::ShortCalls) => (rules.short, since.filter(answered).count()),
            Some(PauseReason::Voicemail) => (rules.voicemail, since.count()),
            _ => (rules.failed, since.count()),
        };
        if watched.is_some() && speak < rules.least as usize {
            let what = format!("batch {batch} is released for {speak} attempts, {rules:?}");
            return Err(Violation::new("brake", what));
        }
        Ok(())
    }

    /// A plan took its canary for over, which is asked once.
    pub fn sang(&mut self, batch: BatchId, canary: Option<u32>) -> Result<(), Violation> {
        let story = self.0.entry(batch).or_default();
        let ended = story.ends.len() - story.before;
        match canary.filter(|first| ended >= *first as usize) {
            Some(_) => Ok(()),
            None => {
                let what = format!("batch {batch}: over, {ended} of {canary:?} ended");
                Err(Violation::new("canary", what))
            }
        }
    }

    /// An intent was committed; with it the batch has so many live calls, and it is slowed down.
    pub fn committed(
        &mut self,
        batch: BatchId,
        at: Timestamp,
        (live, slow): (u32, bool),
        rules: Rules,
        canary: Option<u32>,
    ) -> Result<(), Violation> {
        let story = self.0.entry(batch).or_default();
        let (ended, live_too) = (story.ends.len(), live as usize);
        let beyond =
            |ended: usize, first: u32| ended < first as usize && ended + live_too > first as usize;
        if let Some(first) = canary
            && beyond(ended, first)
            && beyond(ended - story.before, first)
        {
            let what = format!("batch {batch}: {ended} ended and {live} live, canary {first}");
            return Err(Violation::new("canary", what));
        }
        if slow && (live > SLOW || story.goes_on_wrong(at, rules)) {
            let what = format!("batch {batch}, slow, has {live} live calls at {at}, {rules:?}");
            return Err(Violation::new("brake", what));
        }
        if slow {
            return Ok(());
        }
        if story.goes_wrong(at, rules, u64::from(rules.least) * 2) {
            let what = format!("batch {batch} goes on at {at} although {rules:?}");
            return Err(Violation::new("brake", what));
        }
        if live > SLOW && story.goes_wrong(at, rules, u64::from(rules.least)) {
            let what = format!("batch {batch} has {live} live calls at {at} although {rules:?}");
            return Err(Violation::new("brake", what));
        }
        Ok(())
    }
}

impl Story {
    /// However one looks at it.
    fn goes_wrong(&self, at: Timestamp, rules: Rules, least: u64) -> bool {
        let (early, late) = (at.before(rules.window + COARSE), at.before(rules.window - COARSE));
        let between = |from: Timestamp, to: Timestamp| {
            let times = self.ends.iter().map(|(at, _)| *at);
            times.filter(move |t| *t >= from && *t <= to)
        };
        let mut froms: Vec<Timestamp> = between(early, late).map(|t| t.after(MOMENT)).collect();
        froms.extend([early, late]);
        froms.extend(self.anew.map(|s| s.max(late)));
        let released = self.released.iter();
        froms.extend(released.flat_map(|s| [(*s).max(late), s.after(MOMENT).max(late)]));
        let tos = self.lately(at);
        froms.iter().all(|from| tos.iter().all(|to| self.exceeds(*from, *to, rules, least)))
    }

    /// What ended since it was slowed down is wrong too.
    fn goes_on_wrong(&self, at: Timestamp, rules: Rules) -> bool {
        let Some(slowed) = self.slowed else { return false };
        let (froms, tos) = (self.lately(slowed), self.lately(at));
        let least = u64::from(rules.least.max(1));
        froms.iter().all(|from| {
            let from = from.after(MOMENT);
            tos.iter().all(|to| self.exceeds(from, *to, rules, least))
        })
    }

    /// What the product may take for this instant.
    fn lately(&self, at: Timestamp) -> Vec<Timestamp> {
        let from = self.known.unwrap_or(at).min(at.before(LATELY));
        let times = self.ends.iter().map(|(at, _)| *at);
        let mut all: Vec<_> = times.filter(|t| *t >= from && *t <= at).collect();
        all.extend([from, at]);
        all
    }

    fn exceeds(&self, from: Timestamp, to: Timestamp, rules: Rules, least: u64) -> bool {
        let ends = self.ends.iter().filter(|(at, _)| *at >= from && *at <= to);
        let ends: Vec<End> = ends.map(|(_, end)| *end).collect();
        let count = |of: &[End]| ends.iter().filter(|e| of.contains(e)).count() as u64;
        let over = |part: u64, all: u64, percent: Option<u8>| {
            percent.is_some_and(|percent| part * 100 > all * u64::from(percent))
        };
        let all = ends.len() as u64;
        let answered = count(&[End::Short, End::Talked]);
        all >= least
            && (over(count(&[End::Failed]), all, rules.failed)
                || (answered >= least && over(count(&[End::Short]), answered, rules.short))
                || over(count(&[End::Voicemail]), all, rules.voicemail))
    }
}

const MOMENT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, placed};
    use super::*;

    fn rules() -> Rules {
        let window = Duration::from_secs(600);
        Rules { window, least: 5, failed: Some(50), short: Some(50), voicemail: Some(50) }
    }

    fn after(ends: &[(i64, End)]) -> Brakes {
        let mut brakes = Brakes::default();
        for (ms, end) in ends {
            brakes.ended(placed(1, 0).batch, at(*ms), *end);
        }
        brakes
    }

    fn goes_on(brakes: &mut Brakes, ms: i64, live: u32) -> bool {
        brakes.committed(placed(1, 0).batch, at(ms), (live, false), rules(), None).is_ok()
    }

    #[test]
    fn a_batch_whose_calls_go_wrong() {
        for end in [End::Failed, End::Short, End::Voicemail] {
            let mut brakes = after(&[(0, end); 5]);
            assert!(goes_on(&mut brakes, 5_000, 2) && !goes_on(&mut brakes, 5_000, 3), "{end:?}");
            let mut brakes = after(&[(0, end); 10]);
            assert!(goes_on(&mut brakes, 1_000, 1), "it may not know yet");
            assert!(!goes_on(&mut brakes, 5_000, 1), "{end:?}");
            assert!(goes_on(&mut brakes, 541_000, 1), "they may be too old");
            brakes.anew(placed(1, 0).batch, at(4_000));
            assert!(goes_on(&mut brakes, 5_000, 3), "{end:?}");
        }
        assert!(goes_on(&mut after(&[(0, End::Other); 20]), 5_000, 9));
    }

    #[test]
    fn a_canary() {
        let batch = placed(1, 0).batch;
        let mut brakes = after(&[(0, End::Talked)]);
        let mut goes_on = |live, canary| {
            brakes.committed(batch, at(1), (live, false), rules(), Some(canary)).is_ok()
        };
        assert!(goes_on(2, 3) && !goes_on(3, 3) && goes_on(9, 1));
        assert!(brakes.sang(batch, Some(1)).is_ok());
        assert!(brakes.sang(batch, Some(2)).is_err() && brakes.sang(batch, None).is_err());
        brakes.anew(batch, at(2));
        assert!(brakes.sang(batch, Some(1)).is_err());
    }

    #[test]
    fn a_batch_that_was_slowed_down() {
        let batch = placed(1, 0).batch;
        let slow = |brakes: &mut Brakes, ms: i64, live: u32| {
            brakes.committed(batch, at(ms), (live, true), rules(), None).is_ok()
        };
        let mut brakes = after(&[(0, End::Failed); 9]);
        brakes.slowed(batch, at(10_000));
        assert!(slow(&mut brakes, 20_000, 2) && !slow(&mut brakes, 20_000, 3));
        assert!(brakes.released(batch, at(20_000), rules(), None).is_err(), "too early");
        for _ in 0..5 {
            brakes.ended(batch, at(30_000), End::Talked);
        }
        assert!(slow(&mut brakes, 40_000, 2));
        brakes.released(batch, at(40_000), rules(), None).unwrap();
        assert!(goes_on(&mut brakes, 50_000, 9), "what was before says nothing any more");
        let mut brakes = after(&[(0, End::Failed); 9]);
        brakes.slowed(batch, at(10_000));
        for _ in 0..5 {
            brakes.ended(batch, at(30_000), End::Failed);
        }
        assert!(!slow(&mut brakes, 40_000, 1));
    }
}
