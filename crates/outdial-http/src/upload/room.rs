//! How many files are taken in, or sent out, at once: a bound for the process, and one for each
//! workspace, so that the slow transfers of one keep nobody else from theirs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use outdial_core::id::WorkspaceId;

use crate::error::{ApiError, ApiResult};

/// Seconds after which a client comes again when as many files as may be are on their way.
const BUSY_RETRY_S: u32 = 5;

/// Room for uploads, or for exports.
pub(crate) struct Room {
    most: u32,
    taken: Mutex<BTreeMap<WorkspaceId, u32>>,
}

impl Room {
    /// Room for `most` at once, half of them for one workspace, but at least one.
    pub(crate) fn new(most: u32) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// Takes a seat; 503 when there is none.
    pub(crate) fn take(self: &Arc<Self>, workspace: WorkspaceId) -> ApiResult<Seat> {
        let mut taken = self.taken();
        let own = taken.get(&workspace).copied().unwrap_or_default();
        let (all, own_most) = (taken.values().sum::<u32>(), (self.most / 2).max(1));
        if all >= self.most || own >= own_most {
            let why = match own >= own_most {
                true => "as many files of this workspace as may be are on their way: come again",
                false => "as many files as may be are on their way: come again",
            };
            let refused = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why);
            return Err(refused.retry_after(BUSY_RETRY_S));
        }
        taken.insert(workspace, own + 1);
        Ok(Seat { room: Arc::clone(self), workspace })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<WorkspaceId, u32>> {
        // Numbers are right at every instant.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One file's room; given back when it is dropped.
pub(crate) struct Seat {
    room: Arc<Room>,
    workspace: WorkspaceId,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        match taken.get_mut(&self.workspace) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.workspace)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_workspace_takes_half_and_everybody_gives_back() {
        let (one, two, three) = (
            WorkspaceId::from_parts(0, 1),
            WorkspaceId::from_parts(0, 2),
            WorkspaceId::from_parts(0, 3),
        );
        let room = Room::new(4);
        let first = [room.take(one).unwrap(), room.take(one).unwrap()];
        assert!(room.take(one).is_err(), "its half");
        let _second = [room.take(two).unwrap(), room.take(two).unwrap()];
        assert!(room.take(three).is_err(), "all of it");
        drop(first);
        let _third = room.take(three).unwrap();
        let _again = room.take(one).unwrap();
        assert!(room.take(one).is_err(), "all of it");

        let narrow = Room::new(1);
        let seat = narrow.take(one).unwrap();
        assert!(narrow.take(two).is_err());
        drop(seat);
        assert!(narrow.take(two).is_ok());
    }
}
