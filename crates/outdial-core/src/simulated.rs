//! Simulated calls: what the far end does, by the last two digits of the number dialed, so that
//! tests and a first try need no carrier and touch no telephone.
//!
//! Pure, so that the simulated carrier and the simulator play the same far end. Time is the
//! carrier's: measured from the INVITE of the call; whoever runs it may let it pass faster.
//!
//! | ends in | what happens |
//! |---|---|
//! | 00–69 | answers and talks a few seconds |
//! | 70–79 | no answer |
//! | 80–84 | busy |
//! | 85–89 | rejected |
//! | 90–92 | voicemail |
//! | 93–94 | 503 from the network |
//! | 95 | 503 with `Retry-After` |
//! | 96 | the number does not exist |
//! | 97 | silence until Timer B |
//! | 98 | answers just after being cancelled |
//! | 99 | no answer twice, then answers |

use std::time::Duration;

use crate::attempt::CallEvent;
use crate::outcome::CallEnd;
use crate::phone::PhoneNumber;

/// Timer B (RFC 3261 section 17.1.1.2): 64 × T1. No answer of any kind for so long ends an INVITE.
pub const TIMER_B: Duration = Duration::from_secs(32);

/// What the last two digits of a simulated number stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Answers and talks a few seconds.
    Talks,
    /// Rings until we give up.
    NoAnswer,
    /// 486.
    Busy,
    /// 603.
    Rejected,
    /// A machine answers.
    Voicemail,
    /// 503.
    Unavailable,
    /// 503 with `Retry-After`.
    UnavailableFor,
    /// 404, cause 1.
    NoSuchNumber,
    /// Nothing at all.
    Silence,
    /// Rings until we give up, and answers then.
    AnswersLate,
    /// As `NoAnswer` until two attempts were charged, then as `Talks`.
    ThirdTime,
}

impl Ending {
    /// Of the number dialed.
    pub fn of(callee: PhoneNumber) -> Self {
        match callee.digits() % 100 {
            0..=69 => Self::Talks,
            70..=79 => Self::NoAnswer,
            80..=84 => Self::Busy,
            85..=89 => Self::Rejected,
            90..=92 => Self::Voicemail,
            93..=94 => Self::Unavailable,
            95 => Self::UnavailableFor,
            96 => Self::NoSuchNumber,
            97 => Self::Silence,
            98 => Self::AnswersLate,
            _ => Self::ThirdTime,
        }
    }
}

/// What the far end does on one call if nobody interferes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// When it begins to ring; none: it never does.
    pub rings_at: Option<Duration>,
    /// What follows.
    pub fate: Fate,
    /// How long a CANCEL or BYE of ours takes to be answered.
    pub round_trip: Duration,
}

/// How a simulated call goes on after the ringing, if it rings. Instants count from the INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Somebody or something answers, and hangs up.
    Answers {
        /// When.
        at: Duration,
        /// How long after the answer it hangs up.
        talk: Duration,
        /// `TalkOver` or `MachineOver`.
        end: CallEnd,
    },
    /// A final answer that is not a 2xx.
    Refuses {
        /// When.
        at: Duration,
        /// Which.
        end: CallEnd,
    },
    /// It rings for ever.
    Rings,
    /// It rings for ever, and answers when a CANCEL is on its way.
    AnswersCancel,
    /// Not a word.
    Silence,
}

