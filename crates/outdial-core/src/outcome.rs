//! What came of an attempt: the one table from what the carrier said to a disposition, whose fault
//! it was, and whether to try again.

mod carrier_codes;

use std::time::Duration;

pub use carrier_codes::{CarrierApi, CarrierCode};

use serde::{Deserialize, Serialize};

/// How a call ended, in the words of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// Answered by a person, and over.
    Completed,
    /// Answered by a machine.
    Voicemail,
    /// It rang, nobody answered.
    NoAnswer,
    /// The line was busy.
    Busy,
    /// The callee, or the callee's network, declined.
    Rejected,
    /// The network or the trunk failed.
    Failed,
    /// The number does not exist.
    InvalidNumber,
    /// The callee could not be reached (switched off, out of coverage).
    Unreachable,
    /// Taken back by us: canceled, deleted, or answered after we had hung up.
    Canceled,
    /// Never tried: do-not-call, rules, no common hours.
    Skipped,
    /// Its time was over before it could be placed.
    Expired,
    /// It may have been placed; what came of it cannot be known.
    Unknown,
}

impl Disposition {
    /// Every one.
    pub const ALL: [Disposition; 12] = [
        Self::Completed,
        Self::Voicemail,
        Self::NoAnswer,
        Self::Busy,
        Self::Rejected,
        Self::Failed,
        Self::InvalidNumber,
        Self::Unreachable,
        Self::Canceled,
        Self::Skipped,
        Self::Expired,
        Self::Unknown,
    ];

    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Voicemail => "voicemail",
            Self::NoAnswer => "no-answer",
            Self::Busy => "busy",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::InvalidNumber => "invalid-number",
            Self::Unreachable => "unreachable",
            Self::Canceled => "canceled",
            Self::Skipped => "skipped",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }

    /// The reverse of [`Disposition::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.as_str() == word)
    }
}

/// Whose fault an outcome was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// Nobody's: it went as meant.
    None,
    /// The called side's: busy, no answer, declined, does not exist.
    Callee,
    /// The carrier's or the network's.
    Carrier,
    /// Ours.
    Local,
}

impl Fault {
    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Callee => "callee",
            Self::Carrier => "carrier",
            Self::Local => "local",
        }
    }
}

/// Whether an outcome asks for another attempt; the batch's policy decides (`crate::retry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryClass {
    /// Never again.
    Never,
    /// As often as the batch's `retry` says, after its `delay`.
    Policy,
    /// As `Policy` if the batch says `retryVoicemail`, else never.
    IfVoicemail,
    /// As `Policy` if the batch says `redialUnknown`, else never; and at least 60 s later.
    IfUnknown,
    /// Nobody was reached and nothing is charged: after a wait, at most 5 times a round.
    Uncharged {
        /// What the carrier asked for (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// The trunk named another destination: due at once, counted like `Uncharged`.
    Redirected,
    /// Nothing was sent: due again at once, nothing counted.
    AtOnce,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// In the words of the API.
    pub disposition: Disposition,
    /// Whose fault.
    pub fault: Fault,
    /// Whether to try again.
    pub retry: RetryClass,
    /// A stable word that says more than the disposition: `carrier_unavailable`, `timer_b`, …
    pub reason: &'static str,
    /// The callee's side was reached: the attempt counts against `retry`.
    pub charged: bool,
    /// A person answered: the record counts as picked.
    pub picked: bool,
}

/// How the carrier says that an attempt is over. Everything that a carrier can report is one of
/// these; [`outcome_of`] makes the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// Answered, talked, and over (a BYE in either direction, or 481).
    TalkOver,
    /// Answered by a machine, and over.
    MachineOver,
    /// A final answer of 300 or more before any 2xx (RFC 3261 section 21).
    Refused {
        /// The SIP status.
        status: u16,
        /// The Q.850 cause of a `Reason` header (RFC 3326), if there was one.
        q850: Option<u8>,
        /// `Retry-After`, if there was one.
        retry_after: Option<Duration>,
    },
    /// It rang for as long as we let it; our CANCEL ended it (487).
    RingTimeout,
    /// We took it back before the answer; our CANCEL ended it (487).
    Canceled,
    /// It was answered after our CANCEL, and we hung up.
    AnsweredThenDropped,
    /// No answer of any kind until Timer B (RFC 3261 section 17.1.1.2): ambiguous.
    Silence,
    /// It certainly did not leave: no route, no socket, the connection stood in pieces before it.
    NotSent {
        /// A stable word.
        reason: &'static str,
    },
    /// It certainly did not leave, because the trunk cannot be reached: no address, no connection,
    /// not registered.
    NoRoute {
        /// A stable word.
        reason: &'static str,
    },
    /// A 3xx whose contact is the same number at another address. The next attempt goes there.
    Redirected {
        /// The SIP status.
        status: u16,
    },
    /// It was answered, our process died, and the next one ended it: a BYE was answered.
    CutOff,
    /// We lost sight of it (a crash, a broken connection after the send): ambiguous.
    Lost,
    /// A carrier's API says so by a code of its own.
    CarrierCode {
        /// Whose code.
        carrier: CarrierApi,
        /// Which.
        code: CarrierCode,
    },
}

