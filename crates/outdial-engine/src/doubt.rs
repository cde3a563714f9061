//! Commits of which nobody knows yet whether they took effect.

use std::sync::Arc;

use outdial_core::id::WorkspaceId;
use outdial_ports::store::NewIntent;

use crate::context::{Context, Looked, Unconfirmed, locked};

/// Intents whose commit is on its way. Unless the doubt is dispelled by an answer, whatever happens
/// (a lost answer, a panic), they become loose ends.
pub(crate) struct Doubt {
    ctx: Arc<Context>,
    about: Vec<Unconfirmed>,
}

impl Doubt {
    /// Doubt about all of these.
    pub(crate) fn new(ctx: &Arc<Context>, workspace: WorkspaceId, intents: &[NewIntent]) -> Self {
        let about = intents
            .iter()
            .map(|i| Unconfirmed {
                workspace,
                call: i.intent.call,
                token: i.token,
                number: i.intent.facts.attempts.saturating_add(1),
            })
            .collect();
        Self { ctx: Arc::clone(ctx), about }
    }

    /// This one is in somebody's hands.
    pub(crate) fn settled(&mut self, intent: &NewIntent) {
        self.about.retain(|doubt| doubt.token != intent.token);
    }

    /// It is known what became of all of them.
    pub(crate) fn dispelled(mut self) {
        self.about.clear();
    }
}

impl Drop for Doubt {
    fn drop(&mut self) {
        if !self.about.is_empty() {
            let since = self.ctx.clock.monotonic();
            let mut ends = locked(&self.ctx.loose_ends);
            let looked = Looked { since, next: since };
            ends.unconfirmed.extend(self.about.drain(..).map(|doubt| (doubt, looked)));
        }
    }
}