impl Script {
    /// Of a call to `callee` whose round saw `charged_before` charged attempts. `chance` is a
    /// uniformly distributed number: it draws the times.
    pub fn of(callee: PhoneNumber, charged_before: u32, chance: u64) -> Self {
        let rings = draw(chance, 0, 200..=800);
        let answers = rings + draw(chance, 1, 2_000..=4_000);
        let refuses = |at: Duration, status, q850, retry_after| Fate::Refuses {
            at,
            end: CallEnd::Refused { status, q850, retry_after },
        };
        let talks = Fate::Answers {
            at: answers,
            talk: draw(chance, 2, 3_000..=8_000),
            end: CallEnd::TalkOver,
        };
        let (does_ring, fate) = match Ending::of(callee) {
            Ending::Talks => (true, talks),
            Ending::ThirdTime if charged_before >= 2 => (true, talks),
            Ending::NoAnswer | Ending::ThirdTime => (true, Fate::Rings),
            Ending::Busy => (false, refuses(draw(chance, 1, 300..=1_200), 486, Some(17), None)),
            Ending::Rejected => (true, refuses(answers, 603, Some(21), None)),
            Ending::Voicemail => {
                let talk = draw(chance, 2, 2_000..=6_000);
                (true, Fate::Answers { at: answers, talk, end: CallEnd::MachineOver })
            }
            Ending::Unavailable => (false, refuses(draw(chance, 1, 50..=300), 503, None, None)),
            Ending::UnavailableFor => {
                let wait = Duration::from_secs(1 + (chance >> 32) % 5);
                (false, refuses(draw(chance, 1, 50..=300), 503, None, Some(wait)))
            }
            Ending::NoSuchNumber => {
                (false, refuses(draw(chance, 1, 200..=600), 404, Some(1), None))
            }
            Ending::Silence => (false, Fate::Silence),
            Ending::AnswersLate => (true, Fate::AnswersCancel),
        };
        let round_trip = draw(chance, 3, 50..=150);
        Self { rings_at: does_ring.then_some(rings), fate, round_trip }
    }
}

/// What may happen to a simulated call from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimulatedInput {
    /// Time has passed; look at what is due.
    Tick,
    /// We do not want it any more: CANCEL as soon as it may be sent, BYE once it is answered.
    Cancel,
}

/// What is due next on a simulated call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimulatedDeadline {
    /// It begins to ring.
    Rings,
    /// It is answered or refused.
    FinalAnswer,
    /// We stop the ringing.
    RingLimit,
    /// We stop waiting for any answer.
    TimerB,
    /// Our CANCEL has been answered.
    CancelAnswer,
    /// Somebody hangs up.
    HangUp,
}

/// A simulated call with both ends: the far one plays its [`Script`], ours runs the timers of a
/// carrier. A CANCEL leaves only after the first sound of the far end (RFC 3261 section 9.1).
///
/// ```text
/// Sent ─▶ Ringing ─▶ Talking ─▶ Over
///  │         └─▶ Canceling ──────▲
///  └── refused, Timer B ─────────┘
/// ```
#[derive(Clone, Debug)]
pub struct SimulatedCall {
    script: Script,
    ring_limit: Duration,
    talk_limit: Duration,
    /// Taken back before the far end made a sound.
    unwanted: bool,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Sent,
    Ringing,
    Canceling { until: Duration, end: CallEnd },
    Talking { until: Duration, end: CallEnd },
    Over,
}

impl SimulatedCall {
    /// A call whose INVITE leaves at zero. It rings for at most `ring_limit`, counted from the
    /// INVITE, and lasts at most `talk_limit` from the answer.
    pub fn new(script: Script, ring_limit: Duration, talk_limit: Duration) -> Self {
        Self { script, ring_limit, talk_limit, unwanted: false, phase: Phase::Sent }
    }

    /// When to call [`SimulatedCall::handle`] again, and why. None: it is over.
    pub fn deadline(&self) -> Option<(Duration, SimulatedDeadline)> {
        let answer = match self.script.fate {
            Fate::Answers { at, .. } | Fate::Refuses { at, .. } => at,
            Fate::Rings | Fate::AnswersCancel | Fate::Silence => Duration::MAX,
        };
        let answer = (answer, SimulatedDeadline::FinalAnswer);
        match self.phase {
            Phase::Sent => {
                let rings = self.script.rings_at.unwrap_or(Duration::MAX);
                let rings = (rings, SimulatedDeadline::Rings);
                Some(first([rings, answer, (TIMER_B, SimulatedDeadline::TimerB)]))
            }
            Phase::Ringing => {
                Some(first([(self.ring_limit, SimulatedDeadline::RingLimit), answer]))
            }
            Phase::Canceling { until, .. } => Some((until, SimulatedDeadline::CancelAnswer)),
            Phase::Talking { until, .. } => Some((until, SimulatedDeadline::HangUp)),
            Phase::Over => None,
        }
    }