/// The verdict on how an attempt ended. Pure, total, and the only place that maps a carrier's words
/// to ours.
///
/// Statuses by RFC 3261 section 21 and RFC 8197 (607); causes by ITU-T Q.850. A cause, where there
/// is one, comes from nearer to the callee than the status, so for the statuses that a gateway
/// uses for several causes (480, 500, 502, 503, 504, 603) the cause decides. Codes of carriers'
/// APIs have tables of their own in `carrier_codes`.
pub fn outcome_of(end: &CallEnd) -> Outcome {
    use Disposition as D;
    use RetryClass as R;
    match *end {
        CallEnd::TalkOver => {
            Outcome { picked: true, ..charged(D::Completed, Fault::None, R::Never, "answered") }
        }
        CallEnd::MachineOver => charged(D::Voicemail, Fault::None, R::IfVoicemail, "machine"),
        CallEnd::Refused { status, q850, retry_after } => refused(status, q850, retry_after),
        CallEnd::RingTimeout => charged(D::NoAnswer, Fault::Callee, R::Policy, "ring_timeout"),
        CallEnd::Canceled => charged(D::Canceled, Fault::Local, R::Never, "canceled"),
        CallEnd::AnsweredThenDropped => {
            charged(D::Canceled, Fault::Local, R::Never, "answered_then_dropped")
        }
        CallEnd::Silence => charged(D::Unknown, Fault::Carrier, R::IfUnknown, "timer_b"),
        CallEnd::NoRoute { reason } => {
            uncharged(D::Failed, Fault::Carrier, R::Uncharged { retry_after: None }, reason)
        }
        CallEnd::Redirected { .. } => {
            uncharged(D::Failed, Fault::Carrier, R::Redirected, "redirected")
        }
        CallEnd::CutOff => {
            Outcome { picked: true, ..charged(D::Completed, Fault::Local, R::Never, "cut_off") }
        }
        CallEnd::Lost => charged(D::Unknown, Fault::Local, R::IfUnknown, "lost"),
        CallEnd::NotSent { reason } => uncharged(D::Failed, Fault::Local, R::AtOnce, reason),
        CallEnd::CarrierCode { carrier, code } => carrier_codes::outcome_of_code(carrier, code),
    }
}

/// The verdict on a call that rang when this process stopped and had to cancel it: the callee may
/// have heard it, but nothing speaks against trying again.
pub fn hung_up_unanswered() -> Outcome {
    charged(Disposition::Canceled, Fault::Local, RetryClass::Policy, "draining")
}

fn refused(status: u16, q850: Option<u8>, retry_after: Option<Duration>) -> Outcome {
    use Disposition as D;
    use RetryClass as R;
    let wait = R::Uncharged { retry_after };
    if matches!(status, 480 | 500 | 502 | 503 | 504 | 603)
        && let Some(by_cause) = q850.and_then(by_cause)
    {
        return by_cause;
    }
    match status {
        // Nobody was reached; the trunk, not the callee, refused.
        503 => uncharged(D::Failed, Fault::Carrier, wait, "carrier_unavailable"),
        401 | 407 => uncharged(D::Failed, Fault::Local, wait, "trunk_credentials"),
        // The number does not exist (404, 410, 484, 604).
        404 | 604 => charged(D::InvalidNumber, Fault::Callee, R::Never, "no_such_number"),
        410 => charged(D::InvalidNumber, Fault::Callee, R::Never, "number_gone"),
        484 => charged(D::InvalidNumber, Fault::Callee, R::Never, "number_incomplete"),
        408 | 487 => charged(D::NoAnswer, Fault::Callee, R::Policy, "no_answer"),
        480 => charged(D::Unreachable, Fault::Callee, R::Policy, "temporarily_unavailable"),
        486 | 600 => charged(D::Busy, Fault::Callee, R::Policy, "busy"),
        603 => charged(D::Rejected, Fault::Callee, R::Never, "declined"),
        607 => charged(D::Rejected, Fault::Callee, R::Never, "unwanted"),
        608 => charged(D::Rejected, Fault::Carrier, R::Never, "blocked"),
        403 => charged(D::Rejected, Fault::Carrier, R::Never, "forbidden"),
        300..=399 => charged(D::Failed, Fault::Carrier, R::Policy, "redirected"),
        500..=599 => charged(D::Failed, Fault::Carrier, R::Policy, "server_error"),
        _ => charged(D::Failed, Fault::Carrier, R::Policy, "refused"),
    }
}

