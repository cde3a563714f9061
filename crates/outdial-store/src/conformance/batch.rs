//! The lives of batches.

use outdial_core::batch::{BatchSettings, BatchState, PauseReason};
use outdial_core::id::{BatchId, PhoneId};
use outdial_ports::store::{
    BatchCreateError, BatchListQuery, BatchStart, BatchStartError, ChunkAdd, ChunkLane, NewBatch,
};

use super::Factory;
use super::world::{World, agent_spec, phone, record, workspace};

pub(super) async fn create_checks_its_numbers(f: &dyn Factory) {
    let w = World::new(f).await;
    let other = workspace(&*w.store, "other", 2).await.workspace;
    let theirs = phone(&*w.store, other, 4_930_222, None).await.id;
    let bob = w.store.agent_create(w.ws, agent_spec("Bob")).await.unwrap().id;
    let bobs = phone(&*w.store, w.ws, 4_930_333, Some(bob)).await.id;
    let mute = phone(&*w.store, w.ws, 4_930_444, None).await.id;
    let gone = phone(&*w.store, w.ws, 4_930_555, None).await.id;
    w.store.phone_delete(w.ws, gone).await.unwrap();
    let nobody = PhoneId::from_parts(1, 1);
    let new = |numbers: &[PhoneId]| NewBatch {
        workspace: w.ws,
        name: "May".to_owned(),
        settings: BatchSettings { retry: 3, ..BatchSettings::default() },
        numbers: numbers.to_vec(),
    };
    let make = |numbers| w.store.batch_create(numbers);
    assert_eq!(make(new(&[nobody])).await, Err(BatchCreateError::UnknownNumber(nobody)));
    assert_eq!(make(new(&[gone])).await, Err(BatchCreateError::UnknownNumber(gone)));
    assert_eq!(make(new(&[w.phone, theirs])).await, Err(BatchCreateError::ForeignNumber(theirs)));
    assert_eq!(make(new(&[w.phone, bobs])).await, Err(BatchCreateError::AgentsDiffer));

    let id = make(new(&[mute, w.phone])).await.unwrap();
    let batch = w.store.batch_fetch(id).await.unwrap().unwrap();
    assert_eq!((batch.workspace, batch.name.as_str()), (w.ws, "May"));
    assert_eq!(batch.user, w.store.workspace_list().await.unwrap()[0].user);
    assert_eq!((batch.state, batch.pause_reason, batch.lane), (BatchState::Pending, None, None));
    assert_eq!((batch.settings.retry, batch.numbers), (3, vec![mute, w.phone]));
    assert_eq!((batch.created_at, batch.updated_at), (w.now(), w.now()));
    let forged = BatchId::from_parts(id.seconds() + 1, id.seq());
    assert_eq!(w.store.batch_fetch(forged).await.unwrap(), None);

    let context = w.store.batch_ingest_context(w.ws, id).await.unwrap().unwrap();
    assert_eq!(context.numbers.iter().map(|n| n.id).collect::<Vec<_>>(), [mute, w.phone]);
    assert_eq!(context.agents.len(), 1);
    assert_eq!((context.agents[0].agent, context.agents[0].version), (w.agent, 1));
    assert_eq!(context.agents[0].variables, agent_spec("Ada").variables);
    assert_eq!(context.settings.concurrency, Some(7));
    assert!(w.store.batch_ingest_context(other, id).await.unwrap().is_none());
}

pub(super) async fn states_and_versions(f: &dyn Factory) {
    let w = World::new(f).await;
    let other = workspace(&*w.store, "other", 2).await.workspace;
    let id = w.batch().await;
    let plain = BatchStart::default;
    assert_eq!(w.store.batch_start(other, id, plain()).await, Err(BatchStartError::NotFound));
    assert!(!w.store.batch_stop(other, id).await.unwrap());
    assert!(!w.store.batch_delete(other, id).await.unwrap());

    let mut version = w.version().await;
    w.advance_s(1);
    let started = w.store.batch_start(w.ws, id, plain()).await.unwrap();
    assert_eq!((started.state, started.updated_at), (BatchState::Active, w.now()));
    assert_eq!(w.store.dispatch_workspaces().await.unwrap(), [w.ws]);
    assert_eq!(w.version().await, version + 1);
    version = w.version().await;

    assert!(w.store.batch_stop(w.ws, id).await.unwrap());
    assert_eq!(w.store.batch_fetch(id).await.unwrap().unwrap().state, BatchState::Stopped);
    assert!(w.store.dispatch_workspaces().await.unwrap().is_empty());
    assert_eq!(w.version().await, version + 1);
    assert!(w.store.batch_stop(w.ws, id).await.unwrap(), "stopping twice is stopping");

    let second = phone(&*w.store, w.ws, 4_930_222, Some(w.agent)).await.id;
    let with = |numbers: &[PhoneId]| BatchStart { numbers: Some(numbers.to_vec()), ..plain() };
    let start = |s| w.store.batch_start(w.ws, id, s);
    let nobody = PhoneId::from_parts(1, 1);
    assert_eq!(start(with(&[nobody])).await, Err(BatchStartError::UnknownNumber(nobody)));
    assert_eq!(start(with(&[])).await, Err(BatchStartError::NoNumbers));
    let bob = w.store.agent_create(w.ws, agent_spec("Bob")).await.unwrap().id;
    let bobs = phone(&*w.store, w.ws, 4_930_333, Some(bob)).await.id;
    assert_eq!(start(with(&[w.phone, bobs])).await, Err(BatchStartError::AgentsDiffer));
    assert_eq!(w.store.batch_fetch(id).await.unwrap().unwrap().numbers, [w.phone]);
    let restarted = start(with(&[second, w.phone])).await.unwrap();
    assert_eq!((restarted.state, restarted.numbers), (BatchState::Active, vec![second, w.phone]));

    version = w.version().await;
    assert!(w.store.batch_delete(w.ws, id).await.unwrap());
    assert_eq!(w.version().await, version + 1);
    assert!(!w.store.batch_delete(w.ws, id).await.unwrap());
    assert_eq!(w.store.batch_fetch(id).await.unwrap(), None);
    assert!(!w.store.batch_stop(w.ws, id).await.unwrap());
    assert_eq!(start(plain()).await, Err(BatchStartError::NotFound));
    assert!(w.store.batch_ingest_context(w.ws, id).await.unwrap().is_none());
}

