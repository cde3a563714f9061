//! What there is to do.

use std::time::Duration;

use outdial_core::batch::BatchState;
use outdial_ports::store::{Backlog, BatchStart, Waiting};

use super::Factory;
use super::world::World;

pub(super) async fn backlog(f: &dyn Factory) {
    let w = World::new(f).await;
    assert_eq!(w.store.batch_backlog().await.unwrap(), Backlog::default());

    let (first, second) = (w.batch().await, w.batch().await);
    w.add_numbers(first, &[49_801, 49_802]).await;
    w.advance_s(10);
    w.add_numbers(second, &[49_803]).await;
    let started = w.due().await.iter().map(|c| c.not_before).min();
    let line = |state, batches, calls, oldest_due| Waiting { state, batches, calls, oldest_due };
    let now = w.store.batch_backlog().await.unwrap();
    assert_eq!(now, Backlog { live: 0, waiting: vec![line(BatchState::Active, 2, 3, started)] });

    // On the phone it does not wait; of a stopped batch it waits in another line.
    let due = w.due().await;
    let call = due.iter().find(|c| c.group.batch == first).unwrap();
    let live = w.commit(vec![w.intent(call)]).await.committed;
    let rest = w.due().await;
    let of = |batch| rest.iter().find(|c| c.group.batch == batch).unwrap().not_before;
    assert!(w.store.batch_stop(w.ws, second).await.unwrap());
    let stopped = line(BatchState::Stopped, 1, 1, Some(of(second)));
    let active = line(BatchState::Active, 1, 1, Some(of(first)));
    let now = w.store.batch_backlog().await.unwrap();
    assert_eq!(now, Backlog { live: 1, waiting: vec![active, stopped] });

    // What waits for a retry is due then.
    w.store.batch_start(w.ws, second, BatchStart::default()).await.unwrap();
    w.complete(&w.commit(rest.iter().map(|c| w.intent(c)).collect()).await.committed[0]).await;
    w.retry_later(&live[0]).await;
    let now = w.store.batch_backlog().await.unwrap();
    let waits = now.waiting.iter().map(|w| w.calls).sum::<u64>();
    assert_eq!((now.live, waits), (1, 1));
    let later = now.waiting[0].oldest_due.unwrap();
    assert!(later > w.now().after(Duration::from_secs(1)), "{later}");

    // Nobody waits for what was deleted.
    assert!(w.store.batch_delete(w.ws, first).await.unwrap());
    assert!(w.store.batch_delete(w.ws, second).await.unwrap());
    let now = w.store.batch_backlog().await.unwrap();
    assert_eq!((now.live, now.waiting), (1, Vec::new()));
}
