//! Brakes and canaries: no more than the first few calls of a batch before so many have ended; at
//! most two live calls while its calls go wrong, and none when that has gone on, until it is
//! started again. A batch that was slowed down is judged by what ended since, and one that was
//! released by what ended since that.
//!
//! What ended since a batch was slowed down, released or started anew is told by the order in which
//! it was recorded; only the window is a matter of the wall clock, and of one that was set lately
//! nothing is said. The product may look at a little more or less than the window says (it counts
//! by the minute), and at what it knew a moment ago. Only what no such reading excuses is broken.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
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

/// Counts are of `ends`: so many had ended by then.
#[derive(Debug, Default)]
struct Story {
    /// In the order in which they were recorded.
    ends: Vec<Ended>,
    /// When the store last told.
    known: Option<usize>,
    /// When the pause of a brake ended, the last time.
    before: usize,
    /// When it was slowed down, the last time: what that plan may have known of.
    slowed: Option<RangeInclusive<usize>>,
    /// When it was released from that, the last time; likewise.
    released: Option<RangeInclusive<usize>>,
}

#[derive(Debug)]
struct Ended {
    /// In time that only passes.
    at: Timestamp,
    /// By the wall clock.
    wall: Timestamp,
    end: End,
}

impl Brakes {
    /// The store told how a batch is: a plan may rest on that for a while.
    pub fn known(&mut self, batch: BatchId) {
        let story = self.0.entry(batch).or_default();
        story.known = Some(story.ends.len());
    }

    /// The pause of a brake ended: what was before says nothing any more.
    pub fn anew(&mut self, batch: BatchId) {
        let story = self.0.entry(batch).or_default();
        (story.before, story.slowed, story.released) = (story.ends.len(), None, None);
    }

    /// An attempt that was sent ended; in time that only passes, and by the wall clock.
    pub fn ended(&mut self, batch: BatchId, (at, wall): (Timestamp, Timestamp), end: End) {
        self.0.entry(batch).or_default().ends.push(Ended { at, wall, end });
    }

    /// A plan slowed a batch down; the time as in `committed`.
    pub fn slowed(
        &mut self,
        batch: BatchId,
        (at, wall): (Timestamp, Option<Timestamp>),
        rules: Rules,
    ) -> Result<(), Violation> {
        let story = self.0.entry(batch).or_default();
        let least = u64::from(rules.least) * 2;
        if wall.is_some_and(|wall| story.goes_wrong((at, wall), rules, least)) {
            let what = format!("batch {batch} is but slowed down at {at} although {rules:?}");
            return Err(Violation::new("brake", what));
        }
        (story.slowed, story.released) = (Some(story.lately(at)), None);
        Ok(())
    }

    /// A plan released a batch that had been slowed down for this reason; in time that only passes.
    pub fn released(
        &mut self,
        batch: BatchId,
        at: Timestamp,
        rules: Rules,
        reason: Option<PauseReason>,
    ) -> Result<(), Violation> {
        let story = self.0.entry(batch).or_default();
        let goes_on_wrong = story.goes_on_wrong(at, rules);
        story.released = Some(story.lately(at));
        let from = story.slowed.as_ref().map_or(story.ends.len(), |slowed| *slowed.start());
        let since = story.ends[from..].iter().map(|ended| ended.end);
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
        if goes_on_wrong {
            let what = format!("batch {batch} is released though it is no better, {rules:?}");
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

    /// An intent was committed, at that time that only passes and by the wall clock (none: it was
    /// set lately); with it the batch has so many live calls, and it is slowed down.
    pub fn committed(
        &mut self,
        batch: BatchId,
        (at, wall): (Timestamp, Option<Timestamp>),
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
        let Some(wall) = wall.filter(|_| !slow) else { return Ok(()) };
        if story.goes_wrong((at, wall), rules, u64::from(rules.least) * 2) {
            let what = format!("batch {batch} goes on at {at} although {rules:?}");
            return Err(Violation::new("brake", what));
        }
        if live > SLOW && story.goes_wrong((at, wall), rules, u64::from(rules.least)) {
            let what = format!("batch {batch} has {live} live calls at {at} although {rules:?}");
            return Err(Violation::new("brake", what));
        }
        Ok(())
    }
}

impl Story {
    /// However one looks at it: at the window, or at what ended since it was released if that is
    /// less.
    fn goes_wrong(&self, (at, wall): (Timestamp, Timestamp), rules: Rules, least: u64) -> bool {
        let (early, late) =
            (wall.before(rules.window + COARSE), wall.before(rules.window - COARSE));
        let walls = self.ends.iter().map(|ended| ended.wall);
        let between = walls.filter(|wall| (early..=late).contains(wall));
        let begins: Vec<_> = between.map(|wall| wall.after(MOMENT)).chain([early, late]).collect();
        self.lately(at).all(|to| {
            let known = &self.ends[..to];
            begins.iter().all(|begin| {
                let ends = known[self.before..].iter();
                let window: Vec<&Ended> = ends.filter(|e| e.wall >= *begin).collect();
                let Some(released) = self.released.clone() else {
                    return exceeds(&window, rules, least);
                };
                released.into_iter().all(|from| {
                    let since: Vec<&Ended> = known[from.min(to)..].iter().collect();
                    let less = if since.len() < window.len() { &since } else { &window };
                    exceeds(less, rules, least)
                })
            })
        })
    }

    /// What ended since it was slowed down is wrong too.
    fn goes_on_wrong(&self, at: Timestamp, rules: Rules) -> bool {
        let Some(slowed) = self.slowed.clone() else { return false };
        let least = u64::from(rules.least.max(1));
        slowed.into_iter().all(|from| {
            self.lately(at).all(|to| {
                let since: Vec<&Ended> = self.ends[from.min(to)..to].iter().collect();
                exceeds(&since, rules, least)
            })
        })
    }

    /// What a plan that was committed at this time may have known of.
    fn lately(&self, at: Timestamp) -> RangeInclusive<usize> {
        let before = self.ends.iter().take_while(|ended| ended.at < at.before(LATELY)).count();
        let known = self.known.unwrap_or(before).min(before);
        known.max(self.before)..=self.ends.len()
    }
}

/// Whether at least so many speak of a share that is above its limit.
fn exceeds(ends: &[&Ended], rules: Rules, least: u64) -> bool {
    let count = |of: &[End]| ends.iter().filter(|e| of.contains(&e.end)).count() as u64;
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
            brakes.ended(placed(1, 0).batch, (at(*ms), at(*ms)), *end);
        }
        brakes
    }

