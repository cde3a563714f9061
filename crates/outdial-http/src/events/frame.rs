//! How an event looks in the stream (WHATWG HTML, server-sent events).

use bytes::Bytes;
use outdial_ports::store::{BatchRecord, EventRecord};
use serde::Serialize;

/// Nothing, so that whoever is between does not take the connection for dead.
pub(super) const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

/// One event, with its position as id.
pub(super) fn event(event: &EventRecord) -> Bytes {
    let kind = event.kind.as_str();
    // Between the members of JSON a line break is only space; inside of strings there is none.
    let data = event.data.replace(['\n', '\r'], " ");
    let text = format!(
        "id: {}\nevent: {kind}\ndata: {{\"id\":\"{}\",\"type\":\"{kind}\",\"timestamp\":\"{}\",\
         \"data\":{data}}}\n\n",
        event.position, event.id, event.at,
    );
    text.into()
}

/// What the client has is not all there was; it goes on after `latest`.
pub(super) fn reset(oldest: u64, latest: u64) -> Bytes {
    let data = format!("{{\"oldest\":{oldest},\"latest\":{latest}}}");
    format!("id: {latest}\nevent: reset\ndata: {data}\n\n").into()
}

/// Where the stream begins: the id without an event, so that a client that comes again before the
/// first event misses none.
pub(super) fn beginning(latest: u64) -> Bytes {
    format!("id: {latest}\n\n").into()
}

/// How far a batch is. Without an id: it is not kept.
pub(super) fn progress(batch: &BatchRecord) -> Bytes {
    #[derive(Serialize)]
    struct Progress {
        #[serde(rename = "batchId")]
        batch: String,
        queue_status: &'static str,
        totals: Totals,
    }
    #[derive(Serialize)]
    struct Totals {
        total: u64,
        pending: u64,
        live: u64,
        finished: u64,
        picked: u64,
        completed: u64,
    }
    let t = &batch.totals;
    let totals = Totals {
        total: t.total,
        pending: t.pending,
        live: t.live,
        finished: t.finished,
        picked: t.picked,
        completed: t.completed,
    };
    let queue_status = batch.state.as_str();
    let progress = Progress { batch: batch.id.to_string(), queue_status, totals };
    let data = serde_json::to_string(&progress).expect("numbers and words are JSON");
    format!("event: progress\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use outdial_core::id::{EventId, WorkspaceId};
    use outdial_core::time::Timestamp;
    use outdial_ports::store::EventKind;

    use super::*;

    #[test]
    fn an_event_is_one_line_of_data() {
        let record = EventRecord {
            id: EventId::from_parts(1, 2),
            workspace: WorkspaceId::from_parts(1, 1),
            position: 7,
            kind: EventKind::BatchActive,
            batch: None,
            at: Timestamp::EPOCH,
            data: "{\"a\":\n\"b\\nc\"}".to_owned(),
        };
        let expected = "id: 7\nevent: batch.active\ndata: {\"id\":\"000000010000000000000002\",\
                        \"type\":\"batch.active\",\"timestamp\":\"1970-01-01T00:00:00.000Z\",\
                        \"data\":{\"a\": \"b\\nc\"}}\n\n";
        assert_eq!(event(&record), expected);
        let expected = "id: 9\nevent: reset\ndata: {\"oldest\":3,\"latest\":9}\n\n";
        assert_eq!(reset(3, 9), expected);
    }
}
