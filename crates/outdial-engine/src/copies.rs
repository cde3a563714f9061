//! Whether the database as a whole is the one that this node placed calls from. It is compared
//! between beats, so that what a beat tells is true, and others may go by it (`recognise`). Decides
//! about no call: each workspace's dispatch looks for itself.

use std::time::Duration;

use outdial_core::id::WorkspaceId;
use outdial_core::time::Timestamp;
use outdial_ports::store::StoreError;
use outdial_ports::{Mark, Monotonic, Noted};

use crate::context::{Context, locked};
use crate::recognise::not_kept;

/// What was compared longer ago than so many beats says nothing.
const BEATS: u64 = 2;

/// What comparing came to.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// When the database heard of this node first, by its clock.
    seen_at: Option<Timestamp>,
    /// When the latest comparison that came to an end began.
    compared: Option<Monotonic>,
    /// A workspace of which the database does not hold what is noted.
    strange: Option<WorkspaceId>,
    /// The latest of all that is noted. A database that holds it is no older copy.
    newest: Option<Mark>,
}

impl Copies {
    /// The database heard of this node, at this time of its own.
    pub(crate) fn heard(&mut self, clock: Timestamp) {
        self.seen_at.get_or_insert(clock);
    }

    /// When it did so first.
    pub(crate) fn seen_at(&self) -> Option<Timestamp> {
        self.seen_at
    }

    /// This is noted.
    pub(crate) fn noted(&mut self, mark: Mark) {
        if self.newest.is_none_or(|newest| newest.attempt.seq() < mark.attempt.seq()) {
            self.newest = Some(mark);
        }
    }

    /// Why nobody should go by this node, in words for people. `beat`: between two beats.
    pub(crate) fn doubt(&self, now: Monotonic, beat: Duration) -> Option<String> {
        if let Some(workspace) = self.strange {
            return Some(format!(
                "the database does not hold what left here in workspace {workspace}: it may be an \
                 older copy"
            ));
        }
        // Half a beat, for comparing takes time too.
        let lasts = beat * u32::try_from(BEATS).unwrap_or(u32::MAX) + beat / 2;
        let fresh = self.compared.is_some_and(|at| now < at.after(lasts));
        (!fresh).then(|| "the database was not compared with what left here".to_owned())
    }
}

/// Compares: the latest mark alone while that is held, else each workspace's.
pub(crate) async fn compare(ctx: &Context) -> Result<(), StoreError> {
    let began = ctx.clock.monotonic();
    let (is_well, newest) = {
        let copies = locked(&ctx.copies);
        (copies.compared.is_some() && copies.strange.is_none(), copies.newest)
    };
    let is_held = match newest {
        Some(mark) if is_well => ctx.store.attempt_is_known(mark.attempt, mark.token).await?,
        Some(_) => false,
        None => is_well,
    };
    if is_held {
        locked(&ctx.copies).compared = Some(began);
        return Ok(());
    }
    let (mut strange, mut latest): (_, Option<Mark>) = (None, None);
    for workspace in ctx.store.workspace_list().await?.into_iter().map(|ws| ws.id) {
        let is_known = match ctx.watermark.latest(workspace).await.map_err(not_kept)? {
            Noted::Nothing => true,
            Noted::Lost => false,
            Noted::Mark(mark) => {
                let is_known = ctx.store.attempt_is_known(mark.attempt, mark.token).await?;
                let is_later = latest.is_none_or(|l| l.attempt.seq() < mark.attempt.seq());
                latest = if is_known && is_later { Some(mark) } else { latest };
                is_known
            }
        };
        if !is_known && !ctx.watermark.is_accepted(workspace).await.map_err(not_kept)? {
            strange = strange.or(Some(workspace));
        }
    }
    let mut copies = locked(&ctx.copies);
    (copies.compared, copies.strange) = (Some(began), strange);
    // What was noted meanwhile is later.
    match latest {
        Some(mark) if copies.newest != newest => copies.noted(mark),
        _ if copies.newest != newest => {}
        latest => copies.newest = latest,
    }
    Ok(())
}