    /// What happens by `now`, counted from the INVITE. The last event is `Ended`, once.
    #[must_use]
    pub fn handle(&mut self, now: Duration, input: SimulatedInput) -> Vec<CallEvent> {
        let mut events = Vec::new();
        let mut at = Duration::ZERO;
        while let Some((due, what)) = self.deadline()
            && due <= now
        {
            // An instant that lies behind (a ring limit that passed before it rang) is due at once.
            at = at.max(due);
            events.extend(self.pass(at, what));
        }
        if input == SimulatedInput::Cancel {
            self.cancel(now);
        }
        events
    }

    /// `what` came due at `at`.
    fn pass(&mut self, at: Duration, what: SimulatedDeadline) -> Option<CallEvent> {
        match (what, self.script.fate) {
            (SimulatedDeadline::Rings, _) => {
                self.phase = Phase::Ringing;
                if self.unwanted {
                    self.send_cancel(at, CallEnd::Canceled);
                }
                Some(CallEvent::Ringing)
            }
            (SimulatedDeadline::FinalAnswer, Fate::Answers { talk, end, .. }) => {
                let until = at.saturating_add(talk.min(self.talk_limit));
                self.phase = Phase::Talking { until, end };
                Some(CallEvent::Answered)
            }
            (SimulatedDeadline::FinalAnswer, Fate::Refuses { end, .. }) => Some(self.over(end)),
            (SimulatedDeadline::FinalAnswer, _) => None,
            (SimulatedDeadline::TimerB, _) => Some(self.over(CallEnd::Silence)),
            (SimulatedDeadline::RingLimit, _) => {
                self.send_cancel(at, CallEnd::RingTimeout);
                None
            }
            (SimulatedDeadline::CancelAnswer | SimulatedDeadline::HangUp, _) => match self.phase {
                Phase::Canceling { end, .. } | Phase::Talking { end, .. } => Some(self.over(end)),
                Phase::Sent | Phase::Ringing | Phase::Over => None,
            },
        }
    }

    /// We do not want it any more.
    fn cancel(&mut self, now: Duration) {
        match &mut self.phase {
            Phase::Sent => self.unwanted = true,
            Phase::Ringing => self.send_cancel(now, CallEnd::Canceled),
            Phase::Talking { until, .. } => *until = (*until).min(now + self.script.round_trip),
            Phase::Canceling { .. } | Phase::Over => {}
        }
    }

    fn send_cancel(&mut self, at: Duration, end: CallEnd) {
        let crossed = self.script.fate == Fate::AnswersCancel;
        let end = if crossed { CallEnd::AnsweredThenDropped } else { end };
        self.phase = Phase::Canceling { until: at + self.script.round_trip, end };
    }

    fn over(&mut self, end: CallEnd) -> CallEvent {
        self.phase = Phase::Over;
        CallEvent::Ended(end)
    }
}

/// The earliest; of several at once, the first listed.
fn first<const N: usize>(all: [(Duration, SimulatedDeadline); N]) -> (Duration, SimulatedDeadline) {
    all.into_iter().min_by_key(|(at, _)| *at).expect("every caller lists some")
}