/// By Q.850 cause, as far as it says more than the status.
fn by_cause(cause: u8) -> Option<Outcome> {
    use Disposition as D;
    use RetryClass as R;
    Some(match cause {
        1 => charged(D::InvalidNumber, Fault::Callee, R::Never, "no_such_number"),
        22 => charged(D::InvalidNumber, Fault::Callee, R::Never, "number_changed"),
        28 => charged(D::InvalidNumber, Fault::Callee, R::Never, "number_incomplete"),
        17 => charged(D::Busy, Fault::Callee, R::Policy, "busy"),
        18 | 19 => charged(D::NoAnswer, Fault::Callee, R::Policy, "no_answer"),
        20 => charged(D::Unreachable, Fault::Callee, R::Policy, "subscriber_absent"),
        21 => charged(D::Rejected, Fault::Callee, R::Never, "declined"),
        27 => charged(D::Unreachable, Fault::Callee, R::Policy, "out_of_order"),
        _ => return None,
    })
}

fn charged(d: Disposition, fault: Fault, retry: RetryClass, reason: &'static str) -> Outcome {
    Outcome { disposition: d, fault, retry, reason, charged: true, picked: false }
}

fn uncharged(d: Disposition, fault: Fault, retry: RetryClass, reason: &'static str) -> Outcome {
    Outcome { charged: false, ..charged(d, fault, retry, reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        use Disposition as D;
        let table: [(u16, Option<u8>, D, bool, bool); 17] = [
            // status, cause, disposition, charged, may be retried by policy
            (486, None, D::Busy, true, true),
            (600, None, D::Busy, true, true),
            (480, None, D::Unreachable, true, true),
            (480, Some(19), D::NoAnswer, true, true),
            (480, Some(20), D::Unreachable, true, true),
            (487, None, D::NoAnswer, true, true),
            (408, None, D::NoAnswer, true, true),
            (404, Some(1), D::InvalidNumber, true, false),
            (404, None, D::InvalidNumber, true, false),
            (484, None, D::InvalidNumber, true, false),
            (503, Some(1), D::InvalidNumber, true, false),
            (503, Some(34), D::Failed, false, false),
            (503, None, D::Failed, false, false),
            (603, None, D::Rejected, true, false),
            (603, Some(17), D::Busy, true, true),
            (500, None, D::Failed, true, true),
            (302, None, D::Failed, true, true),
        ];
        for (status, q850, disposition, charged, policy) in table {
            let o = outcome_of(&CallEnd::Refused { status, q850, retry_after: None });
            let got = (o.disposition, o.charged, o.retry == RetryClass::Policy);
            assert_eq!(got, (disposition, charged, policy), "{status} {q850:?}");
        }
    }

    #[test]
    fn every_status_has_a_verdict_and_no_refusal_counts_as_picked() {
        for status in 300..700 {
            for q850 in [None].into_iter().chain((0..128).map(Some)) {
                let o = outcome_of(&CallEnd::Refused { status, q850, retry_after: None });
                assert!(!o.picked && o.disposition != Disposition::Completed);
                assert!(o.charged || matches!(o.retry, RetryClass::Uncharged { .. }));
            }
        }
    }

    #[test]
    fn what_is_ambiguous_is_charged_and_not_redialed_by_default() {
        for end in [CallEnd::Silence, CallEnd::Lost] {
            let o = outcome_of(&end);
            assert_eq!(o.disposition, Disposition::Unknown);
            assert!(o.charged && o.retry == RetryClass::IfUnknown);
        }
    }

    #[test]
    fn words_round_trip() {
        for d in Disposition::ALL {
            assert_eq!(Disposition::parse(d.as_str()), Some(d));
        }
    }
}
