//! What goes wrong on single calls when the carrier's weather is bad.

use std::time::Duration;

use outdial_core::attempt::CallEvent;
use outdial_core::outcome::CallEnd;
use outdial_core::simulated::{Fate, Script};

use crate::rng::Rng;
use crate::weather::CarrierStorm;

/// Longer than anybody may talk: only our own limit ends it.
const FOR_EVER: Duration = Duration::from_secs(100_000);

/// What goes wrong on a call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mishap {
    /// The carrier takes so long to let it go.
    pub leaves_after: Duration,
    /// The far end's BYE is lost; the end shows so long after the limit of the call.
    pub ends_late_by: Duration,
    /// Nothing more is said after this event (0 ringing, 1 answer).
    pub gone_after: Option<u8>,
    refused: Option<Option<Duration>>,
    lost_bye: bool,
    doubled: bool,
    swapped: bool,
}

/// Draws what goes wrong, and what that makes of a call's script.
pub(super) fn strike(
    mut script: Script,
    storm: Option<CarrierStorm>,
    rng: &mut Rng,
) -> (Script, Mishap) {
    let mut mishap = Mishap::default();
    match storm {
        Some(CarrierStorm::Unavailable(retry_after)) => {
            let at = Duration::from_millis(rng.range(50..=300));
            let end = CallEnd::Refused { status: 503, q850: None, retry_after };
            (script.rings_at, script.fate) = (None, Fate::Refuses { at, end });
            mishap.refused = Some(retry_after);
        }
        Some(CarrierStorm::Strange(often)) if rng.percent(often) => match rng.range(0..=5) {
            0 => mishap.leaves_after = Duration::from_millis(rng.range(1..=120)),
            1 => mishap.gone_after = Some(if rng.percent(50) { 0 } else { 1 }),
            2 => mishap.swapped = true,
            3 => mishap.doubled = true,
            _ => {
                if let Fate::Answers { talk, .. } = &mut script.fate {
                    *talk = FOR_EVER;
                    mishap.lost_bye = true;
                    mishap.ends_late_by = Duration::from_secs(*rng.pick(&[0, 0, 90, 600]));
                }
            }
        },
        Some(CarrierStorm::Strange(_)) | None => {}
    }
    (script, mishap)
}

impl Mishap {
    /// What it is called.
    pub(super) fn words(&self) -> Vec<&'static str> {
        let words = [
            (!self.leaves_after.is_zero(), "fault: carrier slow to send"),
            (self.gone_after.is_some(), "fault: carrier falls silent"),
            (self.swapped, "fault: events out of order"),
            (self.doubled, "fault: events doubled and late"),
            (self.lost_bye, "fault: BYE lost"),
            (!self.ends_late_by.is_zero(), "fault: end only at session expiry"),
            (self.refused == Some(None), "fault: 503 burst"),
            (self.refused.flatten().is_some(), "fault: 503 burst with Retry-After"),
        ];
        words.into_iter().filter(|(is_so, _)| *is_so).map(|(_, word)| word).collect()
    }

    /// What the process is told when something happened.
    pub(super) fn told(&self, event: CallEvent) -> Vec<CallEvent> {
        let late = [CallEvent::Ringing, CallEvent::Answered];
        match event {
            CallEvent::Ringing if self.swapped => Vec::new(),
            CallEvent::Answered if self.swapped => vec![CallEvent::Answered, CallEvent::Ringing],
            CallEvent::Ended(_) if self.doubled => [event, event].into_iter().chain(late).collect(),
            event if self.doubled => vec![event, event],
            event => vec![event],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_and_out_of_order() {
        let over = CallEvent::Ended(CallEnd::TalkOver);
        let doubled = Mishap { doubled: true, ..Mishap::default() };
        assert_eq!(doubled.told(over).len(), 4);
        assert_eq!(doubled.told(CallEvent::Ringing), [CallEvent::Ringing; 2]);
        let swapped = Mishap { swapped: true, ..Mishap::default() };
        assert!(swapped.told(CallEvent::Ringing).is_empty());
        assert_eq!(swapped.told(CallEvent::Answered), [CallEvent::Answered, CallEvent::Ringing]);
        assert_eq!(Mishap::default().told(over), [over]);
    }
}