/// A time within `range`, both ends included, in milliseconds, from 16 of the 64 bits of `chance`.
fn draw(chance: u64, part: u32, range: std::ops::RangeInclusive<u64>) -> Duration {
    let share = (chance >> (16 * part)) & 0xffff;
    let width = range.end() - range.start() + 1;
    Duration::from_millis(range.start() + ((share * width) >> 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: Duration = Duration::from_secs(45);
    const TALK: Duration = Duration::from_secs(600);

    fn number(ending: u64) -> PhoneNumber {
        PhoneNumber::from_digits(12_125_551_000 + ending)
    }

    /// Runs a call to its end; every event with its time.
    fn play(call: &mut SimulatedCall) -> Vec<(Duration, CallEvent)> {
        let mut all = Vec::new();
        let mut turns = 0;
        while let Some((at, _)) = call.deadline() {
            all.extend(call.handle(at, SimulatedInput::Tick).into_iter().map(|e| (at, e)));
            turns += 1;
            assert!(turns < 10, "it does not end: {call:?}");
        }
        all
    }

    fn events(ending: u64, charged: u32, chance: u64) -> Vec<CallEvent> {
        let script = Script::of(number(ending), charged, chance);
        play(&mut SimulatedCall::new(script, RING, TALK)).into_iter().map(|(_, e)| e).collect()
    }

    fn refused(status: u16, q850: Option<u8>) -> CallEnd {
        CallEnd::Refused { status, q850, retry_after: None }
    }

    /// All hundred endings, written out as the documents list them.
    fn expected(ending: u64, charged: u32) -> Vec<CallEvent> {
        use CallEvent::{Answered, Ended, Ringing};
        let table: [(std::ops::Range<u64>, Vec<CallEvent>); 10] = [
            (0..70, vec![Ringing, Answered, Ended(CallEnd::TalkOver)]),
            (70..80, vec![Ringing, Ended(CallEnd::RingTimeout)]),
            (80..85, vec![Ended(refused(486, Some(17)))]),
            (85..90, vec![Ringing, Ended(refused(603, Some(21)))]),
            (90..93, vec![Ringing, Answered, Ended(CallEnd::MachineOver)]),
            (93..95, vec![Ended(refused(503, None))]),
            (96..97, vec![Ended(refused(404, Some(1)))]),
            (97..98, vec![Ended(CallEnd::Silence)]),
            (98..99, vec![Ringing, Ended(CallEnd::AnsweredThenDropped)]),
            (
                99..100,
                match charged {
                    0 | 1 => vec![Ringing, Ended(CallEnd::RingTimeout)],
                    _ => vec![Ringing, Answered, Ended(CallEnd::TalkOver)],
                },
            ),
        ];
        table.into_iter().find(|(r, _)| r.contains(&ending)).map(|(_, e)| e).unwrap()
    }

    #[test]
    fn all_hundred_endings() {
        for chance in [0, u64::MAX, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210] {
            for charged in 0..4 {
                for ending in (0..100).filter(|e| *e != 95) {
                    let got = events(ending, charged, chance);
                    assert_eq!(got, expected(ending, charged), "{ending:02} after {charged}");
                }
                let got = events(95, charged, chance);
                let [CallEvent::Ended(CallEnd::Refused { status: 503, q850: None, retry_after })] =
                    got[..]
                else {
                    panic!("95: {got:?}");
                };
                let wait = retry_after.unwrap();
                assert!((1..=5).contains(&wait.as_secs()) && wait.subsec_nanos() == 0, "{wait:?}");
            }
        }
    }

    #[test]
    fn times_are_the_carriers_and_cover_their_range() {
        let mut shortest = (Duration::MAX, Duration::MAX);
        let mut longest = (Duration::ZERO, Duration::ZERO);
        for i in 0..2_000_u64 {
            let chance = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let script = Script::of(number(7), 0, chance);
            let all = play(&mut SimulatedCall::new(script, RING, TALK));
            let (rings, answers, ends) = (all[0].0, all[1].0, all[2].0);
            assert!((200..=800).contains(&rings.as_millis()), "{rings:?}");
            shortest = (shortest.0.min(answers - rings), shortest.1.min(ends - answers));
            longest = (longest.0.max(answers - rings), longest.1.max(ends - answers));
        }
        let ms = Duration::from_millis;
        assert!(shortest.0 >= ms(2_000) && shortest.0 < ms(2_050), "{shortest:?}");
        assert!(shortest.1 >= ms(3_000) && shortest.1 < ms(3_100), "{shortest:?}");
        assert!(longest.0 <= ms(4_000) && longest.0 > ms(3_950), "{longest:?}");
        assert!(longest.1 <= ms(8_000) && longest.1 > ms(7_900), "{longest:?}");
    }

    #[test]
    fn limits_cut_ringing_and_talk() {
        let script = Script::of(number(0), 0, 0);
        let mut short = SimulatedCall::new(script, Duration::from_secs(1), TALK);
        let all = play(&mut short);
        assert_eq!(all.last().unwrap().1, CallEvent::Ended(CallEnd::RingTimeout));
        assert_eq!(all.last().unwrap().0, Duration::from_secs(1) + script.round_trip);

        let mut brief = SimulatedCall::new(script, RING, Duration::from_secs(1));
        let all = play(&mut brief);
        assert_eq!(all[1].1, CallEvent::Answered);
        assert_eq!(
            all[2],
            (all[1].0 + Duration::from_secs(1), CallEvent::Ended(CallEnd::TalkOver))
        );
    }

    #[test]
    fn a_ring_limit_before_the_first_sound_waits_for_it() {
        let script = Script::of(number(70), 0, 0);
        let mut call = SimulatedCall::new(script, Duration::from_millis(1), TALK);
        let all = play(&mut call);
        let rings = script.rings_at.unwrap();
        assert_eq!(all[0], (rings, CallEvent::Ringing));
        assert_eq!(all[1], (rings + script.round_trip, CallEvent::Ended(CallEnd::RingTimeout)));
    }

    #[test]
    fn silence_lasts_until_timer_b_even_when_taken_back() {
        let mut call = SimulatedCall::new(Script::of(number(97), 0, 5), RING, TALK);
        assert_eq!(call.handle(Duration::from_secs(1), SimulatedInput::Cancel), []);
        assert_eq!(play(&mut call), [(TIMER_B, CallEvent::Ended(CallEnd::Silence))]);
    }

    #[test]
    fn cancel_before_while_and_after() {
        let ms = Duration::from_millis;
        let script = Script::of(number(0), 0, 0);
        let rings = script.rings_at.unwrap();

        let mut early = SimulatedCall::new(script, RING, TALK);
        assert_eq!(early.handle(ms(1), SimulatedInput::Cancel), []);
        let over = rings + script.round_trip;
        let canceled = CallEvent::Ended(CallEnd::Canceled);
        assert_eq!(play(&mut early), [(rings, CallEvent::Ringing), (over, canceled)]);

        let mut ringing = SimulatedCall::new(script, RING, TALK);
        assert_eq!(ringing.handle(ms(900), SimulatedInput::Cancel), [CallEvent::Ringing]);
        assert_eq!(ringing.handle(ms(901), SimulatedInput::Cancel), []);
        assert_eq!(play(&mut ringing), [(ms(900) + script.round_trip, canceled)]);

        let mut talking = SimulatedCall::new(script, RING, TALK);
        let at = ms(2_300);
        let heard = talking.handle(at, SimulatedInput::Cancel);
        assert_eq!(heard, [CallEvent::Ringing, CallEvent::Answered]);
        let over = CallEvent::Ended(CallEnd::TalkOver);
        assert_eq!(play(&mut talking), [(at + script.round_trip, over)]);
        assert_eq!(talking.handle(ms(60_000), SimulatedInput::Cancel), []);
        assert_eq!(talking.deadline(), None);

        let mut late = SimulatedCall::new(Script::of(number(98), 0, 0), RING, TALK);
        let _ = late.handle(ms(900), SimulatedInput::Cancel);
        let dropped = CallEvent::Ended(CallEnd::AnsweredThenDropped);
        assert_eq!(play(&mut late), [(ms(900) + script.round_trip, dropped)]);
    }

    #[test]
    fn a_late_tick_tells_everything_in_order() {
        let mut call = SimulatedCall::new(Script::of(number(1), 0, 9), RING, TALK);
        let all = call.handle(Duration::from_secs(60), SimulatedInput::Tick);
        assert_eq!(all, expected(1, 0));
        assert_eq!(call.handle(Duration::from_secs(61), SimulatedInput::Tick), []);
    }
}
