//! What is assumed of calls that nobody has placed yet.
//!
//! Draws are functions of the call and the number of its attempt: the same forecast asked twice is
//! the same, and another limit changes when a call goes out, not what becomes of it.

use std::time::Duration;

use crate::brake::Pulse;
use crate::outcome::CallEnd;

/// Fewer ended attempts than this say too little.
pub const OBSERVED_MIN: u64 = 50;
/// What is refused or busy is over so soon.
const REFUSED_AFTER: Duration = Duration::from_secs(2);

/// Where the shares come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody knows better: the defaults.
    Assumed,
    /// From so many of the batch's own attempts.
    Observed {
        /// How many.
        attempts: u64,
    },
    /// Whoever asked said what to assume.
    Given,
}

/// What becomes of attempts. The five shares add up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assumptions {
    /// Where they come from.
    pub source: Source,
    /// A person answers.
    pub answered: f64,
    /// A machine answers.
    pub voicemail: f64,
    /// It rings, nobody answers.
    pub no_answer: f64,
    /// The line is busy.
    pub busy: f64,
    /// The network fails.
    pub failed: f64,
    /// Mean talk of those that are answered, by whom- or whatever.
    pub talk: Duration,
    /// Mean ringing before an answer.
    pub ring: Duration,
    /// Ringing that nobody answers is ended after this.
    pub ring_limit: Duration,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            source: Source::Assumed,
            answered: 0.30,
            voicemail: 0.25,
            no_answer: 0.32,
            busy: 0.08,
            failed: 0.05,
            talk: Duration::from_secs(60),
            ring: Duration::from_secs(15),
            ring_limit: Duration::from_secs(45),
        }
    }
}

impl Assumptions {
    /// As the batch's own attempts went, if at least [`OBSERVED_MIN`] have ended; else the
    /// defaults. A pulse does not tell busy from no answer: they share what is left as they do by
    /// default.
    pub fn observed(pulse: &Pulse) -> Self {
        let base = Self::default();
        if pulse.ended < OBSERVED_MIN {
            return base;
        }
        let share = |n: u64| n as f64 / pulse.ended as f64;
        let (answered, voicemail) = (share(pulse.answered), share(pulse.voicemail));
        let failed = share(pulse.failed);
        let rest = (1.0 - answered - voicemail - failed).max(0.0);
        let no_answer = rest * base.no_answer / (base.no_answer + base.busy);
        let talks = pulse.answered + pulse.voicemail;
        Self {
            source: Source::Observed { attempts: pulse.ended },
            answered,
            voicemail,
            no_answer,
            busy: rest - no_answer,
            failed,
            talk: match talks {
                0 => base.talk,
                n => Duration::from_millis(pulse.talk_ms / n),
            },
            ..base
        }
    }

    /// With persons answering this share, 0–1, of the attempts; the others keep their proportions.
    #[must_use]
    pub fn with_answer_rate(self, rate: f64) -> Self {
        let rate = rate.clamp(0.0, 1.0);
        let others = self.voicemail + self.no_answer + self.busy + self.failed;
        let base = Self::default();
        let (of, sum) = match others > 0.0 {
            true => (self, others),
            false => (base, 1.0 - base.answered),
        };
        let scale = (1.0 - rate) / sum;
        Self {
            source: Source::Given,
            answered: rate,
            voicemail: of.voicemail * scale,
            no_answer: of.no_answer * scale,
            busy: of.busy * scale,
            failed: of.failed * scale,
            ..self
        }
    }

    /// With this mean talk.
    #[must_use]
    pub fn with_talk(self, talk: Duration) -> Self {
        Self { source: Source::Given, talk, ..self }
    }

    /// Mean length of an attempt, from the INVITE to its end.
    pub fn mean_length(&self) -> Duration {
        let answered = (self.ring + self.talk).mul_f64(clean(self.answered + self.voicemail));
        let unanswered = self.ring_limit.mul_f64(clean(self.no_answer));
        answered + unanswered + REFUSED_AFTER.mul_f64(clean(self.busy + self.failed))
    }