pub(super) async fn list_and_search(f: &dyn Factory) {
    let w = World::new(f).await;
    let query = |page, limit, search: Option<&str>| BatchListQuery {
        page,
        limit,
        search: search.map(str::to_owned),
    };
    let empty = w.store.batch_list(w.ws, query(1, 10, None)).await.unwrap();
    assert_eq!((empty.batches.len(), empty.total, empty.any), (0, 0, false));
    let mut ids = Vec::new();
    for name in ["Ümläut 100%", "May", "june"] {
        w.advance_s(1);
        let new = NewBatch {
            workspace: w.ws,
            name: name.to_owned(),
            settings: BatchSettings::default(),
            numbers: vec![w.phone],
        };
        ids.push(w.store.batch_create(new).await.unwrap());
    }
    w.add_numbers(ids[1], &[49_301, 49_302]).await;
    let list = async |page, limit, search| {
        let l = w.store.batch_list(w.ws, query(page, limit, search)).await.unwrap();
        (l.batches.iter().map(|b| b.id).collect::<Vec<_>>(), l.total, l.any)
    };
    assert_eq!(list(1, 2, None).await, (vec![ids[2], ids[1]], 3, true));
    assert_eq!(list(2, 2, None).await, (vec![ids[0]], 3, true));
    assert_eq!(list(3, 2, None).await, (vec![], 3, true));
    assert_eq!(list(1, 10, Some("JUNE")).await, (vec![ids[2]], 1, true));
    assert_eq!(list(1, 10, Some("üMLÄ")).await, (vec![ids[0]], 1, true));
    assert_eq!(list(1, 10, Some("0%")).await, (vec![ids[0]], 1, true));
    assert_eq!(list(1, 10, Some("%")).await.1, 1, "no wildcards");
    assert_eq!(list(1, 10, Some("activ")).await, (vec![ids[1]], 1, true));
    assert_eq!(list(1, 10, Some("nothing")).await, (vec![], 0, true));
    let listed = w.store.batch_list(w.ws, query(2, 1, None)).await.unwrap().batches.remove(0);
    assert_eq!(listed, w.store.batch_fetch(ids[1]).await.unwrap().unwrap());
    assert_eq!(listed.totals.total, 2);

    w.store.batch_delete(w.ws, ids[1]).await.unwrap();
    assert_eq!(list(1, 10, None).await, (vec![ids[2], ids[0]], 2, true));
}

pub(super) async fn deleting_a_number(f: &dyn Factory) {
    let w = World::new(f).await;
    let second = phone(&*w.store, w.ws, 4_930_222, Some(w.agent)).await.id;
    let both = w.batch().await;
    let start = BatchStart { numbers: Some(vec![w.phone, second]), call_data_lane: None };
    w.store.batch_start(w.ws, both, start).await.unwrap();
    let (active, with_calls, untouched) = (w.batch().await, w.batch().await, w.batch().await);
    w.add_numbers(active, &[49_301]).await;
    let chunk = w.chunk(with_calls, vec![record(49_302)]).await;
    let chunk = ChunkAdd { auto_start: false, ..chunk };
    assert_eq!(w.store.call_add_chunk(chunk).await.unwrap().batch_state, BatchState::Pending);
    let before = w.version().await;
    w.store.phone_delete(w.ws, w.phone).await.unwrap();
    assert_eq!(w.version().await, before + 1);
    let at = async |id| {
        let b = w.store.batch_fetch(id).await.unwrap().unwrap();
        (b.state, b.pause_reason, b.numbers)
    };
    let paused = (BatchState::Paused, Some(PauseReason::NoNumbers), vec![]);
    assert_eq!(at(both).await, (BatchState::Active, None, vec![second]));
    assert_eq!(at(active).await, paused);
    assert_eq!(at(with_calls).await, paused);
    assert_eq!(at(untouched).await, (BatchState::Pending, None, vec![]));

    let plain = w.store.batch_start(w.ws, active, BatchStart::default()).await;
    assert_eq!(plain, Err(BatchStartError::NoNumbers));
    // Adding does not lift this pause; a start with a number does.
    assert_eq!(w.add(active, vec![record(49_309)]).await.batch_state, BatchState::Paused);
    let start = BatchStart { numbers: Some(vec![second]), call_data_lane: None };
    let started = w.store.batch_start(w.ws, active, start).await.unwrap();
    assert_eq!((started.state, started.pause_reason), (BatchState::Active, None));
}

