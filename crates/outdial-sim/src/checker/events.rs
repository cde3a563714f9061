//! I8, the store's half: who finishes is told so, once for each time; places have no gap.

use std::collections::BTreeMap;

use outdial_core::id::{CallId, WorkspaceId};
use outdial_ports::store::{EventKind, EventRecord};

use super::Violation;

/// Events, as they can be read.
#[derive(Debug, Default)]
pub struct Events {
    positions: BTreeMap<WorkspaceId, u64>,
    finished: BTreeMap<CallId, u32>,
}

impl Events {
    /// Up to where a workspace's were read.
    pub fn position(&self, ws: WorkspaceId) -> u64 {
        self.positions.get(&ws).copied().unwrap_or(0)
    }

    /// The next one.
    pub fn told(&mut self, event: &EventRecord) -> Result<(), Violation> {
        let last = self.positions.entry(event.workspace).or_insert(0);
        if event.position != *last + 1 {
            let what = format!("event {} follows {last}: {event:?}", event.position);
            return Err(Violation::new("I8", what));
        }
        *last = event.position;
        if event.kind == EventKind::CallFinished {
            *self.finished.entry(call_of(event)?).or_default() += 1;
        }
        Ok(())
    }

    /// A call has finished so many times.
    pub fn finished(&self, call: CallId, times: u32) -> Result<(), Violation> {
        let told = self.finished.get(&call).copied().unwrap_or(0);
        if told == times {
            return Ok(());
        }
        let what = format!("call {call} finished {times} times, and {told} times it was told");
        Err(Violation::new("I8", what))
    }
}

fn call_of(event: &EventRecord) -> Result<CallId, Violation> {
    let rest = event.data.strip_prefix(r#"{"callId":""#);
    let id = rest.and_then(|rest| rest.get(..24)).and_then(|id| id.parse().ok());
    id.ok_or_else(|| Violation::new("I8", format!("an event of no call: {event:?}")))
}

#[cfg(test)]
mod tests {
    use outdial_core::id::EventId;
    use outdial_core::time::Timestamp;

    use super::*;

    fn event(position: u64) -> EventRecord {
        EventRecord {
            id: EventId::from_parts(1, position),
            workspace: WorkspaceId::from_parts(1, 1),
            position,
            kind: EventKind::CallFinished,
            batch: None,
            at: Timestamp::from_millis(0),
            data: format!(r#"{{"callId":"{}"}}"#, CallId::from_parts(1, 7)),
        }
    }

    #[test]
    fn a_gap_and_a_repeat() {
        let mut events = Events::default();
        assert!(events.told(&event(1)).is_ok());
        assert!(events.told(&event(1)).is_err());
        assert!(events.told(&event(3)).is_err());
        assert!(events.told(&event(2)).is_ok());
        assert_eq!(events.position(WorkspaceId::from_parts(1, 1)), 2);
    }

    #[test]
    fn one_that_is_not_told_or_told_twice() {
        let (mut events, call) = (Events::default(), CallId::from_parts(1, 7));
        assert!(events.finished(call, 0).is_ok());
        assert!(events.finished(call, 1).is_err());
        events.told(&event(1)).unwrap();
        assert!(events.finished(call, 1).is_ok());
        events.told(&event(2)).unwrap();
        assert!(events.finished(call, 1).is_err());
    }
}