    /// What becomes of attempt `number` of `call`.
    pub(super) fn draw(&self, call: u32, number: u32) -> Fate {
        let seed = mix(u64::from(call) << 32 | u64::from(number));
        let chance = unit(seed);
        // Half to one and a half of the mean, so that the mean is the mean.
        let spread = |mean: Duration, salt: u64| mean.mul_f64(0.5 + unit(mix(seed ^ salt)));
        let answer =
            |end| Fate { end, ring: spread(self.ring, 1), talk: Some(spread(self.talk, 2)) };
        let refusal = |status| Fate {
            end: CallEnd::Refused { status, q850: None, retry_after: None },
            ring: REFUSED_AFTER,
            talk: None,
        };
        let mut below = self.answered;
        if chance < below {
            return answer(CallEnd::TalkOver);
        }
        below += self.voicemail;
        if chance < below {
            return answer(CallEnd::MachineOver);
        }
        below += self.no_answer;
        if chance < below {
            return Fate { end: CallEnd::RingTimeout, ring: self.ring_limit, talk: None };
        }
        below += self.busy;
        refusal(if chance < below { 486 } else { 500 })
    }
}

/// What becomes of one attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub(super) end: CallEnd,
    /// From the INVITE to the answer or the end.
    pub(super) ring: Duration,
    /// From the answer to the end; none: not answered.
    pub(super) talk: Option<Duration>,
}

/// A share that arithmetic left a little beside 0–1.
fn clean(share: f64) -> f64 {
    share.clamp(0.0, 1.0)
}

/// 0 to less than 1.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Spreads the bits of a number (the finalizer of SplitMix64, public domain).
pub(super) fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &Assumptions) -> f64 {
        a.answered + a.voicemail + a.no_answer + a.busy + a.failed
    }

    #[test]
    fn shares_add_up_whatever_is_observed_or_given() {
        let pulse = Pulse {
            ended: 200,
            failed: 20,
            answered: 50,
            short: 1,
            voicemail: 30,
            talk_ms: 80 * 42_000,
        };
        let observed = Assumptions::observed(&pulse);
        assert_eq!(observed.source, Source::Observed { attempts: 200 });
        assert_eq!((observed.answered, observed.talk.as_secs()), (0.25, 42));
        let all_answer = Pulse { ended: 60, answered: 60, ..Pulse::default() };
        let all_answer = Assumptions::observed(&all_answer);
        for a in [
            Assumptions::default(),
            observed,
            observed.with_answer_rate(0.9),
            all_answer,
            all_answer.with_answer_rate(0.5),
            Assumptions::default().with_answer_rate(1.0),
        ] {
            assert!((sum(&a) - 1.0).abs() < 1e-9, "{a:?}");
        }
    }

    #[test]
    fn few_attempts_say_nothing() {
        let pulse = Pulse { ended: OBSERVED_MIN - 1, answered: 49, ..Pulse::default() };
        assert_eq!(Assumptions::observed(&pulse), Assumptions::default());
    }

    #[test]
    fn draws_follow_the_shares_and_the_means() {
        let a = Assumptions::default();
        let n = 100_000;
        let fates: Vec<Fate> = (0..n).map(|call| a.draw(call, call % 5)).collect();
        let share = |end: fn(&CallEnd) -> bool| {
            fates.iter().filter(|f| end(&f.end)).count() as f64 / f64::from(n)
        };
        assert!((share(|e| *e == CallEnd::TalkOver) - a.answered).abs() < 0.01);
        assert!((share(|e| *e == CallEnd::MachineOver) - a.voicemail).abs() < 0.01);
        assert!((share(|e| *e == CallEnd::RingTimeout) - a.no_answer).abs() < 0.01);
        let busy = |e: &CallEnd| matches!(e, CallEnd::Refused { status: 486, .. });
        assert!((share(busy) - a.busy).abs() < 0.01);
        let length: f64 =
            fates.iter().map(|f| (f.ring + f.talk.unwrap_or_default()).as_secs_f64()).sum();
        let mean = a.mean_length().as_secs_f64();
        assert!((length / f64::from(n) / mean - 1.0).abs() < 0.01);
    }
}