pub(super) async fn without_numbers(f: &dyn Factory) {
    let w = World::new(f).await;
    let state = async |id| {
        let b = w.store.batch_fetch(id).await.unwrap().unwrap();
        (b.state, b.pause_reason)
    };
    let paused = (BatchState::Paused, Some(PauseReason::NoNumbers));
    let (batch, waiting, ready) = (w.batch().await, w.batch().await, w.batch().await);
    w.add_numbers(batch, &[49_301, 49_302]).await;
    let live = w.dial_all().await;
    w.add_numbers(waiting, &[49_303]).await;
    w.store.phone_delete(w.ws, w.phone).await.unwrap();
    assert_eq!((state(batch).await, state(waiting).await), (paused, paused));
    // Its calls end; then it is done, unlike the one whose call waits.
    w.complete(&live[0]).await;
    assert!(w.store.batch_close_due(10).await.unwrap().is_empty(), "one is on the phone");
    w.complete(&live[1]).await;
    assert_eq!(w.store.batch_close_due(10).await.unwrap(), [batch]);
    assert_eq!(state(batch).await, (BatchState::Completed, None));
    assert!(w.store.batch_close_due(10).await.unwrap().is_empty());
    assert_eq!(state(waiting).await, paused);
    // The number went while the request was checked.
    for id in [batch, ready] {
        let stored = w.add(id, vec![record(49_304)]).await;
        assert_eq!((stored.batch_state, stored.pause_reason), paused);
        assert_eq!(state(id).await, paused);
    }
}

pub(super) async fn closing(f: &dyn Factory) {
    let w = World::new(f).await;
    let (batch, empty) = (w.batch().await, w.batch().await);
    w.add_numbers(batch, &[49_301]).await;
    w.store.batch_start(w.ws, empty, BatchStart::default()).await.unwrap();
    let version = w.version().await;
    assert_eq!(w.store.batch_close_due(10).await.unwrap(), [empty], "nothing to do");
    assert_eq!(w.version().await, version + 1);
    let state = async |id| w.store.batch_fetch(id).await.unwrap().unwrap().state;
    assert_eq!(state(empty).await, BatchState::Completed);

    let live = w.dial_all().await;
    assert!(w.store.batch_close_due(10).await.unwrap().is_empty(), "one is on the phone");
    w.retry_later(&live[0]).await;
    assert!(w.store.batch_close_due(10).await.unwrap().is_empty(), "one waits for its retry");
    w.advance_s(60);
    let live = w.dial_all().await;
    w.complete(&live[0]).await;
    assert_eq!(w.store.batch_close_due(10).await.unwrap(), [batch]);
    assert_eq!(state(batch).await, BatchState::Completed);
    assert!(w.store.batch_close_due(10).await.unwrap().is_empty());

    // Only held calls are left: paused, not completed.
    w.store.batch_stop(w.ws, batch).await.unwrap();
    w.add_numbers(batch, &[49_302]).await;
    let lane = w.store.batch_ingest_context(w.ws, batch).await.unwrap().unwrap().free_lane;
    let chunk = w.chunk(batch, vec![record(49_303)]).await;
    let chunk = ChunkAdd { lane: ChunkLane::Lane(lane), ..chunk };
    w.store.call_add_chunk(chunk).await.unwrap();
    let start = BatchStart { numbers: None, call_data_lane: Some(lane) };
    w.store.batch_start(w.ws, batch, start).await.unwrap();
    let live = w.dial_all().await;
    assert_eq!(live.len(), 1);
    w.complete(&live[0]).await;
    assert_eq!(w.store.batch_close_due(10).await.unwrap(), [batch]);
    let held = w.store.batch_fetch(batch).await.unwrap().unwrap();
    assert_eq!(held.state, BatchState::Paused);
    assert_eq!(held.pause_reason, Some(PauseReason::CallsHeld));
    // Adding goes on with the lane that is placed now; a plain start frees the others.
    assert_eq!(w.add(batch, vec![record(49_304)]).await.batch_state, BatchState::Active);
    assert_eq!(w.due().await.len(), 1);
    w.store.batch_start(w.ws, batch, BatchStart::default()).await.unwrap();
    assert_eq!(w.due().await.len(), 2);
}
