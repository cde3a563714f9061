//! Whether the database is the one that this node placed calls from. Asks, and changes nothing.

use std::time::Duration;

use outdial_core::id::WorkspaceId;
use outdial_ports::store::{NODE_TRUST, NodeRecord, StoreError};
use outdial_ports::{Mark, Monotonic, Noted, WatermarkError};

use crate::context::{Context, Seldom, locked};

/// What the database is, beside what this node knows of its calls.
pub(crate) enum Recognised {
    /// The one that was dialed from. It must hold this when a plan is committed.
    Same(Option<Mark>),
    /// Another, older one: nobody may be dialed.
    Older,
}

/// Others are asked for so often, where nobody here can tell.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// A beat that tells by what its node dials came of a comparison that is not older than so.
const COMPARED_WITHIN: Duration = NODE_TRUST;

/// Recognises the database of one workspace.
#[derive(Default)]
pub(crate) struct Recogniser {
    /// The mark that it was last seen to hold.
    held: Option<Mark>,
    warned: Seldom,
    /// When it was last looked what others dialed.
    others_at: Option<Monotonic>,
    vouching: Vouching,
}

/// Whether another node dials from the database, and knows what left there.
#[derive(Default)]
struct Vouching {
    asked_at: Option<Monotonic>,
    is_given: bool,
}

impl Recogniser {
    /// Whether the database knows of the calls that were placed from it. If it does not, it was put
    /// back to an older state, and would have people called again.
    pub(crate) async fn recognise(
        &mut self,
        ctx: &Context,
        workspace: WorkspaceId,
        now: Monotonic,
    ) -> Result<Recognised, StoreError> {
        let noted = ctx.watermark.latest(workspace).await.map_err(not_kept)?;
        let known = match noted {
            Noted::Nothing => Some(None),
            Noted::Mark(mark) if self.is_held(ctx, mark).await? => Some(Some(mark)),
            _ if ctx.watermark.is_accepted(workspace).await.map_err(not_kept)? => Some(None),
            Noted::Lost if self.vouching.is_given(ctx, now).await? => Some(None),
            Noted::Mark(_) | Noted::Lost => None,
        };
        if let Some(known) = known {
            return self.note_others(ctx, workspace, known, now).await.map(Recognised::Same);
        }
        if self.warned.is_due(now) {
            match noted {
                Noted::Mark(Mark { attempt, .. }) => tracing::error!(%workspace, %attempt,
                    "not dialing: the database is older than what was dialed: it does not hold \
                     this attempt; see `outdial doctor`"),
                _ => tracing::error!(%workspace,
                    "not dialing: what was noted of calls that left here is gone, so nobody knows \
                     whether the database is older; see `outdial doctor`"),
            }
        }
        Ok(Recognised::Older)
    }

    /// This is noted, and the database holds it.
    pub(crate) fn holds(&mut self, ctx: &Context, mark: Mark) {
        self.held = Some(mark);
        locked(&ctx.copies).noted(mark);
    }

    /// It is to be looked again.
    pub(crate) fn forget(&mut self) {
        self.held = None;
    }

    async fn is_held(&mut self, ctx: &Context, mark: Mark) -> Result<bool, StoreError> {
        if self.held == Some(mark) {
            return Ok(true);
        }
        let is_known = ctx.store.attempt_is_known(mark.attempt, mark.token).await?;
        if is_known {
            self.holds(ctx, mark);
        }
        Ok(is_known)
    }

    /// Notes now and then what other processes dialed of late, so that this node recognises the
    /// database by that too. Which mark is noted then.
    async fn note_others(
        &mut self,
        ctx: &Context,
        workspace: WorkspaceId,
        noted: Option<Mark>,
        now: Monotonic,
    ) -> Result<Option<Mark>, StoreError> {
        let every = Duration::from_millis(ctx.config.marks_ms);
        if self.others_at.is_some_and(|at| now < at.after(every)) {
            return Ok(noted);
        }
        let latest = ctx.store.attempt_latest_of_others(workspace).await?;
        self.others_at = Some(now);
        let is_later = |mark: &Mark| noted.is_none_or(|n| mark.attempt.seq() > n.attempt.seq());
        let Some(mark) = latest.filter(is_later) else { return Ok(noted) };
        if let Some(ours) = noted
            && !ctx.store.attempt_is_known(ours.attempt, ours.token).await?
        {
            // It has gone another way since it was recognised: what was noted is the only proof.
            self.forget();
            return Ok(noted);
        }
        ctx.watermark.note(workspace, mark).await.map_err(not_kept)?;
        self.holds(ctx, mark);
        Ok(Some(mark))
    }
}

impl Vouching {
    /// One that is alive, and dials, has compared the database with what it noted. It counts when
    /// all of that was after this node came to the database: before, it may have been another.
    async fn is_given(&mut self, ctx: &Context, now: Monotonic) -> Result<bool, StoreError> {
        if self.asked_at.is_none_or(|at| now >= at.after(ASK_EVERY)) {
            self.asked_at = Some(now);
            self.is_given = false;
            let Some(seen_at) = locked(&ctx.copies).seen_at() else { return Ok(false) };
            let since = seen_at.after(COMPARED_WITHIN);
            let nodes = ctx.store.node_list().await?;
            let vouches = |node: &NodeRecord| {
                node.is_alive && node.beat.not_dialing.is_none() && node.beat_at >= since
            };
            self.is_given = nodes.iter().any(vouches);
        }
        Ok(self.is_given)
    }
}

/// Nothing may leave that could not be noted.
#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
pub(crate) fn not_kept(error: WatermarkError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