    fn goes_on(brakes: &mut Brakes, ms: i64, live: u32) -> bool {
        let walls = (at(ms), Some(at(ms)));
        brakes.committed(placed(1, 0).batch, walls, (live, false), rules(), None).is_ok()
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
            brakes.anew(placed(1, 0).batch);
            assert!(goes_on(&mut brakes, 5_000, 3), "{end:?}");
        }
        assert!(goes_on(&mut after(&[(0, End::Other); 20]), 5_000, 9));
    }

    #[test]
    fn a_canary() {
        let batch = placed(1, 0).batch;
        let mut brakes = after(&[(0, End::Talked)]);
        let mut goes_on = |live, canary| {
            brakes.committed(batch, (at(1), None), (live, false), rules(), Some(canary)).is_ok()
        };
        assert!(goes_on(2, 3) && !goes_on(3, 3) && goes_on(9, 1));
        assert!(brakes.sang(batch, Some(1)).is_ok());
        assert!(brakes.sang(batch, Some(2)).is_err() && brakes.sang(batch, None).is_err());
        brakes.anew(batch);
        assert!(brakes.sang(batch, Some(1)).is_err());
    }

    #[test]
    fn a_batch_that_was_slowed_down() {
        let batch = placed(1, 0).batch;
        let slow = |brakes: &mut Brakes, ms: i64, live: u32| {
            brakes.committed(batch, (at(ms), None), (live, true), rules(), None).is_ok()
        };
        let mut brakes = after(&[(0, End::Failed); 9]);
        brakes.slowed(batch, (at(10_000), Some(at(10_000))), rules()).unwrap();
        assert!(slow(&mut brakes, 20_000, 2) && !slow(&mut brakes, 20_000, 3));
        assert!(brakes.released(batch, at(20_000), rules(), None).is_err(), "too early");
        for _ in 0..5 {
            brakes.ended(batch, (at(30_000), at(30_000)), End::Talked);
        }
        assert!(slow(&mut brakes, 40_000, 2));
        brakes.released(batch, at(40_000), rules(), None).unwrap();
        assert!(goes_on(&mut brakes, 50_000, 9), "what was before says nothing any more");
        let mut brakes = after(&[(0, End::Failed); 9]);
        brakes.slowed(batch, (at(10_000), Some(at(10_000))), rules()).unwrap();
        for _ in 0..5 {
            brakes.ended(batch, (at(30_000), at(30_000)), End::Failed);
        }
        assert!(!slow(&mut brakes, 40_000, 1));
        assert!(brakes.released(batch, at(40_000), rules(), None).is_err(), "no better");
        let mut brakes = after(&[(0, End::Failed); 10]);
        let walls = (at(10_000), Some(at(10_000)));
        assert!(brakes.slowed(batch, walls, rules()).is_err(), "it is to pause");
    }

    /// What ended under a clock that is set back bears times of before the batch was slowed down,
    /// and what had ended before that bears later ones.
    #[test]
    fn a_clock_that_is_set_back_after_a_batch_was_slowed_down() {
        let batch = placed(1, 0).batch;
        let slowed = || {
            let mut brakes = after(&[(80_000, End::Failed); 9]);
            brakes.slowed(batch, (at(90_000), Some(at(90_000))), rules()).unwrap();
            brakes
        };
        let ended = |brakes: &mut Brakes, end: End| {
            for _ in 0..5 {
                brakes.ended(batch, (at(100_000), at(10_000)), end);
            }
        };
        let mut brakes = slowed();
        assert!(brakes.released(batch, at(110_000), rules(), None).is_err(), "too early");
        let mut brakes = slowed();
        ended(&mut brakes, End::Talked);
        brakes.committed(batch, (at(110_000), None), (1, true), rules(), None).unwrap();
        brakes.released(batch, at(110_000), rules(), None).unwrap();
        let mut brakes = slowed();
        ended(&mut brakes, End::Failed);
        let went_on = brakes.committed(batch, (at(110_000), None), (1, true), rules(), None);
        assert!(went_on.is_err(), "what ended since went wrong");
    }

    #[test]
    fn what_ended_since_a_release_counts() {
        let batch = placed(1, 0).batch;
        let mut brakes = after(&[(0, End::Failed); 9]);
        brakes.slowed(batch, (at(10_000), Some(at(10_000))), rules()).unwrap();
        for _ in 0..5 {
            brakes.ended(batch, (at(20_000), at(20_000)), End::Talked);
        }
        brakes.released(batch, at(30_000), rules(), None).unwrap();
        assert!(goes_on(&mut brakes, 40_000, 3));
        for _ in 0..5 {
            brakes.ended(batch, (at(40_000), at(40_000)), End::Failed);
        }
        assert!(goes_on(&mut brakes, 50_000, 2) && !goes_on(&mut brakes, 50_000, 3));
    }
}
