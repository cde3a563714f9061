//! Whether the database is the one that this node placed calls from. Asks, and changes nothing.

use outdial_core::id::WorkspaceId;
use outdial_ports::store::StoreError;
use outdial_ports::{Mark, Monotonic, Noted, WatermarkError};

use crate::context::{Context, Seldom};

/// What the database is, beside what this node knows of its calls.
pub(crate) enum Recognised {
    /// The one that was dialed from. It must hold this when a plan is committed.
    Same(Option<Mark>),
    /// Another, older one: nobody may be dialed.
    Older,
}

/// Recognises the database of one workspace.
#[derive(Default)]
pub(crate) struct Recogniser {
    /// The mark that it was last seen to hold.
    held: Option<Mark>,
    warned: Seldom,
}

impl Recogniser {
    /// Whether the database knows of the calls that this node has placed. If it does not, it was
    /// put back to an older state, and would have people called again.
    pub(crate) async fn recognise(
        &mut self,
        ctx: &Context,
        workspace: WorkspaceId,
        now: Monotonic,
    ) -> Result<Recognised, StoreError> {
        let noted = ctx.watermark.latest(workspace).await.map_err(not_kept)?;
        match noted {
            Noted::Nothing => return Ok(Recognised::Same(None)),
            Noted::Mark(mark) if self.held == Some(mark) => {
                return Ok(Recognised::Same(Some(mark)));
            }
            Noted::Mark(mark) if ctx.store.attempt_is_known(mark.attempt, mark.token).await? => {
                self.held = Some(mark);
                return Ok(Recognised::Same(Some(mark)));
            }
            Noted::Mark(_) | Noted::Lost => {}
        }
        if ctx.watermark.is_accepted(workspace).await.map_err(not_kept)? {
            return Ok(Recognised::Same(None));
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

    /// A plan was committed whose attempt this is.
    pub(crate) fn holds(&mut self, mark: Mark) {
        self.held = Some(mark);
    }

    /// It is to be looked again.
    pub(crate) fn forget(&mut self) {
        self.held = None;
    }
}

/// Nothing may leave that could not be noted.
#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
pub(crate) fn not_kept(error: WatermarkError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
