//! The suite that every backend must pass: each operation of the port, by what its words promise.
//!
//! A backend hands in a [`Factory`] and runs [`run_all`]. Cases only know the port; nothing here
//! knows a database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test suite")]
#![allow(clippy::missing_panics_doc, reason = "panicking is how a case fails")]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use outdial_ports::Store;

mod account;
mod attempt;
mod backlog;
mod batch;
mod clock;
mod compare;
mod dispatch;
mod dnc;
mod edit;
mod event;
mod import;
mod ingest;
mod key;
mod limits;
mod list;
mod model;
mod node;
mod race;
mod request;
mod restart;
mod trunk;
mod trunk_calls;
mod webhook;
pub(crate) mod world;

pub use clock::{TestClock, TestEntropy};

/// Makes databases of a backend.
pub trait Factory {
    /// An empty one that goes by this clock.
    fn empty(&self, clock: Arc<TestClock>) -> Box<dyn Database>;
}

/// One database.
pub trait Database: Send + Sync {
    /// A process that opens it now. Those that opened it before are dead to the new one, though
    /// they may not know it yet.
    fn process(&self) -> Arc<dyn Store>;
}

type Case = for<'a> fn(&'a dyn Factory) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

macro_rules! cases {
    ($($module:ident: $($case:ident)*;)*) => {
        /// Every case with its name.
        fn cases() -> Vec<(&'static str, Case)> {
            vec![$($((
                concat!(stringify!($module), "::", stringify!($case)),
                (|f| Box::pin($module::$case(f))) as Case,
            )),*),*]
        }
    };
}

cases! {
    account: workspaces_and_keys settings agents phones;
    key: keys_expire keys_are_rotated keys_tell_when_they_were_used;
    batch: create_checks_its_numbers states_and_versions list_and_search deleting_a_number
        without_numbers closing;
    ingest: new_calls updates_while_pending reopens_when_finished defers_while_live
        deferred_and_blocked blocked_records auto_start lanes_of_chunks
        batch_gone plans_of_before;
    request: with_a_key without_a_key leases chunks_are_applied_once pruning
        pruning_is_bounded;
    list: pages_in_order filters_and_search one_call many_runs;
    dispatch: head groups_and_candidates continuing_after_a_candidate lanes slots_and_pauses
        slots_of_the_dropped one_batch_besides waiting;
    backlog: backlog;
    dnc: adding which_calls_are_checked races listing deleting chunks;
    edit: update update_refused switches retries_follow cancel give_up cut_short expire
        closing_paused;
    limits: reserves_and_use use_beyond_the_reserve unknown_and_not_sent numbers_by_day
        persons_in_24_hours a_looser_limit pulses_and_pauses resuming brakes_remember pruning
        pruning_looks_behind_what_stays;
    model: sums_are_right;
    attempt: intents versions_are_the_gate marks one_live_call_per_number
        progress_only_goes_forward finishing_counts finishing_twice not_sent_counts_nothing
        recalled_when_deleted;
    race: claimers_at_once chunks_at_once begin_at_once failures_among_others;
    restart: orphans_and_leases acknowledged_is_there;
    trunk: create_and_update isolation_and_deleting numbers numbers_refused;
    trunk_calls: head_in_order reports pauses open_attempts dialogs;
    import: whole_or_nothing refused dropped exported;
    node: joining_and_leaving another_life what_others_dialed;
    event: whatever_happens_is_told_once what_is_told numberers_at_once forgetting;
    webhook: endpoints claiming trying replaying disabling forgetting;
    compare: settings agents trunks batches;
}

/// Runs every case; panics with the first that fails, after its name was printed.
pub async fn run_all(factory: &dyn Factory) {
    for (name, case) in cases() {
        println!("case {name}");
        case(factory).await;
    }
}
