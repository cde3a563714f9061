//! Nodes. One process serves a file at a time, for it holds the file's lock: whoever joins is the
//! only one that is alive, and whoever was there before is dead for certain.

use std::time::Duration;

use outdial_core::time::Timestamp;
use outdial_ports::store::{
    NODE_LEASE, NODE_TRUST, NodeBeat, NodeJoinError, NodeRecord, NodeSpec, NodeStanding, StoreError,
};
use rusqlite::{Row, params};

use super::db::SqliteDb;
use super::rows::{RowExt, millis};
use super::sql;

/// Those that are gone are listed for so long.
const REMEMBERED: Duration = Duration::from_hours(24);

impl SqliteDb {
    pub(super) fn node_join(&mut self, spec: &NodeSpec) -> Result<(), NodeJoinError> {
        let now = self.now().as_millis();
        self.exec(sql!("node/others_left"), params![self.instance, now])?;
        self.exec(
            sql!("node/join"),
            params![
                self.instance,
                spec.id,
                spec.name,
                spec.host,
                spec.role,
                spec.address,
                spec.version,
                now,
            ],
        )?;
        // Two of a workspace are enough: one of them is not the asker's.
        self.exec(sql!("node/forget_latest"), [])?;
        Ok(())
    }

    pub(super) fn node_beat(&mut self, beat: &NodeBeat) -> Result<NodeStanding, StoreError> {
        let clock = self.now();
        let apart = beat.wall.as_millis().saturating_sub(clock.as_millis());
        let row =
            params![self.instance, clock.as_millis(), apart, beat.live, beat.not_dialing.as_ref()];
        let is_joined = self.exec(sql!("node/beat"), row)? == 1;
        let heard = clock.before(NODE_TRUST).as_millis();
        let dialing = self.one(sql!("node/dialing"), [heard], |r| r.int(0))?;
        Ok(NodeStanding { clock, is_joined, dialing: dialing.unwrap_or_default() })
    }

    pub(super) fn node_leave(&mut self) -> Result<(), StoreError> {
        let row = params![self.instance, self.now().as_millis()];
        self.exec(sql!("node/leave"), row)?;
        Ok(())
    }

    pub(super) fn node_list(&mut self) -> Result<Vec<NodeRecord>, StoreError> {
        let now = self.now().as_millis();
        let oldest = now.saturating_sub(millis(REMEMBERED));
        self.exec(sql!("node/forget"), [oldest, self.instance])?;
        let gone = now.saturating_sub(millis(NODE_LEASE));
        self.all(sql!("node/list"), [oldest], |r| node_record(r, gone))
    }
}

/// `gone`: who was heard of last then, or before, is.
fn node_record(r: &Row<'_>, gone: i64) -> rusqlite::Result<NodeRecord> {
    let beat_at: i64 = r.get(7)?;
    let has_left = r.get::<_, Option<i64>>(8)?.is_some();
    let apart: i64 = r.get(9)?;
    Ok(NodeRecord {
        spec: NodeSpec {
            id: r.get(0)?,
            name: r.get(1)?,
            host: r.get(2)?,
            role: r.get(3)?,
            address: r.get(4)?,
            version: r.get(5)?,
        },
        started_at: r.time(6)?,
        beat_at: Timestamp::from_millis(beat_at),
        is_alive: !has_left && beat_at > gone,
        has_left,
        beat: NodeBeat {
            wall: Timestamp::from_millis(beat_at.saturating_add(apart)),
            live: r.int(10)?,
            not_dialing: r.get(11)?,
        },
        clock_apart_ms: apart,
    })
}
