//! Nodes: who joins, who is heard of, who has left.

use std::time::Duration;

use outdial_core::time::Timestamp;
use outdial_ports::store::{
    NODE_LEASE, NODE_TRUST, NodeBeat, NodeJoinError, NodeRecord, NodeSpec, NodeStanding, StoreError,
};
use tokio_postgres::Row;

use super::params::params;
use super::pg;
use super::rows::RowExt;
use super::tx::PgTx;

/// Those that are gone are listed for so long.
const REMEMBERED: Duration = Duration::from_hours(24);

impl PgTx<'_> {
    pub(super) async fn node_join(&self, spec: &NodeSpec) -> Result<(), NodeJoinError> {
        let now = self.now();
        let gone = now.before(NODE_LEASE);
        let other = self
            .one(pg!("node/alone"), params![spec.id, self.instance()], |r| {
                Ok((r.int::<i64>(0)?, r.text(1)?, r.text(2)?, r.time(3)?))
            })
            .await?;
        if let Some((instance, name, host, beat_at)) = other {
            if beat_at > gone && host != spec.host {
                return Err(NodeJoinError::Running { name, host, beat_at });
            }
            self.exec(pg!("node/leave"), params![instance, now]).await?;
        }
        let row = params![
            self.instance(),
            spec.id,
            spec.name,
            spec.host,
            spec.role,
            spec.address,
            spec.version,
            now,
        ];
        if self.exec(pg!("node/rejoin"), row).await? == 0
            && self.exec(pg!("node/join"), row).await? == 0
        {
            // Another life of this node joined at the same moment.
            let (name, host) = (spec.name.clone(), "another host".to_owned());
            return Err(NodeJoinError::Running { name, host, beat_at: now });
        }
        self.exec(pg!("node/forget_latest"), params![]).await?;
        Ok(())
    }

    pub(super) async fn node_beat(&self, beat: &NodeBeat) -> Result<NodeStanding, StoreError> {
        let clock = self.now();
        let apart = beat.wall.as_millis().saturating_sub(clock.as_millis());
        let row = params![self.instance(), clock, apart, beat.live, beat.not_dialing];
        let is_joined = self.exec(pg!("node/beat"), row).await? == 1;
        let heard = clock.before(NODE_TRUST);
        let dialing = self.one(pg!("node/dialing"), params![heard], |r| r.int(0)).await?;
        Ok(NodeStanding { clock, is_joined, dialing: dialing.unwrap_or_default() })
    }

    pub(super) async fn node_leave(&self) -> Result<(), StoreError> {
        self.exec(pg!("node/leave"), params![self.instance(), self.now()]).await?;
        Ok(())
    }

    pub(super) async fn node_list(&self) -> Result<Vec<NodeRecord>, StoreError> {
        let oldest = self.now().before(REMEMBERED);
        self.exec(pg!("node/forget"), params![oldest, self.instance()]).await?;
        let gone = self.now().before(NODE_LEASE);
        self.all(pg!("node/list"), params![oldest], |r| node_record(r, gone)).await
    }
}

/// `gone`: who was heard of last then, or before, is.
fn node_record(r: &Row, gone: Timestamp) -> Result<NodeRecord, StoreError> {
    let beat_at = r.time(7)?;
    let has_left = r.time_opt(8)?.is_some();
    let apart: i64 = r.int(9)?;
    Ok(NodeRecord {
        spec: NodeSpec {
            id: r.exact(0)?,
            name: r.text(1)?,
            host: r.text(2)?,
            role: r.text(3)?,
            address: r.text(4)?,
            version: r.text(5)?,
        },
        started_at: r.time(6)?,
        beat_at,
        is_alive: !has_left && beat_at > gone,
        has_left,
        beat: NodeBeat {
            wall: Timestamp::from_millis(beat_at.as_millis().saturating_add(apart)),
            live: r.int(10)?,
            not_dialing: r.text_opt(11)?,
        },
        clock_apart_ms: apart,
    })
}
